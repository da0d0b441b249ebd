//! What an interval of a read view holds, counted for a quota, and the size of one row.
//!
//! Invariants:
//! * A row that has expired counts. Without bytes, rows of which none is deleted are counted without a look at them.
//! * What damage hides is left out: a scope with a damaged part takes writes.
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

/// The bytes for which an item counts: its key, its value and its vectors.
pub(crate) fn record_size(content: &ItemContent) -> u64 {
    let dimensions: usize = content.vectors.iter().map(|vector| vector.values.len()).sum();
    (content.key.len() + content.value.len()) as u64 + DIMENSION_BYTES * dimensions as u64
}

impl PartRef<'_> {
    /// The bytes for which a row counts. That of a value which cannot be read is the size in which it is stored.
    pub fn size(&self, row: RowId) -> Result<u64> {
        match *self {
            Self::Memtable(memtable) => Ok(record_size(&memtable.row(row).record)),
            Self::Segment(part) => {
                let segment = part.segment()?;
                let key = segment.key_bytes(row)?.len() as u64;
                let dims = segment.header().space.map_or(0, |space| space.dims as u64);
                let vectors = segment.row_vectors(row)?.len() as u64;
                Ok(key + segment.value_length(row)? + DIMENSION_BYTES * dims * vectors)
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
        match usage_of_part(&part, interval, view.read_lsn, with_bytes) {
            Ok(Usage { items, bytes }) => {
                total = Usage { items: total.items + items, bytes: total.bytes.saturating_add(bytes) };
            }
            Err(error) if error.kind() == ErrorKind::Damaged => {}
            Err(error) => return Err(error),
        }
    }
    Ok(total)
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
    let conditions = Conditions::shown_at(read_lsn);
    if !with_bytes {
        return Ok(Usage { items: count(columns, rows, &conditions)?, bytes: 0 });
    }
    let mut total = Usage::default();
    visit(columns, rows, &conditions, &mut |row| {
        total.items += 1;
        total.bytes = total.bytes.saturating_add(part.size(row)?);
        Ok(true)
    })?;
    Ok(total)
}
