//! Which graphs of a part to search, and with which ef: pure decisions from counts, costs and calibrations.
//!
//! A graph search keeps the ef best nodes that it finds. It knows nothing of tombstones, and of a filter only what the
//! field index says. Where only a share of the rows can be results, ef grows accordingly. A search that finds too few
//! results, or whose query turns out to be unlike the data, is repeated with a larger ef, if that is expected to cost
//! less than a flat search of the graph's rows; else the flat search runs, so *exactly k* stays true. A search that
//! costs more than was expected goes on until all together have cost [`PATIENCE`] flat searches, or one if there is a
//! filter.
//!
//! Invariants:
//! * A graph is searched only for an interval that holds all its rows: no search sees a row, or a link, of a namespace
//!   outside its scope.
//! * The graphs chosen for one interval share no row. Together with the gaps between them they make up the interval.
//! * A decision depends on the query, the tombstones of the parts, and which graphs are ready. It never depends on
//!   threads.

use std::cmp::Reverse;
use std::ops::Range;

use crate::graph::calibration::Calibration;
use crate::ids::{IdRange, RowId};
use crate::search::admitted_shares::{AdmittedShares, EXACT_SEARCH_OF_ISLANDS_WORTH, WalkOverAdmitted};
use crate::search::plan::Costs;

/// How accurate a caller wants graph searches to be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Accuracy {
    /// The ef that this recall needs.
    Recall(f32),
    /// This ef, if every row can be a result. If only a share of the rows can, the ef is larger.
    Fixed(usize),
}

impl Accuracy {
    /// The ef for `limit` results of a query of `class` that lie among the best `candidates`.
    pub fn ef(self, calibration: &Calibration, class: usize, candidates: usize, limit: usize) -> usize {
        match self {
            Self::Recall(recall) => calibration.ef(class, recall, candidates),
            Self::Fixed(ef) => {
                let thinned = ef as f64 * (candidates as f64 / limit.max(1) as f64).max(1.0);
                (thinned as usize).max(candidates)
            }
        }
    }
}

/// How a search uses graphs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct GraphSearches {
    pub accuracy: Accuracy,
    /// The factor by which the estimated cost of a flat search is multiplied.
    pub flat_weight: f64,
}

/// The positions in `graphs` of the graphs to search for `interval`: disjoint and wholly inside, the largest first.
/// `graphs` holds the rows of each graph.
pub(crate) fn cover(interval: &Range<RowId>, graphs: &[Range<RowId>]) -> Vec<usize> {
    let inside = |rows: &Range<RowId>| !rows.is_empty() && interval.start <= rows.start && rows.end <= interval.end;
    let mut numbers: Vec<usize> = (0..graphs.len()).filter(|&number| inside(&graphs[number])).collect();
    numbers.sort_by_key(|&number| (Reverse(graphs[number].len()), graphs[number].start, number));
    let mut chosen: Vec<usize> = Vec::new();
    for number in numbers {
        let rows = &graphs[number];
        if chosen.iter().all(|&other| graphs[other].end <= rows.start || rows.end <= graphs[other].start) {
            chosen.push(number);
        }
    }
    chosen
}

/// The rows of `interval` outside of `covered`, in order. `covered` holds disjoint ranges inside of `interval`.
pub(crate) fn gaps(interval: &Range<RowId>, mut covered: Vec<Range<RowId>>) -> Vec<Range<RowId>> {
    covered.sort_by_key(|rows| rows.start);
    covered.push(interval.end..interval.end);
    let mut next = interval.start;
    let mut gaps = Vec::new();
    for rows in covered {
        if next < rows.start {
            gaps.push(next..rows.start);
        }
        next = rows.end;
    }
    gaps
}

/// The facts about a graph and a query from which the search of the graph is planned.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct GraphFacts {
    pub nodes: usize,
    pub rows: usize,
    /// Results asked for.
    pub limit: usize,
    pub has_filter: bool,
    /// The estimated share of the rows that are alive and pass the filter.
    pub share: f64,
    /// The nodes that the filter admits, if the field index knows them.
    pub admitted: Option<AdmittedShares>,
    /// The cost of a flat search of the rows.
    pub flat_ns: f64,
}

/// How a graph is searched.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct GraphPlan {
    /// Candidates of the first graph search.
    pub ef: usize,
    /// If the walks go over the admitted nodes alone: at how many of them they begin.
    pub seeds: Option<usize>,
    /// The walk that follows one over all nodes, if the query lies outside of the admitted ones.
    pub outside: Option<WalkOverAdmitted>,
    /// The nodes that a walk may find.
    pub nodes: usize,
    /// The most that all searches of the graph may cost together.
    pub budget_ns: f64,
    /// What a flat search of its rows costs.
    pub flat_ns: f64,
    /// The estimated cost of the first search.
    pub cost_ns: f64,
}

/// The number of distances that a graph search computes. It expands about `ef` nodes, and with a larger ef more of
/// their neighbours were visited before. Fitted to 70,137 sentence embeddings of 384 dimensions, for ef from 10 to
/// 1,600; the error is at most a tenth.
pub(crate) fn usual_visits(ef: usize, nodes: usize) -> f64 {
    (VISITS_AT_LEAST + VISITS_PER_EF * (ef as f64).powf(VISITS_POWER)).min(nodes as f64)
}

/// The number of distances that a search of a graph computes. Among equal and nearly equal vectors it is far less than
/// usual, which the graph's calibration knows.
fn visits(ef: usize, nodes: usize, calibration: &Calibration) -> f64 {
    usual_visits(ef, nodes).min(calibration.visits(ef))
}

/// Distances on the way from the entry to the neighbourhood of the query.
const VISITS_AT_LEAST: f64 = 150.0;
const VISITS_PER_EF: f64 = 17.0;
const VISITS_POWER: f64 = 0.827;

/// The largest ef of a graph search. The candidates are a sorted array, and the cost of insertion into a longer one was
/// not measured.
const EF_MAX: usize = 4_096;

/// What a walk over admitted nodes costs, where a walk over all nodes with the same ef costs 1: it compares more nodes,
/// those of second neighbours, and looks at links of others. From 7 % to 50 % it was 1.8 to 2.6, whatever the share.
const ADMITTED_WALK: f64 = 2.3;

/// A walk over all nodes, of which a smaller share can be results, may lead where none is: it knows nothing of links
/// between them.
const FEW_RESULTS: f64 = 1.0 / 16.0;
/// The searches of a graph together may cost so many times as much as a flat search, if there is no filter: where one
/// that has begun costs more than expected, a flat search after it would cost more still. None begins that is expected
/// to cost more than a flat search.
const PATIENCE: f64 = 3.0;

/// Plans the searches of a graph. `None` if a flat search of its rows costs less, or if the ef would be too large.
pub(crate) fn plan_graph_search(
    facts: &GraphFacts,
    graph_searches: &GraphSearches,
    calibration: &Calibration,
    costs: &Costs,
) -> Option<GraphPlan> {
    let FirstWalk { nodes, share, limited, around } = FirstWalk::of(facts);
    let candidates = candidates(facts.limit, share);
    // Where nearly every admitted node is a result, an exact search costs less.
    let among_admitted = |admitted: AdmittedShares| self::candidates(facts.limit, facts.alive(&admitted));
    if candidates >= nodes || facts.admitted.is_some_and(|admitted| among_admitted(admitted) >= admitted.count) {
        return None;
    }
    let ef_of = |candidates| graph_searches.accuracy.ef(calibration, 0, candidates, facts.limit).min(nodes);
    // A caller's ef is never made smaller.
    let least = |candidates| match graph_searches.accuracy {
        Accuracy::Fixed(_) => ef_of(candidates),
        Accuracy::Recall(_) => candidates,
    };
    let (ef, seeds, factor, worth) = match limited {
        Some(admitted) => {
            let walk = admitted.among(ef_of(candidates));
            let ef = walk.ef.max(least(candidates)).min(nodes);
            (ef, Some(walk.seeds), ADMITTED_WALK, admitted.exact_search_worth())
        }
        None if facts.share < FEW_RESULTS => (ef_of(candidates), None, 1.0, EXACT_SEARCH_OF_ISLANDS_WORTH),
        None => (ef_of(candidates), None, 1.0, around.map_or(1.0, |around| around.exact_search_worth())),
    };
    if ef > EF_MAX {
        return None;
    }
    let outside = around.and_then(|around| {
        let walk = around.outside(ef_of(among_admitted(around)))?;
        Some(WalkOverAdmitted { ef: walk.ef.max(least(among_admitted(around))), ..walk })
    });
    let patience = if facts.admitted.is_some() || facts.has_filter { 1.0 } else { PATIENCE };
    let flat_ns = facts.flat_ns * graph_searches.flat_weight;
    let scored = around.map_or(candidates, among_admitted) as f64;
    let asked = if facts.has_filter { scored * costs.filter_ns } else { 0.0 };
    let visited = visits(ef, nodes, calibration) * factor + seeds.unwrap_or(0) as f64;
    // As many queries are expected to lie outside as nodes are.
    let outside_ns = outside.map_or(0.0, |walk| outside_ns(&walk, calibration, costs));
    let outside_ns = around.map_or(0.0, |around| 1.0 - around.nodes) * outside_ns;
    let cost_ns = visited * costs.visit_ns + scored * costs.rerank_ns + asked + outside_ns;
    let budget_ns = flat_ns * patience;
    let plan = GraphPlan { ef, seeds, outside, nodes, budget_ns, flat_ns: facts.flat_ns, cost_ns };
    (cost_ns * worth < flat_ns).then_some(plan)
}

/// The cost of a walk for a query outside of the admitted nodes.
fn outside_ns(walk: &WalkOverAdmitted, calibration: &Calibration, costs: &Costs) -> f64 {
    (visits(walk.ef, walk.nodes, calibration) * ADMITTED_WALK + walk.seeds as f64) * costs.visit_ns
}

/// Which nodes the first walk goes over.
struct FirstWalk {
    nodes: usize,
    /// The share of the nodes near the query that can be results.
    share: f64,
    /// The nodes that it is limited to.
    limited: Option<AdmittedShares>,
    /// The admitted nodes among those that it goes over.
    around: Option<AdmittedShares>,
}

impl FirstWalk {
    fn of(facts: &GraphFacts) -> Self {
        match facts.admitted {
            None => {
                let share = facts.share * facts.rows as f64 / facts.nodes.max(1) as f64;
                Self { nodes: facts.nodes, share, limited: None, around: None }
            }
            Some(admitted) if admitted.begins_among_all() => {
                let share = facts.alive(&admitted) * admitted.around();
                Self { nodes: facts.nodes, share, limited: None, around: Some(admitted) }
            }
            // Such a walk knows nothing of the other nodes.
            Some(admitted) => {
                Self { nodes: admitted.count, share: facts.alive(&admitted), limited: Some(admitted), around: None }
            }
        }
    }
}

impl GraphFacts {
    /// The share of the rows of admitted nodes that are alive.
    fn alive(&self, admitted: &AdmittedShares) -> f64 {
        (self.share * self.rows as f64 / admitted.count.max(1) as f64).min(1.0)
    }
}

/// The ef of the first search of one graph among several. `ef` is what one graph over all rows would need; this graph
/// holds `share` of them. If the best `ef` rows are spread by chance, the graph almost never holds more of them
/// than the returned ef: the mean plus three standard deviations.
pub(crate) fn first_ef(ef: usize, share: f64) -> usize {
    let share = share.clamp(0.0, 1.0);
    let expected = ef as f64 * share;
    ((expected + 3.0 * (expected * (1.0 - share)).sqrt()).ceil() as usize).clamp(1, ef.max(1))
}

/// How many of the best candidates are needed for `limit` results, if only `share` of them can be results.
fn candidates(limit: usize, share: f64) -> usize {
    // The conversion saturates at `usize::MAX`.
    (limit as f64 / share.max(f64::MIN_POSITIVE)).ceil() as usize
}

/// The searches of one graph so far.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct SearchProgress {
    /// The ef of the last graph search.
    pub ef: usize,
    pub nodes: usize,
    /// The class of queries whose ef that was.
    pub ef_class: usize,
    /// The class whose ef the query needs, as the last search shows it.
    pub class: usize,
    pub limit: usize,
    /// Rows that all graph searches looked at, and how many of them became results.
    pub examined: usize,
    pub kept: usize,
    /// Candidates of the last search whose estimated scores reach the threshold, the k-th best score so far.
    pub within: usize,
    /// The bound of the last candidate is below the threshold. The rows that were not found are expected to rank lower.
    pub reaches_below: bool,
    /// The last search found every node of the graph.
    pub complete: bool,
    /// The share of the nearest nodes that the last search found that is admitted.
    pub around: f64,
    /// The last search went over the admitted nodes alone, since the query lies outside of them.
    pub is_outside: bool,
    /// The cost of all searches.
    pub spent_ns: f64,
}

/// What to do after a graph search.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Step {
    Enough,
    /// Search again, keeping that many candidates.
    GraphSearch(usize),
    /// Search again over the admitted nodes alone: the query lies outside of them.
    SearchOutside(WalkOverAdmitted),
    /// Make a flat search of the graph's rows.
    FlatSearch,
}

/// A query lies outside of the admitted nodes, if a smaller share of the nodes around it is admitted: of the nearest
/// nodes found, as many as results are asked for, and at least so many.
const OUTSIDE: f64 = 0.25;
pub(crate) const AROUND_LEAST: usize = 12;

/// A search that found enough, with the ef of the query's class, is repeated only if the wanted ef is at least this
/// factor times the last ef.
const WORTH_ANOTHER_SEARCH: f64 = 1.5;

/// The class whose ef a query needs that looks like one of class `looks`. `holds` says whether the result holds rows
/// of the graph, and `worst` is the class of queries whose results are as near as the worst of a full result.
///
/// If the result is full without the graph, and with rows as near as queries like the data have theirs, the ef of such
/// queries has shown that the graph has none as near. If the rows lie farther, or a caller's least score alone keeps
/// those of the graph out, then the search may have ended far from the graph's best rows.
pub(crate) fn needed_class(looks: usize, holds: bool, worst: Option<usize>) -> usize {
    if !holds && worst == Some(0) { 0 } else { looks }
}

/// Decides what follows a graph search.
pub(crate) fn next_step(
    progress: &SearchProgress,
    plan: &GraphPlan,
    graph_searches: &GraphSearches,
    calibration: &Calibration,
    costs: &Costs,
) -> Step {
    let SearchProgress { ef, nodes, limit, class, .. } = *progress;
    if progress.complete {
        return Step::Enough;
    }
    if let Some(walk) = plan.outside.filter(|_| !progress.is_outside && progress.around < OUTSIDE) {
        let cost = outside_ns(&walk, calibration, costs) * EXACT_SEARCH_OF_ISLANDS_WORTH;
        let is_dear = walk.ef > EF_MAX || cost > plan.flat_ns * graph_searches.flat_weight;
        return if is_dear { Step::FlatSearch } else { Step::SearchOutside(walk) };
    }
    let wanted = if progress.kept >= limit || progress.reaches_below {
        // The k results are spread over the best `within` candidates, so the search needed the ef of `within` results.
        let wanted = graph_searches.accuracy.ef(calibration, class, progress.within, limit);
        // The ef of a nearer class promises too little, however near the wanted one is.
        let worth = if class > progress.ef_class { 1.0 } else { WORTH_ANOTHER_SEARCH };
        if wanted <= ef || (wanted as f64) < ef as f64 * worth || ef >= nodes {
            return Step::Enough;
        }
        wanted
    } else if ef >= nodes {
        return Step::FlatSearch;
    } else {
        // One result and one other row are added to the counts, since no sample proves a share of 0 or of 1.
        let share = (progress.kept + 1) as f64 / (progress.examined + 2) as f64;
        graph_searches
            .accuracy
            .ef(calibration, class, candidates(limit, share).min(nodes), limit)
            .max(ef.saturating_mul(2))
    };
    let wanted = wanted.min(nodes);
    // Queries unlike the data are those that visit more than usual.
    let visited = if class == 0 { visits(wanted, nodes, calibration) } else { calibration.visits(wanted) };
    let cost = visited * costs.visit_ns * if progress.is_outside { ADMITTED_WALK } else { 1.0 };
    let flat_ns = plan.flat_ns * graph_searches.flat_weight;
    // Too few results for a query like the data are not worth more than one flat search.
    let budget_ns = if class == 0 { plan.budget_ns.min(flat_ns) } else { plan.budget_ns };
    let is_dear = cost > flat_ns || progress.spent_ns + cost > budget_ns;
    // A flat search is exact besides.
    if wanted > EF_MAX || is_dear { Step::FlatSearch } else { Step::GraphSearch(wanted) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Id;
    use crate::tuning::MachineCosts;

    const TABLE: Calibration = Calibration {
        bounds: [0.5, 0.2],
        ef: [
            [[11, 15, 27, 59, 84], [100, 100, 110, 129, 204]],
            [[50, 60, 70, 80, 90], [100, 100, 110, 129, 204]],
            [[9_000; 5]; 2],
        ],
        visits: [400, 600, 1_500, 4_000, 10_000],
    };
    const GRAPH_SEARCHES: GraphSearches = GraphSearches { accuracy: Accuracy::Recall(0.98), flat_weight: 1.0 };

    #[test]
    fn a_first_search_is_made_for_its_share() {
        for (ef, share, expected) in
            [(10, 1.0, 10), (10, 0.5, 10), (10, 0.125, 5), (100, 0.125, 23), (1, 0.01, 1), (0, 0.5, 1)]
        {
            assert_eq!(first_ef(ef, share), expected, "{ef} {share}");
        }
    }

    #[test]
    fn an_interval_is_covered_by_the_largest_graphs_inside_it_and_by_none_that_reaches_out() {
        let graphs = [0..100, 0..40, 40..100, 100..200, 150..260, 300..300, 20..60].map(RowId::range);
        let check = |interval: Range<u32>, chosen: &[usize], expected: &[(u32, u32)]| {
            let interval = RowId::range(interval);
            let numbers = cover(&interval, &graphs);
            assert_eq!(numbers, chosen, "{interval:?}");
            let gaps = gaps(&interval, numbers.iter().map(|&number| graphs[number].clone()).collect());
            let gaps: Vec<(u32, u32)> = gaps.iter().map(|gap| (gap.start.0, gap.end.0)).collect();
            assert_eq!(gaps, expected, "{interval:?}");
        };
        check(0..100, &[0], &[]);
        check(0..99, &[1], &[(40, 99)]);
        check(0..300, &[4, 0], &[(100, 150), (260, 300)]);
        check(0..259, &[0, 3], &[(200, 259)]);
        check(40..100, &[2], &[]);
        check(10..70, &[6], &[(10, 20), (60, 70)]);
        check(41..99, &[], &[(41, 99)]);
        check(50..50, &[], &[]);
    }

    #[test]
    fn a_graph_is_searched_where_that_costs_less_than_a_flat_search() {
        let costs = Costs::of_dims(384, &MachineCosts::default());
        // nodes, limit, share, filter, searched, least ef
        let table = [
            (70_000, 10, 1.0, false, true, 27),
            (70_000, 100, 1.0, false, true, 110),
            (70_000, 10, 0.5, false, true, 35),
            (70_000, 10, 0.1, true, true, 110),
            (70_000, 10, 0.001, true, false, 0),
            (70_000, 10, 0.0, true, false, 0),
            (70_000, 69_000, 1.0, false, false, 0),
            // A graph search would cost less by count, but its pool would be too long.
            (1 << 30, 5_000, 1.0, false, false, 0),
            (70_000, usize::MAX, 1.0, false, false, 0),
            (4_000, 10, 1.0, false, true, 27),
            (500, 10, 1.0, false, false, 0),
            (0, 10, 1.0, false, false, 0),
        ];
        for (nodes, limit, share, has_filter, stats, least) in table {
            let flat_ns = nodes as f64 * costs.flat_ns;
            let facts = GraphFacts { nodes, rows: nodes, limit, has_filter, share, admitted: None, flat_ns };
            let plan = plan_graph_search(&facts, &GRAPH_SEARCHES, &TABLE, &costs);
            assert_eq!(plan.is_some(), stats, "{facts:?}: {plan:?}");
            assert!(plan.is_none_or(|plan| (least..nodes).contains(&plan.ef)), "{facts:?}: {plan:?}");
        }
        // Where flat searches weigh more, even a small graph is searched.
        let facts =
            GraphFacts { nodes: 50, rows: 25, limit: 3, has_filter: false, share: 1.0, admitted: None, flat_ns: 250.0 };
        let graph_searches = GraphSearches { flat_weight: 1_000.0, ..GRAPH_SEARCHES };
        assert!(plan_graph_search(&facts, &graph_searches, &TABLE, &costs).is_some_and(|plan| plan.ef >= 6));
    }

    #[test]
    fn large_islands_are_walked_over_and_small_ones_are_searched_exactly() {
        // Of 1,000,000 vectors of 128 dimensions in clusters; the ef that the recall needs, the share of the clusters
        // that pass, that of their links, and whether their graph is searched.
        let costs = Costs::of_dims(128, &MachineCosts { scattered: 0.48, ..MachineCosts::default() });
        for (ef, share, links, walks) in
            [(160, 0.15, 0.95, true), (160, 0.5, 0.98, true), (64, 0.03, 0.6, false), (64, 0.01, 0.6, false)]
        {
            let (rows, count) = (1_000_000, (1e6 * share) as usize);
            let flat_ns = costs.listed(count as f64);
            let admitted = Some(AdmittedShares { count, nodes: share, links });
            let facts = GraphFacts { nodes: rows, rows, limit: 10, has_filter: false, share, admitted, flat_ns };
            let table = Calibration::of_one_class([[ef; 5]; 2]);
            let plan = plan_graph_search(&facts, &GRAPH_SEARCHES, &table, &costs);
            assert_eq!(plan.is_some(), walks, "{share} of {rows}: {plan:?}");
            // A query in an island needs what it would need without the filter.
            assert!(
                plan.is_none_or(|plan| plan.ef == ef as usize && plan.nodes == rows),
                "{share} of {rows}: {plan:?}"
            );
            // As many results are asked for as there are nodes that pass.
            let all = GraphFacts { limit: count, ..facts };
            assert_eq!(plan_graph_search(&all, &GRAPH_SEARCHES, &table, &costs), None, "{share} of {rows}");
        }
    }

    #[test]
    fn a_walk_over_all_nodes_for_few_results_has_to_be_much_cheaper_than_an_exact_search() {
        let costs = Costs::of_dims(128, &MachineCosts { scattered: 0.48, ..MachineCosts::default() });
        let facts = |share: f64, flat_ns: f64| {
            let (nodes, limit, has_filter, admitted) = (1_000_000, 10, false, None);
            GraphFacts { nodes, rows: nodes, limit, has_filter, share, admitted, flat_ns }
        };
        let cost =
            |share: f64| plan_graph_search(&facts(share, 1e12), &GRAPH_SEARCHES, &TABLE, &costs).unwrap().cost_ns;
        for (share, worth) in [(0.03, 2.5), (0.062, 2.5), (0.063, 1.0), (1.0, 1.0)] {
            let plan = |factor: f64| {
                plan_graph_search(&facts(share, cost(share) * worth * factor), &GRAPH_SEARCHES, &TABLE, &costs)
            };
            assert!(plan(0.99).is_none() && plan(1.01).is_some(), "{share}");
        }
    }

    #[test]
    fn effort_grows_with_what_must_be_passed_over() {
        assert_eq!(Accuracy::Fixed(40).ef(&TABLE, 0, 10, 10), 40);
        assert_eq!(Accuracy::Fixed(40).ef(&TABLE, 0, 100, 10), 400);
        assert_eq!(Accuracy::Fixed(5).ef(&TABLE, 0, 10, 10), 10);
        assert!(Accuracy::Recall(0.95).ef(&TABLE, 0, 50, 10) > Accuracy::Recall(0.95).ef(&TABLE, 0, 10, 10));
        assert!(Accuracy::Fixed(usize::MAX).ef(&TABLE, 0, usize::MAX, 1) == usize::MAX);
    }

    #[test]
    fn what_follows_a_graph_search() {
        use Step::{Enough, FlatSearch, GraphSearch};
        let costs = Costs::of_dims(384, &MachineCosts::default());
        let plan = GraphPlan {
            ef: 27,
            seeds: None,
            outside: None,
            nodes: 70_000,
            budget_ns: 700_000.0,
            flat_ns: 700_000.0,
            cost_ns: 20_000.0,
        };
        let good = SearchProgress {
            ef: 27,
            nodes: 70_000,
            ef_class: 0,
            class: 0,
            limit: 10,
            examined: 14,
            kept: 10,
            within: 10,
            reaches_below: true,
            complete: false,
            around: 1.0,
            is_outside: false,
            spent_ns: 20_000.0,
        };
        let table = [
            (good, Enough),
            (SearchProgress { reaches_below: false, ..good }, Enough),
            // Ten results are spread over the best eighty, but the ef was that of ten.
            (SearchProgress { within: 80, ..good }, GraphSearch(97)),
            // The query is unlike the data: the ef is that of its class, and one that is too large means a flat search.
            (SearchProgress { class: 1, ..good }, GraphSearch(70)),
            (SearchProgress { class: 2, ..good }, FlatSearch),
            (SearchProgress { class: 2, kept: 0, within: 0, ..good }, FlatSearch),
            // The ef of its class is only a little larger, and it counts once.
            (SearchProgress { class: 1, ef: 60, ..good }, GraphSearch(70)),
            (SearchProgress { class: 1, ef: 60, ef_class: 1, ..good }, Enough),
            (SearchProgress { class: 1, ef: 70, ..good }, Enough),
            // Nothing else can be in the result.
            (SearchProgress { kept: 3, within: 3, ..good }, Enough),
            // Too few results: the ef follows from the share of results among the examined rows, and at least doubles.
            (SearchProgress { kept: 3, reaches_below: false, examined: 27, ..good }, GraphSearch(91)),
            (SearchProgress { kept: 9, reaches_below: false, examined: 9, ..good }, GraphSearch(54)),
            (SearchProgress { kept: 0, reaches_below: false, examined: 27, ..good }, GraphSearch(319)),
            // Every node was found; or the ef was the number of nodes, and yet not every node was found.
            (SearchProgress { kept: 3, reaches_below: false, complete: true, ..good }, Enough),
            (SearchProgress { kept: 3, reaches_below: false, ef: 70_000, ..good }, FlatSearch),
            // The next graph search would cost more than is left.
            (SearchProgress { kept: 3, reaches_below: false, spent_ns: 690_000.0, ..good }, FlatSearch),
            (SearchProgress { kept: 0, reaches_below: false, examined: 2_000, ef: 2_000, ..good }, FlatSearch),
            (
                SearchProgress { kept: 0, reaches_below: false, examined: 2_000, ef: 2_000, spent_ns: -1e12, ..good },
                FlatSearch,
            ),
        ];
        for (progress, expected) in table {
            assert_eq!(next_step(&progress, &plan, &GRAPH_SEARCHES, &TABLE, &costs), expected, "{progress:?}");
        }
        // A search that would cost a little more than a flat one does not begin, however much may be spent.
        let unlike = SearchProgress { class: 1, ..good };
        let cost = TABLE.visits(70) * costs.visit_ns;
        for (factor, expected) in [(0.99, FlatSearch), (1.01, GraphSearch(70))] {
            let plan = GraphPlan { flat_ns: cost * factor, budget_ns: 1e12, ..plan };
            assert_eq!(next_step(&unlike, &plan, &GRAPH_SEARCHES, &TABLE, &costs), expected, "{factor}");
        }
    }

    #[test]
    fn a_query_outside_of_the_admitted_nodes_is_searched_among_them_once() {
        use Step::{FlatSearch, GraphSearch, SearchOutside};
        let costs = Costs::of_dims(384, &MachineCosts::default());
        let outside = WalkOverAdmitted { nodes: 60_000, ef: 100, seeds: 1_024 };
        let plan = GraphPlan {
            ef: 27,
            seeds: None,
            outside: Some(outside),
            nodes: 70_000,
            budget_ns: 7_000_000.0,
            flat_ns: 7_000_000.0,
            cost_ns: 20_000.0,
        };
        let few = SearchProgress {
            ef: 27,
            nodes: 70_000,
            ef_class: 0,
            class: 0,
            limit: 10,
            examined: 27,
            kept: 2,
            within: 2,
            reaches_below: false,
            complete: false,
            around: 0.1,
            is_outside: false,
            spent_ns: 20_000.0,
        };
        let cheap = GraphPlan { flat_ns: 70_000.0, ..plan };
        let dear = GraphPlan { outside: Some(WalkOverAdmitted { ef: EF_MAX + 1, ..outside }), ..plan };
        for (progress, plan, expected) in [
            (few, plan, SearchOutside(outside)),
            // As many results as were asked for are no proof: others may lie as near on another side.
            (SearchProgress { kept: 10, ..few }, plan, SearchOutside(outside)),
            (SearchProgress { is_outside: true, ef: 100, ..few }, plan, GraphSearch(200)),
            (SearchProgress { around: 0.25, ..few }, plan, GraphSearch(108)),
            (few, GraphPlan { outside: None, ..plan }, GraphSearch(108)),
            (few, cheap, FlatSearch),
            (few, dear, FlatSearch),
        ] {
            assert_eq!(
                next_step(&progress, &plan, &GRAPH_SEARCHES, &TABLE, &costs),
                expected,
                "{progress:?}, {plan:?}"
            );
        }
    }

    #[test]
    fn a_query_that_looks_unlike_the_data_is_taken_for_like_it_only_if_the_result_is_full_of_nearer_rows() {
        for (looks, holds, worst, expected) in [
            (2, false, Some(0), 0),
            (2, false, Some(1), 2),
            (2, false, None, 2),
            (1, true, Some(0), 1),
            (0, true, None, 0),
        ] {
            assert_eq!(needed_class(looks, holds, worst), expected, "{looks} {holds} {worst:?}");
        }
    }
}
