//! An open file of a simulated disk.
//!
//! Invariant: a write that fails for want of space has done a first part of its bytes and nothing else.

use std::io;

use super::fault::{FaultKind, SimOperation};
use super::state::{Change, FileId, FileState};
use super::{Inner, SimStorage};
use crate::error::{Error, Result};
use crate::storage::StorageFile;

pub(super) struct SimFile {
    storage: SimStorage,
    id: FileId,
    name: String,
}

impl SimFile {
    /// The caller has counted the handle; dropping it counts back.
    pub fn new(storage: SimStorage, id: FileId, name: &str) -> Self {
        Self { storage, id, name: name.to_owned() }
    }

    fn change(&self, operation: SimOperation, change: Change) -> Result<()> {
        let mut inner = self.storage.inner.lock();
        let mut struck = inner.begin(operation, &self.name);
        let free = inner.free();
        let Inner { disk, random, operations, .. } = &mut *inner;
        let file = disk.file(self.id);
        assert!(!file.mapped, "{} was mapped and is now written to: a map would change under its reader", self.name);
        let end = file.visible.len().saturating_add(free);
        let done = match change {
            Change::Resize(length) => {
                if length > end {
                    struck = struck.or(Some(FaultKind::Full));
                }
                struck.is_none().then_some(Change::Resize(length))
            }
            Change::Write { offset, bytes } => {
                let fits = end.saturating_sub(offset).min(bytes.len() as u64) as usize;
                let keep = match struck {
                    None => fits,
                    Some(FaultKind::Short) => random.below(fits.max(1) as u64) as usize,
                    Some(_) => 0,
                };
                if fits < bytes.len() {
                    struck = struck.or(Some(FaultKind::Full));
                }
                (keep > 0).then(|| Change::Write { offset, bytes: bytes[..keep].into() })
            }
        };
        if let Some(change) = done {
            file.change(*operations, change);
        }
        struck.map_or(Ok(()), |kind| Err(Error::io(&self.name, operation, kind.error())))
    }

    fn sync(&self, operation: SimOperation, act: fn(&mut FileState)) -> Result<()> {
        let mut inner = self.storage.inner.lock();
        let begun = inner.begin_whole(operation, &self.name);
        let lies = inner.lies;
        let file = inner.disk.file(self.id);
        if begun.is_ok() && lies {
            return Ok(());
        }
        if begun.is_err() {
            // The kernel marks the pages clean: they stay visible, and no later sync writes them.
            file.unsynced.clear();
        } else {
            act(file);
        }
        begun
    }
}

impl StorageFile for SimFile {
    fn len(&self) -> Result<u64> {
        let inner = self.storage.inner.lock();
        Ok(inner.disk.files.get(&self.id).map_or(0, |file| file.visible.len()))
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        let mut inner = self.storage.inner.lock();
        inner.begin_whole(SimOperation::Read, &self.name)?;
        let file = inner.disk.file(self.id);
        if offset.saturating_add(buffer.len() as u64) > file.visible.len() {
            return Err(Error::io(&self.name, SimOperation::Read, io::Error::from(io::ErrorKind::UnexpectedEof)));
        }
        file.visible.read(offset, buffer);
        Ok(())
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.change(SimOperation::Write, Change::Write { offset, bytes: bytes.into() })
    }

    fn set_len(&self, length: u64) -> Result<()> {
        self.change(SimOperation::SetLength, Change::Resize(length))
    }

    fn sync_data(&self) -> Result<()> {
        self.sync(SimOperation::SyncData, FileState::sync_data)
    }

    fn sync_all(&self) -> Result<()> {
        self.sync(SimOperation::SyncAll, FileState::sync_all)
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        let mut inner = self.storage.inner.lock();
        if let Some(count) = inner.handles.get_mut(&self.id) {
            *count -= 1;
            if *count == 0 {
                inner.handles.remove(&self.id);
            }
        }
    }
}
