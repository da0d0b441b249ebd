//! Values: blob files for large values, and the read of a row's value from the truth file or a blob file.
//!
//! Reading order:
//! * `file`: the format of a blob file.
//! * `packed`: large values, compressed block by block.
//! * `values`: the value of a row, small or large.

pub(crate) mod file;
pub(crate) mod packed;
pub(crate) mod values;
