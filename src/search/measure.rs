//! What the steps of a search cost on this machine: short measurements, each the best of a few tries.
//!
//! Invariants:
//! * A measurement takes at most about 50 ms of one core and 16 MiB of memory.
//! * A factor lies within [`LEAST`] and [`MOST`], so that one disturbed measurement makes no plan absurd.

use std::time::Duration;

use crate::distance::Kernels;
use crate::error::Result;
use crate::filter::Filter;
use crate::quant::PreparedQuery;
use crate::random::Random;
use crate::tuning::MachineCosts;
use crate::types::Metric;

const DIMS: usize = 384;
/// Enough codes and vectors that no core's own cache holds them.
const CODES: usize = 16_384;
const VECTORS: usize = 4_096;
const CODES_PER_CALL: usize = 1_024;
const TRIES: usize = 5;
/// Multiples of this number, modulo a power of two, visit every number once, far from the one before.
const STEP: usize = 7_919;
/// How many steps ahead a code is prefetched.
const AHEAD: usize = 8;
const EVALUATIONS: usize = 512;

/// Nanoseconds of each step where the planner's constants were fitted.
const REFERENCE: MachineCosts = MachineCosts { flat: 4.2, scattered: 10.3, full: 24.5, filter: 119.0 };
const LEAST: f64 = 0.25;
const MOST: f64 = 4.0;

/// Measures the costs. `now` is a monotonic clock.
pub(crate) fn measure(now: &dyn Fn() -> Duration) -> Result<MachineCosts> {
    let nanoseconds = measure_steps(now)?;
    let factor = |measured: f64, reference: f64| (measured / reference).clamp(LEAST, MOST);
    Ok(MachineCosts {
        flat: factor(nanoseconds.flat, REFERENCE.flat),
        scattered: factor(nanoseconds.scattered, REFERENCE.scattered),
        full: factor(nanoseconds.full, REFERENCE.full),
        filter: factor(nanoseconds.filter, REFERENCE.filter),
    })
}

/// Whether a measurement could have found these costs.
pub(crate) fn is_plausible(costs: &MachineCosts) -> bool {
    [costs.flat, costs.scattered, costs.full, costs.filter].iter().all(|factor| (LEAST..=MOST).contains(factor))
}

/// Nanoseconds of each step.
fn measure_steps(now: &dyn Fn() -> Duration) -> Result<MachineCosts> {
    let (kernels, mut random) = (Kernels::get(), Random::new(1));
    let codes: Vec<i8> = (0..CODES * DIMS / 8).flat_map(|_| random.draw().to_le_bytes()).map(u8::cast_signed).collect();
    let vectors: Vec<f32> = (0..VECTORS * DIMS).map(|_| random.draw() as u32 as f32).collect();
    let query = PreparedQuery::new(kernels, &vectors[..DIMS], Metric::Dot);
    let (code, mut raw) = (query.code(), vec![0; CODES_PER_CALL]);
    let code_at = |step: usize| &codes[step * STEP % CODES * DIMS..][..DIMS];
    let vector_at = |step: usize| &vectors[step * STEP % VECTORS * DIMS..][..DIMS];

    let flat = best(now, CODES, || {
        for block in codes.chunks(CODES_PER_CALL * DIMS) {
            kernels.dot_codes_many(code, block, DIMS, &mut raw);
        }
        Ok(i64::from(raw[0]))
    })?;
    let scattered = best(now, CODES, || {
        let mut sum = 0;
        for step in (0..CODES).step_by(4) {
            for ahead in step + AHEAD..step + AHEAD + 4 {
                code_at(ahead).iter().step_by(64).for_each(|line| Kernels::prefetch(line));
            }
            let products = kernels.dot_codes4(code, [0, 1, 2, 3].map(|lane| code_at(step + lane)));
            sum += i64::from(products[0]);
        }
        Ok(sum)
    })?;
    let full = best(now, VECTORS, || {
        let mut sum = 0.0;
        for step in (0..VECTORS).step_by(4) {
            sum += kernels.dot4(&vectors[..DIMS], [0, 1, 2, 3].map(|lane| vector_at(step + lane)))[0];
        }
        Ok(sum as i64)
    })?;
    Ok(MachineCosts { flat, scattered, full, filter: filter(now)? })
}

/// Nanoseconds of one evaluation.
fn filter(now: &dyn Fn() -> Duration) -> Result<f64> {
    const VALUE: &[u8] = br#"{"text": "a memory of about the usual length, which says who likes what, and since when",
        "kind": "taste", "tags": ["food", "drink"], "source": {"thread": "t-17", "turn": 12}, "weight": 0.5}"#;
    let filter = Filter::eq("source.turn", 12).and(Filter::eq("kind", "taste")).prepare()?;
    best(now, EVALUATIONS, || {
        let mut passed = 0;
        for _ in 0..EVALUATIONS {
            passed += i64::from(filter.matches(std::hint::black_box(VALUE)));
        }
        Ok(passed)
    })
}

/// Nanoseconds of one of the `steps` of `run`, in the best of a few tries.
fn best(now: &dyn Fn() -> Duration, steps: usize, mut run: impl FnMut() -> Result<i64>) -> Result<f64> {
    let mut best = Duration::MAX;
    for _ in 0..TRIES {
        let start = now();
        std::hint::black_box(run()?);
        best = best.min(now().saturating_sub(start));
    }
    Ok(best.as_nanos() as f64 / steps as f64)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn factors_are_within_their_bounds_whatever_the_clock_says() {
        for step in [Duration::ZERO, Duration::from_micros(100), Duration::from_secs(1)] {
            let clock = Cell::new(Duration::ZERO);
            let now = || {
                clock.set(clock.get() + step);
                clock.get()
            };
            let costs = measure(&now).unwrap();
            assert!(is_plausible(&costs), "{step:?}: {costs:?}");
        }
    }
}
