//! Controls disk space: admits or refuses requests for space, keeps the reserve for deletes, and delays failed jobs.
//!
//! Purposes have a priority, highest first: the log of writes that free space, manifests and tombstones, the log of
//! expiries, flushes, merges and derived files, the log of other writes and imports, the reserve. A request must leave
//! room for the purposes before its own.
//!
//! Invariants:
//! * [`admit`](decide::admit) and [`reserve_size`](decide::reserve_size) are pure. A job asks for space before it
//!   creates a file, so it need not fill the disk to learn that the disk is full.
//! * A put that needs a new log file is refused, and writes nothing, if a flush of all memtables would not fit then.
//! * Only a log file for deletes, a commit of a manifest, and a merge that frees at least as much as it takes may take
//!   the reserve. Sweeps of expired items may not: the reserve is for deletes that a caller asks for.
//! * A background job that failed is tried again after a delay that doubles. If it lacked space, it is also tried again
//!   when free space has grown noticeably. With `inline_background` there is no delay: simulations are deterministic.
//!
//! Reading order: `decide` (pure), `jobs` (background jobs that wait), `grants`, `requests` (requests for space),
//! `output_files` (the new files of a job), `log_files`, `reserve`.

pub(crate) mod decide;
pub(crate) mod grants;
pub(crate) mod jobs;
pub(crate) mod log_files;
pub(crate) mod output_files;
pub(crate) mod requests;
pub(crate) mod reserve;

pub(crate) use decide::{MergeBytes, Purpose, written_bytes};
pub(crate) use jobs::{DiskSpace, JobKind};
