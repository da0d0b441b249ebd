//! From a filter to sets of rows.
//!
//! Each test of the filter becomes ranges of keys: those whose values certainly pass, and those whose values may pass.
//! A key of a long string, of an array or of an object does not tell the whole value, so its rows may pass at most. The
//! rows of the keys make two sets, and the conjunctions, disjunctions and negations of the filter combine these.
//!
//! Invariants:
//! * A row of `certain` passes, and a row outside of `possible` does not. `certain` is a part of `possible`.
//! * A test costs what its keys and rows cost: keys are searched, and walked only where that is cheaper than to ask the
//!   values of the interval.

use std::ops::Range;
use std::sync::Arc;

use crate::error::Result;
use crate::field_index::key::{ARRAY, BEGINNING_BYTES, NUMBER, OBJECT, STRING, is_long_string, key_of, write_json};
use crate::field_index::path;
use crate::field_index::reader::{FieldIndex, FoundPath, PathIndex};
use crate::filter::{Expression, Operand, Range as Side, Test};
use crate::ids::{IdRange, RowId};
use crate::json::JsonReader;
use crate::row_set::{RowSet, RowSetBuilder};

/// What an index says of a filter.
#[derive(Clone, Debug)]
pub(crate) struct Passing {
    /// Rows for which the filter holds.
    pub certain: Arc<RowSet>,
    /// These, and the rows for which it may hold.
    pub possible: Arc<RowSet>,
}

impl Passing {
    /// Nothing is known of the rows of `interval`.
    pub fn unknown(interval: Range<RowId>) -> Self {
        Self::between(RowSet::none(interval.clone()), RowSet::all(interval))
    }

    fn between(certain: RowSet, possible: RowSet) -> Self {
        Self { certain: Arc::new(certain), possible: Arc::new(possible) }
    }

    /// The same set of rows passes, certainly.
    fn exactly(rows: RowSet) -> Self {
        let rows = Arc::new(rows);
        Self { certain: Arc::clone(&rows), possible: rows }
    }

    /// Bytes of memory beside the structs.
    pub fn bytes(&self) -> usize {
        self.certain.bytes() + if Arc::ptr_eq(&self.certain, &self.possible) { 0 } else { self.possible.bytes() }
    }

    /// Whether no value has to be asked.
    pub fn is_exact(&self) -> bool {
        self.certain.len() == self.possible.len()
    }

    fn not(self) -> Self {
        if self.is_exact() {
            return Self::exactly(Arc::unwrap_or_clone(self.certain).complement());
        }
        let (certain, possible) = (Arc::unwrap_or_clone(self.certain), Arc::unwrap_or_clone(self.possible));
        Self::between(possible.complement(), certain.complement())
    }

    fn and(self, other: &Self) -> Self {
        self.combine(other, RowSet::and)
    }

    fn or(self, other: &Self) -> Self {
        self.combine(other, RowSet::or)
    }

    fn combine(self, other: &Self, combine: impl Fn(RowSet, &RowSet) -> RowSet) -> Self {
        let is_exact = self.is_exact() && other.is_exact();
        let certain = combine(Arc::unwrap_or_clone(self.certain), &other.certain);
        if is_exact {
            return Self::exactly(certain);
        }
        Self::between(certain, combine(Arc::unwrap_or_clone(self.possible), &other.possible))
    }
}

/// The rows of `interval` that pass `filter`, as far as the index knows.
pub(crate) fn select(filter: &Expression, index: &FieldIndex<'_>, interval: &Range<RowId>) -> Result<Passing> {
    let found = Selection { index, interval }.expression(filter)?;
    let partial = index.partial(interval)?;
    if partial.is_empty() {
        return Ok(found);
    }
    let possible = Arc::unwrap_or_clone(found.possible).or(&partial);
    Ok(Passing::between(Arc::unwrap_or_clone(found.certain).and(&partial.complement()), possible))
}

/// Of a longer list of literals that an array must hold, the values are asked.
const ALL_SEARCHED_MAX: usize = 64;

/// The keys of a path that pass a test: ranges of their numbers.
#[derive(Default)]
struct Keys {
    certain: Vec<Range<u32>>,
    possible: Vec<Range<u32>>,
}

struct Selection<'s, 'a> {
    index: &'s FieldIndex<'a>,
    interval: &'s Range<RowId>,
}

impl Selection<'_, '_> {
    fn expression(&self, filter: &Expression) -> Result<Passing> {
        match filter {
            Expression::All(parts) => {
                let mut all = Passing::exactly(RowSet::all(self.interval.clone()));
                for part in parts {
                    if all.possible.is_empty() {
                        break;
                    }
                    all = all.and(&self.expression(part)?);
                }
                Ok(all)
            }
            Expression::Any(parts) => {
                let mut any = Passing::exactly(RowSet::none(self.interval.clone()));
                for part in parts {
                    if any.certain.is_all() {
                        break;
                    }
                    any = any.or(&self.expression(part)?);
                }
                Ok(any)
            }
            Expression::Not(inner) => Ok(self.expression(inner)?.not()),
            Expression::Test { path, test } => self.test(path, test),
            Expression::SomeArrays(path) => match self.find(path, false)? {
                FoundPath::Unknown => Ok(Passing::unknown(self.interval.clone())),
                FoundPath::Absent => Ok(Passing::exactly(RowSet::none(self.interval.clone()))),
                FoundPath::Found(place) => self.rows(&place, Keys::possibly(of_kind(&place, ARRAY)?)),
            },
            Expression::Unknown => Ok(Passing::unknown(self.interval.clone())),
        }
    }

    fn test(&self, path: &[Box<str>], test: &Test) -> Result<Passing> {
        let place = match self.find(path, false)? {
            FoundPath::Unknown => return Ok(Passing::unknown(self.interval.clone())),
            FoundPath::Absent => {
                let rows = if test.holds_for_missing() { RowSet::all } else { RowSet::none };
                return Ok(Passing::exactly(rows(self.interval.clone())));
            }
            FoundPath::Found(place) => place,
        };
        let mut found = match test {
            Test::Contains(operand) => {
                self.elements(path, operand)?.or(&self.rows(&place, self.substrings(&place, test)?)?)
            }
            Test::ContainsAll(set) if (1..=ALL_SEARCHED_MAX).contains(&set.operands().len()) => {
                let mut all = Passing::exactly(RowSet::all(self.interval.clone()));
                for operand in set.operands() {
                    all = all.and(&self.elements(path, operand)?);
                }
                all
            }
            _ => self.rows(&place, self.keys(&place, test)?)?,
        };
        if test.holds_for_missing() {
            let present = self.key_rows(&place, std::slice::from_ref(&(0..place.keys())))?;
            found = found.or(&Passing::exactly(present.complement()));
        }
        Ok(found)
    }

    fn find(&self, keys: &[Box<str>], elements: bool) -> Result<FoundPath<'_>> {
        match path::of_keys(keys.iter().map(|key| key.as_bytes()), elements) {
            // The whole value is an object, and no path.
            Some(path) if !keys.is_empty() => self.index.find(&path),
            _ => Ok(FoundPath::Unknown),
        }
    }

    /// The rows with an array at `path` that has an element equal to `operand`.
    fn elements(&self, path: &[Box<str>], operand: &Operand) -> Result<Passing> {
        match self.find(path, true)? {
            FoundPath::Unknown => Ok(Passing::unknown(self.interval.clone())),
            FoundPath::Absent => Ok(Passing::exactly(RowSet::none(self.interval.clone()))),
            FoundPath::Found(elements) => {
                let keys = self.keys(&elements, &Test::Equal(operand.clone()))?;
                self.rows(&elements, keys)
            }
        }
    }

    /// The strings of which a literal is a part.
    fn substrings(&self, place: &PathIndex<'_>, test: &Test) -> Result<Keys> {
        let strings = of_kind(place, STRING)?;
        if matches!(test, Test::Contains(Operand::String(_))) {
            self.walk(place, strings, test)
        } else {
            Ok(Keys::default())
        }
    }

    /// The keys that pass `test`, which asks about one value.
    fn keys(&self, place: &PathIndex<'_>, test: &Test) -> Result<Keys> {
        match test {
            Test::Exists => Ok(Keys::certainly(0..place.keys())),
            Test::IsObject => Ok(Keys::certainly(of_kind(place, OBJECT)?)),
            Test::Equal(Operand::Date(_)) | Test::Range(_, Operand::Date(_)) => {
                self.walk(place, of_kind(place, STRING)?, test)
            }
            Test::Equal(operand) => equal_keys(place, operand),
            Test::In(set) if set.operands().len() <= place.keys() as usize / 4 + 1 && !has_dates(set.operands()) => {
                let mut keys = Keys::default();
                for operand in set.operands() {
                    keys.add(equal_keys(place, operand)?);
                }
                Ok(keys)
            }
            Test::Range(side, bound) => range_keys(place, *side, bound),
            Test::Size { .. } => Ok(Keys::possibly(of_kind(place, ARRAY)?)),
            Test::StartsWith(prefix) => prefix_keys(place, prefix.as_bytes()),
            _ => self.walk(place, 0..place.keys(), test),
        }
    }

    /// Tests each of the keys. Where that would cost more than to ask the values, all may pass.
    fn walk(&self, place: &PathIndex<'_>, keys: Range<u32>, test: &Test) -> Result<Keys> {
        if keys.len() > self.interval.len() {
            return Ok(Keys { certain: Vec::new(), possible: vec![keys] });
        }
        let (mut found, mut json) = (Keys::default(), Vec::new());
        let mut entries = place.entries(keys.clone())?;
        for number in keys {
            if entries.next()?.is_none() {
                break;
            }
            json.clear();
            let known = write_json(entries.key(), &mut json).and_then(|()| test.holds(JsonReader::new(&json).value()?));
            if known != Some(false) {
                found.possible.push(number..number + 1);
            }
            if known == Some(true) {
                found.certain.push(number..number + 1);
            }
        }
        Ok(found)
    }

    fn rows(&self, place: &PathIndex<'_>, keys: Keys) -> Result<Passing> {
        let possible = self.key_rows(place, &keys.possible)?;
        if keys.certain == keys.possible {
            return Ok(Passing::exactly(possible));
        }
        Ok(Passing::between(self.key_rows(place, &keys.certain)?, possible))
    }

    fn key_rows(&self, place: &PathIndex<'_>, ranges: &[Range<u32>]) -> Result<RowSet> {
        let mut builder = RowSetBuilder::new(self.interval.clone());
        for range in ranges {
            let mut entries = place.entries(range.clone())?;
            while let Some(entry) = entries.next()? {
                place.decode(&entry, self.interval, &mut builder)?;
            }
        }
        Ok(builder.finish())
    }
}

impl Keys {
    fn certainly(range: Range<u32>) -> Self {
        Self { certain: vec![range.clone()], possible: vec![range] }
    }

    fn possibly(range: Range<u32>) -> Self {
        Self { certain: Vec::new(), possible: vec![range] }
    }

    fn add(&mut self, other: Self) {
        self.certain.extend(other.certain);
        self.possible.extend(other.possible);
    }
}

/// The keys of all values of a kind.
fn of_kind(place: &PathIndex<'_>, kind: u8) -> Result<Range<u32>> {
    Ok(place.lower_bound(&[kind])?..place.lower_bound(&[kind + 1])?)
}

/// The keys of the values that may be equal to a literal: one, or none.
fn equal_keys(place: &PathIndex<'_>, operand: &Operand) -> Result<Keys> {
    let Some(key) = key_of(operand) else { return Ok(Keys::default()) };
    let found = equal_key(place, &key)?;
    if found.is_empty() {
        return Ok(Keys::default());
    }
    let tells_all = !is_long_string(&key) && !matches!(key.as_slice(), [ARRAY | OBJECT]);
    Ok(if tells_all { Keys::certainly(found) } else { Keys::possibly(found) })
}

/// The range of the key, which is empty where the path has no such key.
fn equal_key(place: &PathIndex<'_>, key: &[u8]) -> Result<Range<u32>> {
    let at = place.lower_bound(key)?;
    let mut entries = place.entries(at..place.keys().min(at + 1))?;
    let is_there = entries.next()?.is_some() && entries.key() == key;
    Ok(at..at + u32::from(is_there))
}

fn has_dates(operands: &[Operand]) -> bool {
    operands.iter().any(|operand| matches!(operand, Operand::Date(_)))
}

/// The keys of the strings that begin with `prefix`.
fn prefix_keys(place: &PathIndex<'_>, prefix: &[u8]) -> Result<Keys> {
    let first = [&[STRING], prefix].concat();
    // No UTF-8 has the byte 0xFF, so this is above every key that begins so, but for the end of a long string's.
    let after = [first.as_slice(), &[0xFF; 10]].concat();
    let found = place.lower_bound(&first)?..place.lower_bound(&after)?;
    // Behind the beginning that a long string keeps, only its value tells.
    let unsure = unsure_keys(place, prefix)?;
    Ok(if unsure.is_empty() {
        Keys::certainly(found)
    } else {
        Keys { certain: vec![found.clone()], possible: vec![found, unsure] }
    })
}

/// The keys of the values on one side of a bound.
fn range_keys(place: &PathIndex<'_>, side: Side, bound: &Operand) -> Result<Keys> {
    let (key, kind, unsure) = match bound {
        Operand::Number(_) => match key_of(bound) {
            Some(key) => (key, NUMBER, 0..0),
            None => return Ok(Keys::default()),
        },
        Operand::String(text) => ([&[STRING], text.as_bytes()].concat(), STRING, unsure_keys(place, text.as_bytes())?),
        _ => return Ok(Keys::default()),
    };
    let (kind, equal) = (of_kind(place, kind)?, equal_key(place, &key)?);
    // The keys of long strings with the beginning of the bound follow the bound, whatever their order.
    Ok(match side {
        Side::Less | Side::LessOrEqual => {
            let end = if side == Side::Less { equal.start } else { equal.end };
            let mut keys = Keys::certainly(kind.start..end);
            keys.possible.push(unsure);
            keys
        }
        Side::Greater | Side::GreaterOrEqual => {
            let start = if side == Side::Greater { equal.end } else { equal.start };
            if unsure.is_empty() {
                Keys::certainly(start..kind.end)
            } else {
                let certain = vec![start..unsure.start, unsure.end..kind.end];
                Keys { certain, ..Keys::possibly(start..kind.end) }
            }
        }
    })
}

/// The keys of long strings that have the beginning of `bound`, if `bound` goes on after it: their order is not known.
fn unsure_keys(place: &PathIndex<'_>, bound: &[u8]) -> Result<Range<u32>> {
    if bound.len() <= BEGINNING_BYTES {
        return Ok(0..0);
    }
    long_keys(place, bound)
}

/// The keys of long strings that have the beginning of `text`; none if it is shorter than a beginning.
pub(super) fn long_keys(place: &PathIndex<'_>, text: &[u8]) -> Result<Range<u32>> {
    let Some(beginning) = text.get(..BEGINNING_BYTES) else { return Ok(0..0) };
    let long = [&[STRING], beginning, &[0xFF]].concat();
    let after = [long.as_slice(), &[0xFF; 9]].concat();
    Ok(place.lower_bound(&long)?..place.lower_bound(&after)?)
}
