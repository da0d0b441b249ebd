//! The beam search of a graph in which only some nodes may be results: it walks over these nodes alone, and over the
//! links of nodes between them.
//!
//! A node that is not admitted gets no distance. Its links stand for it: where few neighbours of a node are admitted,
//! the neighbours of the others are compared too (the two-hop expansion of ACORN-1, Patel et al., SIGMOD 2024, section
//! 5.2).
//!
//! Invariants:
//! * The pool holds admitted nodes only.
//! * The result depends on graph, points, query and admitted nodes only, not on earlier searches of the thread.
//! * The bits of admitted nodes are read without bounds checks: most of the links that a walk looks at lead to nodes
//!   that are not admitted, so their test is most of the walk where few nodes are. The walk compares the bits with the
//!   number of points before its loop, and a [`Graph`] holds no link to another node.

use super::pool::Pool;
use super::search::{
    BeamParameters, Candidate, GraphScratch, Level, QueryCode, SearchStats, descend, distances_of, with_scratch,
};
use super::{Graph, Points};
use crate::distance::{CodeKernel, Kernels, Work};
use crate::ids::NodeId;

/// The nodes of a graph that may be results, as bits: that of node n is bit `first + n`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Admitted<'a> {
    pub words: &'a [u64],
    pub first: usize,
    /// Some of them, where the walk begins beside the nodes that the upper levels lead to: if the admitted nodes lie
    /// far from the query, these levels lead elsewhere.
    pub seeds: &'a [NodeId],
}

impl Admitted<'_> {
    #[inline(always)]
    fn has(&self, node: NodeId) -> bool {
        let at = self.first + node.index();
        self.words.get(at / 64).is_some_and(|word| word >> (at % 64) & 1 == 1)
    }

    /// How many of the first `nodes` nodes are admitted.
    pub fn count(&self, nodes: usize) -> usize {
        (0..nodes).step_by(64).map(|start| self.word(start, nodes).count_ones() as usize).sum()
    }

    /// The bits of 64 nodes from `start` on, which is below `nodes`; 0 from node number `nodes` on.
    #[inline]
    pub fn word(&self, start: usize, nodes: usize) -> u64 {
        let (word, shift) = ((self.first + start) / 64, (self.first + start) % 64);
        let of = |word: usize| self.words.get(word).copied().unwrap_or(0);
        let above = if shift == 0 { 0 } else { of(word + 1) << (64 - shift) };
        let left = (nodes - start).min(64);
        (of(word) >> shift | above) & (u64::MAX >> (64 - left))
    }

    /// Whether there is a bit for each of `nodes` nodes.
    fn covers(&self, nodes: usize) -> bool {
        self.first.checked_add(nodes).is_some_and(|end| end <= self.words.len() * 64)
    }

    /// Writes the admitted ones of `row` to the beginning of `found`, and returns how many they are. There are no
    /// branches on a bit, since nothing predicts it.
    ///
    /// # Safety
    ///
    /// The bits must [cover](Self::covers) every node of the row.
    #[inline(always)]
    unsafe fn of_row(&self, row: &[NodeId], found: &mut [NodeId]) -> usize {
        assert!(row.len() <= found.len(), "there is room for a whole row");
        let mut count = 0;
        for &node in row {
            let at = self.first + node.index();
            // SAFETY: the caller has compared the bits with the nodes; at most one node is written for each of the row.
            unsafe {
                *found.get_unchecked_mut(count) = node;
                count += (self.words.get_unchecked(at / 64) >> (at % 64) & 1) as usize;
            }
        }
        count
    }
}

/// The share of the links of `nodes` that lead to admitted nodes; 1 if there are no links.
pub(crate) fn share_of_links(graph: Graph<'_>, admitted: &Admitted<'_>, nodes: &[NodeId]) -> f64 {
    let level = Level { links: graph.links, degree: graph.m0 };
    let (mut links, mut lead_to_admitted) = (0_usize, 0_usize);
    nodes.iter().for_each(|&node| level.prefetch(node));
    for &node in nodes {
        // A row of links is filled up with the node's own number.
        for &neighbour in level.row(node).iter().filter(|&&neighbour| neighbour != node) {
            links += 1;
            lead_to_admitted += usize::from(admitted.has(neighbour));
        }
    }
    if links == 0 { 1.0 } else { lead_to_admitted as f64 / links as f64 }
}

/// Links of nodes that are not admitted are read until so many admitted neighbours were found, in rows of the graph.
const ENOUGH_ROWS: usize = 1;

/// The number of candidates that are expanded together, and whose links are loaded ahead: a walk waits for memory most
/// of its time. Of 1,000,000 vectors walks took 5 % to 20 % less time than one by one, the long ones most.
const BEAM_WIDTH: usize = 4;

/// So many nodes of one row are prefetched at once: of many more, the first would be gone before they are read.
const PREFETCHED: usize = 64;

/// Finds about the `ef` admitted nodes nearest to the query, best first, in `found`.
pub(crate) fn search_admitted(
    graph: Graph<'_>,
    points: &Points<'_>,
    ask: &BeamParameters<'_>,
    admitted: &Admitted<'_>,
    found: &mut Vec<Candidate>,
) -> SearchStats {
    found.clear();
    assert_eq!(graph.nodes(), points.len(), "a graph and its points are of one size");
    assert!(admitted.covers(points.len()), "there is a bit for each point");
    if points.len() == 0 || ask.ef == 0 {
        return SearchStats::default();
    }
    let ranking = ask.query.ranking();
    with_scratch(|scratch| {
        let (code, ef, without, budget) = (ask.query.code(), ask.ef, ask.without, ask.budget);
        let beam = QueryCode { code, ranking, ef, without, budget };
        let stats = Kernels::get().run(AdmittedWalk { graph, points: *points, beam, admitted: *admitted, scratch });
        found.extend(
            scratch.pool.iter().map(|(distance, node)| Candidate { node, estimate: ranking.estimate(distance) }),
        );
        stats
    })
}

struct AdmittedWalk<'a, 's> {
    graph: Graph<'a>,
    points: Points<'a>,
    beam: QueryCode<'a>,
    admitted: Admitted<'a>,
    scratch: &'s mut GraphScratch,
}

impl Work for AdmittedWalk<'_, '_> {
    type Output = SearchStats;

    #[inline(always)]
    fn run<K: CodeKernel>(self) -> SearchStats {
        let Self { graph, points, beam, admitted, scratch } = self;
        let mut stats = SearchStats::default();
        let level = Level { links: graph.links, degree: graph.m0 };
        descend::<K>(&graph.upper, &points, &beam, scratch, &mut stats);
        // The nodes that the upper levels lead to were compared. They are seen anew: whoever is not admitted among them
        // has not been walked through.
        let reached: Vec<NodeId> = scratch.pool.iter().map(|(_, node)| node).collect();
        scratch.begin(points.len(), &beam);
        scratch.fresh.clear();
        scratch.of_row.resize(scratch.of_row.len().max(level.degree), NodeId(0));
        let mut walk = Walk { level, points: &points, beam: &beam, admitted: &admitted, stats: &mut stats, scratch };
        walk.gather(admitted.seeds);
        walk.gather(&reached);
        walk.compare::<K>();
        while let Some(node) = walk.scratch.pool.expand_next() {
            walk.gather(level.row(node));
            for _ in 1..BEAM_WIDTH {
                let Some(node) = walk.scratch.pool.expand_next() else { break };
                walk.gather(level.row(node));
            }
            walk.scratch.pool.upcoming().take(BEAM_WIDTH).for_each(|next| level.prefetch(next));
            walk.compare::<K>();
            if walk.stats.visited >= beam.budget {
                walk.stats.exhausted_budget = true;
                break;
            }
        }
        stats
    }
}

struct Walk<'w, 'a> {
    level: Level<'a>,
    points: &'w Points<'a>,
    beam: &'w QueryCode<'a>,
    admitted: &'w Admitted<'a>,
    stats: &'w mut SearchStats,
    scratch: &'w mut GraphScratch,
}

impl Walk<'_, '_> {
    /// Collects the admitted ones of `nodes`, and if they are few, those that the others link to. No node is collected
    /// twice, and the links of a node that is not admitted are read once. The loop over `nodes` has no branches on a
    /// node, since nothing predicts whether it was seen.
    #[inline(always)]
    fn gather(&mut self, nodes: &[NodeId]) {
        let (level, admitted) = (self.level, self.admitted);
        let GraphScratch { seen, epoch, fresh, passed_through, of_row, .. } = &mut *self.scratch;
        let epoch = *epoch;
        self.stats.expanded += 1;
        let begun = fresh.len();
        let (mut count, mut through, enough) = (begun, 0, begun + ENOUGH_ROWS * level.degree);
        fresh.resize(count + nodes.len() + 1, NodeId(0));
        passed_through.resize(nodes.len() + 1, NodeId(0));
        for &node in nodes {
            let last_seen = &mut seen[node.index()];
            let (is_new, is_admitted) = (*last_seen != epoch, admitted.has(node));
            *last_seen = if is_admitted { epoch } else { *last_seen };
            (fresh[count], passed_through[through]) = (node, node);
            count += usize::from(is_new & is_admitted);
            through += usize::from(is_new & !is_admitted);
        }
        fresh.truncate(count);
        passed_through.truncate(through);
        fresh[begun..].iter().take(PREFETCHED).for_each(|&node| self.points.prefetch(node));
        if count < enough {
            passed_through.iter().take(PREFETCHED).for_each(|&node| level.prefetch(node));
        }
        for &through in passed_through.iter() {
            if fresh.len() >= enough {
                break;
            }
            seen[through.index()] = epoch;
            self.stats.expanded += 1;
            // SAFETY: the walk's caller has compared the bits with the points, and a graph's links with its nodes.
            let count = unsafe { admitted.of_row(level.row(through), of_row) };
            for &node in &of_row[..count] {
                let last_seen = &mut seen[node.index()];
                if *last_seen != epoch {
                    *last_seen = epoch;
                    self.points.prefetch(node);
                    fresh.push(node);
                }
            }
        }
    }

    /// Compares the collected nodes with the query and puts the nearest into the pool.
    #[inline(always)]
    fn compare<K: CodeKernel>(&mut self) {
        let GraphScratch { fresh, distances, pool, .. } = &mut *self.scratch;
        distances.resize(distances.len().max(fresh.len()), 0);
        distances_of::<K>(self.points, self.beam, fresh, distances);
        for (&node, &distance) in fresh.iter().zip(distances.iter()) {
            if distance < Pool::bound(pool) && pool.insert(distance, node) {
                self.level.prefetch(node);
            }
        }
        self.stats.visited += fresh.len();
        fresh.clear();
    }
}
