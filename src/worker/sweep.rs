//! The sweep, which removes expired items by ordinary deletes, and the state of the clock in manifests.
//!
//! Invariants:
//! * Nothing is listed or deleted while the wall clock is not trusted. Each batch reads the clock again at its commit.
//! * A manifest keeps the state of the clock if no frame does. A failure to write it only delays sweeps.

use std::time::Duration;

use serde::Serialize;

use super::Worker;
use crate::engine::install::{checkpoint, checkpoint_without_reserve};
use crate::error::{Error, ErrorKind, Result};
use crate::interrupt::{Stage, Steps};
use crate::record::{Write, WriteOutcome};
use crate::sync::{HookPoint, Ordering};
use crate::types::Scope;

/// The result of [`Store::compact`](crate::Store::compact).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct CompactReport {
    /// The number of expired items that the sweep before the compaction removed.
    pub swept: u64,
    /// The number of items that have expired by the wall clock and are still in files.
    pub expired_left: u64,
    /// The reason why expired items were left, and the remedy.
    pub expired_left_why: Option<String>,
}

/// The result of a sweep.
pub(super) struct Sweep {
    pub swept: u64,
    /// The reason why expired items may be left, if there is one.
    pub stopped: Result<()>,
}

impl Worker {
    /// Deletes expired items, and returns how many. Expired items in damaged parts stay.
    pub fn sweep(&self) -> Result<u64> {
        let Sweep { swept, stopped } = self.sweep_through()?;
        match stopped {
            Err(error) if error.kind() != ErrorKind::Damaged => Err(error),
            _ => Ok(swept),
        }
    }

    /// Sweeps for a compaction, which continues if the clock, damage or a full disk stops the sweep.
    pub fn sweep_first(&self) -> Result<CompactReport> {
        let Sweep { swept, stopped } = self.sweep_through()?;
        let why = match stopped {
            Ok(()) => None,
            Err(error) if matches!(error.kind(), ErrorKind::ClockSkew | ErrorKind::Damaged | ErrorKind::DiskFull) => {
                Some(error.to_string())
            }
            Err(error) => return Err(error),
        };
        Ok(CompactReport { swept, expired_left: 0, expired_left_why: why })
    }

    fn sweep_through(&self) -> Result<Sweep> {
        let (mut swept, mut damage) = (0, Ok(()));
        let steps = Steps::begin(Stage::Sweep, 0);
        loop {
            steps.next()?;
            let now = match self.engine.clock.reading().check_removal() {
                Ok(now) => now,
                Err(why) => return Ok(Sweep { swept, stopped: Err(why) }),
            };
            let expired = self.expired(now, self.engine.tuning.sweep_batch, &mut damage, &steps)?;
            self.engine.hooks.reach(HookPoint::SweepListed);
            let full = expired.len() == self.engine.tuning.sweep_batch;
            let deleted = match self.delete(&expired, &mut damage) {
                Ok(deleted) => deleted,
                Err(why) => return Ok(Sweep { swept, stopped: Err(why) }),
            };
            self.engine.counters.swept.fetch_add(deleted, Ordering::Relaxed);
            swept += deleted;
            // A sweep may take long, and writers may wait for space in the log.
            self.relieve();
            let is_stuck = full && deleted == 0;
            if is_stuck || !full {
                // If the clock jumped before the commit, nothing was deleted, and the sweep has failed.
                let clock = self.engine.clock.reading().check_removal().map(drop);
                return Ok(Sweep { swept, stopped: clock.and(damage) });
            }
        }
    }

    /// Deletes the items that are still expired. If one is damaged, the items are deleted one by one.
    fn delete(&self, expired: &[Write], damage: &mut Result<()>) -> Result<u64> {
        if expired.is_empty() {
            return Ok(0);
        }
        let written = match self.pipeline.write(expired) {
            Err(error) if error.kind() == ErrorKind::Damaged && expired.len() > 1 => {
                return expired.iter().map(|one| self.delete(std::slice::from_ref(one), damage)).sum();
            }
            Err(error) if error.kind() == ErrorKind::Damaged => {
                note(damage, error);
                return Ok(0);
            }
            other => other?,
        };
        Ok(written.iter().filter(|written| **written == WriteOutcome::Deleted(true)).count() as u64)
    }

    /// Up to `limit` items that have expired by `now`.
    fn expired(&self, now: i64, limit: usize, damage: &mut Result<()>, steps: &Steps) -> Result<Vec<Write>> {
        let view = self.engine.view.get();
        let mut writes = Vec::new();
        for shard in view.shards_in(&Scope::Store.interval()) {
            for part in shard.parts() {
                if writes.len() >= limit {
                    break;
                }
                steps.next()?;
                match part.expired(view.read_lsn, now, limit - writes.len(), &mut writes) {
                    // Expired items of a damaged part stay; the others go.
                    Err(error) if error.kind() == ErrorKind::Damaged => note(damage, error),
                    other => other?,
                }
            }
        }
        Ok(writes)
    }

    /// Sweeps if the period is over; `swept` is when the last sweep began.
    pub(super) fn sweep_if_due(&self, now: Duration, swept: &mut Duration) -> Result<()> {
        if self.duties.sweep_every.is_none_or(|period| now.saturating_sub(*swept) < period) {
            return Ok(());
        }
        *swept = now;
        self.sweep()?;
        // This sweep succeeded, so the error of an earlier one no longer holds.
        self.engine.set_background_error(None);
        Ok(())
    }

    /// Reads the clock, to count its agreement with the monotonic clock. Saves the state of the clock if that is due.
    pub fn keep_clock(&self) -> Result<()> {
        self.engine.clock.reading();
        if self.engine.clock.is_unsaved() { checkpoint_without_reserve(&self.engine) } else { Ok(()) }
    }

    /// Accepts the wall clock as right, durably.
    pub fn accept_clock(&self) -> Result<()> {
        self.engine.clock.accept();
        checkpoint(&self.engine)
    }
}

/// Keeps the first error.
fn note(first: &mut Result<()>, error: Error) {
    if first.is_ok() {
        *first = Err(error);
    }
}
