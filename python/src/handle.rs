//! Open stores: who has which one open in this process, and how they end.
//!
//! Invariants:
//! * Engines on one directory share one store of the library; it is closed when the last of them is closed or
//!   collected, or at the exit of the interpreter, whichever comes first.
//! * `OPEN` is only locked by threads attached to the interpreter, which never detach meanwhile. Since `os.fork` is
//!   called attached, a forked child never finds it locked.
//! * A forked child closes nothing of its parent's.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use pyo3::prelude::*;
use vecmem::{ErrorKind, Store};

use crate::call::detached;
use crate::errors;
use crate::opening::{Opening, metric_name};

/// The longest that an open waits for another process before it looks for signals.
const TURN: Duration = Duration::from_millis(100);

static OPEN: Mutex<Vec<Entry>> = Mutex::new(Vec::new());

/// A store that is open in this process.
struct Entry {
    process: u32,
    path: PathBuf,
    store: Store,
    handles: usize,
}

/// One engine's part in an open store.
pub(crate) struct Handle {
    store: Store,
    process: u32,
    closed: AtomicBool,
}

/// Waits for another process in short turns, so that Python's signals, such as Ctrl-C, end the wait.
fn open_at(py: Python<'_>, path: &Path, opening: &Opening) -> PyResult<Store> {
    let began = Instant::now();
    loop {
        let left = opening.lock_timeout.saturating_sub(began.elapsed());
        let (turn_began, turn) = (Instant::now(), left.min(TURN));
        let options = opening.options.clone().lock_timeout(turn);
        match detached(py, || Ok(Store::open(path, options)))? {
            // One that was not waited for, for instance of too many open stores, is none that ends by itself.
            Err(error) if error.kind() == ErrorKind::Locked && left > turn && turn_began.elapsed() >= turn => {
                py.check_signals()?;
            }
            opened => return opened.map_err(|error| errors::from_engine(py, &error)),
        }
    }
}

fn entries() -> MutexGuard<'static, Vec<Entry>> {
    OPEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether the store is not closed yet.
fn is_open(store: &Store) -> vecmem::Result<bool> {
    match store.search_many(&[]) {
        Err(error) if error.kind() == ErrorKind::Closed => Ok(false),
        outcome => outcome.map(|_| true),
    }
}

impl Handle {
    /// Opens the store at `path`, or a temporary one.
    pub(crate) fn open(py: Python<'_>, path: Option<&Path>, opening: &Opening) -> PyResult<Self> {
        loop {
            let opened = match path {
                Some(path) => open_at(py, path, opening)?,
                None => detached(py, || Store::temporary(opening.options.clone()))?,
            };
            let registered = Self::register(&opened).map_err(|error| errors::from_engine(py, &error))?;
            if let Some(handle) = registered {
                return Ok(handle);
            }
            // The last other engine closes this store. A second close waits for the first.
            let _ = detached(py, || Ok(opened.close()))?;
        }
    }

    /// Enters an engine on `store`. `None` if the store is closed, or if its last engine is about to close it: then its
    /// entry has no handles, and the store of the entry is open.
    fn register(store: &Store) -> vecmem::Result<Option<Self>> {
        let process = std::process::id();
        let path = store.path().map(Path::to_owned).unwrap_or_default();
        let mut entries = entries();
        if !is_open(store)? {
            return Ok(None);
        }
        match entries.iter_mut().find(|entry| entry.process == process && entry.path == path) {
            Some(entry) if entry.handles == 0 && is_open(&entry.store)? => return Ok(None),
            Some(entry) => {
                entry.handles += 1;
                entry.store = store.clone();
            }
            None => entries.push(Entry { process, path, store: store.clone(), handles: 1 }),
        }
        Ok(Some(Self { store: store.clone(), process, closed: AtomicBool::new(false) }))
    }

    /// The store, unless this engine was closed.
    pub(crate) fn store(&self, py: Python<'_>) -> PyResult<&Store> {
        if self.closed.load(Ordering::Acquire) {
            return Err(errors::closed(py, "the engine has been closed; open it again"));
        }
        Ok(&self.store)
    }

    /// By what the vectors of the store compare; `None` if it keeps none.
    pub(crate) fn metric(&self) -> Option<&'static str> {
        self.store.vector_space().map(|space| metric_name(space.metric))
    }

    /// Gives up this part. Returns the store if no other engine has one; its entry stays until the close has ended.
    fn release(&self) -> Option<Store> {
        if self.closed.swap(true, Ordering::AcqRel) || self.process != std::process::id() {
            return None;
        }
        let mut entries = entries();
        let path = self.store.path().unwrap_or(Path::new(""));
        let at = entries.iter().position(|entry| entry.process == self.process && entry.path == path)?;
        entries[at].handles -= 1;
        (entries[at].handles == 0).then(|| entries[at].store.clone())
    }

    /// Closes this engine, and the store if it was the last one; again is no error.
    pub(crate) fn close(&self, py: Python<'_>) -> PyResult<()> {
        let Some(store) = self.release() else { return Ok(()) };
        let path = store.path().map(Path::to_owned).unwrap_or_default();
        let closed = detached(py, || store.close());
        entries().retain(|entry| entry.handles > 0 || entry.process != self.process || entry.path != path);
        closed
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // Attached, since this is the end of a Python object, except when the interpreter is on its way out.
        let _ = Python::try_attach(|py| {
            if let Err(error) = self.close(py) {
                error.write_unraisable(py, None);
            }
        });
    }
}

/// Closes what is still open, so that nothing acknowledged is lost and no temporary directory stays. Called at the
/// exit.
#[pyfunction]
#[pyo3(name = "_close_all")]
pub(crate) fn close_all(py: Python<'_>) -> PyResult<()> {
    let process = std::process::id();
    let stores: Vec<Store> =
        entries().extract_if(.., |entry| entry.process == process).map(|entry| entry.store).collect();
    for store in stores {
        if let Err(error) = detached(py, || store.close()) {
            error.write_unraisable(py, None);
        }
    }
    Ok(())
}
