//! The rows of an index in the order of their values at a path: a listing in that order reads the first values only.
//!
//! Rows come in buckets. The values of a bucket lie wholly before those of the next one. In most buckets all values are
//! equal, and the bucket says which value that is. Long strings of one beginning, and the short strings between them,
//! share a bucket without a value: the index does not know their order.
//!
//! Invariants:
//! * Every row of the interval is in exactly one bucket, unless it is indexed in part ([`OrderedRows::partial`]).
//! * A walk reads the keys of one block at a time, and the postings of one bucket.

use std::ops::Range;

use crate::error::Result;
use crate::field_index::format::BLOCK_ENTRIES;
use crate::field_index::key::{BEGINNING_BYTES, NULL, STRING};
use crate::field_index::keys::long_keys;
use crate::field_index::path;
use crate::field_index::reader::{FieldIndex, FoundPath, PathIndex};
use crate::fields::FieldPath;
use crate::ids::RowId;
use crate::row_set::{RowSet, RowSetBuilder};

/// Rows whose values lie between those of the bucket before and those of the next one.
pub(crate) struct ValueBucket {
    pub rows: RowSet,
    /// The bytes of the value of all rows, as `fields/order.rs` writes them; else the beginning that all of them have.
    pub value: Vec<u8>,
    /// Whether the value is that of all rows.
    pub is_one_value: bool,
    /// How many keys of the index were read for it.
    pub keys: usize,
}

/// A walk over the rows of an interval.
pub(crate) struct OrderedRows<'a> {
    /// `None` if no row has a value at the path.
    place: Option<PathIndex<'a>>,
    interval: Range<RowId>,
    partial: RowSet,
    is_descending: bool,
    /// The keys that were not visited.
    left: Range<u32>,
    /// Whether every row has a value there, so that none has to be looked for that has none.
    has_all: bool,
    /// Whether the rows without a value were visited. They come with those of null.
    has_given_null: bool,
    /// The block whose keys are kept, and the keys.
    block: Option<(usize, Vec<Vec<u8>>)>,
}

impl<'a> FieldIndex<'a> {
    /// The rows of `interval` in the order of their values at `path`. `None` if the index does not know the path, or if
    /// some rows have a field whose name is all of a path with dots.
    pub fn in_order(
        &self,
        path: &FieldPath,
        interval: &Range<RowId>,
        is_descending: bool,
    ) -> Result<Option<OrderedRows<'a>>> {
        let find = |keys: &mut dyn Iterator<Item = &[u8]>| match path::of_keys(keys, false) {
            Some(path) => self.find(&path),
            None => Ok(FoundPath::Unknown),
        };
        let name = find(&mut std::iter::once(path.as_str().as_bytes()))?;
        let found = match (name, path.components()) {
            (name, []) => name,
            (FoundPath::Absent, components) => find(&mut components.iter().map(|component| component.as_bytes()))?,
            (FoundPath::Unknown | FoundPath::Found(_), _) => FoundPath::Unknown,
        };
        let place = match found {
            FoundPath::Unknown => return Ok(None),
            FoundPath::Absent => None,
            FoundPath::Found(place) => Some(place),
        };
        Ok(Some(OrderedRows {
            left: 0..place.map_or(0, |place| place.keys()),
            has_all: place.is_some_and(|place| place.has_all(self.rows())),
            place,
            interval: interval.clone(),
            partial: self.partial(interval, self.is_forced(path.as_str().split('.')))?,
            is_descending,
            has_given_null: false,
            block: None,
        }))
    }
}

impl OrderedRows<'_> {
    /// Keys of the index at the path.
    pub fn keys(&self) -> usize {
        self.left.len()
    }

    /// The rows that are in no bucket, since the index does not know everything about them.
    pub fn partial(&self) -> &RowSet {
        &self.partial
    }

    /// Leaves out buckets whose values come before `value`, as far as the index knows them.
    pub fn seek(&mut self, value: &[u8]) -> Result<()> {
        self.has_given_null |= !self.is_descending && value > &[NULL][..];
        let Some(place) = &self.place else { return Ok(()) };
        // The keys of long strings follow their beginning, whatever comes after it in the strings.
        let long = if value.first() == Some(&STRING) { long_keys(place, &value[1..])? } else { 0..0 };
        if self.is_descending {
            let end = if long.is_empty() { place.lower_bound(&[value, &[0]].concat())? } else { long.end };
            self.left.end = self.left.end.min(end);
        } else {
            let start = if long.is_empty() { value } else { beginning(value) };
            self.left.start = self.left.start.max(place.lower_bound(start)?);
        }
        Ok(())
    }

    /// The next bucket.
    pub fn next(&mut self) -> Result<Option<ValueBucket>> {
        loop {
            let at = if self.is_descending { self.left.end.checked_sub(1) } else { Some(self.left.start) };
            let key = match at.filter(|at| self.left.contains(at)) {
                Some(at) => self.key(at)?.map(|key| (at, key)),
                None => None,
            };
            match key {
                // Null has the smallest key, and the rows without a value are in one bucket with it.
                _ if !self.is_descending && !self.has_given_null => return self.nulls().map(Some),
                Some((at, key)) if key == [NULL] => self.skip(at..at + 1),
                Some((at, key)) => return self.bucket(at, key).map(Some),
                None if !self.has_given_null => return self.nulls().map(Some),
                None => return Ok(None),
            }
        }
    }

    fn skip(&mut self, keys: Range<u32>) {
        if self.is_descending { self.left.end = keys.start } else { self.left.start = keys.end }
    }

    /// The key of that number; `None` if the index ends before.
    fn key(&mut self, number: u32) -> Result<Option<Vec<u8>>> {
        let Some(place) = &self.place else { return Ok(None) };
        let block = number as usize / BLOCK_ENTRIES;
        if self.block.as_ref().is_none_or(|(kept, _)| *kept != block) {
            let first = (block * BLOCK_ENTRIES) as u32;
            let mut entries = place.entries(first..place.keys().min(first + BLOCK_ENTRIES as u32))?;
            let mut keys = Vec::with_capacity(BLOCK_ENTRIES);
            while entries.next()?.is_some() {
                keys.push(entries.key().to_vec());
            }
            self.block = Some((block, keys));
        }
        let keys = self.block.as_ref().map_or(&[][..], |(_, keys)| keys.as_slice());
        Ok(keys.get(number as usize % BLOCK_ENTRIES).cloned())
    }

    /// The bucket of the key numbered `at`, the first or the last one of its bucket.
    fn bucket(&mut self, at: u32, key: Vec<u8>) -> Result<ValueBucket> {
        let Some(place) = self.place else { return self.nulls() };
        let long = if key.first() == Some(&STRING) { long_keys(&place, &key[1..])? } else { 0..0 };
        let (keys, value, is_one_value) = if long.is_empty() {
            (at..at + 1, key, true)
        } else {
            let beginning = beginning(&key).to_vec();
            (place.lower_bound(&beginning)?.min(at)..long.end.max(at + 1), beginning, false)
        };
        self.skip(keys.clone());
        let rows = self.rows(keys.clone())?;
        Ok(ValueBucket { rows, value, is_one_value, keys: keys.len() })
    }

    /// The rows of these keys.
    fn rows(&self, keys: Range<u32>) -> Result<RowSet> {
        let mut builder = RowSetBuilder::new(self.interval.clone());
        if let Some(place) = &self.place {
            let mut entries = place.entries(keys)?;
            while let Some(entry) = entries.next()? {
                place.decode(&entry, &self.interval, &mut builder)?;
            }
        }
        let rows = builder.finish();
        Ok(if self.partial.is_empty() { rows } else { rows.and(&self.partial.clone().complement()) })
    }

    /// The rows of null, and those without a value.
    fn nulls(&mut self) -> Result<ValueBucket> {
        self.has_given_null = true;
        let keys = self.place.map_or(0, |place| place.keys());
        let first = match self.place {
            Some(place) => place.lower_bound(&[NULL + 1])?,
            None => 0,
        };
        let (value, is_one_value) = (vec![NULL], true);
        if self.has_all {
            return Ok(ValueBucket { rows: self.rows(0..first)?, value, is_one_value, keys: first as usize });
        }
        let others = self.rows(first..keys)?.or(&self.partial);
        Ok(ValueBucket { rows: others.complement(), value, is_one_value, keys: keys as usize })
    }
}

/// The kind and the beginning of the key of a string: all long strings that begin so have it.
fn beginning(key: &[u8]) -> &[u8] {
    &key[..key.len().min(1 + BEGINNING_BYTES)]
}
