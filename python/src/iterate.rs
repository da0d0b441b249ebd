//! Walks in (namespace, key) order as a Python iterator.
//!
//! Invariants:
//! * The whole walk sees one moment; it holds one page of items at a time.
//! * Once a purge has ended the walk, the items fetched before are let go of too, save those of its last page: nothing
//!   says of which moment they are.
//! * A forked child goes on with the items fetched before, and never waits for a thread that it does not have.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use pyo3::prelude::*;
use vecmem::{Cursor, IterateQuery, ReadOptions, Scope};

use crate::call::{Kept, detached};
use crate::items::Item;
use crate::reader::Moment;

/// Items fetched at once.
const PAGE: usize = 256;

#[doc = include_str!("docs/ItemIterator.txt")]
#[pyclass(frozen, weakref, module = "vecmem")]
pub(crate) struct ItemIterator {
    moment: Kept<Moment>,
    query: IterateQuery,
    /// Threads that share the iterator each get other items.
    place: Mutex<Place>,
    process: u32,
}

struct Place {
    page: VecDeque<vecmem::Item>,
    next: Option<Cursor>,
    left: usize,
}

impl ItemIterator {
    /// Fetches the first page, so that the walk's moment is that of the call.
    pub(crate) fn begin(
        py: Python<'_>,
        moment: Moment,
        scope: Scope,
        key_prefix: String,
        limit: usize,
        options: ReadOptions,
    ) -> PyResult<Self> {
        let query = IterateQuery::new(scope).key_prefix(key_prefix).limit(PAGE).options(options);
        let page = detached(py, || moment.iterate(&query, None))?;
        let place = Place { page: page.items.into(), next: page.next, left: limit };
        Ok(Self { moment: Kept::new(moment), query, place: Mutex::new(place), process: std::process::id() })
    }

    /// The place, once no other thread is at it.
    fn place(&self) -> vecmem::Result<MutexGuard<'_, Place>> {
        match self.place.try_lock() {
            Ok(place) => return Ok(place),
            Err(TryLockError::Poisoned(poisoned)) => return Ok(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => {}
        }
        if self.process != std::process::id() {
            // A thread of the parent was at it when this child was forked. The library says what that means.
            self.moment.iterate(&self.query, None)?;
        }
        Ok(self.place.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The next item; detached, since another thread may be fetching.
    fn advance(&self) -> vecmem::Result<Option<vecmem::Item>> {
        let mut place = self.place()?;
        if place.left == 0 {
            place.next = None;
            return Ok(None);
        }
        if place.next.as_ref().is_some_and(Cursor::is_gone) {
            place.page.clear();
        }
        while place.page.is_empty() {
            let Some(after) = &place.next else { return Ok(None) };
            let page = self.moment.iterate(&self.query, Some(after))?;
            (place.page, place.next) = (page.items.into(), page.next);
        }
        place.left -= 1;
        Ok(place.page.pop_front())
    }
}

#[pymethods]
impl ItemIterator {
    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<Py<Item>>> {
        let item = detached(py, || self.advance())?;
        item.map(|item| Py::new(py, Item::new(item))).transpose()
    }
}
