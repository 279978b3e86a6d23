//! Records as bytes: what a store keeps.
//!
//! What holds here:
//! - Everything is written by hand, so that a change of a type in `ids` cannot change what lies on a
//!   disk unseen. Numbers are LEB128 (signed ones zigzag), strings have their length before them,
//!   words of closed lists have fixed numbers that are never used again for another.
//! - Reading trusts nothing: lengths are checked against what is there, text is checked to be UTF-8,
//!   and what does not fit is [`Malformed`], never a panic and never a wrong record.
//! - A change of the encoding is a new [`VERSION`].

mod entry;
mod fact;
mod input;
mod lines;
mod output;
#[cfg(test)]
mod tests;
mod words;

pub(super) use fact::{read, write};
pub(super) use input::Names;

/// The version of the encoding.
pub(super) const VERSION: u16 = 3;

/// Bytes that are no record of ours, although their checksum is right: written by another version,
/// or by somebody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a record of version {VERSION}")]
pub(super) struct Malformed;
