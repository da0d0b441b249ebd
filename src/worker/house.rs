//! Keeping house: expired items, room in the log and for deletes, checkpoints, and the unmapping of retired segments.
//!
//! Invariants:
//! * Nothing here waits for a merge or for a graph, so that a long build holds up none of it.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::Worker;
use crate::error::{Error, ErrorKind, Result};
use crate::record::Lsn;
use crate::shard::decide::{Write, Written};
use crate::shard::install::checkpoint;
use crate::shard::space::JobKind;
use crate::sync::Ordering;
use crate::types::Scope;

const DAY: Duration = Duration::from_secs(24 * 3_600);

impl Worker {
    /// One round; `swept` is when the last sweep began, `idle` since when there has been no write, and which one was the last.
    pub(super) fn keep_house(&self, swept: &mut Duration, idle: &mut Option<(Lsn, Duration)>) -> Result<()> {
        self.bury();
        self.relieve();
        let now = self.engine.clock.monotonic();
        if self.sweep_every.is_some_and(|period| now.saturating_sub(*swept) >= period) {
            *swept = now;
            self.sweep()?;
        }
        self.adopt_imports()?;
        self.relieve_log()?;
        // Without a reserve deletes may fail one day, which is no reason to stop anything now; stats say why it waits.
        let _ = self.engine.attempt(JobKind::Reserve, || self.engine.keep_reserve());
        let visible = self.engine.view.get().visible;
        match *idle {
            Some((lsn, since)) if lsn == visible => {
                if now.saturating_sub(since) >= self.engine.tuning.idle_checkpoint {
                    self.settle()?;
                }
            }
            _ => *idle = Some((visible, now)),
        }
        Ok(())
    }

    /// Commits a manifest behind imports where that takes no seal, so that an open need not look up every key of theirs.
    pub(super) fn adopt_imports(&self) -> Result<()> {
        let view = self.engine.view.get();
        let is_due = |index: usize| {
            let shard = &view.shards[index];
            let is_quiet = shard.active.is_empty() && shard.sealing.is_empty() && !shard.has_lost();
            is_quiet && !self.young(&view, index).is_empty()
        };
        if (0..view.shards.len()).any(is_due) { checkpoint(&self.engine) } else { Ok(()) }
    }

    /// Deletes items that have expired; returns how many.
    pub fn sweep(&self) -> Result<u64> {
        self.check_clock()?;
        let mut swept = 0;
        loop {
            let expired = self.expired(self.engine.tuning.sweep_batch)?;
            let full = expired.len() == self.engine.tuning.sweep_batch;
            if !expired.is_empty() {
                let deleted = self.delete(&expired)?;
                self.engine.counters.swept.fetch_add(deleted, Ordering::Relaxed);
                swept += deleted;
                if deleted == 0 {
                    return Ok(swept);
                }
            }
            if !full {
                return Ok(swept);
            }
        }
    }

    /// Deletes what is still expired; where one item is damaged, all others.
    fn delete(&self, expired: &[Write]) -> Result<u64> {
        let written = match self.pipeline.write(expired) {
            Err(error) if error.kind() == ErrorKind::Damaged && expired.len() > 1 => {
                return expired.iter().map(|one| self.delete(std::slice::from_ref(one))).sum();
            }
            Err(error) if error.kind() == ErrorKind::Damaged => return Ok(0),
            other => other?,
        };
        Ok(written.iter().filter(|written| **written == Written::Deleted(true)).count() as u64)
    }

    /// A clock that jumped would expire everything at once.
    fn check_clock(&self) -> Result<()> {
        let (at_open, monotonic) = self.opened_at;
        let elapsed = self.engine.clock.monotonic().saturating_sub(monotonic);
        let expected = at_open.saturating_add((elapsed + DAY).as_micros() as i64);
        if self.engine.clock.now() > expected {
            return Err(Error::new(
                ErrorKind::Busy,
                "the wall clock is more than a day ahead of the time that has passed since the store was opened; \
                 nothing was swept. Set the clock, or reopen the store if it is right",
            ));
        }
        Ok(())
    }

    /// Up to `limit` items that have expired by now.
    fn expired(&self, limit: usize) -> Result<Vec<Write>> {
        let (view, now) = (self.engine.view.get(), self.engine.query_time());
        let mut writes = Vec::new();
        for shard in view.shards_in(&Scope::Store.interval()) {
            for part in shard.parts() {
                if writes.len() >= limit {
                    break;
                }
                match part.expired(view.visible, now, limit - writes.len(), &mut writes) {
                    // What is damaged keeps its expired items; the others go.
                    Err(error) if error.kind() == ErrorKind::Damaged => {}
                    other => other?,
                }
            }
        }
        Ok(writes)
    }

    /// Unmaps retired segments that no reader holds any more.
    pub(super) fn bury(&self) {
        let mut buried = Vec::new();
        self.engine.graveyard.lock().retain(|part| {
            let wanted = Arc::strong_count(part) > 1;
            if !wanted {
                buried.push(Arc::clone(part));
            }
            wanted
        });
    }

    /// Where a write found no room for log, what is in memory is flushed if that frees log. Whoever waits goes on then.
    pub(super) fn relieve(&self) {
        if self.engine.space.wants_relief() {
            let frees_log = self.engine.log.lock().freed_by_checkpoint() > 0;
            let relieved = if frees_log { self.checkpoint_if_behind() } else { Ok(()) };
            if let Err(error) = relieved {
                self.engine.set_background_error(Some(&error));
            }
            self.engine.space.end_relief();
            self.engine.signal.raise();
        }
    }

    /// Past its cap, log is freed by sealing the shard that holds it back, however small its active part is.
    pub(super) fn relieve_log(&self) -> Result<()> {
        if self.engine.log.lock().bytes() <= self.engine.tuning.log_total_bytes {
            return Ok(());
        }
        let installed = self.engine.installing.lock();
        let oldest = installed.manifest.checkpoint();
        let holds_back: Vec<bool> = installed.manifest.shards.iter().map(|shard| shard.checkpoint == oldest).collect();
        drop(installed);
        self.advance(|index| holds_back[index])
    }

    /// An idle store keeps no log to replay, and no files that only the manifest before the newest one names.
    fn settle(&self) -> Result<()> {
        self.checkpoint_if_behind()?;
        if self.pipeline.shrink_log()? {
            checkpoint(&self.engine)?;
            checkpoint(&self.engine)?;
        }
        let holds_back = {
            let installed = self.engine.installing.lock();
            let named: HashSet<String> = installed.manifest.files().collect();
            installed.previous_files.iter().any(|file| !named.contains(file))
        };
        if holds_back { checkpoint(&self.engine) } else { Ok(()) }
    }

    fn checkpoint_if_behind(&self) -> Result<()> {
        self.advance(|_| true)
    }

    /// Seals the chosen shards and commits twice, so that the log before what they hold now can go.
    fn advance(&self, chosen: impl Fn(usize) -> bool) -> Result<()> {
        let view = self.engine.view.get();
        // A shard with a part that missed an operation keeps the log until that part is mended.
        let can_advance = view.shards.iter().all(|shard| !shard.has_lost());
        if can_advance && self.engine.installing.lock().manifest.checkpoint() < view.visible {
            self.seal_shards(chosen)?;
            checkpoint(&self.engine)?;
            checkpoint(&self.engine)?;
        }
        Ok(())
    }
}
