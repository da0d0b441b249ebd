//! Calls on the store as a whole: statistics, sync, flush, compaction, graphs, checks, repair, sweeps and the clock.
//!
//! Invariants: those of [`store`](super).

use crate::check::{self, CheckReport};
use crate::error::Result;
use crate::store::{Store, stats};
use crate::types::Scope;
use crate::worker::{CompactReport, GraphBuild, LossReport};

use super::Stats;

impl Store {
    /// The contents, health and activity of the store in numbers, for people and monitoring.
    pub fn stats(&self) -> Result<Stats> {
        self.handle.engine.check_usable()?;
        stats::stats(&self.handle)
    }

    /// Returns once everything acknowledged so far survives a power loss.
    pub fn sync(&self) -> Result<()> {
        let _call = self.handle.calls.read();
        // A touch without room in the log is dropped and counted. It must not stop the sync of acknowledged writes.
        let _ = self.handle.pipeline.flush_touches();
        self.handle.pipeline.sync()
    }

    /// Writes the memtables to segments, so that the next open has no log to replay. Implies [`Store::sync`]. Other
    /// threads may write meanwhile, and their writes may stay in memory. The background flushes a memtable once it is
    /// full.
    ///
    /// Errors: those of [`Store::sync`]; `DiskFull` if there is no room for the segments. The rows in memory then stay
    /// in the log.
    pub fn flush(&self) -> Result<()> {
        self.sync()?;
        let _call = self.handle.calls.read();
        self.handle.engine.check_writable()?;
        self.handle.worker.flush_all()
    }

    /// Merges every shard into one segment without deleted rows, removes the old log and obsolete files, and builds
    /// graphs. Afterwards no file of the store holds a byte of an item that was deleted or replaced before the call: no
    /// value, key, label or vector, and nothing derived. Blocks of the device are not overwritten. Older snapshots and
    /// cursors may still show such items, from unlinked files. While a backup runs, the files that it copies stay; they
    /// go when it ends. Expired items are removed first, unless the clock is not
    /// trusted (see [`Store::accept_clock`]) or the sweep fails. The report says how many stay, and why.
    ///
    /// Errors: `Damaged` if something could not be read: it stays as it was, and all else is done; `DiskFull`, `Busy`,
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

    /// Builds a graph of `scope` at once, on all cores, for each segment with vectors in the scope. Searches of exactly
    /// this scope, and of wider ones, use the graph. Merges keep it, and it is built again if its file is lost. No item
    /// lies in more than two graphs: a third graph replaces an older one that no caller asked for, or else the one that
    /// saved least for its size. Rows in memory are in no graph: call [`Store::compact`] first for one graph of all
    /// items.
    pub fn build_graph(&self, scope: &Scope) -> Result<GraphBuild> {
        let _call = self.handle.calls.read();
        self.handle.engine.check_writable()?;
        self.handle.worker.build_graph(scope)
    }

    /// Verifies every file and every invariant; with `repair`, rebuilds derived files that are damaged. Other calls go
    /// on meanwhile. With `repair`, merges wait in the shard that is being checked.
    pub fn check(&self, repair: bool) -> Result<CheckReport> {
        let _call = self.handle.calls.read();
        self.handle.engine.check_usable()?;
        let engine = &self.handle.engine;
        if repair { check::repair(engine, &self.handle.worker) } else { check::check(engine) }
    }

    /// Gives up rows that cannot be read: rewrites each damaged segment without them, and lists them. Readable rows are
    /// kept, and the operations that the segment missed while it was damaged are applied. Restore the damaged file from
    /// a copy instead if there is one, since that loses nothing; see the advice of [`Store::check`].
    ///
    /// Errors: `DiskFull`, `Poisoned`, `Closed`, `Io`, if nothing was given up. If something was, the report lists the
    /// errors as problems.
    pub fn accept_loss(&self) -> Result<LossReport> {
        let _call = self.handle.calls.read();
        self.handle.engine.check_writable()?;
        self.handle.worker.accept_loss()
    }

    /// Removes expired items now; returns how many.
    ///
    /// Errors: `ClockSkew` if the wall clock is more than a day ahead of, or behind, the last write plus the time since
    /// then. The wall clock, or the clock of that write, may be wrong. Nothing is removed until the wall clock has
    /// agreed with the monotonic clock for [`Options::clock_grace`](crate::Options::clock_grace), or
    /// [`Store::accept_clock`] is called.
    pub fn sweep(&self) -> Result<u64> {
        let _call = self.handle.calls.read();
        self.handle.engine.check_writable()?;
        let swept = self.handle.worker.sweep();
        if self.handle.engine.tuning.inline_background {
            self.handle.worker.run_inline();
        }
        swept
    }

    /// Accepts the wall clock as right, even if it is far ahead of the last write or behind it. Items that have expired
    /// by the wall clock may then be removed at once. Once the call returns, a power loss does not undo this.
    ///
    /// If the last write was long ago, or under a wrong clock, the store cannot tell which clock was wrong. Errors:
    /// `DiskFull`, `Poisoned`, `Closed`, `Io`; after an error the clock is accepted only until the close.
    pub fn accept_clock(&self) -> Result<()> {
        let _call = self.handle.calls.read();
        self.handle.engine.check_writable()?;
        self.handle.worker.accept_clock()
    }
}
