//! Panics in the log: one event with the place and the words, in the format that was asked for.

use std::any::Any;

/// Replaces the standard hook, which would write plain text between JSON lines.
pub(super) fn install_hook() {
    std::panic::set_hook(Box::new(|info| {
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, message = words(info.payload()), "panic");
    }));
}

/// The words of a panic, if it has any.
pub fn words(payload: &(dyn Any + Send)) -> &str {
    if let Some(text) = payload.downcast_ref::<&'static str>() {
        text
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text
    } else {
        "no message"
    }
}
