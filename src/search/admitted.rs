//! The nodes of a graph that may pass a filter, in the form that a walk over them reads.
//!
//! Invariant: a node is admitted exactly if the field index says that its row may pass. Where the two do not stand for
//! each other one by one, no walk is limited.

use std::ops::Range;

use crate::graph::{Admitted, share_of_links};
use crate::ids::{IdRange, NodeId, RowId};
use crate::search::context::SearchContext;
use crate::search::graph_plan::AdmittedShares;
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
pub(super) fn seeds(context: &SearchContext<'_>, rows: &Range<RowId>, count: usize) -> Vec<NodeId> {
    spread(context, rows, count)
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
