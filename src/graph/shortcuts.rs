//! Shortcuts, under `Dot` only: links from a node to the nodes with the largest dot products with it. They take the
//! slots of its row that the choice of links left free.
//!
//! The other links follow the distance with heights (`Ranking::of_code`), by which every node can be found. But a query
//! lies far from all nodes by it, and its results far from each other. A stored vector is a query too: whoever comes to
//! a node in the direction of the query goes on to what is right for that direction. Of the same kind are the links of
//! Chen et al., "RoarGraph: a projected bipartite graph for efficient cross-modal approximate nearest neighbor search"
//! (VLDB 2024), from queries to their results.
//!
//! Invariant: no link is replaced, so what was reachable stays so.

use rayon::prelude::*;

use super::search::{BeamSearch, GraphScratch, QueryCode, with_scratch};
use super::select::query_of;
use super::{Built, Graph, Parameters, Points};
use crate::distance::Kernels;
use crate::error::{Error, Result};
use crate::ids::NodeId;
use crate::quant::Ranking;
use crate::types::Metric;

/// The ef of the searches for the largest dot products.
const EF: usize = 64;
/// Rows that a thread takes at once.
const CHUNK: usize = 16;

/// The links of a row that are left to shortcuts: a quarter.
pub(super) fn room(metric: Metric, m0: u32) -> u32 {
    if metric == Metric::Dot { m0 / 4 } else { 0 }
}

/// Fills the free slots of all rows.
pub(super) fn link_shortcuts(
    points: &Points<'_>,
    parameters: &Parameters,
    built: &mut Built,
    go_on: &(dyn Fn() -> Result<()> + Sync),
) -> Result<()> {
    let m0 = parameters.m0 as usize;
    let graph = Graph::shape(points.len() as u32, parameters, &built.links, &built.upper).map_err(Error::invalid)?;
    let found = shortcuts(points, graph, go_on)?;
    for (chunk, (rows, found)) in built.links.chunks_mut(m0 * CHUNK).zip(found).enumerate() {
        let mut found = found.into_iter();
        for (at, row) in rows.chunks_mut(m0).enumerate() {
            let own = NodeId::from_index(chunk * CHUNK + at);
            let there = linked(row, own);
            row.iter_mut().skip(there).zip(&mut found).for_each(|(slot, to)| *slot = to);
        }
    }
    Ok(())
}

/// What the free slots of each [`CHUNK`] of rows are to hold, row by row, and no more, since this is kept of all rows
/// until the end. A slot for which nothing was found holds the row's own node, as before.
fn shortcuts(
    points: &Points<'_>,
    graph: Graph<'_>,
    go_on: &(dyn Fn() -> Result<()> + Sync),
) -> Result<Vec<Vec<NodeId>>> {
    let chunk_of = |chunk: usize| {
        let nodes = chunk * CHUNK..points.len().min((chunk + 1) * CHUNK);
        let mut slots = Vec::new();
        for own in nodes.map(NodeId::from_index) {
            go_on()?;
            let (there, free) = graph.row(own).split_at(linked(graph.row(own), own));
            if !free.is_empty() {
                let end = slots.len() + free.len();
                let found = largest_products(points, graph, own);
                slots.extend(found.into_iter().filter(|to| !there.contains(to)).take(free.len()));
                slots.resize(end, own);
            }
        }
        slots.shrink_to_fit();
        Ok(slots)
    };
    (0..points.len().div_ceil(CHUNK)).into_par_iter().map(chunk_of).collect()
}

/// How many links a row has before its free slots, which hold its own node.
fn linked(row: &[NodeId], own: NodeId) -> usize {
    row.iter().position(|&to| to == own).unwrap_or(row.len())
}

/// The nodes with the largest dot products with a node, largest first.
fn largest_products(points: &Points<'_>, graph: Graph<'_>, node: NodeId) -> Vec<NodeId> {
    with_scratch(|scratch: &mut GraphScratch| {
        let mut code = std::mem::take(&mut scratch.code);
        let ranking = Ranking::of_products(Kernels::get(), points.meta(node));
        let beam = QueryCode { ef: EF, ranking, ..query_of(points, node, &mut code) };
        Kernels::get().run(BeamSearch { graph, points: *points, beam, scratch });
        scratch.code = code;
        scratch.pool.iter().map(|(_, node)| node).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::build;
    use crate::quant::{self, CodeMeta};
    use crate::random::Random;

    #[test]
    fn no_more_is_kept_than_the_free_slots_hold() {
        let (nodes, dims, stride) = (1_000, 8, quant::stride(8));
        let mut random = Random::new(3);
        let vectors: Vec<f32> = (0..nodes * dims).map(|_| random.unit()).collect();
        let mut codes = vec![0; nodes * stride];
        let encode = |(code, vector): (&mut [i8], &[f32])| quant::encode(Kernels::get(), vector, code);
        let metas: Vec<CodeMeta> = codes.chunks_mut(stride).zip(vectors.chunks(dims)).map(encode).collect();
        let points = Points::new(&codes, &metas, stride, Metric::Dot);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
        let parameters = Parameters::default();
        let mut built = build(&points, &parameters, &[], &pool, &|| Ok(())).unwrap();
        // Every second row loses a quarter of its links.
        let (m0, room) = (parameters.m0 as usize, room(Metric::Dot, parameters.m0) as usize);
        for (at, row) in built.links.chunks_mut(m0).enumerate().step_by(2) {
            row[m0 - room..].fill(NodeId::from_index(at));
        }
        let before = built.links.clone();
        let free = |links: &[NodeId]| -> usize {
            links.chunks(m0).enumerate().map(|(at, row)| m0 - linked(row, NodeId::from_index(at))).sum()
        };
        let graph = Graph::shape(nodes as u32, &parameters, &built.links, &built.upper).unwrap();
        let points = &points.with_norms();
        let kept: usize = shortcuts(points, graph, &|| Ok(())).unwrap().iter().map(Vec::capacity).sum();
        assert!(free(&before) >= nodes / 2 * room && kept == free(&before), "{kept} of {}", free(&before));
        link_shortcuts(points, &parameters, &mut built, &|| Ok(())).unwrap();
        for (at, (row, before)) in built.links.chunks(m0).zip(before.chunks(m0)).enumerate() {
            let (own, there) = (NodeId::from_index(at), linked(before, NodeId::from_index(at)));
            assert_eq!(row[..there], before[..there], "no link is replaced");
            let mut links = row[..linked(row, own)].to_vec();
            links.sort_unstable();
            links.dedup();
            assert_eq!(links.len(), linked(row, own), "no link is there twice");
        }
        assert!(free(&built.links) < free(&before) / 4);
    }
}
