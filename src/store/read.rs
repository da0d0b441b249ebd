//! One read of one read view: it finds the parts of a scope, handles damage, and turns rows into items.
//!
//! Invariants:
//! * A read uses one read view, and everything that it returns is as of that read view.
//! * Damage fails a read without `partial`. With `partial`, the read skips the damage and notes that it is incomplete.

use std::sync::Arc;
use std::time::Duration;

use crate::engine::Engine;
use crate::error::{ErrorKind, Result};
use crate::fields::Select;
use crate::filter::{Filter, PreparedFilter};
use crate::ids::{IdRange, PartIndex, RowId};
use crate::record::TextHash;
use crate::search::conditions::Conditions;
use crate::segment::ahead::read_ahead_namespace;
use crate::shard::{ItemParts, PartRef, ReadView};
use crate::store::portion::{PartPlace, Portion, PortionRows};
use crate::store::query::{Address, ReadOptions};
use crate::sync::{AtomicBool, Ordering};
use crate::topk::RowAddress;
use crate::types::{Interval, Item, Namespace};

/// A segment portion with at most this many rows is prefetched whole.
const FEW_ROWS: usize = 16;
/// The value of an item is prefetched this many items ahead, and its columns twice as many.
const ITEMS_AHEAD: usize = 8;

/// The item and the vector that embedded a text when it was last seen.
#[derive(Clone)]
pub(super) struct TextPlace {
    pub namespace: Namespace,
    pub key: Arc<str>,
    /// The vector's number among those of its item.
    pub vector: u32,
}

/// Calls `$body` with `$part` as the concrete part behind a [`PartRef`].
macro_rules! with_part {
    ($any:expr, $part:ident => $body:expr) => {
        match $any {
            PartRef::Memtable(memtable) => {
                let $part = &**memtable;
                $body
            }
            PartRef::Segment(part) => match part.readable() {
                Ok($part) => {
                    let $part = &$part;
                    $body
                }
                Err(error) => Err(error),
            },
        }
    };
}
pub(super) use with_part;

/// A read under way.
pub(super) struct ReadContext<'a> {
    pub engine: &'a Engine,
    pub view: &'a ReadView,
    /// Items that have expired by this time are hidden; `i64::MIN` hides none.
    pub now: i64,
    pub partial: bool,
    include_vectors: bool,
    select: Select,
    deadline: Option<Duration>,
    /// Under `partial`: set when a row was left out because its value could not be read for the filter.
    skipped: AtomicBool,
    /// Whether a search of this read has searched a graph.
    graph_searched: AtomicBool,
}

impl<'a> ReadContext<'a> {
    /// A read at the time `now`: the store's [`query_time`](crate::engine::clock::StoreClock::query_time), or the time
    /// of a snapshot.
    pub fn new(engine: &'a Engine, view: &'a ReadView, now: i64, options: &ReadOptions) -> Self {
        let now = if options.include_expired { i64::MIN } else { now };
        let deadline = options.deadline.map(|wait| engine.clock.monotonic().saturating_add(wait));
        let ReadOptions { partial, include_vectors, ref select, .. } = *options;
        let (skipped, graph_searched, select) = (AtomicBool::new(false), AtomicBool::new(false), select.clone());
        Self { engine, view, now, partial, include_vectors, select, deadline, skipped, graph_searched }
    }

    /// The same read of items with their vectors and without their values, and with flags of its own.
    pub fn of_vectors(&self) -> Self {
        let (skipped, graph_searched) = (AtomicBool::new(false), AtomicBool::new(false));
        Self { include_vectors: true, select: Select::None, skipped, graph_searched, ..*self }
    }

    /// The filter, prepared now or by an earlier read.
    pub fn prepared(&self, filter: Option<&Filter>) -> Result<Option<Arc<PreparedFilter>>> {
        filter.map(|filter| self.engine.filters.of(filter)).transpose()
    }

    /// The conditions that a row must satisfy.
    pub fn conditions<'f>(&'f self, filter: Option<&'f PreparedFilter>) -> Conditions<'f> {
        let deadline = self.deadline.map(|at| (self.engine.clock.machine(), at));
        let skipped = self.partial.then_some(&self.skipped);
        Conditions {
            read_lsn: self.view.read_lsn,
            now: self.now,
            filter,
            passing: None,
            outcomes: None,
            skipped,
            deadline,
        }
    }

    /// Whether rows were left out because their values could not be read for the filter. The call resets the flag.
    pub fn take_skipped(&self) -> bool {
        self.skipped.swap(false, Ordering::Relaxed)
    }

    /// Notes that this read searches a graph.
    pub fn note_graph_search(&self) {
        self.graph_searched.store(true, Ordering::Relaxed);
    }

    /// Whether this read has searched a graph.
    pub fn has_searched_graph(&self) -> bool {
        self.graph_searched.load(Ordering::Relaxed)
    }

    /// The value of `outcome`. Under `partial`, damage sets `incomplete` and gives `None`.
    pub fn tolerate<T>(&self, outcome: Result<T>, incomplete: &mut bool) -> Result<Option<T>> {
        match outcome {
            Ok(value) => Ok(Some(value)),
            Err(error) if self.partial && error.kind() == ErrorKind::Damaged => {
                *incomplete = true;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// The non-empty portions of an interval, largest first.
    pub fn portions(&self, interval: &Interval, incomplete: &mut bool) -> Result<Vec<Portion<'a>>> {
        let mut portions = Vec::new();
        self.prefetch_namespace(interval);
        let shards = self.view.shards.iter().enumerate().filter(|(_, shard)| shard.interval.overlaps(interval));
        for (number, shard) in shards {
            for (index, part) in shard.parts().enumerate() {
                let rows = match part {
                    PartRef::Memtable(memtable) => {
                        let mut rows = Vec::new();
                        memtable.rows_in(interval, &mut rows);
                        PortionRows::List(rows)
                    }
                    PartRef::Segment(shared) if shared.covers(interval) => {
                        let rows = shared.segment().and_then(|segment| segment.interval(interval));
                        let Some(rows) = self.tolerate(rows, incomplete)? else { continue };
                        if rows.len() <= FEW_ROWS
                            && let Some(segment) = part.segment()
                        {
                            rows.ids().for_each(|row| segment.prefetch_row(row));
                            rows.ids().for_each(|row| segment.prefetch_vector_of(row));
                        }
                        PortionRows::Range(rows)
                    }
                    PartRef::Segment(_) => continue,
                };
                let portion = Portion { part, place: PartPlace { shard: number, part: index }, rows };
                if !portion.rows().is_empty() {
                    portions.push(portion);
                }
            }
        }
        portions.sort_by_key(|portion| std::cmp::Reverse(portion.rows().len()));
        Ok(portions)
    }

    /// If the interval is one namespace, prefetches its entry in the namespace table of every segment of its shard, and
    /// what a search reads that may be on the disk only.
    fn prefetch_namespace(&self, interval: &Interval) {
        let Some(namespace) = interval.namespace() else { return };
        let segments = self.view.segments_of(namespace);
        segments.clone().for_each(|segment| segment.prefetch_namespace(namespace));
        read_ahead_namespace(segments, namespace);
    }

    /// One item, if this read view shows it and it has not expired.
    pub fn get(&self, namespace: &Namespace, key: &str) -> Result<Option<Item>> {
        let shard = &self.view.shards[self.view.shard_of(namespace.encoded())];
        let Some((part, row)) = shard.find_visible(namespace.encoded(), key, self.view.read_lsn)? else {
            return Ok(None);
        };
        let item = self.item(&part, row, Some(namespace))?;
        Ok(item.expires_at.is_none_or(|expires_at| expires_at > self.now).then_some(item))
    }

    /// A row as the item that a caller gets.
    pub fn item(&self, part: &PartRef<'_>, row: RowId, namespace: Option<&Namespace>) -> Result<Item> {
        let parts = ItemParts { select: &self.select, vectors: self.include_vectors };
        let item = part.item(row, namespace, parts)?;
        Ok(Item { version: self.engine.identity.versions().apply(item.version), ..item })
    }

    /// The vector at a place, if its item is live and the vector embeds the text of that hash.
    pub fn embedding(&self, place: &TextPlace, hash: TextHash) -> Result<Option<Vec<f32>>> {
        let namespace = place.namespace.encoded();
        let shard = &self.view.shards[self.view.shard_of(namespace)];
        let Some((part, row)) = shard.find_visible(namespace, &place.key, self.view.read_lsn)? else { return Ok(None) };
        if part.current(row)?.expires_at <= self.now {
            return Ok(None);
        }
        part.embedding(row, place.vector, hash)
    }

    /// Several items of one read view.
    pub fn get_many(&self, addresses: &[Address]) -> Result<Vec<Option<Item>>> {
        addresses.iter().map(|address| self.get(&address.namespace, &address.key)).collect()
    }

    /// Calls `each` with the items at `places`, in order, and the value that comes with each place; `part` gives a
    /// part by number. The columns of later items are prefetched first, then the values, which the columns locate.
    pub fn items<'p, T: Copy>(
        &self,
        part: impl Fn(PartIndex) -> PartRef<'p>,
        places: &[(T, RowAddress)],
        namespace: Option<&Namespace>,
        mut each: impl FnMut(T, Result<Item>) -> Result<()>,
    ) -> Result<()> {
        let segment = |index: usize| {
            let &(_, place) = places.get(index)?;
            Some((part(place.part).segment()?, place.row))
        };
        let reads_values = self.select != Select::None;
        let columns = |index| segment(index).into_iter().for_each(|(segment, row)| segment.prefetch_row(row));
        let with_value = |index: usize| if reads_values { segment(index) } else { None };
        let value = |index| with_value(index).into_iter().for_each(|(segment, row)| segment.prefetch_value(row));
        (0..2 * ITEMS_AHEAD).for_each(columns);
        (0..ITEMS_AHEAD).for_each(value);
        for (index, &(with, place)) in places.iter().enumerate() {
            columns(index + 2 * ITEMS_AHEAD);
            value(index + ITEMS_AHEAD);
            if self.deadline.is_some() && with_value(index).is_some_and(|(segment, row)| segment.is_large(row)) {
                self.conditions(None).check_deadline()?;
            }
            each(with, self.item(&part(place.part), place.row, namespace))?;
        }
        Ok(())
    }
}

/// A shared reference to a read view.
pub(super) type SharedView = Arc<ReadView>;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::record::Write;
    use crate::segment::blocks::{AWAITED, CHECKED};
    use crate::storage::sim::{Loss, SimClock, SimStorage};
    use crate::store::query::Query;
    use crate::store::{ImportOptions, Options, Put, Store, open_with};
    use crate::tuning::Tuning;
    use crate::types::{Condition, Metric, Namespace, Scope};

    const EACH: usize = 6_000;

    fn home(number: usize) -> Namespace {
        Namespace::new(["users", &format!("{number:05}")]).unwrap()
    }

    fn open(storage: &SimStorage) -> Store {
        let tuning = Tuning { segments_max: 9, merge_ratio: 9, ..Tuning::default() };
        let tuning = Tuning { inline_background: true, import_file_rows: 1, ..tuning };
        let options = Options::with_vectors(16, Metric::Cosine).tuning(tuning);
        open_with(Arc::new(storage.clone()), Arc::new(SimClock::new(1)), options).unwrap()
    }

    /// The blocks that `act` checks, and those of them that it had not asked for before.
    fn checked(act: impl FnOnce()) -> (u32, u32) {
        let before = (CHECKED.get(), AWAITED.get());
        act();
        (CHECKED.get() - before.0, AWAITED.get() - before.1)
    }

    #[test]
    fn reads_of_one_namespace_wait_for_no_block_that_they_did_not_ask_for() {
        let storage = SimStorage::new(1);
        let store = open(&storage);
        for part in 0..3 {
            let row = |number: usize| {
                let json = format!("{{\"text\":\"what {number} said in part {part}, at some length\"}}");
                let vector: Vec<f32> = (0..16).map(|at| (number % (at + 2)) as f32 + 0.5).collect();
                Ok(Put::new(&home(number / 4), format!("{part} {}", number % 4), json).vector(vector))
            };
            store.import((0..EACH).map(row), ImportOptions::new()).unwrap();
        }
        store.close().unwrap();

        let store = open(&storage);
        let ask = |number: usize| {
            let query = Query::new(&home(number)).vector(vec![1.0; 16]).limit(20);
            assert_eq!(store.search(&query).unwrap().len(), 12);
        };
        let (all, awaited) = checked(|| ask(700));
        assert!(all > 30 && awaited == 0, "{awaited} of {all} blocks of a search");
        assert_eq!(checked(|| ask(700)), (0, 0), "nothing is left to read");
        let delete = Write::DeleteRange(Scope::Namespace(home(1_400)).interval());
        let (namespace, key) = (home(100), "0 9".into());
        let put = Write::Delete { namespace, key, condition: Condition::Always };
        for (write, what) in [(delete, "a delete of a namespace"), (put, "a write of a key")] {
            let store = open(&storage.crash(Loss::None, 1));
            let (all, awaited) = checked(|| store.handle.engine.prefetch_keys(std::slice::from_ref(&write)));
            assert!(all > 0 && awaited == 0, "{awaited} of {all} blocks of {what}");
        }
    }
}
