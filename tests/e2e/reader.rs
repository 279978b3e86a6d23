//! Clients that read a stream to its end, and what they make of it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rollcast::sim::read_numbered;
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::client::Event;
use crate::cluster::eventually;
use crate::service;

/// Lines of one stream of one attempt, in the order of their arrival.
#[derive(Clone, Debug, Default)]
pub struct Lines {
    pub run: String,
    pub pod: String,
    pub numbers: Vec<u64>,
    /// Its END line came.
    pub ended: bool,
    /// The side that its last line said.
    pub side: String,
}

/// What a client heard.
#[derive(Clone, Debug, Default)]
pub struct Heard {
    /// By source and standard stream.
    pub lines: BTreeMap<(String, char), Lines>,
    /// Everything else.
    pub events: Vec<Event>,
    /// Times that it came back.
    pub resumed: usize,
    last_seq: u64,
}

/// A client that reads until it is stopped.
pub struct Reader {
    heard: Arc<Mutex<Heard>>,
    task: JoinHandle<()>,
}

/// The sum of a metric over all label sets that contain these labels.
pub fn sum_of(text: &str, name: &str, labels: &[&str]) -> f64 {
    let wanted = |line: &&str| {
        let head = line.split([' ', '{']).next();
        head == Some(name) && labels.iter().all(|label| line.contains(label))
    };
    let values = text.lines().filter(wanted).filter_map(|line| line.rsplit(' ').next());
    values.map(|value| value.parse::<f64>().unwrap()).sum()
}

// === impl Heard ===

impl Heard {
    /// Takes in one event.
    pub fn take(&mut self, event: Event) {
        if event.name != "log" {
            if event.name == "hello" && event.data["resumed"] == "exact" {
                self.resumed += 1;
            }
            self.events.push(event);
            return;
        }
        let seq = event.id.as_deref().unwrap().split('-').nth(1).unwrap().parse().unwrap();
        assert!(seq > self.last_seq, "C3: {event:?} comes after {}", self.last_seq);
        self.last_seq = seq;
        let text = event.data["text"].as_str().unwrap();
        let line = read_numbered(text.as_bytes())
            .unwrap_or_else(|| panic!("C4: a damaged line: {event:?}"));
        let pod = event.data["pod"].as_str().unwrap();
        assert!(line.source.starts_with(pod), "a line of {} is said to be of {pod}", line.source);
        let lines = self.lines.entry((line.source.to_owned(), line.stream)).or_default();
        if lines.numbers.is_empty() {
            (lines.run, lines.pod) = (line.run.to_owned(), pod.to_owned());
        }
        lines.numbers.push(line.number);
        lines.ended |= line.end;
        lines.side.replace_range(.., event.data["side"].as_str().unwrap());
    }

    /// The sources of one run.
    pub fn of_run(&self, run: &str) -> impl Iterator<Item = (&(String, char), &Lines)> {
        self.lines.iter().filter(move |(_, lines)| lines.run == run)
    }

    /// Lines of one run.
    pub fn count(&self, run: &str) -> usize {
        self.of_run(run).map(|(_, lines)| lines.numbers.len()).sum()
    }

    /// Events with this name.
    pub fn named(&self, name: &str) -> Vec<&Value> {
        let named = self.events.iter().filter(|event| event.name == name);
        named.map(|event| &event.data).collect()
    }

    /// C1 to C3 for a run: so many sources, each with exactly the numbers from 0, once, in order.
    #[track_caller]
    pub fn exactly(&self, run: &str, sources: usize, numbers: u64) {
        for (source, lines) in self.of_run(run) {
            contiguous(source, &lines.numbers, 0);
            assert_eq!(lines.numbers.len() as u64, numbers, "lines of {source:?}");
        }
        assert_eq!(self.of_run(run).count(), sources, "sources: {:?}", self.lines.keys());
    }

    /// No gap where nothing is missing.
    #[track_caller]
    pub fn without_gaps(&self) {
        let gaps = self.named("gap");
        assert!(gaps.is_empty(), "C1: gaps where nothing is missing: {gaps:#?}");
    }
}

/// Every number once and in order.
#[track_caller]
pub fn contiguous(source: &(String, char), numbers: &[u64], first: u64) {
    for (expected, number) in (first..).zip(numbers) {
        assert_eq!(expected, *number, "C1/C2/C3: {source:?}: {number} instead of {expected}");
    }
}

// === impl Reader ===

impl Reader {
    /// Reads a stream. With `cuts` it breaks the connection after about so long, again and again, and
    /// comes back with its last id.
    pub fn start(address: SocketAddr, path: &str, cuts: Option<Duration>) -> Self {
        Reader::with_token(address, path, cuts, "")
    }

    /// The same with an `Authorization`.
    pub fn with_token(
        address: SocketAddr,
        path: &str,
        cuts: Option<Duration>,
        token: &str,
    ) -> Self {
        let heard = Arc::new(Mutex::new(Heard::default()));
        let (path, token) = (path.to_owned(), token.to_owned());
        let task = tokio::spawn(read(address, path, token, cuts, heard.clone()));
        Reader { heard, task }
    }

    /// Waits until what was heard satisfies a condition.
    pub async fn until(&self, what: &str, limit: Duration, mut enough: impl FnMut(&Heard) -> bool) {
        eventually(what, limit, async || {
            if self.task.is_finished() {
                panic!("the reader ended while waiting for {what}: {}", self.summary());
            }
            let found = enough(&self.heard.lock());
            found.then_some(())
        })
        .await;
    }

    /// Waits until so many lines of a run have come, then a little for any that should not come.
    pub async fn lines(&self, run: &str, count: usize, limit: Duration) {
        let begin = Instant::now();
        loop {
            let come = self.heard.lock().count(run);
            if come >= count {
                break;
            }
            assert!(
                begin.elapsed() < limit && !self.task.is_finished(),
                "{come} of {count} lines of {run} after {:?}\n{}",
                begin.elapsed(),
                self.summary()
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }

    /// What it heard so far, in few words, for a message.
    pub fn summary(&self) -> String {
        let heard = self.heard.lock();
        let mut out = String::new();
        for ((source, stream), lines) in &heard.lines {
            let (first, last) = (lines.numbers.first(), lines.numbers.last());
            out += &format!(
                "{} {source} {stream}: {} lines {first:?}..{last:?}\n",
                lines.run,
                lines.numbers.len()
            );
        }
        let told = heard.events.iter().filter(|event| event.name != "pod");
        let told: Vec<String> = told.map(|e| format!("{} {}", e.name, e.data)).collect();
        out + &told.join("\n")
    }

    /// Ends it.
    pub async fn stop(self) -> Heard {
        self.task.abort();
        if let Err(error) = self.task.await
            && error.is_panic()
        {
            std::panic::resume_unwind(error.into_panic());
        }
        self.heard.lock().clone()
    }
}

async fn read(
    address: SocketAddr,
    path: String,
    token: String,
    cuts: Option<Duration>,
    heard: Arc<Mutex<Heard>>,
) {
    let mut last: Option<String> = None;
    let mut random = fastrand::Rng::with_seed(1);
    loop {
        let mut headers = Vec::new();
        headers.extend(last.as_deref().map(|id| ("last-event-id", id)));
        headers.extend((!token.is_empty()).then_some(("authorization", &*token)));
        let mut client = service::stream(address, &path, &headers).await;
        client.last_id = last;
        let time = cuts.map_or(Duration::MAX, |mean| mean.mul_f64(0.5 + random.f64()));
        let end = tokio::time::sleep(time.min(Duration::from_secs(3600)));
        tokio::pin!(end);
        loop {
            tokio::select! {
                event = client.next() => match event {
                    Some(event) => heard.lock().take(event),
                    None => return,
                },
                () = &mut end => break,
            }
        }
        last = client.last_id;
    }
}
