//! A histogram of durations, which any number of threads fill at once.
//!
//! The buckets are those of HdrHistogram (Gil Tene, <https://hdrhistogram.github.io/HdrHistogram/>): each power of two
//! is divided into [`PARTS`] equal buckets. A bucket is at most a 16th of its values wide, and the histogram reports
//! the middle of a bucket, so a percentile is off by at most 3.1 %.
//!
//! Invariants:
//! * Counting a span takes one addition to an atomic, at times an update of the maximum, and no lock.
//! * The largest span is exact, and no percentile is above it.

use std::time::Duration;

use crate::sync::counters::{AtomicU64, Ordering};

/// The logarithm of [`PARTS`].
const PARTS_BITS: u32 = 4;
/// Buckets in a power of two of nanoseconds.
const PARTS: u64 = 1 << PARTS_BITS;
/// Powers of two that have buckets of their own; a longer span, of 73 minutes or more, counts in the last bucket.
const POWERS: u32 = 42;
const BUCKETS: usize = bucket((1 << POWERS) - 1) + 1;

/// The bucket of a span of `nanos` nanoseconds.
const fn bucket(nanos: u64) -> usize {
    if nanos < PARTS {
        return nanos as usize;
    }
    let shift = nanos.ilog2() - PARTS_BITS;
    (shift as u64 * PARTS + (nanos >> shift)) as usize
}

/// The span in the middle of a bucket.
fn middle(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < 2 * PARTS {
        return bucket;
    }
    let shift = bucket / PARTS - 1;
    let least = (PARTS + bucket % PARTS) << shift;
    least + (1 << shift) / 2
}

/// Counts of spans of time, by length.
pub(super) struct Histogram {
    buckets: [AtomicU64; BUCKETS],
    max: AtomicU64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { buckets: std::array::from_fn(|_| AtomicU64::new(0)), max: AtomicU64::new(0) }
    }
}

impl Histogram {
    /// Counts a span.
    pub fn add(&self, span: Duration) {
        let nanos = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
        self.buckets[bucket(nanos).min(BUCKETS - 1)].fetch_add(1, Ordering::Relaxed);
        if nanos > self.max.load(Ordering::Relaxed) {
            self.max.fetch_max(nanos, Ordering::Relaxed);
        }
    }
}

/// The sums of the counts of several histograms.
pub(super) struct SpanCounts {
    buckets: [u64; BUCKETS],
    max: u64,
}

impl Default for SpanCounts {
    fn default() -> Self {
        Self { buckets: [0; BUCKETS], max: 0 }
    }
}

impl SpanCounts {
    /// Adds the counts of a histogram so far.
    pub fn add(&mut self, histogram: &Histogram) {
        for (sum, count) in self.buckets.iter_mut().zip(&histogram.buckets) {
            *sum += count.load(Ordering::Relaxed);
        }
        self.max = self.max.max(histogram.max.load(Ordering::Relaxed));
    }

    /// Spans that were counted.
    pub fn total(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// The longest span; zero if there is none.
    pub fn max(&self) -> Duration {
        Duration::from_nanos(self.max)
    }

    /// The span that `percent` of all spans do not exceed; zero if there is none.
    pub fn percentile(&self, percent: u64) -> Duration {
        let wanted = (self.total() * percent).div_ceil(100).max(1);
        let mut passed = 0;
        for (bucket, count) in self.buckets.iter().enumerate() {
            passed += count;
            if passed >= wanted {
                // The last bucket has no upper end, so the longest span is reported for it.
                let span = if bucket == BUCKETS - 1 { self.max } else { middle(bucket) };
                return Duration::from_nanos(span.min(self.max));
            }
        }
        Duration::ZERO
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_of_a_bucket_is_near_all_its_spans() {
        let mut last = 0;
        for nanos in (0..5_000).chain((0..POWERS).flat_map(|power| [(1 << power) - 1, 1 << power, (3 << power) / 2])) {
            let error = middle(bucket(nanos)).abs_diff(nanos) as f64 / nanos.max(1) as f64;
            assert!(error <= 1.0 / 32.0, "{nanos}: {error}");
        }
        for nanos in 0..100_000 {
            assert!((last..=last + 1).contains(&bucket(nanos)), "buckets follow each other: {nanos}");
            last = bucket(nanos);
        }
    }

    #[test]
    fn percentiles_are_those_of_all_spans() {
        let (one, other) = (Histogram::default(), Histogram::default());
        for micros in 1..=1_000 {
            let histogram = if micros % 3 == 0 { &one } else { &other };
            histogram.add(Duration::from_micros(micros));
        }
        let mut counts = SpanCounts::default();
        assert_eq!((counts.total(), counts.percentile(50), counts.max()), (0, Duration::ZERO, Duration::ZERO));
        counts.add(&one);
        counts.add(&other);
        assert_eq!((counts.total(), counts.max()), (1_000, Duration::from_millis(1)));
        for percent in [1, 50, 99] {
            let (found, wanted) = (counts.percentile(percent).as_secs_f64(), percent as f64 / 1e5);
            assert!((found / wanted - 1.0).abs() <= 0.032, "{percent}: {found}");
        }
        one.add(Duration::from_secs(100_000));
        let mut counts = SpanCounts::default();
        counts.add(&one);
        assert_eq!((counts.max(), counts.percentile(100)), (counts.max(), Duration::from_secs(100_000)));
    }
}
