//! Salvage: everything readable of a directory, whether or not it opens as a store, into a new one.
//!
//! Invariants:
//! * The directory that is read is not changed, but for the lock that keeps writers out.
//! * Of a key the version with the highest LSN counts, from whichever file; it is left out if any file says that it was deleted.
//! * A row whose LSN nobody knows, of an import that neither a manifest nor the log names, counts only where no other version lives.
//! * What cannot be read is listed as far as it can be named. Where a file that names deletions is damaged, items that had been deleted
//!   may come back; the report says so.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::error::{Error, ErrorKind, Result};
use crate::file_names::{FileName, manifest_generation, manifest_name, parse_name};
use crate::manifest::{EntryForm, FileKind, Manifest, SegmentEntry};
use crate::record::{Lsn, Operation, Record};
use crate::segment::dead::Deaths;
use crate::segment::dead_file::DeadFile;
use crate::segment::layout::{StoreKeys, truth_name};
use crate::segment::sealed::Segment;
use crate::shard::lost::read_missed;
use crate::storage::disk::DiskStorage;
use crate::storage::{ReadMode, Storage};
use crate::store::wreck::{dead_generation, is_of_users, open_bare, store_id_in};
use crate::store::{ImportOptions, Options, Put, Store};
use crate::sync::Mutex;
use crate::types::{Metric, NEVER, Namespace, VectorSpace, decode_labels};
use crate::wal::{Remains, read_remains};
use crate::worker::LostItem;

/// What a salvage found and could not read.
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SalvageReport {
    /// Items in the new store.
    pub items: u64,
    /// Items that could be named and not be read.
    pub lost: Vec<LostItem>,
    /// Rows that could not even be named; ones that had been deleted or replaced count as well.
    pub unnamed: u64,
    /// Files, or places in them, that could not be read.
    pub damage: Vec<String>,
    /// What may be otherwise than it was: deletions that are unknown, settings or hashes that are gone.
    pub notes: Vec<String>,
}

/// A segment that could be opened.
struct Opened {
    segment: Segment,
    deaths: Deaths,
    has_unknown_lsns: bool,
}

/// What is known of a segment beside its own file.
struct Known {
    file_id: u64,
    lsn_base: Lsn,
    dead_generation: u64,
    missed: Vec<u64>,
    /// Neither a manifest nor the log says what its LSNs are counted from, if from anything.
    is_stray: bool,
}

/// The newest version of a key so far.
struct Newest {
    lsn: Lsn,
    source: Source,
    is_deleted: bool,
    /// A touch moved its expiry there.
    expires_at: Option<i64>,
}

enum Source {
    Row { segment: usize, row: u32 },
    Logged(Arc<Record>),
}

type Key = (Vec<u8>, Box<str>);

/// The directory that is read, and what has been found in it.
struct Wreck<'a> {
    storage: &'a dyn Storage,
    keys: StoreKeys,
    manifest: Option<Manifest>,
    /// Every later one is gone or damaged.
    is_manifest_older: bool,
    segments: Vec<Opened>,
    newest: BTreeMap<Key, Newest>,
    /// Versions of unknown LSN.
    unplaced: BTreeMap<Key, Newest>,
    report: SalvageReport,
}

impl Store {
    /// Writes everything that can be read of the directory `from` into a new store in the directory `into`, which must be empty or not be
    /// there. `from` need not open: manifests or log files may be damaged or gone. Nothing in it is changed.
    ///
    /// Versions of items, import marks and what is known of embedded texts begin anew; settings come along where a manifest can be read.
    /// Errors: `NotAStore` where there is nothing of a store, `Locked`, `InvalidInput` where `into` is not empty, and those of an import.
    pub fn salvage(from: impl AsRef<Path>, into: impl AsRef<Path>) -> Result<SalvageReport> {
        let (from, into) = (from.as_ref(), into.as_ref());
        let storage = DiskStorage::open(from, false, ReadMode::Map)?;
        let _lock = match storage.lock(Duration::ZERO) {
            Err(error) if error.kind() == ErrorKind::ReadOnly => None,
            lock => Some(lock?),
        };
        let target = DiskStorage::open(into, true, ReadMode::Map)?;
        if target.identity() == storage.identity() || !target.list()?.is_empty() {
            let why = format!("{} is not empty; salvage into a new directory", into.display());
            return Err(Error::invalid(why));
        }
        salvage(&storage, into)
    }
}

/// [`Store::salvage`] of any storage.
pub(crate) fn salvage(storage: &dyn Storage, into: &Path) -> Result<SalvageReport> {
    let mut wreck = Wreck::find(storage)?;
    let mut remains = read_remains(storage, wreck.keys.store_id)?;
    wreck.report.damage.append(&mut remains.damage);
    let known = wreck.known_segments(&remains)?;
    for known in &known {
        wreck.open_segment(known, &mut remains)?;
    }
    if wreck.is_manifest_older {
        let read = known.iter().flat_map(|known| &known.missed).copied().collect();
        wreck.read_stray_missed(&read, &mut remains)?;
    }
    remains.operations.sort_by_key(|(lsn, _)| *lsn);
    wreck.read_segments();
    remains.operations.into_iter().for_each(|(lsn, operation)| wreck.apply(lsn, operation));
    wreck.place_the_rest();
    wreck.write(into)
}

impl<'a> Wreck<'a> {
    /// Finds out whose directory it is.
    fn find(storage: &'a dyn Storage) -> Result<Self> {
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
        let keys = StoreKeys { store_id, secret, space, space_id: space_id.unwrap_or_default() };
        Ok(Self {
            storage,
            keys,
            is_manifest_older: manifest.is_none() || !report.damage.is_empty(),
            manifest,
            segments: Vec::new(),
            newest: BTreeMap::new(),
            unplaced: BTreeMap::new(),
            report,
        })
    }

    /// The segments to read: those of the manifest and of imports in the log; if the newest manifest is not there, all.
    fn known_segments(&mut self, remains: &Remains) -> Result<Vec<Known>> {
        let mut known: Vec<Known> = Vec::new();
        let of_entry = |entry: &SegmentEntry| Known {
            file_id: entry.file_id,
            lsn_base: entry.lsn_base,
            dead_generation: entry.dead_generation,
            missed: entry.missed.iter().map(|file| file.file_id).collect(),
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
                if let Some(generation) = dead_generation(&name) {
                    let newest: &mut u64 = tombstones.entry(file_id).or_default();
                    *newest = generation.max(*newest);
                }
            }
            known.extend(files.into_iter().map(|file_id| Known {
                file_id,
                lsn_base: 0,
                dead_generation: tombstones.get(&file_id).copied().unwrap_or(0),
                missed: Vec::new(),
                is_stray: true,
            }));
        }
        let mut seen = HashSet::new();
        known.retain(|known| seen.insert(known.file_id));
        Ok(known)
    }

    fn open_segment(&mut self, known: &Known, remains: &mut Remains) -> Result<()> {
        let segment = match open_bare(self.storage, self.keys, known.file_id, known.lsn_base) {
            Err(error) if error.kind() == ErrorKind::NewerFormat => return Err(error),
            Err(error) => {
                // A job that was cut short leaves files without a header: they never held anything of their own.
                self.report.damage.push(error.to_string());
                return Ok(());
            }
            Ok(segment) => segment,
        };
        let (store_id, file_id, rows) = (self.keys.store_id, known.file_id, segment.rows());
        let tombstones = DeadFile { store_id, file_id, generation: known.dead_generation, rows };
        let deaths = match known.dead_generation {
            0 => Deaths::new(rows),
            _ => match tombstones.read(self.storage) {
                Ok((deaths, _)) => deaths,
                Err(error) => {
                    self.report.damage.push(error.to_string());
                    let name = truth_name(file_id);
                    self.report
                        .notes
                        .push(format!("items of {name} that were deleted may be back: its tombstones are gone"));
                    Deaths::new(rows)
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
        self.segments.push(Opened { segment, deaths, has_unknown_lsns });
        Ok(())
    }

    /// Reads what a damaged segment missed.
    fn read_missed(&mut self, file_id: u64, remains: &mut Remains) {
        match read_missed(self.storage, self.keys.store_id, file_id) {
            Ok(operations) => remains.operations.extend(operations),
            Err(error) => {
                self.report.damage.push(error.to_string());
                self.report.notes.push("items that were deleted while their file was damaged may be back".into());
            }
        }
    }

    /// Reads what segments missed that only a manifest which is gone could name.
    fn read_stray_missed(&mut self, read: &HashSet<u64>, remains: &mut Remains) -> Result<()> {
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

    /// Enters every row of every segment.
    fn read_segments(&mut self) {
        for (index, Opened { segment, deaths, has_unknown_lsns }) in self.segments.iter().enumerate() {
            let versions = if *has_unknown_lsns { &mut self.unplaced } else { &mut self.newest };
            for row in 0..segment.rows() {
                let Ok(stored) = segment.row(row) else {
                    self.report.unnamed += u64::from(!deaths.is_dead_at(row, Lsn::MAX - 1));
                    continue;
                };
                let lsn = stored.times.lsn;
                let is_deleted = deaths.is_dead_at(row, Lsn::MAX - 1);
                let expires_at = Some(deaths.expires_at(row, stored.times.expires_at));
                let found = Newest { lsn, source: Source::Row { segment: index, row }, is_deleted, expires_at };
                enter(versions, (stored.namespace.to_vec(), stored.key.into()), found);
            }
        }
    }

    /// Does what an operation of the log does.
    fn apply(&mut self, lsn: Lsn, operation: Operation) {
        let of_key = |namespace: &Namespace, key: &str| (namespace.encoded().to_vec(), Box::from(key));
        match operation {
            Operation::Put(record) => {
                let key = of_key(&record.namespace, &record.key);
                let found = Newest { lsn, source: Source::Logged(record), is_deleted: false, expires_at: None };
                enter(&mut self.newest, key, found);
            }
            Operation::Delete { namespace, key } => {
                if let Some(newest) = self.newest.get_mut(&of_key(&namespace, &key)).filter(|newest| newest.lsn < lsn) {
                    newest.is_deleted = true;
                }
            }
            Operation::DeleteRange { interval } => {
                let range = (interval.low, Box::from(""))..(interval.high, Box::from(""));
                let concerned = self.newest.range_mut(range).map(|(_, newest)| newest);
                concerned.filter(|newest| newest.lsn < lsn).for_each(|newest| newest.is_deleted = true);
            }
            Operation::Touch { namespace, key, version, expires_at } => {
                let newest = self.newest.get_mut(&of_key(&namespace, &key));
                if let Some(newest) = newest.filter(|newest| newest.lsn == version) {
                    newest.expires_at = Some(expires_at);
                }
            }
        }
    }

    /// Takes versions of unknown LSN where no other lives: whether what deleted another was older or newer, nobody knows.
    fn place_the_rest(&mut self) {
        for (key, found) in std::mem::take(&mut self.unplaced) {
            if !found.is_deleted && self.newest.get(&key).is_none_or(|known| known.is_deleted) {
                self.newest.insert(key, found);
            }
        }
    }

    /// Writes what lives into a new store.
    fn write(mut self, into: &Path) -> Result<SalvageReport> {
        let space = self.space();
        let options = space.map_or_else(Options::new, |space| Options::with_vectors(space.dims, space.metric));
        let store = Store::open(into, options)?;
        for (name, json) in self.manifest.iter().flat_map(|manifest| manifest.settings.iter()) {
            store.set_setting(name, Some(json))?;
        }
        let lost = Mutex::new(Vec::new());
        let living = self.newest.iter().filter(|((namespace, _), newest)| !newest.is_deleted && is_of_users(namespace));
        let puts = living.filter_map(|((namespace, key), newest)| match self.put_of(newest, space) {
            Ok(put) => Some(Ok(put)),
            Err(error) => {
                let (namespace, key, why) = (decode_labels(namespace), key.to_string(), error.to_string());
                lost.lock().push(LostItem { namespace, key, why });
                None
            }
        });
        let imported = store.import(puts, ImportOptions::new())?;
        store.flush()?;
        store.close()?;
        self.report.items = imported.imported;
        self.report.lost = lost.into_inner();
        Ok(self.report)
    }

    /// The vector space of the new store.
    fn space(&mut self) -> Option<VectorSpace> {
        let of_segments = || self.segments.iter().find_map(|opened| opened.segment.header().space);
        if let Some(space) = self.keys.space.or_else(of_segments) {
            return Some(space);
        }
        let dims = self.newest.values().find_map(|newest| match &newest.source {
            Source::Logged(record) => record.vectors.first().map(|vector| vector.values.len()),
            Source::Row { .. } => None,
        })?;
        self.report.notes.push("no file says which metric the vectors have: the new store has cosine".into());
        Some(VectorSpace { dims, metric: Metric::Cosine })
    }

    /// The put that writes a version again.
    fn put_of(&self, newest: &Newest, space: Option<VectorSpace>) -> Result<Put> {
        let read;
        let record = match &newest.source {
            Source::Logged(record) => record.as_ref(),
            Source::Row { segment, row } => {
                read = self.segments[*segment].segment.record(*row)?;
                &read
            }
        };
        let mut put = Put::new(&record.namespace, record.key.as_ref(), record.value.as_ref())
            .created_at(record.created_at)
            .updated_at(record.updated_at)
            .index_paths(record.index_paths.iter().map(|path| &**path));
        let expires_at = newest.expires_at.unwrap_or(record.expires_at);
        if expires_at != NEVER {
            put = put.expires_at(expires_at);
        }
        if record.ttl > 0 {
            put = put.ttl(Duration::from_micros(record.ttl.unsigned_abs()));
        }
        for vector in
            record.vectors.iter().filter(|vector| space.is_some_and(|space| space.dims == vector.values.len()))
        {
            put = put.field_vector(&vector.path, vector.values.to_vec());
        }
        for extension in record.extensions.iter() {
            put = put.extension(extension.kind, extension.must_understand, extension.bytes);
        }
        Ok(put)
    }
}

/// Keeps the newer of two versions; of one that is in two files, what either knows of its end.
fn enter(newest: &mut BTreeMap<Key, Newest>, key: Key, found: Newest) {
    match newest.get_mut(&key) {
        Some(there) if there.lsn > found.lsn => {}
        Some(there) if there.lsn == found.lsn => {
            there.is_deleted |= found.is_deleted;
            there.expires_at = there.expires_at.max(found.expires_at);
        }
        Some(there) => *there = found,
        None => drop(newest.insert(key, found)),
    }
}
