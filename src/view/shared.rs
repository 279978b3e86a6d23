//! What viewers of one selection share.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::piece::{Behind, Piece, SHARED_BYTES};
use super::viewer::{Begin, Viewer};
use crate::ids::GapReason;
use crate::journal::Journal;
use crate::subscribe::{Cursor, Selection, Shelves};
use crate::telemetry::Metrics;
use crate::watch::Index;
use crate::wire::{Encoder, Format};

/// Shortest and longest time between two pieces. The first record after a quiet time goes out at
/// once; under load a piece gathers what comes within this time, since a send costs the same for
/// one line as for a hundred.
const TICK: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(50));
/// How much longer a tick is for each viewer: a send takes some 10 microseconds, and half of the
/// time should be left for other work.
const TICK_PER_VIEWER: Duration = Duration::from_micros(20);

/// What makes two viewers share a view.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// What they see.
    pub selection: Selection,
    /// How it is written.
    pub format: Format,
}

/// All views of this replica.
#[derive(Clone)]
pub struct Views {
    inner: Arc<Inner>,
}

struct Inner {
    journal: Journal,
    index: Index,
    metrics: Arc<Metrics>,
    tracker: TaskTracker,
    /// Bytes that the pieces of all views may hold, and may hold now.
    max_bytes: usize,
    bound: AtomicUsize,
    bytes: AtomicUsize,
    views: Mutex<HashMap<Key, Weak<View>>>,
}

/// The encoded present of one selection.
pub struct View {
    pub(super) selection: Arc<Selection>,
    pub(super) encoder: Encoder,
    pub(super) journal: Journal,
    pub(super) index: Index,
    pub(super) metrics: Arc<Metrics>,
    pieces: Mutex<Pieces>,
    /// How far the pieces go.
    through: watch::Sender<u64>,
    owner: Weak<Inner>,
    _cutter: DropGuard,
}

#[derive(Default)]
struct Pieces {
    queue: VecDeque<Arc<Piece>>,
    bytes: usize,
}

// === impl Views ===

impl Views {
    /// No views yet; their tasks run on `tracker`.
    pub fn new(
        journal: Journal,
        index: Index,
        metrics: Arc<Metrics>,
        tracker: TaskTracker,
        max_bytes: usize,
    ) -> Self {
        let inner = Inner {
            journal,
            index,
            metrics,
            tracker,
            max_bytes,
            bound: AtomicUsize::new(max_bytes),
            bytes: AtomicUsize::new(0),
            views: Mutex::default(),
        };
        Views { inner: Arc::new(inner) }
    }

    /// A viewer of a selection that reads from behind sequence number `after` on, without lines that
    /// are older than `since`.
    pub fn viewer(&self, key: Key, from: Begin) -> Viewer {
        Viewer::new(self.view(key), from)
    }

    /// Holds the shared pieces at the bytes that they have now, or lets them grow to their limit again.
    /// Who finds no shared piece encodes its own.
    pub fn hold(&self, held: bool) {
        let (most, now) = (self.inner.max_bytes, self.inner.bytes.load(Ordering::Relaxed));
        self.inner.bound.store(if held { now.min(most) } else { most }, Ordering::Relaxed);
    }

    fn view(&self, key: Key) -> Arc<View> {
        let mut views = self.inner.views.lock();
        if let Some(view) = views.get(&key).and_then(Weak::upgrade) {
            return view;
        }
        views.retain(|_, view| view.strong_count() > 0);
        let selection = Arc::new(key.selection.clone());
        let (journal, index) = (&self.inner.journal, &self.inner.index);
        let shelves = Shelves::new(journal, index, &selection.scope);
        let (head, changes) = (shelves.head(), shelves.changes());
        let named = selection.scope.single().is_none();
        let stop = CancellationToken::new();
        let view = Arc::new(View {
            selection: selection.clone(),
            encoder: Encoder { format: key.format, epoch: journal.epoch(), named, again: None },
            journal: journal.clone(),
            index: index.clone(),
            metrics: self.inner.metrics.clone(),
            pieces: Mutex::default(),
            through: watch::Sender::new(head),
            owner: Arc::downgrade(&self.inner),
            _cutter: stop.clone().drop_guard(),
        });
        let cursor = Cursor::new(journal, index, selection, head);
        let cutter = cut(Arc::downgrade(&view), cursor, changes);
        self.inner.tracker.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = cutter => {}
            }
        });
        views.insert(key, Arc::downgrade(&view));
        view
    }
}

/// Encodes what is appended, in ticks, until nobody views it any more.
async fn cut(view: Weak<View>, mut cursor: Cursor, mut changes: watch::Receiver<u64>) {
    loop {
        let start = Instant::now();
        let Some(shared) = view.upgrade() else { return };
        // What is appended from here on wakes it again.
        changes.borrow_and_update();
        while let Some(piece) = cut_shared(&shared, &mut cursor) {
            shared.keep(piece);
            // Told piece by piece: viewers need not wait until appends pause.
            shared.through.send_replace(cursor.after());
            tokio::task::consume_budget().await;
        }
        shared.through.send_replace(cursor.after());
        let tick = TICK_PER_VIEWER * u32::try_from(shared.through.receiver_count()).unwrap_or(0);
        drop(shared);
        sleep_until(start + tick.clamp(TICK.0, TICK.1)).await;
        if changes.changed().await.is_err() {
            return;
        }
    }
}

fn cut_shared(view: &View, cursor: &mut Cursor) -> Option<Piece> {
    let behind = Behind { reason: GapReason::HistoryEvicted, read: None };
    Piece::cut(cursor, view.encoder, SHARED_BYTES, None, behind, &view.metrics)
}

// === impl View ===

impl View {
    /// How far the shared pieces go; wakes when they go further.
    pub(super) fn progress(&self) -> watch::Receiver<u64> {
        self.through.subscribe()
    }

    /// The last sequence number of what it shows, encoded or not.
    pub(super) fn last(&self) -> u64 {
        Shelves::new(&self.journal, &self.index, &self.selection.scope).last()
    }

    /// The shared piece that holds the record behind `after`, if one does.
    pub(super) fn piece(&self, after: u64) -> Option<Arc<Piece>> {
        let pieces = self.pieces.lock();
        let index = pieces.queue.partition_point(|piece| piece.through <= after);
        pieces.queue.get(index).filter(|piece| piece.after <= after).cloned()
    }

    fn keep(&self, piece: Piece) {
        let Some(owner) = self.owner.upgrade() else { return };
        // Each view gives up its own oldest pieces, so a busy view cannot push out all of a quiet
        // one's. Each keeps its newest, however large.
        let bound = owner.bound.load(Ordering::Relaxed);
        let fair = bound / owner.views.lock().len().max(1);
        let cost = piece.cost();
        let mut pieces = self.pieces.lock();
        pieces.queue.push_back(Arc::new(piece));
        pieces.bytes += cost;
        let mut total = owner.bytes.fetch_add(cost, Ordering::Relaxed) + cost;
        while (pieces.bytes > fair || total > bound) && pieces.queue.len() > 1 {
            let Some(oldest) = pieces.queue.pop_front() else { break };
            pieces.bytes -= oldest.cost();
            total = owner.bytes.fetch_sub(oldest.cost(), Ordering::Relaxed) - oldest.cost();
        }
        self.metrics.view_bytes.set(total as u64);
    }
}

impl Drop for View {
    fn drop(&mut self) {
        if let Some(owner) = self.owner.upgrade() {
            owner.bytes.fetch_sub(self.pieces.lock().bytes, Ordering::Relaxed);
        }
    }
}
