//! The build of a graph of a filter: the codes of the rows that pass are copied, and linked like those of any graph.
//!
//! Invariant: the table of ef is fitted to vectors of the whole interval, not only to those that pass. Queries come
//! from anywhere, and one that is unlike all rows that pass needs a larger ef.

use crate::compact::graphs::vectors_of;
use crate::error::{Error, ErrorKind, Result};
use crate::graph::calibrate::{Sampled, calibrate, spread};
use crate::graph::{OwnedGraph, OwnedPoints, Parameters, build};
use crate::ids::{IdRange, NodeId, VectorId};
use crate::quant::{CodeMeta, stride};
use crate::segment::Segment;
use crate::segment::filter_graphs::{FilterAccount, FilterGraph};
use crate::segment::truth::layout::Section;
use crate::tuning::Tuning;

/// Roughly the bytes of memory of a graph of a filter over so many vectors.
pub(crate) fn filter_graph_bytes(nodes: usize, dims: usize) -> usize {
    let links = Parameters::default().m0 as usize + 2;
    nodes * (stride(dims) + size_of::<CodeMeta>() + size_of::<VectorId>() + links * size_of::<NodeId>())
}

/// The bytes of memory that the graphs of filters of a store may take, whose codes take so many.
pub(crate) fn filter_graph_room(code_bytes: u64, tuning: &Tuning) -> usize {
    usize::try_from((code_bytes / 2).min(tuning.filter_graph_bytes)).unwrap_or(usize::MAX)
}

/// The vectors of the rows that pass a filter.
pub(crate) struct PassingVectors {
    pub vectors: Vec<VectorId>,
    /// How many rows have them.
    rows: usize,
}

/// Finds the vectors of the rows that pass.
pub(crate) fn vectors_passing(segment: &Segment, due: &FilterAccount) -> Result<PassingVectors> {
    let all = vectors_of(segment, &due.place.rows)?;
    // A search reads these columns for its candidates without looking again.
    segment.ensure_vectors(all.clone(), &[Section::VectorRow, Section::InverseNorm])?;
    let row_of = segment.vector_row_column();
    let mut vectors: Vec<VectorId> = Vec::with_capacity(due.passing.len());
    let mut rows = 0;
    for row in due.passing.rows() {
        let own = segment.row_vectors(row)?;
        let is_sound =
            own.start >= all.start && own.end <= all.end && row_of[own.indices()].iter().all(|&of| of == row);
        if !is_sound {
            return Err(Error::new(ErrorKind::Damaged, "vectors of a row name another row"));
        }
        rows += usize::from(!own.is_empty());
        vectors.extend(own.ids());
    }
    vectors.shrink_to_fit();
    Ok(PassingVectors { vectors, rows })
}

/// Builds a graph over vectors of rows of `segment` that pass. `None` if the codes are missing or
/// damaged, or if there is no vector. `go_on` is called from time to time; its error ends the build.
pub(crate) fn build_filter_graph(
    segment: &Segment,
    due: &FilterAccount,
    passing: PassingVectors,
    pool: &rayon::ThreadPool,
    go_on: &(dyn Fn() -> Result<()> + Sync),
) -> Result<Option<FilterGraph>> {
    let (all, PassingVectors { vectors, rows }) = (vectors_of(segment, &due.place.rows)?, passing);
    let Some(points) = segment.points(all.clone()).filter(|_| !vectors.is_empty()) else { return Ok(None) };
    let points = OwnedPoints::copy(&points, vectors.iter().map(|vector| vector.node(all.start)));
    let parameters = Parameters::default();
    let built = build(&points.points(), &parameters, &[], pool, go_on)?;
    let graph = OwnedGraph::new(built, vectors.len(), parameters).map_err(Error::invalid)?;
    // A sample that is no node has a number behind those of the nodes.
    let (mut others, mut nodes) = (Vec::new(), Vec::new());
    for vector in spread(all.len()).into_iter().map(|at| all.start + at) {
        nodes.push(match vectors.binary_search(&vector) {
            Ok(node) => NodeId::from_index(node),
            Err(_) => {
                others.push(vector);
                NodeId::from_index(vectors.len() + others.len() - 1)
            }
        });
    }
    let vector_of = |node: NodeId| {
        let listed = vectors.get(node.index()).or_else(|| others.get(node.index() - vectors.len()));
        listed.map_or_else(|| Err(Error::invalid("a sample has no vector")), |&vector| segment.vector(vector))
    };
    let Some(links) = graph.graph() else { return Ok(None) };
    let sampled = Sampled { nodes, vector_of: &vector_of };
    let calibration = calibrate(links, &points.points(), &sampled, pool, go_on)?;
    Ok(Some(FilterGraph { vectors, rows, points, graph, calibration }))
}
