//! The plan of the search of one part: counts, and a sample of its rows where a filter's pass rate is not known.
//!
//! Invariant: a sample changes no answer of a flat search, which is exact by any plan.

use crate::error::Result;
use crate::search::context::SearchContext;
use crate::search::part::{PartColumns, Rows};
use crate::search::plan::{KnownRows, Plan, PlanFacts, plan, sample_rows};

/// Plans the search of `rows` of `part`. If there is a filter, a sample of the rows may estimate its pass rate.
pub(crate) fn plan_part<P: PartColumns>(part: &P, rows: &Rows, context: &SearchContext, limit: usize) -> Result<Plan> {
    // Of these rows alone: what is asked elsewhere in the part changes no plan here.
    let known = context.conditions.outcomes.map_or(0, |outcomes| match rows {
        Rows::Range(range) => outcomes.known_in(range.clone()),
        Rows::List(rows) | Rows::Rising(rows) => rows.iter().filter(|&&row| outcomes.get(row).is_some()).count(),
    });
    let asked_before = known as f64 / rows.len().max(1) as f64;
    plan_by_sample(part, rows, context, limit, Sampling { most: context.filter_sample, asked_before })
}

/// What a plan may use beside the counts of rows.
#[derive(Clone, Copy)]
pub(crate) struct Sampling {
    /// The most rows of a sample.
    pub most: usize,
    /// The share of rows about which the filter was asked before.
    pub asked_before: f64,
}

/// As [`plan_part`], with a given sample.
pub(crate) fn plan_by_sample<P: PartColumns>(
    part: &P,
    rows: &Rows,
    context: &SearchContext,
    limit: usize,
    sampling: Sampling,
) -> Result<Plan> {
    let known = context.conditions.passing.map(|passing| {
        let possible = passing.possible.len();
        KnownRows { possible, unsure: possible - passing.certain.len() }
    });
    // With an index only rows that it is not sure of need a sample, and where no sample is taken nothing is unsure.
    let has_filter = context.conditions.filter.is_some();
    let unsure = known.map_or(rows.len(), |known| known.unsure);
    let sampled = sample_rows(unsure, has_filter, sampling.most);
    let (mut seen, mut passed) = (0, 0);
    for index in 0..sampled {
        let at = (index as u64 * rows.len() as u64 / sampled as u64) as usize;
        let row = rows.at(at);
        part.ensure_rows(&rows.slice(at, at + 1))?;
        if context.conditions.may_want(row) && context.conditions.sees(part, row) {
            seen += 1;
            passed += usize::from(context.conditions.wants(part, row)?);
        }
    }
    let sample = (sampled > 0).then_some((seen, passed));
    let facts =
        PlanFacts { rows: rows.len(), limit, has_filter, sample, sampled, asked_before: sampling.asked_before, known };
    Ok(plan(&facts, &context.costs))
}
