//! Keeping house: expired items, room for deletes, and the unmapping of retired segments.

use std::sync::Arc;
use std::time::Duration;

use super::Worker;
use crate::error::{Error, ErrorKind, Result};
use crate::file_names::RESERVE;
use crate::shard::decide::{Write, Written};
use crate::sync::Ordering;
use crate::types::Scope;

const DAY: Duration = Duration::from_secs(24 * 3_600);

impl Worker {
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

    /// Keeps zeros in store for deletes on a full disk: a tenth of the store, at most the tuned size.
    pub(super) fn keep_reserve(&self) {
        let view = self.engine.view.get();
        let bytes: u64 = view.shards.iter().flat_map(|shard| &shard.segments).map(|part| part.entry.length).sum();
        let wanted = (bytes / 10).min(self.engine.tuning.reserve_bytes);
        let there = self.engine.storage.list().map(|files| files.iter().any(|(name, _)| name == RESERVE));
        if wanted == 0 || there.unwrap_or(true) {
            return;
        }
        let filled = self.engine.storage.create(RESERVE).and_then(|file| {
            let zeros = vec![0; 1 << 16];
            (0..wanted.div_ceil(1 << 16)).try_for_each(|block| file.write_at(block << 16, &zeros))?;
            file.sync_all()
        });
        if filled.is_err() {
            // Without it deletes may fail on a full disk, which is no reason to stop anything now; part of it helps nobody.
            let _ = self.engine.storage.remove(RESERVE);
        }
    }
}
