//! What lies between measured values of ef: the speed at a recall, and the distances it takes.
//!
//! Invariants:
//! * Nothing is extrapolated: past the highest recall there is no answer, below the lowest the cheapest ef's.

/// Values of ef at which every engine is measured, in order; the first is raised to k.
pub const EF_VALUES: [usize; 14] = [10, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024];
/// A recall that rises by less from one ef to the next has stopped rising.
const RISING: f64 = 0.0005;
/// Recall after which a curve is not followed further.
const FAR_ENOUGH: f64 = 0.995;

/// The values of ef for answers of `k` items.
pub fn ef_values(k: usize) -> Vec<usize> {
    let mut ef_values = vec![k];
    ef_values.extend(EF_VALUES.iter().filter(|ef| **ef > k));
    ef_values
}

/// Whether a curve with these recalls so far needs no further point.
pub fn is_done(recalls: &[f64]) -> bool {
    match recalls {
        [.., last] if *last >= FAR_ENOUGH => true,
        [.., before, last] => last - before < RISING && *last > 0.9,
        _ => false,
    }
}

/// The speed at `recall`: its logarithm is linear in the recall between neighbouring points (recall, speed).
pub fn speed_at(points: &[(f64, f64)], recall: f64) -> Option<f64> {
    let logarithms: Vec<(f64, f64)> = points.iter().map(|&(recall, speed)| (recall, speed.ln())).collect();
    value_at(&logarithms, recall).map(f64::exp)
}

/// The value at `recall`, linear between neighbouring points (recall, value) in order of ef.
pub fn value_at(points: &[(f64, f64)], recall: f64) -> Option<f64> {
    let after = points.iter().position(|point| point.0 >= recall)?;
    let (right, value) = points[after];
    let Some(&(left, before)) = after.checked_sub(1).and_then(|at| points.get(at)) else { return Some(value) };
    // `left` is below `recall`, and `right` is not, so they differ.
    Some(before + (value - before) * (recall - left) / (right - left))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speeds_are_interpolated_in_their_logarithm() {
        let points = [(0.90, 10_000.0), (0.94, 8_000.0), (0.96, 2_000.0), (0.96, 1_000.0)];
        let at = |recall| speed_at(&points, recall).map(f64::round);
        assert_eq!((at(0.95), at(0.94), at(0.5), at(0.97)), (Some(4_000.0), Some(8_000.0), Some(10_000.0), None));
        assert_eq!(value_at(&[(0.9, 100.0), (1.0, 200.0)], 0.95).map(f64::round), Some(150.0));
        assert_eq!(speed_at(&[], 0.5), None);
    }

    #[test]
    fn efforts_begin_with_k() {
        assert_eq!(ef_values(10)[..3], [10, 16, 24]);
        assert_eq!(ef_values(100)[..3], [100, 128, 192]);
        assert_eq!(ef_values(2_000), [2_000]);
        assert!(is_done(&[0.9, 0.996]) && is_done(&[0.9501, 0.9502]) && !is_done(&[0.5, 0.5]) && !is_done(&[]));
    }
}
