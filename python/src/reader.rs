//! The reads that an engine and a snapshot share.
//!
//! Invariants:
//! * Each call answers from one moment: that of the call for an engine, its own for a snapshot.
//! * A call that has begun keeps what it reads alive, whoever closes the engine or the snapshot meanwhile.

use std::ops::Deref;
use std::sync::{Mutex, PoisonError};

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};
use vecmem::{Address, Namespace, NamespaceQuery, ReadOptions, Reads, Scope, Select, Snapshot, Store};

use crate::arguments::{address, count, labels, namespace, patterns, scope, select, text};
use crate::call::{Kept, detached};
use crate::errors::{closed, invalid_input};
use crate::handle::Handle;
use crate::items::Item;
use crate::iterate::ItemIterator;
use crate::listing::Listing;
use crate::queries::{Ask, Call, deadline, many_answers};
use crate::rules;
use crate::vectors::{vector, vectors};

/// So many queries are answered on the thread of the call: starting another one would take as long.
const FEW_QUERIES: usize = 4;

/// The reads that an engine and a snapshot share.
#[pyclass(frozen, subclass, weakref, module = "vecmem")]
pub(crate) struct Reader {
    source: Source,
    /// Of a snapshot: the metric of its store.
    metric: Option<&'static str>,
}

/// What a reader reads.
enum Source {
    Engine(Handle),
    /// None once it was closed.
    Snapshot(Kept<Mutex<Option<Snapshot>>>),
}

/// The same, for the length of a call. It has the reads of the library.
pub(crate) enum Moment {
    Newest(Store),
    Kept(Snapshot),
}

impl Deref for Moment {
    type Target = dyn Reads;

    fn deref(&self) -> &Self::Target {
        match self {
            Self::Newest(store) => store,
            Self::Kept(snapshot) => snapshot,
        }
    }
}

impl Reader {
    pub(crate) fn of_engine(handle: Handle) -> Self {
        Self { source: Source::Engine(handle), metric: None }
    }

    pub(crate) fn of_snapshot(snapshot: Snapshot, metric: Option<&'static str>) -> Self {
        Self { source: Source::Snapshot(Kept::new(Mutex::new(Some(snapshot)))), metric }
    }

    /// The store of an engine that is open.
    pub(crate) fn store(&self, py: Python<'_>) -> PyResult<Store> {
        match &self.source {
            Source::Engine(handle) => handle.store(py).cloned(),
            Source::Snapshot(_) => Err(closed(py, "a snapshot takes no writes")),
        }
    }

    fn moment(&self, py: Python<'_>) -> PyResult<Moment> {
        match &self.source {
            Source::Engine(handle) => Ok(Moment::Newest(handle.store(py)?.clone())),
            Source::Snapshot(snapshot) => {
                let snapshot = snapshot.lock().unwrap_or_else(PoisonError::into_inner).clone();
                snapshot.map(Moment::Kept).ok_or_else(|| closed(py, "the snapshot has been closed; take another one"))
            }
        }
    }

    /// By what the vectors of the store compare.
    fn metric(&self) -> Option<&'static str> {
        match &self.source {
            Source::Engine(handle) => handle.metric(),
            Source::Snapshot(_) => self.metric,
        }
    }

    pub(crate) fn close(&self, py: Python<'_>) -> PyResult<()> {
        match &self.source {
            Source::Engine(handle) => handle.close(py),
            Source::Snapshot(snapshot) => {
                let kept = snapshot.lock().unwrap_or_else(PoisonError::into_inner).take();
                // It may be the last one to keep files and memory that are let go of now.
                detached(py, || {
                    drop(kept);
                    Ok(())
                })
            }
        }
    }

    /// The item under `key`, as the library has it.
    pub(crate) fn read_one(
        &self,
        py: Python<'_>,
        namespace: &Namespace,
        key: &str,
        options: &ReadOptions,
    ) -> PyResult<Option<vecmem::Item>> {
        let moment = self.moment(py)?;
        detached(py, || moment.get_with(namespace, key, options))
    }
}

/// The options of reads by key.
fn read_options(
    include_vectors: bool,
    include_expired: bool,
    refresh_ttl: bool,
    partial: bool,
    within: Option<&Bound<'_, PyAny>>,
    selected: Option<&Bound<'_, PyAny>>,
) -> PyResult<ReadOptions> {
    let deadline = within.map_or(Ok(None), deadline)?;
    let select = selected.map_or(Ok(Select::All), select)?;
    Ok(ReadOptions { select, include_vectors, include_expired, partial, deadline, refresh_ttl })
}

#[pymethods]
impl Reader {
    #[doc = include_str!("docs/Reader.get.txt")]
    #[pyo3(signature = (namespace, key, *, select=None, include_vectors=false, include_expired=false, refresh_ttl=false, partial=false, deadline=None))]
    #[allow(clippy::too_many_arguments, reason = "each is a keyword of the Python call")]
    fn get(
        &self,
        py: Python<'_>,
        namespace: &Bound<'_, PyAny>,
        key: &Bound<'_, PyAny>,
        select: Option<&Bound<'_, PyAny>>,
        include_vectors: bool,
        include_expired: bool,
        refresh_ttl: bool,
        partial: bool,
        deadline: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Option<Py<Item>>> {
        let (namespace, key) = (self::namespace(namespace)?, text(key, "key")?);
        let options = read_options(include_vectors, include_expired, refresh_ttl, partial, deadline, select)?;
        let item = self.read_one(py, &namespace, &key, &options)?;
        item.map(|item| Py::new(py, Item::new(item))).transpose()
    }

    #[doc = include_str!("docs/Reader.get_many.txt")]
    #[pyo3(signature = (addresses, *, select=None, include_vectors=false, include_expired=false, refresh_ttl=false, partial=false, deadline=None))]
    #[allow(clippy::too_many_arguments, reason = "each is a keyword of the Python call")]
    fn get_many<'py>(
        &self,
        py: Python<'py>,
        addresses: &Bound<'py, PyAny>,
        select: Option<&Bound<'py, PyAny>>,
        include_vectors: bool,
        include_expired: bool,
        refresh_ttl: bool,
        partial: bool,
        deadline: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyList>> {
        let addresses = addresses.try_iter()?.map(|pair| address(&pair?)).collect::<PyResult<Vec<_>>>()?;
        let options = read_options(include_vectors, include_expired, refresh_ttl, partial, deadline, select)?;
        let moment = self.moment(py)?;
        let items = detached(py, || moment.get_many(&addresses, &options))?;
        let object = |item: Option<vecmem::Item>| item.map(|item| Py::new(py, Item::new(item))).transpose();
        PyList::new(py, items.into_iter().map(object).collect::<PyResult<Vec<_>>>()?)
    }

    #[doc = include_str!("docs/Reader.search.txt")]
    #[pyo3(signature = (namespace=None, vector=None, **options), text_signature = "($self, namespace=None, vector=None, *, prefix=None, everything=False, filter=None, limit=10, offset=0, group_by=None, per_group=1, order_by=None, descending=False, after=None, vector_field=None, select=None, min_score=None, include_unscored=False, exact=False, recall=0.98, ef_search=None, explain=False, include_vectors=False, include_expired=False, refresh_ttl=False, partial=False, deadline=None, columns=False)")]
    fn search<'py>(
        &self,
        py: Python<'py>,
        namespace: Option<&Bound<'py, PyAny>>,
        vector: Option<&Bound<'py, PyAny>>,
        options: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let mut ask = Ask::new(py, Call::Ranking("search"), namespace, options)?;
        if let Some(vector) = vector {
            ask.query = ask.query.vector(self::vector(vector)?);
        }
        let moment = self.moment(py)?;
        let answer = detached(py, || moment.search(&ask.query))?;
        ask.answer(py, answer, vector.and_then(|_| self.metric()))
    }

    #[doc = include_str!("docs/Reader.search_many.txt")]
    #[pyo3(signature = (vectors, namespace=None, *, on_progress=None, **options), text_signature = "($self, vectors, namespace=None, *, on_progress=None, prefix=None, everything=False, filter=None, limit=10, offset=0, group_by=None, per_group=1, order_by=None, descending=False, after=None, vector_field=None, select=None, min_score=None, include_unscored=False, exact=False, recall=0.98, ef_search=None, explain=False, include_vectors=False, include_expired=False, refresh_ttl=False, partial=False, deadline=None, columns=False)")]
    fn search_many<'py>(
        &self,
        py: Python<'py>,
        vectors: &Bound<'py, PyAny>,
        namespace: Option<&Bound<'py, PyAny>>,
        on_progress: Option<&Bound<'py, PyAny>>,
        options: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let ask = Ask::new(py, Call::Ranking("search_many"), namespace, options)?;
        let queries: Vec<_> =
            self::vectors(vectors)?.into_iter().map(|vector| ask.query.clone().vector(vector)).collect();
        let moment = self.moment(py)?;
        let answers = if queries.len() <= FEW_QUERIES && on_progress.is_none() {
            detached(py, || moment.search_many(&queries))?
        } else {
            many_answers(py, moment, queries, on_progress)?
        };
        ask.answers(py, answers, self.metric())
    }

    #[doc = include_str!("docs/Reader.search_by_item.txt")]
    #[pyo3(signature = (namespace, key, *, within=None, **options), text_signature = "($self, namespace, key, *, within=None, prefix=None, everything=False, filter=None, limit=10, offset=0, group_by=None, per_group=1, order_by=None, descending=False, after=None, vector_field=None, select=None, min_score=None, include_unscored=False, exact=False, recall=0.98, ef_search=None, explain=False, include_vectors=False, include_expired=False, refresh_ttl=False, partial=False, deadline=None, columns=False)")]
    fn search_by_item<'py>(
        &self,
        py: Python<'py>,
        namespace: &Bound<'py, PyAny>,
        key: &Bound<'py, PyAny>,
        within: Option<&Bound<'py, PyAny>>,
        options: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let elsewhere = |name: &str| options.map_or(Ok(false), |options| options.contains(name));
        let scope =
            if within.is_some() || elsewhere("prefix")? || elsewhere("everything")? { within } else { Some(namespace) };
        let ask = Ask::new(py, Call::Ranking("search_by_item"), scope, options)?;
        let (namespace, key) = (self::namespace(namespace)?, text(key, "key")?);
        let moment = self.moment(py)?;
        let answer = detached(py, || moment.search_by_item(&namespace, &key, ask.query.clone()))?;
        ask.answer(py, answer, self.metric())
    }

    #[doc = include_str!("docs/Reader.list.txt")]
    #[pyo3(signature = (namespace=None, **options), text_signature = "($self, namespace=None, *, prefix=None, everything=False, filter=None, limit=10, offset=0, group_by=None, per_group=1, order_by=None, descending=False, after=None, select=None, explain=False, include_vectors=False, include_expired=False, refresh_ttl=False, partial=False, deadline=None, columns=False)")]
    fn list<'py>(
        &self,
        py: Python<'py>,
        namespace: Option<&Bound<'py, PyAny>>,
        options: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let ask = Ask::new(py, Call::List, namespace, options)?;
        let moment = self.moment(py)?;
        let answer = detached(py, || moment.list(&ask.query))?;
        ask.answer(py, answer, None)
    }

    #[doc = include_str!("docs/Reader.listing.txt")]
    #[pyo3(signature = (namespace=None, **options), text_signature = "($self, namespace=None, *, prefix=None, everything=False, filter=None, select=None, include_vectors=False, include_expired=False, refresh_ttl=False, partial=False, deadline=None)")]
    fn listing<'py>(
        &self,
        py: Python<'py>,
        namespace: Option<&Bound<'py, PyAny>>,
        options: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Listing> {
        let ask = Ask::new(py, Call::Listing, namespace, options)?;
        let moment = self.moment(py)?;
        let listing = detached(py, move || moment.snapshot()?.listing(ask.query))?;
        Ok(Listing::new(listing))
    }

    #[doc = include_str!("docs/Reader.iterate.txt")]
    #[pyo3(signature = (namespace=None, *, prefix=None, everything=false, key_prefix=None, limit=None, select=None, include_vectors=false, include_expired=false, partial=false))]
    #[allow(clippy::too_many_arguments, reason = "each is a keyword of the Python call")]
    fn iterate<'py>(
        &self,
        py: Python<'py>,
        namespace: Option<&Bound<'py, PyAny>>,
        prefix: Option<&Bound<'py, PyAny>>,
        everything: bool,
        key_prefix: Option<&Bound<'py, PyAny>>,
        limit: Option<&Bound<'py, PyAny>>,
        select: Option<&Bound<'py, PyAny>>,
        include_vectors: bool,
        include_expired: bool,
        partial: bool,
    ) -> PyResult<ItemIterator> {
        let scope = scope(py, namespace, prefix, everything)?;
        let key_prefix = key_prefix.map_or(Ok(String::new()), |prefix| text(prefix, "key_prefix"))?;
        let limit = limit.map_or(Ok(usize::MAX), |limit| count(limit, "limit"))?;
        let options = read_options(include_vectors, include_expired, false, partial, None, select)?;
        ItemIterator::begin(py, self.moment(py)?, scope, key_prefix, limit, options)
    }

    #[doc = include_str!("docs/Reader.list_namespaces.txt")]
    #[pyo3(signature = (
        prefix=None, suffix=None, *, max_depth=None, limit=None, offset=None, after=None, include_expired=false
    ))]
    #[allow(clippy::too_many_arguments, reason = "each is a keyword of the Python call")]
    fn list_namespaces<'py>(
        &self,
        py: Python<'py>,
        prefix: Option<&Bound<'py, PyAny>>,
        suffix: Option<&Bound<'py, PyAny>>,
        max_depth: Option<&Bound<'py, PyAny>>,
        limit: Option<&Bound<'py, PyAny>>,
        offset: Option<&Bound<'py, PyAny>>,
        after: Option<&Bound<'py, PyAny>>,
        include_expired: bool,
    ) -> PyResult<Bound<'py, PyList>> {
        let query = NamespaceQuery {
            prefix: patterns(prefix, "prefix")?,
            suffix: patterns(suffix, "suffix")?,
            max_depth: max_depth.map(|depth| count(depth, "max_depth")).transpose()?,
            limit: limit.map_or(Ok(100), |limit| count(limit, "limit"))?,
            offset: offset.map_or(Ok(0), |offset| count(offset, "offset"))?,
            after: after.map_or(Ok(Vec::new()), |after| labels(after, "after"))?,
            options: ReadOptions { include_expired, ..ReadOptions::default() },
        };
        if query.max_depth == Some(0) {
            return Err(invalid_input(py, "max_depth must be 1 or more"));
        }
        let moment = self.moment(py)?;
        let found = detached(py, || moment.list_namespaces(&query))?;
        PyList::new(py, found.iter().map(|labels| PyTuple::new(py, labels)).collect::<PyResult<Vec<_>>>()?)
    }

    #[doc = include_str!("docs/Reader.count.txt")]
    #[pyo3(signature = (namespace=None, **options), text_signature = "($self, namespace=None, *, prefix=None, everything=False, filter=None, include_expired=False, partial=False, deadline=None)")]
    fn count<'py>(
        &self,
        py: Python<'py>,
        namespace: Option<&Bound<'py, PyAny>>,
        options: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<u64> {
        rules::count_items(py, &self.moment(py)?, namespace, options)
    }

    #[doc = include_str!("docs/Reader.distinct.txt")]
    #[pyo3(signature = (path, namespace=None, **options), text_signature = "($self, path, namespace=None, *, prefix=None, everything=False, filter=None, limit=1000, include_expired=False, partial=False, deadline=None)")]
    fn distinct<'py>(
        &self,
        path: &Bound<'py, PyAny>,
        namespace: Option<&Bound<'py, PyAny>>,
        options: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        rules::distinct(&self.moment(path.py())?, path, namespace, options)
    }

    #[doc = include_str!("docs/Reader.scope_stats.txt")]
    #[pyo3(signature = (namespace=None, **options), text_signature = "($self, namespace=None, *, prefix=None, everything=False, partial=False, deadline=None)")]
    fn scope_stats<'py>(
        &self,
        py: Python<'py>,
        namespace: Option<&Bound<'py, PyAny>>,
        options: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        rules::scope_stats(py, &self.moment(py)?, namespace, options)
    }

    pub(crate) fn __len__(&self, py: Python<'_>) -> PyResult<usize> {
        let moment = self.moment(py)?;
        Ok(detached(py, || moment.count(&Scope::Store, &ReadOptions::default()))? as usize)
    }

    /// An empty store is one.
    fn __bool__(&self) -> bool {
        true
    }

    fn __contains__(&self, py: Python<'_>, pair: &Bound<'_, PyAny>) -> PyResult<bool> {
        let Address { namespace, key } = address(pair)?;
        Ok(self.read_one(py, &namespace, &key, &ReadOptions::default())?.is_some())
    }

    fn __iter__(&self, py: Python<'_>) -> PyResult<ItemIterator> {
        ItemIterator::begin(py, self.moment(py)?, Scope::Store, String::new(), usize::MAX, ReadOptions::default())
    }
}
