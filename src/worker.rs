//! Background jobs: sealing, merging, checkpoints, the sweep of expired items, log files prepared ahead, and unmapping.
//!
//! Each job is one function that does one step and tells whether there was anything to do. Threads call them in loops;
//! under `inline_background` the writing thread calls them itself, which is what makes simulations deterministic.
//!
//! Invariants:
//! * One seal and one merge at a time. A seal never waits for a merge, so writers wait for the disk only. Keeping house waits
//!   for neither merges nor graphs.
//! * A job that fails changes nothing: its files are orphans, its reason is in the stats, and it is tried again later.
//! * Background threads run at low priority and end at once when the store is closed or fenced.
#![allow(clippy::disallowed_methods, reason = "threads wait in real time, whatever the clock of the store says")]

mod graphs;
mod house;
mod merges;
mod sweep;

pub use graphs::GraphBuild;
pub use sweep::CompactReport;

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::commit::Pipeline;
use crate::compact::blobs::DeadAllowed;
use crate::compact::seal;
use crate::error::{Error, ErrorKind, Result};
use crate::manifest::SegmentEntry;
use crate::segment::blob::Blob;
use crate::segment::dead::Deaths;
use crate::segment::writer::SegmentInfo;
use crate::shard::View;
use crate::shard::derived::replace_codes;
use crate::shard::engine::Engine;
use crate::shard::graphs::Cores;
use crate::shard::install::{Finished, Input, checkpoint};
use crate::shard::part::{SealedPart, SharedPart};
use crate::storage::disk;
use crate::sync::{Mutex, MutexGuard, Ordering};
use crate::types::Durability;

const RETRY: Duration = Duration::from_millis(200);
const LOOK_ROUND: Duration = Duration::from_secs(1);

/// What one background thread does until the store is closed.
type Job = fn(&Worker);

/// The background of one open store.
pub(crate) struct Worker {
    engine: Arc<Engine>,
    pipeline: Arc<Pipeline>,
    /// Held for the whole of a seal, a merge.
    sealing: Mutex<()>,
    merging: Mutex<()>,
    /// Held while a graph is verified or built in the background; before `merging`, where both are.
    building: Mutex<()>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    sync_every: Duration,
    /// The monotonic clock at the open: sweeps are counted from it, whenever their thread gets to run.
    opened_at: Duration,
    /// `None` where only the caller sweeps.
    sweep_every: Option<Duration>,
}

impl Worker {
    pub fn new(
        engine: Arc<Engine>,
        pipeline: Arc<Pipeline>,
        sync_every: Duration,
        sweep_every: Option<Duration>,
    ) -> Arc<Self> {
        let (sealing, merging, building) = (Mutex::new(()), Mutex::new(()), Mutex::new(()));
        let (threads, opened_at) = (Mutex::new(Vec::new()), engine.clock.monotonic());
        Arc::new(Self { engine, pipeline, sealing, merging, building, threads, sync_every, opened_at, sweep_every })
    }

    /// Starts the threads: one seals, one merges, one builds graphs, one keeps house, one looks after the log.
    pub fn start(self: &Arc<Self>) -> Result<()> {
        let jobs: [(&str, Job); 5] = [
            ("vecmem-seal", Self::seal_loop),
            ("vecmem-merge", Self::merge_loop),
            ("vecmem-graphs", Self::graph_loop),
            ("vecmem-house", Self::house_loop),
            ("vecmem-log", Self::log_loop),
        ];
        for (name, job) in jobs {
            let worker = Arc::clone(self);
            let thread = std::thread::Builder::new().name(name.into()).spawn(move || {
                disk::lower_priority();
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
            // A thread that panicked has already fenced the engine.
            let _ = thread.join();
        }
    }

    /// Under `inline_background`: does every job that is due, on this thread.
    pub fn run_inline(&self) {
        let outcome = (|| {
            self.adopt_imports()?;
            while self.seal_next()? || self.merge_next()? {}
            let graphs = self.build_graphs(Cores::Half);
            self.relieve_log()?;
            self.keep_reserve();
            let clock = self.keep_clock();
            self.pipeline.prepare_ahead().and(graphs).and(clock)
        })();
        self.engine.set_background_error(outcome.err().as_ref());
        self.bury();
    }

    fn seal_loop(&self) {
        self.run(LOOK_ROUND, |worker| worker.seal_next());
    }

    fn merge_loop(&self) {
        self.run(LOOK_ROUND, |worker| Ok(worker.rebuild_next()? || worker.merge_next()?));
    }

    fn house_loop(&self) {
        let (mut swept, mut idle) = (self.opened_at, None);
        self.run(LOOK_ROUND, |worker| worker.keep_house(&mut swept, &mut idle).map(|()| false));
    }

    fn log_loop(&self) {
        let os = self.engine.durability == Durability::Os;
        let period =
            if os { self.sync_every.min(self.engine.tuning.touch_every) } else { self.engine.tuning.touch_every };
        self.run(period, |worker| {
            let synced = if os { worker.engine.sync_log_aside() } else { Ok(()) };
            let touched = worker.pipeline.flush_touches();
            synced.and(touched).and_then(|()| worker.pipeline.prepare_ahead()).map(|()| false)
        });
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

    /// Rebuilds a derived file that is missing or damaged; each is tried once.
    fn rebuild_next(&self) -> Result<bool> {
        let _one_at_a_time = self.merging.lock();
        let view = self.engine.view.get();
        match view.shards.iter().flat_map(|shard| &shard.segments).find(|part| part.take_rebuild()) {
            Some(part) => replace_codes(&self.engine, part),
            None => Ok(false),
        }
    }

    /// Writes the oldest waiting part to a segment.
    pub fn seal_next(&self) -> Result<bool> {
        let _one_at_a_time = self.sealing.lock();
        let view = self.engine.view.get();
        let waiting = view.shards.iter().enumerate().filter_map(|(index, shard)| Some((index, shard.sealing.first()?)));
        let Some((shard, oldest)) = waiting.min_by_key(|(_, sealing)| sealing.through) else { return Ok(false) };
        let file_id = self.engine.new_file_id();
        let (info, rows) = seal::write(&self.output(file_id), &oldest.active, view.visible)?;
        let output = info.map(|info| self.open(&info, &[])).transpose()?;
        let inputs = vec![Input::Sealing(Arc::clone(&oldest.active), oldest.through)];
        self.install(&Finished { shard, base: view.visible, inputs, rows: vec![rows], output })?;
        self.engine.counters.seals.fetch_add(1, Ordering::Relaxed);
        Ok(true)
    }

    /// While the guard lives, no segment is merged or rebuilt.
    pub fn pause_merges(&self) -> MutexGuard<'_, ()> {
        self.merging.lock()
    }

    fn output(&self, file_id: u64) -> seal::Output<'_> {
        let (storage, keys) = (&*self.engine.storage, self.engine.identity.keys);
        let blob_value_bytes = self.engine.tuning.blob_value_bytes;
        seal::Output { storage, keys, file_id, blob_value_bytes, go_on: Box::new(|| self.engine.check_writable()) }
    }

    /// Opens an output, which may keep blob files of its inputs: these are open.
    fn open(&self, info: &SegmentInfo, kept: &[Arc<Blob>]) -> Result<SharedPart> {
        let entry = SegmentEntry::new(info);
        let segment = entry.open_beside(&*self.engine.storage, &self.engine.identity.keys, kept)?;
        let deaths = Deaths::new(entry.rows);
        Ok(Arc::new(SealedPart::new(entry, Ok(segment), deaths)))
    }

    /// Seals every active part that holds something, and waits until all of it is in segments.
    pub fn seal_everything(&self) -> Result<()> {
        self.seal_shards(|_| true)
    }

    fn seal_shards(&self, chosen: impl Fn(usize) -> bool) -> Result<()> {
        let applying = self.engine.applying.lock();
        let mut view = View::clone(&self.engine.view.get());
        let target = view.visible;
        for index in 0..view.shards.len() {
            if chosen(index) && !view.shards[index].active.is_empty() {
                view = self.engine.with_active_sealed(&view, index);
            }
        }
        let crowded = self.engine.still_crowded(&view);
        self.engine.publish(view, crowded);
        drop(applying);
        // Writers may go on filling parts meanwhile; those are not waited for.
        let waits = |view: &View| {
            let mut sealing = view.shards.iter().flat_map(|shard| &shard.sealing);
            sealing.any(|sealing| sealing.through <= target)
        };
        while waits(&self.engine.view.get()) && self.seal_next()? {}
        Ok(())
    }

    /// Every shard one segment without dead rows and with its graphs, no log to replay, obsolete files gone, so that no file holds
    /// a value that was deleted or replaced. Damage in one shard holds up no other, and is told in the end. What can be let go
    /// of goes before graphs are built, and also where something else fails. What has expired is removed first, if the clock allows.
    pub fn compact(&self) -> Result<CompactReport> {
        let report = self.sweep_first()?;
        self.seal_everything()?;
        let merged = self.merge_everything();
        let freed = checkpoint(&self.engine).and_then(|()| checkpoint(&self.engine));
        merged.and(freed)?;
        let graphs = self.build_graphs(Cores::All);
        checkpoint(&self.engine).and(graphs)?;
        Ok(report)
    }

    fn merge_everything(&self) -> Result<()> {
        let _one_at_a_time = self.merging.lock();
        let shards = self.engine.view.get().shards.len();
        let mut damage = Ok(());
        for index in 0..shards {
            match self.merge_shard(index) {
                Err(error) if error.kind() == ErrorKind::Damaged => damage = damage.and(Err(error)),
                other => other?,
            }
        }
        damage
    }

    /// One segment of a shard, that holds nothing dead.
    fn merge_shard(&self, index: usize) -> Result<()> {
        self.adopt(index)?;
        let view = self.engine.view.get();
        let young = self.young(&view, index);
        let mut segments = view.shards[index].segments.clone();
        segments.retain(|part| !young.iter().any(|young| Arc::ptr_eq(young, part)));
        let holds_dead = |part: &SharedPart| part.deaths.dead_rows() > 0 || part.blob_bytes().dead > 0;
        if segments.len() > 1 || segments.iter().any(holds_dead) {
            self.merge(index, &segments, view.visible, (Cores::All, DeadAllowed::Nothing))?;
        }
        self.engine.view.get().shards[index].segments.iter().try_for_each(|part| part.check_stuck())
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
            self.engine.fence(&Error::new(ErrorKind::Fenced, "a background thread panicked"));
        }
    }
}
