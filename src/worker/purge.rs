//! Erasing: removes every byte of deleted items from the files, for the whole store or one scope.
//!
//! 1. The log turns to a new file, so that the older files can go once segments hold their rows.
//! 2. Memtables are flushed, and segments with deleted rows are rewritten.
//! 3. Manifests are committed until neither of the two newest needs an old file.
//! 4. Stray files are removed, and the directory is synced.
//!
//! Invariants:
//! * After an erasure without an error, no file of the store holds an item of the scope that was deleted, replaced or
//!   swept before the erasure began. A power loss brings no such file back.
//! * A segment that the log still names is not rewritten: an import wrote it after the erasure began.
//! * Writes continue meanwhile. The items that they delete are left to the next erasure.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use super::Worker;
use super::claims::ShardClaim;
use super::merge_job::MergeTerms;
use crate::engine::install::{checkpoint, commit_bounds};
use crate::error::{Error, ErrorKind, Result};
use crate::file_names::{FileName, parse_name};
use crate::ids::IdRange;
use crate::record::Lsn;
use crate::shard::part::SharedSegment;
use crate::types::Interval;

/// The most rounds of flushes and checkpoints before the erasure fails because writers are faster.
const ROUNDS_MAX: usize = 16;

/// The result of an erasure: the files that are gone, and the segments that were rewritten.
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
            // The rewrite may also replace files that the flush has just written.
            before.append(&mut worker.file_names()?);
            worker.rewrite_holders(interval, &mut erased)
        })?;
        let after = self.file_names()?;
        // The reserve and `manifest.tmp` come and go at any time, so they do not count.
        let is_counted = |name: &&String| {
            matches!(parse_name(name), Some(FileName::Segment(_) | FileName::Log(_) | FileName::Manifest(_)))
        };
        erased.files_unlinked = before.difference(&after).filter(is_counted).cloned().collect();
        Ok(erased)
    }

    fn file_names(&self) -> Result<BTreeSet<String>> {
        Ok(self.engine.storage.list()?.into_iter().map(|(name, _)| name).collect())
    }

    /// Flushes all memtables, rewrites segments with deleted rows, and removes all files that are no longer needed. A
    /// step that fails does not stop the next ones, since these may free the space that it lacked. The first error is
    /// returned in the end.
    pub(super) fn rewrite_and_let_go(&self, rewrite: impl FnOnce(&Self) -> Result<()>) -> Result<()> {
        let left = self.leave_log_behind();
        let rewritten = rewrite(self);
        let settled = self.settle_log().or_else(|error| {
            // After two commits, neither of the two newest manifests names a replaced file.
            checkpoint(&self.engine).and_then(|()| checkpoint(&self.engine)).and(Err(error))
        });
        let freed = settled.and_then(|()| self.shorten_bounds()).and_then(|()| self.remove_strays());
        // A file that is still mapped keeps its space, which the next try may need.
        self.unmap_retired();
        left.and(rewritten).and(freed)
    }

    /// Turns the log to a new file, and flushes all memtables, so that the older log files can go.
    fn leave_log_behind(&self) -> Result<()> {
        self.pipeline.rotate_log()?;
        self.flush_all()
    }

    /// Commits manifests until neither of the two newest needs a log file that is older than the current one.
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

    /// Rewrites every segment with deleted rows of the interval or with dead values in its blob files, and no other.
    fn rewrite_holders(&self, interval: &Interval, erased: &mut ErasedFiles) -> Result<()> {
        let mut failed = Ok(());
        self.each_shard(|claim| match self.rewrite_holders_of(claim, interval, erased) {
            Err(error) if matches!(error.kind(), ErrorKind::Damaged | ErrorKind::DiskFull) => {
                failed = std::mem::replace(&mut failed, Ok(())).and(Err(error));
                Ok(())
            }
            other => other,
        })?;
        failed
    }

    /// Rewrites the segments of one shard. Damage in one segment does not stop the others.
    fn rewrite_holders_of(&self, claim: &ShardClaim<'_>, interval: &Interval, erased: &mut ErasedFiles) -> Result<()> {
        self.adopt(claim)?;
        let view = self.engine.view.get();
        let young = self.young(claim.shard(&view));
        let is_young = |part: &&SharedSegment| young.iter().any(|young| Arc::ptr_eq(young, part));
        let mut failed = Ok(());
        for part in claim.shard(&view).segments.iter().filter(|part| !is_young(part)) {
            match self.rewrite_holder(claim, part, interval) {
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
        let mut concerned = claim.shard(&view).segments.iter().filter(|part| part.covers(interval));
        failed.and(concerned.try_for_each(|part| part.check_stuck()))
    }

    /// Rewrites a segment if [`holds_dead`] says so. Returns the bytes written.
    fn rewrite_holder(&self, claim: &ShardClaim<'_>, part: &SharedSegment, interval: &Interval) -> Result<Option<u64>> {
        loop {
            let view = self.engine.view.get();
            // The install of a graph meanwhile has replaced the part by one with the same segment.
            let now = claim.shard(&view).segments.iter().find(|now| now.entry.file_id == part.entry.file_id);
            let Some(now) = now else { return Ok(None) };
            if !holds_dead(now, interval)? {
                return Ok(None);
            }
            let inputs = std::slice::from_ref(now);
            match self.merge(claim, inputs, MergeTerms::on_request(view.read_lsn)) {
                Ok(None) => {}
                written => return written,
            }
        }
    }

    /// Removes every file of the store that nothing needs: files that could not be removed before, and leftovers of
    /// failed jobs. Then makes all removals durable. The caller has committed two manifests since the log turned.
    fn remove_strays(&self) -> Result<()> {
        // Waits for a running build of a graph: the graph may hold deleted vectors, and only its install notices that.
        drop(self.graph_lock.lock());
        let engine = &self.engine;
        let installed = engine.pause_installs();
        let listed = engine.storage.list()?;
        // In the order in which a file passes from one owner to the next, so that no file is missed in between.
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
                Some(FileName::Temporary | FileName::Record | FileName::Unfinished) => true,
                Some(FileName::Lock | FileName::Reserve | FileName::Doubt) | None => false,
            };
            // A file that a backup copies goes when the backup ends.
            if is_stray && !engine.pins.keep(&name) {
                self.remove_stray(&name)?;
            }
        }
        drop(installed);
        engine.sync_dir()
    }

    /// Removes files that backups had kept until a purge ended them, and makes the removals durable.
    pub fn remove_kept(&self, names: &[String]) -> Result<()> {
        names.iter().try_for_each(|name| self.remove_stray(name))?;
        if names.is_empty() { Ok(()) } else { self.engine.sync_dir() }
    }

    fn remove_stray(&self, name: &str) -> Result<()> {
        let Err(error) = self.engine.storage.remove(name) else { return Ok(()) };
        // A failed job may have removed its file meanwhile.
        let is_there = self.file_names()?.contains(name);
        let what = format!("{name} may hold what was deleted, and cannot be removed; remove it, then erase again");
        if is_there { Err(error.context(what)) } else { Ok(()) }
    }

    /// Shortens the bounds of shards as far as possible, so that they hold no deleted label, and commits until both
    /// newest manifests have them: an earlier purge, or a split just now, may have moved bounds and failed to commit.
    fn shorten_bounds(&self) -> Result<()> {
        {
            // No merge and no flush has computed an extent from the old bounds.
            let _jobs_wait = (self.claim_all(), self.flush_lock.lock());
            let _apply_lock = self.engine.apply_lock.lock();
            let view = self.engine.view.get().with_short_bounds(&self.engine.import_files.lock());
            if let Some(view) = view {
                self.engine.space.keep_shards(|low| view.shards.iter().any(|shard| shard.interval.low == low));
                let stalled = self.engine.is_still_stalled(&view);
                self.engine.publish(view, stalled);
            }
        }
        commit_bounds(&self.engine)
    }
}

/// Whether a part has deleted rows of the interval, or dead values in a blob file. The values count for every interval,
/// since the items that they belonged to are not known.
fn holds_dead(part: &SharedSegment, interval: &Interval) -> Result<bool> {
    if part.blob_bytes().dead > 0 {
        return Ok(true);
    }
    let (rows, ..) = part.rows_in(interval)?;
    Ok(!rows.is_empty() && rows.ids().any(|row| part.tombstones.is_deleted_at(row, Lsn::LAST)))
}
