//! Which way to search one part: a pure decision from counts and costs, so that a table can test it.
//!
//! Both ways give the same rows; they differ in what they look at first:
//! * **score first**: scan all codes, re-rank the promising rows, ask the filter only about rows that would enter the result.
//!   A row that the filter refuses costs a re-rank and an evaluation, and `limit / pass rate` rows have to be tried.
//! * **filter first**: evaluate the filter on every live row, score those that pass.
//!
//! Invariant: without a filter the plan is always score first, and nothing is sampled.

/// The order of the two steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Path {
    ScoreFirst,
    FilterFirst,
}

impl Path {
    /// The name that `explain` shows.
    pub fn name(self) -> &'static str {
        match self {
            Self::ScoreFirst => "score-first",
            Self::FilterFirst => "filter-first",
        }
    }
}

/// What single steps cost, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Costs {
    /// One code of a scan.
    pub scan_ns: f64,
    /// One vector in full precision, found in memory out of order.
    pub rerank_ns: f64,
    /// One evaluation of the filter.
    pub filter_ns: f64,
}

impl Costs {
    /// The costs for vectors of `dims`: measured with AVX-512 and 384 dimensions, where codes and vectors scale and filters do not.
    pub fn of_dims(dims: usize) -> Self {
        let dims = dims as f64;
        Self { scan_ns: 3.0 + dims * 0.02, rerank_ns: 30.0 + dims * 0.15, filter_ns: 150.0 }
    }
}

/// What is known of a part before the search.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Facts {
    /// Rows in the interval.
    pub rows: usize,
    /// Results asked for.
    pub limit: usize,
    pub has_filter: bool,
    /// Visible rows of the sample, and how many of them passed the filter.
    pub sample: Option<(usize, usize)>,
    /// Rows that the sample looked at, visible or not.
    pub sampled: usize,
}

/// The decision and its estimates, which `explain` sets beside the facts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Plan {
    pub path: Path,
    /// Rows that live.
    pub live: f64,
    /// The share of live rows that pass the filter; `None` where nothing was sampled.
    pub pass_rate: Option<f64>,
    pub score_first_ns: f64,
    pub filter_first_ns: f64,
}

/// Rows of an interval that are worth a sample, for each sampled row: below, the wrong choice costs less than the sample.
const ROWS_PER_SAMPLE: usize = 16;
/// Pass rate where nothing was sampled.
const GUESSED_PASS_RATE: f64 = 0.5;
/// Rows that are re-ranked for each that enters the result, because bounds are not scores.
const RERANKS_PER_ENTRY: f64 = 2.0;

/// How many rows to sample, given how many there are and the most that tuning allows.
pub(crate) fn sample_rows(rows: usize, has_filter: bool, sample_max: usize) -> usize {
    if has_filter && rows / ROWS_PER_SAMPLE >= sample_max { sample_max } else { 0 }
}

/// Decides.
pub(crate) fn plan(facts: &Facts, costs: &Costs) -> Plan {
    let rows = facts.rows as f64;
    let (live, sampled_rate) = match facts.sample {
        // One more row that passes and one that does not: a sample proves neither 0 nor 1.
        Some((seen, passed)) => {
            (rows * seen as f64 / facts.sampled.max(1) as f64, Some((passed as f64 + 1.0) / (seen as f64 + 2.0)))
        }
        None => (rows, None),
    };
    let pass_rate = sampled_rate.unwrap_or(if facts.has_filter { GUESSED_PASS_RATE } else { 1.0 });
    // The rows that enter a top list of `wanted` while `live` rows pass by in random order.
    let wanted = (facts.limit as f64 / pass_rate).min(live);
    let entries = if wanted > 0.0 { (wanted * (1.0 + (live / wanted).ln())).min(live) } else { 0.0 };
    let reranks = (entries * RERANKS_PER_ENTRY).min(live);
    let filter_ns = if facts.has_filter { costs.filter_ns } else { 0.0 };
    let score_first_ns = live * costs.scan_ns + reranks * costs.rerank_ns + entries * filter_ns;
    let passing = live * pass_rate;
    let kept = (facts.limit as f64).min(passing);
    let kept_entries = if kept > 0.0 { (kept * (1.0 + (passing / kept).ln())).min(passing) } else { 0.0 };
    let passing_reranks = (kept_entries * RERANKS_PER_ENTRY).min(passing);
    let filter_first_ns = live * filter_ns + passing * costs.scan_ns + passing_reranks * costs.rerank_ns;
    let path = if facts.has_filter && filter_first_ns < score_first_ns { Path::FilterFirst } else { Path::ScoreFirst };
    Plan { path, live, pass_rate: sampled_rate, score_first_ns, filter_first_ns }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cheaper_way_is_taken() {
        use Path::{FilterFirst, ScoreFirst};
        let costs = Costs::of_dims(384);
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
            let plan = plan(&Facts { rows, limit, has_filter, sample, sampled: 256 }, &costs);
            assert_eq!(plan.path, expected, "{rows} {limit} {sample:?}: {plan:?}");
            assert!(plan.score_first_ns >= 0.0 && plan.filter_first_ns >= 0.0, "{plan:?}");
            assert!(
                plan.live <= rows as f64 && plan.pass_rate.is_none_or(|rate| (0.0..=1.0).contains(&rate)),
                "{plan:?}"
            );
        }
    }

    #[test]
    fn estimates_follow_the_sample() {
        let facts = Facts { rows: 10_000, limit: 10, has_filter: true, sample: Some((128, 64)), sampled: 256 };
        let plan = plan(&facts, &Costs::of_dims(384));
        assert_eq!((plan.live, plan.pass_rate), (5_000.0, Some(0.5)));
    }

    #[test]
    fn only_large_intervals_with_a_filter_are_sampled() {
        assert_eq!(sample_rows(1_000_000, false, 256), 0);
        assert_eq!(sample_rows(4_095, true, 256), 0);
        assert_eq!(sample_rows(4_096, true, 256), 256);
    }
}
