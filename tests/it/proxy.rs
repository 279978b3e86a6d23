//! The fault proxy does what it says, over real sockets.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, timeout};
use tokio_util::task::TaskTracker;

use crate::weather::{Proxy, Weather};

/// Bytes that the server answers each connection with.
const ANSWER: usize = 100_000;

/// A server that waits for one byte and answers with many.
async fn server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    TaskTracker::new().spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            TaskTracker::new().spawn(async move {
                let mut asked = [0];
                if socket.read_exact(&mut asked).await.is_ok() {
                    let _ = socket.write_all(&vec![b'x'; ANSWER]).await;
                }
            });
        }
    });
    address
}

/// Asks once; how many bytes came, and whether they ended well.
async fn ask(address: SocketAddr) -> (usize, Option<ErrorKind>) {
    let Ok(mut socket) = TcpStream::connect(address).await else { return (0, None) };
    let _ = socket.write_all(b"?").await;
    let (mut bytes, mut piece) = (0, vec![0; 4096]);
    loop {
        match socket.read(&mut piece).await {
            Ok(0) => return (bytes, None),
            Ok(read) => bytes += read,
            Err(error) => return (bytes, Some(error.kind())),
        }
    }
}

#[tokio::test]
async fn bytes_pass_are_cut_are_slowed_and_are_held() {
    let proxy = Proxy::start(server().await, 1).await;
    assert_eq!(ask(proxy.address).await, (ANSWER, None), "fair weather");

    proxy.set(Weather { cut: (1.0, 5_000..5_001), ..Weather::default() });
    let (bytes, error) = ask(proxy.address).await;
    assert!(bytes <= 5_000 && error == Some(ErrorKind::ConnectionReset), "{bytes} {error:?}");

    proxy.set(Weather { refuse: 1.0, ..Weather::default() });
    let (bytes, error) = ask(proxy.address).await;
    assert!(bytes == 0 && error.is_some(), "{bytes} {error:?}");

    proxy.set(Weather { throttle: (1.0, 200_000..200_001), ..Weather::default() });
    let begin = Instant::now();
    assert_eq!(ask(proxy.address).await, (ANSWER, None));
    assert!(begin.elapsed() > Duration::from_millis(400), "{:?}", begin.elapsed());

    proxy.set(Weather::default());
    proxy.hold(Duration::from_millis(300));
    let begin = Instant::now();
    assert_eq!(ask(proxy.address).await, (ANSWER, None));
    assert!(begin.elapsed() > Duration::from_millis(250), "{:?}", begin.elapsed());

    proxy.hold(Duration::from_secs(3600));
    let asking = ask(proxy.address);
    tokio::pin!(asking);
    assert!(timeout(Duration::from_millis(100), &mut asking).await.is_err());
    proxy.cut();
    let (bytes, error) = timeout(Duration::from_secs(5), asking).await.unwrap();
    assert!(bytes == 0 && error.is_some(), "{bytes} {error:?}");
}
