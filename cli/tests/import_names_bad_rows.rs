//! A bad row is named by line and column; with `--skip-bad` it is counted and the rest gets in.

mod common;

use std::fs;

use common::{at, command, fails, succeeds, text};

/// Line, what is wrong with it, and at which column.
const BAD: [(&str, &str); 6] = [
    (r#"{"namespace":["a"],"key":"x","value":{"a":1}"#, "line 2, column 44: EOF"),
    (r#"["a","x",{}]"#, "line 2, column 1: the line is not a JSON object"),
    (r#"{"namespace":["a"],"key":"x","value":[1]}"#, "line 2, column 38: \"value\" is not a JSON object"),
    (r#"{"namespace":["a"],"key":"x","value":{"a":1,"a":2}}"#, "line 2, column 38: "),
    (r#"{"namespace":["a"],"key":"x","value":{},"vector":[1,2]}"#, "line 2, column 50: "),
    (r#"{"namespace":["a",""],"key":"x","value":{}}"#, "line 2, column 14: \"namespace\": label 2"),
];

#[test]
fn a_bad_row_stops_the_import_and_is_named() {
    let directory = tempfile::tempdir().unwrap();
    for (number, (line, wanted)) in BAD.iter().enumerate() {
        let (store, items) = (at(directory.path(), &format!("store{number}")), at(directory.path(), "items.jsonl"));
        let good = |key: &str| format!(r#"{{"namespace":["a"],"key":"{key}","value":{{"ok":true}},"vector":[1,2,3]}}"#);
        fs::write(&items, format!("{}\n{line}\n{}\n", good("first"), good("last"))).unwrap();
        let message = fails(&["import", &store, &items]);
        assert!(message.contains(wanted) && message.contains("items.jsonl"), "{message}");

        let output = command(&["import", &store, &items, "--skip-bad", "--json"]).output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        assert!(text(&output.stderr).contains(&format!("skipped {wanted}")), "{}", text(&output.stderr));
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!((report["imported"].as_u64(), report["skipped"].as_u64()), (Some(2), Some(1)), "{line}");
        let keys: Vec<String> = succeeds(&["ls", &store]).lines().map(|line| line[..7].trim().to_owned()).collect();
        assert_eq!(keys, ["a first", "a last"]);
    }
}
