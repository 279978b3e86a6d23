//! A Deployment's lines, complete and in order.

use std::time::Duration;

use crate::cluster::namespace;
use crate::reader::Reader;
use crate::service::{Service, stream_path};
use crate::writers::Writers;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deployments_lines_are_complete_and_in_order_while_they_are_written() {
    let Some(namespace) = namespace("lines") else { return };
    let service = Service::open("lines", &["--namespace", &namespace.name]).await;
    let options = "--rate 600 --lines 3000 --stream both --length 60-300 --hold";
    let web = Writers { name: "web", replicas: 0, run: "live", options };
    namespace.apply(&web.object());
    let path = stream_path(&namespace.name, "web");
    crate::cluster::eventually("the workload", Duration::from_secs(10), async || {
        (service.fetch(&path.replace("/stream", "/rollout"), &[]).await.0 == 200).then_some(())
    })
    .await;
    let reader = Reader::start(service.address, &path, None);
    reader.until("live", Duration::from_secs(10), |heard| !heard.named("live").is_empty()).await;
    namespace.kubectl(&["scale", "deployment/web", "--replicas=3"]);
    reader.lines("live", 9_000, Duration::from_secs(60)).await;
    // Who comes later is given the same from memory; who comes without a journal, from the files.
    let second = Service::open("lines-2", &["--namespace", &namespace.name]).await;
    let late = Reader::start(service.address, &format!("{path}?since=1h"), None);
    let cold = Reader::start(second.address, &format!("{path}?since=1h"), None);
    late.lines("live", 9_000, Duration::from_secs(20)).await;
    cold.lines("live", 9_000, Duration::from_secs(20)).await;
    for (name, reader) in [("live", reader), ("late", late), ("cold", cold)] {
        let heard = reader.stop().await;
        eprintln!("{name}: {} lines", heard.count("live"));
        heard.exactly("live", 6, 1_500);
        heard.without_gaps();
    }
}

/// On one stream only: pieces of long lines on both are mixed up by the kubelet itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn odd_bytes_and_long_lines_arrive_whole() {
    let Some(namespace) = namespace("odd") else { return };
    let options =
        "--rate 200 --lines 1000 --long 50:40000 --odd cr,esc,crlf,nul --partial 25:5 --hold";
    let web = Writers { name: "web", replicas: 1, run: "odd", options };
    namespace.apply(&web.object());
    namespace.rolled_out("web");
    let service = Service::open("odd", &["--namespace", &namespace.name]).await;
    let path = format!("{}?since=1h", stream_path(&namespace.name, "web"));
    let reader = Reader::start(service.address, &path, None);
    reader.lines("odd", 1_000, Duration::from_secs(30)).await;
    let heard = reader.stop().await;
    heard.exactly("odd", 1, 1_000);
    heard.without_gaps();
}
