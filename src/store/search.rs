//! Searches and listings over all parts of a scope: search each part, merge the rows by one order, read the best items.
//!
//! Invariants:
//! * A search returns exactly `limit` items if that many match: a flat search follows if a graph gives too few.
//! * The order is (score descending, LSN descending), then unscored items in listing order. The limit and the offset
//!   apply to this one list.
//! * The number of threads changes the time that a search takes, never its result.

use std::collections::HashSet;

use crate::error::{Error, Result, shortened};
use crate::search::context::is_of_field;
use crate::search::listing::ListKind;
use crate::store::fan_out::scored;
use crate::store::groups::{check_group, search_groups};
use crate::store::newest::list_rows;
use crate::store::ordered::{check_order, list_in_order};
use crate::store::query::{Query, SearchResult};
use crate::store::read::ReadContext;
use crate::store::write::check_vector;
use crate::topk::{RowAddress, ordered_bits};
use crate::types::{Hit, Namespace, VectorSpace};

/// Runs a query on one read view.
pub(super) fn search(reader: &ReadContext<'_>, query: &Query) -> Result<SearchResult> {
    check(reader.engine.identity.keys.space, query)?;
    let filter = reader.prepared(query.filter.as_ref())?;
    let mut answer = SearchResult::default();
    if query.limit == 0 {
        return Ok(answer);
    }
    if let Some((by, hits)) = &query.group {
        return search_groups(reader, query, by, *hits);
    }
    if let Some(order) = &query.order {
        return list_in_order(reader, query, order, filter.as_deref());
    }
    let interval = query.scope.interval();
    let portions = reader.portions(&interval, &mut answer.incomplete)?;
    let wanted = query.limit.saturating_add(query.offset);
    let mut places: Vec<(Option<f32>, RowAddress)> = Vec::new();
    if query.vector.is_some() {
        let scored = scored(reader, query, filter.as_deref(), &portions, wanted, &mut answer)?;
        places.extend(scored.into_sorted().into_iter().map(|scored| (Some(scored.score), scored.place)));
    }
    let kind = match &query.vector_field {
        _ if query.vector.is_none() => ListKind::All,
        Some(field) => ListKind::WithoutField(field),
        None => ListKind::WithoutVectors,
    };
    if places.len() < wanted && (query.include_unscored || query.vector.is_none()) {
        let left = wanted - places.len();
        let listed = list_rows(reader, filter.as_deref(), &portions, kind, left, &mut answer.incomplete)?;
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
    if query.vector_field.is_some() && query.vector.is_none() {
        return Err(Error::invalid("vector_field needs a vector to compare the vectors of the field with"));
    }
    check_group(query)?;
    check_order(query)
}

/// Searches by the vectors of a stored item. The score of another item is its best score for any of these vectors.
pub(super) fn search_by_item(
    reader: &ReadContext<'_>,
    namespace: &Namespace,
    key: &str,
    query: Query,
) -> Result<SearchResult> {
    if query.group.is_some() {
        return Err(Error::invalid("a search by the vectors of an item makes no groups; leave out group_by"));
    }
    let Some(item) = reader.of_vectors().get(namespace, key)? else {
        let key = shortened(key);
        return Err(Error::invalid(format!("there is no item {key:?} in {namespace} to search by")));
    };
    let (limit, offset) = (query.limit, query.offset);
    let wanted = limit.saturating_add(offset).saturating_add(1);
    let mut best: Vec<Hit> = Vec::new();
    let mut answer = SearchResult::default();
    let is_asked = |path: &str| query.vector_field.as_deref().is_none_or(|field| is_of_field(path, field));
    for vector in item.vectors.into_iter().filter(|vector| is_asked(&vector.path)) {
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
