//! Lost parts. A segment is lost if damage hides the rows that an operation concerns, so that the operation cannot be
//! applied. A lost segment serves no read, until its missed operations are applied.
//!
//! Invariants:
//! * A lost part keeps every operation that concerns it (`missed.rs`). They are applied when the store is opened with a
//!   readable file again, or when `accept_loss` rewrites the readable rows.
//! * The tombstones that a part had before it was lost are saved like those of any other part.

use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::record::{Lsn, Operation};
use crate::segment::side_file::SideFile;
use crate::segment::tombstones::Touch;
use crate::shard::missed::{MissedFate, MissedOperations};
use crate::shard::part::{SegmentPart, SharedSegment};
use crate::shard::part_ref::PartRef;
use crate::storage::Storage;

impl SegmentPart {
    /// Marks the part as lost: every later read of it fails.
    pub fn lose(&self, why: &Error) {
        let remedy =
            "restore the file and open the store again, or give up its damaged rows (`vecmem check --accept-loss`)";
        let message = format!("a write could not be replayed into the segment ({why}); {remedy}");
        let error = Error::new(ErrorKind::Damaged, message);
        let _ = self.lost.set(match why.location() {
            Some(place) => error.at(&place.file, place.offset),
            None => error,
        });
    }

    /// Whether the part is not lost yet, and damage hides the rows that the operation concerns.
    pub fn hides(self: &Arc<Self>, operation: &Operation) -> bool {
        let outcome = match operation {
            Operation::DeleteRange { interval } => self.rows_in(interval).map(drop),
            _ => operation.address().map_or(Ok(()), |(namespace, key)| {
                let part = PartRef::Segment(self);
                part.find(namespace.encoded(), key)?.map_or(Ok(()), |row| part.lsn(row).map(drop))
            }),
        };
        !self.is_lost() && outcome.is_err()
    }

    /// Whether rows that the operation concerns may lie in the part.
    pub(super) fn may_hold_any(&self, operation: &Operation) -> bool {
        match (operation, operation.address()) {
            (Operation::DeleteRange { interval }, _) => self.covers(interval),
            (_, Some((namespace, _))) => self.may_hold(namespace.encoded()),
            (_, None) => false,
        }
    }

    /// The effect of the missed operations on the version `lsn` of a key.
    pub fn missed_of(&self, namespace: &[u8], key: &str, lsn: Lsn) -> MissedFate {
        self.missed.fate(namespace, key, lsn)
    }

    /// Applies the missed operations to the part. The caller clears them afterwards. It holds the apply lock, or is the
    /// only user of the part.
    fn catch_up(self: &Arc<Self>, missed: &MissedOperations) -> Result<()> {
        let operations = missed.operations();
        operations.iter().try_for_each(|(lsn, operation)| give(self, *lsn, operation))
    }
}

/// Reads the missed operations that a manifest names for a part, and applies them. If they cannot be applied, the part
/// is lost.
pub(crate) fn open_missed(storage: &dyn Storage, store_id: u64, mut part: SegmentPart) -> Result<SharedSegment> {
    if part.entry.missed.is_empty() {
        return Ok(Arc::new(part));
    }
    let mut missed = MissedOperations::default();
    for file in part.entry.missed.clone() {
        match read_missed(storage, store_id, file.file_id) {
            Ok(operations) => operations.iter().for_each(|(lsn, operation)| missed.keep(*lsn, operation)),
            Err(error) if error.is_unread() || error.kind() == ErrorKind::NewerFormat => return Err(error),
            // Without its missed operations the part would show deleted rows.
            Err(error) => {
                missed.unread.push(file);
                part = part.unreadable(error);
            }
        }
    }
    missed.take_dirty();
    part.missed = Arc::new(missed);
    let part = Arc::new(part);
    if let Err(error) = part.catch_up(&part.missed) {
        part.lose(&error);
    } else {
        part.missed.clear();
        part.set_dirty();
    }
    Ok(part)
}

/// The operations in one file of missed operations.
pub(crate) fn read_missed(storage: &dyn Storage, store_id: u64, file_id: u64) -> Result<Vec<(Lsn, Operation)>> {
    let file = SideFile { store_id, file_id, kind: "missed" };
    let missed =
        MissedOperations::decode(&file.read(storage)?).map_err(|malformed| malformed.in_file(file.name(), 0))?;
    Ok(missed.operations())
}

/// Applies an operation with this LSN to the rows of a part. To apply it again changes nothing.
pub(crate) fn give(part: &SharedSegment, lsn: Lsn, operation: &Operation) -> Result<()> {
    let part = PartRef::Segment(part);
    let Some((namespace, key)) = operation.address() else {
        let Operation::DeleteRange { interval } = operation else { return Ok(()) };
        return part.delete_range(interval, lsn);
    };
    let Some(row) = part.find(namespace.encoded(), key)? else { return Ok(()) };
    match *operation {
        Operation::Touch { version, expires_at, .. } if part.lsn(row)? == version => {
            part.touch(Touch { row, expires_at, lsn });
        }
        Operation::Put(_) | Operation::Delete { .. } if part.lsn(row)? < lsn => part.delete(row, lsn),
        _ => {}
    }
    Ok(())
}

impl SegmentPart {
    /// The part without its segment: every read fails with `error`.
    fn unreadable(self, error: Error) -> Self {
        let entry = self.entry.clone();
        Self::new(entry, Err(error.with_kind(ErrorKind::Damaged)), crate::segment::tombstones::Tombstones::new(0))
    }
}
