//! The build of a graph: level by level from the top, each in batches that are searched in parallel.
//!
//! A level's first nodes are those of the level above, with the links they have there. The others come in batches: each node of a
//! batch looks for its neighbours in the graph as it was before the batch, then all links back are added, target by target. In the
//! end the first nodes look for their neighbours anew, because theirs were chosen among few.
//!
//! Invariants:
//! * Batches depend on counts alone, a node's links on the graph before its batch, and a target's on what is linked to it, in the
//!   order of the nodes. So the graph is the same for any number of threads.
//! * A row holds at most `m0` (or `m`) links in the end; in between it may overflow by half, which saves most prunings.

use rayon::prelude::*;

use super::pool::ordered;
use super::repair::repair;
use super::reuse::{Reuse, adopt};
use super::select::{Link, query_of, select};
use super::walk::{Beam, Level, Scratch, Walked, descend, distances_of, search_level, with_scratch};
use super::{Parameters, Points, Upper};
use crate::distance::{CodeKernel, Kernels, Work};
use crate::error::Result;

/// The arrays of a new graph: see `graph` for what they hold.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Built {
    pub links: Vec<u32>,
    pub upper: Vec<u32>,
}

/// The most nodes of the highest level: they are scanned.
const TOP_MAX: usize = 48;
/// A batch is at most this share of the nodes that will be there in the end, in percent.
const BATCH_PERCENT: usize = 2;
/// But this many are always welcome, once as many are there.
const BATCH_MIN: usize = 64;
/// Nodes that a thread takes at once.
const CHUNK: usize = 16;

/// Builds the graph of `points`. Nodes that `reuse` knows keep the links they have there, as far as those lead to nodes that live.
///
/// `go_on` is asked between batches; its error ends the build.
pub(crate) fn build(
    points: &Points<'_>,
    parameters: &Parameters,
    reuse: &[Reuse<'_>],
    pool: &rayon::ThreadPool,
    go_on: &(dyn Fn() -> Result<()> + Sync),
) -> Result<Built> {
    pool.install(|| {
        let nodes = points.len();
        let order = order(nodes, parameters.seed);
        let counts = counts(nodes, parameters.m as usize);
        let mut rows: Vec<Vec<u32>> = Vec::new();
        // The codes of the upper levels' nodes, in the order of the levels.
        let codes: Vec<i8> = order[..counts.first().copied().unwrap_or(0)]
            .iter()
            .flat_map(|&node| points.code(node).iter().copied())
            .collect();
        let metas: Vec<_> =
            order[..counts.first().copied().unwrap_or(0)].iter().map(|&node| *points.meta(node)).collect();
        for level in (1..counts.len()).rev() {
            let count = counts[level - 1];
            let points = Points { codes: &codes[..count * points.stride], metas: &metas[..count], ..*points };
            let identity: Vec<u32> = (0..counts[level] as u32).collect();
            let upper = flatten(&counts[level..], &identity, &rows);
            let all: Vec<u32> = (0..count as u32).collect();
            let links = Links::new(count, parameters.m as usize);
            rows.insert(0, build_level(&points, parameters, &upper, &identity, &all, (links, &[]), go_on)?);
        }
        let first = &order[..counts.first().copied().unwrap_or(0)];
        let upper = flatten(&counts, first, &rows);
        let links = Links::new(nodes, parameters.m0 as usize);
        let links = build_level(points, parameters, &upper, first, &order, (links, reuse), go_on)?;
        let mut built = Built { links, upper };
        repair(points, parameters, &mut built, go_on)?;
        Ok(built)
    })
}

/// A random order of the nodes.
fn order(nodes: usize, seed: u64) -> Vec<u32> {
    let mut order: Vec<u32> = (0..nodes as u32).collect();
    let mut state = seed;
    for index in (1..nodes).rev() {
        // Vigna's splitmix64.
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = (state ^ state >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        let drawn = ((u128::from(mixed ^ mixed >> 31) * (index as u128 + 1)) >> 64) as usize;
        order.swap(index, drawn);
    }
    order
}

/// How many nodes each upper level has, from level 1.
fn counts(nodes: usize, m: usize) -> Vec<usize> {
    let mut counts = Vec::new();
    let mut count = nodes;
    while count > 0 && (counts.is_empty() || count > TOP_MAX) {
        count = count.div_ceil(m);
        counts.push(count);
    }
    counts
}

/// The upper array of a graph.
fn flatten(counts: &[usize], order: &[u32], rows: &[Vec<u32>]) -> Vec<u32> {
    let mut upper = vec![counts.len() as u32];
    upper.extend(counts.iter().map(|&count| count as u32));
    upper.extend_from_slice(order);
    rows.iter().for_each(|row| upper.extend_from_slice(row));
    upper
}

/// The links of a level while it is built: rows with room to overflow, with distances, nearest first.
pub(super) struct Links {
    pub degree: usize,
    pub capacity: usize,
    pub nodes: Vec<u32>,
    distances: Vec<u32>,
    lengths: Vec<u16>,
}

impl Links {
    fn new(nodes: usize, degree: usize) -> Self {
        let capacity = degree + degree / 2;
        let own = (0..nodes as u32).flat_map(|node| std::iter::repeat_n(node, capacity)).collect();
        Self { degree, capacity, nodes: own, distances: vec![0; nodes * capacity], lengths: vec![0; nodes] }
    }

    fn of(&self, node: u32) -> impl Iterator<Item = Link> + '_ {
        let (start, length) = (node as usize * self.capacity, usize::from(self.lengths[node as usize]));
        let range = start..start + length;
        self.distances[range.clone()].iter().copied().zip(self.nodes[range].iter().copied())
    }

    pub fn is_linked(&self, node: u32) -> bool {
        self.lengths[node as usize] > 0
    }

    pub fn set(&mut self, node: u32, links: &[Link]) {
        let start = node as usize * self.capacity;
        for (index, &(distance, neighbour)) in links.iter().enumerate() {
            self.nodes[start + index] = neighbour;
            self.distances[start + index] = distance;
        }
        self.nodes[start + links.len()..start + self.capacity].fill(node);
        self.lengths[node as usize] = links.len() as u16;
    }

    fn level(&self) -> Level<'_> {
        Level { links: &self.nodes, degree: self.capacity }
    }
}

/// Builds one level and returns its rows. `order` has all nodes of the level; the first ones are `first`, the nodes of the level above.
fn build_level(
    points: &Points<'_>,
    parameters: &Parameters,
    upper: &[u32],
    first: &[u32],
    order: &[u32],
    (mut links, reuse): (Links, &[Reuse<'_>]),
    go_on: &(dyn Fn() -> Result<()> + Sync),
) -> Result<Vec<u32>> {
    let upper = Upper::shape(points.len() as u32, parameters.m as usize, upper).unwrap_or_else(|| unreachable!());
    let inserter = Inserter { points, parameters, upper };
    adopt(&inserter, reuse, &mut links);
    let seeded: Vec<u32> = first.iter().copied().filter(|&node| !links.is_linked(node)).collect();
    inserter.seed(first, &seeded, &mut links);
    let rest: Vec<u32> = order[first.len()..].iter().copied().filter(|&node| !links.is_linked(node)).collect();
    let total = points.len();
    let mut there = total - rest.len();
    let most = (total * BATCH_PERCENT / 100).max(BATCH_MIN);
    let mut start = 0;
    while start < rest.len() {
        go_on()?;
        let batch = &rest[start..rest.len().min(start + there.clamp(1, most))];
        inserter.insert(batch, &mut links);
        start += batch.len();
        there += batch.len();
    }
    // Twice the same batch rule: these were placed first and saw nobody.
    for batch in seeded.chunks(most) {
        go_on()?;
        inserter.insert(batch, &mut links);
    }
    Ok(inserter.finish(links))
}

/// What stays the same while a level is built.
pub(super) struct Inserter<'a> {
    pub points: &'a Points<'a>,
    parameters: &'a Parameters,
    /// The levels above.
    upper: Upper<'a>,
}

impl Inserter<'_> {
    /// Gives `seeded`, which are some of the `first` nodes, the links of the level above, or of all pairs where that has none.
    fn seed(&self, first: &[u32], seeded: &[u32], links: &mut Links) {
        let upper = &self.upper;
        let is_seeded: std::collections::HashSet<u32> = seeded.iter().copied().collect();
        let rows: Vec<(u32, Vec<Link>)> = first
            .par_iter()
            .enumerate()
            .with_min_len(CHUNK)
            .filter(|(_, node)| is_seeded.contains(node))
            .map(|(position, &node)| {
                let near: Vec<u32> = if upper.counts.len() > 1 {
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

    /// Inserts a batch: searches for all its nodes, then links back.
    fn insert(&self, batch: &[u32], links: &mut Links) {
        let rows: Vec<Vec<Link>> = batch
            .par_iter()
            .with_min_len(CHUNK)
            .map(|&node| with_scratch(|scratch| Kernels::get().run(Find { scratch, inserter: self, links, node })))
            .collect();
        let mut back: Vec<(u32, u32, u32)> = Vec::new();
        for (&node, row) in batch.iter().zip(&rows) {
            links.set(node, row);
            back.extend(row.iter().map(|&(distance, target)| (target, distance, node)));
        }
        back.par_sort_unstable();
        let groups: Vec<&[(u32, u32, u32)]> = back.chunk_by(|a, b| a.0 == b.0).collect();
        let changed: Vec<(u32, Vec<Link>)> = groups
            .par_iter()
            .with_min_len(CHUNK)
            .map(|group| {
                let target = group[0].0;
                let mut row: Vec<Link> = links.of(target).collect();
                for &(_, distance, node) in *group {
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
            })
            .collect();
        changed.into_iter().for_each(|(target, row)| links.set(target, &row));
    }

    /// Prunes what overflows, and packs the rows.
    fn finish(&self, links: Links) -> Vec<u32> {
        let mut packed = vec![0; self.points.len() * links.degree];
        packed.par_chunks_mut(links.degree).with_min_len(CHUNK).enumerate().for_each(|(node, packed)| {
            let mut row: Vec<Link> = links.of(node as u32).collect();
            if row.len() > links.degree {
                let most = links.degree;
                row = Kernels::get().run(Prune { inserter: self, node: node as u32, known: &row, others: &[], most });
            }
            packed.fill(node as u32);
            packed.iter_mut().zip(row).for_each(|(slot, (_, neighbour))| *slot = neighbour);
        });
        packed
    }
}

/// Finds the links of a new node.
struct Find<'a, 's> {
    scratch: &'s mut Scratch,
    inserter: &'a Inserter<'a>,
    links: &'s Links,
    node: u32,
}

impl Work for Find<'_, '_> {
    type Output = Vec<Link>;

    #[inline(always)]
    fn run<K: CodeKernel>(self) -> Vec<Link> {
        let Inserter { points, parameters, upper } = *self.inserter;
        let scratch = self.scratch;
        let mut code = std::mem::take(&mut scratch.code);
        let mut walked = Walked::default();
        let beam = Beam { ef: parameters.ef_construction as usize, ..query_of(points, self.node, &mut code) };
        descend::<K>(&upper, points, &beam, scratch, &mut walked);
        search_level::<K>(&self.links.level(), points, &beam, scratch, &mut walked);
        let found = scratch.pool.iter().map(|(distance, node)| (ordered(distance), node));
        let mut candidates: Vec<Link> = found.chain(self.links.of(self.node)).collect();
        candidates.sort_unstable();
        candidates.dedup();
        let mut chosen = Vec::new();
        select::<K>(points, &candidates, self.links.degree, parameters.alpha, &mut code, &mut chosen, &mut Vec::new());
        scratch.code = code;
        chosen
    }
}

/// Chooses at most `most` links of a node among `known` ones and `others` whose distances are still to be found; all of them, nearest
/// first, if `most` is [`usize::MAX`].
pub(super) struct Prune<'a> {
    pub inserter: &'a Inserter<'a>,
    pub node: u32,
    pub known: &'a [Link],
    pub others: &'a [u32],
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
        select::<K>(points, &candidates, self.most, parameters.alpha, &mut code, &mut chosen, &mut Vec::new());
        chosen
    }
}
