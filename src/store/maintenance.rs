//! The store as a whole: what it holds, whether it is well, and what keeps it so.
//!
//! Invariants: those of [`store`](super).

use crate::check::{self, CheckReport};
use crate::error::Result;
use crate::store::{Store, stats};
use crate::types::Scope;
use crate::worker::{CompactReport, GraphBuild, LossReport};

use super::Stats;

impl Store {
    /// What the store holds and does, for people and monitoring.
    pub fn stats(&self) -> Result<Stats> {
        self.handle.engine.check_usable()?;
        stats::stats(&self.handle)
    }

    /// Returns once everything acknowledged so far survives a power loss.
    pub fn sync(&self) -> Result<()> {
        let _call = self.handle.calls.read();
        // A touch that finds no room is dropped and counted; that is no reason not to sync what was acknowledged.
        let _ = self.handle.pipeline.flush_touches();
        self.handle.pipeline.sync()
    }

    /// Writes what is in memory to segments, so that an open replays no log, and implies [`Store::sync`]. Writes of
    /// other threads go on meanwhile; theirs may stay in memory. The background does the same whenever a memtable is
    /// full.
    ///
    /// Errors: those of [`Store::sync`]; `DiskFull` where there is no room for the segments: what is in memory stays in
    /// the log.
    pub fn flush(&self) -> Result<()> {
        self.sync()?;
        let _call = self.handle.calls.read();
        self.handle.engine.check_writable()?;
        self.handle.worker.flush_all()
    }

    /// Rewrites every shard as one segment without dead rows, and lets go of the log and obsolete files: afterwards no
    /// file of the store holds a byte of what was deleted or replaced before the call: of no value, key, label or
    /// vector, nor of anything derived. Blocks of the device are not overwritten, and snapshots and cursors of others
    /// may still show it, from files without a name. Expired items are removed first, unless the wall clock is ahead,
    /// see [`Store::accept_clock`]; the report says what was left, and why.
    ///
    /// Errors: `Damaged` where something could not be read and so is left as it was, with all else done; `DiskFull`,
    /// `Poisoned`, `Closed`.
    pub fn compact(&self) -> Result<CompactReport> {
        let _call = self.handle.calls.read();
        self.handle.engine.check_writable()?;
        let mut report = self.handle.worker.compact()?;
        if report.expired_left_why.is_some() {
            report.expired_left = self.newest_moment().count_expired()?;
        }
        Ok(report)
    }

    /// Builds a graph of `scope` at once, on all cores, for each segment that has vectors in it: searches of exactly
    /// this scope, and of wider ones, use it. Merges keep it, and it is built again if its file is lost. No item lies
    /// in more than two graphs: a third one takes the place of one that nobody asked for, or else of the one that saved
    /// least. What is still in memory has no part in it; [`Store::compact`] comes first where one graph is to hold
    /// everything.
    pub fn build_graph(&self, scope: &Scope) -> Result<GraphBuild> {
        let _call = self.handle.calls.read();
        self.handle.engine.check_writable()?;
        self.handle.worker.build_graph(scope)
    }

    /// Verifies every file and every invariant; with `repair`, rebuilds derived files that are damaged.
    pub fn check(&self, repair: bool) -> Result<CheckReport> {
        let _call = self.handle.calls.read();
        self.handle.engine.check_usable()?;
        let _quiet = repair.then(|| self.handle.worker.pause_merges());
        check::check(&self.handle.engine, repair)
    }

    /// Ends damage that nothing mends: rewrites each damaged segment without the rows that cannot be read, and lists
    /// these. What can be read is kept, and the operations that the segment missed while it could not be read are done.
    /// Restoring the damaged file from a copy loses nothing and comes first; see the advice of [`Store::check`].
    ///
    /// Errors: `DiskFull`, `Poisoned`, `Closed`, `Io`, where nothing was given up; else the report lists them as
    /// problems.
    pub fn accept_loss(&self) -> Result<LossReport> {
        let _call = self.handle.calls.read();
        self.handle.engine.check_writable()?;
        self.handle.worker.accept_loss()
    }

    /// Removes expired items now; returns how many.
    ///
    /// Errors: `ClockSkew` where the wall clock is more than a day ahead of the last write and the time that has passed
    /// since, or behind. It, or the clock of that write, may be wrong, so nothing is removed until it has agreed with
    /// the monotonic clock for [`Options::clock_grace`](crate::Options::clock_grace), or [`Store::accept_clock`] is
    /// called.
    pub fn sweep(&self) -> Result<u64> {
        let _call = self.handle.calls.read();
        self.handle.engine.check_writable()?;
        let swept = self.handle.worker.sweep();
        if self.handle.engine.tuning.inline_background {
            self.handle.worker.run_inline();
        }
        swept
    }

    /// Says that the wall clock is right, be it far ahead of the last write or behind it: what has expired by it may be
    /// removed at once. That survives a power loss when this returns.
    ///
    /// A store whose last write was long ago, or that was last written to under a wrong clock, cannot tell which clock
    /// was wrong. Errors: `DiskFull`, `Poisoned`, `Closed`, `Io`; the clock is accepted until the close then.
    pub fn accept_clock(&self) -> Result<()> {
        let _call = self.handle.calls.read();
        self.handle.engine.check_writable()?;
        self.handle.worker.accept_clock()
    }
}
