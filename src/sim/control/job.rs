//! Jobs, CronJobs, and pods without a workload.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::template;
use crate::sim::kubelet::PodRequest;
use crate::sim::pod::{Owner, Phase};
use crate::sim::resource::Resource;
use crate::sim::spec::{BarePod, CronJob, Job};
use crate::sim::store::Name;
use crate::sim::world::{Action, World};
use crate::time::{SECOND, rfc3339_seconds};

/// All Jobs.
pub(in crate::sim) type Jobs = BTreeMap<Name, JobState>;
/// All CronJobs.
pub(in crate::sim) type CronJobs = BTreeMap<Name, CronState>;

/// One Job.
#[derive(Debug)]
pub(in crate::sim) struct JobState {
    spec: Job,
    uid: Arc<str>,
    owner: Option<Owner>,
    created: i64,
    finished: Option<(i64, bool)>,
}

/// One CronJob.
#[derive(Debug)]
pub(in crate::sim) struct CronState {
    spec: CronJob,
    uid: Arc<str>,
    created: i64,
    last: Option<i64>,
}

// === impl World ===

impl World {
    pub(super) fn apply_job(&mut self, spec: Job, owner: Option<Owner>) {
        self.ensure_namespace(&spec.namespace);
        let name: Name = (spec.namespace.as_str().into(), spec.name.as_str().into());
        if self.jobs.contains_key(&name) {
            // A Job's template cannot be changed.
            return;
        }
        let (uid, created) = (self.uid(), self.now);
        self.jobs.insert(name.clone(), JobState { spec, uid, owner, created, finished: None });
        self.reconcile_job(&name);
    }

    pub(super) fn apply_pod(&mut self, spec: BarePod) {
        self.ensure_namespace(&spec.namespace);
        let name: Arc<str> = spec.name.as_str().into();
        self.create_pod(PodRequest {
            namespace: spec.namespace.as_str().into(),
            labels: template::labels(&name, &spec.template, &[]),
            name,
            owner: None,
            template: Arc::new(spec.template),
            restarts: true,
            node: None,
        });
    }

    pub(super) fn forget_job(&mut self, name: &Name) -> Vec<Arc<str>> {
        self.jobs.remove(name).map(|state| state.uid).into_iter().collect()
    }

    pub(in crate::sim) fn reconcile_job(&mut self, name: &Name) {
        let Some(mut state) = self.jobs.remove(name) else { return };
        let owner = Owner { kind: Resource::Jobs, name: name.1.clone(), uid: state.uid.clone() };
        let (mut active, mut good, mut bad, mut ready) = (0, 0, 0, 0);
        for pod in self.pods_of(&state.uid).iter().filter_map(|id| self.pods.get(id)) {
            match pod.published.phase {
                Phase::Succeeded => good += 1,
                Phase::Failed => bad += 1,
                _ => active += 1,
            }
            ready += u32::from(pod.published.ready_since.is_some());
        }
        if state.finished.is_none() {
            if good >= state.spec.completions || bad > state.spec.backoff_limit {
                state.finished = Some((self.now, good >= state.spec.completions));
            } else if active == 0 {
                active = 1;
                let pod = format!("{}-{}", name.1, self.suffix(5));
                let revision = [
                    ("batch.kubernetes.io/job-name", &*name.1),
                    ("batch.kubernetes.io/controller-uid", &*state.uid),
                ];
                self.create_pod(PodRequest {
                    namespace: name.0.clone(),
                    name: pod.into(),
                    owner: Some(owner),
                    labels: template::labels(&name.1, &state.spec.template, &revision),
                    template: Arc::new(state.spec.template.clone()),
                    restarts: false,
                    node: None,
                });
            }
        }
        let object = state.render(name, (active, good, bad, ready));
        self.store.put(Resource::Jobs, object);
        if let Some(owner) = state.owner.clone() {
            self.reconcile_soon(owner.kind, &(name.0.clone(), owner.name));
        }
        self.jobs.insert(name.clone(), state);
    }

    pub(super) fn apply_cron_job(&mut self, spec: CronJob) {
        self.ensure_namespace(&spec.namespace);
        let name: Name = (spec.namespace.as_str().into(), spec.name.as_str().into());
        if let Some(state) = self.cron_jobs.get_mut(&name) {
            state.spec = spec;
            self.reconcile_soon(Resource::CronJobs, &name);
            return;
        }
        let (uid, created, every) = (self.uid(), self.now, spec.every);
        self.cron_jobs.insert(name.clone(), CronState { spec, uid, created, last: None });
        self.plan(every / 4, Action::Cron(name.clone()));
        self.reconcile_cron_job(&name);
    }

    pub(super) fn forget_cron_job(&mut self, name: &Name) -> Vec<Arc<str>> {
        self.cron_jobs.remove(name);
        for job in self.jobs_of(name) {
            self.delete(Resource::Jobs, &job);
        }
        Vec::new()
    }

    /// Starts the next Job of a CronJob.
    pub(in crate::sim) fn cron_due(&mut self, name: &Name) {
        let now = self.now;
        let Some(state) = self.cron_jobs.get_mut(name) else { return };
        state.last = Some(now);
        let (every, owner) = (state.spec.every, state.owner(name));
        let job = Job {
            namespace: state.spec.namespace.clone(),
            // Kubernetes takes minutes; ours may be more frequent.
            name: format!("{}-{}", name.1, now / SECOND),
            completions: 1,
            backoff_limit: 1,
            template: state.spec.template.clone(),
        };
        self.apply_job(job, Some(owner));
        self.plan(every, Action::Cron(name.clone()));
        self.reconcile_soon(Resource::CronJobs, name);
    }

    pub(in crate::sim) fn reconcile_cron_job(&mut self, name: &Name) {
        let jobs = self.jobs_of(name);
        let Some(state) = self.cron_jobs.get(name) else { return };
        let (history, uid) = (state.spec.history, state.uid.clone());
        let (done, active): (Vec<_>, Vec<_>) =
            jobs.into_iter().partition(|job| self.jobs[job].finished.is_some());
        for job in done.iter().rev().skip(history) {
            self.delete(Resource::Jobs, job);
        }
        let Some(state) = self.cron_jobs.get(name) else { return };
        let active: Vec<Value> = active
            .iter()
            .map(|job| {
                json!({
                    "kind": "Job", "apiVersion": "batch/v1",
                    "namespace": &*job.0, "name": &*job.1, "uid": &*self.jobs[job].uid,
                })
            })
            .collect();
        let labels = template::labels(&name.1, &state.spec.template, &[]);
        let mut template = template::render(&labels, &state.spec.template);
        template["spec"]["restartPolicy"] = "Never".into();
        let mut status = json!({});
        if !active.is_empty() {
            status["active"] = active.into();
        }
        if let Some(last) = state.last {
            status["lastScheduleTime"] = rfc3339_seconds(last).into();
        }
        let object = json!({
            "apiVersion": "batch/v1", "kind": "CronJob",
            "metadata": {
                "name": &*name.1, "namespace": &*name.0, "uid": &*uid, "generation": 1,
                "creationTimestamp": rfc3339_seconds(state.created), "labels": {"app": &*name.1},
            },
            "spec": {
                "schedule": state.spec.schedule, "concurrencyPolicy": "Allow", "suspend": false,
                "successfulJobsHistoryLimit": history, "failedJobsHistoryLimit": 1,
                "jobTemplate": {"spec": {"template": template}},
            },
            "status": status,
        });
        self.store.put(Resource::CronJobs, object);
    }

    /// Jobs of a CronJob, oldest first.
    fn jobs_of(&self, name: &Name) -> Vec<Name> {
        let owned = |owner: &Owner| owner.kind == Resource::CronJobs && owner.name == name.1;
        let of = |(job, state): (&Name, &JobState)| {
            (job.0 == name.0 && state.owner.as_ref().is_some_and(owned))
                .then(|| (state.created, job.clone()))
        };
        let mut jobs: Vec<_> = self.jobs.iter().filter_map(of).collect();
        jobs.sort();
        jobs.into_iter().map(|(_, job)| job).collect()
    }
}

// === impl JobState ===

impl JobState {
    fn render(&self, name: &Name, (active, good, bad, ready): (u32, u32, u32, u32)) -> Value {
        let labels = template::labels(&name.1, &self.spec.template, &[]);
        let mut template = template::render(&labels, &self.spec.template);
        template["spec"]["restartPolicy"] = "Never".into();
        let mut metadata = json!({
            "name": &*name.1, "namespace": &*name.0, "uid": &*self.uid, "generation": 1,
            "creationTimestamp": rfc3339_seconds(self.created), "labels": {"app": &*name.1},
        });
        if let Some(owner) = &self.owner {
            metadata["ownerReferences"] = owner.render();
        }
        let mut status = json!({"startTime": rfc3339_seconds(self.created), "ready": ready});
        for (key, count) in [("active", active), ("succeeded", good), ("failed", bad)] {
            if count > 0 {
                status[key] = count.into();
            }
        }
        if let Some((at, succeeded)) = self.finished {
            let condition = |kind: &str, reason: &str, message: &str| {
                json!({
                    "type": kind, "status": "True", "reason": reason, "message": message,
                    "lastProbeTime": rfc3339_seconds(at), "lastTransitionTime": rfc3339_seconds(at),
                })
            };
            let (early, end, reason, message) = if succeeded {
                let message = "Reached expected number of succeeded pods";
                ("SuccessCriteriaMet", "Complete", "CompletionsReached", message)
            } else {
                let message = "Job has reached the specified backoff limit";
                ("FailureTarget", "Failed", "BackoffLimitExceeded", message)
            };
            status["conditions"] =
                json!([condition(early, reason, message), condition(end, reason, message)]);
            if succeeded {
                status["completionTime"] = rfc3339_seconds(at).into();
            }
        }
        json!({
            "apiVersion": "batch/v1", "kind": "Job", "metadata": metadata,
            "spec": {
                "completions": self.spec.completions, "parallelism": 1,
                "backoffLimit": self.spec.backoff_limit, "template": template,
                "selector": {"matchLabels": {"batch.kubernetes.io/controller-uid": &*self.uid}},
            },
            "status": status,
        })
    }
}

// === impl CronState ===

impl CronState {
    fn owner(&self, name: &Name) -> Owner {
        let kind = Resource::CronJobs;
        Owner { kind, name: name.1.clone(), uid: self.uid.clone() }
    }
}
