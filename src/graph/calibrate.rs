//! Fits the table of a [`Calibration`] of a new graph. The queries are stored vectors, and a flat search of all codes
//! finds their nearest vectors. For each recall the table gets the smallest ef that finds enough of these.
//!
//! Invariants:
//! * The same graph and vectors give the same table, at any number of threads.
//! * A sample vector is excluded from its own results and from its nearest vectors.
//! * The fit costs a small share of the build: one distance for each pair of a sample and a node, and at most 400
//!   samples.

use rayon::prelude::*;

use crate::distance::{Kernels, inverse_norm, score};
use crate::error::Result;
use crate::graph::calibration::{Calibration, RECALLS, RESULTS};
use crate::graph::{BeamParameters, Candidate, Graph, Points, search};
use crate::ids::{Id, IdRange, NodeId};
use crate::quant::PreparedQuery;

/// The most sample vectors, and the fewest (unless the graph has fewer nodes).
const SAMPLES_MAX: usize = 400;
const SAMPLES_MIN: usize = 32;
/// Nodes for each sample vector.
const NODES_PER_SAMPLE: usize = 100;
/// Sample vectors that are compared together while a block of codes is in the cache.
const GROUP: usize = 16;
const BLOCK: usize = 512;
/// The number of best nodes by code that are scored with their full vectors.
const RERANKED: usize = 160;
/// The ratio of one tried ef to the one before.
const STEP: f32 = 1.3;
/// No ef is tried above this one.
const EF_MAX: usize = 4_096;
/// Safety margin: the fit allows this share of the allowed misses, since stored vectors only resemble later queries.
const MISSING_SHARE: f32 = 0.85;

/// Full vectors, by number: the graph's nodes have theirs, and others may follow.
pub(crate) type VectorOf<'a> = &'a (dyn Fn(NodeId) -> Result<&'a [f32]> + Sync);

/// The queries of a fit.
pub(crate) struct Sampled<'a> {
    /// The numbers of the vectors that serve as queries. A number that is no node's is that of another vector.
    pub nodes: Vec<NodeId>,
    pub vector_of: VectorOf<'a>,
}

impl<'a> Sampled<'a> {
    /// Some of a graph's `nodes`, spread over all.
    pub fn of_nodes(nodes: usize, vector_of: VectorOf<'a>) -> Self {
        Self { nodes: spread(nodes).into_iter().map(NodeId).collect(), vector_of }
    }
}

/// Fits the table of a graph over `points` to the queries. `go_on` is called before each group of samples and before
/// each ef. Its error ends the fit.
pub(crate) fn calibrate(
    graph: Graph<'_>,
    points: &Points<'_>,
    sampled: &Sampled<'_>,
    pool: &rayon::ThreadPool,
    go_on: &(dyn Fn() -> Result<()> + Sync),
) -> Result<Calibration> {
    let nodes = points.len();
    let groups: Vec<Vec<Sample>> = pool.install(|| {
        sampled
            .nodes
            .par_chunks(GROUP)
            .map(|group| {
                go_on()?;
                truths(group, points, sampled.vector_of)
            })
            .collect::<Result<_>>()
    })?;
    let samples: Vec<Sample> = groups.into_iter().flatten().filter(Sample::is_decided).collect();
    if samples.is_empty() {
        return Ok(Calibration { ef: RESULTS.map(|results| [2 * results as u32; RECALLS.len()]) });
    }
    let mut reached: [Vec<(f32, f32)>; 2] = Default::default();
    let mut ef = RESULTS[0];
    loop {
        go_on()?;
        let shares = pool.install(|| {
            samples
                .par_iter()
                .map(|sample| sample.found_by(graph, points, ef))
                .reduce(|| [0.0; 2], |a, b| [a[0] + b[0], a[1] + b[1]])
        });
        for ((curve, share), results) in reached.iter_mut().zip(shares).zip(RESULTS) {
            if ef >= results {
                curve.push((ef as f32, share / samples.len() as f32));
            }
        }
        let is_enough = |curve: &Vec<(f32, f32)>| {
            curve.last().is_some_and(|&(_, recall)| recall >= aim(RECALLS[RECALLS.len() - 1]))
        };
        if reached.iter().all(is_enough) || ef >= nodes.min(EF_MAX) {
            break;
        }
        ef = next_ef(ef).min(nodes.max(RESULTS[0])).min(EF_MAX);
    }
    Ok(Calibration { ef: reached.map(|curve| RECALLS.map(|recall| smallest_ef(&curve, aim(recall)))) })
}

/// The next larger ef to try. No number of results is skipped.
fn next_ef(ef: usize) -> usize {
    let next = (ef as f32 * STEP).ceil() as usize;
    RESULTS.into_iter().find(|&results| ef < results && results < next).unwrap_or(next)
}

/// The recall that the samples must reach, so that queries get `recall`.
fn aim(recall: f32) -> f32 {
    1.0 - (1.0 - recall) * MISSING_SHARE
}

/// The ef at which a curve of (ef, recall) first reaches `recall`, interpolated. Twice the last ef if it never does.
fn smallest_ef(curve: &[(f32, f32)], recall: f32) -> u32 {
    let Some(at) = curve.iter().position(|&(_, reached)| reached >= recall) else {
        return curve.last().map_or(EF_MAX as u32, |&(ef, _)| 2 * ef as u32);
    };
    let (ef, reached) = curve[at];
    let Some((before, below)) = at.checked_sub(1).map(|before| curve[before]) else { return ef as u32 };
    // Between two steps recall is nearly linear in the logarithm of ef.
    let share = (recall - below) / (reached - below).max(f32::MIN_POSITIVE);
    (before * (ef / before).powf(share)).ceil() as u32
}

/// The numbers below `nodes` that serve as queries: a random one of each of some equal intervals.
pub(crate) fn spread(nodes: usize) -> Vec<u32> {
    let count = (nodes / NODES_PER_SAMPLE).clamp(SAMPLES_MIN, SAMPLES_MAX).min(nodes);
    let mut state = nodes as u64;
    let mut next = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize
    };
    (0..count)
        .map(|index| {
            let (start, end) = (index * nodes / count, (index + 1) * nodes / count);
            (start + next() % (end - start).max(1)) as u32
        })
        .collect()
}

/// A stored vector as a query, and the nodes that are correct results.
struct Sample {
    node: NodeId,
    query: PreparedQuery,
    /// The values of [`right`] for each of `RESULTS`: a count, and the correct nodes, ascending by number.
    right: [(usize, Vec<NodeId>); 2],
}

impl Sample {
    /// Whether all correct results are known. Hundreds of equal vectors may all be correct, but the list holds only
    /// some of them.
    fn is_decided(&self) -> bool {
        self.right.iter().all(|(count, right)| *count == right.len() || right.len() < RERANKED)
    }

    /// The share of the correct results that a search finds, for each of `RESULTS`.
    fn found_by(&self, graph: Graph<'_>, points: &Points<'_>, ef: usize) -> [f32; 2] {
        let own = Some(self.node).filter(|node| node.index() < points.len());
        self.asked_by(own, graph, points, ef)
    }

    fn asked_by(&self, without: Option<NodeId>, graph: Graph<'_>, points: &Points<'_>, ef: usize) -> [f32; 2] {
        let mut found: Vec<Candidate> = Vec::new();
        let ask = BeamParameters { query: &self.query, ef, without, budget: usize::MAX };
        search(graph, points, &ask, &mut found);
        [&self.right[0], &self.right[1]].map(|(count, right)| {
            let hits = found.iter().filter(|candidate| right.binary_search(&candidate.node).is_ok()).count();
            if *count == 0 { 1.0 } else { hits.min(*count) as f32 / *count as f32 }
        })
    }
}

/// Finds the correct results of some nodes: a flat search of all codes, then the scores of the best by full vectors.
fn truths(group: &[NodeId], points: &Points<'_>, vector_of: VectorOf<'_>) -> Result<Vec<Sample>> {
    let kernels = Kernels::get();
    let queries = group.iter().map(|&node| Ok(PreparedQuery::new(kernels, vector_of(node)?, points.metric())));
    let queries: Vec<PreparedQuery> = queries.collect::<Result<_>>()?;
    let mut best: Vec<Vec<(f32, NodeId)>> = group.iter().map(|_| Vec::new()).collect();
    let mut raw = Vec::new();
    let (codes, metas, stride) = (points.codes(), points.metas(), points.stride());
    for start in (0..points.len()).step_by(BLOCK) {
        let end = points.len().min(start + BLOCK);
        raw.resize(end - start, 0);
        for (query, (best, &own)) in queries.iter().zip(best.iter_mut().zip(group)) {
            kernels.dot_codes_many(query.code(), &codes[start * stride..end * stride], stride, &mut raw);
            let worst = if best.len() < RERANKED { f32::NEG_INFINITY } else { best[best.len() - 1].0 };
            let estimates = raw.iter().zip(&metas[start..end]).map(|(&raw, meta)| query.estimate(raw, meta));
            let nodes = NodeId::range(start as u32..end as u32).ids().zip(estimates);
            best.extend(
                nodes
                    .filter(|&(node, estimate)| estimate >= worst && node != own)
                    .map(|(node, estimate)| (estimate, node)),
            );
            keep_best(best);
        }
    }
    let samples = group.iter().zip(queries).zip(best);
    samples
        .map(|((&node, query), best)| {
            let vector = vector_of(node)?;
            let exact = best.into_iter().map(|(_, other)| {
                let norms = [query.inverse_norm(), inverse_norm(metas[other.index()].norm)];
                Ok((score(points.metric(), kernels, vector, norms[0], vector_of(other)?, norms[1]), other))
            });
            let mut exact: Vec<(f32, NodeId)> = exact.collect::<Result<_>>()?;
            exact.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
            Ok(Sample { node, query, right: RESULTS.map(|results| right(&exact, results)) })
        })
        .collect()
}

/// Sorts the results, best first, and keeps the first `RERANKED`.
fn keep_best(best: &mut Vec<(f32, NodeId)>) {
    best.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    best.truncate(RERANKED);
}

/// The number of results that exist, at most `results`, and the nodes that score at least as well as the last of these.
fn right(exact: &[(f32, NodeId)], results: usize) -> (usize, Vec<NodeId>) {
    let count = results.min(exact.len());
    let Some(&(last, _)) = count.checked_sub(1).map(|last| &exact[last]) else { return (0, Vec::new()) };
    let mut nodes: Vec<NodeId> = exact.iter().take_while(|&&(score, _)| score >= last).map(|&(_, node)| node).collect();
    nodes.sort_unstable();
    (count, nodes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{Parameters, build};
    use crate::quant::{self, CodeMeta};
    use crate::random::Random;
    use crate::types::Metric;

    #[test]
    fn efforts_rise_keep_their_promise_and_do_not_depend_on_threads() {
        let (nodes, dims, stride) = (3_000, 16, quant::stride(16));
        let mut random = Random::new(5);
        let vectors: Vec<f32> = (0..(nodes + 200) * dims).map(|_| random.unit() / 2.0).collect();
        let vector = |node: NodeId| &vectors[node.index() * dims..][..dims];
        let mut codes = vec![0; nodes * stride];
        let encode =
            |(node, code): (usize, &mut [i8])| quant::encode(Kernels::get(), vector(NodeId::from_index(node)), code);
        let metas: Vec<CodeMeta> = codes.chunks_mut(stride).enumerate().map(encode).collect();
        let points = Points::new(&codes, &metas, stride, Metric::L2);
        let pool = |threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        // Few links, so that high recall needs a large ef.
        let parameters = Parameters { m: 4, m0: 8, ef_construction: 16, ..Parameters::default() };
        let built = build(&points, &parameters, &[], &pool(2), &|| Ok(())).unwrap();
        let graph = Graph::check(nodes as u32, &parameters, &built.links, &built.upper).unwrap();
        let vector_of = |node| Ok(vector(node));
        let sampled = Sampled::of_nodes(nodes, &vector_of);
        let table = calibrate(graph, &points, &sampled, &pool(1), &|| Ok(())).unwrap();
        assert_eq!(table, calibrate(graph, &points, &sampled, &pool(3), &|| Ok(())).unwrap());
        assert!(table.ef.iter().all(|row| row.is_sorted()) && table.ef[0][0] < table.ef[0][4], "{table:?}");

        // Queries that are not among the vectors.
        let asking: Vec<NodeId> = NodeId::range(nodes as u32..nodes as u32 + 200).ids().collect();
        let samples = truths(&asking, &points, &vector_of).unwrap();
        for (column, recall) in RECALLS.into_iter().enumerate() {
            for (row, results) in RESULTS.into_iter().enumerate() {
                let ef = table.ef(recall, results);
                let found: f32 = samples.iter().map(|sample| sample.asked_by(None, graph, &points, ef)[row]).sum();
                let found = found / samples.len() as f32;
                assert!(found >= recall - 0.02, "{results} results at {recall}: {found} with ef {ef}");
                assert!(column > 1 || found < 0.995, "{results} results at {recall}: {found} is far more than asked");
            }
        }
    }

    #[test]
    fn hundreds_of_equal_vectors_do_not_make_the_others_expensive() {
        let (nodes, dims, stride) = (8_000, 8, quant::stride(8));
        let vector = |node: usize| if node.is_multiple_of(2) { 1.0 } else { ((node * 7_919) % 1_009) as f32 / 100.0 };
        let vectors: Vec<f32> =
            (0..nodes * dims).map(|at| vector(at / dims) * (1 + at % dims * at / dims % 5) as f32).collect();
        let equal = vec![1.0_f32; dims];
        let of = |node: NodeId| {
            Ok(if node.0.is_multiple_of(2) { &equal[..] } else { &vectors[node.index() * dims..][..dims] })
        };
        let mut codes = vec![0; nodes * stride];
        let encode = |(node, code): (usize, &mut [i8])| {
            quant::encode(Kernels::get(), of(NodeId::from_index(node)).unwrap(), code)
        };
        let metas: Vec<CodeMeta> = codes.chunks_mut(stride).enumerate().map(encode).collect();
        let points = Points::new(&codes, &metas, stride, Metric::L2);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
        let built = build(&points, &Parameters::default(), &[], &pool, &|| Ok(())).unwrap();
        let graph = Graph::check(nodes as u32, &Parameters::default(), &built.links, &built.upper).unwrap();
        let table = calibrate(graph, &points, &Sampled::of_nodes(nodes, &of), &pool, &|| Ok(())).unwrap();
        assert!(table.ef[0][0] <= 60 && table.ef[1][0] <= 150, "{table:?}");
    }

    #[test]
    fn the_smallest_graphs_have_a_table_too() {
        for nodes in [1, 2, 9, 40] {
            let (dims, stride) = (4, quant::stride(4));
            let vectors: Vec<f32> = (0..nodes * dims).map(|at| (at * 37 % 11) as f32 - 5.0).collect();
            let mut codes = vec![0; nodes * stride];
            let rows = codes.chunks_mut(stride).zip(vectors.chunks(dims));
            let metas: Vec<CodeMeta> = rows.map(|(code, vector)| quant::encode(Kernels::get(), vector, code)).collect();
            let points = Points::new(&codes, &metas, stride, Metric::Cosine);
            let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
            let parameters = Parameters::default();
            let built = build(&points, &parameters, &[], &pool, &|| Ok(())).unwrap();
            let graph = Graph::check(nodes as u32, &parameters, &built.links, &built.upper).unwrap();
            let vector_of = |node: NodeId| Ok(&vectors[node.index() * dims..][..dims]);
            let sampled = Sampled::of_nodes(nodes, &vector_of);
            let table = calibrate(graph, &points, &sampled, &pool, &|| Ok(())).unwrap();
            assert!(table.ef.iter().flatten().all(|&ef| ef >= 1), "{nodes}: {table:?}");
            let stopped = calibrate(graph, &points, &sampled, &pool, &|| Err(crate::error::Error::invalid("stop")));
            assert!(stopped.is_err());
        }
    }
}
