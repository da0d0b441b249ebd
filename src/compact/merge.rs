//! Writes the living rows of several segments, or of ranges of them, as one segment, in (namespace, key) order, in one
//! pass. Codes are copied. Large values stay in their blob files, unless the [`BlobPlan`] rewrites the file.

use std::ops::Range;
use std::sync::Arc;

use crate::compact::blobs::BlobPlan;
use crate::compact::flush::Output;
use crate::compact::row_map::RowPlaces;
use crate::compact::source::MergeSource;
use crate::error::Result;
use crate::ids::{IdRange, RowId};
use crate::record::Lsn;
use crate::segment::truth::writer::{SegmentInfo, SegmentWriter, Totals};

/// Estimated bytes for each vector of a codes file, beside one byte for each dimension.
const VECTOR_BYTES: u64 = 64;
/// Estimated bytes of headers and padding in the files of a segment.
const SEGMENT_BYTES: u64 = 4 << 10;

/// Writes the rows that are alive at `base` to a segment; to none if no row is alive. Notes in `places` where the rows
/// of each input lie, after those of the outputs so far. The caller owns the files.
pub(crate) fn write(
    output: &Output<'_>,
    inputs: &[MergeSource<'_>],
    base: Lsn,
    blobs: &BlobPlan,
    places: &mut RowPlaces,
) -> Result<Option<SegmentInfo>> {
    let totals = totals(output, inputs, base, blobs)?;
    if totals.rows == 0 {
        return Ok(None);
    }
    write_rows(output, inputs, base, totals, blobs, places).map(Some)
}

/// Roughly the bytes of the output: the living inline values, the living vectors with their codes, a share of the other
/// bytes of each truth file, and the blob files that are rewritten.
pub(crate) fn living_bytes(inputs: &[MergeSource<'_>], base: Lsn, blobs: &BlobPlan) -> Result<u64> {
    let mut needed = 0;
    for source in inputs {
        let (mut values, mut vectors, mut rows) = (0, 0, 0_u64);
        for row in source.living(base) {
            let place = source.segment.value_place(row)?;
            values += if place.is_inline() { u64::from(place.length) } else { 0 };
            vectors += source.segment.row_vectors(row)?.len() as u64;
            rows += 1;
        }
        let dims = source.segment.dims() as u64;
        // A code has one byte for each dimension.
        // The field index takes about a sixth of the bytes of short values.
        let vector_bytes = 4 * dims + dims + VECTOR_BYTES;
        let segment_bytes = if rows > 0 { SEGMENT_BYTES } else { 0 };
        needed += values + values / 4 + vectors * vector_bytes + source.other_bytes_of(rows) + segment_bytes;
    }
    Ok(if needed > 0 { needed.saturating_add(blobs.rewritten_bytes) } else { 0 })
}

fn totals(output: &Output<'_>, inputs: &[MergeSource<'_>], base: Lsn, blobs: &BlobPlan) -> Result<Totals> {
    let mut totals = Totals::new(output.blob_value_bytes);
    for (input, source) in inputs.iter().enumerate() {
        for row in source.living(base) {
            let (vectors, place) = (source.segment.row_vectors(row)?.len(), source.segment.value_place(row)?);
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
    inputs: &[MergeSource<'_>],
    base: Lsn,
    totals: Totals,
    blobs: &BlobPlan,
    places: &mut RowPlaces,
) -> Result<SegmentInfo> {
    places.begin_output();
    let mut writer = SegmentWriter::create(output.storage, &output.keys, output.file_id, totals)?;
    writer = writer.with_field_rules(Arc::clone(&output.field_rules));
    writer = writer.keeping(blobs.files().iter().map(|blob| blob.file).collect());
    let heads = inputs.iter().map(|source| Head::first(source, base));
    let mut heads = heads.collect::<Result<Vec<Option<Head<'_>>>>>()?;
    loop {
        let standing = heads.iter().enumerate().filter_map(|(index, head)| Some((index, head.as_ref()?)));
        let Some((index, head)) = standing.min_by_key(|(_, head)| (head.namespace, head.key)) else { break };
        (output.go_on)()?;
        let (segment, tombstones) = (head.source.segment, head.source.tombstones);
        let expires_at = tombstones.expires_at(head.row, segment.times(head.row)?.expires_at);
        let value = blobs.value(index, segment, head.row)?;
        let row = writer.push_copy(segment, head.row, expires_at, value)?;
        places.set(index, head.row, row)?;
        heads[index] = head.next()?;
    }
    writer.finish()
}

/// A cursor at the next living row of an input.
struct Head<'a> {
    source: &'a MergeSource<'a>,
    base: Lsn,
    row: RowId,
    namespace_number: u32,
    namespace_rows: Range<RowId>,
    namespace: &'a [u8],
    key: &'a str,
}

impl<'a> Head<'a> {
    fn first(source: &'a MergeSource<'a>, base: Lsn) -> Result<Option<Self>> {
        if source.rows.is_empty() {
            return Ok(None);
        }
        let (segment, row) = (source.segment, source.rows.start);
        let namespace_number = segment.namespace_of(row)?;
        let namespace_rows = segment.namespace_rows(namespace_number)?;
        let namespace = segment.namespace(namespace_number)?;
        Self { source, base, row, namespace_number, namespace_rows, namespace, key: "" }.seek(row)
    }

    fn next(&self) -> Result<Option<Self>> {
        Self { namespace_rows: self.namespace_rows.clone(), ..*self }.seek(self.row + 1)
    }

    /// Moves to the first living row at or after `row`. Returns `None` if there is none.
    fn seek(mut self, row: RowId) -> Result<Option<Self>> {
        let (segment, rows) = (self.source.segment, row..self.source.rows.end);
        let Some(row) = rows.ids().find(|&row| self.source.is_alive(row, self.base)) else { return Ok(None) };
        while row >= self.namespace_rows.end {
            self.namespace_number += 1;
            self.namespace_rows = segment.namespace_rows(self.namespace_number)?;
            self.namespace = segment.namespace(self.namespace_number)?;
        }
        self.row = row;
        self.key = segment.key(row)?;
        Ok(Some(self))
    }
}
