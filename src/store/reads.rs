//! Every read of a store and of a snapshot, each written once.
//!
//! Invariants:
//! * A read takes one moment, and its result depends on that moment alone.
//! * A store and a snapshot differ only in the moment that they give to a read.

use std::time::Duration;

use crate::error::{Error, Result};
use crate::filter::Filter;
use crate::store::distinct::{DistinctQuery, DistinctValues, distinct};
use crate::store::items::Items;
use crate::store::iterate::{Cursor, IteratePage, StoredPage, iterate, iterate_stored};
use crate::store::latency::CallKind;
use crate::store::moment::Moment;
use crate::store::namespaces::list_namespaces;
use crate::store::passing_items::count_items;
use crate::store::query::{Address, IterateQuery, NamespaceQuery, Query, ReadOptions, SearchResult};
use crate::store::read::ReadContext;
use crate::store::scope_stats::{ScopeStats, scope_stats};
use crate::store::snapshot::Snapshot;
use crate::store::{Store, search};
use crate::types::{Item, Namespace, Scope};

/// A source of moments: a store or a snapshot. Other crates cannot name it, so they cannot implement [`Reads`].
pub trait MomentSource {
    /// The moment of one read. With `after`, a store gives the moment of that iteration.
    #[doc(hidden)]
    fn moment(&self, after: Option<&Cursor>) -> Result<Moment<'_>>;

    /// The current moment as a snapshot.
    #[doc(hidden)]
    fn held_moment(&self) -> Result<Snapshot>;
}

impl MomentSource for Store {
    fn moment(&self, after: Option<&Cursor>) -> Result<Moment<'_>> {
        let Some(after) = after else { return Ok(self.newest_moment()) };
        self.handle.engine.check_usable()?;
        Ok(Moment::now(&self.handle, after.holder.view()?))
    }

    fn held_moment(&self) -> Result<Snapshot> {
        Snapshot::newest(self)
    }
}

impl MomentSource for Snapshot {
    fn moment(&self, _after: Option<&Cursor>) -> Result<Moment<'_>> {
        self.own_moment()
    }

    fn held_moment(&self) -> Result<Snapshot> {
        Ok(self.clone())
    }
}

/// Defines the trait of reads. [`Store`] and [`Snapshot`] also get each read as an inherent method with the same docs,
/// so that callers can read without an import of the trait. The examples run once, as those of the trait.
macro_rules! reads {
    ($(#[$about:meta])* pub trait $reads:ident: $source:ident {$(
        $(#[$docs:meta])*
        fn $read:ident(&$self:ident $(, $name:ident: $type:ty)*) -> $answer:ty $(where Self: $bound:ident)? $body:block
    )*}) => {
        $(#[$about])*
        pub trait $reads: $source + Send + Sync {$(
            $(#[$docs])*
            fn $read(&$self $(, $name: $type)*) -> $answer $(where Self: $bound)? $body
        )*}

        impl $reads for Store {}
        impl $reads for Snapshot {}

        impl Store {$(
            $(#[cfg_attr(not(doctest), $docs)])*
            pub fn $read(&self $(, $name: $type)*) -> $answer {
                $reads::$read(self $(, $name)*)
            }
        )*}

        impl Snapshot {$(
            $(#[cfg_attr(not(doctest), $docs)])*
            pub fn $read(&self $(, $name: $type)*) -> $answer {
                $reads::$read(self $(, $name)*)
            }
        )*}
    };
}

reads! {
    /// The reads of a [`Store`], each of the moment of its call, and of a [`Snapshot`], all of one moment.
    ///
    /// Both types have these reads as inherent methods. A program needs the trait only for code that takes either type.
    /// No other type implements it.
    ///
    /// Errors of every read: `Closed`, `Forked`, `Damaged` (not under [`ReadOptions::partial`]), `DeadlineExceeded`,
    /// `Io`; of a snapshot also `SnapshotGone`.
    ///
    /// ```
    /// use vecmem::{Namespace, Options, Put, ReadOptions, Reads, Scope, Store};
    ///
    /// /// The newest value of `key`, and how many items lie beside it.
    /// fn glance(reads: &impl Reads, notes: &Namespace, key: &str) -> vecmem::Result<(String, u64)> {
    ///     let value = reads.get(notes, key)?.map_or(String::new(), |item| item.value.to_string());
    ///     Ok((value, reads.count(&Scope::from(notes), &ReadOptions::default())?))
    /// }
    ///
    /// let store = Store::temporary(Options::new())?;
    /// let notes = Namespace::new(["notes"])?;
    /// store.put(Put::new(&notes, "a", r#"{"n": 1}"#))?;
    /// let before = store.snapshot()?;
    /// store.put(Put::new(&notes, "a", r#"{"n": 2}"#))?;
    /// store.put(Put::new(&notes, "b", r#"{"n": 3}"#))?;
    ///
    /// assert_eq!(glance(&store, &notes, "a")?, (r#"{"n": 2}"#.to_owned(), 2));
    /// assert_eq!(glance(&before, &notes, "a")?, (r#"{"n": 1}"#.to_owned(), 1));
    /// # Ok::<(), vecmem::Error>(())
    /// ```
    pub trait Reads: MomentSource {
        /// A snapshot: of a store, its current moment; of a snapshot, the same moment. See
        /// [`Snapshot`].
        fn snapshot(&self) -> Result<Snapshot> {
            self.held_moment()
        }

        /// The item under `key`, unless it has expired.
        ///
        /// ```
        /// # use vecmem::{Namespace, Options, Put, Store};
        /// # let store = Store::temporary(Options::new())?;
        /// let notes = Namespace::new(["notes"])?;
        /// store.put(Put::new(&notes, "tea", r#"{"text": "green"}"#))?;
        /// let tea = store.get(&notes, "tea")?.expect("the item was put");
        /// assert_eq!(&*tea.value, r#"{"text": "green"}"#);
        /// assert!(store.get(&notes, "coffee")?.is_none());
        /// # Ok::<(), vecmem::Error>(())
        /// ```
        fn get(&self, namespace: &Namespace, key: &str) -> Result<Option<Item>> {
            self.get_with(namespace, key, &ReadOptions::default())
        }

        /// The item under `key`, read with `options`.
        fn get_with(&self, namespace: &Namespace, key: &str, options: &ReadOptions) -> Result<Option<Item>> {
            let moment = self.moment(None)?;
            let started = moment.get_started();
            let item = moment.reader(options)?.get(namespace, key)?;
            moment.refresh(options, item.iter());
            started.end(CallKind::Get);
            Ok(item)
        }

        /// Several items as of one moment, in the order of `addresses`.
        ///
        /// ```
        /// # use vecmem::{Address, Namespace, Options, Put, ReadOptions, Store};
        /// # let store = Store::temporary(Options::new())?;
        /// let notes = Namespace::new(["notes"])?;
        /// store.put(Put::new(&notes, "b", r#"{"n": 2}"#))?;
        /// let addresses = ["a", "b"].map(|key| Address { namespace: notes.clone(), key: key.into() });
        /// let items = store.get_many(&addresses, &ReadOptions::default())?;
        /// assert!(items[0].is_none() && items[1].is_some());
        /// # Ok::<(), vecmem::Error>(())
        /// ```
        fn get_many(&self, addresses: &[Address], options: &ReadOptions) -> Result<Vec<Option<Item>>> {
            let moment = self.moment(None)?;
            let started = moment.read_started();
            let items = moment.reader(options)?.get_many(addresses)?;
            moment.refresh(options, items.iter().flatten());
            started.end(CallKind::GetMany);
            Ok(items)
        }

        /// Runs a query: by similarity if the query has a vector, else newest update first. See [`Query`].
        ///
        /// ```
        /// # use vecmem::{Filter, Metric, Namespace, Options, Put, Query, Store};
        /// # let store = Store::temporary(Options::with_vectors(2, Metric::Cosine))?;
        /// let notes = Namespace::new(["notes"])?;
        /// store.put(Put::new(&notes, "east", r#"{"far": true}"#).vector([1.0, 0.0]))?;
        /// store.put(Put::new(&notes, "north", r#"{"far": false}"#).vector([0.0, 1.0]))?;
        /// let near_east = Query::new(&notes).vector([0.9, 0.1]);
        /// assert_eq!(store.search(&near_east)?[0].item.key, "east");
        /// assert_eq!(store.search(&near_east.filter(Filter::eq("far", false)))?[0].item.key, "north");
        /// # Ok::<(), vecmem::Error>(())
        /// ```
        fn search(&self, query: &Query) -> Result<SearchResult> {
            let moment = self.moment(None)?;
            let search = |reader: &ReadContext<'_>| search::search(reader, query);
            let (answer, took) = moment.timed_search(&query.options, query.vector.is_some(), search)?;
            moment.report_if_slow(1, answer.len(), took);
            moment.refresh_hits(&query.options, &answer);
            Ok(answer)
        }

        /// Runs several queries as of one moment. The results are in the order of the queries.
        fn search_many(&self, queries: &[Query]) -> Result<Vec<SearchResult>> {
            let moment = self.moment(None)?;
            moment.handle.engine.check_usable()?;
            let mut took_all = Duration::ZERO;
            let answer = |query: &Query| {
                let search = |reader: &ReadContext<'_>| search::search(reader, query);
                let (answer, took) = moment.timed_search(&query.options, query.vector.is_some(), search)?;
                took_all += took;
                Ok(answer)
            };
            let answers = queries.iter().map(answer).collect::<Result<Vec<SearchResult>>>()?;
            moment.report_if_slow(queries.len(), answers.iter().map(|answer| answer.len()).sum(), took_all);
            queries.iter().zip(&answers).for_each(|(query, answer)| moment.refresh_hits(&query.options, answer));
            Ok(answers)
        }

        /// Searches by the vectors of a stored item. The item itself is left out. If it has no vectors, the result is
        /// empty. A missing item is an error.
        ///
        /// ```
        /// # use vecmem::{Metric, Namespace, Options, Put, Query, Store};
        /// # let store = Store::temporary(Options::with_vectors(2, Metric::Cosine))?;
        /// let notes = Namespace::new(["notes"])?;
        /// for (key, vector) in [("a", [1.0, 0.0]), ("b", [0.9, 0.1]), ("c", [0.0, 1.0])] {
        ///     store.put(Put::new(&notes, key, "{}").vector(vector))?;
        /// }
        /// let like_a = store.search_by_item(&notes, "a", Query::new(&notes).limit(1))?;
        /// assert_eq!(like_a[0].item.key, "b");
        /// # Ok::<(), vecmem::Error>(())
        /// ```
        fn search_by_item(&self, namespace: &Namespace, key: &str, query: Query) -> Result<SearchResult> {
            let moment = self.moment(None)?;
            let options = query.options.clone();
            let search = |reader: &ReadContext<'_>| search::search_by_item(reader, namespace, key, query);
            let (answer, took) = moment.timed_search(&options, true, search)?;
            moment.report_if_slow(1, answer.len(), took);
            moment.refresh_hits(&options, &answer);
            Ok(answer)
        }

        /// The items of the query's scope, newest update first. A query with a vector is an error. For many pages, see
        /// [`Snapshot::listing`].
        fn list(&self, query: &Query) -> Result<SearchResult> {
            if query.vector.is_some() {
                return Err(Error::invalid("list takes no vector; use search"));
            }
            self.search(query)
        }

        /// The items of a scope in (namespace, key) order, as of the moment of the call, or of the snapshot. A
        /// `&Namespace` or a [`Scope`] works as a query.
        ///
        /// The first error ends the iterator. The errors are those of [`iterate`](Self::iterate).
        ///
        /// ```
        /// use vecmem::{IterateQuery, Namespace, Options, Put, Scope, Store};
        ///
        /// let store = Store::temporary(Options::new())?;
        /// let notes = Namespace::new(["notes"])?;
        /// for key in ["b", "a", "c"] {
        ///     store.put(Put::new(&notes, key, "{}"))?;
        /// }
        /// for item in store.items(&notes) {
        ///     let item = item?;
        ///     println!("{} {}", item.key, item.value);
        /// }
        /// let all = IterateQuery::new(Scope::Store).key_prefix("b").limit(1_000);
        /// assert_eq!(store.items(all).count(), 1);
        /// # Ok::<(), vecmem::Error>(())
        /// ```
        fn items(&self, query: impl Into<IterateQuery>) -> Items where Self: Sized {
            Items::new(self.held_moment(), query.into())
        }

        /// One page of an iteration in (namespace, key) order. On a store, the cursor of the first page keeps its read
        /// view, and later pages read that view. On a snapshot, all pages are of its moment, whatever cursor they get.
        fn iterate(&self, query: &IterateQuery, after: Option<&Cursor>) -> Result<IteratePage> {
            let moment = self.moment(after)?;
            iterate(&moment.reader(&query.options)?, &moment.view, &moment.handle.holders, query, after)
        }

        /// As [`iterate`](Self::iterate), with everything that the store keeps of each item, for exports and copies.
        ///
        /// ```
        /// use vecmem::{ImportOptions, IterateQuery, Metric, Namespace, Options, Put, Scope, Store};
        ///
        /// let store = Store::temporary(Options::with_vectors(2, Metric::Dot))?;
        /// let notes = Namespace::new(["notes"])?;
        /// store.put(Put::new(&notes, "a", "{}").field_vector("text", [1.0, 0.0]).index_paths(["text"]))?;
        /// let page = store.iterate_stored(&IterateQuery::new(Scope::Store), None)?;
        ///
        /// let copy = Store::temporary(Options::with_vectors(2, Metric::Dot))?;
        /// copy.import(page.items.iter().map(|stored| Ok(stored.to_put())), ImportOptions::new())?;
        /// assert_eq!(copy.iterate_stored(&IterateQuery::new(&notes), None)?.items[0].index_paths[0].as_ref(), "text");
        /// # Ok::<(), vecmem::Error>(())
        /// ```
        fn iterate_stored(&self, query: &IterateQuery, after: Option<&Cursor>) -> Result<StoredPage> {
            let moment = self.moment(after)?;
            iterate_stored(&moment.reader(&query.options)?, &moment.view, &moment.handle.holders, query, after)
        }

        /// The labels of namespaces that hold at least one item, in tuple order.
        ///
        /// ```
        /// # use vecmem::{Namespace, NamespaceQuery, Options, Put, Store};
        /// # let store = Store::temporary(Options::new())?;
        /// store.put(Put::new(&Namespace::new(["users", "ada"])?, "tea", "{}"))?;
        /// store.put(Put::new(&Namespace::new(["users", "bob"])?, "tea", "{}"))?;
        /// assert_eq!(store.list_namespaces(&NamespaceQuery::default())?, [["users", "ada"], ["users", "bob"]]);
        /// # Ok::<(), vecmem::Error>(())
        /// ```
        fn list_namespaces(&self, query: &NamespaceQuery) -> Result<Vec<Vec<String>>> {
            list_namespaces(&self.moment(None)?.reader(&query.options)?, query)
        }

        /// The number of items in a scope.
        fn count(&self, scope: &Scope, options: &ReadOptions) -> Result<u64> {
            count_items(&self.moment(None)?.reader(options)?, &scope.interval(), None, &mut false)
        }

        /// The number of items in a scope for which `filter` holds. Values are read only where no field index decides
        /// the filter. A delete by the same filter ([`Store::delete_where`]) would delete as many.
        ///
        /// Errors: also those of [`Filter::prepare`].
        ///
        /// ```
        /// # use vecmem::{Filter, Namespace, Options, Put, ReadOptions, Scope, Store};
        /// # let store = Store::temporary(Options::new())?;
        /// let notes = Namespace::new(["notes"])?;
        /// store.put(Put::new(&notes, "a", r#"{"stars": 5}"#))?;
        /// store.put(Put::new(&notes, "b", r#"{"stars": 2}"#))?;
        /// let good = Filter::gte("stars", 4);
        /// assert_eq!(store.count_where(&Scope::from(&notes), &good, &ReadOptions::default())?, 1);
        /// # Ok::<(), vecmem::Error>(())
        /// ```
        fn count_where(&self, scope: &Scope, filter: &Filter, options: &ReadOptions) -> Result<u64> {
            let moment = self.moment(None)?;
            let reader = moment.reader(options)?;
            let filter = reader.prepared(Some(filter))?;
            count_items(&reader, &scope.interval(), filter.as_deref(), &mut false)
        }

        /// The different values at a path, and how many items have each. An array counts as its elements.
        ///
        /// Errors: also `InvalidInput` for an empty path or a limit of 0; `Limit` if there are more than
        /// [`limits::DISTINCT_VALUES`](crate::limits::DISTINCT_VALUES) different values, or
        /// [`limits::DISTINCT_BYTES`](crate::limits::DISTINCT_BYTES) of them.
        ///
        /// ```
        /// # use vecmem::{DistinctQuery, Namespace, Options, Put, Store};
        /// # let store = Store::temporary(Options::new())?;
        /// let notes = Namespace::new(["notes"])?;
        /// store.put(Put::new(&notes, "a", r#"{"tags": ["red", "blue"]}"#))?;
        /// store.put(Put::new(&notes, "b", r#"{"tags": ["red"]}"#))?;
        /// let tags = store.distinct(&DistinctQuery::new(&notes, "tags"))?;
        /// let counts: Vec<_> = tags.values.iter().map(|tag| (tag.value.as_str(), tag.count)).collect();
        /// assert_eq!(counts, [(r#""red""#, 2), (r#""blue""#, 1)]);
        /// # Ok::<(), vecmem::Error>(())
        /// ```
        fn distinct(&self, query: &DistinctQuery) -> Result<DistinctValues> {
            distinct(&self.moment(None)?.reader(query.read_options())?, query)
        }

        /// What a scope holds: items, bytes, namespaces, graphs. No value is read.
        ///
        /// ```
        /// # use vecmem::{Namespace, Options, Put, ReadOptions, Scope, Store};
        /// # let store = Store::temporary(Options::new())?;
        /// store.put(Put::new(&Namespace::new(["notes"])?, "a", "{}"))?;
        /// let stats = store.scope_stats(&Scope::prefix(["notes"])?, &ReadOptions::default())?;
        /// assert_eq!((stats.items, stats.namespaces, stats.key_bytes, stats.value_bytes), (1, 1, 1, 2));
        /// # Ok::<(), vecmem::Error>(())
        /// ```
        fn scope_stats(&self, scope: &Scope, options: &ReadOptions) -> Result<ScopeStats> {
            let (moment, [living, all]) = (self.moment(None)?, ScopeStats::options(options));
            scope_stats(&moment.reader(&living)?, scope, &moment.reader(&all)?)
        }
    }
}
