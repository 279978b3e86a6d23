//! tail
mod align;
mod lines;
