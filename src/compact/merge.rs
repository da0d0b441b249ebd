//! Writes the living rows of several segments as one segment, in (namespace, key) order, in one pass. Codes are copied.
//! Large values stay in their blob files, unless the [`BlobPlan`] rewrites the file.

use std::ops::Range;

use crate::compact::blobs::BlobPlan;
use crate::compact::flush::Output;
use crate::compact::row_map::RowMap;
use crate::error::Result;
use crate::ids::{IdRange, RowId};
use crate::record::Lsn;
use crate::segment::Segment;
use crate::segment::tombstones::Tombstones;
use crate::segment::truth::writer::{SegmentInfo, SegmentWriter, Totals};

/// Estimated bytes for each vector of a codes file, beside one byte for each dimension.
const VECTOR_BYTES: u64 = 64;
/// Estimated bytes of headers and padding in the files of a segment.
const SEGMENT_BYTES: u64 = 4 << 10;

/// Writes the rows that are alive at `base` to a segment; to none if no row is alive. Returns also, for each input, the
/// places of its rows in the output. The caller owns the files.
pub(crate) fn write(
    output: &Output<'_>,
    inputs: &[(&Segment, &Tombstones)],
    base: Lsn,
    blobs: &BlobPlan,
) -> Result<(Option<SegmentInfo>, Vec<RowMap>)> {
    let mut became: Vec<RowMap> = inputs.iter().map(|(segment, _)| RowMap::new(segment.rows() as usize)).collect();
    let totals = totals(output, inputs, base, blobs)?;
    if totals.rows == 0 {
        return Ok((None, became));
    }
    let written = write_rows(output, inputs, base, totals, blobs, &mut became)?;
    Ok((Some(written), became))
}

/// Roughly the bytes of the output: the living inline values, the living vectors with their codes, a share of the other
/// bytes of each truth file, and the blob files that are rewritten. `lengths` are the bytes of the inputs' truth files.
pub(crate) fn living_bytes(
    inputs: &[(&Segment, &Tombstones)],
    lengths: impl Iterator<Item = u64>,
    base: Lsn,
    blobs: &BlobPlan,
) -> Result<u64> {
    let mut needed = 0;
    for ((segment, tombstones), length) in inputs.iter().zip(lengths) {
        let (mut values, mut vectors, mut rows, mut all_values) = (0, 0, 0_u64, 0);
        for row in segment.all_rows().ids() {
            let place = segment.value_place(row)?;
            let inline = if place.is_inline() { u64::from(place.length) } else { 0 };
            all_values += inline;
            if !tombstones.is_deleted_at(row, base) {
                values += inline;
                vectors += segment.row_vectors(row)?.len() as u64;
                rows += 1;
            }
        }
        let vector_bytes = 4 * segment.dims() as u64;
        let rest = length.saturating_sub(all_values + u64::from(segment.vectors()) * vector_bytes);
        let rest = (u128::from(rest) * u128::from(rows) / u128::from(segment.rows().max(1))) as u64;
        // A code has one byte for each dimension.
        let vector_bytes = vector_bytes + segment.dims() as u64 + VECTOR_BYTES;
        // The field index takes about a sixth of the bytes of short values.
        needed += values + values / 4 + vectors * vector_bytes + rest + if rows > 0 { SEGMENT_BYTES } else { 0 };
    }
    Ok(if needed > 0 { needed.saturating_add(blobs.rewritten_bytes) } else { 0 })
}

fn totals(output: &Output<'_>, inputs: &[(&Segment, &Tombstones)], base: Lsn, blobs: &BlobPlan) -> Result<Totals> {
    let mut totals = Totals::new(output.blob_value_bytes);
    for (input, (segment, tombstones)) in inputs.iter().enumerate() {
        for row in segment.all_rows().ids().filter(|&row| !tombstones.is_deleted_at(row, base)) {
            let (vectors, place) = (segment.row_vectors(row)?.len(), segment.value_place(row)?);
            if place.is_inline() {
                totals.add(vectors, place.length as usize);
            } else {
                totals.add_large(vectors, blobs.kept(input, &place).is_none());
            }
        }
    }
    Ok(totals)
}

fn write_rows(
    output: &Output<'_>,
    inputs: &[(&Segment, &Tombstones)],
    base: Lsn,
    totals: Totals,
    blobs: &BlobPlan,
    became: &mut [RowMap],
) -> Result<SegmentInfo> {
    let mut writer = SegmentWriter::create(output.storage, &output.keys, output.file_id, totals)?;
    writer = writer.keeping(blobs.files().iter().map(|blob| blob.file).collect());
    let mut heads = inputs
        .iter()
        .map(|&(segment, tombstones)| Head::first(segment, tombstones, base))
        .collect::<Result<Vec<Option<Head<'_>>>>>()?;
    loop {
        let standing = heads.iter().enumerate().filter_map(|(index, head)| Some((index, head.as_ref()?)));
        let Some((index, head)) = standing.min_by_key(|(_, head)| (head.namespace, head.key)) else { break };
        (output.go_on)()?;
        let stored = head.segment.times(head.row)?.expires_at;
        let expires_at = head.tombstones.expires_at(head.row, stored);
        let value = blobs.value(index, head.segment, head.row)?;
        became[index].set(head.row, writer.push_copy(head.segment, head.row, expires_at, value)?);
        heads[index] = head.next()?;
    }
    writer.finish()
}

/// A cursor at the next living row of an input.
struct Head<'a> {
    segment: &'a Segment,
    tombstones: &'a Tombstones,
    base: Lsn,
    row: RowId,
    namespace_number: u32,
    namespace_rows: Range<RowId>,
    namespace: &'a [u8],
    key: &'a str,
}

impl<'a> Head<'a> {
    fn first(segment: &'a Segment, tombstones: &'a Tombstones, base: Lsn) -> Result<Option<Self>> {
        if segment.rows() == 0 {
            return Ok(None);
        }
        let namespace_rows = segment.namespace_rows(0)?;
        let namespace = segment.namespace(0)?;
        Self { segment, tombstones, base, row: RowId(0), namespace_number: 0, namespace_rows, namespace, key: "" }
            .seek(RowId(0))
    }

    fn next(&self) -> Result<Option<Self>> {
        Self { namespace_rows: self.namespace_rows.clone(), ..*self }.seek(self.row + 1)
    }

    /// Moves to the first living row at or after `row`. Returns `None` if there is none.
    fn seek(mut self, row: RowId) -> Result<Option<Self>> {
        let alive = (row..RowId(self.segment.rows())).ids().find(|&row| !self.tombstones.is_deleted_at(row, self.base));
        let Some(row) = alive else { return Ok(None) };
        while row >= self.namespace_rows.end {
            self.namespace_number += 1;
            self.namespace_rows = self.segment.namespace_rows(self.namespace_number)?;
            self.namespace = self.segment.namespace(self.namespace_number)?;
        }
        self.row = row;
        self.key = self.segment.key(row)?;
        Ok(Some(self))
    }
}
