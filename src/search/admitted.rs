//! The nodes of a graph that may pass a filter, in the form that a walk over them reads.
//!
//! Invariant: a node is admitted exactly if the field index says that its row may pass. Where the two do not stand for
//! each other one by one, no walk is limited.

use std::ops::Range;

use crate::graph::{Admitted, share_of_links};
use crate::ids::{IdRange, NodeId, RowId};
use crate::search::admitted_shares::AdmittedShares;
use crate::search::context::SearchContext;
use crate::search::part::SegmentView;
use crate::segment::derived::graph::SegmentGraph;

/// Nodes whose links tell how well the admitted nodes are linked.
const LINK_SAMPLE: usize = 24;

/// The bits of the rows of `graph` that may pass the filter, and the bit of its first row; `None` if there are none, if
/// they are too few for bits, or if rows have several vectors.
pub(super) fn admitted_words<'a>(
    part: &SegmentView<'_>,
    graph: &SegmentGraph,
    context: &SearchContext<'a>,
) -> Option<(&'a [u64], usize)> {
    let possible = &context.conditions.passing?.possible;
    let (words, rows) = (possible.words()?, graph.rows());
    let one_each = graph.has_one_vector_a_row(|| part.has_one_vector_a_row(&rows));
    one_each.then(|| (words, (rows.start - possible.interval().start) as usize))
}

/// The shares of nodes and links of `graph` that a walk is admitted to; `None` if it walks over all.
pub(super) fn admitted_shares(
    part: &SegmentView<'_>,
    graph: &SegmentGraph,
    context: &SearchContext<'_>,
) -> Option<AdmittedShares> {
    let (words, first) = admitted_words(part, graph, context)?;
    let rows = graph.rows().len();
    let sample = spread(context, &graph.rows(), LINK_SAMPLE);
    let admitted = Admitted { words, first, seeds: &[] };
    let count = admitted.count(rows);
    let links = share_of_links(graph.searchable()?, &admitted, &sample);
    Some(AdmittedShares { count, nodes: count as f64 / rows.max(1) as f64, links })
}

/// Nodes where the walk begins, at most `count`.
pub(super) fn seeds(
    context: &SearchContext<'_>,
    rows: &Range<RowId>,
    admitted: &Admitted<'_>,
    count: usize,
) -> Vec<NodeId> {
    if count > LINK_SAMPLE { spread_evenly(admitted, rows.len(), count) } else { spread(context, rows, count) }
}

/// At most `count` of the admitted ones of `nodes` nodes, with equally many admitted nodes between them.
fn spread_evenly(admitted: &Admitted<'_>, nodes: usize, count: usize) -> Vec<NodeId> {
    let step = (admitted.count(nodes) / count).max(1);
    let (mut found, mut seen, mut next) = (Vec::with_capacity(count), 0, 0);
    for start in (0..nodes).step_by(64) {
        let word = admitted.word(start, nodes);
        let ones = word.count_ones() as usize;
        while next < seen + ones && found.len() < count {
            // The lower bits of the word are left out.
            let rest = (seen..next).fold(word, |word, _| word & (word - 1));
            found.push(NodeId::from_index(start + rest.trailing_zeros() as usize));
            next += step;
        }
        seen += ones;
    }
    found
}

/// At most `count` nodes of rows that may pass the filter, spread over the graph.
fn spread(context: &SearchContext<'_>, rows: &Range<RowId>, count: usize) -> Vec<NodeId> {
    let Some(passing) = context.conditions.passing else { return Vec::new() };
    let step = (rows.len() / count).max(1) as u32;
    let starts = (0..count as u32).map(|number| rows.start + number * step).take_while(|start| *start < rows.end);
    let mut nodes: Vec<NodeId> = starts
        .filter_map(|start| passing.possible.rows_in(&(start..rows.end)).next())
        .map(|row| NodeId(row - rows.start))
        .collect();
    nodes.dedup();
    nodes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    #[test]
    fn nodes_are_spread_over_the_admitted_ones_wherever_these_lie() {
        let mut random = Random::new(7);
        for _ in 0..2_000 {
            let (nodes, first) = (1 + random.below(700_usize), random.below(130_usize));
            let rate = 1 + random.below(40_u64);
            let mut words = vec![0_u64; (first + nodes).div_ceil(64)];
            let is_admitted: Vec<bool> = (0..nodes).map(|_| random.below(rate) == 0).collect();
            // Bits around the nodes are those of other rows.
            (0..words.len() * 64)
                .filter(|at| *at < first || *at >= first + nodes || is_admitted[at - first])
                .for_each(|at| words[at / 64] |= 1 << (at % 64));
            let all: Vec<usize> = (0..nodes).filter(|&node| is_admitted[node]).collect();
            let count = 1 + random.below(100);
            let admitted = Admitted { words: &words, first, seeds: &[] };
            let found: Vec<usize> =
                spread_evenly(&admitted, nodes, count).into_iter().map(|node| node.index()).collect();
            let expected: Vec<usize> = all.iter().copied().step_by((all.len() / count).max(1)).take(count).collect();
            assert_eq!(found, expected, "{nodes} nodes from {first}, {count} of {}", all.len());
        }
    }
}
