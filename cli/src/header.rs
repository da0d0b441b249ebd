//! The first line of an export: the format, and what belongs to the store as a whole. What an import does with it is
//! decided here.
//!
//! Invariants:
//! * A setting of a store is never changed silently. Where store and file differ, the import fails and names the
//!   setting, unless it was told which of the two to keep.
//! * A file without a header, such as one that a person wrote, says nothing about settings.
//!
//! # Format
//!
//! ```json
//! {"vecmem_export": 1, "dims": 384, "metric": "cosine", "settings": {"index_rules": "[]"}}
//! ```
//!
//! `dims` and `metric` are absent where the store has no vectors. `settings` has every setting of the store, each as
//! the text of its JSON document, so that not a byte changes. The number of the format rises when an older program
//! would misread a file.

use std::collections::{BTreeMap, BTreeSet};

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use vecmem::{Metric, VectorSpace};

use crate::arguments::metric_name;
use crate::lines::LineError;

/// The format that this program writes, and the newest that it reads.
const FORMAT: u64 = 1;
const BEGINNING: &[u8] = b"{\"vecmem_export\"";

/// `--keep-settings`.
#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
pub enum KeepArgument {
    /// The settings of the store stay as they are
    Store,
    /// The store gets the settings of the file
    File,
}

/// The first line of an export.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    vecmem_export: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    dims: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metric: Option<String>,
    #[serde(default)]
    pub settings: BTreeMap<String, String>,
}

/// The number of a format, whatever else the header has.
#[derive(Deserialize)]
struct FormatOf {
    vecmem_export: u64,
}

impl Header {
    /// The header of a store.
    pub fn new(space: Option<VectorSpace>, settings: BTreeMap<String, String>) -> Self {
        let metric = space.map(|space| metric_name(space.metric).to_owned());
        Self { vecmem_export: FORMAT, dims: space.map(|space| space.dims), metric, settings }
    }

    /// Whether a line is a header and no item.
    pub fn is_at(line: &[u8]) -> bool {
        line.trim_ascii_start().starts_with(BEGINNING)
    }

    /// Reads a header.
    pub fn parse(line: &[u8]) -> Result<Self, LineError> {
        let refused = |error: &serde_json::Error| LineError::of_json(1, error);
        let FormatOf { vecmem_export } = serde_json::from_slice(line).map_err(|error| match error.is_data() {
            true => LineError { column: 1, message: "\"vecmem_export\" is not the number of a format".into() },
            false => refused(&error),
        })?;
        if vecmem_export == 0 || vecmem_export > FORMAT {
            let message = format!(
                "the file has export format {vecmem_export}, this vecmem reads {FORMAT}; use the vecmem that wrote it"
            );
            return Err(LineError { column: 1, message });
        }
        let header: Self = serde_json::from_slice(line).map_err(|error| refused(&error))?;
        if header.dims.is_some() && header.space().is_none() {
            let message = "\"dims\" needs a \"metric\": cosine, dot or l2".to_owned();
            return Err(LineError { column: 1, message });
        }
        Ok(header)
    }

    /// The vectors of the exported store.
    pub fn space(&self) -> Option<VectorSpace> {
        let metric: Metric = self.metric.as_ref()?.parse().ok()?;
        self.dims.map(|dims| VectorSpace { dims, metric })
    }
}

/// A setting that store and file have different values of, as text; `None` where one has none.
#[derive(Debug, PartialEq)]
pub struct Difference {
    pub name: String,
    pub in_store: Option<String>,
    pub in_file: Option<String>,
}

/// The first difference in vectors that an import may not pass over.
pub fn space_difference(
    store: Option<VectorSpace>,
    file: Option<VectorSpace>,
    keep: Option<KeepArgument>,
) -> Option<Difference> {
    let difference = |name: &str, of: fn(VectorSpace) -> String| Difference {
        name: name.to_owned(),
        in_store: store.map(of),
        in_file: file.map(of),
    };
    let (dims, metric) = (store.map(|space| space.dims), file.map(|space| space.dims));
    // Vectors of other dimensions fit nowhere. Those of another metric do, and so do items without vectors.
    if dims != metric && (keep != Some(KeepArgument::Store) || file.is_some()) {
        return Some(difference("dims", |space| space.dims.to_string()));
    }
    let differs = dims == metric && store != file && keep != Some(KeepArgument::Store);
    differs.then(|| difference("metric", |space| metric_name(space.metric).to_owned()))
}

/// The settings to write into a store, `None` for those to remove; or a difference that nobody decided.
pub fn changes(
    store: &BTreeMap<String, String>,
    file: &BTreeMap<String, String>,
    keep: Option<KeepArgument>,
    store_has_items: bool,
) -> Result<Vec<(String, Option<String>)>, Difference> {
    let names: BTreeSet<&String> = store.keys().chain(file.keys()).collect();
    let mut changes = Vec::new();
    for name in names.into_iter().filter(|name| store.get(*name) != file.get(*name)) {
        let (in_store, in_file) = (store.get(name).cloned(), file.get(name).cloned());
        match keep {
            Some(KeepArgument::Store) => {}
            Some(KeepArgument::File) => changes.push((name.clone(), in_file)),
            // A store without items is new, or an import was stopped before its first chunk.
            None if in_store.is_none() && !store_has_items => changes.push((name.clone(), in_file)),
            None => return Err(Difference { name: name.clone(), in_store, in_file }),
        }
    }
    Ok(changes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(pairs: &[&str]) -> BTreeMap<String, String> {
        pairs.iter().map(|pair| (pair[..1].to_owned(), pair[1..].to_owned())).collect()
    }

    #[test]
    fn a_difference_is_decided_or_named() {
        let keeps = [None, Some(KeepArgument::Store), Some(KeepArgument::File)];
        let none: &[&str] = &[];
        // Of the store, of the file, and for each of `keeps` with and without items: what changes, or what is named.
        type Row<'a> =
            (&'a [&'a str], &'a [&'a str], [(Result<&'a [&'a str], &'a str>, Result<&'a [&'a str], &'a str>); 3]);
        let table: [Row<'_>; 4] = [
            (&["a1", "b2"], &["a1", "b2"], [(Ok(none), Ok(none)); 3]),
            (&["a1"], &["a1", "b2"], [(Err("b"), Ok(&["b2"])), (Ok(none), Ok(none)), (Ok(&["b2"]), Ok(&["b2"]))]),
            (&["a1"], &["a3"], [(Err("a"), Err("a")), (Ok(none), Ok(none)), (Ok(&["a3"]), Ok(&["a3"]))]),
            (&["a1"], &[], [(Err("a"), Err("a")), (Ok(none), Ok(none)), (Ok(&["a-"]), Ok(&["a-"]))]),
        ];
        for (store, file, wanted) in table {
            for (keep, (with_items, without)) in keeps.into_iter().zip(wanted) {
                for (has_items, wanted) in [(true, with_items), (false, without)] {
                    let found = changes(&settings(store), &settings(file), keep, has_items);
                    let found = found.map(|changes| {
                        let text = |(name, json): (String, Option<String>)| name + json.as_deref().unwrap_or("-");
                        changes.into_iter().map(text).collect::<Vec<_>>()
                    });
                    let found = found.map_err(|difference| difference.name);
                    let wanted = wanted.map(|changes| changes.iter().map(ToString::to_string).collect::<Vec<_>>());
                    assert_eq!(found, wanted.map_err(str::to_owned), "{store:?} {file:?} {keep:?} {has_items}");
                }
            }
        }
    }

    #[test]
    fn vectors_differ_in_dims_or_metric() {
        let space = |dims, metric| Some(VectorSpace { dims, metric });
        let (cosine, dot, long) = (space(3, Metric::Cosine), space(3, Metric::Dot), space(4, Metric::Cosine));
        let (store, file) = (Some(KeepArgument::Store), Some(KeepArgument::File));
        for (of_store, of_file, keep, wanted) in [
            (cosine, cosine, None, None),
            (None, None, None, None),
            (cosine, dot, None, Some("metric")),
            (cosine, dot, store, None),
            (cosine, dot, file, Some("metric")),
            (cosine, long, None, Some("dims")),
            (cosine, long, store, Some("dims")),
            (cosine, None, None, Some("dims")),
            (cosine, None, store, None),
        ] {
            let found = space_difference(of_store, of_file, keep).map(|difference| difference.name);
            assert_eq!(found.as_deref(), wanted, "{of_store:?} {of_file:?} {keep:?}");
        }
    }

    #[test]
    fn a_header_is_read_back_or_refused() {
        let header = Header::new(Some(VectorSpace { dims: 3, metric: Metric::L2 }), settings(&["a[1,\n2]"]));
        let line = serde_json::to_string(&header).unwrap();
        assert!(Header::is_at(line.as_bytes()));
        assert_eq!(Header::parse(line.as_bytes()).unwrap(), header);
        for (line, message) in [
            (r#"{"vecmem_export":2,"later":1}"#, "export format 2"),
            (r#"{"vecmem_export":"1"}"#, "number of a format"),
            (r#"{"vecmem_export":1,"dims":3}"#, "needs a \"metric\""),
            (r#"{"vecmem_export":1,"dims":3,"metric":"far"}"#, "needs a \"metric\""),
            (r#"{"vecmem_export":1,"setings":{}}"#, "unknown field `setings`"),
            (r#"{"vecmem_export":1"#, "EOF"),
        ] {
            let error = Header::parse(line.as_bytes()).unwrap_err();
            assert!(error.message.contains(message), "{line}: {error}");
        }
    }
}
