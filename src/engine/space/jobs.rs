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
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum JobKind {
    Flush,
    /// Of the shard with this number.
    Merge(usize),
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
    pub fn blocked(&self, job: JobKind) -> Option<Error> {
        let waits = self.waits.lock();
        let why = waits.get(&job).map(|wait| &wait.why);
        why.filter(|why| matches!(why.kind(), ErrorKind::DiskFull | ErrorKind::SystemLimit)).map(Error::duplicate)
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
