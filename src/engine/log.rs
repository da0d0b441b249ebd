//! The log of an open store: when it is started, which frames are synced, and which files are not needed any more.
//!
//! Invariants:
//! * The first write or purge after an open starts the log. The open does not: reading a store changes nothing.
//! * `synced` never claims a frame whose sync has not returned. After a failed write or sync the engine is poisoned and
//!   nothing here is called again.

use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::record::Lsn;
use crate::storage::Storage;
use crate::wal::{self, FileFacts, Frame, LogFacts, LogFile, LogWriter, PreparedFile, Syncer};

/// The log of an open store.
pub(crate) struct Log {
    syncer: Arc<Syncer>,
    store_id: u64,
    /// The log as the open found it; `None` for a new store.
    facts: Option<LogFacts>,
    writer: Option<LogWriter>,
    written: Lsn,
    synced: Lsn,
    newest_clock: i64,
}

impl Log {
    /// A log that continues after the one that a replay found.
    pub fn new(store_id: u64, facts: Option<LogFacts>) -> Self {
        let written = facts.as_ref().map_or(Lsn::ZERO, |facts| facts.last_lsn);
        let synced = facts.as_ref().map_or(Lsn::ZERO, |facts| facts.durable_lsn);
        Self { syncer: Arc::default(), store_id, facts, writer: None, written, synced, newest_clock: 0 }
    }

    /// The syncer of the log and of the directory.
    pub fn syncer(&self) -> Arc<Syncer> {
        Arc::clone(&self.syncer)
    }

    /// Whether the log was started since the open.
    pub fn is_started(&self) -> bool {
        self.writer.is_some()
    }

    /// Whether a manifest must be committed before the log is started: a sync failed before the open, so the log and
    /// the manifest on disk may not be durable; or the directory is a backup, whose record says that no later log
    /// file counts.
    pub fn wants_manifest(&self) -> bool {
        let wants = |facts: &LogFacts| facts.is_in_doubt() || facts.is_bounded();
        self.writer.is_none() && self.facts.as_ref().is_some_and(wants)
    }

    /// The files from `first` on that change no more and hold every operation so far; `None` if the log must be turned
    /// for that. The file that takes the writes is left out if it is empty.
    pub fn ended_files(&self, first: u64) -> Option<Vec<LogFile>> {
        let from_first = |files: &[LogFile]| files.iter().copied().filter(|file| file.id >= first).collect::<Vec<_>>();
        let Some(writer) = &self.writer else {
            let found = self.facts.iter().flat_map(|facts| &facts.files).map(FileFacts::log_file);
            return Some(from_first(&found.collect::<Vec<_>>()));
        };
        let (_current, ended) = writer.files().split_last()?;
        Some(from_first(ended)).filter(|ended| !writer.has_frames() && !ended.is_empty())
    }

    /// The LSN of the last operation in the log.
    pub fn written(&self) -> Lsn {
        self.written
    }

    /// Takes a prepared file: the first one starts the log, the others are spares. Returns whether it started the log.
    pub fn add_file(&mut self, storage: &dyn Storage, file: PreparedFile, generation: u64) -> Result<bool> {
        if let Some(writer) = &mut self.writer {
            writer.add_spare(file);
            return Ok(false);
        }
        self.writer =
            Some(LogWriter::create(storage, self.syncer(), self.store_id, file, self.facts.as_ref(), generation)?);
        // The log that the open found is durable now.
        self.synced = self.written;
        Ok(true)
    }

    /// Bytes of the files that frames are or will be written to; 0 before the first write.
    pub fn prepared_bytes(&self) -> u64 {
        self.writer.as_ref().map_or(0, LogWriter::prepared_bytes)
    }

    /// Turns the log to the file `next`, whatever room is left in others, or starts the log with it. The caller has
    /// written, or will write to `next`, every frame whose space was claimed.
    pub fn turn_to(&mut self, storage: &dyn Storage, next: PreparedFile, generation: u64) -> Result<()> {
        let Some(writer) = &mut self.writer else { return self.add_file(storage, next, generation).map(drop) };
        writer.set_manifest_generation(generation);
        writer.turn_to(next)?;
        self.synced = self.written;
        Ok(())
    }

    /// Whether the file that takes the writes, or one before it, holds a frame.
    pub fn has_frames(&self) -> bool {
        match (&self.writer, &self.facts) {
            (Some(writer), _) => writer.has_frames() || writer.files().len() > 1,
            (None, Some(facts)) => !facts.files.is_empty(),
            (None, None) => false,
        }
    }

    /// The last LSN in the files before the current one. A checkpoint at that LSN makes these files removable.
    pub fn current_file_begins_after(&self) -> Lsn {
        match &self.files()[..] {
            [.., before, _] => before.1,
            _ => Lsn::ZERO,
        }
    }

    /// Writes frames, and syncs them if `sync` is set.
    pub fn write(&mut self, storage: &dyn Storage, frames: &[Frame], sync: bool, generation: u64) -> Result<()> {
        let Some(writer) = &mut self.writer else {
            return Err(Error::new(ErrorKind::Poisoned, "a frame was to be written before the log was started"));
        };
        writer.set_manifest_generation(generation);
        self.synced = self.synced.max(self.syncer.synced());
        writer.write(frames, self.synced)?;
        self.written = writer.last_lsn();
        self.newest_clock = frames.iter().map(|frame| frame.clock).fold(self.newest_clock, i64::max);
        if sync { self.sync_through(storage, self.written) } else { Ok(()) }
    }

    /// Makes everything written through `lsn` durable.
    pub fn sync_through(&mut self, storage: &dyn Storage, lsn: Lsn) -> Result<()> {
        self.synced = self.synced.max(self.syncer.synced());
        if self.synced >= lsn.min(self.written) {
            return Ok(());
        }
        match (&mut self.writer, &self.facts) {
            (Some(writer), _) => writer.sync()?,
            // The log that the open found may be in the page cache only.
            (None, Some(facts)) => {
                wal::make_durable(storage, &self.syncer, facts)?;
                self.syncer.sync_dir(storage)?;
            }
            (None, None) => {}
        }
        self.synced = self.written;
        self.syncer.note_synced(self.synced);
        Ok(())
    }

    /// Bytes of the log's files, without spares.
    pub fn bytes(&self) -> u64 {
        match (&self.writer, &self.facts) {
            (Some(writer), _) => writer.files().iter().map(|file| file.bytes).sum(),
            (None, Some(facts)) => facts.files.iter().map(|file| file.bytes).sum(),
            (None, None) => 0,
        }
    }

    /// Bytes of the files that can be removed once all their operations are in segments.
    pub fn freed_by_checkpoint(&self) -> u64 {
        let Some(writer) = &self.writer else { return 0 };
        let files = writer.files();
        files[..files.len().saturating_sub(1)].iter().map(|file| file.bytes).sum()
    }

    /// Syncs the log, and writes the Closed frame if the log was started. Returns the ids of files that can be removed.
    pub fn close(&mut self, storage: &dyn Storage) -> Result<Vec<u64>> {
        match self.writer.take() {
            Some(writer) => writer.close(self.newest_clock, self.synced == self.written),
            // A killed process may have left unsynced frames. Readers of this store have seen their operations, so
            // these must be durable now.
            None => self.sync_through(storage, Lsn::MAX).map(|()| Vec::new()),
        }
    }

    /// The ids of all files of the log, spares included.
    pub fn ids(&self) -> Vec<u64> {
        match (&self.writer, &self.facts) {
            (Some(writer), _) => writer.ids().collect(),
            (None, Some(facts)) => facts.files.iter().map(|file| file.id).collect(),
            (None, None) => Vec::new(),
        }
    }

    /// The files of the log, oldest first, each with the last LSN it holds; the last one takes the writes.
    fn files(&self) -> Vec<(u64, Lsn)> {
        match (&self.writer, &self.facts) {
            (Some(writer), _) => writer.files().iter().map(|file| (file.id, file.last_lsn)).collect(),
            (None, Some(facts)) => facts.files.iter().map(|file| (file.id, file.last_lsn)).collect(),
            (None, None) => Vec::new(),
        }
    }

    /// The oldest file that a replay from `checkpoint` needs; the file that takes the writes is always needed.
    pub fn first_needed(&self, checkpoint: Lsn) -> u64 {
        let files = self.files();
        let last = files.len().saturating_sub(1);
        let needed = files[..last].iter().position(|&(_, last_lsn)| last_lsn > checkpoint).unwrap_or(last);
        files.get(needed).map_or(0, |&(id, _)| id)
    }

    /// Forgets files before `first`, and returns the ids of those that can be removed.
    pub fn forget_before(&mut self, first: u64) -> Vec<u64> {
        self.writer.as_mut().map_or_else(Vec::new, |writer| writer.release_before(first))
    }
}
