//! Counts of what scopes with a quota hold, and whether a write fits.
//!
//! A count is exact for the newest write that has its LSN: it changes when a write takes its place in the log, under
//! the commit lock, and a write that has one succeeds or poisons the store. So concurrent writers cannot exceed a quota
//! together. A scope is counted when a write first adds to it: on a read view and without a lock, while the changes
//! since that view are noted.
//!
//! Invariants:
//! * The decision about a write reads counts only ([`ScopeCounts::verdict`]). It never walks over items.
//! * Counts are of one value of the store's quotas. Another value drops them.
//! * At most twice [`GENERATION`] counts are kept, or twice as many as the calls need together that wait for counts.
//!   One that was dropped is made anew by the next write that needs it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::commit::tally::{QuotaTally, ScopeChange};
use crate::engine::quotas::Quotas;
use crate::error::QuotaExcess;
use crate::record::Lsn;
use crate::types::{Growth, Interval, QuotaLimits, QuotaScope, Usage};

/// How many counts are kept before the older ones are dropped.
const GENERATION: usize = 16_384;

/// The counts of scopes. The commit lock guards them.
#[derive(Default)]
pub(super) struct ScopeCounts {
    quotas: Arc<Quotas>,
    /// Those that changed lately.
    newer: HashMap<QuotaScope, ScopeCount>,
    older: HashMap<QuotaScope, ScopeCount>,
    tickets: u64,
    /// How many scopes the calls need together that have made room.
    room: usize,
}

/// The count of a scope.
enum ScopeCount {
    Known(Usage),
    /// A thread counts on a read view.
    Counting(OpenCount),
}

/// A count under way.
struct OpenCount {
    ticket: CountTicket,
    /// What happened before the read view was taken.
    early: Vec<(Lsn, Event)>,
    /// What has happened since the read view; `None` if it is not taken yet.
    since: Option<Since>,
}

/// Names a count under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CountTicket(u64);

/// What a write does to a scope.
#[derive(Clone, Copy)]
enum Event {
    Grows(Growth),
    Empties,
    Unknown,
}

/// What all writes since a read view have done to a scope.
#[derive(Default)]
struct Since {
    is_emptied: bool,
    growth: Growth,
    is_unknown: bool,
}

impl Since {
    fn add(&mut self, event: Event) {
        match event {
            Event::Grows(growth) => self.growth = self.growth.and(growth),
            Event::Empties => *self = Self { is_emptied: true, ..Self::default() },
            Event::Unknown => self.is_unknown = true,
        }
    }

    fn usage(&self, counted: Usage) -> Option<Usage> {
        let start = if self.is_emptied { Usage::default() } else { counted };
        (!self.is_unknown).then(|| start.after(self.growth))
    }
}

/// Whether a write may be written.
pub(super) enum QuotaVerdict {
    Fits,
    /// These scopes must be counted first.
    Uncounted(Vec<(QuotaScope, QuotaLimits)>),
    Exceeds(QuotaExcess),
}

impl ScopeCount {
    /// Notes what a frame does. Returns false if nothing is known any more.
    fn note(&mut self, lsn: Lsn, event: Event) -> bool {
        match (self, event) {
            (Self::Known(usage), Event::Grows(growth)) => match usage.checked_after(growth) {
                Some(after) => *usage = after,
                // The count has left something out that damage hid.
                None => return false,
            },
            (Self::Known(usage), Event::Empties) => *usage = Usage::default(),
            (Self::Known(_), Event::Unknown) => return false,
            (Self::Counting(count), event) => match &mut count.since {
                Some(since) => since.add(event),
                None => count.early.push((lsn, event)),
            },
        }
        true
    }
}

/// Whether a change adds to something that is limited.
fn needs_room(limits: &QuotaLimits, growth: &Growth) -> bool {
    (limits.items.is_some() && growth.items > 0) || (limits.bytes.is_some() && growth.bytes > 0)
}

/// What a change would exceed. What does not grow passes, however much there is.
fn excess(scope: &QuotaScope, usage: Usage, change: &ScopeChange) -> Option<QuotaExcess> {
    let ScopeChange { limits, growth, .. } = change;
    let units =
        [("items", limits.items, usage.items, growth.items), ("bytes", limits.bytes, usage.bytes, growth.bytes)];
    units.into_iter().find_map(|(unit, limit, used, added)| {
        let (limit, added) = (limit?, u64::try_from(added).ok().filter(|added| *added > 0)?);
        let exceeds = used.saturating_add(added) > limit;
        exceeds.then(|| QuotaExcess { scope: scope.scope().name(), unit, limit, used, added })
    })
}

impl ScopeCounts {
    /// The quotas that the counts are for.
    pub fn quotas(&self) -> &Arc<Quotas> {
        &self.quotas
    }

    /// Drops all counts if these are other quotas.
    pub fn keep_for(&mut self, quotas: Arc<Quotas>) {
        if !Arc::ptr_eq(&self.quotas, &quotas) {
            *self = Self { quotas, tickets: self.tickets, room: self.room, ..Self::default() };
        }
    }

    /// What a scope holds, if that is counted.
    pub fn known(&self, scope: &QuotaScope) -> Option<Usage> {
        match self.newer.get(scope).or_else(|| self.older.get(scope)) {
            Some(ScopeCount::Known(usage)) => Some(*usage),
            _ => None,
        }
    }

    /// Whether a write with these changes may be written.
    pub fn verdict(&self, changes: &BTreeMap<QuotaScope, ScopeChange>) -> QuotaVerdict {
        let mut uncounted = Vec::new();
        for (scope, change) in changes.iter().filter(|(_, change)| needs_room(&change.limits, &change.growth)) {
            match self.known(scope) {
                None => uncounted.push((scope.clone(), change.limits)),
                Some(usage) => {
                    if let Some(excess) = excess(scope, usage, change) {
                        return QuotaVerdict::Exceeds(excess);
                    }
                }
            }
        }
        if uncounted.is_empty() { QuotaVerdict::Fits } else { QuotaVerdict::Uncounted(uncounted) }
    }

    /// Makes room for the counts of a call that adds to so many scopes, until the call gives the room back.
    pub fn make_room(&mut self, scopes: usize) {
        self.room = self.room.saturating_add(scopes);
    }

    /// Gives room back that was made for a call.
    pub fn give_back(&mut self, scopes: usize) {
        self.room = self.room.saturating_sub(scopes);
    }

    /// Notes what the frame that begins at `lsn` does.
    pub fn note(&mut self, lsn: Lsn, tally: &mut QuotaTally) {
        if self.newer.is_empty() && self.older.is_empty() {
            return;
        }
        for (scope, change) in tally.changes() {
            if let Some(counter) = self.older.remove(scope) {
                self.insert(scope.clone(), counter);
            }
            let event = if change.needs_recount { Event::Unknown } else { Event::Grows(change.growth) };
            if self.newer.get_mut(scope).is_some_and(|counter| !counter.note(lsn, event)) {
                self.newer.remove(scope);
            }
        }
    }

    /// Notes a delete of a range: a scope inside of it is empty, one that holds more is counted anew.
    pub fn note_range(&mut self, lsn: Lsn, range: &Interval) {
        let mut is_known = |scope: &QuotaScope, counter: &mut ScopeCount| {
            let event = match () {
                () if !scope.overlaps(range) => return true,
                () if scope.is_inside(range) => Event::Empties,
                () => Event::Unknown,
            };
            counter.note(lsn, event)
        };
        self.newer.retain(&mut is_known);
        self.older.retain(&mut is_known);
    }

    /// Begins a count.
    pub fn begin(&mut self, scope: &QuotaScope) -> CountTicket {
        self.tickets += 1;
        let ticket = CountTicket(self.tickets);
        self.older.remove(scope);
        self.insert(scope.clone(), ScopeCount::Counting(OpenCount { ticket, early: Vec::new(), since: None }));
        ticket
    }

    /// Notes that the count goes over a read view that was taken under the lock, and that shows every write from before
    /// the count began.
    pub fn view_taken(&mut self, scope: &QuotaScope, ticket: CountTicket, read_lsn: Lsn) {
        let Some(count) = self.count_of(scope, ticket) else { return };
        let mut since = Since::default();
        let later = std::mem::take(&mut count.early).into_iter().filter(|(lsn, _)| *lsn > read_lsn);
        later.for_each(|(_, event)| since.add(event));
        count.since = Some(since);
    }

    /// Ends a count. Nothing is known if the scope lost a part of its items meanwhile.
    pub fn finish(&mut self, scope: &QuotaScope, ticket: CountTicket, counted: Usage) {
        let Some(count) = self.count_of(scope, ticket) else { return };
        let usage = count.since.as_ref().and_then(|since| since.usage(counted));
        self.newer.remove(scope);
        self.older.remove(scope);
        if let Some(usage) = usage {
            self.insert(scope.clone(), ScopeCount::Known(usage));
        }
    }

    fn count_of(&mut self, scope: &QuotaScope, ticket: CountTicket) -> Option<&mut OpenCount> {
        match self.newer.get_mut(scope).or_else(|| self.older.get_mut(scope)) {
            Some(ScopeCount::Counting(count)) if count.ticket == ticket => Some(count),
            _ => None,
        }
    }

    fn insert(&mut self, scope: QuotaScope, counter: ScopeCount) {
        if self.newer.len() >= self.room.max(GENERATION) {
            self.older = std::mem::take(&mut self.newer);
        }
        self.newer.insert(scope, counter);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home() -> QuotaScope {
        QuotaScope::prefix(b"a\0")
    }

    fn change(limits: [Option<u64>; 2], growth: [i64; 2]) -> ScopeChange {
        let ([items, bytes], [more, larger]) = (limits, growth);
        let growth = Growth { items: more, bytes: larger };
        ScopeChange { limits: QuotaLimits { items, bytes }, growth, needs_recount: false }
    }

    #[test]
    fn a_write_is_refused_if_it_grows_beyond_a_limit() {
        let usage = Usage { items: 10, bytes: 100 };
        for (limits, growth, refused) in [
            ([Some(11), None], [1, 1_000], None),
            ([Some(10), None], [1, 0], Some(("items", 10, 1))),
            ([Some(10), None], [0, 1_000], None),
            ([Some(5), None], [0, 0], None),
            ([Some(5), None], [-1, 0], None),
            ([Some(5), None], [1, -100], Some(("items", 5, 1))),
            ([None, Some(110)], [1, 10], None),
            ([None, Some(110)], [1, 11], Some(("bytes", 110, 11))),
            ([None, Some(50)], [1, -1], None),
            ([Some(u64::MAX), Some(u64::MAX)], [i64::MAX, i64::MAX], None),
            ([None, None], [5, 5], None),
        ] {
            let found = excess(&home(), usage, &change(limits, growth));
            let found = found.map(|excess| (excess.unit, excess.limit, excess.added));
            assert_eq!(found, refused, "{limits:?} {growth:?}");
        }
    }

    #[test]
    fn a_count_adds_what_happened_since_its_read_view() {
        let grows = |items: i64| Event::Grows(Growth { items, bytes: 10 * items });
        let lsn = Lsn::new;
        for (early, late, known) in [
            (vec![], vec![], Some(100)),
            (vec![(lsn(4), grows(7)), (lsn(6), grows(2))], vec![grows(1)], Some(103)),
            (vec![(lsn(6), Event::Empties)], vec![grows(1)], Some(1)),
            (vec![(lsn(5), Event::Unknown)], vec![grows(-1)], Some(99)),
            (vec![], vec![Event::Unknown, grows(3)], None),
            (vec![], vec![Event::Unknown, Event::Empties, grows(3)], Some(3)),
        ] {
            let mut counters = ScopeCounts::default();
            let ticket = counters.begin(&home());
            let note = |counters: &mut ScopeCounts, lsn, event| {
                counters.newer.get_mut(&home()).is_some_and(|counter| counter.note(lsn, event))
            };
            early.iter().for_each(|(lsn, event)| assert!(note(&mut counters, *lsn, *event)));
            counters.view_taken(&home(), ticket, lsn(5));
            late.iter().for_each(|event| assert!(note(&mut counters, lsn(9), *event)));
            assert_eq!(counters.known(&home()), None);
            counters.finish(&home(), ticket, Usage { items: 100, bytes: 1_000 });
            assert_eq!(counters.known(&home()).map(|usage| usage.items), known);
        }
    }

    #[test]
    fn a_range_delete_empties_the_scopes_inside_and_forgets_those_around() {
        let scopes = [QuotaScope::store(), home(), QuotaScope::namespace(b"a\0b\0"), QuotaScope::prefix(b"c\0")];
        let mut counters = ScopeCounts::default();
        for scope in &scopes {
            let ticket = counters.begin(scope);
            counters.view_taken(scope, ticket, Lsn::new(1));
            counters.finish(scope, ticket, Usage { items: 5, bytes: 0 });
        }
        counters.note_range(Lsn::new(2), &home().scope().interval());
        let known = scopes.map(|scope| counters.known(&scope).map(|usage| usage.items));
        assert_eq!(known, [None, Some(0), Some(0), Some(5)]);
    }

    #[test]
    fn a_count_is_dropped_if_less_than_nothing_would_be_left_or_a_size_is_unknown() {
        for (growth, needs_recount, known) in
            [([-2, -20], false, Some(0)), ([-3, 0], false, None), ([1, -21], false, None), ([1, 1], true, None)]
        {
            let (mut counters, [items, bytes]) = (ScopeCounts::default(), growth);
            let ticket = counters.begin(&home());
            counters.view_taken(&home(), ticket, Lsn::new(1));
            counters.finish(&home(), ticket, Usage { items: 2, bytes: 20 });
            let change = ScopeChange { needs_recount, ..change([None, Some(1)], [items, bytes]) };
            counters.note(Lsn::new(2), &mut QuotaTally::of_change(home(), change));
            assert_eq!(counters.known(&home()).map(|usage| usage.items), known, "{growth:?}");
        }
    }

    #[test]
    fn a_bounded_number_of_counts_is_kept() {
        let mut counters = ScopeCounts::default();
        for number in 0..5 * GENERATION as u32 {
            counters.begin(&QuotaScope::prefix(&number.to_le_bytes()));
        }
        assert!(counters.newer.len() + counters.older.len() <= 2 * GENERATION);
        let last = QuotaScope::prefix(&(5 * GENERATION as u32 - 1).to_le_bytes());
        assert!(counters.newer.contains_key(&last));
    }

    #[test]
    fn a_call_keeps_its_room_beside_other_writers() {
        let (mut counters, scopes) = (ScopeCounts::default(), 3 * GENERATION as u32);
        counters.make_room(scopes as usize);
        for number in 0..scopes {
            let scope = QuotaScope::prefix(&number.to_le_bytes());
            let ticket = counters.begin(&scope);
            counters.view_taken(&scope, ticket, Lsn::new(1));
            counters.finish(&scope, ticket, Usage::default());
            counters.note(Lsn::new(2), &mut QuotaTally::new(&Arc::default()));
        }
        counters.keep_for(Arc::clone(&counters.quotas));
        let known = |counters: &ScopeCounts| {
            (0..scopes).filter(|number| counters.known(&QuotaScope::prefix(&number.to_le_bytes())).is_some()).count()
        };
        assert_eq!(known(&counters), scopes as usize);
        counters.give_back(scopes as usize);
        for number in scopes..5 * scopes {
            counters.begin(&QuotaScope::prefix(&number.to_le_bytes()));
        }
        assert!(counters.newer.len() + counters.older.len() <= 2 * GENERATION);
    }
}
