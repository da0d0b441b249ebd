//! A listing in pages: one list, as of one moment, found chunk by chunk.
//!
//! Invariants:
//! * Every page is a slice of one list: the matching rows of a snapshot, newest update first. Writes and expiry between
//!   two pages do not move a row in the list.
//! * A listing keeps the rows of one chunk, at most `Tuning::listing_chunk_rows`. Of every other chunk that was found,
//!   it keeps only the beginning.
//! * One pass over the scope finds a chunk: the first rows after the last row of the chunk before.

use crate::error::{Error, Result};
use crate::filter::PreparedFilter;
use crate::ids::PartIndex;
use crate::search::conditions::Conditions;
use crate::search::listing::{ListKind, Sought, newest};
use crate::shard::{PartRef, ReadView};
use crate::store::moment::Moment;
use crate::store::portion::{PartPlace, Portion, PortionRows};
use crate::store::query::{Query, SearchResult};
use crate::store::read::ReadContext;
use crate::store::read::with_part;
use crate::store::snapshot::Snapshot;
use crate::sync::Mutex;
use crate::topk::{ListedRow, Newest, RowAddress};
use crate::types::Hit;

/// The factor by which each chunk is larger than the chunk before, since a caller that reads a second page is likely to
/// read more.
const CHUNK_GROWTH: usize = 16;

/// The items of a scope, newest update first, in pages that are slices of one list. Made by [`Snapshot::listing`].
///
/// Consecutive pages cost little more than the items that they return. A page far ahead costs one pass over the scope
/// for every 16,384 items that it skips. A page further back costs one pass. Any number of threads may read pages at
/// once. A listing keeps the files and memory that a [`Snapshot`] keeps.
pub struct Listing {
    snapshot: Snapshot,
    query: Query,
    filter: Option<PreparedFilter>,
    portions: Vec<KeptPage>,
    found: Mutex<FoundItem>,
}

/// What earlier pages have found.
struct FoundItem {
    /// The beginnings of the chunks known so far. The first chunk is always known.
    starts: Vec<ListingStart>,
    /// The number of the chunk whose rows are kept.
    chunk: Option<usize>,
    /// The rows of that chunk, in order.
    places: Vec<ListedRow>,
    /// The length of the whole list, once its end is known.
    length: Option<usize>,
    /// Damaged parts or rows were skipped.
    incomplete: bool,
}

#[derive(Clone, Copy)]
struct ListingStart {
    /// The position of the chunk's first row in the list.
    offset: usize,
    /// The last row of the chunk before; `None` for the first chunk.
    below: Option<ListedRow>,
}

/// A portion that names its part by position, so that only the holder of the read view keeps the part in memory.
struct KeptPage {
    place: PartPlace,
    rows: PortionRows,
}

impl std::fmt::Debug for Listing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Listing").field("query", &self.query).finish_non_exhaustive()
    }
}

impl Snapshot {
    /// The items of the query's scope in pages, newest update first. The limit and offset of the query are ignored. A
    /// query with a vector or a `min_score` is an error.
    pub fn listing(&self, query: Query) -> Result<Listing> {
        Listing::new(self, query)
    }
}

impl Listing {
    pub(super) fn new(snapshot: &Snapshot, query: Query) -> Result<Self> {
        if query.vector.is_some() {
            return Err(Error::invalid("a listing takes no vector; use search"));
        }
        if query.min_score.is_some() {
            return Err(Error::invalid("a listing takes no min_score: nothing in it has a score; use search"));
        }
        if query.order.is_some() || query.after.is_some() || query.group.is_some() {
            return Err(Error::invalid(
                "a listing goes from the newest item on; use search for an order, a cursor or groups",
            ));
        }
        let filter = query.filter.as_ref().map(|filter| filter.prepare()).transpose()?;
        let snapshot = snapshot.for_a_listing()?;
        let mut incomplete = false;
        let moment = snapshot.own_moment()?;
        let portions = moment.reader(&query.options)?.portions(&query.scope.interval(), &mut incomplete)?;
        let portions = portions.into_iter().map(|Portion { place, rows, .. }| KeptPage { place, rows }).collect();
        drop(moment);
        let starts = vec![ListingStart { offset: 0, below: None }];
        let found = Mutex::new(FoundItem { starts, chunk: None, places: Vec::new(), length: None, incomplete });
        Ok(Self { snapshot, query, filter, portions, found })
    }

    /// The items `offset` to `offset + limit` of the list; fewer, or none, beyond the end of the list.
    ///
    /// Errors: `Damaged`, `DeadlineExceeded` and `Closed`, as for [`Store::list`](crate::Store::list). The page can
    /// be read again, and earlier passes are not lost. `SnapshotGone` once a purge has ended the listing.
    pub fn page(&self, offset: usize, limit: usize) -> Result<SearchResult> {
        self.page_of(&self.snapshot.own_moment()?, offset, limit)
    }

    fn page_of(&self, moment: &Moment<'_>, offset: usize, limit: usize) -> Result<SearchResult> {
        let reader = moment.reader(&self.query.options)?;
        let parts = self.parts(reader.view)?;
        let mut answer = SearchResult::default();
        let (mut at, end) = (offset, offset.saturating_add(limit));
        while at < end {
            let (places, mut incomplete) = self.places(&reader, &parts, at, end)?;
            reader.items(
                |number| parts[number.index()],
                &places,
                self.query.scope.namespace(),
                |(), item| {
                    let item = reader.tolerate(item, &mut incomplete)?;
                    answer.hits.extend(item.map(|item| Hit { score: None, item }));
                    Ok(())
                },
            )?;
            answer.incomplete |= incomplete;
            if places.is_empty() {
                break;
            }
            at += places.len();
        }
        moment.refresh_hits(&self.query.options, &answer);
        Ok(answer)
    }

    /// The parts of the portions, in the read view that the portions were found in.
    fn parts<'v>(&self, view: &'v ReadView) -> Result<Vec<PartRef<'v>>> {
        let part = |portion: &KeptPage| {
            let PartPlace { shard, part } = portion.place;
            view.shards.get(shard).and_then(|shard| shard.parts().nth(part))
        };
        let parts: Option<Vec<PartRef<'v>>> = self.portions.iter().map(part).collect();
        parts.ok_or_else(|| Error::invalid("a listing was read in another moment than its own; make a new one"))
    }

    /// The rows of the list from `at` up to `end`, or up to the end of the chunk of `at`; none if the list ends before
    /// `at`. Also whether damage was skipped.
    fn places(
        &self,
        reader: &ReadContext<'_>,
        parts: &[PartRef<'_>],
        at: usize,
        end: usize,
    ) -> Result<(Vec<((), RowAddress)>, bool)> {
        let found = &mut *self.found.lock();
        loop {
            if found.length.is_some_and(|length| at >= length) {
                return Ok((Vec::new(), found.incomplete));
            }
            let chunk = found.starts.partition_point(|start| start.offset <= at) - 1;
            if found.chunk == Some(chunk) {
                let rest = found.places.get(at - found.starts[chunk].offset..).unwrap_or_default();
                let places = rest.iter().take(end - at).map(|listed| ((), listed.place));
                return Ok((places.collect(), found.incomplete));
            }
            self.find(reader, parts, found, chunk, end)?;
        }
    }

    /// Finds a chunk, which begins before `end`, in one pass over the scope. The last known chunk tells where the next
    /// one begins, or where the list ends.
    fn find(
        &self,
        reader: &ReadContext<'_>,
        parts: &[PartRef<'_>],
        found: &mut FoundItem,
        chunk: usize,
        end: usize,
    ) -> Result<()> {
        let ListingStart { offset, below } = found.starts[chunk];
        let next = found.starts.get(chunk + 1).copied();
        let before = chunk.checked_sub(1).map_or(0, |before| offset - found.starts[before].offset);
        let size = match next {
            Some(next) => next.offset - offset,
            None => {
                (before.saturating_mul(CHUNK_GROWTH)).max(end - offset).min(reader.engine.tuning.listing_chunk_rows)
            }
        };
        let mut listed = Newest::new(size);
        for (number, (portion, part)) in self.portions.iter().zip(parts).enumerate() {
            let passing = portion.rows.passing(reader.engine, part, self.filter.as_ref());
            let outcomes = portion.rows.outcomes(part, self.filter.as_ref(), passing.as_deref());
            let (passing, outcomes) = (passing.as_deref(), outcomes.as_deref());
            let conditions = Conditions { passing, outcomes, ..reader.conditions(self.filter.as_ref()) };
            let sought = Sought { kind: ListKind::All, below, conditions: &conditions };
            let rows = portion.rows.rows();
            let outcome =
                with_part!(*part, part => newest(part, PartIndex::from_index(number), &rows, &sought, &mut listed));
            reader.tolerate(outcome, &mut found.incomplete)?;
        }
        found.incomplete |= reader.take_skipped();
        found.places = listed.into_sorted();
        found.chunk = Some(chunk);
        match found.places.last() {
            _ if next.is_some() => {}
            Some(&last) if found.places.len() == size => {
                found.starts.push(ListingStart { offset: offset + size, below: Some(last) });
            }
            _ => found.length = Some(offset + found.places.len()),
        }
        Ok(())
    }
}
