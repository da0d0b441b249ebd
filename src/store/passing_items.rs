//! All items of an interval that pass a filter: counted, or visited without being read.
//!
//! Invariants:
//! * An item is counted and visited at most once: a read view shows one version of each key.
//! * Values are read only where the field index does not decide the filter.

use crate::error::Result;
use crate::filter::PreparedFilter;
use crate::ids::RowId;
use crate::search::conditions::Conditions;
use crate::search::visit::{count, visit};
use crate::shard::PartRef;
use crate::store::read::{ReadContext, with_part};
use crate::types::Interval;

/// Counts the items of an interval that the read shows and that pass the filter.
pub(super) fn count_items(
    reader: &ReadContext<'_>,
    interval: &Interval,
    filter: Option<&PreparedFilter>,
    incomplete: &mut bool,
) -> Result<u64> {
    let mut total = 0;
    for portion in reader.portions(interval, incomplete)? {
        let passing = portion.rows.passing(reader.engine, &portion.part, filter);
        let conditions = Conditions { passing: passing.as_deref(), ..reader.conditions(filter) };
        let counted = with_part!(portion.part, part => count(part, &portion.rows(), &conditions));
        total += reader.tolerate(counted, incomplete)?.unwrap_or(0);
    }
    *incomplete |= reader.take_skipped();
    Ok(total)
}

/// Calls `each` with the rows of an interval that the read shows and that pass the filter. If `each` returns false, the
/// rest of the part is left out. The rows of a segment come in the order of (namespace, key).
pub(super) fn visit_items<'a>(
    reader: &ReadContext<'a>,
    interval: &Interval,
    filter: Option<&PreparedFilter>,
    each: &mut dyn FnMut(&PartRef<'a>, RowId) -> Result<bool>,
) -> Result<bool> {
    let mut incomplete = false;
    for portion in reader.portions(interval, &mut incomplete)? {
        let passing = portion.rows.passing(reader.engine, &portion.part, filter);
        let conditions = Conditions { passing: passing.as_deref(), ..reader.conditions(filter) };
        let each = &mut |row| each(&portion.part, row);
        let visited = with_part!(portion.part, part => visit(part, &portion.rows(), &conditions, each));
        reader.tolerate(visited, &mut incomplete)?;
    }
    Ok(incomplete | reader.take_skipped())
}
