//! `fields` shows which paths are indexed, sets rules, builds indexes again, and refuses rules that are none.

mod common;

use common::{at, command, succeeds, text};
use serde_json::{Value, json};

fn fields(arguments: &[&str]) -> Value {
    serde_json::from_str(&succeeds(&[&["fields"], arguments, &["--json"]].concat())).unwrap()
}

#[test]
fn field_rules_are_set_and_shown() {
    let directory = tempfile::tempdir().unwrap();
    let store = at(directory.path(), "store");
    let dir = store.as_str();
    succeeds(&["create", dir]);
    succeeds(&["put", dir, "a", "1", r#"{"kind": "draft", "raw": {"html": "<p>"}, "user": {"id": 7}}"#]);
    succeeds(&["compact", dir]);
    let none = json!({"exclude": [], "force": []});
    assert_eq!((&fields(&[dir])["rules"], &fields(&[dir])["path_count"]), (&none, &json!(5)));

    let set = fields(&[dir, "--exclude", "raw", "--exclude", "user.*", "--force", "kind"]);
    assert_eq!(set["rules"], json!({"exclude": ["raw", "user.*"], "force": ["kind"]}));
    assert_eq!((&set["other_rules"], &set["rebuilt"]), (&json!(1), &json!(0)));
    assert!(succeeds(&["fields", dir]).contains("--rebuild"));
    assert!(succeeds(&["stats", dir]).contains("2 paths excluded, 1 forced"));
    let rebuilt = fields(&[dir, "--rebuild"]);
    assert_eq!((&rebuilt["rebuilt"], &rebuilt["path_count"]), (&json!(1), &json!(2)));
    assert_eq!(rebuilt["rules"], set["rules"], "they stay");
    assert_eq!(succeeds(&["count", dir, "--filter", r#"{"raw.html": "<p>"}"#]), "1\n");

    for (arguments, wanted) in [
        (&["--exclude", "raw", "--force", "raw"][..], "both"),
        (&["--exclude", "raw", "--exclude", "raw"], "twice"),
        (&["--exclude", ""], "empty"),
        (&["--automatic", "--force", "kind"], "--automatic"),
    ] {
        let output = command(&[&["fields", dir], arguments].concat()).output().unwrap();
        let message = text(&output.stderr);
        assert!(output.status.code() == Some(1) && message.contains(wanted), "{arguments:?}: {message}");
    }
    assert_eq!(fields(&[dir, "--automatic", "--rebuild"])["rules"], none);
    assert_eq!(fields(&[dir])["path_count"], 5);
}
