//! The filter as a tree, and the functions that build one.
//!
//! Invariants:
//! * Every [`Filter`] is a predicate on one place in a value: the value there, or its absence. The place of the root is
//!   the whole value.
//! * [`Filter::check`] bounds nodes and levels before anything recurses through the tree without counting.

use super::item::ItemTest;
use super::literal::{Literal, LiteralSize};
use super::place::built_key_fault;
use super::range::Range;
use super::set::LiteralSet;
use super::timestamp::Timestamp;
use super::{FILTER_LITERAL_BYTES_MAX, FILTER_NODES_MAX, FILTER_VALUES_MAX};
use crate::error::{Error, ErrorKind, Limit, Result};
use crate::json::JSON_DEPTH_MAX;
use crate::types::Item;

/// Levels of a filter tree. Each level of JSON becomes at most three: a conjunction, a field, and the object in it.
const LEVELS_MAX: usize = 3 * JSON_DEPTH_MAX;

/// A predicate on an item: on its value, its times and its key.
///
/// Build one with the functions below, or read one from JSON with [`Filter::from_json_str`] or [`Filter::parse`], which
/// document the language. A filter has at most 1,024 nodes. Each key, each comparison, each `and`, `or` and `not`, and
/// each nested object is one node. So is each value in an array or object to compare with, and each dot of a key. Nodes
/// under a dotted key count twice. A list of `$in`, `$nin`, `$all` or keys is one node, whatever its length: all lists
/// of a filter together have at most 1,000,000 values, those inside of arrays and objects included. All literals of a
/// filter have at most 64 MiB, a string its length and every other value 8 bytes.
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
#[derive(Clone, Debug, PartialEq, Hash)]
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
    /// The value is a string that is equal to this one if both are written in small letters: each character becomes
    /// what [`char::to_lowercase`] makes of it. So `É` equals `é`, but `ß` does not equal `SS`.
    EqualIgnoringCase(String),
    /// The value is equal to one of these; an absent value if one of these is null.
    In(LiteralSet),
    /// The value lies on one side of a bound: a number of a number, a string of a string by code point, and a string
    /// that spells an instant of a date.
    Range(Range, Literal),
    /// There is a value. It may be null.
    Exists,
    /// The value is an array with an element equal to this, or a string of which this is a substring.
    Contains(Literal),
    /// The value is a string that begins with this.
    StartsWith(String),
    /// The value is an array that holds each of these. Without any, the value is an array.
    ContainsAll(LiteralSet),
    /// The value is an array with so many elements.
    Size {
        /// The fewest elements.
        least: u64,
        /// The most elements.
        most: u64,
    },
    /// The value is an array with an element for which the filter holds.
    Element(Box<Filter>),
    /// The item has this, whatever its value. Not below a field, and not of an element.
    Item(ItemTest),
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
        Self::field(key, Self::In(literals.into_iter().collect()))
    }

    /// `$nin`: `key` equals none of `literals`; missing counts as null.
    pub fn nin<L: Into<Literal>>(key: impl Into<String>, literals: impl IntoIterator<Item = L>) -> Self {
        Self::field(key, Self::In(literals.into_iter().collect()).not())
    }

    /// `$exists`: there is a `key`, even if its value is null.
    pub fn exists(key: impl Into<String>) -> Self {
        Self::field(key, Self::Exists)
    }

    /// `$contains`: `key` is an array that holds `literal`, or a string of which the string `literal` is a substring.
    pub fn contains(key: impl Into<String>, literal: impl Into<Literal>) -> Self {
        Self::field(key, Self::Contains(literal.into()))
    }

    /// `$ieq`: `key` is a string that equals `string`, whatever the case of the letters of both.
    pub fn ieq(key: impl Into<String>, string: impl Into<String>) -> Self {
        Self::field(key, Self::EqualIgnoringCase(string.into()))
    }

    /// `$starts_with`: `key` is a string that begins with `prefix`.
    pub fn starts_with(key: impl Into<String>, prefix: impl Into<String>) -> Self {
        Self::field(key, Self::StartsWith(prefix.into()))
    }

    /// `$all`: `key` is an array that holds each of `literals`. Without literals, it is any array.
    pub fn all<L: Into<Literal>>(key: impl Into<String>, literals: impl IntoIterator<Item = L>) -> Self {
        Self::field(key, Self::ContainsAll(literals.into_iter().collect()))
    }

    /// `$size`: `key` is an array with so many elements: `size("tags", 2..=4)`, `size("tags", 3..=3)`.
    pub fn size(key: impl Into<String>, elements: std::ops::RangeInclusive<u64>) -> Self {
        let (least, most) = elements.into_inner();
        Self::field(key, Self::Size { least, most })
    }

    /// `$elem_match`: `key` is an array with an element that is an object for which `filter` holds.
    ///
    /// For elements that are no objects, use [`Filter::Element`] with a test:
    /// `Filter::field("tags", Filter::Element(Box::new(Filter::StartsWith("a".into()))))`.
    pub fn elem_match(key: impl Into<String>, filter: Filter) -> Self {
        Self::field(key, Self::Element(Box::new(Self::Object(Box::new(filter)))))
    }

    /// `$item.created_at`: the item was first put on that side of `bound`.
    pub fn created_at(range: Range, bound: Timestamp) -> Self {
        Self::Item(ItemTest::CreatedAt(range, bound))
    }

    /// `$item.updated_at`: the item was last put on that side of `bound`.
    pub fn updated_at(range: Range, bound: Timestamp) -> Self {
        Self::Item(ItemTest::UpdatedAt(range, bound))
    }

    /// `$item.expires_at`: the item expires, on that side of `bound`. Holds for no item that never expires.
    pub fn expires_at(range: Range, bound: Timestamp) -> Self {
        Self::Item(ItemTest::ExpiresAt(range, bound))
    }

    /// `$item.expires_at.$exists`: the item has a time at which it expires.
    pub fn expires() -> Self {
        Self::Item(ItemTest::Expires)
    }

    /// `$item.key.$starts_with`: the key of the item begins with `prefix`.
    pub fn key_starts_with(prefix: impl Into<String>) -> Self {
        Self::Item(ItemTest::KeyStartsWith(prefix.into()))
    }

    /// `$item.key.$in`: the key of the item is one of `keys`.
    pub fn key_in<K: Into<String>>(keys: impl IntoIterator<Item = K>) -> Self {
        Self::Item(ItemTest::KeyIn(keys.into_iter().map(|key| Literal::String(key.into())).collect()))
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
    /// is decided without them. A filter that [`prepare`](Self::prepare) refuses matches nothing, and neither does one
    /// that asks for the times or the key of an item: use [`matches_item`](Self::matches_item). For more than one value
    /// use `prepare`.
    pub fn matches(&self, value: &[u8]) -> bool {
        self.prepare().is_ok_and(|prepared| prepared.matches(value))
    }

    /// Whether the filter holds for an item. A filter that [`prepare`](Self::prepare) refuses matches nothing. For more
    /// than one item use `prepare`.
    pub fn matches_item(&self, item: &Item) -> bool {
        self.prepare().is_ok_and(|prepared| prepared.matches_item(item))
    }

    /// Fails if the filter is over the limits, negates a comparison with NaN, has a date inside of a literal, an
    /// operator in the place of a field, or a test of the item below a field.
    pub(super) fn check(&self) -> Result<usize> {
        let mut tally = Tally::default();
        let place = CheckPlace { levels: LEVELS_MAX, is_negated: false, is_inside: false };
        let nodes = tally.count_nodes(self, place)?;
        if nodes > FILTER_NODES_MAX {
            return Err(too_many_nodes(nodes));
        }
        if tally.listed.values > FILTER_VALUES_MAX {
            return Err(too_many_values(tally.listed.values));
        }
        if tally.all.bytes > FILTER_LITERAL_BYTES_MAX {
            return Err(too_many_bytes(tally.all.bytes));
        }
        Ok(tally.all.bytes)
    }
}

/// What a filter has so far, while its nodes are counted.
#[derive(Default)]
struct Tally {
    /// Literals in lists.
    listed: LiteralSize,
    /// Literals everywhere.
    all: LiteralSize,
}

/// Where in a filter a node is.
#[derive(Clone, Copy)]
struct CheckPlace {
    /// The levels that may follow.
    levels: usize,
    is_negated: bool,
    /// Whether the node is a predicate on something inside of the value.
    is_inside: bool,
}

impl Tally {
    fn count_nodes(&mut self, filter: &Filter, place: CheckPlace) -> Result<usize> {
        let place = CheckPlace { levels: deeper(place.levels)?, ..place };
        let inside = CheckPlace { is_inside: true, ..place };
        let mut inner = |filter, place| Ok(self.count_nodes(filter, place)?.saturating_add(1));
        match filter {
            Filter::All(filters) | Filter::Any(filters) => {
                filters.iter().try_fold(1usize, |sum, filter| Ok(sum.saturating_add(self.count_nodes(filter, place)?)))
            }
            Filter::Not(filter) => inner(filter, CheckPlace { is_negated: true, ..place }),
            Filter::Object(filter) | Filter::Element(filter) => inner(filter, inside),
            Filter::Field { key, test } => {
                if let Some(fault) = built_key_fault(key) {
                    return Err(Error::invalid(fault));
                }
                let dots = key.matches('.').count();
                let levels = place.levels.checked_sub(dots).ok_or_else(too_deep)?;
                let copies = if dots == 0 { 1 } else { 2 };
                let nodes = self.count_nodes(test, CheckPlace { levels, ..inside })?;
                Ok(nodes.saturating_mul(copies).saturating_add(1 + dots))
            }
            Filter::Equal(literal) | Filter::Range(_, literal) | Filter::Contains(literal) => {
                Ok(self.measure(literal, place)?.values)
            }
            Filter::In(literals) | Filter::ContainsAll(literals) => self.measure_list(literals, place),
            Filter::EqualIgnoringCase(text) | Filter::StartsWith(text) => Ok(self.measure_text(text)),
            Filter::Exists | Filter::Size { .. } => Ok(1),
            Filter::Item(_) if place.is_inside => Err(Error::invalid(ITEM_INSIDE)),
            Filter::Item(ItemTest::KeyIn(keys)) => self.measure_list(keys, place),
            Filter::Item(ItemTest::KeyStartsWith(prefix)) => Ok(self.measure_text(prefix)),
            Filter::Item(_) => Ok(1),
        }
    }

    fn measure(&mut self, literal: &Literal, place: CheckPlace) -> Result<LiteralSize> {
        let size = literal.measure(place.levels).ok_or_else(too_deep)?;
        literal.check(place.is_negated)?;
        self.all.add(size);
        Ok(size)
    }

    fn measure_list(&mut self, literals: &LiteralSet, place: CheckPlace) -> Result<usize> {
        if let Some(scalars) = literals.scalars() {
            [&mut self.all, &mut self.listed].into_iter().for_each(|sum| sum.add(scalars.size));
            return scalars.check(place.is_negated).map(|()| 1);
        }
        for literal in literals.iter() {
            let size = self.measure(literal, place)?;
            self.listed.add(size);
        }
        Ok(1)
    }

    fn measure_text(&mut self, text: &str) -> usize {
        self.all.add(LiteralSize { values: 1, bytes: text.len() });
        1
    }
}

impl std::ops::Not for Filter {
    type Output = Self;

    fn not(self) -> Self {
        Self::Not(Box::new(self))
    }
}

/// Why a test of the item is refused where it is not about the whole item.
const ITEM_INSIDE: &str = "filter: $item is about the whole item, and stands beside fields, not below one";

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

pub(super) fn too_many_values(values: usize) -> Error {
    let message = format!(
        "values in the lists of the filter: {values} exceeds the limit of {FILTER_VALUES_MAX}; split the lists over several reads"
    );
    Error::new(ErrorKind::Limit(Limit::FilterValues), message)
}

pub(super) fn too_many_bytes(bytes: usize) -> Error {
    let message = format!(
        "bytes of the literals of the filter: {bytes} exceeds the limit of {FILTER_LITERAL_BYTES_MAX}; split the lists over several reads"
    );
    Error::new(ErrorKind::Limit(Limit::FilterBytes), message)
}
