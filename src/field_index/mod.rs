//! The field index: which rows have which values, so that a filter is answered without reading values.
//!
//! Reading order:
//! * `path`, `key`: paths and values as bytes. `postings`: rows as bytes. `rules`: what is left out, and what forced.
//! * `format`: how they lie in an index. `builder` (`path_postings`, `key_numbers`, `grouped`) writes one, and `reader`
//!   reads one.
//! * `keys`: the keys that pass a test. `select`: a filter becomes sets of rows. `cache`: these are kept for the next
//!   search with the same filter. `values`: the values at a path and their rows. `ordered`: rows in the order of their
//!   values at a path.
//!
//! Invariants:
//! * An index answers with two sets: the rows for which the filter certainly holds, and those for which it may hold.
//!   What lies between is asked of the values, so an index changes the time of an answer and never the answer.
//! * An index is a function of the values and of the rules in it, so it can be built again at any time.
//! * No bytes of an index make a reader panic, hang, or allocate more than a small multiple of their length.

mod builder;
mod cache;
mod format;
mod grouped;
mod key;
mod key_numbers;
mod keys;
mod ordered;
mod path;
mod path_postings;
mod postings;
mod reader;
mod rules;
mod select;
mod values;

pub(crate) use builder::FieldIndexBuilder;
pub(crate) use cache::PassingCache;
pub(crate) use ordered::{OrderedRows, ValueBucket};
pub(crate) use reader::{FieldIndex, IndexBytes, IndexRules};
pub use rules::FieldRules;
pub(crate) use rules::PreparedRules;
pub(crate) use select::{Passing, select};
pub(crate) use values::values_at;

#[cfg(test)]
mod tests;
