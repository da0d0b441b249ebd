//! What an interval of a read view holds, counted for a quota, and the size of one row.
//!
//! Invariants:
//! * A row that has expired counts. Without bytes, rows of which none is deleted are counted without a look at them.
//! * What damage hides is left out, and no more than that: a scope with a damaged part takes writes. An item whose size
//!   cannot be read counts as an item, with the bytes that can be read.
//! * The size of a row is that of its record, wherever the row lies ([`record_size`]).

use crate::error::{ErrorKind, Result};
use crate::ids::{IdRange, RowId};
use crate::record::{ItemContent, Lsn};
use crate::search::conditions::Conditions;
use crate::search::part::{PartColumns, Rows};
use crate::search::visit::{count, visit};
use crate::shard::{PartRef, ReadView};
use crate::types::{Interval, Usage};

/// Bytes of a vector's dimension.
const DIMENSION_BYTES: u64 = 4;
/// Rows that are counted together: where damage hides which of them are deleted, all of them are left out.
const BLOCK_ROWS: usize = 256;

/// The bytes for which an item counts, as far as they can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ItemSize {
    pub bytes: u64,
    /// Whether damage hides none of them.
    pub is_whole: bool,
}

impl ItemSize {
    pub fn of(bytes: u64) -> Self {
        Self { bytes, is_whole: true }
    }

    /// Adds what could be read of a part of the item.
    fn and(self, read: Result<u64>) -> Result<Self> {
        match read {
            Ok(bytes) => Ok(Self { bytes: self.bytes.saturating_add(bytes), ..self }),
            Err(error) if error.kind() == ErrorKind::Damaged => Ok(Self { is_whole: false, ..self }),
            Err(error) => Err(error),
        }
    }
}

/// The bytes for which an item counts: its key, its value and its vectors.
pub(crate) fn record_size(content: &ItemContent) -> u64 {
    let dimensions: usize = content.vectors.iter().map(|vector| vector.values.len()).sum();
    (content.key.len() + content.value.len()) as u64 + DIMENSION_BYTES * dimensions as u64
}

impl PartRef<'_> {
    /// The bytes for which a row counts. That of a value which cannot be read is the size in which it is stored.
    pub fn size(&self, row: RowId) -> Result<ItemSize> {
        match *self {
            Self::Memtable(memtable) => Ok(ItemSize::of(record_size(&memtable.row(row).record))),
            Self::Segment(part) => {
                let none = ItemSize::of(0);
                let segment = match part.segment() {
                    Err(lost) => return none.and(Err(lost)),
                    Ok(segment) => segment,
                };
                let vector_bytes = DIMENSION_BYTES * segment.header().space.map_or(0, |space| space.dims as u64);
                none.and(segment.key_bytes(row).map(|key| key.len() as u64))?
                    .and(segment.value_length(row))?
                    .and(segment.row_vectors(row).map(|vectors| vector_bytes * vectors.len() as u64))
            }
        }
    }
}

/// What the read view shows of an interval, with expired rows. Without `with_bytes` these are 0.
pub(crate) fn usage(
    view: &ReadView,
    interval: &Interval,
    with_bytes: bool,
    go_on: &dyn Fn() -> Result<()>,
) -> Result<Usage> {
    let mut total = Usage::default();
    for part in view.shards_in(interval).flat_map(|shard| shard.parts()) {
        go_on()?;
        let found = usage_of_part(&part, interval, view.read_lsn, with_bytes);
        total = total.and(unless_damaged(found)?);
    }
    Ok(total)
}

/// What was counted; nothing if damage hides it.
fn unless_damaged(counted: Result<Usage>) -> Result<Usage> {
    counted.or_else(|error| if error.kind() == ErrorKind::Damaged { Ok(Usage::default()) } else { Err(error) })
}

fn usage_of_part(part: &PartRef<'_>, interval: &Interval, read_lsn: Lsn, with_bytes: bool) -> Result<Usage> {
    match *part {
        PartRef::Memtable(memtable) => {
            let mut rows = Vec::new();
            memtable.rows_in(interval, &mut rows);
            usage_of_rows(part, &**memtable, &Rows::List(&rows), read_lsn, with_bytes)
        }
        PartRef::Segment(shared) if shared.covers(interval) => {
            let rows = shared.segment()?.interval(interval)?;
            usage_of_rows(part, &shared.readable()?, &Rows::Range(rows), read_lsn, with_bytes)
        }
        PartRef::Segment(_) => Ok(Usage::default()),
    }
}

fn usage_of_rows<P: PartColumns>(
    part: &PartRef<'_>,
    columns: &P,
    rows: &Rows<'_>,
    read_lsn: Lsn,
    with_bytes: bool,
) -> Result<Usage> {
    let (conditions, mut total) = (Conditions::shown_at(read_lsn), Usage::default());
    for start in (0..rows.len()).step_by(BLOCK_ROWS) {
        let block = rows.slice(start, rows.len().min(start + BLOCK_ROWS));
        let found = if with_bytes {
            let mut found = Usage::default();
            let visited = visit(columns, &block, &conditions, &mut |row| {
                found = found.and(Usage { items: 1, bytes: part.size(row)?.bytes });
                Ok(true)
            });
            visited.map(|()| found)
        } else {
            count(columns, &block, &conditions).map(|items| Usage { items, bytes: 0 })
        };
        total = total.and(unless_damaged(found)?);
    }
    Ok(total)
}
