//! The rules every speed is measured by, ours or not: warm up first, run three times for a fixed time, keep the best.
//!
//! Invariants:
//! * A run goes round the queries from where the last one ended, so that all of them are asked equally often.
//! * Latencies are those of the run that is kept; nothing but the question lies between two readings of the clock.

use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use serde::{Deserialize, Serialize};

/// Runs of which the best is kept.
const RUNS: usize = 3;

/// How fast one thread gets answers.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Speed {
    pub qps: f64,
    pub p50_us: f64,
    pub p99_us: f64,
    pub max_us: f64,
}

/// What one run did.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Run {
    pub queries: u64,
    pub seconds: f64,
}

impl Run {
    /// Queries per second.
    pub fn qps(self) -> f64 {
        self.queries as f64 / self.seconds.max(1e-9)
    }
}

/// Asks `ask(0..queries)` round and round from `first`, for `seconds` and at least once; `took` hears how long each
/// took.
pub fn run(
    seconds: f64,
    first: usize,
    queries: usize,
    mut ask: impl FnMut(usize) -> Result<()>,
    mut took: impl FnMut(Duration),
) -> Result<Run> {
    let (limit, start) = (Duration::from_secs_f64(seconds), Instant::now());
    let (mut done, mut last) = (0, Duration::ZERO);
    while done == 0 || last < limit {
        ask((first + done as usize) % queries)?;
        let now = start.elapsed();
        took(now - last);
        (done, last) = (done + 1, now);
    }
    Ok(Run { queries: done, seconds: last.as_secs_f64() })
}

/// The speed of this thread.
pub fn one_thread(seconds: f64, queries: usize, mut ask: impl FnMut(usize) -> Result<()>) -> Result<Speed> {
    let mut first = run(seconds, 0, queries, &mut ask, |_| {})?.queries as usize;
    let (mut best, mut times) = (Speed::default(), Vec::new());
    for _ in 0..RUNS {
        times.clear();
        let run = run(seconds, first, queries, &mut ask, |time| times.push(time))?;
        first += run.queries as usize;
        if run.qps() > best.qps {
            best = speed(run, &mut times);
        }
    }
    Ok(best)
}

/// A run's speed; sorts the times.
pub fn speed(run: Run, times: &mut [Duration]) -> Speed {
    times.sort_unstable();
    let at = |percent| percentile(times, percent).as_secs_f64() * 1e6;
    Speed { qps: run.qps(), p50_us: at(50.0), p99_us: at(99.0), max_us: at(100.0) }
}

/// Of sorted times.
pub fn percentile(times: &[Duration], percent: f64) -> Duration {
    let index = (percent / 100.0 * times.len().saturating_sub(1) as f64).round() as usize;
    times.get(index).copied().unwrap_or_default()
}

/// Queries per second of `threads` threads together.
pub fn all_threads(
    seconds: f64,
    threads: usize,
    queries: usize,
    ask: impl Fn(usize) -> Result<()> + Sync,
) -> Result<f64> {
    let mut best = 0.0f64;
    // The first is the warm-up.
    for number in 0..=RUNS {
        let qps = all_threads_once(seconds, threads, queries, &ask)?;
        best = if number == 0 { 0.0 } else { best.max(qps) };
    }
    Ok(best)
}

/// The same in a single run, for who alternates with something else.
pub fn all_threads_once(
    seconds: f64,
    threads: usize,
    queries: usize,
    ask: impl Fn(usize) -> Result<()> + Sync,
) -> Result<f64> {
    together(threads, |thread| run(seconds, thread * queries / threads, queries, &ask, |_| {}))
}

/// The sum of what `threads` threads reach that start at the same moment.
fn together(threads: usize, run: impl Fn(usize) -> Result<Run> + Sync) -> Result<f64> {
    let barrier = Barrier::new(threads);
    thread::scope(|scope| {
        let start = |number| {
            let (barrier, run) = (&barrier, &run);
            scope.spawn(move || {
                barrier.wait();
                run(number).map(Run::qps)
            })
        };
        let running: Vec<_> = (0..threads).map(start).collect();
        let ended =
            running.into_iter().map(|thread| thread.join().unwrap_or_else(|_| Err(anyhow!("a thread panicked"))));
        ended.sum()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_asked_in_turn() {
        let mut asked = Vec::new();
        let mut heard = 0;
        let ask = |query| {
            asked.push(query);
            if asked.len() == 5 { Err(anyhow!("enough")) } else { Ok(()) }
        };
        let error = run(3600.0, 2, 3, ask, |_| heard += 1).unwrap_err();
        assert_eq!((asked, heard, error.to_string().as_str()), (vec![2, 0, 1, 2, 0], 4, "enough"));
        assert_eq!(run(0.0, 0, 1, |_| Ok(()), |_| {}).unwrap().queries, 1);
        assert!(all_threads(0.0, 3, 2, |_| Ok(())).unwrap() > 0.0);
        assert!(all_threads(0.0, 2, 2, |query| if query == 1 { Err(anyhow!("bad")) } else { Ok(()) }).is_err());
    }

    #[test]
    fn percentiles_are_of_the_sorted_times() {
        let mut times: Vec<Duration> = (1..=101).rev().map(Duration::from_micros).collect();
        let speed = speed(Run { queries: 101, seconds: 0.5 }, &mut times);
        assert_eq!(
            (speed.qps, speed.p50_us.round(), speed.p99_us.round(), speed.max_us.round()),
            (202.0, 51.0, 100.0, 101.0)
        );
        assert_eq!(percentile(&[], 50.0), Duration::ZERO);
    }
}
