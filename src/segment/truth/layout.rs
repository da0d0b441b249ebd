//! The truth file of a segment: all data of its rows that cannot be recomputed, except the values in blob files.
//!
//! Invariants:
//! * Rows are sorted by (encoded namespace, key) and there is one row for each pair, so a namespace, and every prefix
//!   of namespaces, is one interval of rows.
//! * The counts in the header determine the lengths of most sections. If a header decodes, its sections lie in the
//!   body, are aligned, and have those lengths.
//! * A reader ignores sections that it does not know, and refuses values in forms that it does not know.
//!
//! # Format
//!
//! `seg-{file id, 16 hex digits}.truth` is a file in checked blocks (`blocks.rs` has its frame and the first 64 bytes
//! of the header) with magic `VECMEMTR` and format version 2. Little endian. Files of version 1 have no sections from
//! 33 on.
//!
//! ```text
//! OFFSET  SIZE  MEANING (n rows, v vectors, s namespaces, p paths, l path lists)
//! 64      4     dimensions; 0 where the store had no vector space when the file was written
//! 68      2     metric: 0 cosine, 1 dot, 2 L2
//! 70      2     number of vector spaces, 0 or 1: a file has vectors of one space only (`record/` says where others are)
//! 72      4     n, at least 1
//! 76      4     v
//! 80      4     s
//! 84      4     p
//! 88      4     l
//! 92      4     most vectors of one row
//! 96      8     oldest LSN
//! 104     8     newest LSN
//! 112     8     earliest expiry, microseconds since 1970 UTC; 2^63 - 1 if no row expires
//! 120     4     number of sections
//! 124     2     id of the vector space, 0 in files of format version 1
//! 126     2     flags: 1 if LSNs are counted from one that the manifest names, since an import wrote the file before it had any; files
//!               of format version 1 have none
//! 128     24 x  sections: kind u32, bytes of one element u32, offset in the file u64, length in bytes u64
//!
//! KIND  ELEMENTS  MEANING (each section begins at a multiple of 64, in any order, with zeros between)
//! 1     v*d x 4   vectors: f32, the rows' vectors in row order
//! 2     any x 1   values that lie in this file, in row order
//! 3     n x 8     LSN of the write, u64
//! 4     n x 8     created at: i64 microseconds since 1970 UTC
//! 5     n x 8     updated at: i64 microseconds since 1970 UTC
//! 6     n x 8     expires at: i64 microseconds since 1970 UTC, 2^63 - 1 for never
//! 7     n x 8     own time to live: i64 microseconds, 0 for none
//! 8     n x 4     flags, 0
//! 9     n x 8     value: offset, u64: in section 2 for this file, from its beginning for a blob file
//! 10    n x 4     value: length as stored, u32
//! 11    n x 4     value: low 8 bits the codec (0 raw, 1 lz4), high 24 bits the file: 0 this one, where all are raw, else the
//!                 number of the blob file in section 31, from 1 (`blob.rs`)
//! 12    n+1 x 4   first vector of each row; the last entry is v
//! 13    n x 4     path list of the fields to embed, 0 for "as configured", else its number from 1
//! 14    n+1 x 8   offset of each key in section 15; the last entry is that section's length
//! 15    any x 1   keys
//! 16    any x 64  buckets of the hash table of (namespace, key) (`key_table.rs`)
//! 17    any x 16  spill list of the same
//! 18    s+1 x 8   offset of each namespace in section 19; the last entry is that section's length
//! 19    any x 1   encoded namespaces, sorted
//! 20    s+1 x 4   first row of each namespace; the last entry is n
//! 21    any x 64  buckets of the hash table of namespaces
//! 22    any x 16  spill list of the same
//! 23    v x 4     row of each vector
//! 24    v x 4     path of each vector, a number from 0
//! 25    v x 2     id of the vector space of each vector, that of the header
//! 26    v x 4     inverse norm of each vector: f32, 0 for a zero vector
//! 27    p+1 x 8   offset of each path in section 28; the last entry is that section's length
//! 28    any x 1   paths
//! 29    l+1 x 4   first entry of each path list in section 30; the last entry is that section's length in entries
//! 30    any x 4   entries of path lists: paths
//! 31    any x 32  blob files that values lie in: file id u64, length of the file u64, bytes of the values in it u64, CRC of
//!                 its header u32, 0 u32; files written before there were any have no such section
//! 32    v x 16    hash of the text that each vector embeds, and of the model, u128 (`text_hash` in `record/`), 0 for none;
//!                 empty where all are 0
//! 33    n+1 x 8   offset of each row's extensions in section 34; the last entry is that section's length; empty where no row has any
//! 34    any x 1   extensions of rows (`extensions.rs`, kinds in `record/`)
//! 35    any x 4   the kinds in section 34, rising: kind u16, 1 if it must be understood u16
//! ```

use std::ops::Range;

use crate::codec::{Decoded, FormatError, Reader, Writer};
use crate::error::{Error, ErrorKind, Result};
use crate::file_names::segment_name;
use crate::record::{ALIVE, Lsn, SpaceId};
use crate::segment::blocks::{ALIGNMENT, FileIdentity, HEADER_BYTES};
use crate::segment::key_table::bucket_count;
use crate::types::{Metric, VectorSpace, limits};

#[cfg(target_endian = "big")]
compile_error!("segments are read in place, so vecmem needs a little-endian machine");

const MAGIC: &[u8; 8] = b"VECMEMTR";
const VERSION: u32 = 2;

/// The flag of a header whose LSNs are relative to one that the manifest names.
const RELATIVE_LSNS: u16 = 1;

/// The identity, the secret and the vector space that all segments of a store share.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct StoreIdentity {
    pub store_id: u64,
    /// The secret of the hashes of names, so that no client can make them collide.
    pub secret: [u64; 2],
    pub space: Option<VectorSpace>,
    /// The id of `space`; 0 where there is none.
    pub space_id: SpaceId,
}

impl StoreIdentity {
    /// The identity that the checksums of a truth file are bound to.
    pub fn truth(&self, file_id: u64) -> FileIdentity {
        FileIdentity { magic: *MAGIC, version: VERSION, store_id: self.store_id, file_id }
    }
}

/// The name of the truth file of a segment.
pub(crate) fn truth_name(file_id: u64) -> String {
    segment_name(file_id, "truth")
}

/// The name of a codes file of a segment.
pub(crate) fn codes_name(file_id: u64) -> String {
    segment_name(file_id, "codes")
}

/// The name of a fields file of a segment.
pub(crate) fn fields_name(file_id: u64) -> String {
    segment_name(file_id, "fields")
}

/// The name of a graph file of a segment.
pub(crate) fn graph_name(file_id: u64) -> String {
    segment_name(file_id, "graph")
}

/// The name of a blob file of a segment.
pub(crate) fn blob_name(file_id: u64) -> String {
    segment_name(file_id, "blob")
}

/// The name of the tombstone file of a segment that was written with `generation`.
pub(crate) fn tombstones_name(file_id: u64, generation: u64) -> String {
    format!("seg-{file_id:016x}-{generation:016x}.dead")
}

/// A section of the file; the number is its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Section {
    Vectors = 1,
    Values,
    Lsn,
    CreatedAt,
    UpdatedAt,
    ExpiresAt,
    Ttl,
    Flags,
    ValueOffset,
    ValueLength,
    ValueSource,
    FirstVector,
    PathList,
    KeyOffset,
    KeyBytes,
    KeyBuckets,
    KeySpill,
    NamespaceOffset,
    NamespaceBytes,
    NamespaceFirstRow,
    NamespaceBuckets,
    NamespaceSpill,
    VectorRow,
    VectorPath,
    VectorSpaceId,
    InverseNorm,
    PathOffset,
    PathBytes,
    PathListStart,
    PathListEntry,
    BlobFiles,
    TextHash,
    ExtensionOffset,
    ExtensionBytes,
    ExtensionKind,
}

const SECTIONS: usize = Section::ExtensionKind as usize;

/// Bytes of one element of each kind, from kind 1.
const ELEMENT_BYTES: [u32; SECTIONS] =
    [4, 1, 8, 8, 8, 8, 8, 4, 8, 4, 4, 4, 4, 8, 1, 64, 16, 8, 1, 4, 64, 16, 4, 4, 2, 4, 8, 1, 4, 4, 32, 16, 8, 1, 4];

impl Section {
    /// Bytes of one element.
    #[inline]
    pub fn element_bytes(self) -> usize {
        ELEMENT_BYTES[self as usize - 1] as usize
    }
}

/// The numbers of rows, vectors and names of a segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub rows: u32,
    pub vectors: u32,
    pub namespaces: u32,
    pub paths: u32,
    pub path_lists: u32,
}

/// The header's fields.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Header {
    pub space: Option<VectorSpace>,
    pub space_id: SpaceId,
    /// Whether the LSNs in the file are relative to one that the manifest names.
    pub has_relative_lsns: bool,
    pub counts: Counts,
    pub row_vectors_max: u32,
    pub oldest_lsn: Lsn,
    pub newest_lsn: Lsn,
    pub earliest_expiry: i64,
    sections: [Range<usize>; SECTIONS],
}

impl Header {
    pub fn new(space: Option<VectorSpace>, space_id: SpaceId, counts: Counts) -> Self {
        let sections = [const { 0..0 }; SECTIONS];
        Self {
            space,
            space_id,
            has_relative_lsns: false,
            counts,
            row_vectors_max: 0,
            oldest_lsn: Lsn::ZERO,
            newest_lsn: Lsn::ZERO,
            earliest_expiry: 0,
            sections,
        }
    }

    /// Where a section lies in the file.
    #[inline]
    pub fn section(&self, section: Section) -> Range<usize> {
        self.sections[section as usize - 1].clone()
    }

    /// Fails if the vectors of the file are not of the store's current vector space. This version cannot use vectors of
    /// another one.
    pub fn check_space(&self, keys: &StoreIdentity) -> Result<()> {
        if keys.space.is_some() && self.space_id != keys.space_id {
            let why = "it has vectors of a vector space that is not the current one; upgrade vecmem to open this store";
            return Err(Error::new(ErrorKind::NewerFormat, why));
        }
        if self.space == keys.space {
            Ok(())
        } else {
            Err(Error::new(ErrorKind::Corrupt, "the vector space is not the store's"))
        }
    }

    pub fn set_section(&mut self, section: Section, range: Range<usize>) {
        self.sections[section as usize - 1] = range;
    }

    /// The length in bytes that the counts determine for a kind; `None` if they do not.
    fn length(&self, kind: u32) -> Option<u64> {
        let Counts { rows, vectors, namespaces, paths, path_lists } = self.counts;
        let [rows, vectors, namespaces] = [rows, vectors, namespaces].map(u64::from);
        let buckets = |names: u64| bucket_count(names as usize) as u64;
        let elements = match kind {
            1 => vectors * self.space.map_or(0, |space| space.dims as u64),
            3..=11 | 13 => rows,
            12 | 14 => rows + 1,
            16 => buckets(rows),
            18 | 20 => namespaces + 1,
            21 => buckets(namespaces),
            23..=26 => vectors,
            27 => u64::from(paths) + 1,
            29 => u64::from(path_lists) + 1,
            _ => return None,
        };
        Some(elements * u64::from(ELEMENT_BYTES[kind as usize - 1]))
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.u32(self.space.map_or(0, |space| space.dims as u32));
        out.u16(self.space.map_or(0, |space| space.metric.code()));
        out.u16(u16::from(self.space.is_some()));
        let Counts { rows, vectors, namespaces, paths, path_lists } = self.counts;
        for count in [rows, vectors, namespaces, paths, path_lists, self.row_vectors_max] {
            out.u32(count);
        }
        out.u64(self.oldest_lsn.get());
        out.u64(self.newest_lsn.get());
        out.i64(self.earliest_expiry);
        out.u32(SECTIONS as u32);
        out.u16(self.space_id.0);
        out.u16(if self.has_relative_lsns { RELATIVE_LSNS } else { 0 });
        for ((kind, range), element) in (1..).zip(&self.sections).zip(ELEMENT_BYTES) {
            debug_assert!(self.length(kind).is_none_or(|length| length == range.len() as u64));
            out.u32(kind);
            out.u32(element);
            out.u64(range.start as u64);
            out.u64(range.len() as u64);
        }
        out.into_vec()
    }

    /// Reads the fields of a file whose body ends at `body_end`. All sections of the returned header lie in the body.
    pub fn decode(fields: &[u8], body_end: usize) -> Decoded<Self> {
        let mut reader = Reader::new(fields);
        let (dims, metric, spaces) = (reader.u32()? as usize, reader.u16()?, reader.u16()?);
        let space = match (spaces, Metric::of_code(metric)) {
            (0, _) if dims == 0 => None,
            (1, Some(metric)) if (1..=limits::DIMENSIONS).contains(&dims) => Some(VectorSpace { dims, metric }),
            _ => return Err(reader.malformed("the vector space is none that this version knows")),
        };
        let (rows, vectors, namespaces) = (reader.u32()?, reader.u32()?, reader.u32()?);
        let (paths, path_lists) = (reader.u32()?, reader.u32()?);
        let mut header = Self::new(space, SpaceId::default(), Counts { rows, vectors, namespaces, paths, path_lists });
        header.row_vectors_max = reader.u32()?;
        (header.oldest_lsn, header.newest_lsn) = (Lsn::new(reader.u64()?), Lsn::new(reader.u64()?));
        header.earliest_expiry = reader.i64()?;
        let plausible = rows > 0
            && (1..=rows).contains(&namespaces)
            && (vectors == 0 || space.is_some())
            && header.oldest_lsn <= header.newest_lsn
            && header.newest_lsn < ALIVE;
        if !plausible {
            return Err(reader.malformed("the counts contradict each other"));
        }
        // The id of the vector space and the flags follow, then the sections.
        let sections = reader.count(24, usize::MAX)?;
        header.space_id = SpaceId(reader.u16()?);
        let flags = reader.u16()?;
        if flags & !RELATIVE_LSNS != 0 {
            return Err(FormatError::newer(reader.position()));
        }
        header.has_relative_lsns = flags == RELATIVE_LSNS;
        for _ in 0..sections {
            header.decode_section(&mut reader, body_end)?;
        }
        if (1..=SECTIONS).any(|kind| {
            header.length(kind as u32).is_some_and(|length| length != header.sections[kind - 1].len() as u64)
        }) {
            return Err(reader.malformed("a section is missing"));
        }
        let text_hashes = header.section(Section::TextHash).len() as u64;
        if text_hashes != 0 && text_hashes != 16 * u64::from(vectors) {
            return Err(reader.malformed("the hashes of texts are not as many as the vectors"));
        }
        let extensions = header.section(Section::ExtensionOffset).len() as u64;
        if extensions != 0 && extensions != 8 * (u64::from(rows) + 1) {
            return Err(reader.malformed("the extensions are not as many as the rows"));
        }
        Ok(header)
    }

    fn decode_section(&mut self, reader: &mut Reader<'_>, body_end: usize) -> Decoded<()> {
        let (kind, element, start, length) = (reader.u32()?, reader.u32()?, reader.u64()?, reader.u64()?);
        let Some(&expected) = ELEMENT_BYTES.get((kind as usize).wrapping_sub(1)) else { return Ok(()) };
        let end = start.checked_add(length).filter(|&end| end <= body_end as u64);
        let fits = start >= HEADER_BYTES as u64
            && start.is_multiple_of(ALIGNMENT as u64)
            && element == expected
            && length.is_multiple_of(u64::from(expected))
            && self.length(kind).is_none_or(|exact| exact == length);
        let Some(end) = end.filter(|_| fits) else {
            return Err(reader.malformed("a section is misplaced or of the wrong length"));
        };
        self.sections[kind as usize - 1] = start as usize..end as usize;
        Ok(())
    }
}
