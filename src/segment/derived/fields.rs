//! The field index of a segment: a derived file that `field_index` makes of the values of the rows and of the rules in
//! it, and of nothing else.
//!
//! Invariants:
//! * A fields file names the truth file that it was made from, by id and header CRC. If it is missing, damaged,
//!   outdated or made from another file, filters are answered from the values, and `Segment::fields_problem` gives the
//!   reason.
//!
//! # Format
//!
//! `seg-{file id, 16 hex digits}.fields` is a file in checked blocks (`blocks.rs` has its frame and the first 64 bytes
//! of the header) with magic `VECMEMFI` and format version 1. Little endian.
//!
//! ```text
//! OFFSET  SIZE  MEANING
//! 64      2     kind of derived file: 3, fields
//! 66      2     form of the index: 1
//! 68      4     n, number of rows
//! 72      8     bytes of the index
//! 80      8     file id of the truth file
//! 88      4     header CRC of the truth file
//! 92      4     0
//! 4096    any   the index (`field_index/format.rs`), then zeros up to a multiple of 64
//! ```

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use crate::codec::{Decoded, Reader, Writer};
use crate::error::{Error, Result};
use crate::field_index::{FieldIndex, IndexBytes, IndexRules, PassingCache};
use crate::interrupt::GoOn;
use crate::segment::blocks::{ALIGNMENT, BlockWriter, CheckedMap, FileIdentity, HEADER_BYTES};
use crate::segment::derived::codes::{DerivedFile, TruthId};
use crate::segment::truth::layout::{StoreIdentity, fields_name};
use crate::storage::Storage;

const MAGIC: &[u8; 8] = b"VECMEMFI";
const VERSION: u32 = 1;

/// The kind of derived file in the header.
const KIND_FIELDS: u16 = 3;
/// The form of the index, and the version of a fields file in a manifest. A file of another form is not used.
pub(crate) const FIELDS_FORM: u16 = 1;

fn identity(store_id: u64, file_id: u64) -> FileIdentity {
    FileIdentity { magic: *MAGIC, version: VERSION, store_id, file_id }
}

/// Writes and syncs the fields file of a segment.
pub(crate) fn write_fields(
    storage: &dyn Storage,
    keys: &StoreIdentity,
    file_id: u64,
    truth: TruthId,
    rows: u32,
    index: &[u8],
) -> Result<DerivedFile> {
    let mut file = BlockWriter::create(storage, &fields_name(file_id), identity(keys.store_id, file_id))?;
    let end = HEADER_BYTES + index.len();
    let body_end = end.next_multiple_of(ALIGNMENT);
    file.write_at(HEADER_BYTES as u64, index)?;
    file.write_at(end as u64, &[0; ALIGNMENT][..body_end - end])?;
    let mut fields = Writer::new();
    fields.u16(KIND_FIELDS);
    fields.u16(FIELDS_FORM);
    fields.u32(rows);
    fields.u64(index.len() as u64);
    fields.u64(truth.file_id);
    fields.u32(truth.header_crc);
    fields.u32(0);
    let finished = file.finish(body_end as u64, fields.as_slice())?;
    Ok(DerivedFile { file_id, length: finished.length })
}

/// The field index of a segment, mapped.
pub(crate) struct FieldsFile {
    file: CheckedMap,
    length: u64,
    rows: u32,
    /// The rules of the index, once they were read.
    rules: OnceLock<Arc<IndexRules>>,
    answers: PassingCache,
}

impl FieldsFile {
    /// Opens the fields file `file_id` of `truth`, which has `rows` rows.
    pub fn open(storage: &dyn Storage, keys: &StoreIdentity, file_id: u64, truth: TruthId, rows: u32) -> Result<Self> {
        let file = CheckedMap::open(storage, fields_name(file_id), identity(keys.store_id, file_id))?;
        let (form, length) = read_fields(file.fields()).map_err(|error| error.in_file(file.name(), 64))?;
        let fits = length.checked_add(HEADER_BYTES as u64).is_some_and(|end| end <= file.body_end() as u64);
        if form != (KIND_FIELDS, FIELDS_FORM, rows, truth) || !fits {
            return Err(Error::corrupt(
                file.name(),
                64,
                "the field index was made from another file or in another form",
            ));
        }
        Ok(Self { file, length, rows, rules: OnceLock::new(), answers: PassingCache::default() })
    }

    /// The index. Fails if its end is damaged.
    pub fn index(&self) -> Result<FieldIndex<'_>> {
        FieldIndex::open_known(self, self.rows, &self.rules).map_err(|error| self.in_file(&error))
    }

    /// The answers that are kept for later searches.
    pub fn answers(&self) -> &PassingCache {
        &self.answers
    }

    /// The error of a reader, as damage of this file.
    pub fn in_file(&self, error: &Error) -> Error {
        self.file.damaged(HEADER_BYTES, error)
    }

    /// Bytes of the index.
    pub fn bytes(&self) -> u64 {
        self.length
    }

    /// Every block that fails its checksum; if there is none, that the bytes are not `expected`. Where a value could
    /// not be read, then or now, the two may differ.
    pub fn check_all(&self, expected: Option<&Vec<u8>>, go_on: &GoOn<'_>) -> Vec<Error> {
        let mut problems = self.file.check_all(go_on);
        if !problems.is_empty() {
            return problems;
        }
        let has_unread = |index: Result<FieldIndex<'_>>| index.is_ok_and(|index| index.has_unread());
        let found = &self.file.bytes()[HEADER_BYTES..HEADER_BYTES + self.length as usize];
        let differs = expected.is_some_and(|expected| {
            expected != found && !has_unread(self.index()) && !has_unread(FieldIndex::open(expected, self.rows))
        });
        if differs {
            problems.push(self.file.damaged(HEADER_BYTES, "the field index does not follow from the values"));
        }
        problems
    }
}

impl IndexBytes for FieldsFile {
    fn length(&self) -> u64 {
        self.length
    }

    fn read(&self, range: Range<u64>) -> Result<&[u8]> {
        if range.start > range.end || range.end > self.length {
            return Err(self.file.damaged(HEADER_BYTES, "a range lies outside of the index"));
        }
        let range = HEADER_BYTES + range.start as usize..HEADER_BYTES + range.end as usize;
        self.file.ensure(range.clone())?;
        Ok(&self.file.bytes()[range])
    }
}

/// What the header says: kind, form, rows and truth file; and the bytes of the index.
type FieldsHeader = ((u16, u16, u32, TruthId), u64);

fn read_fields(fields: &[u8]) -> Decoded<FieldsHeader> {
    let mut reader = Reader::new(fields);
    let (kind, form, rows, length) = (reader.u16()?, reader.u16()?, reader.u32()?, reader.u64()?);
    Ok(((kind, form, rows, TruthId { file_id: reader.u64()?, header_crc: reader.u32()? }), length))
}
