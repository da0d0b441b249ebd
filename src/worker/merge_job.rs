//! One merge: the segments that it writes, with their graphs, and the install of what a job has finished.
//!
//! Invariants:
//! * The caller has claimed the shard of a merge, or holds the lock of flushes for an install of a flush.
//! * Outputs are written one after the other, each with the graphs that `of_merge` builds: so the memory of a merge is
//!   bounded by one of its outputs. If there is no space for graphs, the output is installed without them. The graph
//!   thread builds the missing ones later.
//! * A merge needs space for the living rows of its inputs.

use std::sync::Arc;

use super::Worker;
use super::claims::ShardClaim;
use crate::compact::blobs::{BlobPlan, DeadLimit};
use crate::compact::row_map::{RowMap, RowPlaces};
use crate::compact::source::MergeSource;
use crate::compact::split::FULL;
use crate::compact::{merge, pieces};
use crate::engine::completed_job::{CompletedJob, Input, JobOutputs};
use crate::engine::graphs::{Cores, of_merge};
use crate::engine::install::{InstallOutcome, install_change};
use crate::engine::space::MergeBytes;
use crate::engine::space::output_files::OutputFiles;
use crate::error::{ErrorKind, Result};
use crate::events;
use crate::interrupt::Stage;
use crate::record::Lsn;
use crate::shard::part::SharedSegment;
use crate::sync::Ordering;
use crate::types::Interval;

/// The terms of a merge.
#[derive(Clone, Copy)]
pub(super) struct MergeTerms {
    /// The outputs hold the rows that are alive at this LSN.
    pub base: Lsn,
    pub cores: Cores,
    pub allowed: DeadLimit,
}

impl MergeTerms {
    pub fn in_background(base: Lsn) -> Self {
        Self { base, cores: Cores::Half, allowed: DeadLimit::Half }
    }

    /// For a caller that waits, and wants no deleted byte left.
    pub fn on_request(base: Lsn) -> Self {
        Self { base, cores: Cores::All, allowed: DeadLimit::Nothing }
    }
}

/// The rows of one output of a merge, all of them in the interval `inside`.
struct MergePiece<'a> {
    sources: Vec<MergeSource<'a>>,
    inside: Interval,
}

impl Worker {
    /// Merges `inputs` into one segment, or into none if no row is alive. The output is cut where the shard is about to
    /// be split, and in the background into segments within the cap of a shard. Returns the bytes of its files, or
    /// `None` if another job has replaced an input meanwhile.
    pub(super) fn merge(
        &self,
        claim: &ShardClaim<'_>,
        inputs: &[SharedSegment],
        terms: MergeTerms,
    ) -> Result<Option<u64>> {
        let started = self.engine.clock.monotonic();
        let mut files = OutputFiles::new(&self.engine);
        let mut places = RowPlaces::new(inputs.iter().map(|part| part.entry.rows as usize));
        let written = self.write_pieces(claim, inputs, terms, &mut files, &mut places);
        if written.as_ref().is_err_and(|error| error.kind() == ErrorKind::Damaged) {
            inputs.iter().for_each(|part| part.refuse_merges_if_damaged());
        }
        let outputs = written?;
        let written = outputs.written_bytes();
        let (input_count, rows_left) = (inputs.len(), outputs.rows().into());
        let inputs = inputs.iter().map(|part| Input::Segment(Arc::clone(part))).collect();
        let completed = CompletedJob { base: terms.base, inputs, rows: places.into_maps(), outputs };
        if self.install(&completed, files)? == InstallOutcome::Superseded {
            return Ok(None);
        }
        self.engine.counters.merges.fetch_add(1, Ordering::Relaxed);
        let shard = self.engine.view.get().shard_of(claim.low());
        events::merged(shard, input_count, rows_left, self.engine.clock.monotonic().saturating_sub(started));
        Ok(Some(written))
    }

    /// Writes the outputs of a merge with their graphs, one after the other: so memory is bounded by one of them.
    fn write_pieces(
        &self,
        claim: &ShardClaim<'_>,
        inputs: &[SharedSegment],
        terms: MergeTerms,
        files: &mut OutputFiles,
        places: &mut RowPlaces,
    ) -> Result<JobOutputs> {
        let MergeTerms { base, cores, allowed } = terms;
        let go_on = self.engine.steps(Stage::Merge, 0);
        let mut planned = Vec::new();
        for MergePiece { sources, inside } in self.pieces(claim, inputs, terms)? {
            let blobs = BlobPlan::new(&sources, base, allowed, self.engine.tuning.blob_files, &go_on)?;
            let needed = merge::living_bytes(&sources, base, &blobs)?;
            planned.push((MergePiece { sources, inside }, blobs, needed));
        }
        let mut bytes = MergeBytes {
            written: 0,
            left: planned.iter().map(|(.., needed)| needed).sum(),
            inputs: inputs.iter().map(|part| part.entry.bytes() + part.blob_bytes().dead).sum(),
        };
        let mut outputs = JobOutputs::default();
        for (piece, blobs, needed) in &planned {
            // The graphs of the output before had a grant of their own.
            files.ask_for_merge(bytes)?;
            let rows = piece.sources.iter().map(MergeSource::count).sum();
            let output = self.output(files.segment(), Stage::Merge, rows);
            let info = merge::write(&output, &piece.sources, base, blobs, places)?;
            bytes.left = bytes.left.saturating_sub(*needed);
            let Some(info) = info else { continue };
            let part = self.open(&info, &piece.inside, blobs.files())?;
            outputs.push(self.with_graphs(part, files, inputs, &places.of_output(), cores)?);
            bytes.written = outputs.written_bytes();
        }
        Ok(outputs)
    }

    /// The pieces into which the output of a merge is cut.
    fn pieces<'a>(
        &self,
        claim: &ShardClaim<'_>,
        inputs: &'a [SharedSegment],
        terms: MergeTerms,
    ) -> Result<Vec<MergePiece<'a>>> {
        let sources = inputs.iter().map(|part| MergeSource::new(part.segment()?, &part.tombstones, part.entry.length));
        let sources = sources.collect::<Result<Vec<_>>>()?;
        let weights: Vec<u64> = inputs.iter().map(|part| part.stats().weight(&self.engine.tuning)).collect();
        let mut pieces = Vec::new();
        for inside in claim.shard(&self.engine.view.get()).pieces() {
            let sources = pieces::inside(&sources, &inside)?;
            let shares = sources.iter().zip(&weights).map(|(source, weight)| source.share_of(*weight, terms.base));
            let count = if terms.cores == Cores::Half { shares.sum::<u64>().div_ceil(FULL) } else { 1 };
            let cut = pieces::by_living_rows(sources, terms.base, count)?.into_iter();
            pieces.extend(cut.map(|sources| MergePiece { sources, inside: inside.clone() }));
        }
        pieces.retain(|piece| piece.sources.iter().any(|source| !source.rows.is_empty()));
        Ok(pieces)
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
