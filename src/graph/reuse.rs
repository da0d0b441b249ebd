//! Reuse of an old graph's links in a new graph. A node that is in both keeps its links. A link to a deleted node is
//! replaced by links to the neighbours of that node.
//!
//! Invariants:
//! * At most one old graph is reused: the one with the most living nodes. The nodes of other graphs are inserted like
//!   new ones, since no link connects them with the first graph.
//! * A graph with too many deleted nodes is not reused: its replaced links are worse than those of a new build.

use rayon::prelude::*;

use super::insert::{Inserter, Links, Prune};
use super::select::Link;
use super::{Graph, NO_NODE};
use crate::distance::Kernels;
use crate::ids::NodeId;

/// An old graph, and the numbers of its nodes in the new graph.
pub(crate) struct Reuse<'a> {
    pub graph: Graph<'a>,
    /// For each old node its number in the new graph, or [`NO_NODE`] if it is deleted.
    pub became: Vec<NodeId>,
}

/// An old graph is reused only if at least this percentage of its nodes is in the new graph.
const ALIVE_PERCENT: usize = 60;
/// An old graph is reused only if its living nodes are at least this percentage of the new graph.
const WORTH_PERCENT: usize = 15;
/// Nodes that a thread takes at once.
const CHUNK: usize = 64;

impl Reuse<'_> {
    fn alive(&self) -> usize {
        self.became.iter().filter(|&&node| node != NO_NODE).count()
    }

    /// The links of an old node in the new graph: to its living neighbours, and to the living neighbours of its deleted
    /// neighbours. Also returns whether the node has a deleted neighbour.
    fn healed(&self, old: NodeId) -> (Vec<NodeId>, bool) {
        let own = self.became[old.index()];
        let mut near: Vec<NodeId> = Vec::new();
        let mut is_healed = false;
        for &neighbour in self.graph.row(old) {
            match self.became[neighbour.index()] {
                NO_NODE => {
                    is_healed = true;
                    near.extend(self.graph.row(neighbour).iter().map(|&second| self.became[second.index()]));
                }
                node => near.push(node),
            }
        }
        near.retain(|&node| node != NO_NODE && node != own);
        near.sort_unstable();
        near.dedup();
        (near, is_healed)
    }
}

/// Copies the links of the best old graph to the nodes of a new level, if that graph is worth reusing.
pub(super) fn adopt(inserter: &Inserter<'_>, reuse: &[Reuse<'_>], links: &mut Links) {
    let best = reuse.iter().max_by_key(|reuse| reuse.alive());
    let Some(best) = best.filter(|best| {
        let alive = best.alive() * 100;
        best.became.len() == best.graph.nodes()
            && alive >= best.became.len() * ALIVE_PERCENT
            && alive >= inserter.points.len() * WORTH_PERCENT
            && best.became.iter().all(|&node| node == NO_NODE || node.index() < inserter.points.len())
    }) else {
        return;
    };
    let rows: Vec<(NodeId, Vec<Link>)> = (0..best.became.len())
        .into_par_iter()
        .map(NodeId::from_index)
        .with_min_len(CHUNK)
        .filter(|&old| best.became[old.index()] != NO_NODE)
        .map(|old| {
            let node = best.became[old.index()];
            let (near, is_healed) = best.healed(old);
            // An unchanged row was pruned before. A row with replaced links, or one that is too long, is pruned again.
            let most = if is_healed || near.len() > links.capacity { links.degree } else { usize::MAX };
            (node, Kernels::get().run(Prune { inserter, node, known: &[], others: &near, most }))
        })
        .collect();
    // A node without living neighbours gets no links here, and is inserted like a new one.
    rows.iter().filter(|(_, row)| !row.is_empty()).for_each(|(node, row)| links.set(*node, row));
}
