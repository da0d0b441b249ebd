//! Applies frames to read views. Live writes and replay share this code.
//!
//! Invariants:
//! * `apply` compares LSNs: it never deletes a version that is newer than its operation, and applying twice changes
//!   nothing.
//! * Afterwards at most one version of each key is alive, in any part.

use std::sync::Arc;

use crate::error::Result;
use crate::record::{Lsn, Operation};
use crate::segment::tombstones::Touch;
use crate::shard::ingest::LoggedFrame;
use crate::shard::view::{Lost, ReadView, Shard};

impl Shard {
    /// Applies one operation that concerns this shard. The caller holds the apply lock, or is the shard's only user.
    fn apply(&self, lsn: Lsn, operation: &Operation) -> Result<()> {
        self.keep_for_lost(lsn, operation);
        match operation {
            Operation::Put(record) => {
                if let Some((part, row)) = self.newest(record.namespace.encoded(), &record.key, Lost::Skipped)? {
                    if part.lsn(row)? >= lsn {
                        return Ok(());
                    }
                    part.delete(row, lsn);
                }
                self.memtable.append(Arc::clone(record), lsn)?;
            }
            Operation::Delete { namespace, key } => {
                if let Some((part, row)) = self.newest(namespace.encoded(), key, Lost::Skipped)?
                    && part.lsn(row)? < lsn
                {
                    part.delete(row, lsn);
                }
            }
            Operation::DeleteRange { interval } => {
                for part in self.parts().filter(|part| !part.is_lost()) {
                    part.delete_range(interval, lsn)?;
                }
            }
            Operation::Touch { namespace, key, version, expires_at } => {
                if let Some((part, row)) = self.newest(namespace.encoded(), key, Lost::Skipped)?
                    && part.lsn(row)? == *version
                {
                    part.touch(Touch { row, expires_at: *expires_at, lsn });
                }
            }
        }
        Ok(())
    }
}

impl Shard {
    /// Keeps an operation for each lost part that it concerns.
    fn keep_for_lost(&self, lsn: Lsn, operation: &Operation) {
        for part in self.segments.iter().filter(|part| part.is_lost() && part.may_hold_any(operation)) {
            part.missed.keep(lsn, operation);
        }
    }
}

/// Applies a frame to every shard that does not hold it yet.
///
/// `covered` returns the LSN up to which a shard holds every operation: during a replay, the shard's checkpoint.
pub(crate) fn apply(view: &mut ReadView, logged: &LoggedFrame, covered: impl Fn(usize) -> Lsn) -> Result<()> {
    if let Some(ingested) = &logged.ingested {
        ingested.apply(view, &covered)?;
    }
    if let Some(deleted) = &logged.deleted {
        deleted.apply(view, logged.first_lsn, |lsn, delete| apply_operation(view, lsn, delete, &covered))?;
    }
    let mut operations = logged.first_operation().sequence().zip(&logged.operations);
    operations.try_for_each(|(lsn, operation)| apply_operation(view, lsn, operation, &covered))
}

/// Applies one operation as [`apply`] does.
pub(crate) fn apply_operation(
    view: &ReadView,
    lsn: Lsn,
    operation: &Operation,
    covered: impl Fn(usize) -> Lsn,
) -> Result<()> {
    let namespace = match operation {
        Operation::Put(record) => &record.namespace,
        Operation::Delete { namespace, .. } | Operation::Touch { namespace, .. } => namespace,
        Operation::DeleteRange { interval } => {
            let touched = view.shards.iter().enumerate().filter(|(_, shard)| shard.interval.overlaps(interval));
            for (_, shard) in touched.filter(|&(index, _)| covered(index) < lsn) {
                shard.apply(lsn, operation)?;
            }
            return Ok(());
        }
    };
    let index = view.shard_of(namespace.encoded());
    if covered(index) < lsn { view.shards[index].apply(lsn, operation) } else { Ok(()) }
}
