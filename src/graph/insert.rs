//! One level of a graph during its build: its links, the insert of nodes and the pruning of links.
//!
//! Invariants:
//! * The links of a node depend on the graph before its batch, and the links of a target on the nodes that link to it,
//!   in the order of the nodes. So the graph is the same for any number of threads.
//! * A finished row holds at most `m0` (or `m`) links. During the build it may hold half as many more.

use super::pool::ordered;
use super::search::{GraphScratch, Level, QueryCode, SearchStats, descend, distances_of, search_level, with_scratch};
use super::select::{Link, query_of, select};
use super::{Parameters, Points, Upper};
use crate::distance::{CodeKernel, Kernels, Work};
use crate::error::Result;
use crate::ids::{Id, IdRange, NodeId};
use rayon::prelude::*;

/// The fewest nodes that a thread takes at once.
const CHUNK: usize = 16;
/// Rows that are computed beside the ones that they replace.
const ROWS_AT_ONCE: usize = 16_384;

/// The links of a level during its build. A row holds its links with their distances, nearest first, and has room for
/// half as many more as a finished one.
pub(super) struct Links {
    pub degree: usize,
    pub capacity: usize,
    pub nodes: Vec<NodeId>,
    distances: Vec<u32>,
    lengths: Vec<u16>,
}

impl Links {
    pub fn new(nodes: usize, degree: usize) -> Self {
        let capacity = degree + degree / 2;
        let own = NodeId::range(0..nodes as u32).ids().flat_map(|node| std::iter::repeat_n(node, capacity)).collect();
        Self { degree, capacity, nodes: own, distances: vec![0; nodes * capacity], lengths: vec![0; nodes] }
    }

    fn of(&self, node: NodeId) -> impl Iterator<Item = Link> + '_ {
        let (start, length) = (node.index() * self.capacity, usize::from(self.lengths[node.index()]));
        let range = start..start + length;
        self.distances[range.clone()].iter().copied().zip(self.nodes[range].iter().copied())
    }

    pub fn is_linked(&self, node: NodeId) -> bool {
        self.lengths[node.index()] > 0
    }

    pub fn set(&mut self, node: NodeId, links: &[Link]) {
        let start = node.index() * self.capacity;
        for (index, &(distance, neighbour)) in links.iter().enumerate() {
            self.nodes[start + index] = neighbour;
            self.distances[start + index] = distance;
        }
        self.nodes[start + links.len()..start + self.capacity].fill(node);
        self.lengths[node.index()] = links.len() as u16;
    }

    fn level(&self) -> Level<'_> {
        Level { links: &self.nodes, degree: self.capacity }
    }
}

/// The inputs of the build of one level.
pub(super) struct Inserter<'a> {
    pub points: &'a Points<'a>,
    pub parameters: &'a Parameters,
    /// The levels above.
    pub upper: Upper<'a>,
}

impl Inserter<'_> {
    /// Gives `seeded`, some of the `first` nodes, their links of the level above. The highest level has no links: below
    /// it, a node chooses among all `first` nodes.
    pub fn seed(&self, first: &[NodeId], seeded: &[NodeId], links: &mut Links) {
        let upper = &self.upper;
        let is_seeded: std::collections::HashSet<NodeId> = seeded.iter().copied().collect();
        let rows: Vec<(NodeId, Vec<Link>)> = first
            .par_iter()
            .enumerate()
            .with_min_len(CHUNK)
            .filter(|(_, node)| is_seeded.contains(node))
            .map(|(position, &node)| {
                let near: Vec<NodeId> = if upper.counts.len() > 1 {
                    let row = &upper.level(1)[position * upper.m..][..upper.m];
                    row.iter().filter(|&&at| at as usize != position).map(|&at| first[at as usize]).collect()
                } else {
                    first.iter().copied().filter(|&other| other != node).collect()
                };
                let most = links.degree;
                (node, Kernels::get().run(Prune { inserter: self, node, known: &[], others: &near, most }))
            })
            .collect();
        rows.into_iter().for_each(|(node, row)| links.set(node, &row));
    }

    /// Inserts a batch: finds the links of all its nodes, then adds the links back. If `go_on` fails, none is inserted.
    pub fn insert(&self, batch: &[NodeId], links: &mut Links, go_on: &(dyn Fn() -> Result<()> + Sync)) -> Result<()> {
        let rows: Vec<Vec<Link>> = batch
            .par_iter()
            .with_min_len(CHUNK)
            .map(|&node| {
                go_on()?;
                Ok(with_scratch(|scratch| Kernels::get().run(Find { scratch, inserter: self, links, node })))
            })
            .collect::<Result<_>>()?;
        let mut back: Vec<(NodeId, u32, NodeId)> = Vec::new();
        for (&node, row) in batch.iter().zip(&rows) {
            links.set(node, row);
            back.extend(row.iter().map(|&(distance, target)| (target, distance, node)));
        }
        back.par_sort_unstable();
        let groups: Vec<&[(NodeId, u32, NodeId)]> = back.chunk_by(|a, b| a.0 == b.0).collect();
        // A row depends on no other one. Their number is bounded because all of a slice are kept beside the old ones.
        for groups in groups.chunks(ROWS_AT_ONCE) {
            let changed: Vec<(NodeId, Vec<Link>)> =
                groups.par_iter().with_min_len(CHUNK).map(|group| self.with_links_back(group, links)).collect();
            changed.into_iter().for_each(|(target, row)| links.set(target, &row));
        }
        Ok(())
    }

    /// The row of a target with the links back to the nodes that link to it: target, distance and node.
    fn with_links_back(&self, group: &[(NodeId, u32, NodeId)], links: &Links) -> (NodeId, Vec<Link>) {
        let target = group[0].0;
        let mut row: Vec<Link> = links.of(target).collect();
        for &(_, distance, node) in group {
            if row.iter().all(|&(_, there)| there != node) {
                row.push((distance, node));
            }
        }
        row.sort_unstable();
        if row.len() > links.capacity {
            let most = links.degree;
            row = Kernels::get().run(Prune { inserter: self, node: target, known: &row, others: &[], most });
        }
        (target, row)
    }

    /// Prunes the rows that are longer than a finished one, and packs all rows, each with `spare` free slots at its
    /// end.
    pub fn finish(&self, links: Links, spare: usize) -> Vec<NodeId> {
        let width = links.degree + spare;
        let mut packed = vec![NodeId(0); self.points.len() * width];
        packed.par_chunks_mut(width).with_min_len(CHUNK).enumerate().for_each(|(index, packed)| {
            let node = NodeId::from_index(index);
            let mut row: Vec<Link> = links.of(node).collect();
            if row.len() > links.degree {
                let most = links.degree;
                row = Kernels::get().run(Prune { inserter: self, node, known: &row, others: &[], most });
            }
            packed.fill(node);
            packed.iter_mut().zip(row).for_each(|(slot, (_, neighbour))| *slot = neighbour);
        });
        packed
    }
}

/// Finds the links of a node by a search of the level.
struct Find<'a, 's> {
    scratch: &'s mut GraphScratch,
    inserter: &'a Inserter<'a>,
    links: &'s Links,
    node: NodeId,
}

impl Work for Find<'_, '_> {
    type Output = Vec<Link>;

    #[inline(always)]
    fn run<K: CodeKernel>(self) -> Vec<Link> {
        let Inserter { points, parameters, upper } = *self.inserter;
        let scratch = self.scratch;
        let mut code = std::mem::take(&mut scratch.code);
        let mut stats = SearchStats::default();
        let beam = QueryCode { ef: parameters.ef_construction as usize, ..query_of(points, self.node, &mut code) };
        descend::<K>(&upper, points, &beam, scratch, &mut stats);
        search_level::<K>(&self.links.level(), points, &beam, scratch, &mut stats);
        let found = scratch.pool.iter().map(|(distance, node)| (ordered(distance), node));
        let mut candidates: Vec<Link> = found.chain(self.links.of(self.node)).collect();
        candidates.sort_unstable();
        candidates.dedup();
        let mut chosen = Vec::new();
        select::<K>(points, &candidates, self.links.degree, parameters.alpha, &mut code, &mut chosen);
        scratch.code = code;
        chosen
    }
}

/// Chooses at most `most` links of a node among the candidates `known` and `others`. The distances of `others` are
/// computed here. If `most` is [`usize::MAX`], all candidates become links, nearest first.
pub(super) struct Prune<'a> {
    pub inserter: &'a Inserter<'a>,
    pub node: NodeId,
    pub known: &'a [Link],
    pub others: &'a [NodeId],
    pub most: usize,
}

impl Work for Prune<'_> {
    type Output = Vec<Link>;

    #[inline(always)]
    fn run<K: CodeKernel>(self) -> Vec<Link> {
        let Inserter { points, parameters, .. } = *self.inserter;
        let mut code = Vec::new();
        let mut candidates = self.known.to_vec();
        if !self.others.is_empty() {
            let beam = query_of(points, self.node, &mut code);
            let mut distances = vec![0; self.others.len()];
            distances_of::<K>(points, &beam, self.others, &mut distances);
            candidates.extend(distances.into_iter().zip(self.others.iter().copied()));
            candidates.sort_unstable();
        }
        if self.most == usize::MAX {
            return candidates;
        }
        let mut chosen = Vec::new();
        select::<K>(points, &candidates, self.most, parameters.alpha, &mut code, &mut chosen);
        chosen
    }
}
