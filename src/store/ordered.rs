//! Listings in an order that the caller chose, page by page.
//!
//! Invariants:
//! * A page continues strictly after its cursor in the order (value, namespace, key), whatever was written since. So
//!   on a snapshot pages are slices of one list.
//! * A page has a cursor for the next one exactly if a matching item follows in its moment. A page of 0 items has none.

use crate::error::{Error, Result};
use crate::fields::{Order, OrderCursor};
use crate::filter::PreparedFilter;
use crate::ids::PartIndex;
use crate::search::conditions::Conditions;
use crate::search::ordered::{FirstRows, OrderedListing};
use crate::shard::PartRef;
use crate::store::query::{Query, SearchResult};
use crate::store::read::ReadContext;
use crate::topk::RowAddress;
use crate::types::Hit;

/// Fails if the query has an order and something that does not go with it.
pub(super) fn check_order(query: &Query) -> Result<()> {
    let Some(order) = &query.order else {
        return match query.after {
            Some(_) => Err(Error::invalid("a cursor needs the order that it is of; give order_by too")),
            None => Ok(()),
        };
    };
    if query.vector.is_some() {
        return Err(Error::invalid("a search with a vector is ordered by score; leave out order_by or the vector"));
    }
    query.after.as_ref().map_or(Ok(()), |after| after.check(order))
}

/// One page of the items of the query's scope in `order`.
pub(super) fn list_in_order(
    reader: &ReadContext<'_>,
    query: &Query,
    order: &Order,
    filter: Option<&PreparedFilter>,
) -> Result<SearchResult> {
    let (mut answer, mut incomplete) = (SearchResult::default(), false);
    let portions = reader.portions(&query.scope.interval(), &mut incomplete)?;
    let wanted = query.limit.saturating_add(query.offset);
    let mut first = FirstRows::new(order, query.after.as_ref(), wanted.saturating_add(1));
    for (number, portion) in portions.iter().enumerate() {
        let passing = portion.rows.passing(reader.engine, &portion.part, filter);
        let outcomes = portion.rows.outcomes(&portion.part, filter, passing.as_deref());
        let (passing, outcomes) = (passing.as_deref(), outcomes.as_deref());
        let conditions = Conditions { passing, outcomes, ..reader.conditions(filter) };
        let (number, conditions, rows) = (PartIndex::from_index(number), &conditions, portion.rows());
        let outcome = match portion.part {
            PartRef::Memtable(part) => OrderedListing { part: &**part, number, conditions }.add(&rows, &mut first),
            PartRef::Segment(part) => part
                .readable()
                .and_then(|part| OrderedListing { part: &part, number, conditions }.add_by_index(&rows, &mut first)),
        };
        reader.tolerate(outcome, &mut incomplete)?;
    }
    let mut rows = first.into_sorted();
    let follows = rows.len() > wanted;
    rows.truncate(wanted);
    answer.next = rows.last().filter(|_| follows).map(|last| OrderCursor::new(order, &last.value, last.address()));
    let places: Vec<((), RowAddress)> = rows.iter().skip(query.offset).map(|row| ((), row.place)).collect();
    reader.items(
        |number| portions[number.index()].part,
        &places,
        query.scope.namespace(),
        |(), item| {
            let item = reader.tolerate(item, &mut incomplete)?;
            answer.hits.extend(item.map(|item| Hit { score: None, item }));
            Ok(())
        },
    )?;
    answer.incomplete = incomplete || reader.take_skipped();
    Ok(answer)
}
