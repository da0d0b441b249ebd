//! Background jobs: flushes, merges, checkpoints, the sweep of expired items, log files prepared ahead, the syncs of
//! `Durability::Periodic`, and unmapping.
//!
//! Each job is a function that does one step and returns whether there was work. Background threads call the functions
//! in loops. Under `inline_background` the writing thread calls them, so simulations are deterministic. Reading order:
//! the loops here; `merges`, `graphs`, `maintenance`, `sweep`; `purge` and `accept_loss`, which run in the caller.
//!
//! Invariants:
//! * At most one flush and one merge run at a time. A flush never waits for a merge, so a stalled writer waits only for
//!   the disk. Maintenance waits neither for merges nor for graphs.
//! * A failed job changes nothing: its files are removed (`engine/space/output_files.rs`), the stats show the error,
//!   and the job is retried later (`engine/space/mod.rs` says when).
//! * Under `Durability::Periodic` one thread does nothing but sync the log, so no other job delays a sync.
//! * Background threads run at low priority, except the sync thread. They end when the store is closed or poisoned.
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
use std::time::{Duration, Instant};

use crate::commit::Pipeline;
use crate::compact::blobs::DeadLimit;
use crate::compact::flush;
use crate::engine::Engine;
use crate::engine::completed_job::{CompletedJob, Input};
use crate::engine::graphs::Cores;
use crate::engine::install::{InstallOutcome, checkpoint};
use crate::engine::replace::rebuild_derived;
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
use crate::sync::{JoinHandle, Mutex, MutexGuard, Ordering, ThreadBuilder};
use crate::types::Durability;

const RETRY: Duration = Duration::from_millis(200);
const SYNC_THREAD: &str = "vecmem-sync";
const LOOK_ROUND: Duration = Duration::from_secs(1);

/// The loop of one background thread. It ends when the store is closed or poisoned.
type Job = fn(&Worker);

/// The background jobs of one open store.
pub(crate) struct Worker {
    engine: Arc<Engine>,
    pipeline: Arc<Pipeline>,
    /// Held for a whole flush.
    flush_lock: Mutex<()>,
    /// Held for a whole merge.
    merge_lock: Mutex<()>,
    /// Held while a graph is verified or built. A thread that needs `merge_lock` too takes it after this lock.
    graph_lock: Mutex<()>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    sync_every: Duration,
    /// The monotonic time of the open. The first sweep is due `sweep_every` after it.
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

    /// Starts the threads: one flushes, one merges, one builds graphs, one does maintenance, one writes touches and
    /// prepares log files. Under `Durability::Periodic` one more syncs the log.
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
            let thread = ThreadBuilder::new().name(name.into()).spawn(move || {
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

    /// Waits until the threads have ended. The caller has marked the engine as closed.
    pub fn join(&self) {
        for thread in std::mem::take(&mut *self.threads.lock()) {
            // A thread that panicked has already poisoned the engine.
            let _ = thread.join();
        }
    }

    /// Runs every job that is due on the calling thread, for `inline_background`.
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

    /// Begins a sync `sync_every` after the previous one began, or when the previous one ends if it takes longer. So a
    /// write waits at most that long until its sync begins.
    fn sync_loop(&self) {
        let mut guard = ThreadGuard { engine: &self.engine, finished: false };
        // Syncs the frames that a killed process wrote and did not sync. A failure poisons the store.
        let _ = self.engine.sync_found();
        let mut due = Instant::now();
        loop {
            let events = self.engine.signal.count();
            if self.engine.check_writable().is_err() {
                break;
            }
            let now = Instant::now();
            if now < due {
                // Any event ends the wait. Unless it was a close or a poisoning, the loop waits again.
                self.engine.signal.wait_after(events, due);
                continue;
            }
            due = now + self.sync_every;
            // A failure poisons the store, and that ends the loop.
            let _ = self.engine.sync_log_aside();
        }
        guard.finished = true;
    }

    /// Calls `step` again and again. After a call that found no work, waits for the next event, at most for `period`.
    fn run(&self, period: Duration, mut step: impl FnMut(&Self) -> Result<bool>) {
        let mut guard = ThreadGuard { engine: &self.engine, finished: false };
        loop {
            // The count is taken before the check, so that a close after the check ends the wait below at once.
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

    /// Rebuilds the codes and the field index of one segment, if they are missing or damaged. Returns whether it did. A
    /// failed rebuild is tried again, unless vectors or values cannot be read.
    fn rebuild_next(&self) -> Result<bool> {
        let _one_at_a_time = self.merge_lock.lock();
        let view = self.engine.view.get();
        let mut parts = view.shards.iter().flat_map(|shard| &shard.segments);
        match parts.find_map(|part| Some((part, part.take_rebuild()?))) {
            Some((part, wanted)) => {
                let rebuilt = rebuild_derived(&self.engine, part, wanted);
                rebuilt.inspect_err(|error| part.rebuild_again_unless_damaged(error))
            }
            None => Ok(false),
        }
    }

    /// Writes the oldest frozen memtable to a segment. Returns whether there was one.
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

    /// No segment is merged and no codes are rebuilt while the caller holds the guard.
    pub fn pause_merges(&self) -> MutexGuard<'_, ()> {
        self.merge_lock.lock()
    }

    /// The output of a job that writes a segment of at most `rows` rows.
    fn output(&self, file_id: u64, stage: Stage, rows: u64) -> flush::Output<'_> {
        let (storage, keys) = (&*self.engine.storage, self.engine.identity.keys);
        let blob_value_bytes = self.engine.tuning.blob_value_bytes;
        flush::Output { storage, keys, file_id, blob_value_bytes, go_on: Box::new(self.engine.steps(stage, rows)) }
    }

    /// Opens a new segment of a shard. `kept` are the open blob files of the inputs that the segment refers to.
    fn open(&self, shard: usize, info: &SegmentInfo, kept: &[Arc<Blob>]) -> Result<SharedSegment> {
        let extent = self.engine.view.get().shards[shard].extent_of(&info.first_namespace, &info.last_namespace);
        let entry = SegmentEntry::new(info, extent);
        let segment = entry.open_beside(&*self.engine.storage, &self.engine.identity.keys, kept)?;
        let tombstones = Tombstones::new(entry.rows);
        Ok(Arc::new(SegmentPart::new(entry, Ok(segment), tombstones)))
    }

    /// Freezes all memtables that have rows, and flushes until these rows are in segments.
    pub fn flush_all(&self) -> Result<()> {
        self.flush_shards(|_| true, || self.flush_next()).map(drop)
    }

    /// Freezes the memtables of the chosen shards, and calls `flush_next` until all frozen rows are in segments or
    /// `flush_next` returns false. Returns whether all frozen rows are in segments.
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
        // Memtables that writers fill meanwhile are not waited for.
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

    /// Merges each shard into one segment without deleted rows, removes obsolete segments and log files, and builds
    /// graphs. No file then holds a deleted or replaced value. Expired items are removed first, if the clock is
    /// believed. Damage in one shard does not stop the others, and is returned in the end. Obsolete files are removed
    /// also if another step fails.
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

    /// Merges the segments of a shard into one without deleted rows. Segments that the log may name are left out.
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

    /// Merges those of `segments` that can be read into one without deleted rows. Then returns the first damage.
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

/// Poisons the store if a background thread panics, so that no writer waits for that thread.
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
