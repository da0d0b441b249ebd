//! Reads of one part that need no vector: the newest rows, and rows in key order.
//!
//! Invariants:
//! * Listing order is (`updated_at` descending, LSN descending), one order for all parts; key order is (encoded
//!   namespace, key).
//! * The filter costs the most and is asked last. [`newest`] asks it only about rows that would enter the result.
//! * No allocation grows with the caller's limit, only with the rows found.

use std::ops::RangeInclusive;

use crate::error::Result;
use crate::ids::{IdRange, PartIndex, RowId};
use crate::memtable::Memtable;
use crate::search::conditions::Conditions;
use crate::search::context::is_of_field;
use crate::search::part::{PartColumns, Rows, SegmentView};
use crate::topk::{ListedRow, Newest, RowAddress};
use crate::types::{Interval, KeyPosition};

/// The sample from which the limits of bands are chosen has roughly this many rows at most.
const SAMPLE_ROWS_MAX: usize = 512;
/// At most one of this many rows is sampled. A listing of fewer rows takes no sample.
const ROWS_PER_SAMPLE: usize = 4;
/// Sampled rows of the first band, besides twice those that the limit needs.
const FIRST_BAND_EXCESS: usize = 4;
/// Each band ends this many times as deep in the sample as the band before it.
const BAND_GROWTH: usize = 8;
/// Where at most one of so many rows may pass by the field index, only these are visited.
const ROWS_PER_LISTED: usize = 4;
/// Rows between two checks of the deadline.
const BLOCK_ROWS: usize = 4_096;

/// Which rows a listing returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ListKind<'a> {
    All,
    /// Rows without vectors, which follow the scored rows in the result of a search.
    WithoutVectors,
    /// The same in a search by the vectors of one field: rows without such vectors.
    WithoutField(&'a str),
}

impl ListKind<'_> {
    #[inline]
    fn includes<P: PartColumns>(self, part: &P, row: RowId) -> Result<bool> {
        match self {
            Self::All => Ok(true),
            Self::WithoutVectors => Ok(part.row_vectors(row).is_empty()),
            Self::WithoutField(field) => {
                for vector in part.row_vectors(row).ids() {
                    if is_of_field(part.vector_path(row, vector)?, field) {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
        }
    }
}

/// The parameters of a listing.
#[derive(Clone, Copy)]
pub(crate) struct Sought<'a> {
    pub kind: ListKind<'a>,
    /// Only rows that come after this one in listing order.
    pub below: Option<ListedRow>,
    pub conditions: &'a Conditions<'a>,
}

/// Adds the newest of `rows`, of the part numbered `number`, to `newest`.
pub(crate) fn newest<P: PartColumns>(
    part: &P,
    number: PartIndex,
    rows: &Rows,
    sought: &Sought<'_>,
    newest: &mut Newest,
) -> Result<()> {
    if let (Rows::Range(range), Some(passing)) = (rows, sought.conditions.passing)
        && passing.possible.len().saturating_mul(ROWS_PER_LISTED) <= rows.len()
    {
        let listed: Vec<RowId> = passing.possible.rows_in(range).collect();
        return newest_of(part, number, &Rows::Rising(&listed), sought, newest);
    }
    newest_of(part, number, rows, sought, newest)
}

/// The same, of all of `rows`.
fn newest_of<P: PartColumns>(
    part: &P,
    number: PartIndex,
    rows: &Rows,
    sought: &Sought<'_>,
    newest: &mut Newest,
) -> Result<()> {
    if rows.is_empty() || newest.limit() == 0 {
        return Ok(());
    }
    part.ensure_times(rows)?;
    part.ensure_rows(rows)?;
    if sought.kind != ListKind::All {
        part.ensure_vectors(rows)?;
    }
    // Rows are visited in bands of time, the newest band first. A sample gives the limits of the bands. So few rows
    // enter the heap and leave it again, whatever the order of the rows is. Once the heap is full and its oldest row is
    // not older than the band, the older bands are not visited.
    let mut before = sought.below.map_or(i64::MAX, |below| below.updated_at);
    let step = (rows.len() / SAMPLE_ROWS_MAX).max(ROWS_PER_SAMPLE);
    let mut sample = sample_times(part, rows, step);
    sample.retain(|&time| time <= before);
    let mut rank = FIRST_BAND_EXCESS + newest.limit().min(rows.len()) / step * 2;
    loop {
        let from = match sample.len().checked_sub(rank + 1) {
            Some(index) => *sample.select_nth_unstable(index).1,
            None => i64::MIN,
        };
        visit_band(part, number, rows, sought, from..=before, newest)?;
        if from == i64::MIN || newest.worst().is_some_and(|worst| worst.updated_at >= from) {
            return Ok(());
        }
        before = from - 1;
        rank *= BAND_GROWTH;
    }
}

/// The time of every `step`th row.
fn sample_times<P: PartColumns>(part: &P, rows: &Rows, step: usize) -> Vec<i64> {
    (0..rows.len() / step).map(|index| part.updated_at(rows.at(index * step))).collect()
}

/// Adds the newest rows of a band of time to `newest`.
fn visit_band<P: PartColumns>(
    part: &P,
    number: PartIndex,
    rows: &Rows,
    sought: &Sought<'_>,
    band: RangeInclusive<i64>,
    newest: &mut Newest,
) -> Result<()> {
    // Copied to locals, so that the loop does not read constant values through references.
    let Sought { kind, below, conditions } = *sought;
    let (mut oldest, latest) = band.into_inner();
    for start in (0..rows.len()).step_by(BLOCK_ROWS).rev() {
        conditions.check_deadline()?;
        let block = rows.slice(start, rows.len().min(start + BLOCK_ROWS));
        for row in (0..block.len()).rev().map(|index| block.at(index)) {
            let updated_at = part.updated_at(row);
            if updated_at < oldest || updated_at > latest {
                continue;
            }
            let listed = ListedRow { updated_at, lsn: part.lsn(row), place: RowAddress { part: number, row } };
            if below.is_some_and(|below| listed >= below) || !newest.would_keep(&listed) {
                continue;
            }
            let is_wanted = conditions.sees(part, row)
                && conditions.readable(kind.includes(part, row))?.unwrap_or(false)
                && conditions.wants(part, row)?;
            if is_wanted {
                newest.push(listed);
                oldest = newest.worst().map_or(oldest, |worst| oldest.max(worst.updated_at));
            }
        }
    }
    Ok(())
}

/// The keys that a page in key order covers, and its length.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ListPage<'a> {
    pub interval: &'a Interval,
    /// Only keys with this prefix.
    pub key_prefix: &'a str,
    /// The position after which the page starts.
    pub after: Option<KeyPosition<'a>>,
    /// The largest number of rows.
    pub limit: usize,
}

/// One row of a page. Rows of several parts merge by (namespace, key), which no two visible rows share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct KeyedRow<'a> {
    /// The encoded namespace.
    pub namespace: &'a [u8],
    pub key: &'a str,
    pub row: RowId,
}

/// The rows of a page that satisfy the conditions, in key order, from a memtable.
pub(crate) fn page_of_memtable<'a>(
    memtable: &'a Memtable,
    page: &ListPage,
    conditions: &Conditions,
) -> Result<Vec<KeyedRow<'a>>> {
    let mut found: Vec<KeyedRow<'a>> = Vec::new();
    let mut after = page.after;
    while found.len() < page.limit {
        conditions.check_deadline()?;
        let rows = memtable.rows_by_key(
            page.interval,
            page.key_prefix,
            after,
            conditions.read_lsn,
            page.limit.min(BLOCK_ROWS),
        );
        let Some(&last) = rows.last() else { break };
        let keyed = |row: RowId| {
            let record = &memtable.row(row).record;
            KeyedRow { namespace: record.namespace.encoded(), key: &record.key, row }
        };
        for row in rows {
            if found.len() < page.limit && conditions.sees(memtable, row) && conditions.wants(memtable, row)? {
                found.push(keyed(row));
            }
        }
        let KeyedRow { namespace, key, .. } = keyed(last);
        after = Some(KeyPosition { namespace, key });
    }
    Ok(found)
}

/// The rows of a page that satisfy the conditions, in key order, from a segment.
pub(crate) fn page_of_segment<'a>(
    part: &SegmentView<'a>,
    page: &ListPage,
    conditions: &Conditions,
) -> Result<Vec<KeyedRow<'a>>> {
    let segment = part.segment();
    let mut found = Vec::new();
    for number in segment.namespaces_in(page.interval)? {
        let namespace = segment.namespace(number)?;
        if page.after.is_some_and(|after| namespace < after.namespace) {
            continue;
        }
        conditions.check_deadline()?;
        let rows = segment.namespace_rows(number)?;
        let after = page.after.and_then(|after| (namespace == after.namespace).then_some(after.key));
        let start = segment.seek_key(rows.clone(), after.map_or(page.key_prefix, |key| key.max(page.key_prefix)))?;
        for row in (start..rows.end).ids() {
            if found.len() >= page.limit {
                return Ok(found);
            }
            let key = segment.key(row)?;
            if !key.starts_with(page.key_prefix) {
                break;
            }
            part.ensure_rows(&Rows::Range(row..row + 1))?;
            if after != Some(key) && conditions.sees(part, row) && conditions.wants(part, row)? {
                found.push(KeyedRow { namespace, key, row });
            }
        }
    }
    Ok(found)
}
