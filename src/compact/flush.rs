//! Writes a memtable as a segment: the rows that are alive at the base LSN, in (namespace, key) order.

use crate::compact::row_map::RowMap;
use crate::error::Result;
use crate::ids::{IdRange, RowId};
use crate::memtable::Memtable;
use crate::record::{Lsn, Record};
use crate::segment::truth::layout::StoreIdentity;
use crate::segment::truth::writer::{SegmentInfo, SegmentWriter, Totals};
use crate::storage::Storage;

/// Where and how an output is written.
pub(crate) struct Output<'a> {
    pub storage: &'a dyn Storage,
    pub keys: StoreIdentity,
    pub file_id: u64,
    /// Bytes from which a value goes to a blob file.
    pub blob_value_bytes: usize,
    /// Called before each row, since a row may be large. An error ends the job.
    pub go_on: Box<dyn Fn() -> Result<()> + 'a>,
}

/// Roughly the bytes of the rows that a flush at `base` writes.
pub(crate) fn living_bytes(memtable: &Memtable, base: Lsn) -> u64 {
    memtable.ordered_rows(base).into_iter().map(|row| memtable.row_bytes(row) as u64).sum()
}

/// Writes the segment, or none if no row is alive. Returns where the rows of the memtable lie in the segment. The
/// caller owns the files.
pub(crate) fn write(output: &Output<'_>, memtable: &Memtable, base: Lsn) -> Result<(Option<SegmentInfo>, RowMap)> {
    let mut became = RowMap::new(memtable.len());
    let rows = memtable.ordered_rows(base);
    if rows.is_empty() {
        return Ok((None, became));
    }
    let mut totals = Totals::new(output.blob_value_bytes);
    for &row in &rows {
        let record = &memtable.row(row).record;
        totals.add(record.vectors.len(), record.value.len());
    }
    let written = write_rows(output, memtable, &rows, totals, &mut became)?;
    Ok((Some(written), became))
}

fn write_rows(
    output: &Output<'_>,
    memtable: &Memtable,
    rows: &[RowId],
    totals: Totals,
    became: &mut RowMap,
) -> Result<SegmentInfo> {
    let mut writer = SegmentWriter::create(output.storage, &output.keys, output.file_id, totals)?;
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
        became.set(number, in_segment);
    }
    writer.finish()
}
