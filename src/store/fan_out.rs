//! Searches all parts of a scope for the best rows by score. Graphs are searched first. The other rows get a flat
//! search, on several threads if there are many rows.
//!
//! Invariants:
//! * Graph searches run first and one at a time, the largest graph first, so their results depend only on the read view
//!   and the query. Flat searches are exact, so their order and their threads do not change the result.
//! * If a graph search finds too little, the rows of its graph get a flat search. No row is in the result twice.

use std::ops::Range;
use std::sync::Arc;

use crate::error::Result;
use crate::field_index::Passing;
use crate::fields::GroupBy;
use crate::filter::{Outcomes, PreparedFilter};
use crate::ids::{Id, IdRange, PartIndex, RowId};
use crate::search::conditions::Conditions;
use crate::search::context::{QueryVector, SearchContext};
use crate::search::flat::{PartReport, flat_search, search};
use crate::search::graph::{FirstPass, GraphTask, PartPlan, SearchEnd, plan_graph_searches};
use crate::search::graph_plan::{Accuracy, GraphSearches};
use crate::search::part::Rows;
use crate::search::plan::{Costs, Plan};
use crate::search::sampling::plan_part;
use crate::search::searched_graph::GraphSearchJob;
use crate::shard::PartRef;
use crate::storage::Clock;
use crate::store::earn::{credit_filter, credit_flat_search};
use crate::store::explain::{explain, timed};
use crate::store::portion::{Portion, PortionRows};
use crate::store::query::{Query, SearchResult};
use crate::store::read::ReadContext;
use crate::store::read::with_part;
use crate::store::search_pool::search_pool;
use crate::sync::{AtomicUsize, Mutex, Ordering};
use crate::topk::{SharedThreshold, TopK};

/// The `wanted` best rows by score.
pub(super) fn scored(
    reader: &ReadContext<'_>,
    query: &Query,
    filter: Option<&PreparedFilter>,
    portions: &[Portion<'_>],
    wanted: usize,
    answer: &mut SearchResult,
) -> Result<TopK> {
    let (Some(vector), Some(space)) = (&query.vector, reader.engine.identity.keys.space) else {
        return Ok(TopK::new(0));
    };
    let query_vector = QueryVector::new(vector, space.metric);
    let threshold = SharedThreshold::new(query.min_score);
    let context = SearchContext {
        query_vector: &query_vector,
        conditions: reader.conditions(filter),
        threshold: &threshold,
        field: query.vector_field.as_deref(),
        filter_sample: reader.engine.tuning.filter_sample,
        costs: Costs::of_dims(vector.len(), &reader.engine.known_costs.get()),
        number: filter.map_or(0, |_| reader.engine.accounts.next_filtered()),
        graph_searches: graph_searches(reader, query),
    };
    let reports = if query.explain { portions.iter().map(|_| None).collect() } else { Vec::new() };
    let clock = query.explain.then(|| reader.engine.clock.machine());
    let top = TopK::new(wanted);
    let passing: Vec<Option<Arc<Passing>>> =
        portions.iter().map(|portion| portion.rows.passing(reader.engine, &portion.part, filter)).collect();
    let outcomes: Vec<Option<Arc<Outcomes>>> = portions
        .iter()
        .zip(&passing)
        .map(|(portion, passing)| portion.rows.outcomes(&portion.part, filter, passing.as_deref()))
        .collect();
    let (context, passing, outcomes) = (&context, passing.as_slice(), outcomes.as_slice());
    let mut search =
        FanOut { reader, query, context, portions, passing, outcomes, top, reports, clock, incomplete: false };
    search.run()?;
    answer.incomplete |= search.incomplete;
    let reports = portions.iter().zip(&search.reports);
    let explained = reports
        .zip(passing)
        .filter_map(|((portion, report), passing)| Some(explain(portion, report.as_ref()?, passing.as_deref())));
    answer.explain.extend(explained);
    Ok(search.top)
}

/// The accuracy that graph searches need for the query; `None` if the query must be exact.
fn graph_searches(reader: &ReadContext<'_>, query: &Query) -> Option<GraphSearches> {
    let flat_weight = f64::from(reader.engine.tuning.flat_weight.max(1));
    match query.ef_search {
        _ if query.exact => None,
        Some(ef) => Some(GraphSearches { accuracy: Accuracy::Fixed(ef), flat_weight }),
        None if query.recall >= 1.0 => None,
        None => Some(GraphSearches { accuracy: Accuracy::Recall(query.recall), flat_weight }),
    }
}

/// A flat search to be made, of the rows at positions `start` to `end` of a portion.
struct FlatJob {
    portion: PartIndex,
    start: usize,
    end: usize,
    plan: Plan,
    expected_ns: f64,
}

/// A search to be made of one graph of a portion.
struct GraphJob {
    portion: PartIndex,
    job: GraphSearchJob,
    /// The plan of the flat search that the graph's rows get if the graph search finds too little.
    plan: Plan,
    /// The outcome of a first, short search, if there was one.
    begun: Option<FirstPass>,
}

/// The results of one thread: its best rows, and the reports of its pieces with their portions.
type Share = (TopK, Vec<(PartIndex, Result<PartReport>)>);

/// A search under way.
struct FanOut<'a> {
    reader: &'a ReadContext<'a>,
    query: &'a Query,
    context: &'a SearchContext<'a>,
    portions: &'a [Portion<'a>],
    /// What the field index of each portion says of the filter.
    passing: &'a [Option<Arc<Passing>>],
    /// What the filter said of the values of each portion in earlier searches.
    outcomes: &'a [Option<Arc<Outcomes>>],
    top: TopK,
    /// One report for each portion if the query asks for an explanation, else empty.
    reports: Vec<Option<PartReport>>,
    /// Measures what parts take, if the query asks for an explanation.
    clock: Option<&'a dyn Clock>,
    incomplete: bool,
}

impl<'a> FanOut<'a> {
    /// The numbers of the portions.
    fn parts(&self) -> Range<PartIndex> {
        PartIndex::range(0..self.portions.len() as u32)
    }

    /// The context of the search in one portion.
    fn context(&self, portion: PartIndex) -> SearchContext<'a> {
        let passing = self.passing.get(portion.index()).and_then(Option::as_deref);
        let outcomes = self.outcomes.get(portion.index()).and_then(Option::as_deref);
        SearchContext { conditions: Conditions { passing, outcomes, ..self.context.conditions }, ..*self.context }
    }

    fn run(&mut self) -> Result<()> {
        let has_graphs = |portion: &Portion| portion.part.segment().is_some_and(|segment| !segment.graphs().is_empty());
        if self.context.graph_searches.is_some() && self.portions.iter().any(has_graphs) {
            return self.graph_then_flat();
        }
        self.portions.iter().for_each(|portion| self.credit_flat_search(portion, portion.rows().len()));
        if self.portions.iter().map(|portion| portion.rows().len()).sum::<usize>() >= self.shared_rows() {
            let mut flat = Vec::new();
            for number in self.parts().ids() {
                self.plan_flat_searches(number, &mut flat)?;
            }
            return self.flat_search(flat);
        }
        for (number, portion) in self.parts().ids().zip(self.portions) {
            let (context, top) = (self.context(number), &mut self.top);
            let outcome = timed(
                self.clock,
                0.0,
                || with_part!(portion.part, part => search(part, number, &portion.rows(), &context, top)),
            );
            self.note(number, outcome)?;
        }
        Ok(())
    }

    /// Credits the cost of a flat search to a graph that would have been cheaper. The graph is built once it pays.
    fn credit_flat_search(&self, portion: &Portion<'_>, rows: usize) {
        // Among groups of namespaces the portions of a search are not those of its scope.
        let is_of_scope = !matches!(self.query.group, Some((GroupBy::Namespace, _)));
        if let Some(graph_searches) = self.context.graph_searches.as_ref().filter(|_| is_of_scope) {
            credit_flat_search(self.reader.engine, self.query, graph_searches, portion, rows, self.top.limit());
        }
    }

    /// Adds the report of a portion. Under `partial`, damage marks the result as incomplete; otherwise it is an error.
    fn note(&mut self, portion: PartIndex, outcome: Result<PartReport>) -> Result<()> {
        let Some(report) = self.reader.tolerate(outcome, &mut self.incomplete)? else { return Ok(()) };
        match self.reports.get_mut(portion.index()) {
            Some(Some(sum)) => sum.add(&report),
            Some(none) => *none = Some(report),
            None => {}
        }
        Ok(())
    }

    /// Flat searches of so many rows are shared among threads.
    fn shared_rows(&self) -> usize {
        usize::try_from(self.reader.engine.tuning.parallel_flat_rows).unwrap_or(usize::MAX)
    }

    /// The rows that a flat search visits: those that may pass the filter, if the plan lists them.
    fn visited_rows(&self, job: &FlatJob) -> usize {
        let (rows, passing) = (job.end - job.start, self.passing.get(job.portion.index()).and_then(Option::as_deref));
        match passing {
            Some(passing) if job.plan.listed => rows.min(passing.possible.len()),
            _ => rows,
        }
    }

    /// Searches the graphs that are cheaper than a flat search. Then makes flat searches of the rows outside these
    /// graphs, and of the graphs whose searches found too little.
    fn graph_then_flat(&mut self) -> Result<()> {
        let (mut graph_searches, mut flat) = (Vec::new(), Vec::new());
        for number in self.parts().ids() {
            match self.plan_graph_searches(number)? {
                Some(mixed) => {
                    let PartPlan { graph_searches: jobs, flat: ranges, plan } = mixed;
                    graph_searches.extend(jobs.into_iter().map(|job| GraphJob {
                        portion: number,
                        job,
                        plan,
                        begun: None,
                    }));
                    flat.extend(ranges.into_iter().map(|rows| self.flat_job(number, &rows, plan)));
                }
                None => self.plan_flat_searches(number, &mut flat)?,
            }
        }
        for (number, portion) in self.parts().ids().zip(self.portions) {
            let rows = flat.iter().filter(|flat| flat.portion == number).map(|flat| flat.end - flat.start).sum();
            self.credit_flat_search(portion, rows);
        }
        graph_searches.sort_by_key(|graph_search| std::cmp::Reverse(graph_search.job.rows.len()));
        let rows = |flat: &FlatJob| flat.end - flat.start;
        let total = graph_searches.iter().map(|graph_search| graph_search.job.how.nodes).sum::<usize>()
            + flat.iter().map(rows).sum::<usize>();
        if graph_searches.len() > 1 && self.query.filter.is_none() {
            for graph_search in &mut graph_searches {
                graph_search.begun = self.begin(graph_search, graph_search.job.how.nodes as f64 / total as f64)?;
            }
        }
        for graph_search in &graph_searches {
            if self.graph_search(graph_search)? == SearchEnd::FlatSearch {
                flat.push(self.flat_of(graph_search));
            }
        }
        self.flat_search(flat)
    }

    fn plan_graph_searches(&mut self, number: PartIndex) -> Result<Option<PartPlan>> {
        let portion = &self.portions[number.index()];
        let (PartRef::Segment(part), PortionRows::Range(rows)) = (portion.part, &portion.rows) else {
            return Ok(None);
        };
        let context = self.context(number);
        let plan = part.readable().and_then(|part| plan_graph_searches(&part, rows, &context, self.top.limit()));
        let plan = self.reader.tolerate(plan, &mut self.incomplete)?.flatten();
        credit_filter(self.reader.engine, part, rows, &context, plan.as_ref(), self.top.limit());
        Ok(plan)
    }

    /// Plans the flat search of a whole portion, and adds it to `flat`.
    fn plan_flat_searches(&mut self, number: PartIndex, flat: &mut Vec<FlatJob>) -> Result<()> {
        let (portion, context, wanted) = (&self.portions[number.index()], self.context(number), self.top.limit());
        let plan = with_part!(portion.part, part => plan_part(part, &portion.rows(), &context, wanted));
        if let Some(plan) = self.reader.tolerate(plan, &mut self.incomplete)? {
            flat.push(FlatJob {
                portion: number,
                start: 0,
                end: portion.rows().len(),
                plan,
                expected_ns: plan.cost_ns(),
            });
        }
        Ok(())
    }

    /// The first, short search of one graph among several.
    fn begin(&mut self, graph_search: &GraphJob, share: f64) -> Result<Option<FirstPass>> {
        let GraphJob { portion: number, job, plan, .. } = graph_search;
        let PartRef::Segment(part) = self.portions[number.index()].part else { return Ok(None) };
        let (context, top) = (&self.context(*number), &mut self.top);
        let mut begun = None;
        let outcome = timed(self.clock, 0.0, || {
            let part = part.readable()?;
            let (report, first) = GraphTask { part: &part, number: *number, job, plan, context }.begin(share, top)?;
            begun = first;
            Ok(report)
        });
        match outcome {
            Ok(report) => self.note(*number, Ok(report)).map(|()| begun),
            // The full search of the graph meets the error again and reports it.
            Err(_) => Ok(None),
        }
    }

    fn graph_search(&mut self, graph_search: &GraphJob) -> Result<SearchEnd> {
        let GraphJob { portion: number, job, plan, begun } = graph_search;
        self.reader.note_graph_search();
        let PartRef::Segment(part) = self.portions[number.index()].part else { return Ok(SearchEnd::FlatSearch) };
        let (context, top) = (&self.context(*number), &mut self.top);
        let mut ended = SearchEnd::Found;
        let report = timed(self.clock, job.how.cost_ns, || {
            let part = part.readable()?;
            let task = GraphTask { part: &part, number: *number, job, plan, context };
            let (report, end) = task.search(begun.as_ref(), top)?;
            ended = end;
            Ok(report)
        });
        self.note(*number, report)?;
        Ok(ended)
    }

    fn flat_of(&self, graph_search: &GraphJob) -> FlatJob {
        self.flat_job(graph_search.portion, &graph_search.job.rows, graph_search.plan)
    }

    fn flat_job(&self, portion: PartIndex, rows: &Range<RowId>, plan: Plan) -> FlatJob {
        let all = self.portions[portion.index()].rows();
        let (start, end) = ((rows.start - all.at(0)) as usize, (rows.end - all.at(0)) as usize);
        let expected_ns = plan.cost_ns() * rows.len() as f64 / all.len().max(1) as f64;
        FlatJob { portion, start, end, plan, expected_ns }
    }

    /// Makes the flat searches, alone or with the help of the search pool.
    fn flat_search(&mut self, flat: Vec<FlatJob>) -> Result<()> {
        let visited: usize = flat.iter().map(|job| self.visited_rows(job)).sum();
        if visited >= self.shared_rows() && search_pool().is_some() {
            return self.flat_in_parallel(&flat);
        }
        for job in &flat {
            let outcome = flat_piece(self.portions, job, &self.context(job.portion), self.clock, &mut self.top);
            self.note(job.portion, outcome)?;
        }
        Ok(())
    }

    /// The caller and the threads of the pool each take the next piece until none is left.
    fn flat_in_parallel(&mut self, flat: &[FlatJob]) -> Result<()> {
        let unit = self.reader.engine.tuning.flat_unit_rows.max(1) as usize;
        let mut pieces = Vec::new();
        for &FlatJob { portion, start, end, plan, expected_ns } in flat {
            let piece = |from: usize| {
                let to = end.min(from + unit);
                let share = (to - from) as f64 / (end - start) as f64;
                FlatJob { portion, start: from, end: to, plan, expected_ns: expected_ns * share }
            };
            pieces.extend((start..end).step_by(unit).map(piece));
        }
        let (portions, wanted, clock) = (self.portions, self.top.limit(), self.clock);
        let contexts: Vec<SearchContext<'_>> = self.parts().ids().map(|number| self.context(number)).collect();
        let next = AtomicUsize::new(0);
        let results: Mutex<Vec<Share>> = Mutex::new(Vec::new());
        let work = || {
            let mut top = TopK::new(wanted);
            let mut reports = Vec::new();
            while let Some(piece) = pieces.get(next.fetch_add(1, Ordering::Relaxed)) {
                reports.push((
                    piece.portion,
                    flat_piece(portions, piece, &contexts[piece.portion.index()], clock, &mut top),
                ));
            }
            results.lock().push((top, reports));
        };
        if let Some(pool) = search_pool() {
            let helpers = pool.current_num_threads().min(pieces.len().saturating_sub(1));
            pool.in_place_scope(|scope| {
                (0..helpers).for_each(|_| scope.spawn(|_| work()));
                work();
            });
        }
        for (top, reports) in results.into_inner() {
            self.top.merge(top);
            for (portion, outcome) in reports {
                self.note(portion, outcome)?;
            }
        }
        Ok(())
    }
}

fn flat_piece(
    portions: &[Portion<'_>],
    job: &FlatJob,
    context: &SearchContext<'_>,
    clock: Option<&dyn Clock>,
    top: &mut TopK,
) -> Result<PartReport> {
    let portion = &portions[job.portion.index()];
    let rows: Rows<'_> = portion.rows().slice(job.start, job.end);
    timed(
        clock,
        job.expected_ns,
        || with_part!(portion.part, part => flat_search(part, job.portion, &rows, context, &job.plan, top)),
    )
}
