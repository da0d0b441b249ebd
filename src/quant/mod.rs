//! Search on codes: estimates of a score, and upper bounds that prove which rows need their full vector.
//!
//! Reading order: the bounds here, then `code` (a vector as one signed byte a dimension).
//!
//! Invariants:
//! * `upper_bound(raw, meta)` is never below the score that [`crate::distance::score`] computes for the same two
//!   vectors, whatever the metric, its `f32` rounding included. So a search is exact if it re-ranks in full precision
//!   every row whose bound reaches the k-th best score.
//! * A bound is never NaN for vectors that were validated.
//!
//! With q = t*b + f (query: scale, code, error) and x = s*c + e (row), and |.| the Euclidean norm:
//!
//! ```text
//! q.x = t*s*(b.c) + (t*b).e + f.x   <=   t*s*(b.c) + |t*b| * residual(x) + residual(q) * |x|
//! ```
//!
//! Rounding, with u = 2^-24: the kernel adds each product to its lane in at most n/32 + 1 steps and folds 5 times, so
//! its dot product is within (n/32 + 8) * u * |q| * |x| of the true one. The few operations here and in the score are
//! within 64u of magnitudes that are at most |q| * |x| (or |q|^2 + |x|^2). Underflow is below an absolute term. All
//! three are included in the constants of the query, once.

mod code;

pub use code::{CodeMeta, encode, stride};

use crate::distance::{Kernels, Metric, ZERO_NORM, inverse_norm};
use code::round_up;

/// Half a unit in the last place of 1.
const U: f64 = 1.0 / (1_u64 << 24) as f64;
/// The rounding of everything but the kernel's sum, relative to |q| * |x|.
const ROUNDING: f64 = 64.0 * U;
/// More than all underflow of a dot product of 16,384 terms and of its bound: 2^-118.
const UNDERFLOW: f64 = 1.0 / (1_u128 << 118) as f64;

/// A query in the form that a search on codes needs: its unsigned code, and the constants of the bound.
#[derive(Clone, Debug)]
pub struct PreparedQuery {
    metric: Metric,
    code: Vec<u8>,
    /// [`Kernels::query_offset`] of the code.
    offset: i32,
    inverse_norm: f32,
    /// t. Under cosine this and the next two fields are divided by |q|.
    step: f32,
    /// The factor of a row's residual: |t*b|, rounded up.
    per_residual: f32,
    /// The factor of a row's norm: residual(q) and the rounding of sums, rounded up.
    per_norm: f32,
    /// Underflow of the dot product. Zero under cosine, where `per_norm` includes it.
    constant: f32,
    /// L2 only: |q|^2 for estimates.
    norm_squared: f32,
    /// L2 only: |q|^2 less its rounding, and the factor by which rounding at most lowers a row's |x|^2.
    floor: f32,
    keep: f32,
    /// L2 only: the factor by which rounding in the kernel at most lowers a distance.
    shrink: f32,
}

impl PreparedQuery {
    /// Prepares `vector` (finite, squared norm at most 1e37) for `metric`.
    pub fn new(kernels: Kernels, vector: &[f32], metric: Metric) -> PreparedQuery {
        let mut signed = vec![0; stride(vector.len())];
        let meta = encode(kernels, vector, &mut signed);
        let code_norm = f64::from(kernels.dot_i8(&signed, &signed)).sqrt();
        let norm = f64::from(meta.norm);
        let summation = (vector.len() / 32 + 8) as f64 * U;
        // Under cosine the constants are those of the query scaled to norm 1, so that nothing underflows. A zero query
        // scores 0 with every row.
        let unit = match metric {
            Metric::Cosine if meta.norm < ZERO_NORM => 0.0,
            Metric::Cosine => 1.0 / norm,
            Metric::Dot | Metric::L2 => 1.0,
        };
        // Underflow of the kernel's products, relative to the smallest norm of a row.
        let lost = if metric == Metric::Cosine { UNDERFLOW / f64::from(ZERO_NORM) } else { 0.0 };
        let error = f64::from(meta.residual) + (summation + ROUNDING) * norm + lost;
        let norm_squared = norm * norm;
        PreparedQuery {
            metric,
            inverse_norm: inverse_norm(meta.norm),
            code: signed.into_iter().map(|byte| kernels.query_byte(byte)).collect(),
            offset: i32::from(kernels.query_offset()),
            step: (f64::from(meta.scale) * unit) as f32,
            per_residual: round_up(f64::from(meta.scale) * code_norm * unit * (1.0 + ROUNDING)),
            per_norm: round_up(error * unit * (1.0 + ROUNDING)),
            constant: if metric == Metric::Cosine { 0.0 } else { UNDERFLOW as f32 },
            norm_squared: norm_squared as f32,
            floor: (norm_squared * (1.0 - ROUNDING) - UNDERFLOW) as f32,
            keep: (1.0 - ROUNDING) as f32,
            shrink: (1.0 - summation - ROUNDING) as f32,
        }
    }

    /// The query's code for the integer kernels of the same instruction set, [`stride`] bytes.
    pub fn code(&self) -> &[u8] {
        &self.code
    }

    /// The query's inverse norm, an argument of [`crate::distance::score`].
    pub fn inverse_norm(&self) -> f32 {
        self.inverse_norm
    }

    /// The metric of the query.
    pub fn metric(&self) -> Metric {
        self.metric
    }

    /// An upper bound of the row's exact score, from the raw integer dot product of the codes.
    #[cfg_attr(not(feature = "testing"), allow(dead_code, reason = "the searches take whole slices"))]
    pub fn upper_bound(&self, raw: i32, meta: &CodeMeta) -> f32 {
        match self.metric {
            Metric::Cosine => self.upper_cosine(raw, meta),
            Metric::Dot => self.upper_dot(raw, meta),
            Metric::L2 => self.upper_l2(raw, meta),
        }
    }

    /// Writes the [`PreparedQuery::upper_bound`] of each row to `out`. The three slices have one length.
    pub fn upper_bounds(&self, raw: &[i32], metas: &[CodeMeta], out: &mut [f32]) {
        assert!(raw.len() == out.len() && metas.len() == out.len(), "one meta and one bound for each row");
        let rows = out.iter_mut().zip(raw.iter().zip(metas));
        match self.metric {
            Metric::Cosine => rows.for_each(|(bound, (&raw, meta))| *bound = self.upper_cosine(raw, meta)),
            Metric::Dot => rows.for_each(|(bound, (&raw, meta))| *bound = self.upper_dot(raw, meta)),
            Metric::L2 => rows.for_each(|(bound, (&raw, meta))| *bound = self.upper_l2(raw, meta)),
        }
    }

    /// The score of the codes, without any error term.
    pub fn estimate(&self, raw: i32, meta: &CodeMeta) -> f32 {
        let dot = self.dot(raw, meta);
        match self.metric {
            Metric::Cosine if meta.norm < ZERO_NORM => 0.0,
            Metric::Cosine => dot / meta.norm,
            Metric::Dot => dot,
            Metric::L2 => 0.0 - positive(self.norm_squared + meta.norm * meta.norm - 2.0 * dot).sqrt(),
        }
    }

    /// Roughly [`PreparedQuery::upper_bound`], from the row's estimate. It does not cover the rounding of the estimate,
    /// so only approximate searches may use it.
    pub(crate) fn bound_of_estimate(&self, estimate: f32, meta: &CodeMeta) -> f32 {
        let error = self.per_residual * meta.residual + (self.per_norm * meta.norm + self.constant);
        match self.metric {
            Metric::Cosine if meta.norm < ZERO_NORM => 0.0,
            Metric::Cosine => estimate + error / meta.norm,
            Metric::Dot => estimate + error,
            Metric::L2 => 0.0 - positive(estimate * estimate - 2.0 * error).sqrt(),
        }
    }

    /// A score as it would be for a query of norm 1, under `Dot`; the other metrics' scores do not depend on the norm
    /// alone, and stay as they are.
    pub(crate) fn per_norm_of_query(&self, score: f32) -> f32 {
        if self.metric == Metric::Dot { score * self.inverse_norm } else { score }
    }

    /// The ranking by which a graph search compares codes with this query.
    pub(crate) fn ranking(&self) -> Ranking {
        let form = match self.metric {
            Metric::Cosine => DistanceForm::Cosine,
            Metric::Dot => DistanceForm::Dot,
            Metric::L2 => DistanceForm::L2,
        };
        Ranking { form, offset: self.offset, step: self.step, norm_squared: self.norm_squared }
    }

    /// t*s*(b.c).
    #[inline(always)]
    fn dot(&self, raw: i32, meta: &CodeMeta) -> f32 {
        raw.wrapping_sub(meta.sum.wrapping_mul(self.offset)) as f32 * (self.step * meta.scale)
    }

    #[inline(always)]
    fn upper_dot(&self, raw: i32, meta: &CodeMeta) -> f32 {
        self.dot(raw, meta) + (self.per_residual * meta.residual + (self.per_norm * meta.norm + self.constant))
    }

    #[inline(always)]
    fn upper_cosine(&self, raw: i32, meta: &CodeMeta) -> f32 {
        let bound = self.upper_dot(raw, meta) / meta.norm;
        if meta.norm < ZERO_NORM { 0.0 } else { bound }
    }

    #[inline(always)]
    fn upper_l2(&self, raw: i32, meta: &CodeMeta) -> f32 {
        let squared = self.floor + meta.norm * meta.norm * self.keep - 2.0 * self.upper_dot(raw, meta);
        0.0 - positive(squared).sqrt() * self.shrink
    }
}

/// Ranks codes by their distance to one code, for the search and the build of a graph. The distance is an estimate, not
/// a bound.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ranking {
    form: DistanceForm,
    /// [`Kernels::query_offset`] of the code.
    offset: i32,
    /// The factor of the integer dot product and the row's scale.
    step: f32,
    norm_squared: f32,
}

/// What a distance is computed from.
#[derive(Clone, Copy, Debug)]
enum DistanceForm {
    Cosine,
    Dot,
    L2,
    Lifted {
        /// The square of the largest norm, and the height of the code that is compared with.
        largest_squared: f32,
        height: f32,
    },
}

impl Ranking {
    /// The ranking by dot products with a stored code, as if it were a query.
    pub fn of_products(kernels: Kernels, meta: &CodeMeta) -> Self {
        let offset = i32::from(kernels.query_offset());
        Self { form: DistanceForm::Dot, offset, step: meta.scale, norm_squared: meta.norm * meta.norm }
    }

    /// The ranking by distance to a stored code, for the build of a graph over codes with norms of at most `largest`.
    ///
    /// A dot product is no distance: a vector need not be its own best match. So under `Dot` stored vectors have one
    /// more coordinate, their height `sqrt(largest^2 - |x|^2)`, which makes all norms equal, and the distance is the
    /// squared Euclidean one (Bachrach et al., "Speeding up the Xbox recommender system using a Euclidean
    /// transformation for inner-product spaces", RecSys 2014). A query has height 0, so its nearest vectors are those
    /// with the largest dot products, and a search needs no height.
    pub fn of_code(kernels: Kernels, meta: &CodeMeta, metric: Metric, largest: f32) -> Self {
        let norm_squared = meta.norm * meta.norm;
        let (step, form) = match metric {
            Metric::Cosine if meta.norm < ZERO_NORM => (0.0, DistanceForm::Cosine),
            Metric::Cosine => (meta.scale / meta.norm, DistanceForm::Cosine),
            Metric::L2 => (meta.scale, DistanceForm::L2),
            Metric::Dot => {
                let largest_squared = largest * largest;
                let height = positive(largest_squared - norm_squared).sqrt();
                (meta.scale, DistanceForm::Lifted { largest_squared, height })
            }
        };
        Self { form, offset: i32::from(kernels.query_offset()), step, norm_squared }
    }

    /// The distance; smaller is nearer. `raw` is the result of [`Kernels::dot_codes`] for the two codes.
    ///
    /// Cosine: 1 - cos. Dot: minus the dot product for a query, else the squared distance with heights. L2: the squared
    /// distance.
    #[inline(always)]
    pub fn distance(&self, raw: i32, meta: &CodeMeta) -> f32 {
        let dot = raw.wrapping_sub(meta.sum.wrapping_mul(self.offset)) as f32 * (self.step * meta.scale);
        match self.form {
            DistanceForm::Cosine => 1.0 - if meta.norm < ZERO_NORM { 0.0 } else { dot / meta.norm },
            DistanceForm::Dot => -dot,
            DistanceForm::L2 => self.norm_squared + meta.norm * meta.norm - 2.0 * dot,
            DistanceForm::Lifted { largest_squared, height } => {
                let squared = meta.norm * meta.norm;
                let heights = height + positive(largest_squared - squared).sqrt();
                // The difference of two heights, without that of two nearly equal roots.
                let apart = if heights > 0.0 { (squared - self.norm_squared) / heights } else { 0.0 };
                self.norm_squared + squared - 2.0 * dot + apart * apart
            }
        }
    }

    /// The score that a distance stands for, if this is the ranking of a query.
    pub fn estimate(&self, distance: f32) -> f32 {
        match self.form {
            DistanceForm::Cosine => 1.0 - distance,
            DistanceForm::Dot => -distance,
            DistanceForm::L2 | DistanceForm::Lifted { .. } => 0.0 - positive(distance).sqrt(),
        }
    }
}

/// `value`, or 0 if it is negative.
#[inline(always)]
fn positive(value: f32) -> f32 {
    if value > 0.0 { value } else { 0.0 }
}
