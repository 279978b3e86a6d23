//! Follows one rollout: does what [`Pursuit`] says, and tells what comes of it.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

use super::ask::{Asker, Stream, Verdict};
use super::event::Event;
use super::exit::End;
use super::pursuit::{Move, News, Pursuit, Refusal, Trouble};
use super::seen::Seen;
use super::sse::{Frame, Reader};

/// Something to show.
#[derive(Clone, Debug, PartialEq)]
pub enum Told {
    /// An event. `state` is how things stand when a stream begins, told beside what happened.
    Event {
        /// The event.
        event: Event,
        /// It is no news.
        state: bool,
    },
    /// An event was too long to be read.
    TooLong,
    /// The server is not heard of, or not well: its words.
    Away(String),
    /// It is heard of again.
    Back,
    /// It refuses the stream, in its words; only the verdict is asked for.
    Unseen(String),
    /// It is over.
    End(End),
}

/// What is told, and about which of the workloads.
pub(super) type Telling = mpsc::Sender<(usize, Told)>;

/// Follows one rollout.
pub(super) struct Chase {
    at: usize,
    asker: Asker,
    pursuit: Pursuit,
    telling: Telling,
    stream: Option<Incoming>,
    reader: Reader,
    frames: VecDeque<Frame>,
    seen: Seen,
    /// What a server is asked to go on behind.
    last_id: Option<String>,
    /// The id of this stream's `hello`: the state is told under the same.
    hello_id: Option<String>,
    away: bool,
}

/// What came of reading on.
enum Came {
    Frame(Frame),
    /// Bytes without a frame of their own.
    Bytes,
    Cut,
}

// === impl Chase ===

impl Chase {
    pub(super) fn new(at: usize, asker: Asker, pursuit: Pursuit, telling: Telling) -> Self {
        Chase {
            at,
            asker,
            pursuit,
            telling,
            stream: None,
            reader: Reader::default(),
            frames: VecDeque::new(),
            seen: Seen::default(),
            last_id: None,
            hello_id: None,
            away: false,
        }
    }

    /// Follows it to its end.
    pub(super) async fn run(mut self) -> End {
        let mut next = self.pursuit.step(News::Begun, Instant::now());
        loop {
            next = match next {
                Move::Open => self.open().await,
                Move::Read => self.read().await,
                Move::Ask(wait) => self.ask(wait).await,
                Move::Rest(pause) => {
                    self.stream = None;
                    sleep(pause).await;
                    self.pursuit.step(News::Rested, Instant::now())
                }
                Move::End(end) => {
                    self.tell(Told::End(end.clone())).await;
                    return end;
                }
            };
        }
    }

    async fn tell(&self, told: Told) {
        // Nobody listens any more: then the end is near.
        let _ = self.telling.send((self.at, told)).await;
    }

    async fn open(&mut self) -> Move {
        self.stream = None;
        (self.reader, self.hello_id) = (Reader::default(), None);
        self.frames.clear();
        let news = match self.asker.stream(self.last_id.as_deref(), &self.pursuit.hold()).await {
            Stream::Open(body) => {
                self.stream = Some(body);
                News::Opened
            }
            Stream::Over => News::Over,
            Stream::Failed(trouble) => self.failed(trouble).await,
            // Whatever was wrong with the id, without it there is an answer.
            Stream::Refused(Refusal { words, for_good: true, .. })
                if self.last_id.take().is_some() =>
            {
                self.failed(Trouble { words, after: None }).await
            }
            Stream::Refused(refusal) => {
                let words = refusal.words.clone();
                let next = self.pursuit.step(News::Refused(refusal), Instant::now());
                if matches!(next, Move::Ask(_)) {
                    self.tell(Told::Unseen(words)).await;
                }
                return next;
            }
        };
        self.pursuit.step(news, Instant::now())
    }

    async fn ask(&mut self, wait: Duration) -> Move {
        self.stream = None;
        let news = match self.asker.verdict(wait, &self.pursuit.hold()).await {
            Verdict::Given(ended) => News::Verdict(ended),
            Verdict::Running(hold) => {
                self.back().await;
                News::Running(hold)
            }
            Verdict::Failed(trouble) => self.failed(trouble).await,
            Verdict::Refused(refusal) => News::Refused(refusal),
        };
        self.pursuit.step(news, Instant::now())
    }

    async fn failed(&mut self, trouble: Trouble) -> News<'static> {
        self.away = true;
        self.tell(Told::Away(trouble.words.clone())).await;
        News::Failed(trouble)
    }

    async fn back(&mut self) {
        if std::mem::take(&mut self.away) {
            self.tell(Told::Back).await;
        }
    }

    async fn read(&mut self) -> Move {
        let frame = match self.next().await {
            Came::Frame(frame) => frame,
            Came::Bytes => return Move::Read,
            Came::Cut => {
                self.stream = None;
                return self.pursuit.step(News::Cut, Instant::now());
            }
        };
        self.back().await;
        match frame {
            Frame::Id(id) => {
                self.last_id = Some(id).filter(|id| !id.is_empty());
                self.pursuit.step(News::Beat, Instant::now())
            }
            Frame::Comment => self.pursuit.step(News::Beat, Instant::now()),
            Frame::Retry(millis) => {
                self.pursuit.set_retry(Duration::from_millis(millis));
                self.pursuit.step(News::Beat, Instant::now())
            }
            Frame::TooLong => {
                self.tell(Told::TooLong).await;
                self.pursuit.step(News::Beat, Instant::now())
            }
            Frame::Event { name, data } => self.event(&name, &data).await,
        }
    }

    async fn event(&mut self, name: &str, data: &str) -> Move {
        let Some(event) = Event::read(name, data) else {
            let words = format!("{} sends what is none of ours", self.asker.reach.server());
            self.stream = None;
            let news = self.failed(Trouble { words, after: None }).await;
            return self.pursuit.step(news, Instant::now());
        };
        let next = self.pursuit.step(News::Event(&event), Instant::now());
        let state = match &event {
            Event::Hello(_) => {
                self.hello_id = self.last_id.clone();
                false
            }
            Event::Log(log) => {
                if log.key.as_deref().is_some_and(|key| !self.seen.is_new(key)) {
                    return next;
                }
                false
            }
            _ => self.hello_id.is_some() && self.hello_id == self.last_id,
        };
        self.tell(Told::Event { event, state }).await;
        next
    }

    /// The next frame, or what else came of reading.
    async fn next(&mut self) -> Came {
        if let Some(frame) = self.frames.pop_front() {
            return Came::Frame(frame);
        }
        let Some(stream) = &mut self.stream else { return Came::Cut };
        let Ok(Some(Ok(part))) = timeout(self.pursuit.silence(), stream.frame()).await else {
            return Came::Cut;
        };
        let bytes = part.into_data().unwrap_or_else(|_| Bytes::new());
        let mut frames = Vec::new();
        self.reader.push(&bytes, &mut frames);
        self.frames.extend(frames);
        self.frames.pop_front().map_or(Came::Bytes, Came::Frame)
    }
}
