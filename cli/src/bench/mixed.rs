//! Searches while the same namespace takes writes: what a writer beside them costs, and how long they ever stall.
//!
//! Invariants:
//! * The store runs with the thresholds of production: memtables are flushed, segments merged and graphs built
//!   meanwhile.
//! * The writer keeps to its timetable: what it falls behind it makes up for, and the report says what it reached.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use serde::Serialize;
use vecmem::{Durability, Options, Put, Query, Store};

use super::matrix::Vectors;
use super::store::{Layout, ask, key, value, wait_for_graphs};
use super::timing::{Speed, run, speed};

/// Items that the writer puts, one by one.
const PUTS_PER_SECOND: f64 = 1_000.0;

/// The result of the mixed run.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct MixedReport {
    pub seconds: f64,
    /// Searches of one thread alone.
    pub idle: Speed,
    /// The same beside the writer; its `max_us` is the longest stall.
    pub beside_writes: Speed,
    /// p99 beside the writer divided by the idle p50.
    pub ratio: f64,
    pub puts_per_second: f64,
    pub longest_put_us: f64,
}

/// Opens the store of `layout`, which is written to, and measures for `seconds` without a writer and as long with one.
pub fn measure(
    layout: &Layout,
    vectors: &Vectors,
    questions: &[Query],
    graph_searches: usize,
    seconds: f64,
) -> Result<MixedReport> {
    let options = Options::with_vectors(layout.dims, layout.metric.into()).durability(Durability::Periodic);
    let store = Store::open(&layout.directory, options.code_residency(layout.codes.into()))?;
    wait_for_graphs(&store, &questions[0], graph_searches)?;
    let searches = || -> Result<Speed> {
        let mut times = Vec::new();
        let run =
            run(seconds, 0, questions.len(), |at| ask(&store, &questions[at]).map(drop), |time| times.push(time))?;
        Ok(speed(run, &mut times))
    };
    searches()?;
    let idle = searches()?;
    let done = AtomicBool::new(false);
    let (beside_writes, written) = thread::scope(|scope| {
        let writer = scope.spawn(|| write(&store, layout, vectors, &done));
        let beside_writes = searches();
        done.store(true, Ordering::Relaxed);
        (beside_writes, writer.join().unwrap_or_else(|_| Err(anyhow!("the writer panicked"))))
    });
    let (beside_writes, (puts_per_second, longest_put)) = (beside_writes?, written?);
    store.close()?;
    Ok(MixedReport {
        seconds,
        idle,
        beside_writes,
        ratio: beside_writes.p99_us / idle.p50_us,
        puts_per_second,
        longest_put_us: longest_put.as_secs_f64() * 1e6,
    })
}

/// Puts new items by the timetable until `done`; (puts per second, the longest put).
fn write(store: &Store, layout: &Layout, vectors: &Vectors, done: &AtomicBool) -> Result<(f64, Duration)> {
    let namespace = layout.namespace(0)?;
    let (start, mut longest, mut count) = (Instant::now(), Duration::ZERO, 0);
    while !done.load(Ordering::Relaxed) {
        let due = Duration::from_secs_f64(count as f64 / PUTS_PER_SECOND);
        thread::sleep(due.saturating_sub(start.elapsed()));
        let before = Instant::now();
        store.put(Put::new(&namespace, format!("new {}", key(count)), value(count)).vector(between(vectors, count)))?;
        longest = longest.max(before.elapsed());
        count += 1;
    }
    Ok((count as f64 / start.elapsed().as_secs_f64(), longest))
}

/// A vector that nobody has, of the kind that is there: between two that are.
fn between(vectors: &Vectors, number: usize) -> Vec<f32> {
    let row = |row: usize| vectors.row(row % vectors.rows());
    row(number).iter().zip(row(7 * number + 1)).map(|(a, b)| 0.7 * a + 0.3 * b).collect()
}
