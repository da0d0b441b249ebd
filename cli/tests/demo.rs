//! The README's first command passes, and its numbers say what it claims.

mod common;

use common::{at, fails, succeeds};
use serde_json::Value;

#[test]
fn the_demo_loses_nothing_that_was_acknowledged() {
    let directory = tempfile::tempdir().unwrap();
    let dir = at(directory.path(), "memories");
    let report: Value = serde_json::from_str(&succeeds(&["demo", &dir, "--json"])).unwrap();
    assert_eq!(report["imported"], 651);
    let questions = report["questions"].as_array().unwrap();
    assert_eq!(questions.len(), 14);
    assert!(questions[0]["hits"][0]["text"].as_str().unwrap().contains("peanuts"), "{}", questions[0]);
    let crash = &report["crash"];
    assert!(crash["acknowledged"].as_u64() >= Some(300) && crash["found"] == crash["acknowledged"], "{crash}");
    assert!(crash["unacknowledged"].as_u64() <= Some(1), "{crash}");

    assert!(fails(&["demo", &dir]).contains("is there already"));
    let people = succeeds(&["demo"]);
    assert!(people.contains("Nothing that was acknowledged is lost."), "{people}");
}
