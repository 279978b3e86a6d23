//! A viewer that takes nothing, over real sockets and so in real time.

use std::time::Duration;

use rollcast::http::serve::{Bounds, Closes, Serving, listen, run};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, sleep};

use crate::world::{STREAM, World, web};

const STALL: Duration = Duration::from_secs(2);

async fn ask(mut socket: TcpStream) -> TcpStream {
    let request =
        format!("GET {STREAM} HTTP/1.1\r\nhost: localhost\r\naccept: text/event-stream\r\n\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    socket
}

#[tokio::test]
async fn a_viewer_that_takes_nothing_is_ended_as_stalled_and_its_neighbour_reads_on() {
    let world = World::new(13);
    // Half a megabyte a second fills small sockets soon.
    world.sim.apply(web(1, 2_000.0, None));
    world.synced().await;
    let listener = listen("127.0.0.1:0".parse().unwrap(), "--listen").unwrap();
    let address = listener.local_addr().unwrap();
    let bounds = Bounds { stall: STALL, ..Bounds::default() };
    let metrics = Some(world.metrics.clone());
    let serving = Serving { bounds, closes: Closes::WhenDraining, metrics };
    let serving = run(listener, world.router.clone(), serving, world.shutdown.clone());
    let viewing = async {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        let silent = ask(socket.connect(address).await.unwrap()).await;
        let mut reader = ask(TcpStream::connect(address).await.unwrap()).await;
        let stalled = "rollcast_stream_duration_seconds_count{end=\"stalled\"}";
        let begun = Instant::now();
        let mut part = vec![0; 64 * 1024];
        while world.exposition.value(stalled) != Some(1.0) {
            assert!(begun.elapsed() < STALL + Duration::from_secs(20), "still open");
            assert!(reader.read(&mut part).await.unwrap() > 0, "the neighbour was ended");
            sleep(Duration::from_millis(5)).await;
        }
        assert!(begun.elapsed() >= STALL, "{:?}", begun.elapsed());
        for _ in 0..10 {
            assert!(reader.read(&mut part).await.unwrap() > 0);
        }
        drop((silent, reader));
        // Who leaves has not stalled.
        let left = "rollcast_stream_duration_seconds_count{end=\"client\"}";
        while world.exposition.value(left) != Some(1.0) {
            sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(world.exposition.value(stalled), Some(1.0));
        world.shutdown.stop();
    };
    tokio::join!(serving, viewing);
}
