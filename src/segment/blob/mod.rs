//! Values: blob files for large ones, and the way from a row to its value, wherever it lies.
//!
//! Reading order: `file` (the bytes of a blob file), `packed` (compressed values), `values` (the value of a row).

pub(crate) mod file;
pub(crate) mod packed;
pub(crate) mod values;
