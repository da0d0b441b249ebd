//! The split of a shard above its cap, step by step (`shard/cuts.rs`).
//!
//! Invariants:
//! * The caller has claimed the shard. After the split it has claimed the first of the new ones.
//! * Each step leaves a store that is complete: a crash between two steps loses no more than the plan.
//! * Writes go on. Only the last step takes the apply lock, for the few rows that were written while the others were
//!   copied.
//! * A split that cannot go on now, or has failed, stops no merge. Between two steps that cut segments, each piece has
//!   a merge if one is due: so segments do not pile up, and the split comes to an end.

use super::Worker;
use super::claims::ShardClaim;
use super::merge_job::MergeTerms;
use crate::compact::split::FULL;
use crate::engine::graphs::Cores;
use crate::engine::split::{plan_cuts, split_shard};
use crate::error::Result;
use crate::sync::HookPoint;

/// The outcome of a step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum SplitStep {
    /// The shard is not to be split, or no step can be done now, such as the last one beside an import.
    #[default]
    Nothing,
    Done,
}

impl Worker {
    /// Does the next step of the split of a shard, if it is above its cap.
    pub(super) fn split_next(&self, claim: &ShardClaim<'_>, cores: Cores) -> Result<SplitStep> {
        let tuning = &self.engine.tuning;
        let view = self.engine.view.get();
        let shard = claim.shard(&view);
        if !shard.is_splittable(tuning) {
            if !shard.cuts.is_empty() {
                plan_cuts(&self.engine, claim.low(), Vec::new());
            }
            return Ok(SplitStep::Nothing);
        }
        if shard.cuts.is_empty() {
            let cuts = if shard.is_known_uncut() { Vec::new() } else { shard.cuts_for(tuning)? };
            if cuts.is_empty() {
                return Ok(SplitStep::Nothing);
            }
            plan_cuts(&self.engine, claim.low(), cuts);
        }
        self.cut_next(claim, cores)
    }

    /// Rewrites segments that lie on both sides of a planned cut. If there are none, splits the shard.
    fn cut_next(&self, claim: &ShardClaim<'_>, cores: Cores) -> Result<SplitStep> {
        let view = self.engine.view.get();
        if claim.shard(&view).segments_to_cut().iter().any(|part| part.entry.is_ingested()) {
            self.adopt(claim)?;
        }
        let view = self.engine.view.get();
        let shard = claim.shard(&view);
        let mut inputs = shard.segments_to_cut();
        if inputs.is_empty() {
            return self.split(claim);
        }
        let young = self.young(shard);
        let mut weight = 0;
        // A few at a time: the space that a step takes is bounded by the cap of a shard.
        inputs.retain(|part| {
            let with_this = part.stats().weight(&self.engine.tuning).saturating_add(weight);
            let is_young = young.iter().any(|young| young.entry.file_id == part.entry.file_id);
            let is_taken = !is_young && (weight == 0 || with_this <= FULL);
            weight = if is_taken { with_this } else { weight };
            is_taken
        });
        if inputs.is_empty() {
            return Ok(SplitStep::Nothing);
        }
        // Flushes go on, and write a segment for each piece. In the background, nobody else merges these.
        if cores == Cores::Half {
            for piece in shard.pieces() {
                self.merge_in(claim, &piece)?;
            }
        }
        self.merge(claim, &inputs, MergeTerms { cores, ..MergeTerms::in_background(view.read_lsn) })?;
        Ok(SplitStep::Done)
    }

    /// Splits a shard that is cut: the last step. It waits for an import whose files lie on both sides of a cut.
    fn split(&self, claim: &ShardClaim<'_>) -> Result<SplitStep> {
        let view = self.engine.view.get();
        if !view.can_split(view.shard_of(claim.low()), &self.engine.import_files.lock()) {
            return Ok(SplitStep::Nothing);
        }
        // Little is left to copy.
        self.flush_shards(|shard| shard.interval.low.as_slice() == &**claim.low(), || self.flush_next())?;
        self.engine.hooks.reach(HookPoint::ShardCut);
        let _no_flush = self.flush_lock.lock();
        let is_split = split_shard(&self.engine, claim.low())?;
        Ok(if is_split { SplitStep::Done } else { SplitStep::Nothing })
    }
}
