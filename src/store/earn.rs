//! Credit of flat searches: each flat search of many vectors counts towards a graph of its scope, if a graph search
//! would have been cheaper.
//!
//! Invariants:
//! * A flat search of a small scope costs one comparison here, and never causes a graph.
//! * Credit follows from counts and estimated costs, never from a clock.

use crate::compact::graphs::{build_estimate_ns, vectors_of};
use crate::engine::Engine;
use crate::engine::graph_credit::GraphSaving;
use crate::ids::IdRange;
use crate::search::graph_plan::{GraphSearches, visits};
use crate::search::plan::Costs;
use crate::segment::derived::graph_scope::GraphScope;
use crate::shard::PartRef;
use crate::store::query::Query;
use crate::store::read::{Portion, PortionRows};

/// The guessed ef per result. The measured table of ef is part of a graph, and there is no graph yet.
const EF_PER_RESULT: usize = 4;
/// The guessed number of candidates for each result that passes a filter.
const TRIED_PER_PASSED: usize = 4;
const EF_MIN: usize = 64;
/// A graph is due once searches would have saved this part of the time of its build: a search makes its caller wait,
/// and a build runs beside, at low priority.
const BUILD_DISCOUNT: u64 = 8;

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
    let saved = flat - visits(ef, vectors) * costs.visit_ns;
    if saved <= 0.0 {
        return;
    }
    let scanned = GraphSaving {
        file_id: part.entry.file_id,
        rows: rows.clone(),
        scope: GraphScope::of(&query.scope),
        saved_ns: saved as u64,
        cost_ns: build_estimate_ns(vectors, segment.dims()) / BUILD_DISCOUNT,
    };
    if engine.accounts.add(&scanned) {
        engine.signal.raise();
    }
}
