//! What a merge of a sealed part would cost and free, in numbers.
//!
//! Invariants:
//! * Dead bytes of blob files are counted from the rows that live: again when rows have died since, never while somebody waits
//!   for a write.

use crate::compact::SegmentStats;
use crate::error::Result;
use crate::record::ALIVE;
use crate::shard::part::SealedPart;
use crate::sync::{Mutex, Ordering};

/// The values in the blob files of a part, in bytes as stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct BlobBytes {
    pub all: u64,
    pub dead: u64,
}

/// The last count, and the number of dead rows that it was made with.
#[derive(Default)]
pub(super) struct BlobCount(Mutex<Option<(u64, BlobBytes)>>);

impl SealedPart {
    /// The values in the part's blob files; nothing where it cannot be read.
    pub fn blob_bytes(&self) -> BlobBytes {
        let dead_rows = self.deaths.dead_rows();
        let mut last = self.blob_count.0.lock();
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
        let live = segment.live_blob_bytes(|row| self.deaths.dead_lsn(row) == ALIVE)?;
        let sum = |bytes: u64, more| bytes.saturating_add(more);
        let all = segment.blob_files()?.iter().map(|blob| blob.value_bytes).fold(0, sum);
        Ok(BlobBytes { all, dead: all.saturating_sub(live.into_iter().fold(0, sum)) })
    }

    /// What the choice of merges knows of it; `excluded` if it must not be in one.
    pub fn stats(&self, excluded: bool) -> SegmentStats {
        let BlobBytes { all, dead } = self.blob_bytes();
        SegmentStats {
            bytes: self.entry.length,
            rows: u64::from(self.entry.rows),
            dead_rows: self.deaths.dead_rows(),
            blob_bytes: all,
            dead_blob_bytes: dead,
            excluded: excluded || self.segment().is_err() || self.unmergeable.load(Ordering::Relaxed),
        }
    }
}
