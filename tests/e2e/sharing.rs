//! One log stream at the API server, whatever the number of viewers.

use std::time::Duration;

use crate::cluster::{eventually, kubectl, namespace};
use crate::reader::sum_of;
use crate::service::{Service, stream, stream_path};
use crate::writers::Writers;

/// Log streams that are open at the API server, as it counts them itself.
fn log_streams() -> f64 {
    let text = kubectl(&["get", "--raw", "/metrics"]);
    let labels = ["resource=\"pods\"", "subresource=\"log\""];
    sum_of(&text, "apiserver_longrunning_requests", &labels)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_viewers_of_one_pod_cost_one_log_stream_at_the_api_server() {
    let Some(namespace) = namespace("sharing") else { return };
    let web = Writers { name: "web", replicas: 1, run: "shared", options: "--rate 50" };
    namespace.apply(&web.object());
    namespace.rolled_out("web");
    let options = ["--namespace", &namespace.name, "--follower-linger", "1s"];
    // The service records by itself until the rollout counts as good: by the same one stream.
    let before = log_streams();
    let service = Service::open("sharing", &options).await;
    let path = format!("{}?since=1h", stream_path(&namespace.name, "web"));
    let mut viewers = Vec::new();
    for _ in 0..200 {
        viewers.push(stream(service.address, &path, &[]).await);
    }
    for viewer in &mut viewers {
        for _ in 0..50 {
            viewer.until("log").await;
        }
    }
    assert_eq!(log_streams() - before, 1.0, "streams of 200 viewers");
    drop(viewers);
    // The last viewer is gone, and with it, after a while, the stream.
    eventually("the stream's end", Duration::from_secs(15), async || {
        (log_streams() - before < 0.5).then_some(())
    })
    .await;
}
