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
//! * All indexing is checked: the loop's time is that of distances and of loading links.

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
}

/// Links of nodes that are not admitted are read until so many admitted neighbours were found, in rows of the graph.
const ENOUGH_ROWS: usize = 2;

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
        descend::<K>(&graph.upper, &points, &beam, scratch, &mut stats);
        let level = Level { links: graph.links, degree: graph.m0 };
        // The nodes that the upper levels lead to were compared. They are seen anew: whoever is not admitted among them
        // has not been walked through.
        let reached: Vec<NodeId> = scratch.pool.iter().map(|(_, node)| node).collect();
        scratch.begin(points.len(), &beam);
        scratch.fresh.clear();
        let mut walk = Walk { level, points: &points, beam: &beam, admitted: &admitted, stats: &mut stats, scratch };
        walk.gather(&reached);
        walk.gather(admitted.seeds);
        walk.compare::<K>();
        while let Some(node) = walk.scratch.pool.expand_next() {
            walk.gather(level.row(node));
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
    /// twice, and the links of a node that is not admitted are read once.
    #[inline(always)]
    fn gather(&mut self, nodes: &[NodeId]) {
        let (level, admitted) = (self.level, self.admitted);
        let GraphScratch { seen, epoch, fresh, passed_through, .. } = &mut *self.scratch;
        let epoch = *epoch;
        self.stats.expanded += 1;
        passed_through.clear();
        for &node in nodes {
            let last_seen = &mut seen[node.index()];
            if *last_seen == epoch {
                continue;
            }
            if admitted.has(node) {
                *last_seen = epoch;
                self.points.prefetch(node);
                fresh.push(node);
            } else {
                level.prefetch(node);
                passed_through.push(node);
            }
        }
        let enough = ENOUGH_ROWS * level.degree;
        for &through in passed_through.iter() {
            if fresh.len() >= enough {
                break;
            }
            seen[through.index()] = epoch;
            self.stats.expanded += 1;
            for &node in level.row(through) {
                let last_seen = &mut seen[node.index()];
                if *last_seen != epoch && admitted.has(node) {
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
