//! One viewer: a position, and nothing else of weight.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::watch;

use super::piece::{Behind, OWN_BYTES, Piece};
use super::shared::View;
use crate::ids::GapReason;
use crate::subscribe::Cursor;
use crate::wire::{Encoder, Position};

/// Reads a view from a position on.
pub struct Viewer {
    view: Arc<View>,
    progress: watch::Receiver<u64>,
    after: u64,
    /// Reads what the shared pieces do not hold; made when it is needed first.
    own: Option<Box<Cursor>>,
    /// Lines older than this are left out, whenever they come: the backlog of a log that is opened
    /// late must not bring back what was not asked for.
    since: Option<i64>,
    /// Up to this time it had read when it came back.
    read: Option<i64>,
    /// It may be told again what it knows, from this time on. Its ids say so, so that no shared piece is
    /// its own.
    again: Option<i64>,
    /// What lies before this was history when the viewer came.
    history: Option<u64>,
}

/// Where a viewer begins.
#[derive(Clone, Copy, Debug, Default)]
pub struct Begin {
    /// Records behind this sequence number are delivered.
    pub after: u64,
    /// Lines that are older are left out.
    pub since: Option<i64>,
    /// Up to this time it has read all that there was, if it comes back: what a gap misses is younger.
    pub read: Option<i64>,
    /// What comes may repeat what another process told it, from this time on.
    pub again: Option<i64>,
}

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// Bytes to send, and the last id in them. They may be empty: then only the position moved.
    Piece(Bytes, Option<Position>),
    /// Everything so far was handed out.
    CaughtUp,
}

// === impl Viewer ===

impl Viewer {
    pub(super) fn new(view: Arc<View>, from: Begin) -> Self {
        let Begin { after, since, read, again } = from;
        let progress = view.progress();
        let until = *progress.borrow();
        let history = (after < until).then_some(until);
        Viewer { view, progress, after, own: None, since, read, again, history }
    }

    /// The last sequence number that was handed out.
    pub fn after(&self) -> u64 {
        self.after
    }

    /// The last sequence number of what it reads.
    pub fn last(&self) -> u64 {
        self.view.last()
    }

    /// From when on it may be told again what it knows.
    pub fn again(&self) -> Option<i64> {
        self.again
    }

    /// Nothing is repeated from here on.
    pub fn repeat_no_more(&mut self) {
        self.again = None;
    }

    /// Hands out what comes next without waiting.
    pub fn take(&mut self) -> Next {
        let through = *self.progress.borrow();
        if self.after >= through {
            self.history = None;
            return Next::CaughtUp;
        }
        let since = self.since;
        let shared = || self.view.piece(self.after).filter(|piece| piece.suits(since));
        if let Some(piece) = self.again.is_none().then(shared).flatten() {
            self.view.metrics.view_pieces.add(1, "hit");
            let bytes = piece.behind(self.after);
            self.after = piece.through;
            self.leave_history();
            return Next::Piece(bytes, piece.last);
        }
        self.view.metrics.view_pieces.add(1, "miss");
        let View { journal, index, selection, encoder, metrics, .. } = &*self.view;
        let make = || Box::new(Cursor::new(journal, index, selection.clone(), 0));
        let cursor = self.own.get_or_insert_with(make);
        cursor.seek(self.after);
        // Who was live and fell behind is told so; who asked for what is gone is told that.
        let reason = match self.history {
            Some(_) => GapReason::HistoryEvicted,
            None => GapReason::ViewerTooSlow,
        };
        let behind = Behind { reason, read: self.read };
        let encoder = Encoder { again: self.again, ..*encoder };
        let Some(piece) = Piece::cut(cursor, encoder, OWN_BYTES, since, behind, metrics) else {
            // The cursor saw at least as far as the shared pieces go, and there was nothing.
            self.after = self.after.max(through);
            self.leave_history();
            return Next::CaughtUp;
        };
        self.after = piece.through;
        self.leave_history();
        Next::Piece(piece.bytes, piece.last)
    }

    fn leave_history(&mut self) {
        if self.history.is_some_and(|until| self.after >= until) {
            self.history = None;
        }
    }

    /// Waits until there is something to hand out. Cancel safe.
    pub async fn ready(&mut self) {
        let after = self.after;
        if self.progress.wait_for(|through| *through > after).await.is_err() {
            // The view lives as long as its viewers, so this is not reached.
            std::future::pending::<()>().await;
        }
    }
}
