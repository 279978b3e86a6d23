use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use proptest::prelude::*;

use super::*;
use crate::ids::{SourceState, WorkloadId};
use crate::journal::testing::{change, kept, lines, lines_of, missing, read_all, source, workload};
use crate::journal::{Journal, Limits, Loss};

const WITHIN: Duration = Duration::from_secs(60);
/// Large enough that memory forgets nothing in these tests.
const LARGE: Limits =
    Limits { workload_bytes: 256 << 20, total_bytes: 256 << 20, age: Duration::from_secs(3600) };

fn epoch() -> Epoch {
    Epoch::parse("7k2m9q").unwrap()
}

fn options(path: &Path) -> FileOptions {
    let sync = Duration::from_millis(1);
    FileOptions { path: path.to_owned(), bytes: 512 << 20, sync, age: LARGE.age }
}

fn journal_on(options: FileOptions, files: Arc<dyn Files>) -> Journal {
    let opened = open_on(options, epoch(), Arc::new(Metrics::noop()), files).unwrap();
    Journal::restore(opened, LARGE, 0)
}

fn journal(path: &Path) -> Journal {
    journal_on(options(path), Arc::new(Disk))
}

/// Waits until something is so of the store.
fn until(journal: &Journal, so: impl Fn(&Status) -> bool) -> Status {
    let began = Instant::now();
    loop {
        let status = journal.store().unwrap();
        if so(&status) {
            return status;
        }
        assert!(began.elapsed() < WITHIN, "{status:?}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

/// Ends as if the process was killed when everything was written.
fn kill(journal: Journal) {
    until(&journal, |status| status.lag_records == 0);
    std::thread::park_timeout(Duration::from_millis(100));
}

fn segments(path: &Path) -> Vec<PathBuf> {
    let mut found: Vec<_> = std::fs::read_dir(path)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| volume::number_of(path.file_name().unwrap().to_str().unwrap()).is_some())
        .collect();
    found.sort();
    found
}

/// A copy of the directory to break.
fn copy(path: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(path).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
    }
    copy
}

#[test]
fn a_cut_at_any_byte_costs_what_is_behind_it_and_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let (first, web) = (journal(directory.path()), workload("web"));
    for start in 0..20 {
        first.append(&web, lines(&web, start * 3..start * 3 + 3), 0);
    }
    let head = first.head();
    kill(first);
    let name = segments(directory.path()).pop().unwrap();
    let bytes = std::fs::read(&name).unwrap();
    let frames = frame::scan(&bytes).payloads;
    let begin = frames[frames.len() - 2].start - frame::FRAME;
    for cut in begin..=bytes.len() {
        let copy = copy(directory.path());
        let broken = copy.path().join(name.file_name().unwrap());
        std::fs::write(&broken, &bytes[..cut]).unwrap();
        let journal = journal(copy.path());
        let whole = frames.iter().filter(|frame| frame.end <= cut).count();
        let lost = 3 * (frames.len() - whole) as i64;
        let (numbers, missed) = read_all(&journal.shelf(&web), 0);
        assert!(numbers.iter().copied().eq(0..60 - lost), "cut at {cut}: {numbers:?}");
        assert_eq!(missed.len(), 1, "cut at {cut}");
        assert_eq!((missed[0].why, missed[0].lines), (Loss::Restart, None));
        assert!(journal.append(&web, lines(&web, 60..61), 0) > head);
        // The end that was torn is gone from the file.
        let end = frames[..whole].last().map_or(0, |frame| frame.end);
        assert_eq!(std::fs::metadata(&broken).unwrap().len(), end as u64);
    }
}

/// How many lines each workload had.
type Totals = BTreeMap<Arc<WorkloadId>, i64>;

/// A closed store of several segments.
fn closed_store() -> &'static (tempfile::TempDir, Totals) {
    static STORE: OnceLock<(tempfile::TempDir, Totals)> = OnceLock::new();
    STORE.get_or_init(|| {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let journal = journal_on(FileOptions { bytes: 512 << 10, ..options(path) }, Arc::new(Disk));
        let mut totals: Totals = ["web", "pay", "auth"].map(|name| (workload(name), 0)).into();
        let mut random = fastrand::Rng::with_seed(11);
        while segments(path).len() < 4 {
            for (workload, total) in &mut totals {
                let count = random.i64(1..5);
                journal.append(workload, lines(workload, *total..*total + count), 0);
                *total += count;
            }
            until(&journal, |status| status.lag_bytes < 100_000);
        }
        assert!(journal.close(WITHIN));
        (directory, totals)
    })
}

/// Flips bits and cuts segments; then everything that is read must be true. Gives how many lines were
/// found, and how many were told to be missing if that is known.
fn broken(
    path: &Path,
    totals: &Totals,
    flips: &[(usize, usize, u8)],
    cuts: &[(usize, usize)],
) -> (i64, Option<i64>) {
    let copy = copy(path);
    let names = segments(copy.path());
    for (segment, at, bit) in flips {
        let name = &names[segment % names.len()];
        let mut bytes = std::fs::read(name).unwrap();
        let at = at % bytes.len();
        bytes[at] ^= 1 << (bit % 8);
        std::fs::write(name, bytes).unwrap();
    }
    for (segment, at) in cuts {
        let name = &names[segment % names.len()];
        let bytes = std::fs::read(name).unwrap();
        std::fs::write(name, &bytes[..at % (bytes.len() + 1)]).unwrap();
    }
    let journal = journal(copy.path());
    let (mut found, mut told) = (0, Some(0));
    for (workload, total) in totals {
        let (numbers, missed) = read_all(&journal.shelf(workload), 0);
        assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "{numbers:?}");
        assert!(numbers.iter().all(|number| (0..*total).contains(number)));
        // What is missing at the end is told, although the store was closed.
        let at_end = total - 1 - numbers.last().copied().unwrap_or(-1);
        assert!(at_end == 0 || !missed.is_empty(), "{at_end} lines are missing without a word");
        // Where two lines that are read do not follow each other, the loss stands between them.
        let holes = numbers.windows(2).filter(|pair| pair[1] != pair[0] + 1).count();
        assert!(missed.len() >= holes, "{missed:?}");
        found += numbers.len() as i64;
        told = told.zip(missing(&missed)).map(|(sum, lines)| sum + lines as i64);
    }
    (found, told)
}

#[test]
fn a_store_that_nobody_broke_gives_everything_back() {
    let (directory, totals) = closed_store();
    let sum: i64 = totals.values().sum();
    assert_eq!(broken(directory.path(), totals, &[], &[]), (sum, Some(0)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_flipped_bit_costs_one_record_and_is_counted(seed in any::<u64>()) {
        let (directory, totals) = closed_store();
        let sum: i64 = totals.values().sum();
        let mut random = fastrand::Rng::with_seed(seed);
        for _ in 0..8 {
            let flip = (random.usize(..), random.usize(..), random.u8(..));
            let (found, told) = broken(directory.path(), totals, &[flip], &[]);
            prop_assert!(sum - found < 5, "{found} of {sum}");
            prop_assert_eq!(told, Some(sum - found));
        }
    }

    #[test]
    fn whatever_is_broken_nothing_wrong_is_read(
        flips in prop::collection::vec(any::<(usize, usize, u8)>(), 0..12),
        cuts in prop::collection::vec(any::<(usize, usize)>(), 0..3),
    ) {
        let (directory, totals) = closed_store();
        let sum: i64 = totals.values().sum();
        let (found, told) = broken(directory.path(), totals, &flips, &cuts);
        prop_assert!(told.is_none_or(|told| found + told <= sum));
        if cuts.is_empty() {
            prop_assert!(found >= sum - 4 * flips.len() as i64, "{found} of {sum}");
        }
    }
}

/// What a volume refuses.
#[derive(Debug, Default)]
struct Faults {
    /// Bytes that are left on it.
    room: Option<u64>,
    read_only: bool,
    sync: bool,
}

/// A volume that refuses things when a test wants it.
#[derive(Clone, Debug, Default)]
struct Faulty(Arc<Mutex<Faults>>);

#[derive(Debug)]
struct FaultyFile(Box<dyn files::Output>, Faulty);

impl Faulty {
    fn set(&self, change: impl FnOnce(&mut Faults)) {
        change(&mut self.0.lock());
    }

    fn writable(&self) -> io::Result<()> {
        match self.0.lock().read_only {
            true => Err(io::ErrorKind::ReadOnlyFilesystem.into()),
            false => Ok(()),
        }
    }
}

impl Files for Faulty {
    fn create(&self, path: &Path) -> io::Result<Box<dyn files::Output>> {
        self.writable()?;
        Ok(Box::new(FaultyFile(Disk.create(path)?, self.clone())))
    }

    fn overwrite(&self, path: &Path, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.writable()?;
        Disk.overwrite(path, offset, bytes)
    }

    fn truncate(&self, path: &Path, len: u64) -> io::Result<()> {
        self.writable()?;
        Disk.truncate(path, len)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.writable()?;
        let bytes = std::fs::metadata(path)?.len();
        self.set(|faults| faults.room = faults.room.map(|room| room + bytes));
        Disk.remove(path)
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        Disk.sync_directory(path)
    }
}

impl files::Output for FaultyFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.1.writable()?;
        let mut faults = self.1.0.lock();
        let room = faults.room.unwrap_or(u64::MAX);
        let part = &bytes[..room.min(bytes.len() as u64) as usize];
        faults.room = faults.room.map(|room| room - part.len() as u64);
        self.0.append(part)?;
        match part.len() == bytes.len() {
            true => Ok(()),
            false => Err(io::ErrorKind::StorageFull.into()),
        }
    }

    fn sync(&mut self) -> io::Result<()> {
        match self.1.0.lock().sync {
            true => Err(io::Error::other("the disk is broken")),
            false => self.0.sync(),
        }
    }
}

/// Breaks the volume, appends `batches` of 500 lines meanwhile, and mends it.
fn outage(breaks: impl FnOnce(&mut Faults), batches: i64) -> Status {
    let directory = tempfile::tempdir().unwrap();
    let faulty = Faulty::default();
    let journal = journal_on(options(directory.path()), Arc::new(faulty.clone()));
    let (web, pay) = (workload("web"), workload("pay"));
    journal.append(&web, lines(&web, 0..500), 0);
    journal.append(&pay, lines(&pay, 0..5), 0);
    until(&journal, |status| status.lag_records == 0);
    faulty.set(breaks);
    for batch in 1..=batches {
        journal.append(&web, lines(&web, batch * 500..batch * 500 + 500), 0);
    }
    journal.append(&pay, lines(&pay, 5..10), 0);
    let failing = until(&journal, |status| status.failing.is_some());
    assert!(failing.errors > 0);
    // Memory does not mind.
    let total = (batches + 1) * 500;
    assert_eq!(kept(&journal, &web).len() as i64, total);
    faulty.set(|faults| *faults = Faults::default());
    until(&journal, |status| status.failing.is_none() && status.lag_records == 0);
    journal.append(&web, lines(&web, total..total + 1), 0);
    let (head, epoch) = (journal.head(), journal.epoch());
    assert!(journal.close(WITHIN));
    let status = journal.store().unwrap();
    drop(journal);
    let journal = journal_on(options(directory.path()), Arc::new(Disk));
    assert_eq!((journal.head(), journal.epoch()), (head, epoch));
    for (workload, total) in [(&web, total + 1), (&pay, 10)] {
        let (numbers, missed) = read_all(&journal.shelf(workload), 0);
        let told = missing(&missed).map(|lines| lines as i64 + numbers.len() as i64);
        assert_eq!(told, Some(total), "{workload}: {missed:?}");
        assert!(missed.iter().all(|missed| missed.why == Loss::Forgotten));
    }
    assert_eq!(kept(&journal, &web).last(), Some(&total));
    status
}

#[test]
fn a_short_outage_of_any_kind_costs_nothing() {
    for breaks in [
        |faults: &mut Faults| faults.room = Some(3_000),
        |faults: &mut Faults| faults.read_only = true,
        |faults: &mut Faults| faults.sync = true,
    ] {
        assert_eq!(outage(breaks, 10).lost_records, 0);
    }
}

#[test]
fn a_long_outage_costs_a_hole_that_is_counted_and_remembered() {
    for breaks in [
        |faults: &mut Faults| faults.room = Some(3_000),
        |faults: &mut Faults| faults.read_only = true,
    ] {
        let status = outage(breaks, 400);
        assert!(status.holes >= 1 && status.lost_records > 0, "{status:?}");
    }
}

#[test]
fn a_volume_smaller_than_the_store_keeps_the_newest() {
    let directory = tempfile::tempdir().unwrap();
    let faulty = Faulty::default();
    faulty.set(|faults| faults.room = Some(700 << 10));
    // Segments of 128 KiB, and room for five of them.
    let options = FileOptions { bytes: 1 << 20, ..options(directory.path()) };
    let first = journal_on(options, Arc::new(faulty));
    let web = workload("web");
    for batch in 0..400 {
        first.append(&web, lines(&web, batch * 100..batch * 100 + 100), 0);
        until(&first, |status| status.lag_bytes < 100_000);
    }
    let status = until(&first, |status| status.lag_records == 0 && status.failing.is_none());
    assert!(status.errors > 0 && status.lost_records == 0, "{status:?}");
    assert!(first.close(WITHIN));
    drop(first);
    let journal = journal(directory.path());
    let (numbers, missed) = read_all(&journal.shelf(&web), 0);
    assert_eq!(numbers.last(), Some(&39_999));
    assert!(numbers.len() > 5_000, "{}", numbers.len());
    assert_eq!(missing(&missed), Some(40_000 - numbers.len() as u64));
}

/// Whatever room is left when it is closed: the end is written, in the place of old history if need be.
#[test]
fn a_full_volume_is_closed_all_the_same() {
    let web = workload("web");
    for room in 0..40 {
        let directory = tempfile::tempdir().unwrap();
        let faulty = Faulty::default();
        faulty.set(|faults| faults.room = Some((500 << 10) + room * 97));
        let options = FileOptions { bytes: 1 << 20, ..options(directory.path()) };
        let first = journal_on(options, Arc::new(faulty));
        for batch in 0..120 {
            first.append(&web, lines(&web, batch * 100..batch * 100 + 100), 0);
            until(&first, |status| status.lag_bytes < 100_000);
        }
        until(&first, |status| status.lag_records == 0 && status.failing.is_none());
        assert!(first.close(WITHIN), "{room}");
    }
}

#[test]
fn two_processes_never_share_a_store() {
    let directory = tempfile::tempdir().unwrap();
    let first = journal(directory.path());
    let again = || {
        let metrics = Arc::new(Metrics::noop());
        open(options(directory.path()), epoch(), metrics).map(drop)
    };
    let error = again().unwrap_err();
    assert!(matches!(error, OpenError::Locked { .. }), "{error}");
    assert!(error.to_string().contains(&format!("pid {}", std::process::id())), "{error}");
    drop(first);
    again().unwrap();
}

#[test]
fn no_number_is_issued_twice_whatever_a_power_loss_leaves() {
    let directory = tempfile::tempdir().unwrap();
    let web = workload("web");
    let mut highest = 0;
    for round in 0..4 {
        let journal = journal(directory.path());
        assert_eq!(journal.epoch(), epoch());
        for _ in 0..10 {
            let first = journal.append(&web, lines(&web, 0..3), 0);
            assert!(first > highest, "round {round}: {first} after {highest}");
            highest = first + 2;
        }
        kill(journal);
        // Nothing of the segments came to the disk: empty, or not even there.
        for path in segments(directory.path()) {
            match round % 2 {
                0 => std::fs::write(path, b"").unwrap(),
                _ => std::fs::remove_file(path).unwrap(),
            }
        }
    }
}

#[test]
fn what_is_no_store_is_refused_and_left_alone() {
    let refused = |path: &Path| {
        open(options(path), epoch(), Arc::new(Metrics::noop())).map(drop).unwrap_err()
    };
    let foreign = tempfile::tempdir().unwrap();
    std::fs::create_dir(foreign.path().join("lost+found")).unwrap();
    std::fs::write(foreign.path().join("important.db"), b"x").unwrap();
    let error = refused(foreign.path());
    assert!(error.to_string().contains("important.db"), "{error}");
    assert_eq!(std::fs::read_dir(foreign.path()).unwrap().count(), 2, "nothing was made");
    let file = foreign.path().join("important.db");
    assert!(matches!(refused(&file), OpenError::Unusable { .. }));
    std::fs::remove_file(&file).unwrap();
    drop(journal(foreign.path()));

    let faulty = Faulty::default();
    faulty.set(|faults| faults.read_only = true);
    for path in [foreign.path().to_owned(), foreign.path().join("new")] {
        let files = Arc::new(faulty.clone());
        let opened = open_on(options(&path), epoch(), Arc::new(Metrics::noop()), files);
        let error = opened.map(drop).unwrap_err();
        assert!(matches!(error, OpenError::Volume { .. }), "{error}");
    }
}

/// What stood at the end is gone although the store was closed: it is counted as damage, and a position
/// in it is not taken for one that is known.
#[test]
fn the_end_of_a_closed_store_that_is_gone_is_said() {
    let directory = tempfile::tempdir().unwrap();
    let (first, web) = (journal(directory.path()), workload("web"));
    for start in 0..20 {
        first.append(&web, lines(&web, start * 3..start * 3 + 3), 0);
    }
    let head = first.head();
    assert!(first.close(WITHIN));
    drop(first);
    let name = segments(directory.path()).pop().unwrap();
    let bytes = std::fs::read(&name).unwrap();
    std::fs::write(&name, &bytes[..bytes.len() / 2]).unwrap();
    let (metrics, exposition) = Metrics::readable();
    let opened = open(options(directory.path()), epoch(), Arc::new(metrics)).unwrap();
    assert!(opened.clean);
    let journal = Journal::restore(opened, LARGE, 0);
    assert!(exposition.value("rollcast_store_damaged_bytes_total") > Some(0.0));
    let (numbers, missed) = read_all(&journal.shelf(&web), 0);
    let after = numbers.len() as u64;
    assert!(after > 0 && after < 60, "{after}");
    assert_eq!((missed[0].why, missed[0].lines), (Loss::Restart, None));
    assert!(!journal.lost(after) && journal.lost(after + 1) && journal.lost(head));
}

/// A process that ends before it made a journal of what it read leaves the store as it was.
#[test]
fn a_start_that_is_given_up_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let (first, web) = (journal(directory.path()), workload("web"));
    first.append(&web, lines(&web, 0..5), 0);
    let head = first.head();
    assert!(first.close(WITHIN));
    drop(first);
    for _ in 0..3 {
        let opened = open(options(directory.path()), epoch(), Arc::new(Metrics::noop())).unwrap();
        let stopped = std::sync::atomic::AtomicBool::new(true);
        assert!(Journal::restore_unless(opened, LARGE, 0, &stopped).is_none());
    }
    let again = journal(directory.path());
    assert!(again.restart().is_none());
    assert_eq!(again.head(), head);
    assert_eq!(again.append(&web, lines(&web, 5..6), 0), head + 1);
}

#[test]
fn a_store_whose_reservation_is_gone_is_set_aside_for_a_new_journal() {
    let directory = tempfile::tempdir().unwrap();
    let (first, web) = (journal(directory.path()), workload("web"));
    first.append(&web, lines(&web, 0..5), 0);
    assert!(first.close(WITHIN));
    drop(first);
    std::fs::write(directory.path().join(reservation::NAME), b"zeros").unwrap();
    let other = Epoch::parse("other1").unwrap();
    let metrics = Arc::new(Metrics::noop());
    let opened = open(options(directory.path()), other, metrics).unwrap();
    let journal = Journal::restore(opened, LARGE, 0);
    assert_eq!((journal.epoch(), journal.head()), (other, 0));
    assert!(kept(&journal, &web).is_empty());
    let aside = std::fs::read_dir(directory.path()).unwrap();
    let aside = aside
        .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().ends_with(".aside"));
    assert_eq!(aside.count(), 2, "the segment and what was the reservation");
}

#[test]
fn files_that_are_not_ours_stay_where_they_are() {
    let directory = tempfile::tempdir().unwrap();
    drop(journal(directory.path()));
    let note = directory.path().join("note.txt");
    std::fs::write(&note, b"x").unwrap();
    let huge = directory.path().join("segment-000000000099");
    std::fs::File::create(&huge).unwrap().set_len(65 << 20).unwrap();
    let noise = directory.path().join("segment-000000000098");
    std::fs::write(&noise, [7; 5_000]).unwrap();
    let (journal, web) = (journal(directory.path()), workload("web"));
    journal.append(&web, lines(&web, 0..5), 0);
    assert!(journal.close(WITHIN));
    assert!(note.exists() && huge.exists() && noise.exists());
}

#[test]
fn the_end_of_an_attempt_and_its_last_line_are_known_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let (first, web) = (journal(directory.path()), workload("web"));
    let (over, open) = (source(&web, 1), source(&web, 2));
    first.append(&web, change(&over, SourceState::Following), 0);
    first.append(&web, lines_of(&over, 0..5), 0);
    first.append(&web, change(&over, SourceState::Ended), 0);
    first.append(&web, lines_of(&open, 5..9), 0);
    assert!(first.close(WITHIN));
    drop(first);
    // Also when the records themselves are gone, and it stands in the heads of segments only.
    for _ in 0..2 {
        let journal = journal(directory.path());
        let mut known: Vec<_> = journal
            .last_lines()
            .iter()
            .map(|attempt| (attempt.source.attempt, attempt.line.unwrap(), attempt.is_over()))
            .collect();
        known.sort_unstable_by_key(|(attempt, ..)| *attempt);
        let known =
            known.iter().map(|(attempt, line, over)| (*attempt, line.seq, line.time, *over));
        assert!(known.eq([(1, 6, 4, true), (2, 11, 8, false)]));
        assert!(journal.close(WITHIN));
        drop(journal);
        std::fs::remove_file(&segments(directory.path())[0]).unwrap();
    }
}

const CHILD: &str = "ROLLCAST_TEST_STORE";

/// Not a test: what the next one starts and kills.
#[test]
#[ignore = "writes until it is killed"]
fn child() {
    use std::io::Write as _;

    let path = PathBuf::from(std::env::var_os(CHILD).unwrap());
    let (journal, web) = (journal(&path), workload("web"));
    let begin = kept(&journal, &web).last().map_or(0, |last| last + 1);
    for batch in 0.. {
        let start = begin + batch * 3;
        let first = journal.append(&web, lines(&web, start..start + 3), 0);
        until(&journal, |status| status.lag_records == 0);
        writeln!(io::stdout(), "wrote {first} {}", start + 2).unwrap();
    }
}

#[test]
fn a_process_that_is_killed_loses_what_was_on_the_way_at_most() {
    use std::io::BufRead as _;

    let directory = tempfile::tempdir().unwrap();
    let (mut highest, web) = (0, workload("web"));
    for round in 0..4 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["journal::file::tests::child", "--exact", "--ignored", "--nocapture"])
            .env(CHILD, directory.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut told = Vec::new();
        for line in io::BufReader::new(child.stdout.take().unwrap()).lines() {
            let line = line.unwrap();
            let Some(rest) = line.split("wrote ").nth(1) else { continue };
            let mut words = rest.split(' ').map(|word| word.parse::<u64>().unwrap());
            told.push((words.next().unwrap(), words.next().unwrap()));
            if told.len() == 40 + round * 37 {
                // SIGKILL.
                child.kill().unwrap();
            }
        }
        assert!(!child.wait().unwrap().success());
        let (first, number) = *told.last().unwrap();
        assert!(told[0].0 > highest, "issued twice");
        let journal = journal(directory.path());
        let numbers = kept(&journal, &web);
        let last = *numbers.last().unwrap() as u64;
        // What the writer took before the last record was written.
        assert!(last + 3 >= number, "{last} of {number}");
        assert!(
            numbers.iter().copied().eq(0..=last as i64),
            "contiguous: the child goes on behind"
        );
        let restart = journal.restart().unwrap();
        assert!(restart.through > first);
        highest = restart.through;
        kill(journal);
    }
}
