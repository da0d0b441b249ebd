//! Backups: a copy of a store as of one moment, made while writers write, into a directory that opens as a store.
//!
//! Reading order: the calls here, `target` (may the directory be filled?), `files` (one file), `verify` (the whole),
//! `restore`.
//!
//! 1. `target` judges the directory. An empty one gets the mark `backup-unfinished`.
//! 2. `commit/cut.rs` gives the files of one moment, and pins them.
//! 3. Log files are copied, then the files that the manifest or a frame of these log files names. A file that an
//!    earlier backup left there is used again if its checksum is right. Each file is synced and read back.
//! 4. The copy is verified as a whole. Record and manifest are written, and the rename of the manifest commits them.
//! 5. Files that the new backup does not need are removed.
//!
//! Invariants:
//! * No file is copied that still changes, and no lock of the engine is held while files are copied.
//! * The source is only read, apart from the turn of its log. An error of the target never poisons the source.
//! * At any moment the target is the old backup, the new one, or marked as unfinished.
//! * Of a log file, everything up to the end of its last frame is copied, and zeros for the rest. So its copy is the
//!   same in every backup, and the log of a backup ends with it.
//! * Each backup and each restored store has an incarnation of its own.

mod files;
mod restore;
mod target;
mod verify;

use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use crate::commit::cut::StoreCut;
use crate::error::{Error, ErrorKind, Result};
use crate::file_names::UNFINISHED;
use crate::interrupt::GoOn;
use crate::manifest::{BackupRecord, Manifest, RecordedFile};
use crate::record::copy_incarnation;
use crate::storage::Storage;
use crate::storage::disk::DiskStorage;
use crate::store::Store;
use crate::wal::{self, LogSpan};

use files::{CopySteps, FileCopier, Sharing, SourceFile};
use target::{BackupOrigin, TargetState};
use verify::{check_copy, imported_files};

#[cfg(feature = "testing")]
pub(crate) use restore::restore;

/// Options of a backup or a restore. By default it runs as fast as the disks allow, and shares no file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BackupOptions {
    links: bool,
    bytes_per_second: Option<u64>,
}

impl BackupOptions {
    /// The default.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes a checkpoint in place of a backup: segment files become hard links, so that it takes little time and
    /// space. A checkpoint shares its inodes with the store. Damage of a shared file is damage of both, so a checkpoint
    /// does not replace a backup. The directory must lie on the file system of the store. Not for restores.
    #[must_use]
    pub fn link(mut self, links: bool) -> Self {
        self.links = links;
        self
    }

    /// The most bytes that are copied or read back in a second.
    #[must_use]
    pub fn bytes_per_second(mut self, most: u64) -> Self {
        self.bytes_per_second = Some(most.max(1));
        self
    }
}

/// What a backup or a restore has done.
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct BackupReport {
    /// Whether this is a checkpoint, whose files may be those of the store: damage of one is damage of both.
    pub is_checkpoint: bool,
    /// The copy holds every write up to this LSN, and no later one.
    pub lsn: u64,
    /// The incarnation of the copy, which differs from that of the store; see [`Store::incarnation`].
    pub incarnation: u64,
    /// The files of the copy, manifest and record included.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files whose bytes were copied.
    pub files_copied: u64,
    /// Their bytes.
    pub bytes_copied: u64,
    /// Files that the file system cloned: they share blocks until one of the two changes, but no inode.
    pub files_cloned: u64,
    /// Their bytes.
    pub bytes_cloned: u64,
    /// Files that became hard links.
    pub files_linked: u64,
    /// Their bytes.
    pub bytes_linked: u64,
    /// Files of an earlier backup in the same directory that were used again.
    pub files_reused: u64,
    /// Their bytes.
    pub bytes_reused: u64,
    /// Files that were read back from the target and compared with their checksums.
    pub files_verified: u64,
    /// Their bytes.
    pub bytes_verified: u64,
    /// Files of an earlier backup that were removed, since the new one does not need them.
    pub files_removed: u64,
    /// The time that the throttle took, in seconds.
    pub paused_seconds: f64,
    /// The time that everything took, in seconds.
    pub seconds: f64,
}

impl BackupReport {
    /// The time that everything took.
    pub fn took(&self) -> Duration {
        Duration::try_from_secs_f64(self.seconds).unwrap_or_default()
    }
}

impl Store {
    /// Copies the store as it is now into the directory `target`, while other threads go on reading and writing. The
    /// copy opens as a store, with the same settings; [`Store::restore`] verifies it and writes it to a new directory.
    ///
    /// `target` is empty, missing, or an earlier backup of this store. Files that an earlier backup has are used again,
    /// so later backups into one directory copy what is new; then the earlier one is replaced as a whole. Where the
    /// file system can, files are cloned, else copied. Every file is read back and compared with its checksum.
    ///
    /// The backup has every write that was acknowledged before the call, and each batch whole or not at all. It has an
    /// [incarnation](Self::incarnation) of its own. A purge does not reach backups: make a new backup after it, and
    /// remove the old ones.
    ///
    /// If the call fails or the process is killed, the store is as before. `target` is then the earlier backup, or is
    /// marked as unfinished and does not open. The same call finishes it: files of an earlier finished backup are used
    /// again, those of an unfinished one are copied again. A copy of a live directory by other means, such as `cp`, may
    /// work, but nothing is promised about it.
    ///
    /// Do not open a backup as a store to look at it: restore it, and open what was restored. An open may write, even
    /// without a write of the caller (expired items are removed, codes rebuilt), and the directory is no backup then:
    /// it opens as a store, but can neither be restored nor be continued.
    ///
    /// Errors: `InvalidInput` if the directory is another store or backup, lies in the store's own, or holds other
    /// files; `Locked` if it is open as a store; `Damaged` if a file of the store is damaged or missing (see
    /// [`Store::check`]); `SnapshotGone` if a purge has ended the backup; `Interrupted`, `DiskFull`, `Io`, `Poisoned`,
    /// `Closed`.
    ///
    /// ```
    /// use vecmem::{Namespace, Options, Put, Store};
    ///
    /// # let directory = tempfile::tempdir().unwrap();
    /// # let (path, backup, restored) =
    /// #     (directory.path().join("store"), directory.path().join("backup"), directory.path().join("restored"));
    /// let store = Store::open(&path, Options::new())?;
    /// let notes = Namespace::new(["notes"])?;
    /// store.put(Put::new(&notes, "tea", r#"{"text": "green"}"#))?;
    ///
    /// let first = store.backup(&backup)?;
    /// store.put(Put::new(&notes, "cup", r#"{"text": "blue"}"#))?;
    /// let second = store.backup(&backup)?;
    /// assert_eq!((first.lsn, second.lsn), (1, 2));
    ///
    /// Store::restore(&backup, &restored)?;
    /// let copy = Store::open(&restored, Options::new())?;
    /// assert!(copy.get(&notes, "cup")?.is_some());
    /// assert_ne!(copy.incarnation(), store.incarnation());
    /// # Ok::<(), vecmem::Error>(())
    /// ```
    pub fn backup(&self, target: impl AsRef<Path>) -> Result<BackupReport> {
        self.backup_with(target, &BackupOptions::default())
    }

    /// The same, as the options say.
    pub fn backup_with(&self, target: impl AsRef<Path>, options: &BackupOptions) -> Result<BackupReport> {
        self.handle.engine.check_writable()?;
        let target = target.as_ref();
        self.handle.engine.storage.as_disk().map_or(Ok(()), |own| own.refuse_inside(target, "store"))?;
        let storage = DiskStorage::open_target(target)?;
        // A directory that is refused does not even get a lock file.
        target::find(&storage, &self.origin(options))?;
        let _lock = storage.lock(Duration::ZERO)?;
        self.backup_to(&storage, options)
    }

    /// A random number that tells this copy of the store from all others: each backup and each restored store gets
    /// another one. A version or an LSN that a program keeps outside of the store has a meaning in one incarnation
    /// only: a condition with a version of another one fails. A program that keeps LSNs keeps the incarnation with
    /// them, and opens the store with [`Options::incarnation`](crate::Options::incarnation).
    pub fn incarnation(&self) -> u64 {
        self.handle.engine.identity.incarnation
    }

    /// [`Store::backup_with`] into any storage.
    pub(crate) fn backup_to(&self, target: &dyn Storage, options: &BackupOptions) -> Result<BackupReport> {
        let _call = self.handle.calls.read();
        let engine = &self.handle.engine;
        engine.check_writable()?;
        let began = engine.clock.monotonic();
        let origin = self.origin(options);
        let state = target::find(target, &origin)?;
        let incarnation = fresh_incarnation(target, origin.incarnation);
        if matches!(state, TargetState::Empty) {
            origin.record(incarnation).write(target, UNFINISHED)?;
            target.sync_dir()?;
        }
        let cut = self.handle.pipeline.cut()?;
        let sharing = if options.links { Sharing::Links } else { Sharing::Clones };
        let known = match &state {
            TargetState::Backup(record) => Some(record),
            TargetState::Empty | TargetState::Unfinished => None,
        };
        let mut copier = FileCopier::new(&*engine.storage, target, sharing, options.bytes_per_second)?.knowing(known);
        let copied = self.copy(&mut copier, &cut, &origin.record(incarnation));
        let (record, manifest) = copied.map_err(|error| unfinished(error, known.is_none(), target))?;
        commit(target, &record, &manifest)?;
        copier.report.files_removed = target::remove_unneeded(target, &record)?;
        let mut report = copier.finish(&record);
        report.seconds = engine.clock.monotonic().saturating_sub(began).as_secs_f64();
        Ok(report)
    }

    fn origin(&self, options: &BackupOptions) -> BackupOrigin {
        let engine = &self.handle.engine;
        BackupOrigin {
            store_id: engine.identity.keys.store_id,
            incarnation: engine.identity.incarnation,
            shares_inodes: options.links,
            time: engine.clock.machine().now(),
        }
    }

    /// Copies the files of the cut, and verifies them. Returns what commits them.
    fn copy(
        &self,
        copier: &mut FileCopier<'_>,
        cut: &StoreCut,
        began: &BackupRecord,
    ) -> Result<(BackupRecord, Manifest)> {
        let engine = &self.handle.engine;
        let manifest = Manifest { incarnation: began.incarnation, ..cut.manifest.clone() };
        let mut record = BackupRecord { generation: manifest.generation, lsn: cut.lsn, ..began.clone() };
        let logs =
            cut.logs.iter().map(|file| SourceFile { name: wal::file_name(file.id), length: file.bytes, end: file.end });
        let may_go_on = || cut.pin.check().and_then(|()| engine.check_usable());
        record.files = copy_all(copier, &logs.collect::<Vec<_>>(), &may_go_on)?;

        let target = copier.target;
        let span = LogSpan { first: manifest.first_log, last: Some(record.last_log()) };
        let imported = imported_files(target, &manifest, span)?;
        let missing = |name: &str| {
            let why = format!("{name} is missing, so the store cannot be copied; `vecmem check` says what helps");
            Error::new(ErrorKind::Damaged, why).at(name, None)
        };
        let rest = copier.listed(manifest.files().chain(imported.needed), &imported.derived, &missing)?;
        record.files.extend(copy_all(copier, &rest, &may_go_on)?);

        check_copy(target, &manifest, &record, &CopySteps::begin(0, &may_go_on)).map_err(|error| {
            let why = "a file of the store itself is damaged, so it was not backed up; `vecmem check` says what helps";
            if error.kind() == ErrorKind::Corrupt { error.with_kind(ErrorKind::Damaged).context(why) } else { error }
        })?;
        may_go_on()?;
        record.files.push(target::recorded_manifest(&manifest));
        Ok((record, manifest))
    }
}

/// Copies files, as one stage.
fn copy_all(copier: &mut FileCopier<'_>, files: &[SourceFile], may_go_on: &GoOn<'_>) -> Result<Vec<RecordedFile>> {
    let steps = CopySteps::begin(files.iter().map(SourceFile::steps).sum(), may_go_on);
    files.iter().map(|file| copier.place(file, &steps)).collect()
}

/// Writes the record and the manifest. The directory is the new copy once the manifest has its name.
fn commit(target: &dyn Storage, record: &BackupRecord, manifest: &Manifest) -> Result<()> {
    record.write(target, &record.name())?;
    manifest.write(target)?;
    target.sync_dir()?;
    manifest.publish(target)?;
    target.sync_dir()
}

/// A number for a new copy.
fn fresh_incarnation(storage: &dyn Storage, other: u64) -> u64 {
    loop {
        let number = copy_incarnation(storage.random());
        if number != other {
            return number;
        }
    }
}

/// The error of a copy into a directory that was empty, with what the directory is now.
fn unfinished(error: Error, was_empty: bool, target: &dyn Storage) -> Error {
    let into = target.describe();
    match error.kind() {
        ErrorKind::Interrupted if was_empty => {
            error.context(format_args!("{into} is no backup yet, and does not open; the same call begins it anew"))
        }
        ErrorKind::Interrupted => error.context(format_args!("{into} is still the backup that it was before")),
        _ => error,
    }
}
