//! How long the library takes for a call, without Python: what `benches/overhead.py` compares with.

use std::hint::black_box;
use std::time::Instant;

use pyo3::prelude::*;
use vecmem::{Query, ReadOptions};

use crate::arguments::{namespace, text};
use crate::call::detached;
use crate::engine::Engine;
use crate::vectors::vector;

/// Seconds that `rounds` gets of one item take.
#[pyfunction]
pub(crate) fn _seconds_of_get(
    engine: &Bound<'_, Engine>,
    namespace: &Bound<'_, PyAny>,
    key: &Bound<'_, PyAny>,
    rounds: u32,
) -> PyResult<f64> {
    let (namespace, key, options) = (self::namespace(namespace)?, text(key, "key")?, ReadOptions::default());
    let store = engine.as_super().get().store(engine.py())?;
    detached(engine.py(), || {
        let started = Instant::now();
        for _ in 0..rounds {
            black_box(store.get_with(&namespace, &key, &options)?);
        }
        Ok(started.elapsed().as_secs_f64())
    })
}

/// Seconds that `rounds` searches for one vector take.
#[pyfunction]
pub(crate) fn _seconds_of_search(
    engine: &Bound<'_, Engine>,
    namespace: &Bound<'_, PyAny>,
    vector: &Bound<'_, PyAny>,
    limit: usize,
    rounds: u32,
) -> PyResult<f64> {
    let query = Query::new(&self::namespace(namespace)?).vector(self::vector(vector)?).limit(limit);
    let store = engine.as_super().get().store(engine.py())?;
    detached(engine.py(), || {
        let started = Instant::now();
        for _ in 0..rounds {
            black_box(store.search(&query)?);
        }
        Ok(started.elapsed().as_secs_f64())
    })
}
