//! A reader of everything that passes between the service and the API server: it speaks to the one in
//! plain HTTP and to the other as the cluster's administrator, and notes which lines the kubelets
//! served. What they never served is their loss, not ours.

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt as _;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, BodyStream, StreamBody};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use kube::client::Body;
use parking_lot::Mutex;
use rollcast::sim::{Sim, read_numbered};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::disk::Given;

/// The running tap. Dropping it ends it.
pub struct Tap {
    /// For the service.
    pub kubeconfig: PathBuf,
    given: Arc<Mutex<Given>>,
    task: JoinHandle<()>,
}

type Answer = UnsyncBoxBody<Bytes, <Body as http_body::Body>::Error>;

// === impl Tap ===

impl Tap {
    /// Listens on loopback, before the cluster under test.
    pub async fn start(name: &str) -> Self {
        let client = kube::Client::try_from(kube::Config::infer().await.unwrap()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let file = format!("rollcast-e2e-tap-{name}-{}.conf", std::process::id());
        let kubeconfig = std::env::temp_dir().join(file);
        std::fs::write(&kubeconfig, Sim::kubeconfig(address)).unwrap();
        let given = Arc::new(Mutex::new(Given::new()));
        let noted = given.clone();
        let task = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (client, noted) = (client.clone(), noted.clone());
                let service =
                    service_fn(move |request| pass(client.clone(), noted.clone(), request));
                let connection = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(socket), service);
                tokio::spawn(connection);
            }
        });
        Tap { kubeconfig, given, task }
    }

    /// The lines that were served so far.
    pub fn given(&self) -> Given {
        self.given.lock().clone()
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.task.abort();
        let _ = std::fs::remove_file(&self.kubeconfig);
    }
}

async fn pass(
    client: kube::Client,
    given: Arc<Mutex<Given>>,
    request: Request<Incoming>,
) -> Result<Response<Answer>, Infallible> {
    let log = log_of(request.uri().path(), request.uri().query().unwrap_or_default());
    let (mut parts, body) = request.into_parts();
    // Names of this hop: the next has its own.
    parts.headers.remove("host");
    parts.headers.remove("connection");
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let request = Request::from_parts(parts, Body::from(body.to_vec()));
    let response = match client.send(request).await {
        Ok(response) => response,
        Err(error) => {
            let text = Body::from(error.to_string().into_bytes());
            let mut response = Response::new(text.boxed_unsync());
            *response.status_mut() = http::StatusCode::BAD_GATEWAY;
            return Ok(response);
        }
    };
    let (mut parts, body) = response.into_parts();
    parts.headers.remove("transfer-encoding");
    let Some(log) = log else { return Ok(Response::from_parts(parts, body.boxed_unsync())) };
    let mut rest = Vec::new();
    let noted = BodyStream::new(body).map(move |frame| {
        let data = frame?.into_data().unwrap_or_default();
        note(&mut rest, &data, &mut given.lock(), &log);
        Ok(Frame::data(data))
    });
    Ok(Response::from_parts(parts, StreamBody::new(noted).boxed_unsync()))
}

/// Pod and container of a log request.
fn log_of(path: &str, query: &str) -> Option<(String, String)> {
    let pod = path.strip_suffix("/log")?.rsplit('/').next()?.to_owned();
    let named = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "container");
    Some((pod, named?.1.into_owned()))
}

/// Notes the numbered lines that these bytes complete.
fn note(rest: &mut Vec<u8>, data: &[u8], given: &mut Given, log: &(String, String)) {
    rest.extend_from_slice(data);
    let Some(end) = memchr::memrchr(b'\n', rest) else { return };
    let given = given.entry(log.clone()).or_default();
    for line in rest[..end].split(|byte| *byte == b'\n') {
        let begin = memchr::memmem::find(line, b" W1 ").map_or(0, |at| at + 1);
        if let Some(line) = read_numbered(&line[begin..]) {
            given.insert((line.source.to_owned(), line.stream, line.number));
        }
    }
    rest.drain(..=end);
}
