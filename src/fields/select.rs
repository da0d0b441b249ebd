//! Which fields of a value a read returns.
//!
//! Invariants:
//! * What is left of a value is a JSON object: its members in their order, each byte for byte as it was given, objects
//!   rebuilt down to the selected fields. Fields that a value does not have are left out, and so is an object in which
//!   nothing is selected.
//! * One pass reads the value, and two where a selected path has dots.

use std::sync::Arc;

use crate::error::{Error, Limit, Result};
use crate::fields::path::FieldPath;
use crate::json::{JsonReader, Raw, Text};
use crate::types::limits;

/// Which part of the values a read returns.
///
/// ```
/// use vecmem::{Namespace, Options, Put, ReadOptions, Select, Store};
///
/// let store = Store::temporary(Options::new())?;
/// let notes = Namespace::new(["notes"])?;
/// store.put(Put::new(&notes, "tea", r#"{"text": "a long text", "from": {"name": "ada", "age": 36}}"#))?;
/// let options = |select| ReadOptions { select, ..ReadOptions::default() };
/// let name = store.get_with(&notes, "tea", &options(Select::fields(["from.name"])?))?.unwrap();
/// assert_eq!(&*name.value, r#"{"from":{"name":"ada"}}"#);
/// let nothing = store.get_with(&notes, "tea", &options(Select::None))?.unwrap();
/// assert_eq!((nothing.key.as_str(), &*nothing.value), ("tea", "{}"));
/// # Ok::<(), vecmem::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Select {
    /// The whole value, byte for byte as given.
    #[default]
    All,
    /// Nothing of it: the value of each item is `{}`. No value is read, so a damaged one does no harm.
    None,
    /// Some fields.
    Fields(Projection),
}

impl Select {
    /// The fields at these paths; [`Select::None`] for none. Errors: those of [`FieldPath::new`], and `Limit` for more
    /// than [`limits::SELECTED_PATHS`].
    pub fn fields<P: AsRef<str>>(paths: impl IntoIterator<Item = P>) -> Result<Self> {
        let mut parsed = Vec::new();
        for path in paths {
            if parsed.len() == limits::SELECTED_PATHS {
                let (count, most) = (parsed.len() + 1, limits::SELECTED_PATHS);
                return Err(Error::limit(Limit::SelectedPaths, "paths to select", count, most));
            }
            parsed.push(FieldPath::new(path.as_ref())?);
        }
        Ok(if parsed.is_empty() { Self::None } else { Self::Fields(Projection::new(parsed)) })
    }
}

/// The fields of a [`Select`], prepared for many values. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Projection(Arc<SelectedFields>);

impl PartialEq for Projection {
    fn eq(&self, other: &Self) -> bool {
        self.0.paths == other.0.paths
    }
}

#[derive(Debug)]
struct SelectedFields {
    paths: Vec<FieldPath>,
    has_dots: bool,
    root: Branch,
}

/// A place in values on the way to selected fields.
#[derive(Debug, Default)]
struct Branch {
    /// The paths that end here, and whether each of them is a name with dots rather than a path.
    ends: Vec<(usize, bool)>,
    /// Sorted by name.
    below: Vec<(Box<str>, Branch)>,
}

impl Branch {
    fn add<'p>(&mut self, mut names: impl Iterator<Item = &'p str>, path: usize, is_name: bool) {
        let Some(name) = names.next() else { return self.ends.push((path, is_name)) };
        let at = match self.below.binary_search_by(|(other, _)| (**other).cmp(name)) {
            Ok(at) => at,
            Err(at) => {
                self.below.insert(at, (name.into(), Self::default()));
                at
            }
        };
        self.below[at].1.add(names, path, is_name);
    }

    fn find(&self, name: Text<'_>) -> Option<&Self> {
        let found = self.below.binary_search_by(|(other, _)| name.compare(other.as_bytes()).reverse());
        found.ok().map(|at| &self.below[at].1)
    }
}

impl Projection {
    fn new(paths: Vec<FieldPath>) -> Self {
        let mut root = Branch::default();
        for (number, path) in paths.iter().enumerate() {
            root.add(std::iter::once(path.as_str()), number, true);
            if !path.components().is_empty() {
                root.add(path.components().iter().map(|component| &**component), number, false);
            }
        }
        let has_dots = paths.iter().any(|path| !path.components().is_empty());
        Self(Arc::new(SelectedFields { paths, has_dots, root }))
    }

    /// What is left of a value, given as the bytes of a JSON object; `None` if it is none.
    pub(crate) fn of(&self, value: &[u8]) -> Option<String> {
        let fields = &*self.0;
        let Raw::Object(_) = JsonReader::new(value).value()? else { return None };
        let mut is_name = Vec::new();
        if fields.has_dots {
            is_name.resize(fields.paths.len(), false);
            fields.find_names(value, &mut is_name)?;
        }
        let (mut out, mut reader) = (Vec::new(), JsonReader::new(value));
        SelectionWalk { value, is_name: &is_name, out: &mut out }.object(&fields.root, &mut reader)?;
        if out.is_empty() {
            out.extend_from_slice(b"{}");
        }
        String::from_utf8(out).ok()
    }
}

impl SelectedFields {
    /// Sets for each path whether the value has a field with all of it as its name.
    fn find_names(&self, value: &[u8], is_name: &mut [bool]) -> Option<()> {
        let mut reader = JsonReader::new(value);
        let mut more = reader.enter()?;
        while more {
            let ends = self.root.find(reader.key()?).into_iter().flat_map(|branch| &branch.ends);
            ends.filter(|(_, is_name)| *is_name).for_each(|(path, _)| is_name[*path] = true);
            reader.skip()?;
            more = reader.more()?;
        }
        Some(())
    }
}

/// A walk through one value.
struct SelectionWalk<'w> {
    value: &'w [u8],
    /// Whether the value has a field that the path names as a whole; empty if no path has dots.
    is_name: &'w [bool],
    out: &'w mut Vec<u8>,
}

impl SelectionWalk<'_> {
    /// Writes what is selected of the object at the reader, if anything, and steps over it.
    fn object(&mut self, branch: &Branch, reader: &mut JsonReader<'_>) -> Option<()> {
        let (start, mut more) = (self.out.len(), reader.enter()?);
        while more {
            let from = reader.position();
            let found = branch.find(reader.key()?);
            let before = self.out.len();
            match found {
                Some(branch) => {
                    self.out.push(if before == start { b'{' } else { b',' });
                    self.out.extend_from_slice(self.value.get(from..reader.position())?.trim_ascii());
                    if !self.member(branch, reader)? {
                        self.out.truncate(before);
                    }
                }
                None => reader.skip()?,
            }
            more = reader.more()?;
        }
        if self.out.len() > start {
            self.out.push(b'}');
        }
        Some(())
    }

    /// Writes what is selected of the value at the reader, and steps over it. Returns whether there was anything.
    fn member(&mut self, branch: &Branch, reader: &mut JsonReader<'_>) -> Option<bool> {
        let taken = |&(path, is_name): &(usize, bool)| is_name || !self.is_name.get(path).is_some_and(|name| *name);
        let (is_whole, before) = (branch.ends.iter().any(taken), self.out.len());
        let from = reader.position();
        let value = reader.value()?;
        if let Raw::Object(_) = value
            && !is_whole
            && !branch.below.is_empty()
        {
            self.object(branch, reader)?;
            return Some(self.out.len() > before);
        }
        if let Raw::Array(_) | Raw::Object(_) = value {
            reader.skip()?;
        }
        if is_whole {
            self.out.extend_from_slice(self.value.get(from..reader.position())?.trim_ascii());
        }
        Some(is_whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::random::Random;

    fn left(paths: &[&str], value: &str) -> String {
        match Select::fields(paths).unwrap() {
            Select::Fields(projection) => projection.of(value.as_bytes()).unwrap(),
            Select::All | Select::None => "{}".to_owned(),
        }
    }

    #[test]
    fn what_is_left_of_a_value() {
        let value = r#" { "a" : { "b" : [1, 2.50] , "c":{"d":null,"e" : "\u0065"}, "x.y": 1}, "s": "t", "a.b" : true,"n": -0.0 } "#;
        for (paths, expected) in [
            (&["s"][..], r#"{"s":"t"}"#),
            (&["n", "s", "n"], r#"{"s":"t","n":-0.0}"#),
            (&["a.b"], r#"{"a.b" :true}"#),
            (&["a.c.e"], r#"{"a" :{"c":{"e" :"\u0065"}}}"#),
            (&["a.c", "a.c.d"], r#"{"a" :{"c":{"d":null,"e" : "\u0065"}}}"#),
            (&["a.c.d.x", "a.b.c", "s.t", "missing"], "{}"),
            (&["a.x.y"], "{}"),
            (&["a.c.d", "s"], r#"{"a" :{"c":{"d":null}},"s":"t"}"#),
            (&[], "{}"),
        ] {
            assert_eq!(left(paths, value), expected, "{paths:?}");
        }
        assert_eq!(left(&["a"], r#"{"a":{}}"#), r#"{"a":{}}"#);
        assert_eq!(left(&["a.b"], r#"{"a":{"b":{}}}"#), r#"{"a":{"b":{}}}"#);
    }

    #[test]
    fn random_values_keep_exactly_what_their_paths_find() {
        println!("seed 8");
        let mut random = Random::new(8);
        let names = ["a", "b", "c", "a.b", "b.c", "a.b.c"];
        fn value(random: &mut Random, depth: usize) -> serde_json::Value {
            match random.below(if depth == 0 { 3 } else { 7 }) {
                0 => serde_json::Value::Null,
                1 => random.below(9).into(),
                2 => serde_json::json!([{"a": 1}]),
                _ => {
                    let names = ["a", "b", "c", "a.b", "b.c", "a.b.c"];
                    let count = random.below(4) as usize;
                    let members = (0..count).map(|_| ((*random.pick(&names)).to_owned(), value(random, depth - 1)));
                    serde_json::Value::Object(members.collect())
                }
            }
        }
        for _ in 0..5_000 {
            let whole = serde_json::json!({"a": value(&mut random, 3), "b": value(&mut random, 3), "a.b": 1});
            let mut whole = whole.as_object().unwrap().clone();
            if random.below(2) == 0 {
                whole.remove("a.b");
            }
            let text = serde_json::Value::Object(whole.clone()).to_string();
            let count = 1 + random.below(3) as usize;
            let paths: Vec<&str> = (0..count).map(|_| *random.pick(&names)).collect();
            let mut expected = serde_json::Map::new();
            for path in &paths {
                insert(&mut expected, &whole, path);
            }
            let found: serde_json::Value = serde_json::from_str(&left(&paths, &text)).unwrap();
            assert_eq!(found, serde_json::Value::Object(expected), "{paths:?} of {text}");
        }
    }

    /// Copies the field at `path`, if there is one, with the objects around it.
    fn insert(
        to: &mut serde_json::Map<String, serde_json::Value>,
        from: &serde_json::Map<String, serde_json::Value>,
        path: &str,
    ) {
        let names: Vec<&str> = if from.contains_key(path) { vec![path] } else { path.split('.').collect() };
        let [around @ .., last] = names.as_slice() else { return };
        let mut source = from;
        for name in around {
            let Some(next) = source.get(*name).and_then(|next| next.as_object()) else { return };
            source = next;
        }
        let Some(value) = source.get(*last) else { return };
        let mut target = to;
        for name in around {
            let next = target.entry(*name).or_insert_with(|| serde_json::json!({}));
            target = next.as_object_mut().unwrap();
        }
        target.insert((*last).to_owned(), value.clone());
    }

    #[test]
    fn bytes_that_are_no_object_are_none_and_too_many_paths_are_refused() {
        let Select::Fields(projection) = Select::fields(["a.b", "c"]).unwrap() else { panic!("no fields") };
        let whole = br#"{"a": {"b": [1, {"x": "y"}]}, "c": "d", "e": {"f": 1}}"#;
        for end in 0..whole.len() {
            assert!(projection.of(&whole[..end]).is_none());
        }
        assert!(projection.of(b"[]").is_none());
        let many: Vec<String> = (0..=limits::SELECTED_PATHS).map(|number| format!("f{number}")).collect();
        assert_eq!(Select::fields(&many).unwrap_err().kind(), ErrorKind::Limit(Limit::SelectedPaths));
        assert!(Select::fields(&many[1..]).is_ok());
    }
}
