//! What the targets do with arbitrary bytes through public types. The integration tests include this
//! file and run the corpus through it.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use rollcast::http::stream::Query;
use rollcast::ids::{Entry, Kind, KubeEvent, WorkloadId};
use rollcast::journal::{Epoch, FileOptions, Journal, Limits, open_files};
use rollcast::telemetry::Metrics;
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

/// Whatever stands in a segment file, the store opens, goes on in the same journal behind every number
/// that may have been issued, and what it gives back is the same the next time.
pub fn journal(data: &[u8]) {
    let folder = tempfile::tempdir().expect("a folder");
    let epoch = Epoch::parse("7k2m9q").expect("an epoch");
    let limits =
        Limits { workload_bytes: 1 << 20, total_bytes: 4 << 20, age: Duration::from_secs(3600) };
    let restore = || {
        let options = FileOptions {
            path: folder.path().to_owned(),
            bytes: 16 << 20,
            sync: Duration::from_millis(1),
            age: limits.age,
        };
        let opened = open_files(options, epoch, Arc::new(Metrics::noop())).expect("it opens");
        Journal::restore(opened, limits, 0)
    };
    let web = Arc::new(WorkloadId::new("shop", Kind::Deployment, "web"));
    assert!(restore().close(Duration::from_secs(10)));
    std::fs::write(folder.path().join("segment-000000000001"), data).expect("a file");
    let mut heads = Vec::new();
    for turn in 0..2 {
        let journal = restore();
        assert_eq!(journal.epoch(), epoch);
        let before = journal.head();
        let slices = journal.shelf(&web).read(0, usize::MAX).slices;
        assert!(slices.windows(2).all(|pair| pair[0].first < pair[1].first));
        assert!(slices.iter().all(|slice| slice.first <= before));
        let event = KubeEvent {
            time: 1,
            warning: false,
            reason: "Killing".into(),
            message: "again".into(),
            object_kind: "pod".into(),
            object_name: "web-1".into(),
            count: turn,
        };
        let next = journal.append(&web, Entry::Event(Arc::new(event)), 1);
        assert!(next > before);
        heads.push(next);
        assert!(journal.close(Duration::from_secs(10)));
    }
    assert!(heads[1] > heads[0]);
}
