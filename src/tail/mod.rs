//! tail
mod align;
mod batch;
mod lines;
mod pace;
mod reading;
