//! The handle to one cluster.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, ListParams};

use super::types::{CronJob, DaemonSet, Deployment, Job, Rollout, StatefulSet, nanos};
use super::{ClusterOptions, Error, Pod, connect};
use crate::ids::{Kind, WorkloadId};

/// A short request that has no answer by then has failed; the caller decides about another try.
pub(super) const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// Objects in one answer, where a namespace may have thousands.
const PAGE: u32 = 500;

/// One cluster. Cheap to clone; clones share the connections.
#[derive(Clone)]
pub struct Cluster {
    pub(super) shared: Arc<Shared>,
}

pub(super) struct Shared {
    /// Watches, reads and reviews.
    pub(super) watch: kube::Client,
    /// Log streams, in a pool of their own: one connection each, and never in the way of a watch.
    pub(super) log: kube::Client,
    /// For people.
    name: String,
    /// Host and port, for errors.
    pub(super) server: String,
}

/// A state of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// Which object: one that is deleted and made again is another.
    pub uid: String,
    /// `metadata.generation`; 0 for kinds that have none.
    pub generation: i64,
    /// Of a CronJob: the uid of its newest Job, if it has one.
    pub run: Option<String>,
}

/// A kind of object that stands in a namespace and can be read.
pub trait Object:
    kube::Resource<Scope = NamespaceResourceScope, DynamicType = ()>
    + Clone
    + std::fmt::Debug
    + serde::de::DeserializeOwned
{
}

impl<K> Object for K where
    K: kube::Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + std::fmt::Debug
        + serde::de::DeserializeOwned
{
}

impl Cluster {
    /// Finds the configuration and prepares the connections: the given kubeconfig, `KUBECONFIG`,
    /// the pod's service account, then the default kubeconfig. Nothing is sent yet; ask for
    /// [`Cluster::version`] to see whether the server answers.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] names the place that was read and what to do.
    pub async fn connect(options: &ClusterOptions) -> Result<Cluster, Error> {
        let found = connect::find(options).await?;
        let server = connect::server_of(&found.config);
        let build = || {
            connect::client(&found.config).map_err(|error| Error::Config {
                origin: found.name.clone(),
                reason: connect::unbuilt(&found.config, &error),
            })
        };
        let (watch, log) = (build()?, build()?);
        Ok(Cluster { shared: Arc::new(Shared { watch, log, name: found.name, server }) })
    }

    /// Takes ready clients, for a simulated cluster behind pipes and for tests.
    pub fn from_client(
        watch_client: kube::Client,
        log_client: kube::Client,
        name: &str,
    ) -> Cluster {
        let (name, server) = (name.to_owned(), name.to_owned());
        Cluster { shared: Arc::new(Shared { watch: watch_client, log: log_client, name, server }) }
    }

    /// The context of the kubeconfig, or the server's host: a name for people.
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// Host and port of the API server, as errors name it.
    pub fn server(&self) -> &str {
        &self.shared.server
    }

    /// The namespace of the kubeconfig's context, or the pod's own, or `default`.
    pub fn default_namespace(&self) -> &str {
        self.shared.watch.default_namespace()
    }

    /// The API server's version, such as `v1.37.2`: a cheap proof that it answers and accepts our
    /// credentials.
    ///
    /// # Errors
    ///
    /// Names the server and what to do.
    pub async fn version(&self) -> Result<String, Error> {
        let version = self.shared.watch.apiserver_version();
        Ok(self.asked("get /version", version).await?.git_version)
    }

    /// Whether the API server calls itself ready. A refusal is believed only while it does: for a
    /// second after its start it refuses everybody.
    pub async fn ready(&self) -> bool {
        let Ok(request) = Request::get("/readyz").body(Vec::new()) else { return false };
        self.asked("get /readyz", self.shared.watch.request_text(request)).await.is_ok()
    }

    /// Reads one pod, from a quorum, never from a cache. `None` if there is none.
    ///
    /// # Errors
    ///
    /// Any answer but the pod and 404, or none within 10 s.
    pub async fn get_pod(&self, namespace: &str, name: &str) -> Result<Option<Pod>, Error> {
        let api: Api<Pod> = Api::namespaced(self.shared.watch.clone(), namespace);
        self.asked("get pods", api.get_opt(name)).await
    }

    /// Reads all pods with these labels, from a quorum, page by page.
    ///
    /// # Errors
    ///
    /// Any answer but the pods, or none within 10 s.
    pub async fn pods_with(&self, namespace: &str, selector: &str) -> Result<Vec<Pod>, Error> {
        let api: Api<Pod> = Api::namespaced(self.shared.watch.clone(), namespace);
        // Without a version the list is from a quorum, as a read is.
        let mut params = ListParams::default().labels(selector).limit(PAGE);
        let look = async {
            let mut pods = Vec::new();
            loop {
                let page = api.list(&params).await?;
                pods.extend(page.items);
                match page.metadata.continue_.filter(|token| !token.is_empty()) {
                    Some(token) => params.continue_token = Some(token),
                    None => return Ok(pods),
                }
            }
        };
        self.asked("list pods", look).await
    }

    /// Which object a workload is now, and in which generation: from a quorum, never from a cache. `None`
    /// if there is none.
    ///
    /// # Errors
    ///
    /// Any answer but the object and 404, or none within 10 s.
    pub async fn version_of(&self, workload: &WorkloadId) -> Result<Option<Version>, Error> {
        match workload.kind {
            Kind::Deployment => self.version_as::<Deployment>(workload).await,
            Kind::StatefulSet => self.version_as::<StatefulSet>(workload).await,
            Kind::DaemonSet => self.version_as::<DaemonSet>(workload).await,
            Kind::Job => self.version_as::<Job>(workload).await,
            Kind::CronJob => match self.version_as::<CronJob>(workload).await? {
                Some(version) => {
                    let run = self.newest_job(&workload.namespace, &version.uid).await?;
                    Ok(Some(Version { run, ..version }))
                }
                None => Ok(None),
            },
            Kind::Rollout => self.version_as::<Rollout>(workload).await,
            Kind::Pod => self.version_as::<Pod>(workload).await,
        }
    }

    /// The uid of the newest Job that a CronJob owns. No label says which those are, and its own status
    /// lists only those that run, a moment later: so all of the namespace are looked through, page by
    /// page, within the time that any request has.
    async fn newest_job(&self, namespace: &str, owner: &str) -> Result<Option<String>, Error> {
        let api: Api<Job> = Api::namespaced(self.shared.watch.clone(), namespace);
        // Without a version the list is from a quorum, as a read is.
        let mut params = ListParams::default().limit(PAGE);
        let look = async {
            let mut newest = None;
            loop {
                let page = api.list_metadata(&params).await?;
                for job in page.items {
                    let meta = job.metadata;
                    let owners = meta.owner_references.unwrap_or_default();
                    if owners.iter().any(|it| it.uid == *owner && it.controller == Some(true)) {
                        // The name decides between those of one second, as it does in `watch`.
                        let created = meta.creation_timestamp.as_ref().map(nanos);
                        newest = newest.max(Some((created, meta.name, meta.uid)));
                    }
                }
                match page.metadata.continue_.filter(|token| !token.is_empty()) {
                    Some(token) => params.continue_token = Some(token),
                    None => return Ok(newest.and_then(|(_, _, uid)| uid)),
                }
            }
        };
        self.asked("list jobs", look).await
    }

    /// Reads one workload, from a quorum, never from a cache. `None` if there is none.
    ///
    /// # Errors
    ///
    /// Any answer but the object and 404, or none within 10 s.
    pub async fn get<K: Object>(&self, workload: &WorkloadId) -> Result<Option<K>, Error> {
        let api: Api<K> = Api::namespaced(self.shared.watch.clone(), &workload.namespace);
        self.asked(&format!("get {}", K::plural(&())), api.get_opt(&workload.name)).await
    }

    async fn version_as<K: Object>(&self, workload: &WorkloadId) -> Result<Option<Version>, Error> {
        let api: Api<K> = Api::namespaced(self.shared.watch.clone(), &workload.namespace);
        let action = format!("get {}", K::plural(&()));
        let object = self.asked(&action, api.get_metadata_opt(&workload.name)).await?;
        Ok(object.map(|object| Version {
            uid: object.metadata.uid.unwrap_or_default(),
            generation: object.metadata.generation.unwrap_or(0),
            run: None,
        }))
    }

    /// An annotation of a namespace, if it has it.
    ///
    /// # Errors
    /// If the namespace cannot be read.
    pub async fn namespace_annotation(
        &self,
        name: &str,
        annotation: &str,
    ) -> Result<Option<String>, Error> {
        let api: Api<Namespace> = Api::all(self.shared.watch.clone());
        let namespace = self.asked("get namespaces", api.get_opt(name)).await?;
        let annotations = namespace.and_then(|namespace| namespace.metadata.annotations);
        Ok(annotations.and_then(|mut annotations| annotations.remove(annotation)))
    }

    /// Bounds a short request and sorts its error.
    pub(super) async fn asked<T>(
        &self,
        action: &str,
        request: impl Future<Output = Result<T, kube::Error>>,
    ) -> Result<T, Error> {
        let server = &self.shared.server;
        match tokio::time::timeout(ANSWER_LIMIT, request).await {
            Ok(answer) => answer.map_err(|error| Error::from_kube(server, action, error)),
            Err(_) => Err(Error::TooSlow { server: server.clone(), limit: ANSWER_LIMIT }),
        }
    }
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster").field("name", &self.shared.name).finish_non_exhaustive()
    }
}
