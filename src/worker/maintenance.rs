//! Maintenance: the clock, sweeps of expired items, space for the log and for deletes, checkpoints, and the unmapping
//! of retired segments.
//!
//! Invariants:
//! * Maintenance waits for no merge and no graph, so a long build does not hold it up.
//! * A sweep that the clock does not allow holds up no other step.
//! * Each step that writes waits after a failure, like every job. Flushes wait together with those of the flush thread.
//!   Freeing log for a write waits on its own, since it often has nothing to do. All other steps wait as one job.

use std::sync::Arc;
use std::time::Duration;

use super::Worker;
use crate::engine::install::checkpoint;
use crate::engine::space::JobKind;
use crate::error::Result;
use crate::record::Lsn;
use crate::shard::Shard;

/// A time without writes.
#[derive(Clone, Copy)]
pub(super) struct IdleSpan {
    /// The LSN of the last write before the span.
    lsn: Lsn,
    since: Duration,
}

impl Worker {
    /// One round; `swept` is when the last sweep began.
    pub(super) fn maintain(&self, swept: &mut Duration, idle: &mut Option<IdleSpan>) -> Result<()> {
        self.unmap_retired();
        self.relieve();
        let now = self.engine.clock.monotonic();
        // This counts how long the wall clock agrees with the monotonic clock, even if nothing may be written.
        self.engine.clock.reading();
        let expired = self.sweep_if_due(now, swept);
        let idles = self.has_idled(now, idle);
        let files = self.engine.attempt(JobKind::Checkpoint, || self.keep_files(idles));
        // Without the reserve only deletes on a full disk may fail, later. The stats report the error.
        let _ = self.engine.attempt(JobKind::Reserve, || self.engine.keep_reserve());
        files.and(expired)
    }

    /// Does the steps that write as one job, so that a step that succeeds does not end the wait of a step that failed.
    fn keep_files(&self, idles: bool) -> Result<()> {
        // An idle store lets go of files first: the other steps may need their space.
        let settled = if idles { self.settle() } else { Ok(()) };
        let clock = self.keep_clock();
        settled.and(clock).and(self.adopt_imports()).and(self.relieve_log())
    }

    /// Whether nothing was written for `Tuning::idle_checkpoint`.
    fn has_idled(&self, now: Duration, idle: &mut Option<IdleSpan>) -> bool {
        let read_lsn = self.engine.view.get().read_lsn;
        match *idle {
            Some(IdleSpan { lsn, since }) if lsn == read_lsn => {
                now.saturating_sub(since) >= self.engine.tuning.idle_checkpoint
            }
            _ => {
                *idle = Some(IdleSpan { lsn: read_lsn, since: now });
                false
            }
        }
    }

    /// Moves checkpoints past imports if that needs no flush, so that an open need not look up each imported key.
    pub(super) fn adopt_imports(&self) -> Result<()> {
        let view = self.engine.view.get();
        let is_due = |shard: &Shard| {
            let is_quiet = shard.memtable.is_empty() && shard.frozen.is_empty();
            is_quiet && !self.young(shard).is_empty()
        };
        if view.shards.iter().any(|shard| is_due(shard)) { checkpoint(&self.engine) } else { Ok(()) }
    }

    /// Unmaps retired segments that no reader holds any more.
    pub fn unmap_retired(&self) {
        let mut buried = Vec::new();
        self.engine.retired.lock().retain(|part| {
            let wanted = Arc::strong_count(part) > 1;
            if !wanted {
                buried.push(Arc::clone(part));
            }
            wanted
        });
    }

    /// If a write found no space for a log file, flushes all memtables, provided that this frees log files. Then
    /// waiting writes continue.
    pub(super) fn relieve(&self) {
        if self.engine.space.wants_relief() {
            let frees_log = self.engine.log.lock().freed_by_checkpoint() > 0;
            let relieved =
                self.engine.attempt(JobKind::Relief, || if frees_log { self.checkpoint_if_behind() } else { Ok(()) });
            if let Err(error) = relieved {
                self.engine.set_background_error(Some(&error));
            }
            self.engine.space.end_relief();
            self.engine.signal.raise();
        }
    }

    /// If the log is longer than its cap, flushes the shards that hold it back, however small their memtables are.
    pub(super) fn relieve_log(&self) -> Result<()> {
        if self.engine.log.lock().bytes() <= self.engine.tuning.log_total_bytes {
            return Ok(());
        }
        let oldest = self.engine.oldest_checkpoint();
        self.advance(|shard| shard.checkpoint() <= oldest)
    }

    /// Leaves an idle store without log to replay, and without files that only the second newest manifest names. Those
    /// go first, since a full disk may have room for a manifest but not for a flush.
    fn settle(&self) -> Result<()> {
        let let_go = self.let_go();
        let flushed = self.checkpoint_if_behind();
        let shrunk = self.pipeline.shrink_log().and_then(|turned| match turned {
            true => checkpoint(&self.engine).and_then(|()| checkpoint(&self.engine)),
            false => Ok(()),
        });
        let_go.and(flushed).and(shrunk)
    }

    /// Commits a manifest if files can go that only the second newest manifest names.
    fn let_go(&self) -> Result<()> {
        if self.engine.keeps_old_files() { checkpoint(&self.engine) } else { Ok(()) }
    }

    fn checkpoint_if_behind(&self) -> Result<()> {
        self.advance(|_| true)
    }

    /// Flushes the chosen shards and commits twice, so that the log of the flushed rows can go.
    fn advance(&self, chosen: impl Fn(&Shard) -> bool) -> Result<()> {
        let view = self.engine.view.get();
        let is_behind = self.engine.oldest_checkpoint() < view.read_lsn;
        if is_behind && self.engine.may_try(&JobKind::Flush) {
            let flush = || self.engine.attempt(JobKind::Flush, || self.flush_next());
            if !self.flush_shards(chosen, flush)? {
                return Ok(());
            }
            checkpoint(&self.engine)?;
            checkpoint(&self.engine)?;
        }
        Ok(())
    }
}
