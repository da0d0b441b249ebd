//! Listings in pages as a Python object.
//!
//! Invariants:
//! * All pages are slices of one list, as of one moment, whatever is written between them.

use pyo3::prelude::*;

use crate::arguments::count;
use crate::call::{Kept, detached};
use crate::queries::rows;

#[doc = include_str!("docs/Listing.txt")]
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
    #[doc = include_str!("docs/Listing.page.txt")]
    #[pyo3(signature = (offset=None, limit=None), text_signature = "($self, offset=0, limit=100)")]
    fn page<'py>(
        &self,
        py: Python<'py>,
        offset: Option<&Bound<'py, PyAny>>,
        limit: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let offset = offset.map_or(Ok(0), |offset| count(offset, "offset"))?;
        let limit = limit.map_or(Ok(100), |limit| count(limit, "limit"))?;
        rows(py, detached(py, || self.listing.page(offset, limit))?, None)
    }
}
