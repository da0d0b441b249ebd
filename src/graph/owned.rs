//! A graph in memory with copies of its codes: one over vectors that do not lie beside each other in a segment.
//!
//! Invariants:
//! * Every number of the graph was compared with its bounds when it was made, and nothing changes since.
//! * The first code lies at the boundary of a cache line, as in a file.

use super::{Built, Graph, Parameters, Points};
use crate::ids::NodeId;
use crate::quant::CodeMeta;
use crate::types::Metric;

/// Bytes of a cache line.
const LINE: usize = 64;

/// Copies of some codes, one after the other.
pub(crate) struct OwnedPoints {
    /// The codes, with room for moving the first one to the boundary of a line.
    bytes: Vec<i8>,
    /// The first code begins here.
    start: usize,
    metas: Vec<CodeMeta>,
    stride: usize,
    metric: Metric,
}

impl OwnedPoints {
    /// Copies the points with these numbers, in this order.
    pub fn copy(points: &Points<'_>, numbers: impl ExactSizeIterator<Item = NodeId> + Clone) -> Self {
        let stride = points.stride;
        let mut bytes: Vec<i8> = Vec::with_capacity(numbers.len() * stride + LINE);
        let start = bytes.as_ptr().align_offset(LINE).min(LINE);
        bytes.resize(start, 0);
        numbers.clone().for_each(|number| bytes.extend_from_slice(points.code(number)));
        let metas = numbers.map(|number| *points.meta(number)).collect();
        Self { bytes, start, metas, stride, metric: points.metric }
    }

    pub fn points(&self) -> Points<'_> {
        let codes = &self.bytes[self.start..][..self.metas.len() * self.stride];
        Points::new(codes, &self.metas, self.stride, self.metric)
    }

    /// Bytes of memory.
    pub fn bytes(&self) -> usize {
        self.bytes.capacity() + self.metas.capacity() * size_of::<CodeMeta>()
    }
}

/// A graph in memory.
pub(crate) struct OwnedGraph {
    built: Built,
    nodes: u32,
    parameters: Parameters,
}

impl OwnedGraph {
    /// Fails if a number of the graph is out of its bounds, which says that the build is wrong.
    pub fn new(mut built: Built, nodes: usize, parameters: Parameters) -> Result<Self, &'static str> {
        built.links.shrink_to_fit();
        built.upper.shrink_to_fit();
        let nodes = NodeId::from_index(nodes).0;
        Graph::check(nodes, &parameters, &built.links, &built.upper)?;
        Ok(Self { built, nodes, parameters })
    }

    /// The graph.
    pub fn graph(&self) -> Option<Graph<'_>> {
        let Self { built: Built { links, upper }, nodes, parameters } = self;
        // SAFETY: `new` has checked these arguments, and nothing changes them.
        unsafe { Graph::checked_before(*nodes, parameters, links, upper) }.ok()
    }

    /// Bytes of memory.
    pub fn bytes(&self) -> usize {
        (self.built.links.capacity() + self.built.upper.capacity()) * size_of::<u32>()
    }
}
