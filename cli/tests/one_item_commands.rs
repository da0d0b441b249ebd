//! `create`, `put`, `get`, `ls`, `delete`, `stats`, `check`, `compact`: what they print and what they refuse.

mod common;

use common::{at, fails, succeeds};
use serde_json::Value;

fn json(arguments: &[&str]) -> Value {
    serde_json::from_str(&succeeds(&[arguments, &["--json"]].concat())).unwrap()
}

#[test]
fn an_item_comes_and_goes() {
    let directory = tempfile::tempdir().unwrap();
    let store = at(directory.path(), "store");
    let dir = store.as_str();
    assert!(succeeds(&["create", dir, "--dims", "2", "--metric", "l2"]).contains("2 dimensions, l2"));
    assert!(fails(&["create", dir]).contains("already holds a store (2 dimensions, l2)"));

    succeeds(&["put", dir, "a/b", "k", r#"{"x": 1}"#, "--vector", "[1,2]", "--ttl-seconds", "3600"]);
    succeeds(&["put", dir, r#"["a","b/c"]"#, "esc\u{1b}[2J", "{}"]);
    let item = json(&["get", dir, "a/b", "k", "--vectors"]);
    assert_eq!((&item["value"]["x"], item["ttl_seconds"].as_f64()), (&Value::from(1), Some(3600.0)));
    assert_eq!(item["vectors"][0]["values"], serde_json::json!([1.0, 2.0]));
    assert!(succeeds(&["get", dir, "a/b", "k"]).ends_with("{\"x\": 1}\n"));

    assert_eq!(succeeds(&["ls", dir]), "a/b k  {\"x\": 1}\n[\"a\",\"b/c\"] \"esc\\u001b[2J\"  {}\n");
    assert_eq!(succeeds(&["ls", dir, "--limit", "1"]).lines().count(), 1);
    assert_eq!(succeeds(&["ls", dir, "--key-prefix", "k"]).lines().count(), 1);
    assert_eq!(
        succeeds(&["ls", dir, "--namespaces", "--json"]),
        "{\"namespace\":[\"a\",\"b\"]}\n{\"namespace\":[\"a\",\"b/c\"]}\n"
    );
    assert_eq!(succeeds(&["ls", dir, "a", "--namespaces", "--max-depth", "1"]), "a\n");

    assert_eq!(json(&["stats", dir])["size"]["items"], 2);
    let stats = succeeds(&["stats", dir]);
    assert!(stats.lines().any(|line| line.starts_with("  vectors") && line.ends_with("2 dimensions, l2")), "{stats}");
    assert!(stats.contains("memory\n") && json(&["stats", dir])["latency"]["put"]["count"] == 0);
    assert_eq!(json(&["stats", dir])["size"]["metric"], "l2");
    assert!(
        stats.lines().any(|line| line.starts_with("  kept queries, in memory") && line.ends_with("0 B")),
        "{stats}"
    );
    assert_eq!(json(&["stats", dir])["graphs"]["kept_query_bytes"], 0);
    assert!(json(&["compact", dir])["bytes_after"].is_u64());
    assert_eq!(json(&["check", dir])["problems"], serde_json::json!([]));

    assert_eq!(json(&["delete", dir, "a/b", "k"])["deleted"], true);
    assert_eq!(json(&["delete", dir, "a/b", "k"])["deleted"], false);
    assert!(fails(&["get", dir, "a/b", "k"]).contains("there is no item k in a/b"));

    for (value, wanted) in [("[1]", "object"), (r#"{"a":1,"a":2}"#, "a"), ("{", "value")] {
        assert!(fails(&["put", dir, "a", "k", value]).contains(wanted));
    }
    assert!(fails(&["put", dir, "a//b", "k", "{}"]).contains("label 2"));
    assert!(fails(&["put", dir, "a", "k", "{}", "--ttl-seconds=-1"]).contains("above 0"));
}

#[test]
fn one_is_singular() {
    let directory = tempfile::tempdir().unwrap();
    let [store, lines] = ["store", "lines.jsonl"].map(|name| at(directory.path(), name));
    std::fs::write(&lines, "{\"namespace\": [\"a\"], \"key\": \"k\", \"value\": {}, \"vector\": [1]}\n").unwrap();
    let printed = [
        (succeeds(&["import", &store, &lines, "--metric", "l2"]), "imported 1 item in "),
        (succeeds(&["import", &store, &lines]), "nothing to do: 1 line of this file was imported before"),
        (succeeds(&["compact", &store]), " now, 1 segment, 0 graphs"),
        (succeeds(&["check", &store]), "read 2 rows in 1 segment"),
        (succeeds(&["export", &store, &at(directory.path(), "copy.jsonl")]), "exported 1 item to "),
        (succeeds(&["stats", &store]), "1 dimension, l2"),
        (
            fails(&["search", &store, "--all", "--vector", "[1,2]"]),
            "a vector has 2 dimensions, the store's vectors have 1",
        ),
    ];
    for (text, wanted) in printed {
        assert!(text.contains(wanted), "{wanted}: {text}");
    }
}
