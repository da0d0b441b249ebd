//! Prepares log files: chooses their size, asks for their space, and fills them with zeros before the log takes them.
//!
//! Invariants:
//! * [`log_file_size`] is pure. The size doubles only while files fill quickly, and the size of the store limits it.
//! * A prepared file that the log does not take is removed.
//! * An error of kind `SystemLimit` has written nothing, so the store is not poisoned, and the next call tries again.

use std::sync::Arc;
use std::time::Duration;

use crate::engine::Engine;
use crate::engine::space::decide::{Purpose, segment_bytes};
use crate::engine::space::jobs::LogFiles;
use crate::engine::space::output_files::OutputFiles;
use crate::error::{Error, ErrorKind, Result};
use crate::sync::Ordering;
use crate::tuning::Tuning;
use crate::wal::{self, PreparedFile};

/// After a log file that was filled within `FILLED_FAST` the next one has twice its size; within `FILLED_SLOWLY`, the
/// same size; later, the smallest size.
const FILLED_FAST: Duration = Duration::from_secs(1);
const FILLED_SLOWLY: Duration = Duration::from_secs(10);

/// The size of the next log file after one of `previous` bytes (`None` for the first) that was filled in `filled_in`.
pub(crate) fn log_file_size(previous: Option<u64>, filled_in: Duration, store: u64, tuning: &Tuning) -> u64 {
    let least = tuning.log_file_min_bytes;
    let wanted = match previous {
        Some(previous) if filled_in < FILLED_FAST => previous.saturating_mul(2),
        Some(previous) if filled_in < FILLED_SLOWLY => previous,
        _ => least,
    };
    wanted.min(log_file_cap(store, tuning)).max(least)
}

/// The largest regular size: a quarter of the store, within the limits of `tuning`.
fn log_file_cap(store: u64, tuning: &Tuning) -> u64 {
    (store / 4).min(tuning.log_file_max_bytes).max(tuning.log_file_min_bytes)
}

/// The sizes to try: `wanted`, its halves, and `smallest` at the end.
fn sizes(wanted: u64, smallest: u64) -> impl Iterator<Item = u64> {
    let halved = std::iter::successors(Some(wanted), |size| Some(size / 2));
    halved.take_while(move |&size| size > smallest).chain([smallest])
}

/// A write that needs a log file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LogNeed {
    /// Bytes of the frame.
    pub bytes: u64,
    /// The purpose, one of the three for log files.
    pub purpose: Purpose,
    /// Free bytes in prepared files. The rows that will be logged there need a flush later.
    pub unwritten: u64,
}

impl Engine {
    /// Prepares a log file with room for a frame, and adds it to the log. Returns its size, and whether it started the
    /// log. If the disk is nearly full, the file is smaller, and a write that frees space may use the reserve.
    pub fn prepare_log_file(self: &Arc<Self>, need: LogNeed) -> Result<(u64, bool)> {
        let regular = self.next_log_size();
        let mut outputs = OutputFiles::new(self);
        let prepared = self.prepare(regular, need, &mut outputs)?;
        self.note_log_file(regular);
        let size = prepared.bytes();
        let generation = self.manifest_generation.load(Ordering::Relaxed);
        let mut log = self.log.lock();
        // After a partial start of this file the log must not continue in another one.
        let started =
            log.add_file(&*self.storage, prepared, generation).map_err(|error| self.poison_unless_undone(error))?;
        drop(log);
        outputs.installed();
        self.counters.log_files.fetch_add(1, Ordering::Relaxed);
        Ok((size, started))
    }

    /// Prepares a log file of the smallest regular size, or larger if frames of `bytes` need it. The returned
    /// [`OutputFiles`] remove the file unless they are installed.
    pub fn prepare_small_log_file(
        self: &Arc<Self>,
        bytes: u64,
        purpose: Purpose,
    ) -> Result<(OutputFiles, PreparedFile)> {
        let mut outputs = OutputFiles::new(self);
        let need = LogNeed { bytes, purpose, unwritten: 0 };
        let prepared = self.prepare(self.tuning.log_file_min_bytes, need, &mut outputs)?;
        *self.space.log_files.lock() = LogFiles { prepared: 1, size: prepared.bytes(), at: self.clock.monotonic() };
        self.counters.log_files.fetch_add(1, Ordering::Relaxed);
        Ok((outputs, prepared))
    }

    /// Prepares the largest file that the disk has room for, up to `regular` bytes, or more if the frame needs more.
    fn prepare(&self, regular: u64, need: LogNeed, outputs: &mut OutputFiles) -> Result<PreparedFile> {
        let smallest = wal::file_bytes_for(need.bytes);
        let mut prepare = |size| {
            let prepared = wal::prepare(&*self.storage, outputs.log(), size);
            let prepared =
                prepared.map_err(|error| if error.kind() == ErrorKind::Io { self.poison(&error) } else { error })?;
            self.sync_dir().map(|()| prepared)
        };
        let mut refused = None;
        for size in sizes(regular.max(smallest), smallest) {
            let needed = needed(size, smallest, need);
            let asked = self.ask_for_space(need.purpose, needed, "a log file (wal-*.log)");
            match asked.and_then(|()| prepare(size)) {
                Err(error) if error.kind() == ErrorKind::DiskFull => refused = Some(error),
                outcome => return outcome,
            }
        }
        let refused = refused.unwrap_or_else(|| Error::new(ErrorKind::DiskFull, "there is no room for a log file"));
        self.space.ask_for_relief();
        let reserve = self.reserve_bytes();
        if need.purpose != Purpose::FreeingLog || !self.release_reserve()? {
            return Err(refused);
        }
        // Larger than one frame needs, since many deletes share a file.
        let decent = regular.min(reserve / 4).max(smallest);
        match prepare(decent) {
            Err(error) if error.kind() == ErrorKind::DiskFull && decent > smallest => prepare(smallest),
            outcome => outcome,
        }
    }

    /// The regular size of the next log file.
    pub(crate) fn next_log_size(&self) -> u64 {
        let files = self.space.log_files.lock();
        let filled_in = self.clock.monotonic().saturating_sub(files.at);
        // The second file is prepared right after the first one, so this time says nothing about the writers.
        let previous = (files.prepared > 1).then_some(files.size);
        log_file_size(previous, filled_in, self.store_bytes(), &self.tuning)
    }

    /// Records that a log file was prepared. `regular` is its regular size, even if the file is smaller.
    pub(crate) fn note_log_file(&self, regular: u64) {
        let mut files = self.space.log_files.lock();
        *files = LogFiles { prepared: files.prepared + 1, size: regular, at: self.clock.monotonic() };
    }

    /// The largest regular log file of a store with these segments and no rows in memory.
    pub fn idle_log_bytes(&self) -> u64 {
        log_file_cap(segment_bytes(&self.view.get()), &self.tuning)
    }
}

/// The free bytes that a log file of `size` bytes requires.
fn needed(size: u64, smallest: u64, need: LogNeed) -> u64 {
    if need.purpose != Purpose::Log {
        // A file for deletes takes at most a quarter of the space, so that more can follow. The smallest may take all.
        let parts = if size > smallest { 4 } else { 1 };
        return size.saturating_mul(parts);
    }
    // Logged rows are in memory too, and their flush needs space later.
    let flush = size.saturating_add(need.unwritten);
    size.saturating_add(flush).saturating_add(flush / 8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_files_grow_while_they_fill_fast_and_the_store_is_large() {
        let tuning = Tuning::default();
        let (fast, slowly, idle) = (Duration::from_millis(10), Duration::from_secs(2), Duration::from_secs(60));
        let size = |previous: Option<u64>, filled_in, store: u64| {
            log_file_size(previous.map(|kib| kib << 10), filled_in, store << 20, &tuning) >> 10
        };
        assert_eq!(size(None, fast, 1_000), 256);
        assert_eq!(size(Some(256), fast, 1_000), 512);
        assert_eq!(size(Some(256), slowly, 1_000), 256);
        assert_eq!(size(Some(8_192), slowly, 1_000), 8_192);
        assert_eq!(size(Some(8_192), idle, 1_000), 256);
        assert_eq!(size(Some(16_384), fast, 1_000), 24 << 10, "the most");
        assert_eq!(size(Some(16_384), fast, 4), 1_024, "a quarter of the store");
        assert_eq!(size(Some(16_384), fast, 0), 256, "the least");
    }

    #[test]
    fn sizes_end_with_the_smallest() {
        assert_eq!(sizes(1_000, 200).collect::<Vec<_>>(), [1_000, 500, 250, 200]);
        assert_eq!(sizes(200, 200).collect::<Vec<_>>(), [200]);
    }
}
