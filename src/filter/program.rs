//! Compiling a filter to places and junctions. `evaluate` says how the two work together.
//!
//! Invariant: the limit of nodes bounds places and junctions, also those of a program of elements by itself.

use super::FILTER_NODES_MAX;
use super::ast::Filter;
use super::compare::Test;
use super::item::{ItemTest, PreparedItemTest};
use super::junctions::{Above, Junction, Reports};
use super::operand::Operand;

/// The most junctions or places of a filter. Each node makes at most one junction and one place, and the root one more
/// of each. (A dotted key counts more nodes, for its two copies.)
pub(super) const LARGE: usize = FILTER_NODES_MAX + 1;

/// What of an item a filter asks for, beside the value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct AskedOfItem {
    pub created_at: bool,
    pub updated_at: bool,
    pub expires_at: bool,
    pub key: bool,
}

impl AskedOfItem {
    #[inline]
    pub fn is_nothing(self) -> bool {
        self == Self::default()
    }

    fn add(&mut self, test: &ItemTest) {
        match test {
            ItemTest::CreatedAt(..) => self.created_at = true,
            ItemTest::UpdatedAt(..) => self.updated_at = true,
            ItemTest::ExpiresAt(..) | ItemTest::Expires => self.expires_at = true,
            ItemTest::KeyStartsWith(_) | ItemTest::KeyIn(_) => self.key = true,
        }
    }
}

/// A compiled filter, or the compiled filter of elements inside of one.
#[derive(Clone, Debug)]
pub(super) struct Program {
    /// An element may be any value; a value is an object.
    pub(super) is_of_elements: bool,
    pub(super) root: PathNode,
    pub(super) places: usize,
    pub(super) junctions: Vec<Junction>,
    /// The number of open parts of each junction at the start of a pass.
    pub(super) open: Vec<u16>,
    /// Tests of the item. A program of elements has none.
    pub(super) item_tests: Vec<(PreparedItemTest, Above)>,
    /// The result, if it does not depend on the item.
    pub(super) constant: Option<bool>,
}

/// A test of the value at a place.
#[derive(Clone, Debug)]
pub(super) enum PlaceTest {
    Value(Test),
    /// An element of the array there satisfies the program.
    Element(Box<Program>),
}

/// A place: a path in the values that the filter tests.
#[derive(Clone, Debug, Default)]
pub(super) struct PathNode {
    pub(super) index: u16,
    pub(super) tests: Vec<(PlaceTest, Above)>,
    /// The wanted keys of an object here, sorted.
    pub(super) wanted: Vec<(Box<[u8]>, PathNode)>,
}

impl Program {
    pub(super) fn new(filter: &Filter, is_of_elements: bool, asked: &mut AskedOfItem) -> Self {
        let whole = Above { junction: 0, negated: false };
        let mut compiler = Compiler {
            places: 1,
            junctions: vec![Junction { above: whole, decisive: false }],
            open: vec![1],
            item_tests: Vec::new(),
            constants: Vec::new(),
            asked,
        };
        let mut root = PathNode::default();
        compiler.compile(filter, &mut root, whole);
        let Compiler { places, junctions, open, item_tests, constants, .. } = compiler;
        debug_assert!(junctions.len().max(places) <= LARGE);
        let (open_at_start, constant) = (Vec::new(), None);
        let mut program = Self { is_of_elements, root, places, junctions, open: open_at_start, item_tests, constant };
        let mut reports = Reports { junctions: &program.junctions, open: &mut open.clone(), result: None };
        for (above, value) in constants {
            reports.add(above, value);
        }
        program.constant = reports.result;
        program.open = reports.open.to_vec();
        program
    }
}

impl PlaceTest {
    pub(super) fn holds_for_missing(&self) -> bool {
        match self {
            Self::Value(test) => test.holds_for_missing(),
            Self::Element(_) => false,
        }
    }
}

struct Compiler<'a> {
    places: usize,
    junctions: Vec<Junction>,
    open: Vec<u16>,
    item_tests: Vec<(PreparedItemTest, Above)>,
    constants: Vec<(Above, bool)>,
    asked: &'a mut AskedOfItem,
}

impl Compiler<'_> {
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
                place.tests.push((PlaceTest::Value(Test::IsObject), both));
                return self.compile(inner, place, both);
            }
            Filter::Field { key, test } => return self.compile_field(key, test, place, above),
            Filter::Element(inner) => {
                let program = Program::new(inner, true, self.asked);
                return place.tests.push((PlaceTest::Element(Box::new(program)), above));
            }
            Filter::Item(test) => {
                self.asked.add(test);
                return self.item_tests.push((PreparedItemTest::new(test), above));
            }
            Filter::Exists => Test::Exists,
            Filter::Equal(literal) => Test::Equal(Operand::new(literal)),
            Filter::EqualIgnoringCase(string) => Test::equal_ignoring_case(string),
            Filter::In(literals) => Test::In(literals.prepared()),
            Filter::Range(range, literal) => Test::Range(*range, Operand::new(literal)),
            Filter::Contains(literal) => Test::Contains(Operand::new(literal)),
            Filter::StartsWith(prefix) => Test::StartsWith(prefix.as_str().into()),
            Filter::ContainsAll(literals) => Test::ContainsAll(literals.prepared()),
            Filter::Size { least, most } => Test::Size { least: *least, most: *most },
        };
        place.tests.push((PlaceTest::Value(test), above));
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
        field.tests.push((PlaceTest::Value(Test::Exists), literal));
        field.tests.push((PlaceTest::Value(Test::Exists), Above { negated: true, ..path }));
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
