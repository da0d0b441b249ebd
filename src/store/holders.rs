//! Holders keep a read view for longer than a call: snapshots, cursors and listings. A purge ends older holders.
//!
//! Invariants:
//! * A read view that outlives a call lies in the cell of a holder, and every cell with a read view in it is
//!   registered. An emptied cell stays empty.
//! * A read clones the read view in the cell, so a running read completes on that read view.
//! * Once a purge has emptied the cells, no cell takes an older read view: a holder that is made of one is empty from
//!   the start.
//! * A purge waits for holders without a lock, and no read view is dropped under a lock. A forked child takes no lock
//!   of this module: its reads fail before, and a holder that is dropped there does not touch the registry.
#![allow(clippy::disallowed_methods, reason = "threads wait in real time, whatever the clock of the store says")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::error::{Error, ErrorKind, Result};
use crate::record::Lsn;
use crate::shard::ReadView;
use crate::storage::forks::fork_generation;
use crate::store::read::SharedView;
use crate::store::{Handle, Store};
use crate::sync::{AtomicBool, AtomicU64, Condvar, Latest, Mutex, Ordering};
use crate::types::Interval;

/// The wait in place of a grace that is too long to add to an `Instant`.
const LONGEST: Duration = Duration::from_secs(1 << 32);

/// The kind of handle that kept an older moment of a store.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HolderKind {
    /// A [`Snapshot`](crate::Snapshot).
    Snapshot,
    /// A [`Cursor`](crate::Cursor) of an iteration.
    Cursor,
    /// A [`Listing`](crate::Listing).
    Listing,
    /// A running [backup](crate::Store::backup).
    Backup,
}

/// A snapshot, cursor or listing whose later reads fail with `SnapshotGone`, or a backup that fails with it.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EndedHolder {
    /// Whether it was a snapshot, a cursor, a listing or a backup.
    pub kind: HolderKind,
    /// How long it had been held.
    pub age_seconds: f64,
    /// The last LSN that it showed.
    pub visible_lsn: u64,
}

/// How a purge ended the snapshots, cursors, listings and running backups that were older than it.
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct HoldersReport {
    /// How long the purge waited for them.
    pub waited_seconds: f64,
    /// How many were dropped by their users during the wait.
    pub left: usize,
    /// Those that the purge ended.
    pub ended: Vec<EndedHolder>,
    /// Reads, jobs and files that still keep older state after that.
    pub still_held: StillHeld,
}

/// Reads, jobs and files that keep older state although no snapshot, cursor or listing does. They end by themselves.
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct StillHeld {
    /// Reads and background jobs under way that began before.
    pub running: usize,
    /// Files of replaced segments that are still mapped or open.
    pub files: Vec<String>,
}

/// The registry of one open store.
pub(super) struct Holders {
    registry: Mutex<Registry>,
    /// A holder that a purge waits for was dropped, or the store is being closed.
    changed: Condvar,
    ends: AtomicU64,
    fork_generation: u64,
}

/// When a cell was made, and its number.
type HolderPlace = (Instant, u64);

#[derive(Default)]
struct Registry {
    /// The cells with a read view in them, the oldest first.
    cells: BTreeMap<HolderPlace, Arc<Cell>>,
    made: u64,
    /// No cell takes a read view with a lower number.
    oldest_view: u64,
    is_closing: bool,
}

struct Cell {
    kind: HolderKind,
    read_lsn: Lsn,
    /// The number of the read view.
    number: u64,
    view: Mutex<Option<SharedView>>,
    /// Whether a purge waits until the holder is dropped.
    is_awaited: AtomicBool,
    is_gone: AtomicBool,
}

/// One snapshot, cursor or listing. Clones of it, and the cursors of one iteration, share one holder.
pub(super) struct Holder {
    holders: Arc<Holders>,
    place: HolderPlace,
    cell: Arc<Cell>,
}

impl Default for Holders {
    fn default() -> Self {
        Self {
            registry: Mutex::default(),
            changed: Condvar::new(),
            ends: AtomicU64::new(0),
            fork_generation: fork_generation(),
        }
    }
}

impl Holders {
    /// A holder of the newest read view.
    pub fn hold_newest(self: &Arc<Self>, newest: &Latest<ReadView>, kind: HolderKind) -> Arc<Holder> {
        let mut registry = self.registry.lock();
        // The read view is taken under the lock, so that no purge makes it too old before it is registered.
        let view = newest.get();
        self.hold_in(&mut registry, view, kind)
    }

    /// A holder of a read view that a read has used. It is empty if a purge has ended older holders meanwhile.
    pub fn hold(self: &Arc<Self>, view: &SharedView, kind: HolderKind) -> Arc<Holder> {
        self.hold_in(&mut self.registry.lock(), Arc::clone(view), kind)
    }

    fn hold_in(self: &Arc<Self>, registry: &mut Registry, view: SharedView, kind: HolderKind) -> Arc<Holder> {
        let place = (Instant::now(), registry.made);
        registry.made += 1;
        let (read_lsn, number) = (view.read_lsn, view.number);
        let is_late = number < registry.oldest_view;
        // The caller has the read view too, so a drop of this clone under the lock frees nothing.
        let view = Mutex::new((!is_late).then_some(view));
        let (is_awaited, is_gone) = (AtomicBool::new(false), AtomicBool::new(is_late));
        let cell = Arc::new(Cell { kind, read_lsn, number, view, is_awaited, is_gone });
        if !is_late {
            registry.cells.insert(place, Arc::clone(&cell));
        }
        Arc::new(Holder { holders: Arc::clone(self), place, cell })
    }

    /// The number of holders, and when the oldest one was made.
    pub fn summary(&self) -> (usize, Option<Instant>) {
        let registry = self.registry.lock();
        (registry.cells.len(), registry.cells.first_key_value().map(|((since, _), _)| *since))
    }

    /// How often [`end_before`](Self::end_before) was called.
    pub fn ends(&self) -> u64 {
        self.ends.load(Ordering::Acquire)
    }

    /// Waits at most `grace` until every holder of a read view before the one numbered `number` is dropped, and empties
    /// the cells of those that are left. A close ends the wait.
    pub fn end_before(&self, number: u64, grace: Duration) -> HoldersReport {
        self.ends.fetch_add(1, Ordering::AcqRel);
        let began = Instant::now();
        let deadline = began.checked_add(grace).unwrap_or_else(|| began + LONGEST);
        let mut awaited = BTreeSet::new();
        let mut is_over = grace.is_zero();
        let mut registry = self.registry.lock();
        loop {
            let mut is_done = true;
            for (place, cell) in registry.older(number) {
                cell.is_awaited.store(true, Ordering::Relaxed);
                awaited.insert(*place);
                is_done = false;
            }
            if is_done || is_over || registry.is_closing {
                break;
            }
            (registry, is_over) = self.changed.wait_until(registry, deadline);
        }
        registry.oldest_view = registry.oldest_view.max(number);
        let older: Vec<HolderPlace> = registry.older(number).map(|(place, _)| *place).collect();
        let ended = older.into_iter().filter_map(|place| registry.cells.remove_entry(&place));
        let ended: Vec<(HolderPlace, Arc<Cell>)> = ended.collect();
        drop(registry);
        let report = |((since, _), cell): &(HolderPlace, Arc<Cell>)| EndedHolder {
            kind: cell.kind,
            age_seconds: since.elapsed().as_secs_f64(),
            visible_lsn: cell.read_lsn.get(),
        };
        let report = HoldersReport {
            waited_seconds: began.elapsed().as_secs_f64(),
            left: awaited.len() - ended.len(),
            ended: ended.iter().map(report).collect(),
            still_held: StillHeld::default(),
        };
        for (_, cell) in &ended {
            let view = cell.view.lock().take();
            cell.is_gone.store(true, Ordering::Release);
            drop(view);
        }
        report
    }

    /// Ends the wait of every purge for holders, because the store is being closed.
    pub fn close(&self) {
        self.registry.lock().is_closing = true;
        self.changed.notify_all();
    }
}

impl Registry {
    fn older(&self, number: u64) -> impl Iterator<Item = (&HolderPlace, &Arc<Cell>)> {
        self.cells.iter().filter(move |(_, cell)| cell.number < number)
    }
}

impl Holder {
    /// The read view, for one read. The caller has checked that this is the process that opened the store.
    pub fn view(&self) -> Result<SharedView> {
        self.cell.view.lock().clone().ok_or_else(|| {
            let what = match self.cell.kind {
                HolderKind::Snapshot => "snapshot; take a new one",
                HolderKind::Cursor => "walk; begin a new one",
                HolderKind::Listing => "listing; make a new one",
                HolderKind::Backup => "backup; make a new one",
            };
            Error::new(ErrorKind::SnapshotGone, format!("a purge has removed what could be read by this {what}"))
        })
    }

    /// Whether the cell was empty from the start, or a purge has emptied it. Takes no lock, for forked children.
    pub fn is_gone(&self) -> bool {
        self.cell.is_gone.load(Ordering::Acquire)
    }

    /// Whether the cell holds this very read view.
    pub fn holds(&self, view: &SharedView) -> bool {
        self.cell.view.lock().as_ref().is_some_and(|held| Arc::ptr_eq(held, view))
    }

    /// The last LSN that the holder's reads see.
    pub fn read_lsn(&self) -> Lsn {
        self.cell.read_lsn
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        // A thread of the parent may have held the lock when this child was forked.
        if fork_generation() != self.holders.fork_generation {
            return;
        }
        let registered = self.holders.registry.lock().cells.remove(&self.place);
        if registered.is_some() && self.cell.is_awaited.load(Ordering::Relaxed) {
            self.holders.changed.notify_all();
        }
    }
}

impl Store {
    /// How many purges since the open have erased their scope. A cache of keys or values that were read before must
    /// drop them when the number changes.
    pub fn purge_epoch(&self) -> u64 {
        self.handle.holders.ends()
    }
}

impl Handle {
    /// Removes from memory the hashes, the graph credit, the queries and the error message that an erased interval has
    /// left there.
    pub(super) fn forget(&self, interval: &Interval) {
        self.embeddings.forget(interval);
        self.engine.accounts.forget(&self.engine.view.get(), interval);
        self.worker.forget_queries(interval);
        // The message of the error may name a key. A job that still fails sets the error again with its next try.
        self.engine.set_background_error(None);
    }

    /// Ends the holders of read views before the one numbered `number`. No lock is held, so writes and a close are not
    /// blocked.
    pub(super) fn end_before(&self, number: u64, grace: Duration) -> HoldersReport {
        let mut report = self.holders.end_before(number, grace);
        report.still_held = self.still_held(number);
        report
    }

    /// Ends the backups that copy files which nothing else needs any more, and removes these files. Returns their
    /// names. What is left of the grace is what the report does not say that it took.
    pub(super) fn end_backups(&self, report: &mut HoldersReport, grace: Duration) -> Result<Vec<String>> {
        let left = grace.saturating_sub(Duration::try_from_secs_f64(report.waited_seconds).unwrap_or_default());
        let began = Instant::now();
        let pins = self.engine.end_pins(left);
        report.waited_seconds += began.elapsed().as_secs_f64();
        report.left += pins.left;
        report.ended.extend(pins.ended.iter().map(|pin| EndedHolder {
            kind: HolderKind::Backup,
            age_seconds: pin.age.as_secs_f64(),
            visible_lsn: pin.lsn.get(),
        }));
        self.worker.remove_kept(&pins.files)?;
        Ok(pins.files)
    }

    /// Reads, jobs and files that keep state from before the read view numbered `number`, apart from holders. Unmaps
    /// replaced segments that have no user.
    fn still_held(&self, number: u64) -> StillHeld {
        let running = self.engine.older_views.uses_before(number);
        self.worker.unmap_retired();
        StillHeld { running, files: self.engine.retired_files() }
    }
}
