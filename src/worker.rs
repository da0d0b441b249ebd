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

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::commit::Pipeline;
use crate::compact::{Choice, SegmentStats, choose, merge, seal};
use crate::error::{Error, ErrorKind, Result};
use crate::file_names::RESERVE;
use crate::manifest::SegmentEntry;
use crate::record::Lsn;
use crate::segment::dead::Deaths;
use crate::segment::sealed::Segment;
use crate::segment::writer::SegmentInfo;
use crate::shard::decide::{Write, Written};
use crate::shard::engine::Engine;
use crate::shard::install::{Finished, Input, checkpoint, install};
use crate::shard::part::{SealedPart, SharedPart};
use crate::storage::disk;
use crate::sync::{Mutex, Ordering};
use crate::types::{Durability, Scope};

const DAY: Duration = Duration::from_secs(24 * 3_600);
const RETRY: Duration = Duration::from_millis(200);
const LOOK_ROUND: Duration = Duration::from_secs(1);

/// The background of one open store.
pub(crate) struct Worker {
    engine: Arc<Engine>,
    pipeline: Arc<Pipeline>,
    /// Held for the whole of a seal, a merge.
    sealing: Mutex<()>,
    merging: Mutex<()>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    opened_at: (i64, Duration),
    sync_every: Duration,
}

impl Worker {
    pub fn new(engine: Arc<Engine>, pipeline: Arc<Pipeline>, sync_every: Duration) -> Arc<Self> {
        let opened_at = (engine.query_time(), engine.clock.monotonic());
        let (sealing, merging, threads) = (Mutex::new(()), Mutex::new(()), Mutex::new(Vec::new()));
        Arc::new(Self { engine, pipeline, sealing, merging, threads, opened_at, sync_every })
    }

    /// Starts the threads: one seals, one merges and keeps house, one looks after the log.
    pub fn start(self: &Arc<Self>) -> Result<()> {
        let jobs: [(&str, fn(&Self)); 3] =
            [("vecmem-seal", Self::seal_loop), ("vecmem-merge", Self::merge_loop), ("vecmem-log", Self::log_loop)];
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
            while self.seal_next()? || self.merge_next()? {}
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
            if worker.merge_next()? {
                return Ok(true);
            }
            worker.relieve_log()?;
            worker.keep_reserve();
            let visible = worker.engine.view.get().visible;
            match idle_since {
                Some((lsn, since)) if lsn == visible => {
                    if now.saturating_sub(since) >= worker.engine.tuning.idle_checkpoint {
                        worker.checkpoint_if_behind()?;
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
            worker.pipeline.flush_touches()?;
            if os {
                worker.engine.sync_log_aside()?;
            }
            worker.pipeline.prepare_ahead()?;
            Ok(false)
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
        install(&self.engine, &Finished { shard, base: view.visible, inputs, rows: vec![rows], output })?;
        self.engine.counters.seals.fetch_add(1, Ordering::Relaxed);
        Ok(true)
    }

    /// Does the most pressing merge of any shard.
    pub fn merge_next(&self) -> Result<bool> {
        let _one_at_a_time = self.merging.lock();
        let view = self.engine.view.get();
        for (index, shard) in view.shards.iter().enumerate() {
            let stats: Vec<SegmentStats> = shard.segments.iter().map(|part| part.stats()).collect();
            let positions = match choose(&stats, &self.engine.tuning) {
                Choice::Nothing => continue,
                Choice::Drop(position) => vec![position],
                Choice::Merge(positions) => positions,
            };
            let inputs: Vec<SharedPart> = positions.iter().map(|&at| Arc::clone(&shard.segments[at])).collect();
            self.merge(index, &inputs, view.visible)?;
            return Ok(true);
        }
        Ok(false)
    }

    fn merge(&self, shard: usize, inputs: &[SharedPart], base: Lsn) -> Result<()> {
        let file_id = self.engine.new_file_id();
        let sources: Vec<(&Segment, &Deaths)> =
            inputs.iter().map(|part| Ok((part.segment()?, &part.deaths))).collect::<Result<_>>()?;
        let merged = merge::write(&self.output(file_id), &sources, base);
        if merged.as_ref().is_err_and(|error| error.kind() == ErrorKind::Damaged) {
            inputs.iter().for_each(|part| part.refuse_merges_if_damaged());
        }
        let (info, rows) = merged?;
        let output = info.map(|info| self.open(&info)).transpose()?;
        let inputs = inputs.iter().map(|part| Input::Sealed(Arc::clone(part))).collect();
        install(&self.engine, &Finished { shard, base, inputs, rows, output })?;
        self.engine.counters.merges.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn output(&self, file_id: u64) -> seal::Output<'_> {
        let (storage, keys) = (&*self.engine.storage, self.engine.identity.keys);
        seal::Output { storage, keys, file_id, go_on: Box::new(|| self.engine.check_writable()) }
    }

    fn open(&self, info: &SegmentInfo) -> Result<SharedPart> {
        let entry = SegmentEntry::new(info);
        let segment = Segment::open(&*self.engine.storage, &self.engine.identity.keys, &entry.files())?;
        let deaths = Deaths::new(entry.rows);
        Ok(Arc::new(SealedPart::new(entry, Ok(segment), deaths)))
    }

    /// Seals every active part that holds something, and waits until all of it is in segments.
    pub fn seal_everything(&self) -> Result<()> {
        let applying = self.engine.applying.lock();
        let mut view = crate::shard::View::clone(&self.engine.view.get());
        for index in 0..view.shards.len() {
            if !view.shards[index].active.is_empty() {
                view = self.engine.with_active_sealed(&view, index);
            }
        }
        let crowded = self.engine.still_crowded(&view);
        self.engine.publish(view, crowded);
        drop(applying);
        while self.seal_next()? {}
        Ok(())
    }

    /// Every shard one segment without dead rows, no log to replay, obsolete files gone.
    pub fn compact(&self) -> Result<()> {
        self.seal_everything()?;
        {
            let _one_at_a_time = self.merging.lock();
            let shards = self.engine.view.get().shards.len();
            for index in 0..shards {
                let view = self.engine.view.get();
                let segments = &view.shards[index].segments;
                if segments.len() > 1 || segments.iter().any(|part| part.deaths.dead_rows() > 0) {
                    self.merge(index, segments, view.visible)?;
                }
            }
        }
        checkpoint(&self.engine)?;
        checkpoint(&self.engine)
    }

    /// Past its cap, log is freed by sealing what holds it back, however small.
    fn relieve_log(&self) -> Result<()> {
        if self.engine.log.lock().bytes() > self.engine.tuning.log_total_bytes {
            self.checkpoint_if_behind()?;
        }
        Ok(())
    }

    fn checkpoint_if_behind(&self) -> Result<()> {
        let behind = |engine: &Engine| engine.installing.lock().manifest.checkpoint() < engine.view.get().visible;
        if behind(&self.engine) {
            self.seal_everything()?;
            checkpoint(&self.engine)?;
            checkpoint(&self.engine)?;
        }
        Ok(())
    }

    /// Deletes items that have expired; returns how many.
    pub fn sweep(&self) -> Result<u64> {
        self.check_clock()?;
        let mut swept = 0;
        loop {
            let expired = self.expired(self.engine.tuning.sweep_batch)?;
            let full = expired.len() == self.engine.tuning.sweep_batch;
            if !expired.is_empty() {
                let deleted = self.pipeline.write(&expired)?;
                let deleted = deleted.iter().filter(|written| **written == Written::Deleted(true)).count() as u64;
                self.engine.counters.swept.fetch_add(deleted, Ordering::Relaxed);
                swept += deleted;
                if deleted == 0 {
                    return Ok(swept);
                }
            }
            if !full {
                return Ok(swept);
            }
        }
    }

    /// A clock that jumped would expire everything at once.
    fn check_clock(&self) -> Result<()> {
        let (at_open, monotonic) = self.opened_at;
        let elapsed = self.engine.clock.monotonic().saturating_sub(monotonic);
        let expected = at_open.saturating_add((elapsed + DAY).as_micros() as i64);
        if self.engine.clock.now() > expected {
            return Err(Error::new(
                ErrorKind::Busy,
                "the wall clock is more than a day ahead of the time that has passed since the store was opened; \
                 nothing was swept. Set the clock, or reopen the store if it is right",
            ));
        }
        Ok(())
    }

    /// Up to `limit` items that have expired by now.
    fn expired(&self, limit: usize) -> Result<Vec<Write>> {
        let (view, now) = (self.engine.view.get(), self.engine.query_time());
        let mut writes = Vec::new();
        for shard in view.shards_in(&Scope::Store.interval()) {
            for part in shard.parts() {
                if writes.len() >= limit {
                    break;
                }
                part.expired(view.visible, now, limit - writes.len(), &mut writes)?;
            }
        }
        Ok(writes)
    }

    /// Unmaps retired segments that no reader holds any more.
    fn bury(&self) {
        let mut buried = Vec::new();
        self.engine.graveyard.lock().retain(|part| {
            let wanted = Arc::strong_count(part) > 1;
            if !wanted {
                buried.push(Arc::clone(part));
            }
            wanted
        });
    }

    /// Keeps zeros in store for deletes on a full disk: a tenth of the store, at most the tuned size.
    fn keep_reserve(&self) {
        let view = self.engine.view.get();
        let bytes: u64 = view.shards.iter().flat_map(|shard| &shard.segments).map(|part| part.entry.length).sum();
        let wanted = (bytes / 10).min(self.engine.tuning.reserve_bytes);
        let there = self.engine.storage.list().map(|files| files.iter().any(|(name, _)| name == RESERVE));
        if wanted > 0 && there.is_ok_and(|there| !there) {
            // Without it deletes may fail on a full disk, which is no reason to stop anything now.
            let _ = self.engine.storage.create(RESERVE).and_then(|file| {
                let zeros = vec![0; 1 << 16];
                (0..wanted.div_ceil(1 << 16)).try_for_each(|block| file.write_at(block << 16, &zeros))?;
                file.sync_all()
            });
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
            self.engine.fence(&Error::new(ErrorKind::Fenced, "a background thread panicked"));
        }
    }
}
