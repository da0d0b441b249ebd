//! The graph that a search walks: one of the segment's files, or one of the filter in memory.
//!
//! Invariant: both give the same for a node: its code, its vector, and so its row. A search knows no other difference.

use std::ops::Range;
use std::sync::Arc;

use crate::graph::asked::{AskedWalk, RESULTS_MOST};
use crate::graph::calibration::Calibration;
use crate::graph::{Candidate, Graph, Points, likeness};
use crate::ids::{Id, IdRange, NodeId, RowId, VectorId};
use crate::search::context::SearchContext;
use crate::search::flat::FlatSearch;
use crate::search::graph_plan::{Accuracy, GraphFacts, GraphPlan, SearchProgress, cover, plan_graph_search};
use crate::search::part::{PartColumns, SegmentView};
use crate::segment::Segment;
use crate::segment::derived::graph::SegmentGraph;
use crate::segment::derived::live_recall::NumberedTable;
use crate::segment::filter_graphs::{FilterGraph, FilterPlace};

/// A planned graph search.
#[derive(Clone)]
pub(crate) struct GraphSearchJob {
    pub graph: GraphChoice,
    /// The rows that the search answers for.
    pub rows: Range<RowId>,
    pub how: GraphPlan,
    /// The number of the table that gave the ef of the plan.
    pub table: u64,
}

/// A graph of a part.
#[derive(Clone)]
pub(crate) enum GraphChoice {
    /// The index of the graph in the segment's list.
    OfSegment(usize),
    OfFilter(Arc<FilterGraph>),
}

/// The numbers of the graphs by which `rows` of a segment are searched, if walks are worth it.
pub(crate) fn walked_graphs(segment: &Segment, rows: &Range<RowId>) -> Vec<usize> {
    let usable = |graph: &SegmentGraph| if graph.searchable().is_some() { graph.rows() } else { RowId::range(0..0) };
    let covers: Vec<Range<RowId>> = segment.graphs().iter().map(|graph| usable(graph)).collect();
    cover(rows, &covers)
}

/// The graph of a search under way.
pub(super) struct SearchedGraph<'a> {
    pub links: Graph<'a>,
    pub points: Points<'a>,
    pub calibration: Calibration,
    /// The number of this table.
    table: u64,
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
                let NumberedTable { number: table, table: calibration } = graph.calibration();
                Some(Self { links, points, calibration, table, nodes: Nodes::OfSegment(graph) })
            }
            GraphChoice::OfFilter(graph) => {
                let (links, points) = (graph.graph.graph()?, graph.points.points());
                let (calibration, table) = (graph.calibration, 0);
                Some(Self { links, points, calibration, table, nodes: Nodes::OfFilter(graph) })
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

    /// The share of these nodes that the filter admits, as far as the field index knows.
    pub fn share_admitted(&self, part: &SegmentView<'_>, context: &SearchContext<'_>, nodes: &[Candidate]) -> f64 {
        let row_of = part.segment().vector_row_column();
        let is_admitted =
            |candidate: &&Candidate| context.conditions.may_want(row_of[self.vector(candidate.node).index()]);
        nodes.iter().filter(is_admitted).count() as f64 / nodes.len().max(1) as f64
    }

    /// The graph, if it is one of the segment's files.
    pub fn of_segment(&self) -> Option<&'a SegmentGraph> {
        match self.nodes {
            Nodes::OfSegment(graph) => Some(graph),
            Nodes::OfFilter(_) => None,
        }
    }
}

/// Lets the graph keep the query, if it wants one and the walk that ended the search measures what its table promises:
/// one over all nodes, for the recall of as many results as were asked for, with the ef of what the query looks like,
/// by one table. Results are rows, and nodes are compared with them: each row has to have one vector.
pub(super) fn offer_query(
    SearchedGraph { calibration, table, nodes, .. }: &SearchedGraph<'_>,
    FlatSearch { part, context, .. }: &FlatSearch<'_, SegmentView<'_>>,
    job: &GraphSearchJob,
    progress: &SearchProgress,
    found: &[Candidate],
) {
    let Nodes::OfSegment(graph) = *nodes else { return };
    let Some(Accuracy::Recall(recall)) = context.graph_searches.map(|searches| searches.accuracy) else { return };
    if !graph.live.wants() {
        return;
    }
    let looks = calibration.class(likeness(&context.query_vector.prepared, found));
    let is_plain = job.how.seeds.is_none() && context.conditions.filter.is_none() && context.field.is_none();
    let one_each = || graph.has_one_vector_a_row(|| part.has_one_vector_a_row(&graph.rows()));
    let SearchProgress { ef, class, limit: results, .. } = *progress;
    if is_plain && looks == class && results <= RESULTS_MOST && *table == job.table && one_each() {
        graph.live.offer(context.query_vector.vector, AskedWalk { recall, results, class, ef, table: job.table });
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
    Some(GraphSearchJob { graph: GraphChoice::OfFilter(graph), rows: rows.clone(), how, table: 0 })
}
