//! The values of a segment: small ones in its truth file, large ones in blob files that a list in the truth file names.
//!
//! Invariants:
//! * A small value is read in place. A blob file is read only for a value that lies in it.
//! * A damaged or missing blob file fails the values in it. A damaged list fails all values in blob files. A list also
//!   counts as damaged if it names a file twice, or other files than the manifest does.

use std::borrow::Cow;
use std::collections::HashSet;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use crate::error::{Error, ErrorKind, Result};
use crate::filter::{ItemFacts, PreparedFilter};
use crate::ids::{IdRange, RowId};
use crate::interrupt::GoOn;
use crate::segment::blob::file::{Blob, BlobFile, ValuePlace};
use crate::segment::blocks::CheckedMap;
use crate::segment::truth::layout::{Section, StoreIdentity, blob_name};
use crate::segment::truth::reader::Truth;
use crate::storage::Storage;

/// The blob files of a segment.
pub(crate) struct Blobs {
    /// File number `n` is at index `n - 1`. An error if the list is damaged.
    files: Result<Box<[Arc<Blob>]>>,
    /// The rows whose values lie in blob files, in order. The first use fills it.
    rows: OnceLock<Box<[RowId]>>,
}

/// A value for a filter to read.
pub(crate) enum UnreadValue<'a> {
    /// The bytes of the value.
    Small(&'a [u8]),
    /// The blob file, and the place of the value in it.
    Large(&'a Blob, ValuePlace),
}

impl<'a> UnreadValue<'a> {
    /// Whether the read of the value may take so long that the deadline is checked first.
    #[inline]
    pub fn is_large(&self) -> bool {
        matches!(self, Self::Large(..))
    }

    /// Whether the value of an item passes the filter, which asks for these facts of it.
    #[inline]
    pub fn matches(&self, filter: &PreparedFilter, item: &ItemFacts<'_>) -> Result<bool> {
        match self {
            Self::Small(bytes) => Ok(filter.holds(bytes, item)),
            Self::Large(blob, place) => blob.matches(place, filter, item),
        }
    }

    /// The whole value.
    pub fn bytes(&self) -> Result<Cow<'a, [u8]>> {
        match self {
            Self::Small(bytes) => Ok(Cow::Borrowed(bytes)),
            Self::Large(blob, place) => blob.value(place),
        }
    }
}

/// The blob files of a segment that are known before it is opened.
#[derive(Clone, Copy, Default)]
pub(crate) struct KnownBlobs<'a> {
    /// The files that the manifest names, in its order; `None` where there is no manifest.
    pub named: Option<&'a [BlobFile]>,
    /// Files that are open already: they are neither opened nor checked again.
    pub opened: &'a [Arc<Blob>],
}

impl KnownBlobs<'_> {
    /// The list in `truth`, if it agrees with the manifest and names no file twice.
    fn listed<'t>(&self, truth: &'t CheckedMap, list: Range<usize>) -> Result<&'t [BlobFile]> {
        truth.ensure(list.clone())?;
        let listed: &[BlobFile] = bytemuck::cast_slice(&truth.bytes()[list.clone()]);
        if self.named.is_some_and(|named| named != listed) {
            let what = "it names other blob files than the manifest does; restore both from one backup";
            return Err(truth.damaged(list.start, what));
        }
        let mut seen = HashSet::new();
        match listed.iter().find(|file| !seen.insert(file.file_id)) {
            Some(twice) => Err(truth.damaged(list.start, format!("it names {} twice", blob_name(twice.file_id)))),
            None => Ok(listed),
        }
    }
}

impl Blobs {
    /// Opens the files that the section `list` of `truth` names.
    pub fn open(
        storage: &dyn Storage,
        keys: &StoreIdentity,
        truth: &CheckedMap,
        list: Range<usize>,
        known: &KnownBlobs<'_>,
    ) -> Result<Self> {
        let open = |&file: &BlobFile| match known.opened.iter().find(|blob| blob.file == file) {
            Some(blob) => Ok(Arc::clone(blob)),
            None => Blob::open(storage, keys, file).map(Arc::new),
        };
        let files = match known.listed(truth, list) {
            Ok(listed) => Ok(listed.iter().map(open).collect::<Result<_>>()?),
            Err(error) => Err(error),
        };
        Ok(Self { files, rows: OnceLock::new() })
    }

    /// The row's value, byte for byte as given.
    pub fn value<'a>(&'a self, truth: &'a Truth, row: RowId) -> Result<Cow<'a, str>> {
        let place = truth.value_place(row)?;
        if place.is_inline() {
            return truth.text_value(&place).map(Cow::Borrowed);
        }
        let text = match self.large_value(truth, row, &place)? {
            Cow::Borrowed(bytes) => std::str::from_utf8(bytes).ok().map(Cow::Borrowed),
            Cow::Owned(bytes) => String::from_utf8(bytes).ok().map(Cow::Owned),
        };
        text.map_or_else(|| Err(self.blob_of(truth, row, &place)?.damaged(&place, "text is not UTF-8")), Ok)
    }

    /// The row's value for a filter. Only the beginning that the filter needs is unpacked.
    #[inline]
    pub fn unread_value<'a>(&'a self, truth: &'a Truth, row: RowId) -> Result<UnreadValue<'a>> {
        let place = truth.value_place(row)?;
        if !place.is_inline() {
            return self.blob_of(truth, row, &place).map(|blob| UnreadValue::Large(blob, place));
        }
        truth.inline_value(&place).map(UnreadValue::Small)
    }

    #[cold]
    fn large_value(&self, truth: &Truth, row: RowId, place: &ValuePlace) -> Result<Cow<'_, [u8]>> {
        self.blob_of(truth, row, place)?.value(place)
    }

    /// The blob file that the value at `place` lies in.
    pub fn blob_of(&self, truth: &Truth, row: RowId, place: &ValuePlace) -> Result<&Blob> {
        let unknown = || {
            let at = truth.header.section(Section::ValueSource).start + 4 * row.index();
            truth.file.damaged(at, "the value is stored in a form or a file that this version does not know")
        };
        let number = (place.file as usize).checked_sub(1).ok_or_else(unknown)?;
        self.files()?.get(number).map(|blob| &**blob).ok_or_else(unknown)
    }

    /// The blob files; number 1 comes first.
    pub fn files(&self) -> Result<&[Arc<Blob>]> {
        self.files.as_deref().map_err(Error::duplicate)
    }

    /// The rows whose values lie in blob files. The first call reads a column.
    fn rows(&self, truth: &Truth) -> Result<&[RowId]> {
        if let Some(rows) = self.rows.get() {
            return Ok(rows);
        }
        truth.ensure_rows(truth.all_rows(), &[Section::ValueSource])?;
        let sources = truth.column::<u32>(Section::ValueSource);
        let rows = truth.all_rows().ids().filter(|&row| sources[row.index()] >> 8 != 0).collect();
        Ok(self.rows.get_or_init(|| rows))
    }

    /// For each blob file, the stored bytes of the values of living rows. Without such a value the list of files is not
    /// read, so a damaged list that is unused does no harm.
    pub fn live_bytes(&self, truth: &Truth, lives: impl Fn(RowId) -> bool) -> Result<Vec<u64>> {
        if !truth.all_rows().ids().any(&lives) {
            return Ok(Vec::new());
        }
        let mut rows = self.rows(truth)?.iter().copied().filter(|&row| lives(row)).peekable();
        if rows.peek().is_none() {
            return Ok(Vec::new());
        }
        let mut live = vec![0_u64; self.files()?.len()];
        for row in rows {
            let place = truth.value_place(row)?;
            if let Some(bytes) = live.get_mut(place.file as usize - 1) {
                *bytes = bytes.saturating_add(u64::from(place.length));
            }
        }
        Ok(live)
    }

    /// Whether the values of living rows can be read from blob file `number`. `Blob::is_unreadable` keeps the outcome.
    pub fn can_read(&self, truth: &Truth, number: u32, lives: impl Fn(RowId) -> Result<bool>) -> Result<bool> {
        for &row in self.rows(truth)? {
            let place = truth.value_place(row)?;
            if place.file != number || !lives(row)? {
                continue;
            }
            let blob = self.blob_of(truth, row, &place)?;
            match blob.stored(&place) {
                Err(error) if error.kind() == ErrorKind::Damaged => {
                    blob.set_unreadable(true);
                    return Ok(false);
                }
                other => drop(other?),
            }
        }
        if let Some(blob) = self.files()?.get(number as usize - 1) {
            blob.set_unreadable(false);
        }
        Ok(true)
    }

    /// The known reasons why blob files of the segment cannot be read.
    pub fn problems(&self) -> Vec<String> {
        match self.files() {
            Ok(blobs) => blobs.iter().filter_map(|blob| blob.problem()).collect(),
            Err(error) => vec![error.to_string()],
        }
    }

    /// The problems of the blob files: each file that cannot be read and each block that fails its checksum. If there
    /// are none, each value that cannot be decoded.
    pub fn verify(&self, truth: &Truth, go_on: &GoOn<'_>) -> Vec<Error> {
        let blobs = match self.files() {
            Ok(blobs) => blobs,
            Err(error) => return vec![error],
        };
        let mut problems: Vec<Error> = blobs.iter().flat_map(|blob| blob.check_all(go_on)).collect();
        if problems.is_empty() && !blobs.is_empty() {
            match self.rows(truth) {
                Ok(rows) => {
                    let rows = rows.iter().take_while(|_| go_on().is_ok());
                    problems.extend(rows.filter_map(|&row| self.value(truth, row).err()));
                }
                Err(error) => problems.push(error),
            }
        }
        problems
    }
}
