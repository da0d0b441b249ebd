//! Prefetches: what a read is about to need comes to the caches of the processor, and to memory if it may be on the
//! disk only.
//!
//! Invariants:
//! * A prefetch decides nothing. Bytes are looked at before they are checked, and places outside of a section are left
//!   out.
//! * A block that was not checked yet may be on the disk only: the system is asked for it. Of a checked one, a cache
//!   line is prefetched.

use std::ops::Range;

use crate::distance::Kernels;
use crate::ids::{RowId, VectorId};
use crate::segment::key_table::{BUCKET_BYTES, KeyTable, hash_key, hash_namespace};
use crate::segment::truth::layout::Section;
use crate::segment::truth::reader::Truth;

const LINE_BYTES: usize = 64;
/// Cache lines of a value that are prefetched. The read of a longer value takes so long that more would not help.
const VALUE_LINES: usize = 6;
/// Bytes of a vector that are prefetched. The processor's own prefetcher loads the rest.
const VECTOR_BYTES: usize = 2 << 10;
/// The sections that make up an item, without its namespace and vectors, and the bytes of one element.
const ITEM_COLUMNS: [(Section, usize); 9] = [
    (Section::Lsn, 8),
    (Section::CreatedAt, 8),
    (Section::UpdatedAt, 8),
    (Section::ExpiresAt, 8),
    (Section::Ttl, 8),
    (Section::ValueOffset, 8),
    (Section::ValueLength, 4),
    (Section::ValueSource, 4),
    (Section::KeyOffset, 8),
];

impl Truth {
    /// Prefetches the bucket that [`find_namespace`](Self::find_namespace) reads first.
    pub fn prefetch_namespace(&self, namespace: &[u8]) {
        self.prefetch_bucket(Section::NamespaceBuckets, hash_namespace(self.secret, namespace));
    }

    /// Prefetches the columns of a row that is about to be read as an item.
    pub fn prefetch_row(&self, row: RowId) {
        for (section, bytes) in ITEM_COLUMNS {
            self.prefetch(section, row.index() * bytes);
        }
    }

    /// Prefetches the beginning of a row's vector, on the guess that every row has one vector. Does nothing if the
    /// segment has more or fewer vectors than rows.
    pub fn prefetch_vector_of(&self, row: RowId) {
        if !self.has_one_vector_each() {
            return;
        }
        let start = row.index() * 4 * self.dims();
        self.prefetch(Section::Vectors, start);
        self.prefetch(Section::Vectors, start + LINE_BYTES);
    }

    /// Prefetches a vector.
    #[inline]
    pub fn prefetch_vector(&self, vector: VectorId) {
        let bytes = 4 * self.dims();
        let start = vector.index() * bytes;
        (0..bytes.min(VECTOR_BYTES))
            .step_by(LINE_BYTES)
            .for_each(|at| self.prefetch_line(Section::Vectors, start + at));
    }

    /// Prefetches the first lines of a row's value, and its key.
    pub fn prefetch_value(&self, row: RowId) {
        let at = |section, bytes| {
            let start = self.header.section(section).start + row.index() * bytes;
            self.file
                .bytes()
                .get(start..start + 8)
                .map_or(0, |bytes| bytemuck::pod_read_unaligned::<u64>(bytes) as usize)
        };
        // Offsets that are not checked yet may be wrong; a prefetch outside the section is left out.
        let value = at(Section::ValueOffset, 8);
        self.prefetch(Section::KeyBytes, at(Section::KeyOffset, 8));
        (0..VALUE_LINES).for_each(|line| self.prefetch(Section::Values, value.saturating_add(line * LINE_BYTES)));
    }

    fn prefetch_bucket(&self, buckets: Section, hash: u64) {
        let table = KeyTable { buckets: self.column(buckets), spill: &[] };
        self.prefetch(buckets, table.bucket(hash) * BUCKET_BYTES);
    }

    /// Prefetches the cache line at `offset` of a section, if there is one. If its block was not checked yet, it may be
    /// on the disk only, and is asked for.
    #[inline]
    fn prefetch(&self, section: Section, offset: usize) {
        let whole = self.header.section(section);
        let at = whole.start.saturating_add(offset);
        if at >= whole.end {
            return;
        }
        if self.file.is_checked(at) { self.prefetch_line(section, offset) } else { self.file.read_ahead(at) }
    }

    /// The same for a loop over bytes that are mostly checked already.
    #[inline]
    fn prefetch_line(&self, section: Section, offset: usize) {
        let whole = self.header.section(section);
        if let Some(byte) = self.file.bytes()[whole].get(offset) {
            Kernels::prefetch(&raw const *byte);
        }
    }

    /// Prefetches the entry of a namespace in the directory: where its name lies, and its first row.
    #[inline]
    pub fn prefetch_entry(&self, index: u32) {
        self.prefetch(Section::NamespaceFirstRow, index as usize * 4);
        self.prefetch(Section::NamespaceOffset, index as usize * 8);
    }

    /// Asks for the bucket of a namespace. Returns false if it was checked before.
    pub fn ask_for_namespace(&self, namespace: &[u8]) -> bool {
        let place = self.bucket_place(Section::NamespaceBuckets, hash_namespace(self.secret, namespace));
        let is_cold = !self.file.is_checked(place);
        if is_cold {
            self.file.read_ahead(place);
        }
        is_cold
    }

    /// Asks for the bucket of a key.
    pub fn ask_for_key(&self, namespace: &[u8], key: &str) {
        self.file.read_ahead(self.bucket_place(Section::KeyBuckets, hash_key(self.secret, namespace, key)));
    }

    /// Waits for the bucket of a namespace, asks for its entry in the directory, and returns the number of the entry;
    /// `None` if the bucket does not have it.
    pub fn ask_for_entry(&self, namespace: &[u8]) -> Option<u32> {
        let hash = hash_namespace(self.secret, namespace);
        let table = KeyTable { buckets: self.column(Section::NamespaceBuckets), spill: &[] };
        let nothing = |_| Ok(());
        let entry = table.find(hash, nothing, || Ok(()), |_| Ok(true)).ok().flatten()?;
        self.prefetch_entry(entry);
        Some(entry)
    }

    /// Waits for an entry of the directory, asks for its name, and returns its rows as they are written; `None` if
    /// there are no such rows.
    pub fn ask_for_name(&self, entry: u32) -> Option<Range<RowId>> {
        let first_rows = self.column::<RowId>(Section::NamespaceFirstRow);
        let (&start, &end) = (first_rows.get(entry as usize)?, first_rows.get(entry as usize + 1)?);
        let name = *self.column::<u64>(Section::NamespaceOffset).get(entry as usize)?;
        self.prefetch(Section::NamespaceBytes, usize::try_from(name).ok()?);
        (start < end && end.0 <= self.rows()).then_some(start..end)
    }

    /// Whether every row has one vector, as far as the numbers of both tell.
    pub fn has_one_vector_each(&self) -> bool {
        self.vectors() == self.rows()
    }

    /// Asks for the vector of a row and its columns, on the guess that every row has one vector.
    pub fn ask_for_vector_of(&self, row: RowId) {
        self.prefetch(Section::FirstVector, row.index() * 4);
        if self.has_one_vector_each() {
            self.prefetch_vector_of(row);
            self.prefetch(Section::InverseNorm, row.index() * 4);
            self.prefetch(Section::VectorRow, row.index() * 4);
            self.prefetch(Section::VectorPath, row.index() * 4);
        }
    }

    /// Asks for the columns that say how large a row is.
    pub fn ask_for_size(&self, row: RowId) {
        for (section, bytes) in
            [(Section::ValueOffset, 8), (Section::ValueLength, 4), (Section::ValueSource, 4), (Section::FirstVector, 4)]
        {
            self.prefetch(section, row.index() * bytes);
        }
    }

    fn bucket_place(&self, buckets: Section, hash: u64) -> usize {
        let table = KeyTable { buckets: self.column(buckets), spill: &[] };
        self.header.section(buckets).start + table.bucket(hash) * BUCKET_BYTES
    }
}
