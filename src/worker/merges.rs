//! Merges, and the installs of all finished jobs.
//!
//! Invariants:
//! * One merge at a time. An output is installed with its graphs; without them where there is no room for them, and the
//!   background builds them later. If anything else fails its files go.

use std::sync::Arc;

use super::Worker;
use crate::compact::blobs::{BlobPlan, DeadAllowed};
use crate::compact::{Choice, SegmentStats, choose, merge};
use crate::error::{Error, ErrorKind, Result};
use crate::record::Lsn;
use crate::segment::dead::Deaths;
use crate::segment::sealed::Segment;
use crate::shard::View;
use crate::shard::graphs::{Cores, of_merge};
use crate::shard::install::{Finished, Input, checkpoint, install};
use crate::shard::part::SharedPart;
use crate::sync::Ordering;

impl Worker {
    /// Does the most pressing merge of any shard.
    pub fn merge_next(&self) -> Result<bool> {
        let _one_at_a_time = self.merging.lock();
        let view = self.engine.view.get();
        for (index, shard) in view.shards.iter().enumerate() {
            let young = self.young(&view, index);
            let stats = shard.segments.iter().map(|part| part.stats());
            let positions = match choose(&stats.collect::<Vec<SegmentStats>>(), &self.engine.tuning) {
                Choice::Nothing => continue,
                Choice::Drop(position) => vec![position],
                Choice::Merge(positions) => positions,
            };
            let inputs: Vec<SharedPart> = positions.iter().map(|&at| Arc::clone(&shard.segments[at])).collect();
            if inputs.iter().any(|input| young.iter().any(|young| Arc::ptr_eq(young, input))) {
                self.adopt(index)?;
            } else {
                self.merge(index, &inputs, view.visible, (Cores::Half, DeadAllowed::Half))?;
            }
            return Ok(true);
        }
        Ok(false)
    }

    /// The segments of a shard that an import wrote and that a replay would still ask for by name: they are in no merge.
    pub(super) fn young(&self, view: &View, shard: usize) -> Vec<SharedPart> {
        let mut ingested = view.shards[shard].segments.iter().filter(|part| part.entry.is_ingested()).peekable();
        if ingested.peek().is_none() {
            return Vec::new();
        }
        let checkpoint = self.engine.installing.lock().manifest.shards[shard].checkpoint;
        ingested.filter(|part| part.entry.newest_lsn > checkpoint).cloned().collect()
    }

    /// Commits a manifest by which a replay of the shard begins behind its imports, so that they can merge.
    pub(super) fn adopt(&self, shard: usize) -> Result<()> {
        // Where a writer fills the empty active part before the checkpoint, the second round seals it.
        for _ in 0..2 {
            let view = self.engine.view.get();
            if self.young(&view, shard).is_empty() {
                break;
            }
            self.seal_shards(|index| index == shard)?;
            checkpoint(&self.engine)?;
        }
        Ok(())
    }

    /// Makes one segment of `inputs`, in a hurry or not.
    pub(super) fn merge(
        &self,
        shard: usize,
        inputs: &[SharedPart],
        base: Lsn,
        (cores, allowed): (Cores, DeadAllowed),
    ) -> Result<()> {
        let sources: Vec<(&Segment, &Deaths)> =
            inputs.iter().map(|part| Ok((part.segment()?, &*part.deaths))).collect::<Result<_>>()?;
        let go_on = || self.engine.check_writable();
        let files_max = self.engine.tuning.blob_files;
        let merged = BlobPlan::new(&sources, base, (allowed, files_max), &go_on).and_then(|blobs| {
            self.check_room(inputs, blobs.rewritten_bytes)?;
            let (info, rows) = merge::write(&self.output(self.engine.new_file_id()), &sources, base, &blobs)?;
            Ok((info, rows, blobs))
        });
        if merged.as_ref().is_err_and(|error| error.kind() == ErrorKind::Damaged) {
            inputs.iter().for_each(|part| part.refuse_merges_if_damaged());
        }
        let (info, rows, blobs) = merged?;
        let output = info.map(|info| self.open(&info, blobs.files())).transpose()?;
        let output = output.map(|output| self.with_graphs(output, inputs, &rows, cores)).transpose()?;
        let inputs = inputs.iter().map(|part| Input::Sealed(Arc::clone(part))).collect();
        self.install(&Finished { shard, base, inputs, rows, output })?;
        self.engine.counters.merges.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// The output with its graphs, or without where there is no room for them; if anything else fails its files go.
    fn with_graphs(
        &self,
        output: SharedPart,
        inputs: &[SharedPart],
        rows: &[Vec<u32>],
        cores: Cores,
    ) -> Result<SharedPart> {
        match of_merge(&self.engine, &output, inputs, rows, cores) {
            Err(error) if error.kind() == ErrorKind::DiskFull => {
                self.engine.set_background_error(Some(&error));
                Ok(output)
            }
            Err(error) => {
                self.remove(&output);
                Err(error)
            }
            with_graphs => with_graphs,
        }
    }

    /// A merge waits until there is room for its output, at most as long as its inputs and what it rewrites of blob files;
    /// dropping one takes none.
    fn check_room(&self, inputs: &[SharedPart], rewritten_bytes: u64) -> Result<()> {
        let living = inputs.iter().filter(|part| part.deaths.dead_rows() < u64::from(part.entry.rows));
        let needed = living.map(|part| part.entry.bytes()).sum::<u64>().saturating_add(rewritten_bytes);
        let free = self.engine.storage.free_bytes()?;
        if free < needed {
            return Err(Error::new(
                ErrorKind::DiskFull,
                format!("a merge needs up to {needed} bytes and {free} are free; it waits for space"),
            ));
        }
        Ok(())
    }

    /// Installs a finished job, or removes its files: a full disk is not made fuller by trying again.
    pub(super) fn install(&self, finished: &Finished) -> Result<()> {
        let installed = install(&self.engine, finished);
        if let (Err(_), Some(output)) = (&installed, &finished.output) {
            self.remove(output);
        }
        installed
    }

    /// Removes the files of an output that is not installed. What cannot be removed now is an orphan, and the next open
    /// removes it.
    fn remove(&self, output: &SharedPart) {
        if self.engine.check_fence().is_ok() {
            output.entry.own_names().for_each(|name| drop(self.engine.storage.remove(&name)));
        }
    }
}
