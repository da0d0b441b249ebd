//! Merges, and the installs of all finished jobs.
//!
//! Invariants:
//! * One merge runs at a time. An output is installed with the graphs that `of_merge` builds. If there is no space for
//!   them, the output is installed without them. The graph thread builds the missing ones later.
//! * A merge needs space for the living rows of its inputs. A merge without space does not stop a smaller one of its
//!   shard. A merge that fails does not stop other shards.

use std::sync::Arc;

use super::Worker;
use crate::compact::blobs::{BlobPlan, DeadLimit};
use crate::compact::row_map::RowMap;
use crate::compact::{Choice, SegmentStats, choose, merge};
use crate::engine::completed_job::{CompletedJob, Input};
use crate::engine::graphs::{Cores, of_merge};
use crate::engine::install::{InstallOutcome, checkpoint, install_change};
use crate::engine::space::JobKind;
use crate::engine::space::output_files::OutputFiles;
use crate::error::{ErrorKind, Result};
use crate::events;
use crate::interrupt::Stage;
use crate::record::Lsn;
use crate::segment::Segment;
use crate::segment::tombstones::Tombstones;
use crate::shard::ReadView;
use crate::shard::part::SharedSegment;
use crate::sync::Ordering;

impl Worker {
    /// Does one merge, in the first shard where a merge is due and succeeds. Returns whether it did anything.
    pub fn merge_next(&self) -> Result<bool> {
        let _one_at_a_time = self.merge_lock.lock();
        let mut failed = Ok(false);
        for shard in 0..self.engine.view.get().shards.len() {
            match self.engine.attempt(JobKind::Merge(shard), || self.merge_next_of(shard)) {
                Ok(true) => return Ok(true),
                Ok(false) => {}
                Err(error) => failed = failed.and(Err(error)),
            }
        }
        failed
    }

    /// Does the merge that `choose` picks for a shard. If there is no space for the merge, the next choice leaves out
    /// its largest input. If an input is a young segment, the checkpoint moves past the import instead.
    fn merge_next_of(&self, index: usize) -> Result<bool> {
        let view = self.engine.view.get();
        let shard = &view.shards[index];
        let young = self.young(&view, index);
        let mut stats: Vec<SegmentStats> = shard.segments.iter().map(|part| part.stats()).collect();
        let mut refused = Ok(false);
        loop {
            let positions = match choose(&stats, &self.engine.tuning) {
                Choice::Nothing => return refused,
                Choice::Drop(position) => vec![position],
                Choice::Merge(positions) => positions,
            };
            let inputs: Vec<SharedSegment> = positions.iter().map(|&at| Arc::clone(&shard.segments[at])).collect();
            let merged = if inputs.iter().any(|input| young.iter().any(|young| Arc::ptr_eq(young, input))) {
                self.adopt(index)
            } else {
                self.merge(index, &inputs, view.read_lsn, Cores::Half, DeadLimit::Half).map(drop)
            };
            match merged {
                Ok(()) => return Ok(true),
                Err(error) if error.kind() == ErrorKind::DiskFull => refused = refused.and(Err(error)),
                Err(error) => return Err(error),
            }
            let largest = positions.into_iter().max_by_key(|&at| stats[at].bytes);
            largest.into_iter().for_each(|at| stats[at].excluded = true);
        }
    }

    /// The segments of a shard that an import wrote and that the log still names. No merge takes them.
    pub(super) fn young(&self, view: &ReadView, shard: usize) -> Vec<SharedSegment> {
        let mut ingested = view.shards[shard].segments.iter().filter(|part| part.entry.is_ingested()).peekable();
        if ingested.peek().is_none() {
            return Vec::new();
        }
        let checkpoint = self.engine.checkpoint_of(shard);
        ingested.filter(|part| part.entry.newest_lsn > checkpoint).cloned().collect()
    }

    /// Moves the checkpoint of the shard past its imports, so that they can be merged.
    pub(super) fn adopt(&self, shard: usize) -> Result<()> {
        // If a writer fills the empty memtable before the checkpoint, the second round flushes it.
        for _ in 0..2 {
            let view = self.engine.view.get();
            if self.young(&view, shard).is_empty() {
                break;
            }
            self.flush_shards(|index| index == shard, || self.flush_next())?;
            checkpoint(&self.engine)?;
        }
        Ok(())
    }

    /// Merges `inputs` into one segment, or into none if no row is alive. Returns the bytes of its files, or `None` if
    /// another job has replaced an input meanwhile.
    pub(super) fn merge(
        &self,
        shard: usize,
        inputs: &[SharedSegment],
        base: Lsn,
        cores: Cores,
        allowed: DeadLimit,
    ) -> Result<Option<u64>> {
        let started = self.engine.clock.monotonic();
        let sources: Vec<(&Segment, &Tombstones)> =
            inputs.iter().map(|part| Ok((part.segment()?, &*part.tombstones))).collect::<Result<_>>()?;
        let input_rows = inputs.iter().map(|part| u64::from(part.entry.rows)).sum();
        let go_on = self.engine.steps(Stage::Merge, 0);
        let files_max = self.engine.tuning.blob_files;
        let mut outputs = OutputFiles::new(&self.engine);
        let merged = BlobPlan::new(&sources, base, allowed, files_max, &go_on).and_then(|blobs| {
            let needed = merge::living_bytes(&sources, inputs.iter().map(|part| part.entry.length), base, &blobs)?;
            let input_bytes = inputs.iter().map(|part| part.entry.bytes() + part.blob_bytes().dead).sum();
            outputs.ask_for_merge(needed, input_bytes)?;
            let (info, rows) =
                merge::write(&self.output(outputs.segment(), Stage::Merge, input_rows), &sources, base, &blobs)?;
            Ok((info, rows, blobs))
        });
        if merged.as_ref().is_err_and(|error| error.kind() == ErrorKind::Damaged) {
            inputs.iter().for_each(|part| part.refuse_merges_if_damaged());
        }
        let (info, rows, blobs) = merged?;
        let output = info.map(|info| self.open(shard, &info, blobs.files())).transpose()?;
        let output = output.map(|output| self.with_graphs(output, &mut outputs, inputs, &rows, cores)).transpose()?;
        let new_blobs = |part: &SharedSegment| -> u64 {
            let own = part.entry.blobs.iter().filter(|blob| blob.file_id == part.entry.file_id);
            own.map(|blob| blob.length).sum()
        };
        let written = output.as_ref().map_or(0, |part| part.entry.bytes() + new_blobs(part));
        let (input_count, rows_left) = (inputs.len(), output.as_ref().map_or(0, |part| part.entry.rows.into()));
        let inputs = inputs.iter().map(|part| Input::Segment(Arc::clone(part))).collect();
        let completed = CompletedJob { shard, base, inputs, rows, output };
        if self.install(&completed, outputs)? == InstallOutcome::Superseded {
            return Ok(None);
        }
        self.engine.counters.merges.fetch_add(1, Ordering::Relaxed);
        events::merged(shard, input_count, rows_left, self.engine.clock.monotonic().saturating_sub(started));
        Ok(Some(written))
    }

    /// The output with its graphs, or without them if there is no space.
    fn with_graphs(
        &self,
        output: SharedSegment,
        outputs: &mut OutputFiles,
        inputs: &[SharedSegment],
        rows: &[RowMap],
        cores: Cores,
    ) -> Result<SharedSegment> {
        match of_merge(&self.engine, &output, outputs, inputs, rows, cores) {
            Err(error) if error.kind() == ErrorKind::DiskFull => {
                self.engine.set_background_error(Some(&error));
                Ok(output)
            }
            with_graphs => with_graphs,
        }
    }

    /// Installs a finished job. From then on, its files belong to the store.
    pub(super) fn install(&self, finished: &CompletedJob, mut outputs: OutputFiles) -> Result<InstallOutcome> {
        let outcome = install_change(&self.engine, finished)?;
        if outcome == InstallOutcome::Installed {
            outputs.installed();
        }
        Ok(outcome)
    }
}
