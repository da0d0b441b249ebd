//! The engine: opening, writing, upkeep. Its reads are those of `reader.rs`.

use std::path::PathBuf;

use numpy::PyArray1;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use vecmem::{Batch, Namespace, Scope};

use crate::arguments::{count, labels, namespace, scope, text};
use crate::call::detached;
use crate::errors::from_engine;
use crate::handle::Handle;
use crate::imports::Wishes;
use crate::reader::Reader;
use crate::snapshot::Snapshot;
use crate::upkeep::to_dict;
use crate::{imports, opening, upkeep, writes};

/// An embedded, durable vector memory: one directory of items with JSON values and vectors.
///
/// Safe to use from any number of threads. `path=None` is a private temporary store, removed when it is closed or the
/// interpreter exits. `dims` and `metric` say what vectors a new store keeps; an existing one keeps its own.
#[pyclass(frozen, extends = Reader, weakref, module = "vecmem")]
pub(crate) struct Engine;

#[pymethods]
impl Engine {
    #[new]
    #[pyo3(signature = (path=None, **options), text_signature = "(path=None, *, dims=None, metric=\"cosine\", durability=\"sync\", create=True, sync_every=0.1, sweep_every=60.0, clock_grace=3600.0, lock_timeout=5.0, read_mode=\"map\")")]
    fn new(
        py: Python<'_>,
        path: Option<&Bound<'_, PyAny>>,
        options: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<PyClassInitializer<Self>> {
        let path = path.map(|path| opening::path(path, "path")).transpose()?;
        let handle = Handle::open(py, path.as_deref(), &opening::opening(py, options)?)?;
        Ok(PyClassInitializer::from(Reader::of_engine(handle)).add_subclass(Self))
    }

    /// Writes one item and returns its version. `value` is a mapping that JSON can say exactly; vectors are float32 arrays or
    /// whatever `numpy.asarray` turns into such.
    #[pyo3(signature = (namespace, key, value, **options), text_signature = "($self, namespace, key, value, *, vector=None, vectors=None, ttl=None, if_absent=False, if_version=None, created_at=None, updated_at=None, index_paths=None, model=None, texts=None)")]
    fn put(
        slf: &Bound<'_, Self>,
        namespace: &Bound<'_, PyAny>,
        key: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
        options: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<u64> {
        let put = writes::put(namespace, key, value, options)?;
        let store = slf.as_super().get().store(slf.py())?;
        Ok(detached(slf.py(), || store.put(put))?.to_u64())
    }

    /// Writes several items at once, all or none: `Put` objects, or dicts with the arguments of `put`. Returns a version for each,
    /// `None` where a later one has the same key.
    fn put_many<'py>(slf: &Bound<'py, Self>, items: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        write(slf, writes::batch(items, true)?)
    }

    /// Does several `Put` and `Delete` at once, all or none. Returns a version for each put, a bool for each delete, `None` where a
    /// later operation has the same key.
    ///
    /// With an `operation_id`, a name of 1 to 4,096 bytes, a batch whose acknowledgement was lost can be sent again: if one of that
    /// name was applied, now or before a crash, nothing is written, and `None` is returned instead of a list. Names are remembered for
    /// a million batches or a day, whichever ends first.
    #[pyo3(signature = (operations, *, operation_id=None))]
    fn write<'py>(
        slf: &Bound<'py, Self>,
        operations: &Bound<'py, PyAny>,
        operation_id: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let mut batch = writes::batch(operations, false)?;
        if let Some(id) = operation_id {
            batch.operation_id(&text(id, "operation_id")?);
        }
        write(slf, batch)
    }

    /// Puts many items, much faster than `put_many`: large chunks become files of their own, each all or nothing. `items` is an iterable of
    /// `Put` objects or dicts with the arguments of `put`. With a `source`, a name that stands for the items, a later import of the
    /// same source passes over what is done. With `skip_bad`, items that a put would refuse are left out and described.
    #[pyo3(signature = (items, *, source=None, chunk_rows=None, skip_bad=false, on_progress=None))]
    fn import_items<'py>(
        slf: &Bound<'py, Self>,
        items: &Bound<'py, PyAny>,
        source: Option<&Bound<'py, PyAny>>,
        chunk_rows: Option<&Bound<'py, PyAny>>,
        skip_bad: bool,
        on_progress: Option<Py<PyAny>>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let source = source.map(|source| text(source, "source")).transpose()?;
        let chunk_rows = chunk_rows.map(|rows| count(rows, "chunk_rows")).transpose()?;
        let store = slf.as_super().get().store(slf.py())?;
        imports::import(&store, items, &Wishes { source, chunk_rows, skip_bad, on_progress })
    }

    /// Deletes one item; returns whether there was one.
    #[pyo3(signature = (namespace, key, *, if_version=None))]
    fn delete(
        slf: &Bound<'_, Self>,
        namespace: &Bound<'_, PyAny>,
        key: &Bound<'_, PyAny>,
        if_version: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<bool> {
        let (namespace, key) = (self::namespace(namespace)?, text(key, "key")?);
        let condition = writes::if_version_is(if_version)?;
        let store = slf.as_super().get().store(slf.py())?;
        detached(slf.py(), || store.delete_if(&namespace, &key, condition))
    }

    /// Deletes every item of a namespace and, with `below`, of all namespaces that begin with its labels.
    #[pyo3(signature = (namespace, *, below=true))]
    fn delete_namespace(slf: &Bound<'_, Self>, namespace: &Bound<'_, PyAny>, below: bool) -> PyResult<()> {
        let namespace =
            Namespace::new(labels(namespace, "namespace")?).map_err(|error| from_engine(slf.py(), &error))?;
        let scope = if below { Scope::Prefix(namespace) } else { Scope::Namespace(namespace) };
        let store = slf.as_super().get().store(slf.py())?;
        detached(slf.py(), || store.delete_range(&scope))
    }

    /// Deletes every item of a namespace and, with `below`, of all namespaces that begin with its labels, and leaves no byte of them in
    /// any file of the store, nor of what was deleted, replaced or has expired there before. With `keep_living`, only the latter.
    /// Snapshots, listings and scans from before raise `SnapshotGoneError` after `grace` seconds. Returns the receipt.
    #[pyo3(signature = (namespace, *, below=true, keep_living=false, grace=None), text_signature = "($self, namespace, *, below=True, keep_living=False, grace=5.0)")]
    fn purge<'py>(
        slf: &Bound<'py, Self>,
        namespace: &Bound<'py, PyAny>,
        below: bool,
        keep_living: bool,
        grace: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let store = slf.as_super().get().store(slf.py())?;
        upkeep::purge(&store, namespace, below, keep_living, grace)
    }

    /// Deletes every item of the store.
    fn delete_everything(slf: &Bound<'_, Self>) -> PyResult<()> {
        let store = slf.as_super().get().store(slf.py())?;
        detached(slf.py(), || store.delete_everything())
    }

    /// What the store holds and does, in numbers.
    fn stats<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let store = slf.as_super().get().store(slf.py())?;
        let stats = detached(slf.py(), || store.stats())?;
        to_dict(slf.py(), &stats)
    }

    /// Verifies every file and every invariant; with `repair`, rebuilds derived files that are damaged. With `accept_loss`, rewrites
    /// damaged segments without the items that cannot be read first, and lists these under `loss`: restoring the damaged file from a
    /// copy loses nothing and comes before that. What helps is in the report under `advice`.
    #[pyo3(signature = (*, repair=false, accept_loss=false))]
    fn check<'py>(slf: &Bound<'py, Self>, repair: bool, accept_loss: bool) -> PyResult<Bound<'py, PyAny>> {
        let store = slf.as_super().get().store(slf.py())?;
        upkeep::check(slf.py(), &store, repair, accept_loss)
    }

    /// Returns once everything written so far survives a power loss.
    fn sync(slf: &Bound<'_, Self>) -> PyResult<()> {
        let store = slf.as_super().get().store(slf.py())?;
        detached(slf.py(), || store.sync())
    }

    /// Writes what is in memory to segments, so that an open replays no log, and implies `sync`.
    fn flush(slf: &Bound<'_, Self>) -> PyResult<()> {
        let store = slf.as_super().get().store(slf.py())?;
        detached(slf.py(), || store.flush())
    }

    /// Removes what has expired and rewrites every part of the store without what is dead. Says what was left, and why.
    fn compact<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let store = slf.as_super().get().store(slf.py())?;
        let report = detached(slf.py(), || store.compact())?;
        to_dict(slf.py(), &report)
    }

    /// Builds a graph of a scope at once, on all cores: searches of exactly this scope, and of wider ones, walk it.
    #[pyo3(signature = (namespace=None, *, prefix=None, everything=false))]
    fn build_graph<'py>(
        slf: &Bound<'py, Self>,
        namespace: Option<&Bound<'py, PyAny>>,
        prefix: Option<&Bound<'py, PyAny>>,
        everything: bool,
    ) -> PyResult<Bound<'py, PyDict>> {
        let py = slf.py();
        let scope = scope(py, namespace, prefix, everything)?;
        let store = slf.as_super().get().store(py)?;
        let built = detached(py, || store.build_graph(&scope))?;
        let dict = PyDict::new(py);
        dict.set_item("graphs", built.graphs)?;
        dict.set_item("nodes", built.nodes)?;
        dict.set_item("bytes", built.bytes)?;
        dict.set_item("seconds", built.seconds)?;
        Ok(dict)
    }

    /// Removes expired items now; returns how many.
    fn sweep(slf: &Bound<'_, Self>) -> PyResult<u64> {
        let store = slf.as_super().get().store(slf.py())?;
        detached(slf.py(), || store.sweep())
    }

    /// Says that the wall clock is right, however far it is from the last write: what has expired by it may be removed at once.
    fn accept_clock(slf: &Bound<'_, Self>) -> PyResult<()> {
        let store = slf.as_super().get().store(slf.py())?;
        detached(slf.py(), || store.accept_clock())
    }

    /// One moment of the store: any number of reads of it, whatever is written meanwhile.
    fn snapshot(slf: &Bound<'_, Self>) -> PyResult<Py<Snapshot>> {
        let store = slf.as_super().get().store(slf.py())?;
        let snapshot = detached(slf.py(), || store.snapshot())?;
        Snapshot::create(slf.py(), snapshot)
    }

    /// The embeddings that `model` made of `texts`, where an item holds one that was put with that `model` and text; `None` elsewhere.
    fn known_embeddings<'py>(
        slf: &Bound<'py, Self>,
        model: &Bound<'py, PyAny>,
        texts: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyList>> {
        let (py, model) = (slf.py(), text(model, "model")?);
        let texts = writes::strings(texts, "texts")?;
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let store = slf.as_super().get().store(py)?;
        let known = detached(py, || store.known_embeddings(&model, &texts))?;
        PyList::new(py, known.into_iter().map(|vector| vector.map(|vector| PyArray1::from_vec(py, vector))))
    }

    /// The JSON document that `set_setting` kept under `name`, or `None`.
    fn setting(slf: &Bound<'_, Self>, name: &Bound<'_, PyAny>) -> PyResult<Option<String>> {
        let name = text(name, "name")?;
        let store = slf.as_super().get().store(slf.py())?;
        detached(slf.py(), || store.setting(&name))
    }

    /// Keeps a JSON document that belongs to the store as a whole; `None` removes it. It survives a power loss when this returns.
    fn set_setting(slf: &Bound<'_, Self>, name: &Bound<'_, PyAny>, json: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        let name = text(name, "name")?;
        let json = json.map(|json| text(json, "json")).transpose()?;
        let store = slf.as_super().get().store(slf.py())?;
        detached(slf.py(), || store.set_setting(&name, json.as_deref()))
    }

    /// Closes the engine; the store is synced and closed with the last engine on it. Closing again does nothing.
    fn close(slf: &Bound<'_, Self>) -> PyResult<()> {
        slf.as_super().get().close(slf.py())
    }

    /// The store's directory.
    #[getter]
    fn path<'py>(slf: &Bound<'py, Self>) -> PyResult<Option<PathBuf>> {
        Ok(slf.as_super().get().store(slf.py())?.path().map(ToOwned::to_owned))
    }

    /// Numbers in one vector; `None` if the store keeps no vectors.
    #[getter]
    fn dims(slf: &Bound<'_, Self>) -> PyResult<Option<usize>> {
        Ok(slf.as_super().get().store(slf.py())?.vector_space().map(|space| space.dims))
    }

    /// How vectors compare: "cosine", "dot" or "l2"; `None` if the store keeps no vectors.
    #[getter]
    fn metric(slf: &Bound<'_, Self>) -> PyResult<Option<&'static str>> {
        Ok(slf.as_super().get().store(slf.py())?.vector_space().map(|space| opening::metric_name(space.metric)))
    }

    /// How many purges have begun since the store was opened: what was read before the last one should be let go of.
    #[getter]
    fn purge_epoch(slf: &Bound<'_, Self>) -> PyResult<u64> {
        Ok(slf.as_super().get().store(slf.py())?.purge_epoch())
    }

    fn __enter__<'py>(slf: Bound<'py, Self>) -> PyResult<Bound<'py, Self>> {
        slf.as_super().get().store(slf.py())?;
        Ok(slf)
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(slf: &Bound<'_, Self>, _exception: &Bound<'_, PyAny>) -> PyResult<()> {
        Self::close(slf)
    }

    fn __repr__(slf: &Bound<'_, Self>) -> String {
        match slf.as_super().get().store(slf.py()) {
            Ok(store) => format!("Engine({:?})", store.path().unwrap_or(std::path::Path::new(""))),
            Err(_) => "Engine(closed)".into(),
        }
    }
}

fn write<'py>(slf: &Bound<'py, Engine>, batch: Batch) -> PyResult<Bound<'py, PyAny>> {
    let store = slf.as_super().get().store(slf.py())?;
    let results = detached(slf.py(), || store.batch(batch))?;
    writes::results(slf.py(), &results)
}
