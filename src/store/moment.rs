//! One moment of a store, for the length of one read.
//!
//! Invariants:
//! * A moment is one read view at one time. It keeps the read view until the read ends.
//! * A read with `refresh_ttl` touches items of the store as it is now. An item that was replaced, or has expired since
//!   the moment, is not touched.

use std::time::Duration;

use crate::commit::decide::worth_a_touch;
use crate::error::{ErrorKind, Result};
use crate::events;
use crate::record::TextHash;
use crate::store::Handle;
use crate::store::latency::{CallKind, StartedCall};
use crate::store::passing_items::count_items;
use crate::store::query::{ReadOptions, SearchResult};
use crate::store::read::{ReadContext, SharedView, TextPlace};
use crate::types::{Item, NEVER, Scope};

/// A read view at a time, and the store that counts the latency and receives the touches of a read.
pub struct Moment<'a> {
    pub(super) handle: &'a Handle,
    pub(super) view: SharedView,
    /// Microseconds since 1970 UTC. Items that have expired by then are hidden.
    pub(super) time: i64,
}

impl<'a> Moment<'a> {
    /// A read view at the current time of the store's clock.
    pub(super) fn now(handle: &'a Handle, view: SharedView) -> Self {
        Self { handle, view, time: handle.engine.clock.query_time() }
    }

    /// One read of the moment.
    pub(super) fn reader(&self, options: &ReadOptions) -> Result<ReadContext<'_>> {
        let engine = &*self.handle.engine;
        engine.check_usable()?;
        Ok(ReadContext::new(engine, &self.view, self.time, options))
    }

    /// Counts the items that have expired and are not removed yet. Items that cannot be read are not counted.
    pub(super) fn count_expired(&self) -> Result<u64> {
        let hidden = ReadOptions { partial: true, ..ReadOptions::default() };
        let all = ReadOptions { include_expired: true, ..hidden.clone() };
        let count = |options| count_items(&self.reader(options)?, &Scope::Store.interval(), None, &mut false);
        Ok(count(&all)?.saturating_sub(count(&hidden)?))
    }

    /// The vector at a place, if it embeds the text of that hash; `None` also if the vector is damaged.
    pub(super) fn embedding(&self, place: &TextPlace, hash: TextHash) -> Result<Option<Vec<f32>>> {
        match self.reader(&ReadOptions::default())?.embedding(place, hash) {
            Err(error) if error.kind() == ErrorKind::Damaged => Ok(None),
            found => found,
        }
    }

    /// Begins the measurement of a get.
    pub(super) fn get_started(&self) -> StartedCall<'_> {
        self.handle.latencies.start_get(self.handle.engine.clock.machine())
    }

    /// Begins the measurement of another read.
    pub(super) fn read_started(&self) -> StartedCall<'_> {
        self.handle.latencies.start(self.handle.engine.clock.machine())
    }

    /// Makes one search and measures its latency. Returns the result and the time that the search took.
    pub(super) fn timed_search(
        &self,
        options: &ReadOptions,
        is_by_vector: bool,
        search: impl FnOnce(&ReadContext<'_>) -> Result<SearchResult>,
    ) -> Result<(SearchResult, Duration)> {
        let (started, reader) = (self.read_started(), self.reader(options)?);
        let answer = search(&reader)?;
        let took = started.end(search_kind(is_by_vector, &reader));
        Ok((answer, took.unwrap_or_default()))
    }

    /// Reports a search, or several of one call, as an event if it was slow.
    pub(super) fn report_if_slow(&self, queries: usize, hits: usize, took: Duration) {
        if events::ENABLED && took >= self.handle.options.slow_search {
            events::slow_search(queries, hits, took);
        }
    }

    pub(super) fn refresh_hits(&self, options: &ReadOptions, answer: &SearchResult) {
        self.refresh(options, answer.hits.iter().map(|hit| &hit.item));
    }

    /// Queues touches that push the expiry of returned items back, if the options ask for that.
    pub(super) fn refresh<'i>(&self, options: &ReadOptions, items: impl Iterator<Item = &'i Item>) {
        if !options.refresh_ttl {
            return;
        }
        let now = self.handle.engine.clock.query_time();
        let due = |item: &&Item| {
            let (Some(ttl), expires_at) = (item.ttl, item.expires_at.unwrap_or(NEVER)) else { return false };
            expires_at > now && worth_a_touch(ttl, now.saturating_add(ttl).saturating_sub(expires_at))
        };
        let versions = self.handle.engine.identity.versions();
        for item in items.filter(due) {
            self.handle.pipeline.touch_later(&item.namespace, &item.key, versions.lsn(item.version));
        }
    }
}

/// The kind under which a search is counted.
fn search_kind(is_by_vector: bool, reader: &ReadContext<'_>) -> CallKind {
    match (is_by_vector, reader.has_searched_graph()) {
        (false, _) => CallKind::List,
        (true, false) => CallKind::SearchFlat,
        (true, true) => CallKind::SearchGraph,
    }
}
