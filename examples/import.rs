//! Bulk import: many items at once, which goes on where it was interrupted.
//!
//! `cargo run --example import`

use serde::{Deserialize, Serialize};
use vecmem::{ImportOptions, Metric, Namespace, Options, Put, ReadOptions, Scope, Store};

/// One line of the source.
#[derive(Deserialize)]
struct Line {
    key: String,
    value: Note,
    vector: Vec<f32>,
}

#[derive(Serialize, Deserialize)]
struct Note {
    text: String,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = tempfile::tempdir()?;
    let store = Store::open(directory.path().join("notes"), Options::with_vectors(2, Metric::Cosine))?;
    let notes: Namespace = "notes".parse()?;

    let mut lines: Vec<String> = (0..5_000)
        .map(|n| format!(r#"{{"key": "{n}", "value": {{"text": "note {n}"}}, "vector": [{n}, 1]}}"#))
        .collect();
    lines[17] = r#"{"key": "17", "value": {"text": "of three dimensions"}, "vector": [1, 2, 3]}"#.into();
    let puts = || lines.iter().map(|line| put(&notes, line));

    // The name stands for the bytes of the source: a later import of it passes over what is done.
    let mut bad = Vec::new();
    let options = ImportOptions::new()
        .source("notes of 2026-11-21")
        .on_bad(|number, error| {
            bad.push(format!("line {number}: {error}"));
            true
        })
        .on_progress(|progress| println!("{} lines are durable", progress.lines));
    let report = store.import(puts(), options)?;
    println!("{} imported, left out: {bad:?}", report.imported);
    assert_eq!((report.imported, report.skipped, bad.len()), (4_999, 1, 1));

    let again = store.import(puts(), ImportOptions::new().source("notes of 2026-11-21"))?;
    assert_eq!((again.imported, again.resumed_after), (0, 5_000));
    assert_eq!(store.count(&Scope::Store, &ReadOptions::default())?, 4_999);
    Ok(())
}

/// The put of one line. An error of kind `InvalidInput` makes it a bad item of the import.
fn put(notes: &Namespace, line: &str) -> vecmem::Result<Put> {
    let line: Line = serde_json::from_str(line).map_err(|error| vecmem::Error::invalid(error.to_string()))?;
    Ok(Put::of(notes, line.key, &line.value)?.vector(line.vector))
}
