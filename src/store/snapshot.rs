//! One moment of a store that a caller keeps.
//!
//! Invariants:
//! * A snapshot shows one read view at one time. Neither later writes nor the passing of time change which items it
//!   shows. Read views share the touches of a part. A touch only puts off the expiry of an item that has not expired,
//!   so it hides and shows no item of a snapshot.
//! * A read borrows the store through a [`Moment`]. A snapshot owns a clone of the store.

use std::sync::Arc;

use crate::error::Result;
use crate::store::holders::{Holder, HolderKind};
use crate::store::moment::Moment;
use crate::store::{Handle, Store};

/// One moment of a store: what was written, and what had expired. A snapshot is cheap to take and to clone, and any
/// number of threads may use it.
///
/// A snapshot has the reads of [`Reads`](crate::Reads), like a [`Store`]. They show the items of that moment, whatever
/// is written, deleted or expires later; only an item's `expires_at` may be later than it was. A snapshot keeps the
/// store open like a clone of [`Store`], and keeps the files and memory of its items, so drop it soon. After
/// [`Store::close`] its reads fail with `Closed`. A purge ends a snapshot after a grace: a read under way completes,
/// and later reads fail with `SnapshotGone`.
///
/// ```
/// use vecmem::{Namespace, Options, Put, ReadOptions, Scope, Store};
///
/// let store = Store::temporary(Options::new())?;
/// let notes = Namespace::new(["notes"])?;
/// store.put(Put::new(&notes, "a", r#"{"n": 1}"#))?;
///
/// let before = store.snapshot()?;
/// store.put(Put::new(&notes, "b", r#"{"n": 2}"#))?;
/// store.delete(&notes, "a")?;
///
/// // All reads of the snapshot show the same moment.
/// assert_eq!(before.count(&Scope::Store, &ReadOptions::default())?, 1);
/// let keys: Vec<String> = before.items(&notes).map(|item| Ok(item?.key)).collect::<vecmem::Result<_>>()?;
/// assert_eq!(keys, ["a"]);
/// # Ok::<(), vecmem::Error>(())
/// ```
#[derive(Clone)]
pub struct Snapshot {
    store: Store,
    holder: Arc<Holder>,
    /// Microseconds since 1970 UTC. Items that have expired by then are hidden.
    time: i64,
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Snapshot").field("visible", &self.holder.read_lsn().get()).finish_non_exhaustive()
    }
}

impl Snapshot {
    /// A snapshot of the current moment of the store.
    pub(super) fn newest(store: &Store) -> Result<Self> {
        let Handle { engine, holders, .. } = &*store.handle;
        engine.check_usable()?;
        let holder = holders.hold_newest(&engine.view, HolderKind::Snapshot);
        Ok(Self { store: store.clone(), holder, time: engine.clock.query_time() })
    }

    /// The same moment, held for a listing.
    pub(super) fn for_a_listing(&self) -> Result<Self> {
        let moment = self.own_moment()?;
        let holder = moment.handle.holders.hold(&moment.view, HolderKind::Listing);
        Ok(Self { holder, ..self.clone() })
    }

    /// The snapshot's moment for one read. The moment keeps the read view until the read ends.
    pub(super) fn own_moment(&self) -> Result<Moment<'_>> {
        let handle = &self.store.handle;
        handle.engine.check_usable()?;
        Ok(Moment { handle, view: self.holder.view()?, time: self.time })
    }

    /// Whether a purge has ended the snapshot, so that its reads fail with `SnapshotGone`.
    pub fn is_gone(&self) -> bool {
        self.holder.is_gone()
    }
}
