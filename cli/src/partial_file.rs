//! Files that are complete or not there: each is written under another name, synced, and renamed when all are written.
//!
//! Invariants:
//! * A file that is not published is removed: after an error, a panic, and a signal that asks the process to end.
//! * A device or a pipe has no place for a second file and nothing to lose. It is written directly, never synced (the
//!   system may refuse that), and never removed.
//! * Every error of a write names the file that was asked for.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::{Mutex, Once, PoisonError};

use anyhow::{Context, Result, ensure};

use crate::signals;

/// The names of files that are begun and not published. A signal holds it to the end of the process, so that nothing is
/// published after its file was removed.
static BEGUN: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// A file that is being written.
pub struct PartialFile {
    file: File,
    /// The name that was asked for.
    path: PathBuf,
    /// The name until it is published; `None` for a device or a pipe.
    written: Option<PathBuf>,
}

impl PartialFile {
    /// Begins the file that will have this path.
    pub fn create(path: &Path) -> Result<Self> {
        let written = (!is_special(path)).then(|| partial(path));
        let name = written.as_deref().unwrap_or(path);
        if let Some(written) = &written {
            watch_signals();
            BEGUN.lock().unwrap_or_else(PoisonError::into_inner).push(written.clone());
        }
        let created = File::create(name).with_context(|| format!("cannot create {}", name.display()));
        match created {
            Ok(file) => Ok(Self { file, path: path.to_owned(), written }),
            Err(error) => {
                written.iter().for_each(|written| forget(written));
                Err(error)
            }
        }
    }

    /// Makes the bytes durable.
    fn sync(&self) -> io::Result<()> {
        if self.written.is_none() { Ok(()) } else { self.file.sync_all().map_err(|error| self.named(error)) }
    }

    /// The error with the name of the file. Its kind stays.
    fn named(&self, error: io::Error) -> io::Error {
        io::Error::new(error.kind(), format!("cannot write {}: {error}", self.path.display()))
    }
}

impl Write for PartialFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes).map_err(|error| self.named(error))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush().map_err(|error| self.named(error))
    }
}

impl Seek for PartialFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to).map_err(|error| self.named(error))
    }
}

impl Drop for PartialFile {
    fn drop(&mut self) {
        if let Some(written) = self.written.take() {
            let _ = fs::remove_file(&written);
            forget(&written);
        }
    }
}

/// Syncs all files, and then gives each its name.
pub fn publish(mut files: Vec<PartialFile>) -> Result<()> {
    files.iter().try_for_each(PartialFile::sync)?;
    let mut begun = BEGUN.lock().unwrap_or_else(PoisonError::into_inner);
    let mut published = Ok(());
    for file in &mut files {
        let Some(written) = file.written.as_ref().filter(|_| published.is_ok()) else { continue };
        let (from, to) = (written.display(), file.path.display());
        published = fs::rename(written, &file.path).with_context(|| format!("cannot rename {from} to {to}"));
        if published.is_ok() {
            begun.retain(|name| name != written);
            file.written = None;
        }
    }
    // A file that is dropped takes the lock.
    drop(begun);
    published
}

/// Fails if two files of these paths would be one, or would lie in the directory of the store.
pub fn check_places(paths: &[&Path], store: &Path) -> Result<()> {
    let mut taken: Vec<PathBuf> = Vec::new();
    for path in paths.iter().filter(|path| !is_special(path)) {
        let place = place_of(path);
        if let Ok(own) = fs::canonicalize(store) {
            let (path, store) = (path.display(), store.display());
            ensure!(!place.starts_with(&own), "{path} lies in the directory of the store, {store}; give another file");
        }
        let names = [partial(&place), place];
        ensure!(!names.iter().any(|name| taken.contains(name)), "two files cannot both be {}", path.display());
        taken.extend(names);
    }
    Ok(())
}

/// The path with the links of its directory resolved.
fn place_of(path: &Path) -> PathBuf {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match (fs::canonicalize(parent), path.file_name()) {
        (Ok(parent), Some(name)) => parent.join(name),
        _ => path.to_owned(),
    }
}

/// The name under which a file is written.
fn partial(path: &Path) -> PathBuf {
    let mut name: OsString = path.into();
    name.push(".partial");
    name.into()
}

/// Whether this is no ordinary file. `/dev/stdout` may be one, and a second file beside it would be a stranger there.
fn is_special(path: &Path) -> bool {
    path.starts_with("/dev") || path.starts_with("/proc") || fs::metadata(path).is_ok_and(|found| !found.is_file())
}

fn forget(written: &Path) {
    BEGUN.lock().unwrap_or_else(PoisonError::into_inner).retain(|name| name != written);
}

/// At the first signal, removes what is begun and ends the process. A write to a slow disk need not end before that.
fn watch_signals() {
    static WATCHED: Once = Once::new();
    WATCHED.call_once(|| {
        signals::at_first(|| {
            let begun = BEGUN.lock().unwrap_or_else(PoisonError::into_inner);
            for name in begun.iter() {
                let _ = fs::remove_file(name);
            }
            eprintln!("error: interrupted; what was written is removed");
            process::exit(1);
        });
    });
}
