//! One moment of a store as a Python object. Its reads are those of `reader.rs`.

use pyo3::prelude::*;

use crate::reader::Reader;

/// One moment of a store. It keeps the files and memory of what it sees: close it, or let it be collected, when done.
#[pyclass(frozen, extends = Reader, weakref, module = "vecmem")]
pub(crate) struct Snapshot;

impl Snapshot {
    pub(crate) fn create(py: Python<'_>, snapshot: vecmem::Snapshot) -> PyResult<Py<Self>> {
        Py::new(py, PyClassInitializer::from(Reader::of_snapshot(snapshot)).add_subclass(Self))
    }
}

#[pymethods]
impl Snapshot {
    /// Lets go of what the snapshot keeps; later reads of it fail. Closing again does nothing.
    fn close(slf: &Bound<'_, Self>) -> PyResult<()> {
        slf.as_super().get().close(slf.py())
    }

    fn __enter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(slf: &Bound<'_, Self>, _exception: &Bound<'_, PyAny>) -> PyResult<()> {
        Self::close(slf)
    }
}
