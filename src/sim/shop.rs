//! The demo's shop.
