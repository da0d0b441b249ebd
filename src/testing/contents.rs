//! The decoded contents of all files of a directory, for tests that look for bytes which no file may hold.
//!
//! Invariants:
//! * Every file is decoded by its kind. A file of an unknown kind is an error, so that no later kind is forgotten.
//! * Deleted rows are listed like living ones. Bytes of blob files that no row refers to are listed too.

use std::collections::HashMap;
use std::ops::Range;

use crate::error::{Error, Result};
use crate::file_names::{FileName, manifest_generation, parse_name};
use crate::ids::IdRange;
use crate::manifest::{FileKind, Manifest, SegmentEntry};
use crate::record::{Lsn, Operation};
use crate::segment::Segment;
use crate::segment::blocks::{CheckedMap, HEADER_BYTES};
use crate::segment::derived::graph::SegmentGraph;
use crate::segment::fuzz::packed_values;
use crate::segment::side_file::SideFile;
use crate::segment::tombstones::file::TombstoneFile;
use crate::segment::truth::layout::{Header, StoreIdentity, blob_name, truth_name};
use crate::segment::truth::reader::SegmentFiles;
use crate::shard::missed::MissedOperations;
use crate::storage::Storage;
use crate::wal::read_remains;

/// Something that a file holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// The file's name; `wal` for the frames of all log files.
    pub file: String,
    /// The file's kind: `manifest`, `log`, `truth`...; `plain` for a file that has no format.
    pub kind: String,
    /// What the bytes are: `value`, `key`, `namespace`...
    pub what: &'static str,
    /// The key of the item that the bytes belong to, or empty.
    pub key: String,
    /// The bytes, uncompressed.
    pub bytes: Vec<u8>,
}

/// Decodes every file of a directory. Damage, files that are not the store's, and unknown kinds are errors.
pub fn contents(storage: &dyn Storage) -> Result<Vec<Content>> {
    let names: Vec<String> = storage.list()?.into_iter().map(|(name, _)| name).collect();
    let newest = names.iter().filter_map(|name| manifest_generation(name)).max();
    let newest = newest.ok_or_else(|| Error::invalid("there is no manifest"))?;
    let name = crate::file_names::manifest_name(newest);
    let manifest = Manifest::decode(&name, &storage.map(&name)?, newest)?;
    let (space_id, space) = manifest.current_space().unzip();
    let (store_id, secret) = (manifest.store_id, manifest.secret);
    let keys = StoreIdentity { store_id, secret, space, space_id: space_id.unwrap_or_default() };
    let mut reading = ContentReader { storage, manifest, keys, used: HashMap::new(), out: Vec::new() };
    let mut blobs = Vec::new();
    for name in &names {
        match parse_name(name) {
            Some(FileName::Manifest(generation)) => reading.manifest(name, generation)?,
            Some(FileName::Lock | FileName::Reserve | FileName::Doubt | FileName::Record | FileName::Unfinished) => {
                let bytes = storage.map(name)?.to_vec();
                reading.push(name, "plain", "bytes", "", &bytes);
            }
            Some(FileName::Log(_)) => reading.push(name, "log", "name", "", &[]),
            Some(FileName::Segment(id)) if name.ends_with(".blob") => blobs.push(id),
            Some(FileName::Segment(id)) => reading.of_segment(name, id)?,
            Some(FileName::Temporary) | None => {
                return Err(Error::invalid(format!("{name} does not belong to a store at rest")));
            }
        }
    }
    reading.log()?;
    // Blob files come last: only now are all references into them known.
    blobs.into_iter().try_for_each(|id| reading.blob(id))?;
    Ok(reading.out)
}

/// The directory that is read, and what was found so far.
struct ContentReader<'a> {
    storage: &'a dyn Storage,
    manifest: Manifest,
    keys: StoreIdentity,
    /// The ranges of each blob file that rows refer to.
    used: HashMap<u64, Vec<Range<usize>>>,
    out: Vec<Content>,
}

impl ContentReader<'_> {
    fn push(&mut self, file: &str, kind: &str, what: &'static str, key: &str, bytes: &[u8]) {
        self.out.push(Content {
            file: file.to_owned(),
            kind: kind.to_owned(),
            what,
            key: key.to_owned(),
            bytes: bytes.to_vec(),
        });
    }

    fn manifest(&mut self, name: &str, generation: u64) -> Result<()> {
        let manifest = Manifest::decode(name, &self.storage.map(name)?, generation)?;
        for (setting, json) in manifest.settings.iter() {
            self.push(name, "manifest", "setting", setting, json.as_bytes());
        }
        for shard in &manifest.shards {
            self.push(name, "manifest", "bound", "", &shard.low);
            for segment in &shard.segments {
                self.push(name, "manifest", "namespace", "", &segment.extent.lower);
                self.push(name, "manifest", "namespace", "", &segment.extent.upper);
                segment.derived.iter().for_each(|side| self.push(name, "manifest", "details", "", &side.details));
            }
        }
        Ok(())
    }

    fn log(&mut self) -> Result<()> {
        let remains = read_remains(self.storage, self.manifest.store_id)?;
        if let Some(damage) = remains.damage.first() {
            return Err(Error::invalid(format!("the log is damaged: {damage}")));
        }
        for import in remains.imports {
            import.files.iter().for_each(|file| self.push("wal", "log", "import", "", file));
        }
        remains.operations.iter().for_each(|(_, operation)| self.operation("wal", "log", operation));
        Ok(())
    }

    fn operation(&mut self, file: &str, kind: &str, operation: &Operation) {
        if let Some((namespace, key)) = operation.address() {
            self.push(file, kind, "namespace", key, namespace.encoded());
            self.push(file, kind, "key", key, key.as_bytes());
        }
        match operation {
            Operation::DeleteRange { interval } => {
                self.push(file, kind, "namespace", "", &interval.low);
                self.push(file, kind, "namespace", "", &interval.high);
            }
            Operation::Put(record) => {
                let key = &*record.key;
                self.push(file, kind, "value", key, record.value.as_bytes());
                record.index_paths.iter().for_each(|path| self.push(file, kind, "path", key, path.as_bytes()));
                for vector in record.vectors.iter() {
                    self.push(file, kind, "path", key, vector.path.as_bytes());
                    self.push(file, kind, "vector", key, bytemuck::cast_slice(&vector.values));
                }
                for hash in record.text_hashes.iter() {
                    self.push(file, kind, "hash", key, &hash.to_le_bytes());
                }
                for extension in record.extensions.iter() {
                    self.push(file, kind, "extension", key, extension.bytes);
                }
            }
            Operation::Delete { .. } | Operation::Touch { .. } => {}
        }
    }

    /// Decodes a file that is named after a segment and is no blob file.
    fn of_segment(&mut self, name: &str, id: u64) -> Result<()> {
        let kind = name.rsplit_once('.').map_or("", |(_, kind)| kind);
        let store_id = self.keys.store_id;
        match kind {
            "truth" => self.truth(name, id),
            "dead" => self.dead(name, id),
            "codes" | "fields" => {
                let bytes = self.storage.map(name)?.to_vec();
                let bytes = bytes.get(HEADER_BYTES..).unwrap_or_default().to_vec();
                self.push(name, kind, "bytes", "", &bytes);
                Ok(())
            }
            "graph" => self.graph(name, id),
            "operations" => {
                let content = SideFile { store_id, file_id: id, kind }.read(self.storage)?;
                self.push(name, "operations", "ids", "", &content);
                Ok(())
            }
            "missed" => {
                let content = SideFile { store_id, file_id: id, kind }.read(self.storage)?;
                let missed = MissedOperations::decode(&content).map_err(|malformed| malformed.in_file(name, 0))?;
                let operations = missed.operations();
                operations.iter().for_each(|(_, operation)| self.operation(name, "missed", operation));
                Ok(())
            }
            _ => Err(Error::invalid(format!("nobody here knows what {name} holds"))),
        }
    }

    fn entry(&self, found: impl Fn(&SegmentEntry) -> bool) -> Option<SegmentEntry> {
        self.manifest.shards.iter().flat_map(|shard| &shard.segments).find(|entry| found(entry)).cloned()
    }

    /// Opens a segment, whether the newest manifest names it or not.
    fn open(&self, id: u64) -> Result<Segment> {
        if let Some(entry) = self.entry(|entry| entry.file_id == id) {
            return entry.open(self.storage, &self.keys);
        }
        let file = CheckedMap::open(self.storage, truth_name(id), self.keys.truth(id))?;
        Header::decode(file.fields(), file.body_end()).map_err(|malformed| malformed.in_file(file.name(), 64))?;
        let (length, header_crc) = (file.bytes().len() as u64, file.header_crc());
        let files = SegmentFiles { file_id: id, length, header_crc, codes: None, fields: None, lsn_base: Lsn::ZERO };
        Segment::open(self.storage, &self.keys, &files)
    }

    fn truth(&mut self, name: &str, id: u64) -> Result<()> {
        let is_named = self.entry(|entry| entry.file_id == id).is_some();
        let segment = match self.open(id) {
            // An interrupted job has left the file behind.
            Err(_) if !is_named => return self.unnamed(name, "truth"),
            opened => opened?,
        };
        for row in segment.all_rows().ids() {
            let record = segment.record(row)?;
            self.operation(name, "truth", &Operation::Put(record.into()));
            let key = segment.key(row)?.to_owned();
            let vectors = segment.row_vectors(row)?;
            if let Some(codes) = segment.codes(vectors.clone()) {
                let stride = codes.stride();
                for vector in vectors.ids() {
                    let at = vector.index() * stride;
                    let code = codes.codes().get(at..at + stride).unwrap_or_default();
                    self.push(name, "truth", "code", &key, bytemuck::cast_slice(code));
                }
            }
            let place = segment.value_place(row)?;
            if let Some(blob) = (place.file as usize).checked_sub(1).and_then(|index| segment.blobs().ok()?.get(index))
            {
                let start = place.offset as usize;
                self.used.entry(blob.file.file_id).or_default().push(start..start + place.length as usize);
            }
        }
        Ok(())
    }

    fn dead(&mut self, name: &str, id: u64) -> Result<()> {
        let generation = name.strip_suffix(".dead").and_then(|stem| stem.rsplit_once('-'));
        let generation = generation.and_then(|(_, hex)| u64::from_str_radix(hex, 16).ok()).unwrap_or_default();
        let segment = self.open(id)?;
        let file = TombstoneFile { store_id: self.keys.store_id, file_id: id, generation, rows: segment.rows() };
        let (tombstones, base) = file.read(self.storage)?;
        for row in tombstones.died_up_to(base) {
            let key = segment.key(row)?.to_owned();
            self.push(name, "dead", "row", &key, &row.0.to_le_bytes());
        }
        Ok(())
    }

    /// Lists the raw bytes of a file that the newest manifest does not name, and that cannot be decoded without it.
    fn unnamed(&mut self, name: &str, kind: &str) -> Result<()> {
        let bytes = self.storage.map(name)?.to_vec();
        self.push(name, kind, "unnamed", "", &bytes);
        Ok(())
    }

    /// Lists the rows of a graph. Its links are numbers of nodes, and are not listed.
    fn graph(&mut self, name: &str, id: u64) -> Result<()> {
        let names_it =
            |entry: &SegmentEntry| entry.derived.iter().any(|side| side.kind == FileKind::GRAPH && side.file_id == id);
        let Some(entry) = self.entry(names_it) else {
            return self.unnamed(name, "graph");
        };
        let segment = entry.open(self.storage, &self.keys)?;
        let graph = SegmentGraph::open(self.storage, &self.keys, id, &segment)?;
        segment.verify_graph(&graph)?;
        for row in graph.rows().ids() {
            let key = segment.key(row)?.to_owned();
            self.push(name, "graph", "node", &key, &row.0.to_le_bytes());
        }
        Ok(())
    }

    /// Lists the bytes of a blob file that no row of any segment refers to, as stored and uncompressed.
    fn blob(&mut self, id: u64) -> Result<()> {
        let name = blob_name(id);
        let map = self.storage.map(&name)?;
        let (bytes, end) = (map.to_vec(), map.get(64..72).and_then(|bytes| bytes.try_into().ok()));
        let end = HEADER_BYTES + end.map_or(0, u64::from_le_bytes) as usize;
        self.push(&name, "blob", "name", "", &[]);
        let mut used = self.used.remove(&id).unwrap_or_default();
        used.sort_by_key(|range| range.start);
        let mut at = HEADER_BYTES;
        for range in used.into_iter().chain(std::iter::once(end..end)) {
            if range.start > at {
                let gap = bytes.get(at..range.start).unwrap_or_default();
                self.push(&name, "blob", "unreferenced", "", gap);
                packed_values(gap).iter().for_each(|value| self.push(&name, "blob", "unreferenced", "", value));
            }
            at = at.max(range.end);
        }
        Ok(())
    }
}
