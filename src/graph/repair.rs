//! Makes every node reachable from the first node of the order, by links in free slots of near nodes.
//!
//! Invariants:
//! * A reachable node stays reachable. If no slot is free, the new node replaces a link and links to the replaced node
//!   itself.

use super::search::{BeamSearch, GraphScratch, QueryCode, with_scratch};
use super::select::query_of;
use super::{Built, Graph, Parameters, Points};
use crate::distance::Kernels;
use crate::error::Result;
use crate::ids::{Id, IdRange, NodeId};

/// Near nodes that are searched for a free slot.
const EF: usize = 64;

/// Links unreachable nodes. `built` has passed its check.
///
/// `go_on` is called between nodes. Its error ends the repair.
pub(super) fn repair(
    points: &Points<'_>,
    parameters: &Parameters,
    built: &mut Built,
    go_on: &(dyn Fn() -> Result<()> + Sync),
) -> Result<()> {
    let mut reached = vec![false; points.len()];
    let order_at = 1 + built.upper.first().map_or(0, |&levels| levels as usize);
    let Some(&root) = built.upper.get(order_at) else { return Ok(()) };
    let root = NodeId(root);
    spread(&built.links, parameters.m0 as usize, root, &mut reached);
    for node in NodeId::range(0..points.len() as u32).ids() {
        if !reached[node.index()] {
            go_on()?;
            link(points, parameters, built, node, root, &reached);
            spread(&built.links, parameters.m0 as usize, node, &mut reached);
        }
    }
    Ok(())
}

/// Marks the nodes that can be reached from `root`.
fn spread(links: &[NodeId], m0: usize, root: NodeId, reached: &mut [bool]) {
    let mut waiting = vec![root];
    reached[root.index()] = true;
    while let Some(node) = waiting.pop() {
        for &neighbour in &links[node.index() * m0..][..m0] {
            if !std::mem::replace(&mut reached[neighbour.index()], true) {
                waiting.push(neighbour);
            }
        }
    }
}

/// Adds a link to `node` from a reachable node: the nearest with a free slot, else the nearest.
fn link(points: &Points<'_>, parameters: &Parameters, built: &mut Built, node: NodeId, root: NodeId, reached: &[bool]) {
    let m0 = parameters.m0 as usize;
    let mut near = nearest(points, parameters, built, node);
    near.retain(|&candidate| reached[candidate.index()]);
    let has_room = |&&from: &&NodeId| built.links[(from.index() + 1) * m0 - 1] == from;
    let target = *near.iter().find(has_room).or(near.first()).unwrap_or(&root);
    let instead_of = put(&mut built.links[target.index() * m0..][..m0], target, node);
    if let Some(lost) = instead_of {
        // No node is reached through `node` yet, so its own last link can go.
        put(&mut built.links[node.index() * m0..][..m0], node, lost);
    }
}

/// Adds a link to the row of `own`. If the row is full, the link replaces the farthest, which is returned.
fn put(row: &mut [NodeId], own: NodeId, link: NodeId) -> Option<NodeId> {
    let free = row.iter().position(|&neighbour| neighbour == own);
    let slot = free.unwrap_or(row.len() - 1);
    let before = std::mem::replace(&mut row[slot], link);
    free.is_none().then_some(before)
}

/// The nodes nearest to a node, nearest first.
pub(super) fn nearest(points: &Points<'_>, parameters: &Parameters, built: &Built, node: NodeId) -> Vec<NodeId> {
    let Ok(graph) = Graph::shape(points.len() as u32, parameters, &built.links, &built.upper) else {
        return Vec::new();
    };
    with_scratch(|scratch: &mut GraphScratch| {
        let mut code = std::mem::take(&mut scratch.code);
        let beam = QueryCode { ef: EF, ..query_of(points, node, &mut code) };
        Kernels::get().run(BeamSearch { graph, points: *points, beam, scratch });
        scratch.code = code;
        scratch.pool.iter().map(|(_, node)| node).collect()
    })
}
