//! The reserve: a file of zeros. On a full disk it is removed to make room for deletes, manifests, and merges that
//! free space.
//!
//! Invariants:
//! * One thread at a time changes the reserve. Readers of its size do not wait, since the size is an atomic number.
//! * After a failed resize the size is unknown, and the next reader looks it up in the directory.

use std::sync::Arc;

use crate::engine::Engine;
use crate::engine::space::decide::{reserve_size, segment_bytes};
use crate::engine::space::jobs::UNKNOWN;
use crate::engine::space::output_files::OutputFiles;
use crate::error::{ErrorKind, Result};
use crate::file_names::RESERVE;
use crate::sync::Ordering;

/// With less free space than this, `DiskFull` at the commit of a manifest is taken for a lack of space.
const SHORT_BYTES: u64 = 1 << 20;

impl Engine {
    /// Bytes of the reserve, looked up in the directory if they are unknown.
    pub fn reserve_bytes(&self) -> u64 {
        let known = self.space.reserve.load(Ordering::Acquire);
        if known != UNKNOWN {
            return known;
        }
        let files = self.storage.list().unwrap_or_default();
        let found = files.iter().find(|(name, _)| name == RESERVE).map_or(0, |(_, bytes)| *bytes);
        let noted = self.space.reserve.compare_exchange(UNKNOWN, found, Ordering::AcqRel, Ordering::Acquire);
        noted.map_or_else(|known| known, |_| found)
    }

    /// Removes the reserve. Returns false if there was none, or if its removal failed.
    pub fn release_reserve(&self) -> Result<bool> {
        let changing = self.space.changing_reserve.lock();
        let before = self.space.reserve.swap(0, Ordering::AcqRel);
        if before == 0 || self.storage.remove(RESERVE).is_err() {
            return Ok(false);
        }
        drop(changing);
        self.sync_dir()?;
        Ok(true)
    }

    /// Runs `act`, which commits a manifest. If `act` lacks space, the reserve is released and `act` runs once more.
    pub fn with_reserve<T>(&self, mut act: impl FnMut() -> Result<T>) -> Result<T> {
        let is_short = || self.free_bytes() < self.outlook().manifest.max(SHORT_BYTES);
        match act() {
            Err(error) if error.kind() == ErrorKind::DiskFull && is_short() && self.release_reserve()? => act(),
            outcome => outcome,
        }
    }

    /// Adapts the size of the reserve to the size of the store.
    pub fn keep_reserve(self: &Arc<Self>) -> Result<()> {
        let _changing = self.space.changing_reserve.lock();
        let (there, view) = (self.reserve_bytes(), self.view.get());
        let most = self.tuning.reserve_bytes;
        let wanted = reserve_size(segment_bytes(&view), most, there, self.free_bytes(), &self.outlook());
        let Some(wanted) = wanted else { return Ok(()) };
        let mut outputs = OutputFiles::new(self);
        if there == 0 {
            outputs.named(RESERVE);
        }
        if let Err(error) = self.resize_reserve(there, wanted) {
            // A reserve that was new is removed before its size is looked up again.
            drop(outputs);
            self.space.reserve.store(UNKNOWN, Ordering::Release);
            return Err(error);
        }
        outputs.installed();
        self.space.reserve.store(wanted, Ordering::Release);
        Ok(())
    }

    fn resize_reserve(&self, there: u64, wanted: u64) -> Result<()> {
        if wanted == 0 {
            return self.storage.remove(RESERVE);
        }
        let file = if there == 0 { self.storage.create(RESERVE) } else { self.storage.open(RESERVE) }?;
        if wanted < there {
            file.set_len(wanted)?;
        }
        let zeros = vec![0; 1 << 16];
        let mut end = there;
        while end < wanted {
            let bytes = (wanted - end).min(zeros.len() as u64);
            if let Err(error) = file.write_at(end, &zeros[..bytes as usize]) {
                // The reserve shrinks back to its size before.
                let _ = file.set_len(there);
                return Err(error);
            }
            end += bytes;
        }
        file.sync_all()
    }
}
