//! Finds and reads the files of a directory one by one, with or without a manifest.
//!
//! Invariants:
//! * Only its own checksums make a file trusted. These checksums depend on the ids of the store and the file.

use std::collections::{HashMap, HashSet};

use crate::error::{Error, ErrorKind, Result};
use crate::file_names::{FileName, manifest_generation, manifest_name, parse_name, record_name};
use crate::manifest::{BackupRecord, EntryForm, FileKind, Manifest, SegmentEntry};
use crate::record::{Lsn, SpaceId};
use crate::segment::Segment;
use crate::segment::blocks::CheckedMap;
use crate::segment::tombstones::Tombstones;
use crate::segment::tombstones::file::TombstoneFile;
use crate::segment::truth::layout::{Header, StoreIdentity, truth_name};
use crate::segment::truth::reader::SegmentFiles;
use crate::shard::lost::read_missed;
use crate::storage::Storage;
use crate::store::SalvageReport;
use crate::types::is_encoded_namespace;
use crate::wal::{ExpectedLog, LogRemains, file_id, store_id_of};
use crate::words::counted;

/// A segment that could be opened.
pub(super) struct OpenedSegment {
    pub segment: Segment,
    pub tombstones: Tombstones,
    pub has_unknown_lsns: bool,
}

/// Facts about a segment from the manifest, the log or the names of files.
pub(super) struct KnownFile {
    pub file_id: u64,
    pub lsn_base: Lsn,
    pub tombstone_generation: u64,
    pub missed: Vec<u64>,
    /// The rows that the manifest or the log says the segment had.
    pub rows: Option<u32>,
    /// Neither the manifest nor the log names the segment, so the base of its LSNs is unknown.
    pub is_stray: bool,
}

/// The source directory and its files.
pub(super) struct Wreck<'a> {
    pub storage: &'a dyn Storage,
    pub keys: StoreIdentity,
    pub manifest: Option<Manifest>,
    /// No manifest is readable, or a newer one than `manifest` is damaged.
    pub is_manifest_older: bool,
    pub segments: Vec<OpenedSegment>,
    pub report: SalvageReport,
}

impl<'a> Wreck<'a> {
    /// Finds the newest readable manifest and the id of the store.
    pub fn find(storage: &'a dyn Storage) -> Result<Self> {
        let mut report = SalvageReport::default();
        let files = storage.list()?;
        let mut generations: Vec<u64> = files.iter().filter_map(|(name, _)| manifest_generation(name)).collect();
        generations.sort_unstable_by(|a, b| b.cmp(a));
        let mut manifest = None;
        for &generation in &generations {
            let name = manifest_name(generation);
            match storage.map(&name).and_then(|bytes| Manifest::decode(&name, &bytes, generation)) {
                Err(error) if error.kind() == ErrorKind::NewerFormat => return Err(error),
                Err(error) => report.damage.push(error.to_string()),
                Ok(whole) => {
                    manifest = Some(whole);
                    break;
                }
            }
        }
        if manifest.is_none() {
            report.notes.push(
                "no manifest can be read: the settings are gone, and items that were deleted lately may be back".into(),
            );
        }
        let store_id = match &manifest {
            Some(manifest) => Some(manifest.store_id),
            None => files.iter().find_map(|(name, _)| store_id_in(storage, name)),
        };
        let Some(store_id) = store_id else {
            let why = format!("{} holds nothing of a vecmem store that can be read", storage.describe());
            return Err(Error::new(ErrorKind::NotAStore, why));
        };
        let (space_id, space) = manifest.as_ref().and_then(Manifest::current_space).unzip();
        let secret = manifest.as_ref().map_or([0; 2], |manifest| manifest.secret);
        let keys = StoreIdentity { store_id, secret, space, space_id: space_id.unwrap_or_default() };
        Ok(Self {
            storage,
            keys,
            is_manifest_older: manifest.is_none() || !report.damage.is_empty(),
            manifest,
            segments: Vec::new(),
            report,
        })
    }

    /// The segments to read: those of the manifest and of the log's imports, or all if the newest manifest is damaged.
    pub fn known_segments(&mut self, remains: &LogRemains) -> Result<Vec<KnownFile>> {
        let mut known: Vec<KnownFile> = Vec::new();
        let of_entry = |entry: &SegmentEntry| KnownFile {
            file_id: entry.file_id,
            lsn_base: entry.lsn_base,
            tombstone_generation: entry.tombstone_generation,
            missed: entry.missed.iter().map(|file| file.file_id).collect(),
            rows: Some(entry.rows),
            is_stray: false,
        };
        let entries = self.manifest.iter().flat_map(|manifest| &manifest.shards).flat_map(|shard| &shard.segments);
        known.extend(entries.map(of_entry));
        for import in &remains.imports {
            let form = if import.has_named_files { EntryForm::Named } else { EntryForm::Numbered };
            let entries = import.files.iter().filter_map(|bytes| SegmentEntry::decode(bytes, form).ok());
            for entry in entries.filter(|entry| entry.lsn_base == import.first_lsn) {
                entry.check_ignorable("an import in the log")?;
                known.push(of_entry(&entry));
            }
        }
        if self.is_manifest_older {
            let (mut tombstones, mut files) = (HashMap::new(), Vec::new());
            for (name, _) in self.storage.list()? {
                let Some(FileName::Segment(file_id)) = parse_name(&name) else { continue };
                if name.ends_with(".truth") {
                    files.push(file_id);
                }
                if let Some(generation) = tombstone_generation(&name) {
                    let newest: &mut u64 = tombstones.entry(file_id).or_default();
                    *newest = generation.max(*newest);
                }
            }
            known.extend(files.into_iter().map(|file_id| KnownFile {
                file_id,
                lsn_base: Lsn::ZERO,
                tombstone_generation: tombstones.get(&file_id).copied().unwrap_or(0),
                missed: Vec::new(),
                rows: None,
                is_stray: true,
            }));
        }
        let mut seen = HashSet::new();
        known.retain(|known| seen.insert(known.file_id));
        Ok(known)
    }

    /// What the manifest, and the record of a backup, say of the log.
    pub fn expected_log(&mut self) -> Result<ExpectedLog> {
        let Some(manifest) = &self.manifest else { return Ok(ExpectedLog::default()) };
        let first = manifest.first_log;
        let mut expected = ExpectedLog {
            first: Some(first),
            last: None,
            files: vec![first],
            checkpoint: manifest.checkpoint(),
            reflected: manifest.reflected,
        };
        let record = record_name(manifest.incarnation, manifest.generation);
        if self.storage.list()?.iter().any(|(name, _)| *name == record) {
            match BackupRecord::read(self.storage, &record) {
                Err(error) if error.kind() == ErrorKind::NewerFormat => return Err(error),
                Err(error) => self.report.damage.push(error.to_string()),
                Ok(record) => {
                    expected.files.extend(record.logs());
                    expected.last = Some(record.last_log());
                    expected.reflected = expected.reflected.max(record.lsn);
                }
            }
        }
        Ok(expected)
    }

    pub fn open_segment(&mut self, known: &KnownFile, remains: &mut LogRemains) -> Result<()> {
        let segment = match open_bare(self.storage, self.keys, known.file_id, known.lsn_base) {
            Err(error) if error.kind() == ErrorKind::NewerFormat => return Err(error),
            Err(error) => {
                // An interrupted job leaves files without a header. Other files still hold the items of such a file.
                let had = known.rows.map(|rows| format!("; the file had {}", counted(rows, "row")));
                self.report.damage.push(error.to_string() + &had.unwrap_or_default());
                return Ok(());
            }
            Ok(segment) => segment,
        };
        let (store_id, file_id, rows) = (self.keys.store_id, known.file_id, segment.rows());
        let tombstones = TombstoneFile { store_id, file_id, generation: known.tombstone_generation, rows };
        let tombstones = match known.tombstone_generation {
            0 => Tombstones::new(rows),
            _ => match tombstones.read(self.storage) {
                Ok((tombstones, _)) => tombstones,
                Err(error) => {
                    self.report.damage.push(error.to_string());
                    let name = truth_name(file_id);
                    self.report
                        .notes
                        .push(format!("items of {name} that were deleted may be back: its tombstones are gone"));
                    Tombstones::new(rows)
                }
            },
        };
        let has_unknown_lsns = known.is_stray && segment.header().has_relative_lsns;
        if has_unknown_lsns {
            self.report.notes.push(format!(
                "{} is of an import that no manifest names: its items are back where no other version of them lives",
                truth_name(file_id)
            ));
        }
        known.missed.iter().for_each(|&file_id| self.read_missed(file_id, remains));
        self.segments.push(OpenedSegment { segment, tombstones, has_unknown_lsns });
        Ok(())
    }

    /// Reads the operations that a damaged segment missed.
    pub fn read_missed(&mut self, file_id: u64, remains: &mut LogRemains) {
        match read_missed(self.storage, self.keys.store_id, file_id) {
            Ok(operations) => remains.operations.extend(operations),
            Err(error) => {
                self.report.damage.push(error.to_string());
                self.report.notes.push("items that were deleted while their file was damaged may be back".into());
            }
        }
    }

    /// Reads all files of missed operations whose ids are not in `read`: only a damaged manifest names these files.
    pub fn read_stray_missed(&mut self, read: &HashSet<u64>, remains: &mut LogRemains) -> Result<()> {
        for (name, _) in self.storage.list()? {
            let is_missed = name.ends_with(&format!(".{}", FileKind::MISSED.as_str()));
            if let Some(FileName::Segment(file_id)) = parse_name(&name).filter(|_| is_missed)
                && !read.contains(&file_id)
            {
                self.read_missed(file_id, remains);
            }
        }
        Ok(())
    }
}

/// Whether a namespace belongs to callers, not to the engine.
pub(super) fn is_of_users(namespace: &[u8]) -> bool {
    is_encoded_namespace(namespace) && namespace.first() != Some(&0) || namespace.starts_with(&[0, 0xFF])
}

/// The generation in the name of a file of tombstones.
fn tombstone_generation(name: &str) -> Option<u64> {
    let (_, generation) = name.strip_suffix(".dead")?.rsplit_once('-')?;
    u64::from_str_radix(generation, 16).ok()
}

/// The store id in the header of a log or truth file, unverified.
fn store_id_in(storage: &dyn Storage, name: &str) -> Option<u64> {
    if let Some(id) = file_id(name) {
        return store_id_of(storage, id);
    }
    let is_truth = name.ends_with(".truth") && matches!(parse_name(name), Some(FileName::Segment(_)));
    let map = storage.map(name).ok().filter(|map| is_truth && map.len() >= 24)?;
    map[16..24].try_into().ok().map(u64::from_le_bytes)
}

/// Opens the truth of a segment by its own header, without derived files and without an entry of a manifest.
fn open_bare(storage: &dyn Storage, keys: StoreIdentity, file_id: u64, lsn_base: Lsn) -> Result<Segment> {
    let file = CheckedMap::open(storage, truth_name(file_id), keys.truth(file_id))?;
    let header = Header::decode(file.fields(), file.body_end()).map_err(|error| error.in_file(file.name(), 64))?;
    let own = if header.space.is_some() { (header.space, header.space_id) } else { (keys.space, keys.space_id) };
    let keys =
        StoreIdentity { space: own.0, space_id: if own.0.is_some() { own.1 } else { SpaceId::default() }, ..keys };
    let (length, header_crc) = (file.bytes().len() as u64, file.header_crc());
    let files = SegmentFiles { file_id, length, header_crc, codes: None, fields: None, lsn_base };
    Segment::open(storage, &keys, &files)
}
