//! A hierarchical navigable small world (HNSW) graph over the codes of some vectors: flat arrays of node numbers.
//!
//! After Malkov and Yashunin, "Efficient and robust approximate nearest neighbor search using hierarchical navigable
//! small world graphs" (arXiv 1603.09320), whose symbols the code uses. Neighbours are selected by their algorithm 4,
//! with the `alpha` of Subramanya et al., "DiskANN" (NeurIPS 2019). The build works in batches, as in Manohar et al.,
//! "ParlayANN" (PPoPP 2024).
//!
//! Reading order:
//! * `search`, `pool`: a beam of the nearest candidates, in a sorted array.
//! * `build`, `insert`, `select`: the build by levels and batches, the links of one level, the choice of neighbours.
//! * `spread`: where searches begin. `repair`, `lonely`, `shortcuts`, `reuse`: links to nodes that cannot be reached,
//!   or hardly, links to the largest dot products, links taken over from an old graph.
//! * `calibration`, `samples`, `calibrate`: the table recall -> ef, the queries that it is fitted to, its fit.
//! * `asked`: what queries that were asked have found, and the fit to them where that is too little.
//! * `walk`: a search among some of the nodes. `owned`: a graph in memory.
//!
//! Invariants:
//! * The graph knows no files, rows, tombstones or filters, only numbers of nodes.
//! * A [`Graph`] exists only after every number in its arrays was compared with its bounds. The loop of the search
//!   relies on this.
//! * Every node can be reached from the first node of the order. The build links the nodes that are not (`repair`).
//!
//! # The arrays
//!
//! Nodes are 0..n. A random order of them, made from the seed, decides the levels: level l holds the first `c(l)` nodes
//! of that order, about n / m^l of them, as if every node had drawn its level from the paper's distribution. The
//! highest level has no links. It has at most a few dozen nodes, and a search compares all of them.
//!
//! ```text
//! links                  n rows of m0: the neighbours of each node in level 0, then its own number as padding
//! upper   [0]            t, number of upper levels, at least 1 unless n is 0
//!         [1..=t]        c(1), c(2), .., c(t): descending
//!         then c(1)      the order: node numbers
//!         then           for each level from 1 to t-1, c(l) rows of m: positions in the order, then the own one as
//!                        padding
//! ```

pub(crate) mod asked;
mod build;
pub(crate) mod calibrate;
pub(crate) mod calibration;
mod insert;
pub(crate) mod kept_query;
mod lonely;
mod owned;
mod pool;
mod repair;
mod reuse;
mod samples;
mod search;
mod select;
mod shortcuts;
mod spread;
#[cfg(test)]
mod tests;
mod walk;

pub(crate) use build::build;
pub(crate) use owned::{OwnedGraph, OwnedPoints};
pub(crate) use reuse::Reuse;
pub(crate) use samples::{LIKENESS_EF, likeness};
pub(crate) use search::{BeamParameters, Candidate, search};
pub(crate) use walk::{Admitted, search_admitted, share_of_links};

use crate::ids::NodeId;
use crate::quant::CodeMeta;
use crate::types::Metric;

/// The arrays of a new graph, in the layout above.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Built {
    pub links: Vec<NodeId>,
    pub upper: Vec<u32>,
}

/// "No node": the new number of a deleted node.
pub(crate) const NO_NODE: NodeId = NodeId(u32::MAX);
/// The most nodes of one graph: pools keep a node in 31 bits.
pub(crate) const NODES_MAX: u32 = 1 << 31;
/// The most links that a node in a file may have.
const LINKS_MAX: u32 = 512;
/// The most levels: enough for 2^31 nodes with two links each.
const LEVELS_MAX: u32 = 32;

/// The parameters of a build, named after the paper's symbols.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Parameters {
    /// Links of a node in upper levels, and the ratio of one level's nodes to the next.
    pub m: u32,
    /// Links of a node in level 0.
    pub m0: u32,
    /// Candidates among which a new node finds its links.
    pub ef_construction: u32,
    /// A candidate is dropped if a chosen neighbour is nearer to it than the node is, by this factor. Above 1, more
    /// long links stay.
    pub alpha: f32,
    /// Seed of the order of nodes.
    pub seed: u64,
}

impl Default for Parameters {
    fn default() -> Self {
        Self { m: 16, m0: 32, ef_construction: 96, alpha: 1.1, seed: 0x7665_636D_656D }
    }
}

impl Parameters {
    /// Whether parameters read from a file could come from a build.
    pub fn are_sane(&self) -> bool {
        (2..=LINKS_MAX).contains(&self.m) && (2..=LINKS_MAX).contains(&self.m0) && self.alpha.is_finite()
    }
}

/// The codes of n vectors, one after the other. Code i is that of node i.
#[derive(Clone, Copy)]
pub(crate) struct Points<'a> {
    codes: &'a [i8],
    metas: &'a [CodeMeta],
    stride: usize,
    metric: Metric,
    /// A norm that no point exceeds, where distances between points need it: in a build. Else 0.
    largest_norm: f32,
}

impl<'a> Points<'a> {
    /// Points from `codes`, which hold `stride` bytes for each of `metas`.
    pub fn new(codes: &'a [i8], metas: &'a [CodeMeta], stride: usize, metric: Metric) -> Self {
        assert_eq!(metas.len().checked_mul(stride), Some(codes.len()), "one code for each meta");
        assert!(metas.len() <= NODES_MAX as usize, "a graph has at most 2^31 nodes");
        Self { codes, metas, stride, metric, largest_norm: 0.0 }
    }

    /// The same points for a build, which compares them with each other.
    fn with_norms(&self) -> Self {
        Self { largest_norm: self.metas.iter().fold(0.0, |largest, meta| meta.norm.max(largest)), ..*self }
    }

    /// Number of points.
    pub fn len(&self) -> usize {
        self.metas.len()
    }

    /// All codes, one after the other.
    pub fn codes(&self) -> &'a [i8] {
        self.codes
    }

    /// The metadata of the codes.
    pub fn metas(&self) -> &'a [CodeMeta] {
        self.metas
    }

    /// Bytes from one code to the next.
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// The metric that compares codes.
    pub fn metric(&self) -> Metric {
        self.metric
    }

    fn code(&self, node: NodeId) -> &'a [i8] {
        &self.codes[node.index() * self.stride..][..self.stride]
    }

    fn meta(&self, node: NodeId) -> &'a CodeMeta {
        &self.metas[node.index()]
    }
}

/// The two arrays of a graph and their shape.
#[derive(Clone, Copy)]
pub(crate) struct Graph<'a> {
    links: &'a [NodeId],
    m0: usize,
    upper: Upper<'a>,
}

/// The upper levels.
#[derive(Clone, Copy)]
struct Upper<'a> {
    /// The number of nodes of level l is `counts[l - 1]`. They are the first nodes of the order.
    counts: &'a [u32],
    order: &'a [NodeId],
    /// The rows of the upper levels. A neighbour is given by its position in the order.
    rows: &'a [u32],
    m: usize,
}

impl<'a> Graph<'a> {
    /// A graph of `nodes` from untrusted arrays. Compares every number with its bounds. The error says which check has
    /// failed.
    pub fn check(
        nodes: u32,
        parameters: &Parameters,
        links: &'a [NodeId],
        upper: &'a [u32],
    ) -> Result<Self, &'static str> {
        let graph = Self::shape(nodes, parameters, links, upper)?;
        let within = |numbers: &[u32], bound: u32| numbers.iter().fold(0, |most, &number| most.max(number)) < bound;
        if nodes == 0 {
            return Ok(graph);
        }
        if !within(bytemuck::cast_slice(links), nodes) || !within(bytemuck::cast_slice(graph.upper.order), nodes) {
            return Err("a link leads to a node that does not exist");
        }
        let mut is_placed = vec![false; nodes as usize];
        if graph.upper.order.iter().any(|node| std::mem::replace(&mut is_placed[node.index()], true)) {
            return Err("a node has two places in the order");
        }
        for level in 1..graph.upper.counts.len() {
            if !within(graph.upper.level(level), graph.upper.counts[level - 1]) {
                return Err("a link of an upper level leads to a node that is not in it");
            }
        }
        Ok(graph)
    }

    /// The same for arrays that have passed [`Graph::check`] with the same arguments. Only their shape is compared.
    ///
    /// # Safety
    /// `Graph::check` has succeeded for these bytes, and they have not changed since.
    pub unsafe fn checked_before(
        nodes: u32,
        parameters: &Parameters,
        links: &'a [NodeId],
        upper: &'a [u32],
    ) -> Result<Self, &'static str> {
        Self::shape(nodes, parameters, links, upper)
    }

    /// Number of nodes.
    pub fn nodes(&self) -> usize {
        self.links.len() / self.m0
    }

    /// The neighbours of a node in level 0, padding included.
    fn row(&self, node: NodeId) -> &'a [NodeId] {
        &self.links[node.index() * self.m0..][..self.m0]
    }

    fn shape(nodes: u32, parameters: &Parameters, links: &'a [NodeId], upper: &'a [u32]) -> Result<Self, &'static str> {
        let wrong = "the arrays of the graph do not have the lengths that it announces";
        let (m, m0) = (parameters.m as usize, parameters.m0 as usize);
        if !parameters.are_sane() || nodes > NODES_MAX || links.len() != nodes as usize * m0 {
            return Err(wrong);
        }
        let upper = Upper::shape(nodes, m, upper).ok_or(wrong)?;
        Ok(Self { links, m0, upper })
    }
}

impl<'a> Upper<'a> {
    /// Splits the upper array into its parts. `None` if the lengths do not agree.
    fn shape(nodes: u32, m: usize, upper: &'a [u32]) -> Option<Self> {
        let levels = *upper.first()?;
        if levels > LEVELS_MAX || (levels == 0) != (nodes == 0) {
            return None;
        }
        let (counts, rest) = upper[1..].split_at_checked(levels as usize)?;
        let falls = counts.windows(2).all(|pair| pair[0] >= pair[1]) && counts.iter().all(|&count| count >= 1);
        let (&first, linked) =
            (counts.first().unwrap_or(&0), counts.split_last().map_or(&[][..], |(_, linked)| linked));
        let (order, rows) = rest.split_at_checked(first as usize)?;
        let linked: usize = linked.iter().map(|&count| count as usize).sum();
        let order = bytemuck::cast_slice(order);
        (falls && first <= nodes && rows.len() == linked * m).then_some(Self { counts, order, rows, m })
    }

    /// The rows of a level below the highest.
    fn level(&self, level: usize) -> &'a [u32] {
        let before: usize = self.counts[..level - 1].iter().map(|&count| count as usize).sum();
        &self.rows[before * self.m..][..self.counts[level - 1] as usize * self.m]
    }
}
