//! Graphs of filters, in memory: each over the rows of one interval of a segment that pass one filter.
//!
//! A filter that goes with the vectors (a topic, a speaker, a kind) leaves rows that a walk over the graph of the whole
//! interval reaches on detours only. Where searches repeat such a filter, a graph of these rows alone pays: its walk
//! compares fewer nodes, and their codes lie beside each other.
//!
//! Invariants:
//! * The rows that pass a filter are those that the field index names, exactly. A segment never changes, so a graph of
//!   a filter never gets old; it goes with its segment.
//! * A graph is built once searches would have saved a part of the cost of its build.
//! * The graphs of a segment take about half as many bytes as its codes at most, and those of a store what the tuning
//!   allows. A graph makes room for another one only if it was not used for as long as the other took to be earned.
//! * A graph that cannot be built is not tried again.

use std::ops::Range;
use std::sync::Arc;

use crate::graph::calibration::Calibration;
use crate::graph::{OwnedGraph, OwnedPoints};
use crate::ids::{NodeId, RowId, VectorId};
use crate::row_set::RowSet;
use crate::sync::Mutex;

/// Filters of a segment whose searches are counted at a time.
const ACCOUNTS_MAX: usize = 16;

/// Which rows a graph of a filter is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FilterPlace {
    /// The fingerprint of the filter.
    pub fingerprint: u128,
    /// The rows of the scope, those that do not pass included.
    pub rows: Range<RowId>,
}

/// A graph of a filter.
pub(crate) struct FilterGraph {
    /// The vectors of the rows that pass, by node: rising.
    pub vectors: Vec<VectorId>,
    /// How many rows have these vectors.
    pub rows: usize,
    pub points: OwnedPoints,
    pub graph: OwnedGraph,
    pub calibration: Calibration,
}

impl FilterGraph {
    /// Bytes of memory.
    pub fn bytes(&self) -> usize {
        self.vectors.capacity() * size_of::<VectorId>() + self.points.bytes() + self.graph.bytes()
    }

    /// The vector of a node.
    #[inline]
    pub fn vector(&self, node: NodeId) -> VectorId {
        self.vectors[node.index()]
    }
}

/// What one filtered search would have saved with a graph of its filter.
pub(crate) struct FilterSaving {
    pub place: FilterPlace,
    /// The rows that pass.
    pub passing: Arc<RowSet>,
    pub saved_ns: u64,
    /// The price of the graph: a part of the cost of building it.
    pub price_ns: u64,
}

/// A graph of a filter to build.
pub(crate) struct DueFilterGraph {
    pub place: FilterPlace,
    pub passing: Arc<RowSet>,
    /// When searches began to earn it, in uses of the table.
    since: u64,
}

struct FilterAccount {
    place: FilterPlace,
    passing: Arc<RowSet>,
    saved_ns: u64,
    price_ns: u64,
    since: u64,
    used: u64,
}

struct ReadyGraph {
    place: FilterPlace,
    graph: Arc<FilterGraph>,
    used: u64,
}

#[derive(Default)]
struct FilterTable {
    ready: Vec<ReadyGraph>,
    accounts: Vec<FilterAccount>,
    /// Graphs that could not be built, the last one last.
    refused: Vec<FilterPlace>,
    uses: u64,
}

/// The graphs of filters of one segment, and the accounts of filters that may earn one.
#[derive(Default)]
pub(crate) struct FilterGraphs {
    table: Mutex<FilterTable>,
}

impl FilterGraphs {
    /// The graph of a filter, if there is one.
    pub fn get(&self, place: &FilterPlace) -> Option<Arc<FilterGraph>> {
        let mut table = self.table.lock();
        let FilterTable { ready, uses, .. } = &mut *table;
        let found = ready.iter_mut().find(|ready| ready.place == *place)?;
        *uses += 1;
        found.used = *uses;
        Some(Arc::clone(&found.graph))
    }

    /// Adds what a search would have saved. Returns whether this made a graph due.
    pub fn add(&self, saving: FilterSaving) -> bool {
        let mut table = self.table.lock();
        table.uses += 1;
        let FilterTable { ready, accounts, refused, uses } = &mut *table;
        let FilterSaving { place, passing, saved_ns, price_ns } = saving;
        if ready.iter().any(|ready| ready.place == place) || refused.contains(&place) {
            return false;
        }
        if let Some(account) = accounts.iter_mut().find(|account| account.place == place) {
            let before = account.saved_ns;
            account.saved_ns = before.saturating_add(saved_ns);
            account.used = *uses;
            return before < account.price_ns && account.saved_ns >= account.price_ns;
        }
        if accounts.len() >= ACCOUNTS_MAX
            && let Some(oldest) = (0..accounts.len()).min_by_key(|&at| accounts[at].used)
        {
            accounts.swap_remove(oldest);
        }
        accounts.push(FilterAccount { place, passing, saved_ns, price_ns, since: *uses, used: *uses });
        saved_ns >= price_ns
    }

    /// Closes an account that has earned its graph, and returns the graph to build.
    pub fn take_due(&self) -> Option<DueFilterGraph> {
        let mut table = self.table.lock();
        let at = table.accounts.iter().position(|account| account.saved_ns >= account.price_ns)?;
        let FilterAccount { place, passing, since, .. } = table.accounts.swap_remove(at);
        Some(DueFilterGraph { place, passing, since })
    }

    /// Whether there may be room for a graph of about so many bytes.
    pub fn may_have_room(&self, due: &DueFilterGraph, bytes: usize, room: usize) -> bool {
        self.table.lock().going(due.since, bytes, room).is_some()
    }

    /// Makes room for a graph of so many bytes in `room`, before it is built. Returns whether there is room.
    pub fn make_room(&self, due: &DueFilterGraph, bytes: usize, room: usize) -> bool {
        let mut table = self.table.lock();
        let Some(going) = table.going(due.since, bytes, room) else { return false };
        table.ready.retain(|ready| !going.contains(&ready.used));
        true
    }

    /// Keeps a graph that was built, for which there is room.
    pub fn keep(&self, due: DueFilterGraph, graph: FilterGraph) {
        let mut table = self.table.lock();
        table.uses += 1;
        let FilterTable { ready, uses, .. } = &mut *table;
        ready.retain(|ready| ready.place != due.place);
        ready.push(ReadyGraph { place: due.place, graph: Arc::new(graph), used: *uses });
    }

    /// Notes that the graph cannot be built, so that searches do not earn it again.
    pub fn refuse(&self, due: DueFilterGraph) {
        let mut table = self.table.lock();
        if table.refused.len() >= ACCOUNTS_MAX {
            table.refused.remove(0);
        }
        table.refused.push(due.place);
    }

    /// How many graphs there are, and the bytes of memory that they take.
    pub fn size(&self) -> (usize, usize) {
        let table = self.table.lock();
        (table.ready.len(), table.ready.iter().map(|ready| ready.graph.bytes()).sum())
    }
}

impl FilterTable {
    /// The last uses of the graphs that have to go for one of so many bytes, those used longest ago first; `None` if
    /// one of them was used since `since`, or if there is not enough room at all.
    fn going(&self, since: u64, bytes: usize, room: usize) -> Option<Vec<u64>> {
        let mut taken: usize = self.ready.iter().map(|ready| ready.graph.bytes()).sum();
        let mut oldest: Vec<(u64, usize)> = self
            .ready
            .iter()
            .map(|ready| (ready.used, ready.graph.bytes()))
            .filter(|(used, _)| *used < since)
            .collect();
        oldest.sort_unstable();
        let mut going = Vec::new();
        for (used, freed) in oldest {
            if taken + bytes <= room {
                break;
            }
            taken -= freed;
            going.push(used);
        }
        (taken + bytes <= room).then_some(going)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{Built, Parameters, Points};
    use crate::types::Metric;

    fn place(fingerprint: u128) -> FilterPlace {
        FilterPlace { fingerprint, rows: RowId(0)..RowId(9) }
    }

    fn saving(fingerprint: u128, saved_ns: u64) -> FilterSaving {
        let passing = Arc::new(RowSet::none(RowId(0)..RowId(9)));
        FilterSaving { place: place(fingerprint), passing, saved_ns, price_ns: 100 }
    }

    /// A graph without nodes that takes so many bytes.
    fn graph(bytes: usize) -> FilterGraph {
        let built = Built { links: Vec::new(), upper: vec![0] };
        let empty = Points::new(&[], &[], 64, Metric::Dot);
        let (points, graph) =
            (OwnedPoints::copy(&empty, [].into_iter()), OwnedGraph::new(built, 0, Parameters::default()).unwrap());
        let rest = points.bytes() + graph.bytes();
        let vectors = Vec::with_capacity((bytes - rest) / size_of::<VectorId>());
        FilterGraph { vectors, rows: 0, points, graph, calibration: Calibration { ef: [[1; 5]; 2] } }
    }

    /// Earns and keeps a graph of the filter. Returns whether there was room in 1,000 bytes.
    fn earn(graphs: &FilterGraphs, fingerprint: u128) -> bool {
        assert!(graphs.add(saving(fingerprint, 100)));
        let due = graphs.take_due().unwrap();
        let has_room = graphs.make_room(&due, 400, 1_000);
        if has_room {
            graphs.keep(due, graph(400));
        }
        has_room
    }

    #[test]
    fn a_graph_is_due_once_when_its_price_is_saved() {
        let graphs = FilterGraphs::default();
        assert!(!graphs.add(saving(1, 60)) && graphs.take_due().is_none() && graphs.get(&place(1)).is_none());
        assert!(graphs.add(saving(1, 60)) && !graphs.add(saving(1, 60)));
        assert_eq!(graphs.take_due().unwrap().place, place(1));
        assert!(graphs.take_due().is_none());
        assert!(earn(&graphs, 1) && !graphs.add(saving(1, 1_000)), "it is there");
    }

    #[test]
    fn a_graph_makes_room_only_if_it_is_not_used() {
        let graphs = FilterGraphs::default();
        assert!(earn(&graphs, 1) && earn(&graphs, 2));
        assert_eq!(graphs.size(), (2, 800));
        assert!(graphs.get(&place(1)).is_some());
        assert!(earn(&graphs, 3), "the second one was used longest ago");
        assert!(graphs.get(&place(2)).is_none() && graphs.get(&place(1)).is_some() && graphs.get(&place(3)).is_some());
        assert!(!graphs.add(saving(4, 50)));
        assert!(graphs.get(&place(1)).is_some() && graphs.get(&place(3)).is_some());
        assert!(graphs.add(saving(4, 50)));
        let due = graphs.take_due().unwrap();
        assert!(!graphs.make_room(&due, 400, 1_000), "both were used since");
        graphs.refuse(due);
        assert!(!graphs.add(saving(4, 1_000)), "refused");
        assert!(!graphs.make_room(&DueFilterGraph { since: u64::MAX, ..due_of(5) }, 1_001, 1_000), "too large");
        assert_eq!(graphs.size(), (2, 800));
    }

    fn due_of(fingerprint: u128) -> DueFilterGraph {
        DueFilterGraph { place: place(fingerprint), passing: saving(fingerprint, 0).passing, since: 0 }
    }

    #[test]
    fn the_account_least_recently_used_makes_room() {
        let graphs = FilterGraphs::default();
        for fingerprint in 0..ACCOUNTS_MAX as u128 {
            assert!(!graphs.add(saving(fingerprint, 90)));
        }
        assert!(!graphs.add(saving(0, 1)) && !graphs.add(saving(99, 1)));
        assert!(!graphs.add(saving(1, 10)), "forgotten");
        assert!(graphs.add(saving(0, 9)), "kept");
    }
}
