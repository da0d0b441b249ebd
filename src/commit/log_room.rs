//! Room in the log: files that are prepared for a frame, ahead of frames, and for a turn of the log to a small file.
//!
//! Invariants:
//! * One file is prepared at a time, under `log_file_lock`. [`LogRoom`] learns of a spare only after the log has it. A
//!   turn of the log changes both under the log's lock.
//! * Under the commit lock no thread creates a file or waits.
#![allow(clippy::disallowed_methods, reason = "threads wait in real time, whatever the clock of the store says")]

use std::time::Instant;

use super::Pipeline;
use crate::engine::install::checkpoint;
use crate::engine::log::Log;
use crate::engine::space::log_files::LogNeed;
use crate::engine::space::{JobKind, Purpose};
use crate::error::Result;
use crate::sync::Ordering;
use crate::wal::{Claim, Frame, Space, frame_bytes};

/// The room in the log as writers see it. Guarded by the commit lock.
#[derive(Default)]
pub(super) struct LogRoom {
    /// `None` until the log is started.
    space: Option<Space>,
    /// How many files have made room so far.
    files: u64,
}

/// The outcome of [`LogRoom::reserve`].
pub(super) enum Reservation {
    /// The room that is left after the frames.
    Claimed(Space),
    NeedsFile(RoomNeed),
}

/// Room that the log lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RoomNeed {
    /// Bytes of a frame that fits in no prepared file; 0 if any file is enough.
    bytes: u64,
    /// [`LogRoom::files`] at that time. If it has grown since, the frame may fit now.
    files: u64,
}

impl LogRoom {
    /// Finds room for these frames after the frames that have claimed room, in the order in which they are written.
    /// Changes nothing.
    pub fn reserve<'f>(&self, frames: impl Iterator<Item = &'f Frame>) -> Reservation {
        let mut space = self.space.clone();
        for frame in frames {
            let bytes = frame_bytes(frame.body.len());
            if space.as_mut().map(|space| space.claim(bytes)) != Some(Claim::Fits) {
                return Reservation::NeedsFile(self.need(bytes));
            }
        }
        space.map_or_else(|| Reservation::NeedsFile(self.need(0)), Reservation::Claimed)
    }

    /// Takes the room of a reservation. The caller has held the commit lock since it was made.
    pub fn take(&mut self, space: Space) {
        self.space = Some(space);
    }

    fn need(&self, bytes: u64) -> RoomNeed {
        RoomNeed { bytes, files: self.files }
    }

    /// Adds the room of a prepared file, which is a spare or starts the log.
    fn add_file(&mut self, bytes: u64, starts_log: bool) {
        match self.space.as_mut() {
            Some(space) if !starts_log => space.add_spare(bytes),
            _ => self.space = Some(Space::of_new_file(bytes)),
        }
        self.files += 1;
    }

    /// Replaces all room by that of the file to which the log turns.
    fn turn_to(&mut self, space: Space) {
        self.space = Some(space);
        self.files += 1;
    }

    fn free(&self) -> u64 {
        self.space.as_ref().map_or(0, Space::free)
    }
}

impl Pipeline {
    /// Prepares a log file if the log has no spare, so that writers do not wait until a new file is filled with zeros.
    pub fn prepare_ahead(&self) -> Result<()> {
        let need = {
            let room = &self.state.lock().room;
            room.space.as_ref().is_some_and(|space| space.spares() == 0).then(|| room.need(0))
        };
        let Some(need) = need else { return Ok(()) };
        self.engine.attempt(JobKind::LogAhead, || self.prepare_file(need, Purpose::Log))
    }

    /// Turns the log to a small file if its prepared files are too large for the store. Returns whether it did. The
    /// next checkpoint can then remove the larger files.
    pub fn shrink_log(&self) -> Result<bool> {
        let _one_at_a_time = self.log_file_lock.lock();
        let most = 2 * self.engine.idle_log_bytes();
        if self.engine.log.lock().prepared_bytes() <= most {
            return Ok(false);
        }
        self.turn_log(Purpose::Log).map(|()| true)
    }

    /// Turns the log to a new file, so that a checkpoint can remove the files of all frames so far. Does nothing if the
    /// log has no frames.
    pub fn rotate_log(&self) -> Result<()> {
        let _one_at_a_time = self.log_file_lock.lock();
        if !self.engine.log.lock().has_frames() {
            return Ok(());
        }
        if self.engine.log.lock().wants_manifest() {
            checkpoint(&self.engine)?;
        }
        self.turn_log(Purpose::FreeingLog)
    }

    /// Turns the log to a small file. The caller holds `log_file_lock`.
    fn turn_log(&self, purpose: Purpose) -> Result<()> {
        self.turn_log_holding(purpose, || (), |(), _| ())
    }

    /// The same. Holds what `hold` returns from before the turn, and calls `look` just after it, under the log's lock.
    pub(super) fn turn_log_holding<G, T>(
        &self,
        purpose: Purpose,
        hold: impl Fn() -> G,
        look: impl FnOnce(&G, &Log) -> T,
    ) -> Result<T> {
        let mut bytes = 0;
        loop {
            let (mut outputs, file) = self.engine.prepare_small_log_file(bytes, purpose)?;
            let held = hold();
            let mut log = self.engine.log.lock();
            self.engine.check_poisoned()?;
            let mut state = self.state.lock();
            // The frames of the open group have claimed room in the old files. They claim it in the new file instead.
            let frames = state.open.iter().flat_map(|open| &open.frames);
            let moved: Vec<u64> = frames.map(|frame| frame_bytes(frame.body.len())).collect();
            let mut space = Space::of_new_file(file.bytes());
            if moved.iter().any(|&bytes| space.claim(bytes) != Claim::Fits) {
                bytes = moved.iter().sum();
                continue;
            }
            state.room.turn_to(space);
            // A leader writes under the log's lock, so it writes these frames to the new file.
            drop(state);
            outputs.installed();
            let generation = self.engine.manifest_generation.load(Ordering::Relaxed);
            let turned = log.turn_to(&*self.engine.storage, file, generation);
            turned.map_err(|error| self.engine.poison(&error))?;
            return Ok(look(&held, &log));
        }
    }

    /// Waits, without a lock, until background threads have freed as much log as they can, or for `busy_timeout`.
    pub(super) fn wait_for_relief(&self) -> Result<()> {
        let deadline = Instant::now() + self.engine.tuning.busy_timeout;
        self.engine.signal.raise();
        loop {
            let count = self.engine.signal.count();
            self.engine.check_writable()?;
            if !self.engine.space.wants_relief() || !self.engine.signal.wait_after(count, deadline) {
                return Ok(());
            }
        }
    }

    /// Prepares a log file with the room that is needed, and adds it to the log, then to [`LogRoom`]. Does nothing if
    /// another file has made room since the need was found: the caller tries again with that file.
    pub(super) fn prepare_file(&self, need: RoomNeed, purpose: Purpose) -> Result<()> {
        let _one_at_a_time = self.log_file_lock.lock();
        if self.state.lock().room.files != need.files {
            return Ok(());
        }
        // After a failed sync the newest manifest may not be durable either, so it is committed again first. That of a
        // backup is committed as a store's own.
        if self.engine.log.lock().wants_manifest() {
            checkpoint(&self.engine)?;
        }
        let unwritten = self.state.lock().room.free();
        let (size, started) = self.engine.prepare_log_file(LogNeed { bytes: need.bytes, purpose, unwritten })?;
        self.state.lock().room.add_file(size, started);
        Ok(())
    }
}
