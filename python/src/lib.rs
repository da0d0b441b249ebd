//! The extension module `vecmem._vecmem`: the engine as Python classes.
//!
//! Invariants:
//! * No unsafe code. Python is touched only while attached, the engine only while detached (`call.rs`).
//! * Everything public here is re-exported by the package `vecmem`, and described in `_vecmem.pyi`.
#![deny(unsafe_code)]
#![allow(clippy::doc_lazy_continuation, reason = "what `help` shows is a docstring of Python, and no Markdown")]

mod arguments;
mod call;
mod columns;
mod engine;
mod errors;
mod filters;
mod handle;
mod imports;
mod items;
mod iterate;
mod json;
mod langgraph;
mod listing;
mod opening;
mod queries;
mod quotas;
mod reader;
mod rules;
mod snapshot;
mod timing;
mod update;
mod upkeep;
mod vectors;
mod watch;
mod writes;

use pyo3::prelude::*;
use vecmem::limits;

/// The extension module of the package `vecmem`.
#[pymodule]
fn _vecmem(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_class::<reader::Reader>()?;
    module.add_class::<engine::Engine>()?;
    module.add_class::<snapshot::Snapshot>()?;
    module.add_class::<listing::Listing>()?;
    module.add_class::<items::Item>()?;
    module.add_class::<items::Hit>()?;
    module.add_class::<columns::Columns>()?;
    module.add_class::<iterate::ItemIterator>()?;
    module.add_class::<filters::Filter>()?;
    module.add_class::<writes::Put>()?;
    module.add_class::<writes::Delete>()?;
    module.add_function(wrap_pyfunction!(vectors::vector_array, module)?)?;
    module.add("_BATCH_OPERATIONS", limits::BATCH_OPERATIONS)?;
    module.add("_KEY_BYTES", limits::KEY_BYTES)?;
    module.add("_LABELS", limits::LABELS)?;
    module.add("_LABEL_BYTES", limits::LABEL_BYTES)?;
    module.add("_SQUARED_NORM", limits::SQUARED_NORM)?;
    module.add("_VECTORS_PER_ITEM", limits::VECTORS_PER_ITEM)?;
    module.add_function(wrap_pyfunction!(items::restore, module)?)?;
    module.add_function(wrap_pyfunction!(update::merged, module)?)?;
    module.add_function(wrap_pyfunction!(langgraph::get_item, module)?)?;
    module.add_function(wrap_pyfunction!(langgraph::search_items, module)?)?;
    module.add_function(wrap_pyfunction!(upkeep::salvage, module)?)?;
    module.add_function(wrap_pyfunction!(upkeep::restore_backup, module)?)?;
    module.add_function(wrap_pyfunction!(call::_panic, module)?)?;
    module.add_function(wrap_pyfunction!(timing::_seconds_of_get, module)?)?;
    module.add_function(wrap_pyfunction!(timing::_seconds_of_search, module)?)?;
    let close_all = wrap_pyfunction!(handle::close_all, module)?;
    py.import("atexit")?.call_method1("register", (close_all,))?;
    Ok(())
}
