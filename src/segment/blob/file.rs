//! Blob files: they hold large values, beside the segments that refer to them.
//!
//! Invariants:
//! * A blob file is written whole and synced before the segment that names it is finished, and never changes.
//! * One segment of a read view refers to a blob file: the segment that it was written with, or the output of a merge
//!   that took over those rows. So the living bytes of the file are counted from the rows of one segment. Only a file that
//!   cannot be read may be named by several outputs of one merge (`compact/blobs.rs`).
//! * A damaged block fails the values in it. A damaged header or table fails all values of the file, and nothing else.
//! * The memory for a value is bounded by its stored bytes. No length field alone makes a reader allocate.
//!
//! # Format
//!
//! `seg-{file id, 16 hex digits}.blob` is a file in checked blocks (`blocks.rs` has its frame and the first 64 bytes of
//! the header) with magic `VECMEMBL` and format version 1. Little endian.
//!
//! ```text
//! OFFSET  SIZE  MEANING
//! 64      8     bytes of all values, as stored
//! 72      4     number of values
//! 76      4     0
//! 4096    any   values, one behind the other in the form of their codec; then zeros to a multiple of 64
//!
//! CODEC   FORM
//! 0       raw: the value
//! 1       lz4: compressed block by block (`packed.rs`); used where it saves an eighth at least
//! ```
//!
//! The columns of the segment say where each value lies, and in which form (`layout.rs`).

use std::borrow::Cow;
use std::cell::Cell;

use bytemuck::{Pod, Zeroable};

use crate::codec::Writer;
use crate::error::{Error, ErrorKind, Result};
use crate::filter::{ItemFacts, PreparedFilter};
use crate::interrupt::GoOn;
use crate::segment::blob::packed::{BLOCK_BYTES, LENGTH_BYTES, Unpacker, length_of, pack, unpack};
use crate::segment::blocks::{ALIGNMENT, BlockWriter, CheckedMap, FileIdentity, HEADER_BYTES};
use crate::segment::truth::layout::{StoreIdentity, blob_name};
use crate::storage::Storage;
use crate::sync::{AtomicBool, Ordering};

const MAGIC: &[u8; 8] = b"VECMEMBL";
const VERSION: u32 = 1;

/// The version of a blob file in a manifest. A store with a blob file of another version is not opened.
pub(crate) const BLOB_FORM: u16 = 1;

/// The value is stored as it is.
pub(crate) const CODEC_RAW: u8 = 0;
/// The value is stored in compressed blocks.
pub(crate) const CODEC_LZ4: u8 = 1;
/// A thread keeps a buffer of at most this many bytes for the next value that a filter reads.
const SCRATCH_BYTES: usize = 4 << 20;

thread_local! {
    static UNPACKED: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// A blob file as segments and manifests name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct BlobFile {
    pub file_id: u64,
    pub length: u64,
    /// Bytes of all values in it, as stored.
    pub value_bytes: u64,
    /// The header CRC, which identifies the content of the file.
    pub header_crc: u32,
    /// 0.
    pub reserved: u32,
}

/// Where a value lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ValuePlace {
    /// 0 for the truth file, else the number of the blob file in the segment's list, from 1.
    pub file: u32,
    pub codec: u8,
    /// In a truth file counted from the section of values, in a blob file from the beginning of the file.
    pub offset: u64,
    /// Bytes as stored.
    pub length: u32,
}

impl ValuePlace {
    /// Raw bytes in the truth file.
    #[inline]
    pub fn inline(offset: u64, length: u32) -> Self {
        Self { file: 0, codec: CODEC_RAW, offset, length }
    }

    /// The place that the columns of the segment give.
    #[inline]
    pub fn of_columns(source: u32, offset: u64, length: u32) -> Self {
        Self { file: source >> 8, codec: source as u8, offset, length }
    }

    /// Whether it is raw bytes in the truth file.
    #[inline]
    pub fn is_inline(&self) -> bool {
        self.source() == u32::from(CODEC_RAW)
    }

    /// The entry of the value in the column `Section::ValueSource`.
    #[inline]
    pub fn source(&self) -> u32 {
        self.file << 8 | u32::from(self.codec)
    }
}

/// The identity that the checksums of a blob file are bound to.
pub(crate) fn identity(store_id: u64, file_id: u64) -> FileIdentity {
    FileIdentity { magic: *MAGIC, version: VERSION, store_id, file_id }
}

/// Writes a blob file, value by value.
pub(crate) struct BlobWriter {
    file: BlockWriter,
    file_id: u64,
    at: u64,
    values: u32,
    packed: Vec<u8>,
}

impl BlobWriter {
    pub fn create(storage: &dyn Storage, keys: &StoreIdentity, file_id: u64) -> Result<Self> {
        let file = BlockWriter::create(storage, &blob_name(file_id), identity(keys.store_id, file_id))?;
        Ok(Self { file, file_id, at: HEADER_BYTES as u64, values: 0, packed: Vec::new() })
    }

    /// Writes the next value, compressed if that pays, and returns its place. The file has number `file` in its
    /// segment.
    pub fn push(&mut self, file: u32, value: &[u8]) -> Result<ValuePlace> {
        let mut packed = std::mem::take(&mut self.packed);
        let place = match pack(value, &mut packed) {
            Some(packed) => self.push_stored(file, packed, CODEC_LZ4),
            None => self.push_stored(file, value, CODEC_RAW),
        };
        self.packed = packed;
        place
    }

    /// Writes the next value in the form in which it was stored before.
    pub fn push_stored(&mut self, file: u32, bytes: &[u8], codec: u8) -> Result<ValuePlace> {
        let length = u32::try_from(bytes.len()).map_err(|_| Error::invalid("a value of 4 GiB cannot be stored"))?;
        let place = ValuePlace { file, codec, offset: self.at, length };
        self.file.write_at(self.at, bytes)?;
        self.at += bytes.len() as u64;
        self.values += 1;
        Ok(place)
    }

    /// Pads, writes the header and syncs.
    pub fn finish(mut self) -> Result<BlobFile> {
        let body_end = self.at.next_multiple_of(ALIGNMENT as u64);
        self.file.write_at(self.at, &[0; ALIGNMENT][..(body_end - self.at) as usize])?;
        let value_bytes = self.at - HEADER_BYTES as u64;
        let mut fields = Writer::new();
        fields.u64(value_bytes);
        fields.u32(self.values);
        fields.u32(0);
        let finished = self.file.finish(body_end, fields.as_slice())?;
        let (length, header_crc) = (finished.length, finished.header_crc);
        Ok(BlobFile { file_id: self.file_id, length, value_bytes, header_crc, reserved: 0 })
    }
}

/// A blob file, mapped, or the reason why it cannot be read. A segment that takes it over shares the map.
pub(crate) struct Blob {
    pub file: BlobFile,
    map: Result<CheckedMap>,
    /// Whether the last merge that tried to rewrite the file found damage in the value of a living row.
    unreadable: AtomicBool,
}

impl Blob {
    /// Opens the file. If it is damaged or missing, reads of its values fail, and the open does not. The open fails if
    /// the system cannot read the file.
    pub fn open(storage: &dyn Storage, keys: &StoreIdentity, file: BlobFile) -> Result<Self> {
        let map = CheckedMap::open(storage, blob_name(file.file_id), identity(keys.store_id, file.file_id));
        let map = match map {
            Err(error) if error.is_unread() => return Err(error),
            Ok(map) if map.header_crc() != file.header_crc || map.bytes().len() as u64 != file.length => {
                Err(map.damaged(0, "this is not the file that its segment names"))
            }
            other => other.map_err(|error| error.with_kind(ErrorKind::Damaged)),
        };
        Ok(Self { file, map, unreadable: AtomicBool::new(false) })
    }

    /// Why the file could not be opened.
    pub fn problem(&self) -> Option<String> {
        self.map.as_ref().err().map(ToString::to_string)
    }

    /// Records whether a merge failed to read the values of living rows in the file.
    pub fn set_unreadable(&self, unreadable: bool) {
        self.unreadable.store(unreadable, Ordering::Relaxed);
    }

    pub fn is_unreadable(&self) -> bool {
        self.unreadable.load(Ordering::Relaxed)
    }

    fn map(&self) -> Result<&CheckedMap> {
        self.map.as_ref().map_err(Error::duplicate)
    }

    /// The value at `place`, as stored, checked.
    pub fn stored(&self, place: &ValuePlace) -> Result<&[u8]> {
        let map = self.map()?;
        let (start, length) = (usize::try_from(place.offset).unwrap_or(usize::MAX), place.length as usize);
        let range = start..start.saturating_add(length);
        map.ensure(range.clone())?;
        map.bytes().get(range).ok_or_else(|| map.damaged(start, "a value lies outside the file"))
    }

    /// The value at `place`.
    pub fn value(&self, place: &ValuePlace) -> Result<Cow<'_, [u8]>> {
        let stored = self.stored(place)?;
        match place.codec {
            CODEC_RAW => Ok(Cow::Borrowed(stored)),
            CODEC_LZ4 => unpack(stored).map(Cow::Owned).map_err(|why| self.damaged(place, why)),
            _ => Err(self.damaged(place, "the value is stored in a form that this version does not know")),
        }
    }

    /// The bytes of the value at `place`, from the first ones of a compressed value.
    pub fn length(&self, place: &ValuePlace) -> Result<u64> {
        if place.codec != CODEC_LZ4 {
            return Ok(u64::from(place.length));
        }
        let beginning = ValuePlace { length: place.length.min(LENGTH_BYTES), ..*place };
        length_of(self.stored(&beginning)?).map_err(|why| self.damaged(place, why))
    }

    /// Whether the value at `place`, of an item of these facts, passes the filter. A compressed value is unpacked only
    /// until the filter is decided.
    pub fn matches(&self, place: &ValuePlace, filter: &PreparedFilter, item: &ItemFacts<'_>) -> Result<bool> {
        if place.codec != CODEC_LZ4 {
            return Ok(filter.holds(&self.value(place)?, item));
        }
        let stored = self.stored(place)?;
        let mut beginning = UNPACKED.take();
        beginning.clear();
        let matched = matches_packed(stored, filter, item, &mut beginning);
        if beginning.capacity() <= SCRATCH_BYTES {
            UNPACKED.set(beginning);
        }
        matched.map_err(|why| self.damaged(place, why))
    }

    /// The error for a wrong value.
    #[cold]
    pub fn damaged(&self, place: &ValuePlace, what: impl std::fmt::Display) -> Error {
        self.map().map_or_else(|error| error, |map| map.damaged(place.offset as usize, what))
    }

    /// Why the file cannot be read, or each of its blocks that fails its checksum.
    pub fn check_all(&self, go_on: &GoOn<'_>) -> Vec<Error> {
        match self.map() {
            Ok(map) => map.check_all(go_on),
            Err(error) => vec![error],
        }
    }
}

/// Unpacks the value until the filter is decided. The filter gets the unpacked beginning each time its length doubles.
fn matches_packed(
    stored: &[u8],
    filter: &PreparedFilter,
    item: &ItemFacts<'_>,
    beginning: &mut Vec<u8>,
) -> std::result::Result<bool, String> {
    let (mut unpacker, mut enough) = (Unpacker::new(stored)?, BLOCK_BYTES);
    while !unpacker.is_complete() {
        unpacker.next_block(beginning)?;
        if beginning.len() >= enough && !unpacker.is_complete() {
            if let Some(wanted) = filter.decided_by(beginning, item) {
                return Ok(wanted);
            }
            enough = 2 * beginning.len();
        }
    }
    Ok(filter.holds(beginning, item))
}
