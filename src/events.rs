//! Events for operators, sent to the crate `tracing`: finished jobs with their durations, and failures.
//!
//! Each function is one event. Its target is `vecmem`; its message is fixed, so that a subscriber can select by it.
//!
//! Invariants:
//! * Without the feature `tracing` an event compiles to nothing.
//! * An event holds numbers, paths and messages of errors. It holds no value and no vector.

use std::path::Path;
use std::time::Duration;

use crate::error::{Error, ErrorKind};

/// One event: its level, its message, its fields.
#[cfg(feature = "tracing")]
macro_rules! event {
    ($level:ident, $message:literal, $($field:ident = $value:expr),+) => {
        tracing::$level!(target: "vecmem", $($field = $value,)+ $message)
    };
}

/// Without the feature the values are only named, so that none is unused. They are not computed.
#[cfg(not(feature = "tracing"))]
macro_rules! event {
    ($level:ident, $message:literal, $($field:ident = $value:expr),+) => {
        if false {
            $(let _ = $value;)+
        }
    };
}

/// Whether events are sent at all. If not, callers skip work for events only, such as a reading of the clock.
pub(crate) const ENABLED: bool = cfg!(feature = "tracing");

/// A store was opened. Temporary and simulated stores count too.
pub(crate) fn opened(path: Option<&Path>, created: bool, segments: usize, took: Duration) {
    let seconds = took.as_secs_f64();
    event!(
        info,
        "store opened",
        path = shown(path).as_str(),
        created = created,
        segments = segments,
        seconds = seconds
    );
}

/// An open failed.
pub(crate) fn open_failed(path: &Path, error: &Error) {
    event!(error, "open failed", path = shown(Some(path)).as_str(), kind = kind(error).as_str(), error = words(error));
}

/// The state of an existing store was recovered from manifest, segments and log. `lsn` is its newest LSN.
pub(crate) fn recovered(path: Option<&Path>, log_files: usize, lsn: u64, took: Duration) {
    let seconds = took.as_secs_f64();
    event!(info, "store recovered", path = shown(path).as_str(), log_files = log_files, lsn = lsn, seconds = seconds);
}

/// A memtable became a segment.
pub(crate) fn flushed(shard: usize, rows: u64, bytes: u64, took: Duration) {
    event!(debug, "memtable flushed", shard = shard, rows = rows, bytes = bytes, seconds = took.as_secs_f64());
}

/// Segments became one segment, or none if all their rows were deleted.
pub(crate) fn merged(shard: usize, inputs: usize, rows: u64, took: Duration) {
    event!(debug, "segments merged", shard = shard, inputs = inputs, rows = rows, seconds = took.as_secs_f64());
}

/// A graph was built.
pub(crate) fn graph_built(nodes: usize, bytes: u64, took: Duration) {
    event!(debug, "graph built", nodes = nodes, bytes = bytes, seconds = took.as_secs_f64());
}

/// Writers begin to wait for flushes, or no longer wait.
pub(crate) fn stall_changed(before: bool, now: bool) {
    match (before, now) {
        (false, true) => event!(warn, "writers stalled", stalled = true),
        (true, false) => event!(info, "writers go on", stalled = false),
        _ => {}
    }
}

/// The search, or the several searches, of one call took at least as long as the option `slow_search` says.
pub(crate) fn slow_search(queries: usize, hits: usize, took: Duration) {
    event!(warn, "slow search", queries = queries, hits = hits, seconds = took.as_secs_f64());
}

/// A background job failed. It is tried again.
pub(crate) fn job_failed(error: &Error) {
    event!(warn, "background job failed", kind = kind(error).as_str(), error = words(error));
}

/// The store accepts no more writes.
pub(crate) fn poisoned(cause: &Error) {
    event!(error, "store poisoned", kind = kind(cause).as_str(), error = words(cause));
}

fn shown(path: Option<&Path>) -> String {
    path.map(|path| path.display().to_string()).unwrap_or_default()
}

fn kind(error: &Error) -> String {
    match error.kind() {
        ErrorKind::Limit(limit) => format!("{limit:?}"),
        kind => format!("{kind:?}"),
    }
}

/// The error as a field, which is formatted only if a subscriber takes the event.
#[cfg(feature = "tracing")]
fn words(error: &Error) -> tracing::field::DisplayValue<&Error> {
    tracing::field::display(error)
}

#[cfg(not(feature = "tracing"))]
fn words(error: &Error) -> &Error {
    error
}
