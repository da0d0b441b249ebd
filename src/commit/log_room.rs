//! Room in the log: files prepared for a frame, ahead of frames, and small ones for a store that has shrunk.
//!
//! Invariants:
//! * One file is prepared at a time. The log learns of it first, then the model of its space (`CommitState`).
//! * No file is created and nothing is waited for under the commit lock.
#![allow(clippy::disallowed_methods, reason = "threads wait in real time, whatever the clock of the store says")]

use std::time::Instant;

use super::Pipeline;
use crate::engine::install::checkpoint;
use crate::engine::space::log_files::LogNeed;
use crate::engine::space::{JobKind, Purpose};
use crate::error::Result;
use crate::sync::Ordering;
use crate::wal::{Claim, Space, frame_bytes};

impl Pipeline {
    /// Log space is kept one file ahead, so that writers do not wait for zeros to be written.
    pub fn prepare_ahead(&self) -> Result<()> {
        let seen = self.engine.counters.log_files.load(Ordering::Relaxed);
        let wanted = {
            let state = self.state.lock();
            state.space.as_ref().is_some_and(|space| space.spares() == 0)
        };
        if wanted {
            self.engine.attempt(JobKind::LogAhead, || self.prepare_file(0, Purpose::Log, seen))
        } else {
            Ok(())
        }
    }

    /// Turns the log to a small file if its files are too large for the store. Returns whether it did: then a
    /// checkpoint lets go of the others.
    pub fn shrink_log(&self) -> Result<bool> {
        let _one_at_a_time = self.log_file_lock.lock();
        let most = 2 * self.engine.idle_log_bytes();
        if self.engine.log.lock().prepared_bytes() <= most {
            return Ok(false);
        }
        self.turn_log(Purpose::Log).map(|()| true)
    }

    /// Turns the log to a new file, so that all frames so far lie in files that a checkpoint lets go of. Does nothing
    /// if there are no frames.
    pub fn rotate_log(&self) -> Result<()> {
        let _one_at_a_time = self.log_file_lock.lock();
        if !self.engine.log.lock().has_frames() {
            return Ok(());
        }
        if self.engine.log.lock().is_in_doubt() {
            checkpoint(&self.engine)?;
        }
        self.turn_log(Purpose::FreeingLog)
    }

    /// Turns the log to a small file. The caller holds `log_file_lock`.
    fn turn_log(&self, purpose: Purpose) -> Result<()> {
        let mut bytes = 0;
        loop {
            let (mut outputs, file) = self.engine.prepare_small_log_file(bytes, purpose)?;
            let mut log = self.engine.log.lock();
            self.engine.check_poisoned()?;
            let mut state = self.state.lock();
            // The frames of the open group have claimed places in the old files; they move along.
            let frames = state.open.iter().flat_map(|open| &open.frames);
            let moved: Vec<u64> = frames.map(|frame| frame_bytes(frame.body.len())).collect();
            let mut space = Space::of_new_file(file.bytes());
            if moved.iter().any(|&bytes| space.claim(bytes) != Claim::Fits) {
                bytes = moved.iter().sum();
                continue;
            }
            state.space = Some(space);
            // A leader writes under the log's lock, and so after this.
            drop(state);
            outputs.installed();
            let generation = self.engine.manifest_generation.load(Ordering::Relaxed);
            let turned = log.turn_to(&*self.engine.storage, file, generation);
            return turned.map_err(|error| self.engine.poison(&error));
        }
    }

    /// Waits, without a lock, until the background has freed as much log as it can.
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

    /// Prepares a log file with room for `bytes`, and tells first the log, then the model of its space.
    ///
    /// `seen` is the number of files that the caller knew. If there are more by now, it tries again with those.
    pub(super) fn prepare_file(&self, bytes: u64, purpose: Purpose, seen: u64) -> Result<()> {
        let _one_at_a_time = self.log_file_lock.lock();
        let added = self.engine.counters.log_files.load(Ordering::Relaxed);
        if added != seen {
            return Ok(());
        }
        // After a failed sync the newest manifest may be in memory only, like the frames that the log writes again.
        if self.engine.log.lock().is_in_doubt() {
            checkpoint(&self.engine)?;
        }
        let unwritten = self.state.lock().space.as_ref().map_or(0, Space::free);
        let (size, started) = self.engine.prepare_log_file(LogNeed { bytes, purpose, unwritten })?;
        let mut state = self.state.lock();
        match state.space.as_mut() {
            Some(space) if !started => space.add_spare(size),
            _ => state.space = Some(Space::of_new_file(size)),
        }
        Ok(())
    }
}
