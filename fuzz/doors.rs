//! What the targets do with arbitrary bytes through public types. The integration tests include this
//! file and run the corpus through it.

use http::HeaderMap;
use rollcast::http::stream::Query;
use rollcast::wire::{EventId, MAX_ID_BYTES};

/// What is read as an id is written back as it was, and is safe in a header.
pub fn event_id(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(id) = text.parse::<EventId>() else { return };
    let written = id.to_string();
    assert_eq!(written.parse::<EventId>(), Ok(id), "{text:?}");
    assert!(text.len() <= MAX_ID_BYTES && written.len() <= MAX_ID_BYTES);
    assert!(written.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte)));
}

/// A query string is taken or refused with a message, and never twice differently.
pub fn query(data: &[u8]) {
    let pairs: Vec<(String, String)> = form_urlencoded::parse(data).into_owned().collect();
    let headers = HeaderMap::new();
    let (once, again) = (Query::parse(&pairs, &headers), Query::parse(&pairs, &headers));
    assert_eq!(once.ok(), again.ok());
}
