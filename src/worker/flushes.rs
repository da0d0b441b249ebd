//! Flushes: frozen memtables become segments.
//!
//! Invariants:
//! * One flush runs at a time, the oldest frozen memtable of all shards first.
//! * In a shard that is about to be split, a flush writes a segment for each side of a cut.

use std::sync::Arc;

use super::Worker;
use crate::compact::flush;
use crate::compact::row_map::RowPlaces;
use crate::engine::completed_job::{CompletedJob, Input, JobOutputs};
use crate::engine::install::InstallOutcome;
use crate::engine::space::output_files::OutputFiles;
use crate::engine::space::{Purpose, written_bytes};
use crate::error::Result;
use crate::events;
use crate::interrupt::Stage;
use crate::shard::{ReadView, Shard};
use crate::sync::Ordering;

impl Worker {
    /// Writes the oldest frozen memtable to segments. Returns whether there was one.
    pub fn flush_next(&self) -> Result<bool> {
        let _one_at_a_time = self.flush_lock.lock();
        let view = self.engine.view.get();
        let waiting = view.shards.iter().enumerate().filter_map(|(index, shard)| Some((index, shard.frozen.first()?)));
        let Some((shard, oldest)) = waiting.min_by_key(|(_, frozen)| frozen.through) else { return Ok(false) };
        let started = self.engine.clock.monotonic();
        let intervals = view.shards[shard].pieces();
        let pieces = flush::pieces(&oldest.memtable, view.read_lsn, &intervals);
        let living: u64 = pieces.iter().map(|rows| flush::bytes_of(&oldest.memtable, rows)).sum();
        let needed = if living > 0 { written_bytes(living, pieces.len()) } else { 0 };
        let mut files = OutputFiles::new(&self.engine);
        files.ask_for_space(Purpose::Flush, needed, "a flush of what is in memory")?;
        let (mut outputs, mut places) = (JobOutputs::default(), RowPlaces::new([oldest.memtable.len()].into_iter()));
        for rows in &pieces {
            let output = self.output(files.segment(), Stage::Flush, rows.len() as u64);
            let info = flush::write(&output, &oldest.memtable, rows, &mut places)?;
            let inside = intervals.iter().find(|interval| interval.contains(&info.first_namespace));
            outputs.push(self.open(&info, inside.unwrap_or(&view.shards[shard].interval), &[])?);
        }
        let (segment_rows, segment_bytes) = (outputs.rows(), outputs.bytes());
        let inputs = vec![Input::Memtable(Arc::clone(&oldest.memtable), oldest.through)];
        let completed = CompletedJob { base: view.read_lsn, inputs, rows: places.into_maps(), outputs };
        if self.install(&completed, files)? == InstallOutcome::Superseded {
            return Ok(true);
        }
        self.engine.counters.flushes.fetch_add(1, Ordering::Relaxed);
        let took = self.engine.clock.monotonic().saturating_sub(started);
        events::flushed(shard, segment_rows.into(), segment_bytes, took);
        Ok(true)
    }

    /// Freezes all memtables that have rows, and flushes until these rows are in segments.
    pub fn flush_all(&self) -> Result<()> {
        self.flush_shards(|_| true, || self.flush_next()).map(drop)
    }

    /// Freezes the memtables of the chosen shards, and calls `flush_next` until all frozen rows are in segments or
    /// `flush_next` returns false. Returns whether all frozen rows are in segments.
    pub(super) fn flush_shards(
        &self,
        chosen: impl Fn(&Shard) -> bool,
        mut flush_next: impl FnMut() -> Result<bool>,
    ) -> Result<bool> {
        let apply_lock = self.engine.apply_lock.lock();
        let mut view = ReadView::clone(&self.engine.view.get());
        let target = view.read_lsn;
        for index in 0..view.shards.len() {
            if chosen(&view.shards[index]) && !view.shards[index].memtable.is_empty() {
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
}
