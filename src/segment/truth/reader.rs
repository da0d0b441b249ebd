//! The truth file of a segment, mapped, read in place.
//!
//! Invariants:
//! * No accessor panics or reads outside the file, whatever the bytes. Bytes that fail a checksum, or make no sense,
//!   are `Damaged` with file and offset.
//! * An accessor that returns a `Result` checks what it returns. Plain column slices are not checked: call an `ensure`
//!   for the rows of a loop before the loop.
//! * An open reads the header and the table of checksums. Of the body it reads only the kinds of extensions, if any.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use bytemuck::AnyBitPattern;

use crate::error::{Error, Result};
use crate::ids::{Id, IdRange, RowId, VectorId};
use crate::record::{ALIVE, Lsn};
use crate::segment::blocks::CheckedMap;
use crate::segment::derived::codes::{DerivedFile, TruthId};
use crate::segment::key_table::{BUCKET_BYTES, KeyTable, hash_key, hash_namespace};
use crate::segment::truth::layout::{Header, Section, StoreIdentity, truth_name};
use crate::storage::Storage;

/// The two sections of a hash table.
#[derive(Clone, Copy)]
struct TableSections {
    buckets: Section,
    spill: Section,
}

const KEY_TABLE: TableSections = TableSections { buckets: Section::KeyBuckets, spill: Section::KeySpill };
const NAMESPACE_TABLE: TableSections =
    TableSections { buckets: Section::NamespaceBuckets, spill: Section::NamespaceSpill };

/// The facts that an open of a segment needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentFiles {
    pub file_id: u64,
    pub length: u64,
    /// The header CRC, which identifies the content of the truth file.
    pub header_crc: u32,
    pub codes: Option<DerivedFile>,
    pub fields: Option<DerivedFile>,
    /// The LSN that the LSNs in the file are relative to; 0 if the file has absolute LSNs.
    pub lsn_base: Lsn,
}

/// The truth file of an open segment. Clones share the map.
#[derive(Clone)]
pub(crate) struct Truth {
    file_id: u64,
    pub(super) secret: [u64; 2],
    pub(crate) header: Header,
    pub(crate) file: Arc<CheckedMap>,
    paths: OnceLock<Box<[Arc<str>]>>,
    lsn_base: Lsn,
}

impl Truth {
    /// Opens the file.
    pub fn open(storage: &dyn Storage, keys: &StoreIdentity, files: &SegmentFiles) -> Result<Self> {
        let file = CheckedMap::open(storage, truth_name(files.file_id), keys.truth(files.file_id))?;
        let decoded = Header::decode(file.fields(), file.body_end());
        let mut header = decoded.map_err(|error| error.in_file(file.name(), 64))?;
        if file.header_crc() != files.header_crc || file.bytes().len() as u64 != files.length {
            return Err(Error::corrupt(file.name(), 0, "this is not the file that the manifest names"));
        }
        // The file is older than the store's vector space, so it has no vectors and nothing in it depends on the space.
        if header.space.is_none() {
            (header.space, header.space_id) = (keys.space, keys.space_id);
        }
        header.check_space(keys).map_err(|why| why.context(file.name()).at(file.name(), None))?;
        if files.lsn_base.checked_add(header.newest_lsn.get()).is_none_or(|newest| newest == ALIVE) {
            return Err(Error::corrupt(file.name(), 104, "the newest LSN is out of range"));
        }
        let (file_id, secret, lsn_base) = (files.file_id, keys.secret, files.lsn_base);
        Ok(Self { file_id, secret, header, file: Arc::new(file), paths: OnceLock::new(), lsn_base })
    }

    /// The identity that a derived file must name to belong to this segment.
    pub fn truth_id(&self) -> TruthId {
        TruthId { file_id: self.file_id, header_crc: self.file.header_crc() }
    }

    /// The LSN that the LSNs in the file are relative to.
    #[inline]
    pub fn lsn_base(&self) -> Lsn {
        self.lsn_base
    }

    /// Sets the LSN that the LSNs in the file are relative to. An import writes a segment before its LSNs are known.
    #[must_use]
    pub fn counted_from(self, base: Lsn) -> Self {
        Self { lsn_base: base, ..self }
    }

    /// Counts and bounds, as written: LSNs without the base.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Rows, deleted ones included.
    #[inline]
    pub fn rows(&self) -> u32 {
        self.header.counts.rows
    }

    #[inline]
    pub fn vectors(&self) -> u32 {
        self.header.counts.vectors
    }

    /// All rows, deleted ones included.
    #[inline]
    pub fn all_rows(&self) -> Range<RowId> {
        RowId::range(0..self.rows())
    }

    #[inline]
    pub fn all_vectors(&self) -> Range<VectorId> {
        VectorId::range(0..self.vectors())
    }

    #[inline]
    pub fn namespaces(&self) -> u32 {
        self.header.counts.namespaces
    }

    #[inline]
    pub fn dims(&self) -> usize {
        self.header.space.map_or(0, |space| space.dims)
    }

    /// Checks the bytes that a loop over `rows` will read of these sections, one element for each row. A loop that
    /// needs the element after the last row, as of [`Section::FirstVector`], passes one row more.
    #[inline]
    pub fn ensure_rows(&self, rows: Range<RowId>, sections: &[Section]) -> Result<()> {
        sections.iter().try_for_each(|&section| self.ensure_elements(section, rows.indices()))
    }

    /// Checks the bytes that a loop over `vectors` will read of these sections, one element for each vector.
    #[inline]
    pub fn ensure_vectors(&self, vectors: Range<VectorId>, sections: &[Section]) -> Result<()> {
        sections.iter().try_for_each(|&section| self.ensure_elements(section, vectors.indices()))
    }

    #[inline]
    fn ensure_elements(&self, section: Section, range: Range<usize>) -> Result<()> {
        let whole = self.header.section(section);
        let each = if section == Section::Vectors { 4 * self.dims() } else { section.element_bytes() };
        let end = (whole.start + range.end * each).min(whole.end);
        self.file.ensure(whole.start + range.start * each..end)
    }

    /// A section as a slice. Its checksums are not tested: call an `ensure` first.
    #[inline]
    pub(crate) fn column<T: AnyBitPattern>(&self, section: Section) -> &[T] {
        bytemuck::cast_slice(&self.file.bytes()[self.header.section(section)])
    }

    /// One element of a section, checked.
    #[inline]
    pub(crate) fn cell<T: AnyBitPattern>(&self, section: Section, index: usize) -> Result<T> {
        let whole = self.header.section(section);
        let start = whole.start + index * size_of::<T>();
        if start + size_of::<T>() > whole.end {
            return Err(self.file.damaged(whole.end, "something refers to an element behind the end of its section"));
        }
        self.file.ensure(start..start + size_of::<T>())?;
        Ok(bytemuck::pod_read_unaligned(&self.file.bytes()[start..start + size_of::<T>()]))
    }

    /// Bytes `start..end` of a section of bytes, checked.
    #[inline]
    pub(crate) fn slice(&self, section: Section, start: u64, end: u64) -> Result<&[u8]> {
        let whole = self.header.section(section);
        if start > end || end > whole.len() as u64 {
            return Err(self.file.damaged(whole.start, format!("offsets {start} to {end} lie outside their section")));
        }
        let range = whole.start + start as usize..whole.start + end as usize;
        self.file.ensure(range.clone())?;
        Ok(&self.file.bytes()[range])
    }

    /// Entry `index` of the section `bytes`, whose entries begin at the offsets in the section `offsets`.
    #[inline]
    pub(crate) fn entry(&self, offsets: Section, bytes: Section, index: usize) -> Result<&[u8]> {
        self.slice(bytes, self.cell(offsets, index)?, self.cell(offsets, index + 1)?)
    }

    /// The number of an encoded namespace, if it has rows here.
    pub fn find_namespace(&self, namespace: &[u8]) -> Result<Option<u32>> {
        let is_it = |index| {
            self.prefetch_entry(index);
            Ok(index < self.namespaces() && self.namespace(index)? == namespace)
        };
        self.find_in(NAMESPACE_TABLE, hash_namespace(self.secret, namespace), is_it)
    }

    /// The row of a key, if there is one.
    pub fn find(&self, namespace: &[u8], key: &str) -> Result<Option<RowId>> {
        self.prefetch_namespace(namespace);
        let is_it = |row: u32| {
            let row = RowId(row);
            self.prefetch_row(row);
            if self.key_bytes(row)? != key.as_bytes() {
                return Ok(false);
            }
            let Some(index) = self.find_namespace(namespace)? else { return Ok(false) };
            Ok(self.namespace_rows(index)?.contains(&row))
        };
        let found = self.find_in(KEY_TABLE, hash_key(self.secret, namespace, key), is_it);
        Ok(found?.map(RowId))
    }

    #[inline]
    fn find_in(&self, table: TableSections, hash: u64, is_it: impl FnMut(u32) -> Result<bool>) -> Result<Option<u32>> {
        let TableSections { buckets, spill } = table;
        let table = KeyTable { buckets: self.column(buckets), spill: self.column(spill) };
        let first = self.header.section(buckets).start;
        let bucket = |index| self.file.ensure(first + index * BUCKET_BYTES..first + (index + 1) * BUCKET_BYTES);
        table.find(hash, bucket, || self.file.ensure(self.header.section(spill)), is_it)
    }

    /// The field paths, by number.
    pub(crate) fn paths(&self) -> Result<&[Arc<str>]> {
        if let Some(paths) = self.paths.get() {
            return Ok(paths);
        }
        let paths = (0..self.header.counts.paths as usize).map(|index| {
            let bytes = self.entry(Section::PathOffset, Section::PathBytes, index)?;
            self.text(bytes).map(Arc::from)
        });
        let paths = paths.collect::<Result<Box<[_]>>>()?;
        Ok(self.paths.get_or_init(|| paths))
    }

    /// Bytes of the file as text.
    #[inline]
    pub(crate) fn text<'a>(&self, bytes: &'a [u8]) -> Result<&'a str> {
        std::str::from_utf8(bytes).map_err(|_| {
            let offset = (bytes.as_ptr() as usize).saturating_sub(self.file.bytes().as_ptr() as usize);
            self.file.damaged(offset, "text is not UTF-8")
        })
    }
}
