//! One input of an output of a merge: a range of rows of a segment.
//!
//! Invariants:
//! * Rows of a segment lie in (namespace, key) order. So the rows of an input on one side of a place are one range.

use std::ops::Range;

use crate::error::Result;
use crate::ids::{IdRange, RowId};
use crate::record::Lsn;
use crate::segment::Segment;
use crate::segment::tombstones::Tombstones;
use crate::types::{Interval, KeyPosition};

/// Rows of a segment that a merge reads.
#[derive(Clone)]
pub(crate) struct MergeSource<'a> {
    pub segment: &'a Segment,
    pub tombstones: &'a Tombstones,
    pub rows: Range<RowId>,
    /// Bytes of the truth file beside inline values and vectors.
    other_bytes: u64,
}

impl<'a> MergeSource<'a> {
    /// All rows of a segment whose truth file has `length` bytes.
    pub fn new(segment: &'a Segment, tombstones: &'a Tombstones, length: u64) -> Result<Self> {
        let mut values: u64 = 0;
        for row in segment.all_rows().ids() {
            let place = segment.value_place(row)?;
            values += if place.is_inline() { u64::from(place.length) } else { 0 };
        }
        let vectors = u64::from(segment.vectors()) * 4 * segment.dims() as u64;
        let other_bytes = length.saturating_sub(values.saturating_add(vectors));
        Ok(Self { segment, tombstones, rows: segment.all_rows(), other_bytes })
    }

    /// Other rows of the same segment.
    pub fn with_rows(&self, rows: Range<RowId>) -> Self {
        Self { rows, ..self.clone() }
    }

    /// Whether a merge at `base` copies the row.
    pub fn is_copied(&self, row: RowId, base: Lsn) -> bool {
        self.rows.contains(&row) && self.is_alive(row, base)
    }

    /// Whether the row is alive at `base`.
    pub fn is_alive(&self, row: RowId, base: Lsn) -> bool {
        !self.tombstones.is_deleted_at(row, base)
    }

    /// The rows that a merge at `base` copies.
    pub fn living(&self, base: Lsn) -> impl Iterator<Item = RowId> + '_ {
        self.rows.clone().ids().filter(move |&row| self.is_alive(row, base))
    }

    /// The share of the other bytes of the truth file that this many of its rows take.
    pub fn other_bytes_of(&self, rows: u64) -> u64 {
        (u128::from(self.other_bytes) * u128::from(rows) / u128::from(self.segment.rows().max(1))) as u64
    }

    /// The share of a number for the living rows of the whole segment that its living rows here have.
    pub fn share_of(&self, number: u64, base: Lsn) -> u64 {
        if self.rows == self.segment.all_rows() {
            return number;
        }
        let all = self.with_rows(self.segment.all_rows()).living(base).count().max(1);
        (u128::from(number) * self.living(base).count() as u128 / all as u128) as u64
    }

    /// The number of its rows, deleted ones included.
    pub fn count(&self) -> u64 {
        u64::from(self.rows.end.0.saturating_sub(self.rows.start.0))
    }

    /// The first row of the segment at or after a place.
    pub fn row_at(&self, place: KeyPosition<'_>) -> Result<RowId> {
        let above = Interval { low: place.namespace.to_vec(), high: Interval::everything().high };
        let number = self.segment.namespaces_in(&above)?.start;
        if number >= self.segment.namespaces() {
            return Ok(RowId(self.segment.rows()));
        }
        let rows = self.segment.namespace_rows(number)?;
        if self.segment.namespace(number)? == place.namespace {
            self.segment.seek_key(rows, place.key)
        } else {
            Ok(rows.start)
        }
    }

    /// The place of a row.
    pub fn place_of(&self, row: RowId) -> Result<KeyPosition<'a>> {
        let namespace = self.segment.namespace(self.segment.namespace_of(row)?)?;
        Ok(KeyPosition { namespace, key: self.segment.key(row)? })
    }
}
