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
use crate::manifest::{BackupRecord, Manifest, RecordedFile};
use crate::storage::disk::{DiskStorage, SystemClock};
use crate::storage::{Clock, Storage};
use crate::store::Store;

use super::files::{CopySteps, FileCopier, Sharing, SourceFile};
use super::target::backup_of;
use super::verify::{check_blocks, check_copy};
use super::{BackupOptions, BackupReport, fresh_incarnation};

impl Store {
    /// Verifies every byte of the backup in the directory `backup`, and writes it as a store to `into`, which must be
    /// empty or missing. Checkpoints are restored too. The new store holds what the backed up store held at the LSN of
    /// the backup, and has an [incarnation](Self::incarnation) of its own. `backup` is not changed.
    ///
    /// If the call fails, `into` is no store, and what was written there is removed. After a kill it is marked as
    /// unfinished and does not open: remove it, and restore again.
    ///
    /// A version of an item that a program keeps is one of the backed up store: a condition with it fails in the new
    /// one.
    ///
    /// Errors: `NotAStore` if there is no backup; `InvalidInput` if the backup was opened and written to as a store
    /// since (an open alone may do that), or if `into` is not empty or lies in `backup`; `Corrupt` if a byte of the
    /// backup is damaged or a file of it is missing; `Locked` if it is open as a store; `Interrupted`, `DiskFull`,
    /// `Io`.
    pub fn restore(backup: impl AsRef<Path>, into: impl AsRef<Path>) -> Result<BackupReport> {
        Self::restore_with(backup, into, &BackupOptions::default())
    }

    /// The same, as the options say.
    pub fn restore_with(
        backup: impl AsRef<Path>,
        into: impl AsRef<Path>,
        options: &BackupOptions,
    ) -> Result<BackupReport> {
        let from = DiskStorage::open_source(backup.as_ref(), "backup")?;
        from.refuse_inside(into.as_ref(), "backup")?;
        find_backup(&from)?;
        let _source_lock = match from.lock(Duration::ZERO) {
            Err(error) if error.kind() == ErrorKind::ReadOnly => None,
            lock => Some(lock?),
        };
        let target = DiskStorage::open_target(into.as_ref())?;
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
    let mut report = restored.map_err(|error| match error.kind() {
        ErrorKind::Interrupted => {
            let into = into.describe();
            error.context(format_args!("{into} was not restored, and what was written there is removed"))
        }
        _ => error,
    })?;
    report.seconds = SystemClock.monotonic().saturating_sub(began).as_secs_f64();
    Ok(report)
}

/// The manifest and the record of a backup.
fn find_backup(from: &dyn Storage) -> Result<(Manifest, BackupRecord)> {
    let names: Vec<String> = from.list()?.into_iter().map(|(name, _)| name).collect();
    let here = from.describe();
    let record = names.iter().find(|name| parse_name(name) == Some(FileName::Record));
    let Some(generation) = names.iter().filter_map(|name| manifest_generation(name)).max() else {
        let is_unfinished = names.iter().any(|name| name == UNFINISHED);
        return Err(match record {
            // A first backup writes its record before its manifest, and its mark goes after both.
            _ if is_unfinished => {
                let why = "is a backup that was not finished; make it again, or give another one";
                Error::new(ErrorKind::NotAStore, format!("{here} {why}"))
            }
            Some(record) => {
                let why = "but its manifest is missing; restore another backup, or write what can be read into a new \
                           store (`vecmem salvage DIR TARGET`, `Store::salvage`)";
                let message = format!("{here} holds the record of a backup ({record}), {why}");
                Error::new(ErrorKind::Corrupt, message).at(record, None)
            }
            None => Error::new(ErrorKind::NotAStore, format!("{here} holds no backup; give the directory of one")),
        });
    };
    match (backup_of(from, generation)?, record) {
        ((manifest, Some(record)), _) => Ok((manifest, record)),
        ((_, None), Some(_)) => {
            let why = "was a backup, and was opened and written to as a store since; open it as a store, or restore an \
                       earlier backup";
            Err(Error::invalid(format!("{here} {why}")))
        }
        ((_, None), None) => {
            let why = "is a store and no backup; open it as it is, or give the directory of a backup";
            Err(Error::invalid(format!("{here} {why}")))
        }
    }
}

fn refuse_files(into: &dyn Storage) -> Result<()> {
    let listed = into.list()?;
    let is_manifest = |name: &str| matches!(parse_name(name), Some(FileName::Manifest(_)));
    let is_part =
        listed.iter().any(|(name, _)| name == UNFINISHED) && !listed.iter().any(|(name, _)| is_manifest(name));
    match listed.iter().find(|(name, _)| parse_name(name) != Some(FileName::Lock)) {
        None => Ok(()),
        Some(_) if is_part => {
            let why = "holds a part of an interrupted restore or backup, and no store; remove the directory, or restore \
                       into a new one";
            Err(Error::invalid(format!("{} {why}", into.describe())))
        }
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
    let missing = |name: &str| cannot_be_restored(name, None, "the file is missing");
    let files = copier.listed(recorded().map(|file| file.name.clone()), &[], &missing)?;
    let steps = CopySteps::begin(files.iter().map(|file| file.steps()).sum(), &|| Ok(()));
    for file in &files {
        let recorded = record.file(&file.name).ok_or_else(|| Error::invalid("a file is not one of the backup"))?;
        place(&mut copier, recorded, file, &steps).map_err(|error| with_block(error, from, manifest, &steps))?;
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

/// Makes sure that the target has a file with the length and the checksum that the record says.
fn place(copier: &mut FileCopier<'_>, recorded: &RecordedFile, file: &SourceFile, steps: &CopySteps<'_>) -> Result<()> {
    if file.length != recorded.length {
        return Err(cannot_be_restored(
            &file.name,
            None,
            "the file has not the length that the record of the backup says",
        ));
    }
    let placed = copier.place(file, steps)?;
    if placed.crc == recorded.crc {
        return Ok(());
    }
    Err(cannot_be_restored(&file.name, None, "the file fails the checksum of the backup"))
}

/// The error of a damaged file with its first damaged block, if it is made of blocks.
fn with_block(error: Error, from: &dyn Storage, manifest: &Manifest, steps: &CopySteps<'_>) -> Error {
    let Some(file) = error.location().filter(|place| error.kind() == ErrorKind::Corrupt && place.offset.is_none())
    else {
        return error;
    };
    let found = check_blocks(from, manifest.store_id, &file.file, &|| steps.check()).err();
    match found.as_ref().and_then(Error::location).and_then(|place| place.offset) {
        Some(offset) => cannot_be_restored(&file.file, Some(offset), "the block fails its checksum"),
        None => error,
    }
}

/// The error for a file of the backup that is not as the record says.
fn cannot_be_restored(name: &str, offset: Option<u64>, what: &str) -> Error {
    let place = offset.map_or(String::new(), |offset| format!(" at offset {offset}"));
    let why = format!("{name}{place}: {what}, so the backup cannot be restored; restore from another backup");
    Error::new(ErrorKind::Corrupt, why).at(name, offset)
}

/// Removes what a failed restore has written: everything but the lock. The mark goes once all else is durably gone.
/// Once the mark was removed the store is complete, and stays: without the mark nothing would tell a part of it from a
/// whole.
fn remove_all(into: &dyn Storage) {
    let names = into.list().unwrap_or_default().into_iter().map(|(name, _)| name);
    let (marks, others): (Vec<String>, Vec<String>) = names.partition(|name| name == UNFINISHED);
    if marks.is_empty() {
        return;
    }
    let removed = others.iter().filter(|name| parse_name(name) != Some(FileName::Lock)).map(|name| into.remove(name));
    // What stays is marked as unfinished.
    if removed.fold(Ok(()), Result::and).and_then(|()| into.sync_dir()).is_ok() {
        let _ = marks.iter().try_for_each(|mark| into.remove(mark));
    }
}
