//! `purge` without `--yes` counts and does nothing; with it no file of the directory holds a byte of the scope, and the
//! receipt says what was removed.

mod common;

use std::fs;

use common::{at, command, fails, files_ending, succeeds, text};
use serde_json::Value;

/// A text that no compression hides.
fn canary(name: &str) -> String {
    format!("canary-{name}-7f3a9c")
}

fn filled(directory: &std::path::Path) -> String {
    let (dir, file) = (at(directory, "store"), at(directory, "lines.jsonl"));
    let line = |user: &str, number: u32| {
        let text = canary(&format!("{user}{number}"));
        format!("{{\"namespace\":[\"users\",\"{user}\"],\"key\":\"{text}\",\"value\":{{\"text\":\"{text}\"}}}}\n")
    };
    let users = ["ada", "bob"];
    fs::write(&file, users.iter().flat_map(|user| (0..40).map(|number| line(user, number))).collect::<String>())
        .unwrap();
    succeeds(&["import", &dir, &file]);
    succeeds(&["put", &dir, "users/ada/log", "late", &format!(r#"{{"text":"{}"}}"#, canary("late"))]);
    dir
}

/// Files in which these bytes stand.
fn files_with(dir: &str, bytes: &str) -> Vec<String> {
    let holds = |path: &std::path::Path| fs::read(path).unwrap().windows(bytes.len()).any(|at| at == bytes.as_bytes());
    files_ending(dir, "").into_iter().filter(|path| holds(path)).map(|path| path.display().to_string()).collect()
}

#[test]
fn nothing_is_done_before_yes() {
    let directory = tempfile::tempdir().unwrap();
    let dir = filled(directory.path());
    let export = succeeds(&["export", &dir]);
    let message = fails(&["purge", &dir, "--prefix", "users/ada"]);
    assert!(message.contains("41 items would be deleted") && message.contains("--yes"), "{message}");
    assert!(fails(&["purge", &dir, "--namespace", "users/ada"]).contains("40 items"));
    assert!(fails(&["purge", &dir, "--prefix", "users", "--keep-living"]).contains("0 items"));
    let output = command(&["purge", &dir, "--prefix", "users", "--json"]).output().unwrap();
    let counted: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&counted["items"], &counted["purged"]), (&81.into(), &false.into()));
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    assert_eq!(succeeds(&["export", &dir]), export);

    for (arguments, wanted) in
        [(&["--grace=-1", "--prefix", "a"][..], "--grace -1"), (&["--prefix", ""], "--prefix"), (&[], "--namespace")]
    {
        let output = command(&[&["purge", &dir, "--yes"], arguments].concat()).output().unwrap();
        let message = text(&output.stderr);
        assert!(output.status.code() == Some(1) && message.contains(wanted), "{arguments:?}: {message}");
    }
}

#[test]
fn no_file_holds_a_byte_of_it() {
    let directory = tempfile::tempdir().unwrap();
    let dir = filled(directory.path());
    assert!(!files_with(&dir, &canary("ada7")).is_empty() && !files_with(&dir, &canary("late")).is_empty());
    let receipt: Value =
        serde_json::from_str(&succeeds(&["purge", &dir, "--prefix", "users/ada", "--yes", "--json"])).unwrap();
    assert_eq!((&receipt["items"], &receipt["scope"]), (&41.into(), &"users/ada/".into()));
    let unlinked = receipt["files_unlinked"].as_array().unwrap();
    assert!(unlinked.iter().any(|name| name.as_str().unwrap().ends_with(".truth")), "{receipt}");
    for trace in ["canary-ada", "canary-late", "ada\0", "users\0ada", "late"] {
        assert_eq!(files_with(&dir, trace), [""; 0], "{trace:?}");
    }
    assert!(!files_with(&dir, &canary("bob7")).is_empty());
    assert_eq!(succeeds(&["export", &dir]).lines().count(), 1 + 40);
}

#[test]
fn what_was_purged_whole_is_imported_again_and_a_part_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let dir = filled(directory.path());
    let import = || succeeds(&["import", &dir, &at(directory.path(), "lines.jsonl")]);
    assert!(import().starts_with("nothing to do: 80 lines"));
    succeeds(&["purge", &dir, "--namespace", "users/bob", "--yes"]);
    assert!(import().starts_with("nothing to do"), "what was deleted of an import stays deleted");
    succeeds(&["purge", &dir, "--prefix", "users", "--yes"]);
    assert!(import().starts_with("imported 80 items"));
}

#[test]
fn what_lives_may_stay() {
    let directory = tempfile::tempdir().unwrap();
    let dir = filled(directory.path());
    succeeds(&["delete", &dir, "users/bob", &canary("bob3")]);
    assert!(!files_with(&dir, &canary("bob3")).is_empty(), "a delete alone leaves the bytes");
    let said = succeeds(&["purge", &dir, "--namespace", "users/bob", "--keep-living", "--yes"]);
    assert!(said.contains("unlinked: ") && said.contains("purged users/bob up to LSN"), "{said}");
    assert_eq!(files_with(&dir, &canary("bob3")), [""; 0]);
    assert_eq!(succeeds(&["export", &dir]).lines().count(), 1 + 80);
}
