//! A filter as tests at full paths, for an index that answers each test with a set of rows.
//!
//! Invariant: an expression without `SomeArrays` and `Unknown` holds for exactly the values for which its filter does.
//! The size of an expression is bounded as that of the filter: a dotted key, whose nodes count twice, is here twice.

use super::ast::Filter;
use super::compare::Test;
use super::operand::Operand;

/// A filter over tests.
#[derive(Clone, Debug)]
pub(crate) enum Expression {
    /// All parts hold. None holds always.
    All(Vec<Expression>),
    /// At least one part holds.
    Any(Vec<Expression>),
    /// The part does not hold.
    Not(Box<Expression>),
    /// The test holds for the value under these keys, from the outermost on, or for its absence.
    Test { path: Vec<Box<str>>, test: Test },
    /// A test of the elements of an array under these keys, which no other value passes.
    SomeArrays(Vec<Box<str>>),
    /// Anything.
    Unknown,
}

impl Expression {
    /// The expression of a filter that was checked.
    pub(super) fn new(filter: &Filter) -> Self {
        Self::at(filter, &[])
    }

    fn at(filter: &Filter, path: &[Box<str>]) -> Self {
        let test = match filter {
            Filter::All(filters) => return Self::All(filters.iter().map(|filter| Self::at(filter, path)).collect()),
            Filter::Any(filters) => return Self::Any(filters.iter().map(|filter| Self::at(filter, path)).collect()),
            Filter::Not(inner) => return Self::Not(Box::new(Self::at(inner, path))),
            Filter::Field { key, test } => return Self::field(key, test, path),
            Filter::Object(inner) => {
                return Self::All(vec![Self::test(Test::IsObject, path.to_vec()), Self::at(inner, path)]);
            }
            // What an item has beside its value is in no index of values.
            Filter::Item(_) => return Self::Unknown,
            Filter::Element(_) => return Self::SomeArrays(path.to_vec()),
            Filter::Exists => Test::Exists,
            Filter::Equal(literal) => Test::Equal(Operand::new(literal)),
            Filter::EqualIgnoringCase(text) => Test::equal_ignoring_case(text),
            Filter::In(literals) => Test::In(literals.prepared()),
            Filter::Range(range, literal) => Test::Range(*range, Operand::new(literal)),
            Filter::StartsWith(prefix) => Test::StartsWith(prefix.as_str().into()),
            Filter::Contains(literal) => Test::Contains(Operand::new(literal)),
            Filter::ContainsAll(literals) => Test::ContainsAll(literals.prepared()),
            Filter::Size { least, most } => Test::Size { least: *least, most: *most },
        };
        Self::test(test, path.to_vec())
    }

    fn test(test: Test, path: Vec<Box<str>>) -> Self {
        Self::Test { path, test }
    }

    /// A dotted key is the field of exactly that name, if there is one, else the path.
    fn field(key: &str, test: &Filter, path: &[Box<str>]) -> Self {
        let below = |keys: &mut dyn Iterator<Item = &str>| -> Vec<Box<str>> {
            path.iter().cloned().chain(keys.map(Box::from)).collect()
        };
        let literal = below(&mut std::iter::once(key));
        if !key.contains('.') {
            return Self::at(test, &literal);
        }
        let exists = Self::test(Test::Exists, literal.clone());
        let split = below(&mut key.split('.'));
        Self::Any(vec![
            Self::All(vec![exists.clone(), Self::at(test, &literal)]),
            Self::All(vec![Self::Not(Box::new(exists)), Self::at(test, &split)]),
        ])
    }
}
