//! Parts that serve nothing any more, since damage hid from an operation what it concerned; and how that state ends.
//!
//! Invariants:
//! * A lost part keeps every operation that concerns it (`missed.rs`) until it gets them: when the store is opened with a file that can be
//!   read again, or when whoever gives up the damaged rows rewrites the others.
//! * Tombstones that a part got before it was lost are its own and are written down like those of any other.

use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::record::{Lsn, Operation};
use crate::segment::side_file::SideFile;
use crate::segment::tombstones::Touch;
use crate::shard::missed::{Missed, MissedFate};
use crate::shard::part::{SegmentPart, SharedSegment};
use crate::shard::part_ref::PartRef;
use crate::storage::Storage;

impl SegmentPart {
    /// From now on the part serves nothing.
    pub fn lose(&self, why: &Error) {
        let remedy =
            "restore the file and open the store again, or give up its damaged rows (`vecmem check --accept-loss`)";
        let _ = self.lost.set(format!("a write could not be replayed into it ({why}); {remedy}"));
    }

    /// Whether an operation finds its target hidden behind damage, and the part is not lost yet.
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

    /// What the part missed about one version of a key.
    pub fn missed_of(&self, namespace: &[u8], key: &str, lsn: Lsn) -> MissedFate {
        self.missed.fate(namespace, key, lsn)
    }

    /// Gives the part the operations that it missed, and forgets them. The caller is the only one who has it, or holds the apply lock.
    fn catch_up(self: &Arc<Self>, missed: &Missed) -> Result<()> {
        let operations = missed.operations();
        operations.iter().try_for_each(|(lsn, operation)| give(self, *lsn, operation))
    }
}

/// Opens what a part of a manifest missed, if it missed something: it gets it now, or goes on being lost.
pub(crate) fn open_missed(storage: &dyn Storage, store_id: u64, mut part: SegmentPart) -> Result<SharedSegment> {
    if part.entry.missed.is_empty() {
        return Ok(Arc::new(part));
    }
    let mut missed = Missed::default();
    for file in part.entry.missed.clone() {
        match read_missed(storage, store_id, file.file_id) {
            Ok(operations) => operations.iter().for_each(|(lsn, operation)| missed.keep(*lsn, operation)),
            Err(error) if error.is_unread() || error.kind() == ErrorKind::NewerFormat => return Err(error),
            // Without them the part would show what was deleted.
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

/// The operations in one file of them.
pub(crate) fn read_missed(storage: &dyn Storage, store_id: u64, file_id: u64) -> Result<Vec<(Lsn, Operation)>> {
    let file = SideFile { store_id, file_id, kind: "missed" };
    let missed = Missed::decode(&file.read(storage)?).map_err(|malformed| malformed.in_file(file.name(), 0))?;
    Ok(missed.operations())
}

/// Does to a part what an operation of this LSN does to the rows that it holds. Again it changes nothing.
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
    /// The same part, which nothing can be read from.
    fn unreadable(self, error: Error) -> Self {
        let entry = self.entry.clone();
        Self::new(entry, Err(error.with_kind(ErrorKind::Damaged)), crate::segment::tombstones::Tombstones::new(0))
    }
}
