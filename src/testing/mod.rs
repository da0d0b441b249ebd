//! For tests, benchmarks and fuzzing of the crate itself: simulated disks and clocks, and the bodies of the fuzz
//! targets. The module exists only under the feature `testing`, and is no part of the public interface.
//!
//! Reading order: `contents` (decodes every file of a directory), `filter_oracle`, then `fuzz` with the table of fuzz
//! targets, and the bodies `fuzz_filter` and `fuzz_store`.
//!
//! Invariant of the fuzz bodies: they panic only if the engine breaks a promise, whatever the bytes.

mod contents;
pub(crate) mod filter_oracle;
mod fuzz;
mod fuzz_filter;
mod fuzz_store;

use std::path::Path;
use std::sync::Arc;

use crate::error::Result;
use crate::store::{BackupOptions, BackupReport, Options, Store};

pub use crate::random::Random;
pub use crate::storage::disk::{DiskStorage, SystemClock};
pub use crate::storage::sim::{
    ChangeFate, Fault, FaultKind, Image, Loss, SimClock, SimOperation, SimStorage, UnsyncedChange,
};
pub use crate::storage::{Clock, Map, Storage, StorageFile};
pub use crate::sync::{Hold, HookPoint};
pub use contents::{Content, contents};
pub use fuzz::{FUZZ_TARGETS, FuzzTarget, fuzz_target};

/// Opens a store in a directory, with any clock.
pub fn open_directory_with(path: &Path, clock: Arc<dyn Clock>, options: Options) -> Result<Store> {
    crate::store::open_directory_with(path, clock, options)
}

/// Opens a store on any storage, with any clock.
pub fn open_with(storage: Arc<dyn Storage>, clock: Arc<dyn Clock>, options: Options) -> Result<Store> {
    crate::store::open_with(storage, clock, options)
}

/// [`Store::backup_with`] into any storage.
pub fn backup_to(store: &Store, target: &dyn Storage, options: &BackupOptions) -> Result<BackupReport> {
    store.backup_to(target, options)
}

/// [`Store::restore_with`] between any storages.
pub fn restore(backup: &dyn Storage, into: &dyn Storage, options: &BackupOptions) -> Result<BackupReport> {
    crate::store::restore(backup, into, options)
}
