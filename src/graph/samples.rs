//! The queries that a graph is calibrated with, and their correct results.
//!
//! Some queries are like the data: stored vectors, and stored vectors moved a little. Others are not: the negatives of
//! stored vectors, and random directions. Others again were asked of a graph; no build uses these. Their
//! correct results are those of an exact search with full vectors.
//!
//! Invariants:
//! * A stored vector is excluded from its own results. A moved one may find the vector that it was.
//! * The samples of a new graph depend on its vectors alone. Those of a fit to queries that were asked depend on these
//!   besides. Neither depends on threads.
//! * A sample costs one distance for each node, and full scores of at most a quarter of the nodes. The few samples
//!   whose codes tell less than that are exact up to the codes of the nodes that are left.

use crate::distance::{Kernels, inverse_norm, score};
use crate::error::Result;
use crate::graph::calibration::RESULTS;
use crate::graph::{BeamParameters, Candidate, Graph, Points, search};
use crate::ids::NodeId;
use crate::quant::PreparedQuery;
use crate::random::Random;

/// Sample queries that are compared together while a block of codes is in the cache.
pub(super) const GROUP: usize = 16;
const BLOCK: usize = 512;
/// So many nodes are kept at most that score as well as the last of the most results. A query with more is left out.
const EQUAL_MOST: usize = 4_096;
/// So many nodes are scored in full in any case; beyond, at most one in so many.
const FULL_AT_LEAST: usize = 4_096;
const FULL_SHARE: usize = 4;
/// How far a stored vector is moved, as a part of its norm.
const MOVED: f32 = 0.1;

/// Full vectors, by number: the graph's nodes have theirs, and others may follow.
pub(crate) type VectorOf<'a> = &'a (dyn Fn(NodeId) -> Result<&'a [f32]> + Sync);

/// What a query is made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SampleOrigin {
    Stored,
    Moved,
    Opposite,
    Direction,
    /// A caller asked the query of a graph over these vectors.
    Asked,
}

/// All kinds of queries, in the order of their numbers.
pub(super) const KINDS: [SampleOrigin; 5] =
    [SampleOrigin::Stored, SampleOrigin::Moved, SampleOrigin::Opposite, SampleOrigin::Direction, SampleOrigin::Asked];

impl SampleOrigin {
    /// Whether such queries resemble the data.
    pub fn is_like_the_data(self) -> bool {
        matches!(self, Self::Stored | Self::Moved)
    }

    /// Whether such queries were made so that they do not resemble the data.
    pub fn is_made_unlike(self) -> bool {
        matches!(self, Self::Opposite | Self::Direction)
    }
}

/// How a query comes about.
#[derive(Clone, Copy, Debug)]
pub(super) enum Recipe<'a> {
    /// It is made from the vector with this number.
    Made { node: NodeId, origin: SampleOrigin },
    /// It is this vector, which was asked.
    Asked(&'a [f32]),
}

impl Recipe<'_> {
    pub fn origin(&self) -> SampleOrigin {
        match *self {
            Self::Made { origin, .. } => origin,
            Self::Asked(_) => SampleOrigin::Asked,
        }
    }

    /// The node that is the query itself.
    fn own(&self, nodes: usize) -> Option<NodeId> {
        match *self {
            Self::Made { node, origin: SampleOrigin::Stored } => Some(node).filter(|own| own.index() < nodes),
            _ => None,
        }
    }

    fn vector(&self, vector_of: VectorOf<'_>) -> Result<Vec<f32>> {
        let (node, origin) = match *self {
            Self::Asked(vector) => return Ok(vector.to_vec()),
            Self::Made { node, origin } => (node, origin),
        };
        let stored = vector_of(node)?;
        let norm = |vector: &[f32]| vector.iter().map(|x| f64::from(*x) * f64::from(*x)).sum::<f64>().sqrt();
        let mut random = Random::new(u64::from(node.0));
        // The sum of four numbers is nearly normal, so directions are spread evenly.
        let mut next = || (0..4).map(|_| (random.draw() >> 40) as f32 / (1 << 23) as f32 - 1.0).sum::<f32>();
        let mut scaled = |length: f64| {
            let direction: Vec<f32> = stored.iter().map(|_| next()).collect();
            let by = (length / norm(&direction).max(f64::MIN_POSITIVE)) as f32;
            direction.into_iter().map(move |x| x * by)
        };
        Ok(match origin {
            SampleOrigin::Stored | SampleOrigin::Asked => stored.to_vec(),
            SampleOrigin::Moved => scaled(norm(stored) * f64::from(MOVED)).zip(stored).map(|(by, x)| x + by).collect(),
            SampleOrigin::Opposite => stored.iter().map(|x| -x).collect(),
            SampleOrigin::Direction => scaled(norm(stored)).collect(),
        })
    }
}

/// A query, and the nodes that are correct results.
pub(super) struct Sample {
    pub origin: SampleOrigin,
    /// The node that is left out.
    without: Option<NodeId>,
    query: PreparedQuery,
    /// The values of [`right`] for each of `RESULTS`: a count, and the correct nodes, ascending by number.
    right: [(usize, Vec<NodeId>); 2],
    /// The same of one result.
    best: (usize, Vec<NodeId>),
    /// How like the data the query is by its correct results.
    pub likeness: f32,
}

/// The outcome of a search for a sample.
#[derive(Clone, Copy, Debug)]
pub(super) struct Walked {
    /// The share of the correct results that were found, for each of `RESULTS`.
    pub shares: [f32; 2],
    /// The same of one result: 1 if the best node was found.
    pub best: f32,
    /// How like the data the query looks by what was found.
    pub likeness: f32,
    /// Distances that were computed.
    pub visited: usize,
}

impl Sample {
    /// Whether all correct results are known. Thousands of equal vectors may all be correct, but only some are kept.
    pub fn is_decided(&self) -> bool {
        self.right.iter().all(|(_, right)| right.len() < EQUAL_MOST)
    }

    /// Searches the graph with `ef`.
    pub fn walk(&self, graph: Graph<'_>, points: &Points<'_>, ef: usize) -> Walked {
        let mut found: Vec<Candidate> = Vec::new();
        let ask = BeamParameters { query: &self.query, ef, without: self.without, budget: usize::MAX };
        let stats = search(graph, points, &ask, &mut found);
        let share = |(count, right): &(usize, Vec<NodeId>)| share(*count, right, &found);
        let shares = [share(&self.right[0]), share(&self.right[1])];
        Walked { shares, best: share(&self.best), likeness: likeness(&self.query, &found), visited: stats.visited }
    }
}

/// How like the data of a graph a query looks: the score of the last of the best [`RESULTS`]`[0]` candidates, in a form
/// that does not depend on the length of the query. What is large for one graph may be small for another.
/// Of fewer candidates than [`LIKENESS_EF`] the last looks too near.
pub(crate) fn likeness(query: &PreparedQuery, found: &[Candidate]) -> f32 {
    let last = found.get(RESULTS[0] - 1).or(found.last());
    last.map_or(f32::NEG_INFINITY, |last| query.per_norm_of_query(last.estimate))
}

/// The least ef of a search that tells how like the data a query is.
pub(crate) const LIKENESS_EF: usize = RESULTS[0];

/// Makes the queries of `recipes` and finds their correct results. Numbers that are no node's are those of other
/// vectors. `go_on` is called before each block of codes; its error ends the search.
pub(super) fn samples(
    recipes: &[Recipe<'_>],
    points: &Points<'_>,
    vector_of: VectorOf<'_>,
    go_on: &(dyn Fn() -> Result<()> + Sync),
) -> Result<Vec<Sample>> {
    let searches = exact_searches(recipes, points, vector_of, &|_| true, go_on)?;
    Ok(recipes.iter().zip(searches).map(|(recipe, search)| search.finish(recipe.origin())).collect())
}

/// Makes the queries of `recipes` and finds the nodes nearest to them among those that count. `go_on` is called before
/// each block of codes; its error ends the search.
pub(super) fn exact_searches(
    recipes: &[Recipe<'_>],
    points: &Points<'_>,
    vector_of: VectorOf<'_>,
    counts: &dyn Fn(NodeId) -> bool,
    go_on: &(dyn Fn() -> Result<()> + Sync),
) -> Result<Vec<ExactSearch>> {
    let (kernels, metric) = (Kernels::get(), points.metric());
    let mut searches = Vec::with_capacity(recipes.len());
    for recipe in recipes {
        let vector = recipe.vector(vector_of)?;
        let query = PreparedQuery::new(kernels, &vector, metric);
        let own = recipe.own(points.len());
        searches.push(ExactSearch { vector, query, own, best: Vec::new(), scored: 0 });
    }
    let mut raw = Vec::new();
    let mut bounds = Vec::new();
    for start in (0..points.len()).step_by(BLOCK) {
        go_on()?;
        let end = points.len().min(start + BLOCK);
        let codes = &points.codes()[start * points.stride()..end * points.stride()];
        raw.resize(end - start, 0);
        bounds.resize(end - start, 0.0);
        for search in &mut searches {
            kernels.dot_codes_many(search.query.code(), codes, points.stride(), &mut raw);
            search.query.upper_bounds(&raw, &points.metas()[start..end], &mut bounds);
            search.take(Compared { start, raw: &raw, bounds: &bounds }, points, vector_of, counts)?;
        }
    }
    Ok(searches)
}

/// A block of nodes as codes know them: the first node, raw products, and upper bounds of the scores.
#[derive(Clone, Copy)]
struct Compared<'a> {
    start: usize,
    raw: &'a [i32],
    bounds: &'a [f32],
}

/// An exact search.
pub(super) struct ExactSearch {
    vector: Vec<f32>,
    query: PreparedQuery,
    own: Option<NodeId>,
    /// The best nodes so far, best first, with their scores.
    best: Vec<(f32, NodeId)>,
    /// How many nodes were scored in full.
    scored: usize,
}

impl ExactSearch {
    /// Scores the nodes of a block that count and may be among the best.
    fn take(
        &mut self,
        compared: Compared<'_>,
        points: &Points<'_>,
        vector_of: VectorOf<'_>,
        counts: &dyn Fn(NodeId) -> bool,
    ) -> Result<()> {
        let threshold = self.best.get(RESULTS[1] - 1).map_or(f32::NEG_INFINITY, |&(score, _)| score);
        let most = FULL_AT_LEAST.max(points.len() / FULL_SHARE);
        for (at, (&raw, &bound)) in compared.raw.iter().zip(compared.bounds).enumerate() {
            let node = NodeId::from_index(compared.start + at);
            if bound < threshold || self.own == Some(node) || !counts(node) {
                continue;
            }
            let meta = &points.metas()[node.index()];
            if self.scored >= most && self.query.estimate(raw, meta) < threshold {
                continue;
            }
            self.scored += 1;
            let norms = [self.query.inverse_norm(), inverse_norm(meta.norm)];
            let other = vector_of(node)?;
            let score = score(points.metric(), Kernels::get(), &self.vector, norms[0], other, norms[1]);
            if score >= threshold {
                self.best.push((score, node));
            }
        }
        self.best.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        if let Some(&(last, _)) = self.best.get(RESULTS[1] - 1) {
            self.best.truncate(self.best.partition_point(|&(score, _)| score >= last).min(EQUAL_MOST));
        }
        Ok(())
    }

    /// The share of the `results` nearest nodes that a walk with `ef` finds. `None` if not all correct results are
    /// known: thousands of equal vectors may all be correct, but only some are kept.
    pub fn share(&self, results: usize, ef: usize, graph: Graph<'_>, points: &Points<'_>) -> Option<f32> {
        let (count, right) = right(&self.best, results);
        if right.len() >= EQUAL_MOST {
            return None;
        }
        let mut found: Vec<Candidate> = Vec::new();
        let ask = BeamParameters { query: &self.query, ef, without: self.own, budget: usize::MAX };
        search(graph, points, &ask, &mut found);
        Some(share(count, &right, &found))
    }

    fn finish(self, origin: SampleOrigin) -> Sample {
        let Self { query, own, best, .. } = self;
        let last = best.get(RESULTS[0] - 1).or(best.last());
        let likeness = last.map_or(f32::NEG_INFINITY, |&(score, _)| query.per_norm_of_query(score));
        let right = |results| right(&best, results);
        Sample { origin, without: own, right: RESULTS.map(right), best: right(1), query, likeness }
    }
}

/// The share of `count` results that were found, if the nodes `right`, ascending, are correct.
fn share(count: usize, right: &[NodeId], found: &[Candidate]) -> f32 {
    let hits = found.iter().filter(|candidate| right.binary_search(&candidate.node).is_ok()).count();
    if count == 0 { 1.0 } else { hits.min(count) as f32 / count as f32 }
}

/// The number of results that exist, at most `results`, and the nodes that score at least as well as the last of these.
fn right(exact: &[(f32, NodeId)], results: usize) -> (usize, Vec<NodeId>) {
    let count = results.min(exact.len());
    let Some(&(last, _)) = count.checked_sub(1).and_then(|last| exact.get(last)) else { return (0, Vec::new()) };
    let mut nodes: Vec<NodeId> = exact.iter().take_while(|&&(score, _)| score >= last).map(|&(_, node)| node).collect();
    nodes.sort_unstable();
    (count, nodes)
}
