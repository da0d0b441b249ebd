//! Accepting loss: damaged segments are rewritten without the rows that cannot be read, and each of these is listed.
//!
//! Invariants:
//! * A row that can be read, value and vectors included, is kept. The operations that the segment missed are applied to
//!   it.
//! * If the tombstones of a segment cannot be read, all its rows are given up: a deleted row must not come back.
//! * Nothing else changes: a segment without damage stays as it is.

use serde::Serialize;

use super::Worker;
use super::claims::ShardClaim;
use std::sync::Arc;

use crate::compact::row_map::RowMap;
use crate::engine::completed_job::{CompletedJob, Input, JobOutputs};
use crate::engine::install::{InstallOutcome, checkpoint, count_anew};
use crate::engine::space::output_files::OutputFiles;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::{IdRange, RowId};
use crate::interrupt::Stage;
use crate::record::{Lsn, Record};
use crate::segment::Segment;
use crate::segment::truth::layout::truth_name;
use crate::segment::truth::writer::{SegmentInfo, SegmentWriter, Totals};
use crate::shard::missed::MissedFate;
use crate::shard::part::SharedSegment;
use crate::types::decode_labels;

/// The result of accepting loss: the rows that are gone.
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LossReport {
    /// Files of damaged segments that were replaced, or dropped because no row was kept.
    pub segments: Vec<String>,
    /// The number of rows of these segments that were kept.
    pub kept: u64,
    /// The rows that are gone and whose keys could be read.
    pub lost: Vec<LostItem>,
    /// The number of further rows that are gone. For a file that could not be opened at all, deleted rows count too.
    pub unnamed: u64,
    /// Whether ids of earlier operations are gone: an operation that a client repeats now is applied again.
    pub operation_ids: bool,
    /// The failures. The rows listed above are gone in spite of them.
    pub problems: Vec<String>,
}

/// An item that is gone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct LostItem {
    /// The labels of the item's namespace.
    pub namespace: Vec<String>,
    /// The key of the item.
    pub key: String,
    /// The error of the read that failed.
    pub why: String,
}

/// The readable rows of a damaged segment.
struct KeptRows {
    /// The rows to keep, in order, with their present expiries.
    kept: Vec<(RowId, i64)>,
    totals: Totals,
}

impl LossReport {
    fn add(&mut self, mut other: Self) {
        self.segments.append(&mut other.segments);
        self.lost.append(&mut other.lost);
        self.kept += other.kept;
        self.unnamed += other.unnamed;
    }
}

impl Worker {
    /// Rewrites damaged segments without their damaged rows, and reports these rows.
    pub fn accept_loss(&self) -> Result<LossReport> {
        let (mut report, mut failed) = (LossReport::default(), Vec::new());
        self.each_shard(|claim| {
            // The log may name an import's file until a checkpoint has passed it.
            if let Err(error) = self.adopt(claim) {
                failed.push(error);
                return Ok(());
            }
            let parts = claim.shard(&self.engine.view.get()).segments.clone();
            for part in parts.iter().filter(|part| is_damaged(part)) {
                match self.give_up(claim, part) {
                    Ok(given_up) => report.add(given_up),
                    Err(error) => failed.push(error),
                }
            }
            Ok(())
        })?;
        report.operation_ids = self.engine.operation_ids.give_up();
        let has_given_up = report.operation_ids || !report.segments.is_empty();
        if has_given_up {
            // Files can go once neither of the two newest manifests names them.
            failed.extend((0..2).find_map(|_| checkpoint(&self.engine).err()));
        }
        // If any rows are gone, the report is returned in spite of failures.
        report.problems = failed.iter().map(Error::to_string).collect();
        match failed.into_iter().next() {
            Some(error) if !has_given_up => Err(error),
            _ => Ok(report),
        }
    }

    fn give_up(&self, claim: &ShardClaim<'_>, part: &SharedSegment) -> Result<LossReport> {
        let base = self.engine.view.get().read_lsn;
        let mut report = LossReport::default();
        report.segments.push(truth_name(part.entry.file_id));
        let mut became = RowMap::new(part.entry.rows as usize);
        let mut files = OutputFiles::new(&self.engine);
        let info = match part.opened() {
            Some(segment) => {
                let sorted = self.sort_rows(part, segment, base, &mut report)?;
                self.write_kept(segment, &sorted, files.segment(), &mut became)?
            }
            None => {
                self.list_all(part, &mut report);
                None
            }
        };
        report.kept += became.kept() as u64;
        let mut outputs = JobOutputs::default();
        if let Some(info) = info {
            outputs.push(self.open(&info, &claim.shard(&self.engine.view.get()).interval, &[])?);
        }
        let inputs = vec![Input::Segment(part.clone())];
        match self.install(&CompletedJob { base, inputs, rows: vec![became], outputs }, files)? {
            InstallOutcome::Installed => {
                count_anew(&self.engine);
                Ok(report)
            }
            InstallOutcome::Superseded => {
                let why = format!("{} was replaced meanwhile; accept the loss again", truth_name(part.entry.file_id));
                Err(Error::new(ErrorKind::Damaged, why))
            }
        }
    }

    /// Writes the rows that are kept; `None` if there are none.
    fn write_kept(
        &self,
        segment: &Segment,
        sorted: &KeptRows,
        file_id: u64,
        became: &mut RowMap,
    ) -> Result<Option<SegmentInfo>> {
        if sorted.kept.is_empty() {
            return Ok(None);
        }
        let output = self.output(file_id, Stage::Merge, 0);
        let mut writer = SegmentWriter::create(output.storage, &output.keys, file_id, sorted.totals)?
            .with_field_rules(Arc::clone(&output.field_rules));
        for &(row, expires_at) in &sorted.kept {
            (output.go_on)()?;
            let record = Record { expires_at, ..segment.record(row)? };
            became.set(row, writer.push_record(&record, segment.lsn(row)?, &[])?);
        }
        writer.finish().map(Some)
    }

    /// Reads every living row, and adds the rows that cannot be read to the report.
    fn sort_rows(
        &self,
        part: &SharedSegment,
        segment: &Segment,
        base: Lsn,
        report: &mut LossReport,
    ) -> Result<KeptRows> {
        let mut sorted = KeptRows { kept: Vec::new(), totals: Totals::new(self.engine.tuning.blob_value_bytes) };
        for row in segment.all_rows().ids().filter(|&row| !part.tombstones.is_deleted_at(row, base)) {
            self.engine.check_writable()?;
            let named = segment.row(row);
            let fate = named.as_ref().map_or_else(
                |_| MissedFate::default(),
                |named| part.missed_of(named.namespace, named.key, named.times.lsn),
            );
            if fate.is_deleted {
                continue;
            }
            match (segment.record(row), named) {
                (Ok(record), _) => {
                    let expires_at =
                        fate.expires_at.unwrap_or_else(|| part.tombstones.expires_at(row, record.expires_at));
                    sorted.totals.add(record.vectors.len(), record.value.len());
                    sorted.kept.push((row, expires_at));
                }
                (Err(error), Ok(named)) => report.lost.push(lost(named.namespace, named.key, error.to_string())),
                (Err(_), Err(_)) => report.unnamed += 1,
            }
        }
        Ok(sorted)
    }

    /// Reports all rows of a part whose segment or tombstones could not be opened.
    fn list_all(&self, part: &SharedSegment, report: &mut LossReport) {
        let Ok(segment) = part.entry.open(&*self.engine.storage, &self.engine.identity.keys) else {
            report.unnamed += u64::from(part.entry.rows);
            return;
        };
        let why = part.segment().err().map_or_else(String::new, |error| error.to_string());
        for row in segment.all_rows().ids() {
            match segment.row(row) {
                Ok(row) => report.lost.push(lost(row.namespace, row.key, why.clone())),
                Err(_) => report.unnamed += 1,
            }
        }
    }
}

fn lost(namespace: &[u8], key: &str, why: String) -> LostItem {
    LostItem { namespace: decode_labels(namespace), key: key.to_owned(), why }
}

/// Whether the part has damage that a rebuild of derived files does not repair.
fn is_damaged(part: &SharedSegment) -> bool {
    part.segment().map_or(true, |segment| {
        !segment.verify_truth(&|| Ok(())).is_empty() || !segment.verify_blobs(&|| Ok(())).is_empty()
    })
}
