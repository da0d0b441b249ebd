//! Which nodes a search begins at, if the vectors lie in groups far from each other: some of the highest level are
//! chosen far apart, so that each group has one of them. Elsewhere all are drawn by chance.
//!
//! The choice is that of k-means++ (Arthur and Vassilvitskii, SODA 2007): each node is drawn with a probability that is
//! proportional to its distance to the nearest node that was drawn before.
//!
//! Invariants:
//! * The choice depends on points and seed only. All sums are made in the order of the nodes.
//! * It costs one distance for each pair of a chosen node and a node.

use rayon::prelude::*;

use super::Points;
use super::pool::unordered;
use super::search::distances_of;
use super::select::query_of;
use crate::distance::{CodeKernel, Kernels, Work};
use crate::error::Result;
use crate::ids::NodeId;
use crate::random::Random;

/// Nodes that a thread takes at once.
const CHUNK: usize = 1_024;

/// The nodes lie in far groups if some chosen ones are so many times nearer to all nodes than the first one alone.
const FAR: f64 = 4.0;

/// If the nodes lie in groups far from each other, moves `count` nodes that lie far apart to the front of `order`,
/// which begins with a node drawn by chance. Returns whether they do. Of many more groups than `count` it says no.
pub(super) fn spread_first(
    points: &Points<'_>,
    order: &mut [NodeId],
    count: usize,
    seed: u64,
    go_on: &(dyn Fn() -> Result<()> + Sync),
) -> Result<bool> {
    let Some(&first) = order.first() else { return Ok(false) };
    let mut random = Random::new(seed);
    let mut nearest = vec![f32::INFINITY; points.len()];
    let mut chosen = vec![first];
    let mut totals = Vec::new();
    while let Some(&last) = chosen.last() {
        go_on()?;
        nearest.par_chunks_mut(CHUNK).enumerate().for_each(|(number, nearest)| {
            Kernels::get().run(Nearer { points, to: last, first: number * CHUNK, nearest });
        });
        let total: f64 = nearest.iter().map(|&distance| f64::from(distance)).sum();
        totals.push(total);
        if chosen.len() >= count {
            break;
        }
        let mut left = (random.draw() >> 11) as f64 / (1_u64 << 53) as f64 * total;
        let drawn = nearest.iter().position(|&distance| {
            left -= f64::from(distance);
            left < 0.0
        });
        let Some(drawn) = drawn.map(NodeId::from_index).filter(|drawn| !chosen.contains(drawn)) else { break };
        chosen.push(drawn);
    }
    let (Some(&alone), Some(&together)) = (totals.first(), totals.last()) else { return Ok(false) };
    if together * FAR > alone {
        return Ok(false);
    }
    for (place, node) in chosen.into_iter().enumerate() {
        if let Some(at) = order.iter().position(|&other| other == node) {
            order.swap(place, at);
        }
    }
    Ok(true)
}

/// Lowers the distance of each of some nodes to that to one more node.
struct Nearer<'a> {
    points: &'a Points<'a>,
    to: NodeId,
    first: usize,
    nearest: &'a mut [f32],
}

impl Work for Nearer<'_> {
    type Output = ();

    #[inline(always)]
    fn run<K: CodeKernel>(self) {
        let Self { points, to, first, nearest } = self;
        let mut code = Vec::new();
        let beam = query_of(points, to, &mut code);
        let nodes: Vec<NodeId> = (first..first + nearest.len()).map(NodeId::from_index).collect();
        let mut distances = vec![0; nodes.len()];
        distances_of::<K>(points, &beam, &nodes, &mut distances);
        for (nearest, distance) in nearest.iter_mut().zip(distances) {
            // Rounding may give a small negative distance to equal codes.
            *nearest = nearest.min(unordered(distance)).max(0.0);
        }
    }
}
