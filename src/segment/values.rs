//! The values of a sealed segment: small ones in its truth file, large ones in blob files, which one list of the truth file
//! names.
//!
//! Invariants:
//! * A small value is read in place; one in a blob file touches that file only, and only when it is asked for.
//! * A blob file that is damaged or missing fails the values that lie in it, a damaged list those that lie in any.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::OnceLock;

use crate::error::{Error, Result};
use crate::segment::blob::{Blob, BlobFile, ValuePlace};
use crate::segment::blocks::CheckedMap;
use crate::segment::layout::{Section, StoreKeys};
use crate::segment::sealed::Segment;
use crate::storage::Storage;

/// The blob files of a segment.
pub(super) struct Blobs {
    /// By their number less 1, or why nobody knows them.
    files: Result<Box<[Blob]>>,
    /// The rows whose values lie in one, in order.
    rows: OnceLock<Box<[u32]>>,
}

impl Blobs {
    /// Opens the files that the section `list` of `truth` names.
    pub fn open(storage: &dyn Storage, keys: &StoreKeys, truth: &CheckedMap, list: Range<usize>) -> Result<Self> {
        let files = match truth.ensure(list.clone()) {
            Ok(()) => {
                let listed: &[BlobFile] = bytemuck::cast_slice(&truth.bytes()[list]);
                Ok(listed.iter().map(|&file| Blob::open(storage, keys, file)).collect::<Result<_>>()?)
            }
            Err(error) => Err(error),
        };
        Ok(Self { files, rows: OnceLock::new() })
    }
}

impl Segment {
    /// The row's value, byte for byte as given.
    pub fn value(&self, row: u32) -> Result<Cow<'_, str>> {
        let place = self.value_place(row)?;
        if place.is_inline() {
            return self.text_value(&place).map(Cow::Borrowed);
        }
        let text = match self.large_value(row, &place)? {
            Cow::Borrowed(bytes) => std::str::from_utf8(bytes).ok().map(Cow::Borrowed),
            Cow::Owned(bytes) => String::from_utf8(bytes).ok().map(Cow::Owned),
        };
        text.map_or_else(|| Err(self.blob_of(row, &place)?.damaged(&place, "text is not UTF-8")), Ok)
    }

    /// The same without a look at whether it is text.
    #[inline]
    pub fn value_bytes(&self, row: u32) -> Result<Cow<'_, [u8]>> {
        let place = self.value_place(row)?;
        if !place.is_inline() {
            return self.large_value(row, &place);
        }
        self.inline_value(&place).map(Cow::Borrowed)
    }

    /// The value at a place in the truth file.
    #[inline]
    fn inline_value(&self, place: &ValuePlace) -> Result<&[u8]> {
        self.slice(Section::Values, place.offset, place.offset.saturating_add(u64::from(place.length)))
    }

    /// The same as text.
    pub fn text_value(&self, place: &ValuePlace) -> Result<&str> {
        self.text(self.inline_value(place)?)
    }

    /// Where the row's value lies.
    #[inline]
    pub fn value_place(&self, row: u32) -> Result<ValuePlace> {
        let index = row as usize;
        let (offset, length) = (self.cell(Section::ValueOffset, index)?, self.cell(Section::ValueLength, index)?);
        Ok(ValuePlace::of_columns(self.cell(Section::ValueSource, index)?, offset, length))
    }

    #[cold]
    fn large_value(&self, row: u32, place: &ValuePlace) -> Result<Cow<'_, [u8]>> {
        self.blob_of(row, place)?.value(place)
    }

    /// The row's value as it is stored at `place` of a blob file.
    pub fn stored_value(&self, row: u32, place: &ValuePlace) -> Result<&[u8]> {
        self.blob_of(row, place)?.stored(place)
    }

    /// The blob file that the value at `place` lies in.
    pub(super) fn blob_of(&self, row: u32, place: &ValuePlace) -> Result<&Blob> {
        let unknown = || {
            let at = self.header.section(Section::ValueSource).start + 4 * row as usize;
            self.file.damaged(at, "the value is stored in a form or a file that this version does not know")
        };
        let number = (place.file as usize).checked_sub(1).ok_or_else(unknown)?;
        self.blobs()?.get(number).ok_or_else(unknown)
    }

    fn blobs(&self) -> Result<&[Blob]> {
        self.blobs.files.as_deref().map_err(Error::duplicate)
    }

    /// The blob files that values of the segment lie in; number 1 comes first.
    pub fn blob_files(&self) -> Result<Vec<BlobFile>> {
        Ok(self.blobs()?.iter().map(|blob| blob.file).collect())
    }

    /// The rows whose values lie in blob files. The first call reads a column.
    fn blob_rows(&self) -> Result<&[u32]> {
        if let Some(rows) = self.blobs.rows.get() {
            return Ok(rows);
        }
        self.ensure_rows(0..self.rows(), &[Section::ValueSource])?;
        let sources = self.column::<u32>(Section::ValueSource);
        let rows = (0..self.rows()).filter(|&row| sources[row as usize] >> 8 != 0).collect();
        Ok(self.blobs.rows.get_or_init(|| rows))
    }

    /// Bytes in each blob file of the values of rows that live.
    pub fn live_blob_bytes(&self, lives: impl Fn(u32) -> bool) -> Result<Vec<u64>> {
        let mut live = vec![0_u64; self.blobs()?.len()];
        if live.is_empty() {
            return Ok(live);
        }
        for &row in self.blob_rows()?.iter().filter(|&&row| lives(row)) {
            let place = self.value_place(row)?;
            if let Some(bytes) = live.get_mut(place.file as usize - 1) {
                *bytes = bytes.saturating_add(u64::from(place.length));
            }
        }
        Ok(live)
    }

    /// Why blob files of the segment cannot be read, as far as is known.
    pub fn blob_problems(&self) -> Vec<String> {
        match self.blobs() {
            Ok(blobs) => blobs.iter().filter_map(Blob::problem).collect(),
            Err(error) => vec![error.to_string()],
        }
    }

    /// What is wrong with the blob files: each that cannot be read, each block that fails its checksum, or else each value
    /// that is none.
    pub fn verify_blobs(&self) -> Vec<Error> {
        let blobs = match self.blobs() {
            Ok(blobs) => blobs,
            Err(error) => return vec![error],
        };
        let mut problems: Vec<Error> = blobs.iter().flat_map(Blob::check_all).collect();
        if problems.is_empty() && !blobs.is_empty() {
            match self.blob_rows() {
                Ok(rows) => problems.extend(rows.iter().filter_map(|&row| self.value(row).err())),
                Err(error) => problems.push(error),
            }
        }
        problems
    }
}
