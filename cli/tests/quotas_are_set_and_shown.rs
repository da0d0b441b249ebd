//! `quota`: set, listed, shown with what counts for it, obeyed and removed; and in an export.

mod common;

use common::{at, succeeds};
use serde_json::{Value, json};

fn answer(arguments: &[&str]) -> Value {
    serde_json::from_str(&succeeds(&[arguments, &["--json"]].concat())).unwrap()
}

fn refusal(arguments: &[&str]) -> String {
    let output = common::command(arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{arguments:?}");
    common::text(&output.stderr).to_owned()
}

#[test]
fn quotas_are_set_and_shown() {
    let directory = tempfile::tempdir().unwrap();
    let [store, file, copy] = ["store", "export.jsonl", "copy"].map(|name| at(directory.path(), name));
    let dir = store.as_str();
    succeeds(&["create", dir]);
    assert_eq!(succeeds(&["quota", dir]), "no quotas\n");
    let set = answer(&["quota", dir, "users/", "--each", "--items", "2", "--bytes", "1000"]);
    assert_eq!(set, json!({"scope": "users/*/", "items": 2, "bytes": 1000}));
    succeeds(&["quota", dir, "users/ada/", "--unlimited"]);
    for (space, key) in
        [("users/ada", "1"), ("users/ada", "2"), ("users/ada", "3"), ("users/bob", "1"), ("users/bob", "2")]
    {
        succeeds(&["put", dir, space, key, "{}"]);
    }
    let message = refusal(&["put", dir, "users/bob/notes", "3", "{}"]);
    assert!(message.contains("users/bob/ holds 2 of at most 2 items"), "{message}");
    let held = answer(&["quota", dir, "users/bob/notes"]);
    let one = json!({"scope": "users/bob/", "items": 2, "items_limit": 2, "bytes": 6, "bytes_limit": 1000});
    assert_eq!(held, json!({"quotas": [one]}));
    assert_eq!(answer(&["stats", dir, "users/bob/"])["quota"], one);
    assert!(succeeds(&["stats", dir, "users/bob/"]).contains("2 items of at most 2"));
    assert_eq!(succeeds(&["quota", dir, "users/ada/"]), "no quota\n");
    assert_eq!(succeeds(&["quota", dir]).lines().count(), 2);

    succeeds(&["export", dir, &file]);
    succeeds(&["import", &copy, &file]);
    assert_eq!(answer(&["quota", &copy]), answer(&["quota", dir]));

    assert_eq!(answer(&["quota", dir, "users/", "--each", "--remove"]), json!({"removed": true}));
    assert_eq!(answer(&["quota", dir, "users/", "--each", "--remove"]), json!({"removed": false}));
    succeeds(&["put", dir, "users/bob/notes", "3", "{}"]);
    for (arguments, wanted) in [
        (&["quota", dir, "users", "--each", "--items", "1"][..], "prefix"),
        (&["quota", dir, "--items", "1"], "SCOPE"),
        (&["quota", dir, "users/", "--unlimited", "--items", "1"], "--items"),
        (&["quota", dir, "users/", "--items", "-1"], "-1"),
    ] {
        let message = refusal(arguments);
        assert!(message.contains(wanted), "{arguments:?}: {message}");
    }
}
