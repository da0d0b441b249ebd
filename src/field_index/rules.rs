//! Which paths an index leaves out, and which it keeps before all others: the choice of whoever owns the store.
//!
//! A rule names a path by its keys with dots between, as filters and statistics do. So `a.b` is the field `b` below `a`
//! as well as a field whose name is `a.b`. A rule covers its path, the elements of the arrays there, and everything
//! below. `a.*` covers what is below `a`, and not `a` itself; `*` covers everything. Of several rules that cover a
//! path, the longest decides, and `a.*` is longer than `a`.
//!
//! Invariants:
//! * Rules were checked when they were made: their number and their bytes are bounded, each path has one rule, and each
//!   list is in order. So equal rules have equal bytes.
//! * Rules change which filters are answered without values, and no answer.
//!
//! # Format
//!
//! The excluded paths, then the forced ones: for each list a u32 number, and for each path a u32 length and its bytes.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::codec::{Decoded, Reader, Writer};
use crate::error::{Error, ErrorKind, Limit, Result};
use crate::field_index::path;
use crate::types::limits;
use crate::words::counted;

/// The most bytes of encoded rules.
pub(super) const RULES_BYTES_MAX: usize = 8 + limits::FIELD_RULES * (4 + limits::FIELD_RULE_BYTES);

/// Which paths of values the field indexes leave out, and which they keep before all others.
///
/// Each segment of a store has an index of the fields of its values, made without a schema. It has every path up to
/// limits: the 1,024 paths that most rows have, and the first 4,096 values of a row. Filters on other paths read
/// values. Rules change that choice, and no answer of any search:
///
/// * an **excluded** path is never indexed. That saves space and time where nobody filters by it;
/// * a **forced** path is indexed even where the limits leave it out. Forced paths count first against the limit of
///   paths, and have a limit of values of their own.
///
/// A path is written like that of a filter, its keys with dots between: `user.name`. A rule covers its path, the
/// elements of arrays there, and everything below. `user.*` covers what is below `user`, but not `user` itself; `*`
/// covers everything. Where several rules cover a path, the longest decides. So the first rules below index `kind` and
/// nothing else:
///
/// ```
/// use vecmem::FieldRules;
///
/// let rules = FieldRules::new(["*"], ["kind"])?;
/// let rules = FieldRules::new(["raw_html", "metadata.*"], ["metadata.user"])?;
/// assert_eq!(rules.excluded(), ["metadata.*", "raw_html"]);
/// assert!(FieldRules::new(["kind"], ["kind"]).is_err());
/// # Ok::<(), vecmem::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "GivenRules")]
pub struct FieldRules {
    exclude: Vec<String>,
    force: Vec<String>,
}

/// Rules as JSON has them, unchecked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GivenRules {
    #[serde(default)]
    exclude: Vec<String>,
    #[serde(default)]
    force: Vec<String>,
}

impl TryFrom<GivenRules> for FieldRules {
    type Error = Error;

    fn try_from(given: GivenRules) -> Result<Self> {
        Self::new(given.exclude, given.force)
    }
}

impl FieldRules {
    /// Rules that exclude and force these paths. Without any, the limits alone decide.
    ///
    /// # Errors
    ///
    /// [`Limit::FieldRules`] for more than 128 paths ([`limits::FIELD_RULES`]), [`Limit::FieldRuleBytes`] for a path of
    /// more than 256 bytes, [`ErrorKind::InvalidInput`] for an empty one, one with `*` before its end, one that ends
    /// with `[]`, and one that is there twice or both excluded and forced.
    pub fn new<E: Into<String>, F: Into<String>>(
        exclude: impl IntoIterator<Item = E>,
        force: impl IntoIterator<Item = F>,
    ) -> Result<Self> {
        // One more than allowed is enough to refuse them.
        let mut left = limits::FIELD_RULES + 1;
        let mut exclude: Vec<String> = exclude.into_iter().take(left).map(Into::into).collect();
        left -= exclude.len();
        let mut force: Vec<String> = force.into_iter().take(left).map(Into::into).collect();
        if exclude.len() + force.len() > limits::FIELD_RULES {
            let message =
                format!("field rules may have {}; name an object above them", counted(limits::FIELD_RULES, "path"));
            return Err(Error::new(ErrorKind::Limit(Limit::FieldRules), message));
        }
        exclude.iter().chain(&force).try_for_each(|path| check_path(path))?;
        exclude.sort_unstable();
        force.sort_unstable();
        for list in [&exclude, &force] {
            if let Some((path, _)) = list.iter().zip(list.iter().skip(1)).find(|(one, next)| one == next) {
                return Err(Error::invalid(format!("field rules: the path {path:?} is there twice")));
            }
        }
        match exclude.iter().find(|path| force.binary_search(path).is_ok()) {
            Some(path) => Err(Error::invalid(format!("field rules: the path {path:?} is both excluded and forced"))),
            None => Ok(Self { exclude, force }),
        }
    }

    /// Reads `{"exclude": [paths], "force": [paths]}`. Either may be missing.
    pub(crate) fn from_json(json: &str) -> Result<Self> {
        let given: GivenRules = serde_json::from_str(json).map_err(|error| {
            Error::invalid(format!(r#"field rules are {{"exclude": [paths], "force": [paths]}}: {error}"#))
        })?;
        given.try_into()
    }

    /// The paths that are never indexed, in order.
    pub fn excluded(&self) -> &[String] {
        &self.exclude
    }

    /// The paths that are indexed before all others, in order.
    pub fn forced(&self) -> &[String] {
        &self.force
    }

    /// Whether the limits alone decide.
    pub fn is_empty(&self) -> bool {
        self.exclude.is_empty() && self.force.is_empty()
    }

    pub(super) fn write(&self, out: &mut Writer) {
        for list in [&self.exclude, &self.force] {
            out.count(list.len());
            list.iter().for_each(|path| out.prefixed(path.as_bytes()));
        }
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Decoded<Self> {
        let mut lists = [Vec::new(), Vec::new()];
        for list in &mut lists {
            for _ in 0..reader.count(4, limits::FIELD_RULES)? {
                list.push(reader.text(limits::FIELD_RULE_BYTES)?);
            }
        }
        let [exclude, force] = lists;
        let rules = Self::new(exclude.iter().copied(), force.iter().copied());
        let is_in_order = |rules: &Self| rules.exclude == exclude && rules.force == force;
        rules.ok().filter(is_in_order).ok_or_else(|| reader.malformed("the field rules of an index are none"))
    }
}

/// As JSON, with both lists.
impl fmt::Display for FieldRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(self).map_err(|_| fmt::Error)?)
    }
}

fn check_path(path: &str) -> Result<()> {
    if path.len() > limits::FIELD_RULE_BYTES {
        let what = "bytes of a path in field rules";
        return Err(Error::limit(Limit::FieldRuleBytes, what, path.len(), limits::FIELD_RULE_BYTES));
    }
    let (above, last) = path.rsplit_once('.').unwrap_or(("", path));
    let why = if path.is_empty() {
        "is empty; `*` is everything"
    } else if above.split('.').any(|key| key == "*") {
        "has a `*` before its end; a rule covers everything below its path"
    } else if last.ends_with("[]") {
        "ends with `[]`; leave that out, a rule covers the elements of arrays"
    } else {
        return Ok(());
    };
    Err(Error::invalid(format!("field rules: the path {path:?} {why}")))
}

/// What rules say of a path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum PathChoice {
    /// The limits decide.
    #[default]
    Automatic,
    Excluded,
    Forced,
}

/// What rules say of a path and of what is below it, as far as no longer rule says something else.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Chosen {
    pub here: PathChoice,
    below: PathChoice,
}

/// Rules prepared for a walk through values.
#[derive(Debug, Default)]
pub(crate) struct PreparedRules {
    rules: FieldRules,
    by_path: BTreeMap<String, Chosen>,
    root: Chosen,
    has_forced: bool,
}

impl PreparedRules {
    pub fn new(rules: FieldRules) -> Self {
        let mut by_path: BTreeMap<String, Chosen> = BTreeMap::new();
        let chosen = |choice| move |path: &String| (path.clone(), choice);
        let all = rules
            .exclude
            .iter()
            .map(chosen(PathChoice::Excluded))
            .chain(rules.force.iter().map(chosen(PathChoice::Forced)));
        let mut root = Chosen::default();
        for (path, choice) in all {
            match path.strip_suffix(".*") {
                _ if path == "*" => root = Chosen { here: choice, below: choice },
                Some(above) => by_path.entry(above.to_owned()).or_default().below = choice,
                None => by_path.entry(path).or_default().here = choice,
            }
        }
        let has_forced = !rules.force.is_empty();
        Self { rules, by_path, root, has_forced }
    }

    pub fn rules(&self) -> &FieldRules {
        &self.rules
    }

    /// Whether the limits alone decide.
    pub(super) fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    pub(super) fn has_forced(&self) -> bool {
        self.has_forced
    }

    /// What the rules say of the whole value.
    pub(super) fn root(&self) -> Chosen {
        self.root
    }

    /// What the rules say of the path `joined`, whose last key begins at `from`, below a path of which they say
    /// `above`. A key may have dots.
    pub(super) fn below(&self, above: Chosen, joined: &str, from: usize) -> Chosen {
        let mut chosen = above;
        let last = joined.get(from..).unwrap_or_default();
        let dots = last.match_indices('.').map(|(at, _)| from + at);
        for end in dots.chain([joined.len()]) {
            let rule = joined.get(..end).and_then(|path| self.by_path.get(path)).copied().unwrap_or_default();
            let or = |own: PathChoice, other: PathChoice| if own == PathChoice::Automatic { other } else { own };
            let here = or(rule.here, chosen.below);
            chosen = Chosen { here, below: or(rule.below, here) };
        }
        chosen
    }

    /// Whether something below the path `joined`, of which the rules say `chosen`, may be indexed.
    pub(super) fn wants_below(&self, chosen: Chosen, joined: &str) -> bool {
        if chosen.below != PathChoice::Excluded {
            return true;
        }
        let below = format!("{joined}.");
        self.has_forced
            && self
                .by_path
                .range(below.clone()..)
                .take_while(|(path, _)| path.starts_with(&below))
                .any(|(_, chosen)| chosen.here == PathChoice::Forced || chosen.below == PathChoice::Forced)
    }

    /// What the rules say of the path with these keys.
    pub(super) fn of_keys<'k>(&self, keys: impl Iterator<Item = &'k str>) -> PathChoice {
        if self.is_empty() {
            return PathChoice::Automatic;
        }
        let (mut joined, mut chosen) = (String::new(), self.root);
        for (number, key) in keys.enumerate() {
            let from = push_joined(&mut joined, key, number == 0);
            chosen = self.below(chosen, &joined, from);
        }
        chosen.here
    }

    /// What the rules say of a path as the index has it.
    pub(super) fn of_path(&self, path: &[u8]) -> PathChoice {
        if self.is_empty() { PathChoice::Automatic } else { self.of_keys(path::keys(path).iter().map(|key| &**key)) }
    }
}

/// Adds a key to a path with dots between its keys. Returns where the key begins.
pub(super) fn push_joined(joined: &mut String, key: &str, is_first: bool) -> usize {
    if !is_first {
        joined.push('.');
    }
    let from = joined.len();
    joined.push_str(key);
    from
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prepared(exclude: &[&str], force: &[&str]) -> PreparedRules {
        PreparedRules::new(FieldRules::new(exclude.iter().copied(), force.iter().copied()).unwrap())
    }

    #[test]
    fn the_longest_rule_decides() {
        use PathChoice::{Automatic, Excluded, Forced};
        let rules = prepared(&["raw", "meta.*", "a.b.c", "x"], &["meta.user", "a.b.*", "x.*"]);
        for (path, choice) in [
            ("raw", Excluded),
            ("raw.html.deep", Excluded),
            ("rawer", Automatic),
            ("meta", Automatic),
            ("meta.size", Excluded),
            ("meta.user", Forced),
            ("meta.user.name", Forced),
            ("meta.username", Excluded),
            ("a", Automatic),
            ("a.b", Automatic),
            ("a.b.c", Excluded),
            ("a.b.c.d", Excluded),
            ("a.b.d", Forced),
            ("x", Excluded),
            ("x.y", Forced),
            ("", Automatic),
        ] {
            // However the text is cut into keys.
            assert_eq!(rules.of_keys(path.split('.')), choice, "{path}");
            assert_eq!(rules.of_keys(std::iter::once(path)), choice, "{path} as one key");
        }
        let only = prepared(&["*"], &["kind", "user.id"]);
        assert_eq!([only.of_keys(["kind"].into_iter()), only.of_keys(["user"].into_iter())], [Forced, Excluded]);
        assert_eq!(only.of_keys(["user", "id"].into_iter()), Forced);
        let excluded = only.below(only.root(), "user", 0);
        assert!(only.wants_below(excluded, "user") && !only.wants_below(excluded, "kinds"));
        assert!(!prepared(&["user"], &[]).wants_below(excluded, "user"));
    }

    #[test]
    fn rules_that_say_nothing_clear_are_refused() {
        let kind = |exclude: &[&str], force: &[&str]| {
            FieldRules::new(exclude.iter().copied(), force.iter().copied()).unwrap_err().kind()
        };
        let invalid: [(&[&str], &[&str]); 7] = [
            (&[""], &[]),
            (&["a", "b", "a"], &[]),
            (&[], &["a.*", "a.*"]),
            (&["a"], &["a"]),
            (&["a.*.b"], &[]),
            (&["*.a"], &[]),
            (&[], &["tags[]"]),
        ];
        for (exclude, force) in invalid {
            assert_eq!(kind(exclude, force), ErrorKind::InvalidInput, "{exclude:?} {force:?}");
        }
        let long = "a".repeat(limits::FIELD_RULE_BYTES + 1);
        assert_eq!(kind(&[&long], &[]), ErrorKind::Limit(Limit::FieldRuleBytes));
        let many: Vec<String> = (0..limits::FIELD_RULES).map(|number| number.to_string()).collect();
        assert!(FieldRules::new(many.clone(), Vec::<String>::new()).is_ok());
        let more = FieldRules::new(many, ["one more"]).unwrap_err();
        assert_eq!(more.kind(), ErrorKind::Limit(Limit::FieldRules));
        let endless = FieldRules::new(std::iter::repeat("a"), std::iter::repeat("b")).unwrap_err();
        assert_eq!(endless.kind(), ErrorKind::Limit(Limit::FieldRules));
    }

    #[test]
    fn rules_round_trip_as_bytes_and_as_json() {
        let rules = FieldRules::new(["b", "a.*"], ["ü.\u{0}", "*"]).unwrap();
        let mut out = Writer::new();
        rules.write(&mut out);
        let bytes = out.into_vec();
        assert!(bytes.len() <= RULES_BYTES_MAX);
        assert_eq!(FieldRules::read(&mut Reader::new(&bytes)).unwrap(), rules);
        assert_eq!(FieldRules::from_json(&rules.to_string()).unwrap(), rules);
        for json in [r#"{"exclude": ["a"], "force": ["a"]}"#, r#"{"excluded": ["a"]}"#, "7", "{"] {
            assert!(FieldRules::from_json(json).is_err(), "{json}");
        }
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 0x41;
            let _ = FieldRules::read(&mut Reader::new(&changed));
            let _ = FieldRules::read(&mut Reader::new(&bytes[..at]));
        }
    }
}
