//! Restores a backup: verifies every byte of it, and writes it to a new directory as a store.
//!
//! Invariants:
//! * The backup is only read. Only the files that its record names are used, each with its checksum.
//! * A directory that holds a file is not touched. Until the restore is finished, the directory is marked and does not
//!   open. A restore that fails removes what it has written, as far as the system lets it.
//! * The restored store has an incarnation of its own, and no record: it is no backup.

use std::path::Path;
use std::time::Duration;

use crate::error::{Error, ErrorKind, Result};
use crate::file_names::{FileName, UNFINISHED, manifest_generation, parse_name};
use crate::manifest::{BackupRecord, Manifest};
use crate::storage::disk::{DiskStorage, SystemClock};
use crate::storage::{Clock, ReadMode, Storage};
use crate::store::Store;

use super::files::{CopySteps, FileCopier, Sharing};
use super::target::backup_of;
use super::verify::check_copy;
use super::{BackupOptions, BackupReport, fresh_incarnation};

impl Store {
    /// Verifies every byte of the backup in the directory `backup`, and writes it as a store to `into`, which must be
    /// empty or missing. Checkpoints are restored too. The new store holds what the backed up store held at the LSN of
    /// the backup, and has an [incarnation](Self::incarnation) of its own. `backup` is not changed.
    ///
    /// If the call fails, `into` is no store, and what was written there is removed. After a kill it is marked as
    /// unfinished and does not open: remove it, and restore again.
    ///
    /// Errors: `NotAStore` if there is no backup, `InvalidInput` if the backup was written to as a store since, or
    /// `into` is not empty, `Corrupt` if a byte of the backup is damaged, `Locked` if it is open as a store,
    /// `Interrupted`, `DiskFull`, `Io`.
    pub fn restore(backup: impl AsRef<Path>, into: impl AsRef<Path>) -> Result<BackupReport> {
        Self::restore_with(backup, into, &BackupOptions::default())
    }

    /// The same, as the options say.
    pub fn restore_with(
        backup: impl AsRef<Path>,
        into: impl AsRef<Path>,
        options: &BackupOptions,
    ) -> Result<BackupReport> {
        let from = DiskStorage::open(backup.as_ref(), false, ReadMode::Map)?;
        find_backup(&from)?;
        let _source_lock = match from.lock(Duration::ZERO) {
            Err(error) if error.kind() == ErrorKind::ReadOnly => None,
            lock => Some(lock?),
        };
        let target = DiskStorage::open(into.as_ref(), true, ReadMode::Map)?;
        refuse_files(&target)?;
        let _target_lock = target.lock(Duration::ZERO)?;
        restore(&from, &target, options)
    }
}

/// [`Store::restore_with`] between any storages.
pub(crate) fn restore(from: &dyn Storage, into: &dyn Storage, options: &BackupOptions) -> Result<BackupReport> {
    if options.links {
        return Err(Error::invalid("a restore makes no hard links: the store would share its files with the backup"));
    }
    let began = SystemClock.monotonic();
    let (manifest, record) = find_backup(from)?;
    refuse_files(into)?;
    let incarnation = fresh_incarnation(into, manifest.incarnation);
    let manifest = Manifest { incarnation, ..manifest };
    let restored = write(from, into, options, &record, &manifest).inspect_err(|_| remove_all(into));
    let mut report = restored?;
    report.seconds = SystemClock.monotonic().saturating_sub(began).as_secs_f64();
    Ok(report)
}

/// The manifest and the record of a backup.
fn find_backup(from: &dyn Storage) -> Result<(Manifest, BackupRecord)> {
    let names: Vec<String> = from.list()?.into_iter().map(|(name, _)| name).collect();
    let not_one = |why: &str| Error::new(ErrorKind::NotAStore, format!("{} {why}", from.describe()));
    let Some(generation) = names.iter().filter_map(|name| manifest_generation(name)).max() else {
        let is_unfinished = names.iter().any(|name| name == UNFINISHED);
        return Err(not_one(if is_unfinished {
            "is a backup that was not finished; make it again, or give another one"
        } else {
            "holds no backup; give the directory of one"
        }));
    };
    match backup_of(from, generation)? {
        (manifest, Some(record)) => Ok((manifest, record)),
        (_, None) => {
            let why = "is no backup, or was written to as a store since; open it as a store, and make a backup of it";
            Err(Error::invalid(format!("{} {why}", from.describe())))
        }
    }
}

fn refuse_files(into: &dyn Storage) -> Result<()> {
    let listed = into.list()?;
    match listed.iter().find(|(name, _)| parse_name(name) != Some(FileName::Lock)) {
        None => Ok(()),
        Some((name, _)) => {
            let why = format!("{} is not empty ({name}); restore into a new directory", into.describe());
            Err(Error::invalid(why))
        }
    }
}

/// Copies and verifies everything, and commits it.
fn write(
    from: &dyn Storage,
    into: &dyn Storage,
    options: &BackupOptions,
    record: &BackupRecord,
    manifest: &Manifest,
) -> Result<BackupReport> {
    BackupRecord { files: Vec::new(), ..record.clone() }.write(into, UNFINISHED)?;
    into.sync_dir()?;
    let mut copier = FileCopier::new(from, into, Sharing::Clones, options.bytes_per_second)?;
    let is_manifest = |name: &str| manifest_generation(name).is_some();
    let recorded = || record.files.iter().filter(|file| !is_manifest(&file.name));
    let files = copier.listed(recorded().map(|file| file.name.clone()), &[])?;
    let steps = CopySteps::begin(files.iter().map(|file| file.steps()).sum(), &|| Ok(()));
    for file in &files {
        let recorded = record.file(&file.name).ok_or_else(|| Error::invalid("a file is not one of the backup"))?;
        copier.place_known(recorded, file.length, &steps)?;
    }
    check_copy(into, manifest, record, &CopySteps::begin(0, &|| Ok(())))?;
    into.sync_dir()?;
    manifest.write(into)?;
    manifest.publish(into)?;
    into.sync_dir()?;
    into.remove(UNFINISHED)?;
    into.sync_dir()?;
    let copied = BackupRecord { incarnation: manifest.incarnation, shares_inodes: false, ..record.clone() };
    let report = copier.finish(&copied);
    // A store has no record.
    let bytes = record.files.iter().map(|file| file.length).sum();
    Ok(BackupReport { files: record.files.len() as u64, bytes, ..report })
}

/// Removes what a failed restore has written: everything but the lock. The mark goes once all else is durably gone.
fn remove_all(into: &dyn Storage) {
    let names = into.list().unwrap_or_default().into_iter().map(|(name, _)| name);
    let (marks, others): (Vec<String>, Vec<String>) = names.partition(|name| name == UNFINISHED);
    let removed = others.iter().filter(|name| parse_name(name) != Some(FileName::Lock)).map(|name| into.remove(name));
    // What stays is marked as unfinished.
    if removed.fold(Ok(()), Result::and).and_then(|()| into.sync_dir()).is_ok() {
        let _ = marks.iter().try_for_each(|mark| into.remove(mark));
    }
}
