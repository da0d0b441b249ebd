//! `search --json` is one object with the hits in order, values as they were given; scopes, filters and rows of a
//! matrix work.

mod common;

use std::fs;

use common::{at, fails, npy, succeeds};
use serde_json::{Value, json};

fn search(arguments: &[&str]) -> Value {
    let printed = succeeds(&[&["search"], arguments, &["--json"]].concat());
    assert_eq!(printed.lines().count(), 1);
    serde_json::from_str(&printed).unwrap()
}

fn keys(answer: &Value) -> Vec<&str> {
    answer["hits"].as_array().unwrap().iter().map(|hit| hit["key"].as_str().unwrap()).collect()
}

#[test]
fn hits_come_in_order_with_scores_and_values() {
    let directory = tempfile::tempdir().unwrap();
    let (store, queries) = (at(directory.path(), "store"), at(directory.path(), "q.npy"));
    let dir = store.as_str();
    succeeds(&["create", dir, "--dims", "2"]);
    let items = [
        ("u/ada", "tea", r#"{"text":"tea",  "speaker":"USER"}"#, "[1,0]"),
        ("u/ada", "milk", r#"{"text":"milk","speaker":"SYSTEM"}"#, "[1,1]"),
        ("u/bob", "rum", r#"{"text":"rum","speaker":"USER"}"#, "[0,1]"),
    ];
    for (namespace, key, value, vector) in items {
        succeeds(&["put", dir, namespace, key, value, "--vector", vector]);
    }
    fs::write(&queries, npy(2, 2, &[0.0, -1.0, 2.0, 0.0])).unwrap();

    let answer = search(&[dir, "--all", "--vector-file", &queries, "--row", "1", "--explain"]);
    assert_eq!(keys(&answer), ["tea", "milk", "rum"]);
    let best = &answer["hits"][0];
    assert_eq!((&best["score"], &best["namespace"]), (&json!(1.0), &json!(["u", "ada"])));
    assert!(!answer["explain"].as_array().unwrap().is_empty());
    let raw = succeeds(&["search", dir, "--all", "--vector", "[1,0]", "--json"]);
    assert!(raw.contains(r#""value":{"text":"tea",  "speaker":"USER"}"#), "{raw}");

    assert_eq!(keys(&search(&[dir, "--namespace", "u/ada", "--vector", "[0,1]"])), ["milk", "tea"]);
    assert_eq!(keys(&search(&[dir, "--namespace", "u"])), [""; 0]);
    assert_eq!(keys(&search(&[dir, "--prefix", "u", "--filter", r#"{"speaker":"USER"}"#])), ["rum", "tea"]);
    assert_eq!(
        keys(&search(&[dir, "--all", "--vector", "[1,0]", "--offset", "1", "--limit", "1", "--exact"])),
        ["milk"]
    );
    assert_eq!(keys(&search(&[dir, "--all", "--vector", "[1,0]", "--min-score", "0.5"])), ["tea", "milk"]);
    assert_eq!(keys(&search(&[dir, "--namespace", "u/ada", "--like", "tea"])), ["milk"]);

    let people = succeeds(&["search", dir, "--all", "--vector", "[1,0]", "--limit", "1"]);
    assert!(people.starts_with(" 1.000  u/ada tea  {\"text\"") && people.contains("1 hit in"), "{people}");

    let wrong: [(&[&str], &str); 7] = [
        (&["--vector", "[1,0]"], "--namespace"),
        (&["--all", "--vector", "[1,0,0]"], "3 dimensions"),
        (&["--all", "--vector", "[1,null]"], "number 2"),
        (&["--all", "--vector-file", &queries, "--row", "2"], "has no row 2; it has 2"),
        (&["--all", "--filter", r#"{"a":{"$foo":1}}"#], "$foo"),
        (&["--prefix", ""], "--all"),
        (&["--namespace", "u/ada", "--like", "nothing"], "nothing"),
    ];
    for (arguments, wanted) in wrong {
        let output = common::command(&[&["search", dir], arguments].concat()).output().unwrap();
        let message = common::text(&output.stderr);
        assert!(output.status.code() == Some(1) && message.contains(wanted), "{arguments:?}: {message}");
    }
    assert!(fails(&["get", dir, "u/ada", "gin"]).contains("there is no item gin in u/ada"));
}

#[test]
fn a_wrong_filter_is_a_short_error_and_never_everything() {
    let directory = tempfile::tempdir().unwrap();
    let store = at(directory.path(), "store");
    let dir = store.as_str();
    succeeds(&["create", dir, "--dims", "2"]);
    succeeds(&["put", dir, "u", "tea", r#"{"n":1}"#, "--vector", "[1,0]"]);
    assert_eq!(keys(&search(&[dir, "--all", "--filter", "{}"])), ["tea"]);
    assert!(keys(&search(&[dir, "--all", "--filter", r#"{"n":{"$in":[]}}"#])).is_empty());
    let long = "x".repeat(100_000);
    for (filter, wanted) in [
        (r#"{"n":{"$gtt":1}}"#, "filter.n: Unsupported operator: $gtt; did you mean $gt or $gte?"),
        (r#"{"n.$gte":1}"#, "filter: Invalid filter key n.$gte: its component $gte is an operator"),
        (r#"{"n..m":{"$ne":1}}"#, "filter: Invalid filter key n..m: a component of its path is empty"),
        (r#"{"n":{"$ne":{"$in":[1]}}}"#, "filter.n.$ne: expects a value, and $in is an operator"),
        (r#"{"$and":[]}"#, "filter.$and: expects at least one element"),
        ("", "filter: not valid JSON"),
        ("null", "filter: not valid JSON"),
        ("{\"n\":NaN}", "filter: not valid JSON"),
        (&format!("{{\"{long}.$gte\":1}}"), "filter: Invalid filter key xxx"),
        (&format!("{{\"n\":{{\"${long}\":1}}}}"), "filter.n: Unsupported operator: $xxx"),
    ] {
        for how in [&["--all", "--filter", filter][..], &["--all", "--vector", "[1,0]", "--filter", filter]] {
            let message = fails(&[&["search", dir], how].concat());
            assert!(message.contains(wanted) && message.len() < 1_200, "{message}");
        }
    }
    let missing = fails(&["get", dir, "u", &long]);
    assert!(missing.len() < 2_500 && missing.contains("xxx ... xxx"), "{missing}");
    // What takes no filter refuses one.
    for command in [&["export", dir][..], &["ls", dir], &["delete", dir, "u", "tea"], &["purge", dir, "--prefix", "u"]]
    {
        let output = common::command(&[command, &["--filter", r#"{"n":1}"#]].concat()).output().unwrap();
        assert!(!output.status.success() && common::text(&output.stderr).contains("--filter"), "{command:?}");
    }
    assert_eq!(keys(&search(&[dir, "--all"])), ["tea"]);
}

#[test]
fn a_least_score_without_a_vector_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let dir = at(directory.path(), "store");
    succeeds(&["create", &dir, "--dims", "2"]);
    succeeds(&["put", &dir, "a", "k", "{}", "--vector", "[1,2]"]);
    assert!(fails(&["search", &dir, "--all", "--min-score", "0.5"]).contains("min_score needs a vector"));
    assert!(succeeds(&["search", &dir, "--all", "--min-score", "0.5", "--vector", "[1,2]"]).contains("a k"));
}

#[test]
fn groups_orders_and_selections() {
    let directory = tempfile::tempdir().unwrap();
    let store = at(directory.path(), "store");
    let dir = store.as_str();
    succeeds(&["create", dir, "--dims", "2"]);
    let items = [
        ("a", r#"{"talk":1.0,"n":2,"from":{"name":"ada","age":36}}"#, "[1,0]"),
        ("b", r#"{"talk":1,"n":10,"from":{"name":"bob"}}"#, "[1,0.1]"),
        ("c", r#"{"talk":"x","n":9007199254740993}"#, "[0,1]"),
        ("d", r#"{"n":null}"#, "[0.5,0.9]"),
    ];
    for (key, value, vector) in items {
        succeeds(&["put", dir, "u", key, value, "--vector", vector]);
    }

    let grouped = ["--all", "--vector", "[1,0]", "--group-by", "talk", "--per-group", "2"];
    let answer = search(&[&[dir], grouped.as_slice()].concat());
    assert_eq!(keys(&answer), ["a", "b", "d", "c"]);
    let raw = succeeds(&[&["search", dir], grouped.as_slice(), &["--json"]].concat());
    let groups = r#""groups":[{"value":1.0,"hits":2},{"value":null,"hits":1},{"value":"x","hits":1}]"#;
    assert!(raw.contains(groups), "{raw}");
    let people = succeeds(&[&["search", dir], grouped.as_slice()].concat());
    assert!(people.lines().next() == Some("1.0") && people.lines().nth(3) == Some("null"), "{people}");

    let first = search(&[dir, "--all", "--order-by", "n", "--descending", "--limit", "3"]);
    assert_eq!(keys(&first), ["c", "b", "a"]);
    let next = first["next"].as_str().unwrap();
    let ordered = [dir, "--all", "--order-by", "n", "--descending", "--after", next];
    let rest = search(&ordered);
    assert!(keys(&rest) == ["d"] && rest.get("next").is_none(), "{rest}");
    let page = succeeds(&["search", dir, "--all", "--order-by", "$item.key", "--limit", "1"]);
    assert!(page.contains("more with --after 01"), "{page}");

    let selected = search(&[dir, "--all", "--order-by", "$item.key", "--select", "from.name", "--select", "talk"]);
    assert_eq!(selected["hits"][0]["value"], json!({"talk": 1.0, "from": {"name": "ada"}}));
    assert_eq!(search(&[dir, "--all", "--no-values"])["hits"][0]["value"], json!({}));
    let got: Value = serde_json::from_str(&succeeds(&["get", dir, "u", "a", "--select", "n", "--json"])).unwrap();
    assert_eq!(got["value"], json!({"n": 2}));
    let listed = succeeds(&["ls", dir, "--no-values", "--json"]);
    assert!(listed.lines().count() == 4 && listed.lines().all(|line| line.contains(r#""value":{}"#)), "{listed}");

    let wrong: [(&[&str], &str); 6] = [
        (&["--group-by", ""], "--group-by"),
        (&["--group-by", "talk", "--per-group", "0"], "at least 1"),
        (&["--order-by", "$item.namespace"], "--order-by"),
        (&["--order-by", "n", "--after", "0123"], "cursor"),
        (&["--order-by", "talk", "--after", next], "ordered by n, descending"),
        (&["--select", "a..b"], "--select"),
    ];
    for (arguments, named) in wrong {
        let message = fails(&[&["search", dir, "--all"], arguments].concat());
        assert!(message.contains(named), "{arguments:?}: {message}");
    }
    let by_field = ["search", dir, "--all", "--vector", "[1,0]", "--vector-field", "text", "--json"];
    assert!(succeeds(&by_field).contains(r#""hits":[]"#));
}
