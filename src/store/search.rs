//! Searches and listings over all parts of a scope: search each part, merge the rows by one order, read the best items.
//!
//! Invariants:
//! * A search returns exactly `limit` items if that many match: a flat search follows if a graph gives too few.
//! * The order is (score descending, LSN descending), then unscored items in listing order. The limit and the offset
//!   apply to this one list.
//! * The number of threads changes the time that a search takes, never its result.

use std::collections::HashSet;

use crate::error::{Error, Result, shortened};
use crate::ids::PartIndex;
use crate::search::conditions::Conditions;
use crate::search::listing::{ListKind, Sought, newest};
use crate::shard::PartRef;
use crate::store::fan_out::scored;
use crate::store::query::{Query, SearchResult};
use crate::store::read::{ReadContext, with_part};
use crate::store::write::check_vector;
use crate::topk::{Newest, RowAddress, ordered_bits};
use crate::types::{Hit, Namespace, VectorSpace};

/// Runs a query on one read view.
pub(super) fn search(reader: &ReadContext<'_>, query: &Query) -> Result<SearchResult> {
    check(reader.engine.identity.keys.space, query)?;
    let filter = query.filter.as_ref().map(|filter| filter.prepare()).transpose()?;
    let mut answer = SearchResult { hits: Vec::new(), incomplete: false, explain: Vec::new() };
    if query.limit == 0 {
        return Ok(answer);
    }
    let interval = query.scope.interval();
    let portions = reader.portions(&interval, &mut answer.incomplete)?;
    let wanted = query.limit.saturating_add(query.offset);
    let mut places: Vec<(Option<f32>, RowAddress)> = Vec::new();
    if query.vector.is_some() {
        let scored = scored(reader, query, filter.as_ref(), &portions, wanted, &mut answer)?;
        places.extend(scored.into_sorted().into_iter().map(|scored| (Some(scored.score), scored.place)));
    }
    let kind = if query.vector.is_some() { ListKind::WithoutVectors } else { ListKind::All };
    if places.len() < wanted && (query.include_unscored || query.vector.is_none()) {
        let mut listed = Newest::new(wanted - places.len());
        for (number, portion) in portions.iter().enumerate() {
            let passing = portion.rows.passing(&portion.part, filter.as_ref());
            let outcomes = portion.rows.outcomes(&portion.part, filter.as_ref(), passing.as_deref());
            let (passing, outcomes) = (passing.as_deref(), outcomes.as_deref());
            let conditions = Conditions { passing, outcomes, ..reader.conditions(filter.as_ref()) };
            let sought = Sought { kind, below: None, conditions: &conditions };
            let outcome = with_part!(portion.part, part => {
                newest(part, PartIndex::from_index(number), &portion.rows(), &sought, &mut listed)
            });
            reader.tolerate(outcome, &mut answer.incomplete)?;
        }
        places.extend(listed.into_sorted().into_iter().map(|listed| (None, listed.place)));
    }
    let (places, mut incomplete) = (places.get(query.offset..).unwrap_or_default(), answer.incomplete);
    reader.items(
        |number| portions[number.index()].part,
        places,
        query.scope.namespace(),
        |score, item| {
            answer.hits.extend(reader.tolerate(item, &mut incomplete)?.map(|item| Hit { score, item }));
            Ok(())
        },
    )?;
    answer.incomplete = incomplete || reader.take_skipped();
    Ok(answer)
}

fn check(space: Option<VectorSpace>, query: &Query) -> Result<()> {
    if let Some(vector) = &query.vector {
        check_vector(space, vector).map_err(|error| error.context("the query"))?;
    }
    if !(query.recall > 0.0 && query.recall <= 1.0) {
        return Err(Error::invalid(format!(
            "a recall of {} is none; give a number above 0 and at most 1",
            query.recall
        )));
    }
    if query.min_score.is_some_and(f32::is_nan) {
        return Err(Error::invalid("min_score is NaN; give a number"));
    }
    if query.min_score.is_some() && query.vector.is_none() {
        return Err(Error::invalid("min_score needs a vector: without one nothing has a score"));
    }
    Ok(())
}

/// Searches by the vectors of a stored item. The score of another item is its best score for any of these vectors.
pub(super) fn search_by_item(
    reader: &ReadContext<'_>,
    namespace: &Namespace,
    key: &str,
    query: Query,
) -> Result<SearchResult> {
    let Some(item) = reader.with_vectors().get(namespace, key)? else {
        let key = shortened(key);
        return Err(Error::invalid(format!("there is no item {key:?} in {namespace} to search by")));
    };
    let (limit, offset) = (query.limit, query.offset);
    let wanted = limit.saturating_add(offset).saturating_add(1);
    let mut best: Vec<Hit> = Vec::new();
    let mut answer = SearchResult { hits: Vec::new(), incomplete: false, explain: Vec::new() };
    for vector in item.vectors {
        let query = Query {
            vector: Some(vector.values.into()),
            limit: wanted,
            offset: 0,
            include_unscored: false,
            ..query.clone()
        };
        let part = search(reader, &query)?;
        answer.incomplete |= part.incomplete;
        answer.explain.extend(part.explain);
        best.extend(part.hits);
    }
    let versions = reader.engine.identity.versions();
    let order = |hit: &Hit| {
        let lsn = versions.lsn(hit.item.version);
        (std::cmp::Reverse(ordered_bits(hit.score.unwrap_or(f32::NEG_INFINITY))), std::cmp::Reverse(lsn))
    };
    best.sort_by_key(order);
    let mut seen = HashSet::new();
    best.retain(|hit| hit.item.version != item.version && seen.insert(hit.item.version));
    answer.hits = best.into_iter().skip(offset).take(limit).collect();
    Ok(answer)
}
