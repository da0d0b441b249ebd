//! What the memory of this machine allows: how fast it is read in a row, how long a read at a random place takes, and
//! what a search needs of both.
//!
//! Invariant: the memory that is read is larger than the caches of common processors, and it is written first, so that
//! every page exists.

use std::fmt::Write as _;
use std::hint::black_box;
use std::time::Instant;

use serde::Serialize;

use super::numbers::Numbers;
use super::report::Row;

/// Numbers of the memory that is read: 256 MiB, and less where a debug build's figures mean nothing.
const NUMBERS: usize = if cfg!(debug_assertions) { 1 << 18 } else { 32 << 20 };
/// Reads at random places, each of which waits for the one before.
const READS: usize = 1 << 20;
/// Runs of which the best is kept.
const RUNS: usize = 3;
/// Bytes to which codes are padded, and of what lies beside a code.
const LINE: usize = 64;
const META: usize = 16;

/// The machine's memory, seen by one thread.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct MemorySpeed {
    pub bytes_per_second: f64,
    pub latency_ns: f64,
}

/// What a search needs of the memory.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Limits {
    #[serde(flatten)]
    pub memory: MemorySpeed,
    /// Of the row that is looked at.
    pub recall: f64,
    /// Bytes of the codes that one search compares, and how long they take if they are read in a row, and if every code
    /// waits for the one before.
    pub bytes_per_query: f64,
    pub bandwidth_us: f64,
    pub latency_us: f64,
    /// What a search takes.
    pub p50_us: f64,
}

/// The place that is read after this one: it waits for the number that is read here. With the step in it, no run of
/// places comes again.
fn next_place(numbers: &[u64], place: usize, step: usize) -> usize {
    numbers[place].wrapping_add(step as u64) as usize % numbers.len()
}

/// Measures the memory; about a second.
pub fn measure() -> MemorySpeed {
    // A number in each place, so that a read is of memory and not of the one page of zeros.
    let mut random = Numbers::new(1);
    let numbers: Vec<u64> = (0..NUMBERS).map(|_| random.next()).collect();
    let in_a_row = || {
        let started = Instant::now();
        black_box(numbers.iter().fold(0_u64, |sum, number| sum.wrapping_add(*number)));
        started.elapsed().as_secs_f64()
    };
    let at_random = || {
        let started = Instant::now();
        let mut place = 0;
        for step in 0..READS {
            place = next_place(&numbers, place, step);
        }
        black_box(place);
        started.elapsed().as_secs_f64()
    };
    let best = |run: &dyn Fn() -> f64| (0..RUNS).map(|_| run()).fold(f64::INFINITY, f64::min);
    MemorySpeed {
        bytes_per_second: (NUMBERS * size_of::<u64>()) as f64 / best(&in_a_row),
        latency_ns: best(&at_random) / READS as f64 * 1e9,
    }
}

impl Limits {
    /// What a search of this row, over vectors of `dims`, needs of this memory.
    pub fn of(memory: MemorySpeed, row: &Row, dims: usize) -> Self {
        let bytes = row.quality.distances * (dims.next_multiple_of(LINE) + META) as f64;
        Self {
            memory,
            recall: row.quality.recall,
            bytes_per_query: bytes,
            bandwidth_us: bytes / memory.bytes_per_second * 1e6,
            latency_us: row.quality.distances * memory.latency_ns / 1e3,
            p50_us: row.speed.p50_us,
        }
    }

    /// In words.
    pub fn for_people(&self) -> String {
        let mut text = String::new();
        let _ = writeln!(
            text,
            "\nmemory: {:.1} GB/s in a row, {:.0} ns at random",
            self.memory.bytes_per_second / 1e9,
            self.memory.latency_ns
        );
        let _ = writeln!(
            text,
            "a search at recall {:.3} compares {:.0} KB of codes: {:.1} us in a row, {:.1} us one after the other; it takes \
             {:.1} us (p50)",
            self.recall,
            self.bytes_per_query / 1e3,
            self.bandwidth_us,
            self.latency_us,
            self.p50_us
        );
        text
    }
}

#[cfg(test)]
mod tests {
    use super::super::store::{Accuracy, Quality};
    use super::super::timing::Speed;
    use super::*;

    #[test]
    fn reads_at_random_visit_most_of_the_memory() {
        let mut random = Numbers::new(1);
        let numbers: Vec<u64> = (0..1 << 12).map(|_| random.next()).collect();
        let (mut place, mut seen) = (0, std::collections::HashSet::new());
        for step in 0..numbers.len() {
            place = next_place(&numbers, place, step);
            seen.insert(place);
        }
        // Of so many places drawn at random, 1 - 1/e are seen.
        assert!(seen.len() > numbers.len() / 2, "{} of {}", seen.len(), numbers.len());
    }

    #[test]
    fn needs_follow_from_distances_and_dimensions() {
        let memory = MemorySpeed { bytes_per_second: 4e9, latency_ns: 100.0 };
        let row = Row {
            ef: Accuracy::Ef(10),
            quality: Quality { recall: 0.95, distances: 200.0 },
            speed: Speed { p50_us: 14.0, ..Speed::default() },
            qps_all_threads: 0.0,
        };
        let limits = Limits::of(memory, &row, 384);
        assert_eq!((limits.bytes_per_query, limits.latency_us), (80_000.0, 20.0));
        assert!((limits.bandwidth_us - 20.0).abs() < 1e-9);
        assert!(limits.for_people().contains("80 KB of codes"), "{}", limits.for_people());
    }
}
