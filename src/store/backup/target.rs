//! The directory that a backup fills: what it holds before, whether it may be filled, and what of it goes afterwards.
//!
//! Invariants:
//! * [`judge`] is pure. It refuses every directory whose files a backup could harm: another store, another backup, a
//!   copy that was written to as a store, and files of strangers.
//! * Files go only after the new backup was committed, and only those with names of the engine.

use std::collections::HashSet;

use crate::codec::crc32c;
use crate::error::{Error, ErrorKind, Result};
use crate::file_names::{FileName, UNFINISHED, manifest_generation, manifest_name, parse_name, record_name};
use crate::manifest::{BackupRecord, Manifest, RecordedFile};
use crate::record::Lsn;
use crate::storage::Storage;

/// What a backup is made of.
#[derive(Clone, Copy, Debug)]
pub(super) struct BackupOrigin {
    pub store_id: u64,
    pub incarnation: u64,
    pub shares_inodes: bool,
    /// Microseconds since 1970 UTC.
    pub time: i64,
}

/// What a directory that may be filled holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum TargetState {
    Empty,
    /// A backup of this store was begun there.
    Unfinished,
    /// An earlier backup of this store.
    Backup(BackupRecord),
}

/// What was found in a directory.
#[derive(Debug, Default)]
struct TargetFacts {
    /// A file that is not the engine's.
    stranger: Option<String>,
    /// A file of a store.
    remains: Option<String>,
    mark: Option<BackupRecord>,
    has_manifest: bool,
    /// The record of the newest manifest.
    record: Option<BackupRecord>,
    /// Whether there is a record of another manifest.
    has_other_record: bool,
}

impl BackupOrigin {
    /// The record of a backup that has just begun.
    pub fn record(&self, incarnation: u64) -> BackupRecord {
        BackupRecord {
            store_id: self.store_id,
            incarnation,
            generation: 0,
            source_incarnation: self.incarnation,
            lsn: Lsn::ZERO,
            time: self.time,
            shares_inodes: self.shares_inodes,
            files: Vec::new(),
        }
    }

    fn is_of(&self, record: &BackupRecord) -> bool {
        (record.store_id, record.source_incarnation) == (self.store_id, self.incarnation)
    }
}

/// The record's entry of a manifest.
pub(super) fn recorded_manifest(manifest: &Manifest) -> RecordedFile {
    let bytes = manifest.encode();
    let (name, length) = (manifest_name(manifest.generation), bytes.len() as u64);
    RecordedFile { name, length, crc: crc32c(0, &bytes) }
}

/// Looks at a directory, and fails if it must not be filled.
pub(super) fn find(target: &dyn Storage, origin: &BackupOrigin) -> Result<TargetState> {
    let refused = |why: String| Error::invalid(format!("{} {why}", target.describe()));
    judge(facts(target)?, origin).map_err(refused)
}

fn facts(target: &dyn Storage) -> Result<TargetFacts> {
    let names: Vec<String> = target.list()?.into_iter().map(|(name, _)| name).collect();
    let is_stranger = |name: &&String| parse_name(name).is_none() && !name.starts_with('.');
    let is_remains = |name: &&String| {
        matches!(parse_name(name), Some(FileName::Segment(_) | FileName::Log(_) | FileName::Manifest(_)))
    };
    let mut facts = TargetFacts {
        stranger: names.iter().find(is_stranger).cloned(),
        remains: names.iter().find(is_remains).cloned(),
        ..TargetFacts::default()
    };
    if let Some(generation) = names.iter().filter_map(|name| manifest_generation(name)).max() {
        facts.has_manifest = true;
        let (manifest, record) = backup_of(target, generation)?;
        let own = record_name(manifest.incarnation, generation);
        facts.has_other_record = names.iter().any(|name| parse_name(name) == Some(FileName::Record) && *name != own);
        facts.record = record;
    } else if names.iter().any(|name| name == UNFINISHED) {
        // A mark that was not written whole says nothing of what follows it: the files after it were not begun.
        facts.mark = BackupRecord::read(target, UNFINISHED).map(Some).or_else(|error| match facts.remains {
            None if error.kind() == ErrorKind::Corrupt => Ok(None),
            _ => Err(error),
        })?;
    }
    Ok(facts)
}

/// The manifest of a generation, and the record of the backup if it is one.
pub(super) fn backup_of(storage: &dyn Storage, generation: u64) -> Result<(Manifest, Option<BackupRecord>)> {
    let name = manifest_name(generation);
    let damaged = |error: Error| error.context("the newest manifest of the copy cannot be read");
    let manifest = storage.map(&name).and_then(|bytes| Manifest::decode(&name, &bytes, generation)).map_err(damaged)?;
    let record = record_name(manifest.incarnation, generation);
    if !storage.list()?.iter().any(|(there, _)| *there == record) {
        return Ok((manifest, None));
    }
    let record = BackupRecord::read(storage, &record)?;
    if record.manifest() != Some(&recorded_manifest(&manifest)) || record.store_id != manifest.store_id {
        let why = "the record of the backup is that of another manifest";
        return Err(Error::corrupt(record.name(), 0, why));
    }
    Ok((manifest, Some(record)))
}

/// The table that decides whether a directory may be filled. The error says what is wrong with it.
fn judge(facts: TargetFacts, origin: &BackupOrigin) -> Result<TargetState, String> {
    const NEW: &str = "give an empty or a new directory";
    let kind = if origin.shares_inodes { "a backup" } else { "a checkpoint" };
    if let Some(name) = facts.stranger {
        return Err(format!("holds other files ({name}); {NEW}"));
    }
    match (facts.record.or(facts.mark), facts.has_manifest) {
        (Some(record), _) if !origin.is_of(&record) => Err(format!("holds a backup of another store; {NEW}")),
        (Some(record), _) if record.shares_inodes != origin.shares_inodes => {
            Err(format!("holds {kind}, and the two cannot be mixed; {NEW}"))
        }
        (Some(record), true) => Ok(TargetState::Backup(record)),
        (Some(_), false) => Ok(TargetState::Unfinished),
        (None, true) if facts.has_other_record => {
            Err(format!("was a backup, and has been opened and written to as a store since; {NEW}"))
        }
        (None, true) => Err(format!("holds a store that is no backup; {NEW}")),
        (None, false) => match facts.remains {
            Some(name) => Err(format!("holds files of a store ({name}) and no manifest; {NEW}")),
            None => Ok(TargetState::Empty),
        },
    }
}

/// Removes the files that the committed backup does not need. Returns how many were files of an earlier backup.
pub(super) fn remove_unneeded(target: &dyn Storage, record: &BackupRecord) -> Result<u64> {
    let own = record.name();
    let needed: HashSet<&str> = record.files.iter().map(|file| file.name.as_str()).chain([own.as_str()]).collect();
    let mut removed = 0;
    for (name, _) in target.list()? {
        let is_of_a_copy = match parse_name(&name) {
            Some(FileName::Segment(_) | FileName::Log(_) | FileName::Manifest(_) | FileName::Record) => true,
            Some(FileName::Temporary | FileName::Unfinished | FileName::Reserve | FileName::Doubt) => false,
            Some(FileName::Lock) | None => continue,
        };
        if !needed.contains(name.as_str()) {
            target.remove(&name)?;
            removed += u64::from(is_of_a_copy);
        }
    }
    target.sync_dir()?;
    Ok(removed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_empty_directory_and_backups_of_this_store_are_filled() {
        let origin = BackupOrigin { store_id: 1, incarnation: 2, shares_inodes: false, time: 0 };
        let own = || Some(origin.record(9));
        let other = |store_id, incarnation, shares_inodes| {
            Some(BackupOrigin { store_id, incarnation, shares_inodes, time: 0 }.record(9))
        };
        let none = TargetFacts::default;
        let name = || Some("name".to_owned());
        assert_eq!(judge(none(), &origin), Ok(TargetState::Empty));
        assert_eq!(judge(TargetFacts { mark: own(), remains: name(), ..none() }, &origin), Ok(TargetState::Unfinished));
        let backup = |record| TargetFacts { record, has_manifest: true, remains: name(), ..none() };
        assert_eq!(judge(backup(own()), &origin), Ok(TargetState::Backup(origin.record(9))));
        let refused = [
            TargetFacts { stranger: name(), ..backup(own()) },
            TargetFacts { remains: name(), ..none() },
            TargetFacts { has_other_record: true, ..backup(None) },
            TargetFacts { mark: other(1, 3, false), ..none() },
            TargetFacts { mark: other(1, 2, true), ..none() },
            backup(None),
            backup(other(3, 2, false)),
            backup(other(1, 3, false)),
            backup(other(1, 2, true)),
        ];
        for facts in refused {
            let told = format!("{facts:?}");
            assert!(judge(facts, &origin).unwrap_err().contains("give an empty or a new directory"), "{told}");
        }
    }
}
