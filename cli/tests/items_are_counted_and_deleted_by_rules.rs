//! `count`, `distinct`, `delete --where`, `keep-newest`, `rename` and `stats DIR SCOPE`: what they print, what they
//! refuse, and that a dry run does nothing.

mod common;

use common::{at, fails, succeeds};
use serde_json::{Value, json};

fn answer(arguments: &[&str]) -> Value {
    serde_json::from_str(&succeeds(&[arguments, &["--json"]].concat())).unwrap()
}

#[test]
fn items_are_counted_and_deleted_by_rules() {
    let directory = tempfile::tempdir().unwrap();
    let store = at(directory.path(), "store");
    let dir = store.as_str();
    succeeds(&["create", dir]);
    for (space, key, kind) in
        [("a", "1", "draft"), ("a", "2", "draft"), ("a/b", "3", "draft"), ("a/b", "4", "final"), ("c", "5", "final")]
    {
        succeeds(&["put", dir, space, key, &json!({"kind": kind, "tags": [kind, "all"]}).to_string()]);
    }
    let drafts = r#"{"kind": "draft"}"#;
    assert_eq!(succeeds(&["count", dir]), "5\n");
    assert_eq!(answer(&["count", dir, "a/", "--filter", drafts])["items"], 3);
    assert_eq!(answer(&["count", dir, "a", "--filter", drafts])["items"], 2);
    assert_eq!(
        answer(&["distinct", dir, "tags", "--limit", "1"]),
        json!({"values": [{"value": "all", "count": 5}],
        "found": 3, "more": true})
    );
    assert_eq!(succeeds(&["distinct", dir, "kind", "a/"]).lines().count(), 2);
    assert_eq!(answer(&["stats", dir, "a/"])["namespaces"], 2);
    assert!(succeeds(&["stats", dir, "*"]).contains("items                  5"));

    let export = succeeds(&["export", dir]);
    assert_eq!(answer(&["delete", dir, "a/", "--where", drafts, "--dry-run"])["items"], 3);
    for (arguments, wanted) in [
        (&["delete", dir, "a/", "--where", "{}"][..], "delete_range"),
        (&["delete", dir, "a/", "--where", "{"], "--where"),
        (&["delete", dir, "a", "1", "--where", drafts], "--where"),
        (&["delete", dir, "a"], "<KEY>"),
        (&["delete", dir, "a", "1", "--dry-run"], "KEY"),
        (&["keep-newest", dir, "a", "0"], "at least 1"),
        (&["rename", dir, "a/", "a/b"], "outside"),
        (&["rename", dir, "a/b", "c"], "merge"),
        (&["distinct", dir, ""], "path"),
        (&["count", dir, "a//b"], "label 2"),
    ] {
        let output = common::command(arguments).output().unwrap();
        let message = common::text(&output.stderr);
        assert!(output.status.code() == Some(1) && message.contains(wanted), "{arguments:?}: {message}");
    }
    assert_eq!(succeeds(&["export", dir]), export);

    let receipt = answer(&["delete", dir, "a/b/", "--where", drafts, "--batches"]);
    assert_eq!((&receipt["deleted"], &receipt["scope"], &receipt["next"]), (&1.into(), &"a/b/".into(), &Value::Null));
    assert!(receipt["remains"].as_str().unwrap().contains("compact"));
    assert_eq!(answer(&["keep-newest", dir, "a", "1"])["deleted"], 1);
    assert!(fails(&["get", dir, "a", "1"]).contains("there is no item"));
    assert!(succeeds(&["rename", dir, "a/", "z"]).contains("moved 2 items from a/ to z/"));
    assert_eq!(answer(&["rename", dir, "c", "z/b", "--merge"])["moved"], 1);
    assert_eq!(succeeds(&["ls", dir]).lines().count(), 3);
    assert!(succeeds(&["ls", dir, "--namespaces"]) == "z\nz/b\n");
}
