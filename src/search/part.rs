//! The interface between a read and a part. Searches and listings are written once for memtables and segments.
//!
//! Invariants:
//! * Methods that a loop calls for each row cannot fail: the `ensure_` methods check what they read before the loop.
//! * A row's vectors have consecutive numbers; numbers rise with the rows.
//! * Numbers from a file are also compared with its counts before the loop, so no file causes an index out of bounds.

use std::ops::Range;

use crate::distance::Kernels;
use crate::error::Result;
use crate::filter::{AskedOfItem, ItemFacts};
use crate::ids::{Id, IdRange, RowId, VectorId};
use crate::quant::CodeMeta;
use crate::record::{ALIVE, Lsn};
use crate::segment::Segment;
use crate::segment::blob::values::UnreadValue;
use crate::segment::tombstones::Tombstones;
use crate::segment::truth::layout::Section;
use crate::types::KeyPosition;

/// Rows that an estimate of the living ones looks at.
const LIVE_SAMPLE: usize = 128;
/// Bytes of a cache line.
const LINE_BYTES: usize = 64;
/// Multiples of this number, modulo the length of a range, are spread over the range without a period.
const SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;

/// The rows of one part that a read covers.
#[derive(Clone, Debug)]
pub(crate) enum Rows<'a> {
    /// Consecutive ones: an interval of a segment.
    Range(Range<RowId>),
    /// Single ones, in any order: rows of a memtable.
    List(&'a [RowId]),
    /// Single ones, rising: rows of a segment that may pass a filter.
    Rising(&'a [RowId]),
}

impl<'a> Rows<'a> {
    pub fn len(&self) -> usize {
        match self {
            Self::Range(range) => range.len(),
            Self::List(rows) | Self::Rising(rows) => rows.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The row at position `index`, which is below [`len`](Self::len).
    #[inline]
    pub fn at(&self, index: usize) -> RowId {
        match self {
            Self::Range(range) => range.start + index as u32,
            Self::List(rows) | Self::Rising(rows) => rows[index],
        }
    }

    /// The shortest range that covers the rows.
    pub fn span(&self) -> Range<RowId> {
        match self {
            Self::Range(range) => range.clone(),
            Self::List([]) => RowId::range(0..0),
            Self::List(rows) => {
                // As plain numbers, of which several are compared at once.
                let numbers = rows.iter().map(|row| row.0);
                let (first, last) = (numbers.clone().fold(u32::MAX, u32::min), numbers.fold(0, u32::max));
                RowId(first)..RowId(last).saturating_next()
            }
            Self::Rising([first, .., last]) => *first..last.saturating_next(),
            Self::Rising(rows) => rows.first().map_or(RowId::range(0..0), |&row| row..row.saturating_next()),
        }
    }

    /// The rows at the positions `start..end`; `end` is at most [`len`](Self::len).
    pub fn slice(&self, start: usize, end: usize) -> Rows<'a> {
        match self {
            Self::Range(range) => Rows::Range(range.start + start as u32..range.start + end as u32),
            Self::List(rows) => Rows::List(&rows[start..end]),
            Self::Rising(rows) => Rows::Rising(&rows[start..end]),
        }
    }
}

/// The adjacent codes of consecutive rows.
#[derive(Clone, Copy)]
pub(crate) struct Run<'a> {
    pub codes: &'a [i8],
    pub metas: &'a [CodeMeta],
    /// Whether each row has exactly one code.
    pub one_each: bool,
}

/// One part of a shard: a segment with its tombstones, or a memtable.
pub(crate) trait PartColumns {
    /// Checks what a loop over these rows reads of their LSNs and expiries.
    fn ensure_rows(&self, rows: &Rows) -> Result<()>;

    /// Checks what a loop over these rows reads of their times of writing.
    fn ensure_times(&self, rows: &Rows) -> Result<()>;

    /// Checks what a loop over these rows reads of the numbers and norms of their vectors.
    fn ensure_vectors(&self, rows: &Rows) -> Result<()>;

    /// Checks the codes of these rows, after `ensure_vectors`. Returns whether the codes can be used.
    fn ensure_codes(&self, rows: &Rows) -> bool;

    /// Whether every one of these rows is certainly visible at `read_lsn` and not expired at `now`. May return false
    /// where all of them are.
    fn sees_all(&self, rows: &Rows, read_lsn: Lsn, now: i64) -> bool;

    /// Whether the row is visible at `read_lsn` and not expired at `now`.
    fn sees(&self, row: RowId, read_lsn: Lsn, now: i64) -> bool;

    /// LSN of the row.
    fn lsn(&self, row: RowId) -> Lsn;

    /// When the row was written: microseconds since 1970 UTC.
    fn updated_at(&self, row: RowId) -> i64;

    /// What a filter asks for beside the value. Facts that it does not ask for may be anything.
    fn item_facts(&self, row: RowId, asked: AskedOfItem) -> Result<ItemFacts<'_>>;

    /// Namespace and key of the row.
    fn address(&self, row: RowId) -> Result<KeyPosition<'_>>;

    /// The JSON object, for a filter.
    fn value(&self, row: RowId) -> Result<UnreadValue<'_>>;

    /// The numbers of the row's vectors.
    fn row_vectors(&self, row: RowId) -> Range<VectorId>;

    /// The field path of one of the row's vectors.
    fn vector_path(&self, row: RowId, vector: VectorId) -> Result<&str>;

    /// The codes of these rows, if they are adjacent. Only if codes can be used.
    fn run_of_codes(&self, rows: &Rows) -> Option<Run<'_>>;

    /// Prefetches the code of a vector and its meta. Only if codes can be used.
    fn prefetch_code(&self, vector: VectorId);

    /// The code of a vector, one stride long. Only if codes can be used.
    fn code(&self, vector: VectorId) -> &[i8];

    /// The meta of a vector's code. Only if codes can be used.
    fn meta(&self, vector: VectorId) -> CodeMeta;

    /// A vector as it was given.
    fn vector(&self, vector: VectorId) -> Result<&[f32]>;

    /// One over the norm of a vector.
    fn inverse_norm(&self, vector: VectorId) -> f32;
}

/// A segment as one read sees it: its columns, looked up once.
///
/// The rows that its methods are given come from the segment's own intervals, so they are rows of the segment.
pub(crate) struct SegmentView<'a> {
    segment: &'a Segment,
    tombstones: &'a Tombstones,
    lsns: &'a [u64],
    /// The LSN that `lsns` are relative to; 0 if they are absolute.
    lsn_base: Lsn,
    updated_at: &'a [i64],
    expires_at: &'a [i64],
    /// The first vector of each row, then the number of vectors.
    first_vectors: &'a [VectorId],
    inverse_norms: &'a [f32],
    codes: &'a [i8],
    metas: &'a [CodeMeta],
    stride: usize,
}

impl<'a> SegmentView<'a> {
    pub fn new(segment: &'a Segment, tombstones: &'a Tombstones) -> Self {
        let codes = segment.codes(VectorId::range(0..0));
        Self {
            segment,
            tombstones,
            lsns: segment.lsn_column(),
            lsn_base: segment.lsn_base(),
            updated_at: segment.updated_at_column(),
            expires_at: segment.expires_at_column(),
            first_vectors: segment.first_vector_column(),
            inverse_norms: segment.inverse_norm_column(),
            codes: codes.map_or(&[], |codes| codes.codes()),
            metas: codes.map_or(&[], |codes| codes.metas()),
            stride: codes.map_or(0, |codes| codes.stride()),
        }
    }

    pub fn segment(&self) -> &'a Segment {
        self.segment
    }

    /// The share of `rows` that were not deleted, from a sample. It depends on these rows alone: what others delete in
    /// the segment changes no search here.
    pub fn live_share(&self, rows: &Range<RowId>) -> f64 {
        if rows.is_empty() || self.tombstones.none_dead_in(rows.clone()) {
            return 1.0;
        }
        let (all, sampled) = (rows.len() as u64, rows.len().min(LIVE_SAMPLE));
        let is_alive = |&index: &usize| {
            let at = if sampled == rows.len() { index as u64 } else { (index as u64).wrapping_mul(SPREAD) % all };
            self.tombstones.deleted_lsn(RowId(rows.start.0 + at as u32)) == ALIVE
        };
        (0..sampled).filter(is_alive).count() as f64 / sampled as f64
    }

    /// The first row of `rows` that is not deleted at `read_lsn`, or the end of the rows.
    pub fn first_not_deleted(&self, rows: Range<RowId>, read_lsn: Lsn) -> RowId {
        self.tombstones.first_not_deleted(rows, read_lsn)
    }

    /// Whether each of the consecutive `rows` has one vector.
    pub fn has_one_vector_a_row(&self, rows: &Range<RowId>) -> bool {
        if self.ensure_vectors(&Rows::Range(rows.clone())).is_err() {
            return false;
        }
        let bounds = self.bounds_of_vectors(rows);
        bounds.iter().zip(bounds[0].0..).all(|(&bound, expected)| bound.0 == expected)
    }

    /// Prefetches the memory that the exact score of a row reads. `vector` is one of the row's vectors.
    #[inline]
    pub fn prefetch_score(&self, row: RowId, vector: VectorId) {
        self.segment.prefetch_vector(vector);
        Kernels::prefetch(self.inverse_norms.as_ptr().wrapping_add(vector.index()));
        Kernels::prefetch(self.first_vectors.as_ptr().wrapping_add(row.index()));
        Kernels::prefetch(self.lsns.as_ptr().wrapping_add(row.index()));
    }

    /// Whether the vectors of each of these rising rows come after those of the row before, the first ones at `from`.
    fn have_rising_vectors(&self, rows: &[RowId], from: VectorId) -> bool {
        let mut next = from;
        rows.iter().all(|&row| {
            let vectors = self.row_vectors(row);
            let follow = next <= vectors.start && vectors.start <= vectors.end;
            next = vectors.end;
            follow
        })
    }

    /// The first vector of each of these rows, then the end of the vectors of the last row.
    fn bounds_of_vectors(&self, rows: &Range<RowId>) -> &'a [VectorId] {
        &self.first_vectors[rows.start.index()..=rows.end.index()]
    }
}

impl PartColumns for SegmentView<'_> {
    fn ensure_rows(&self, rows: &Rows) -> Result<()> {
        self.segment.ensure_rows(rows.span(), &[Section::Lsn, Section::ExpiresAt])
    }

    fn ensure_times(&self, rows: &Rows) -> Result<()> {
        self.segment.ensure_rows(rows.span(), &[Section::UpdatedAt])
    }

    fn ensure_vectors(&self, rows: &Rows) -> Result<()> {
        let span = rows.span();
        self.segment.ensure_rows(span.start..span.end.saturating_next(), &[Section::FirstVector])?;
        // A right checksum proves which bytes were written, not that they make sense.
        let bounds = self.bounds_of_vectors(&span);
        let (first, end) = (bounds[0], bounds[bounds.len() - 1]);
        // Of single rows only their own bounds are looked at: the span may be the whole segment.
        let make_sense = match rows {
            Rows::Rising(rows) => self.have_rising_vectors(rows, first),
            Rows::Range(_) | Rows::List(_) => bounds.is_sorted(),
        };
        if !make_sense || end.0 > self.segment.vectors() {
            return span.ids().try_for_each(|row| self.segment.row_vectors(row).map(drop));
        }
        self.segment.ensure_vectors(first..end, &[Section::InverseNorm])
    }

    fn ensure_codes(&self, rows: &Rows) -> bool {
        let bounds = self.bounds_of_vectors(&rows.span());
        self.segment.codes(bounds[0]..bounds[bounds.len() - 1]).is_some()
    }

    fn sees_all(&self, rows: &Rows, read_lsn: Lsn, now: i64) -> bool {
        let (header, span) = (self.segment.header(), rows.span());
        self.segment.newest_lsn() <= read_lsn
            && now < header.earliest_expiry
            && self.tombstones.none_touched_in(span.clone())
            && self.tombstones.none_dead_in(span)
    }

    #[inline]
    fn sees(&self, row: RowId, read_lsn: Lsn, now: i64) -> bool {
        let expires_at = self.tombstones.expires_at(row, self.expires_at[row.index()]);
        self.lsn(row) <= read_lsn && !self.tombstones.is_deleted_at(row, read_lsn) && now < expires_at
    }

    #[inline]
    fn lsn(&self, row: RowId) -> Lsn {
        // In a damaged file the sum may exceed the largest LSN. Then it saturates, and no read view shows the row.
        self.lsn_base.saturating_add(self.lsns[row.index()])
    }

    #[inline]
    fn updated_at(&self, row: RowId) -> i64 {
        self.updated_at[row.index()]
    }

    /// Each fact is checked as it is read: few filters ask, and few rows are asked.
    fn item_facts(&self, row: RowId, asked: AskedOfItem) -> Result<ItemFacts<'_>> {
        let mut facts = ItemFacts::NONE;
        if asked.created_at {
            facts.created_at = self.segment.cell(Section::CreatedAt, row.index())?;
        }
        if asked.updated_at {
            facts.updated_at = self.segment.cell(Section::UpdatedAt, row.index())?;
        }
        if asked.expires_at {
            let stored = self.segment.cell(Section::ExpiresAt, row.index())?;
            facts.expires_at = self.tombstones.expires_at(row, stored);
        }
        if asked.key {
            facts.key = self.segment.key(row)?;
        }
        Ok(facts)
    }

    fn address(&self, row: RowId) -> Result<KeyPosition<'_>> {
        let namespace = self.segment.namespace(self.segment.namespace_of(row)?)?;
        Ok(KeyPosition { namespace, key: self.segment.key(row)? })
    }

    #[inline]
    fn value(&self, row: RowId) -> Result<UnreadValue<'_>> {
        self.segment.unread_value(row)
    }

    #[inline]
    fn row_vectors(&self, row: RowId) -> Range<VectorId> {
        self.first_vectors[row.index()]..self.first_vectors[row.index() + 1]
    }

    fn vector_path(&self, _: RowId, vector: VectorId) -> Result<&str> {
        self.segment.vector_path(vector).map(|path| &**path)
    }

    fn run_of_codes(&self, rows: &Rows) -> Option<Run<'_>> {
        let Rows::Range(range) = rows else { return None };
        let bounds = self.bounds_of_vectors(range);
        let (first, end) = (bounds[0].index(), bounds[bounds.len() - 1].index());
        // No early exit, so that the compiler vectorises the loop.
        let one_each =
            bounds.iter().zip(bounds[0].0..).fold(true, |all, (&bound, expected)| all & (bound.0 == expected));
        let codes = &self.codes[first * self.stride..end * self.stride];
        Some(Run { codes, metas: &self.metas[first..end], one_each })
    }

    #[inline]
    fn prefetch_code(&self, vector: VectorId) {
        let code = self.codes.as_ptr().wrapping_add(vector.index() * self.stride);
        (0..self.stride).step_by(LINE_BYTES).for_each(|at| Kernels::prefetch(code.wrapping_add(at)));
        Kernels::prefetch(self.metas.as_ptr().wrapping_add(vector.index()));
    }

    #[inline]
    fn code(&self, vector: VectorId) -> &[i8] {
        &self.codes[vector.index() * self.stride..][..self.stride]
    }

    #[inline]
    fn meta(&self, vector: VectorId) -> CodeMeta {
        self.metas[vector.index()]
    }

    #[inline]
    fn vector(&self, vector: VectorId) -> Result<&[f32]> {
        self.segment.vector(vector)
    }

    #[inline]
    fn inverse_norm(&self, vector: VectorId) -> f32 {
        self.inverse_norms[vector.index()]
    }
}
