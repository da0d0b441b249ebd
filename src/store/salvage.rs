//! Salvage: writes every readable item of a directory into a new store, even if the directory does not open.
//!
//! Invariants:
//! * A salvage does not change the source directory, even if it is interrupted. It only locks the directory, so that no
//!   process writes there.
//! * The version of a key with the highest LSN counts, from any file. It is left out if any file says that it was
//!   deleted.
//! * A row of unknown LSN counts only if no other version of its key lives. Such rows are those of an import that
//!   neither a manifest nor the log names.
//! * The error of an interrupted salvage says that the new store holds only a part.
//! * The report lists unreadable items as far as they can be named. If a file of deletions is damaged, or a log file is
//!   missing, deleted items may come back, and the report says so.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::error::{Error, ErrorKind, Result};
use crate::ids::{IdRange, RowId};
use crate::interrupt::{Stage, Steps};
use crate::record::{Lsn, Operation, Record};
use crate::storage::Storage;
use crate::storage::disk::DiskStorage;
use crate::store::wreck::{OpenedSegment, Wreck, is_of_users};
use crate::store::{ImportOptions, Options, Put, Store};
use crate::sync::Mutex;
use crate::types::{Metric, NEVER, Namespace, VectorSpace, decode_labels};
use crate::wal::read_remains;
use crate::worker::LostItem;

/// The result of a salvage: items found, and items and files that could not be read.
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SalvageReport {
    /// Items in the new store.
    pub items: u64,
    /// Items with a known key that could not be read.
    pub lost: Vec<LostItem>,
    /// Rows of unknown key that could not be read. Deleted and replaced rows count too.
    pub unnamed: u64,
    /// Files, or places in them, that could not be read; log files that are missing.
    pub damage: Vec<String>,
    /// Possible differences from the source: unknown deletions, lost settings or hashes.
    pub notes: Vec<String>,
}

/// The newest version of a key so far.
struct NewestRow {
    lsn: Lsn,
    source: SalvageSource,
    is_deleted: bool,
    /// The expiry, with touches; `None` for the expiry of the logged record.
    expires_at: Option<i64>,
}

enum SalvageSource {
    Row { segment: usize, row: RowId },
    Logged(Arc<Record>),
}

type Key = (Vec<u8>, Box<str>);

/// The versions found in a directory.
struct FoundRow<'a> {
    wreck: Wreck<'a>,
    newest: BTreeMap<Key, NewestRow>,
    /// The version of each key in segments whose LSNs are unknown.
    unplaced: BTreeMap<Key, NewestRow>,
}

impl Store {
    /// Writes every readable item of the directory `from` into a new store in the directory `into`, which must be empty
    /// or missing. `from` need not open as a store: manifests or log files may be damaged or missing. `from` is not
    /// changed.
    ///
    /// The new store has new versions of items, no import checkpoints and no known embedded texts. It has the settings
    /// if a manifest is readable. The report names what could not be read, and log files that are missing: acknowledged
    /// writes are lost with them.
    ///
    /// Errors: `NotAStore` if `from` has no file of a store, `Locked`, `InvalidInput` if `into` is not empty or lies in
    /// `from`, `Interrupted`, and those of an import. After `Interrupted`, `into` holds only a part.
    pub fn salvage(from: impl AsRef<Path>, into: impl AsRef<Path>) -> Result<SalvageReport> {
        let (from, into) = (from.as_ref(), into.as_ref());
        let storage = DiskStorage::open_source(from, "store")?;
        storage.refuse_inside(into, "damaged store")?;
        let _lock = match storage.lock(Duration::ZERO) {
            Err(error) if error.kind() == ErrorKind::ReadOnly => None,
            lock => Some(lock?),
        };
        let target = DiskStorage::open_target(into)?;
        if !target.list()?.is_empty() {
            let why = format!("{} is not empty; salvage into a new directory", into.display());
            return Err(Error::invalid(why));
        }
        salvage(&storage, into)
    }
}

/// [`Store::salvage`] over any storage.
pub(crate) fn salvage(storage: &dyn Storage, into: &Path) -> Result<SalvageReport> {
    FoundRow::read(storage)?.write(|options| Store::open(into, options)).map_err(|error| match error.kind() {
        ErrorKind::Interrupted => error.context(format_args!(
            "{} holds a part of what can be read and is no copy, while {} is as it was; remove the part and salvage again",
            into.display(),
            storage.describe()
        )),
        _ => error,
    })
}

/// Salvages into the new store that `open` gives.
#[cfg(feature = "testing")]
pub(crate) fn salvage_into(
    storage: &dyn Storage,
    open: impl FnOnce(Options) -> Result<Store>,
) -> Result<SalvageReport> {
    FoundRow::read(storage)?.write(open)
}

impl<'a> FoundRow<'a> {
    /// Reads segments and log, and keeps the newest version of each key.
    fn read(storage: &'a dyn Storage) -> Result<Self> {
        let mut wreck = Wreck::find(storage)?;
        let mut remains = read_remains(storage, wreck.keys.store_id)?;
        wreck.report.damage.append(&mut remains.damage);
        let expected = wreck.expected_log()?;
        wreck.report.damage.extend(remains.missing(&expected));
        let known = wreck.known_segments(&remains)?;
        let steps = Steps::begin(Stage::Salvage, 0);
        for known in &known {
            steps.next()?;
            wreck.open_segment(known, &mut remains)?;
        }
        if wreck.is_manifest_older {
            let read = known.iter().flat_map(|known| &known.missed).copied().collect();
            wreck.read_stray_missed(&read, &mut remains)?;
        }
        remains.operations.sort_by_key(|(lsn, _)| *lsn);
        let mut found = FoundRow { wreck, newest: BTreeMap::new(), unplaced: BTreeMap::new() };
        found.read_segments()?;
        remains.operations.into_iter().for_each(|(lsn, operation)| found.apply(lsn, operation));
        found.place_the_rest();
        Ok(found)
    }

    /// Enters every readable row of every segment, and counts the others.
    fn read_segments(&mut self) -> Result<()> {
        let rows = self.wreck.segments.iter().map(|opened| u64::from(opened.segment.rows())).sum();
        let steps = Steps::begin(Stage::Salvage, rows);
        for (index, OpenedSegment { segment, tombstones, has_unknown_lsns }) in self.wreck.segments.iter().enumerate() {
            let versions = if *has_unknown_lsns { &mut self.unplaced } else { &mut self.newest };
            for row in segment.all_rows().ids() {
                steps.next()?;
                let Ok(stored) = segment.row(row) else {
                    self.wreck.report.unnamed += u64::from(!tombstones.is_deleted_at(row, Lsn::LAST));
                    continue;
                };
                let lsn = stored.times.lsn;
                let is_deleted = tombstones.is_deleted_at(row, Lsn::LAST);
                let expires_at = Some(tombstones.expires_at(row, stored.times.expires_at));
                let found =
                    NewestRow { lsn, source: SalvageSource::Row { segment: index, row }, is_deleted, expires_at };
                enter(versions, (stored.namespace.to_vec(), stored.key.into()), found);
            }
        }
        Ok(())
    }

    /// Applies an operation of the log.
    fn apply(&mut self, lsn: Lsn, operation: Operation) {
        let of_key = |namespace: &Namespace, key: &str| (namespace.encoded().to_vec(), Box::from(key));
        match operation {
            Operation::Put(record) => {
                let key = of_key(&record.namespace, &record.key);
                let found =
                    NewestRow { lsn, source: SalvageSource::Logged(record), is_deleted: false, expires_at: None };
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

    /// Takes versions of unknown LSN whose key has no other live version. Whether a deletion of the key was older or
    /// newer is unknown.
    fn place_the_rest(&mut self) {
        for (key, found) in std::mem::take(&mut self.unplaced) {
            if !found.is_deleted && self.newest.get(&key).is_none_or(|known| known.is_deleted) {
                self.newest.insert(key, found);
            }
        }
    }

    /// Writes the live items into a new store.
    fn write(mut self, open: impl FnOnce(Options) -> Result<Store>) -> Result<SalvageReport> {
        let space = self.space();
        let options = space.map_or_else(Options::new, |space| Options::with_vectors(space.dims, space.metric));
        let options = Options { is_copy: true, ..options };
        let store = open(options)?;
        let lost = Mutex::new(Vec::new());
        let living = self.newest.iter().filter(|((namespace, _), newest)| !newest.is_deleted && is_of_users(namespace));
        let steps = Steps::begin(Stage::Salvage, self.newest.len() as u64);
        let puts =
            living.filter_map(|((namespace, key), newest)| match steps.next().map(|()| self.put_of(newest, space)) {
                Err(interrupted) => Some(Err(interrupted)),
                Ok(Ok(put)) => Some(Ok(put)),
                Ok(Err(error)) => {
                    let (namespace, key, why) = (decode_labels(namespace), key.to_string(), error.to_string());
                    lost.lock().push(LostItem { namespace, key, why });
                    None
                }
            });
        let imported = store.import(puts, ImportOptions::new())?;
        // Afterwards, since a scope may hold more than a quota that was set later.
        for (name, json) in self.wreck.manifest.iter().flat_map(|manifest| manifest.settings.iter()) {
            store.set_setting(name, Some(json))?;
        }
        store.sync()?;
        store.close()?;
        self.wreck.report.items = imported.imported;
        self.wreck.report.lost = lost.into_inner();
        Ok(self.wreck.report)
    }

    /// The vector space of the new store.
    fn space(&mut self) -> Option<VectorSpace> {
        let of_segments = || self.wreck.segments.iter().find_map(|opened| opened.segment.header().space);
        if let Some(space) = self.wreck.keys.space.or_else(of_segments) {
            return Some(space);
        }
        let dims = self.newest.values().find_map(|newest| match &newest.source {
            SalvageSource::Logged(record) => record.vectors.first().map(|vector| vector.values.len()),
            SalvageSource::Row { .. } => None,
        })?;
        self.wreck.report.notes.push("no file says which metric the vectors have: the new store has cosine".into());
        Some(VectorSpace { dims, metric: Metric::Cosine })
    }

    /// The put that writes a version again.
    fn put_of(&self, newest: &NewestRow, space: Option<VectorSpace>) -> Result<Put> {
        let read;
        let record = match &newest.source {
            SalvageSource::Logged(record) => record.as_ref(),
            SalvageSource::Row { segment, row } => {
                read = self.wreck.segments[*segment].segment.record(*row)?;
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

/// Keeps the newer of two versions. For one version in two files, a deletion in either counts, and the later expiry.
fn enter(newest: &mut BTreeMap<Key, NewestRow>, key: Key, found: NewestRow) {
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
