//! What the errors of a filter say: the place in the filter, the name that is wrong, and the names that were meant.
//!
//! Invariant: each text here is of bounded length, whatever the filter holds.

use std::fmt;

use crate::error::Error;

/// Names that begin with `$`: the operators, and [`DATE`].
pub(super) const NAMES: [&str; 20] = [
    "$eq",
    "$ne",
    "$gt",
    "$gte",
    "$lt",
    "$lte",
    "$in",
    "$nin",
    "$ieq",
    "$starts_with",
    "$contains",
    "$all",
    "$size",
    "$elem_match",
    "$exists",
    "$and",
    "$or",
    "$not",
    "$item",
    DATE,
];

/// The key of a date. It is no operator: it stands in a value to compare with.
pub(super) const DATE: &str = "$date";

/// Names of other languages, and those here.
const FOREIGN: [(&str, &str); 25] = [
    ("$==", "$eq"),
    ("$!=", "$ne"),
    ("$ge", "$gte"),
    ("$le", "$lte"),
    ("$neq", "$ne"),
    ("$notin", "$nin"),
    ("$not_in", "$nin"),
    ("$has", "$contains"),
    ("$includes", "$contains"),
    ("$elemmatch", "$elem_match"),
    ("$any", "$elem_match"),
    ("$startswith", "$starts_with"),
    ("$prefix", "$starts_with"),
    ("$contains_all", "$all"),
    ("$has_all", "$all"),
    ("$length", "$size"),
    ("$len", "$size"),
    ("$eqi", "$ieq"),
    ("$ilike", "$ieq"),
    ("$iexact", "$ieq"),
    ("$strcasecmp", "$ieq"),
    ("$datetime", "$date"),
    ("$timestamp", "$date"),
    ("$meta", "$item"),
    ("$metadata", "$item"),
];

/// The most characters of a key in a message.
const KEY_CHARACTERS_MAX: usize = 80;
/// The most characters of a place in a message.
const PLACE_CHARACTERS_MAX: usize = 200;
/// The longest name that is compared with the names of operators.
const MISSPELT_BYTES_MAX: usize = 16;
/// The most operators that one hint names.
const HINTS_MAX: usize = 3;

/// A place in the filter.
#[derive(Clone, Copy)]
pub(super) struct ParsePlace<'a> {
    parent: Option<&'a ParsePlace<'a>>,
    name: Name<'a>,
}

#[derive(Clone, Copy)]
enum Name<'a> {
    Root,
    Key(&'a str),
    Index(usize),
}

impl<'a> ParsePlace<'a> {
    pub(super) const ROOT: ParsePlace<'static> = ParsePlace { parent: None, name: Name::Root };

    pub(super) fn key(&'a self, key: &'a str) -> ParsePlace<'a> {
        ParsePlace { parent: Some(self), name: Name::Key(key) }
    }

    pub(super) fn index(&'a self, index: usize) -> ParsePlace<'a> {
        ParsePlace { parent: Some(self), name: Name::Index(index) }
    }

    pub(super) fn is_root(&self) -> bool {
        self.parent.is_none()
    }

    /// Whether the place is below an operator that negates. No field has the name of an operator.
    pub(super) fn is_negated(&self) -> bool {
        matches!(self.name, Name::Key("$not" | "$ne" | "$nin")) || self.parent.is_some_and(ParsePlace::is_negated)
    }

    pub(super) fn error(&self, message: impl fmt::Display) -> Error {
        Error::invalid(format!("{self}: {message}"))
    }

    /// A name that stands where an operator should, and why it is none there.
    pub(super) fn unsupported(&self, name: &str, why: impl fmt::Display) -> Error {
        self.error(format_args!("Unsupported operator: {}; {why}", shown(name)))
    }

    /// The names from the root to the place.
    fn path(&self) -> String {
        let parents = self.parent.map(ParsePlace::path);
        match self.name {
            Name::Root => "filter".into(),
            Name::Key(key) => parents.unwrap_or_default() + "." + &shown(key),
            Name::Index(index) => format!("{}[{index}]", parents.unwrap_or_default()),
        }
    }
}

/// The names from the root to the place. The middle of a long path is left out.
impl fmt::Display for ParsePlace<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path();
        let characters = path.chars().count();
        if characters <= PLACE_CHARACTERS_MAX {
            return f.write_str(&path);
        }
        let half = PLACE_CHARACTERS_MAX / 2;
        let beginning: String = path.chars().take(half).collect();
        let end: String = path.chars().skip(characters - half).collect();
        write!(f, "{beginning}...{end}")
    }
}

/// A key, with control characters escaped, and cut if it is long.
pub(super) fn shown(key: &str) -> String {
    let mut characters = key.chars().flat_map(char::escape_debug);
    let mut text: String = characters.by_ref().take(KEY_CHARACTERS_MAX).collect();
    if characters.next().is_some() {
        text.push_str("...");
    }
    text
}

pub(super) fn is_operator(name: &str) -> bool {
    name != DATE && NAMES.contains(&name)
}

/// What to write instead of a name that is no operator.
pub(super) fn hint(name: &str) -> String {
    let near = nearest_operators(name);
    if near.is_empty() {
        format!("there are {}", NAMES.join(", "))
    } else {
        format!("did you mean {}?", near.join(" or "))
    }
}

/// The operators that somebody may have meant by `name`.
fn nearest_operators(name: &str) -> Vec<&'static str> {
    if name.len() > MISSPELT_BYTES_MAX {
        return Vec::new();
    }
    let name = name.to_lowercase();
    if let Some((_, meant)) = FOREIGN.iter().find(|(foreign, _)| *foreign == name) {
        return vec![meant];
    }
    let typos_max = if name.chars().count() <= 5 { 1 } else { 2 };
    let typos = NAMES.map(|operator| typos_between(&name, operator));
    let fewest = typos.into_iter().min().filter(|fewest| *fewest <= typos_max);
    let near: Vec<_> =
        NAMES.into_iter().zip(typos).filter(|(_, typos)| Some(*typos) == fewest).map(|(name, _)| name).collect();
    if near.len() > HINTS_MAX { Vec::new() } else { near }
}

/// How many characters must be inserted, removed, replaced, or exchanged with the next one, to make `b` of `a`.
fn typos_between(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    // `table[i][j]` is the answer for the first `i` characters of `a` and the first `j` of `b`.
    let mut table = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            table[i][j] = if i == 0 || j == 0 {
                i + j
            } else {
                let replaced = table[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
                let one_more = table[i - 1][j].min(table[i][j - 1]) + 1;
                let is_exchange = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
                let exchanged = if is_exchange { table[i - 2][j - 2] + 1 } else { usize::MAX };
                replaced.min(one_more).min(exchanged)
            };
        }
    }
    table[a.len()][b.len()]
}

/// Why no value has anything under a key of the language; `None` if one may. A key without dots is a name, and may be
/// empty.
pub(super) fn key_fault(key: &str) -> Option<String> {
    if key.contains(|character: char| character.is_control() || matches!(character, '\'' | '"' | '(' | ')')) {
        return Some("it holds a quote, a parenthesis or a control character".into());
    }
    let (parent, _) = key.rsplit_once('.')?;
    if key.split('.').any(str::is_empty) {
        return Some("a component of its path is empty".into());
    }
    let component = key.split('.').find(|component| component.starts_with('$'))?;
    let name = shown(component);
    Some(if is_operator(component) && key.len() == parent.len() + 1 + component.len() {
        format!("its component {name} is an operator; write {{\"{}\": {{\"{name}\": ...}}}}", shown(parent))
    } else if is_operator(component) {
        format!("its component {name} is an operator, and no name of a field")
    } else {
        format!("its component {name} begins with $, and no name of a field may; {}", hint(component))
    })
}

/// What is wrong with a key of a filter that functions have built. Such a key may name any field, unless it is an
/// operator or a path that ends in one.
pub(super) fn built_key_fault(key: &str) -> Option<String> {
    let component = key.rsplit('.').next().filter(|component| is_operator(component))?;
    Some(format!("filter: Invalid filter key {}: its component {component} is an operator", shown(key)))
}

#[cfg(test)]
mod tests {
    use super::{NAMES, nearest_operators, typos_between};

    #[test]
    fn misspelt_operators_are_recognized() {
        for (name, meant) in [
            ("$gtt", "$gt $gte"),
            ("$GTE", "$gte"),
            ("$ge", "$gte"),
            ("$exist", "$exists"),
            ("$conatins", "$contains"),
            ("$contain", "$contains"),
            ("$neq", "$ne"),
            ("$nand", "$and"),
            ("$near", ""),
            ("$regex", ""),
            ("$x", ""),
            ("$", ""),
            ("name", ""),
            ("$a name that is longer than any operator", ""),
        ] {
            assert_eq!(nearest_operators(name).join(" "), meant, "{name}");
        }
        for operator in NAMES {
            assert_eq!(nearest_operators(operator), [operator]);
        }
    }

    #[test]
    fn typos_are_counted_as_people_make_them() {
        for (a, b, typos) in
            [("", "", 0), ("", "abc", 3), ("abc", "acb", 1), ("abc", "ab", 1), ("kitten", "sitting", 3)]
        {
            assert_eq!((typos_between(a, b), typos_between(b, a)), (typos, typos), "{a} {b}");
        }
    }
}
