//! Background jobs: flushes, merges, checkpoints, the sweep of expired items, log files prepared ahead, the syncs of
//! `Durability::Periodic`, and unmapping.
//!
//! Each job is a function that does one step and returns whether there was work. Background threads call the functions
//! in loops. Under `inline_background` the writing thread calls them, so simulations are deterministic. Reading order:
//! the loops here; `flushes`, `claims`, `merges`, `splits`, `merge_job`, `graphs`, `live_check`, `maintenance`,
//! `sweep`; `compaction`, `purge` and `accept_loss`, which run in the caller.
//!
//! Invariants:
//! * At most one flush runs at a time, and one merge of a shard. A flush never waits for a merge, so a stalled writer
//!   waits only for the disk. Maintenance waits neither for merges nor for graphs.
//! * A failed job changes nothing: its files are removed (`engine/space/output_files.rs`), the stats show the error,
//!   and the job is retried later (`engine/space/mod.rs` says when).
//! * Under `Durability::Periodic` one thread does nothing but sync the log, so no other job delays a sync.
//! * Background threads run at low priority, except the sync thread. They end when the store is closed or poisoned.
#![allow(clippy::disallowed_methods, reason = "threads wait in real time, whatever the clock of the store says")]

mod accept_loss;
mod claims;
mod compaction;
mod filter_graphs;
mod flushes;
mod graphs;
mod live_check;
mod maintenance;
mod merge_job;
mod merges;
mod purge;
mod splits;
mod sweep;

pub use accept_loss::{LossReport, LostItem};
pub use graphs::GraphBuild;
pub use sweep::CompactReport;

use std::sync::Arc;
use std::time::{Duration, Instant};

use self::claims::Claims;
use self::live_check::RecallChecks;
use crate::commit::Pipeline;
use crate::compact::flush;
use crate::engine::Engine;
use crate::engine::field_rules::prepared_rules;
use crate::engine::graphs::Cores;
use crate::engine::replace::rebuild_derived;
use crate::engine::space::JobKind;
use crate::error::{Error, ErrorKind, Result};
use crate::interrupt::Stage;
use crate::manifest::SegmentEntry;
use crate::segment::blob::file::Blob;
use crate::segment::tombstones::Tombstones;
use crate::segment::truth::writer::SegmentInfo;
use crate::shard::part::{SegmentPart, SharedSegment};
use crate::storage::disk;
use crate::sync::{JoinHandle, Mutex, ThreadBuilder};
use crate::types::{Durability, Interval};

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
    /// Who rewrites segments of a shard, or installs derived files in it, has claimed the shard.
    claims: Claims,
    /// Held while a graph is verified or built. A thread that claims a shard too does so after this lock.
    graph_lock: Mutex<()>,
    recall_checks: RecallChecks,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// The monotonic time of the open. The first sweep is due `sweep_every` after it.
    opened_at: Duration,
    duties: WorkerDuties,
}

/// What the options of an open say of background jobs.
#[derive(Clone, Copy)]
pub(crate) struct WorkerDuties {
    pub sync_every: Duration,
    /// `None` if only the caller sweeps.
    pub sweep_every: Option<Duration>,
    /// Whether some queries are repeated exactly.
    pub checks_recall: bool,
}

impl Worker {
    pub fn new(engine: Arc<Engine>, pipeline: Arc<Pipeline>, duties: WorkerDuties) -> Arc<Self> {
        let opened_at = engine.clock.monotonic();
        Arc::new(Self {
            engine,
            pipeline,
            flush_lock: Mutex::new(()),
            claims: Claims::default(),
            graph_lock: Mutex::new(()),
            recall_checks: RecallChecks::default(),
            threads: Mutex::new(Vec::new()),
            opened_at,
            duties,
        })
    }

    /// Starts the threads: one flushes, `Tuning::merge_threads` merge, one builds graphs, one does maintenance, one
    /// writes touches and prepares log files. Under `Durability::Periodic` one more syncs the log.
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
        let more_merges = (1..self.engine.tuning.merge_threads).map(|_| ("vecmem-merge", Self::merge_loop as Job));
        for (name, job) in jobs.into_iter().chain(more_merges).filter(|(name, _)| syncs || *name != SYNC_THREAD) {
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
            self.check_recall();
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
            due = now + self.duties.sync_every;
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
        for claim in self.free_shards() {
            let view = self.engine.view.get();
            let mut parts = claim.shard(&view).segments.iter();
            if let Some((part, wanted)) = parts.find_map(|part| Some((part, part.take_rebuild()?))) {
                let rebuilt = rebuild_derived(&self.engine, part, wanted);
                return rebuilt.inspect_err(|error| part.rebuild_again_unless_damaged(error));
            }
        }
        Ok(false)
    }

    /// The output of a job that writes a segment of at most `rows` rows.
    fn output(&self, file_id: u64, stage: Stage, rows: u64) -> flush::Output<'_> {
        let (storage, keys) = (&*self.engine.storage, self.engine.identity.keys);
        let blob_value_bytes = self.engine.tuning.blob_value_bytes;
        let field_rules = prepared_rules(&self.engine.settings.get());
        let go_on = Box::new(self.engine.steps(stage, rows));
        flush::Output { storage, keys, file_id, blob_value_bytes, field_rules, go_on }
    }

    /// Opens a new segment, whose extent is to lie in `inside`. `kept` are the open blob files of the inputs that the
    /// segment refers to.
    fn open(&self, info: &SegmentInfo, inside: &Interval, kept: &[Arc<Blob>]) -> Result<SharedSegment> {
        let view = self.engine.view.get();
        let shard = &view.shards[view.shard_of(&info.first_namespace)];
        let extent = shard.extent_inside(inside, &info.first_namespace, &info.last_namespace);
        let entry = SegmentEntry::new(info, extent);
        let segment = entry.open_beside(&*self.engine.storage, &self.engine.identity.keys, kept)?;
        let tombstones = Tombstones::new(entry.rows);
        Ok(Arc::new(SegmentPart::new(entry, Ok(segment), tombstones)))
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
