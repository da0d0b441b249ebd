//! Filters: predicates on the values of items.
//!
//! Reading order:
//! * `ast`: a [`Filter`] as a tree, and the functions that build one.
//! * `parse`: from JSON to a filter. Its errors name the place in the filter.
//! * `evaluate`: a filter is compiled once into a [`PreparedFilter`], and run over the bytes of each value.
//! * `compare`: one test of one value.
//! * `place`: what errors say: the place in the filter, and the operator that was meant.
//!
//! Invariants:
//! * A filter that was parsed or prepared has at most [`FILTER_NODES_MAX`] nodes, so its cost per row is bounded.
//! * Evaluation never fails, and never allocates except for a substring search in a string with escapes. Bytes that are
//!   not a JSON object match nothing, unless the filter is decided without them.
//!
//! The meaning of a filter where JSON leaves it open:
//! * A missing field and an explicit null are the same in comparisons; only [`Filter::exists`] tells them apart.
//! * A boolean never equals a number. Numbers compare by value: `5` equals `5.0`. Integers of 64 bits are exact, all
//!   other numbers are doubles. NaN equals nothing. Its negation would match everything, and is refused.
//! * Ranges compare a number with a number, and a string with a string (by code point). Other values do not match.
//! * A dotted key `a.b` is the field of exactly that name if the object has one, else the field `b` of the object under
//!   `a`.

mod ast;
mod compare;
mod evaluate;
mod parse;
mod place;

pub use ast::{Filter, Literal, Range};
pub use evaluate::PreparedFilter;

/// The most nodes of one filter. [`Filter`] says how they are counted.
pub const FILTER_NODES_MAX: usize = 1_024;

#[cfg(test)]
mod tests;
