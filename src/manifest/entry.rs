//! The entry of one segment in a manifest: its truth file, its tombstones, and the files beside it.
//!
//! Invariants:
//! * The files beside a segment are one list on disk. Files of unknown kinds stay in the list, so that a newer version
//!   finds them. If such a file must be understood, the open fails.
//! * The terms of a graph (its rows, scope and origin) are in the entry and in the graph's file, so that they outlive
//!   the file.
//! * An entry holds only as much of a namespace as tells the segment from its neighbours (`shard/bounds.rs`).
//!
//! # Format
//!
//! `text` and `bytes` are a u32 length and that many bytes. A segment: file id u64, file length u64, header CRC u32,
//! rows u32, vectors u32, base that the LSNs in the file are counted from u64 (0 for absolute ones; else the first LSN
//! of the frame of the import that wrote the file), newest LSN u64, generation of its tombstones u64 (0 for none),
//! `bytes` at or below the encoded namespace of its first row, `bytes` at or above that of its last row, the files
//! beside it: number u32, for each its kind `text`, version u16, flags u16, file id u64, length u64, details `bytes`.
//!
//! | KIND | FLAGS | DETAILS |
//! |---|---|---|
//! | `codes` | 0 | none |
//! | `fields` | 0 | none |
//! | `graph` | 0 | origin u16 (1 automatic, 2 earned, 3 requested), scope u16 (1 namespace, 2 prefix, 3 store), bytes of the first row's encoded namespace that make the scope u32, first row u32, end of the rows u32 |
//! | `missed` | 1 | none (`shard/missed.rs`) |
//! | `blob` | 1 | bytes of the values in it u64, CRC of its header u32 |
//!
//! Of the store as a whole: `operations`, flag 1, without details (`engine/operation_ids.rs`).
//!
//! Flag 1: the file cannot be rebuilt, and a reader that does not know its kind must not read the segment. A file lies
//! at `seg-{file id, 16 hexadecimal digits}.{kind}`. In manifests of format version 1, and log files of that version,
//! the kind is a number u16 (1 codes, 2 graph, 3 blob) and there are no flags.

use std::sync::Arc;

use crate::codec::{Decoded, Reader, Writer};
use crate::error::{Error, ErrorKind, Result};
use crate::file_names::{is_kind, segment_name};
use crate::record::Lsn;
use crate::segment::Segment;
use crate::segment::blob::file::{BLOB_FORM, Blob, BlobFile};
use crate::segment::blob::values::KnownBlobs;
use crate::segment::derived::codes::{CODES_ENCODING, DerivedFile};
use crate::segment::derived::fields::FIELDS_FORM;
use crate::segment::derived::graph::GRAPH_FORM;
use crate::segment::derived::graph_scope::GraphRange;
use crate::segment::truth::layout::{StoreIdentity, blob_name, tombstones_name, truth_name};
use crate::segment::truth::reader::SegmentFiles;
use crate::segment::truth::writer::SegmentInfo;
use crate::storage::Storage;
use crate::types::Extent;

use super::file_kind::FileKind;
use super::{FILE_BYTES_MAX, NUMBERS_MAX};

/// A flag of a file beside a segment: the file cannot be rebuilt, and a reader must know its kind.
const MUST_UNDERSTAND: u16 = 1;
/// The version of files of missed operations.
const MISSED_FORM: u16 = 1;
/// The fewest bytes of the entry of a file beside a segment, in either form.
const SIDE_BYTES_MIN: usize = 24;

/// The form in which entries name kinds of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EntryForm {
    /// By number, in format version 1.
    Numbered,
    Named,
}

/// One segment with its tombstones and the files beside it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SegmentEntry {
    pub file_id: u64,
    pub length: u64,
    pub header_crc: u32,
    pub rows: u32,
    pub vectors: u32,
    pub lsn_base: Lsn,
    pub newest_lsn: Lsn,
    /// 0 for none.
    pub tombstone_generation: u64,
    /// An interval that contains the namespaces of its rows.
    pub extent: Extent,
    /// In the order of the list in the truth file.
    pub blobs: Vec<BlobFile>,
    pub derived: Vec<SideEntry>,
    /// Files of operations that a damaged segment missed: the current file, and earlier ones that could not be read.
    pub missed: Vec<DerivedFile>,
}

/// A file beside a segment, or of the store as a whole.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SideEntry {
    pub kind: FileKind,
    pub version: u16,
    /// The file cannot be rebuilt, and a reader that does not know its kind must not read the segment.
    pub must_understand: bool,
    pub file_id: u64,
    pub length: u64,
    /// The encoded details, whose form depends on the kind. Those of an unknown kind are kept as they are.
    pub details: Vec<u8>,
}

impl SideEntry {
    pub fn codes(file: DerivedFile) -> Self {
        Self::derived(FileKind::CODES, CODES_ENCODING, file, Vec::new())
    }

    pub fn fields(file: DerivedFile) -> Self {
        Self::derived(FileKind::FIELDS, FIELDS_FORM, file, Vec::new())
    }

    pub fn graph(file: DerivedFile, wanted: &GraphRange) -> Self {
        let mut details = Writer::new();
        wanted.encode(&mut details);
        Self::derived(FileKind::GRAPH, GRAPH_FORM, file, details.into_vec())
    }

    fn derived(kind: FileKind, version: u16, file: DerivedFile, details: Vec<u8>) -> Self {
        let DerivedFile { file_id, length } = file;
        Self { kind, version, must_understand: false, file_id, length, details }
    }

    /// The file's name.
    pub fn name(&self) -> String {
        segment_name(self.file_id, self.kind.as_str())
    }

    /// For a file of an unknown kind or version: fails if a reader must understand the file. `manifest` is the name of
    /// the file that names it, for the error.
    pub fn check_ignorable(&self, manifest: &str) -> Result<()> {
        if !self.must_understand {
            return Ok(());
        }
        let name = self.name();
        let why =
            format!("{manifest} names {name}, which this version of vecmem does not know; upgrade to open this store");
        Err(Error::new(ErrorKind::NewerFormat, why).at(name, None))
    }

    /// The entry of a file of operation ids.
    pub fn operations(file_id: u64, length: u64) -> Self {
        let file = DerivedFile { file_id, length };
        Self { must_understand: true, ..Self::derived(FileKind::OPERATIONS, 1, file, Vec::new()) }
    }

    /// Whether the file holds operation ids, in a version that this reader knows.
    pub fn is_operations(&self) -> bool {
        self.of(&FileKind::OPERATIONS, 1).is_some()
    }

    /// The file, if it is of this kind and version.
    fn of(&self, kind: &FileKind, version: u16) -> Option<DerivedFile> {
        let fits = (&self.kind, self.version) == (kind, version);
        fits.then_some(DerivedFile { file_id: self.file_id, length: self.length })
    }
}

impl SegmentEntry {
    /// The entry of a segment that has just been written.
    pub fn new(info: &SegmentInfo, extent: Extent) -> Self {
        let codes = info.files.codes.map(SideEntry::codes).into_iter();
        Self {
            file_id: info.files.file_id,
            length: info.files.length,
            header_crc: info.files.header_crc,
            rows: info.counts.rows,
            vectors: info.counts.vectors,
            lsn_base: Lsn::ZERO,
            newest_lsn: info.newest_lsn,
            tombstone_generation: 0,
            extent,
            blobs: info.blobs.clone(),
            derived: codes.chain(info.files.fields.map(SideEntry::fields)).collect(),
            missed: Vec::new(),
        }
    }

    /// Bytes of the truth file and the derived files.
    pub fn bytes(&self) -> u64 {
        self.length + self.derived.iter().map(|derived| derived.length).sum::<u64>()
    }

    /// The files that are needed to open the segment, its codes and its field index. Graphs are opened separately.
    pub fn files(&self) -> SegmentFiles {
        let codes = self.derived.iter().find_map(|derived| derived.of(&FileKind::CODES, CODES_ENCODING));
        let fields = self.derived.iter().find_map(|derived| derived.of(&FileKind::FIELDS, FIELDS_FORM));
        let Self { file_id, length, header_crc, lsn_base, .. } = *self;
        SegmentFiles { file_id, length, header_crc, codes, fields, lsn_base }
    }

    /// Opens the segment with its derived files. A derived file that does not open is left out.
    pub fn open(&self, storage: &dyn Storage, keys: &StoreIdentity) -> Result<Segment> {
        self.open_beside(storage, keys, &[])
    }

    /// Like [`open`](Self::open), with blob files that are open already.
    pub fn open_beside(&self, storage: &dyn Storage, keys: &StoreIdentity, opened: &[Arc<Blob>]) -> Result<Segment> {
        let graphs: Vec<DerivedFile> =
            self.derived.iter().filter_map(|derived| derived.of(&FileKind::GRAPH, GRAPH_FORM)).collect();
        let known = KnownBlobs { named: Some(&self.blobs), opened };
        Ok(Segment::open_knowing(storage, keys, &self.files(), &known)?.open_graphs(storage, keys, &graphs))
    }

    /// Fails if a file beside the segment must be understood, but is of an unknown kind or version. `carrier` is the
    /// name of the file that holds the entry, for the error.
    pub fn check_ignorable(&self, carrier: &str) -> Result<()> {
        self.derived.iter().try_for_each(|side| side.check_ignorable(carrier))
    }

    /// The terms of the graph with this file id, if the entry has that graph and the terms are valid.
    pub fn graph_terms(&self, file_id: u64) -> Option<GraphRange> {
        let graphs = self.derived.iter().filter(|derived| derived.of(&FileKind::GRAPH, GRAPH_FORM).is_some());
        let graph = graphs.into_iter().find(|graph| graph.file_id == file_id)?;
        let mut reader = Reader::new(&graph.details);
        let wanted = GraphRange::decode(&mut reader).ok().filter(|wanted| wanted.rows.end.0 <= self.rows)?;
        reader.finish().ok().map(|()| wanted)
    }

    /// Whether an import wrote the segment. LSNs in its file are then relative to the first LSN of its frame.
    pub fn is_ingested(&self) -> bool {
        self.lsn_base > Lsn::ZERO
    }

    /// The same segment, with `base` as the LSN that its file counts from.
    #[must_use]
    pub fn counted_from(self, base: Lsn) -> Self {
        Self { lsn_base: base, newest_lsn: base + self.newest_lsn.get(), ..self }
    }

    /// The encoded entry, as a manifest and the frame of an import hold it.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new();
        encode_segment(&mut out, self);
        out.into_vec()
    }

    /// Reads the bytes of [`encode`](Self::encode), of this version or an earlier one.
    pub fn decode(bytes: &[u8], form: EntryForm) -> Decoded<Self> {
        let mut reader = Reader::new(bytes);
        let segment = decode_segment(&mut reader, form)?;
        reader.finish()?;
        Ok(segment)
    }

    /// The names of all files of the segment.
    pub fn file_names(&self) -> impl Iterator<Item = String> + '_ {
        let dead = (self.tombstone_generation > 0).then(|| tombstones_name(self.file_id, self.tombstone_generation));
        let missed = self.missed.iter().map(|file| segment_name(file.file_id, FileKind::MISSED.as_str()));
        self.names().chain(dead).chain(missed)
    }

    /// The names of the truth file, the blob files and the derived files.
    pub fn names(&self) -> impl Iterator<Item = String> + '_ {
        let blobs = self.blobs.iter().map(|blob| blob_name(blob.file_id));
        let derived = self.derived.iter().map(SideEntry::name);
        std::iter::once(truth_name(self.file_id)).chain(blobs).chain(derived)
    }
}

pub(super) fn encode_segment(out: &mut Writer, segment: &SegmentEntry) {
    out.u64(segment.file_id);
    out.u64(segment.length);
    out.u32(segment.header_crc);
    out.u32(segment.rows);
    out.u32(segment.vectors);
    out.u64(segment.lsn_base.get());
    out.u64(segment.newest_lsn.get());
    out.u64(segment.tombstone_generation);
    out.prefixed(&segment.extent.lower);
    out.prefixed(&segment.extent.upper);
    let blobs: Vec<SideEntry> = segment.blobs.iter().map(encode_blob).collect();
    let missed = segment.missed.iter().map(|&file| SideEntry {
        must_understand: true,
        ..SideEntry::derived(FileKind::MISSED, MISSED_FORM, file, Vec::new())
    });
    let missed: Vec<SideEntry> = missed.collect();
    encode_sides(out, segment.derived.iter().chain(&blobs).chain(&missed));
}

pub(super) fn encode_sides<'a>(out: &mut Writer, sides: impl Iterator<Item = &'a SideEntry> + Clone) {
    out.count(sides.clone().count());
    for side in sides {
        out.prefixed(side.kind.as_str().as_bytes());
        out.u16(side.version);
        out.u16(if side.must_understand { MUST_UNDERSTAND } else { 0 });
        out.u64(side.file_id);
        out.u64(side.length);
        out.prefixed(&side.details);
    }
}

pub(super) fn decode_sides(reader: &mut Reader<'_>) -> Decoded<Vec<SideEntry>> {
    decode_sides_of(reader, EntryForm::Named)
}

fn decode_sides_of(reader: &mut Reader<'_>, form: EntryForm) -> Decoded<Vec<SideEntry>> {
    let count = reader.count(SIDE_BYTES_MIN, FILE_BYTES_MAX)?;
    (0..count).map(|_| decode_side(reader, form)).collect()
}

/// Reads a number that stands in the name of a file. A larger number would make a name that is not the store's.
fn number_in_name(reader: &mut Reader<'_>) -> Decoded<u64> {
    let number = reader.u64()?;
    let fits = number < NUMBERS_MAX;
    if fits { Ok(number) } else { Err(reader.malformed("the number in the name of a file is out of range")) }
}

fn decode_side(reader: &mut Reader<'_>, form: EntryForm) -> Decoded<SideEntry> {
    let kind = decode_kind(reader, form)?;
    let version = reader.u16()?;
    let flags = match form {
        EntryForm::Named => reader.u16()?,
        EntryForm::Numbered => u16::from(kind == FileKind::BLOB),
    };
    if flags & !MUST_UNDERSTAND != 0 {
        return Err(reader.malformed("a file beside a segment has flags that do not exist"));
    }
    let (file_id, length) = (number_in_name(reader)?, reader.u64()?);
    let details = reader.prefixed(FILE_BYTES_MAX)?.to_vec();
    Ok(SideEntry { kind, version, must_understand: flags == MUST_UNDERSTAND, file_id, length, details })
}

fn decode_kind(reader: &mut Reader<'_>, form: EntryForm) -> Decoded<FileKind> {
    if form == EntryForm::Numbered {
        let number = usize::from(reader.u16()?);
        let kind = FileKind::NUMBERED.get(number.wrapping_sub(1));
        return kind.cloned().ok_or(reader.malformed("unknown kind of a file beside a segment"));
    }
    let kind = reader.text(FILE_BYTES_MAX)?;
    if !is_kind(kind) {
        return Err(reader.malformed("the kind of a file beside a segment is no such name"));
    }
    Ok(FileKind::of(kind))
}

pub(super) fn decode_segment(reader: &mut Reader<'_>, form: EntryForm) -> Decoded<SegmentEntry> {
    let (file_id, length, header_crc) = (number_in_name(reader)?, reader.u64()?, reader.u32()?);
    let (rows, vectors) = (reader.u32()?, reader.u32()?);
    let (lsn_base, newest_lsn) = (Lsn::new(reader.u64()?), Lsn::new(reader.u64()?));
    let tombstone_generation = number_in_name(reader)?;
    let (lower, upper) = (reader.prefixed(FILE_BYTES_MAX)?.to_vec(), reader.prefixed(FILE_BYTES_MAX)?.to_vec());
    let (mut blobs, mut derived, mut missed) = (Vec::new(), Vec::new(), Vec::new());
    for side in decode_sides_of(reader, form)? {
        match (decode_blob(&side), side.of(&FileKind::MISSED, MISSED_FORM)) {
            (Some(blob), _) => blobs.push(blob),
            (None, Some(file)) => missed.push(file),
            (None, None) => derived.push(side),
        }
    }
    Ok(SegmentEntry {
        file_id,
        length,
        header_crc,
        rows,
        vectors,
        lsn_base,
        newest_lsn,
        tombstone_generation,
        extent: Extent { lower, upper },
        blobs,
        derived,
        missed,
    })
}

fn encode_blob(blob: &BlobFile) -> SideEntry {
    let mut details = Writer::new();
    details.u64(blob.value_bytes);
    details.u32(blob.header_crc);
    let file = DerivedFile { file_id: blob.file_id, length: blob.length };
    SideEntry { must_understand: true, ..SideEntry::derived(FileKind::BLOB, BLOB_FORM, file, details.into_vec()) }
}

/// The blob file of an entry; `None` if the entry is of another kind or of an unknown version.
fn decode_blob(entry: &SideEntry) -> Option<BlobFile> {
    let DerivedFile { file_id, length } = entry.of(&FileKind::BLOB, BLOB_FORM)?;
    let mut reader = Reader::new(&entry.details);
    let (value_bytes, header_crc) = (reader.u64().ok()?, reader.u32().ok()?);
    reader.finish().ok()?;
    Some(BlobFile { file_id, length, value_bytes, header_crc, reserved: 0 })
}
