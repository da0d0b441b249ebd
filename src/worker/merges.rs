//! Which merge comes next, in each shard.
//!
//! Invariants:
//! * One merge of a shard runs at a time, under the claim of the shard. Merges of different shards run on as many
//!   threads as the tuning says.
//! * A merge without space does not stop a smaller one of its shard. A merge that fails does not stop other shards. A
//!   split that fails does not stop the merges of its shard.

use std::sync::Arc;

use super::Worker;
use super::claims::ShardClaim;
use super::merge_job::MergeTerms;
use super::splits::SplitStep;
use crate::compact::{Choice, SegmentStats, choose};
use crate::engine::graphs::Cores;
use crate::engine::install::checkpoint;
use crate::engine::space::JobKind;
use crate::engine::split::plan_cuts;
use crate::error::{ErrorKind, Result};
use crate::shard::Shard;
use crate::shard::part::SharedSegment;
use crate::types::Interval;

impl Worker {
    /// Does one merge, or one step of a split, in the first shard where one is due and succeeds and that nobody has
    /// claimed. Returns whether it did anything.
    pub fn merge_next(&self) -> Result<bool> {
        let mut failed = Ok(false);
        for claim in self.free_shards() {
            let job = JobKind::Merge(Arc::clone(claim.low()));
            match self.engine.attempt(job, || self.merge_next_of(&claim)) {
                Ok(true) => return Ok(true),
                Ok(false) => {}
                Err(error) => failed = failed.and(Err(error)),
            }
        }
        failed
    }

    /// Brings the split of a shard above its cap further, or does a merge in the shard. What is cut apart already is
    /// merged apart.
    fn merge_next_of(&self, claim: &ShardClaim<'_>) -> Result<bool> {
        let mut refused = Ok(false);
        let job = JobKind::Split(Arc::clone(claim.low()));
        match self.engine.attempt(job, || self.split_next(claim, Cores::Half)) {
            Ok(SplitStep::Done) => return Ok(true),
            Ok(SplitStep::Nothing) => {}
            Err(error) if matches!(error.kind(), ErrorKind::DiskFull | ErrorKind::Damaged) => {
                // The merges of the shard go on without the plan: they need less space, or avoid the damage.
                plan_cuts(&self.engine, claim.low(), Vec::new());
                refused = Err(error);
            }
            Err(error) => return Err(error),
        }
        let view = self.engine.view.get();
        for piece in claim.shard(&view).pieces() {
            match self.merge_in(claim, &piece) {
                Ok(false) => {}
                Err(error) if error.kind() == ErrorKind::DiskFull => refused = refused.and(Err(error)),
                merged => return merged,
            }
        }
        refused
    }

    /// Does the merge that `choose` picks among the segments of a piece of the shard, which is the whole shard unless
    /// it is about to be split. Returns whether there was one. If there is no space for a merge, the next choice leaves
    /// out its largest input. If an input is a young segment, the checkpoint moves past the import instead.
    pub(super) fn merge_in(&self, claim: &ShardClaim<'_>, piece: &Interval) -> Result<bool> {
        let view = self.engine.view.get();
        let shard = claim.shard(&view);
        let (young, segments) = (self.young(shard), shard.segments_inside(piece));
        let mut stats: Vec<SegmentStats> = segments.iter().map(|part| part.stats()).collect();
        let mut refused = Ok(false);
        loop {
            let positions = match choose(&stats, &self.engine.tuning) {
                Choice::Nothing => return refused,
                Choice::Drop(position) => vec![position],
                Choice::Merge(positions) => positions,
            };
            let inputs: Vec<SharedSegment> = positions.iter().map(|&at| Arc::clone(&segments[at])).collect();
            let merged = if inputs.iter().any(|input| young.iter().any(|young| Arc::ptr_eq(young, input))) {
                self.adopt(claim)
            } else {
                self.merge(claim, &inputs, MergeTerms::in_background(view.read_lsn)).map(drop)
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
    pub(super) fn young(&self, shard: &Shard) -> Vec<SharedSegment> {
        let mut ingested = shard.segments.iter().filter(|part| part.entry.is_ingested()).peekable();
        if ingested.peek().is_none() {
            return Vec::new();
        }
        let checkpoint = shard.checkpoint();
        ingested.filter(|part| part.entry.newest_lsn > checkpoint).cloned().collect()
    }

    /// Moves the checkpoint of the shard past its imports, so that they can be merged.
    pub(super) fn adopt(&self, claim: &ShardClaim<'_>) -> Result<()> {
        // If a writer fills the empty memtable before the checkpoint, the second round flushes it.
        for _ in 0..2 {
            if self.young(claim.shard(&self.engine.view.get())).is_empty() {
                break;
            }
            self.flush_shards(|shard| shard.interval.low.as_slice() == &**claim.low(), || self.flush_next())?;
            checkpoint(&self.engine)?;
        }
        Ok(())
    }
}
