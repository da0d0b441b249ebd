//! The context of one search, the same for every part: the query vector in the forms that searches need, conditions,
//! and a threshold.

use crate::distance::{Kernels, score, score4};
use crate::error::Result;
use crate::ids::{Id, IdRange, RowId, VectorId};
use crate::quant::PreparedQuery;
use crate::search::conditions::Conditions;
use crate::search::graph_plan::GraphSearches;
use crate::search::part::PartColumns;
use crate::search::plan::Costs;
use crate::topk::SharedThreshold;
use crate::types::Metric;
use std::ops::Range;

/// A query vector in the forms that searches on codes and exact scores need. A search makes it once for all its parts.
pub(crate) struct QueryVector<'a> {
    pub(crate) vector: &'a [f32],
    pub(crate) prepared: PreparedQuery,
    pub(super) kernels: Kernels,
}

impl<'a> QueryVector<'a> {
    /// Prepares `vector`, which was validated.
    pub fn new(vector: &'a [f32], metric: Metric) -> Self {
        let kernels = Kernels::get();
        Self { vector, prepared: PreparedQuery::new(kernels, vector, metric), kernels }
    }

    /// The exact score of an item: the best of the scores of its `vectors` in `part`. It has at least one.
    pub(super) fn score_item<P: PartColumns>(&self, part: &P, vectors: Range<VectorId>) -> Result<f32> {
        let mut best = f32::NEG_INFINITY;
        for number in vectors.ids() {
            let (vector, inverse_norm) = (part.vector(number)?, part.inverse_norm(number));
            let metric = self.prepared.metric();
            let score = score(metric, self.kernels, self.vector, self.prepared.inverse_norm(), vector, inverse_norm);
            // The comparison is that of results, in which -0 is below +0. `f32::max` may return either.
            best = if score.total_cmp(&best).is_gt() { score } else { best };
        }
        Ok(best)
    }

    /// The exact score of an item by its vectors of one field; `None` if it has none.
    pub(super) fn score_field<P: PartColumns>(&self, part: &P, row: RowId, field: &str) -> Result<Option<f32>> {
        let mut best: Option<f32> = None;
        for vector in part.row_vectors(row).ids() {
            if is_of_field(part.vector_path(row, vector)?, field) {
                let score = self.score_item(part, vector..vector.saturating_next())?;
                best = best.filter(|best| best.total_cmp(&score).is_gt()).or(Some(score));
            }
        }
        Ok(best)
    }

    /// The exact scores of four vectors.
    pub(super) fn score_vectors<P: PartColumns>(&self, part: &P, numbers: [VectorId; 4]) -> Result<[f32; 4]> {
        let [a, b, c, d] = numbers;
        let vectors = [part.vector(a)?, part.vector(b)?, part.vector(c)?, part.vector(d)?];
        let inverse_norms = numbers.map(|number| part.inverse_norm(number));
        let (metric, inverse_norm) = (self.prepared.metric(), self.prepared.inverse_norm());
        Ok(score4(metric, self.kernels, self.vector, inverse_norm, vectors, inverse_norms))
    }
}

/// The context of one search, the same for every part.
#[derive(Clone, Copy)]
pub(crate) struct SearchContext<'a> {
    pub query_vector: &'a QueryVector<'a>,
    pub conditions: Conditions<'a>,
    /// The threshold that all parts and threads share. It starts at the caller's `min_score`.
    pub threshold: &'a SharedThreshold,
    /// Score only the vectors of this field.
    pub field: Option<&'a str>,
    /// The most rows that a plan samples.
    pub filter_sample: usize,
    /// What the steps of a search cost.
    pub costs: Costs,
    /// The number of this search among those of the store with a filter.
    pub number: u64,
    /// How graphs are searched; `None` if no graph may be searched.
    pub graph_searches: Option<GraphSearches>,
}

/// Whether a vector with this path is one of `field`: the field itself, or something below it.
pub(crate) fn is_of_field(path: &str, field: &str) -> bool {
    path.strip_prefix(field).is_some_and(|rest| rest.is_empty() || (!field.is_empty() && rest.starts_with('.')))
}
