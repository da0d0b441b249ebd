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
/// Nodes that a thread takes at once.
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
    let rows: Vec<Vec<NodeId>> = (0..points.len())
        .into_par_iter()
        .with_min_len(CHUNK)
        .map(|at| {
            go_on()?;
            Ok(largest_products(points, graph, NodeId::from_index(at)))
        })
        .collect::<Result<_>>()?;
    for (at, (row, found)) in built.links.chunks_mut(m0).zip(rows).enumerate() {
        let own = NodeId::from_index(at);
        let Some(free) = row.iter().position(|&to| to == own) else { continue };
        let (there, free) = row.split_at_mut(free);
        let new = found.into_iter().filter(|to| !there.contains(to));
        free.iter_mut().zip(new).for_each(|(slot, to)| *slot = to);
    }
    Ok(())
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
