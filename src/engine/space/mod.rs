//! The one owner of disk space: who may write how much, the reserve for deletes, and how long a refused job waits.
//!
//! Purposes have a priority, highest first: the log of writes that free space, manifests and tombstones, the log of
//! what expires, the flush of what is in memory, merges and derived files, the log of other writes, the reserve. Each
//! leaves room for what comes before it.
//!
//! Invariants:
//! * [`admit`](decide::admit) and [`reserve_size`](decide::reserve_size) are pure. Free bytes are asked for before a
//!   file is created, so no job writes the disk full to learn that it is full.
//! * A write that needs new log is refused while what is in memory could not be flushed any more, and nothing of it is
//!   written.
//! * Only a log file for deletes, a commit of a manifest, and a merge that frees at least what it takes may take the
//!   reserve. What expires by itself leaves it to deletes that somebody asks for.
//! * A background job that failed is tried again when free space has grown noticeably or after a delay that doubles.
//!   With `inline_background` there is no delay, so that simulations are deterministic.
//!
//! Reading order: `decide` (pure), `jobs` (which background jobs wait), `grants`, `requests` (how a job asks),
//! `output_files` (what it makes), `log_files`, `reserve`.

pub(crate) mod decide;
pub(crate) mod grants;
pub(crate) mod jobs;
pub(crate) mod log_files;
pub(crate) mod output_files;
pub(crate) mod requests;
pub(crate) mod reserve;

pub(crate) use decide::{Purpose, written_bytes};
pub(crate) use jobs::{DiskSpace, JobKind};
