//! Truth files: everything of the rows that cannot be recomputed, except large values (`segment/blob/`).
//!
//! Reading order:
//! * `layout`: the format.
//! * `input`: one row to be written, borrowed from wherever it lies.
//! * `columns`, `writer`: how a file is written in one pass.
//! * `reader`: an open file, mapped. `directory`: its namespaces. `rows`: columns for loops, and single rows.
//! * `ahead`: prefetches.

mod ahead;
pub(crate) mod columns;
mod directory;
pub(crate) mod input;
pub(crate) mod layout;
pub(crate) mod reader;
pub(crate) mod rows;
pub(crate) mod writer;
