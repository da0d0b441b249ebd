//! The search of a graph: a beam of the nearest candidates, expanded nearest first (the paper's algorithms 2 and 5).
//!
//! Invariants:
//! * The loop reads links and codes without bounds checks: a [`Graph`] has had all its numbers compared with its bounds, and
//!   [`Points`] hold one code and one meta for each node. Both are compared with each other before the loop.
//! * Nothing is allocated, locked or called through a pointer in the loop; the thread's scratch grows with the largest graph it saw.
//! * The result is a function of graph, points and question, whatever was asked on this thread before.

use std::cell::Cell;

use super::pool::{Pool, ordered};
use super::{Graph, Points, Upper};
use crate::distance::{CodeKernel, Kernels, Work};
use crate::quant::{PreparedQuery, Ranking};

/// Codes that are fetched ahead of the one that is compared.
const AHEAD: usize = 4;
/// Bytes of a cache line.
const LINE: usize = 64;

/// What a walk looks for.
#[derive(Clone, Copy)]
pub(crate) struct Ask<'a> {
    pub query: &'a PreparedQuery,
    /// Candidates kept.
    pub ef: usize,
    /// An estimate that enough candidates of other parts of the same search reach: what lies below is not worth expanding.
    pub floor: f32,
    /// A node that is not there.
    pub without: Option<u32>,
    /// Distances after which the walk stops.
    pub budget: usize,
}

/// A node near the query.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Candidate {
    pub node: u32,
    /// Its score as the codes see it; larger is better.
    pub estimate: f32,
}

/// What a walk cost.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Walked {
    /// Distances computed.
    pub visited: usize,
    /// Nodes whose neighbours were looked at.
    pub expanded: usize,
    /// The walk stopped before it was done.
    pub exhausted_budget: bool,
}

/// Finds about the `ef` nodes nearest to the query, best first, in `found`.
pub(crate) fn walk(graph: Graph<'_>, points: &Points<'_>, ask: &Ask<'_>, found: &mut Vec<Candidate>) -> Walked {
    found.clear();
    assert_eq!(graph.nodes(), points.len(), "a graph and its points are of one size");
    if points.len() == 0 || ask.ef == 0 {
        return Walked::default();
    }
    let ranking = ask.query.ranking();
    with_scratch(|scratch| {
        let floor = floor_of(&ranking, ask.floor);
        let (code, ef, without, budget) = (ask.query.code(), ask.ef, ask.without, ask.budget);
        let beam = Beam { code, ranking, ef, floor, without, budget };
        let walked = Kernels::get().run(Search { graph, points: *points, beam, scratch });
        found.extend(
            scratch.pool.iter().map(|(distance, node)| Candidate { node, estimate: ranking.estimate(distance) }),
        );
        walked
    })
}

/// The distance beyond which nothing is worth expanding.
fn floor_of(ranking: &Ranking, floor: f32) -> u32 {
    if floor == f32::NEG_INFINITY { u32::MAX } else { ordered(ranking.distance_of(floor)) }
}

/// What a beam search of one level is asked.
#[derive(Clone, Copy)]
pub(super) struct Beam<'a> {
    /// The query's code, unsigned.
    pub code: &'a [u8],
    pub ranking: Ranking,
    pub ef: usize,
    pub floor: u32,
    pub without: Option<u32>,
    pub budget: usize,
}

/// What a thread keeps from walk to walk.
#[derive(Default)]
pub(super) struct Scratch {
    /// The epoch in which each node was last seen.
    seen: Vec<u8>,
    epoch: u8,
    fresh: Vec<u32>,
    pub pool: Pool,
    /// A code made unsigned.
    pub code: Vec<u8>,
}

impl Scratch {
    /// Makes all of `nodes` unseen.
    fn begin(&mut self, nodes: usize) {
        if self.seen.len() < nodes {
            self.seen.resize(nodes, 0);
        }
        self.epoch = self.epoch.wrapping_add(1);
        if self.epoch == 0 {
            self.seen.fill(0);
            self.epoch = 1;
        }
    }
}

thread_local! {
    static SCRATCH: Cell<Option<Box<Scratch>>> = const { Cell::new(None) };
}

/// Lends the thread's scratch.
pub(super) fn with_scratch<T>(work: impl FnOnce(&mut Scratch) -> T) -> T {
    // Taken, not borrowed: a walk inside a walk, should there ever be one, makes its own.
    let mut scratch = SCRATCH.take().unwrap_or_default();
    let result = work(&mut scratch);
    SCRATCH.set(Some(scratch));
    result
}

struct Search<'a, 's> {
    graph: Graph<'a>,
    points: Points<'a>,
    beam: Beam<'a>,
    scratch: &'s mut Scratch,
}

impl Work for Search<'_, '_> {
    type Output = Walked;

    #[inline(always)]
    fn run<K: CodeKernel>(self) -> Walked {
        let Self { graph, points, beam, scratch } = self;
        let mut walked = Walked::default();
        let entry = descend::<K>(&graph.upper, &points, &beam, &mut walked);
        let level = Level { links: graph.links, degree: graph.m0 };
        search_level::<K>(&level, &points, &beam, &[entry], scratch, &mut walked);
        walked
    }
}

/// From the highest level down to level 1, greedily; the node to enter level 0 by.
#[inline(always)]
pub(super) fn descend<K: CodeKernel>(
    upper: &Upper<'_>,
    points: &Points<'_>,
    beam: &Beam<'_>,
    walked: &mut Walked,
) -> u32 {
    let top = upper.counts.last().map_or(0, |&count| count as usize);
    let node_at = |position: u32| upper.order[position as usize];
    let mut best = (u32::MAX, 0);
    let is_there = |node: u32| beam.without != Some(node);
    let order = &upper.order[..top];
    each_distance::<K>(points, beam, order, |index, distance| {
        if distance < best.0 && is_there(order[index]) {
            best = (distance, index as u32);
        }
    });
    walked.visited += top;
    let mut nodes = [0; super::LINKS_MAX as usize];
    for level in (1..upper.counts.len()).rev() {
        let rows = upper.level(level);
        loop {
            let row = &rows[best.1 as usize * upper.m..][..upper.m];
            let mut count = 0;
            for &position in row {
                nodes[count] = node_at(position);
                count += usize::from(position != best.1);
            }
            let before = best;
            each_distance::<K>(points, beam, &nodes[..count], |index, distance| {
                if distance < best.0 && is_there(nodes[index]) {
                    best = (distance, row[index]);
                }
            });
            walked.visited += count;
            if best.1 == before.1 {
                break;
            }
        }
    }
    node_at(best.1)
}

/// One level's links: rows of `degree` nodes, padded with the row's own number.
#[derive(Clone, Copy)]
pub(super) struct Level<'a> {
    pub links: &'a [u32],
    pub degree: usize,
}

/// Fills the pool with the `ef` nodes nearest to the query that are found from `entries`.
#[inline(always)]
pub(super) fn search_level<K: CodeKernel>(
    level: &Level<'_>,
    points: &Points<'_>,
    beam: &Beam<'_>,
    entries: &[u32],
    scratch: &mut Scratch,
    walked: &mut Walked,
) {
    assert!(level.links.len() >= points.len() * level.degree && beam.code.len() <= points.stride);
    scratch.begin(points.len());
    let Scratch { seen, epoch, fresh, pool, .. } = scratch;
    let epoch = *epoch;
    pool.clear(beam.ef);
    fresh.resize(level.degree.max(entries.len()), 0);
    if let Some(node) = beam.without {
        seen[node as usize] = epoch;
    }
    let mut count = 0;
    for &entry in entries {
        let unseen = std::mem::replace(&mut seen[entry as usize], epoch) != epoch;
        fresh[count] = entry;
        count += usize::from(unseen);
    }
    loop {
        each_distance::<K>(points, beam, &fresh[..count], |index, distance| {
            if distance < pool.bound() {
                // SAFETY: `index` is below `count`, which is at most the length of `fresh`.
                let node = unsafe { *fresh.get_unchecked(index) };
                pool.insert(distance, node);
            }
        });
        walked.visited += count;
        if walked.visited >= beam.budget {
            walked.exhausted_budget = true;
            return;
        }
        let Some((distance, node)) = pool.expand_next() else { return };
        if distance > beam.floor && walked.expanded >= FLOOR_FROM {
            return;
        }
        walked.expanded += 1;
        count = 0;
        let start = node as usize * level.degree;
        // SAFETY: nodes in the pool come from checked links or entries, all below the number of points; the assertion above says that as
        // many rows exist.
        let row = unsafe { level.links.get_unchecked(start..start + level.degree) };
        for &neighbour in row {
            // SAFETY: links were compared with the number of points, which `seen` has at least; `count` is below `degree`, which `fresh` has.
            unsafe {
                let last_seen = seen.get_unchecked_mut(neighbour as usize);
                *fresh.get_unchecked_mut(count) = neighbour;
                count += usize::from(*last_seen != epoch);
                *last_seen = epoch;
            }
        }
        if let Some(next) = pool.peek_next() {
            let next = level.links.as_ptr().wrapping_add(next as usize * level.degree);
            Kernels::prefetch(next);
            Kernels::prefetch(next.wrapping_add(LINE / 4));
        }
    }
}

/// Expansions before the floor counts: from the entry, everything is far.
const FLOOR_FROM: usize = 8;

/// Calls `each` with the index of each of `nodes` and its distance, in order.
#[inline(always)]
pub(super) fn each_distance<K: CodeKernel>(
    points: &Points<'_>,
    beam: &Beam<'_>,
    nodes: &[u32],
    mut each: impl FnMut(usize, u32),
) {
    debug_assert!(nodes.iter().all(|&node| (node as usize) < points.len()));
    let (codes, metas, stride) = (points.codes.as_ptr(), points.metas.as_ptr(), points.stride);
    let fetch = |node: u32| {
        let code = codes.wrapping_add(node as usize * stride);
        for line in (0..stride).step_by(LINE) {
            Kernels::prefetch(code.wrapping_add(line));
        }
        Kernels::prefetch(metas.wrapping_add(node as usize));
    };
    nodes.iter().take(AHEAD).for_each(|&node| fetch(node));
    let (groups, rest) = nodes.as_chunks::<4>();
    for (number, group) in groups.iter().enumerate() {
        nodes.iter().skip(number * 4 + AHEAD).take(4).for_each(|&node| fetch(node));
        // SAFETY: all nodes are below the number of points (checked links, checked order), each of which has a code of `stride` bytes, no
        // shorter than the query's, and a meta.
        let (raw, metas) = unsafe {
            let raw = K::dot4(beam.code, group.map(|node| codes.add(node as usize * stride)));
            (raw, group.map(|node| &*metas.add(node as usize)))
        };
        for lane in 0..4 {
            each(number * 4 + lane, ordered(beam.ranking.distance(raw[lane], metas[lane])));
        }
    }
    for (lane, &node) in rest.iter().enumerate() {
        // SAFETY: as above.
        let (raw, meta) = unsafe { (K::dot(beam.code, codes.add(node as usize * stride)), &*metas.add(node as usize)) };
        each(groups.len() * 4 + lane, ordered(beam.ranking.distance(raw, meta)));
    }
}
