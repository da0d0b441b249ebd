//! The graph that a search walks: one of the segment's files, or one of the filter in memory.
//!
//! Invariant: both give the same for a node: its code, its vector, and so its row. A search knows no other difference.

use std::ops::Range;
use std::sync::Arc;

use crate::graph::calibration::Calibration;
use crate::graph::{Candidate, Graph, Points};
use crate::ids::{IdRange, NodeId, RowId, VectorId};
use crate::search::context::SearchContext;
use crate::search::graph_plan::{GraphFacts, GraphPlan, plan_graph_search};
use crate::search::part::{PartColumns, SegmentView};
use crate::segment::derived::graph::SegmentGraph;
use crate::segment::filter_graphs::{FilterGraph, FilterPlace};

/// A planned graph search.
#[derive(Clone)]
pub(crate) struct GraphSearchJob {
    pub graph: GraphChoice,
    /// The rows that the search answers for.
    pub rows: Range<RowId>,
    pub how: GraphPlan,
}

/// A graph of a part.
#[derive(Clone)]
pub(crate) enum GraphChoice {
    /// The index of the graph in the segment's list.
    OfSegment(usize),
    OfFilter(Arc<FilterGraph>),
}

/// The graph of a search under way.
pub(super) struct SearchedGraph<'a> {
    pub links: Graph<'a>,
    pub points: Points<'a>,
    pub calibration: &'a Calibration,
    nodes: Nodes<'a>,
}

#[derive(Clone, Copy)]
enum Nodes<'a> {
    OfSegment(&'a SegmentGraph),
    OfFilter(&'a FilterGraph),
}

impl<'a> SearchedGraph<'a> {
    /// `None` if the graph cannot be searched.
    pub fn open(part: &'a SegmentView<'a>, choice: &'a GraphChoice) -> Option<Self> {
        let segment = part.segment();
        match choice {
            GraphChoice::OfSegment(number) => {
                let graph = &**segment.graphs().get(*number)?;
                let (links, points) = (graph.searchable()?, segment.points(graph.vectors())?);
                Some(Self { links, points, calibration: graph.calibration(), nodes: Nodes::OfSegment(graph) })
            }
            GraphChoice::OfFilter(graph) => {
                let (links, points) = (graph.graph.graph()?, graph.points.points());
                Some(Self { links, points, calibration: &graph.calibration, nodes: Nodes::OfFilter(graph) })
            }
        }
    }

    /// The vector of a node.
    #[inline]
    pub fn vector(&self, node: NodeId) -> VectorId {
        match self.nodes {
            Nodes::OfSegment(graph) => node.vector(graph.vectors().start),
            Nodes::OfFilter(graph) => graph.vector(node),
        }
    }

    /// Roughly the highest score that a candidate can have.
    #[inline]
    pub fn bound(&self, part: &SegmentView<'_>, context: &SearchContext<'_>, candidate: &Candidate) -> f32 {
        context.query_vector.prepared.bound_of_estimate(candidate.estimate, &part.meta(self.vector(candidate.node)))
    }

    /// The graph, if it is one of the segment's files.
    pub fn of_segment(&self) -> Option<&'a SegmentGraph> {
        match self.nodes {
            Nodes::OfSegment(graph) => Some(graph),
            Nodes::OfFilter(_) => None,
        }
    }
}

/// Where the graph of the context's filter for `rows` would be kept. `None` if the field index does not know exactly
/// which rows pass, or if only the vectors of one field count.
pub(crate) fn filter_place(rows: &Range<RowId>, context: &SearchContext<'_>) -> Option<FilterPlace> {
    let conditions = &context.conditions;
    let filter = conditions.filter.filter(|_| context.field.is_none())?;
    let passing = conditions.passing.filter(|passing| passing.is_exact())?;
    (passing.possible.interval() == *rows)
        .then(|| FilterPlace { fingerprint: filter.fingerprint(), rows: rows.clone() })
}

/// The search of the graph of the filter, if there is such a graph and it is worth a search.
pub(super) fn filter_graph_job(
    part: &SegmentView<'_>,
    rows: &Range<RowId>,
    context: &SearchContext<'_>,
    limit: usize,
) -> Option<GraphSearchJob> {
    let graph_searches = context.graph_searches.as_ref()?;
    let (place, graphs) = (filter_place(rows, context)?, &part.segment().filter_graphs);
    let graph = graphs.get(&place)?;
    let nodes = graph.vectors.len();
    let facts = GraphFacts {
        nodes,
        rows: graph.rows,
        limit,
        has_filter: false,
        share: part.live_share(rows),
        admitted: None,
        flat_ns: context.costs.listed(nodes as f64).min(rows.len() as f64 * context.costs.flat_ns),
    };
    let how = plan_graph_search(&facts, graph_searches, &graph.calibration, &context.costs)?;
    graphs.credit(&place, context.number);
    Some(GraphSearchJob { graph: GraphChoice::OfFilter(graph), rows: rows.clone(), how })
}
