//! The state that live writes, installs and background jobs share.
//!
//! Reading order: `facts`, `recover` (an open), `log`, `manifest_state`, `generation` (a manifest is written),
//! `install` (a job's files become current), `completed_job`, `replace`, `split`, `graphs`, `merged_graphs`,
//! `graph_credit`, `operation_ids`, `field_rules`, `older_views`, `pins`, `pinned`, `prefetch`, `quotas`, `signal`,
//! `clock`, `space`. Invariants:
//! * Locks are taken in the order that ARCHITECTURE.md lists; it says who waits for others while holding one.
//! * `view` is replaced only under `apply_lock`; readers clone it and hold nothing.
//! * A failed write or sync of the log, sync of the directory, or apply poisons the engine for good. A few callers make
//!   an exception if the failed step is known to have done nothing (`poison_unless_undone`).

pub(crate) mod clock;
pub(crate) mod completed_job;
pub(crate) mod costs;
pub(crate) mod facts;
pub(crate) mod field_rules;
mod generation;
pub(crate) mod graph_credit;
pub(crate) mod graphs;
pub(crate) mod install;
pub(crate) mod log;
pub(crate) mod manifest_state;
mod merged_graphs;
pub(crate) mod older_views;
pub(crate) mod operation_ids;
pub(crate) mod pinned;
pub(crate) mod pins;
mod prefetch;
pub(crate) mod quotas;
pub(crate) mod recover;
pub(crate) mod replace;
mod signal;
pub(crate) mod space;
pub(crate) mod split;
mod steps;

use std::collections::{BTreeSet, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use crate::engine::clock::StoreClock;
use crate::engine::costs::KnownCosts;
use crate::engine::graph_credit::GraphCredit;
use crate::engine::log::Log;
use crate::engine::older_views::OlderViews;
use crate::engine::operation_ids::OperationIds;
use crate::engine::pins::Pins;
use crate::engine::quotas::Quotas;
use crate::engine::signal::Signal;
use crate::engine::space::DiskSpace;
use crate::error::{Error, ErrorKind, Result};
use crate::events;
use crate::filter::PreparedFilters;
use crate::manifest::{ClockState, SegmentEntry, Settings};
use crate::memtable::Memtable;
use crate::record::{Lsn, VersionMask, VersionTimes};
use crate::segment::truth::layout::StoreIdentity;
use crate::shard::bounds::ImportFiles;
use crate::shard::ingest::LoggedFrame;
use crate::shard::part::SharedSegment;
use crate::shard::{ReadView, apply};
use crate::storage::{Storage, forks};
use crate::sync::{AtomicBool, AtomicU64, Hooks, Latest, Mutex, MutexGuard, Ordering};
use crate::tuning::Tuning;
use crate::types::{Durability, Namespace};
use crate::wal::{self, Syncer};

use manifest_state::ManifestState;

/// The facts about a store that never change while it is open.
#[derive(Clone)]
pub(crate) struct EngineIdentity {
    pub keys: StoreIdentity,
    pub incarnation: u64,
    pub path: Option<PathBuf>,
}

impl EngineIdentity {
    /// The mask of the versions that leave the store.
    pub fn versions(&self) -> VersionMask {
        VersionMask::of(self.incarnation)
    }
}

/// Counters for `stats`.
#[derive(Default)]
pub(crate) struct Counters {
    pub touches_dropped: AtomicU64,
    pub flushes: AtomicU64,
    pub merges: AtomicU64,
    pub graph_builds: AtomicU64,
    pub swept: AtomicU64,
    pub log_files: AtomicU64,
}

/// An open store, below the public API.
pub(crate) struct Engine {
    pub storage: Arc<dyn Storage>,
    pub clock: StoreClock,
    pub tuning: Tuning,
    pub durability: Durability,
    pub identity: EngineIdentity,
    pub view: Latest<ReadView>,
    pub older_views: OlderViews,
    pub pins: Pins,
    /// The apply lock.
    pub apply_lock: Mutex<()>,
    pub log: Mutex<Log>,
    /// Makes the log and the directory durable, one sync at a time.
    syncer: Arc<Syncer>,
    manifest_state: Mutex<ManifestState>,
    pub manifest_generation: AtomicU64,
    /// The settings in the newest manifest.
    pub settings: Latest<Settings>,
    /// Those of the settings. A new value with the same quotas says that what was counted may not be right any more.
    pub quotas: Latest<Quotas>,
    pub known_costs: KnownCosts,
    pub filters: PreparedFilters,
    pub next_file_id: AtomicU64,
    pub counters: Counters,
    /// Retired segments that an older read view may still read. The worker unmaps them, so that no search does.
    pub retired: Mutex<Vec<SharedSegment>>,
    /// Names of files that jobs are writing.
    pub output_names: Mutex<BTreeSet<String>>,
    pub import_files: Mutex<ImportFiles>,
    pub signal: Signal,
    pub hooks: Hooks,
    /// The operation ids of batches that were applied lately.
    pub operation_ids: OperationIds,
    /// The accounts of scopes that earn a graph.
    pub accounts: GraphCredit,
    pub space: DiskSpace,
    poison: Mutex<Option<String>>,
    poisoned: AtomicBool,
    closed: AtomicBool,
    stalled: AtomicBool,
    pub fork_generation: u64,
    background_error: Mutex<Option<String>>,
}

/// The state that an engine starts with: the outcome of a recovery.
pub(crate) struct EngineStart {
    pub identity: EngineIdentity,
    pub view: ReadView,
    pub log: Log,
    pub manifest_state: ManifestState,
    pub next_file_id: u64,
    /// `None` in a store without a frame.
    pub clock: Option<ClockState>,
    pub operation_ids: OperationIds,
    /// The files of imports that the log names.
    pub import_files: ImportFiles,
}

impl Engine {
    pub fn new(
        storage: Arc<dyn Storage>,
        clock: StoreClock,
        tuning: Tuning,
        durability: Durability,
        start: EngineStart,
    ) -> Self {
        let accounts = GraphCredit::new(tuning.earn_accounts);
        let known_costs = KnownCosts::new(&tuning, &start.manifest_state.settings);
        Self {
            storage,
            clock,
            tuning,
            durability,
            identity: start.identity,
            view: Latest::new(Arc::new(start.view)),
            older_views: OlderViews::default(),
            pins: Pins::default(),
            apply_lock: Mutex::new(()),
            syncer: start.log.syncer(),
            log: Mutex::new(start.log),
            manifest_generation: AtomicU64::new(start.manifest_state.manifest.generation),
            known_costs,
            quotas: Latest::new(Arc::new(Quotas::new(&start.manifest_state.settings))),
            filters: PreparedFilters::default(),
            settings: Latest::new(Arc::new(start.manifest_state.settings.clone())),
            manifest_state: Mutex::new(start.manifest_state),
            next_file_id: AtomicU64::new(start.next_file_id),
            counters: Counters::default(),
            retired: Mutex::new(Vec::new()),
            output_names: Mutex::default(),
            import_files: Mutex::new(start.import_files),
            signal: Signal::default(),
            hooks: Hooks::default(),
            operation_ids: start.operation_ids,
            accounts,
            space: DiskSpace::default(),
            poison: Mutex::new(None),
            poisoned: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            stalled: AtomicBool::new(false),
            fork_generation: forks::fork_generation(),
            background_error: Mutex::new(None),
        }
    }

    /// Fails after a fork in the child, and after a close.
    pub fn check_usable(&self) -> Result<()> {
        if self.is_forked() {
            return Err(Error::new(
                ErrorKind::Forked,
                "the store was opened before a fork; open it again in the child process",
            ));
        }
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::new(ErrorKind::Closed, "the store has been closed; open it again"));
        }
        Ok(())
    }

    /// Whether this is a child of the process that opened the store.
    pub fn is_forked(&self) -> bool {
        forks::fork_generation() != self.fork_generation
    }

    /// Fails if the store is not usable or is poisoned.
    pub fn check_writable(&self) -> Result<()> {
        self.check_usable()?;
        self.check_poisoned()
    }

    /// Fails if the engine is poisoned.
    pub fn check_poisoned(&self) -> Result<()> {
        if !self.poisoned.load(Ordering::Acquire) {
            return Ok(());
        }
        let why = self.poison.lock().clone().unwrap_or_default();
        Err(Error::new(ErrorKind::Poisoned, why))
    }

    /// Poisons the store: no write is accepted until a reopen. Returns the error for every writer.
    pub fn poison(&self, cause: &Error) -> Error {
        let why = format!(
            "the store accepts no more writes until it is reopened, and the fate of the last ones is unknown: {cause}"
        );
        let mut poison = self.poison.lock();
        let why = poison.get_or_insert(why).clone();
        let first = !self.poisoned.swap(true, Ordering::AcqRel);
        drop(poison);
        if first {
            wal::mark_doubt(&*self.storage);
            events::poisoned(cause);
        }
        self.signal.raise();
        Error::new(ErrorKind::Poisoned, why)
    }

    /// Poisons the store, unless the failed step is known to have done nothing, as at a limit of the system.
    pub fn poison_unless_undone(&self, error: Error) -> Error {
        if error.is_undone() { error } else { self.poison(&error) }
    }

    /// Makes every later call fail with `Closed`. Returns whether the store was open until now.
    pub fn mark_closed(&self) -> bool {
        let first = !self.closed.swap(true, Ordering::AcqRel);
        self.signal.raise();
        first
    }

    /// The newest version of a key in the newest read view, if the key is not deleted there.
    pub fn current(&self, namespace: &Namespace, key: &str) -> Result<Option<VersionTimes>> {
        self.view.get().current(namespace, key)
    }

    /// Applies the frames of a group in LSN order, and publishes the read view that shows them.
    pub fn apply_group(&self, _apply_lock: &MutexGuard<'_, ()>, frames: &[LoggedFrame]) -> Result<()> {
        let mut view = ReadView::clone(&self.view.get());
        for logged in frames {
            apply(&mut view, logged, |_| Lsn::ZERO)?;
            view.read_lsn = logged.last_lsn();
        }
        let mut stalled = false;
        let mut swapped = frames.iter().any(|logged| logged.ingested.is_some());
        for index in 0..view.shards.len() {
            let shard = &view.shards[index];
            if !self.is_full(&shard.memtable) {
                continue;
            }
            if shard.frozen.len() >= self.tuning.frozen_memtables {
                stalled = true;
                continue;
            }
            view = self.with_memtable_frozen(&view, index);
            swapped = true;
        }
        self.publish(view, stalled);
        if swapped {
            self.signal.raise();
        }
        Ok(())
    }

    /// The view with the memtable of shard `index` frozen, and a new memtable in its place.
    pub fn with_memtable_frozen(&self, view: &ReadView, index: usize) -> ReadView {
        let fresh = Arc::new(Memtable::new(self.identity.keys.space));
        view.with_shard(index, view.shards[index].with_memtable_frozen(fresh, view.read_lsn))
    }

    /// Shows readers a new read view. The caller holds the apply lock.
    pub fn publish(&self, view: ReadView, stalled: bool) {
        events::stall_changed(self.stalled.swap(stalled, Ordering::AcqRel), stalled);
        let number = self.view.get().number + 1;
        self.older_views.note(self.view.set(Arc::new(ReadView { number, ..view })));
    }

    /// The files of retired segments that no part of the newest read view needs.
    pub fn retired_files(&self) -> Vec<String> {
        let view = self.view.get();
        let entries = view.shards.iter().flat_map(|shard| &shard.segments).map(|part| &part.entry);
        let needed: HashSet<String> = entries.flat_map(SegmentEntry::names).collect();
        let retired = self.retired.lock().clone();
        let files: BTreeSet<String> = retired.iter().flat_map(|part| part.entry.names()).collect();
        files.into_iter().filter(|file| !needed.contains(file)).collect()
    }

    fn is_full(&self, memtable: &Memtable) -> bool {
        memtable.vectors().max(memtable.len()) >= self.tuning.memtable_rows
            || memtable.bytes() >= self.tuning.memtable_bytes
    }

    /// Whether a shard has as many frozen memtables as allowed, and a full memtable besides.
    pub fn is_stalled(&self) -> bool {
        self.stalled.load(Ordering::Acquire)
    }

    /// Under the apply lock, after an install: whether writers must still wait.
    pub fn is_still_stalled(&self, view: &ReadView) -> bool {
        let frozen_max = self.tuning.frozen_memtables;
        view.shards.iter().any(|shard| self.is_full(&shard.memtable) && shard.frozen.len() >= frozen_max)
    }

    /// Waits while the store is stalled, at most until the next event. Returns false if the deadline has passed.
    pub fn wait_for_install(&self, deadline: Instant) -> bool {
        let count = self.signal.count();
        if !self.is_stalled() {
            return true;
        }
        self.signal.wait_after(count, deadline)
    }

    /// Makes everything logged through `lsn` survive a power loss.
    pub fn sync_log(&self, lsn: Lsn) -> Result<()> {
        let mut log = self.log.lock();
        self.check_poisoned()?;
        log.sync_through(&*self.storage, lsn).map_err(|error| self.poison_unless_undone(error))
    }

    /// Makes the log that the open found durable. Does nothing once the log is started, which has made it durable.
    pub fn sync_found(&self) -> Result<()> {
        let mut log = self.log.lock();
        self.check_poisoned()?;
        if log.is_started() {
            return Ok(());
        }
        log.sync_through(&*self.storage, Lsn::MAX).map_err(|error| self.poison_unless_undone(error))
    }

    /// Makes everything logged so far durable, without the lock of the log, so that writers go on.
    pub fn sync_log_aside(&self) -> Result<()> {
        self.check_poisoned()?;
        self.syncer.sync_written().map_err(|error| self.poison(&error))
    }

    /// Makes the names in the directory durable. After a failure every later call fails too.
    pub fn sync_dir(&self) -> Result<()> {
        self.syncer.sync_dir(&*self.storage).map_err(|error| self.poison(&error))
    }

    pub fn new_file_id(&self) -> u64 {
        self.next_file_id.fetch_add(1, Ordering::Relaxed)
    }

    /// Remembers why a background job failed, for stats and for writers that time out; `None` clears it.
    pub fn set_background_error(&self, error: Option<&Error>) {
        error.into_iter().for_each(events::job_failed);
        *self.background_error.lock() = error.map(ToString::to_string);
    }

    /// Why background work last failed.
    pub fn background_error(&self) -> Option<String> {
        self.background_error.lock().clone()
    }
}
