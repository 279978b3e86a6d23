//! Finds a cluster's configuration and builds the connections to it.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::{Request, Response};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use kube::client::{Body, ConfigExt};
use kube::config::{KubeConfigOptions, Kubeconfig};
use tower::{BoxError, ServiceBuilder};

use super::Error;

/// A connection that is not made by then is given up; the next try follows the caller's back-off.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A silent connection is asked for a sign of life after this long, so that a NAT which forgot the
/// flow, or a machine that vanished, is noticed within a minute. A log may be silent for days.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(30);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_RETRIES: u32 = 3;
/// Bytes we sent that nobody acknowledges end the connection; keepalive alone does not cover them.
const USER_TIMEOUT: Duration = Duration::from_secs(60);
/// hyper's read buffer grows to 408 KiB by default; a thousand busy follows would hold 400 MiB.
const READ_BUFFER: usize = 64 * 1024;
/// Idle connections are closed before the API server's own limit (90 s) can race a request.
const POOL_IDLE: Duration = Duration::from_secs(60);

/// How to find the cluster.
#[derive(Clone, Debug, Default)]
pub struct ClusterOptions {
    /// A kubeconfig file; it goes before everything else.
    pub kubeconfig: Option<PathBuf>,
    /// A context of the kubeconfig instead of its current one. With a context, the pod's service
    /// account is not considered.
    pub context: Option<String>,
}

/// A configuration and the name that people know it by.
pub(super) struct Found {
    pub(super) config: kube::Config,
    pub(super) name: String,
}

/// Why a kubeconfig failed to be read.
type Unread = Box<dyn std::error::Error>;

/// Refuses a kubeconfig in UTF-16, as PowerShell writes it: kube panics at a broken one. Whether
/// the file can be read at all is kube's to say.
fn refuse_utf16(path: &Path) -> Result<(), Unread> {
    let mut mark = [0; 2];
    let read = std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut mark));
    if read.is_ok() && matches!(&mark, b"\xff\xfe" | b"\xfe\xff") {
        let path = path.display();
        return Err(format!("the file {path} is in UTF-16; save it as UTF-8").into());
    }
    Ok(())
}

/// Reads one kubeconfig.
fn read(path: &Path) -> Result<Kubeconfig, Unread> {
    refuse_utf16(path)?;
    Ok(Kubeconfig::read_from(path)?)
}

/// Reads what `KUBECONFIG` lists, if it is set.
fn read_listed() -> Result<Option<Kubeconfig>, Unread> {
    let listed = std::env::var_os("KUBECONFIG").unwrap_or_default();
    std::env::split_paths(&listed).try_for_each(|path| refuse_utf16(&path))?;
    Ok(Kubeconfig::from_env()?)
}

/// Reads the kubeconfig in its usual place.
fn read_usual() -> Result<Kubeconfig, Unread> {
    if let Some(home) = std::env::home_dir() {
        refuse_utf16(&home.join(".kube").join("config"))?;
    }
    Ok(Kubeconfig::read()?)
}

/// Looks for the configuration: the given file, `KUBECONFIG`, the pod's service account, the
/// default kubeconfig.
pub(super) async fn find(options: &ClusterOptions) -> Result<Found, Error> {
    let unusable = |origin: &str, reason: &dyn std::error::Error| Error::Config {
        origin: origin.to_owned(),
        reason: super::error::chain(reason),
    };
    if let Some(path) = &options.kubeconfig {
        let origin = path.display().to_string();
        let file = read(path).map_err(|error| unusable(&origin, &*error))?;
        return from_file(file, options, &origin).await;
    }
    if let Some(file) = read_listed().map_err(|error| unusable("KUBECONFIG", &*error))? {
        return from_file(file, options, "KUBECONFIG").await;
    }
    let in_cluster = std::env::var_os("KUBERNETES_SERVICE_HOST").is_some();
    if in_cluster && options.context.is_none() {
        let config = kube::Config::incluster()
            .map_err(|error| unusable("the pod's service account", &error))?;
        return Ok(Found { name: server_of(&config), config });
    }
    let origin = "the default kubeconfig";
    let file = read_usual().map_err(|error| Error::Config {
        origin: origin.to_owned(),
        reason: format!(
            "{}; name one with --kubeconfig or KUBECONFIG, or try `rollcast demo`, which needs none",
            super::error::chain(&*error)
        ),
    })?;
    from_file(file, options, origin).await
}

async fn from_file(
    file: Kubeconfig,
    options: &ClusterOptions,
    origin: &str,
) -> Result<Found, Error> {
    let unusable = |reason: String| Error::Config { origin: origin.to_owned(), reason };
    let context = options.context.clone().or_else(|| file.current_context.clone());
    let Some(context) = context.filter(|context| !context.is_empty()) else {
        return Err(unusable("it has no current context; name one with --context".to_owned()));
    };
    if !file.contexts.iter().any(|known| known.name == context) {
        let names: Vec<&str> = file.contexts.iter().map(|known| known.name.as_str()).collect();
        return Err(unusable(format!(
            "it has no context \"{context}\"; it has: {}",
            names.join(", ")
        )));
    }
    let proxied = file.clusters.iter().any(|cluster| {
        let chosen = file.contexts.iter().any(|known| {
            known.name == context
                && known.context.as_ref().is_some_and(|known| known.cluster == cluster.name)
        });
        chosen && cluster.cluster.as_ref().is_some_and(|cluster| cluster.proxy_url.is_some())
    });
    if proxied {
        return Err(unusable(format!(
            "context \"{context}\" asks for a proxy (proxy-url), which rollcast does not support; \
             run it where the API server can be reached directly"
        )));
    }
    let wanted = KubeConfigOptions { context: Some(context.clone()), ..Default::default() };
    let config = kube::Config::from_custom_kubeconfig(file, &wanted)
        .await
        .map_err(|error| unusable(super::error::chain(&error)))?;
    Ok(Found { config, name: context })
}

/// Host and port of the configured server.
pub(super) fn server_of(config: &kube::Config) -> String {
    let url = &config.cluster_url;
    url.authority().map_or_else(|| url.to_string(), |authority| authority.as_str().to_owned())
}

/// Why no client could be built. kube does not say which command was to give the credentials.
pub(super) fn unbuilt(config: &kube::Config, error: &kube::Error) -> String {
    let exec = config.auth_info.exec.as_ref();
    match (error, exec.and_then(|exec| exec.command.as_deref())) {
        (kube::Error::Auth(_), Some(command)) => format!(
            "the command {command:?}, which gives this user's credentials, failed: {}; run it by \
             hand to see why",
            super::error::chain(error)
        ),
        _ => super::error::chain(error),
    }
}

/// Builds one client with a connection pool of its own. It neither retries nor logs: a broken log
/// stream is everyday business, and kube's stack would print an ERROR line for each.
pub(super) fn client(config: &kube::Config) -> Result<kube::Client, kube::Error> {
    let mut http = HttpConnector::new();
    http.enforce_http(false);
    http.set_nodelay(true);
    http.set_connect_timeout(Some(CONNECT_TIMEOUT));
    http.set_keepalive(Some(KEEPALIVE_IDLE));
    http.set_keepalive_interval(Some(KEEPALIVE_INTERVAL));
    http.set_keepalive_retries(Some(KEEPALIVE_RETRIES));
    #[cfg(any(target_os = "android", target_os = "fuchsia", target_os = "linux"))]
    http.set_tcp_user_timeout(Some(USER_TIMEOUT));

    let https = config.rustls_https_connector_with_connector(http)?;
    let hyper: legacy::Client<_, Body> = legacy::Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(POOL_IDLE)
        .http1_max_buf_size(READ_BUFFER)
        .build(https);
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .map_err(BoxError::from)
        .service_fn(move |request: Request<Body>| {
            let hyper = hyper.clone();
            async move {
                let response: Response<hyper::body::Incoming> = hyper.request(request).await?;
                Ok::<_, legacy::Error>(response)
            }
        });
    Ok(kube::Client::new(service, config.default_namespace.clone()))
}
