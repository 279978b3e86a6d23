//! How clients reach the simulated API server: any byte stream, a TCP listener, or pipes in memory.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{HeaderValue, Request, Response, header};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use kube::client::Body as ClientBody;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Sim;
use super::api;
use super::shared::Shared;

/// Bytes that a pipe holds in each direction, as a socket's buffer does.
const PIPE_BYTES: usize = 64 * 1024;

/// A service for [`kube::Client::new`] that reaches the simulation by pipes in memory: a new
/// connection for each request, as kube's HTTP/1.1 connections are for as long as one is busy.
#[derive(Clone)]
pub struct PipeService {
    shared: Arc<Shared>,
    tasks: TaskTracker,
}

/// Why a request over a pipe got no answer.
pub type PipeError = Box<dyn std::error::Error + Send + Sync>;

// === impl Sim ===

impl Sim {
    /// Speaks HTTP/1.1 over any byte stream until the client closes it, or an outage cuts it.
    pub async fn serve_connection<I>(&self, io: I)
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        serve(self.shared.clone(), io).await;
    }

    /// Serves a listener until the token is cancelled; then open connections are cut.
    pub async fn listen(&self, listener: TcpListener, stop: CancellationToken) {
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = stop.cancelled() => return,
            };
            // Out of file descriptors, or the client is gone already: the next may do better.
            let Ok((socket, _)) = accepted else {
                tokio::task::yield_now().await;
                continue;
            };
            if self.shared.faults.lock().refuses() {
                continue;
            }
            let _ = socket.set_nodelay(true);
            let (shared, stop) = (self.shared.clone(), stop.clone());
            self.tasks.spawn(async move {
                tokio::select! {
                    () = serve(shared, socket) => {}
                    () = stop.cancelled() => {}
                }
            });
        }
    }

    /// A service for `kube::Client::new(service, "default")`, over pipes in memory.
    pub fn pipe_service(&self) -> PipeService {
        PipeService { shared: self.shared.clone(), tasks: self.tasks.clone() }
    }

    /// A client over pipes in memory.
    pub fn client(&self) -> kube::Client {
        kube::Client::new(self.pipe_service(), "default")
    }

    /// The configuration of a client over TCP; `address` is where [`Sim::listen`] listens.
    pub fn config(address: std::net::SocketAddr) -> Option<kube::Config> {
        Some(kube::Config::new(format!("http://{address}").parse().ok()?))
    }

    /// A kubeconfig for clients over TCP, as YAML (JSON is YAML).
    pub fn kubeconfig(address: std::net::SocketAddr) -> String {
        serde_json::json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "sim",
            "clusters": [{"name": "sim", "cluster": {"server": format!("http://{address}")}}],
            "users": [{"name": "sim", "user": {}}],
            "contexts": [{"name": "sim", "context": {"cluster": "sim", "user": "sim"}}],
        })
        .to_string()
    }
}

async fn serve<I>(shared: Arc<Shared>, io: I)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let cut = shared.connections.lock().clone();
    shared.counters.lock().requests.connections_open += 1;
    let counted = Counted(shared.clone());
    let service = service_fn(move |request: Request<Incoming>| {
        let shared = shared.clone();
        async move { Ok::<_, Infallible>(api::answer(shared, request).await) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        // Idle connections are the client's business, and paused time would end them at once.
        .header_read_timeout(None)
        .serve_connection(TokioIo::new(io), service);
    tokio::select! {
        // A broken connection is what faults are for; nobody is to be told.
        _ = connection => {}
        () = cut.cancelled() => {}
    }
    drop(counted);
}

/// Counts a connection while it is open.
struct Counted(Arc<Shared>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.counters.lock().requests.connections_open -= 1;
    }
}

// === impl PipeService ===

impl tower::Service<Request<ClientBody>> for PipeService {
    type Response = Response<Incoming>;
    type Error = PipeError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<ClientBody>) -> Self::Future {
        let (shared, tasks) = (self.shared.clone(), self.tasks.clone());
        Box::pin(async move {
            if shared.faults.lock().refuses() {
                let asked = format!("{} {}", request.method(), request.uri().path());
                *shared.counters.lock().requests.refused.entry(asked).or_default() += 1;
                return Err(io::Error::from(io::ErrorKind::ConnectionRefused).into());
            }
            let (near, far) = tokio::io::duplex(PIPE_BYTES);
            tasks.spawn(serve(shared, far));
            let (mut sender, connection) =
                hyper::client::conn::http1::handshake(TokioIo::new(near)).await?;
            tasks.spawn(async move {
                // Its end reaches the request's own future or body.
                let _ = connection.await;
            });
            request.headers_mut().insert(header::HOST, HeaderValue::from_static("sim"));
            Ok(sender.send_request(request).await?)
        })
    }
}
