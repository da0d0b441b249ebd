//! The reserve: a file of zeros that deletes, manifests and merges that free space may have on a full disk.
//!
//! Invariants:
//! * One thread at a time changes it. Nobody else waits while it is written and synced: its size is a number.
//! * After a failure to change it somebody looks again how large it is.

use std::sync::Arc;

use crate::engine::Engine;
use crate::engine::space::decide::{reserve_size, segment_bytes};
use crate::engine::space::jobs::UNKNOWN;
use crate::engine::space::output_files::OutputFiles;
use crate::error::{ErrorKind, Result};
use crate::file_names::RESERVE;
use crate::sync::Ordering;

/// Where less is free, a manifest may have failed for want of it.
const SHORT_BYTES: u64 = 1 << 20;

impl Engine {
    /// Bytes of the reserve.
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

    /// Lets go of the reserve; whether there was one.
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

    /// Does `act`, which commits a manifest, and once more with the space of the reserve if that is what it lacked.
    pub fn with_reserve<T>(&self, mut act: impl FnMut() -> Result<T>) -> Result<T> {
        let is_short = || self.free_bytes() < self.outlook().manifest.max(SHORT_BYTES);
        match act() {
            Err(error) if error.kind() == ErrorKind::DiskFull && is_short() && self.release_reserve()? => act(),
            outcome => outcome,
        }
    }

    /// Lets the reserve follow the size of the store.
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
            // What is left of it is gone before somebody looks again.
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
                // What was there stays, and takes no more than before.
                let _ = file.set_len(there);
                return Err(error);
            }
            end += bytes;
        }
        file.sync_all()
    }
}
