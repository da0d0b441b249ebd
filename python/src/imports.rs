//! Bulk imports: a Python iterable is read on the calling thread, and what it gave is written on another one.
//!
//! Invariants:
//! * The iterable and the callback are called on the thread of the call, which looks for signals at least after each
//!   few hundred
//!   items. An exception of theirs ends the import and reaches the caller unchanged; whole chunks that were written
//! before stay.
//! * After each chunk the engine waits until the callback was told, so that an exception of it ends the import there.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyIterator};
use vecmem::{Error, ErrorKind, ImportOptions, ImportProgress, ImportReport, Interrupt, Store};

use crate::errors::is_vecmem_error;
use crate::watch::{Board, Job, Pace};
use crate::writes::put_of;

/// Items asked for at once.
const ITEMS_AT_ONCE: usize = 256;

/// Batches of items that wait for the engine.
const BATCHES_MAX: usize = 4;

/// Bad items that the report describes.
const BAD_DESCRIBED: usize = 100;

/// A wait between two looks for signals.
const SHORT: Duration = Duration::from_millis(40);

/// What an import is told besides its items.
pub(crate) struct Wishes<'py> {
    pub source: Option<String>,
    pub chunk_rows: Option<usize>,
    pub skip_bad: bool,
    pub on_progress: Option<Bound<'py, PyAny>>,
}

type Items = VecDeque<vecmem::Result<vecmem::Put>>;

/// What the thread of the call and that of the engine share.
#[derive(Default)]
struct Desk {
    batches: VecDeque<Items>,
    /// No batch follows.
    ended: bool,
    /// The iterable has failed: what comes before it counts.
    failed: bool,
    /// The engine needs no more items.
    done: bool,
    /// A chunk was written that the callback was not told of.
    news: Option<ImportProgress>,
}

/// Ends an import: of a kind that none passes over. Nobody reads it, since the exception is raised instead.
fn stop() -> Error {
    Error::new(ErrorKind::Interrupted, "an exception in Python")
}

/// The engine's source of puts.
struct Feed {
    desk: Arc<Board<Desk>>,
    fetched: Items,
    interrupt: Interrupt,
}

impl Iterator for Feed {
    type Item = vecmem::Result<vecmem::Put>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if self.interrupt.is_requested() {
                return Some(Err(stop()));
            }
            if let Some(put) = self.fetched.pop_front() {
                return Some(put);
            }
            let next = self.desk.wait(SHORT, |desk| match desk.batches.pop_front() {
                Some(batch) => Some(Ok(batch)),
                None if desk.failed => Some(Err(true)),
                None if desk.ended => Some(Err(false)),
                None => None,
            });
            match next {
                Some(Ok(batch)) => {
                    self.fetched = batch;
                    self.desk.change(|_| ());
                }
                Some(Err(true)) => return Some(Err(stop())),
                Some(Err(false)) => return None,
                None => {}
            }
        }
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.desk.change(|desk| desk.done = true);
    }
}

/// The side of an import that touches Python.
struct Desktop<'a, 'py> {
    py: Python<'py>,
    items: Bound<'py, PyIterator>,
    number: usize,
    desk: &'a Board<Desk>,
    on_progress: Option<&'a Bound<'py, PyAny>>,
    told: ImportProgress,
    pace: Pace,
}

impl Desktop<'_, '_> {
    /// Hands all items over, and waits while enough of them are waiting.
    fn hand_over(&mut self) -> PyResult<()> {
        loop {
            self.look_up()?;
            let has_room = self.py.detach(|| {
                self.desk.wait(SHORT, |desk| {
                    (desk.done || desk.news.is_some() || desk.batches.len() < BATCHES_MAX)
                        .then_some(desk.news.is_none())
                })
            });
            if self.desk.lock().done {
                return Ok(());
            }
            if has_room != Some(true) {
                continue;
            }
            let (batch, end) = self.fetch();
            let (ended, failed) = (end.is_some(), end.as_ref().is_some_and(Result::is_err));
            self.desk.change(|desk| {
                desk.batches.push_back(batch);
                (desk.ended, desk.failed) = (ended, failed);
            });
            if let Some(end) = end {
                return end;
            }
        }
    }

    /// Looks for signals, and calls the callback if there is news or it is due.
    fn look_up(&mut self) -> PyResult<()> {
        self.py.check_signals()?;
        let news = self.desk.lock().news;
        self.told = news.unwrap_or(self.told);
        if let Some(on_progress) = self.on_progress.filter(|_| news.is_some() || self.pace.is_due()) {
            let ImportProgress { lines, imported, skipped, .. } = self.told;
            on_progress.call1((lines, imported, skipped))?;
        }
        if news.is_some() {
            self.desk.change(|desk| desk.news = None);
        }
        Ok(())
    }

    /// The next items, and how the iterable ended, once it has.
    fn fetch(&mut self) -> (Items, Option<PyResult<()>>) {
        let mut batch = Items::new();
        while batch.len() < ITEMS_AT_ONCE {
            let item = match self.items.next() {
                Some(Ok(item)) => item,
                Some(Err(error)) => return (batch, Some(Err(error))),
                None => return (batch, Some(Ok(()))),
            };
            self.number += 1;
            match put_of(&item, self.number) {
                Ok(put) => batch.push_back(Ok(put)),
                Err(error) if is_vecmem_error(self.py, &error) => {
                    batch.push_back(Err(Error::invalid(error.value(self.py).to_string())));
                }
                Err(error) => return (batch, Some(Err(error))),
            }
        }
        (batch, None)
    }
}

/// Imports `items`, an iterable of puts.
pub(crate) fn import<'py>(
    store: &Store,
    items: &Bound<'py, PyAny>,
    wishes: Wishes<'py>,
) -> PyResult<Bound<'py, PyDict>> {
    let py = items.py();
    let (items, desk) = (items.try_iter()?, Arc::new(Board::<Desk>::default()));
    let Wishes { source, chunk_rows, skip_bad, on_progress } = wishes;
    let order = Order { store: store.clone(), source, chunk_rows, skip_bad, tells: on_progress.is_some() };
    let there = Arc::clone(&desk);
    let job = Job::start(py, move |interrupt| run(order, there, interrupt))?;
    let (told, pace, on_progress) = (ImportProgress::default(), Pace::new(), on_progress.as_ref());
    let mut desktop = Desktop { py, items, number: 0, desk: &desk, on_progress, told, pace };
    let handed_over = desktop.hand_over();
    if let Err(error) = handed_over {
        let failed = desk.lock().failed;
        // What the iterable gave before it failed is written as far as it fills chunks.
        while failed && !desk.lock().done {
            if let Err(other) = desktop.look_up().and_then(|()| job.turn(py).map(drop)) {
                return Err(if is_vecmem_error(py, &other) { error } else { job.stop(py, other) });
            }
        }
        return Err(job.stop(py, error));
    }
    loop {
        let is_done = py.detach(|| desk.wait(SHORT, |desk| (desk.done || desk.news.is_some()).then_some(desk.done)));
        let turn = desktop.look_up().and_then(|()| if is_done == Some(true) { job.turn(py) } else { Ok(None) });
        if let Some((report, bad)) = turn.map_err(|error| job.stop(py, error))? {
            return summary(py, &report, bad);
        }
    }
}

fn summary<'py>(py: Python<'py>, report: &ImportReport, bad: Vec<(u64, String)>) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("imported", report.imported)?;
    dict.set_item("skipped", report.skipped)?;
    dict.set_item("resumed_after", report.resumed_after)?;
    dict.set_item("complete", report.progress.complete)?;
    dict.set_item("bad", bad)?;
    Ok(dict)
}

/// What the engine's side of an import needs to know.
struct Order {
    store: Store,
    source: Option<String>,
    chunk_rows: Option<usize>,
    skip_bad: bool,
    tells: bool,
}

/// The engine's side of an import.
fn run(
    order: Order,
    desk: Arc<Board<Desk>>,
    interrupt: &Interrupt,
) -> vecmem::Result<(ImportReport, Vec<(u64, String)>)> {
    let Order { store, source, chunk_rows, skip_bad, tells } = order;
    let feed = Feed { desk: Arc::clone(&desk), fetched: Items::new(), interrupt: interrupt.clone() };
    let mut bad: Vec<(u64, String)> = Vec::new();
    let mut options = ImportOptions::new();
    options = source.into_iter().fold(options, ImportOptions::source);
    options = chunk_rows.into_iter().fold(options, ImportOptions::chunk_rows);
    if skip_bad {
        options = options.on_bad(|number, error| {
            if bad.len() < BAD_DESCRIBED {
                bad.push((number, error.to_string()));
            }
            true
        });
    }
    if tells {
        options = options.on_progress(|progress: &ImportProgress| {
            desk.change(|desk| desk.news = Some(*progress));
            let is_told = |desk: &mut Desk| desk.news.is_none().then_some(());
            while !interrupt.is_requested() && desk.wait(SHORT, is_told).is_none() {}
        });
    }
    let report = store.import(feed, options)?;
    Ok((report, bad))
}
