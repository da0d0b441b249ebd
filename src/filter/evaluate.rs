//! Running a filter over the bytes of values.
//!
//! A filter is compiled into two structures. The *places* form a tree in the shape of the values: a place has the tests
//! of the value there, and the keys below it that the filter names (wanted keys). The *junctions* are the conjunctions
//! and disjunctions: each knows the junction above it, and how many of its parts are open, without a result so far. One
//! pass over the bytes of a value looks up wanted keys and runs tests on the raw tokens. Each result is reported to the
//! junction above. The pass ends when the topmost junction is decided. Tests of the item come first, so a filter that
//! they decide needs no value. A filter of elements is a program of its own, run over each element of an array.
//!
//! Invariants:
//! * The pass reads bytes in order and skips unwanted values. (A test of an array or object reads it before the pass
//!   does.)
//! * Each test reports at most once per value: when the pass reaches its place, or when the pass has found that the
//!   place is missing.
//! * The depth of recursion is that of the filter, which is bounded, and not that of the value.

use std::sync::Arc;

use super::ast::Filter;
use super::compare::any_element;
use super::expression::Expression;
use super::fingerprint::fingerprint;
use super::item::ItemFacts;
use super::junctions::Reports;
use super::program::{AskedOfItem, LARGE, PathNode, PlaceTest, Program};
use crate::error::Result;
use crate::json::{JsonReader, Raw};
use crate::types::Item;

/// The most junctions or places for the small state of a pass, which is fast to clear. Nearly every filter has fewer.
const SMALL: usize = 32;
/// The most wanted keys of one object that are compared one by one. With more, a binary search finds the key.
const TRIED_KEYS_MAX: usize = 8;

/// A compiled filter for many values, on any number of threads at once. See [`Filter::prepare`].
#[derive(Clone, Debug)]
pub struct PreparedFilter {
    program: Program,
    asked: AskedOfItem,
    expression: Arc<Expression>,
    fingerprint: u128,
    literal_bytes: usize,
}

impl Filter {
    /// Compiles the filter, to run it over many values.
    ///
    /// # Errors
    ///
    /// [`Limit::FilterNodes`](crate::Limit::FilterNodes), [`Limit::FilterValues`](crate::Limit::FilterValues) or
    /// [`Limit::FilterBytes`](crate::Limit::FilterBytes) if the filter is too large,
    /// [`Limit::Depth`](crate::Limit::Depth) if it nests too deep;
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) if it negates a comparison with NaN, a date is
    /// inside of an array or object, a test of the item is below a field, or a key is an operator or ends in one
    /// (`age.$gte`).
    pub fn prepare(&self) -> Result<PreparedFilter> {
        PreparedFilter::new(self)
    }
}

impl PreparedFilter {
    fn new(filter: &Filter) -> Result<Self> {
        let literal_bytes = filter.check()?;
        let mut asked = AskedOfItem::default();
        let program = Program::new(filter, false, &mut asked);
        let (expression, fingerprint) = (Arc::new(Expression::new(filter)), fingerprint(filter));
        Ok(Self { program, asked, expression, fingerprint, literal_bytes })
    }

    /// A number that two filters of this process have in common only if they are equal, as good as certainly.
    pub(crate) fn fingerprint(&self) -> u128 {
        self.fingerprint
    }

    /// Bytes of the literals of the filter.
    pub(super) fn literal_bytes(&self) -> usize {
        self.literal_bytes
    }

    /// The same filter as tests at full paths.
    pub(crate) fn expression(&self) -> &Expression {
        &self.expression
    }

    /// The result, if it does not depend on the item.
    #[inline]
    pub(crate) fn constant(&self) -> Option<bool> {
        self.program.constant
    }

    /// What the filter asks for beside the value.
    #[inline]
    pub(crate) fn asked_of_item(&self) -> AskedOfItem {
        self.asked
    }

    /// Whether the filter holds for a value, given as the bytes of a JSON object. Other bytes match only if the filter
    /// is decided before the first malformed byte, as one that holds for every value is. A filter that asks for the
    /// times or the key of an item matches nothing: use [`matches_item`](Self::matches_item).
    pub fn matches(&self, value: &[u8]) -> bool {
        self.asked.is_nothing() && self.holds(value, &ItemFacts::NONE)
    }

    /// Whether the filter holds for an item.
    pub fn matches_item(&self, item: &Item) -> bool {
        self.holds(item.value.as_bytes(), &ItemFacts::of(item))
    }

    /// Whether the filter holds for an item of that value. The facts are those that the filter asks for.
    #[inline]
    pub(crate) fn holds(&self, value: &[u8], item: &ItemFacts<'_>) -> bool {
        self.program.result(JsonReader::new(value), item).unwrap_or(false)
    }

    /// The result, if the facts decide it without the value.
    #[inline]
    pub(crate) fn decided_by_item(&self, item: &ItemFacts<'_>) -> Option<bool> {
        self.program.result(JsonReader::new(&[]), item)
    }

    /// The result for a value that begins with these bytes, if they decide it.
    pub(crate) fn decided_by(&self, beginning: &[u8], item: &ItemFacts<'_>) -> Option<bool> {
        // Only a number may look complete although its end is missing, so a number at the end is left out.
        let end = beginning.iter().rposition(|byte| !matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E'))?;
        self.program.result(JsonReader::new(&beginning[..=end]), item)
    }
}

impl Program {
    #[inline]
    fn result(&self, value: JsonReader<'_>, item: &ItemFacts<'_>) -> Option<bool> {
        if self.constant.is_some() {
            return self.constant;
        }
        if self.junctions.len().max(self.places) <= SMALL {
            self.run(value, item, &mut [0; SMALL], &mut [false; SMALL])
        } else {
            self.run(value, item, &mut [0; LARGE], &mut [false; LARGE])
        }
    }

    /// Runs one pass over the value at the reader. `open` and `seen` are scratch, at least as long as the junctions and
    /// the places. Returns `None` if the bytes end before the result is decided, or are not JSON.
    #[inline]
    fn run(
        &self,
        mut reader: JsonReader<'_>,
        item: &ItemFacts<'_>,
        open: &mut [u16],
        seen: &mut [bool],
    ) -> Option<bool> {
        let open = &mut open[..self.open.len()];
        open.copy_from_slice(&self.open);
        let mut row = Row { reports: Reports { junctions: &self.junctions, open, result: None }, seen };
        if !self.item_tests.is_empty() {
            self.item_tests.iter().for_each(|(test, above)| row.reports.add(*above, test.holds(item)));
            if row.reports.result.is_some() {
                return row.reports.result;
            }
        }
        if !self.is_of_elements && !matches!(reader.value(), Some(Raw::Object(_))) {
            return None;
        }
        // `None` from a visit means that the bytes are not JSON, or that the result is known.
        let _ = row.visit(&self.root, &mut reader);
        row.reports.result
    }
}

impl PlaceTest {
    /// Whether the test holds for a value; `None` if the value is not JSON.
    #[inline]
    fn holds(&self, value: Raw<'_>) -> Option<bool> {
        match (self, value) {
            (Self::Value(test), _) => test.holds(value),
            (Self::Element(program), Raw::Array(bytes)) => elements_hold(program, bytes),
            (Self::Element(_), _) => Some(false),
        }
    }
}

/// Whether an element of the array satisfies the program.
fn elements_hold(program: &Program, bytes: &[u8]) -> Option<bool> {
    any_element(bytes, |reader, _| program.result(reader, &ItemFacts::NONE))
}

/// The state of one pass.
struct Row<'p> {
    reports: Reports<'p>,
    /// Places that have been visited.
    seen: &'p mut [bool],
}

impl Row<'_> {
    /// Runs the tests of `place` on the value at the reader and steps over the value. `None` ends the pass.
    fn visit(&mut self, place: &PathNode, reader: &mut JsonReader<'_>) -> Option<()> {
        let value = reader.value()?;
        for (test, above) in &place.tests {
            if self.reports.is_open(*above) {
                let holds = test.holds(value)?;
                self.reports.add(*above, holds);
            }
        }
        if self.reports.result.is_some() {
            return None;
        }
        match value {
            Raw::Object(_) if !place.wanted.is_empty() => self.walk(place, reader),
            Raw::Object(_) | Raw::Array(_) => {
                self.miss_wanted(place)?;
                reader.skip()
            }
            _ => self.miss_wanted(place),
        }
    }

    /// Visits the wanted keys of the object at the reader, and steps over the object.
    fn walk(&mut self, place: &PathNode, reader: &mut JsonReader<'_>) -> Option<()> {
        let mut more = reader.enter()?;
        while more {
            let key = reader.key()?;
            let found = if place.wanted.len() <= TRIED_KEYS_MAX {
                place.wanted.iter().find(|(wanted, _)| key.equals(wanted))
            } else {
                let found = place.wanted.binary_search_by(|(wanted, _)| key.compare(wanted).reverse());
                found.ok().map(|at| &place.wanted[at])
            };
            match found {
                Some((_, field)) if !self.seen[usize::from(field.index)] => {
                    self.seen[usize::from(field.index)] = true;
                    self.visit(field, reader)?;
                }
                _ => reader.skip()?,
            }
            more = reader.more()?;
        }
        self.miss_wanted(place)
    }

    /// Reports each wanted key that was not seen below `place` as missing. `None` if the result is then known.
    fn miss_wanted(&mut self, place: &PathNode) -> Option<()> {
        for (_, field) in &place.wanted {
            if !self.seen[usize::from(field.index)] {
                field.tests.iter().for_each(|(test, above)| self.reports.add(*above, test.holds_for_missing()));
                self.miss_wanted(field)?;
            }
        }
        if self.reports.result.is_some() { None } else { Some(()) }
    }
}
