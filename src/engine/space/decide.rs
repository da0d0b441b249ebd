//! Pure decisions about disk space: whether a job may write, the size of the reserve, the delay of a failed job.

use std::time::Duration;

use crate::shard::view::{ReadView, Shard};

/// After its first failure a job waits for `DELAY`. The delay doubles up to `SPACE_DELAY_MAX` if the job lacks space,
/// and up to `DELAY_MAX` after any other failure.
const DELAY: Duration = Duration::from_millis(200);
const SPACE_DELAY_MAX: Duration = Duration::from_secs(60);
const DELAY_MAX: Duration = Duration::from_secs(5);
/// A failed job is retried at once when free space has grown by this many bytes.
pub(super) const NOTICEABLE_BYTES: u64 = 256 << 10;
/// Estimated bytes of a new segment beside its rows: headers, columns, key tables.
pub(super) const FLUSH_BYTES: u64 = 8 << 10;
/// Puts leave a twentieth of the store's size free for merges, but at most this many bytes.
pub(super) const MERGES_BYTES: u64 = 32 << 20;
/// At least this many bytes are kept for a log file of deletes: the size of the smallest log file.
pub(super) const DELETES_BYTES: u64 = 12 << 10;
/// Estimated bytes of a manifest without segments, of each segment in it, and of the tombstone of each deleted row.
pub(super) const MANIFEST_BYTES: u64 = 4 << 10;
pub(super) const MANIFEST_SEGMENT_BYTES: u64 = 256;
pub(super) const TOMBSTONE_BYTES: u64 = 12;

/// What disk space is used for, the highest priority first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Purpose {
    /// A log file for deletes.
    FreeingLog,
    /// A log file for the removal of expired items.
    ExpiringLog,
    /// A flush of memtables.
    Flush,
    /// A merge, a graph, codes.
    Merge,
    /// A log file for any other write, and the files of imports.
    Log,
    /// The reserve itself.
    Reserve,
}

/// Estimates of the bytes that the store will need next. A grant leaves those of higher priority free.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outlook {
    /// The next manifest and its tombstones.
    pub manifest: u64,
    /// A flush of all memtables.
    pub flush: u64,
    /// A log file for deletes, less the bytes of the reserve.
    pub deletes: u64,
    /// Space for merges. Only a merge frees the space of deleted rows.
    pub merges: u64,
}

impl Outlook {
    /// The bytes that a grant for `purpose` must leave free.
    fn kept_free(&self, purpose: Purpose) -> u64 {
        let Self { manifest, flush, deletes, merges } = *self;
        match purpose {
            Purpose::FreeingLog => 0,
            Purpose::ExpiringLog | Purpose::Flush => manifest.saturating_add(deletes),
            Purpose::Merge => self.kept_free(Purpose::Flush).saturating_add(flush),
            Purpose::Log | Purpose::Reserve => self.kept_free(Purpose::Merge).saturating_add(merges),
        }
    }
}

/// The bytes of a merge, which asks for space before each of its outputs.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct MergeBytes {
    /// What its outputs so far have taken.
    pub written: u64,
    /// What the next ones will take.
    pub left: u64,
    /// What goes when the merge is installed.
    pub inputs: u64,
}

impl MergeBytes {
    /// Whether the merge frees at least as much as it takes in all, the outputs that are written already included.
    pub fn frees_what_it_takes(self) -> bool {
        self.written.saturating_add(self.left) <= self.inputs / 2
    }
}

/// The answer to a request for space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    Granted,
    /// A grant has to leave `kept_free` bytes free, and fewer would be left.
    Refused {
        kept_free: u64,
    },
}

/// Whether `needed` bytes may be written.
pub(crate) fn admit(purpose: Purpose, needed: u64, free: u64, outlook: &Outlook) -> Admission {
    let kept_free = outlook.kept_free(purpose);
    if needed == 0 || needed.saturating_add(kept_free) <= free {
        Admission::Granted
    } else {
        Admission::Refused { kept_free }
    }
}

/// The new size of the reserve, or `None` if it keeps its present size `there`. The wanted size is a tenth of the
/// store, but at most `most`. The reserve grows to at most half of the space that nothing else needs. It grows only by
/// more than a quarter, and shrinks only if less than half of it is wanted.
pub(crate) fn reserve_size(store: u64, most: u64, there: u64, free: u64, outlook: &Outlook) -> Option<u64> {
    let spare = free.saturating_add(there).saturating_sub(outlook.kept_free(Purpose::Reserve)) / 2;
    let wanted = (store / 10).min(most);
    let possible = wanted.min(spare) & !0xfff;
    let grows = possible > there.saturating_add(there / 4);
    // The reserve does not shrink when free space runs low: that is when it is needed.
    let shrinks = wanted < there / 2;
    if grows || shrinks { Some(if grows { possible } else { wanted & !0xfff }) } else { None }
}

/// How long a job waits after `failures` failures in a row.
pub(super) fn delay(failures: u32, lacks_space: bool) -> Duration {
    let most = if lacks_space { SPACE_DELAY_MAX } else { DELAY_MAX };
    DELAY.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(most)
}

/// Whether a job that failed with `then` free bytes is retried at once, now that `now` bytes are free.
pub(super) fn has_grown(then: Option<u64>, now: u64) -> bool {
    then.is_some_and(|then| now >= then.saturating_add(NOTICEABLE_BYTES))
}

/// Roughly the bytes of `segments` new segments that together hold `rows` bytes of rows.
pub(crate) fn written_bytes(rows: u64, segments: usize) -> u64 {
    rows.saturating_add(rows / 8).saturating_add(FLUSH_BYTES * segments as u64)
}

/// Bytes of all segments, including their derived files and blob files.
pub(crate) fn segment_bytes(view: &ReadView) -> u64 {
    let entries = view.shards.iter().flat_map(|shard| &shard.segments).map(|part| &part.entry);
    let bytes = entries.map(|entry| entry.bytes() + entry.blobs.iter().map(|blob| blob.length).sum::<u64>());
    bytes.fold(0, u64::saturating_add)
}

/// Bytes of rows that are not in segments yet.
pub(super) fn memory_bytes(view: &ReadView) -> u64 {
    let frozen = |shard: &Shard| shard.frozen.iter().map(|frozen| frozen.memtable.bytes()).sum::<usize>();
    view.shards.iter().map(|shard| (shard.memtable.bytes() + frozen(shard)) as u64).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use Purpose::{ExpiringLog, Flush, FreeingLog, Log, Merge, Reserve};

    #[test]
    fn each_purpose_leaves_room_for_those_before_it() {
        let outlook = Outlook { manifest: 10, flush: 100, deletes: 5, merges: 7 };
        let granted = |purpose, needed, free| admit(purpose, needed, free, &outlook) == Admission::Granted;
        // Purpose, and the least free space with which it may have 20 bytes.
        for (purpose, least) in
            [(FreeingLog, 20), (ExpiringLog, 35), (Flush, 35), (Merge, 135), (Log, 142), (Reserve, 142)]
        {
            assert!(granted(purpose, 20, least), "{purpose:?}");
            assert!(!granted(purpose, 20, least - 1), "{purpose:?}");
            assert!(granted(purpose, 0, 0), "{purpose:?}: what needs nothing, such as dropping a segment");
        }
        assert_eq!(admit(Merge, u64::MAX, u64::MAX - 1, &outlook), Admission::Refused { kept_free: 115 });
        let huge = Outlook { flush: u64::MAX, ..outlook };
        assert_eq!(admit(Log, 1, u64::MAX - 1, &huge), Admission::Refused { kept_free: u64::MAX });
    }

    #[test]
    fn the_reserve_follows_the_store_and_takes_no_more_than_half_of_what_nobody_needs() {
        let (most, outlook) = (16 << 20, Outlook { flush: 1 << 20, ..Outlook::default() });
        let size =
            |store: u64, there: u64, free: u64| reserve_size(store << 20, most, there << 20, free << 20, &outlook);
        assert_eq!(size(0, 0, 1_000), None);
        assert_eq!(size(100, 0, 1_000), Some(10 << 20));
        assert_eq!(size(1_000, 0, 1_000), Some(16 << 20), "the most");
        assert_eq!(size(100, 9, 1_000), None, "near enough");
        assert_eq!(size(100, 4, 1_000), Some(10 << 20), "it grows with the store");
        assert_eq!(size(20, 10, 1_000), Some(2 << 20), "and shrinks");
        assert_eq!(size(0, 10, 1_000), Some(0));
        assert_eq!(size(100, 0, 7), Some(3 << 20), "half of six");
        assert_eq!(size(100, 3, 4), None, "which stays so");
        assert_eq!(size(100, 0, 1), None, "a flush comes first");
        assert_eq!(size(100, 8, 0), None, "and it stays where others took the rest");
    }

    #[test]
    fn a_merge_counts_what_it_has_written() {
        let frees = |written, left| MergeBytes { written, left, inputs: 1_001 }.frees_what_it_takes();
        assert!(frees(0, 500) && !frees(0, 501));
        assert!(frees(400, 100) && !frees(401, 100), "its first outputs count as well");
        assert!(!frees(501, 0) && !frees(u64::MAX, 1));
    }

    #[test]
    fn failed_jobs_wait_longer_each_time() {
        let millis = |failures, lacks_space| delay(failures, lacks_space).as_millis();
        assert_eq!([1, 2, 3].map(|failures| millis(failures, true)), [200, 400, 800]);
        assert_eq!([9, 10, u32::MAX].map(|failures| millis(failures, true)), [51_200, 60_000, 60_000]);
        assert_eq!([5, 6, 100].map(|failures| millis(failures, false)), [3_200, 5_000, 5_000]);
        assert!(has_grown(Some(0), NOTICEABLE_BYTES) && !has_grown(Some(1), NOTICEABLE_BYTES));
        assert!(!has_grown(None, u64::MAX), "the job did not fail for want of space");
    }
}
