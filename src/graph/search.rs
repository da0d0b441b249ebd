//! The beam search of a graph: it keeps the nearest candidates and expands the nearest first (the paper's algorithms 2
//! and 5).
//!
//! Invariants:
//! * The loop reads links and codes without bounds checks. All numbers of a [`Graph`] were compared with their bounds,
//!   and [`Points`] hold one code and one meta per node. The search compares the node counts of both before the loop.
//! * The loop allocates nothing, takes no lock and makes no call through a pointer. The scratch of a thread is as large
//!   as its largest graph needed.
//! * The result depends on graph, points and query only, not on earlier searches of the thread.

use std::cell::Cell;

use super::pool::{Pool, ordered};
use super::{Graph, Points, Upper};
use crate::distance::{CodeKernel, Kernels, Work};
use crate::ids::NodeId;
use crate::quant::{PreparedQuery, Ranking};

/// How many codes ahead of the compared one are prefetched.
const AHEAD: usize = 8;
/// Bytes of a cache line.
const LINE: usize = 64;

/// The parameters of a search.
#[derive(Clone, Copy)]
pub(crate) struct BeamParameters<'a> {
    pub query: &'a PreparedQuery,
    /// The number of candidates that the search keeps.
    pub ef: usize,
    /// A node that the search leaves out.
    pub without: Option<NodeId>,
    /// The number of computed distances at which the search stops.
    pub budget: usize,
}

/// A node near the query.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Candidate {
    pub node: NodeId,
    /// The score of the node, estimated from its code. Larger is better.
    pub estimate: f32,
}

/// The cost of a search.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct SearchStats {
    /// The number of distances computed.
    pub visited: usize,
    /// The number of nodes whose neighbours were compared.
    pub expanded: usize,
    /// Whether the search stopped early, at its budget.
    pub exhausted_budget: bool,
}

/// Finds about the `ef` nodes nearest to the query, best first, in `found`.
pub(crate) fn search(
    graph: Graph<'_>,
    points: &Points<'_>,
    ask: &BeamParameters<'_>,
    found: &mut Vec<Candidate>,
) -> SearchStats {
    found.clear();
    assert_eq!(graph.nodes(), points.len(), "a graph and its points are of one size");
    if points.len() == 0 || ask.ef == 0 {
        return SearchStats::default();
    }
    let ranking = ask.query.ranking();
    with_scratch(|scratch| {
        let (code, ef, without, budget) = (ask.query.code(), ask.ef, ask.without, ask.budget);
        let beam = QueryCode { code, ranking, ef, without, budget };
        let stats = Kernels::get().run(BeamSearch { graph, points: *points, beam, scratch });
        found.extend(
            scratch.pool.iter().map(|(distance, node)| Candidate { node, estimate: ranking.estimate(distance) }),
        );
        stats
    })
}

/// The query of a beam search of one level.
#[derive(Clone, Copy)]
pub(super) struct QueryCode<'a> {
    /// The query's code, unsigned.
    pub code: &'a [u8],
    pub ranking: Ranking,
    pub ef: usize,
    pub without: Option<NodeId>,
    pub budget: usize,
}

/// Memory that a thread keeps from search to search.
#[derive(Default)]
pub(super) struct GraphScratch {
    /// For each node, the epoch (the search) in which it was last seen.
    pub(super) seen: Vec<u8>,
    pub(super) epoch: u8,
    pub(super) fresh: Vec<NodeId>,
    pub(super) distances: Vec<u32>,
    /// Nodes that a walk passes through although they are not admitted.
    pub(super) passed_through: Vec<NodeId>,
    /// Room for the admitted nodes of one row of links.
    pub(super) of_row: Vec<NodeId>,
    pub pool: Pool,
    /// Room for the unsigned form of a code.
    pub code: Vec<u8>,
}

impl GraphScratch {
    /// Begins a search of `nodes` nodes: none of them is seen, except the node to leave out, and the pool is empty.
    pub(super) fn begin(&mut self, nodes: usize, beam: &QueryCode<'_>) {
        if self.seen.len() < nodes {
            self.seen.resize(nodes, 0);
        }
        self.epoch = self.epoch.wrapping_add(1);
        if self.epoch == 0 {
            self.seen.fill(0);
            self.epoch = 1;
        }
        if let Some(node) = beam.without {
            self.seen[node.index()] = self.epoch;
        }
        self.pool.clear(beam.ef);
    }
}

thread_local! {
    static SCRATCH: Cell<Option<Box<GraphScratch>>> = const { Cell::new(None) };
}

/// Runs `work` with the thread's scratch.
pub(super) fn with_scratch<T>(work: impl FnOnce(&mut GraphScratch) -> T) -> T {
    // Taken, not borrowed: a search inside a search would make its own.
    let mut scratch = SCRATCH.take().unwrap_or_default();
    let result = work(&mut scratch);
    SCRATCH.set(Some(scratch));
    result
}

/// The search of a whole graph. The results are in the pool of the scratch.
pub(super) struct BeamSearch<'a, 's> {
    pub graph: Graph<'a>,
    pub points: Points<'a>,
    pub beam: QueryCode<'a>,
    pub scratch: &'s mut GraphScratch,
}

impl Work for BeamSearch<'_, '_> {
    type Output = SearchStats;

    #[inline(always)]
    fn run<K: CodeKernel>(self) -> SearchStats {
        let Self { graph, points, beam, scratch } = self;
        let mut stats = SearchStats::default();
        descend::<K>(&graph.upper, &points, &beam, scratch, &mut stats);
        let level = Level { links: graph.links, degree: graph.m0 };
        search_level::<K>(&level, &points, &beam, scratch, &mut stats);
        stats
    }
}

/// Descends greedily from the highest level to level 1. Begins a new search in `scratch`: compared nodes are marked as
/// seen, and the best are in the pool, where [`search_level`] starts.
#[inline(always)]
pub(super) fn descend<K: CodeKernel>(
    upper: &Upper<'_>,
    points: &Points<'_>,
    beam: &QueryCode<'_>,
    scratch: &mut GraphScratch,
    stats: &mut SearchStats,
) {
    scratch.begin(points.len(), beam);
    let GraphScratch { seen, epoch, fresh, distances, pool, .. } = scratch;
    let epoch = *epoch;
    let top = upper.counts.last().map_or(0, |&count| count as usize);
    fresh.resize(fresh.len().max(upper.m), NodeId(0));
    distances.resize(distances.len().max(upper.m).max(top), 0);
    let mut best = (u32::MAX, 0);
    let mut positions = [0; super::LINKS_MAX as usize];
    let order = &upper.order[..top];
    distances_of::<K>(points, beam, order, distances);
    for (position, (&node, &distance)) in order.iter().zip(distances.iter()).enumerate() {
        if Some(node) == beam.without {
            continue;
        }
        seen[node.index()] = epoch;
        if distance < pool.bound() {
            pool.insert(distance, node);
        }
        if distance < best.0 {
            best = (distance, position as u32);
        }
    }
    stats.visited += top;
    for level in (1..upper.counts.len()).rev() {
        let rows = upper.level(level);
        loop {
            let row = &rows[best.1 as usize * upper.m..][..upper.m];
            let mut count = 0;
            for &position in row {
                let node = upper.order[position as usize];
                let last_seen = &mut seen[node.index()];
                fresh[count] = node;
                positions[count] = position;
                count += usize::from(*last_seen != epoch);
                *last_seen = epoch;
            }
            let before = best;
            distances_of::<K>(points, beam, &fresh[..count], distances);
            for (index, &distance) in distances[..count].iter().enumerate() {
                if distance < pool.bound() {
                    pool.insert(distance, fresh[index]);
                }
                if distance < best.0 {
                    best = (distance, positions[index]);
                }
            }
            stats.visited += count;
            if best.1 == before.1 {
                break;
            }
        }
    }
}

/// The links of one level: a row of `degree` nodes for each node, padded with the node's own number.
#[derive(Clone, Copy)]
pub(super) struct Level<'a> {
    pub links: &'a [NodeId],
    pub degree: usize,
}

/// Fills the pool with about the `ef` nearest nodes, starting from the nodes that [`descend`] left in it.
#[inline(always)]
pub(super) fn search_level<K: CodeKernel>(
    level: &Level<'_>,
    points: &Points<'_>,
    beam: &QueryCode<'_>,
    scratch: &mut GraphScratch,
    stats: &mut SearchStats,
) {
    assert!(level.links.len() >= points.len() * level.degree && beam.code.len() <= points.stride);
    assert!(scratch.seen.len() >= points.len());
    let GraphScratch { seen, epoch, fresh, distances, pool, .. } = scratch;
    let epoch = *epoch;
    fresh.resize(fresh.len().max(BEAM_WIDTH * level.degree), NodeId(0));
    distances.resize(distances.len().max(BEAM_WIDTH * level.degree), 0);
    loop {
        let mut count = 0;
        for _ in 0..BEAM_WIDTH {
            let Some(node) = pool.expand_next() else { break };
            stats.expanded += 1;
            let start = node.index() * level.degree;
            // SAFETY: nodes in the pool come from the checked order and checked links, so they are below the number of
            // points. The assertion above checks that every point has a row.
            let row = unsafe { level.links.get_unchecked(start..start + level.degree) };
            for &neighbour in row {
                // SAFETY: links were compared with the number of points, and `seen` is at least as long; each of at
                // most `BEAM_WIDTH` rows adds at most `degree` to `count`, and `fresh` has room for `BEAM_WIDTH *
                // degree`.
                unsafe {
                    let last_seen = seen.get_unchecked_mut(neighbour.index());
                    *fresh.get_unchecked_mut(count) = neighbour;
                    count += usize::from(*last_seen != epoch);
                    *last_seen = epoch;
                }
            }
        }
        match pool.peek_next() {
            Some(next) => level.prefetch(next),
            None if count == 0 => return,
            None => {}
        }
        distances_of::<K>(points, beam, &fresh[..count], distances);
        for (&node, &distance) in fresh[..count].iter().zip(distances.iter()) {
            if distance < pool.bound() && pool.insert(distance, node) {
                level.prefetch(node);
            }
        }
        stats.visited += count;
        if stats.visited >= beam.budget {
            stats.exhausted_budget = true;
            return;
        }
    }
}

impl<'a> Level<'a> {
    /// The links of a node.
    #[inline(always)]
    pub(super) fn row(&self, node: NodeId) -> &'a [NodeId] {
        &self.links[node.index() * self.degree..][..self.degree]
    }

    /// Prefetches the links of a node.
    #[inline(always)]
    pub(super) fn prefetch(&self, node: NodeId) {
        let row = self.links.as_ptr().wrapping_add(node.index() * self.degree);
        for line in (0..self.degree).step_by(LINE / 4) {
            Kernels::prefetch(row.wrapping_add(line));
        }
    }
}

/// The number of candidates that are expanded together: the codes of one candidate's neighbours are loaded while those
/// of the other are compared. A search expands nearly all candidates anyway, so it costs little to expand one early.
const BEAM_WIDTH: usize = 2;

/// Computes the distance of each of `nodes`, in the order-preserving form of `pool`. `distances` is at least as long.
#[inline(always)]
pub(super) fn distances_of<K: CodeKernel>(
    points: &Points<'_>,
    beam: &QueryCode<'_>,
    nodes: &[NodeId],
    distances: &mut [u32],
) {
    let most = nodes.iter().fold(NodeId(0), |most, &node| most.max(node));
    assert!(most.index() < points.len().max(1) && distances.len() >= nodes.len(), "distances are of nodes that exist");
    assert!(beam.code.len() <= points.stride, "a query is as long as a code");
    let (codes, metas, stride) = (points.codes.as_ptr(), points.metas.as_ptr(), points.stride);
    for &node in &nodes[..nodes.len().min(AHEAD)] {
        points.prefetch(node);
    }
    let (groups, rest) = nodes.as_chunks::<4>();
    let (of_groups, of_rest) = distances[..nodes.len()].as_chunks_mut::<4>();
    for (number, (group, distances)) in groups.iter().zip(of_groups).enumerate() {
        let ahead = (number * 4 + AHEAD).min(nodes.len());
        for &node in &nodes[ahead..(ahead + 4).min(nodes.len())] {
            points.prefetch(node);
        }
        // SAFETY: the assertions above: every node is one of the points, each of which has a code of `stride` bytes, no
        // shorter than the query's, and a meta.
        let (raw, metas) = unsafe {
            let raw = K::dot4(beam.code, group.map(|node| codes.add(node.index() * stride)));
            (raw, group.map(|node| *metas.add(node.index())))
        };
        for lane in 0..4 {
            distances[lane] = ordered(beam.ranking.distance(raw[lane], &metas[lane]));
        }
    }
    for (&node, distance) in rest.iter().zip(of_rest) {
        // SAFETY: as above.
        let (raw, meta) = unsafe { (K::dot(beam.code, codes.add(node.index() * stride)), &*metas.add(node.index())) };
        *distance = ordered(beam.ranking.distance(raw, meta));
    }
}

impl Points<'_> {
    /// Prefetches the code and meta of a node.
    #[inline(always)]
    pub(super) fn prefetch(&self, node: NodeId) {
        let code = self.codes.as_ptr().wrapping_add(node.index() * self.stride);
        for line in (0..self.stride).step_by(LINE) {
            Kernels::prefetch(code.wrapping_add(line));
        }
        Kernels::prefetch(self.metas.as_ptr().wrapping_add(node.index()));
    }
}
