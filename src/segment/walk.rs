//! Approximate search of the rows that a graph covers: walk, score in full what the walk found, walk further or scan if that is too little.
//!
//! Invariants:
//! * A row is offered to the result at most once, however many vectors it has and however often its graph is walked.
//! * Scores are exact, by the same code as a scan's; only which rows are scored is approximate.
//! * Walks of one search run one after the other, so an answer depends on the View and the query alone.
//! * After `Ended::Scan` the result holds no row of the graph: a scan of them adds each once.

use std::cell::Cell;
use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};
use std::ops::Range;

use super::graph_file::SegmentGraph;
use super::part::{Conditions, Part, Rows, Sealed};
use super::plan::{Costs, Plan};
use super::search::{Ask, PartReport, Scan, plan_by_sample};
use super::walk_plan::{GraphFacts, Standing, Step, WalkPlan, Walks, cover, first_ef, gaps, next_step, plan_walk};
use crate::distance::Kernels;
use crate::error::Result;
use crate::graph::{self, Candidate, Graph, Points};
use crate::topk::TopK;

/// Vectors that are fetched ahead of the one that is scored.
const AHEAD: usize = 8;
/// One in so many rows of a full sample tells enough of a filter for a walk, which finds out more by itself.
const SAMPLE_SHARE: usize = 4;
/// Rows that a thread remembers room for from search to search.
const SEEN_MAX: usize = 4_096;

/// A walk to be made.
#[derive(Clone, Copy)]
pub(crate) struct Job {
    /// Which of the segment's graphs.
    pub graph: usize,
    pub nodes: usize,
    pub how: WalkPlan,
}

/// How a portion is searched: some graphs are walked, the other rows are scanned as `plan` says.
pub(crate) struct Mixed {
    pub walks: Vec<Job>,
    pub scans: Vec<Range<u32>>,
    pub plan: Plan,
}

/// Decides how to search `rows` of `part`; `None` if no graph of it is worth a walk.
pub(crate) fn plan_walks(part: &Sealed, rows: &Range<u32>, ask: &Ask, limit: usize) -> Result<Option<Mixed>> {
    let (Some(walks), graphs) = (&ask.walks, part.segment().graphs()) else { return Ok(None) };
    if graphs.is_empty() {
        return Ok(None);
    }
    let usable = |graph: &SegmentGraph| if graph.walkable().is_some() { graph.rows() } else { 0..0 };
    let covers: Vec<Range<u32>> = graphs.iter().map(|graph| usable(graph)).collect();
    let chosen = cover(rows, &covers);
    if chosen.is_empty() {
        return Ok(None);
    }
    let sample = ask.filter_sample.div_ceil(SAMPLE_SHARE);
    let plan = plan_by_sample(part, &Rows::Range(rows.clone()), ask, limit, sample)?;
    let costs = Costs::of_dims(ask.probe.vector.len());
    let share = plan.pass_rate.unwrap_or(1.0) * part.live_share().min(plan.live / rows.len() as f64);
    let scan_ns = plan.score_first_ns.min(plan.filter_first_ns) / rows.len() as f64;
    let has_filter = ask.conditions.filter.is_some();
    let job = |number: usize| {
        let graph = &graphs[number];
        let (rows, nodes) = (graph.rows().len(), graph.vectors().len());
        let facts = GraphFacts { nodes, rows, limit, has_filter, share, scan_ns: scan_ns * rows as f64 };
        let how = plan_walk(&facts, walks, graph.calibration(), &costs)?;
        Some(Job { graph: number, nodes, how })
    };
    let jobs: Vec<Job> = chosen.into_iter().filter_map(job).collect();
    if jobs.is_empty() {
        return Ok(None);
    }
    let scans = gaps(rows, jobs.iter().map(|job| covers[job.graph].clone()).collect());
    Ok(Some(Mixed { walks: jobs, scans, plan }))
}

/// How the walks of a graph ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// With what they found.
    Found,
    /// The rows of the graph must be scanned.
    Scan,
}

/// What the first, short walk of one graph among several left.
pub(crate) struct Begun {
    /// Rows that were looked at, and how many of them became results.
    rows: Vec<u32>,
    kept: usize,
    spent_ns: f64,
    /// About the most that a row which was not found can score.
    reach: f32,
}

/// Walks a graph that holds `share` of all rows of the search just far enough to find its share of the answer, and adds what it finds to
/// `top`. Whether that was enough is known when all graphs have been begun: [`walk`] then goes on.
pub(crate) fn begin(
    part: &Sealed,
    number: u32,
    job: &Job,
    plan: &Plan,
    ask: &Ask,
    share: f64,
    top: &mut TopK,
) -> Result<(PartReport, Option<Begun>)> {
    let graph = &part.segment().graphs()[job.graph];
    let report = PartReport::new(*plan, graph.rows().len());
    let Some(mut walking) = Walking::new(part, number, job, ask, report, top) else { return Ok((report, None)) };
    let mut scratch = SCRATCH.take().unwrap_or_default();
    let begun = walking.begin(share, &mut scratch);
    let report = walking.scan.report;
    scratch.end();
    SCRATCH.set(Some(scratch));
    begun.map(|begun| (report, begun))
}

/// Walks a graph of `part`, which the caller numbers `number`, and adds what it finds to `top`. A graph that was begun is walked again
/// only if rows that were not found there could be in the result.
pub(crate) fn walk(
    part: &Sealed,
    number: u32,
    job: &Job,
    plan: &Plan,
    ask: &Ask,
    begun: Option<&Begun>,
    top: &mut TopK,
) -> Result<(PartReport, Ended)> {
    let graph = &part.segment().graphs()[job.graph];
    let report = PartReport::new(*plan, if begun.is_some() { 0 } else { graph.rows().len() });
    let Some(mut walking) = Walking::new(part, number, job, ask, report, top) else { return Ok((report, Ended::Scan)) };
    let mut scratch = SCRATCH.take().unwrap_or_default();
    let outcome = walking.run(begun, &mut scratch);
    let report = walking.scan.report;
    scratch.end();
    SCRATCH.set(Some(scratch));
    let ended = outcome?;
    if ended == Ended::Scan {
        let rows = graph.rows();
        top.retain(|scored| scored.place.part != number || !rows.contains(&scored.place.row));
    }
    Ok((report, ended))
}

thread_local! {
    static SCRATCH: Cell<Option<Box<Scratch>>> = const { Cell::new(None) };
}

/// What a thread keeps from search to search.
#[derive(Default)]
struct Scratch {
    found: Vec<Candidate>,
    /// Rows that were looked at.
    seen: HashSet<u32, BuildHasherDefault<RowHasher>>,
}

impl Scratch {
    fn end(&mut self) {
        self.seen.clear();
        self.seen.shrink_to(SEEN_MAX);
    }
}

/// Spreads row numbers over a table.
#[derive(Default)]
struct RowHasher(u64);

impl Hasher for RowHasher {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.write_u32(u32::from(byte)));
    }

    fn write_u32(&mut self, row: u32) {
        let mixed = (self.0 ^ u64::from(row)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.0 = mixed ^ (mixed >> 32);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// The walks of one graph.
struct Walking<'a> {
    scan: Scan<'a, Sealed<'a>>,
    graph: &'a SegmentGraph,
    links: Graph<'a>,
    points: Points<'a>,
    job: &'a Job,
    walks: Walks,
    costs: Costs,
    /// Rows looked at.
    examined: usize,
    /// What an earlier, shorter walk brought and cost.
    kept_before: usize,
    spent_before_ns: f64,
}

impl<'a> Walking<'a> {
    /// `None` if the graph cannot be walked.
    fn new(
        part: &'a Sealed<'a>,
        number: u32,
        job: &'a Job,
        ask: &'a Ask<'a>,
        report: PartReport,
        top: &'a mut TopK,
    ) -> Option<Self> {
        let graph = &part.segment().graphs()[job.graph];
        let (links, points, walks) = (graph.walkable()?, part.segment().points(graph.vectors())?, ask.walks?);
        let scan = Scan { part, number, ask, filter_first: false, top, report };
        let costs = Costs::of_dims(ask.probe.vector.len());
        let (examined, kept_before, spent_before_ns) = (0, 0, 0.0);
        Some(Self { scan, graph, links, points, job, walks, costs, examined, kept_before, spent_before_ns })
    }

    /// One walk that keeps `ef` candidates, whose rows are scored; whether it came to its end.
    fn step(&mut self, ef: usize, scratch: &mut Scratch) -> Result<bool> {
        self.scan.ask.conditions.check_deadline()?;
        let budget = ((self.job.how.budget_ns - self.spent_ns()) / self.costs.visit_ns) as usize;
        let query = &self.scan.ask.probe.prepared;
        let ask = graph::Ask { query, ef, without: None, budget };
        let walked = graph::walk(self.links, &self.points, &ask, &mut scratch.found);
        self.scan.report.walks += 1;
        self.scan.report.visited += walked.visited;
        self.look_at(&scratch.found, &mut scratch.seen)?;
        Ok(!walked.exhausted_budget)
    }

    fn begin(&mut self, share: f64, scratch: &mut Scratch) -> Result<Option<Begun>> {
        let ended = self.step(first_ef(self.job.how.ef, share), scratch)?;
        let reach = match scratch.found.last() {
            Some(last) if ended && scratch.found.len() < self.job.nodes => self.bound(last),
            _ if ended => f32::NEG_INFINITY,
            _ => f32::INFINITY,
        };
        let rows = scratch.seen.iter().copied().collect();
        Ok(Some(Begun { rows, kept: self.scan.report.kept, spent_ns: self.spent_ns(), reach }))
    }

    fn run(&mut self, begun: Option<&Begun>, scratch: &mut Scratch) -> Result<Ended> {
        if let Some(begun) = begun {
            scratch.seen.extend(&begun.rows);
            (self.examined, self.kept_before, self.spent_before_ns) = (begun.rows.len(), begun.kept, begun.spent_ns);
        }
        let (mut ef, nodes) = (self.job.how.ef, self.job.nodes);
        let mut goes_on = begun.is_none_or(|begun| begun.reach >= self.scan.ask.threshold.get());
        while goes_on {
            let step = if self.step(ef, scratch)? {
                let standing = self.standing(ef, &scratch.found);
                next_step(&standing, &self.job.how, &self.walks, self.graph.calibration(), &self.costs)
            } else {
                Step::Scan
            };
            match step {
                Step::Walk(wanted) => ef = wanted.min(nodes),
                Step::Scan => return Ok(Ended::Scan),
                Step::Enough => goes_on = false,
            }
        }
        let saved = self.job.how.budget_ns / self.walks.scan_weight - self.spent_ns();
        self.graph.add_saved(saved.max(0.0) as u64);
        Ok(Ended::Found)
    }

    fn spent_ns(&self) -> f64 {
        let (report, costs) = (&self.scan.report, &self.costs);
        let asked = if self.scan.ask.conditions.filter.is_some() { report.kept + report.filtered } else { 0 };
        self.spent_before_ns
            + report.visited as f64 * costs.visit_ns
            + report.reranked as f64 * costs.rerank_ns
            + asked as f64 * costs.filter_ns
    }

    fn standing(&self, ef: usize, found: &[Candidate]) -> Standing {
        let threshold = self.scan.ask.threshold.get();
        let last = found.last();
        Standing {
            ef,
            nodes: self.job.nodes,
            limit: self.scan.top.limit(),
            examined: self.examined,
            kept: self.kept_before + self.scan.report.kept,
            within: found.partition_point(|candidate| candidate.estimate >= threshold),
            reaches_below: last.is_some_and(|last| self.bound(last) < threshold),
            complete: found.len() == self.job.nodes,
            spent_ns: self.spent_ns(),
        }
    }

    fn bound(&self, candidate: &Candidate) -> f32 {
        bound(self.scan.part, self.scan.ask, self.graph.vectors().start, candidate)
    }

    /// Scores the rows of the candidates, best first, that were not looked at before and could be in the result.
    fn look_at(&mut self, found: &[Candidate], seen: &mut HashSet<u32, BuildHasherDefault<RowHasher>>) -> Result<()> {
        let (part, ask, vectors) = (self.scan.part, self.scan.ask, self.graph.vectors());
        let row_of = &part.segment().vector_row_column()[vectors.start as usize..];
        let Conditions { visible, now, .. } = ask.conditions;
        let sees_all = part.sees_all(&Rows::Range(self.graph.rows()), visible, now);
        // First the row's number, then, as that tells where it lies, what a score needs of it.
        let number = |index: usize| {
            if let Some(candidate) = found.get(index) {
                Kernels::prefetch(&raw const row_of[candidate.node as usize]);
            }
        };
        let fetch = |index: usize, threshold: f32| {
            let candidate = found.get(index);
            if let Some(candidate) =
                candidate.filter(|candidate| bound(part, ask, vectors.start, candidate) >= threshold)
            {
                part.prefetch_score(row_of[candidate.node as usize], vectors.start + candidate.node);
            }
        };
        (0..2 * AHEAD).for_each(number);
        (0..AHEAD).for_each(|index| fetch(index, f32::NEG_INFINITY));
        let (mut group, mut count) = ([0; 4], 0);
        for (index, candidate) in found.iter().enumerate() {
            let threshold = ask.threshold.get();
            number(index + 2 * AHEAD);
            fetch(index + AHEAD, threshold);
            if bound(part, ask, vectors.start, candidate) < threshold {
                continue;
            }
            let row = row_of[candidate.node as usize];
            if !seen.insert(row) {
                continue;
            }
            self.scan.report.candidates += 1;
            part.ensure_rows(&Rows::Range(row..row + 1))?;
            self.examined += 1;
            if sees_all || ask.conditions.sees(part, row) {
                group[count] = row;
                count += 1;
            }
            if count == group.len() {
                self.scan.score_rows(&group)?;
                count = 0;
            }
        }
        self.scan.score_rows(&group[..count])
    }
}

/// The most that the score of a candidate can be.
fn bound(part: &Sealed, ask: &Ask, first: u32, candidate: &Candidate) -> f32 {
    ask.probe.prepared.bound_of_estimate(candidate.estimate, &part.meta(first + candidate.node))
}
