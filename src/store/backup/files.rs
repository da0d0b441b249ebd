//! Copies one file to a backup, or from one: shared where that is asked for and possible, synced, and read back.
//!
//! Invariants:
//! * A file counts as copied once it was synced, and read back with the same checksum.
//! * A file that is there already is used again only if the record of a committed backup has it, with its checksum, and
//!   it is the file of the source: a log file with the same checksum, any other with the same bytes at both ends.
//! * A file that an unfinished backup left is copied again: its bytes may be only in the page cache, or lost by a sync
//!   that failed.
//! * Memory is one buffer, whatever the files hold.
//! * [`pause_for`] alone decides how long a throttled copy waits.
#![allow(clippy::disallowed_methods, reason = "a throttled thread sleeps in real time")]

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use crate::codec::crc32c;
use crate::error::{Error, Result};
use crate::file_names::{FileName, parse_name};
use crate::interrupt::{GoOn, Stage, Steps};
use crate::manifest::{BackupRecord, RecordedFile};
use crate::storage::{Storage, StorageFile};

use super::BackupReport;

/// Bytes of one step.
const CHUNK_BYTES: usize = 1 << 20;
/// Bytes at either end of a file that tell it from other files of the same name: they hold its checksums.
const END_BYTES: u64 = 4096;
/// The longest sleep between two looks for an interrupt.
const NAP: Duration = Duration::from_millis(20);

/// What a copy of a segment file may share with its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sharing {
    /// Blocks of the disk, if the file system can.
    Clones,
    /// The inode.
    Links,
}

/// A file to be copied. What lies after its end becomes zeros.
#[derive(Clone, Debug)]
pub(super) struct SourceFile {
    pub name: String,
    pub length: u64,
    pub end: u64,
}

impl SourceFile {
    /// The most steps that it takes to copy the file and to read it back.
    pub fn steps(&self) -> u64 {
        2 * self.length.div_ceil(CHUNK_BYTES as u64)
    }
}

/// The steps of a stage, which may end for another reason than an interrupt too.
pub(super) struct CopySteps<'a> {
    steps: Steps,
    may_go_on: &'a GoOn<'a>,
}

impl<'a> CopySteps<'a> {
    /// Begins a stage of `total` steps, 0 if unknown.
    pub fn begin(total: u64, may_go_on: &'a GoOn<'a>) -> Self {
        Self { steps: Steps::begin(Stage::Backup, total), may_go_on }
    }

    /// Counts a step, or fails if the copy may not go on.
    pub fn next(&self) -> Result<()> {
        self.steps.next().and_then(|()| (self.may_go_on)())
    }

    /// Fails if the copy may not go on.
    pub fn check(&self) -> Result<()> {
        self.steps.check().and_then(|()| (self.may_go_on)())
    }
}

/// Copies files from one directory to another.
pub(super) struct FileCopier<'a> {
    source: &'a dyn Storage,
    pub target: &'a dyn Storage,
    sharing: Sharing,
    /// The earlier backup in the target.
    known: Option<&'a BackupRecord>,
    /// The files in the target, with their lengths.
    there: HashMap<String, u64>,
    pace: Pace,
    buffer: Vec<u8>,
    pub report: BackupReport,
}

impl<'a> FileCopier<'a> {
    pub fn new(
        source: &'a dyn Storage,
        target: &'a dyn Storage,
        sharing: Sharing,
        bytes_per_second: Option<u64>,
    ) -> Result<Self> {
        let there = target.list()?.into_iter().collect();
        let pace = Pace { rate: bytes_per_second, began: Instant::now(), bytes: 0, paused: Duration::ZERO };
        let (buffer, report) = (vec![0; CHUNK_BYTES], BackupReport::default());
        Ok(Self { source, target, sharing, known: None, there, pace, buffer, report })
    }

    /// The same for a target that holds this earlier backup.
    pub fn knowing(self, known: Option<&'a BackupRecord>) -> Self {
        Self { known, ..self }
    }

    /// The whole files of these names in the source, each once. Those of `derived` may be missing. `missing` gives the
    /// error for any other.
    pub fn listed(
        &self,
        needed: impl Iterator<Item = String>,
        derived: &[String],
        missing: &dyn Fn(&str) -> Error,
    ) -> Result<Vec<SourceFile>> {
        let lengths: HashMap<String, u64> = self.source.list()?.into_iter().collect();
        let there = derived.iter().filter(|name| lengths.contains_key(*name)).cloned();
        let names: BTreeSet<String> = needed.chain(there).collect();
        let found = names.into_iter().map(|name| match lengths.get(&name) {
            Some(&length) => Ok(SourceFile { name, length, end: length }),
            None => Err(missing(&name)),
        });
        found.collect()
    }

    /// Makes sure that the target has the file. Returns it with its checksum.
    pub fn place(&mut self, file: &SourceFile, steps: &CopySteps<'_>) -> Result<RecordedFile> {
        let placed = self.try_place(file, steps);
        // A purge that ends the backup removes files that are being copied. Then that is the error.
        let crc = placed.or_else(|error| steps.check().and(Err(error)))?;
        self.report.files_verified += 1;
        self.report.bytes_verified += file.length;
        Ok(RecordedFile { name: file.name.clone(), length: file.length, crc })
    }

    fn try_place(&mut self, file: &SourceFile, steps: &CopySteps<'_>) -> Result<u32> {
        if let Some(&length) = self.there.get(&file.name) {
            let same = if length == file.length { self.find_same(file, steps)? } else { None };
            if let Some(crc) = same {
                self.report.files_reused += 1;
                self.report.bytes_reused += length;
                return Ok(crc);
            }
            self.target.remove(&file.name)?;
        }
        let copied = if self.share(file)? { None } else { Some(self.copy(file, steps)?) };
        let crc = self.read_back(file, steps)?;
        if copied.is_some_and(|copied| copied != crc) {
            let what = "what was read back is not what was written; the disk of the copy loses or changes bytes";
            return Err(Error::corrupt(format!("{}/{}", self.target.describe(), file.name), 0, what));
        }
        Ok(crc)
    }

    /// The checksum of the file in the target, if the earlier backup has it and it is the same file.
    fn find_same(&mut self, file: &SourceFile, steps: &CopySteps<'_>) -> Result<Option<u32>> {
        let recorded = self.known.and_then(|known| known.file(&file.name)).filter(|known| known.length == file.length);
        let Some(crc) = recorded.map(|recorded| recorded.crc) else { return Ok(None) };
        if self.read_back(file, steps)? != crc {
            return Ok(None);
        }
        let is_log = matches!(parse_name(&file.name), Some(FileName::Log(_)));
        let is_same = if is_log { self.crc_of(self.source, file, steps)? == crc } else { self.has_same_ends(file)? };
        Ok(is_same.then_some(crc))
    }

    /// Whether both ends of the file are the same in source and target.
    fn has_same_ends(&self, file: &SourceFile) -> Result<bool> {
        let bytes = END_BYTES.min(file.length);
        let ends = |storage: &dyn Storage| -> Result<Vec<u8>> {
            let opened = storage.open(&file.name)?;
            let mut both = vec![0; 2 * bytes as usize];
            let (head, tail) = both.split_at_mut(bytes as usize);
            opened.read_at(0, head)?;
            opened.read_at(file.length - bytes, tail)?;
            Ok(both)
        };
        Ok(ends(self.source)? == ends(self.target)?)
    }

    /// Clones or links the file, if that is possible. A log file is always copied.
    fn share(&mut self, file: &SourceFile) -> Result<bool> {
        let is_log = matches!(parse_name(&file.name), Some(FileName::Log(_)));
        let (Some(source), Some(target)) = (self.source.as_disk(), self.target.as_disk()) else {
            return if self.sharing == Sharing::Links && !is_log {
                Err(Error::invalid("hard links need two directories of one file system; make a backup without links"))
            } else {
                Ok(false)
            };
        };
        if is_log && (file.end != file.length || self.sharing == Sharing::Links) {
            return Ok(false);
        }
        let is_shared = match self.sharing {
            Sharing::Links => target.link_from(source, &file.name).map(|()| true)?,
            Sharing::Clones => target.clone_from(source, &file.name)?,
        };
        let (files, bytes) = match self.sharing {
            Sharing::Links => (&mut self.report.files_linked, &mut self.report.bytes_linked),
            Sharing::Clones => (&mut self.report.files_cloned, &mut self.report.bytes_cloned),
        };
        if is_shared {
            *files += 1;
            *bytes += file.length;
            target.open(&file.name)?.sync_all()?;
        }
        Ok(is_shared)
    }

    /// Copies the bytes, and syncs the copy. Returns its checksum.
    fn copy(&mut self, file: &SourceFile, steps: &CopySteps<'_>) -> Result<u32> {
        let (from, into) = (self.source.open(&file.name)?, self.target.create(&file.name)?);
        let crc = self.stream(&*from, file, steps, |offset, bytes| into.write_at(offset, bytes))?;
        if file.end < file.length {
            into.set_len(file.length)?;
        }
        into.sync_all()?;
        self.report.files_copied += 1;
        self.report.bytes_copied += file.length;
        Ok(crc)
    }

    /// The checksum of the file in the target, as the disk has it.
    fn read_back(&mut self, file: &SourceFile, steps: &CopySteps<'_>) -> Result<u32> {
        if let Some(disk) = self.target.as_disk() {
            disk.forget_cached(&file.name);
        }
        self.crc_of(self.target, &SourceFile { end: file.length, ..file.clone() }, steps)
    }

    fn crc_of(&mut self, storage: &dyn Storage, file: &SourceFile, steps: &CopySteps<'_>) -> Result<u32> {
        let opened = storage.open(&file.name)?;
        self.stream(&*opened, file, steps, |_, _| Ok(()))
    }

    /// Reads the file up to its end, chunk by chunk. Returns the checksum of it and of the zeros that follow.
    fn stream(
        &mut self,
        from: &dyn StorageFile,
        file: &SourceFile,
        steps: &CopySteps<'_>,
        mut each: impl FnMut(u64, &[u8]) -> Result<()>,
    ) -> Result<u32> {
        let (mut crc, mut offset) = (0, 0);
        while offset < file.end {
            steps.next()?;
            let length = (file.end - offset).min(CHUNK_BYTES as u64);
            let chunk = &mut self.buffer[..length as usize];
            from.read_at(offset, chunk)?;
            crc = crc32c(crc, chunk);
            each(offset, chunk)?;
            offset += length;
            self.pace.moved(length, steps)?;
        }
        self.buffer.fill(0);
        while offset < file.length {
            let length = (file.length - offset).min(CHUNK_BYTES as u64);
            crc = crc32c(crc, &self.buffer[..length as usize]);
            offset += length;
        }
        Ok(crc)
    }

    /// The report of a copy that was committed with this record.
    pub fn finish(self, record: &BackupRecord) -> BackupReport {
        let own = record.encode().len() as u64;
        BackupReport {
            is_checkpoint: record.shares_inodes,
            lsn: record.lsn.get(),
            incarnation: record.incarnation,
            files: record.files.len() as u64 + 1,
            bytes: record.files.iter().map(|file| file.length).sum::<u64>() + own,
            paused_seconds: self.pace.paused.as_secs_f64(),
            ..self.report
        }
    }
}

/// The throttle of a copy.
struct Pace {
    rate: Option<u64>,
    began: Instant,
    bytes: u64,
    paused: Duration,
}

impl Pace {
    /// Counts bytes, and sleeps until they may have been moved. An interrupt ends the sleep.
    fn moved(&mut self, bytes: u64, steps: &CopySteps<'_>) -> Result<()> {
        self.bytes += bytes;
        let Some(rate) = self.rate else { return Ok(()) };
        let began = Instant::now();
        loop {
            let left = pause_for(self.bytes, self.began.elapsed(), rate);
            if left.is_zero() {
                self.paused += began.elapsed();
                return Ok(());
            }
            std::thread::sleep(left.min(NAP));
            steps.check()?;
        }
    }
}

/// How long a copy must wait that has moved `bytes` in `elapsed` and may move `rate` bytes in a second.
fn pause_for(bytes: u64, elapsed: Duration, rate: u64) -> Duration {
    let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(rate.max(1));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)).saturating_sub(elapsed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_throttled_copy_waits_for_what_it_has_moved_too_early() {
        let (second, none) = (Duration::from_secs(1), Duration::ZERO);
        assert_eq!(pause_for(0, none, 100), none);
        assert_eq!(pause_for(100, none, 100), second);
        assert_eq!(pause_for(150, second, 100), second / 2);
        assert_eq!(pause_for(100, 2 * second, 100), none, "a slow disk is not waited for");
        assert_eq!(pause_for(1, none, 0), second, "a rate is at least one byte");
        assert!(pause_for(u64::MAX, none, 1) > 1_000 * second);
    }
}
