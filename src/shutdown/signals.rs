//! The signals that ask the process to end.

use std::io;

use tokio::signal::unix::{self, SignalKind};

/// A request to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM, which Kubernetes sends.
    Terminate,
    /// SIGINT, which Ctrl-C sends.
    Interrupt,
}

/// Listens for SIGTERM and SIGINT. Made early: a signal that comes before would end the process
/// unheard, or, where it is process 1 of a container, not at all.
#[derive(Debug)]
pub struct Signals {
    terminate: unix::Signal,
    interrupt: unix::Signal,
}

// === impl Signal ===

impl Signal {
    /// As people know it.
    pub fn name(self) -> &'static str {
        match self {
            Signal::Terminate => "SIGTERM",
            Signal::Interrupt => "SIGINT",
        }
    }

    /// The exit status of a process that it ended, as shells have it: 128 and its number.
    pub fn status(self) -> u8 {
        match self {
            Signal::Terminate => 143,
            Signal::Interrupt => 130,
        }
    }
}

// === impl Signals ===

impl Signals {
    /// Begins to listen.
    ///
    /// # Errors
    /// If the system does not let us.
    pub fn listen() -> io::Result<Self> {
        let terminate = unix::signal(SignalKind::terminate())?;
        let interrupt = unix::signal(SignalKind::interrupt())?;
        Ok(Signals { terminate, interrupt })
    }

    /// Ends at the next signal. Cancel safe.
    pub async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.terminate.recv() => Signal::Terminate,
            _ = self.interrupt.recv() => Signal::Interrupt,
        }
    }
}
