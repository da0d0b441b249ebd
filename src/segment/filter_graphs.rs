//! Graphs of filters, in memory: each over the rows of one interval of a segment that pass one filter.
//!
//! A filter that goes with the vectors (a topic, a speaker, a kind) leaves rows that a walk over the graph of the whole
//! interval reaches on detours only. Where searches repeat such a filter, a graph of these rows alone pays: its walk
//! compares fewer nodes, and their codes lie beside each other.
//!
//! Invariants:
//! * The rows that pass a filter are those that the field index names, exactly. A segment never changes, so a graph of
//!   a filter never gets old; it goes with its segment.
//! * A graph is built once searches would have saved a part of the cost of its build, and stays while the store has
//!   room for it (`filter_room`).
//! * A graph that cannot be built is not tried again, as long as it is among the last ones that could not be built.

use std::ops::Range;
use std::sync::Arc;

use crate::graph::calibration::Calibration;
use crate::graph::{OwnedGraph, OwnedPoints};
use crate::ids::{NodeId, RowId, VectorId};
use crate::row_set::RowSet;
use crate::segment::filter_room::{HeldGraph, Worth};
use crate::sync::Mutex;

/// Filters of a segment whose searches are counted at a time.
const ACCOUNTS_MAX: usize = 16;
/// 2^64 by the golden ratio: products with it are spread evenly.
const DRAW: u64 = 0x9E37_79B9_7F4A_7C15;

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
    /// The rows that pass, and about how many vectors they have.
    pub passing: Arc<RowSet>,
    pub nodes: usize,
    pub saved_ns: u64,
    /// The price of the graph: a part of the cost of building it.
    pub price_ns: u64,
}

/// What searches with a filter would have saved: the account of a graph that may be due, and that is to be built.
pub(crate) struct FilterAccount {
    pub place: FilterPlace,
    pub passing: Arc<RowSet>,
    /// About how many nodes the graph would have.
    pub nodes: usize,
    /// What the graph would be worth by now.
    pub worth: Worth,
    saved_ns: u64,
    searches: u64,
    /// The graph is due once so much is saved.
    price_ns: u64,
}

struct ReadyGraph {
    place: FilterPlace,
    graph: Arc<FilterGraph>,
    worth: Worth,
    /// What one search saves with it.
    each_ns: f64,
}

#[derive(Default)]
struct FilterTable {
    ready: Vec<ReadyGraph>,
    accounts: Vec<FilterAccount>,
    /// Graphs that could not be built, the last one last.
    refused: Vec<FilterPlace>,
}

/// The graphs of filters of one segment, and the accounts of filters that may earn one. The searches of a store with a
/// filter have numbers, and `number` is that of the search that asks.
#[derive(Default)]
pub(crate) struct FilterGraphs {
    table: Mutex<FilterTable>,
}

impl FilterGraphs {
    /// The graph of a filter, if there is one.
    pub fn get(&self, place: &FilterPlace) -> Option<Arc<FilterGraph>> {
        let table = self.table.lock();
        table.ready.iter().find(|ready| ready.place == *place).map(|ready| Arc::clone(&ready.graph))
    }

    /// Adds what a search saves that uses the graph of a filter.
    pub fn credit(&self, place: &FilterPlace, number: u64) {
        let mut table = self.table.lock();
        if let Some(used) = table.ready.iter_mut().find(|ready| ready.place == *place) {
            used.worth.add(used.each_ns, number);
        }
    }

    /// Adds what a search would have saved. Returns whether this made a graph due.
    pub fn add(&self, saving: FilterSaving, number: u64) -> bool {
        let mut table = self.table.lock();
        let FilterTable { ready, accounts, refused } = &mut *table;
        let FilterSaving { place, passing, nodes, saved_ns, price_ns } = saving;
        if ready.iter().any(|ready| ready.place == place) || refused.contains(&place) {
            return false;
        }
        if let Some(account) = accounts.iter_mut().find(|account| account.place == place) {
            let before = account.saved_ns;
            account.saved_ns = before.saturating_add(saved_ns);
            account.searches += 1;
            account.worth.add(saved_ns as f64, number);
            return before < account.price_ns && account.saved_ns >= account.price_ns;
        }
        let worth = Worth::new(saved_ns as f64, number);
        table.open(FilterAccount { place, passing, nodes, saved_ns, searches: 1, price_ns, worth });
        saved_ns >= price_ns
    }

    /// Closes an account that has earned its graph, and returns it: the graph is to be built.
    pub fn take_due(&self) -> Option<FilterAccount> {
        let mut table = self.table.lock();
        let at = table.accounts.iter().position(|account| account.saved_ns >= account.price_ns)?;
        Some(table.accounts.swap_remove(at))
    }

    /// Opens an account again for whose graph there is no room: searches have to save twice as much until it is due.
    pub fn put_off(&self, due: FilterAccount) {
        let price_ns = due.saved_ns.max(due.price_ns).saturating_mul(2);
        self.table.lock().open(FilterAccount { price_ns, ..due });
    }

    /// The graphs that are there.
    pub fn held(&self) -> Vec<(FilterPlace, HeldGraph)> {
        let table = self.table.lock();
        let held = |ready: &ReadyGraph| HeldGraph { bytes: ready.graph.bytes(), worth: ready.worth };
        table.ready.iter().map(|ready| (ready.place.clone(), held(ready))).collect()
    }

    /// Lets a graph go. Searches under way keep it until they end.
    pub fn remove(&self, place: &FilterPlace) {
        self.table.lock().ready.retain(|ready| ready.place != *place);
    }

    /// Keeps a graph that was built, for which there is room.
    pub fn keep(&self, due: FilterAccount, graph: FilterGraph) {
        let FilterAccount { place, worth, saved_ns, searches, .. } = due;
        let each_ns = saved_ns as f64 / searches.max(1) as f64;
        let mut table = self.table.lock();
        table.ready.retain(|ready| ready.place != place);
        // Searches during the build have opened another account.
        table.accounts.retain(|account| account.place != place);
        table.ready.push(ReadyGraph { place, graph: Arc::new(graph), worth, each_ns });
    }

    /// Notes that the graph cannot be built, so that searches do not earn it again.
    pub fn refuse(&self, due: FilterAccount) {
        let mut table = self.table.lock();
        table.accounts.retain(|account| account.place != due.place);
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
    /// Opens an account, in place of the one of the same filter, or of any one if there are too many. The
    /// number of the search draws it, so that of many filters in turn some go on earning.
    fn open(&mut self, account: FilterAccount) {
        let accounts = &mut self.accounts;
        accounts.retain(|other| other.place != account.place);
        if accounts.len() >= ACCOUNTS_MAX {
            let drawn = account.worth.last().wrapping_mul(DRAW) >> 32;
            accounts.swap_remove(drawn as usize % accounts.len());
        }
        accounts.push(account);
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
        FilterSaving { place: place(fingerprint), passing, nodes: 9, saved_ns, price_ns: 100 }
    }

    /// A graph without nodes that takes so many bytes.
    fn graph(bytes: usize) -> FilterGraph {
        let built = Built { links: Vec::new(), upper: vec![0] };
        let empty = Points::new(&[], &[], 64, Metric::Dot);
        let (points, graph) =
            (OwnedPoints::copy(&empty, [].into_iter()), OwnedGraph::new(built, 0, Parameters::default()).unwrap());
        let rest = points.bytes() + graph.bytes();
        let vectors = Vec::with_capacity((bytes - rest) / size_of::<VectorId>());
        FilterGraph { vectors, rows: 0, points, graph, calibration: Calibration::of_one_class([[1; 5]; 2]) }
    }

    #[test]
    fn a_graph_is_due_once_when_its_price_is_saved() {
        let graphs = FilterGraphs::default();
        assert!(!graphs.add(saving(1, 60), 1) && graphs.take_due().is_none() && graphs.get(&place(1)).is_none());
        assert!(graphs.add(saving(1, 60), 3) && !graphs.add(saving(1, 60), 4));
        let due = graphs.take_due().unwrap();
        assert_eq!((&due.place, due.saved_ns, due.searches), (&place(1), 180, 3));
        assert!(graphs.take_due().is_none());
        assert!(graphs.add(saving(1, 1_000), 5), "a search during the build");
        graphs.keep(due, graph(400));
        assert!(!graphs.add(saving(1, 1_000), 6) && graphs.take_due().is_none(), "it is there");
        assert!(graphs.get(&place(1)).is_some() && graphs.get(&place(2)).is_none());
        assert_eq!(graphs.size(), (1, 400));
    }

    #[test]
    fn a_graph_is_worth_what_its_searches_save_and_goes_when_it_is_told_to() {
        let graphs = FilterGraphs::default();
        assert!(graphs.add(saving(1, 100), 10));
        let due = graphs.take_due().unwrap();
        graphs.keep(due, graph(400));
        (11..20).for_each(|number| graphs.credit(&place(1), number));
        let held = graphs.held();
        assert_eq!((held.len(), &held[0].0, held[0].1.bytes), (1, &place(1), 400));
        let worth = held[0].1.worth.at(19);
        assert!((999.0..=1_000.0).contains(&worth), "ten searches saved 100 each: {worth}");
        let kept_by_a_search = graphs.get(&place(1)).unwrap();
        graphs.remove(&place(2));
        graphs.remove(&place(1));
        assert_eq!((graphs.size(), kept_by_a_search.bytes()), ((0, 0), 400));
        assert!(!graphs.add(saving(1, 50), 21) && graphs.add(saving(1, 50), 22), "earned anew");
    }

    #[test]
    fn a_graph_without_room_is_due_again_when_twice_as_much_is_saved() {
        let graphs = FilterGraphs::default();
        assert!(graphs.add(saving(1, 110), 1));
        graphs.put_off(graphs.take_due().unwrap());
        assert!(graphs.take_due().is_none() && !graphs.add(saving(1, 100), 2) && graphs.take_due().is_none());
        assert!(graphs.add(saving(1, 10), 3));
        let due = graphs.take_due().unwrap();
        assert_eq!((due.saved_ns, due.searches), (220, 3));
        assert!(due.worth.at(3) > 219.0);
    }

    #[test]
    fn a_graph_that_cannot_be_built_is_not_earned_again() {
        let graphs = FilterGraphs::default();
        assert!(graphs.add(saving(4, 100), 1));
        let due = graphs.take_due().unwrap();
        assert!(graphs.add(saving(4, 1_000), 2), "a search meanwhile");
        graphs.refuse(due);
        assert!(!graphs.add(saving(4, 1_000), 3) && graphs.take_due().is_none());
    }

    #[test]
    fn of_more_filters_in_turn_than_there_are_accounts_some_earn_a_graph() {
        let (graphs, filters) = (FilterGraphs::default(), ACCOUNTS_MAX as u64 + 1);
        let mut earned = 0;
        for number in 0..20 * filters {
            earned += usize::from(graphs.add(saving(u128::from(number % filters), 30), number));
            assert!(graphs.table.lock().accounts.len() <= ACCOUNTS_MAX);
            if let Some(due) = graphs.take_due() {
                graphs.keep(due, graph(400));
            }
        }
        assert!(earned > ACCOUNTS_MAX / 2, "{earned}");
    }
}
