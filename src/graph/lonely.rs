//! More links to nodes that hardly any link leads to. The choice of links drops those to a node far from all others, so
//! a search that comes near it passes by.
//!
//! Invariants:
//! * A link is replaced only if more than [`SPARE`] lead to its node.
//! * Nodes are looked at in their order, so the outcome does not depend on threads.

use rayon::prelude::*;

use super::repair::nearest;
use super::{Built, Parameters, Points};
use crate::error::Result;
use crate::ids::NodeId;

/// The links to a node that it has at least, if its nearest nodes have room, or if others give way.
const ENOUGH: u32 = 4;
const ENOUGH_OF_OTHERS: u32 = 2;
/// A link may be replaced if so many others lead to its node.
const SPARE: u32 = 8;
/// Lonely nodes whose nearest nodes are kept at once.
const AT_ONCE: usize = 4_096;
/// The share of a row's links, from the farthest on, that may be replaced.
const REPLACED_SHARE: usize = 4;

/// How many links lead to each node.
pub(super) fn degrees(built: &Built, nodes: usize, m0: usize) -> Vec<u32> {
    let mut degrees = vec![0_u32; nodes];
    for (node, row) in built.links.chunks(m0).enumerate() {
        row.iter().filter(|to| to.index() != node).for_each(|to| degrees[to.index()] += 1);
    }
    degrees
}

/// Links lonely nodes from their nearest nodes. `go_on` is called between nodes; its error ends the work.
pub(super) fn link_lonely(
    points: &Points<'_>,
    parameters: &Parameters,
    built: &mut Built,
    go_on: &(dyn Fn() -> Result<()> + Sync),
) -> Result<()> {
    let m0 = parameters.m0 as usize;
    let mut degrees = degrees(built, points.len(), m0);
    let lonely: Vec<NodeId> = degrees
        .iter()
        .enumerate()
        .filter(|(_, degree)| **degree < ENOUGH)
        .map(|(at, _)| NodeId::from_index(at))
        .collect();
    for lonely in lonely.chunks(AT_ONCE) {
        let near: Vec<Vec<NodeId>> = lonely
            .par_iter()
            .map(|&node| {
                go_on()?;
                Ok(nearest(points, parameters, built, node))
            })
            .collect::<Result<_>>()?;
        link_from(lonely.iter().copied().zip(near), m0, built, &mut degrees);
    }
    Ok(())
}

/// Links lonely nodes from those near to them.
fn link_from(lonely: impl Iterator<Item = (NodeId, Vec<NodeId>)>, m0: usize, built: &mut Built, degrees: &mut [u32]) {
    for (node, near) in lonely {
        for may_replace in [false, true] {
            let enough = if may_replace { ENOUGH_OF_OTHERS } else { ENOUGH };
            for &from in near.iter().filter(|&&from| from != node) {
                if degrees[node.index()] >= enough {
                    break;
                }
                let row = &mut built.links[from.index() * m0..][..m0];
                if row.contains(&node) {
                    continue;
                }
                let free = row.iter().position(|&to| to == from);
                let spare = || (m0 - m0 / REPLACED_SHARE..m0).rev().find(|&at| degrees[row[at].index()] > SPARE);
                let Some(slot) = free.or_else(|| if may_replace { spare() } else { None }) else { continue };
                let before = std::mem::replace(&mut row[slot], node);
                if before != from {
                    degrees[before.index()] -= 1;
                }
                degrees[node.index()] += 1;
            }
        }
    }
}
