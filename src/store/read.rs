//! One read of one read view: which parts a scope touches, what to do about damage, and the way from rows to items.
//!
//! Invariants:
//! * A read clones the read view once; everything it returns is as of that read view.
//! * Damage fails the read unless it asked for `partial`; then the answer says `incomplete`, never silently less.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use crate::engine::Engine;
use crate::error::{ErrorKind, Result};
use crate::filter::PreparedFilter;
use crate::ids::{IdRange, PartIndex, RowId};
use crate::record::TextHash;
use crate::search::conditions::Conditions;
use crate::search::part::Rows;
use crate::shard::{PartRef, ReadView};
use crate::store::query::{Address, ReadOptions};
use crate::sync::{AtomicBool, Ordering};
use crate::topk::RowAddress;
use crate::types::{Interval, Item, Namespace};

/// Rows of an interval up to which all of them are fetched before they are looked at.
const FEW_ROWS: usize = 16;
/// An item's value is prefetched this many items ahead.
const ITEMS_AHEAD: usize = 8;

/// Where a text was last seen.
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
    /// Items that have expired by this time are hidden; `i64::MIN` shows all.
    pub now: i64,
    pub partial: bool,
    include_vectors: bool,
    deadline: Option<Duration>,
    /// Under `partial`: set when a row was left out because its value could not be read for the filter.
    skipped: AtomicBool,
    /// Set by a search that searches a graph.
    graph_searched: AtomicBool,
}

/// Where a part is in a read view: the number of its shard, and its own in the shard.
#[derive(Clone, Copy)]
pub(super) struct PartPlace {
    pub shard: usize,
    pub part: usize,
}

/// The rows of one part that a scope covers.
pub(super) struct Portion<'a> {
    pub part: PartRef<'a>,
    pub place: PartPlace,
    pub rows: PortionRows,
}

/// The rows of a portion: a range of a segment, or any rows of a memtable.
pub(super) enum PortionRows {
    Range(Range<RowId>),
    List(Vec<RowId>),
}

impl PortionRows {
    pub fn rows(&self) -> Rows<'_> {
        match self {
            Self::Range(range) => Rows::Range(range.clone()),
            Self::List(rows) => Rows::List(rows),
        }
    }
}

impl Portion<'_> {
    pub fn rows(&self) -> Rows<'_> {
        self.rows.rows()
    }

    pub fn name(&self) -> String {
        match self.part {
            PartRef::Memtable(_) => "memtable".to_owned(),
            PartRef::Segment(part) => format!("segment {:x}", part.entry.file_id),
        }
    }
}

impl<'a> ReadContext<'a> {
    /// A read at the time `now`: the store's [`query_time`](crate::engine::clock::StoreClock::query_time), or a
    /// snapshot's.
    pub fn new(engine: &'a Engine, view: &'a ReadView, now: i64, options: &ReadOptions) -> Self {
        let now = if options.include_expired { i64::MIN } else { now };
        let deadline = options.deadline.map(|wait| engine.clock.monotonic().saturating_add(wait));
        let (partial, include_vectors) = (options.partial, options.include_vectors);
        let (skipped, graph_searched) = (AtomicBool::new(false), AtomicBool::new(false));
        Self { engine, view, now, partial, include_vectors, deadline, skipped, graph_searched }
    }

    /// The same read, returning vectors too.
    pub fn with_vectors(&self) -> Self {
        let (skipped, graph_searched) = (AtomicBool::new(false), AtomicBool::new(false));
        Self { include_vectors: true, skipped, graph_searched, ..*self }
    }

    /// What a row must satisfy.
    pub fn conditions<'f>(&'f self, filter: Option<&'f PreparedFilter>) -> Conditions<'f> {
        let deadline = self.deadline.map(|at| (self.engine.clock.machine(), at));
        let skipped = self.partial.then_some(&self.skipped);
        Conditions { read_lsn: self.view.read_lsn, now: self.now, filter, skipped, deadline }
    }

    /// Whether rows were left out because their values could not be read. The call resets that.
    pub fn take_skipped(&self) -> bool {
        self.skipped.swap(false, Ordering::Relaxed)
    }

    /// A search of this read searches a graph.
    pub fn note_graph_search(&self) {
        self.graph_searched.store(true, Ordering::Relaxed);
    }

    /// Whether one has.
    pub fn has_searched_graph(&self) -> bool {
        self.graph_searched.load(Ordering::Relaxed)
    }

    /// The value of a step on one part; under `partial`, damage is noted in `incomplete` and gives `None`.
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

    /// The non-empty portions that an interval covers, biggest first.
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

    /// Prefetches the tables of all segments, if many are asked for one namespace.
    fn prefetch_namespace(&self, interval: &Interval) {
        let Some(namespace) = interval.namespace() else { return };
        let parts = self.view.shards[self.view.shard_of(namespace)].segments.iter();
        for segment in parts.filter_map(|part| part.segment().ok()) {
            segment.prefetch_namespace(namespace);
        }
    }

    /// One item, if this read view shows it.
    pub fn get(&self, namespace: &Namespace, key: &str) -> Result<Option<Item>> {
        let shard = &self.view.shards[self.view.shard_of(namespace.encoded())];
        let Some((part, row)) = shard.find_visible(namespace.encoded(), key, self.view.read_lsn)? else {
            return Ok(None);
        };
        let item = part.item(row, Some(namespace), self.include_vectors)?;
        Ok(item.expires_at.is_none_or(|expires_at| expires_at > self.now).then_some(item))
    }

    /// The vector at a place, if its item lives and it embeds the text of that hash.
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

    /// The items at `places`, in order, each with its companion; `part` gives a part by number. Memory is prefetched
    /// some items ahead: first the columns, then the value, whose place the columns tell.
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
        let columns = |index| segment(index).into_iter().for_each(|(segment, row)| segment.prefetch_row(row));
        let value = |index| segment(index).into_iter().for_each(|(segment, row)| segment.prefetch_value(row));
        (0..2 * ITEMS_AHEAD).for_each(columns);
        (0..ITEMS_AHEAD).for_each(value);
        for (index, &(with, place)) in places.iter().enumerate() {
            columns(index + 2 * ITEMS_AHEAD);
            value(index + ITEMS_AHEAD);
            if self.deadline.is_some() && segment(index).is_some_and(|(segment, row)| segment.is_large(row)) {
                self.conditions(None).check_deadline()?;
            }
            each(with, part(place.part).item(place.row, namespace, self.include_vectors))?;
        }
        Ok(())
    }
}

/// A read view that somebody keeps.
pub(super) type SharedView = Arc<ReadView>;
