//! Every row of a part that satisfies conditions: visited one by one, or only counted.
//!
//! Invariants:
//! * If the field index decides the filter, no value is read. If it also is certain that the read shows all rows, they
//!   are counted without a look at them.
//! * Rows of a segment are visited in the order of (namespace, key), rows of a memtable in any order.

use std::ops::Range;

use crate::error::Result;
use crate::ids::RowId;
use crate::search::conditions::Conditions;
use crate::search::part::{PartColumns, Rows};

/// Rows between two checks of the deadline.
const BLOCK_ROWS: usize = 4_096;

/// Calls `each` with those of `rows` that satisfy the conditions, until `each` returns false.
pub(crate) fn visit<P: PartColumns>(
    part: &P,
    rows: &Rows<'_>,
    conditions: &Conditions<'_>,
    each: &mut dyn FnMut(RowId) -> Result<bool>,
) -> Result<()> {
    for_blocks(rows, conditions, |block| {
        conditions.check_deadline()?;
        part.ensure_rows(block)?;
        for row in (0..block.len()).map(|index| block.at(index)) {
            if conditions.sees(part, row) && conditions.wants(part, row)? && !each(row)? {
                return Ok(false);
            }
        }
        Ok(true)
    })
}

/// How many of `rows` satisfy the conditions.
pub(crate) fn count<P: PartColumns>(part: &P, rows: &Rows<'_>, conditions: &Conditions<'_>) -> Result<u64> {
    let mut count = 0;
    for_blocks(rows, conditions, |block| {
        conditions.check_deadline()?;
        part.ensure_rows(block)?;
        if !conditions.asks_values() && part.sees_all(block, conditions.read_lsn, conditions.now) {
            count += block.len() as u64;
            return Ok(true);
        }
        for row in (0..block.len()).map(|index| block.at(index)) {
            count += u64::from(conditions.sees(part, row) && conditions.wants(part, row)?);
        }
        Ok(true)
    })?;
    Ok(count)
}

/// Calls `each` with blocks of the rows that may pass the filter, as far as the field index knows, until it returns
/// false.
fn for_blocks(
    rows: &Rows<'_>,
    conditions: &Conditions<'_>,
    mut each: impl FnMut(&Rows<'_>) -> Result<bool>,
) -> Result<()> {
    if let (Some(passing), Rows::Range(range)) = (conditions.passing, rows) {
        let mut possible = passing.possible.rows_in(range);
        let mut block = Vec::new();
        loop {
            block.clear();
            block.extend(possible.by_ref().take(BLOCK_ROWS));
            if block.is_empty() || !each(&rows_of(&block))? {
                return Ok(());
            }
        }
    }
    if let (Some(passing), Rows::List(rows)) = (conditions.passing, rows) {
        let mut possible = rows.iter().copied().filter(|&row| passing.possible.contains(row));
        let mut block = Vec::new();
        loop {
            block.clear();
            block.extend(possible.by_ref().take(BLOCK_ROWS));
            if block.is_empty() || !each(&Rows::List(&block))? {
                return Ok(());
            }
        }
    }
    for start in (0..rows.len()).step_by(BLOCK_ROWS) {
        if !each(&rows.slice(start, rows.len().min(start + BLOCK_ROWS)))? {
            return Ok(());
        }
    }
    Ok(())
}

/// Rising rows, as a range if they are consecutive.
fn rows_of(rising: &[RowId]) -> Rows<'_> {
    let span: Range<RowId> = Rows::Rising(rising).span();
    let is_whole = (span.end.0 - span.start.0) as usize == rising.len();
    if is_whole { Rows::Range(span) } else { Rows::Rising(rising) }
}
