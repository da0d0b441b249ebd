//! What a new graph takes over from an old one: the links of nodes that live on, healed around those that do not.
//!
//! Invariants:
//! * One old graph is taken over, the one with most nodes that live on; the nodes of others are inserted like new ones,
//!   for nothing links them with the first.
//! * A graph that has lost too much is not taken over: what is healed in place of many dead nodes is worth less than a
//!   new build.

use rayon::prelude::*;

use super::insert::{Inserter, Links, Prune};
use super::select::Link;
use super::{Graph, NO_NODE};
use crate::distance::Kernels;
use crate::ids::NodeId;

/// An old graph, and what became of its nodes.
pub(crate) struct Reuse<'a> {
    pub graph: Graph<'a>,
    /// For each old node the new one, or [`NO_NODE`].
    pub became: Vec<NodeId>,
}

/// The share of an old graph's nodes that must live on, in percent.
const ALIVE_PERCENT: usize = 60;
/// The share of the new graph's nodes that it must be worth, in percent.
const WORTH_PERCENT: usize = 15;
/// Nodes that a thread takes at once.
const CHUNK: usize = 64;

impl Reuse<'_> {
    fn alive(&self) -> usize {
        self.became.iter().filter(|&&node| node != NO_NODE).count()
    }

    /// The links that an old node has in the new graph: to what lives of its neighbours, and to what lives around the
    /// dead ones.
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

/// Gives nodes of the level to be built the links of the best of the old graphs.
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
            // What was chosen before stays chosen; what is healed is chosen anew.
            let most = if is_healed || near.len() > links.capacity { links.degree } else { usize::MAX };
            (node, Kernels::get().run(Prune { inserter, node, known: &[], others: &near, most }))
        })
        .collect();
    // A node all of whose surroundings are gone is inserted like a new one.
    rows.iter().filter(|(_, row)| !row.is_empty()).for_each(|(node, row)| links.set(*node, row));
}
