//! Makes every node reachable from the first one of the order, by links in free slots of nodes that are near.
//!
//! Invariants:
//! * What was reachable stays so: where no slot is free, the new node takes the place of a link and itself leads on to
//!   what was there.

use super::search::{BeamSearch, GraphScratch, QueryCode, with_scratch};
use super::select::query_of;
use super::{Built, Graph, Parameters, Points};
use crate::distance::Kernels;
use crate::error::Result;

/// Candidates among which a node with a free slot is looked for.
const EF: usize = 64;

/// Links what cannot be reached; `built` has passed its check.
///
/// `go_on` is asked now and then; its error ends it.
pub(super) fn repair(
    points: &Points<'_>,
    parameters: &Parameters,
    built: &mut Built,
    go_on: &(dyn Fn() -> Result<()> + Sync),
) -> Result<()> {
    let mut reached = vec![false; points.len()];
    let order_at = 1 + built.upper.first().map_or(0, |&levels| levels as usize);
    let Some(&root) = built.upper.get(order_at) else { return Ok(()) };
    spread(&built.links, parameters.m0 as usize, root, &mut reached);
    for node in 0..points.len() as u32 {
        if !reached[node as usize] {
            go_on()?;
            link(points, parameters, built, node, root, &reached);
            spread(&built.links, parameters.m0 as usize, node, &mut reached);
        }
    }
    Ok(())
}

/// Marks what can be reached from `root`.
fn spread(links: &[u32], m0: usize, root: u32, reached: &mut [bool]) {
    let mut waiting = vec![root];
    reached[root as usize] = true;
    while let Some(node) = waiting.pop() {
        for &neighbour in &links[node as usize * m0..][..m0] {
            if !std::mem::replace(&mut reached[neighbour as usize], true) {
                waiting.push(neighbour);
            }
        }
    }
}

/// Links a node that is reached to `node`: the nearest one that has a free slot, else the nearest one.
fn link(points: &Points<'_>, parameters: &Parameters, built: &mut Built, node: u32, root: u32, reached: &[bool]) {
    let m0 = parameters.m0 as usize;
    let mut near = nearest(points, parameters, built, node);
    near.retain(|&candidate| reached[candidate as usize]);
    let has_room = |&&from: &&u32| built.links[(from as usize + 1) * m0 - 1] == from;
    let target = *near.iter().find(has_room).or(near.first()).unwrap_or(&root);
    let instead_of = put(&mut built.links[target as usize * m0..][..m0], target, node);
    if let Some(lost) = instead_of {
        // Nobody is reached through `node` yet, so its own last link can go.
        put(&mut built.links[node as usize * m0..][..m0], node, lost);
    }
}

/// Adds a link to the row of `own`, in the place of the farthest one if it must; which that was.
fn put(row: &mut [u32], own: u32, link: u32) -> Option<u32> {
    let free = row.iter().position(|&neighbour| neighbour == own);
    let slot = free.unwrap_or(row.len() - 1);
    let before = std::mem::replace(&mut row[slot], link);
    free.is_none().then_some(before)
}

/// The nodes nearest to a node, nearest first.
fn nearest(points: &Points<'_>, parameters: &Parameters, built: &Built, node: u32) -> Vec<u32> {
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
