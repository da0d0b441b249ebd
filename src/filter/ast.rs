//! The filter as a tree, and the functions that build one.
//!
//! Invariants:
//! * Every [`Filter`] is a predicate on one place in a value: the value there, or its absence. The place of the root is
//!   the whole value.
//! * [`Filter::check`] bounds nodes and levels before anything recurses through the tree without counting.

use std::collections::BTreeMap;

use super::FILTER_NODES_MAX;
use super::place::built_key_fault;
use crate::error::{Error, ErrorKind, Limit, Result};
use crate::json::JSON_DEPTH_MAX;

/// Levels of a filter tree. Each level of JSON becomes at most three: a conjunction, a field, and the object in it.
const LEVELS_MAX: usize = 3 * JSON_DEPTH_MAX;

/// Why NaN is refused under a negation. Without one it matches nothing, as LangGraph's suite of SQLite asks.
pub(super) const NEGATED_NAN: &str = "NaN equals nothing, so its negation would match every item; leave it out";

/// A predicate on the value of an item.
///
/// Build one with the functions below, or read one from JSON with [`Filter::from_json_str`] or [`Filter::parse`], which
/// document the language. A filter has at most 1,024 nodes. Each key, each comparison, each `and`, `or` and `not`, and
/// each nested object is one node. So is each value in a list or object to compare with, and each dot of a key. Nodes
/// under a dotted key count twice.
///
/// The functions have the names of the operators: [`eq`](Self::eq) is `$eq`, and [`in_`](Self::in_) is `$in`.
/// `Filter::eq` builds a filter; two filters are compared with `==`.
///
/// ```
/// use vecmem::Filter;
///
/// let filter = Filter::gte("turn", 3).and(Filter::in_("topic", ["tea", "cats"]).not());
/// assert!(filter.matches(br#"{"turn": 6, "topic": "rain"}"#));
/// assert!(!filter.matches(br#"{"turn": 6, "topic": "tea"}"#));
/// assert!(!filter.matches(br#"{"topic": "rain"}"#));
///
/// // The same, in the language that programs send each other.
/// let parsed = Filter::from_json_str(r#"{"turn": {"$gte": 3}, "topic": {"$nin": ["tea", "cats"]}}"#)?;
/// assert!(parsed.matches(br#"{"turn": 6, "topic": "rain"}"#));
/// # Ok::<(), vecmem::Error>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq)]
pub enum Filter {
    /// All filters of the list hold. An empty list holds for every value.
    All(Vec<Filter>),
    /// At least one filter of the list holds. An empty list holds for no value.
    Any(Vec<Filter>),
    /// The filter does not hold.
    Not(Box<Filter>),
    /// `test` holds for the value under `key`, or for its absence. A value that is not an object has no keys.
    Field {
        /// A name, or a path with dots.
        key: String,
        /// The filter that must hold for the value under `key`.
        test: Box<Filter>,
    },
    /// The value is an object, and the filter holds for it.
    Object(Box<Filter>),
    /// The value is equal to this; an absent value is equal to null.
    Equal(Literal),
    /// The value is equal to one of these.
    In(Vec<Literal>),
    /// The value lies on one side of a bound.
    Range(Range, Literal),
    /// There is a value. It may be null.
    Exists,
    /// The value is an array with an element equal to this, or a string of which this is a substring.
    Contains(Literal),
}

/// The side of a bound that a range covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Range {
    /// Greater than the bound.
    Greater,
    /// Greater than the bound, or equal.
    GreaterOrEqual,
    /// Less than the bound.
    Less,
    /// Less than the bound, or equal.
    LessOrEqual,
}

/// A value to compare with: a JSON value, or a double that JSON cannot express. NaN equals nothing, and a filter that
/// negates a comparison with NaN is refused.
#[derive(Clone, Debug, PartialEq)]
pub enum Literal {
    /// Null. A missing value is equal to it too.
    Null,
    /// A boolean.
    Bool(bool),
    /// An integer. Outside the ranges of `i64` and `u64` it is compared as its nearest double, like integers in values.
    Integer(i128),
    /// A double; an infinity is one.
    Float(f64),
    /// A string.
    String(String),
    /// An array, equal to one with equal elements in the same order.
    Array(Vec<Literal>),
    /// An object, equal to one with the same keys and equal values.
    Object(BTreeMap<String, Literal>),
}

impl Filter {
    /// Matches every item.
    pub fn everything() -> Self {
        Self::All(Vec::new())
    }

    /// `test` holds for the value under `key`.
    pub fn field(key: impl Into<String>, test: Filter) -> Self {
        Self::Field { key: key.into(), test: Box::new(test) }
    }

    /// The value under `key` is an object for which `filter` holds: `inside("user", eq("name", "Ada"))`.
    pub fn inside(key: impl Into<String>, filter: Filter) -> Self {
        Self::field(key, Self::Object(Box::new(filter)))
    }

    /// `$eq`: `key` equals `literal`.
    pub fn eq(key: impl Into<String>, literal: impl Into<Literal>) -> Self {
        Self::field(key, Self::Equal(literal.into()))
    }

    /// `$ne`: `key` does not equal `literal`; missing counts as null.
    pub fn ne(key: impl Into<String>, literal: impl Into<Literal>) -> Self {
        Self::field(key, Self::Equal(literal.into()).not())
    }

    /// `$gt`: `key` is greater than `bound`.
    pub fn gt(key: impl Into<String>, bound: impl Into<Literal>) -> Self {
        Self::field(key, Self::Range(Range::Greater, bound.into()))
    }

    /// `$gte`: `key` is `bound` or greater.
    pub fn gte(key: impl Into<String>, bound: impl Into<Literal>) -> Self {
        Self::field(key, Self::Range(Range::GreaterOrEqual, bound.into()))
    }

    /// `$lt`: `key` is less than `bound`.
    pub fn lt(key: impl Into<String>, bound: impl Into<Literal>) -> Self {
        Self::field(key, Self::Range(Range::Less, bound.into()))
    }

    /// `$lte`: `key` is `bound` or less.
    pub fn lte(key: impl Into<String>, bound: impl Into<Literal>) -> Self {
        Self::field(key, Self::Range(Range::LessOrEqual, bound.into()))
    }

    /// `$in`: `key` equals one of `literals`.
    pub fn in_<L: Into<Literal>>(key: impl Into<String>, literals: impl IntoIterator<Item = L>) -> Self {
        Self::field(key, Self::In(literals.into_iter().map(Into::into).collect()))
    }

    /// `$nin`: `key` equals none of `literals`; missing counts as null.
    pub fn nin<L: Into<Literal>>(key: impl Into<String>, literals: impl IntoIterator<Item = L>) -> Self {
        Self::field(key, Self::In(literals.into_iter().map(Into::into).collect()).not())
    }

    /// `$exists`: there is a `key`, even if its value is null.
    pub fn exists(key: impl Into<String>) -> Self {
        Self::field(key, Self::Exists)
    }

    /// `$contains`: `key` is an array that holds `literal`, or a string of which the string `literal` is a substring.
    pub fn contains(key: impl Into<String>, literal: impl Into<Literal>) -> Self {
        Self::field(key, Self::Contains(literal.into()))
    }

    /// `$and`: both hold.
    #[must_use]
    pub fn and(self, other: Filter) -> Self {
        match self {
            Self::All(mut filters) => {
                filters.push(other);
                Self::All(filters)
            }
            first => Self::All(vec![first, other]),
        }
    }

    /// `$or`: at least one of the two holds.
    #[must_use]
    pub fn or(self, other: Filter) -> Self {
        match self {
            Self::Any(mut filters) => {
                filters.push(other);
                Self::Any(filters)
            }
            first => Self::Any(vec![first, other]),
        }
    }

    /// `$not`: the filter does not hold. The operator `!` does the same.
    #[must_use]
    #[allow(clippy::should_implement_trait, reason = "the trait is implemented; without its import the name works too")]
    pub fn not(self) -> Self {
        Self::Not(Box::new(self))
    }

    /// Whether the filter holds for a value, given as the bytes of a JSON object. Other bytes match only a filter that
    /// holds for every value. A filter that [`prepare`](Self::prepare) refuses matches nothing. For more than one value
    /// use `prepare`.
    pub fn matches(&self, value: &[u8]) -> bool {
        self.prepare().is_ok_and(|prepared| prepared.matches(value))
    }

    /// Fails if the filter is over the limits, negates a comparison with NaN, or has an operator in the place of a
    /// field.
    pub(super) fn check(&self) -> Result<()> {
        let nodes = self.count_nodes(LEVELS_MAX, false)?;
        if nodes > FILTER_NODES_MAX {
            return Err(too_many_nodes(nodes));
        }
        Ok(())
    }

    fn count_nodes(&self, levels: usize, is_negated: bool) -> Result<usize> {
        let levels = deeper(levels)?;
        match self {
            Self::All(filters) | Self::Any(filters) => filters
                .iter()
                .try_fold(1usize, |sum, filter| Ok(sum.saturating_add(filter.count_nodes(levels, is_negated)?))),
            Self::Not(filter) => Ok(filter.count_nodes(levels, true)?.saturating_add(1)),
            Self::Object(filter) => Ok(filter.count_nodes(levels, is_negated)?.saturating_add(1)),
            Self::Field { key, test } => {
                if let Some(fault) = built_key_fault(key) {
                    return Err(Error::invalid(fault));
                }
                let dots = key.matches('.').count();
                let levels = levels.checked_sub(dots).ok_or_else(too_deep)?;
                let copies = if dots == 0 { 1 } else { 2 };
                Ok(test.count_nodes(levels, is_negated)?.saturating_mul(copies).saturating_add(1 + dots))
            }
            Self::Equal(literal) | Self::Range(_, literal) | Self::Contains(literal) => {
                literal.count_values(levels, is_negated)
            }
            Self::In(literals) => count_all(literals.iter(), levels, is_negated),
            Self::Exists => Ok(1),
        }
    }
}

impl std::ops::Not for Filter {
    type Output = Self;

    fn not(self) -> Self {
        Self::Not(Box::new(self))
    }
}

impl Literal {
    /// The number of values in the literal, itself included. Fails if it nests deeper than `levels`, or if it holds NaN
    /// and `is_negated`.
    pub(super) fn count_values(&self, levels: usize, is_negated: bool) -> Result<usize> {
        match self {
            Self::Float(number) if is_negated && number.is_nan() => {
                Err(Error::invalid(format!("filter: {NEGATED_NAN}")))
            }
            Self::Array(elements) => count_all(elements.iter(), deeper(levels)?, is_negated),
            Self::Object(members) => count_all(members.values(), deeper(levels)?, is_negated),
            _ => Ok(1),
        }
    }
}

/// One more than the number of values in the literals.
fn count_all<'a>(mut literals: impl Iterator<Item = &'a Literal>, levels: usize, is_negated: bool) -> Result<usize> {
    literals.try_fold(1usize, |sum, literal| Ok(sum.saturating_add(literal.count_values(levels, is_negated)?)))
}

fn deeper(levels: usize) -> Result<usize> {
    levels.checked_sub(1).ok_or_else(too_deep)
}

pub(super) fn too_deep() -> Error {
    let message = format!("the filter nests deeper than {JSON_DEPTH_MAX} levels; flatten it");
    Error::new(ErrorKind::Limit(Limit::Depth), message)
}

pub(super) fn too_many_nodes(nodes: usize) -> Error {
    Error::limit(Limit::FilterNodes, "nodes of the filter", nodes, FILTER_NODES_MAX)
}

impl From<bool> for Literal {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

macro_rules! literal_from_integer {
    ($($integer:ty),*) => {$(
        impl From<$integer> for Literal {
            fn from(value: $integer) -> Self {
                Self::Integer(i128::from(value))
            }
        }
    )*};
}
literal_from_integer!(i8, i16, i32, i64, u8, u16, u32, u64);

impl From<usize> for Literal {
    fn from(value: usize) -> Self {
        Self::Integer(value as i128)
    }
}

impl From<f32> for Literal {
    fn from(value: f32) -> Self {
        Self::Float(f64::from(value))
    }
}

impl From<f64> for Literal {
    fn from(value: f64) -> Self {
        Self::Float(value)
    }
}

impl From<&str> for Literal {
    fn from(value: &str) -> Self {
        Self::String(value.to_owned())
    }
}

impl From<String> for Literal {
    fn from(value: String) -> Self {
        Self::String(value)
    }
}

impl<L: Into<Literal>> From<Vec<L>> for Literal {
    fn from(values: Vec<L>) -> Self {
        Self::Array(values.into_iter().map(Into::into).collect())
    }
}
