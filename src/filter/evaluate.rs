//! Running a filter over the bytes of values.
//!
//! A filter is compiled into two structures. The *places* form a tree in the shape of the values: a place has the tests
//! of the value there, and the keys below it that the filter names (wanted keys). The *junctions* are the conjunctions
//! and disjunctions: each knows the junction above it, and how many of its parts are open, without a result so far. One
//! pass over the bytes of a value looks up wanted keys and runs tests on the raw tokens. Each result is reported to the
//! junction above. The pass ends when the topmost junction is decided.
//!
//! Invariants:
//! * The pass reads bytes in order and skips unwanted values. (A test of an array or object reads it before the pass
//!   does.)
//! * Each test reports at most once per value: when the pass reaches its place, or when the pass has found that the
//!   place is missing.
//! * A decided junction ignores the reports of its other parts.
//! * The depth of recursion is that of the filter, which is bounded, and not that of the value.

use super::FILTER_NODES_MAX;
use super::ast::Filter;
use super::compare::{Operand, Test};
use crate::error::Result;
use crate::json::{JsonReader, Raw};

/// The most junctions or places for the small state of a pass, which is fast to clear. Nearly every filter has fewer.
const SMALL: usize = 32;
/// The most junctions or places of a filter. Each node makes at most one junction and one place, and the root one more
/// of each. (A dotted key counts more nodes, for its two copies.)
const LARGE: usize = FILTER_NODES_MAX + 1;
/// The most wanted keys of one object that are compared one by one. With more, a binary search finds the key.
const TRIED_KEYS_MAX: usize = 8;

/// A compiled filter for many values, on any number of threads at once. See [`Filter::prepare`].
#[derive(Clone, Debug)]
pub struct PreparedFilter {
    root: PathNode,
    places: usize,
    junctions: Vec<Junction>,
    /// The number of open parts of each junction at the start of a pass.
    open: Vec<u16>,
    /// The result, if it does not depend on the value.
    constant: Option<bool>,
}

impl Filter {
    /// Compiles the filter, to run it over many values.
    ///
    /// # Errors
    ///
    /// [`Limit::FilterNodes`](crate::Limit::FilterNodes) if the filter is too large,
    /// [`Limit::Depth`](crate::Limit::Depth) if it nests too deep;
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) if it negates a comparison with NaN, or a key is
    /// an operator or ends in one (`age.$gte`).
    pub fn prepare(&self) -> Result<PreparedFilter> {
        PreparedFilter::new(self)
    }
}

/// A conjunction or disjunction; its parts are the tests and junctions that report to it.
#[derive(Clone, Debug)]
struct Junction {
    above: Above,
    /// A part with this result decides the junction: false for a conjunction, true for a disjunction.
    decisive: bool,
}

/// The junction that a result is reported to, perhaps negated. Junction 0 stands for the whole filter.
#[derive(Clone, Copy, Debug)]
struct Above {
    junction: u16,
    negated: bool,
}

/// A place: a path in the values that the filter tests.
#[derive(Clone, Debug, Default)]
struct PathNode {
    index: u16,
    tests: Vec<(Test, Above)>,
    /// The wanted keys of an object here, sorted.
    wanted: Vec<(Box<[u8]>, PathNode)>,
}

impl PreparedFilter {
    pub(super) fn new(filter: &Filter) -> Result<Self> {
        filter.check()?;
        let whole = Above { junction: 0, negated: false };
        let mut compiler = Compiler {
            places: 1,
            junctions: vec![Junction { above: whole, decisive: false }],
            open: vec![1],
            constants: Vec::new(),
        };
        let mut root = PathNode::default();
        compiler.compile(filter, &mut root, whole);
        let Compiler { places, junctions, open, constants } = compiler;
        debug_assert!(junctions.len().max(places) <= LARGE);
        let mut prepared = Self { root, places, junctions, open: Vec::new(), constant: None };
        let mut row = Row { junctions: &prepared.junctions, open: &mut open.clone(), seen: &mut [], result: None };
        for (above, value) in constants {
            row.report(above, value);
        }
        prepared.constant = row.result;
        prepared.open = row.open.to_vec();
        Ok(prepared)
    }

    /// The result, if it does not depend on the value.
    #[inline]
    pub(crate) fn constant(&self) -> Option<bool> {
        self.constant
    }

    /// Whether the filter holds for a value, given as the bytes of a JSON object. Other bytes match only if the filter
    /// is decided before the first malformed byte, as one that holds for every value is.
    pub fn matches(&self, value: &[u8]) -> bool {
        if let Some(result) = self.constant {
            return result;
        }
        self.result(value).unwrap_or(false)
    }

    /// The result for a value that begins with these bytes, if they decide it.
    pub(crate) fn decided_by(&self, beginning: &[u8]) -> Option<bool> {
        // Only a number may look complete although its end is missing, so a number at the end is left out.
        let end = beginning.iter().rposition(|byte| !matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E'))?;
        self.constant.or_else(|| self.result(&beginning[..=end]))
    }

    #[inline]
    fn result(&self, value: &[u8]) -> Option<bool> {
        if self.junctions.len().max(self.places) <= SMALL {
            self.run(value, &mut [0; SMALL], &mut [false; SMALL])
        } else {
            self.run(value, &mut [0; LARGE], &mut [false; LARGE])
        }
    }

    /// Runs one pass. `open` and `seen` are scratch, at least as long as the junctions and the places. Returns `None`
    /// if the bytes end before the result is decided, or are not JSON.
    #[inline]
    fn run(&self, value: &[u8], open: &mut [u16], seen: &mut [bool]) -> Option<bool> {
        let open = &mut open[..self.open.len()];
        open.copy_from_slice(&self.open);
        let mut row = Row { junctions: &self.junctions, open, seen, result: None };
        let mut reader = JsonReader::new(value);
        if !matches!(reader.value(), Some(Raw::Object(_))) {
            return None;
        }
        // `None` from a visit means that the bytes are not JSON, or that the result is known.
        let _ = row.visit(&self.root, &mut reader);
        row.result
    }
}

struct Compiler {
    places: usize,
    junctions: Vec<Junction>,
    open: Vec<u16>,
    constants: Vec<(Above, bool)>,
}

impl Compiler {
    /// Compiles `filter`, a predicate on `place`, which reports to `above`.
    fn compile(&mut self, filter: &Filter, place: &mut PathNode, above: Above) {
        let test = match filter {
            Filter::Not(inner) => {
                return self.compile(inner, place, Above { negated: !above.negated, ..above });
            }
            Filter::All(filters) => return self.compile_list(filters, false, place, above),
            Filter::Any(filters) => return self.compile_list(filters, true, place, above),
            Filter::Object(inner) => {
                let both = self.junction(2, false, above);
                place.tests.push((Test::IsObject, both));
                return self.compile(inner, place, both);
            }
            Filter::Field { key, test } => return self.compile_field(key, test, place, above),
            Filter::Exists => Test::Exists,
            Filter::Equal(literal) => Test::Equal(Operand::new(literal)),
            Filter::In(literals) => Test::one_of(literals),
            Filter::Range(range, literal) => Test::Range(*range, Operand::new(literal)),
            Filter::Contains(literal) => Test::Contains(Operand::new(literal)),
        };
        place.tests.push((test, above));
    }

    fn compile_list(&mut self, filters: &[Filter], decisive: bool, place: &mut PathNode, above: Above) {
        match filters {
            [] => self.constants.push((above, !decisive)),
            [filter] => self.compile(filter, place, above),
            filters => {
                let junction = self.junction(filters.len(), decisive, above);
                filters.iter().for_each(|filter| self.compile(filter, place, junction));
            }
        }
    }

    /// Compiles a test of a field. A dotted key becomes: (the field of exactly that name exists, and passes) or (that
    /// field does not exist, and the path passes).
    fn compile_field(&mut self, key: &str, test: &Filter, place: &mut PathNode, above: Above) {
        if !key.contains('.') {
            let field = self.place(place, key);
            return self.compile(test, field, above);
        }
        let either = self.junction(2, true, above);
        let literal = self.junction(2, false, either);
        let path = self.junction(2, false, either);
        let field = self.place(place, key);
        field.tests.push((Test::Exists, literal));
        field.tests.push((Test::Exists, Above { negated: true, ..path }));
        self.compile(test, field, literal);
        let end = key.split('.').fold(place, |place, key| self.place(place, key));
        self.compile(test, end, path);
    }

    fn junction(&mut self, parts: usize, decisive: bool, above: Above) -> Above {
        // The limit of nodes keeps both numbers far below 65,536.
        let junction = self.junctions.len() as u16;
        self.junctions.push(Junction { above, decisive });
        self.open.push(parts as u16);
        Above { junction, negated: false }
    }

    fn place<'p>(&mut self, place: &'p mut PathNode, key: &str) -> &'p mut PathNode {
        let found = place.wanted.binary_search_by(|(wanted, _)| (**wanted).cmp(key.as_bytes()));
        let at = found.unwrap_or_else(|at| {
            let new = PathNode { index: self.places as u16, ..PathNode::default() };
            self.places += 1;
            place.wanted.insert(at, (key.as_bytes().into(), new));
            at
        });
        &mut place.wanted[at].1
    }
}

/// The state of one pass.
struct Row<'p> {
    junctions: &'p [Junction],
    /// Parts of each junction that have not reported; 0 once it is decided.
    open: &'p mut [u16],
    /// Places that have been visited.
    seen: &'p mut [bool],
    result: Option<bool>,
}

impl Row<'_> {
    /// Reports the result of a part to its junction, and from each decided junction to the one above.
    #[inline]
    fn report(&mut self, mut above: Above, mut value: bool) {
        loop {
            value ^= above.negated;
            let index = usize::from(above.junction);
            let junction = &self.junctions[index];
            let open = &mut self.open[index];
            if *open == 0 {
                return;
            }
            *open = if value == junction.decisive { 0 } else { *open - 1 };
            if *open > 0 {
                return;
            }
            if index == 0 {
                self.result = Some(value);
                return;
            }
            above = junction.above;
        }
    }

    /// Runs the tests of `place` on the value at the reader and steps over the value. `None` ends the pass.
    fn visit(&mut self, place: &PathNode, reader: &mut JsonReader<'_>) -> Option<()> {
        let value = reader.value()?;
        for (test, above) in &place.tests {
            if self.open[usize::from(above.junction)] > 0 {
                let holds = test.holds(value)?;
                self.report(*above, holds);
            }
        }
        if self.result.is_some() {
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
                field.tests.iter().for_each(|(test, above)| self.report(*above, test.holds_for_missing()));
                self.miss_wanted(field)?;
            }
        }
        if self.result.is_some() { None } else { Some(()) }
    }
}
