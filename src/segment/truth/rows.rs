//! The rows of a truth file: columns for loops, and single rows for winners, lookups and copies.
//!
//! Invariants: those of [`reader`](crate::segment::truth::reader).

use std::ops::Range;
use std::sync::Arc;

use crate::error::Result;
use crate::extensions::{Extensions, refuse_unknown};
use crate::ids::{Id, IdRange, RowId, VectorId};
use crate::record::{Lsn, TextHash, VersionTimes, row_extensions};
use crate::segment::blob::file::ValuePlace;
use crate::segment::truth::layout::Section;
use crate::segment::truth::reader::Truth;
use crate::types::FieldVector;

/// One row without value and vectors, read in place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct StoredRow<'a> {
    /// Encoded.
    pub namespace: &'a [u8],
    pub key: &'a str,
    pub times: VersionTimes,
    pub flags: u32,
}

impl Truth {
    /// The column of LSNs as written, without the base. Call `ensure_rows` for `Section::Lsn` first. Each column below
    /// needs the same for its own section.
    #[inline]
    pub fn lsn_column(&self) -> &[u64] {
        self.column(Section::Lsn)
    }

    #[inline]
    pub fn updated_at_column(&self) -> &[i64] {
        self.column(Section::UpdatedAt)
    }

    #[inline]
    pub fn expires_at_column(&self) -> &[i64] {
        self.column(Section::ExpiresAt)
    }

    /// One more entry than rows. Entries are as written: compare them with the number of vectors before use.
    #[inline]
    pub fn first_vector_column(&self) -> &[VectorId] {
        self.column(Section::FirstVector)
    }

    #[inline]
    pub fn inverse_norm_column(&self) -> &[f32] {
        self.column(Section::InverseNorm)
    }

    /// The row of each vector. Numbers are as written: compare them with the number of rows before use.
    #[inline]
    pub fn vector_row_column(&self) -> &[RowId] {
        self.column(Section::VectorRow)
    }

    /// All vectors, `dims` numbers each.
    #[inline]
    pub fn vector_column(&self) -> &[f32] {
        self.column(Section::Vectors)
    }

    /// The LSNs of `rows` as written, checked.
    pub fn lsns(&self, rows: Range<RowId>) -> Result<&[u64]> {
        self.ensure_rows(rows.clone(), &[Section::Lsn])?;
        self.lsn_column()
            .get(rows.indices())
            .ok_or_else(|| self.file.damaged(0, format!("there are no rows {} to {}", rows.start, rows.end)))
    }

    /// LSN of the row.
    #[inline]
    pub fn lsn(&self, row: RowId) -> Result<Lsn> {
        Ok(self.lsn_base().saturating_add(self.cell(Section::Lsn, row.index())?))
    }

    /// LSN of the newest row.
    #[inline]
    pub fn newest_lsn(&self) -> Lsn {
        self.lsn_base().saturating_add(self.header.newest_lsn.get())
    }

    /// The LSN and the times of the row.
    #[inline]
    pub fn times(&self, row: RowId) -> Result<VersionTimes> {
        let index = row.index();
        let lsn = self.lsn(row)?;
        if lsn > self.newest_lsn() {
            let offset = self.header.section(Section::Lsn).start + 8 * index;
            return Err(self.file.damaged(offset, format!("row {row} has an LSN above the segment's newest")));
        }
        Ok(VersionTimes {
            lsn,
            created_at: self.cell(Section::CreatedAt, index)?,
            updated_at: self.cell(Section::UpdatedAt, index)?,
            expires_at: self.cell(Section::ExpiresAt, index)?,
            ttl: self.cell(Section::Ttl, index)?,
        })
    }

    #[inline]
    pub(crate) fn key_bytes(&self, row: RowId) -> Result<&[u8]> {
        self.entry(Section::KeyOffset, Section::KeyBytes, row.index())
    }

    pub fn key(&self, row: RowId) -> Result<&str> {
        self.text(self.key_bytes(row)?)
    }

    /// The row without its value and vectors.
    pub fn row(&self, row: RowId) -> Result<StoredRow<'_>> {
        Ok(StoredRow {
            namespace: self.namespace(self.namespace_of(row)?)?,
            key: self.key(row)?,
            times: self.times(row)?,
            flags: self.cell(Section::Flags, row.index())?,
        })
    }

    /// The numbers of the row's vectors.
    #[inline]
    pub fn row_vectors(&self, row: RowId) -> Result<Range<VectorId>> {
        let start: VectorId = self.cell(Section::FirstVector, row.index())?;
        let end: VectorId = self.cell(Section::FirstVector, row.index() + 1)?;
        if start > end || end.0 > self.vectors() {
            let at = self.header.section(Section::FirstVector).start + 4 * row.index();
            return Err(self.file.damaged(at, format!("row {row} has vectors {start} to {end}")));
        }
        Ok(start..end)
    }

    /// One vector.
    #[inline]
    pub fn vector(&self, vector: VectorId) -> Result<&[f32]> {
        let (index, dims) = (vector.index(), self.dims());
        self.ensure_vectors(vector..vector.saturating_next(), &[Section::Vectors])?;
        self.vector_column()
            .get(index * dims..(index + 1) * dims)
            .ok_or_else(|| self.file.damaged(0, format!("there is no vector {vector}")))
    }

    /// The vector's inverse norm, for [`crate::distance::score`].
    #[inline]
    pub fn inverse_norm(&self, vector: VectorId) -> Result<f32> {
        self.cell(Section::InverseNorm, vector.index())
    }

    /// The hash of the text that one vector embeds; 0 if the text is not known.
    #[inline]
    pub fn text_hash(&self, vector: VectorId) -> Result<TextHash> {
        if self.header.section(Section::TextHash).is_empty() {
            return Ok(0);
        }
        self.cell(Section::TextHash, vector.index())
    }

    /// The text hashes of all vectors; empty if no text is known.
    pub fn text_hashes(&self) -> Result<&[TextHash]> {
        self.file.ensure(self.header.section(Section::TextHash))?;
        Ok(self.column(Section::TextHash))
    }

    /// The row of one vector.
    pub fn vector_row(&self, vector: VectorId) -> Result<RowId> {
        self.cell(Section::VectorRow, vector.index())
    }

    /// The field path of one vector.
    pub fn vector_path(&self, vector: VectorId) -> Result<&Arc<str>> {
        let path: u32 = self.cell(Section::VectorPath, vector.index())?;
        self.path(path)
    }

    fn path(&self, path: u32) -> Result<&Arc<str>> {
        let at = self.header.section(Section::PathOffset).start;
        self.paths()?.get(path as usize).ok_or_else(|| self.file.damaged(at, format!("there is no field path {path}")))
    }

    /// The row's vectors with their paths.
    pub fn field_vectors(&self, row: RowId) -> Result<Vec<FieldVector>> {
        let owned = |vector| {
            Ok(FieldVector { path: Arc::clone(self.vector_path(vector)?), values: self.vector(vector)?.into() })
        };
        self.row_vectors(row)?.ids().map(owned).collect()
    }

    /// The paths of the fields to embed. If the list is empty, the configured fields are embedded.
    pub fn index_paths(&self, row: RowId) -> Result<Vec<Arc<str>>> {
        let list: u32 = self.cell(Section::PathList, row.index())?;
        let Some(list) = list.checked_sub(1) else { return Ok(Vec::new()) };
        let start: u32 = self.cell(Section::PathListStart, list as usize)?;
        let end: u32 = self.cell(Section::PathListStart, list as usize + 1)?;
        (start..end).map(|entry| self.path(self.cell(Section::PathListEntry, entry as usize)?).cloned()).collect()
    }

    pub fn row_text_hashes(&self, row: RowId) -> Result<Vec<TextHash>> {
        let hashes = self.row_vectors(row)?.ids().map(|vector| self.text_hash(vector)).collect::<Result<Vec<_>>>()?;
        Ok(if hashes.iter().all(|&hash| hash == 0) { Vec::new() } else { hashes })
    }

    /// The extensions of the row.
    pub fn extensions(&self, row: RowId) -> Result<Extensions> {
        let offsets = self.header.section(Section::ExtensionOffset);
        if offsets.is_empty() {
            return Ok(Extensions::default());
        }
        let bytes = self.entry(Section::ExtensionOffset, Section::ExtensionBytes, row.index())?;
        let extensions = Extensions::decode(bytes).map_err(|malformed| {
            let at = self.header.section(Section::ExtensionBytes).start;
            self.file.damaged(at, format!("extensions of row {row}: {}", malformed.what))
        })?;
        refuse_unknown(self.file.name(), extensions.kinds(), &row_extensions::KNOWN)
            .map_err(|error| error.at(self.file.name(), None))?;
        Ok(extensions)
    }

    /// Fails if rows have extensions that this version must understand and does not know.
    pub(crate) fn refuse_unknown_extensions(&self) -> Result<()> {
        // If the list of kinds is damaged, the extensions of each row are checked when the row is read.
        let Ok(()) = self.file.ensure(self.header.section(Section::ExtensionKind)) else { return Ok(()) };
        let kinds = self.column::<[u16; 2]>(Section::ExtensionKind).iter().map(|&[kind, flag]| (kind, flag != 0));
        refuse_unknown(self.file.name(), kinds, &row_extensions::KNOWN)
            .map_err(|error| error.at(self.file.name(), None))
    }

    /// The bytes of the value at a place in the truth file.
    #[inline]
    pub fn inline_value(&self, place: &ValuePlace) -> Result<&[u8]> {
        self.slice(Section::Values, place.offset, place.offset.saturating_add(u64::from(place.length)))
    }

    /// The value at a place in the truth file, as text.
    pub fn text_value(&self, place: &ValuePlace) -> Result<&str> {
        self.text(self.inline_value(place)?)
    }

    /// Where the row's value lies.
    #[inline]
    pub fn value_place(&self, row: RowId) -> Result<ValuePlace> {
        let index = row.index();
        let (offset, length) = (self.cell(Section::ValueOffset, index)?, self.cell(Section::ValueLength, index)?);
        Ok(ValuePlace::of_columns(self.cell(Section::ValueSource, index)?, offset, length))
    }

    /// Whether the row's value lies in a blob file.
    pub fn is_large(&self, row: RowId) -> bool {
        self.value_place(row).is_ok_and(|place| !place.is_inline())
    }
}
