//! Compaction: each shard becomes one segment without deleted rows, on request.
//!
//! Invariants:
//! * The caller's thread does the work, on all cores, one shard after the other. Merges in the background go on in the
//!   other shards.
//! * A shard above its cap is split first. A namespace above the cap becomes one segment.

use std::sync::Arc;

use super::claims::ShardClaim;
use super::merge_job::MergeTerms;
use super::splits::SplitStep;
use super::{CompactReport, Worker};
use crate::engine::graphs::Cores;
use crate::engine::install::checkpoint;
use crate::engine::split::plan_cuts;
use crate::error::{ErrorKind, Result};
use crate::record::Lsn;
use crate::shard::part::SharedSegment;

impl Worker {
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
        let mut failed = Ok(());
        self.each_shard(|claim| match self.split_and_merge(claim) {
            Err(error) if matches!(error.kind(), ErrorKind::Damaged | ErrorKind::DiskFull) => {
                failed = std::mem::replace(&mut failed, Ok(())).and(Err(error));
                Ok(())
            }
            other => other,
        })?;
        failed
    }

    /// Splits a shard above its cap, and merges the first of the new shards. The others are the next shards.
    fn split_and_merge(&self, claim: &ShardClaim<'_>) -> Result<()> {
        let split = loop {
            match self.split_next(claim, Cores::All) {
                Ok(SplitStep::Done) => {}
                Ok(SplitStep::Nothing) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        if split.is_err() {
            plan_cuts(&self.engine, claim.low(), Vec::new());
        }
        self.merge_shard(claim).and(split)
    }

    /// Merges the segments of a shard into one without deleted rows. Segments that the log may name are left out.
    fn merge_shard(&self, claim: &ShardClaim<'_>) -> Result<()> {
        self.adopt(claim)?;
        let view = self.engine.view.get();
        let shard = claim.shard(&view);
        let young = self.young(shard);
        let mut segments = shard.segments.clone();
        segments.retain(|part| !young.iter().any(|young| Arc::ptr_eq(young, part)));
        let merged = self.merge_readable(claim, segments, view.read_lsn);
        let view = self.engine.view.get();
        let mut parts = claim.shard(&view).segments.iter();
        merged.and(parts.try_for_each(|part| part.check_missed().and_then(|()| part.check_stuck())))
    }

    /// Merges those of `segments` that can be read into one without deleted rows. Then returns the first damage.
    fn merge_readable(&self, claim: &ShardClaim<'_>, mut segments: Vec<SharedSegment>, base: Lsn) -> Result<()> {
        let damage = segments.iter().try_for_each(|part| part.segment().map(drop));
        segments.retain(|part| part.segment().is_ok());
        let holds_dead = |part: &SharedSegment| part.tombstones.dead_rows() > 0 || part.blob_bytes().dead > 0;
        if segments.len() <= 1 && !segments.iter().any(holds_dead) {
            return damage;
        }
        match self.merge(claim, &segments, MergeTerms::on_request(base)) {
            Err(error) if error.kind() == ErrorKind::Damaged => {
                let before = segments.len();
                segments.retain(|part| !part.is_unmergeable());
                let rest = if segments.len() < before { self.merge_readable(claim, segments, base) } else { Ok(()) };
                damage.and(rest).and(Err(error))
            }
            Ok(None) => self.merge_shard(claim),
            merged => damage.and(merged.map(drop)),
        }
    }
}
