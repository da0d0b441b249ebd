//! Purge: deletes a scope, and erases its bytes from all files, older snapshots and caches.
//!
//! Invariants:
//! * Once the purge's delete is visible, no new read shows the scope's items, even if a later step of the purge fails.
//! * A purge returns a receipt once every file that held the items is unlinked. The receipt names files still in use.
//! * A running backup that copies such a file is ended after the grace. Finished backups are out of reach, and the
//!   receipt says so.

use std::time::Duration;

use serde::Serialize;

use crate::error::{Error, Result};
use crate::record::Write;
use crate::store::query::ReadOptions;
use crate::store::{HoldersReport, Store};
use crate::types::Scope;
use crate::worker::CompactReport;

/// What a receipt says of copies.
const NOT_REACHED: &str = "backups, checkpoints and other copies of the directory still hold what was purged: make a \
    new backup in a new directory, and remove the old ones";
/// How long a purge waits for older snapshots by default.
const GRACE: Duration = Duration::from_secs(5);

/// Options of a purge. The default deletes everything in the scope, and ends older snapshots after 5 seconds.
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

    /// How long the purge waits for older snapshots, cursors, listings and running backups before it ends them.
    /// Default: 5 s.
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Whether live items of the scope stay. The purge then erases only items that have expired, or were deleted or
    /// replaced before. Default: false.
    #[must_use]
    pub fn keep_living(mut self, keeps: bool) -> Self {
        self.keeps_living = keeps;
        self
    }
}

/// The evidence of a purge: what it deleted and erased.
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct PurgeReceipt {
    /// The scope as text: `a/b` for a namespace, `a/b/` for a prefix.
    pub scope: String,
    /// Readable items of the scope just before the delete, expired ones included; 0 under `keep_living`.
    pub items: u64,
    /// Everything that was deleted, replaced or swept in the scope up to this LSN is erased.
    pub lsn: u64,
    /// Expired items of the whole store that were removed first.
    pub swept: u64,
    /// Expired items of the whole store that are still in files, since the sweep could not remove them. See
    /// `expired_left_why`.
    pub expired_left: u64,
    /// Why the sweep stopped (an untrusted clock, damage or a full disk), and what to do about it.
    pub expired_left_why: Option<String>,
    /// Segments that were rewritten without their deleted rows.
    pub segments_rewritten: u64,
    /// Bytes of the rewritten segments.
    pub bytes_written: u64,
    /// Files that were removed: of segments, log and manifests. Their blocks on the device are not overwritten.
    pub files_unlinked: Vec<String>,
    /// Snapshots, cursors and listings that were ended, and removed files that are still open or mapped.
    pub holders: HoldersReport,
    /// For people: the copies that a purge does not reach, and what to do about them.
    pub not_reached: &'static str,
    /// The time that the purge took, in seconds.
    pub seconds: f64,
}

impl PurgeReceipt {
    /// The time that the purge took.
    pub fn took(&self) -> Duration {
        Duration::try_from_secs_f64(self.seconds).unwrap_or_default()
    }
}

impl Store {
    /// Deletes every item of a namespace or a prefix and erases it. Afterwards no file of the store holds a byte of the
    /// items' values, keys, labels, vectors or anything derived from them. Items of the scope that have
    /// expired, or were deleted or replaced before, are erased too. Older snapshots, cursors, listings and running
    /// backups end with `SnapshotGone` after a grace. The receipt says which files were removed, and which of them are
    /// still in use.
    ///
    /// The purge rewrites only segments with deleted rows of the scope. It does not overwrite blocks of the device. It
    /// does not reach backups, checkpoints and other copies of the directory: make a new backup in a new directory, and
    /// remove the old ones. Other writers go on; items that they put into the scope meanwhile stay.
    /// The purge waits for a graph that is being built.
    ///
    /// Errors: `InvalidInput` for the whole store ([`Store::delete_everything`] and [`Store::compact`] do that),
    /// `Damaged` if a segment of the scope cannot be read (see [`Store::accept_loss`]), `DiskFull`, `Busy`, `Poisoned`,
    /// `Closed`. The delete comes before the erasure, and is all or nothing. [`Store::count`] tells whether the items
    /// are deleted, and the purge can be repeated.
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
        let (engine, interval) = (&self.handle.engine, scope.interval());
        let started = engine.clock.monotonic();
        let deleted = self.delete_for_purge(scope, options);
        // Whether the purge succeeds or not, nothing of the scope stays in memory: not what was there before, nor what
        // came meanwhile.
        self.handle.forget(&interval);
        let (swept, items) = deleted?;
        let lsn = engine.view.get().read_lsn;
        let erased = self.handle.worker.erase(&interval);
        self.handle.forget(&interval);
        let erased = erased?;
        let expired_left = match swept.expired_left_why {
            Some(_) => self.newest_moment().count_expired()?,
            None => 0,
        };
        let mut holders = self.handle.end_before(engine.view.get().number, options.grace);
        let mut files_unlinked = erased.files_unlinked;
        files_unlinked.extend(self.handle.end_backups(&mut holders, options.grace)?);
        files_unlinked.sort_unstable();
        Ok(PurgeReceipt {
            scope: name,
            items,
            lsn: lsn.get(),
            swept: swept.swept,
            expired_left,
            expired_left_why: swept.expired_left_why,
            segments_rewritten: erased.segments_rewritten,
            bytes_written: erased.bytes_written,
            files_unlinked,
            holders,
            not_reached: NOT_REACHED,
            seconds: engine.clock.monotonic().saturating_sub(started).as_secs_f64(),
        })
    }

    /// Sweeps, and deletes the items of the scope unless the living are kept. Returns what was swept and how many items
    /// there were.
    fn delete_for_purge(&self, scope: &Scope, options: &PurgeOptions) -> Result<(CompactReport, u64)> {
        self.handle.engine.check_writable()?;
        let swept = self.handle.worker.sweep_first()?;
        let mut items = 0;
        if !options.keeps_living {
            items =
                self.count(scope, &ReadOptions { include_expired: true, partial: true, ..ReadOptions::default() })?;
            self.handle.pipeline.write(&[Write::DeleteRange(scope.interval())])?;
        }
        // Waiting touches keep keys in memory. A write of touches drops those of deleted items.
        let _ = self.handle.pipeline.flush_touches();
        Ok((swept, items))
    }
}
