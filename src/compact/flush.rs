//! Writes a memtable as a segment: the rows that are alive at the base LSN, in (namespace, key) order. If the shard is
//! about to be split, each side of a cut becomes a segment.

use std::sync::Arc;

use crate::compact::row_map::RowPlaces;
use crate::error::Result;
use crate::field_index::PreparedRules;
use crate::ids::{IdRange, RowId};
use crate::memtable::Memtable;
use crate::record::{Lsn, Record};
use crate::segment::truth::layout::StoreIdentity;
use crate::segment::truth::writer::{SegmentInfo, SegmentWriter, Totals};
use crate::storage::Storage;
use crate::types::Interval;

/// Where and how an output is written.
pub(crate) struct Output<'a> {
    pub storage: &'a dyn Storage,
    pub keys: StoreIdentity,
    pub file_id: u64,
    /// Bytes from which a value goes to a blob file.
    pub blob_value_bytes: usize,
    /// What the field index leaves out, and what it keeps.
    pub field_rules: Arc<PreparedRules>,
    /// Called before each row, since a row may be large. An error ends the job.
    pub go_on: Box<dyn Fn() -> Result<()> + 'a>,
}

/// The rows that are alive at `base`, in (namespace, key) order: those of each interval that has any.
pub(crate) fn pieces(memtable: &Memtable, base: Lsn, intervals: &[Interval]) -> Vec<Vec<RowId>> {
    let mut pieces: Vec<Vec<RowId>> = intervals.iter().map(|interval| memtable.ordered_rows(interval, base)).collect();
    pieces.retain(|rows| !rows.is_empty());
    pieces
}

/// Roughly the bytes of these rows on disk.
pub(crate) fn bytes_of(memtable: &Memtable, rows: &[RowId]) -> u64 {
    rows.iter().map(|&row| memtable.row_bytes(row) as u64).sum()
}

/// Writes `rows`, which are in (namespace, key) order, as a segment, and notes their places. The caller owns the files.
pub(crate) fn write(
    output: &Output<'_>,
    memtable: &Memtable,
    rows: &[RowId],
    places: &mut RowPlaces,
) -> Result<SegmentInfo> {
    let mut totals = Totals::new(output.blob_value_bytes);
    for &row in rows {
        let record = &memtable.row(row).record;
        totals.add(record.vectors.len(), record.value.len());
    }
    places.begin_output();
    let mut writer = SegmentWriter::create(output.storage, &output.keys, output.file_id, totals)?
        .with_field_rules(Arc::clone(&output.field_rules));
    for &number in rows {
        (output.go_on)()?;
        let row = memtable.row(number);
        let codes: Vec<_> =
            row.vectors().ids().map(|vector| Some((memtable.code(vector), *memtable.meta(vector)))).collect();
        let expires_at = row.expires_at();
        let in_segment = if expires_at == row.record.expires_at {
            writer.push_record(&row.record, row.lsn, &codes)?
        } else {
            writer.push_record(&Record { expires_at, ..Record::clone(&row.record) }, row.lsn, &codes)?
        };
        places.set(0, number, in_segment)?;
    }
    writer.finish()
}
