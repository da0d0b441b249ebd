//! Selection of neighbours among candidates: the paper's algorithm 4, with a factor on the comparison.
//!
//! Invariants:
//! * The caller passes the candidates in ascending order of distance.
//! * The nearest candidate is always selected.

use super::search::{QueryCode, distances_of};
use super::{NO_NODE, Points};
use crate::distance::{CodeKernel, Kernels};
use crate::ids::NodeId;
use crate::quant::Ranking;

/// A possible neighbour: its distance, in the order-preserving form of `pool`, and its number.
pub(super) type Link = (u32, NodeId);

/// Selects at most `most` of `candidates` into `chosen`. `code` is a buffer for the code of a candidate.
///
/// A candidate is left out if its distance to a chosen neighbour, times `alpha`, is below its distance to the node: the
/// node reaches the candidate through that neighbour.
#[inline(always)]
pub(super) fn select<K: CodeKernel>(
    points: &Points<'_>,
    candidates: &[Link],
    most: usize,
    alpha: f32,
    code: &mut Vec<u8>,
    chosen: &mut Vec<Link>,
) {
    chosen.clear();
    for &(distance, node) in candidates {
        if chosen.len() == most {
            break;
        }
        let bound = super::pool::unordered(distance) / alpha;
        let bound = super::pool::ordered(bound);
        let beam = query_of(points, node, code);
        let mut occluded = false;
        for group in chosen.chunks(4) {
            let (mut nodes, mut distances) = ([node; 4], [u32::MAX; 4]);
            nodes.iter_mut().zip(group).for_each(|(number, link)| *number = link.1);
            distances_of::<K>(points, &beam, &nodes[..group.len()], &mut distances);
            occluded = distances.iter().any(|&distance| distance < bound);
            if occluded {
                break;
            }
        }
        if !occluded {
            chosen.push((distance, node));
        }
    }
}

/// A query with the code of `node`. `code` is a buffer for its bytes.
#[inline(always)]
pub(super) fn query_of<'a>(points: &Points<'_>, node: NodeId, code: &'a mut Vec<u8>) -> QueryCode<'a> {
    let kernels = Kernels::get();
    code.clear();
    code.extend(points.code(node).iter().map(|&byte| kernels.query_byte(byte)));
    let ranking = Ranking::of_code(kernels, points.meta(node), points.metric, points.largest_norm);
    QueryCode { code, ranking, ef: 0, without: Some(node).filter(|&node| node != NO_NODE), budget: usize::MAX }
}
