//! A server that answers what no server should, by the first part of the path: `/CASE.SHELL/api/…`.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// A head is no longer than this.
const HEAD: usize = 16 << 10;

/// What was asked, and for the how manyth time.
pub struct Asked {
    pub case: String,
    pub is_verdict: bool,
    pub number: usize,
    /// Path and query.
    pub target: String,
    pub head: String,
}

/// A part of an answer; after the last one the connection is closed.
pub enum Step {
    Bytes(Vec<u8>),
    Pause(Duration),
}

/// What is answered.
pub type Answers = fn(&Asked) -> Vec<Step>;

/// The running server.
pub struct Faults {
    pub address: SocketAddr,
    asked: Arc<Mutex<Vec<Arc<Asked>>>>,
}

// === impl Faults ===

impl Faults {
    pub async fn start(answers: Answers) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (seen, counts) = (asked.clone(), Arc::new(Mutex::new(HashMap::new())));
        tokio::spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(socket, answers, seen.clone(), counts.clone()));
            }
        });
        Faults { address, asked }
    }

    pub fn url(&self, case: &str) -> String {
        format!("http://{}/{case}", self.address)
    }

    /// What was asked of a case so far.
    pub fn asked(&self, case: &str) -> Vec<Arc<Asked>> {
        self.asked.lock().iter().filter(|asked| asked.case == case).cloned().collect()
    }
}

type Counts = Arc<Mutex<HashMap<(String, bool), usize>>>;

async fn serve(
    mut socket: TcpStream,
    answers: Answers,
    seen: Arc<Mutex<Vec<Arc<Asked>>>>,
    counts: Counts,
) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") && head.len() < HEAD {
        let Ok(byte) = socket.read_u8().await else { return };
        head.push(byte);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
    let case = target.split('/').nth(1).unwrap_or_default().to_owned();
    let is_verdict = target.contains("/verdict?");
    let number = {
        let mut counts = counts.lock();
        let count = counts.entry((case.clone(), is_verdict)).or_default();
        *count += 1;
        *count
    };
    let asked = Arc::new(Asked { case, is_verdict, number, target, head });
    seen.lock().push(asked.clone());
    for step in answers(&asked) {
        match step {
            // Who has hung up needs no answer.
            Step::Bytes(bytes) => drop(socket.write_all(&bytes).await),
            Step::Pause(time) => tokio::time::sleep(time).await,
        }
    }
    // A connection that is dropped with something unread in it is reset, and the answer lost.
    let _ = socket.shutdown().await;
    let rest = async { while socket.read_u8().await.is_ok() {} };
    let _ = tokio::time::timeout(Duration::from_secs(1), rest).await;
}

/// A whole answer.
pub fn reply(status: &str, headers: &str, body: &str) -> Vec<Step> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n{headers}\r\n"
    );
    vec![Step::Bytes((head + body).into_bytes())]
}

/// Bytes as they are.
pub fn raw(text: &str) -> Vec<Step> {
    vec![Step::Bytes(text.as_bytes().to_vec())]
}
