//! Truth files: everything of the rows that cannot be recomputed.
//!
//! Reading order: `layout` (the bytes), `input`, `columns` and `writer` (how they are written), `reader` (the open file), `rows` (one row of it).

pub(crate) mod columns;
pub(crate) mod input;
pub(crate) mod layout;
pub(crate) mod reader;
pub(crate) mod rows;
pub(crate) mod writer;
