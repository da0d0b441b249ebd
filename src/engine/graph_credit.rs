//! Scopes that earn a graph. The account of a scope sums the time that graph searches would have saved over its flat
//! searches. A graph is due when the sum reaches its price, a part of the cost of a build.
//!
//! Invariants:
//! * The number of accounts is limited: a new one replaces the least recently used one. Only flat searches of many
//!   vectors are counted, so the lock costs little beside them, and small searches never take it.
//! * An account belongs to a range of rows of one segment. A merge of the segment leaves the account in place. The
//!   account goes when it is the least recently used, or with the next `forget`.

use std::collections::HashMap;
use std::ops::Range;

use crate::ids::{Id, RowId};
use crate::segment::derived::graph_scope::{GraphRange, GraphScope, Origin};
use crate::shard::ReadView;
use crate::sync::{AtomicU64, Mutex, Ordering};
use crate::types::Interval;

/// A range of rows of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct CreditPlace {
    file_id: u64,
    start: RowId,
    end: RowId,
}

#[derive(Clone, Copy, Debug)]
struct ScopeCredit {
    scope: GraphScope,
    saved_ns: u64,
    cost_ns: u64,
    used: u64,
}

#[derive(Default)]
struct CreditTable {
    accounts: HashMap<CreditPlace, ScopeCredit>,
    uses: u64,
    /// The places of accounts that have earned the cost of their graph.
    due: Vec<CreditPlace>,
}

/// The accounts of a store.
pub(crate) struct GraphCredit {
    table: Mutex<CreditTable>,
    /// Searches with a filter so far.
    filtered: AtomicU64,
    capacity: usize,
}

/// The saving of one or several flat searches of the same rows, for each of which a graph search would have been
/// cheaper.
#[derive(Clone, Debug)]
pub(crate) struct GraphSaving {
    pub file_id: u64,
    pub rows: Range<RowId>,
    pub scope: GraphScope,
    pub saved_ns: u64,
    /// The price of the graph: a part of the cost of building it.
    pub cost_ns: u64,
}

impl GraphSaving {
    /// The graph that has been earned.
    pub fn wanted(&self) -> GraphRange {
        GraphRange { rows: self.rows.clone(), scope: self.scope, origin: Origin::Earned }
    }
}

impl GraphCredit {
    pub fn new(capacity: usize) -> Self {
        let (table, filtered) = (Mutex::new(CreditTable::default()), AtomicU64::new(0));
        Self { table, filtered, capacity: capacity.max(1) }
    }

    /// The number of the next search with a filter.
    pub fn next_filtered(&self) -> u64 {
        self.filtered.fetch_add(1, Ordering::Relaxed)
    }

    /// How many searches with a filter there were.
    pub fn filtered(&self) -> u64 {
        self.filtered.load(Ordering::Relaxed)
    }

    /// Adds what a graph would have saved. Returns whether this made a graph due.
    pub fn add(&self, scanned: &GraphSaving) -> bool {
        let GraphSaving { file_id, ref rows, scope, saved_ns, cost_ns } = *scanned;
        let place = CreditPlace { file_id, start: rows.start, end: rows.end };
        let mut table = self.table.lock();
        table.uses += 1;
        let used = table.uses;
        if !table.accounts.contains_key(&place) && table.accounts.len() >= self.capacity {
            let oldest = table.accounts.iter().min_by_key(|(_, account)| account.used).map(|(&place, _)| place);
            oldest.and_then(|oldest| table.accounts.remove(&oldest));
        }
        let account = table.accounts.entry(place).or_insert(ScopeCredit { scope, saved_ns: 0, cost_ns, used });
        let before = account.saved_ns;
        (account.saved_ns, account.cost_ns, account.used) = (before.saturating_add(saved_ns), cost_ns, used);
        let is_due = before < cost_ns && account.saved_ns >= cost_ns;
        if is_due {
            table.due.push(place);
        }
        is_due
    }

    /// All accounts, those nearest to a graph first: what each has earned, and the share of the graph's cost.
    pub fn all(&self) -> Vec<(GraphSaving, f64)> {
        let table = self.table.lock();
        let mut all: Vec<(GraphSaving, f64)> = table
            .accounts
            .iter()
            .map(|(&CreditPlace { file_id, start, end }, &ScopeCredit { scope, saved_ns, cost_ns, .. })| {
                let earned = saved_ns as f64 / cost_ns.max(1) as f64;
                (GraphSaving { file_id, rows: start..end, scope, saved_ns, cost_ns }, earned)
            })
            .collect();
        drop(table);
        all.sort_by(|a, b| {
            b.1.total_cmp(&a.1).then_with(|| (a.0.file_id, a.0.rows.start).cmp(&(b.0.file_id, b.0.rows.start)))
        });
        all
    }

    /// Closes the accounts of rows in an interval, and of segments that the read view does not have.
    pub fn forget(&self, view: &ReadView, interval: &Interval) {
        let mut there: HashMap<u64, Range<RowId>> = HashMap::new();
        for part in view.shards.iter().flat_map(|shard| &shard.segments) {
            // An unreadable segment cannot tell its rows in the interval, so all its accounts are closed.
            let rows = part.rows_in(interval).map_or(RowId::range(0..u32::MAX), |(rows, ..)| rows);
            there.insert(part.entry.file_id, rows);
        }
        self.keep_apart_from(&there);
    }

    /// Closes the accounts of segments that are not in `there`, and those that overlap the rows given with a segment.
    fn keep_apart_from(&self, there: &HashMap<u64, Range<RowId>>) {
        let mut table = self.table.lock();
        table.accounts.retain(|place, _| {
            let gone = there.get(&place.file_id);
            gone.is_some_and(|gone| gone.is_empty() || place.end <= gone.start || gone.end <= place.start)
        });
        let CreditTable { accounts, due, .. } = &mut *table;
        due.retain(|place| accounts.contains_key(place));
    }

    /// Removes an account that has earned the cost of its graph, and returns it. The rows then earn from zero again.
    pub fn take_due(&self) -> Option<GraphSaving> {
        let mut table = self.table.lock();
        while let Some(place) = table.due.pop() {
            // The account may have been replaced and opened again since, or a graph may cost more by now.
            if table.accounts.get(&place).is_none_or(|account| account.saved_ns < account.cost_ns) {
                continue;
            }
            if let Some(ScopeCredit { scope, saved_ns, cost_ns, .. }) = table.accounts.remove(&place) {
                let CreditPlace { file_id, start, end } = place;
                return Some(GraphSaving { file_id, rows: start..end, scope, saved_ns, cost_ns });
            }
        }
        None
    }

    /// Puts an account back after no graph could be built. The graph is due again once searches have saved at least
    /// half of its cost again.
    pub fn put_back(&self, due: GraphSaving) {
        let saved_ns = due.saved_ns.min(due.cost_ns / 2);
        self.add(&GraphSaving { saved_ns, ..due });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::segment::derived::graph_scope::ScopeKind;

    fn flat_search(file_id: u64, saved_ns: u64) -> GraphSaving {
        let scope = GraphScope { kind: ScopeKind::Prefix, bytes: 2 };
        GraphSaving { file_id, rows: RowId::range(5..9), scope, saved_ns, cost_ns: 100 }
    }

    #[test]
    fn a_graph_is_due_once_when_its_cost_is_saved() {
        let accounts = GraphCredit::new(8);
        assert!(!accounts.add(&flat_search(1, 60)) && accounts.take_due().is_none());
        assert!(accounts.add(&flat_search(1, 60)) && !accounts.add(&flat_search(1, 60)));
        let due = accounts.take_due().unwrap();
        assert_eq!((due.file_id, due.wanted().rows, due.wanted().origin), (1, RowId::range(5..9), Origin::Earned));
        assert!(accounts.take_due().is_none() && !accounts.add(&flat_search(1, 99)), "it begins anew");
    }

    #[test]
    fn what_was_put_back_is_due_again_after_half_its_cost() {
        let accounts = GraphCredit::new(8);
        assert!(accounts.add(&flat_search(1, 900)));
        accounts.put_back(accounts.take_due().unwrap());
        assert!(accounts.take_due().is_none(), "not at once");
        assert!(!accounts.add(&flat_search(1, 49)) && accounts.add(&flat_search(1, 1)));
        assert!(accounts.take_due().is_some());
    }

    #[test]
    fn one_that_made_room_after_it_was_due_earns_its_cost_again() {
        let accounts = GraphCredit::new(1);
        assert!(accounts.add(&flat_search(1, 100)));
        accounts.add(&flat_search(2, 1));
        accounts.add(&flat_search(1, 1));
        assert!(accounts.take_due().is_none());
        assert!(accounts.add(&flat_search(1, 99)) && accounts.take_due().is_some());
    }

    #[test]
    fn accounts_of_rows_that_are_forgotten_or_of_segments_that_are_gone_are_closed() {
        let accounts = GraphCredit::new(8);
        for (file_id, start, end) in [(1, 0, 4), (1, 4, 9), (1, 8, 12), (1, 12, 20), (2, 0, 9), (3, 0, 9)] {
            assert!(accounts.add(&GraphSaving { rows: RowId::range(start..end), ..flat_search(file_id, 200) }));
        }
        accounts.keep_apart_from(&HashMap::from([(1, RowId::range(4..12)), (3, RowId::range(7..7))]));
        let left: Vec<_> = std::iter::from_fn(|| accounts.take_due()).map(|due| (due.file_id, due.rows)).collect();
        assert_eq!(left, [(3, 0..9), (1, 12..20), (1, 0..4)].map(|(file_id, rows)| (file_id, RowId::range(rows))));
    }

    #[test]
    fn the_account_least_recently_used_makes_room() {
        let accounts = GraphCredit::new(2);
        accounts.add(&flat_search(1, 90));
        accounts.add(&flat_search(2, 90));
        accounts.add(&flat_search(1, 1));
        accounts.add(&flat_search(3, 90));
        assert!(!accounts.add(&flat_search(2, 10)), "forgotten");
        assert!(accounts.add(&flat_search(3, 10)));
        assert!(!accounts.add(&flat_search(1, 9)), "forgotten for the second");
    }
}
