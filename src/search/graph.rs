//! Approximate search of the rows that a graph covers. The graph is searched and its candidates are scored in full. If
//! that finds too few results, the graph is searched further, or its rows get a flat search.
//!
//! Invariants:
//! * A row is offered to the result at most once, however many vectors it has and however often its graph is searched.
//! * Scores are exact, computed by the code of a flat search; only the choice of the scored rows is approximate.
//! * A search uses its graphs one after the other, so its result depends on the read view, the query, and the tables of
//!   the graphs alone.
//! * After `SearchEnd::FlatSearch` the result holds no row of the graph, so a flat search adds each row once.

use std::cell::Cell;
use std::ops::Range;

use crate::distance::Kernels;
use crate::error::Result;
use crate::graph::{self, Admitted, Candidate};
use crate::ids::{IdRange, PartIndex, RowId};
use crate::search::admitted::{admitted_shares, admitted_words, seeds};
use crate::search::conditions::Conditions;
use crate::search::context::SearchContext;
use crate::search::flat::{FlatSearch, PartReport};
use crate::search::graph_plan::{
    AROUND_LEAST, Accuracy, GraphFacts, GraphSearches, SearchProgress, Step, first_ef, gaps, needed_class, next_step,
    plan_graph_search,
};
use crate::search::part::{PartColumns, Rows, SegmentView};
use crate::search::plan::Plan;
use crate::search::sampling::{Sampling, plan_by_sample};
use crate::search::searched_graph::{
    GraphChoice, GraphSearchJob, SearchedGraph, filter_graph_job, offer_query, walked_graphs,
};
use crate::search::seen_rows::{SeenCounts, SeenRows};
use crate::segment::derived::live_recall::NumberedTable;
use crate::topk::TopK;

/// How many candidates ahead of the scored one have their vectors prefetched.
const AHEAD: usize = 8;
/// The plan of a graph search samples fewer rows by this factor: the search itself learns more about the filter.
const SAMPLE_SHARE: usize = 4;
/// A thread keeps memory for at most this many seen rows from search to search.
const SEEN_MAX: usize = 4_096;

/// How the rows of one part are searched: some by graphs, the others by a flat search as `plan` says.
pub(crate) struct PartPlan {
    pub graph_searches: Vec<GraphSearchJob>,
    pub flat: Vec<Range<RowId>>,
    pub plan: Plan,
}

/// Decides how to search `rows` of `part`; `None` if no graph of it is worth a graph search.
pub(crate) fn plan_graph_searches(
    part: &SegmentView,
    rows: &Range<RowId>,
    context: &SearchContext,
    limit: usize,
) -> Result<Option<PartPlan>> {
    let (Some(graph_searches), graphs) = (&context.graph_searches, part.segment().graphs()) else { return Ok(None) };
    if graphs.is_empty() {
        return Ok(None);
    }
    let chosen = walked_graphs(part.segment(), rows);
    if chosen.is_empty() {
        return Ok(None);
    }
    let sampling = Sampling { most: context.filter_sample.div_ceil(SAMPLE_SHARE), asked_before: 0.0 };
    let plan = plan_by_sample(part, &Rows::Range(rows.clone()), context, limit, sampling)?;
    if let Some(job) = filter_graph_job(part, rows, context, limit) {
        return Ok(Some(PartPlan { graph_searches: vec![job], flat: Vec::new(), plan }));
    }
    let costs = context.costs;
    let share = plan.pass_rate.unwrap_or(1.0) * part.live_share(rows).min(plan.live / rows.len() as f64);
    let flat_ns = plan.score_first_ns.min(plan.filter_first_ns) / rows.len() as f64;
    let has_filter = context.conditions.asks_values();
    let job = |number: usize| {
        let graph = &graphs[number];
        let rows = graph.rows().len();
        let (nodes, admitted) = (graph.vectors().len(), admitted_shares(part, graph, context));
        let facts =
            GraphFacts { nodes, rows: nodes, limit, has_filter, share, admitted, flat_ns: flat_ns * rows as f64 };
        let NumberedTable { number: table, table: calibration } = graph.calibration();
        let how = plan_graph_search(&facts, graph_searches, &calibration, &costs)?;
        Some(GraphSearchJob { graph: GraphChoice::OfSegment(number), rows: graph.rows(), how, table })
    };
    let jobs: Vec<GraphSearchJob> = chosen.into_iter().filter_map(job).collect();
    if jobs.is_empty() {
        return Ok(None);
    }
    let flat = gaps(rows, jobs.iter().map(|job| job.rows.clone()).collect());
    Ok(Some(PartPlan { graph_searches: jobs, flat, plan }))
}

/// How the searches of one graph ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SearchEnd {
    /// The result holds the rows that the searches found.
    Found,
    /// The rows of the graph need a flat search.
    FlatSearch,
}

/// The outcome of the first, short search of one graph among several.
pub(crate) struct FirstPass {
    /// Rows whose candidates were examined, and how many of them became results.
    rows: Vec<RowId>,
    kept: usize,
    spent_ns: f64,
    /// Roughly the highest score of a row that the search did not find.
    reach: f32,
    /// How like the data of the graph the query looks.
    likeness: f32,
}

/// A graph to be searched: its part, and the plan and context of the search.
pub(crate) struct GraphTask<'a> {
    pub part: &'a SegmentView<'a>,
    /// The caller's number of the part.
    pub number: PartIndex,
    pub job: &'a GraphSearchJob,
    pub plan: &'a Plan,
    pub context: &'a SearchContext<'a>,
}

impl GraphTask<'_> {
    /// Searches the graph just far enough to find its expected share of the result, and adds the results to `top`. The
    /// graph has `share` of all nodes and rows of the search. After the first searches of all graphs,
    /// [`GraphTask::search`] finds out whether that was enough, and continues.
    pub fn begin(&self, share: f64, top: &mut TopK) -> Result<(PartReport, Option<FirstPass>)> {
        let report = PartReport::new(*self.plan, self.job.rows.len());
        let Some(mut running) = RunningSearch::new(self, report, top) else {
            return Ok((report, None));
        };
        let mut scratch = SCRATCH.take().unwrap_or_default();
        let begun = running.begin(share, &mut scratch);
        let report = running.flat.report;
        scratch.end();
        SCRATCH.set(Some(scratch));
        begun.map(|begun| (report, begun))
    }

    /// Searches the graph and adds the results to `top`. A graph that had its first search is searched again only if
    /// rows that it did not find could be in the result.
    pub fn search(&self, begun: Option<&FirstPass>, top: &mut TopK) -> Result<(PartReport, SearchEnd)> {
        let rows = &self.job.rows;
        let report = PartReport::new(*self.plan, if begun.is_some() { 0 } else { rows.len() });
        let Some(mut running) = RunningSearch::new(self, report, top) else {
            return Ok((report, SearchEnd::FlatSearch));
        };
        let mut scratch = SCRATCH.take().unwrap_or_default();
        let outcome = running.run(begun, &mut scratch);
        let report = running.flat.report;
        scratch.end();
        SCRATCH.set(Some(scratch));
        let ended = outcome?;
        if ended == SearchEnd::FlatSearch {
            top.retain(|scored| scored.place.part != self.number || !rows.contains(&scored.place.row));
        }
        Ok((report, ended))
    }
}

thread_local! {
    static SCRATCH: Cell<Option<Box<RescoreScratch>>> = const { Cell::new(None) };
}

/// Memory that a thread keeps from search to search.
#[derive(Default)]
struct RescoreScratch {
    found: Vec<Candidate>,
    /// Rows whose candidates were examined.
    seen: SeenRows,
}

impl RescoreScratch {
    fn end(&mut self) {
        self.seen.clear();
        self.seen.shrink_to(SEEN_MAX);
    }
}

/// The state of the searches of one graph.
struct RunningSearch<'a> {
    flat: FlatSearch<'a, SegmentView<'a>>,
    graph: SearchedGraph<'a>,
    job: &'a GraphSearchJob,
    graph_searches: GraphSearches,
    /// If a walk goes over the admitted nodes alone: at how many of them it begins.
    seeds: Option<usize>,
    /// The class of queries whose ef the last search had.
    ef_class: usize,
    seen: SeenCounts,
}

impl<'a> RunningSearch<'a> {
    /// `None` if the graph cannot be searched.
    fn new(task: &GraphTask<'a>, report: PartReport, top: &'a mut TopK) -> Option<Self> {
        let GraphTask { part, number, job, context, .. } = *task;
        let (graph, graph_searches) = (SearchedGraph::open(part, &job.graph)?, context.graph_searches?);
        let flat = FlatSearch { part, number, context, filter_first: false, listed: false, top, report };
        let (seeds, ef_class, seen) = (job.how.seeds, 0, SeenCounts::default());
        Some(Self { flat, graph, job, graph_searches, seeds, ef_class, seen })
    }

    /// Searches once with `ef` candidates and scores their rows. Returns false if the budget ended the search.
    fn step(&mut self, ef: usize, scratch: &mut RescoreScratch) -> Result<bool> {
        self.flat.context.conditions.check_deadline()?;
        let budget = ((self.job.how.budget_ns - self.spent_ns()) / self.flat.context.costs.visit_ns) as usize;
        let query = &self.flat.context.query_vector.prepared;
        let ask = graph::BeamParameters { query, ef, without: None, budget };
        let (links, points) = (self.graph.links, &self.graph.points);
        let of_segment = self.graph.of_segment();
        let limited = of_segment
            .zip(self.seeds)
            .and_then(|(graph, seeds)| Some((admitted_words(self.flat.part, graph, self.flat.context)?, seeds)));
        let stats = match limited {
            Some(((words, first), count)) => {
                let admitted = Admitted { words, first, seeds: &[] };
                let seeds = seeds(self.flat.context, &self.job.rows, &admitted, count);
                let admitted = Admitted { seeds: &seeds, ..admitted };
                graph::search_admitted(links, points, &ask, &admitted, &mut scratch.found)
            }
            None => graph::search(links, points, &ask, &mut scratch.found),
        };
        self.flat.report.graph_searches += 1;
        self.flat.report.of_filter += usize::from(of_segment.is_none());
        self.flat.report.visited += stats.visited;
        self.look_at(&scratch.found, &mut scratch.seen)?;
        Ok(!stats.exhausted_budget)
    }

    fn begin(&mut self, share: f64, scratch: &mut RescoreScratch) -> Result<Option<FirstPass>> {
        let least = if self.tells_classes_apart() { graph::LIKENESS_EF } else { 1 };
        let ended = self.step(first_ef(self.job.how.ef, share).max(least), scratch)?;
        let reach = match scratch.found.last() {
            Some(last) if ended && scratch.found.len() < self.job.how.nodes => self.bound(last),
            _ if ended => f32::NEG_INFINITY,
            _ => f32::INFINITY,
        };
        let (rows, likeness) = (scratch.seen.iter().copied().collect(), self.likeness(&scratch.found));
        Ok(Some(FirstPass { rows, kept: self.flat.report.kept, spent_ns: self.spent_ns(), reach, likeness }))
    }

    fn run(&mut self, begun: Option<&FirstPass>, scratch: &mut RescoreScratch) -> Result<SearchEnd> {
        if let Some(begun) = begun {
            scratch.seen.extend(&begun.rows);
            let (examined, kept_before, spent_before_ns) = (begun.rows.len(), begun.kept, begun.spent_ns);
            self.seen = SeenCounts { examined, kept_before, spent_before_ns, ..self.seen };
        }
        let (mut ef, nodes) = (self.job.how.ef, self.job.how.nodes);
        // A short search for a query unlike the data may have ended far from the best rows: its reach says nothing.
        let mut goes_on = begun
            .is_none_or(|begun| begun.reach >= self.flat.context.threshold.get() || self.class(begun.likeness) > 0);
        while goes_on {
            if !self.step(ef, scratch)? {
                return Ok(SearchEnd::FlatSearch);
            }
            let progress = self.progress(ef, &scratch.found);
            let calibration = &self.graph.calibration;
            match next_step(&progress, &self.job.how, &self.graph_searches, calibration, &self.flat.context.costs) {
                Step::GraphSearch(wanted) => (ef, self.ef_class) = (wanted.min(nodes), progress.class),
                Step::SearchOutside(walk) => (ef, self.seeds) = (walk.ef, Some(walk.seeds)),
                Step::FlatSearch => return Ok(SearchEnd::FlatSearch),
                Step::Enough => {
                    goes_on = false;
                    offer_query(&self.graph, &self.flat, self.job, &progress, &scratch.found);
                }
            }
        }
        let saved = self.job.how.flat_ns - self.spent_ns();
        if let Some(graph) = self.graph.of_segment() {
            graph.add_saved(saved.max(0.0) as u64);
        }
        Ok(SearchEnd::Found)
    }

    fn spent_ns(&self) -> f64 {
        let (report, costs) = (&self.flat.report, &self.flat.context.costs);
        let looked_at = report.kept + report.filtered - self.seen.excluded;
        let asked = if self.flat.context.conditions.asks_values() { looked_at } else { 0 };
        self.seen.spent_before_ns
            + report.visited as f64 * costs.visit_ns
            + report.reranked as f64 * costs.rerank_ns
            + asked as f64 * costs.filter_ns
    }

    fn progress(&self, ef: usize, found: &[Candidate]) -> SearchProgress {
        let threshold = self.flat.context.threshold.get();
        let (last, is_outside) = (found.last(), self.seeds != self.job.how.seeds);
        let outside = self.job.how.outside;
        let nodes = outside.filter(|_| is_outside).map_or(self.job.how.nodes, |walk| walk.nodes);
        let nearest = &found[..found.len().min(self.flat.top.limit().max(AROUND_LEAST))];
        SearchProgress {
            ef,
            nodes,
            ef_class: self.ef_class,
            class: self.class(self.likeness(found)),
            limit: self.flat.top.limit(),
            examined: self.seen.examined,
            kept: self.seen.kept_before + self.flat.report.kept,
            within: found.partition_point(|candidate| candidate.estimate >= threshold),
            reaches_below: last.is_some_and(|last| self.bound(last) < threshold),
            complete: found.len() == nodes,
            around: outside.map_or(1.0, |_| self.graph.share_admitted(self.flat.part, self.flat.context, nearest)),
            is_outside,
            spent_ns: self.spent_ns(),
        }
    }

    fn likeness(&self, found: &[Candidate]) -> f32 {
        graph::likeness(&self.flat.context.query_vector.prepared, found)
    }

    /// Whether the ef depends on the class of the query. A walk over admitted nodes tells nothing of the query: the
    /// nodes that are left lie farther away.
    fn tells_classes_apart(&self) -> bool {
        self.seeds.is_none() && matches!(self.graph_searches.accuracy, Accuracy::Recall(_))
    }

    /// The class whose ef the query needs, by how like the data it looks and by what the result holds.
    fn class(&self, likeness: f32) -> usize {
        let (calibration, top) = (&self.graph.calibration, &self.flat.top);
        let looks = calibration.class(likeness);
        if looks == 0 || !self.tells_classes_apart() {
            return 0;
        }
        let (number, rows) = (self.flat.number, &self.job.rows);
        let holds = top.iter().any(|scored| scored.place.part == number && rows.contains(&scored.place.row));
        let query = &self.flat.context.query_vector.prepared;
        // Bounds are of tenth results: those of fewer lie nearer.
        let worst = top
            .worst()
            .filter(|_| top.limit() >= graph::LIKENESS_EF)
            .map(|worst| calibration.class(query.per_norm_of_query(worst.score)));
        needed_class(looks, holds, worst)
    }

    fn bound(&self, candidate: &Candidate) -> f32 {
        self.graph.bound(self.flat.part, self.flat.context, candidate)
    }

    /// Scores, best first, the rows of candidates that were not scored before and could be in the result.
    fn look_at(&mut self, found: &[Candidate], seen: &mut SeenRows) -> Result<()> {
        let (part, context, row_of) = (self.flat.part, self.flat.context, self.flat.part.segment().vector_row_column());
        let Conditions { read_lsn, now, .. } = context.conditions;
        let sees_all = part.sees_all(&Rows::Range(self.job.rows.clone()), read_lsn, now);
        // A candidate is prefetched in two steps: first the number of its row, then the row's vectors.
        let number = |index: usize| {
            if let Some(candidate) = found.get(index) {
                Kernels::prefetch(&raw const row_of[self.graph.vector(candidate.node).index()]);
            }
        };
        let fetch = |index: usize, threshold: f32| {
            let candidate = found.get(index);
            if let Some(candidate) =
                candidate.filter(|candidate| self.graph.bound(part, context, candidate) >= threshold)
            {
                let vector = self.graph.vector(candidate.node);
                part.prefetch_score(row_of[vector.index()], vector);
            }
        };
        (0..2 * AHEAD).for_each(number);
        (0..AHEAD).for_each(|index| fetch(index, f32::NEG_INFINITY));
        let (mut group, mut count) = ([RowId(0); 4], 0);
        for (index, candidate) in found.iter().enumerate() {
            let threshold = context.threshold.get();
            number(index + 2 * AHEAD);
            fetch(index + AHEAD, threshold);
            if self.graph.bound(part, context, candidate) < threshold {
                continue;
            }
            let row = row_of[self.graph.vector(candidate.node).index()];
            if !seen.insert(row) {
                continue;
            }
            if !context.conditions.may_want(row) {
                self.seen.examined += 1;
                self.flat.report.filtered += 1;
                self.seen.excluded += 1;
                continue;
            }
            self.flat.report.candidates += 1;
            part.ensure_rows(&Rows::Range(row..row + 1))?;
            self.seen.examined += 1;
            if sees_all || context.conditions.sees(part, row) {
                group[count] = row;
                count += 1;
            }
            if count == group.len() {
                self.flat.score_rows(&group)?;
                count = 0;
            }
        }
        self.flat.score_rows(&group[..count])
    }
}
