//! What a search expected of each part, beside what it did.

use crate::error::Result;
use crate::field_index::Passing;
use crate::search::plan::{PartReport, Path};
use crate::shard::PartRef;
use crate::storage::Clock;
use crate::store::portion::{Portion, PortionRows};
use crate::store::query::PartExplain;
use crate::store::recall_stats::least_recall;

/// Runs a search of a part, or of a piece of it, that was expected to take so long. With a clock the report says how
/// long it took.
pub(super) fn timed(
    clock: Option<&dyn Clock>,
    expected_ns: f64,
    search: impl FnOnce() -> Result<PartReport>,
) -> Result<PartReport> {
    let start = clock.map(|clock| clock.monotonic());
    let mut report = search()?;
    report.expected_ns += expected_ns;
    if let (Some(clock), Some(start)) = (clock, start) {
        report.took += clock.monotonic().saturating_sub(start);
    }
    Ok(report)
}

/// The report of a part for people and programs.
pub(super) fn explain(portion: &Portion<'_>, report: &PartReport, passing: Option<&Passing>) -> PartExplain {
    let path = match (report.graph_searches, report.scanned, report.plan.path) {
        (1.., 0, _) if report.of_filter > 0 => "graph of the filter",
        (1.., _, _) if report.of_filter > 0 => "graph of the filter, then flat",
        (1.., 0, _) => "graph",
        (1.., _, _) => "graph, then flat",
        (0, _, Path::ScoreFirst) => "flat",
        (0, _, Path::FilterFirst) => "filter, then flat",
    };
    let measured_recall = match (&portion.part, &portion.rows) {
        (PartRef::Segment(part), PortionRows::Range(rows)) if report.graph_searches > report.of_filter => {
            part.segment().ok().and_then(|segment| least_recall(segment, rows))
        }
        _ => None,
    };
    PartExplain {
        part: portion.name(),
        path: path.to_owned(),
        rows: portion.rows().len() as u64,
        may_pass: passing.map(|passing| passing.possible.len() as u64),
        scanned: report.scanned as u64,
        graph_searches: report.graph_searches as u64,
        visited: report.visited as u64,
        candidates: report.candidates as u64,
        reranked: report.reranked as u64,
        refused: report.filtered as u64,
        pass_rate: report.plan.pass_rate,
        measured_recall,
        expected_us: report.expected_ns / 1e3,
        took_us: report.took.as_secs_f64() * 1e6,
    }
}
