//! Bodies of answers, and what faults do to them on the way out.

use std::io;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, BodyStream, Full, StreamBody};

use crate::sim::faults::Effect;
use crate::sim::shared::Open;

/// The body of every answer.
pub(super) type Body = UnsyncBoxBody<Bytes, io::Error>;

/// A pause in which hyper writes out what it has, before the connection breaks.
const FLUSH: Duration = Duration::from_millis(1);

/// A body that is known.
pub(super) fn full(bytes: Bytes) -> Body {
    Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
}

/// A body from a stream of pieces.
pub(super) fn streaming<S>(pieces: S) -> Body
where
    S: Stream<Item = io::Result<Bytes>> + Send + 'static,
{
    BodyExt::boxed_unsync(StreamBody::new(pieces.map(|piece| piece.map(Frame::data))))
}

/// Puts a body under a fault and the orders of its gate, and splits it at odd places if there is a
/// seed for it.
pub(super) fn shape(inner: Body, effect: Option<Effect>, open: Open, odd: Option<u64>) -> Body {
    if open_ended(&effect, &inner) {
        return inner;
    }
    let pieces = BodyStream::new(inner)
        .filter_map(|frame| async move { frame.map(|frame| frame.into_data().ok()).transpose() });
    if let Some(stall @ Effect::Stall(_)) = &effect {
        open.gate.put(stall.clone());
    }
    let (drip, plan) = match effect {
        Some(Effect::Drip(bytes, every)) => (Some((bytes.max(1), every)), None),
        Some(effect) => (None, Plan::of(effect, 0)),
        None => (None, None),
    };
    let odd = odd.map(fastrand::Rng::with_seed);
    let shaped =
        Shaped { pieces: Box::pin(pieces), rest: Bytes::new(), sent: 0, plan, drip, odd, open };
    streaming(stream::unfold(Some(shaped), |shaped| async {
        let mut shaped = shaped?;
        match shaped.next().await? {
            Out::Piece(piece) => Some((Ok(piece), Some(shaped))),
            Out::Last(piece) => Some((Ok(piece), None)),
            Out::Broken => {
                let kind = io::ErrorKind::ConnectionReset;
                Some((Err(io::Error::new(kind, "cut by a fault")), None))
            }
        }
    }))
}

/// A short body that nothing shall happen to keeps its `Content-Length`.
fn open_ended(effect: &Option<Effect>, inner: &Body) -> bool {
    let whole = http_body::Body::size_hint(inner).exact().is_some();
    whole && matches!(effect, None | Some(Effect::Delay(_)))
}

/// What happens to the body after so many bytes.
enum Plan {
    Cut(u64),
    End(u64),
    Hang(u64),
    Say(u64, Bytes),
}

struct Shaped {
    pieces: Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>,
    rest: Bytes,
    sent: u64,
    plan: Option<Plan>,
    drip: Option<(usize, Duration)>,
    odd: Option<fastrand::Rng>,
    open: Open,
}

enum Out {
    Piece(Bytes),
    Last(Bytes),
    Broken,
}

// === impl Plan ===

impl Plan {
    fn of(effect: Effect, sent: u64) -> Option<Plan> {
        match effect {
            Effect::Cut(after) => Some(Plan::Cut(sent + after)),
            Effect::End(after) => Some(Plan::End(sent + after)),
            Effect::Hang(after) => Some(Plan::Hang(sent + after)),
            Effect::InBand(after, text) => Some(Plan::Say(sent + after, text.into())),
            _ => None,
        }
    }

    fn after(&self) -> u64 {
        match self {
            Plan::Cut(after) | Plan::End(after) | Plan::Hang(after) | Plan::Say(after, _) => *after,
        }
    }
}

// === impl Shaped ===

impl Shaped {
    async fn next(&mut self) -> Option<Out> {
        loop {
            match self.open.gate.order() {
                Some(Effect::Drip(bytes, every)) => self.drip = Some((bytes.max(1), every)),
                Some(Effect::Stall(time)) => tokio::time::sleep(time).await,
                Some(order) => self.plan = Plan::of(order, self.sent),
                None => {}
            }
            if self.plan.as_ref().is_some_and(|plan| plan.after() <= self.sent) {
                match self.plan.take()? {
                    Plan::End(_) => return None,
                    Plan::Say(_, text) => return Some(Out::Last(text)),
                    Plan::Hang(_) => std::future::pending().await,
                    Plan::Cut(_) => {
                        tokio::time::sleep(FLUSH).await;
                        return Some(Out::Broken);
                    }
                }
            }
            if !self.rest.is_empty() {
                if let Some((_, every)) = self.drip {
                    tokio::time::sleep(every).await;
                }
                return Some(Out::Piece(self.take()));
            }
            let gate = self.open.gate.clone();
            tokio::select! {
                biased;
                () = gate.wake.notified() => {}
                piece = self.pieces.next() => match piece? {
                    Ok(piece) => self.rest = piece,
                    Err(_) => return Some(Out::Broken),
                },
            }
        }
    }

    /// The next piece of what is there.
    fn take(&mut self) -> Bytes {
        let mut size = self.rest.len();
        if let Some(plan) = &self.plan {
            size = size.min(usize::try_from(plan.after() - self.sent).unwrap_or(size));
        }
        if let Some((bytes, _)) = self.drip {
            size = size.min(bytes);
        } else if let Some(rng) = &mut self.odd
            && size > 1
            && rng.bool()
        {
            size = rng.usize(1..size);
        }
        self.sent += size as u64;
        self.rest.split_to(size)
    }
}
