//! Erasing: afterwards no file holds a byte of deleted items, in the whole store or of one scope.
//!
//! 1. The log turns to a new file, so that the files before can go once segments hold their rows.
//! 2. Memtables are flushed, and segments with deleted rows are rewritten.
//! 3. Manifests are committed until neither of the two newest needs an old file.
//! 4. Stray files are removed, and the directory is synced.
//!
//! Invariants:
//! * When an erasure has returned without an error, no file of the store holds an item that was deleted, replaced or
//!   swept before it began, and a power loss brings no such file back.
//! * A segment that the log names is left alone: an import wrote it after the erasure began.
//! * Writes go on meanwhile; items that they delete are left to the next erasure.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use super::Worker;
use crate::compact::blobs::DeadLimit;
use crate::engine::graphs::Cores;
use crate::engine::install::checkpoint;
use crate::error::{Error, ErrorKind, Result};
use crate::file_names::{FileName, parse_name};
use crate::ids::IdRange;
use crate::record::Lsn;
use crate::shard::part::SharedSegment;
use crate::types::Interval;

/// Rounds of flushes and checkpoints before the erasure gives up against faster writers.
const ROUNDS_MAX: usize = 16;

/// The files that an erasure let go of, and what it wrote.
#[derive(Clone, Debug, Default)]
pub(crate) struct ErasedFiles {
    pub segments_rewritten: u64,
    pub bytes_written: u64,
    pub files_unlinked: Vec<String>,
}

impl Worker {
    /// Erases the deleted items of `interval` from all files.
    pub fn erase(&self, interval: &Interval) -> Result<ErasedFiles> {
        let mut before = self.file_names()?;
        let mut erased = ErasedFiles::default();
        self.rewrite_and_let_go(|worker| {
            // Files of the flush just now may be rewritten too.
            before.append(&mut worker.file_names()?);
            worker.rewrite_holders(interval, &mut erased)
        })?;
        let after = self.file_names()?;
        // The reserve comes and goes, and a manifest is renamed.
        let is_counted = |name: &&String| {
            matches!(parse_name(name), Some(FileName::Segment(_) | FileName::Log(_) | FileName::Manifest(_)))
        };
        erased.files_unlinked = before.difference(&after).filter(is_counted).cloned().collect();
        Ok(erased)
    }

    fn file_names(&self) -> Result<BTreeSet<String>> {
        Ok(self.engine.storage.list()?.into_iter().map(|(name, _)| name).collect())
    }

    /// Flushes memory, rewrites segments with deleted rows, and lets go of all files that are not needed then. A step
    /// that fails does not stop the next ones, since these may free the space that it lacked. The first error is
    /// returned in the end.
    pub(super) fn rewrite_and_let_go(&self, rewrite: impl FnOnce(&Self) -> Result<()>) -> Result<()> {
        let left = self.leave_log_behind();
        let rewritten = rewrite(self);
        let settled = self.settle_log().or_else(|error| {
            // Only older manifests name the replaced files.
            checkpoint(&self.engine).and_then(|()| checkpoint(&self.engine)).and(Err(error))
        });
        let freed = settled.and_then(|()| self.shorten_bounds()).and_then(|()| self.remove_strays());
        // A file that is still mapped keeps its space, which the next try may need.
        self.unmap_retired();
        left.and(rewritten).and(freed)
    }

    /// Turns the log to a new file, and flushes memory, so that the log files before can go.
    fn leave_log_behind(&self) -> Result<()> {
        self.pipeline.rotate_log()?;
        self.flush_all()
    }

    /// Commits manifests until neither of the two newest needs a log file from before the last rotation.
    fn settle_log(&self) -> Result<()> {
        let rotated_at: Lsn = self.engine.log.lock().current_file_begins_after();
        for _ in 0..ROUNDS_MAX {
            if self.engine.oldest_checkpoint() >= rotated_at {
                checkpoint(&self.engine)?;
                return checkpoint(&self.engine);
            }
            // A writer has filled a memtable between the flush and the commit.
            self.flush_all()?;
            checkpoint(&self.engine)?;
        }
        Err(Error::new(
            ErrorKind::Busy,
            "other writers were faster than the checkpoints, so old log files are still there; erase again",
        ))
    }

    /// Rewrites every segment with deleted rows of the interval, and no other.
    fn rewrite_holders(&self, interval: &Interval, erased: &mut ErasedFiles) -> Result<()> {
        let _one_at_a_time = self.merge_lock.lock();
        let mut failed = Ok(());
        for index in 0..self.engine.view.get().shards.len() {
            match self.rewrite_holders_of(index, interval, erased) {
                Err(error) if matches!(error.kind(), ErrorKind::Damaged | ErrorKind::DiskFull) => {
                    failed = failed.and(Err(error));
                }
                other => other?,
            }
        }
        failed
    }

    /// The same in one shard. Damage in one segment holds up no other.
    fn rewrite_holders_of(&self, index: usize, interval: &Interval, erased: &mut ErasedFiles) -> Result<()> {
        self.adopt(index)?;
        let view = self.engine.view.get();
        let young = self.young(&view, index);
        let is_young = |part: &&SharedSegment| young.iter().any(|young| Arc::ptr_eq(young, part));
        let mut failed = Ok(());
        for part in view.shards[index].segments.iter().filter(|part| !is_young(part)) {
            match self.rewrite_holder(index, part, interval) {
                Ok(Some(written)) => {
                    erased.segments_rewritten += 1;
                    erased.bytes_written += written;
                }
                Ok(None) => {}
                Err(error) if error.kind() == ErrorKind::Damaged => failed = failed.and(Err(error)),
                Err(error) => return Err(error),
            }
        }
        let view = self.engine.view.get();
        let mut concerned = view.shards[index].segments.iter().filter(|part| part.covers(interval));
        failed.and(concerned.try_for_each(|part| part.check_stuck()))
    }

    /// Rewrites a segment if it has deleted rows of the interval, and returns the bytes written.
    fn rewrite_holder(&self, index: usize, part: &SharedSegment, interval: &Interval) -> Result<Option<u64>> {
        loop {
            let view = self.engine.view.get();
            // A graph that was built meanwhile has put another part with the same files in its place.
            let now = view.shards[index].segments.iter().find(|now| now.entry.file_id == part.entry.file_id);
            let Some(now) = now else { return Ok(None) };
            if !holds_dead(now, interval)? {
                return Ok(None);
            }
            let inputs = std::slice::from_ref(now);
            match self.merge(index, inputs, view.read_lsn, Cores::All, DeadLimit::Nothing) {
                Ok(None) => {}
                written => return written,
            }
        }
    }

    /// Removes every file of ours that nothing needs: files that could not be removed before, and leftovers of failed
    /// jobs. Then makes all removals so far durable. The caller has committed two manifests since the log turned.
    fn remove_strays(&self) -> Result<()> {
        // Waits for a graph that is being built: it may be of deleted vectors, which its job finds out only at the end.
        drop(self.graph_lock.lock());
        let engine = &self.engine;
        let installed = engine.pause_installs();
        let listed = engine.storage.list()?;
        // In the order in which files change hands, so that none is missed on its way.
        let mut needed: HashSet<String> = engine.output_names.lock().iter().cloned().collect();
        needed.extend(engine.import_files.lock().names.iter().cloned());
        needed.extend(engine.log.lock().ids().into_iter().map(crate::wal::file_name));
        let view = engine.view.get();
        needed.extend(
            view.shards
                .iter()
                .flat_map(|shard| &shard.segments)
                .flat_map(|part| part.entry.file_names().collect::<Vec<_>>()),
        );
        needed.extend(installed.files());
        let newest = installed.manifest.generation;
        for (name, _) in listed {
            let is_stray = match parse_name(&name) {
                Some(FileName::Segment(_) | FileName::Log(_)) => !needed.contains(&name),
                Some(FileName::Manifest(generation)) => generation + 1 < newest,
                Some(FileName::Temporary) => true,
                Some(FileName::Lock | FileName::Reserve | FileName::Doubt) | None => false,
            };
            if is_stray {
                self.remove_stray(&name)?;
            }
        }
        drop(installed);
        engine.sync_dir()
    }

    fn remove_stray(&self, name: &str) -> Result<()> {
        let Err(error) = self.engine.storage.remove(name) else { return Ok(()) };
        // A job that failed may have removed it meanwhile.
        let is_there = self.file_names()?.contains(name);
        let what = format!("{name} may hold what was deleted, and cannot be removed; remove it, then erase again");
        if is_there { Err(error.context(what)) } else { Ok(()) }
    }

    /// Gives shards the shortest bounds, which hold no deleted label.
    fn shorten_bounds(&self) -> Result<()> {
        // A flush or merge under way has computed the extent of its segment by the bounds that there are.
        let jobs_wait = (self.merge_lock.lock(), self.flush_lock.lock());
        let apply_lock = self.engine.apply_lock.lock();
        let view = self.engine.view.get().with_short_bounds(&self.engine.import_files.lock());
        let Some(view) = view else { return Ok(()) };
        let stalled = self.engine.is_still_stalled(&view);
        self.engine.publish(view, stalled);
        drop((apply_lock, jobs_wait));
        checkpoint(&self.engine)?;
        checkpoint(&self.engine)
    }
}

/// Whether a part has deleted rows of the interval. Dead values in a blob file count for every interval, since it is
/// not known whose they were.
fn holds_dead(part: &SharedSegment, interval: &Interval) -> Result<bool> {
    if part.blob_bytes().dead > 0 {
        return Ok(true);
    }
    let (rows, ..) = part.rows_in(interval)?;
    Ok(!rows.is_empty() && rows.ids().any(|row| part.tombstones.is_deleted_at(row, Lsn::LAST)))
}
