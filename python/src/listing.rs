//! Listings in pages as a Python object.
//!
//! Invariants:
//! * All pages are slices of one list, as of one moment, whatever is written between them.

use pyo3::prelude::*;

use crate::arguments::count;
use crate::call::{Kept, detached};
use crate::queries::rows;

/// The items of a scope, newest update first, in pages that fit each other. It keeps what a snapshot keeps.
#[pyclass(frozen, weakref, module = "vecmem")]
pub(crate) struct Listing {
    listing: Kept<vecmem::Listing>,
}

impl Listing {
    pub(crate) fn new(listing: vecmem::Listing) -> Self {
        Self { listing: Kept::new(listing) }
    }
}

#[pymethods]
impl Listing {
    /// The items from `offset` on, at most `limit`. Pages that follow each other cost little more than what they return.
    #[pyo3(signature = (offset=None, limit=None), text_signature = "($self, offset=0, limit=100)")]
    fn page<'py>(
        &self,
        py: Python<'py>,
        offset: Option<&Bound<'py, PyAny>>,
        limit: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let offset = offset.map_or(Ok(0), |offset| count(offset, "offset"))?;
        let limit = limit.map_or(Ok(100), |limit| count(limit, "limit"))?;
        rows(py, detached(py, || self.listing.page(offset, limit))?)
    }
}
