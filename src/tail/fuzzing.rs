//! Doors for fuzzing: the pure parts of this room, driven by arbitrary bytes. Each panics where what
//! the room promises does not hold.

use super::align::{Fingerprint, Mark, Place, Settled};
use super::batch::Batch;
use super::lines::{Raw, Splitter};
use super::reading::{Desk, Head, Reading};
use crate::time::{SECOND, rfc3339};

/// Between two lines: twentieths of a second, back by as much as stdout and stderr race.
const STEP: i64 = SECOND / 20;
/// Lines of one case at most, so that a case stays quick.
const MOST: usize = 400;

/// Chunks never change the lines. The first two bytes choose the cap and the chunks.
pub fn splitter(data: &[u8]) {
    let [cap, size, stream @ ..] = data else { return };
    let (cap, size) = (usize::from(*cap) + 1, usize::from(*size) + 1);
    let lines = |chunk: usize| {
        let (mut splitter, mut lines) = (Splitter::new(cap), Vec::new());
        let own = |raw: Raw<'_>| (raw.time, raw.text.to_vec(), raw.true_len, raw.hash);
        for chunk in stream.chunks(chunk.max(1)) {
            splitter.push(chunk, |raw| lines.push(own(raw)));
        }
        lines.extend(splitter.fragment().map(own));
        lines
    };
    let whole = lines(stream.len());
    assert!(whole.iter().all(|(_, text, len, _)| text.len() <= cap && text.len() <= *len));
    assert_eq!(whole, lines(size), "chunks of {size} with a cap of {cap}");
}

/// Any file with few different stamps and texts, cut anywhere and read again: every line comes once.
pub fn alignment(data: &[u8]) {
    let [cut, steps @ ..] = data else { return };
    let mut time = 10 * SECOND;
    let file: Vec<Mark> = steps
        .iter()
        .take(MOST)
        .map(|step| {
            time += (i64::from(step % 8) - 2) * STEP;
            Mark { time, hash: u64::from(step / 8 % 3), len: 1 }
        })
        .collect();
    if file.is_empty() {
        return;
    }
    let cut = usize::from(*cut) % file.len() + 1;
    let mut known = Fingerprint::default();
    file[..cut].iter().for_each(|mark| known.push(*mark));
    let Some(since) = known.since() else { return };
    let replayed = |marks: &[Mark]| -> Vec<Mark> {
        marks.iter().copied().filter(|mark| mark.time >= since).collect()
    };
    let mut alignment = known.align(since);
    let (mut held, mut new, mut settled) = (Vec::new(), Vec::new(), None);
    let release = |held: &mut Vec<Mark>, new: &mut Vec<Mark>, how: Settled| match how {
        Settled::Found { from } => new.extend(held.drain(..).skip(from)),
        Settled::Lost => new.append(held),
    };
    for mark in replayed(&file) {
        let place = alignment.feed(mark);
        if let (None, Some(how)) = (settled, alignment.settled()) {
            settled = Some(how);
            release(&mut held, &mut new, how);
        }
        match place {
            Place::Known => {}
            Place::Held => held.push(mark),
            Place::New => new.push(mark),
        }
    }
    if settled.is_none() {
        let how = alignment.finish();
        release(&mut held, &mut new, how);
    }
    assert_eq!(new, replayed(&file[cut..]), "cut behind {cut} of {} lines", file.len());
}

/// An answer that breaks at any byte and is asked for again from its second on: every line comes once,
/// in order, whatever its text. The first two bytes say where it breaks.
pub fn reading(data: &[u8]) {
    let [high, low, lines @ ..] = data else { return };
    let (mut time, mut file) = (1_795_356_000 * SECOND, Vec::new());
    for (at, step) in lines.iter().take(MOST).enumerate() {
        time += (i64::from(step % 8) - 2) * STEP;
        // Bytes of the case itself, so that the text is anything but a line end.
        let odd = lines[at..].iter().take(usize::from(step / 8)).filter(|byte| **byte != b'\n');
        let mut line = format!("{} {at} ", rfc3339(time)).into_bytes();
        line.extend(odd);
        line.push(b'\n');
        file.push((time, line));
    }
    let whole: Vec<u8> = file.iter().flat_map(|(_, line)| line.clone()).collect();
    let cut = usize::from(u16::from_be_bytes([*high, *low])) % (whole.len() + 1);
    let (mut known, mut batch) = (Fingerprint::default(), Batch::default());
    let mut first = Reading::first(64, Head::Whole);
    first.push(&whole[..cut], &mut Desk { known: &mut known, batch: &mut batch, now: time });
    let complete = memchr::memchr_iter(b'\n', &whole[..cut]).count() as u64;
    assert_eq!(first.delivered(), complete, "before the cut at {cut}");
    let since = known.since();
    let replay: Vec<u8> = file
        .iter()
        .filter(|(time, _)| since.is_none_or(|since| *time >= since))
        .flat_map(|(_, line)| line.clone())
        .collect();
    let mut again = match since {
        Some(_) => Reading::resumed(64, &known, since),
        None => Reading::first(64, Head::Whole),
    };
    for chunk in replay.chunks(usize::from(*low) + 1) {
        again.push(chunk, &mut Desk { known: &mut known, batch: &mut batch, now: time });
    }
    again.settle(&mut Desk { known: &mut known, batch: &mut batch, now: time });
    assert!(again.doubt().is_none() && again.message().is_none(), "{:?}", again.message());
    assert_eq!(complete + again.delivered(), file.len() as u64, "after a cut at {cut}");
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    /// The committed cases, and what the fuzzer found.
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
    fn the_corpus_holds() {
        corpus("splitter", super::splitter);
        corpus("alignment", super::alignment);
        corpus("reading", super::reading);
    }

    proptest! {
        #[test]
        fn any_bytes_hold(data in prop::collection::vec(any::<u8>(), 0..600)) {
            super::splitter(&data);
            super::alignment(&data);
            super::reading(&data);
        }
    }
}
