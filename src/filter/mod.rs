//! Filters: predicates on items: on their values, their times and their keys.
//!
//! Reading order:
//! * `literal`, `timestamp`, `range`: values to compare with, the texts that spell instants, sides of a bound.
//! * `ast`: a [`Filter`] as a tree, and the functions that build one. `item`: its tests of times and keys.
//! * `read`, `parse`, `parse_operand`, `parse_item`: from JSON to literals, and from them to a filter. Errors name the
//!   place in the filter.
//! * `evaluate`: a filter is compiled once into a [`PreparedFilter`] (`program`, `junctions`), and run over the bytes
//!   of each value.
//! * `expression`: the tests of a filter with their full paths, for an index. `fingerprint`: a number for a filter.
//! * `prepared`, `outcomes`: filters, and what they said of values, kept for the next read with the same filter.
//! * `compare`: one test of one value. `operand`, `set`: one literal and many, prepared for it.
//! * `place`: what errors say: the place in the filter, and the operator that was meant.
//!
//! Invariants:
//! * A filter that was parsed or prepared has at most [`FILTER_NODES_MAX`] nodes, [`FILTER_VALUES_MAX`] values in lists
//!   and [`FILTER_LITERAL_BYTES_MAX`] bytes of literals, so its cost per row is bounded.
//! * Evaluation never fails. Bytes that are not a JSON object match nothing, unless the filter is decided without them.
//!
//! The meaning of a filter where JSON leaves it open:
//! * A missing field and an explicit null are the same in comparisons; only [`Filter::exists`] tells them apart.
//! * A boolean never equals a number. Numbers compare by value: `5` equals `5.0`. Integers of 64 bits are exact, all
//!   other numbers are doubles. NaN equals nothing. Its negation would match everything, and is refused.
//! * Ranges compare a number with a number, and a string with a string (by code point). Other values do not match.
//! * A date is compared with the instant that a string spells ([`Timestamp::parse`]). A value that is no such string is
//!   not equal to a date, and on no side of one.
//! * A test of a string or an array does not hold for a value of another type, nor for a missing one.
//! * A dotted key `a.b` is the field of exactly that name if the object has one, else the field `b` of the object under
//!   `a`. No component of a key goes into an array: [`Filter::elem_match`] does.

mod ast;
mod compare;
mod evaluate;
mod expression;
mod fingerprint;
mod item;
mod junctions;
mod literal;
mod operand;
mod outcomes;
mod parse;
mod parse_item;
mod parse_operand;
mod place;
mod prepared;
mod program;
mod range;
mod read;
mod set;
mod timestamp;

use crate::types::limits;

pub use ast::Filter;
pub(crate) use compare::Test;
pub use evaluate::PreparedFilter;
pub(crate) use expression::Expression;
pub(crate) use item::ItemFacts;
pub use item::ItemTest;
pub use literal::Literal;
pub(crate) use operand::Operand;
pub(crate) use outcomes::{OutcomeCache, Outcomes};
pub(crate) use prepared::PreparedFilters;
pub(crate) use program::AskedOfItem;
pub use range::Range;
pub use set::LiteralSet;
pub use timestamp::Timestamp;

/// The most nodes of one filter. [`Filter`] says how they are counted.
pub const FILTER_NODES_MAX: usize = limits::FILTER_NODES;
/// The most values in the lists of one filter.
pub const FILTER_VALUES_MAX: usize = limits::FILTER_VALUES;
/// The most bytes of the literals of one filter.
pub const FILTER_LITERAL_BYTES_MAX: usize = limits::FILTER_BYTES;

#[cfg(test)]
mod tests;
