//! Background jobs: flushes, merges, checkpoints, the sweep of expired items, log files prepared ahead, the syncs of
//! `Durability::Periodic`, and unmapping.
//!
//! Each job is one function that does one step and tells whether there was anything to do. Threads call them in loops;
//! under `inline_background` the writing thread calls them itself, which makes simulations deterministic. Reading
//! order: the loops here; `merges`, `graphs`, `maintenance`, `sweep`; `purge` and `accept_loss`, which callers ask for.
//!
//! Invariants:
//! * One flush and one merge at a time. A flush never waits for a merge, so writers wait for the disk only. Maintenance
//!   waits for neither merges nor graphs.
//! * A job that fails changes nothing: its files go (`engine/space/output_files.rs`), its reason is in the stats, and
//!   it is tried again later (`engine/space/mod.rs` says when).
//! * Under `Durability::Periodic` a thread of its own syncs the log and does nothing else, so that a sync begins on
//!   time whatever else takes long.
//! * Background threads run at low priority, the one that syncs apart, and end at once when the store is closed or
//!   poisoned.
#![allow(clippy::disallowed_methods, reason = "threads wait in real time, whatever the clock of the store says")]

mod accept_loss;
mod graphs;
mod maintenance;
mod merges;
mod purge;
mod sweep;

pub use accept_loss::{LossReport, LostItem};
pub use graphs::GraphBuild;
pub use sweep::CompactReport;

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::commit::Pipeline;
use crate::compact::blobs::DeadLimit;
use crate::compact::flush;
use crate::engine::Engine;
use crate::engine::completed_job::{CompletedJob, Input};
use crate::engine::graphs::Cores;
use crate::engine::install::{InstallOutcome, checkpoint};
use crate::engine::replace::replace_codes;
use crate::engine::space::output_files::OutputFiles;
use crate::engine::space::{JobKind, Purpose, written_bytes};
use crate::error::{Error, ErrorKind, Result};
use crate::events;
use crate::interrupt::Stage;
use crate::manifest::SegmentEntry;
use crate::record::Lsn;
use crate::segment::blob::file::Blob;
use crate::segment::tombstones::Tombstones;
use crate::segment::truth::writer::SegmentInfo;
use crate::shard::ReadView;
use crate::shard::part::{SegmentPart, SharedSegment};
use crate::storage::disk;
use crate::sync::{Mutex, MutexGuard, Ordering};
use crate::types::Durability;

const RETRY: Duration = Duration::from_millis(200);
const SYNC_THREAD: &str = "vecmem-sync";
const LOOK_ROUND: Duration = Duration::from_secs(1);

/// The loop of one background thread, until the store is closed.
type Job = fn(&Worker);

/// The background of one open store.
pub(crate) struct Worker {
    engine: Arc<Engine>,
    pipeline: Arc<Pipeline>,
    /// Held for the whole of a flush, and of a merge.
    flush_lock: Mutex<()>,
    merge_lock: Mutex<()>,
    /// Held while a graph is verified or built in the background; before `merge_lock`, where both are.
    graph_lock: Mutex<()>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    sync_every: Duration,
    /// The monotonic clock at the open: sweeps are counted from it, whenever their thread gets to run.
    opened_at: Duration,
    /// `None` if only the caller sweeps.
    sweep_every: Option<Duration>,
}

impl Worker {
    pub fn new(
        engine: Arc<Engine>,
        pipeline: Arc<Pipeline>,
        sync_every: Duration,
        sweep_every: Option<Duration>,
    ) -> Arc<Self> {
        let (flush_lock, merge_lock, graph_lock) = (Mutex::new(()), Mutex::new(()), Mutex::new(()));
        let (threads, opened_at) = (Mutex::new(Vec::new()), engine.clock.monotonic());
        Arc::new(Self {
            engine,
            pipeline,
            flush_lock,
            merge_lock,
            graph_lock,
            threads,
            sync_every,
            opened_at,
            sweep_every,
        })
    }

    /// Starts the threads: one flushes, one merges, one builds graphs, one does maintenance, one looks after the log,
    /// and one syncs it if writers do not.
    pub fn start(self: &Arc<Self>) -> Result<()> {
        let jobs: [(&str, Job); 6] = [
            (SYNC_THREAD, Self::sync_loop),
            ("vecmem-flush", Self::flush_loop),
            ("vecmem-merge", Self::merge_loop),
            ("vecmem-graphs", Self::graph_loop),
            ("vecmem-maintain", Self::maintenance_loop),
            ("vecmem-log", Self::log_loop),
        ];
        let syncs = self.engine.durability == Durability::Periodic;
        for (name, job) in jobs.into_iter().filter(|(name, _)| syncs || *name != SYNC_THREAD) {
            let worker = Arc::clone(self);
            let thread = std::thread::Builder::new().name(name.into()).spawn(move || {
                if name != SYNC_THREAD {
                    disk::lower_priority();
                }
                job(&worker);
            });
            let thread = thread.map_err(|error| Error::io(name, "start the background thread", error))?;
            self.threads.lock().push(thread);
        }
        Ok(())
    }

    /// Waits for the threads to end; the engine must be marked as closed.
    pub fn join(&self) {
        for thread in std::mem::take(&mut *self.threads.lock()) {
            // A thread that panicked has already poisoned the engine.
            let _ = thread.join();
        }
    }

    /// Under `inline_background`: does every job that is due, on this thread.
    pub fn run_inline(&self) {
        let outcome = (|| {
            self.relieve();
            self.adopt_imports()?;
            while self.flush_next()? || self.merge_next()? {}
            let graphs = self.build_graphs(Cores::Half);
            self.relieve_log()?;
            let clock = self.engine.attempt(JobKind::Checkpoint, || self.keep_clock());
            let _ = self.engine.attempt(JobKind::Reserve, || self.engine.keep_reserve());
            self.pipeline.prepare_ahead().and(graphs).and(clock)
        })();
        self.engine.set_background_error(outcome.err().as_ref());
        self.unmap_retired();
    }

    fn flush_loop(&self) {
        self.run(LOOK_ROUND, |worker| worker.engine.attempt(JobKind::Flush, || worker.flush_next()));
    }

    fn merge_loop(&self) {
        self.run(LOOK_ROUND, |worker| {
            let rebuilt = worker.engine.attempt(JobKind::Codes, || worker.rebuild_next());
            Ok(worker.merge_next()? || rebuilt?)
        });
    }

    fn maintenance_loop(&self) {
        let (mut swept, mut idle) = (self.opened_at, None);
        self.run(LOOK_ROUND, |worker| worker.maintain(&mut swept, &mut idle).map(|()| false));
    }

    fn log_loop(&self) {
        self.run(self.engine.tuning.touch_every, |worker| {
            let touched = worker.pipeline.flush_touches();
            touched.and_then(|()| worker.pipeline.prepare_ahead()).map(|()| false)
        });
    }

    /// Begins a sync every `sync_every`, counted from the beginning of the one before: a write waits that long at most
    /// until its sync begins, or until a longer one has ended.
    fn sync_loop(&self) {
        let mut guard = ThreadGuard { engine: &self.engine, finished: false };
        // Makes durable what a killed process wrote and did not sync. A failure poisons the store.
        let _ = self.engine.sync_found();
        let mut due = Instant::now();
        loop {
            let events = self.engine.signal.count();
            if self.engine.check_writable().is_err() {
                break;
            }
            let now = Instant::now();
            if now < due {
                // Events other than a close or a poisoning end the wait as well; then it goes on.
                self.engine.signal.wait_after(events, due);
                continue;
            }
            due = now + self.sync_every;
            // The store is poisoned by a failure, which ends the loop.
            let _ = self.engine.sync_log_aside();
        }
        guard.finished = true;
    }

    /// Repeats `step` while there is work, and else when something happened or `period` passed.
    fn run(&self, period: Duration, mut step: impl FnMut(&Self) -> Result<bool>) {
        let mut guard = ThreadGuard { engine: &self.engine, finished: false };
        loop {
            // Counted before the check: a close after it is an event after this one, and ends the wait below at once.
            let events = self.engine.signal.count();
            if self.engine.check_writable().is_err() {
                break;
            }
            match step(self) {
                Ok(true) => self.engine.set_background_error(None),
                Ok(false) => {
                    self.engine.signal.wait_after(events, Instant::now() + period);
                }
                Err(error) => {
                    self.engine.set_background_error(Some(&error));
                    self.engine.signal.wait_after(events, Instant::now() + RETRY);
                }
            }
        }
        guard.finished = true;
    }

    /// Rebuilds a derived file that is missing or damaged. Each is tried once, and again if the failure may pass.
    fn rebuild_next(&self) -> Result<bool> {
        let _one_at_a_time = self.merge_lock.lock();
        let view = self.engine.view.get();
        match view.shards.iter().flat_map(|shard| &shard.segments).find(|part| part.take_rebuild()) {
            Some(part) => {
                replace_codes(&self.engine, part).inspect_err(|error| part.rebuild_again_unless_damaged(error))
            }
            None => Ok(false),
        }
    }

    /// Writes the oldest frozen memtable to a segment.
    pub fn flush_next(&self) -> Result<bool> {
        let _one_at_a_time = self.flush_lock.lock();
        let view = self.engine.view.get();
        let waiting = view.shards.iter().enumerate().filter_map(|(index, shard)| Some((index, shard.frozen.first()?)));
        let Some((shard, oldest)) = waiting.min_by_key(|(_, frozen)| frozen.through) else { return Ok(false) };
        let started = self.engine.clock.monotonic();
        let living = flush::living_bytes(&oldest.memtable, view.read_lsn);
        let needed = if living > 0 { written_bytes(living, 1) } else { 0 };
        let mut outputs = OutputFiles::new(&self.engine);
        outputs.ask_for_space(Purpose::Flush, needed, "a flush of what is in memory")?;
        let (info, rows) = {
            let rows = oldest.memtable.len() as u64;
            let output = self.output(outputs.segment(), Stage::Flush, rows);
            flush::write(&output, &oldest.memtable, view.read_lsn)?
        };
        let output = info.map(|info| self.open(shard, &info, &[])).transpose()?;
        let (segment_rows, segment_bytes) =
            output.as_ref().map_or((0, 0), |part| (part.entry.rows.into(), part.entry.bytes()));
        let inputs = vec![Input::Memtable(Arc::clone(&oldest.memtable), oldest.through)];
        let completed = CompletedJob { shard, base: view.read_lsn, inputs, rows: vec![rows], output };
        if self.install(&completed, outputs)? == InstallOutcome::Superseded {
            return Ok(true);
        }
        self.engine.counters.flushes.fetch_add(1, Ordering::Relaxed);
        events::flushed(shard, segment_rows, segment_bytes, self.engine.clock.monotonic().saturating_sub(started));
        Ok(true)
    }

    /// While the guard lives, no segment is merged or rebuilt.
    pub fn pause_merges(&self) -> MutexGuard<'_, ()> {
        self.merge_lock.lock()
    }

    /// Where a job writes a segment of at most so many rows.
    fn output(&self, file_id: u64, stage: Stage, rows: u64) -> flush::Output<'_> {
        let (storage, keys) = (&*self.engine.storage, self.engine.identity.keys);
        let blob_value_bytes = self.engine.tuning.blob_value_bytes;
        flush::Output { storage, keys, file_id, blob_value_bytes, go_on: Box::new(self.engine.steps(stage, rows)) }
    }

    /// Opens an output in a shard. `kept` are the blob files of its inputs that it keeps; they are open already.
    fn open(&self, shard: usize, info: &SegmentInfo, kept: &[Arc<Blob>]) -> Result<SharedSegment> {
        let extent = self.engine.view.get().shards[shard].extent_of(&info.first_namespace, &info.last_namespace);
        let entry = SegmentEntry::new(info, extent);
        let segment = entry.open_beside(&*self.engine.storage, &self.engine.identity.keys, kept)?;
        let tombstones = Tombstones::new(entry.rows);
        Ok(Arc::new(SegmentPart::new(entry, Ok(segment), tombstones)))
    }

    /// Freezes and flushes every memtable that holds something, and waits until all of it is in segments.
    pub fn flush_all(&self) -> Result<()> {
        self.flush_shards(|_| true, || self.flush_next()).map(drop)
    }

    /// Flushes the chosen shards by calls of `flush_next`, which may put it off. Returns whether all rows are in
    /// segments.
    fn flush_shards(
        &self,
        chosen: impl Fn(usize) -> bool,
        mut flush_next: impl FnMut() -> Result<bool>,
    ) -> Result<bool> {
        let apply_lock = self.engine.apply_lock.lock();
        let mut view = ReadView::clone(&self.engine.view.get());
        let target = view.read_lsn;
        for index in 0..view.shards.len() {
            if chosen(index) && !view.shards[index].memtable.is_empty() {
                view = self.engine.with_memtable_frozen(&view, index);
            }
        }
        let stalled = self.engine.is_still_stalled(&view);
        self.engine.publish(view, stalled);
        drop(apply_lock);
        // Writers may fill more memtables meanwhile; those are not waited for.
        let waits = |view: &ReadView| {
            let mut frozen = view.shards.iter().flat_map(|shard| &shard.frozen);
            frozen.any(|frozen| frozen.through <= target)
        };
        while waits(&self.engine.view.get()) {
            if !flush_next()? {
                return Ok(!waits(&self.engine.view.get()));
            }
        }
        Ok(true)
    }

    /// Leaves each shard one segment without deleted rows and with its graphs, no log to replay, and no obsolete file,
    /// so that no file holds a deleted or replaced value. Expired items are removed first, if the clock allows. Damage
    /// in one shard holds up no other, and is reported in the end. Obsolete files go before graphs are built, and also
    /// if another step fails.
    pub fn compact(&self) -> Result<CompactReport> {
        let report = self.sweep_first()?;
        self.rewrite_and_let_go(Self::merge_everything)?;
        let graphs = self.build_graphs(Cores::All);
        checkpoint(&self.engine).and(graphs)?;
        Ok(report)
    }

    fn merge_everything(&self) -> Result<()> {
        let _one_at_a_time = self.merge_lock.lock();
        let shards = self.engine.view.get().shards.len();
        let mut failed = Ok(());
        for index in 0..shards {
            match self.merge_shard(index) {
                Err(error) if matches!(error.kind(), ErrorKind::Damaged | ErrorKind::DiskFull) => {
                    failed = failed.and(Err(error));
                }
                other => other?,
            }
        }
        failed
    }

    /// Makes one segment of a shard, without deleted rows.
    fn merge_shard(&self, index: usize) -> Result<()> {
        self.adopt(index)?;
        let view = self.engine.view.get();
        let young = self.young(&view, index);
        let mut segments = view.shards[index].segments.clone();
        segments.retain(|part| !young.iter().any(|young| Arc::ptr_eq(young, part)));
        let merged = self.merge_readable(index, segments, view.read_lsn);
        let view = self.engine.view.get();
        let mut parts = view.shards[index].segments.iter();
        merged.and(parts.try_for_each(|part| part.check_missed().and_then(|()| part.check_stuck())))
    }

    /// Makes one segment of those that can be read, without deleted rows. Then the first damage is reported.
    fn merge_readable(&self, index: usize, mut segments: Vec<SharedSegment>, base: Lsn) -> Result<()> {
        let damage = segments.iter().try_for_each(|part| part.segment().map(drop));
        segments.retain(|part| part.segment().is_ok());
        let holds_dead = |part: &SharedSegment| part.tombstones.dead_rows() > 0 || part.blob_bytes().dead > 0;
        if segments.len() <= 1 && !segments.iter().any(holds_dead) {
            return damage;
        }
        match self.merge(index, &segments, base, Cores::All, DeadLimit::Nothing) {
            Err(error) if error.kind() == ErrorKind::Damaged => {
                let before = segments.len();
                segments.retain(|part| !part.is_unmergeable());
                let rest = if segments.len() < before { self.merge_readable(index, segments, base) } else { Ok(()) };
                damage.and(rest).and(Err(error))
            }
            Ok(None) => self.merge_shard(index),
            merged => damage.and(merged.map(drop)),
        }
    }
}

/// A background thread that unwinds must not leave writers waiting for it.
struct ThreadGuard<'a> {
    engine: &'a Engine,
    finished: bool,
}

impl Drop for ThreadGuard<'_> {
    fn drop(&mut self) {
        if !self.finished {
            self.engine.poison(&Error::new(ErrorKind::Poisoned, "a background thread panicked"));
        }
    }
}
