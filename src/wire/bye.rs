//! The end of a stream from the server's side.

use schemars::JsonSchema;
use serde::Serialize;

/// Why the server ends a stream. A closed list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Bye {
    /// The stream's lifetime is over; reconnect.
    Rotate,
    /// This replica is shutting down; reconnect.
    Drain,
    /// The token ran out.
    Expired,
    /// The right to read was taken away.
    Revoked,
    /// A limit was reached.
    Limit,
}

// === impl Bye ===

impl Bye {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Bye::Rotate => "rotate",
            Bye::Drain => "drain",
            Bye::Expired => "expired",
            Bye::Revoked => "revoked",
            Bye::Limit => "limit",
        }
    }
}
