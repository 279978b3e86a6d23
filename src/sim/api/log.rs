//! `GET …/pods/{name}/log`: which attempt's log, and its bytes.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderValue, Response, StatusCode, header};
use serde_json::json;

use super::body::{Body, full, streaming};
use super::list::named;
use super::query::Query;
use super::status::Failure;
use crate::ids::ContainerKind;
use crate::sim::faults::Ask;
use crate::sim::logs::{Log, ReadOptions, Reader, Step};
use crate::sim::pod::{Pod, State};
use crate::sim::resource::Resource;
use crate::sim::shared::Shared;
use crate::sim::world::World;
use crate::time::{SECOND, parse_stamp};

/// Bytes of one piece; the kubelet's copy buffer has as many.
const PIECE: usize = 32 * 1024;

/// How long the API server tries to reach a kubelet.
const DIAL_TIMEOUT: Duration = Duration::from_secs(10);

/// What the kubelet gives.
enum Source {
    /// No node has the pod yet.
    Nothing,
    /// The log of an attempt.
    Log(Arc<Log>),
    /// The runtime has removed it.
    Collected(String),
}

struct Stream {
    log: Arc<Log>,
    reader: Reader,
    follow: bool,
    /// How long after the container's end the follow notices it.
    end_after: Option<Duration>,
}

/// Answers a log request.
pub(super) fn log(
    shared: &Arc<Shared>,
    ask: &Ask,
    query: &Query,
    seed: u64,
) -> Result<Response<Body>, Failure> {
    let (_, name) = named(ask)?;
    let namespace = ask.namespace.as_deref().unwrap_or_default();
    let (source, options, most) = shared.with(|world| {
        let options = options(query, name, world.now)?;
        let source = find(world, namespace, name, ask.container.as_deref(), query.flag("previous"));
        Ok::<_, Failure>((source?, options, world.options.follow_end_within))
    })?;
    let log = match source {
        Source::Nothing => {
            let mut response = Response::new(full(Bytes::new()));
            *response.status_mut() = StatusCode::NO_CONTENT;
            return Ok(response);
        }
        Source::Collected(text) => return Ok(respond(full(text.into()))),
        Source::Log(log) => log,
    };
    let reader = Reader::open(&log, &options);
    // The kubelet looks once a second whether the container still runs; one that is known to have
    // ended keeps nobody waiting.
    let waits = options.follow && !log.ended();
    let end_after = waits.then(|| most.mul_f64(fastrand::Rng::with_seed(seed).f64()));
    let stream = Stream { log, reader, follow: options.follow, end_after };
    Ok(respond(streaming(stream::unfold(stream, |mut stream| async {
        let piece = stream.next().await?;
        Some((Ok(piece), stream))
    }))))
}

/// The node of the pod that a log request names.
pub(super) fn node_of(shared: &Arc<Shared>, ask: &Ask) -> Option<String> {
    let key = (ask.namespace.as_deref()?.into(), ask.name.as_deref()?.into());
    shared.with(|world| {
        let pod = world.pods.get(world.pod_names.get(&key)?)?;
        pod.node.as_ref().map(|node| node.to_string())
    })
}

/// The API server's connection to a kubelet: over a cut network it waits, and then gives up.
pub(super) async fn reach(shared: &Arc<Shared>, node: &str, ask: &Ask) -> Result<(), Failure> {
    let left = || shared.with(|world| world.cut_off_for(node));
    let Some(time) = left() else { return Ok(()) };
    tokio::time::sleep(time.min(DIAL_TIMEOUT)).await;
    if left().is_none() {
        return Ok(());
    }
    let word = |word: &Option<String>| word.clone().unwrap_or_default();
    let (namespace, name, container) =
        (word(&ask.namespace), word(&ask.name), word(&ask.container));
    Err(Failure::internal(&format!(
        "Get \"https://{node}:10250/containerLogs/{namespace}/{name}/{container}\": dial tcp \
         {node}:10250: i/o timeout"
    )))
}

fn respond(body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    let plain = HeaderValue::from_static("text/plain");
    response.headers_mut().insert(header::CONTENT_TYPE, plain);
    response
}

fn options(query: &Query, pod: &str, now: i64) -> Result<ReadOptions, Failure> {
    let invalid =
        |key: &str, why: &str| Failure::invalid(("PodLogOptions", json!({"name": pod})), key, why);
    let number = |key: &str, least: i64| match query.number(key) {
        None => Ok(None),
        Some(Ok(number)) if number >= least => Ok(Some(number)),
        Some(Ok(number)) => {
            let bound = if least == 0 { "or equal to 0" } else { "0" };
            let why = format!("Invalid value: {number}: must be greater than {bound}");
            Err(invalid(key, &why))
        }
        Some(Err(())) => Err(Failure::no_number(query.get(key).unwrap_or_default())),
    };
    let since_time = match query.get("sinceTime") {
        None => None,
        Some(text) => match parse_stamp(text.as_bytes()) {
            // The API server hands on whole seconds only.
            Some((time, length)) if length == text.len() => Some(time.div_euclid(SECOND) * SECOND),
            _ => {
                let form = "2006-01-02T15:04:05Z07:00";
                let why = format!("cannot parse \"{text}\" as \"2006\"");
                let message = format!("parsing time \"{text}\" as \"{form}\": {why}");
                return Err(Failure::bad_request(message));
            }
        },
    };
    let since_seconds = number("sinceSeconds", 1)?;
    if since_time.is_some() && since_seconds.is_some() {
        let why = "at most one of `sinceTime` or `sinceSeconds` may be specified";
        return Err(invalid("[]", &format!("Forbidden: {why}")));
    }
    Ok(ReadOptions {
        follow: query.flag("follow"),
        timestamps: query.flag("timestamps"),
        since: since_time.or(since_seconds.map(|seconds| now - seconds * SECOND)),
        tail: number("tailLines", 0)?.map(i64::unsigned_abs),
        limit: number("limitBytes", 1)?.map(i64::unsigned_abs),
    })
}

/// Picks the attempt as the kubelet does (`validateContainerLogStatus`), by its own truth and not by
/// what the API shows.
fn find(
    world: &World,
    namespace: &str,
    name: &str,
    container: Option<&str>,
    previous: bool,
) -> Result<Source, Failure> {
    let pod = world
        .pod_names
        .get(&(namespace.into(), name.into()))
        .and_then(|id| world.pods.get(id))
        .ok_or_else(|| Failure::not_found(Resource::Pods, name))?;
    let at = pick(pod, name, container)?;
    if pod.scheduled.is_none() {
        return Ok(Source::Nothing);
    }
    let (run, container) = (&pod.runs[at], &pod.spec(at).name);
    if previous {
        let wanted = run.last.as_ref().map(|end| end.id.clone());
        let Some(id) = wanted else {
            return Err(Failure::bad_request(format!(
                "previous terminated container \"{container}\" in pod \"{name}\" not found"
            )));
        };
        if run.id.as_ref() == Some(&id)
            && let Some(log) = &run.log
        {
            return Ok(Source::Log(log.clone()));
        }
        return Ok(match &run.previous {
            Some((kept, log)) if *kept == id => Source::Log(log.clone()),
            _ => Source::Collected(format!(
                "unable to retrieve container logs for containerd://{id}"
            )),
        });
    }
    if let Some(log) = &run.log {
        return Ok(Source::Log(log.clone()));
    }
    let why = match &run.state {
        State::Waiting { reason: "ErrImagePull", .. } => "image can't be pulled",
        State::Waiting { reason: "ImagePullBackOff", .. } => "trying and failing to pull image",
        State::Waiting { reason, .. } => reason,
        _ => "no logs yet",
    };
    Err(Failure::bad_request(format!(
        "container \"{container}\" in pod \"{name}\" is waiting to start: {why}"
    )))
}

fn pick(pod: &Pod, name: &str, container: Option<&str>) -> Result<usize, Failure> {
    if let Some(container) = container {
        return pod.find(container).ok_or_else(|| {
            Failure::bad_request(format!("container {container} is not valid for pod {name}"))
        });
    }
    let names = |init: bool| -> Vec<&str> {
        let containers = pod.template.containers.iter();
        containers
            .filter(|one| matches!(one.kind, ContainerKind::Init | ContainerKind::Sidecar) == init)
            .map(|one| one.name.as_str())
            .collect()
    };
    let (apps, init) = (names(false), names(true));
    if let [only] = &apps[..] {
        return pod.find(only).ok_or_else(Failure::no_such_path);
    }
    let mut message = format!(
        "a container name must be specified for pod {name}, choose one of: [{}]",
        apps.join(" ")
    );
    if !init.is_empty() {
        message += &format!(" or one of the init containers: [{}]", init.join(" "));
    }
    Err(Failure::bad_request(message))
}

// === impl Stream ===

impl Stream {
    async fn next(&mut self) -> Option<Bytes> {
        let log = self.log.clone();
        loop {
            let changed = log.changed();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let mut out = Vec::new();
            match self.reader.step(&log, &mut out, PIECE) {
                Step::Data => return Some(out.into()),
                Step::Wait => changed.await,
                Step::End => {
                    let after = self.end_after.take().filter(|_| self.follow && log.ended())?;
                    tokio::time::sleep(after).await;
                }
            }
        }
    }
}
