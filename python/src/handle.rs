//! Open stores: who has which one open in this process, and how they end.
//!
//! Invariants:
//! * Engines on one directory share one store of the library; it is closed when the last of them is closed or collected, or at the
//!   exit of the interpreter, whichever comes first.
//! * `OPEN` is only locked by threads attached to the interpreter, which never detach meanwhile. Since `os.fork` is called attached,
//!   a forked child never finds it locked.
//! * A forked child closes nothing of its parent's.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::prelude::*;
use vecmem::{ErrorKind, Options, Store};

use crate::call::detached;
use crate::errors;

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

fn entries() -> MutexGuard<'static, Vec<Entry>> {
    OPEN.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Handle {
    /// Opens the store at `path`, or a temporary one.
    pub(crate) fn open(py: Python<'_>, path: Option<&Path>, options: &Options) -> PyResult<Self> {
        loop {
            let opened = detached(py, || match path {
                Some(path) => Store::open(path, options.clone()),
                None => Store::temporary(options.clone()),
            })?;
            let handle = Self::register(opened);
            // The last other engine may have closed the store between these two steps.
            match detached(py, || Ok(handle.store.search_many(&[]).map(drop)))? {
                Err(error) if error.kind() == ErrorKind::Closed => drop(handle.release()),
                Err(error) => return Err(errors::from_engine(py, &error)),
                Ok(()) => return Ok(handle),
            }
        }
    }

    fn register(store: Store) -> Self {
        let process = std::process::id();
        let path = store.path().map(Path::to_owned).unwrap_or_default();
        let mut entries = entries();
        match entries.iter_mut().find(|entry| entry.process == process && entry.path == path) {
            Some(entry) => {
                entry.handles += 1;
                // What is opened last is what is alive.
                entry.store = store.clone();
            }
            None => entries.push(Entry { process, path, store: store.clone(), handles: 1 }),
        }
        Self { store, process, closed: AtomicBool::new(false) }
    }

    /// The store, unless this engine was closed.
    pub(crate) fn store(&self, py: Python<'_>) -> PyResult<&Store> {
        if self.closed.load(Ordering::Acquire) {
            return Err(errors::closed(py, "the engine has been closed; open it again"));
        }
        Ok(&self.store)
    }

    /// Gives up this part; returns the store if nobody else has one.
    fn release(&self) -> Option<Store> {
        if self.closed.swap(true, Ordering::AcqRel) || self.process != std::process::id() {
            return None;
        }
        let mut entries = entries();
        let path = self.store.path().unwrap_or(Path::new(""));
        let at = entries.iter().position(|entry| entry.process == self.process && entry.path == path)?;
        entries[at].handles -= 1;
        (entries[at].handles == 0).then(|| entries.swap_remove(at).store)
    }

    /// Closes this engine, and the store if it was the last one; again is no error.
    pub(crate) fn close(&self, py: Python<'_>) -> PyResult<()> {
        let Some(store) = self.release() else { return Ok(()) };
        detached(py, || store.close())
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

/// Closes what is still open, so that nothing acknowledged is lost and no temporary directory stays. Called at the exit.
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
