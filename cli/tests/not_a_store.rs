//! A directory that holds something else, or nothing, is refused by every command, and what it holds is left as it was.

mod common;

use std::fs;

use common::{at, fails};

#[test]
fn every_command_says_that_there_is_no_store() {
    let directory = tempfile::tempdir().unwrap();
    let (foreign, missing) = (at(directory.path(), "photos"), at(directory.path(), "missing"));
    fs::create_dir(&foreign).unwrap();
    fs::write(directory.path().join("photos/cat.jpg"), b"not a store").unwrap();
    for dir in [&foreign, &missing] {
        let calls: [&[&str]; 10] = [
            &["export", dir],
            &["put", dir, "a", "k", "{}"],
            &["get", dir, "a", "k"],
            &["delete", dir, "a", "k"],
            &["search", dir, "--all"],
            &["ls", dir],
            &["stats", dir],
            &["check", dir, "--repair"],
            &["compact", dir],
            &["purge", dir, "--prefix", "a", "--yes"],
        ];
        for call in calls {
            let message = fails(call);
            assert!(message.contains(dir.as_str()) && message.contains("vecmem create"), "{call:?}: {message}");
        }
    }
    assert_eq!(fs::read(directory.path().join("photos/cat.jpg")).unwrap(), b"not a store");
    let added = fs::read_dir(&foreign).unwrap().map(|entry| entry.unwrap().file_name());
    let added: Vec<_> = added.filter(|name| name != "cat.jpg").collect();
    assert!(added.is_empty(), "{added:?}");
    assert!(!fs::exists(&missing).unwrap());
    let message = fails(&["create", &foreign]);
    assert!(message.contains("cat.jpg") && message.contains("empty"), "{message}");
}
