//! Which nodes a search begins at: some of the highest level are chosen far apart, so that each far group of vectors has
//! one of them.
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
use crate::ids::NodeId;
use crate::random::Random;

/// Nodes that a thread takes at once.
const CHUNK: usize = 1_024;

/// Moves `count` nodes that lie far apart to the front of `order`, which begins with a node drawn by chance.
pub(super) fn spread_first(points: &Points<'_>, order: &mut [NodeId], count: usize, seed: u64) {
    let Some(&first) = order.first() else { return };
    let mut random = Random::new(seed);
    let mut nearest = vec![f32::INFINITY; points.len()];
    let mut chosen = vec![first];
    while chosen.len() < count.min(points.len()) {
        let Some(&last) = chosen.last() else { break };
        nearest.par_chunks_mut(CHUNK).enumerate().for_each(|(number, nearest)| {
            Kernels::get().run(Nearer { points, to: last, first: number * CHUNK, nearest });
        });
        let total: f64 = nearest.iter().map(|&distance| f64::from(distance)).sum();
        let mut left = (random.draw() >> 11) as f64 / (1_u64 << 53) as f64 * total;
        let drawn = nearest.iter().position(|&distance| {
            left -= f64::from(distance);
            left < 0.0
        });
        let Some(drawn) = drawn.map(NodeId::from_index).filter(|drawn| !chosen.contains(drawn)) else { break };
        chosen.push(drawn);
    }
    for (place, node) in chosen.into_iter().enumerate() {
        if let Some(at) = order.iter().position(|&other| other == node) {
            order.swap(place, at);
        }
    }
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
