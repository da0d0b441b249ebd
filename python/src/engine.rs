//! The engine: opening, writing, upkeep. Its reads are those of `reader.rs`.

use std::path::PathBuf;

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use vecmem::{Address, Batch, Scope};

use crate::arguments::{address, count, namespace, scope, text};
use crate::call::detached;
use crate::handle::Handle;
use crate::imports::Wishes;
use crate::reader::Reader;
use crate::rules::Labels;
use crate::snapshot::Snapshot;
use crate::upkeep::to_dict;
use crate::{imports, opening, quotas, rules, update, upkeep, watch, writes};

/// The engine, an argument of any type, keyword arguments, and an answer of any type.
type This<'a, 'py> = &'a Bound<'py, Engine>;
type Any<'a, 'py> = &'a Bound<'py, PyAny>;
type Dict<'a, 'py> = &'a Bound<'py, PyDict>;
type Answer<'py> = PyResult<Bound<'py, PyAny>>;

#[doc = include_str!("docs/Engine.txt")]
#[pyclass(frozen, extends = Reader, weakref, module = "vecmem")]
pub(crate) struct Engine;

#[pymethods]
impl Engine {
    #[new]
    #[pyo3(signature = (path=None, **options), text_signature = "(path=None, *, dims=None, metric=\"cosine\", durability=\"sync\", create=True, sync_every=0.1, sweep_every=60.0, clock_grace=3600.0, lock_timeout=5.0, incarnation=None, read_mode=\"map\", code_residency=\"page-cache\", live_check=True)")]
    fn new(
        py: Python<'_>,
        path: Option<Any<'_, '_>>,
        options: Option<Dict<'_, '_>>,
    ) -> PyResult<PyClassInitializer<Self>> {
        let path = path.map(|path| opening::path(path, "path")).transpose()?;
        let handle = Handle::open(py, path.as_deref(), &opening::opening(py, options)?)?;
        Ok(PyClassInitializer::from(Reader::of_engine(handle)).add_subclass(Self))
    }

    #[doc = include_str!("docs/Engine.put.txt")]
    #[pyo3(signature = (namespace, key, value, **options), text_signature = "($self, namespace, key, value, *, vector=None, vectors=None, ttl=None, if_absent=False, if_version=None, created_at=None, updated_at=None, expires_at=None, index_paths=None, model=None, texts=None)")]
    fn put(
        slf: This<'_, '_>,
        namespace: Any<'_, '_>,
        key: Any<'_, '_>,
        value: Any<'_, '_>,
        options: Option<Dict<'_, '_>>,
    ) -> PyResult<u64> {
        let (put, store) = (writes::put(namespace, key, value, options)?, slf.as_super().get().store(slf.py())?);
        Ok(detached(slf.py(), || store.put(put))?.to_u64())
    }

    #[doc = include_str!("docs/Engine.put_many.txt")]
    fn put_many<'py>(slf: This<'_, 'py>, items: Any<'_, 'py>) -> Answer<'py> {
        write(slf, writes::batch(items, true)?)
    }

    #[doc = include_str!("docs/Engine.write.txt")]
    #[pyo3(signature = (operations, *, operation_id=None))]
    fn write<'py>(slf: This<'_, 'py>, operations: Any<'_, 'py>, operation_id: Option<Any<'_, 'py>>) -> Answer<'py> {
        let mut batch = writes::batch(operations, false)?;
        if let Some(id) = operation_id {
            batch.operation_id(&text(id, "operation_id")?);
        }
        write(slf, batch)
    }

    #[doc = include_str!("docs/Engine.import_items.txt")]
    #[pyo3(signature = (items, *, source=None, chunk_rows=None, skip_bad=false, on_progress=None))]
    fn import_items<'py>(
        slf: This<'_, 'py>,
        items: Any<'_, 'py>,
        source: Option<Any<'_, 'py>>,
        chunk_rows: Option<Any<'_, 'py>>,
        skip_bad: bool,
        on_progress: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let source = source.map(|source| text(source, "source")).transpose()?;
        let chunk_rows = chunk_rows.map(|rows| count(rows, "chunk_rows")).transpose()?;
        let store = slf.as_super().get().store(slf.py())?;
        imports::import(&store, items, Wishes { source, chunk_rows, skip_bad, on_progress })
    }

    #[doc = include_str!("docs/Engine.delete.txt")]
    #[pyo3(signature = (namespace, key, *, if_version=None))]
    fn delete(
        slf: This<'_, '_>,
        namespace: Any<'_, '_>,
        key: Any<'_, '_>,
        if_version: Option<Any<'_, '_>>,
    ) -> PyResult<bool> {
        let (namespace, key) = (self::namespace(namespace)?, text(key, "key")?);
        let condition = writes::if_version_is(if_version)?;
        let store = slf.as_super().get().store(slf.py())?;
        detached(slf.py(), || store.delete_if(&namespace, &key, condition))
    }

    #[doc = include_str!("docs/Engine.delete_many.txt")]
    fn delete_many<'py>(slf: This<'_, 'py>, addresses: Any<'_, 'py>) -> Answer<'py> {
        let mut batch = Batch::new();
        for pair in addresses.try_iter()? {
            let Address { namespace, key } = address(&pair?)?;
            batch.delete(&namespace, &key);
        }
        write(slf, batch)
    }

    #[doc = include_str!("docs/Engine.update.txt")]
    #[pyo3(signature = (namespace, key, patch, *, create=false, **options), text_signature = "($self, namespace, key, patch, *, create=False, vector=None, vectors=None, ttl=None, if_version=None, updated_at=None, index_paths=None, model=None, texts=None)")]
    fn update(
        slf: This<'_, '_>,
        namespace: Any<'_, '_>,
        key: Any<'_, '_>,
        patch: Any<'_, '_>,
        create: bool,
        options: Option<Dict<'_, '_>>,
    ) -> PyResult<Option<u64>> {
        let store = slf.as_super().get().store(slf.py())?;
        let (namespace, key) = (self::namespace(namespace)?, text(key, "key")?);
        let version = update::update(&store, &namespace, &key, patch, create, options)?;
        Ok(version.map(vecmem::Version::to_u64))
    }

    #[doc = include_str!("docs/Engine.delete_namespace.txt")]
    #[pyo3(signature = (namespace, *, below=true, on_progress=None))]
    fn delete_namespace(
        slf: This<'_, '_>,
        namespace: Any<'_, '_>,
        below: bool,
        on_progress: Option<Any<'_, '_>>,
    ) -> PyResult<()> {
        let scope = (if below { Scope::Prefix } else { Scope::Namespace })(self::namespace(namespace)?);
        let store = slf.as_super().get().store(slf.py())?;
        watch::upkeep(slf.py(), on_progress, move |_| store.delete_range(&scope))
    }

    #[doc = include_str!("docs/Engine.purge.txt")]
    #[pyo3(signature = (namespace, *, below=true, keep_living=false, grace=None, on_progress=None), text_signature = "($self, namespace, *, below=True, keep_living=False, grace=5.0, on_progress=None)")]
    fn purge<'py>(
        slf: This<'_, 'py>,
        namespace: Any<'_, 'py>,
        below: bool,
        keep_living: bool,
        grace: Option<Any<'_, 'py>>,
        on_progress: Option<Any<'_, 'py>>,
    ) -> Answer<'py> {
        let store = slf.as_super().get().store(slf.py())?;
        upkeep::purge(&store, namespace, below, keep_living, grace, on_progress)
    }

    #[doc = include_str!("docs/Engine.delete_everything.txt")]
    #[pyo3(signature = (*, on_progress=None))]
    fn delete_everything(slf: This<'_, '_>, on_progress: Option<Any<'_, '_>>) -> PyResult<()> {
        let store = slf.as_super().get().store(slf.py())?;
        watch::upkeep(slf.py(), on_progress, move |_| store.delete_everything())
    }

    #[doc = include_str!("docs/Engine.delete_where.txt")]
    #[pyo3(signature = (filter, namespace=None, **options), text_signature = "($self, filter, namespace=None, *, prefix=None, everything=False, limit=None, batches=False, after=None, on_progress=None)")]
    fn delete_where<'py>(
        slf: This<'_, 'py>,
        filter: Any<'_, 'py>,
        namespace: Labels<'_, 'py>,
        options: Option<Dict<'_, 'py>>,
    ) -> Answer<'py> {
        rules::delete_where(slf.as_super().get().store(slf.py())?, filter, namespace, options)
    }

    #[doc = include_str!("docs/Engine.keep_newest.txt")]
    #[pyo3(signature = (n, namespace=None, **options), text_signature = "($self, n, namespace=None, *, prefix=None, everything=False, filter=None, limit=None, batches=False, after=None, on_progress=None)")]
    fn keep_newest<'py>(
        slf: This<'_, 'py>,
        n: Any<'_, 'py>,
        namespace: Labels<'_, 'py>,
        options: Option<Dict<'_, 'py>>,
    ) -> Answer<'py> {
        rules::keep_newest(slf.as_super().get().store(slf.py())?, n, namespace, options)
    }

    #[doc = include_str!("docs/Engine.rename.txt")]
    #[pyo3(signature = (namespace, to, *, below=true, **options), text_signature = "($self, namespace, to, *, below=True, merge=False, batches=False, after=None, on_progress=None)")]
    fn rename<'py>(
        slf: This<'_, 'py>,
        namespace: Any<'_, 'py>,
        to: Any<'_, 'py>,
        below: bool,
        options: Option<Dict<'_, 'py>>,
    ) -> Answer<'py> {
        rules::rename(slf.as_super().get().store(slf.py())?, namespace, to, below, options)
    }

    #[doc = include_str!("docs/Engine.stats.txt")]
    fn stats<'py>(slf: This<'_, 'py>) -> Answer<'py> {
        let store = slf.as_super().get().store(slf.py())?;
        let stats = detached(slf.py(), || store.stats())?;
        to_dict(slf.py(), &stats)
    }

    #[doc = include_str!("docs/Engine.check.txt")]
    #[pyo3(signature = (*, repair=false, accept_loss=false, on_progress=None))]
    fn check<'py>(
        slf: This<'_, 'py>,
        repair: bool,
        accept_loss: bool,
        on_progress: Option<Any<'_, 'py>>,
    ) -> Answer<'py> {
        upkeep::check(slf.py(), slf.as_super().get().store(slf.py())?, repair, accept_loss, on_progress)
    }

    #[doc = include_str!("docs/Engine.sync.txt")]
    fn sync(slf: This<'_, '_>) -> PyResult<()> {
        let store = slf.as_super().get().store(slf.py())?;
        detached(slf.py(), || store.sync())
    }

    #[doc = include_str!("docs/Engine.flush.txt")]
    #[pyo3(signature = (*, on_progress=None))]
    fn flush(slf: This<'_, '_>, on_progress: Option<Any<'_, '_>>) -> PyResult<()> {
        let store = slf.as_super().get().store(slf.py())?;
        watch::upkeep(slf.py(), on_progress, move |_| store.flush())
    }

    #[doc = include_str!("docs/Engine.compact.txt")]
    #[pyo3(signature = (*, on_progress=None))]
    fn compact<'py>(slf: This<'_, 'py>, on_progress: Option<Any<'_, 'py>>) -> Answer<'py> {
        let store = slf.as_super().get().store(slf.py())?;
        let report = watch::upkeep(slf.py(), on_progress, move |_| store.compact())?;
        to_dict(slf.py(), &report)
    }

    #[doc = include_str!("docs/Engine.backup.txt")]
    #[pyo3(signature = (target, *, link=false, bytes_per_second=None, on_progress=None))]
    fn backup<'py>(
        slf: This<'_, 'py>,
        target: Any<'_, 'py>,
        link: bool,
        bytes_per_second: Option<Any<'_, 'py>>,
        on_progress: Option<Any<'_, 'py>>,
    ) -> Answer<'py> {
        let options = upkeep::backup_options(bytes_per_second)?.link(link);
        let store = slf.as_super().get().store(slf.py())?;
        upkeep::backup(store, target, options, on_progress)
    }

    #[doc = include_str!("docs/Engine.build_graph.txt")]
    #[pyo3(signature = (namespace=None, *, prefix=None, everything=false, on_progress=None))]
    fn build_graph<'py>(
        slf: This<'_, 'py>,
        namespace: Option<Any<'_, 'py>>,
        prefix: Option<Any<'_, 'py>>,
        everything: bool,
        on_progress: Option<Any<'_, 'py>>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let (py, scope) = (slf.py(), scope(slf.py(), namespace, prefix, everything)?);
        let store = slf.as_super().get().store(py)?;
        upkeep::build_graph(py, &store, scope, on_progress)
    }

    #[doc = include_str!("docs/Engine.sweep.txt")]
    #[pyo3(signature = (*, on_progress=None))]
    fn sweep(slf: This<'_, '_>, on_progress: Option<Any<'_, '_>>) -> PyResult<u64> {
        let store = slf.as_super().get().store(slf.py())?;
        watch::upkeep(slf.py(), on_progress, move |_| store.sweep())
    }

    #[doc = include_str!("docs/Engine.accept_clock.txt")]
    fn accept_clock(slf: This<'_, '_>) -> PyResult<()> {
        let store = slf.as_super().get().store(slf.py())?;
        detached(slf.py(), || store.accept_clock())
    }

    #[doc = include_str!("docs/Engine.snapshot.txt")]
    fn snapshot(slf: This<'_, '_>) -> PyResult<Py<Snapshot>> {
        let store = slf.as_super().get().store(slf.py())?;
        let snapshot = detached(slf.py(), || store.snapshot())?;
        let metric = store.vector_space().map(|space| opening::metric_name(space.metric));
        Snapshot::create(slf.py(), snapshot, metric)
    }

    #[doc = include_str!("docs/Engine.known_embeddings.txt")]
    fn known_embeddings<'py>(
        slf: This<'_, 'py>,
        model: Any<'_, 'py>,
        texts: Any<'_, 'py>,
    ) -> PyResult<Bound<'py, PyList>> {
        writes::known_embeddings(&slf.as_super().get().store(slf.py())?, model, texts)
    }

    #[doc = include_str!("docs/Engine.setting.txt")]
    fn setting(slf: This<'_, '_>, name: Any<'_, '_>) -> PyResult<Option<String>> {
        let (name, store) = (text(name, "name")?, slf.as_super().get().store(slf.py())?);
        detached(slf.py(), || store.setting(&name))
    }

    #[doc = include_str!("docs/Engine.set_setting.txt")]
    fn set_setting(slf: This<'_, '_>, name: Any<'_, '_>, json: Option<Any<'_, '_>>) -> PyResult<()> {
        let (name, json) = (text(name, "name")?, json.map(|json| text(json, "json")).transpose()?);
        let store = slf.as_super().get().store(slf.py())?;
        detached(slf.py(), || store.set_setting(&name, json.as_deref()))
    }

    #[doc = include_str!("docs/Engine.set_quota.txt")]
    #[pyo3(signature = (namespace=None, **options), text_signature = "($self, namespace=None, *, prefix=None, everything=False, each=False, items=None, bytes=None)")]
    fn set_quota(slf: This<'_, '_>, namespace: Labels<'_, '_>, options: Option<Dict<'_, '_>>) -> PyResult<()> {
        quotas::set(slf.py(), &slf.as_super().get().store(slf.py())?, namespace, options)
    }

    #[doc = include_str!("docs/Engine.remove_quota.txt")]
    #[pyo3(signature = (namespace=None, **options), text_signature = "($self, namespace=None, *, prefix=None, everything=False, each=False)")]
    fn remove_quota(slf: This<'_, '_>, namespace: Labels<'_, '_>, options: Option<Dict<'_, '_>>) -> PyResult<bool> {
        quotas::remove(slf.py(), &slf.as_super().get().store(slf.py())?, namespace, options)
    }

    #[doc = include_str!("docs/Engine.quotas.txt")]
    fn quotas<'py>(slf: This<'_, 'py>) -> Answer<'py> {
        quotas::list(slf.py(), &slf.as_super().get().store(slf.py())?)
    }

    #[doc = include_str!("docs/Engine.quota_use.txt")]
    #[pyo3(signature = (namespace=None, **options), text_signature = "($self, namespace=None, *, prefix=None, everything=False)")]
    fn quota_use<'py>(slf: This<'_, 'py>, namespace: Labels<'_, 'py>, options: Option<Dict<'_, 'py>>) -> Answer<'py> {
        quotas::held(slf.py(), &slf.as_super().get().store(slf.py())?, namespace, options)
    }

    #[doc = include_str!("docs/Engine.field_rules.txt")]
    fn field_rules<'py>(slf: This<'_, 'py>) -> Answer<'py> {
        upkeep::field_rules(slf.py(), &slf.as_super().get().store(slf.py())?)
    }

    #[doc = include_str!("docs/Engine.set_field_rules.txt")]
    #[pyo3(signature = (exclude=None, force=None), text_signature = "($self, exclude=(), force=())")]
    fn set_field_rules(slf: This<'_, '_>, exclude: Option<Any<'_, '_>>, force: Option<Any<'_, '_>>) -> PyResult<()> {
        upkeep::set_field_rules(slf.py(), &slf.as_super().get().store(slf.py())?, exclude.cloned(), force.cloned())
    }

    #[doc = include_str!("docs/Engine.rebuild_fields.txt")]
    #[pyo3(signature = (*, on_progress=None))]
    fn rebuild_fields(slf: This<'_, '_>, on_progress: Option<Any<'_, '_>>) -> PyResult<u64> {
        let store = slf.as_super().get().store(slf.py())?;
        watch::upkeep(slf.py(), on_progress, move |_| store.rebuild_fields())
    }

    #[doc = include_str!("docs/Engine.close.txt")]
    fn close(slf: This<'_, '_>) -> PyResult<()> {
        slf.as_super().get().close(slf.py())
    }

    /// The store's directory.
    #[getter]
    fn path<'py>(slf: This<'_, 'py>) -> PyResult<Option<PathBuf>> {
        Ok(slf.as_super().get().store(slf.py())?.path().map(ToOwned::to_owned))
    }

    /// Numbers in one vector; `None` if the store keeps no vectors.
    #[getter]
    fn dims(slf: This<'_, '_>) -> PyResult<Option<usize>> {
        Ok(slf.as_super().get().store(slf.py())?.vector_space().map(|space| space.dims))
    }

    /// How vectors compare: "cosine", "dot" or "l2"; `None` if the store keeps no vectors.
    #[getter]
    fn metric(slf: This<'_, '_>) -> PyResult<Option<&'static str>> {
        Ok(slf.as_super().get().store(slf.py())?.vector_space().map(|space| opening::metric_name(space.metric)))
    }

    /// A number that tells this copy of the store from all others: each backup and each restored store has another one.
    #[getter]
    fn incarnation(slf: This<'_, '_>) -> PyResult<u64> {
        Ok(slf.as_super().get().store(slf.py())?.incarnation())
    }

    /// How many purges have begun since the store was opened: what was read before the last one should be let go of.
    #[getter]
    fn purge_epoch(slf: This<'_, '_>) -> PyResult<u64> {
        Ok(slf.as_super().get().store(slf.py())?.purge_epoch())
    }

    fn __enter__<'py>(slf: Bound<'py, Self>) -> PyResult<Bound<'py, Self>> {
        slf.as_super().get().store(slf.py())?;
        Ok(slf)
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(slf: This<'_, '_>, _exception: Any<'_, '_>) -> PyResult<()> {
        Self::close(slf)
    }

    fn __repr__(slf: This<'_, '_>) -> String {
        opening::description(slf.py(), slf.as_super().get())
    }
}

fn write<'py>(slf: This<'_, 'py>, batch: Batch) -> Answer<'py> {
    let store = slf.as_super().get().store(slf.py())?;
    let results = detached(slf.py(), || store.batch(batch))?;
    writes::results(slf.py(), &results)
}
