//! The cost and gain of a merge of a segment, in numbers.
//!
//! Invariants:
//! * Dead bytes of blob files are computed from the living rows. They are counted when they are first needed
//!   after deletes, never during a write.

use crate::compact::SegmentStats;
use crate::error::{Error, ErrorKind, Result};
use crate::record::ALIVE;
use crate::segment::truth::layout::blob_name;
use crate::shard::part::{BlobBytes, SegmentPart};

impl SegmentPart {
    /// The bytes of values in the part's blob files; 0 if it cannot be read.
    pub fn blob_bytes(&self) -> BlobBytes {
        let dead_rows = self.tombstones.dead_rows();
        let mut last = self.blob_count.lock();
        match *last {
            Some((then, bytes)) if then == dead_rows => bytes,
            _ => {
                let bytes = self.count_blob_bytes().unwrap_or_default();
                *last = Some((dead_rows, bytes));
                bytes
            }
        }
    }

    fn count_blob_bytes(&self) -> Result<BlobBytes> {
        if self.entry.blobs.is_empty() {
            return Ok(BlobBytes::default());
        }
        let segment = self.segment()?;
        let live = segment.live_blob_bytes(|row| self.tombstones.deleted_lsn(row) == ALIVE)?;
        let mut bytes = BlobBytes::default();
        for (blob, live) in segment.blobs()?.iter().zip(live.into_iter().chain(std::iter::repeat(0))) {
            let all = blob.file.value_bytes;
            let dead = all.saturating_sub(live);
            let stuck = if live > 0 && blob.is_unreadable() { dead } else { 0 };
            bytes.all = bytes.all.saturating_add(all);
            bytes.dead = bytes.dead.saturating_add(dead);
            bytes.stuck = bytes.stuck.saturating_add(stuck);
        }
        Ok(bytes)
    }

    /// Fails if dead values stay in a blob file because a living one beside them cannot be read.
    pub fn check_stuck(&self) -> Result<()> {
        if self.blob_bytes().stuck == 0 {
            return Ok(());
        }
        let unreadable = self.segment()?.blobs()?.iter().filter(|blob| blob.is_unreadable());
        let names: Vec<String> = unreadable.map(|blob| blob_name(blob.file.file_id)).collect();
        let why = "holds values that died beside living ones that cannot be read; restore it, or delete those, and compact again";
        Err(Error::new(ErrorKind::Damaged, format!("{} {why}", names.join(", "))))
    }

    /// Fails if damage keeps deleted rows in the part, and their keys in its file of missed operations.
    pub fn check_missed(&self) -> Result<()> {
        if self.missed.is_empty() { Ok(()) } else { self.segment().map(drop) }
    }

    /// The numbers for the choice of merges.
    pub fn stats(&self) -> SegmentStats {
        let BlobBytes { all, dead, stuck } = self.blob_bytes();
        SegmentStats {
            bytes: self.entry.length,
            rows: u64::from(self.entry.rows),
            vectors: u64::from(self.entry.vectors),
            dead_rows: self.tombstones.dead_rows(),
            blob_bytes: all,
            dead_blob_bytes: dead - stuck,
            excluded: self.segment().is_err() || self.is_unmergeable(),
        }
    }
}
