//! The one owner of disk space: who may write how much, the reserve for deletes, and how long a refused job waits.
//!
//! Purposes have a priority, highest first: the log of writes that free space, manifests and tombstones, the log of what expires, the
//! flush of what is in memory, merges and derived files, the log of other writes, the reserve. Each leaves room for what comes before it.
//!
//! Invariants:
//! * [`admit`] and [`reserve_size`] are pure. Free bytes are asked for before a file is created, so no job writes
//!   the disk full to learn that it is full.
//! * A write that needs new log is refused while what is in memory could not be flushed any more, and nothing of it is written.
//! * Only a log file for deletes, a commit of a manifest, and a merge that frees at least what it takes may take the reserve. What
//!   expires by itself leaves it to deletes that somebody asks for.
//! * A background job that failed is tried again when free space has grown noticeably or after a delay that doubles. With
//!   `inline_background` there is no delay, so that simulations are deterministic.
#![allow(clippy::disallowed_methods, reason = "jobs wait in real time, whatever the clock of the store says")]

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind, Result};
use crate::shard::View;
use crate::shard::engine::Engine;
use crate::shard::grants::{Given, Grant, Grants};
use crate::shard::log_files::LogFiles;
use crate::sync::{AtomicBool, AtomicU64, Mutex, Ordering};

/// A failed job waits this long at first, and at most so long where space lacks, or anything else.
const DELAY: Duration = Duration::from_millis(200);
const SPACE_DELAY_MAX: Duration = Duration::from_secs(60);
const DELAY_MAX: Duration = Duration::from_secs(5);
/// Free space that has grown by this much is worth a new try.
const NOTICEABLE_BYTES: u64 = 256 << 10;
/// What a flush adds to the bytes in memory: headers, columns, key tables.
const FLUSH_BYTES: u64 = 8 << 10;
/// Puts leave a twentieth of the store to merges, and at most this.
const MERGES_BYTES: u64 = 32 << 20;
/// The smallest log file.
const DELETES_BYTES: u64 = 12 << 10;
/// What a manifest takes without segments, with each segment, and what tombstones take for each dead row.
const MANIFEST_BYTES: u64 = 4 << 10;
const MANIFEST_SEGMENT_BYTES: u64 = 256;
const TOMBSTONE_BYTES: u64 = 12;

/// Nobody has looked for the reserve, or somebody failed to change it.
pub(super) const UNKNOWN: u64 = u64::MAX;

/// What space is for, the highest priority first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Purpose {
    /// Log of deletes.
    FreeingLog,
    /// Log of the removal of what has expired.
    ExpiringLog,
    /// What is in memory becomes a segment.
    Flush,
    /// A merge, a graph, codes.
    Merge,
    /// Log of any other write, and files of imports.
    Log,
    Reserve,
}

/// What will be needed whatever comes, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outlook {
    /// The next manifest and its tombstones.
    pub manifest: u64,
    /// A flush of all that is in memory.
    pub flush: u64,
    /// A log file for deletes, where the reserve does not hold it.
    pub deletes: u64,
    /// What merges need to go on, and with them the way in which space comes back.
    pub merges: u64,
}

impl Outlook {
    /// What must stay free beside something for `purpose`.
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

/// The answer to a question for space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    Granted,
    /// So many bytes must stay free beside it, and that is not so.
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

/// The size that the reserve should have: a tenth of the store and at most `most`, but no more than half of what nobody needs.
/// `None` where what is `there` is near enough.
pub(crate) fn reserve_size(store: u64, most: u64, there: u64, free: u64, outlook: &Outlook) -> Option<u64> {
    let spare = free.saturating_add(there).saturating_sub(outlook.kept_free(Purpose::Reserve)) / 2;
    let wanted = (store / 10).min(most);
    let possible = wanted.min(spare) & !0xfff;
    let grows = possible > there.saturating_add(there / 4);
    // It stays where others took the space beside it: that is what it is for.
    let shrinks = wanted < there / 2;
    if grows || shrinks { Some(if grows { possible } else { wanted & !0xfff }) } else { None }
}

/// A job of the background.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum JobKind {
    Flush,
    /// Of the shard with this number.
    Merge(usize),
    /// What the house commits: the clock, imports, files that can go.
    Checkpoint,
    /// What frees log for writes that wait for it.
    Relief,
    Codes,
    Graphs,
    LogAhead,
    Reserve,
}

impl fmt::Display for JobKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flush => f.write_str("flush"),
            Self::Merge(shard) => write!(f, "merge of shard {shard}"),
            Self::Checkpoint => f.write_str("checkpoint"),
            Self::Relief => f.write_str("relief of the log"),
            Self::Codes => f.write_str("codes"),
            Self::Graphs => f.write_str("graphs"),
            Self::LogAhead => f.write_str("log file prepared ahead"),
            Self::Reserve => f.write_str("reserve"),
        }
    }
}

/// Why a job waits, and until when.
struct Wait {
    failures: u32,
    until: Instant,
    /// Free bytes when it failed, if space was what lacked.
    free: Option<u64>,
    why: Error,
}

/// How long a job waits that has failed so often in a row.
fn delay(failures: u32, lacks_space: bool) -> Duration {
    let most = if lacks_space { SPACE_DELAY_MAX } else { DELAY_MAX };
    DELAY.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(most)
}

/// Whether free space has grown enough since a failure to try again at once.
fn has_grown(then: Option<u64>, now: u64) -> bool {
    then.is_some_and(|then| now >= then.saturating_add(NOTICEABLE_BYTES))
}

/// What is known of the reserve and of log files, and which jobs wait.
pub(crate) struct DiskSpace {
    waits: Mutex<BTreeMap<JobKind, Wait>>,
    /// Held by whoever changes the reserve, while it is written and synced; nobody else waits for that.
    pub(super) changing_reserve: Mutex<()>,
    /// Bytes of the reserve; `UNKNOWN` before somebody has looked.
    pub(super) reserve: AtomicU64,
    pub(super) log_files: Mutex<LogFiles>,
    pub(super) grants: Grants,
    relief: AtomicBool,
}

impl Default for DiskSpace {
    fn default() -> Self {
        Self {
            waits: Mutex::default(),
            changing_reserve: Mutex::new(()),
            reserve: AtomicU64::new(UNKNOWN),
            log_files: Mutex::default(),
            grants: Grants::default(),
            relief: AtomicBool::new(false),
        }
    }
}

impl DiskSpace {
    /// Why jobs wait, for stats.
    pub fn waiting(&self) -> Vec<String> {
        self.waits.lock().iter().map(|(job, wait)| format!("{job}: {}", wait.why)).collect()
    }

    /// Why a job waits for space, or for a limit of the system, if it does.
    pub fn blocked(&self, job: JobKind) -> Option<Error> {
        let waits = self.waits.lock();
        let why = waits.get(&job).map(|wait| &wait.why);
        why.filter(|why| matches!(why.kind(), ErrorKind::DiskFull | ErrorKind::SystemLimit)).map(Error::duplicate)
    }

    /// A flush would free log that a write waits for; tells the house.
    pub fn ask_for_relief(&self) {
        self.relief.store(true, Ordering::Release);
    }

    pub fn wants_relief(&self) -> bool {
        self.relief.load(Ordering::Acquire)
    }

    /// The house has done what it could.
    pub fn end_relief(&self) {
        self.relief.store(false, Ordering::Release);
    }
}

impl Engine {
    /// Bytes that can be written. Where the system does not say, nothing is held up.
    pub fn free_bytes(&self) -> u64 {
        self.storage.free_bytes().unwrap_or(u64::MAX)
    }

    /// Bytes of the store's segments, and with them of what is in memory.
    pub fn store_bytes(&self) -> u64 {
        let view = self.view.get();
        segment_bytes(&view).saturating_add(memory_bytes(&view))
    }

    pub(super) fn outlook(&self) -> Outlook {
        let view = self.view.get();
        let segments = || view.shards.iter().flat_map(|shard| &shard.segments);
        let dead_rows: u64 = segments().map(|part| part.deaths.dead_rows()).sum();
        let manifest =
            MANIFEST_BYTES + MANIFEST_SEGMENT_BYTES * segments().count() as u64 + TOMBSTONE_BYTES * dead_rows;
        let parts = view.shards.iter().map(|shard| shard.sealing.len() + usize::from(!shard.active.is_empty()));
        let memory = memory_bytes(&view);
        let flush = written_bytes(memory, parts.sum());
        let deletes = (segment_bytes(&view) / 10).min(self.tuning.log_file_min_bytes).max(DELETES_BYTES);
        let deletes = deletes.saturating_sub(self.reserve_bytes());
        let merges = (segment_bytes(&view) / 20).min(MERGES_BYTES);
        Outlook { manifest, flush, deletes, merges }
    }

    /// Fails, as a full disk, if `what` may not have `needed` bytes for `purpose` now.
    pub fn ask_for_space(&self, purpose: Purpose, needed: u64, what: impl fmt::Display) -> Result<()> {
        self.admit_beside(&self.space.grants.given.lock(), purpose, needed, what)
    }

    /// The same for a job that goes on to write files, `names` among them: nobody else is given these bytes until it ends.
    pub(super) fn grant_space(
        self: &Arc<Self>,
        purpose: Purpose,
        needed: u64,
        names: &[String],
        what: impl fmt::Display,
    ) -> Result<Grant> {
        let mut given = self.space.grants.given.lock();
        self.admit_beside(&given, purpose, needed, what)?;
        Ok(given.note(self, needed, names))
    }

    fn admit_beside(&self, given: &Given, purpose: Purpose, needed: u64, what: impl fmt::Display) -> Result<()> {
        let mut free = self.free_bytes();
        // Merges and imports have left room for what matters more, which need not wait for them.
        if purpose >= Purpose::Merge && needed > 0 {
            free = free.saturating_sub(given.outstanding(|| self.storage.list().unwrap_or_default()));
        }
        match admit(purpose, needed, free, &self.outlook()) {
            Admission::Granted => Ok(()),
            Admission::Refused { kept_free } => Err(Error::new(
                ErrorKind::DiskFull,
                format!(
                    "{what} needs up to {needed} bytes, {free} are free, and {kept_free} of these are kept for flushes and \
                     deletes; free some space and try again"
                ),
            )),
        }
    }

    /// The same for a merge. One that frees at least what it takes may have the reserve for it: deletes alone bring no space back.
    pub(super) fn grant_merge(self: &Arc<Self>, needed: u64, inputs: u64, names: &[String]) -> Result<Option<Grant>> {
        let refused = match self.grant_space(Purpose::Merge, needed, names, "a merge") {
            Err(error) if error.kind() == ErrorKind::DiskFull && needed <= inputs / 2 => error,
            outcome => return outcome.map(Some),
        };
        let free = self.free_bytes().saturating_add(self.reserve_bytes());
        let fits = admit(Purpose::Flush, needed, free, &self.outlook()) == Admission::Granted;
        // What is noted of the reserve's space keeps puts from it.
        let grant = fits.then(|| self.space.grants.given.lock().note(self, needed, names));
        if fits && self.release_reserve()? { Ok(grant) } else { Err(refused) }
    }

    /// Does a background job, unless it failed of late; remembers how it went.
    pub fn attempt<T: Default>(&self, job: JobKind, act: impl FnOnce() -> Result<T>) -> Result<T> {
        if !self.may_try(job) {
            return Ok(T::default());
        }
        let outcome = act();
        let mut waits = self.space.waits.lock();
        match &outcome {
            Ok(_) => drop(waits.remove(&job)),
            Err(error) => {
                let failures = waits.get(&job).map_or(0, |wait| wait.failures) + 1;
                let lacks_space = error.kind() == ErrorKind::DiskFull;
                let until = Instant::now() + delay(failures, lacks_space);
                let free = lacks_space.then(|| self.free_bytes());
                waits.insert(job, Wait { failures, until, free, why: error.duplicate() });
            }
        }
        outcome
    }

    /// Whether a job has not failed of late, or things have changed.
    pub fn may_try(&self, job: JobKind) -> bool {
        let waits = self.space.waits.lock();
        waits.get(&job).is_none_or(|wait| {
            self.tuning.inline_background || Instant::now() >= wait.until || has_grown(wait.free, self.free_bytes())
        })
    }
}

/// About what rows of so many bytes take in `segments` new segments.
pub(crate) fn written_bytes(rows: u64, segments: usize) -> u64 {
    rows.saturating_add(rows / 8).saturating_add(FLUSH_BYTES * segments as u64)
}

/// Bytes of all segments, their derived and blob files among them.
pub(super) fn segment_bytes(view: &View) -> u64 {
    let entries = view.shards.iter().flat_map(|shard| &shard.segments).map(|part| &part.entry);
    let bytes = entries.map(|entry| entry.bytes() + entry.blobs.iter().map(|blob| blob.length).sum::<u64>());
    bytes.fold(0, u64::saturating_add)
}

/// Bytes of what is not in segments yet.
fn memory_bytes(view: &View) -> u64 {
    let sealing =
        |shard: &crate::shard::Shard| shard.sealing.iter().map(|sealing| sealing.active.bytes()).sum::<usize>();
    view.shards.iter().map(|shard| (shard.active.bytes() + sealing(shard)) as u64).sum()
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
    fn failed_jobs_wait_longer_each_time() {
        let millis = |failures, lacks_space| delay(failures, lacks_space).as_millis();
        assert_eq!([1, 2, 3].map(|failures| millis(failures, true)), [200, 400, 800]);
        assert_eq!([9, 10, u32::MAX].map(|failures| millis(failures, true)), [51_200, 60_000, 60_000]);
        assert_eq!([5, 6, 100].map(|failures| millis(failures, false)), [3_200, 5_000, 5_000]);
        assert!(has_grown(Some(0), NOTICEABLE_BYTES) && !has_grown(Some(1), NOTICEABLE_BYTES));
        assert!(!has_grown(None, u64::MAX), "it was not space that lacked");
    }
}
