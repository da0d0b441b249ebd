//! The recall of graphs as the live check has measured it: for statistics, and for the explanation of a search.

use std::ops::Range;

use serde::Serialize;

use crate::ids::{IdRange, RowId};
use crate::search::searched_graph::walked_graphs;
use crate::segment::Segment;
use crate::segment::derived::graph::SegmentGraph;
use crate::segment::derived::graph_scope::ScopeKind;
use crate::shard::ReadView;
use crate::types::decode_labels;

/// Graphs that statistics show.
const GRAPHS_SHOWN_MAX: usize = 64;

/// The recall of one graph, measured since the open: some queries that walked it were repeated exactly
/// ([`Options::live_check`](crate::Options::live_check)).
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct MeasuredGraph {
    /// The labels of the namespace, or of the prefix, of the graph; none for the store.
    pub labels: Vec<String>,
    /// Whether the scope is a prefix, or the store, and not a single namespace.
    pub is_prefix: bool,
    /// Its rows in one segment.
    pub rows: u64,
    /// Queries that were repeated exactly.
    pub checked: u64,
    /// The mean recall that they got, since the graph was last fitted to queries like them. Of many queries the last
    /// few hundred count most, and a query that was asked again counts once. `None` if none was repeated since.
    pub recall: Option<f64>,
    /// The mean recall that these queries asked for, each at least 0.90: no search is made for less.
    pub asked: Option<f64>,
    /// How often the graph was fitted to queries, since a class of them had found too little. Later ones may have found
    /// so much more that it was undone.
    pub fits: u64,
    /// Queries of the graph whose vectors are in memory.
    pub kept_queries: u64,
}

/// The graphs with measured recall or kept queries, those that fall short most first.
pub(super) fn measured_graphs(view: &ReadView) -> Vec<MeasuredGraph> {
    let segments = view.shards.iter().flat_map(|shard| &shard.segments).filter_map(|part| part.segment().ok());
    let graphs = segments.flat_map(|segment| segment.graphs().iter().map(move |graph| (segment, graph)));
    let mut all: Vec<MeasuredGraph> = graphs.filter_map(|(segment, graph)| measured(segment, graph)).collect();
    let short = |graph: &MeasuredGraph| graph.asked.unwrap_or(0.0) - graph.recall.unwrap_or(0.0);
    all.sort_by(|a, b| short(b).total_cmp(&short(a)).then_with(|| a.labels.cmp(&b.labels)));
    all.truncate(GRAPHS_SHOWN_MAX);
    all
}

fn measured(segment: &Segment, graph: &SegmentGraph) -> Option<MeasuredGraph> {
    let measured = graph.live.measured();
    if measured.checked == 0 && measured.kept == 0 {
        return None;
    }
    let (scope, rows) = (graph.description().scope, graph.rows());
    let first = segment.namespace(segment.namespace_of(rows.start).ok()?).ok()?;
    Some(MeasuredGraph {
        labels: decode_labels(&scope.interval(first).low),
        is_prefix: scope.kind != ScopeKind::Namespace,
        rows: rows.len() as u64,
        checked: measured.checked,
        recall: measured.means.map(|(_, found)| found),
        asked: measured.means.map(|(asked, _)| asked),
        fits: measured.fits,
        kept_queries: measured.kept,
    })
}

/// The lowest measured recall of the graphs that a search of these rows walks.
pub(super) fn least_recall(segment: &Segment, rows: &Range<RowId>) -> Option<f64> {
    let walked = walked_graphs(segment, rows).into_iter().filter_map(|number| segment.graphs().get(number));
    walked.filter_map(|graph| graph.live.measured().means).map(|(_, found)| found).reduce(f64::min)
}
