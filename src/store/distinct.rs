//! The different values at a path, and how many items have each.
//!
//! Invariants:
//! * Two values are the same if a filter calls them equal. A number is written as an integer if it is one.
//! * An item counts once for a value, however often an array of it holds the value. A missing field is no value;
//!   neither is an object, nor an array in an array.
//! * No more than [`limits::DISTINCT_VALUES`] values and [`limits::DISTINCT_BYTES`] bytes of them are kept in memory.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::error::{Error, Limit, Result};
use crate::field_index::values_at;
use crate::filter::{Filter, PreparedFilter};
use crate::ids::{IdRange, RowId};
use crate::json::{JsonReader, Number, Raw};
use crate::row_set::RowSetBuilder;
use crate::search::conditions::Conditions;
use crate::search::part::{PartColumns, Rows};
use crate::search::visit::visit;
use crate::shard::PartRef;
use crate::store::portion::{Portion, PortionRows};
use crate::store::query::ReadOptions;
use crate::store::read::{ReadContext, with_part};
use crate::types::{Scope, limits};

/// The most values of an answer if the query does not say.
const DEFAULT_LIMIT: usize = 1_000;
/// The index is asked where there are at least this many rows.
const INDEXED_ROWS_MIN: usize = 64;
/// Bytes of memory for a value beside its text.
const VALUE_BYTES: usize = 48;

/// Which values to count: those at a path, of the items of a scope.
///
/// The path is a field name, or names with dots between, as in filters: `a.b` is the field of exactly that name if an
/// item has one, else the field `b` of the object under `a`.
#[derive(Clone, Debug)]
pub struct DistinctQuery {
    scope: Scope,
    path: String,
    filter: Option<Filter>,
    limit: usize,
    options: ReadOptions,
}

impl DistinctQuery {
    /// The values at `path`, of all items of `scope`: the 1,000 most frequent ones.
    pub fn new(scope: impl Into<Scope>, path: impl Into<String>) -> Self {
        let (scope, path, options) = (scope.into(), path.into(), ReadOptions::default());
        Self { scope, path, filter: None, limit: DEFAULT_LIMIT, options }
    }

    /// Only of items for which the filter holds.
    #[must_use]
    pub fn filter(mut self, filter: Filter) -> Self {
        self.filter = Some(filter);
        self
    }

    /// At most this many values, at least 1. Default: 1,000.
    #[must_use]
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }

    /// Replaces the options shared by all reads (`include_expired`, `partial` and `deadline` matter).
    #[must_use]
    pub fn options(mut self, options: ReadOptions) -> Self {
        self.options = options;
        self
    }

    pub(super) fn read_options(&self) -> &ReadOptions {
        &self.options
    }
}

/// One of the different values.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DistinctValue {
    /// The value as JSON: a string, a number, `true`, `false` or `null`.
    pub value: String,
    /// How many items have it.
    pub count: u64,
}

/// The different values at a path.
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DistinctValues {
    /// The values that most items have, then the smaller value: null, false, true, numbers, strings by code point.
    pub values: Vec<DistinctValue>,
    /// How many different values there are, those beyond the limit included.
    pub found: usize,
    /// Whether there are more values than the limit.
    pub more: bool,
    /// Damaged parts or items were skipped (only with `partial`).
    pub incomplete: bool,
}

/// A scalar, in the order of answers.
#[derive(Clone, Debug)]
enum Scalar {
    Null,
    Bool(bool),
    Number(Number),
    Text(Box<str>),
}

impl Scalar {
    /// The scalar, if the value is one.
    fn of(raw: Raw<'_>) -> Option<Self> {
        Some(match raw {
            Raw::Null => Self::Null,
            Raw::Bool(value) => Self::Bool(value),
            Raw::Number(_) => Self::Number(raw.number()?),
            Raw::Text(text) => Self::Text(text.decode()?.into()),
            Raw::Array(_) | Raw::Object(_) => return None,
        })
    }

    fn rank(&self) -> u8 {
        match self {
            Self::Null => 0,
            Self::Bool(_) => 1,
            Self::Number(_) => 2,
            Self::Text(_) => 3,
        }
    }

    fn bytes(&self) -> usize {
        VALUE_BYTES + if let Self::Text(text) = self { text.len() } else { 0 }
    }

    /// The scalar as JSON. Equal scalars give the same text.
    fn to_json(&self) -> String {
        match self {
            Self::Null => "null".to_owned(),
            Self::Bool(value) => value.to_string(),
            Self::Number(Number::Integer(integer)) => integer.to_string(),
            Self::Number(Number::Float(float)) => match *float as i128 {
                // JSON has no infinity, but numbers that are read as one.
                _ if float.is_infinite() => if *float > 0.0 { "1e400" } else { "-1e400" }.to_owned(),
                whole if whole as f64 == *float && whole.unsigned_abs() < 1 << 64 => whole.to_string(),
                _ => format!("{float:?}"),
            },
            Self::Text(text) => serde_json::Value::from(&**text).to_string(),
        }
    }
}

impl Ord for Scalar {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Bool(one), Self::Bool(other)) => one.cmp(other),
            // No JSON number is read as NaN.
            (Self::Number(one), Self::Number(other)) => one.compare(*other).unwrap_or(Ordering::Equal),
            (Self::Text(one), Self::Text(other)) => one.cmp(other),
            _ => self.rank().cmp(&other.rank()),
        }
    }
}

impl PartialOrd for Scalar {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Scalar {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Scalar {}

/// How many items have each value, so far.
#[derive(Default)]
struct ValueCounts {
    by_value: BTreeMap<Scalar, u64>,
    bytes: usize,
    /// Values were left out because they could not be read.
    has_skipped: bool,
}

impl ValueCounts {
    fn add(&mut self, value: Scalar, items: u64) -> Result<()> {
        if items == 0 {
            return Ok(());
        }
        let bytes = value.bytes();
        let count = self.by_value.entry(value).or_insert(0);
        if *count == 0 {
            self.bytes += bytes;
        }
        *count += items;
        if self.by_value.len() > limits::DISTINCT_VALUES || self.bytes > limits::DISTINCT_BYTES {
            let what = format!(
                "different values ({} bytes of them are kept at most; a filter or a smaller scope has fewer values)",
                limits::DISTINCT_BYTES
            );
            return Err(Error::limit(Limit::DistinctValues, what, self.by_value.len(), limits::DISTINCT_VALUES));
        }
        Ok(())
    }

    /// Adds the values of one item.
    fn add_item(&mut self, value: &[u8], path: &str) -> Result<()> {
        let Some((raw, reader)) = find(value, path) else { return Ok(()) };
        if let Raw::Array(_) = raw {
            return elements(reader).unwrap_or_default().into_iter().try_for_each(|scalar| self.add(scalar, 1));
        }
        Scalar::of(raw).map_or(Ok(()), |scalar| self.add(scalar, 1))
    }
}

/// The value at `path` of an object, and a reader that stands before it.
fn find<'v>(value: &'v [u8], path: &str) -> Option<(Raw<'v>, JsonReader<'v>)> {
    let object = JsonReader::new(value);
    let mut at = member(object, path).or_else(|| {
        let is_dotted = path.contains('.');
        is_dotted.then(|| path.split('.').try_fold(object, member))?
    })?;
    let before = at;
    Some((at.value()?, before))
}

/// A reader before the member `key` of the object at `reader`.
fn member<'v>(mut reader: JsonReader<'v>, key: &str) -> Option<JsonReader<'v>> {
    let Raw::Object(_) = reader.value()? else { return None };
    let mut more = reader.enter()?;
    while more {
        if reader.key()?.equals(key.as_bytes()) {
            return Some(reader);
        }
        reader.skip()?;
        more = reader.more()?;
    }
    None
}

/// The different scalars of the array at `reader`.
fn elements(mut reader: JsonReader<'_>) -> Option<BTreeSet<Scalar>> {
    let (mut found, mut more) = (BTreeSet::new(), reader.enter()?);
    while more {
        let raw = reader.value()?;
        match Scalar::of(raw) {
            Some(scalar) => drop(found.insert(scalar)),
            None => reader.skip()?,
        }
        more = reader.more()?;
    }
    Some(found)
}

/// The different values that the query asks for.
pub(super) fn distinct(reader: &ReadContext<'_>, query: &DistinctQuery) -> Result<DistinctValues> {
    if query.path.is_empty() {
        return Err(Error::invalid("the path is empty; name a field, or fields with dots between"));
    }
    if query.limit == 0 {
        return Err(Error::invalid("the limit is 0; leave it out, or ask for at least one value"));
    }
    let filter = query.filter.as_ref().map(Filter::prepare).transpose()?;
    let (mut counts, mut answer) = (ValueCounts::default(), DistinctValues::default());
    for portion in reader.portions(&query.scope.interval(), &mut answer.incomplete)? {
        let counted = count_portion(reader, &portion, filter.as_ref(), &query.path, &mut counts);
        reader.tolerate(counted, &mut answer.incomplete)?;
    }
    answer.incomplete |= reader.take_skipped() | counts.has_skipped;
    answer.found = counts.by_value.len();
    answer.more = answer.found > query.limit;
    let mut ordered: Vec<(Scalar, u64)> = counts.by_value.into_iter().collect();
    // The sort is stable: values with the same count stay in their order.
    ordered.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    ordered.truncate(query.limit);
    answer.values =
        ordered.iter().map(|(value, count)| DistinctValue { value: value.to_json(), count: *count }).collect();
    Ok(answer)
}

/// ValueCounts the values of one portion, by the index where it tells them.
fn count_portion(
    reader: &ReadContext<'_>,
    portion: &Portion<'_>,
    filter: Option<&PreparedFilter>,
    path: &str,
    counts: &mut ValueCounts,
) -> Result<()> {
    let passing = portion.rows.passing(reader.engine, &portion.part, filter);
    let conditions = Conditions { passing: passing.as_deref(), ..reader.conditions(filter) };
    if let (PartRef::Segment(part), PortionRows::Range(rows)) = (portion.part, &portion.rows)
        && rows.len() >= INDEXED_ROWS_MIN
        && let Some(fields) = part.segment()?.fields()
    {
        match fields.index().and_then(|index| values_at(&index, path, rows)) {
            Ok(Some(found)) => {
                let part = part.readable()?;
                let mut seen = RowSetBuilder::new(rows.clone());
                visit(&part, &Rows::Range(rows.clone()), &conditions, &mut |row| {
                    seen.add(row);
                    Ok(true)
                })?;
                let seen = seen.finish();
                let sure = seen.clone().and(&found.unsure.clone().complement());
                for (json, rows) in found.values {
                    let value = JsonReader::new(&json).value().and_then(Scalar::of);
                    value.map_or(Ok(()), |value| counts.add(value, rows.and(&sure).len() as u64))?;
                }
                let mut unsure = found.unsure;
                unsure = unsure.and(&seen);
                return unsure.rows().try_for_each(|row| add_row(reader, &part, row, path, &conditions, counts));
            }
            Ok(None) => {}
            Err(error) => part.segment()?.set_fields_problem(&fields.in_file(&error)),
        }
    }
    with_part!(portion.part, part => visit(part, &portion.rows(), &conditions, &mut |row| {
        add_row(reader, part, row, path, &conditions, counts).map(|()| true)
    }))
}

/// Adds the values of one row. Under `partial`, a value that cannot be read is left out.
fn add_row<P: PartColumns>(
    reader: &ReadContext<'_>,
    part: &P,
    row: RowId,
    path: &str,
    conditions: &Conditions<'_>,
    counts: &mut ValueCounts,
) -> Result<()> {
    let value = part.value(row).and_then(|value| {
        if value.is_large() {
            conditions.check_deadline()?;
        }
        value.bytes()
    });
    let mut is_skipped = false;
    if let Some(value) = reader.tolerate(value, &mut is_skipped)? {
        counts.add_item(&value, path)?;
    }
    counts.has_skipped |= is_skipped;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(values: &[&str], path: &str) -> Vec<(String, u64)> {
        let mut counts = ValueCounts::default();
        values.iter().for_each(|value| counts.add_item(value.as_bytes(), path).unwrap());
        counts.by_value.iter().map(|(value, count)| (value.to_json(), *count)).collect()
    }

    #[test]
    fn scalars_are_counted_once_an_item_and_compared_by_value() {
        let values = [
            r#"{"a": 5, "a.b": 1}"#,
            r#"{"a": 5.0}"#,
            r#"{"a": [5, 5, "x", [7], {"b": 9}, null]}"#,
            r#"{"a": {"b": "deep"}}"#,
            r#"{"b": 1}"#,
            r#"{"a": -0.0}"#,
            r#"{"a": 1e400}"#,
            r#"{"a": 18446744073709551615}"#,
            r#"{"a": "\u0078"}"#,
            r#"{"a": false}"#,
        ];
        let of_a =
            [("null", 1), ("false", 1), ("0", 1), ("5", 3), ("18446744073709551615", 1), ("1e400", 1), ("\"x\"", 2)];
        assert_eq!(counted(&values, "a"), of_a.map(|(value, count)| (value.to_owned(), count)));
        assert_eq!(
            counted(&values, "a.b"),
            [("1", 1), ("\"deep\"", 1)].map(|(value, count)| (value.to_owned(), count))
        );
        assert_eq!(counted(&values, "c"), []);
    }
}
