//! Opening a directory: whose it is, what it holds.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use super::files::Files;
use super::reservation::{self, BLOCK, Reservation, Unreadable};
use super::volume::{Segment, number_of, path_of};
use crate::journal::code;
use crate::journal::epoch::Epoch;

const LOCK: &str = "LOCK";
/// Behind the name of a file that is ours but of no use to us. Nothing is deleted that may be of use
/// to somebody else.
const ASIDE: &str = ".aside";

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error(
        "the store {path} is in use by another process{holder}: two must never share one; stop the \
         other, or give each its own --store-path"
    )]
    Locked {
        /// The directory.
        path: PathBuf,
        /// ` (pid N)` if it is known.
        holder: String,
    },
    /// It holds something else.
    #[error(
        "{path} is no store of rollcast and holds other files, such as {name}: give --store-path a \
         directory of its own"
    )]
    Foreign {
        /// The directory.
        path: PathBuf,
        /// The first of the other files.
        name: String,
    },
    /// It was written by another version.
    #[error(
        "the store {path} has format {found}, this program reads format {ours}: use the version that \
         wrote it, or give --store-path another directory"
    )]
    Version {
        /// The directory.
        path: PathBuf,
        /// Its format.
        found: u16,
        /// The program's.
        ours: u16,
    },
    /// It cannot be used as the option says.
    #[error(
        "cannot {what} {path}: {error}; --store-path needs a directory that this account may write"
    )]
    Unusable {
        /// What was tried.
        what: &'static str,
        /// With what.
        path: PathBuf,
        /// What went wrong.
        error: io::Error,
    },
    /// The volume does not work at present: it is full, read-only or broken.
    #[error("cannot {what} {path}: {error}")]
    Volume {
        /// What was tried.
        what: &'static str,
        /// With what.
        path: PathBuf,
        /// What went wrong.
        error: io::Error,
    },
}

/// A directory that was opened. The lock is held as long as this lives.
#[derive(Debug)]
pub(super) struct Directory {
    pub(super) lock: File,
    pub(super) reservation: Reservation,
    /// As it was found: what the process before left.
    pub(super) found: Reservation,
    /// Oldest first.
    pub(super) segments: VecDeque<Segment>,
}

/// Opens a directory, and reserves the first block of sequence numbers.
pub(super) fn open(
    directory: &Path,
    files: &dyn Files,
    fresh: Epoch,
) -> Result<Directory, OpenError> {
    let failed = |what, path: &Path| {
        let path = path.to_owned();
        move |error| OpenError::of(what, path, error)
    };
    fs::create_dir_all(directory).map_err(failed("make the directory", directory))?;
    let names = names(directory).map_err(failed("list", directory))?;
    let segments: Vec<u64> = names.iter().filter_map(|name| number_of(name)).collect();
    let known = names.iter().any(|name| name == reservation::NAME) || !segments.is_empty();
    if let Some(name) = names.iter().find(|name| !known && is_foreign(name)) {
        return Err(OpenError::Foreign { path: directory.to_owned(), name: name.clone() });
    }
    let lock = lock(directory)?;
    let read = match Reservation::read(directory) {
        Ok(found) => Some(found),
        Err(Unreadable::Version(found)) => {
            let path = directory.to_owned();
            return Err(OpenError::Version { path, found, ours: code::VERSION });
        }
        Err(Unreadable::Io(error)) => {
            return Err(OpenError::of("read", Reservation::path(directory), error));
        }
        Err(Unreadable::Damaged) => {
            let path = Reservation::path(directory);
            set_aside(&path, "it cannot be read").map_err(failed("rename", &path))?;
            None
        }
        Err(Unreadable::Missing) => None,
    };
    let found = match read {
        Some(found) => found,
        None => {
            // Without it nobody knows which numbers were issued: this is a new journal.
            for number in &segments {
                let path = path_of(directory, *number);
                set_aside(&path, "its journal is not known").map_err(failed("rename", &path))?;
            }
            let first = Reservation::first(fresh).create(files, directory);
            first.map_err(failed("write", &Reservation::path(directory)))?
        }
    };
    let segments = if read.is_some() { segments } else { Vec::new() };
    let through = found.through.saturating_add(BLOCK);
    let reservation = found
        .reserve(files, directory, through)
        .map_err(failed("write", &Reservation::path(directory)))?;
    let mut sealed: Vec<Segment> =
        segments.into_iter().map(|number| stat(directory, number)).collect();
    sealed.sort_unstable_by_key(|segment| segment.number);
    Ok(Directory { lock, reservation, found, segments: sealed.into() })
}

fn names(directory: &Path) -> io::Result<Vec<String>> {
    fs::read_dir(directory)?
        .map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()))
        .collect()
}

/// Volumes have entries of their own.
fn is_foreign(name: &str) -> bool {
    !(name.starts_with('.') || name == "lost+found" || name == LOCK || name.ends_with(ASIDE))
}

fn lock(directory: &Path) -> Result<File, OpenError> {
    let path = directory.join(LOCK);
    let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
    let mut file = opened.map_err(|error| OpenError::of("open", path.clone(), error))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            // Only to help; the lock itself is the kernel's.
            let _ = (&mut file).take(32).read_to_string(&mut holder);
            let holder =
                holder.trim().parse::<u32>().map_or(String::new(), |pid| format!(" (pid {pid})"));
            return Err(OpenError::Locked { path: directory.to_owned(), holder });
        }
        Err(TryLockError::Error(error)) => return Err(OpenError::of("lock", path, error)),
    }
    let _ = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
    Ok(file)
}

fn set_aside(path: &Path, why: &str) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(ASIDE);
    tracing::warn!(path = %path.display(), why, "set aside: it is not read, and not deleted");
    fs::rename(path, name)
}

fn stat(directory: &Path, number: u64) -> Segment {
    let metadata = fs::metadata(path_of(directory, number)).ok();
    let newest = metadata.as_ref().and_then(|metadata| metadata.modified().ok());
    let newest = newest.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let newest = newest.and_then(|since| i64::try_from(since.as_nanos()).ok());
    Segment {
        number,
        bytes: metadata.map_or(0, |metadata| metadata.len()),
        newest: newest.unwrap_or(0),
    }
}

// === impl OpenError ===

impl OpenError {
    fn of(what: &'static str, path: PathBuf, error: io::Error) -> Self {
        use io::ErrorKind::{
            AlreadyExists, InvalidInput, NotADirectory, NotFound, PermissionDenied,
        };
        match error.kind() {
            AlreadyExists | InvalidInput | NotADirectory | NotFound | PermissionDenied => {
                OpenError::Unusable { what, path, error }
            }
            _ => OpenError::Volume { what, path, error },
        }
    }
}
