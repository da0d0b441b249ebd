//! Which scopes of a segment have a graph, decided from numbers alone, and how a graph is built.
//!
//! A large namespace has a graph. Any other scope has one if a caller asked for it, or if the scope has earned it: its
//! searches would have saved the price of the graph. A merge builds requested graphs again, and earned graphs as long
//! as they have credit. A graph begins with its price as credit, each search adds what it saves, and each merge halves
//! it. So a graph that saves a sixth of its price from merge to merge stays, and one that nobody searches goes with the
//! third merge: graphs do not come and go with the moments of merges.
//!
//! Invariants:
//! * `due`, `is_kept` and `excess` are pure. After `excess` no row lies in more than two graphs of its segment.
//! * A new graph is verified before it is returned, so that searches can use it at once.

use std::cmp::Reverse;
use std::ops::Range;
use std::sync::Arc;

use crate::compact::row_map::RowMap;
use crate::error::{Error, Result};
use crate::graph::calibrate::{Sampled, calibrate};
use crate::graph::{Built, Graph, NO_NODE, Parameters, Reuse, build};
use crate::ids::{Id, IdRange, NodeId, RowId, VectorId};
use crate::segment::Segment;
use crate::segment::derived::graph::{Description, SegmentGraph, write};
use crate::segment::derived::graph_scope::{GraphRange, GraphScope, Origin, ScopeKind};
use crate::segment::truth::layout::StoreIdentity;
use crate::storage::{Clock, Storage};

/// The most graphs that may cover a row.
const GRAPHS_OF_A_ROW: usize = 2;
/// The price of a graph is this part of the time of its build.
const BUILD_DISCOUNT: u64 = 8;

/// The numbers of a graph for `excess`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BuildFacts {
    pub rows: Range<RowId>,
    pub origin: Origin,
    /// The graph is about to be built because it was requested or earned, so it has saved nothing yet.
    pub is_new: bool,
    pub saved_ns: u64,
    pub bytes: u64,
}

impl BuildFacts {
    /// The facts of a graph that is about to be built. One for a large namespace does not count as new, so it goes
    /// before any graph that has saved time.
    pub fn of_new(wanted: &GraphRange, bytes: u64) -> Self {
        let GraphRange { ref rows, origin, .. } = *wanted;
        Self { rows: rows.clone(), origin, is_new: origin != Origin::Automatic, saved_ns: 0, bytes }
    }
}

/// The namespaces that are large enough for a graph: at least `threshold` vectors.
pub(crate) fn automatic(segment: &Segment, threshold: u32) -> Result<Vec<GraphRange>> {
    let mut wanted = Vec::new();
    if segment.vectors() < threshold.max(1) {
        return Ok(wanted);
    }
    for number in 0..segment.namespaces() {
        let rows = segment.namespace_rows(number)?;
        if vectors_of(segment, &rows)?.len() >= threshold.max(1) as usize {
            let bytes = segment.namespace(number)?.len() as u32;
            let scope = GraphScope { kind: ScopeKind::Namespace, bytes };
            wanted.push(GraphRange { rows, scope, origin: Origin::Automatic });
        }
    }
    Ok(wanted)
}

/// The vectors of some rows.
pub(crate) fn vectors_of(segment: &Segment, rows: &Range<RowId>) -> Result<Range<VectorId>> {
    if rows.is_empty() {
        return Ok(VectorId::range(0..0));
    }
    let (start, end) = (segment.row_vectors(rows.start)?.start, segment.row_vectors(RowId(rows.end.0 - 1))?.end);
    Ok(start..end.max(start))
}

/// Whether a merge builds a graph with this credit again. Graphs of large namespaces come from [`automatic`] instead.
pub(crate) fn is_kept(origin: Origin, credit_ns: u64, price_ns: u64) -> bool {
    match origin {
        Origin::Automatic => false,
        Origin::Earned => credit_ns >= price_ns / 3,
        Origin::Requested => true,
    }
}

/// The credit, after a merge, of a graph that had `credit_ns` before: half of it, and at most the price.
pub(crate) fn carried_ns(credit_ns: u64, price_ns: u64) -> u64 {
    (credit_ns / 2).min(price_ns)
}

/// What searches have to save for a graph of so many vectors to be due, in nanoseconds: a part of the time of its
/// build, since a search makes its caller wait, and a build runs beside, at low priority.
pub(crate) fn price_ns(vectors: usize, dims: usize) -> u64 {
    build_estimate_ns(vectors, dims) / BUILD_DISCOUNT
}

/// The graphs of `wanted` to build where graphs over the ranges `there` exist. Of several graphs over one range of rows
/// it keeps the one with the highest origin, then the one with the widest scope.
pub(crate) fn due(mut wanted: Vec<GraphRange>, there: &[Range<RowId>]) -> Vec<GraphRange> {
    wanted.retain(|wanted| !wanted.rows.is_empty() && !there.contains(&wanted.rows));
    let weight = |wanted: &GraphRange| Reverse((wanted.origin, wanted.scope.breadth()));
    wanted.sort_by_key(|wanted| (wanted.rows.start, wanted.rows.end, weight(wanted)));
    wanted.dedup_by(|later, first| later.rows == first.rows);
    wanted
}

/// The graphs of `wanted`, each given with its bytes, that [`excess`] would not remove at once beside `there`.
pub(crate) fn lasting(mut wanted: Vec<(GraphRange, u64)>, there: &[BuildFacts]) -> Vec<GraphRange> {
    let new = wanted.iter().map(|(wanted, bytes)| BuildFacts::of_new(wanted, *bytes));
    let facts: Vec<BuildFacts> = there.iter().cloned().chain(new).collect();
    let going = excess(&facts);
    for position in going.into_iter().rev().filter_map(|position| position.checked_sub(there.len())) {
        wanted.remove(position);
    }
    wanted.into_iter().map(|(wanted, _)| wanted).collect()
}

/// The positions of the graphs to remove so that no row lies in more than two. Graphs that no caller asked for go
/// first. Among them old graphs go before new ones, then the graph that saved least for its size.
pub(crate) fn excess(graphs: &[BuildFacts]) -> Vec<usize> {
    let mut kept: Vec<usize> = (0..graphs.len()).collect();
    let mut going = Vec::new();
    while let Some(crowd) = crowd(graphs, &kept) {
        let worth = |position: usize| {
            let BuildFacts { is_new, origin, saved_ns, bytes, ref rows } = graphs[position];
            let per_byte = u128::from(saved_ns) * (1 << 32) / u128::from(bytes.max(1));
            (origin == Origin::Requested, is_new, per_byte, rows.len())
        };
        let Some(least) = crowd.into_iter().min_by_key(|&position| worth(position)) else { break };
        kept.retain(|&position| position != least);
        going.push(least);
    }
    going.sort_unstable();
    going
}

/// The positions of all graphs over one row that lies in too many; `None` if no row does.
fn crowd(graphs: &[BuildFacts], kept: &[usize]) -> Option<Vec<usize>> {
    let over = |row: RowId| kept.iter().copied().filter(|&at| graphs[at].rows.contains(&row)).collect::<Vec<_>>();
    kept.iter().map(|&at| over(graphs[at].rows.start)).find(|over| over.len() > GRAPHS_OF_A_ROW)
}

/// Roughly the cost of building a graph of `vectors`, in nanoseconds of one core.
pub(crate) fn build_estimate_ns(vectors: usize, dims: usize) -> u64 {
    // Measured: 384 dimensions, 14 thousand to 230 thousand vectors.
    let each = (800.0 + 9.0 * dims as f64) * (vectors.max(2) as f64).ln();
    (vectors as f64 * each) as u64
}

/// Roughly the bytes of a graph of `vectors`.
pub(crate) fn bytes_estimate(vectors: usize) -> u64 {
    let Parameters { m, m0, .. } = Parameters::default();
    let upper = u64::from(m + 1) / u64::from(m.max(2) - 1);
    vectors as u64 * 4 * (u64::from(m0) + upper + 1) + (64 << 10)
}

/// A segment whose graphs a build may reuse, and where its rows lie in the segment that gets the new graphs.
pub(crate) struct GraphSource<'a> {
    pub segment: &'a Segment,
    pub became: &'a RowMap,
}

/// Everything that a build needs beside the segment.
pub(crate) struct Builder<'a> {
    pub storage: &'a dyn Storage,
    pub clock: &'a dyn Clock,
    pub keys: StoreIdentity,
    pub pool: &'a rayon::ThreadPool,
    /// Called from time to time; an error ends the build.
    pub go_on: &'a (dyn Fn() -> Result<()> + Sync),
    /// Gives the id of a new file. The caller owns the file.
    pub new_file_id: &'a dyn Fn() -> u64,
}

impl Builder<'_> {
    /// Builds, writes, opens and verifies graphs of `segment`. A graph whose codes are missing or damaged is left out.
    /// The caller syncs the directory.
    pub fn graphs(
        &self,
        segment: &Segment,
        wanted: &[GraphRange],
        sources: &[GraphSource<'_>],
    ) -> Result<Vec<Arc<SegmentGraph>>> {
        let mut graphs = Vec::new();
        for wanted in wanted {
            graphs.extend(self.graph(segment, wanted, sources, (self.new_file_id)())?);
        }
        Ok(graphs)
    }

    fn graph(
        &self,
        segment: &Segment,
        wanted: &GraphRange,
        sources: &[GraphSource<'_>],
        file_id: u64,
    ) -> Result<Option<Arc<SegmentGraph>>> {
        let vectors = vectors_of(segment, &wanted.rows)?;
        if vectors.is_empty() || segment.points(vectors.clone()).is_none() {
            return Ok(None);
        }
        let (built, description) = match same_rows(segment, wanted) {
            // The segment has a graph over the same rows, with another origin or scope.
            Some((built, description)) => (built, description),
            None => self.build(segment, wanted, vectors, sources)?,
        };
        let truth = segment.truth_id();
        write(self.storage, &self.keys, file_id, truth, &description, &built)?;
        let graph = SegmentGraph::open(self.storage, &self.keys, file_id, segment)?;
        segment.verify_graph(&graph)?;
        Ok(Some(Arc::new(graph)))
    }

    fn build(
        &self,
        segment: &Segment,
        wanted: &GraphRange,
        vectors: Range<VectorId>,
        sources: &[GraphSource<'_>],
    ) -> Result<(Built, Description)> {
        let started = self.clock.monotonic();
        let parameters = Parameters::default();
        let GraphRange { rows, scope, origin } = wanted.clone();
        let Some(points) = segment.points(vectors.clone()) else {
            return Err(Error::invalid("a graph is built from codes, and there are none"));
        };
        let reuse: Vec<Reuse<'_>> = sources
            .iter()
            .map(|source| reuse_of(source, segment, &rows, vectors.start))
            .collect::<Result<Vec<_>>>()?
            .into_iter()
            .flatten()
            .collect();
        let built = build(&points, &parameters, &reuse, self.pool, self.go_on)?;
        let graph =
            Graph::check(points.len() as u32, &parameters, &built.links, &built.upper).map_err(Error::invalid)?;
        let vector_of = |node: NodeId| segment.vector(node.vector(vectors.start));
        let sampled = Sampled::of_nodes(points.len(), &vector_of);
        let calibration = calibrate(graph, &points, &sampled, self.pool, self.go_on)?;
        let took = self.clock.monotonic().saturating_sub(started);
        let build_ns = took.as_nanos().saturating_mul(self.pool.current_num_threads() as u128) as u64;
        Ok((built, Description { rows, vectors, origin, scope, parameters, build_ns, calibration }))
    }
}

/// The graph that the segment has over the rows of `wanted`, with the scope and the origin of `wanted`. Its table is
/// that of its file: no query that was asked of a graph reaches a file.
fn same_rows(segment: &Segment, wanted: &GraphRange) -> Option<(Built, Description)> {
    let graph = segment.graphs().iter().find(|graph| graph.rows() == wanted.rows && graph.searchable().is_some())?;
    let GraphRange { scope, origin, .. } = *wanted;
    Some((graph.built(), Description { scope, origin, ..graph.description().clone() }))
}

/// The graphs of `source` that a build over `rows` of `segment` reuses. `first` is the first vector of these rows. The
/// graphs with the most nodes among these vectors are chosen first, and no two graphs that share a row.
fn reuse_of<'a>(
    source: &GraphSource<'a>,
    segment: &Segment,
    rows: &Range<RowId>,
    first: VectorId,
) -> Result<Vec<Reuse<'a>>> {
    let mut found: Vec<(usize, &'a SegmentGraph, Vec<NodeId>)> = Vec::new();
    for graph in source.segment.graphs() {
        // A damaged graph is not reused.
        if source.segment.verify_graph(graph).is_err() {
            continue;
        }
        let mut became = vec![NO_NODE; graph.vectors().len()];
        let mut living = 0;
        for row in graph.rows().ids() {
            let Some(target) = source.became.get(row) else { continue };
            if !rows.contains(&target) {
                continue;
            }
            let (old, new) = (source.segment.row_vectors(row)?, segment.row_vectors(target)?);
            for (old, new) in old.ids().zip(new.ids()) {
                if let Some(node) = became.get_mut(old.node(graph.vectors().start).index()) {
                    (*node, living) = (new.node(first), living + 1);
                }
            }
        }
        if living > 0 {
            found.push((living, graph, became));
        }
    }
    found.sort_by_key(|(living, graph, _)| (Reverse(*living), graph.rows().start));
    let mut chosen: Vec<Range<RowId>> = Vec::new();
    let mut reuse = Vec::new();
    for (_, graph, became) in found {
        let rows = graph.rows();
        let is_free = chosen.iter().all(|other| other.end <= rows.start || rows.end <= other.start);
        if let Some(graph) = graph.searchable().filter(|_| is_free) {
            chosen.push(rows);
            reuse.push(Reuse { graph, became });
        }
    }
    Ok(reuse)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(rows: Range<u32>, kind: ScopeKind, bytes: u32, origin: Origin) -> GraphRange {
        GraphRange { rows: RowId::range(rows), scope: GraphScope { kind, bytes }, origin }
    }

    #[test]
    fn each_interval_gets_one_graph_for_its_weightiest_reason() {
        use Origin::{Automatic, Earned, Requested};
        use ScopeKind::{Namespace, Prefix, Store};
        let large = wanted(0..50, Namespace, 9, Automatic);
        let asked = wanted(0..50, Store, 0, Requested);
        let narrow = wanted(0..50, Prefix, 2, Requested);
        let earned = wanted(0..90, Prefix, 2, Earned);
        let nothing = wanted(7..7, Prefix, 2, Requested);
        let all = vec![large.clone(), narrow.clone(), earned.clone(), asked.clone(), nothing];
        let there = |rows: Range<u32>| vec![RowId::range(rows)];
        assert_eq!(due(all.clone(), &[]), [asked, earned.clone()]);
        assert_eq!(due(all, &there(0..50)), std::slice::from_ref(&earned));
        assert_eq!(due(vec![large.clone(), earned], &there(0..90)), [large]);
    }

    #[test]
    fn merges_keep_what_was_asked_for_and_what_has_credit() {
        let table = [
            (Origin::Automatic, 10, 1, false),
            (Origin::Earned, 3, 12, false),
            (Origin::Earned, 4, 12, true),
            (Origin::Requested, 0, 10, true),
        ];
        for (origin, credit, price, kept) in table {
            assert_eq!(is_kept(origin, credit, price), kept, "{origin:?} {credit} of {price}");
        }
    }

    #[test]
    fn a_graph_stays_if_it_saves_a_sixth_of_its_price_between_merges() {
        let price = 1_000;
        let merges = |saved: u64, credit: u64| {
            let credits =
                std::iter::successors(Some(credit + saved), |credit| Some(carried_ns(*credit, price) + saved));
            credits.take(50).take_while(|&credit| is_kept(Origin::Earned, credit, price)).count()
        };
        assert_eq!(merges(0, price), 2, "one that nobody searches goes with the third merge");
        assert_eq!(merges(0, u64::MAX / 2), 3, "whatever it saved before");
        assert_eq!((merges(price / 5, price), merges(price / 8, price) < 10), (50, true));
    }

    #[test]
    fn no_row_lies_in_three_graphs_and_the_least_useful_goes() {
        let facts = |rows: Range<u32>, origin, is_new, saved_ns| {
            let rows = RowId::range(rows);
            BuildFacts { rows, origin, is_new, saved_ns, bytes: 100 }
        };
        let (earned, asked) = (Origin::Earned, Origin::Requested);
        let table = [
            (vec![], vec![]),
            (vec![facts(0..9, earned, false, 0), facts(0..5, earned, false, 0), facts(5..9, earned, false, 0)], vec![]),
            (
                vec![facts(0..9, earned, false, 3), facts(0..5, earned, false, 2), facts(2..4, earned, false, 9)],
                vec![1],
            ),
            (vec![facts(0..9, earned, false, 3), facts(0..5, earned, false, 2), facts(2..4, earned, true, 0)], vec![1]),
            (vec![facts(0..9, asked, false, 0), facts(0..5, earned, false, 2), facts(2..4, earned, true, 0)], vec![1]),
            (vec![facts(0..9, asked, false, 0), facts(0..5, asked, false, 2), facts(2..4, asked, true, 0)], vec![0]),
            ((0..5).map(|at| facts(at..9, earned, false, u64::from(at))).collect(), vec![0, 1, 2]),
        ];
        for (graphs, expected) in table {
            assert_eq!(excess(&graphs), expected, "{graphs:?}");
        }
        let automatic = Origin::Automatic;
        let table = [
            (
                vec![facts(0..9, asked, false, 0), facts(0..5, asked, false, 0), facts(0..4, automatic, true, 0)],
                vec![2],
            ),
            (vec![facts(0..9, asked, false, 0), facts(0..5, asked, false, 0), facts(0..7, earned, true, 0)], vec![2]),
            (
                vec![facts(0..9, asked, false, 0), facts(0..5, automatic, false, 9), facts(0..7, asked, true, 0)],
                vec![1],
            ),
        ];
        for (graphs, expected) in table {
            assert_eq!(excess(&graphs), expected, "asked for: {graphs:?}");
        }
        let wide = BuildFacts { bytes: 1_000, ..facts(0..9, earned, false, 50) };
        assert_eq!(excess(&[wide, facts(0..8, earned, false, 9), facts(0..7, earned, false, 9)]), [0], "per byte");
    }

    #[test]
    fn what_would_go_at_once_is_not_built() {
        use Origin::{Automatic, Earned, Requested};
        let there = |rows: Range<u32>, origin, saved_ns| {
            let rows = RowId::range(rows);
            BuildFacts { rows, origin, is_new: false, saved_ns, bytes: 9 }
        };
        let build = |rows: Range<u32>, origin| wanted(rows, ScopeKind::Namespace, 2, origin);
        let asked = [there(0..9, Requested, 0), there(0..5, Requested, 0)];
        let mixed = [there(0..9, Requested, 0), there(0..5, Earned, 3)];
        let table = [
            (&asked, build(0..4, Automatic), false),
            (&asked, build(0..4, Earned), false),
            (&asked, build(0..4, Requested), true),
            (&asked, build(5..9, Automatic), true),
            (&mixed, build(0..4, Automatic), false),
            (&mixed, build(0..4, Earned), true),
            (&mixed, build(0..4, Requested), true),
        ];
        for (there, wanted, is_built) in table {
            let left = lasting(vec![(wanted.clone(), 9)], there);
            assert_eq!(left, if is_built { vec![wanted] } else { vec![] }, "{there:?}");
        }
        let all = vec![(build(0..4, Automatic), 9), (build(0..5, Requested), 9), (build(0..9, Requested), 9)];
        assert_eq!(lasting(all, &[]), [build(0..5, Requested), build(0..9, Requested)]);
    }
}
