//! Opens the parts that a manifest, or the frame of an import, names.

use crate::error::{Error, ErrorKind, Result};
use crate::manifest::SegmentEntry;
use crate::segment::tombstones::Tombstones;
use crate::segment::tombstones::file::TombstoneFile;
use crate::segment::truth::layout::{StoreIdentity, truth_name};
use crate::shard::lost::open_missed;
use crate::shard::part::{SegmentPart, SharedSegment};
use crate::storage::Storage;
use crate::words::counted;

/// Opens a segment with its tombstones and its missed operations. If a file is damaged or missing, the part opens and
/// every read of it fails. If a file cannot be read for another reason, or needs a newer version, the open fails.
pub(crate) fn open_part(storage: &dyn Storage, entry: &SegmentEntry, keys: &StoreIdentity) -> Result<SharedSegment> {
    open_missed(storage, keys.store_id, open_with_tombstones(storage, entry, keys)?)
}

fn open_with_tombstones(storage: &dyn Storage, entry: &SegmentEntry, keys: &StoreIdentity) -> Result<SegmentPart> {
    let segment = read(entry.open(storage, keys))?.and_then(|segment| match segment.rows() {
        rows if rows == entry.rows => Ok(segment),
        rows => Err(Error::corrupt(
            truth_name(entry.file_id),
            0,
            format!("{}, the manifest says {}", counted(rows, "row"), entry.rows),
        )),
    });
    // The manifest's number of rows sizes the tombstones only if the segment has as many rows.
    if let Err(error) = segment {
        return Ok(SegmentPart::new(entry.clone(), Err(error), Tombstones::new(0)));
    }
    let file = TombstoneFile {
        store_id: keys.store_id,
        file_id: entry.file_id,
        generation: entry.tombstone_generation,
        rows: entry.rows,
    };
    let tombstones = match entry.tombstone_generation {
        0 => Ok(Tombstones::new(entry.rows)),
        _ => read(file.read(storage).map(|(tombstones, _)| tombstones))?,
    };
    Ok(match tombstones {
        Ok(tombstones) => SegmentPart::new(entry.clone(), segment, tombstones),
        // Without its tombstones a segment would show deleted rows.
        Err(error) => SegmentPart::new(entry.clone(), Err(error), Tombstones::new(0)),
    })
}

/// Separates damage from other errors. Damage is the inner error; a file that was not read, or that needs a newer
/// version, is the outer one.
pub(crate) fn read<T>(outcome: Result<T>) -> Result<Result<T>> {
    match outcome {
        Err(error) if error.is_unread() || error.kind() == ErrorKind::NewerFormat => Err(error),
        said => Ok(said),
    }
}
