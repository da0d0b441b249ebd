//! The build of a graph: level by level from the top. The nodes of a level are inserted in batches, in parallel.
//!
//! A level begins with the nodes of the level above, and their links there. (On level 0 the links of an old graph have
//! priority.) The other nodes are inserted in batches: each node of a batch searches its neighbours in the graph before
//! the batch, then all links back are added, target by target. At the end the nodes of the level above search their
//! neighbours again, since they had few to choose from.
//!
//! Invariants:
//! * Batches depend only on counts, the links of a node on the graph before its batch, and the links of a target on the
//!   nodes that link to it, in the order of the nodes. So the graph is the same for any number of threads.
//! * A finished row holds at most `m0` (or `m`) links. During the build a row may hold half as many more, so that it is
//!   pruned less often.

use super::insert::{Inserter, Links};
use super::lonely::link_lonely;
use super::repair::repair;
use super::reuse::{Reuse, adopt};
use super::shortcuts::{link_shortcuts, room};
use super::spread::spread_first;
use super::{Built, Parameters, Points, Upper};
use crate::error::Result;
use crate::ids::{Id, IdRange, NodeId};
use crate::random::Random;
use crate::types::Metric;

/// The most nodes of the highest level. A search compares all of them.
const TOP_MAX: usize = 48;
/// The nodes of the highest level where vectors lie in far groups, and how many of them are chosen far apart.
const TOP_OF_GROUPS: usize = 64;
const SPREAD: usize = 32;
/// The largest batch, in percent of the level's nodes.
const BATCH_PERCENT: usize = 2;
/// The largest batch of a small level. No batch is larger than the number of nodes that are inserted already.
const BATCH_MIN: usize = 64;

/// Builds the graph of `points`. Nodes of the best old graph in `reuse` keep their links to other live nodes.
///
/// `go_on` is called before each node is inserted. Its error ends the build.
pub(crate) fn build(
    points: &Points<'_>,
    parameters: &Parameters,
    reuse: &[Reuse<'_>],
    pool: &rayon::ThreadPool,
    go_on: &(dyn Fn() -> Result<()> + Sync),
) -> Result<Built> {
    let points = &points.with_norms();
    pool.install(|| {
        let nodes = points.len();
        let mut order = order(nodes, parameters.seed);
        let top = if spread_first(points, &mut order, SPREAD, parameters.seed, go_on)? { TOP_OF_GROUPS } else { 1 };
        let counts = counts(nodes, parameters.m as usize, top);
        // During the build of an upper level its nodes are numbered by their positions in the order.
        let mut rows: Vec<Vec<NodeId>> = Vec::new();
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
            let identity: Vec<NodeId> = NodeId::range(0..counts[level] as u32).ids().collect();
            let upper = flatten(&counts[level..], &identity, &rows);
            let all: Vec<NodeId> = NodeId::range(0..count as u32).ids().collect();
            let links = Links::new(count, parameters.m as usize);
            let width = links.degree;
            let level = LevelBuild { points: &points, parameters, upper: &upper, width, go_on };
            rows.insert(0, level.run(&identity, &all, links, &[])?);
        }
        let first = &order[..counts.first().copied().unwrap_or(0)];
        let upper = flatten(&counts, first, &rows);
        let links = Links::new(nodes, (parameters.m0 - room(points.metric, parameters.m0)) as usize);
        let links = LevelBuild { points, parameters, upper: &upper, width: parameters.m0 as usize, go_on }
            .run(first, &order, links, reuse)?;
        let mut built = Built { links, upper };
        repair(points, parameters, &mut built, go_on)?;
        link_lonely(points, parameters, &mut built, go_on)?;
        if points.metric == Metric::Dot {
            link_shortcuts(points, parameters, &mut built, go_on)?;
        }
        repair(points, parameters, &mut built, go_on)?;
        Ok(built)
    })
}

/// A random order of the nodes.
fn order(nodes: usize, seed: u64) -> Vec<NodeId> {
    let mut order: Vec<NodeId> = NodeId::range(0..nodes as u32).ids().collect();
    let mut random = Random::new(seed);
    for index in (1..nodes).rev() {
        let drawn = ((u128::from(random.draw()) * (index as u128 + 1)) >> 64) as usize;
        order.swap(index, drawn);
    }
    order
}

/// The number of nodes of each upper level, from level 1. The highest has at least `top`, if there are so many.
fn counts(nodes: usize, m: usize, top: usize) -> Vec<usize> {
    let mut counts = Vec::new();
    let mut count = nodes;
    while count > 0 && (counts.is_empty() || count > TOP_MAX.max(top + top / 2)) {
        count = count.div_ceil(m).max(count.min(top));
        counts.push(count);
    }
    counts
}

/// The upper array of a graph.
fn flatten(counts: &[usize], order: &[NodeId], rows: &[Vec<NodeId>]) -> Vec<u32> {
    let mut upper = vec![counts.len() as u32];
    upper.extend(counts.iter().map(|&count| count as u32));
    upper.extend_from_slice(bytemuck::cast_slice(order));
    rows.iter().for_each(|row| upper.extend_from_slice(bytemuck::cast_slice(row)));
    upper
}

/// The build of one level.
struct LevelBuild<'a> {
    points: &'a Points<'a>,
    parameters: &'a Parameters,
    /// The levels above, in the layout of the upper array.
    upper: &'a [u32],
    /// Slots of a finished row.
    width: usize,
    go_on: &'a (dyn Fn() -> Result<()> + Sync),
}

impl LevelBuild<'_> {
    /// Builds the level and returns its rows. `order` holds all nodes of the level, and begins with `first`, the nodes
    /// of the level above. `links` is empty at first.
    fn run(self, first: &[NodeId], order: &[NodeId], mut links: Links, reuse: &[Reuse<'_>]) -> Result<Vec<NodeId>> {
        let width = self.width;
        let Self { points, parameters, upper, go_on, .. } = self;
        let upper = Upper::shape(points.len() as u32, parameters.m as usize, upper).unwrap_or_else(|| unreachable!());
        let inserter = Inserter { points, parameters, upper };
        adopt(&inserter, reuse, &mut links);
        let seeded: Vec<NodeId> = first.iter().copied().filter(|&node| !links.is_linked(node)).collect();
        inserter.seed(first, &seeded, &mut links);
        let rest: Vec<NodeId> = order[first.len()..].iter().copied().filter(|&node| !links.is_linked(node)).collect();
        let total = points.len();
        let mut there = total - rest.len();
        let most = (total * BATCH_PERCENT / 100).max(BATCH_MIN);
        let mut start = 0;
        while start < rest.len() {
            let batch = &rest[start..rest.len().min(start + there.clamp(1, most))];
            inserter.insert(batch, &mut links, go_on)?;
            start += batch.len();
            there += batch.len();
        }
        // The first nodes were inserted before all others, so they had few neighbours to choose from.
        for batch in seeded.chunks(most) {
            inserter.insert(batch, &mut links, go_on)?;
        }
        let spare = width.saturating_sub(links.degree);
        Ok(inserter.finish(links, spare))
    }
}
