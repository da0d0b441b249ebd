//! Rounding a vector to one signed byte a dimension, and measuring the loss. The code is plain loops over lanes, which
//! [`super::kernel::shells`] compiles once for each instruction set.
//!
//! Invariant: every operation is IEEE arithmetic in an order that the source fixes, so all instruction sets give the
//! same bits.

/// A vector whose largest component is below this (2^-110) becomes zeros, so that the scale and one over the scale are
/// always normal `f32`.
const SMALLEST_MAX: f32 = 1.0 / (1_u128 << 110) as f32;
/// 1.5 * 2^23. The sum of it and a small float has the nearest integer (ties to even) in its low bits, on every
/// machine.
const ROUNDER: f32 = 12_582_912.0;
/// How many independent sums a loop has, so that the compiler can keep them in vector registers.
const LANES: usize = 16;

/// The result of [`super::Kernels::quantize`] beside the code.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct QuantizedStats {
    /// The vector is about `scale` times the code: max |x| / 127, or 0 with a code of zeros if max |x| is below 2^-110.
    pub scale: f32,
    /// Sum of the code.
    pub sum: i32,
    /// Sum of the squares of x, with a relative error of at most dims * 2^-52.
    pub norm_squared: f64,
    /// Sum of the squares of x - scale * code, with a relative error of at most dims * 2^-52.
    pub residual_squared: f64,
}

/// Writes round(x / scale), in -127..=127, for each component of `vector` to `code`, which is as long.
#[inline(always)]
pub(super) fn quantize(vector: &[f32], code: &mut [i8]) -> QuantizedStats {
    let (largest, norm_squared) = largest_and_norm_squared(vector);
    if largest < SMALLEST_MAX {
        code.fill(0);
        return QuantizedStats { scale: 0.0, sum: 0, norm_squared, residual_squared: norm_squared };
    }
    let scale = largest / 127.0;
    let inverse = 127.0 / largest;
    let mut sums = [0_i32; LANES];
    let mut squares = [0.0_f64; LANES];
    let (blocks, tail) = vector.as_chunks::<LANES>();
    let (code_blocks, code_tail) = code.as_chunks_mut::<LANES>();
    for (x, c) in blocks.iter().zip(code_blocks) {
        for lane in 0..LANES {
            let (value, square) = round(x[lane], inverse, scale);
            c[lane] = value as i8;
            sums[lane] += value;
            squares[lane] += square;
        }
    }
    for (lane, (x, c)) in tail.iter().zip(code_tail).enumerate() {
        let (value, square) = round(*x, inverse, scale);
        *c = value as i8;
        sums[lane] += value;
        squares[lane] += square;
    }
    QuantizedStats { scale, sum: sums.iter().sum(), norm_squared, residual_squared: squares.iter().sum() }
}

/// The code of one component and the square of its error. `scale * value` is exact in `f64`, and the difference has a
/// relative error of at most 2^-53.
#[inline(always)]
fn round(x: f32, inverse: f32, scale: f32) -> (i32, f64) {
    let shifted = x * inverse + ROUNDER;
    let rounded = shifted - ROUNDER;
    let error = f64::from(x) - f64::from(scale) * f64::from(rounded);
    (shifted.to_bits().wrapping_sub(ROUNDER.to_bits()).cast_signed(), error * error)
}

/// The largest |x| and the sum of the squares.
#[inline(always)]
pub(super) fn largest_and_norm_squared(vector: &[f32]) -> (f32, f64) {
    let mut largest = [0.0_f32; LANES];
    let mut squares = [0.0_f64; LANES];
    let (blocks, tail) = vector.as_chunks::<LANES>();
    for block in blocks {
        for lane in 0..LANES {
            largest[lane] = larger(largest[lane], block[lane].abs());
            squares[lane] += f64::from(block[lane]) * f64::from(block[lane]);
        }
    }
    for (lane, x) in tail.iter().enumerate() {
        largest[lane] = larger(largest[lane], x.abs());
        squares[lane] += f64::from(*x) * f64::from(*x);
    }
    (largest.into_iter().fold(0.0, larger), squares.iter().sum())
}

/// The larger of two numbers that are not NaN, in one instruction: `f32::max`, which handles NaN, takes three.
#[inline(always)]
fn larger(a: f32, b: f32) -> f32 {
    if b > a { b } else { a }
}
