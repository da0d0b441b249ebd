//! Writes a segment: truth file, blob file, codes and field index in one pass over sorted rows.
//!
//! Invariants:
//! * Memory holds names, keys, 100 bytes a row, and the field index under construction. Vectors, values and codes
//!   stream to offsets that the totals determine; large values are appended to their blob file.
//! * No file is readable before [`SegmentWriter::finish`] writes its header, which is the last write before the sync.
//!   The caller syncs the directory, and removes the files of a writer that failed.
//! * The same rows in the same order give the same bytes.

use std::sync::Arc;

use crate::distance::inverse_norm;
use crate::error::{Error, ErrorKind, Result};
use crate::field_index::{FieldIndexBuilder, PreparedRules};
use crate::ids::{IdRange, RowId};
use crate::record::{Lsn, Record, VersionTimes};
use crate::segment::Segment;
use crate::segment::blob::file::{BlobFile, BlobWriter, ValuePlace};
use crate::segment::blocks::{ALIGNMENT, BlockWriter, FinishedFile, HEADER_BYTES};
use crate::segment::derived::codes::{Code, CodesWriter, DerivedFile, TruthId};
use crate::segment::derived::fields::write_fields;
use crate::segment::truth::columns::Columns;
use crate::segment::truth::input::{RowInput, ValueInput, VectorInput};
use crate::segment::truth::layout::{Counts, Header, Section, StoreIdentity, truth_name};
use crate::segment::truth::reader::SegmentFiles;
use crate::storage::Storage;

/// The totals over all rows of a segment, known before the first row is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Totals {
    pub rows: u64,
    pub vectors: u64,
    /// The bytes of all values in the truth file.
    pub value_bytes: u64,
    /// Values in the blob file that is written with the segment.
    pub blob_values: u64,
    /// A value of this many bytes or more goes to that blob file.
    pub blob_value_bytes: usize,
}

impl Totals {
    /// Totals of no rows. Values of at least `blob_value_bytes` will go to a blob file.
    pub fn new(blob_value_bytes: usize) -> Self {
        Self { rows: 0, vectors: 0, value_bytes: 0, blob_values: 0, blob_value_bytes }
    }

    /// Adds a row with a value of `value_bytes` bytes.
    pub fn add(&mut self, vectors: usize, value_bytes: usize) {
        self.rows += 1;
        self.vectors += vectors as u64;
        if self.is_large(value_bytes) {
            self.blob_values += 1;
        } else {
            self.value_bytes += value_bytes as u64;
        }
    }

    /// Adds a row whose value lies in an existing blob file. With `is_copied`, it is copied to the new blob file.
    pub fn add_large(&mut self, vectors: usize, is_copied: bool) {
        self.rows += 1;
        self.vectors += vectors as u64;
        self.blob_values += u64::from(is_copied);
    }

    fn is_large(&self, value_bytes: usize) -> bool {
        value_bytes >= self.blob_value_bytes
    }

    fn add_row(&mut self, row: &RowInput<'_>) {
        match row.value {
            ValueInput::Text(text) => self.add(row.vectors.len(), text.len()),
            ValueInput::Stored { .. } => self.add_large(row.vectors.len(), true),
            ValueInput::Kept(_) => self.add_large(row.vectors.len(), false),
        }
    }
}

/// A finished segment: the facts that an open, a manifest and a merge need.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SegmentInfo {
    pub files: SegmentFiles,
    pub counts: Counts,
    /// The blob files that were kept, then the new one.
    pub blobs: Vec<BlobFile>,
    pub oldest_lsn: Lsn,
    pub newest_lsn: Lsn,
    /// `NEVER` if no row expires.
    pub earliest_expiry: i64,
    /// The encoded namespaces of the first and the last row.
    pub first_namespace: Vec<u8>,
    pub last_namespace: Vec<u8>,
}

/// A segment being written.
pub(crate) struct SegmentWriter<'s> {
    storage: &'s dyn Storage,
    keys: StoreIdentity,
    dims: usize,
    file_id: u64,
    totals: Totals,
    written: Totals,
    body: BlockWriter,
    codes: Option<CodesWriter>,
    blob: Option<BlobWriter>,
    fields: FieldIndexBuilder,
    columns: Columns,
    header: Header,
    values_at: u64,
}

impl<'s> SegmentWriter<'s> {
    /// Creates the files of segment `file_id`, which will hold exactly `totals`, at least one row.
    pub fn create(storage: &'s dyn Storage, keys: &StoreIdentity, file_id: u64, totals: Totals) -> Result<Self> {
        let dims = keys.space.map_or(0, |space| space.dims);
        let countable = totals.rows < u64::from(u32::MAX) && totals.vectors < u64::from(u32::MAX);
        if totals.rows == 0 || !countable || (dims == 0 && totals.vectors > 0) {
            return Err(Error::invalid(format!("a segment cannot be made of {totals:?}")));
        }
        let body = BlockWriter::create(storage, &truth_name(file_id), keys.truth(file_id))?;
        let codes = match totals.vectors as u32 {
            0 => None,
            vectors => Some(CodesWriter::create(storage, keys, file_id, dims, vectors)?),
        };
        let blob = match totals.blob_values {
            0 => None,
            _ => Some(BlobWriter::create(storage, keys, file_id)?),
        };
        let vectors_end = HEADER_BYTES as u64 + totals.vectors * 4 * dims as u64;
        let mut header = Header::new(keys.space, keys.space_id, Counts::default());
        (header.oldest_lsn, header.earliest_expiry) = (Lsn::MAX, i64::MAX);
        Ok(Self {
            storage,
            keys: *keys,
            dims,
            file_id,
            totals,
            written: Totals::new(totals.blob_value_bytes),
            body,
            codes,
            blob,
            fields: FieldIndexBuilder::new(Arc::default()),
            columns: Columns::of(totals.rows as usize, totals.vectors as usize),
            header,
            values_at: vectors_end.next_multiple_of(ALIGNMENT as u64),
        })
    }

    /// Lets rows refer to values in these existing blob files. The first blob file has number 1.
    #[must_use]
    pub fn keeping(mut self, blobs: Vec<BlobFile>) -> Self {
        self.columns.blob_files = blobs;
        self
    }

    /// Builds the field index by these rules. They are set before the first row.
    #[must_use]
    pub fn with_field_rules(mut self, rules: Arc<PreparedRules>) -> Self {
        self.fields = FieldIndexBuilder::new(rules);
        self
    }

    /// Marks the LSNs of the segment as relative to a base that is not known yet.
    #[must_use]
    pub fn with_relative_lsns(mut self) -> Self {
        self.header.has_relative_lsns = true;
        self
    }

    /// Rows written so far.
    pub fn rows(&self) -> u32 {
        self.columns.rows()
    }

    /// Writes the next row, whose (namespace, key) is above the last one's, and returns its number.
    pub fn push(&mut self, row: &RowInput<'_>) -> Result<RowId> {
        self.check_next(row)?;
        let id = self.columns.next_row();
        let place = self.write_value(&row.value)?;
        self.columns.push_row(self.keys.secret, row, &place);
        self.fields.push(row.indexed_value());
        for (number, vector) in (self.written.vectors..).zip(row.vectors) {
            let bytes = bytemuck::cast_slice(vector.values);
            self.body.write_at(HEADER_BYTES as u64 + number * bytes.len() as u64, bytes)?;
            let codes = self.codes.as_mut().ok_or_else(|| Error::invalid("a segment without vectors got one"))?;
            let meta = codes.push(vector.values, vector.code)?;
            self.columns.push_vector(id, vector.path, inverse_norm(meta.norm), vector.text_hash);
        }
        self.columns.end_row();
        self.written.add_row(row);
        let header = &mut self.header;
        header.oldest_lsn = header.oldest_lsn.min(row.times.lsn);
        header.newest_lsn = header.newest_lsn.max(row.times.lsn);
        header.earliest_expiry = header.earliest_expiry.min(row.times.expires_at);
        header.row_vectors_max = header.row_vectors_max.max(row.vectors.len() as u32);
        Ok(id)
    }

    /// Writes the value of the next row to the truth file or the blob file, and returns its place. A kept value is not
    /// written.
    fn write_value(&mut self, value: &ValueInput<'_>) -> Result<ValuePlace> {
        let kept = self.columns.blob_files.len() as u32;
        let unannounced = || Error::invalid("a segment got a large value that its totals do not announce");
        match *value {
            ValueInput::Text(text) if self.totals.is_large(text.len()) => {
                self.blob.as_mut().ok_or_else(unannounced)?.push(kept + 1, text.as_bytes())
            }
            ValueInput::Text(text) => {
                let offset = self.written.value_bytes;
                self.body.write_at(self.values_at + offset, text.as_bytes())?;
                Ok(ValuePlace::inline(offset, text.len() as u32))
            }
            ValueInput::Stored { bytes, codec } => {
                self.blob.as_mut().ok_or_else(unannounced)?.push_stored(kept + 1, bytes, codec)
            }
            ValueInput::Kept(place) if (1..=kept).contains(&place.file) => Ok(place),
            ValueInput::Kept(_) => Err(Error::invalid("a value lies in a blob file that its segment does not keep")),
        }
    }

    /// Fails unless the row is above the last one and within the totals.
    fn check_next(&self, row: &RowInput<'_>) -> Result<()> {
        let mut after = self.written;
        after.add_row(row);
        let fits = after.rows <= self.totals.rows
            && after.vectors <= self.totals.vectors
            && after.value_bytes <= self.totals.value_bytes
            && after.blob_values <= self.totals.blob_values
            && row.vectors.iter().all(|vector| vector.values.len() == self.dims)
            && !matches!(row.value, ValueInput::Text(text) if u32::try_from(text.len()).is_err());
        let why = match self.columns.is_above_last(row.namespace, row.key) {
            true if fits => return Ok(()),
            true => "is more than the totals announce",
            false => "is not above the row before",
        };
        Err(Error::invalid(format!("row {} of segment {:016x} {why}", self.rows(), self.file_id)))
    }

    /// Writes the columns and then the headers, and syncs all files. The caller syncs the directory.
    pub fn finish(mut self) -> Result<SegmentInfo> {
        if self.written != self.totals {
            let (written, totals) = (self.written, self.totals);
            return Err(Error::invalid(format!("a segment got {written:?}, its totals announced {totals:?}")));
        }
        if let Some(blob) = self.blob.take() {
            self.columns.blob_files.push(blob.finish()?);
        }
        self.header.counts = self.columns.counts();
        let vectors_end = HEADER_BYTES as u64 + self.totals.vectors * 4 * self.dims as u64;
        self.body.write_at(vectors_end, &[0; ALIGNMENT][..(self.values_at - vectors_end) as usize])?;
        self.header.set_section(Section::Vectors, HEADER_BYTES..vectors_end as usize);
        let values_end = self.values_at + self.totals.value_bytes;
        self.header.set_section(Section::Values, self.values_at as usize..values_end as usize);
        let body_end = self.write_columns(values_end)?;
        let FinishedFile { length, header_crc } = self.body.finish(body_end, &self.header.encode())?;
        let truth = TruthId { file_id: self.file_id, header_crc };
        let codes = self.codes.map(|codes| codes.finish(truth)).transpose()?;
        let (rows, index) = (self.header.counts.rows, self.fields.finish());
        let fields = Some(write_fields(self.storage, &self.keys, self.file_id, truth, rows, &index)?);
        Ok(SegmentInfo {
            files: SegmentFiles { file_id: self.file_id, length, header_crc, codes, fields, lsn_base: Lsn::ZERO },
            counts: self.header.counts,
            blobs: std::mem::take(&mut self.columns.blob_files),
            oldest_lsn: self.header.oldest_lsn,
            newest_lsn: self.header.newest_lsn,
            earliest_expiry: self.header.earliest_expiry,
            first_namespace: self.columns.namespaces.first().to_vec(),
            last_namespace: self.columns.namespaces.last().to_vec(),
        })
    }

    /// Writes the sections that were kept in memory, from `at` on; returns the end of the body.
    fn write_columns(&mut self, mut at: u64) -> Result<u64> {
        let (body, header) = (&mut self.body, &mut self.header);
        self.columns.sections(self.keys.space_id, &mut |section, bytes| {
            let start = at.next_multiple_of(ALIGNMENT as u64);
            body.write_at(at, &[0; ALIGNMENT][..(start - at) as usize])?;
            body.write_at(start, bytes)?;
            at = start + bytes.len() as u64;
            header.set_section(section, start as usize..at as usize);
            Ok(())
        })?;
        let body_end = at.next_multiple_of(ALIGNMENT as u64);
        self.body.write_at(at, &[0; ALIGNMENT][..(body_end - at) as usize])?;
        Ok(body_end)
    }

    /// Writes a complete version. `codes` are the codes of its vectors that are computed already.
    pub fn push_record(&mut self, record: &Record, lsn: Lsn, codes: &[Option<Code<'_>>]) -> Result<RowId> {
        let codes = codes.iter().copied().chain(std::iter::repeat(None));
        let text_hashes = record.text_hashes.iter().copied().chain(std::iter::repeat(0));
        let vectors: Vec<_> = (record.vectors.iter().zip(codes).zip(text_hashes))
            .map(|((vector, code), text_hash)| VectorInput {
                path: &vector.path,
                values: &vector.values,
                code,
                text_hash,
            })
            .collect();
        let Record { created_at, updated_at, expires_at, flags, .. } = *record;
        let ttl = record.ttl;
        self.push(&RowInput {
            namespace: record.namespace.encoded(),
            key: &record.key,
            value: ValueInput::Text(&record.value),
            unpacked: None,
            times: VersionTimes { lsn, created_at, updated_at, expires_at, ttl },
            flags,
            index_paths: &record.index_paths,
            extensions: &record.extensions,
            vectors: &vectors,
        })
    }

    /// Copies a row of another segment with its codes. `expires_at` and `value` replace its expiry and its value.
    pub fn push_copy(
        &mut self,
        segment: &Segment,
        row: RowId,
        expires_at: i64,
        value: ValueInput<'_>,
    ) -> Result<RowId> {
        let numbers = segment.row_vectors(row)?;
        let codes = segment.codes(numbers.clone());
        let input = |vector| {
            let (path, values) = (segment.vector_path(vector)?.as_ref(), segment.vector(vector)?);
            let (code, text_hash) = (codes.and_then(|codes| codes.code(vector)), segment.text_hash(vector)?);
            Ok(VectorInput { path, values, code, text_hash })
        };
        let vectors = numbers.ids().map(input).collect::<Result<Vec<_>>>()?;
        let stored = segment.row(row)?;
        // A value that cannot be read fails whoever reads it, and not the merge.
        let unpacked = if let ValueInput::Text(_) = value { None } else { segment.value(row).ok() };
        self.push(&RowInput {
            namespace: stored.namespace,
            key: stored.key,
            value,
            unpacked: unpacked.as_deref(),
            times: VersionTimes { expires_at, ..stored.times },
            flags: stored.flags,
            index_paths: &segment.index_paths(row)?,
            extensions: &segment.extensions(row)?,
            vectors: &vectors,
        })
    }
}

/// Rebuilds the codes of a segment, under a new file id. The caller syncs the directory.
pub(crate) fn rebuild_codes(
    storage: &dyn Storage,
    keys: &StoreIdentity,
    segment: &Segment,
    file_id: u64,
) -> Result<DerivedFile> {
    if segment.vectors() == 0 {
        return Err(Error::new(ErrorKind::InvalidInput, "a segment without vectors has no codes"));
    }
    let mut codes = CodesWriter::create(storage, keys, file_id, segment.dims(), segment.vectors())?;
    for vector in segment.all_vectors().ids() {
        codes.push(segment.vector(vector)?, None)?;
    }
    codes.finish(segment.truth_id())
}
