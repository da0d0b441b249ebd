//! Credit of searches that a graph would have made cheaper: each flat search of many vectors counts towards a graph of
//! its scope, and each search with a filter that many rows pass towards a graph of these rows.
//!
//! Invariants:
//! * A flat search of a small scope costs one comparison here, and never causes a graph.
//! * Credit follows from counts and estimated costs, never from a clock.

use std::ops::Range;
use std::sync::Arc;

use crate::compact::filter_graph::filter_graph_bytes;
use crate::compact::graphs::{price_ns, vectors_of};
use crate::engine::Engine;
use crate::engine::graph_credit::GraphSaving;
use crate::ids::{IdRange, RowId};
use crate::search::context::SearchContext;
use crate::search::graph::PartPlan;
use crate::search::graph_plan::{GraphSearches, usual_visits};
use crate::search::plan::Costs;
use crate::search::searched_graph::{GraphChoice, filter_place};
use crate::segment::derived::graph_scope::GraphScope;
use crate::segment::filter_graphs::FilterSaving;
use crate::shard::PartRef;
use crate::shard::part::SharedSegment;
use crate::store::portion::{Portion, PortionRows};
use crate::store::query::Query;

/// The guessed ef per result. The measured table of ef is part of a graph, and there is no graph yet.
const EF_PER_RESULT: usize = 4;
/// The guessed number of candidates for each result that passes a filter.
const TRIED_PER_PASSED: usize = 4;
const EF_MIN: usize = 64;

/// The guessed ef per result of a graph of a filter: its queries may be unlike all rows that pass.
const FILTER_EF_PER_RESULT: usize = 4;
const LIMIT_MIN: usize = 10;
/// What a graph of a filter visits costs less, by this factor: the codes lie beside each other. Measured with filters
/// that 7 % to 15 % of 70,137 rows pass: 0.5 to 0.7.
const FILTER_VISIT: f64 = 0.6;

/// Credits a search of the rows of a segment that pass a filter, as it was planned.
pub(super) fn credit_filter(
    engine: &Engine,
    part: &SharedSegment,
    rows: &Range<RowId>,
    context: &SearchContext<'_>,
    plan: Option<&PartPlan>,
    limit: usize,
) {
    let (Some(graph_searches), Some(passing), Some(place), Ok(segment)) =
        (&context.graph_searches, context.conditions.passing, filter_place(rows, context), part.segment())
    else {
        return;
    };
    let (passing, dims) = (&passing.possible, segment.dims());
    let jobs = plan.map_or(&[][..], |plan| &plan.graph_searches);
    let has_graph = jobs.iter().any(|job| matches!(job.graph, GraphChoice::OfFilter(_)));
    let is_covered = || segment.graphs().iter().any(|graph| graph.rows() == *rows && graph.searchable().is_some());
    if has_graph || passing.is_all() || passing.len() < engine.tuning.earn_rows as usize || !is_covered() {
        return;
    }
    // Rows that pass have as many vectors as others, as far as is known here.
    let Ok(vectors) = vectors_of(segment, rows) else { return };
    let nodes = (passing.len() as f64 * vectors.len() as f64 / rows.len().max(1) as f64) as usize;
    if filter_graph_bytes(nodes, dims) as u64 > engine.tuning.filter_graph_bytes {
        return;
    }
    let costs = &context.costs;
    let flat = costs.listed(nodes as f64).min(vectors.len() as f64 * costs.flat_ns) * graph_searches.flat_weight;
    let costs_now = if jobs.is_empty() { flat } else { jobs.iter().map(|job| job.how.cost_ns).sum() };
    let ef = limit.max(LIMIT_MIN).saturating_mul(FILTER_EF_PER_RESULT);
    let saved = costs_now - usual_visits(ef, nodes) * costs.visit_ns * FILTER_VISIT;
    if saved <= 0.0 {
        return;
    }
    let passing = Arc::clone(passing);
    let saving = FilterSaving { place, passing, nodes, saved_ns: saved as u64, price_ns: price_ns(nodes, dims) };
    if segment.filter_graphs.add(saving, context.number) {
        engine.signal.raise();
    }
}

/// Credits the flat search of `scanned` rows of a portion.
pub(super) fn credit_flat_search(
    engine: &Engine,
    query: &Query,
    graph_searches: &GraphSearches,
    portion: &Portion<'_>,
    scanned: usize,
    limit: usize,
) {
    let (PartRef::Segment(part), PortionRows::Range(rows)) = (portion.part, &portion.rows) else { return };
    let Ok(segment) = part.segment() else { return };
    let most = scanned.saturating_mul(segment.header().row_vectors_max as usize);
    if most < engine.tuning.earn_rows as usize {
        return;
    }
    // Damage is ignored here, because it fails the search itself.
    let Ok(vectors) = vectors_of(segment, rows).map(|vectors| vectors.len()) else { return };
    let has_graph = segment.graphs().iter().any(|graph| graph.rows() == *rows);
    if has_graph || vectors < engine.tuning.earn_rows as usize {
        return;
    }
    let costs = Costs::of_dims(segment.dims(), &engine.known_costs.get());
    let tried = if query.filter.is_some() { TRIED_PER_PASSED } else { 1 };
    let ef = limit.saturating_mul(EF_PER_RESULT * tried).max(EF_MIN);
    let flat = vectors as f64 * scanned as f64 / rows.len().max(1) as f64 * costs.flat_ns * graph_searches.flat_weight;
    let saved = flat - usual_visits(ef, vectors) * costs.visit_ns;
    if saved <= 0.0 {
        return;
    }
    let scanned = GraphSaving {
        file_id: part.entry.file_id,
        rows: rows.clone(),
        scope: GraphScope::of(&query.scope),
        saved_ns: saved as u64,
        cost_ns: price_ns(vectors, segment.dims()),
    };
    if engine.accounts.add(&scanned) {
        engine.signal.raise();
    }
}
