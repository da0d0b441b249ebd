//! What a manifest says of one segment: its truth file, its tombstones, its blob files, and the derived files beside it.
//!
//! Invariants:
//! * Blob files and derived files are one list in the format, which is the manifest's (`manifest.rs`). Derived files of kinds that this version does not know stay named, so that
//!   a newer version finds them again.
//! * The terms of a graph stand here as well as in its file, so that they outlive the file.
//!
//! # Format
//!
//! The details of a graph: origin u16 (1 automatic, 2 earned, 3 requested), scope u16 (1 namespace, 2 prefix, 3 store), bytes
//! of the first row's encoded namespace that make the scope u32, first row u32, end of the rows u32. Codes have none. Those of
//! a blob file: bytes of the values in it u64, CRC of its header u32.

use std::sync::Arc;

use crate::codec::{Decoded, Reader, Writer};
use crate::error::Result;
use crate::record::Lsn;
use crate::segment::blob::{BLOB_FORM, Blob, BlobFile, KIND_BLOB};
use crate::segment::derived::{CODES_ENCODING, DerivedFile, KIND_CODES};
use crate::segment::graph_file::{GRAPH_FORM, KIND_GRAPH};
use crate::segment::graph_scope::Wanted;
use crate::segment::layout::{StoreKeys, blob_name, codes_name, dead_name, graph_name, truth_name};
use crate::segment::sealed::{Segment, SegmentFiles};
use crate::segment::values::KnownBlobs;
use crate::segment::writer::SegmentInfo;
use crate::storage::Storage;

use super::FILE_BYTES_MAX;

/// One segment with its tombstones and derived files.
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
    pub dead_generation: u64,
    /// The encoded namespaces of the first and the last row: what is lost if the file is.
    pub first_namespace: Vec<u8>,
    pub last_namespace: Vec<u8>,
    /// In the order of the list in the truth file.
    pub blobs: Vec<BlobFile>,
    pub derived: Vec<DerivedEntry>,
}

/// A file that could be rebuilt from the segment it stands beside.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct DerivedEntry {
    pub kind: u16,
    pub version: u16,
    pub file_id: u64,
    pub length: u64,
    /// What its kind says of it, encoded: the bytes of kinds that this version does not know are kept as they are.
    pub details: Vec<u8>,
}

impl DerivedEntry {
    pub fn codes(file: DerivedFile) -> Self {
        Self {
            kind: KIND_CODES,
            version: CODES_ENCODING,
            file_id: file.file_id,
            length: file.length,
            details: Vec::new(),
        }
    }

    pub fn graph(file: DerivedFile, wanted: &Wanted) -> Self {
        let mut details = Writer::new();
        wanted.encode(&mut details);
        let DerivedFile { file_id, length } = file;
        Self { kind: KIND_GRAPH, version: GRAPH_FORM, file_id, length, details: details.into_vec() }
    }

    /// The file's name; a kind that this version does not know has names of its own.
    pub fn name(&self) -> Option<String> {
        match self.kind {
            KIND_CODES => Some(codes_name(self.file_id)),
            KIND_GRAPH => Some(graph_name(self.file_id)),
            // Of another form.
            KIND_BLOB => Some(blob_name(self.file_id)),
            _ => None,
        }
    }

    /// The file, if it is of this kind and form.
    fn of(&self, kind: u16, version: u16) -> Option<DerivedFile> {
        let fits = (self.kind, self.version) == (kind, version);
        fits.then_some(DerivedFile { file_id: self.file_id, length: self.length })
    }
}

impl SegmentEntry {
    /// The entry of a segment that has just been written.
    pub fn new(info: &SegmentInfo) -> Self {
        Self {
            file_id: info.files.file_id,
            length: info.files.length,
            header_crc: info.files.header_crc,
            rows: info.counts.rows,
            vectors: info.counts.vectors,
            lsn_base: 0,
            newest_lsn: info.newest_lsn,
            dead_generation: 0,
            first_namespace: info.first_namespace.clone(),
            last_namespace: info.last_namespace.clone(),
            blobs: info.blobs.clone(),
            derived: info.files.codes.map(DerivedEntry::codes).into_iter().collect(),
        }
    }

    /// Bytes of the segment's files, tombstones and blob files apart.
    pub fn bytes(&self) -> u64 {
        self.length + self.derived.iter().map(|derived| derived.length).sum::<u64>()
    }

    /// What opens the segment, its graphs apart.
    pub fn files(&self) -> SegmentFiles {
        let codes = self.derived.iter().find_map(|derived| derived.of(KIND_CODES, CODES_ENCODING));
        let Self { file_id, length, header_crc, lsn_base, .. } = *self;
        SegmentFiles { file_id, length, header_crc, codes, lsn_base }
    }

    /// Opens the segment with its derived files, of which those that do not open are done without.
    pub fn open(&self, storage: &dyn Storage, keys: &StoreKeys) -> Result<Segment> {
        self.open_beside(storage, keys, &[])
    }

    /// The same where blob files that it has taken over are open.
    pub fn open_beside(&self, storage: &dyn Storage, keys: &StoreKeys, opened: &[Arc<Blob>]) -> Result<Segment> {
        let graphs: Vec<DerivedFile> =
            self.derived.iter().filter_map(|derived| derived.of(KIND_GRAPH, GRAPH_FORM)).collect();
        let known = KnownBlobs { named: Some(&self.blobs), opened };
        Ok(Segment::open_knowing(storage, keys, (&self.files(), &known))?.open_graphs(storage, keys, &graphs))
    }

    /// On which terms the graph `file_id` was built.
    pub fn graph_terms(&self, file_id: u64) -> Option<Wanted> {
        let graphs = self.derived.iter().filter(|derived| derived.of(KIND_GRAPH, GRAPH_FORM).is_some());
        let graph = graphs.into_iter().find(|graph| graph.file_id == file_id)?;
        let mut reader = Reader::new(&graph.details);
        let wanted = Wanted::decode(&mut reader).ok().filter(|wanted| wanted.rows.end <= self.rows)?;
        reader.finish().ok().map(|()| wanted)
    }

    /// Whether an import wrote the segment: its LSNs are counted from the first one of its frame.
    pub fn is_ingested(&self) -> bool {
        self.lsn_base > 0
    }

    /// The same segment with its LSNs, so far counted from 0, counted from `base`.
    #[must_use]
    pub fn counted_from(self, base: Lsn) -> Self {
        Self { lsn_base: base, newest_lsn: self.newest_lsn + base, ..self }
    }

    /// The bytes by which a manifest, and the frame of an import, name the segment.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new();
        encode_segment(&mut out, self);
        out.into_vec()
    }

    /// Reads what [`encode`](Self::encode) has written.
    pub fn decode(bytes: &[u8]) -> Decoded<Self> {
        let mut reader = Reader::new(bytes);
        let segment = decode_segment(&mut reader)?;
        reader.finish()?;
        Ok(segment)
    }

    /// The names of all files of the segment.
    pub fn file_names(&self) -> impl Iterator<Item = String> + '_ {
        let dead = (self.dead_generation > 0).then(|| dead_name(self.file_id, self.dead_generation));
        self.names().chain(dead)
    }

    /// The names of the segment's files, tombstones apart.
    pub fn names(&self) -> impl Iterator<Item = String> + '_ {
        let blobs = self.blobs.iter().map(|blob| blob_name(blob.file_id));
        let derived = self.derived.iter().filter_map(DerivedEntry::name);
        std::iter::once(truth_name(self.file_id)).chain(blobs).chain(derived)
    }
}

pub(super) fn encode_segment(out: &mut Writer, segment: &SegmentEntry) {
    out.u64(segment.file_id);
    out.u64(segment.length);
    out.u32(segment.header_crc);
    out.u32(segment.rows);
    out.u32(segment.vectors);
    out.u64(segment.lsn_base);
    out.u64(segment.newest_lsn);
    out.u64(segment.dead_generation);
    out.prefixed(&segment.first_namespace);
    out.prefixed(&segment.last_namespace);
    let blobs: Vec<DerivedEntry> = segment.blobs.iter().map(encode_blob).collect();
    out.count(segment.derived.len() + blobs.len());
    for derived in segment.derived.iter().chain(&blobs) {
        out.u16(derived.kind);
        out.u16(derived.version);
        out.u64(derived.file_id);
        out.u64(derived.length);
        out.prefixed(&derived.details);
    }
}

pub(super) fn decode_segment(reader: &mut Reader<'_>) -> Decoded<SegmentEntry> {
    let (file_id, length, header_crc) = (reader.u64()?, reader.u64()?, reader.u32()?);
    let (rows, vectors) = (reader.u32()?, reader.u32()?);
    let (lsn_base, newest_lsn, dead_generation) = (reader.u64()?, reader.u64()?, reader.u64()?);
    let first_namespace = reader.prefixed(FILE_BYTES_MAX)?.to_vec();
    let last_namespace = reader.prefixed(FILE_BYTES_MAX)?.to_vec();
    let count = reader.count(24, FILE_BYTES_MAX)?;
    let (mut blobs, mut derived) = (Vec::new(), Vec::new());
    for _ in 0..count {
        let (kind, version) = (reader.u16()?, reader.u16()?);
        let (file_id, length) = (reader.u64()?, reader.u64()?);
        let details = reader.prefixed(FILE_BYTES_MAX)?.to_vec();
        let entry = DerivedEntry { kind, version, file_id, length, details };
        match decode_blob(&entry) {
            Some(blob) => blobs.push(blob),
            None => derived.push(entry),
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
        dead_generation,
        first_namespace,
        last_namespace,
        blobs,
        derived,
    })
}

fn encode_blob(blob: &BlobFile) -> DerivedEntry {
    let mut details = Writer::new();
    details.u64(blob.value_bytes);
    details.u32(blob.header_crc);
    let BlobFile { file_id, length, .. } = *blob;
    DerivedEntry { kind: KIND_BLOB, version: BLOB_FORM, file_id, length, details: details.into_vec() }
}

/// The blob file that an entry names, if it is one of the form that this version knows.
fn decode_blob(entry: &DerivedEntry) -> Option<BlobFile> {
    let DerivedFile { file_id, length } = entry.of(KIND_BLOB, BLOB_FORM)?;
    let mut reader = Reader::new(&entry.details);
    let (value_bytes, header_crc) = (reader.u64().ok()?, reader.u32().ok()?);
    reader.finish().ok()?;
    Some(BlobFile { file_id, length, value_bytes, header_crc, reserved: 0 })
}
