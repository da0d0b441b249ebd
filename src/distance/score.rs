//! The score that callers see, from full-precision vectors: larger is better in every metric.
//!
//! Invariants:
//! * A score is a function of the two vectors alone (fixed order of summation, see [`super`]): equal vectors have equal
//!   scores, bit for bit.
//! * A score is never NaN for finite vectors whose squared norm is at most 1e37. Calls check that before they write or
//!   search (`store/write.rs`).
//! * Under cosine a vector whose norm is below [`ZERO_NORM`] counts as zero and scores 0: the products of two such
//!   vectors leave the normal range of `f32`, and the cosine computed from them would be noise.

use super::Kernels;
use super::quantize::largest_and_norm_squared;
use crate::types::Metric;

/// 2^-63: the norm whose square is the smallest normal `f32`. Cosine takes a vector with a smaller norm as zero.
pub const ZERO_NORM: f32 = 1.0 / (1_u64 << 63) as f32;

/// The Euclidean norm, computed in `f64` and rounded to nearest.
pub fn norm(vector: &[f32]) -> f32 {
    largest_and_norm_squared(vector).1.sqrt() as f32
}

/// One over a [`norm`], as [`score`] takes it; 0 below [`ZERO_NORM`].
pub fn inverse_norm(norm: f32) -> f32 {
    if norm < ZERO_NORM { 0.0 } else { 1.0 / norm }
}

/// The score of `vector` for `query`. The inverse norms are [`inverse_norm`] of the [`norm`] of each; only cosine reads
/// them.
pub fn score(
    metric: Metric,
    kernels: Kernels,
    query: &[f32],
    query_inverse_norm: f32,
    vector: &[f32],
    vector_inverse_norm: f32,
) -> f32 {
    let raw = match metric {
        Metric::Cosine | Metric::Dot => kernels.dot(query, vector),
        Metric::L2 => kernels.l2_squared(query, vector),
    };
    finish(metric, raw, query_inverse_norm, vector_inverse_norm)
}

/// [`score`] of four vectors at once, each bit for bit the same.
pub fn score4(
    metric: Metric,
    kernels: Kernels,
    query: &[f32],
    query_inverse_norm: f32,
    vectors: [&[f32]; 4],
    vector_inverse_norms: [f32; 4],
) -> [f32; 4] {
    let mut scores = match metric {
        Metric::Cosine | Metric::Dot => kernels.dot4(query, vectors),
        Metric::L2 => kernels.l2_squared4(query, vectors),
    };
    for (score, inverse_norm) in scores.iter_mut().zip(vector_inverse_norms) {
        *score = finish(metric, *score, query_inverse_norm, inverse_norm);
    }
    scores
}

/// The score from the result of a kernel.
fn finish(metric: Metric, raw: f32, query_inverse_norm: f32, vector_inverse_norm: f32) -> f32 {
    match metric {
        // Adding +0 turns the -0 of a negative product and a zero vector's inverse norm into +0.
        Metric::Cosine => raw * query_inverse_norm * vector_inverse_norm + 0.0,
        Metric::Dot => raw,
        // A subtraction, so that equal vectors score +0 and not -0.
        Metric::L2 => 0.0 - raw.sqrt(),
    }
}
