//! One read of one View: which parts a scope touches, what to do about damage, and the way from rows to items.
//!
//! Invariants:
//! * A read clones the View once; everything it returns is as of that View.
//! * Damage fails the read unless it asked for `partial`; then the answer says `degraded`, never silently less.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use crate::error::{ErrorKind, Result};
use crate::filter::Prepared;
use crate::query::{Address, ReadOptions};
use crate::record::TextHash;
use crate::segment::part::{Conditions, Rows};
use crate::shard::engine::Engine;
use crate::shard::{AnyPart, View};
use crate::store::embeddings::TextPlace;
use crate::sync::{AtomicBool, Ordering};
use crate::topk::Place;
use crate::types::{Interval, Item, Namespace};

/// Rows of an interval up to which all of them are fetched before they are looked at.
const FEW_ROWS: usize = 16;
/// How many items before its own an item's value is fetched.
const ITEMS_AHEAD: usize = 8;

/// A read under way.
pub(super) struct Reader<'a> {
    pub engine: &'a Engine,
    pub view: &'a View,
    /// What has expired by then is gone; `i64::MIN` shows it.
    pub now: i64,
    pub partial: bool,
    include_vectors: bool,
    deadline: Option<Duration>,
    /// Under `partial`: some row was left out, since the filter could not be asked about it.
    skipped: AtomicBool,
}

/// The rows of one part that a scope covers.
pub(super) struct Portion<'a> {
    pub part: AnyPart<'a>,
    /// The shard's number in the View, and the part's in the shard.
    pub place: (usize, usize),
    pub rows: PortionRows,
}

/// Rows of a sealed part lie together, those of a part in memory anywhere.
pub(super) enum PortionRows {
    Range(Range<u32>),
    List(Vec<u32>),
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
            AnyPart::Active(_) => "active".to_owned(),
            AnyPart::Sealing(_) => "sealing".to_owned(),
            AnyPart::Sealed(part) => format!("segment {:x}", part.entry.file_id),
        }
    }
}

impl<'a> Reader<'a> {
    /// A read at the time `now`: the store's [`query_time`](crate::shard::clock::StoreClock::query_time), or a snapshot's.
    pub fn new(engine: &'a Engine, view: &'a View, now: i64, options: &ReadOptions) -> Self {
        let now = if options.include_expired { i64::MIN } else { now };
        let deadline = options.deadline.map(|wait| engine.clock.monotonic().saturating_add(wait));
        let (partial, include_vectors) = (options.partial, options.include_vectors);
        Self { engine, view, now, partial, include_vectors, deadline, skipped: AtomicBool::new(false) }
    }

    /// The same read, returning vectors too.
    pub fn with_vectors(&self) -> Self {
        Self { include_vectors: true, skipped: AtomicBool::new(false), ..*self }
    }

    /// What a row must satisfy.
    pub fn conditions<'f>(&'f self, filter: Option<&'f Prepared>) -> Conditions<'f> {
        let deadline = self.deadline.map(|at| (self.engine.clock.machine(), at));
        let skipped = self.partial.then_some(&self.skipped);
        Conditions { visible: self.view.visible, now: self.now, filter, skipped, deadline }
    }

    /// Whether rows were left out, since the filter could not be asked about them; asking forgets.
    pub fn take_skipped(&self) -> bool {
        self.skipped.swap(false, Ordering::Relaxed)
    }

    /// The value of a step on one part; under `partial`, damage is noted in `degraded` and gives `None`.
    pub fn tolerate<T>(&self, outcome: Result<T>, degraded: &mut bool) -> Result<Option<T>> {
        match outcome {
            Ok(value) => Ok(Some(value)),
            Err(error) if self.partial && error.kind() == ErrorKind::Damaged => {
                *degraded = true;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// The non-empty portions that an interval covers, biggest first.
    pub fn portions(&self, interval: &Interval, degraded: &mut bool) -> Result<Vec<Portion<'a>>> {
        let mut portions = Vec::new();
        self.prefetch_namespace(interval);
        let shards = self.view.shards.iter().enumerate().filter(|(_, shard)| shard.interval.overlaps(interval));
        for (number, shard) in shards {
            for (index, part) in shard.parts().enumerate() {
                let rows = match part {
                    AnyPart::Active(active) | AnyPart::Sealing(active) => {
                        let mut rows = Vec::new();
                        active.rows_in(interval, &mut rows);
                        PortionRows::List(rows)
                    }
                    AnyPart::Sealed(sealed) if sealed.covers(interval) => {
                        let rows = sealed.segment().and_then(|segment| segment.interval(interval));
                        let Some(rows) = self.tolerate(rows, degraded)? else { continue };
                        if rows.len() <= FEW_ROWS
                            && let Some(segment) = part.segment()
                        {
                            rows.clone().for_each(|row| segment.prefetch_row(row));
                            rows.clone().for_each(|row| segment.prefetch_vector_of(row));
                        }
                        PortionRows::Range(rows)
                    }
                    AnyPart::Sealed(_) => continue,
                };
                let portion = Portion { part, place: (number, index), rows };
                if !portion.rows().is_empty() {
                    portions.push(portion);
                }
            }
        }
        portions.sort_by_key(|portion| std::cmp::Reverse(portion.rows().len()));
        Ok(portions)
    }

    /// Where many segments are asked for one namespace, their tables are fetched at the same time.
    fn prefetch_namespace(&self, interval: &Interval) {
        let Some(namespace) = interval.namespace() else { return };
        let sealed = self.view.shards[self.view.shard_of(namespace)].segments.iter();
        for segment in sealed.filter_map(|part| part.segment().ok()) {
            segment.prefetch_namespace(namespace);
        }
    }

    /// One item, if this View shows it.
    pub fn get(&self, namespace: &Namespace, key: &str) -> Result<Option<Item>> {
        let shard = &self.view.shards[self.view.shard_of(namespace.encoded())];
        let Some((part, row)) = shard.find_visible(namespace.encoded(), key, self.view.visible)? else {
            return Ok(None);
        };
        let item = part.item(row, Some(namespace), self.include_vectors)?;
        Ok(item.expires_at.is_none_or(|expires_at| expires_at > self.now).then_some(item))
    }

    /// The vector at a place, if its item lives and it embeds the text of that hash.
    pub fn embedding(&self, place: &TextPlace, hash: TextHash) -> Result<Option<Vec<f32>>> {
        let namespace = place.namespace.encoded();
        let shard = &self.view.shards[self.view.shard_of(namespace)];
        let Some((part, row)) = shard.find_visible(namespace, &place.key, self.view.visible)? else { return Ok(None) };
        if part.current(row)?.expires_at <= self.now {
            return Ok(None);
        }
        part.embedding(row, place.vector, hash)
    }

    /// Several items of one View.
    pub fn get_many(&self, addresses: &[Address]) -> Result<Vec<Option<Item>>> {
        addresses.iter().map(|address| self.get(&address.namespace, &address.key)).collect()
    }

    /// The items at `places`, in order, with what goes with each; `part` knows the parts by number. What items are made of is
    /// fetched some items ahead: first the columns, then, as these tell where it lies, the value.
    pub fn items<'p, T: Copy>(
        &self,
        part: impl Fn(u32) -> AnyPart<'p>,
        places: &[(T, Place)],
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

/// A View that somebody keeps.
pub(super) type SharedView = Arc<View>;
