//! What a client would rather have, by its `Accept`.

use http::{HeaderMap, header};

/// The best of what is offered: `offer` knows what a media range, in lower case, gets. Of two that are
/// wanted as much the first one wins.
pub(super) fn best<T>(headers: &HeaderMap, offer: impl Fn(&str) -> Option<T>) -> Accepted<T> {
    let mut best: Option<(T, u32)> = None;
    let mut any = false;
    for value in headers.get_all(header::ACCEPT) {
        for range in value.to_str().unwrap_or_default().split(',') {
            any = true;
            let mut parts = range.split(';').map(str::trim);
            let media = parts.next().unwrap_or_default().to_ascii_lowercase();
            let quality = parts.find_map(|part| part.strip_prefix("q=")).map_or(1000, |q| {
                q.parse::<f32>().map_or(0, |q| (q.clamp(0.0, 1.0) * 1000.0) as u32)
            });
            let Some(offered) = offer(&media) else { continue };
            if quality > 0 && best.as_ref().is_none_or(|(_, other)| quality > *other) {
                best = Some((offered, quality));
            }
        }
    }
    match best {
        Some((offered, _)) => Accepted::This(offered),
        None if any => Accepted::Nothing,
        None => Accepted::Anything,
    }
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Accepted<T> {
    /// It wants this most.
    This(T),
    /// It does not say.
    Anything,
    /// It takes nothing that is offered.
    Nothing,
}
