//! The best rows by score over all parts of a scope: graphs are walked, the rest is scanned, on several threads where that pays.
//!
//! Invariants:
//! * Walks come first, one after the other, the largest graph first: what they find depends on the View and the query alone. Scans
//!   are exact, so their order and their threads change nothing.
//! * What walks leave short is scanned, and no row is counted twice.

use std::ops::Range;

use crate::error::Result;
use crate::filter::Prepared;
use crate::query::{Answer, PartExplain, Query};
use crate::segment::part::Rows;
use crate::segment::plan::{Path, Plan};
use crate::segment::search::{Ask, PartReport, Probe, plan_part, scan, search};
use crate::segment::walk::{Begun, Ended, Job, Mixed, begin, plan_walks, walk};
use crate::segment::walk_plan::{Effort, Walks};
use crate::shard::AnyPart;
use crate::storage::lock::PerProcess;
use crate::store::earn::count_scan;
use crate::store::read::{Portion, PortionRows, Reader};
use crate::store::search::with_part;
use crate::sync::{AtomicUsize, Mutex, Ordering};
use crate::topk::{SharedThreshold, TopK};

/// The `wanted` best rows by score.
pub(super) fn scored(
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
        walks: walks(reader, query),
    };
    let reports = if query.explain { portions.iter().map(|_| None).collect() } else { Vec::new() };
    let top = TopK::new(wanted);
    let mut search = Search { reader, query, ask: &ask, portions, top, reports, degraded: false };
    search.run()?;
    answer.degraded |= search.degraded;
    let reports = portions.iter().zip(&search.reports);
    answer.explain.extend(reports.filter_map(|(portion, report)| Some(explain(portion, report.as_ref()?))));
    Ok(search.top)
}

/// How the query lets graphs be walked.
fn walks(reader: &Reader<'_>, query: &Query) -> Option<Walks> {
    let scan_weight = f64::from(reader.engine.tuning.scan_weight.max(1));
    match query.effort {
        _ if query.exact => None,
        Some(ef) => Some(Walks { effort: Effort::Fixed(ef), scan_weight }),
        None if query.recall >= 1.0 => None,
        None => Some(Walks { effort: Effort::Recall(query.recall), scan_weight }),
    }
}

/// Rows of a portion to be scanned.
struct ScanJob {
    portion: usize,
    start: usize,
    end: usize,
    plan: Plan,
}

/// A graph of a portion to be walked.
struct WalkJob {
    portion: usize,
    job: Job,
    plan: Plan,
    begun: Option<Begun>,
}

/// What one thread found: its best rows, and what it did in which portion.
type Share = (TopK, Vec<(usize, Result<PartReport>)>);

/// A search under way.
struct Search<'a> {
    reader: &'a Reader<'a>,
    query: &'a Query,
    ask: &'a Ask<'a>,
    portions: &'a [Portion<'a>],
    top: TopK,
    /// One for each portion, if somebody wants to know.
    reports: Vec<Option<PartReport>>,
    degraded: bool,
}

impl Search<'_> {
    fn run(&mut self) -> Result<()> {
        let has_graphs = |portion: &Portion| portion.part.segment().is_some_and(|segment| !segment.graphs().is_empty());
        if self.ask.walks.is_some() && self.portions.iter().any(has_graphs) {
            return self.walk_and_scan();
        }
        self.portions.iter().for_each(|portion| self.count_scan(portion, portion.rows().len()));
        if self.is_shared(self.portions.iter().map(|portion| portion.rows().len()).sum()) {
            let mut scans = Vec::new();
            for number in 0..self.portions.len() {
                self.plan_scans(number, &mut scans)?;
            }
            return self.scan_in_parallel(&scans);
        }
        for (number, portion) in self.portions.iter().enumerate() {
            let (ask, top) = (self.ask, &mut self.top);
            let outcome = with_part!(portion.part, part => search(part, number as u32, &portion.rows(), ask, top));
            self.note(number, outcome)?;
        }
        Ok(())
    }

    /// Counts a scan towards a graph that would have spared it.
    fn count_scan(&self, portion: &Portion<'_>, rows: usize) {
        if let Some(walks) = &self.ask.walks {
            count_scan(self.reader.engine, self.query, walks, portion, rows, self.top.limit());
        }
    }

    /// Keeps what was done in a portion; under `partial`, damage is noted and passed over.
    fn note(&mut self, portion: usize, outcome: Result<PartReport>) -> Result<()> {
        let Some(report) = self.reader.tolerate(outcome, &mut self.degraded)? else { return Ok(()) };
        match self.reports.get_mut(portion) {
            Some(Some(sum)) => sum.add(&report),
            Some(none) => *none = Some(report),
            None => {}
        }
        Ok(())
    }

    fn is_shared(&self, rows: usize) -> bool {
        rows as u64 >= self.reader.engine.tuning.parallel_scan_rows && search_pool().is_some()
    }

    /// Walks the graphs that are worth it, then scans what they do not cover or did not bring.
    fn walk_and_scan(&mut self) -> Result<()> {
        let (mut walks, mut scans) = (Vec::new(), Vec::new());
        for number in 0..self.portions.len() {
            match self.plan_walks(number)? {
                Some(mixed) => {
                    let Mixed { walks: jobs, scans: ranges, plan } = mixed;
                    walks.extend(jobs.into_iter().map(|job| WalkJob { portion: number, job, plan, begun: None }));
                    scans.extend(ranges.into_iter().map(|rows| self.scan_job(number, &rows, plan)));
                }
                None => self.plan_scans(number, &mut scans)?,
            }
        }
        for (number, portion) in self.portions.iter().enumerate() {
            let rows = scans.iter().filter(|scan| scan.portion == number).map(|scan| scan.end - scan.start).sum();
            self.count_scan(portion, rows);
        }
        walks.sort_by_key(|walk| std::cmp::Reverse(walk.job.nodes));
        let rows = |scan: &ScanJob| scan.end - scan.start;
        let total = walks.iter().map(|walk| walk.job.nodes).sum::<usize>() + scans.iter().map(rows).sum::<usize>();
        if walks.len() > 1 && self.query.filter.is_none() {
            for walk in &mut walks {
                walk.begun = self.begin(walk, walk.job.nodes as f64 / total as f64)?;
            }
        }
        for walk in &walks {
            if self.walk(walk)? == Ended::Scan {
                scans.push(self.scan_of(walk));
            }
        }
        self.scan(scans)
    }

    fn plan_walks(&mut self, number: usize) -> Result<Option<Mixed>> {
        let portion = &self.portions[number];
        let (AnyPart::Sealed(sealed), PortionRows::Range(rows)) = (portion.part, &portion.rows) else {
            return Ok(None);
        };
        let plan = sealed.readable().and_then(|part| plan_walks(&part, rows, self.ask, self.top.limit()));
        Ok(self.reader.tolerate(plan, &mut self.degraded)?.flatten())
    }

    /// Adds the scan of a whole portion.
    fn plan_scans(&mut self, number: usize, scans: &mut Vec<ScanJob>) -> Result<()> {
        let (portion, ask, wanted) = (&self.portions[number], self.ask, self.top.limit());
        let plan = with_part!(portion.part, part => plan_part(part, &portion.rows(), ask, wanted));
        if let Some(plan) = self.reader.tolerate(plan, &mut self.degraded)? {
            scans.push(ScanJob { portion: number, start: 0, end: portion.rows().len(), plan });
        }
        Ok(())
    }

    /// The first, short walk of one graph among several.
    fn begin(&mut self, walk: &WalkJob, share: f64) -> Result<Option<Begun>> {
        let WalkJob { portion: number, job, plan, .. } = walk;
        let AnyPart::Sealed(sealed) = self.portions[*number].part else { return Ok(None) };
        let (ask, top) = (self.ask, &mut self.top);
        let outcome = sealed.readable().and_then(|part| begin(&part, *number as u32, job, plan, ask, share, top));
        match outcome {
            Ok((report, begun)) => self.note(*number, Ok(report)).map(|()| begun),
            // The walk itself meets it again.
            Err(_) => Ok(None),
        }
    }

    fn walk(&mut self, walked: &WalkJob) -> Result<Ended> {
        let WalkJob { portion: number, job, plan, begun } = walked;
        let AnyPart::Sealed(sealed) = self.portions[*number].part else { return Ok(Ended::Scan) };
        let (ask, top) = (self.ask, &mut self.top);
        let outcome =
            sealed.readable().and_then(|part| walk(&part, *number as u32, job, plan, ask, begun.as_ref(), top));
        let (report, ended) = match outcome {
            Ok((report, ended)) => (Ok(report), ended),
            Err(error) => (Err(error), Ended::Found),
        };
        self.note(*number, report)?;
        Ok(ended)
    }

    /// The rows of a walk's graph.
    fn rows_of(&self, walk: &WalkJob) -> Range<u32> {
        let segment = self.portions[walk.portion].part.segment();
        segment.map_or(0..0, |segment| segment.graphs()[walk.job.graph].rows())
    }

    fn scan_of(&self, walk: &WalkJob) -> ScanJob {
        self.scan_job(walk.portion, &self.rows_of(walk), walk.plan)
    }

    fn scan_job(&self, portion: usize, rows: &Range<u32>, plan: Plan) -> ScanJob {
        let first = self.portions[portion].rows().at(0);
        ScanJob { portion, start: (rows.start - first) as usize, end: (rows.end - first) as usize, plan }
    }

    /// Scans, alone or with the search pool's help.
    fn scan(&mut self, scans: Vec<ScanJob>) -> Result<()> {
        if self.is_shared(scans.iter().map(|scan| scan.end - scan.start).sum()) {
            return self.scan_in_parallel(&scans);
        }
        for job in &scans {
            let outcome = scan_piece(self.portions, job, self.ask, &mut self.top);
            self.note(job.portion, outcome)?;
        }
        Ok(())
    }

    /// Pieces of the scans are taken by whoever is free, the caller included.
    fn scan_in_parallel(&mut self, scans: &[ScanJob]) -> Result<()> {
        let unit = self.reader.engine.tuning.scan_unit_rows.max(1) as usize;
        let mut pieces = Vec::new();
        for &ScanJob { portion, start, end, plan } in scans {
            let starts = (start..end).step_by(unit);
            pieces.extend(starts.map(|start| ScanJob { portion, start, end: end.min(start + unit), plan }));
        }
        let (portions, ask, wanted) = (self.portions, self.ask, self.top.limit());
        let next = AtomicUsize::new(0);
        let results: Mutex<Vec<Share>> = Mutex::new(Vec::new());
        let work = || {
            let mut top = TopK::new(wanted);
            let mut reports = Vec::new();
            while let Some(piece) = pieces.get(next.fetch_add(1, Ordering::Relaxed)) {
                reports.push((piece.portion, scan_piece(portions, piece, ask, &mut top)));
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

fn scan_piece(portions: &[Portion<'_>], job: &ScanJob, ask: &Ask<'_>, top: &mut TopK) -> Result<PartReport> {
    let portion = &portions[job.portion];
    let rows: Rows<'_> = portion.rows().slice(job.start, job.end);
    with_part!(portion.part, part => scan(part, job.portion as u32, &rows, ask, &job.plan, top))
}

/// Helps with long scans; none on a machine with one core. A forked child has one of its own.
fn search_pool() -> Option<&'static rayon::ThreadPool> {
    static POOL: PerProcess<Option<rayon::ThreadPool>> = PerProcess::new();
    let make = || {
        let threads = std::thread::available_parallelism().map_or(1, |threads| threads.get()) - 1;
        let builder =
            rayon::ThreadPoolBuilder::new().num_threads(threads).thread_name(|index| format!("vecmem-search-{index}"));
        if threads > 0 { builder.build().ok() } else { None }
    };
    POOL.get().unwrap_or_else(|| POOL.get_or_set(make())).as_ref()
}

fn explain(portion: &Portion<'_>, report: &PartReport) -> PartExplain {
    let path = match (report.walks, report.scanned, report.plan.path) {
        (1.., 0, _) => "walk",
        (1.., _, _) => "walk, then scan",
        (0, _, Path::ScoreFirst) => "scan",
        (0, _, Path::FilterFirst) => "filter, then scan",
    };
    PartExplain {
        part: portion.name(),
        path: path.to_owned(),
        rows: portion.rows().len() as u64,
        scanned: report.scanned as u64,
        walks: report.walks as u64,
        visited: report.visited as u64,
        candidates: report.candidates as u64,
        reranked: report.reranked as u64,
        refused: report.filtered as u64,
        pass_rate: report.plan.pass_rate,
    }
}
