//! An iterator over the items of a scope, made of the pages of an iteration.
//!
//! Invariants:
//! * Every item is read from one snapshot. The call that makes the iterator takes the snapshot.
//! * After an error, and after the last item, the iterator ends and drops the snapshot.

use std::iter::FusedIterator;

use crate::error::{Error, Result};
use crate::store::iterate::Cursor;
use crate::store::query::IterateQuery;
use crate::store::snapshot::Snapshot;
use crate::types::Item;

/// The items of a scope in (namespace, key) order, as of one moment. Made by [`Store::items`](crate::Store::items)
/// and [`Snapshot::items`].
///
/// The iterator reads one page at a time, of [`IterateQuery::limit`] items. Until the iterator ends or is dropped, it
/// keeps the files and memory that a [`Snapshot`] keeps.
#[derive(Debug)]
pub struct Items {
    query: IterateQuery,
    page: std::vec::IntoIter<Item>,
    source: Source,
    incomplete: bool,
}

/// Where the next page comes from.
#[derive(Debug)]
enum Source {
    Snapshot(Snapshot, Option<Cursor>),
    /// The snapshot could not be taken.
    Failed(Error),
    Ended,
}

impl Items {
    pub(super) fn new(snapshot: Result<Snapshot>, query: IterateQuery) -> Self {
        let source = snapshot.map_or_else(Source::Failed, |snapshot| Source::Snapshot(snapshot, None));
        Self { query, page: Vec::new().into_iter(), source, incomplete: false }
    }

    /// Whether damaged parts or items were skipped so far. Only a read with
    /// [`ReadOptions::partial`](crate::ReadOptions::partial) skips them.
    pub fn incomplete(&self) -> bool {
        self.incomplete
    }

    /// Reads the next page. Returns false if the iteration has ended.
    fn read_page(&mut self) -> Result<bool> {
        let (snapshot, after) = match std::mem::replace(&mut self.source, Source::Ended) {
            Source::Snapshot(snapshot, after) => (snapshot, after),
            Source::Failed(error) => return Err(error),
            Source::Ended => return Ok(false),
        };
        let page = snapshot.iterate(&self.query, after.as_ref())?;
        self.incomplete |= page.incomplete;
        self.page = page.items.into_iter();
        if page.next.is_some() {
            self.source = Source::Snapshot(snapshot, page.next);
        }
        Ok(true)
    }
}

impl Iterator for Items {
    type Item = Result<Item>;

    fn next(&mut self) -> Option<Result<Item>> {
        loop {
            if let Some(item) = self.page.next() {
                return Some(Ok(item));
            }
            match self.read_page() {
                // A page is empty if all of its items are damaged.
                Ok(true) => {}
                Ok(false) => return None,
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

impl FusedIterator for Items {}
