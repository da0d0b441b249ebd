//! How to search one part: a pure decision from counts and costs. Also the report of a search.
//!
//! Both paths give the same result. They differ in the order of their steps:
//! * **score first**: score all codes, re-rank the promising rows, ask the filter only about rows that would enter the
//!   result. A row that the filter refuses costs a re-rank and an evaluation, and `limit / pass rate` rows have to be
//!   tried.
//! * **filter first**: evaluate the filter on every visible row, score the rows that pass.
//!
//! Invariant: without a filter the plan is always score first, and nothing is sampled.

use std::time::Duration;

use crate::quant::stride;
use crate::tuning::MachineCosts;

/// The order of the two steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Path {
    ScoreFirst,
    FilterFirst,
}

/// The costs of single steps, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Costs {
    /// One code of a flat search.
    pub flat_ns: f64,
    /// One code of a flat search that visits single rows, if a cache has it: see [`Costs::listed`].
    pub listed_ns: f64,
    /// The bytes of memory that one row of such a search reads.
    pub listed_bytes: f64,
    /// One score in full precision, of a vector at a random place in memory.
    pub rerank_ns: f64,
    /// One evaluation of the filter.
    pub filter_ns: f64,
    /// One distance that a graph search computes.
    pub visit_ns: f64,
}

impl Costs {
    /// The costs for vectors of `dims` on a machine. The constants were measured with AVX-512 and 384 dimensions; those
    /// of codes and vectors scale with the dimensions, that of a filter does not.
    pub fn of_dims(dims: usize, machine: &MachineCosts) -> Self {
        let dims = dims as f64;
        Self {
            flat_ns: machine.flat * (3.0 + dims * 0.02),
            listed_ns: machine.scattered * (3.0 + dims * 0.032),
            listed_bytes: (stride(dims as usize) + META_BYTES) as f64,
            rerank_ns: machine.full * (30.0 + dims * 0.15),
            filter_ns: machine.filter * 150.0,
            visit_ns: machine.scattered * (20.0 + dims * 0.07),
        }
    }

    /// The codes of so many single rows, which lie apart from each other. Few of them stay in a cache from one search
    /// to the next; of many, each is waited for.
    pub fn listed(&self, rows: f64) -> f64 {
        let (least, most) = CACHED_BYTES;
        let waited_for = ((rows * self.listed_bytes - least) / (most - least)).clamp(0.0, 1.0);
        rows * self.listed_ns * (1.0 + waited_for * (UNCACHED - 1.0))
    }
}

/// A line of the cache, for the meta of a code.
const META_BYTES: usize = 64;
/// So many bytes that a search reads are all in a cache, and so many in none. Several cores share the cache.
const CACHED_BYTES: (f64, f64) = (4e6, 12e6);
/// What a code in no cache costs more than one in a cache. Of 1,000,000 vectors of 128 dimensions, 10,000 and 30,000
/// single rows cost 15 to 18 ns each, 60,000 to 500,000 cost 19 to 29 ns.
const UNCACHED: f64 = 2.2;

/// The facts about a part and a query from which the search of the part is planned.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct PlanFacts {
    /// Rows in the interval.
    pub rows: usize,
    /// Results asked for.
    pub limit: usize,
    pub has_filter: bool,
    /// Visible rows of the sample, and how many of them passed the filter.
    pub sample: Option<(usize, usize)>,
    /// Rows that the sample looked at, visible or not.
    pub sampled: usize,
    /// The share of the rows about which the filter was asked before, so that it costs nothing. Always 0 where a graph
    /// may be searched: the plan of such a search does not depend on earlier ones.
    pub asked_before: f64,
    /// What the field index says of the rows, if anything. Then only its possible rows are sampled.
    pub known: Option<KnownRows>,
}

/// How many rows pass the filter, as a field index knows it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct KnownRows {
    /// Rows that may pass.
    pub possible: usize,
    /// Of these, the ones whose values have to be asked.
    pub unsure: usize,
}

/// The decision and its estimates.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Plan {
    pub path: Path,
    /// Only the rows that may pass by the field index are visited, and not the whole interval.
    pub listed: bool,
    /// The estimated number of visible rows; all rows where nothing was sampled.
    pub live: f64,
    /// The estimated share of visible rows that pass the filter; `None` where nothing was sampled.
    pub pass_rate: Option<f64>,
    pub score_first_ns: f64,
    pub filter_first_ns: f64,
}

impl Plan {
    /// The estimated cost of the cheaper path.
    pub fn cost_ns(&self) -> f64 {
        self.score_first_ns.min(self.filter_first_ns)
    }
}

/// The steps of a search in one part, counted. `explain` shows them beside the plan.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PartReport {
    pub plan: Plan,
    /// Rows of the interval.
    pub rows: usize,
    /// Vectors that flat searches compared, by their codes or at once in full precision.
    pub scanned: usize,
    /// Rows whose bound reached the threshold, and rows that were scored without a bound.
    pub candidates: usize,
    /// Rows scored in full precision.
    pub reranked: usize,
    /// Rows that the filter refused.
    pub filtered: usize,
    /// Rows that entered the result, if only for a while.
    pub kept: usize,
    /// Searches of graphs, repeated ones included.
    pub graph_searches: usize,
    /// Of these, the searches of a graph of the filter.
    pub of_filter: usize,
    /// Nodes that graph searches computed a distance to.
    pub visited: usize,
    /// What the plans expected these steps to cost, in nanoseconds, and what they took if that was asked for.
    pub expected_ns: f64,
    pub took: Duration,
}

impl PartReport {
    /// The report of a search of `rows` rows before its first step.
    pub fn new(plan: Plan, rows: usize) -> Self {
        let (scanned, candidates, reranked, filtered) = (0, 0, 0, 0);
        let (kept, graph_searches, of_filter, visited) = (0, 0, 0, 0);
        let (expected_ns, took) = (0.0, Duration::ZERO);
        Self {
            plan,
            rows,
            scanned,
            candidates,
            reranked,
            filtered,
            kept,
            graph_searches,
            of_filter,
            visited,
            expected_ns,
            took,
        }
    }

    /// Adds the report of another piece of the same part.
    pub fn add(&mut self, other: &Self) {
        self.rows += other.rows;
        self.scanned += other.scanned;
        self.candidates += other.candidates;
        self.reranked += other.reranked;
        self.filtered += other.filtered;
        self.kept += other.kept;
        self.graph_searches += other.graph_searches;
        self.of_filter += other.of_filter;
        self.visited += other.visited;
        self.expected_ns += other.expected_ns;
        self.took += other.took;
    }
}

/// An interval is sampled if it has this many rows for each sampled one. In a smaller interval a sample costs more than
/// the wrong path.
const ROWS_PER_SAMPLE: usize = 16;
/// To look up whether a row passes, in nanoseconds.
const KNOWN_NS: f64 = 2.0;
/// Pass rate where nothing was sampled.
const GUESSED_PASS_RATE: f64 = 0.5;
/// Rows that are re-ranked for each that enters the result, because bounds are not scores.
const RERANKS_PER_ENTRY: f64 = 2.0;

/// How many of `rows` to sample. `sample_max` is the limit of the tuning.
pub(crate) fn sample_rows(rows: usize, has_filter: bool, sample_max: usize) -> usize {
    if has_filter && rows / ROWS_PER_SAMPLE >= sample_max { sample_max } else { 0 }
}

/// Estimates the cost of both paths and chooses the cheaper one.
pub(crate) fn plan(facts: &PlanFacts, costs: &Costs) -> Plan {
    let rows = facts.rows as f64;
    if !facts.has_filter {
        let cost = rows * costs.flat_ns + rows.min(facts.limit as f64) * costs.rerank_ns;
        let (score_first_ns, filter_first_ns) = (cost, cost);
        let path = Path::ScoreFirst;
        return Plan { path, listed: false, live: rows, pass_rate: None, score_first_ns, filter_first_ns };
    }
    let costs = &Costs { filter_ns: costs.filter_ns * (1.0 - facts.asked_before.clamp(0.0, 1.0)) + KNOWN_NS, ..*costs };
    if let Some(known) = facts.known {
        return plan_known(facts, &known, costs);
    }
    let (live, pass_rate) = match facts.sample {
        // One row that passes and one that does not are added, since no sample proves a rate of 0 or of 1.
        Some((seen, passed)) => {
            (rows * seen as f64 / facts.sampled.max(1) as f64, Some((passed as f64 + 1.0) / (seen as f64 + 2.0)))
        }
        None => (rows, None),
    };
    let passing = live * pass_rate.unwrap_or(GUESSED_PASS_RATE);
    let wanted = facts.limit as f64;
    // A result needs a row that passes, so 1 / pass rate rows are tried for each.
    let tried = entries(wanted / pass_rate.unwrap_or(GUESSED_PASS_RATE), live);
    let score_first_ns = live * costs.flat_ns + tried * costs.filter_ns + reranks(tried, live) * costs.rerank_ns;
    let kept = entries(wanted, passing);
    let filter_first_ns = live * costs.filter_ns + passing * costs.flat_ns + reranks(kept, passing) * costs.rerank_ns;
    let path = if filter_first_ns < score_first_ns { Path::FilterFirst } else { Path::ScoreFirst };
    Plan { path, listed: false, live, pass_rate, score_first_ns, filter_first_ns }
}

/// The plan where a field index knows which rows may pass: a decision between all codes of the interval in their order,
/// with a test of each row, and the codes of the possible rows alone. Values are asked last of all, unless so few rows
/// pass that most answers would be no.
fn plan_known(facts: &PlanFacts, known: &KnownRows, costs: &Costs) -> Plan {
    let (rows, possible, unsure) = (facts.rows as f64, known.possible as f64, known.unsure as f64);
    let share = match facts.sample {
        Some((seen, passed)) => (passed as f64 + 1.0) / (seen as f64 + 2.0),
        None => GUESSED_PASS_RATE,
    };
    let passing = possible - unsure * (1.0 - share);
    let asked = if possible > 0.0 { unsure / possible * costs.filter_ns } else { 0.0 };
    let listed_ns = costs.listed(possible);
    let scan_ns = listed_ns.min(rows * costs.flat_ns);
    let tried = entries(facts.limit as f64 * possible / passing.max(1.0), possible);
    let score_first_ns = scan_ns + reranks(tried, possible) * (costs.rerank_ns + asked);
    let kept = reranks(entries(facts.limit as f64, passing), passing);
    let filter_first_ns = possible * asked + costs.listed(passing) + kept * costs.rerank_ns;
    let path = if filter_first_ns < score_first_ns { Path::FilterFirst } else { Path::ScoreFirst };
    let listed = path == Path::FilterFirst || listed_ns <= rows * costs.flat_ns;
    let pass_rate = Some(if rows > 0.0 { passing / rows } else { 0.0 });
    Plan { path, listed, live: rows, pass_rate, score_first_ns, filter_first_ns }
}

/// The expected number of `rows` that enter a list of the best `wanted`, if only for a while. Their order is random.
fn entries(wanted: f64, rows: f64) -> f64 {
    let wanted = wanted.min(rows);
    if wanted > 0.0 { (wanted * (1.0 + (rows / wanted).ln())).min(rows) } else { 0.0 }
}

/// The expected number of `rows` that are scored in full precision if `entries` of them enter the result.
fn reranks(entries: f64, rows: f64) -> f64 {
    (entries * RERANKS_PER_ENTRY).min(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cheaper_way_is_taken() {
        use Path::{FilterFirst, ScoreFirst};
        let costs = Costs::of_dims(384, &MachineCosts::default());
        // rows, limit, has filter, (seen, passed) of 256 sampled, expected
        let table = [
            (0, 10, true, None, ScoreFirst),
            (5, 10, false, None, ScoreFirst),
            (1_000_000, 10, false, None, ScoreFirst),
            (1_000, 10, true, None, ScoreFirst),
            (1_000, 1_000, true, None, FilterFirst),
            (1_000, usize::MAX, false, None, ScoreFirst),
            (10_000, 10, true, Some((256, 256)), ScoreFirst),
            (10_000, 10, true, Some((256, 26)), ScoreFirst),
            (10_000, 10, true, Some((256, 0)), FilterFirst),
            (1_000_000, 10, true, Some((256, 0)), ScoreFirst),
            (1_000_000, 10_000, true, Some((256, 2)), FilterFirst),
            (10_000, 10, true, Some((0, 0)), ScoreFirst),
            (10_000, 0, true, Some((256, 1)), ScoreFirst),
        ];
        for (rows, limit, has_filter, sample, expected) in table {
            let facts = PlanFacts { rows, limit, has_filter, sample, sampled: 256, asked_before: 0.0, known: None };
            let plan = plan(&facts, &costs);
            assert_eq!(plan.path, expected, "{rows} {limit} {sample:?}: {plan:?}");
            assert!(plan.score_first_ns >= 0.0 && plan.filter_first_ns >= 0.0, "{plan:?}");
            assert!(
                plan.live <= rows as f64 && plan.pass_rate.is_none_or(|rate| (0.0..=1.0).contains(&rate)),
                "{plan:?}"
            );
        }
    }

    #[test]
    fn single_rows_that_no_cache_holds_cost_more_than_twice_as_much() {
        for (dims, rows, expected) in [
            (128, 0.0, 1.0),
            (128, 20_000.0, 1.0),
            (128, 41_666.0, 1.6),
            (128, 1e6, 2.2),
            (384, 8_000.0, 1.0),
            (384, 1e5, 2.2),
        ] {
            let costs = Costs::of_dims(dims, &MachineCosts { scattered: 0.5, ..MachineCosts::default() });
            let factor = costs.listed(rows) / (rows.max(1.0) * costs.listed_ns);
            assert!((factor - expected).abs() < 0.01 || rows == 0.0, "{dims} {rows}: {factor}");
            assert!(costs.listed(rows) <= costs.listed(rows + 1.0));
        }
    }

    #[test]
    fn estimates_follow_the_sample() {
        let sample = Some((128, 64));
        let facts = PlanFacts {
            rows: 10_000,
            limit: 10,
            has_filter: true,
            sample,
            sampled: 256,
            asked_before: 0.0,
            known: None,
        };
        let plan = plan(&facts, &Costs::of_dims(384, &MachineCosts::default()));
        assert_eq!((plan.live, plan.pass_rate), (5_000.0, Some(0.5)));
    }

    #[test]
    fn a_filter_that_was_asked_before_comes_first() {
        let sample = Some((256, 26));
        let mut facts = PlanFacts {
            rows: 8_000,
            limit: 10,
            has_filter: true,
            sample,
            sampled: 256,
            asked_before: 0.0,
            known: None,
        };
        let costs = Costs::of_dims(384, &MachineCosts::default());
        assert_eq!(plan(&facts, &costs).path, Path::ScoreFirst);
        facts.asked_before = 1.0;
        assert_eq!(plan(&facts, &costs).path, Path::FilterFirst);
    }

    #[test]
    fn only_large_intervals_with_a_filter_are_sampled() {
        assert_eq!(sample_rows(1_000_000, false, 256), 0);
        assert_eq!(sample_rows(4_095, true, 256), 0);
        assert_eq!(sample_rows(4_096, true, 256), 256);
    }
}
