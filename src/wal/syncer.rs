//! The one way to make the log and the names of a directory durable.
//!
//! Linux reports a write-back error once per open file. The next sync of the same file succeeds, although the bytes are
//! gone. So syncs run one at a time, and every later caller gets the first failure.
//!
//! Invariants:
//! * Every sync of a log file in use goes through the [`Syncer`], and every sync of the directory of an open store.
//! * Syncs of log files do not overlap: a caller that asks while one runs waits for it and sees its failure.
//! * The first failure is final: later calls fail in the same words and ask the system nothing. The same holds for
//!   names.
//! * The preparation of a log file syncs the file itself: no write waits for it, and the file holds no frames yet.

use std::fmt;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::record::{AtomicLsn, Lsn};
use crate::storage::{Storage, StorageFile};
use crate::sync::{Mutex, Ordering};

/// Shared by the writer of the log and the thread that syncs beside it. No other lock is taken under its locks.
#[derive(Debug, Default)]
pub(crate) struct Syncer {
    log: SyncVerdict,
    names: SyncVerdict,
    written: Mutex<Option<WrittenThrough>>,
    /// The LSN through which the log is known to be durable.
    synced: AtomicLsn,
}

/// How far the log is written. All files before `file` are durable, so a sync of it makes the log durable up to `lsn`.
#[derive(Clone)]
struct WrittenThrough {
    file: Arc<dyn StorageFile>,
    lsn: Lsn,
}

impl fmt::Debug for WrittenThrough {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "written through {}", self.lsn)
    }
}

impl Syncer {
    /// Makes bytes within the durable length of a log file durable.
    pub fn sync_data(&self, file: &dyn StorageFile) -> Result<()> {
        self.log.decide(|| file.sync_data())
    }

    /// Makes bytes and length of a log file durable.
    pub fn sync_all(&self, file: &dyn StorageFile) -> Result<()> {
        self.log.decide(|| file.sync_all())
    }

    /// Notes that frames up to the LSN were written. The frames of all files before this one must be durable.
    pub fn note_written(&self, file: Arc<dyn StorageFile>, lsn: Lsn) {
        *self.written.lock() = Some(WrittenThrough { file, lsn });
    }

    /// Notes that everything written so far is durable. The syncer drops its handle of the file, so that a removal of
    /// the file frees its space at once.
    pub fn note_all_synced(&self) {
        *self.written.lock() = None;
    }

    /// Makes everything that was written durable, without waiting for a writer.
    pub fn sync_written(&self) -> Result<()> {
        self.log.decide(|| {
            let written = self.written.lock().clone();
            let Some(WrittenThrough { file, lsn }) = written.filter(|written| written.lsn > self.synced()) else {
                return Ok(());
            };
            file.sync_data()?;
            self.synced.raise(lsn, Ordering::Release);
            Ok(())
        })
    }

    /// The LSN through which the log is known to be durable.
    pub fn synced(&self) -> Lsn {
        self.synced.load(Ordering::Acquire)
    }

    /// Notes that another sync has made the log durable through the LSN.
    pub fn note_synced(&self, lsn: Lsn) {
        self.synced.raise(lsn, Ordering::Release);
    }

    /// Makes the names in the directory durable.
    pub fn sync_dir(&self, storage: &dyn Storage) -> Result<()> {
        self.names.decide(|| storage.sync_dir())
    }
}

/// Lets one sync run at a time, and none after one that failed.
#[derive(Debug, Default)]
struct SyncVerdict {
    failure: Mutex<Option<Error>>,
}

impl SyncVerdict {
    fn decide(&self, sync: impl FnOnce() -> Result<()>) -> Result<()> {
        let mut failure = self.failure.lock();
        if let Some(error) = &*failure {
            return Err(error.duplicate());
        }
        sync().inspect_err(|error| *failure = Some(error.duplicate()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::sim::{Fault, FaultKind, SimOperation, SimStorage};

    #[test]
    fn a_failure_is_final_whatever_the_system_says_later() {
        let (storage, syncer) = (SimStorage::new(1), Syncer::default());
        let file = storage.create("wal").unwrap();
        storage.fail_after(1, Fault::once(FaultKind::Io, &[SimOperation::SyncData]));
        syncer.sync_data(&*file).unwrap();
        let first = syncer.sync_data(&*file).unwrap_err().to_string();
        let asked = storage.syncs();
        for later in [syncer.sync_data(&*file), syncer.sync_all(&*file)] {
            assert_eq!(later.unwrap_err().to_string(), first);
        }
        assert_eq!(storage.syncs(), asked, "the system is not asked again");
        syncer.sync_dir(&storage).unwrap();
        storage.fail_after(0, Fault::once(FaultKind::Full, &[SimOperation::SyncDir]));
        assert!(syncer.sync_dir(&storage).is_err() && syncer.sync_dir(&storage).is_err());
    }
}
