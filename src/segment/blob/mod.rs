//! Values: blob files for large ones, and the way from a row to its value, wherever that lies.
//!
//! Reading order:
//! * `file`: the format of a blob file.
//! * `packed`: large values, compressed block by block.
//! * `values`: the value of a row, small or large.

pub(crate) mod file;
pub(crate) mod packed;
pub(crate) mod values;
