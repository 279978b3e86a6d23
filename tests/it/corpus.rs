//! The committed corpus of the fuzz targets, on a stable compiler.

#[path = "../../fuzz/doors.rs"]
mod doors;

use std::path::Path;

fn corpus(target: &str, door: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut cases = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        door(&std::fs::read(entry.unwrap().path()).unwrap());
        cases += 1;
    }
    assert!(cases > 0, "no cases in {}", folder.display());
}

#[test]
fn every_committed_case_holds() {
    corpus("event_id", doors::event_id);
    corpus("query", doors::query);
    corpus("journal", doors::journal);
}

/// Writes the cases of `journal` anew, after its format has changed: what a store wrote, whole, cut, and
/// with a bit flipped.
#[test]
#[ignore = "writes fuzz/corpus/journal"]
fn write_the_cases_of_the_journal() {
    use rollcast::ids::{
        AttemptKey, Entry, Kind, LineMeta, Lines, Side, Source, SourceChange, SourceState,
        WorkloadId,
    };
    use rollcast::journal::{Epoch, FileOptions, Journal, Limits, open_files};
    use std::sync::Arc;
    use std::time::Duration;

    let store = tempfile::tempdir().unwrap();
    let options = FileOptions {
        path: store.path().to_owned(),
        bytes: 16 << 20,
        sync: Duration::from_millis(1),
        age: Duration::from_secs(3600),
    };
    let metrics = Arc::new(rollcast::telemetry::Metrics::noop());
    let limits = Limits { workload_bytes: 1 << 20, total_bytes: 4 << 20, age: options.age };
    let opened = open_files(options, Epoch::parse("7k2m9q").unwrap(), metrics).unwrap();
    let journal = Journal::restore(opened, limits, 0);
    let web = Arc::new(WorkloadId::new("shop", Kind::Deployment, "web"));
    let key = AttemptKey {
        uid: "0c1f".into(),
        container: "app".into(),
        container_id: "containerd://1".into(),
    };
    let source = Arc::new(Source { key, workload: web.clone(), pod: "web-1".into(), attempt: 1 });
    for round in 0..4u8 {
        let meta = LineMeta {
            time: i64::from(round),
            start: 0,
            len: 3,
            truncated_bytes: 0,
            ordinal: u32::from(round),
            lossy: round == 1,
            partial: false,
            partial_head: round == 0,
        };
        let failed = round > 2;
        let (text, lines) = (bytes::Bytes::from_static(b"abc"), Box::new([meta]));
        let lines = Lines { source: source.clone(), side: Side::New, failed, text, lines };
        journal.append(&web, Entry::Lines(Arc::new(lines)), i64::from(round));
    }
    let ended = SourceChange {
        time: 5,
        source,
        state: SourceState::Ended,
        from_start: Some(true),
        complete: Some(true),
        lines: Some(4),
        reason: None,
    };
    journal.append(&web, Entry::Source(Arc::new(ended)), 5);
    assert!(journal.close(Duration::from_secs(10)));
    let whole = std::fs::read(store.path().join("segment-000000000001")).unwrap();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/journal");
    std::fs::create_dir_all(&folder).unwrap();
    let write = |name: &str, bytes: &[u8]| std::fs::write(folder.join(name), bytes).unwrap();
    write("whole", &whole);
    write("empty", &[]);
    write("inside-the-head", &whole[..whole.len().min(9)]);
    write("inside-a-frame", &whole[..whole.len() - 5]);
    write("twice", &[&whole[..], &whole[..]].concat());
    for (name, at) in [("flipped-head", 3), ("flipped-middle", whole.len() / 2)] {
        let mut flipped = whole.clone();
        flipped[at] ^= 8;
        write(name, &flipped);
    }
}
