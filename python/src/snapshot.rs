//! One moment of a store as a Python object. Its reads are those of `reader.rs`.

use pyo3::prelude::*;

use crate::reader::Reader;

#[doc = include_str!("docs/Snapshot.txt")]
#[pyclass(frozen, extends = Reader, weakref, module = "vecmem")]
pub(crate) struct Snapshot;

impl Snapshot {
    pub(crate) fn create(
        py: Python<'_>,
        snapshot: vecmem::Snapshot,
        metric: Option<&'static str>,
    ) -> PyResult<Py<Self>> {
        Py::new(py, PyClassInitializer::from(Reader::of_snapshot(snapshot, metric)).add_subclass(Self))
    }
}

#[pymethods]
impl Snapshot {
    #[doc = include_str!("docs/Snapshot.close.txt")]
    fn close(slf: &Bound<'_, Self>) -> PyResult<()> {
        slf.as_super().get().close(slf.py())
    }

    fn __repr__(slf: &Bound<'_, Self>) -> String {
        match slf.as_super().get().__len__(slf.py()) {
            Ok(count) => format!("Snapshot(count={count})"),
            Err(_) => "Snapshot(closed)".into(),
        }
    }

    fn __enter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(slf: &Bound<'_, Self>, _exception: &Bound<'_, PyAny>) -> PyResult<()> {
        Self::close(slf)
    }
}
