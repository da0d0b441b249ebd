//! Bulk imports: the engine asks a Python iterable for items, chunk by chunk.
//!
//! Invariants:
//! * The engine runs detached; the iterable is asked for a few hundred items at a time.
//! * An exception of the iterable or of the progress callback ends the import and reaches the caller unchanged; whole chunks that
//!   were written before stay.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use pyo3::prelude::*;
use pyo3::types::PyDict;
use vecmem::{Error, ErrorKind, ImportOptions, ImportProgress, ImportReport, Store};

use crate::call::detached;
use crate::errors::is_vecmem_error;
use crate::writes::put_of;

/// Items asked for at once.
const ITEMS_AT_ONCE: usize = 256;

/// Bad items that the report describes.
const BAD_DESCRIBED: usize = 100;

/// What an import is told besides its items.
pub(crate) struct Wishes {
    pub source: Option<String>,
    pub chunk_rows: Option<usize>,
    pub skip_bad: bool,
    pub on_progress: Option<Py<PyAny>>,
}

/// An exception to be raised once the engine has returned.
type Raised = Mutex<Option<PyErr>>;

fn raise_later(raised: &Raised, error: PyErr) -> Error {
    *raised.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
    stop()
}

/// Ends an import: of a kind that none passes over. Nobody reads it, since the exception is raised instead.
fn stop() -> Error {
    Error::new(ErrorKind::Io, "an exception in Python")
}

/// A Python iterator as the engine's source of puts.
struct Feed<'a> {
    items: Py<PyAny>,
    fetched: VecDeque<vecmem::Result<vecmem::Put>>,
    number: usize,
    /// How the iterator ended, once it has; what was fetched before comes first.
    end: Option<PyResult<()>>,
    raised: &'a Raised,
}

impl Iterator for Feed<'_> {
    type Item = vecmem::Result<vecmem::Put>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.raised.lock().unwrap_or_else(PoisonError::into_inner).is_some() {
            return Some(Err(stop()));
        }
        if self.fetched.is_empty() && self.end.is_none() {
            Python::attach(|py| self.fetch(py));
        }
        if let Some(put) = self.fetched.pop_front() {
            return Some(put);
        }
        match self.end.replace(Ok(())) {
            Some(Err(error)) => Some(Err(raise_later(self.raised, error))),
            _ => None,
        }
    }
}

impl Feed<'_> {
    fn fetch(&mut self, py: Python<'_>) {
        let mut items = match self.items.bind(py).try_iter() {
            Ok(items) => items,
            Err(error) => return self.end = Some(Err(error)),
        };
        while self.fetched.len() < ITEMS_AT_ONCE {
            let item = match items.next() {
                Some(Ok(item)) => item,
                Some(Err(error)) => return self.end = Some(Err(error)),
                None => return self.end = Some(Ok(())),
            };
            self.number += 1;
            match put_of(&item, self.number) {
                Ok(put) => self.fetched.push_back(Ok(put)),
                Err(error) if is_vecmem_error(py, &error) => {
                    self.fetched.push_back(Err(Error::invalid(error.value(py).to_string())));
                }
                Err(error) => return self.end = Some(Err(error)),
            }
        }
    }
}

/// Imports `items`, an iterable of puts.
pub(crate) fn import<'py>(store: &Store, items: &Bound<'py, PyAny>, wishes: &Wishes) -> PyResult<Bound<'py, PyDict>> {
    let py = items.py();
    let raised = Raised::new(None);
    let iterator = items.try_iter()?.into_any().unbind();
    let mut feed = Feed { items: iterator, fetched: VecDeque::new(), number: 0, end: None, raised: &raised };
    let mut bad: Vec<(u64, String)> = Vec::new();
    let outcome = detached(py, || Ok(run(store, &mut feed, wishes, &raised, &mut bad)))?;
    if let Some(error) = raised.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(error);
    }
    let report = outcome.map_err(|error| crate::errors::from_engine(py, &error))?;
    let dict = PyDict::new(py);
    dict.set_item("imported", report.imported)?;
    dict.set_item("skipped", report.skipped)?;
    dict.set_item("resumed_after", report.resumed_after)?;
    dict.set_item("complete", report.progress.complete)?;
    dict.set_item("bad", bad)?;
    Ok(dict)
}

fn run(
    store: &Store,
    feed: &mut Feed<'_>,
    wishes: &Wishes,
    raised: &Raised,
    bad: &mut Vec<(u64, String)>,
) -> vecmem::Result<ImportReport> {
    let mut options = ImportOptions::new();
    options = wishes.source.clone().into_iter().fold(options, ImportOptions::source);
    options = wishes.chunk_rows.into_iter().fold(options, ImportOptions::chunk_rows);
    if wishes.skip_bad {
        options = options.on_bad(|number, error| {
            if bad.len() < BAD_DESCRIBED {
                bad.push((number, error.to_string()));
            }
            true
        });
    }
    if let Some(callback) = &wishes.on_progress {
        options = options.on_progress(move |progress: &ImportProgress| {
            let ImportProgress { lines, imported, skipped, .. } = *progress;
            let called = Python::attach(|py| callback.call1(py, (lines, imported, skipped)).map(drop));
            if let Err(error) = called {
                raise_later(raised, error);
            }
        });
    }
    store.import(feed, options)
}
