//! Purge: deletes a scope, and leaves no byte of it in any file, in no older snapshot and in no cache.
//!
//! Invariants:
//! * The scope's items are in no read once the purge's delete is visible, whatever becomes of the rest.
//! * A receipt is given when every file that held them is unlinked; what still has one open is named in it.

use std::time::Duration;

use serde::Serialize;

use crate::error::{Error, Result};
use crate::record::Write;
use crate::store::query::ReadOptions;
use crate::store::{HoldersReport, Store};
use crate::types::Scope;

/// How long older snapshots may go on, if nothing else is said.
const GRACE: Duration = Duration::from_secs(5);

/// How a purge goes. The default deletes everything in the scope, and ends older snapshots after 5 seconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PurgeOptions {
    grace: Duration,
    keeps_living: bool,
}

impl Default for PurgeOptions {
    fn default() -> Self {
        Self { grace: GRACE, keeps_living: false }
    }
}

impl PurgeOptions {
    /// The default.
    pub fn new() -> Self {
        Self::default()
    }

    /// How long snapshots, cursors and listings from before the purge are waited for until they end. Default: 5 s.
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Whether items of the scope that live stay: only what was deleted, replaced or has expired before is erased then.
    /// Default: false.
    #[must_use]
    pub fn keep_living(mut self, keeps: bool) -> Self {
        self.keeps_living = keeps;
        self
    }
}

/// What a purge did, as evidence.
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct PurgeReceipt {
    /// The scope, as people write it: `a/b` a namespace, `a/b/` a prefix.
    pub scope: String,
    /// Items of the scope that it deleted, expired ones included.
    pub items: u64,
    /// Everything that was deleted, replaced or swept in the scope up to this LSN is erased.
    pub lsn: u64,
    /// Expired items, of the whole store, that were removed first.
    pub swept: u64,
    /// Items that have expired by the wall clock and are still in files, since the clock is not believed; see
    /// `expired_left_why`.
    pub expired_left: u64,
    /// Why they were left, and what to do about it.
    pub expired_left_why: Option<String>,
    /// Segments that were written again without what was dead in them.
    pub segments_rewritten: u64,
    /// Bytes of the files written for that.
    pub bytes_written: u64,
    /// Files that were removed: of segments, log and manifests. Their blocks on the device are not overwritten.
    pub files_unlinked: Vec<String>,
    /// Snapshots, cursors and listings that were ended, and what still keeps a removed file open.
    pub holders: HoldersReport,
    /// How long it took.
    pub seconds: f64,
}

impl PurgeReceipt {
    /// How long the purge took.
    pub fn took(&self) -> Duration {
        Duration::try_from_secs_f64(self.seconds).unwrap_or_default()
    }
}

impl Store {
    /// Deletes every item of a namespace or a prefix and erases it: afterwards no file of the store holds a byte of
    /// their values, keys, labels, vectors or anything derived from them, nor of what was deleted, replaced or has
    /// expired there before. Snapshots, cursors and listings from before end with `SnapshotGone` after a grace; the
    /// receipt says what was removed, and what still holds a removed file.
    ///
    /// Only segments that hold something of the scope are rewritten. Overwriting blocks of the device is not promised,
    /// and copies of the directory are out of reach. Other writers go on; what they write to the scope meanwhile stays.
    ///
    /// A graph that is being built is waited for.
    ///
    /// Errors: `InvalidInput` for the whole store ([`Store::delete_everything`] and [`Store::compact`] do that),
    /// `Damaged` where a segment of the scope cannot be read (see [`Store::accept_loss`]), `DiskFull`, `Busy`,
    /// `Poisoned`, `Closed`. The delete comes first: where it fails nothing is deleted, and after an error behind it
    /// everything is. [`Store::count`] tells which, and the purge can be repeated.
    pub fn purge(&self, scope: &Scope) -> Result<PurgeReceipt> {
        self.purge_with(scope, &PurgeOptions::default())
    }

    /// The same, as the options say.
    pub fn purge_with(&self, scope: &Scope, options: &PurgeOptions) -> Result<PurgeReceipt> {
        let name = match scope {
            Scope::Namespace(namespace) => namespace.to_string(),
            Scope::Prefix(namespace) => format!("{namespace}/"),
            Scope::Store => {
                return Err(Error::invalid(
                    "purge takes a namespace or a prefix; delete_everything and compact erase the whole store",
                ));
            }
        };
        let _call = self.handle.calls.read();
        let engine = &self.handle.engine;
        engine.check_writable()?;
        let started = engine.clock.monotonic();
        let swept = self.handle.worker.sweep_first()?;
        let interval = scope.interval();
        let mut items = 0;
        if !options.keeps_living {
            items =
                self.count(scope, &ReadOptions { include_expired: true, partial: true, ..ReadOptions::default() })?;
            self.handle.pipeline.write(&[Write::DeleteRange(interval.clone())])?;
        }
        // Touches of what is gone are dropped, and would keep its keys in memory until the next write.
        let _ = self.handle.pipeline.flush_touches();
        let lsn = engine.view.get().read_lsn;
        let erased = self.handle.worker.erase(&interval)?;
        let expired_left = match swept.expired_left_why {
            Some(_) => self.newest_moment().count_expired()?,
            None => 0,
        };
        self.handle.forget(&interval);
        let holders = self.handle.end_before(engine.view.get().number, options.grace);
        Ok(PurgeReceipt {
            scope: name,
            items,
            lsn: lsn.get(),
            swept: swept.swept,
            expired_left,
            expired_left_why: swept.expired_left_why,
            segments_rewritten: erased.segments_rewritten,
            bytes_written: erased.bytes_written,
            files_unlinked: erased.files_unlinked,
            holders,
            seconds: engine.clock.monotonic().saturating_sub(started).as_secs_f64(),
        })
    }
}
