//! From a filter to sets of rows.
//!
//! Each test of the filter becomes ranges of keys: those whose values certainly pass, and those whose values may pass.
//! A key of a long string, of an array or of an object does not tell the whole value, so its rows may pass at most. The
//! rows of the keys make two sets, and the conjunctions, disjunctions and negations of the filter combine these.
//!
//! Invariants:
//! * A row of `certain` passes, and a row outside of `possible` does not. `certain` is a part of `possible`.
//! * A test costs what its keys and rows cost: keys are searched, and walked only where that is cheaper than to ask the
//!   values of the rows that the rest of a conjunction leaves. So its smallest part comes first.

use std::ops::Range;
use std::sync::Arc;

use crate::error::Result;
use crate::field_index::format::BLOCK_ENTRIES;
use crate::field_index::key::{ARRAY, OBJECT, STRING, write_json};
use crate::field_index::keys::{Keys, equal_keys, has_dates, of_kind, prefix_keys, range_keys};
use crate::field_index::path;
use crate::field_index::reader::{FieldIndex, FoundPath, PathIndex};
use crate::filter::{Expression, Operand, Test};
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

    pub fn between(certain: RowSet, possible: RowSet) -> Self {
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
    let found = Selection { index, interval }.expression(filter, interval.len())?;
    let partial = index.partial(interval, asks_forced_only(filter, index))?;
    if partial.is_empty() {
        return Ok(found);
    }
    let possible = Arc::unwrap_or_clone(found.possible).or(&partial);
    Ok(Passing::between(Arc::unwrap_or_clone(found.certain).and(&partial.complement()), possible))
}

/// Whether the filter asks for paths only that the rules of the index force.
fn asks_forced_only(filter: &Expression, index: &FieldIndex<'_>) -> bool {
    match filter {
        Expression::All(parts) | Expression::Any(parts) => parts.iter().all(|part| asks_forced_only(part, index)),
        Expression::Not(inner) => asks_forced_only(inner, index),
        Expression::Test { path, .. } | Expression::SomeArrays(path) => index.is_forced(path.iter().map(|key| &**key)),
        Expression::Unknown => false,
    }
}

/// Of fewer rows, the parts of a conjunction are taken as they come.
const ESTIMATED_ROWS_MIN: usize = 2_048;
/// Levels of a filter at which the rows of a part of a conjunction are estimated.
const ESTIMATED_LEVELS: usize = 3;
/// The rows of so many keys are summed; those of more are estimated from the number of keys.
const ESTIMATED_KEYS: usize = 16;
/// Of a longer list of literals that an array must hold, the values are asked.
const ALL_SEARCHED_MAX: usize = 64;

struct Selection<'s, 'a> {
    index: &'s FieldIndex<'a>,
    interval: &'s Range<RowId>,
}

impl Selection<'_, '_> {
    /// The rows that pass, of which the other tests of a conjunction leave `left`.
    fn expression(&self, filter: &Expression, left: usize) -> Result<Passing> {
        match filter {
            Expression::All(parts) => {
                let mut all = Passing::exactly(RowSet::all(self.interval.clone()));
                for Conjunct { expression, keys, .. } in self.smallest_first(parts)? {
                    if all.possible.is_empty() {
                        break;
                    }
                    let passing = match keys {
                        Some((place, keys)) => self.rows(&place, keys)?,
                        None => self.expression(expression, left.min(all.possible.len()))?,
                    };
                    all = all.and(&passing);
                }
                Ok(all)
            }
            Expression::Any(parts) => {
                let mut any = Passing::exactly(RowSet::none(self.interval.clone()));
                for part in parts {
                    if any.certain.is_all() {
                        break;
                    }
                    any = any.or(&self.expression(part, left)?);
                }
                Ok(any)
            }
            Expression::Not(inner) => Ok(self.expression(inner, left)?.not()),
            Expression::Test { path, test } => self.test(path, test, left),
            Expression::SomeArrays(path) => match self.find(path, false)? {
                FoundPath::Unknown => Ok(Passing::unknown(self.interval.clone())),
                FoundPath::Absent => Ok(Passing::exactly(RowSet::none(self.interval.clone()))),
                FoundPath::Found(place) => self.rows(&place, Keys::possibly(of_kind(&place, ARRAY)?)),
            },
            Expression::Unknown => Ok(Passing::unknown(self.interval.clone())),
        }
    }

    /// The parts of a conjunction, those that leave the fewest rows first.
    fn smallest_first<'e>(&self, parts: &'e [Expression]) -> Result<Vec<Conjunct<'e, '_>>> {
        if parts.len() < 2 || self.interval.len() < ESTIMATED_ROWS_MIN {
            return Ok(parts.iter().map(|expression| Conjunct { expression, rows: 0, keys: None }).collect());
        }
        let estimated = parts.iter().map(|expression| {
            if let Expression::Test { path, test } = expression
                && !test.holds_for_missing()
                && let FoundPath::Found(place) = self.find(path, false)?
                && let Some(keys) = searched_keys(&place, test)?
            {
                let rows = estimate_keys(&place, &keys)?;
                return Ok(Conjunct { expression, rows, keys: Some((place, keys)) });
            }
            Ok(Conjunct { expression, rows: self.estimate(expression, ESTIMATED_LEVELS)?, keys: None })
        });
        let mut estimated = estimated.collect::<Result<Vec<_>>>()?;
        estimated.sort_by_key(|part| part.rows);
        Ok(estimated)
    }

    /// About how many rows pass, from the numbers of a few keys. Below `levels`, and where keys would have to be
    /// walked, all rows.
    fn estimate(&self, filter: &Expression, levels: usize) -> Result<usize> {
        let all = self.interval.len();
        let parts = |parts: &[Expression]| -> Result<Vec<usize>> {
            parts.iter().map(|part| self.estimate(part, levels - 1)).collect()
        };
        Ok(match filter {
            _ if levels == 0 => all,
            Expression::All(inner) => parts(inner)?.into_iter().min().unwrap_or(all),
            Expression::Any(inner) => parts(inner)?.into_iter().sum::<usize>().min(all),
            Expression::Test { path, test } => match self.find(path, false)? {
                FoundPath::Found(place) if !test.holds_for_missing() => self.estimate_test(&place, test)?.min(all),
                FoundPath::Absent if !test.holds_for_missing() => 0,
                _ => all,
            },
            Expression::Not(_) | Expression::SomeArrays(_) | Expression::Unknown => all,
        })
    }

    fn estimate_test(&self, place: &PathIndex<'_>, test: &Test) -> Result<usize> {
        match (searched_keys(place, test)?, test) {
            (Some(keys), _) => estimate_keys(place, &keys),
            (None, Test::Exists) => Ok(place.values()),
            (None, _) => Ok(self.interval.len()),
        }
    }

    fn test(&self, path: &[Box<str>], test: &Test, left: usize) -> Result<Passing> {
        let place = match self.find(path, false)? {
            FoundPath::Unknown => return Ok(Passing::unknown(self.interval.clone())),
            FoundPath::Absent => {
                let rows = if test.holds_for_missing() { RowSet::all } else { RowSet::none };
                return Ok(Passing::exactly(rows(self.interval.clone())));
            }
            FoundPath::Found(place) => place,
        };
        let found = match test {
            Test::Contains(operand) => {
                let strings = self.substrings(&place, test, left)?;
                strings.map(|keys| Ok(self.elements(path, operand)?.or(&self.rows(&place, keys)?))).transpose()?
            }
            Test::ContainsAll(set) if (1..=ALL_SEARCHED_MAX).contains(&set.operands().len()) => {
                let mut all = Passing::exactly(RowSet::all(self.interval.clone()));
                for operand in set.operands() {
                    all = all.and(&self.elements(path, operand)?);
                }
                Some(all)
            }
            _ => self.keys(&place, test, left)?.map(|keys| self.rows(&place, keys)).transpose()?,
        };
        let Some(mut found) = found else { return Ok(Passing::unknown(self.interval.clone())) };
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
                let keys = self.keys(&elements, &Test::Equal(operand.clone()), self.interval.len())?;
                keys.map_or_else(|| Ok(Passing::unknown(self.interval.clone())), |keys| self.rows(&elements, keys))
            }
        }
    }

    /// The strings of which a literal is a part; `None` as for [`keys`](Self::keys).
    fn substrings(&self, place: &PathIndex<'_>, test: &Test, left: usize) -> Result<Option<Keys>> {
        let strings = of_kind(place, STRING)?;
        if matches!(test, Test::Contains(Operand::String(_))) {
            self.walk(place, strings, test, left)
        } else {
            Ok(Some(Keys::default()))
        }
    }

    /// The keys that pass `test`, which asks about one value. `None` if it is no dearer to ask `left` values.
    fn keys(&self, place: &PathIndex<'_>, test: &Test, left: usize) -> Result<Option<Keys>> {
        let keys = match test {
            Test::Exists => Keys::certainly(0..place.keys()),
            Test::IsObject => Keys::certainly(of_kind(place, OBJECT)?),
            Test::Equal(Operand::Date(_)) | Test::Range(_, Operand::Date(_)) => {
                return self.walk(place, of_kind(place, STRING)?, test, left);
            }
            Test::Equal(_) | Test::Range(..) | Test::StartsWith(_) => return searched_keys(place, test),
            Test::In(set) if set.operands().len() <= place.keys() as usize / 4 + 1 && !has_dates(set.operands()) => {
                let mut keys = Keys::default();
                for operand in set.operands() {
                    keys.add(equal_keys(place, operand)?);
                }
                // Keys that lie beside each other are read in one go, in whatever order the caller has named them.
                keys.certain.sort_unstable_by_key(|range| range.start);
                keys.possible.sort_unstable_by_key(|range| range.start);
                keys
            }
            Test::Size { .. } => Keys::possibly(of_kind(place, ARRAY)?),
            _ => return self.walk(place, 0..place.keys(), test, left),
        };
        Ok(Some(keys))
    }

    /// Tests each of the keys; `None` where that would cost more than to ask `left` values.
    fn walk(&self, place: &PathIndex<'_>, keys: Range<u32>, test: &Test, left: usize) -> Result<Option<Keys>> {
        if keys.len() > left {
            return Ok(None);
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
                push_key_number(&mut found.possible, number);
            }
            if known == Some(true) {
                push_key_number(&mut found.certain, number);
            }
        }
        Ok(Some(found))
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
        // Keys that lie near each other are read in one go.
        let is_near = |before: &Range<u32>, next: &Range<u32>| {
            next.start >= before.end && ((next.start - before.end) as usize) < BLOCK_ENTRIES
        };
        for near in ranges.chunk_by(is_near) {
            let (Some(first), Some(last)) = (near.first(), near.last()) else { continue };
            let mut entries = place.entries(first.start..last.end)?;
            let mut number = first.start;
            for range in near {
                while number < range.end
                    && let Some(entry) = entries.next()?
                {
                    if number >= range.start {
                        place.decode(&entry, self.interval, &mut builder)?;
                    }
                    number += 1;
                }
            }
        }
        Ok(builder.finish())
    }
}

/// A part of a conjunction.
struct Conjunct<'e, 'a> {
    expression: &'e Expression,
    /// About how many rows pass it.
    rows: usize,
    /// The keys that pass, if it was quick to find them.
    keys: Option<(PathIndex<'a>, Keys)>,
}

/// The keys that pass a test, where they are found by search. `None` where keys have to be walked.
fn searched_keys(place: &PathIndex<'_>, test: &Test) -> Result<Option<Keys>> {
    Ok(Some(match test {
        Test::Equal(operand) if !matches!(operand, Operand::Date(_)) => equal_keys(place, operand)?,
        Test::Range(side, bound) if !matches!(bound, Operand::Date(_)) => range_keys(place, *side, bound)?,
        Test::StartsWith(prefix) => prefix_keys(place, prefix.as_bytes())?,
        _ => return Ok(None),
    }))
}

/// About how many rows have one of the keys.
fn estimate_keys(place: &PathIndex<'_>, keys: &Keys) -> Result<usize> {
    let mut rows = 0;
    for range in &keys.possible {
        rows += if range.len() <= ESTIMATED_KEYS {
            let (mut entries, mut sum) = (place.entries(range.clone())?, 0);
            while let Some(entry) = entries.next()? {
                sum += entry.rows as usize;
            }
            sum
        } else {
            (place.values() as u64 * range.len() as u64 / u64::from(place.keys().max(1))) as usize
        };
    }
    Ok(rows)
}

/// Adds a key to ranges whose keys are all below it.
fn push_key_number(ranges: &mut Vec<Range<u32>>, number: u32) {
    match ranges.last_mut() {
        Some(last) if last.end == number => last.end += 1,
        _ => ranges.push(number..number + 1),
    }
}
