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
