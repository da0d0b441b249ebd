//! The newest rows of several parts.
//!
//! Invariant: the order is that of listings, one for all parts (`search/listing.rs`).

use crate::error::Result;
use crate::filter::PreparedFilter;
use crate::ids::PartIndex;
use crate::search::conditions::Conditions;
use crate::search::listing::{ListKind, Sought, newest};
use crate::shard::PartRef;
use crate::store::portion::Portion;
use crate::store::read::{ReadContext, with_part};
use crate::topk::Newest;

/// The newest rows of the portions.
pub(super) fn list_rows(
    reader: &ReadContext<'_>,
    filter: Option<&PreparedFilter>,
    portions: &[Portion<'_>],
    kind: ListKind<'_>,
    wanted: usize,
    incomplete: &mut bool,
) -> Result<Newest> {
    let mut listed = Newest::new(wanted);
    for (number, portion) in portions.iter().enumerate() {
        let passing = portion.rows.passing(reader.engine, &portion.part, filter);
        let outcomes = portion.rows.outcomes(&portion.part, filter, passing.as_deref());
        let (passing, outcomes) = (passing.as_deref(), outcomes.as_deref());
        let conditions = Conditions { passing, outcomes, ..reader.conditions(filter) };
        let sought = Sought { kind, below: None, conditions: &conditions };
        let outcome = with_part!(portion.part, part => {
            newest(part, PartIndex::from_index(number), &portion.rows(), &sought, &mut listed)
        });
        reader.tolerate(outcome, incomplete)?;
    }
    Ok(listed)
}
