//! The latency of calls since the open, by kind, for `stats`.
//!
//! Invariants:
//! * Every call that succeeds is counted, and no other. A read of a snapshot counts like a read of the store.
//! * About one get in [`GETS_PER_TIMED_ONE`] is timed, since two readings of the clock cost a tenth of a get. Every
//!   call of another kind is timed.
//! * Counters are divided into `SHARDS` copies. The first `SHARDS` threads that make a call each have their own copy.

use std::cell::Cell;
use std::sync::OnceLock;
use std::time::Duration;

use serde::Serialize;

use crate::error::Result;
use crate::storage::Clock;
use crate::store::histogram::{Histogram, SpanCounts};
use crate::sync::counters::{AtomicU64, AtomicUsize, Ordering};

/// One get in this many is timed, on average.
const GETS_PER_TIMED_ONE: u64 = 8;
/// 2^64 divided by the golden ratio. Its multiples are spread evenly, and so is every second, third or n-th multiple:
/// a regular pattern in the calls does not change the share of calls that is timed.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
const SHARDS: usize = 8;
const KINDS: usize = 8;

/// The kinds of calls, each with a latency of its own.
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

/// The latency of calls of one kind since the open, in microseconds. Percentiles are off by at most 3.1 %.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct CallLatency {
    /// Calls that succeeded.
    pub count: u64,
    /// Of these, those that were timed: about one get in eight, and every call of the other kinds.
    pub timed: u64,
    /// The median of the timed calls.
    pub p50_us: f64,
    /// The 99th percentile of the timed calls.
    pub p99_us: f64,
    /// The longest call that was timed.
    pub max_us: f64,
}

/// The latency of calls since the open, by kind, reads of snapshots included.
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
    /// Searches by vector that searched no graph. Each query of `search_many` counts as one search.
    pub search_flat: CallLatency,
    /// Searches by vector that searched a graph. Their flat searches of other rows are part of the time.
    pub search_graph: CallLatency,
    /// Searches without a vector, and [`Store::list`](crate::Store::list). Pages of a listing are not counted.
    pub list: CallLatency,
}

/// One copy of the counters, for some of the threads. It has nothing to do with the shards of the store.
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
    /// The monotonic time when the call began; `None` if the call is not timed.
    started: Option<Duration>,
}

impl Latencies {
    /// Begins a call that is timed. The caller gives the kind of the call at its end.
    pub fn start<'a>(&'a self, clock: &'a dyn Clock) -> StartedCall<'a> {
        StartedCall { shard: self.shard(), clock, started: Some(clock.monotonic()) }
    }

    /// Begins a get, which may not be timed.
    pub fn start_get<'a>(&'a self, clock: &'a dyn Clock) -> StartedCall<'a> {
        let shard = self.shard();
        let calls = shard.calls[CallKind::Get as usize].load(Ordering::Relaxed);
        StartedCall { shard, clock, started: is_timed(calls).then(|| clock.monotonic()) }
    }

    /// Makes a call. Counts and times the call if it succeeds.
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
    /// Counts the call as succeeded. Returns the time that the call took, if it was timed.
    pub fn end(self, kind: CallKind) -> Option<Duration> {
        let took = self.started.map(|started| self.clock.monotonic().saturating_sub(started));
        if let Some(took) = took {
            self.shard.spans[kind as usize].add(took);
        }
        self.shard.calls[kind as usize].fetch_add(1, Ordering::Relaxed);
        took
    }
}

/// Whether the next get is timed, after `calls` gets on the same counter.
fn is_timed(calls: u64) -> bool {
    calls.wrapping_mul(GOLDEN) < u64::MAX / GETS_PER_TIMED_ONE
}

/// The number of the current thread. Threads are numbered in the order of their first calls.
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
