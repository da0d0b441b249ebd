//! Links of an old graph in a new one: nodes that live on keep their links, with detours around dead nodes.
//!
//! Invariants:
//! * One old graph is reused: the one with the most live nodes. The nodes of other graphs are inserted like new ones,
//!   since no link connects them with the first.
//! * A graph with too many dead nodes is not reused: detours around them are worth less than a new build.

use rayon::prelude::*;

use super::insert::{Inserter, Links, Prune};
use super::select::Link;
use super::{Graph, NO_NODE};
use crate::distance::Kernels;
use crate::ids::NodeId;

/// An old graph, and the numbers of its nodes in the new one.
pub(crate) struct Reuse<'a> {
    pub graph: Graph<'a>,
    /// For each old node the new one, or [`NO_NODE`].
    pub became: Vec<NodeId>,
}

/// An old graph is reused if at least this share of its nodes lives on, in percent.
const ALIVE_PERCENT: usize = 60;
/// And if they are at least this share of the new graph, in percent.
const WORTH_PERCENT: usize = 15;
/// Nodes that a thread takes at once.
const CHUNK: usize = 64;

impl Reuse<'_> {
    fn alive(&self) -> usize {
        self.became.iter().filter(|&&node| node != NO_NODE).count()
    }

    /// The links of an old node in the new graph: to its live neighbours, and to the live neighbours of its dead ones.
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

/// Gives nodes of a new level the links of the best old graph.
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
            // An unchanged row was pruned before. A row with detours is pruned again.
            let most = if is_healed || near.len() > links.capacity { links.degree } else { usize::MAX };
            (node, Kernels::get().run(Prune { inserter, node, known: &[], others: &near, most }))
        })
        .collect();
    // A node without live neighbours is inserted like a new one.
    rows.iter().filter(|(_, row)| !row.is_empty()).for_each(|(node, row)| links.set(*node, row));
}
