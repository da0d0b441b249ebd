//! What the recovery and model tests share: seeded randomness, a model of the store, operations on both, and a full
//! comparison.
//!
//! Invariants:
//! * Everything follows from a seed, which every failure prints.
//! * The model shares no code with the engine but the distance kernels: it is a map, and scans everything.

#![allow(dead_code, reason = "each test binary uses its own part")]

pub mod beside;
pub mod compare;
pub mod history;
pub mod model;
pub mod operations;

use std::time::Duration;

use vecmem::{Metric, Options, Tuning};

/// Dimensions of the stores under test.
pub const DIMS: usize = 8;

/// Where the simulated clock starts, in microseconds since 1970 UTC.
pub const START: i64 = 1_700_000_000_000_000;

/// Background work on the writing thread, thresholds that a few dozen items reach, and sweeps of one batch each, so
/// that every operation is one frame.
pub fn tuning() -> Tuning {
    Tuning { graph_rows: 6, sweep_batch: 10_000, busy_timeout: Duration::ZERO, ..Tuning::tiny() }
}

pub fn options() -> Options {
    Options::with_vectors(DIMS, Metric::Cosine).tuning(tuning())
}
