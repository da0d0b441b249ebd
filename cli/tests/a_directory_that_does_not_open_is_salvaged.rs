//! A store whose manifests are gone is opened by no command; each names `salvage`, and that writes all items into a new
//! store.

mod common;

use std::fs;
use std::path::PathBuf;

use common::{at, fails, files_ending, lines, succeeds};

/// Every file but the lock, in which the last process has left its number.
fn content(dir: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let files = files_ending(dir, "").into_iter().filter(|path| !path.ends_with("LOCK"));
    files.map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

#[test]
fn everything_readable_goes_into_a_new_store() {
    let directory = tempfile::tempdir().unwrap();
    let [dir, file, saved] = ["store", "lines.jsonl", "saved"].map(|name| at(directory.path(), name));
    fs::write(&file, lines(700, 3)).unwrap();
    succeeds(&["import", &dir, &file]);
    succeeds(&["put", &dir, "users/ada", "in the log", r#"{"n": 1}"#]);
    let export = succeeds(&["export", &dir]);
    for manifest in fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path()) {
        if manifest.file_name().unwrap().to_str().unwrap().starts_with("manifest") {
            fs::remove_file(manifest).unwrap();
        }
    }
    let before = content(&dir);
    let calls: [&[&str]; 8] = [
        &["export", &dir],
        &["get", &dir, "users/ada", "in the log"],
        &["put", &dir, "a", "k", "{}"],
        &["search", &dir, "--all"],
        &["stats", &dir],
        &["check", &dir, "--accept-loss"],
        &["compact", &dir],
        &["purge", &dir, "--prefix", "users"],
    ];
    for call in calls {
        let message = fails(call);
        assert_eq!(message.matches("vecmem salvage DIR TARGET").count(), 1, "{call:?}: {message}");
    }
    let said = succeeds(&["salvage", &dir, &saved]);
    assert!(said.contains("note: no manifest can be read") && said.contains("to "), "{said}");
    assert_eq!(succeeds(&["export", &saved]), export);
    assert!(content(&dir) == before, "a salvage changes nothing in what it reads");

    let message = fails(&["salvage", &dir, &saved]);
    assert!(message.contains("not empty"), "{message}");
    let report: serde_json::Value =
        serde_json::from_str(&succeeds(&["salvage", &dir, &at(directory.path(), "again"), "--json"])).unwrap();
    assert_eq!(report["items"].as_u64(), Some(export.lines().skip(1).count() as u64));
    let empty = at(directory.path(), "empty");
    fs::create_dir(&empty).unwrap();
    assert!(fails(&["salvage", &empty, &at(directory.path(), "nothing")]).contains("nothing of a vecmem store"));
}

#[test]
fn log_files_that_are_missing_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let [dir, saved, again] = ["store", "saved", "again"].map(|name| at(directory.path(), name));
    succeeds(&["create", &dir]);
    (0..5).for_each(|n| drop(succeeds(&["put", &dir, "a", &n.to_string(), "{}"])));
    succeeds(&["compact", &dir]);
    succeeds(&["delete", &dir, "a", "3"]);
    succeeds(&["put", &dir, "a", "new", "{}"]);
    files_ending(&dir, ".log").iter().for_each(|log| fs::remove_file(log).unwrap());
    let said = succeeds(&["salvage", &dir, &saved]);
    let told = said.lines().find(|line| line.starts_with("damage: wal-")).unwrap_or_else(|| panic!("{said}"));
    assert!(told.contains("missing") && told.contains("acknowledged writes after LSN 5 may be lost"), "{told}");
    assert!(told.contains("may be back"), "{told}");
    assert!(succeeds(&["get", &saved, "a", "3"]).contains("{}"), "a deleted item is back, and the report says so");
    let report: serde_json::Value = serde_json::from_str(&succeeds(&["salvage", &dir, &again, "--json"])).unwrap();
    assert!(!report["damage"].as_array().unwrap().is_empty(), "{report}");
}
