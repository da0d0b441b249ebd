//! Searches and listings over all parts of a scope: fan out, merge by the one total order, read the winners.
//!
//! Invariants:
//! * Exactly `limit` items come back if that many match: every path below is exact, or finished by an exact one.
//! * The order is (score descending, LSN descending), then the tail in listing order: one list for limit and offset.
//! * Threads change how long a search takes, never its answer.

use std::collections::HashSet;
use std::sync::OnceLock;

use crate::error::{Error, Result};
use crate::filter::Prepared;
use crate::query::{Answer, PartExplain, Query};
use crate::segment::listing::{Kind, newest};
use crate::segment::part::Part;
use crate::segment::plan::Path;
use crate::segment::search::{Ask, PartReport, Probe, plan_part, scan};
use crate::shard::AnyPart;
use crate::store::read::{Portion, Reader};
use crate::store::write::check_vector;
use crate::sync::{AtomicUsize, Mutex, Ordering};
use crate::topk::{Newest, Place, SharedThreshold, TopK, ordered_bits};
use crate::types::{Hit, Namespace, VectorSpace};

/// Calls `$body` with `$part` as the concrete part behind an [`AnyPart`].
macro_rules! with_part {
    ($any:expr, $part:ident => $body:expr) => {
        match $any {
            AnyPart::Active(active) | AnyPart::Sealing(active) => {
                let $part = &**active;
                $body
            }
            AnyPart::Sealed(sealed) => match sealed.readable() {
                Ok($part) => {
                    let $part = &$part;
                    $body
                }
                Err(error) => Err(error),
            },
        }
    };
}
pub(super) use with_part;

/// Answers a query from one View.
pub(super) fn search(reader: &Reader<'_>, query: &Query) -> Result<Answer> {
    check(reader.engine.identity.keys.space, query)?;
    let filter = query.filter.as_ref().map(|filter| filter.prepare()).transpose()?;
    let mut answer = Answer { hits: Vec::new(), degraded: false, explain: Vec::new() };
    if query.limit == 0 {
        return Ok(answer);
    }
    let interval = query.scope.interval();
    let portions = reader.portions(&interval, &mut answer.degraded)?;
    let wanted = query.limit.saturating_add(query.offset);
    let mut places: Vec<(Option<f32>, Place)> = Vec::new();
    if query.vector.is_some() {
        let scored = scored(reader, query, filter.as_ref(), &portions, wanted, &mut answer)?;
        places.extend(scored.into_sorted().into_iter().map(|scored| (Some(scored.score), scored.place)));
    }
    let kind = if query.vector.is_some() { Kind::WithoutVectors } else { Kind::All };
    if places.len() < wanted && (query.tail || query.vector.is_none()) {
        let mut listed = Newest::new(wanted - places.len());
        let conditions = reader.conditions(filter.as_ref());
        for (number, portion) in portions.iter().enumerate() {
            let outcome = with_part!(portion.part, part => {
                newest(part, number as u32, &portion.rows(), kind, &conditions, &mut listed)
            });
            reader.tolerate(outcome, &mut answer.degraded)?;
        }
        places.extend(listed.into_sorted().into_iter().map(|listed| (None, listed.place)));
    }
    let (places, mut degraded) = (places.get(query.offset..).unwrap_or_default(), answer.degraded);
    reader.items(&portions, places, query.scope.namespace(), |score, item| {
        answer.hits.extend(reader.tolerate(item, &mut degraded)?.map(|item| Hit { score, item }));
        Ok(())
    })?;
    answer.degraded = degraded;
    Ok(answer)
}

fn check(space: Option<VectorSpace>, query: &Query) -> Result<()> {
    if let Some(vector) = &query.vector {
        check_vector(space, vector).map_err(|error| error.context("the query"))?;
    }
    if !(query.recall > 0.0 && query.recall <= 1.0) {
        return Err(Error::invalid(format!(
            "a recall of {} is none; give a number above 0 and at most 1",
            query.recall
        )));
    }
    if query.min_score.is_some_and(f32::is_nan) {
        return Err(Error::invalid("min_score is NaN; give a number"));
    }
    Ok(())
}

/// The `wanted` best rows by score.
fn scored(
    reader: &Reader<'_>,
    query: &Query,
    filter: Option<&Prepared>,
    portions: &[Portion<'_>],
    wanted: usize,
    answer: &mut Answer,
) -> Result<TopK> {
    let (Some(vector), Some(space)) = (&query.vector, reader.engine.identity.keys.space) else {
        return Ok(TopK::new(0));
    };
    let probe = Probe::new(vector, space.metric);
    let threshold = SharedThreshold::new(query.min_score);
    let ask = Ask {
        probe: &probe,
        conditions: reader.conditions(filter),
        threshold: &threshold,
        filter_sample: reader.engine.tuning.filter_sample,
    };
    let rows: u64 = portions.iter().map(|portion| portion.rows().len() as u64).sum();
    let mut top = TopK::new(wanted);
    if rows >= reader.engine.tuning.parallel_scan_rows && search_pool().is_some() {
        return scored_in_parallel(reader, query, &ask, portions, wanted, answer);
    }
    for (number, portion) in portions.iter().enumerate() {
        let outcome = with_part!(portion.part, part => search_portion(part, number, portion, &ask, &mut top));
        if let Some(report) = reader.tolerate(outcome, &mut answer.degraded)?
            && query.explain
        {
            answer.explain.push(explain(portion, &report));
        }
    }
    Ok(top)
}

fn search_portion<P: Part>(
    part: &P,
    number: usize,
    portion: &Portion<'_>,
    ask: &Ask<'_>,
    top: &mut TopK,
) -> Result<PartReport> {
    crate::segment::search::search(part, number as u32, &portion.rows(), ask, top)
}

/// What one thread found: its best rows, and what it did in which portion.
type Share = (TopK, Vec<(usize, Result<PartReport>)>);

/// The same, with the search pool's help: pieces of portions are taken by whoever is free, the caller included.
fn scored_in_parallel(
    reader: &Reader<'_>,
    query: &Query,
    ask: &Ask<'_>,
    portions: &[Portion<'_>],
    wanted: usize,
    answer: &mut Answer,
) -> Result<TopK> {
    let unit = reader.engine.tuning.scan_unit_rows.max(1) as usize;
    let mut pieces = Vec::new();
    for (number, portion) in portions.iter().enumerate() {
        let plan = with_part!(portion.part, part => plan_part(part, &portion.rows(), ask, wanted));
        let Some(plan) = reader.tolerate(plan, &mut answer.degraded)? else { continue };
        let starts = (0..portion.rows().len()).step_by(unit);
        pieces.extend(starts.map(|start| (number, start, plan)));
    }
    let next = AtomicUsize::new(0);
    let results: Mutex<Vec<Share>> = Mutex::new(Vec::new());
    let work = || {
        let mut top = TopK::new(wanted);
        let mut reports = Vec::new();
        while let Some(&(number, start, plan)) = pieces.get(next.fetch_add(1, Ordering::Relaxed)) {
            let rows = portions[number].rows();
            let rows = rows.slice(start, (start + unit).min(rows.len()));
            let outcome =
                with_part!(portions[number].part, part => scan(part, number as u32, &rows, ask, &plan, &mut top));
            reports.push((number, outcome));
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
    let mut top = TopK::new(wanted);
    let mut explained: Vec<Option<PartReport>> = portions.iter().map(|_| None).collect();
    for (part_top, reports) in results.into_inner() {
        top.merge(part_top);
        for (number, outcome) in reports {
            if let Some(report) = reader.tolerate(outcome, &mut answer.degraded)? {
                match &mut explained[number] {
                    Some(sum) => sum.add(&report),
                    none => *none = Some(report),
                }
            }
        }
    }
    if query.explain {
        let reports = portions.iter().zip(&explained);
        answer.explain.extend(reports.filter_map(|(portion, report)| Some(explain(portion, report.as_ref()?))));
    }
    Ok(top)
}

/// Helps with long scans; none on a machine with one core.
fn search_pool() -> Option<&'static rayon::ThreadPool> {
    static POOL: OnceLock<Option<rayon::ThreadPool>> = OnceLock::new();
    POOL.get_or_init(|| {
        let threads = std::thread::available_parallelism().map_or(1, |threads| threads.get()) - 1;
        let builder =
            rayon::ThreadPoolBuilder::new().num_threads(threads).thread_name(|index| format!("vecmem-search-{index}"));
        if threads > 0 { builder.build().ok() } else { None }
    })
    .as_ref()
}

fn explain(portion: &Portion<'_>, report: &PartReport) -> PartExplain {
    let path = match report.plan.path {
        Path::ScoreFirst => "scan",
        Path::FilterFirst => "filter, then scan",
    };
    PartExplain {
        part: portion.name(),
        path: path.to_owned(),
        rows: report.rows as u64,
        scanned: report.scanned as u64,
        walks: 0,
        visited: 0,
        candidates: report.candidates as u64,
        reranked: report.reranked as u64,
        refused: report.filtered as u64,
        pass_rate: report.plan.pass_rate,
    }
}

/// Searches by the vectors of a stored item: each other item's best score with any of them.
pub(super) fn search_like(reader: &Reader<'_>, namespace: &Namespace, key: &str, query: Query) -> Result<Answer> {
    let Some(item) = reader.with_vectors().get(namespace, key)? else {
        return Err(Error::invalid(format!("there is no item {key:?} in {namespace} to search by")));
    };
    let (limit, offset) = (query.limit, query.offset);
    let wanted = limit.saturating_add(offset).saturating_add(1);
    let mut best: Vec<Hit> = Vec::new();
    let mut answer = Answer { hits: Vec::new(), degraded: false, explain: Vec::new() };
    for vector in item.vectors {
        let query =
            Query { vector: Some(vector.values.into()), limit: wanted, offset: 0, tail: false, ..query.clone() };
        let part = search(reader, &query)?;
        answer.degraded |= part.degraded;
        answer.explain.extend(part.explain);
        best.extend(part.hits);
    }
    let order = |hit: &Hit| {
        (std::cmp::Reverse(ordered_bits(hit.score.unwrap_or(f32::NEG_INFINITY))), std::cmp::Reverse(hit.item.version.0))
    };
    best.sort_by_key(order);
    let mut seen = HashSet::new();
    best.retain(|hit| hit.item.version != item.version && seen.insert(hit.item.version));
    answer.hits = best.into_iter().skip(offset).take(limit).collect();
    Ok(answer)
}
