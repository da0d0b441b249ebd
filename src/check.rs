//! The check of a store: every checksum, order and table of the files of all segments, and the place of every row.
//!
//! Invariants:
//! * A check changes nothing. A repair replaces or drops derived files, but no truth file.
//! * A check that is interrupted gives no report. What a repair has rebuilt by then stays.

use std::sync::Arc;

use serde::Serialize;

use crate::engine::Engine;
use crate::engine::graphs::{Cores, GraphFate, build_missing};
use crate::engine::replace::rebuild_derived;
use crate::error::Result;
use crate::ids::IdRange;
use crate::interrupt::{GoOn, Stage, Steps};
use crate::record::Lsn;
use crate::shard::part::SharedSegment;
use crate::shard::upkeep::Rebuild;
use crate::shard::{PartRef, ReadView, Shard};
use crate::words::counted;
use crate::worker::Worker;

/// The result of a check.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CheckReport {
    /// Damage that is still there; empty means that the store is whole.
    pub problems: Vec<String>,
    /// Damaged files that the repair rebuilt, and damaged graphs that it dropped: no caller had asked for them, and
    /// other graphs over their rows are worth more.
    pub repaired: Vec<String>,
    /// Segments that were checked, unreadable ones included.
    pub segments: u64,
    /// Rows of these segments, deleted ones included.
    pub rows: u64,
    /// For people: which command or call helps with the problems.
    pub advice: Vec<String>,
}

/// Advice for damage that no rebuild repairs.
const RESTORE: &str = "restore the named file from a copy and open the store again; or save what can be read \
    (`vecmem export --partial`) and give up the rest, which lists every lost row (`vecmem check --accept-loss`, `Store::accept_loss`)";
/// Advice for damage of files that can be rebuilt.
const REPAIR: &str = "codes and graphs are rebuilt from whole segments by `vecmem check --repair` (`Store::check(true)`), \
    and by the background; until then searches scan and find the same";

impl CheckReport {
    fn advise(&mut self, advice: &str) {
        if !self.advice.iter().any(|there| there == advice) {
            self.advice.push(advice.to_owned());
        }
    }
}

/// Checks everything.
pub(crate) fn check(engine: &Arc<Engine>) -> Result<CheckReport> {
    let mut report = CheckReport::default();
    let steps = Steps::begin(Stage::Check, 0);
    let view = engine.view.get();
    for shard in view.shards.iter() {
        check_shard(engine, shard, false, &mut report, &|| steps.next())?;
    }
    check_store(engine, report, &|| steps.next())
}

/// Checks everything, and rebuilds damaged derived files. Each shard is claimed meanwhile, one after the other: no
/// merge, split or build takes a segment away while its files are replaced, and the other shards go on.
pub(crate) fn repair(engine: &Arc<Engine>, worker: &Worker) -> Result<CheckReport> {
    let mut report = CheckReport::default();
    let steps = Steps::begin(Stage::Check, 0);
    worker.each_shard(|claim| {
        let view = engine.view.get();
        check_shard(engine, claim.shard(&view), true, &mut report, &|| steps.next())
    })?;
    check_store(engine, report, &|| steps.next())
}

fn check_shard(
    engine: &Arc<Engine>,
    shard: &Shard,
    repair: bool,
    report: &mut CheckReport,
    go_on: &GoOn<'_>,
) -> Result<()> {
    for part in &shard.segments {
        report.segments += 1;
        report.rows += u64::from(part.entry.rows);
        check_part(engine, part, repair, report, go_on)?;
    }
    Ok(())
}

/// Checks what concerns no single segment.
fn check_store(engine: &Engine, mut report: CheckReport, go_on: &GoOn<'_>) -> Result<CheckReport> {
    report.problems.extend(check_rows(&engine.view.get(), go_on));
    go_on()?;
    if let Some(why) = engine.operation_ids.damage() {
        report.problems.push(why);
        report.advise(RESTORE);
    }
    if let Err(error) = engine.check_poisoned() {
        report.problems.push(error.to_string());
        report.advise("close the store and open it again: that reads the truth from the disk");
    }
    Ok(report)
}

fn check_part(
    engine: &Arc<Engine>,
    part: &SharedSegment,
    repair: bool,
    report: &mut CheckReport,
    go_on: &GoOn<'_>,
) -> Result<()> {
    let segment = match part.segment() {
        Ok(segment) => segment,
        Err(error) => {
            report.problems.push(error.to_string());
            report.advise(RESTORE);
            return Ok(());
        }
    };
    let blobs = segment.verify_blobs(go_on);
    let (truth, graphs) = (segment.verify_truth(go_on), segment.verify_graphs(go_on));
    let codes = segment.verify_derived(truth.is_empty(), go_on);
    // An interrupt cuts the lists of problems short.
    go_on()?;
    report.problems.extend(blobs.iter().map(ToString::to_string));
    if !truth.is_empty() || !blobs.is_empty() {
        report.advise(RESTORE);
    }
    if !repair && truth.is_empty() && !(codes.is_empty() && graphs.is_empty()) {
        report.advise(REPAIR);
    }
    if !repair || !truth.is_empty() || (codes.is_empty() && graphs.is_empty()) {
        let graphs = graphs.iter().map(|(_, error)| error);
        report.problems.extend(truth.iter().chain(&codes).chain(graphs).map(ToString::to_string));
        return Ok(());
    }
    if !codes.is_empty() && rebuild_derived(engine, part, Rebuild::of(part.segment()?))? {
        report.repaired.extend(codes.iter().map(|error| format!("rebuilt: {error}")));
    }
    // New files make it another part of the read view. The graphs of that part may be whole.
    let view = engine.view.get();
    let mut parts = view.shards.iter().flat_map(|shard| &shard.segments);
    let Some(part) = parts.find(|now| now.entry.file_id == part.entry.file_id) else { return Ok(()) };
    repair_graphs(engine, part, report, go_on)
}

fn repair_graphs(engine: &Arc<Engine>, part: &SharedSegment, report: &mut CheckReport, go_on: &GoOn<'_>) -> Result<()> {
    let found = part.segment()?.verify_graphs(go_on);
    go_on()?;
    let damaged: Vec<u64> = found.iter().map(|(file_id, _)| *file_id).collect();
    let mended = build_missing(engine, part, &damaged, &[], Cores::All)?;
    let fates: Vec<GraphFate> =
        damaged.iter().map(|&file_id| mended.as_ref().map_or(GraphFate::Kept, |mended| mended.fate(file_id))).collect();
    let installed = mended.map_or(Ok(false), |mended| mended.install(engine))?;
    for ((_, error), fate) in found.iter().zip(fates) {
        match fate {
            GraphFate::Rebuilt if installed => report.repaired.push(format!("rebuilt: {error}")),
            GraphFate::Dropped if installed => report.repaired.push(format!("dropped: {error}")),
            _ => report.problems.push(error.to_string()),
        }
    }
    Ok(())
}

/// Checks that every row lies where a read looks for it, and that no key has two versions that are visible in this
/// read view.
fn check_rows(view: &ReadView, go_on: &GoOn<'_>) -> Vec<String> {
    let mut problems = Vec::new();
    for shard in view.shards.iter() {
        let mut living: Vec<(Vec<u8>, String)> = Vec::new();
        for part in shard.parts() {
            let mut misplaced = 0;
            if let Err(error) = each_row(part, go_on, |namespace, key, lsn, deleted_lsn| {
                let is_in_extent = !matches!(part, PartRef::Segment(part) if !part.entry.extent.contains(namespace));
                misplaced += u64::from(!is_in_extent || !shard.interval.contains(namespace));
                if lsn <= view.read_lsn && view.read_lsn < deleted_lsn {
                    living.push((namespace.to_vec(), key.to_owned()));
                }
            }) {
                problems.push(error.to_string());
            }
            if misplaced > 0 {
                problems.push({
                    let (rows, verb) = (counted(misplaced, "row"), if misplaced == 1 { "lies" } else { "lie" });
                    format!("{rows} {verb} outside of the shard or segment that holds them")
                });
            }
        }
        living.sort_unstable();
        for pair in living.windows(2).filter(|pair| pair[0] == pair[1]) {
            problems.push(format!("the key {:?} has two living versions", pair[0].1));
        }
    }
    problems
}

fn each_row(part: PartRef<'_>, go_on: &GoOn<'_>, mut visit: impl FnMut(&[u8], &str, Lsn, Lsn)) -> Result<()> {
    match part {
        PartRef::Memtable(memtable) => {
            for row in memtable.all_rows().ids().map(|row| memtable.row(row)) {
                go_on()?;
                visit(row.record.namespace.encoded(), &row.record.key, row.lsn, row.deleted_lsn());
            }
        }
        PartRef::Segment(part) => {
            let segment = part.segment()?;
            for number in 0..segment.namespaces() {
                let namespace = segment.namespace(number)?;
                for row in segment.namespace_rows(number)?.ids() {
                    go_on()?;
                    visit(namespace, segment.key(row)?, segment.lsn(row)?, part.tombstones.deleted_lsn(row));
                }
            }
        }
    }
    Ok(())
}
