//! Preparing log files and writing frames to them.
//!
//! Invariants:
//! * The header of a file is written only after all frames of the files before it are durable. Frames are written only
//!   after the header of their file is durable.
//! * Every sync of a file in use goes through the [`Syncer`] that the writer was created with.
//! * After an error the writer writes nothing more: until the log is read again it is unknown what is on disk.

use std::collections::VecDeque;
use std::sync::Arc;

use super::body::SHARED_BYTES;
use super::frame::{Frame, FrameHeader, FrameKind, frame_bytes};
use super::header::FileHeader;
use super::space::{FilePlace, Space, file_bytes_for};
use super::syncer::Syncer;
use super::{DOUBT_NAME, FILE_BYTES_MAX, FileFacts, HEADER_BYTES, HEADERS_BYTES, LogFacts, Predecessor, file_name};
use crate::codec::seed;
use crate::error::{Error, ErrorKind, Result};
use crate::record::Lsn;
use crate::storage::{Storage, StorageFile};

/// Pieces of a body with at least this many bytes are written directly, not copied to the buffer of pending frames.
const DIRECT_BYTES: usize = SHARED_BYTES;
/// The buffer of pending frames is written once it holds this many bytes.
const PENDING_BYTES: usize = 4 << 20;
/// Bytes of one write when a file is filled with zeros or its frames are written again.
const CHUNK_BYTES: usize = 1 << 20;

/// An unused log file, filled with zeros that are durable. Its name is durable once the directory has been synced.
pub(crate) struct PreparedFile {
    id: u64,
    file: Arc<dyn StorageFile>,
    bytes: u64,
}

impl PreparedFile {
    /// The length of the file, for [`Space::add_spare`].
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// Creates the log file `id` with at least `bytes` bytes. The caller syncs the directory. If the file cannot be filled,
/// for example on a full disk, it is removed.
pub(crate) fn prepare(storage: &dyn Storage, id: u64, bytes: u64) -> Result<PreparedFile> {
    let name = file_name(id);
    let bytes =
        bytes.max(file_bytes_for(0)).checked_next_multiple_of(HEADER_BYTES).filter(|&bytes| bytes <= FILE_BYTES_MAX);
    let Some(bytes) = bytes else {
        return Err(Error::invalid(format!(
            "log file {name} would be longer than {FILE_BYTES_MAX} bytes; split the batch"
        )));
    };
    let file = storage.create(&name)?;
    match fill_with_zeros(&*file, bytes) {
        Ok(()) => Ok(PreparedFile { id, file: Arc::from(file), bytes }),
        Err(error) => {
            // The first error is reported. If the removal fails too, the next open removes the unused file.
            let _ = storage.remove(&name);
            Err(error.context("preparing log space"))
        }
    }
}

fn fill_with_zeros(file: &dyn StorageFile, bytes: u64) -> Result<()> {
    let zeros = vec![0; CHUNK_BYTES.min(bytes as usize)];
    let mut offset = 0;
    while offset < bytes {
        let length = (bytes - offset).min(zeros.len() as u64);
        file.write_at(offset, &zeros[..length as usize])?;
        offset += length;
    }
    file.sync_all()
}

/// A log file in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LogFile {
    pub id: u64,
    pub bytes: u64,
    /// The LSN of the last operation in the file; if it has none, that of the last operation before the file.
    pub last_lsn: Lsn,
    /// The end of its last frame, as the header of the next file names it.
    pub end: u64,
}

/// The one writer of a log.
pub(crate) struct LogWriter {
    syncer: Arc<Syncer>,
    store_id: u64,
    manifest_generation: u64,
    current: PreparedFile,
    salt: u64,
    /// The end of the current file, which the header of the next file names.
    end: Predecessor,
    space: Space,
    /// Prepared files, in the order in which they will be used.
    spares: VecDeque<PreparedFile>,
    /// The ids of spares that were given up and can be removed.
    skipped: Vec<u64>,
    files: Vec<LogFile>,
    /// A buffer of encoded frames, to be written at offset `pending_at` of the current file.
    pending: Vec<u8>,
    pending_at: u64,
    failed: bool,
}

impl LogWriter {
    /// Continues the log that `facts` describes (`None` for a new store) in the file `first`, whose name is durable.
    /// When this returns, all frames with operations that `facts` accepted are durable. After a close they are known to
    /// be.
    pub fn create(
        storage: &dyn Storage,
        syncer: Arc<Syncer>,
        store_id: u64,
        first: PreparedFile,
        facts: Option<&LogFacts>,
        manifest_generation: u64,
    ) -> Result<Self> {
        let durable = facts.and_then(durable_predecessor);
        let end = durable.or(facts.map(LogFacts::predecessor)).unwrap_or_default();
        let found = facts.iter().flat_map(|facts| &facts.files);
        let mut files: Vec<LogFile> = found.map(FileFacts::log_file).collect();
        files.iter_mut().rev().take(1).for_each(|last| last.end = end.end);
        let mut writer = Self {
            syncer,
            store_id,
            manifest_generation,
            salt: 0,
            end,
            space: Space::of_new_file(first.bytes),
            spares: VecDeque::new(),
            skipped: Vec::new(),
            files,
            pending: Vec::new(),
            pending_at: 0,
            failed: false,
            current: first,
        };
        writer.guard(|writer| {
            if let Some(facts) = facts.filter(|_| durable.is_none()) {
                make_durable(storage, &writer.syncer, facts)?;
            }
            writer.start_file()
        })?;
        if facts.is_some_and(|facts| facts.doubt) {
            storage.remove(DOUBT_NAME)?;
        }
        Ok(writer)
    }

    /// Adds a prepared file, which is used after the other spares.
    pub fn add_spare(&mut self, spare: PreparedFile) {
        self.space.add_spare(spare.bytes);
        self.spares.push_back(spare);
    }

    /// Bytes of the current file and of the spares.
    pub fn prepared_bytes(&self) -> u64 {
        self.current.bytes + self.spares.iter().map(|spare| spare.bytes).sum::<u64>()
    }

    /// Whether the current file holds a frame.
    pub fn has_frames(&self) -> bool {
        self.end.end > HEADERS_BYTES
    }

    /// Makes `next` the current file at once, and gives up all other spares. The caller has written every frame whose
    /// space was claimed.
    pub fn turn_to(&mut self, next: PreparedFile) -> Result<()> {
        self.guard(|writer| {
            writer.space = Space::of_new_file(next.bytes);
            writer.spares.push_back(next);
            writer.rotate(writer.spares.len() - 1)
        })
    }

    /// Sets the manifest generation that the headers of later files name.
    pub fn set_manifest_generation(&mut self, generation: u64) {
        self.manifest_generation = generation;
    }

    /// Writes the frames in order, each to the place that [`Space::claim`] gave it. The next sync makes them durable.
    pub fn write(&mut self, frames: &[Frame], durable_lsn: Lsn) -> Result<()> {
        self.guard(|writer| {
            for frame in frames {
                writer.place(frame, durable_lsn)?;
            }
            writer.write_pending()?;
            writer.syncer.note_written(Arc::clone(&writer.current.file), writer.last_lsn());
            Ok(())
        })
    }

    /// Makes every frame written so far durable.
    pub fn sync(&mut self) -> Result<()> {
        self.guard(|writer| writer.sync_current())
    }

    /// Writes the Closed frame and syncs. `synced` means that every frame so far is durable. Returns the ids of unused
    /// files, which can be removed.
    pub fn close(mut self, clock: i64, synced: bool) -> Result<Vec<u64>> {
        self.guard(|writer| {
            if !synced {
                writer.sync_current()?;
            }
            writer.end.clock = clock;
            writer.append(&writer.closed(0), writer.end.last_lsn)?;
            writer.write_pending()?;
            writer.sync_current()
        })?;
        Ok(self.spares.iter().map(|spare| spare.id).chain(self.skipped).collect())
    }

    /// The LSN of the last operation that was written.
    pub fn last_lsn(&self) -> Lsn {
        self.end.last_lsn
    }

    /// The offset of the next frame in the current file.
    #[cfg(test)]
    pub(super) fn position(&self) -> u64 {
        self.end.end
    }

    #[cfg(test)]
    pub(super) fn space(&self) -> &Space {
        &self.space
    }

    /// Every file of the log, oldest first. The last one is the current file.
    pub fn files(&self) -> &[LogFile] {
        &self.files
    }

    /// The ids of all log files on disk: in use, prepared, or given up and not removed yet.
    pub fn ids(&self) -> impl Iterator<Item = u64> + '_ {
        let (used, spares) = (self.files.iter().map(|file| file.id), self.spares.iter().map(|spare| spare.id));
        used.chain(spares).chain(self.skipped.iter().copied())
    }

    /// Forgets the files before `first_needed`, except the current one, and the spares that were given up. The caller
    /// removes the files whose ids are returned.
    pub fn release_before(&mut self, first_needed: u64) -> Vec<u64> {
        let current = self.end.file;
        let mut ids = std::mem::take(&mut self.skipped);
        self.files.retain(|file| {
            let kept = file.id >= first_needed || file.id == current;
            if !kept {
                ids.push(file.id);
            }
            kept
        });
        ids
    }

    fn sync_current(&self) -> Result<()> {
        self.syncer.sync_data(&*self.current.file)
    }

    fn guard(&mut self, act: impl FnOnce(&mut Self) -> Result<()>) -> Result<()> {
        if self.failed {
            return Err(Error::new(
                ErrorKind::Poisoned,
                "the log accepts no writes after a failed write or sync; reopen the store",
            ));
        }
        let outcome = act(self);
        self.failed = outcome.is_err();
        outcome
    }

    fn place(&mut self, frame: &Frame, durable_lsn: Lsn) -> Result<()> {
        let fits = frame.first_lsn == self.end.last_lsn.next() && durable_lsn < frame.first_lsn;
        if !fits || frame.count == 0 || u32::try_from(frame.body.len()).is_err() {
            return Err(Error::invalid(format!(
                "a frame from LSN {} cannot follow LSN {}",
                frame.first_lsn, self.end.last_lsn
            )));
        }
        match self.space.place(frame_bytes(frame.body.len())) {
            Some(FilePlace::Current) => {}
            Some(FilePlace::Spare { skipped }) => self.rotate(skipped)?,
            None => return Err(Error::invalid("no log file was prepared for a frame; claim its space first")),
        }
        self.append(frame, durable_lsn)
    }

    fn append(&mut self, frame: &Frame, durable_lsn: Lsn) -> Result<()> {
        let header = FrameHeader::encode(frame, self.salt, self.end.end, durable_lsn, &mut self.pending);
        for piece in frame.body.pieces() {
            if piece.len() < DIRECT_BYTES {
                self.pending.extend_from_slice(piece);
                continue;
            }
            let piece_at = self.pending_at + self.pending.len() as u64;
            self.write_pending()?;
            self.current.file.write_at(piece_at, piece)?;
            self.pending_at = piece_at + piece.len() as u64;
        }
        self.end.end += header.frame_bytes();
        self.pending.resize((self.end.end - self.pending_at) as usize, 0);
        self.end.last_lsn = header.last_lsn();
        self.end.chain = header.extend(self.end.chain);
        self.end.clock = header.clock;
        if let Some(file) = self.files.last_mut() {
            (file.last_lsn, file.end) = (self.end.last_lsn, self.end.end);
        }
        if self.pending.len() >= PENDING_BYTES { self.write_pending() } else { Ok(()) }
    }

    fn write_pending(&mut self) -> Result<()> {
        if !self.pending.is_empty() {
            self.current.file.write_at(self.pending_at, &self.pending)?;
            self.pending_at += self.pending.len() as u64;
            self.pending.clear();
        }
        Ok(())
    }

    /// Gives up the first `skipped` spares, and makes the next spare the current file.
    fn rotate(&mut self, skipped: usize) -> Result<()> {
        self.skipped.extend(self.spares.drain(..skipped).map(|spare| spare.id));
        let Some(next) = self.spares.pop_front() else {
            return Err(Error::invalid("the log has no spare file"));
        };
        self.write_pending()?;
        self.sync_current()?;
        self.syncer.note_all_synced();
        let (full, salt, end) = (std::mem::replace(&mut self.current, next), self.salt, self.end.end);
        self.start_file()?;
        // The syncer drops its handle of the previous file, which may be removed at any time.
        self.syncer.note_written(Arc::clone(&self.current.file), self.end.last_lsn);
        let mut frame = Vec::new();
        FrameHeader::encode(&self.closed(self.current.id), salt, end, self.end.last_lsn, &mut frame);
        frame.extend_from_slice(&self.current.id.to_le_bytes());
        full.file.write_at(end, &frame)
    }

    /// The Closed frame, the last one of a file. It names the next file; 0 if the store was closed.
    fn closed(&self, successor: u64) -> Frame {
        let (first_lsn, clock) = (self.end.last_lsn.next(), self.end.clock);
        Frame {
            kind: FrameKind::Closed,
            first_lsn,
            count: 0,
            clock,
            flags: 0,
            body: successor.to_le_bytes().to_vec().into(),
        }
    }

    /// Writes the header of the current file, which is still unused. The header names the end of the previous file.
    fn start_file(&mut self) -> Result<()> {
        let PreparedFile { id, bytes, .. } = self.current;
        let (store_id, manifest_generation) = (self.store_id, self.manifest_generation);
        let header =
            FileHeader { store_id, file_id: id, file_bytes: bytes, manifest_generation, predecessor: self.end };
        self.current.file.write_at(0, &header.encode())?;
        self.sync_current()?;
        self.salt = seed(&[self.store_id, id]);
        self.files.push(LogFile { id, bytes, last_lsn: self.end.last_lsn, end: HEADERS_BYTES });
        (self.end.file, self.end.end, self.pending_at) = (id, HEADERS_BYTES, HEADERS_BYTES);
        Ok(())
    }
}

/// The predecessor for a next file before which nothing has to be synced: the end before a Closed frame, which is void
/// from then on. `None` if it is not known that everything is durable.
fn durable_predecessor(facts: &LogFacts) -> Option<Predecessor> {
    facts.closed_at.filter(|_| !facts.doubt && !facts.is_bounded)
}

/// Creates the file `wal-doubt`, after a write or sync of the log has failed. A failure to create it is ignored.
pub(crate) fn mark_doubt(storage: &dyn Storage) {
    // Without this file, a power loss after the next open may leave a log that an open refuses as corrupt. An open
    // never accepts a shorter history instead.
    let _ = storage.create(DOUBT_NAME);
}

/// Makes the frames that `facts` accepted durable, but not the names of files; see "After a failed sync" in
/// `wal/mod.rs`.
pub(crate) fn make_durable(storage: &dyn Storage, syncer: &Syncer, facts: &LogFacts) -> Result<()> {
    let Some(last) = facts.files.last() else { return Ok(()) };
    let file = storage.open(&file_name(last.id))?;
    let mut offset = if facts.doubt { facts.doubtful_from } else { last.end };
    let mut chunk = Vec::new();
    while offset < last.end {
        chunk.resize((last.end - offset).min(CHUNK_BYTES as u64) as usize, 0);
        file.read_at(offset, &mut chunk)?;
        file.write_at(offset, &chunk)?;
        offset += chunk.len() as u64;
    }
    syncer.sync_all(&*file)
}
