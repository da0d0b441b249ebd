//! The state of the disk space: the reserve, the sizes of log files, the grants, and the background jobs that wait.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::engine::space::grants::Grants;
use crate::error::{Error, ErrorKind};
use crate::sync::{AtomicBool, AtomicU64, Mutex, Ordering};

/// The size of the reserve is unknown: it was not looked up yet, or a resize failed.
pub(crate) const UNKNOWN: u64 = u64::MAX;

/// A background job.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum JobKind {
    Flush,
    /// Of the shard with this lower bound.
    Merge(Arc<[u8]>),
    /// Of the shard with this lower bound: from the plan to the last step.
    Split(Arc<[u8]>),
    /// Manifests that maintenance commits: for the clock, for imports, to free files.
    Checkpoint,
    /// A flush and a checkpoint that free log files, for writes that wait.
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
            Self::Merge(low) => write!(f, "merge of {}", Named(low)),
            Self::Split(low) => write!(f, "split of {}", Named(low)),
            Self::Checkpoint => f.write_str("checkpoint"),
            Self::Relief => f.write_str("relief of the log"),
            Self::Codes => f.write_str("codes"),
            Self::Graphs => f.write_str("graphs"),
            Self::LogAhead => f.write_str("log file prepared ahead"),
            Self::Reserve => f.write_str("reserve"),
        }
    }
}

/// A shard by its lower bound, for people.
struct Named<'a>(&'a [u8]);

impl fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("the first shard");
        }
        write!(f, "the shard from {:?}", String::from_utf8_lossy(self.0).replace('\0', "/"))
    }
}

/// Why a job waits, and until when.
pub(super) struct Wait {
    pub failures: u32,
    pub until: Instant,
    /// The free bytes at the time of the failure, if the job lacked space.
    pub free: Option<u64>,
    pub why: Error,
}

/// The state of the disk space.
pub(crate) struct DiskSpace {
    pub(super) waits: Mutex<BTreeMap<JobKind, Wait>>,
    /// Held while the reserve is written and synced. Only changes of the reserve wait for it.
    pub(crate) changing_reserve: Mutex<()>,
    /// Bytes of the reserve, or `UNKNOWN`.
    pub(crate) reserve: AtomicU64,
    pub(crate) log_files: Mutex<LogFiles>,
    pub(crate) grants: Arc<Grants>,
    relief: AtomicBool,
}

impl Default for DiskSpace {
    fn default() -> Self {
        Self {
            waits: Mutex::default(),
            changing_reserve: Mutex::new(()),
            reserve: AtomicU64::new(UNKNOWN),
            log_files: Mutex::default(),
            grants: Arc::default(),
            relief: AtomicBool::new(false),
        }
    }
}

impl DiskSpace {
    /// The waiting jobs with their reasons, for stats.
    pub fn waiting(&self) -> Vec<String> {
        self.waits.lock().iter().map(|(job, wait)| format!("{job}: {}", wait.why)).collect()
    }

    /// The error of a job that waits for space or for a limit of the system; `None` if it does not.
    pub fn blocked(&self, job: &JobKind) -> Option<Error> {
        let waits = self.waits.lock();
        let why = waits.get(job).map(|wait| &wait.why);
        why.filter(|why| matches!(why.kind(), ErrorKind::DiskFull | ErrorKind::SystemLimit)).map(Error::duplicate)
    }

    /// Forgets the failures of merges and splits of shards that are gone: whose lower bound `is_bound` denies.
    pub fn keep_shards(&self, is_bound: impl Fn(&[u8]) -> bool) {
        self.waits.lock().retain(|job, _| match job {
            JobKind::Merge(low) | JobKind::Split(low) => is_bound(low),
            _ => true,
        });
    }

    /// Asks the maintenance thread to free log files, since a write lacks space.
    pub fn ask_for_relief(&self) {
        self.relief.store(true, Ordering::Release);
    }

    pub fn wants_relief(&self) -> bool {
        self.relief.load(Ordering::Acquire)
    }

    /// Ends the request: the maintenance thread has freed the log that it could free.
    pub fn end_relief(&self) {
        self.relief.store(false, Ordering::Release);
    }
}

/// The log files that were prepared: their number, the regular size of the last one, and its time.
#[derive(Default)]
pub(crate) struct LogFiles {
    pub prepared: u64,
    pub size: u64,
    pub at: Duration,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(clippy::disallowed_methods, reason = "jobs wait in real time")]
    fn waits_go_with_their_shards_and_with_no_other() {
        let space = DiskSpace::default();
        let job = |low: &[u8]| (JobKind::Merge(low.into()), JobKind::Split(low.into()));
        for low in [&b""[..], b"users\0b", b"z"] {
            let wait = || Wait { failures: 1, until: Instant::now(), free: None, why: Error::invalid("why") };
            let (merge, split) = job(low);
            let waits = [(merge, wait()), (split, wait()), (JobKind::Flush, wait())];
            space.waits.lock().extend(waits);
        }
        space.keep_shards(|low| low != b"z");
        let waiting = ["flush", "merge of the first shard", "merge of the shard from \"users/b\""];
        let splits = ["split of the first shard", "split of the shard from \"users/b\""];
        let expected: Vec<String> = waiting.into_iter().chain(splits).map(|job| format!("{job}: why")).collect();
        assert_eq!(space.waiting(), expected);
    }
}
