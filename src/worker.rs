//! Background jobs: sealing, merging, checkpoints, the sweep of expired items, log files prepared ahead, and unmapping.
//!
//! Each job is one function that does one step and tells whether there was anything to do. Threads call them in loops;
//! under `inline_background` the writing thread calls them itself, which is what makes simulations deterministic.
//!
//! Invariants:
//! * One seal and one merge at a time. A seal never waits for a merge, so writers wait for the disk only.
//! * A job that fails changes nothing: its files are orphans, its reason is in the stats, and it is tried again later.
//! * Background threads run at low priority and end at once when the store is closed or fenced.
#![allow(clippy::disallowed_methods, reason = "threads wait in real time, whatever the clock of the store says")]

mod graphs;
mod house;
mod merges;

pub use graphs::GraphBuild;

use std::collections::HashSet;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::commit::Pipeline;
use crate::compact::seal;
use crate::error::{Error, ErrorKind, Result};
use crate::manifest::SegmentEntry;
use crate::record::Lsn;
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
    opened_at: (i64, Duration),
    sync_every: Duration,
}

impl Worker {
    pub fn new(engine: Arc<Engine>, pipeline: Arc<Pipeline>, sync_every: Duration) -> Arc<Self> {
        let opened_at = (engine.query_time(), engine.clock.monotonic());
        let (sealing, merging, building) = (Mutex::new(()), Mutex::new(()), Mutex::new(()));
        let threads = Mutex::new(Vec::new());
        Arc::new(Self { engine, pipeline, sealing, merging, building, threads, opened_at, sync_every })
    }

    /// Starts the threads: one seals, one merges and keeps house, one builds graphs, one looks after the log.
    pub fn start(self: &Arc<Self>) -> Result<()> {
        let jobs: [(&str, Job); 4] = [
            ("vecmem-seal", Self::seal_loop),
            ("vecmem-merge", Self::merge_loop),
            ("vecmem-graphs", Self::graph_loop),
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
            while self.seal_next()? || self.merge_next()? || self.graphs_next(Cores::Half)? {}
            self.relieve_log()?;
            self.keep_reserve();
            self.pipeline.prepare_ahead()
        })();
        self.engine.set_background_error(outcome.err().as_ref());
        self.bury();
    }

    fn seal_loop(&self) {
        self.run(LOOK_ROUND, |worker| worker.seal_next());
    }

    fn merge_loop(&self) {
        let mut swept = self.engine.clock.monotonic();
        let mut idle_since: Option<(Lsn, Duration)> = None;
        self.run(LOOK_ROUND, |worker| {
            worker.bury();
            let now = worker.engine.clock.monotonic();
            if now.saturating_sub(swept) >= worker.engine.tuning.sweep_every {
                swept = now;
                worker.sweep()?;
            }
            if worker.rebuild_next()? || worker.merge_next()? {
                return Ok(true);
            }
            worker.relieve_log()?;
            worker.keep_reserve();
            let visible = worker.engine.view.get().visible;
            match idle_since {
                Some((lsn, since)) if lsn == visible => {
                    if now.saturating_sub(since) >= worker.engine.tuning.idle_checkpoint {
                        worker.settle()?;
                    }
                }
                _ => idle_since = Some((visible, now)),
            }
            Ok(false)
        });
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
        while self.engine.check_writable().is_ok() {
            let events = self.engine.signal.count();
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
        let output = info.map(|info| self.open(&info)).transpose()?;
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
        seal::Output { storage, keys, file_id, go_on: Box::new(|| self.engine.check_writable()) }
    }

    fn open(&self, info: &SegmentInfo) -> Result<SharedPart> {
        let entry = SegmentEntry::new(info);
        let segment = entry.open(&*self.engine.storage, &self.engine.identity.keys)?;
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

    /// Every shard one segment without dead rows and with its graphs, no log to replay, obsolete files gone.
    pub fn compact(&self) -> Result<()> {
        self.seal_everything()?;
        {
            let _one_at_a_time = self.merging.lock();
            let shards = self.engine.view.get().shards.len();
            for index in 0..shards {
                self.adopt(index)?;
                let view = self.engine.view.get();
                let young = self.young(&view, index);
                let mut segments = view.shards[index].segments.clone();
                segments.retain(|part| !young.iter().any(|young| Arc::ptr_eq(young, part)));
                if segments.len() > 1 || segments.iter().any(|part| part.deaths.dead_rows() > 0) {
                    self.merge(index, &segments, view.visible, Cores::All)?;
                }
            }
        }
        while self.graphs_next(Cores::All)? {}
        checkpoint(&self.engine)?;
        checkpoint(&self.engine)
    }

    /// Past its cap, log is freed by sealing the shard that holds it back, however small its active part is.
    fn relieve_log(&self) -> Result<()> {
        if self.engine.log.lock().bytes() <= self.engine.tuning.log_total_bytes {
            return Ok(());
        }
        let installed = self.engine.installing.lock();
        let oldest = installed.manifest.checkpoint();
        let holds_back: Vec<bool> = installed.manifest.shards.iter().map(|shard| shard.checkpoint == oldest).collect();
        drop(installed);
        self.advance(|index| holds_back[index])
    }

    /// An idle store keeps no log to replay, and no files that only the manifest before the newest one names.
    fn settle(&self) -> Result<()> {
        self.checkpoint_if_behind()?;
        let holds_back = {
            let installed = self.engine.installing.lock();
            let named: HashSet<String> = installed.manifest.files().collect();
            installed.previous_files.iter().any(|file| !named.contains(file))
        };
        if holds_back { checkpoint(&self.engine) } else { Ok(()) }
    }

    fn checkpoint_if_behind(&self) -> Result<()> {
        self.advance(|_| true)
    }

    /// Seals the chosen shards and commits twice, so that the log before what they hold now can go.
    fn advance(&self, chosen: impl Fn(usize) -> bool) -> Result<()> {
        let view = self.engine.view.get();
        // A shard with a part that missed an operation keeps the log until that part is mended.
        let can_advance = view.shards.iter().all(|shard| !shard.has_lost());
        if can_advance && self.engine.installing.lock().manifest.checkpoint() < view.visible {
            self.seal_shards(chosen)?;
            checkpoint(&self.engine)?;
            checkpoint(&self.engine)?;
        }
        Ok(())
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
