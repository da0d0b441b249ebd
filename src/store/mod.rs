//! The store: opening and closing, the public calls, and the registry that makes a second open return the same store.
//!
//! Reading order:
//! * `options`, `open`; then the public calls here.
//! * `write`, `batch`, `import`: what a write must satisfy, and how it gets to the commit pipeline.
//! * `query` and `shaping`, `read`, `search`, `fan_out`: a read, the parts of its scope, the merge of their results;
//!   `earn`. `newest`, `ordered`, `groups`: listings, and hits in groups.
//! * `reads`: every read of a store and a snapshot, of one `moment`. `snapshot`, `iterate`, `stored`, `items`,
//!   `listing`, `namespaces`, `embeddings`: kept moments, reads in pages or by text. `holders`: which of these keep a
//!   read view.
//! * `maintenance`, `stats` with `latency` and `histogram`, `purge`, `backup`; `wreck` and `salvage`: reads of a
//!   directory that does not open.
//!
//! Invariants:
//! * A process has one engine per directory, found by (device, inode). Dropping the last clone of a store closes it.
//! * Every read and write checks that the store is open and that this process opened it.
//! * A call that changes files holds `Handle::calls` for reading. A close waits for these calls, so no call touches a
//!   directory after its lock was released.

mod backup;
mod batch;
mod distinct;
mod earn;
mod embeddings;
mod explain;
mod fan_out;
mod field_rules;
#[cfg(feature = "testing")]
mod for_tests;
mod groups;
mod histogram;
mod holders;
mod import;
mod items;
mod iterate;
mod json_value;
mod latency;
mod listing;
mod maintenance;
mod moment;
mod namespaces;
mod newest;
mod open;
mod options;
mod ordered;
mod passing_items;
mod portion;
mod prune;
mod purge;
pub(crate) mod query;
mod quotas;
mod read;
mod reads;
mod recall_stats;
mod salvage;
mod scope_stats;
mod search;
mod search_pool;
mod serialize;
mod shaping;
mod snapshot;
mod stats;
mod stored;
mod wreck;
mod write;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use crate::commit::Pipeline;
use crate::engine::Engine;
use crate::engine::field_rules::checked;
use crate::engine::install::{change_settings, checkpoint_without_reserve, record_end};
use crate::engine::operation_ids::OperationId;
use crate::error::{Error, ErrorKind, Result};
use crate::interrupt::{Stage, Steps};
use crate::record::{CHECKPOINTS, Write, WriteOutcome};
use crate::sync::{HookPoint, Mutex, RwLock};
use crate::types::{Condition, Namespace, Scope, VectorSpace, Version, system_namespace};
use crate::worker::Worker;

pub use crate::check::CheckReport;
pub use crate::worker::{CompactReport, GraphBuild, LossReport, LostItem};
#[cfg(feature = "testing")]
pub(crate) use backup::restore;
pub use backup::{BackupOptions, BackupReport};
pub use batch::{Batch, WriteResult};
pub use distinct::{DistinctQuery, DistinctValue, DistinctValues};
pub use holders::{EndedHolder, HolderKind, HoldersReport, StillHeld};
pub use import::{ImportOptions, ImportProgress, ImportReport};
pub use items::Items;
pub use iterate::{Cursor, IteratePage, StoredPage};
pub use json_value::IntoJson;
pub use latency::{CallLatency, LatencyStats};
pub use listing::Listing;
#[cfg(feature = "testing")]
pub(crate) use open::{open_directory_with, open_with};
pub use options::Options;
pub use prune::{PruneOptions, PruneReceipt, RenameOptions, RenameReceipt};
pub use purge::{PurgeOptions, PurgeReceipt};
pub use reads::Reads;
pub use recall_stats::MeasuredGraph;
pub use salvage::SalvageReport;
#[cfg(feature = "testing")]
pub(crate) use salvage::salvage_into;
pub use scope_stats::ScopeStats;
pub use snapshot::Snapshot;
pub use stats::{
    FieldStats, GainingScope, GraphStats, HealthStats, InternalStats, LogStats, MemoryStats, PathStats, ShardStats,
    SizeStats, Stats,
};
pub use stored::{ItemExtension, StoredItem};
pub use write::Put;

use embeddings::Embeddings;
use holders::Holders;
use latency::{CallKind, Latencies};
use moment::Moment;

/// An open store. Cheap to clone, used from any number of threads at once; closed when the last clone is dropped.
///
/// ```
/// use vecmem::{Metric, Namespace, Options, Put, Query, Scope, Store};
///
/// # let directory = tempfile::tempdir().unwrap();
/// # let path = directory.path().join("memories");
/// let store = Store::open(&path, Options::with_vectors(3, Metric::Cosine))?;
/// let facts = Namespace::new(["users", "ada", "facts"])?;
/// store.put(Put::new(&facts, "tea", r#"{"text": "drinks green tea"}"#).vector([0.9, 0.1, 0.0]))?;
///
/// let tea = store.get(&facts, "tea")?.expect("the item was put");
/// assert_eq!(&*tea.value, r#"{"text": "drinks green tea"}"#);
/// let best = store.search(&Query::new(&facts).vector([1.0, 0.0, 0.0]).limit(1))?;
/// assert_eq!(best[0].item.key, "tea");
/// for item in store.items(Scope::prefix(["users"])?) {
///     println!("{}", item?.key);
/// }
/// assert!(store.delete(&facts, "tea")?);
/// store.close()?;
/// # Ok::<(), vecmem::Error>(())
/// ```
#[derive(Clone)]
pub struct Store {
    handle: Arc<Handle>,
}

/// The state that all clones of a [`Store`] share.
struct Handle {
    engine: Arc<Engine>,
    pipeline: Arc<Pipeline>,
    worker: Arc<Worker>,
    holders: Arc<Holders>,
    embeddings: Embeddings,
    latencies: Latencies,
    options: Options,
    guards: open::Guards,
    /// Held for reading by every call that may write to a file, and by the close for writing.
    calls: RwLock<()>,
    /// The outcome of the close, locked while a close is under way. A close locks this before `calls`.
    closing: Mutex<Option<Result<()>>>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("path", &self.path()).finish_non_exhaustive()
    }
}

impl Store {
    /// Opens the store in the directory `path`, or creates it (unless the options forbid that).
    ///
    /// A second open in the same process returns the same store. Errors: `NotAStore`, `Locked` (another process has
    /// it), `OptionsDiffer`, `Corrupt`, `NewerFormat`, `ReadOnly`, `Io`.
    pub fn open(path: impl AsRef<Path>, options: Options) -> Result<Self> {
        open::open(path.as_ref(), options)
    }

    /// A private store in a temporary directory. The close removes the directory. Nothing in it is synced.
    pub fn temporary(options: Options) -> Result<Self> {
        open::temporary(options)
    }

    /// Writes one item. Errors: `InvalidInput`, `Limit`, `ConditionFailed`, `Busy`, `DiskFull`, `Poisoned`, `Damaged`.
    pub fn put(&self, put: Put) -> Result<Version> {
        self.timed(CallKind::Put, || {
            let written = self.write(vec![write::put(put, &self.handle.engine.identity.keys)?])?;
            match written.first() {
                Some(WriteOutcome::Put(version)) => Ok(*version),
                _ => Err(Error::invalid("the put was not written")),
            }
        })
    }

    /// Deletes one item. Returns whether there was one.
    pub fn delete(&self, namespace: &Namespace, key: &str) -> Result<bool> {
        self.delete_if(namespace, key, Condition::Always)
    }

    /// Deletes one item if `condition` holds, else fails with `ConditionFailed`.
    pub fn delete_if(&self, namespace: &Namespace, key: &str, condition: Condition) -> Result<bool> {
        self.timed(CallKind::Delete, || {
            let written = self.write(vec![write::delete(namespace, key, condition)?])?;
            Ok(written.first() == Some(&WriteOutcome::Deleted(true)))
        })
    }

    /// Writes all operations or none, visible all at once. Results come in the order of the operations.
    pub fn batch(&self, batch: Batch) -> Result<Vec<WriteResult>> {
        self.timed(CallKind::Batch, || {
            let keys = &self.handle.engine.identity.keys;
            let id = batch.checked_operation_id(keys.secret)?;
            let (writes, positions) = batch.into_writes(keys)?;
            let written = if writes.is_empty() { Vec::new() } else { self.write_once(writes, id)? };
            Ok(batch::results(&written, &positions))
        })
    }

    /// Makes a call and measures its latency for stats.
    fn timed<T>(&self, kind: CallKind, call: impl FnOnce() -> Result<T>) -> Result<T> {
        self.handle.latencies.timed(self.handle.engine.clock.machine(), kind, call)
    }

    /// Deletes every item of a namespace or a prefix, in one step. [`Scope::Store`] is refused here.
    pub fn delete_range(&self, scope: &Scope) -> Result<()> {
        if *scope == Scope::Store {
            return Err(Error::invalid("delete_range does not take the whole store; delete_everything says so"));
        }
        self.delete_interval(scope)
    }

    /// Deletes every item of the store.
    pub fn delete_everything(&self) -> Result<()> {
        self.delete_interval(&Scope::Store)
    }

    fn delete_interval(&self, scope: &Scope) -> Result<()> {
        Steps::begin(Stage::Delete, 0).next()?;
        self.write(vec![Write::DeleteRange(scope.interval())]).map(drop)
    }

    fn write(&self, writes: Vec<Write>) -> Result<Vec<WriteOutcome>> {
        self.write_once(writes, None)
    }

    fn write_once(&self, mut writes: Vec<Write>, id: Option<OperationId>) -> Result<Vec<WriteOutcome>> {
        let _call = self.handle.calls.read();
        let versions = self.handle.engine.identity.versions();
        writes.iter_mut().for_each(|write| write.unmask(versions));
        let written = self.handle.pipeline.write_once(&writes, id);
        if written.is_ok() {
            self.handle.embeddings.note(&writes);
        }
        if self.handle.engine.tuning.inline_background && written.is_ok() {
            self.handle.worker.run_inline();
        }
        Ok(written?.into_iter().map(|outcome| outcome.masked(versions)).collect())
    }

    /// The moment of a read that begins now.
    fn newest_moment(&self) -> Moment<'_> {
        Moment::now(&self.handle, self.handle.engine.view.get())
    }

    /// The newest checkpoint of `source` as JSON, kept by an import or by [`Batch::import_checkpoint`].
    pub fn import_checkpoint(&self, source: &str) -> Result<Option<String>> {
        let moment = self.newest_moment();
        let item = moment.reader(&query::ReadOptions::default())?.get(&system_namespace(CHECKPOINTS), source)?;
        Ok(item.map(|item| item.value.into()))
    }

    /// All settings with their documents, by name, as [`Store::set_setting`] kept them. The call reads memory only.
    pub fn settings(&self) -> Result<BTreeMap<String, String>> {
        self.handle.engine.check_usable()?;
        let settings = self.handle.engine.settings.get();
        Ok(settings.iter().map(|(name, json)| (name.to_owned(), json.to_owned())).collect())
    }

    /// The JSON document that [`Store::set_setting`] kept under `name`. The call reads memory only.
    pub fn setting(&self, name: &str) -> Result<Option<String>> {
        self.handle.engine.check_usable()?;
        Ok(self.handle.engine.settings.get().get(name).map(str::to_owned))
    }

    /// Keeps a JSON document that belongs to the store as a whole, such as an application's index configuration; `None`
    /// removes it. The change survives a power loss once the call returns, under every durability. A setting is no
    /// item: no read returns it, and no batch contains it.
    ///
    /// At most [`limits::SETTINGS`](crate::limits::SETTINGS), each of
    /// [`limits::SETTING_BYTES`](crate::limits::SETTING_BYTES). Errors: `InvalidInput`, `Limit`, `DiskFull`,
    /// `Poisoned`, `Io`. After an error nothing has changed; after `Poisoned` the change may or may not be on disk.
    pub fn set_setting(&self, name: &str, json: Option<&str>) -> Result<()> {
        let _call = self.handle.calls.read();
        self.handle.engine.check_writable()?;
        if let Some(json) = json.filter(|_| name == quotas::SETTING) {
            quotas::check(json)?;
        }
        checked(name, json)?;
        change_settings(&self.handle.engine, |settings| settings.with(name, json))
    }

    /// Syncs and closes the store, for all clones: later calls fail with `Closed`. Returns once the store is closed,
    /// also if another thread is closing it. After writes, the close records the last LSN in the manifest, so that the
    /// next open notices if the end of the log was cut off.
    pub fn close(&self) -> Result<()> {
        self.handle.close()
    }

    /// The store's directory; `None` on a simulated storage.
    pub fn path(&self) -> Option<&Path> {
        self.handle.engine.identity.path.as_deref()
    }

    /// The dimensions and metric of the store's vectors, if it keeps any.
    pub fn vector_space(&self) -> Option<VectorSpace> {
        self.handle.engine.identity.keys.space
    }
}

impl Handle {
    fn close(&self) -> Result<()> {
        if crate::storage::forks::fork_generation() != self.engine.fork_generation {
            return Ok(());
        }
        // A second close waits for the first, and returns the outcome of the first.
        let mut closing = self.closing.lock();
        let outcome = closing.get_or_insert_with(|| self.close_once());
        outcome.as_ref().map_err(Error::duplicate).copied()
    }

    fn close_once(&self) -> Result<()> {
        self.engine.mark_closed();
        self.holders.close();
        let _alone = self.calls.write();
        self.engine.hooks.reach(HookPoint::CloseAlone);
        self.worker.join();
        self.engine.clock.reading();
        if self.engine.check_poisoned().is_ok() && self.engine.clock.has_unsaved_agreement() {
            // A full disk does not stop the close. The clock is only trusted later then.
            let _ = checkpoint_without_reserve(&self.engine);
        }
        let only_read = !self.engine.log.lock().is_started();
        let recorded = match self.engine.check_poisoned().and_then(|()| record_end(&self.engine)) {
            // Everything is durable. Only a later truncation of the log would go unnoticed.
            Err(error) if error.kind() == ErrorKind::DiskFull => Ok(()),
            // A store that was only read may lie in a directory that cannot be written to.
            Err(_) if only_read && self.engine.check_poisoned().is_ok() => Ok(()),
            other => other,
        };
        let closed = {
            let mut log = self.engine.log.lock();
            self.engine
                .check_poisoned()
                .and_then(|()| log.close(&*self.engine.storage).map_err(|error| self.engine.poison(&error)))
        };
        // Prepared log files go before the lock is released: the next process may give their names to its own files.
        for id in closed.iter().flatten() {
            // A file that stays is unused, and the next open removes it.
            let _ = self.engine.storage.remove(&crate::wal::file_name(*id));
        }
        self.guards.release();
        closed.and(recorded)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // No caller is left for the error. Acknowledged writes are as durable as the durability mode says.
        let _ = self.close();
    }
}

/// The seconds that have passed since an instant, for stats.
fn seconds_since(moment: Instant) -> f64 {
    moment.elapsed().as_secs_f64()
}
