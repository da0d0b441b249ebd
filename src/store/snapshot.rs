//! One moment of a store, and every read of it; the reads of a [`Store`] are those of its newest moment.
//!
//! Invariants:
//! * A snapshot shows one read view at one time: neither writes nor the passing of time change which items it shows.
//!   Touches, which parts share with newer read views, only put off the expiry of what has not expired, so they hide
//!   and show nothing.
//! * A read of the store borrows what it needs; only a snapshot that somebody keeps owns it.
//! * A read that refreshes asks the pipeline of the store as it is now; what was replaced or has expired meanwhile
//!   stays so.

use std::sync::Arc;
use std::time::Duration;

use crate::commit::decide::worth_a_touch;
use crate::error::{Error, ErrorKind, Result};
use crate::events;
use crate::record::TextHash;
use crate::store::holders::{Holder, HolderKind};
use crate::store::iterate::{Cursor, IteratePage, count_items, iterate, list_namespaces};
use crate::store::query::{Address, IterateQuery, NamespaceQuery, Query, ReadOptions, SearchResult};
use crate::store::read::{ReadContext, SharedView, TextPlace};
use crate::store::{Handle, Store, search};
use crate::types::{Item, NEVER, Namespace, Scope};

/// One moment of a store: what was written, and what had expired. Cheap to take and to clone, used from any number of
/// threads.
///
/// Reads are those of [`Store`], and see what it held at that moment, whatever is written, deleted or expires later;
/// only an item's `expires_at` may be later than it was. A snapshot keeps the store open like a clone of [`Store`], and
/// the files and memory of what it sees: let go of it when done. After [`Store::close`] its reads fail with `Closed`. A
/// purge ends it after a grace: a read under way then ends as it began, later ones fail with `SnapshotGone`.
///
/// ```
/// use vecmem::{Namespace, Options, Put, ReadOptions, Scope, Store};
///
/// let store = Store::temporary(Options::new())?;
/// let notes = Namespace::new(["notes"])?;
/// store.put(Put::new(&notes, "a", r#"{"n": 1}"#))?;
///
/// let before = store.snapshot()?;
/// store.put(Put::new(&notes, "b", r#"{"n": 2}"#))?;
/// store.delete(&notes, "a")?;
///
/// // All reads of the snapshot show the same moment.
/// assert_eq!(before.count(&Scope::Store, &ReadOptions::default())?, 1);
/// let keys: Vec<String> = before.items(&notes).map(|item| Ok(item?.key)).collect::<vecmem::Result<_>>()?;
/// assert_eq!(keys, ["a"]);
/// # Ok::<(), vecmem::Error>(())
/// ```
#[derive(Clone)]
pub struct Snapshot {
    store: Store,
    holder: Arc<Holder>,
    /// Microseconds since 1970 UTC; what has expired by then is gone.
    time: i64,
}

/// The same, borrowed for one call: the reads of a store need no handle of their own.
#[derive(Clone, Copy)]
pub(super) struct Moment<'a> {
    handle: &'a Handle,
    view: &'a SharedView,
    time: i64,
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Snapshot").field("visible", &self.holder.read_lsn()).finish_non_exhaustive()
    }
}

impl Snapshot {
    /// The store as it is now, for somebody to keep.
    pub(super) fn newest(store: &Store) -> Result<Self> {
        let Handle { engine, holders, .. } = &*store.handle;
        engine.check_usable()?;
        let holder = holders.hold_newest(&engine.view, HolderKind::Snapshot);
        Ok(Self { store: store.clone(), holder, time: engine.clock.query_time() })
    }

    /// The same moment, held for a listing.
    pub(super) fn for_a_listing(&self) -> Result<Self> {
        let holders = &self.store.handle.holders;
        let holder = self.read(|moment| Ok(holders.hold(moment.view, HolderKind::Listing)))?;
        Ok(Self { holder, ..self.clone() })
    }

    /// One read, which keeps what it reads until its end.
    pub(super) fn read<T>(&self, read: impl FnOnce(Moment<'_>) -> Result<T>) -> Result<T> {
        let handle = &self.store.handle;
        handle.engine.check_usable()?;
        let view = self.holder.view()?;
        read(Moment { handle, view: &view, time: self.time })
    }

    /// Whether a purge has ended it, so that its reads fail with `SnapshotGone`.
    pub fn is_gone(&self) -> bool {
        self.holder.is_gone()
    }

    /// As [`Store::get`].
    pub fn get(&self, namespace: &Namespace, key: &str) -> Result<Option<Item>> {
        self.get_with(namespace, key, &ReadOptions::default())
    }

    /// As [`Store::get_with`].
    pub fn get_with(&self, namespace: &Namespace, key: &str, options: &ReadOptions) -> Result<Option<Item>> {
        self.read(|moment| moment.get(namespace, key, options))
    }

    /// As [`Store::get_many`].
    pub fn get_many(&self, addresses: &[Address], options: &ReadOptions) -> Result<Vec<Option<Item>>> {
        self.read(|moment| moment.get_many(addresses, options))
    }

    /// As [`Store::search`].
    pub fn search(&self, query: &Query) -> Result<SearchResult> {
        self.read(|moment| moment.search(query))
    }

    /// As [`Store::search_many`].
    pub fn search_many(&self, queries: &[Query]) -> Result<Vec<SearchResult>> {
        self.read(|moment| moment.search_many(queries))
    }

    /// As [`Store::search_by_item`].
    pub fn search_by_item(&self, namespace: &Namespace, key: &str, query: Query) -> Result<SearchResult> {
        self.read(|moment| moment.search_by_item(namespace, key, query))
    }

    /// As [`Store::list`].
    pub fn list(&self, query: &Query) -> Result<SearchResult> {
        self.read(|moment| moment.list(query))
    }

    /// As [`Store::iterate`], but every page is of this snapshot; a cursor says where it begins.
    pub fn iterate(&self, query: &IterateQuery, after: Option<&Cursor>) -> Result<IteratePage> {
        self.read(|moment| moment.iterate(query, after))
    }

    /// As [`Store::list_namespaces`].
    pub fn list_namespaces(&self, query: &NamespaceQuery) -> Result<Vec<Vec<String>>> {
        self.read(|moment| moment.list_namespaces(query))
    }

    /// As [`Store::count`].
    pub fn count(&self, scope: &Scope, options: &ReadOptions) -> Result<u64> {
        self.read(|moment| moment.count(scope, options))
    }
}

impl<'a> Moment<'a> {
    /// One of `store`, whose read view the caller has taken just now.
    pub fn new(store: &'a Store, view: &'a SharedView) -> Self {
        Self { handle: &store.handle, view, time: store.handle.engine.clock.query_time() }
    }

    pub fn get(&self, namespace: &Namespace, key: &str, options: &ReadOptions) -> Result<Option<Item>> {
        let item = self.reader(options)?.get(namespace, key)?;
        self.refresh(options, item.iter());
        Ok(item)
    }

    pub fn get_many(&self, addresses: &[Address], options: &ReadOptions) -> Result<Vec<Option<Item>>> {
        let items = self.reader(options)?.get_many(addresses)?;
        self.refresh(options, items.iter().flatten());
        Ok(items)
    }

    pub fn search(&self, query: &Query) -> Result<SearchResult> {
        let started = self.search_started();
        let answer = search::search(&self.reader(&query.options)?, query)?;
        self.search_ended(started, 1, answer.len());
        self.refresh_hits(&query.options, &answer);
        Ok(answer)
    }

    pub fn search_many(&self, queries: &[Query]) -> Result<Vec<SearchResult>> {
        self.handle.engine.check_usable()?;
        let started = self.search_started();
        let answer = |query: &Query| search::search(&self.reader(&query.options)?, query);
        let answers = queries.iter().map(answer).collect::<Result<Vec<SearchResult>>>()?;
        self.search_ended(started, queries.len(), answers.iter().map(|answer| answer.len()).sum());
        queries.iter().zip(&answers).for_each(|(query, answer)| self.refresh_hits(&query.options, answer));
        Ok(answers)
    }

    pub fn search_by_item(&self, namespace: &Namespace, key: &str, query: Query) -> Result<SearchResult> {
        let options = query.options.clone();
        let started = self.search_started();
        let answer = search::search_by_item(&self.reader(&options)?, namespace, key, query)?;
        self.search_ended(started, 1, answer.len());
        self.refresh_hits(&options, &answer);
        Ok(answer)
    }

    pub fn list(&self, query: &Query) -> Result<SearchResult> {
        if query.vector.is_some() {
            return Err(Error::invalid("list takes no vector; use search"));
        }
        self.search(query)
    }

    pub fn iterate(&self, query: &IterateQuery, after: Option<&Cursor>) -> Result<IteratePage> {
        iterate(&self.reader(&query.options)?, self.view, &self.handle.holders, query, after)
    }

    pub fn list_namespaces(&self, query: &NamespaceQuery) -> Result<Vec<Vec<String>>> {
        list_namespaces(&self.reader(&query.options)?, query)
    }

    pub fn count(&self, scope: &Scope, options: &ReadOptions) -> Result<u64> {
        count_items(&self.reader(options)?, &scope.interval(), &mut false)
    }

    /// How many items are hidden and still there; those that cannot be read are not counted.
    pub fn count_expired(&self) -> Result<u64> {
        let hidden = ReadOptions { partial: true, ..ReadOptions::default() };
        let all = self.count(&Scope::Store, &ReadOptions { include_expired: true, ..hidden.clone() })?;
        Ok(all.saturating_sub(self.count(&Scope::Store, &hidden)?))
    }

    /// The vector at a place, if it embeds the text of that hash. What is damaged embeds nothing.
    pub fn embedding(&self, place: &TextPlace, hash: TextHash) -> Result<Option<Vec<f32>>> {
        match self.reader(&ReadOptions::default())?.embedding(place, hash) {
            Err(error) if error.kind() == ErrorKind::Damaged => Ok(None),
            found => found,
        }
    }

    /// One read of the moment.
    pub fn reader(&self, options: &ReadOptions) -> Result<ReadContext<'a>> {
        let engine = &*self.handle.engine;
        engine.check_usable()?;
        Ok(ReadContext::new(engine, self.view, self.time, options))
    }

    /// The time before a search, where slow searches are events.
    fn search_started(&self) -> Option<Duration> {
        events::ENABLED.then(|| self.handle.engine.clock.monotonic())
    }

    /// After one search, or several of one call: tells of it if it was slow.
    fn search_ended(&self, started: Option<Duration>, queries: usize, hits: usize) {
        let Some(started) = started else { return };
        let took = self.handle.engine.clock.monotonic().saturating_sub(started);
        if took >= self.handle.options.slow_search {
            events::slow_search(queries, hits, took);
        }
    }

    pub fn refresh_hits(&self, options: &ReadOptions, answer: &SearchResult) {
        self.refresh(options, answer.hits.iter().map(|hit| &hit.item));
    }

    /// Asks that the expiry of returned items be pushed back, if the read wanted that.
    fn refresh<'i>(&self, options: &ReadOptions, items: impl Iterator<Item = &'i Item>) {
        if !options.refresh_ttl {
            return;
        }
        let now = self.handle.engine.clock.query_time();
        let due = |item: &&Item| {
            let (Some(ttl), expires_at) = (item.ttl, item.expires_at.unwrap_or(NEVER)) else { return false };
            expires_at > now && worth_a_touch(ttl, now.saturating_add(ttl).saturating_sub(expires_at))
        };
        for item in items.filter(due) {
            self.handle.pipeline.touch_later(&item.namespace, &item.key, item.version.0);
        }
    }
}
