//! How long calls took since the open, by kind: what `stats` tells of latency.
//!
//! Invariants:
//! * A call counts once it has succeeded. A read of a snapshot counts like a read of the store.
//! * Every call counts. Of gets one in [`GETS_PER_TIMED_ONE`] is timed: to read the clock twice costs a tenth of a get.
//!   Calls of all other kinds are all timed.
//! * Threads write to different shards, as long as there are not more threads than shards.

use std::cell::Cell;
use std::sync::OnceLock;
use std::time::Duration;

use serde::Serialize;

use crate::error::Result;
use crate::storage::Clock;
use crate::store::histogram::{Histogram, SpanCounts};
use crate::sync::{AtomicU64, AtomicUsize, Ordering};

/// Gets of a thread for each one that is timed, on average.
const GETS_PER_TIMED_ONE: u64 = 8;
/// 2^64 divided by the golden ratio. Its multiples are spread evenly, and so are those of every second, third or n-th
/// number: a pattern in the calls does not meet a pattern in what is timed.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
const SHARDS: usize = 8;
const KINDS: usize = 8;

/// The kinds of calls that are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CallKind {
    Put,
    Delete,
    Batch,
    Get,
    GetMany,
    SearchFlat,
    SearchGraph,
    List,
}

/// How long calls of one kind took since the open, in microseconds. Percentiles are off by at most 3.1 %.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct CallLatency {
    /// Calls that succeeded.
    pub count: u64,
    /// Of these, those that were timed: about one get in eight, and every call of the other kinds.
    pub timed: u64,
    /// Half of the calls took no longer.
    pub p50_us: f64,
    /// Of a hundred calls, 99 took no longer.
    pub p99_us: f64,
    /// The longest call that was timed.
    pub max_us: f64,
}

/// How long calls took since the open, by kind. Reads of snapshots are among them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct LatencyStats {
    /// [`Store::put`](crate::Store::put).
    pub put: CallLatency,
    /// [`Store::delete`](crate::Store::delete) and `delete_if`.
    pub delete: CallLatency,
    /// [`Store::batch`](crate::Store::batch).
    pub batch: CallLatency,
    /// [`Store::get`](crate::Store::get) and `get_with`.
    pub get: CallLatency,
    /// [`Store::get_many`](crate::Store::get_many), the whole call.
    pub get_many: CallLatency,
    /// Searches by vector that searched no graph; of `search_many` each query is one.
    pub search_flat: CallLatency,
    /// Searches by vector that searched a graph, flat searches of other rows included.
    pub search_graph: CallLatency,
    /// Searches without a vector, and [`Store::list`](crate::Store::list): newest first, by scope and filter alone.
    pub list: CallLatency,
}

/// What the threads of one shard have counted.
#[derive(Default)]
struct LatencyShard {
    calls: [AtomicU64; KINDS],
    spans: [Histogram; KINDS],
}

/// The latencies of one open store.
#[derive(Default)]
pub(super) struct Latencies {
    shards: [OnceLock<Box<LatencyShard>>; SHARDS],
}

/// A call under way.
pub(super) struct StartedCall<'a> {
    shard: &'a LatencyShard,
    clock: &'a dyn Clock,
    /// When it began, if it is timed.
    started: Option<Duration>,
}

impl Latencies {
    /// Begins a call, of a kind that is not known before its end.
    pub fn start<'a>(&'a self, clock: &'a dyn Clock) -> StartedCall<'a> {
        StartedCall { shard: self.shard(), clock, started: Some(clock.monotonic()) }
    }

    /// Begins a get.
    pub fn start_get<'a>(&'a self, clock: &'a dyn Clock) -> StartedCall<'a> {
        let shard = self.shard();
        let calls = shard.calls[CallKind::Get as usize].load(Ordering::Relaxed);
        StartedCall { shard, clock, started: is_timed(calls).then(|| clock.monotonic()) }
    }

    /// Makes a call; counts it if it succeeds.
    pub fn timed<T>(&self, clock: &dyn Clock, kind: CallKind, call: impl FnOnce() -> Result<T>) -> Result<T> {
        let started = self.start(clock);
        let done = call()?;
        started.end(kind);
        Ok(done)
    }

    /// The counts so far.
    pub fn stats(&self) -> LatencyStats {
        let of = |kind| self.of_kind(kind);
        LatencyStats {
            put: of(CallKind::Put),
            delete: of(CallKind::Delete),
            batch: of(CallKind::Batch),
            get: of(CallKind::Get),
            get_many: of(CallKind::GetMany),
            search_flat: of(CallKind::SearchFlat),
            search_graph: of(CallKind::SearchGraph),
            list: of(CallKind::List),
        }
    }

    fn of_kind(&self, kind: CallKind) -> CallLatency {
        let (mut count, mut spans) = (0, SpanCounts::default());
        for shard in self.shards.iter().filter_map(OnceLock::get) {
            spans.add(&shard.spans[kind as usize]);
            count += shard.calls[kind as usize].load(Ordering::Relaxed);
        }
        let micros = |span: Duration| span.as_nanos() as f64 / 1e3;
        let (p50, p99, max) = (spans.percentile(50), spans.percentile(99), spans.max());
        CallLatency { count, timed: spans.total(), p50_us: micros(p50), p99_us: micros(p99), max_us: micros(max) }
    }

    fn shard(&self) -> &LatencyShard {
        self.shards[thread_number() % SHARDS].get_or_init(Box::default)
    }
}

impl StartedCall<'_> {
    /// The call has succeeded. Returns how long it took, if it was timed.
    pub fn end(self, kind: CallKind) -> Option<Duration> {
        let took = self.started.map(|started| self.clock.monotonic().saturating_sub(started));
        if let Some(took) = took {
            self.shard.spans[kind as usize].add(took);
        }
        self.shard.calls[kind as usize].fetch_add(1, Ordering::Relaxed);
        took
    }
}

/// Whether a get is timed before which its shard has counted `calls`.
fn is_timed(calls: u64) -> bool {
    calls.wrapping_mul(GOLDEN) < u64::MAX / GETS_PER_TIMED_ONE
}

/// A number for each thread, in the order of their first calls.
fn thread_number() -> usize {
    static THREADS: AtomicUsize = AtomicUsize::new(0);
    thread_local!(static NUMBER: Cell<Option<usize>> = const { Cell::new(None) });
    NUMBER.with(|number| {
        number.get().unwrap_or_else(|| {
            let next = THREADS.fetch_add(1, Ordering::Relaxed);
            number.set(Some(next));
            next
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_get_in_eight_is_timed_whatever_pattern_the_gets_have() {
        assert!(is_timed(0), "the first get is timed");
        for step in 1..=40 {
            let timed = (0..8_000).filter(|number| is_timed(number * step)).count();
            assert!((900..=1_100).contains(&timed), "every {step}th get: {timed} of 8000 are timed");
        }
    }

    #[test]
    fn threads_that_count_at_once_lose_nothing() {
        let (latencies, clock) = (Latencies::default(), crate::storage::disk::SystemClock);
        std::thread::scope(|scope| {
            for _ in 0..12 {
                scope.spawn(|| (0..1_000).for_each(|_| assert!(latencies.start(&clock).end(CallKind::Put).is_some())));
            }
        });
        let put = latencies.stats().put;
        assert_eq!((put.count, put.timed), (12_000, 12_000));
    }
}
