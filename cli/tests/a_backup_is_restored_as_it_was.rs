//! `backup` copies a store, and again what is new; `restore` makes a store of it that exports the same, and overwrites
//! nothing. A checkpoint is called one.

mod common;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use common::{at, command, fails, files_ending, flip, lines, refused, succeeds, until};

#[test]
fn and_nothing_is_overwritten() {
    let directory = tempfile::tempdir().unwrap();
    let [dir, file, target, new] = ["store", "lines.jsonl", "backup", "new"].map(|name| at(directory.path(), name));
    fs::write(&file, lines(700, 3)).unwrap();
    succeeds(&["import", &dir, &file]);
    succeeds(&["compact", &dir]);
    let said = succeeds(&["backup", &dir, &target]);
    assert!(said.contains("verified: ") && said.contains("backup of LSN "), "{said}");

    succeeds(&["put", &dir, "users/ada", "in the log", r#"{"n": 1}"#]);
    let report = succeeds(&["backup", &dir, &target, "--speed", "1000", "--json"]);
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    assert!(report["files_reused"].as_u64().unwrap() >= 1 && report["is_checkpoint"] == false, "{report}");
    let export = succeeds(&["export", &dir]);
    let said = succeeds(&["restore", &target, &new]);
    assert!(said.contains("restored LSN "), "{said}");
    assert_eq!(succeeds(&["export", &new]), export);
    assert_eq!(succeeds(&["export", &target]), export, "a backup opens as a store");

    assert!(fails(&["restore", &target, &new]).contains("not empty"));
    assert!(fails(&["backup", &dir, &new]).contains("give an empty or a new directory"));
    assert!(fails(&["backup", &dir, &dir]).contains("lies in the directory of the store"));
    assert!(fails(&["restore", &at(directory.path(), "nothing"), &new]).contains("there is no backup at"));
}

#[test]
fn a_damaged_backup_is_not_restored() {
    let directory = tempfile::tempdir().unwrap();
    let [dir, target, new] = ["store", "backup", "new"].map(|name| at(directory.path(), name));
    succeeds(&["create", &dir]);
    succeeds(&["put", &dir, "notes", "tea", r#"{"text": "some green tea"}"#]);
    succeeds(&["compact", &dir]);
    succeeds(&["backup", &dir, &target]);
    let truth = files_ending(&target, ".truth").remove(0);
    flip(&truth, "green");
    let message = fails(&["restore", &target, &new]);
    assert!(message.contains("checksum") && message.contains("another backup"), "{message}");
    let left = files_ending(&new, "").into_iter().filter(|path| !path.ends_with("LOCK"));
    assert_eq!(left.count(), 0, "what was written is removed");
}

#[test]
fn a_checkpoint_and_a_purge_say_what_they_are() {
    let directory = tempfile::tempdir().unwrap();
    let [dir, target] = ["store", "checkpoint"].map(|name| at(directory.path(), name));
    succeeds(&["create", &dir]);
    succeeds(&["put", &dir, "users/ada", "tea", r#"{"text": "green"}"#]);
    succeeds(&["compact", &dir]);
    let said = succeeds(&["backup", &dir, &target, "--link"]);
    assert!(said.contains("linked: 2 files") && said.contains("checkpoint of LSN"), "{said}");
    assert!(said.contains("damage of one is damage of both"), "{said}");
    let said = succeeds(&["purge", &dir, "--prefix", "users", "--yes"]);
    assert!(said.contains("not reached: backups, checkpoints and other copies"), "{said}");
}

#[test]
fn a_wrong_path_is_told_without_advice_for_stores() {
    let directory = tempfile::tempdir().unwrap();
    let [dir, target, file, new] = ["store", "backup", "file", "new"].map(|name| at(directory.path(), name));
    succeeds(&["create", &dir]);
    succeeds(&["put", &dir, "notes", "tea", "{}"]);
    succeeds(&["backup", &dir, &target]);
    fs::write(&file, "mine").unwrap();
    let (inside, lexical) = (format!("{target}/sub"), at(directory.path(), "absent/../store/sub"));
    let cases: [(&[&str], &str); 9] = [
        (&["restore", "/nowhere", &new], "there is no backup at /nowhere"),
        (&["restore", &file, &new], "give the directory of a backup"),
        (&["restore", &target, &file], "give an empty or a new directory"),
        (&["restore", &target, &inside], "lies in the directory of the backup"),
        (&["backup", &dir, &file], "give an empty or a new directory"),
        (&["backup", &dir, &lexical], "lies in the directory of the store"),
        (&["backup", &dir, "/proc/x"], "/proc/x"),
        (&["salvage", "/nowhere", &new], "there is no store at /nowhere"),
        (&["salvage", &dir, &lexical], "lies in the directory of the damaged store"),
    ];
    for (call, wanted) in cases {
        let message = fails(call);
        assert!(message.contains(wanted) && !message.contains("vecmem create"), "{call:?}: {message}");
    }
    assert!(!Path::new(&new).exists() && fs::read_to_string(&file).unwrap() == "mine");
    assert!(fails(&["backup", "/nowhere", &new]).contains("vecmem create"), "there a store can be made");
}

#[test]
fn an_interrupted_restore_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let [dir, file, target, new] = ["store", "lines.jsonl", "backup", "new"].map(|name| at(directory.path(), name));
    let text = "tea ".repeat(200_000);
    let line = |n: usize| format!("{{\"namespace\":[\"a\"],\"key\":\"{n}\",\"value\":{{\"text\":\"{text}\"}}}}\n");
    fs::write(&file, (0..12).map(line).collect::<String>()).unwrap();
    succeeds(&["import", &dir, &file]);
    succeeds(&["backup", &dir, &target]);
    let mut restore = command(&["restore", &target, &new, "--speed", "1"]);
    let restore = restore.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    until(Duration::from_secs(60), || Path::new(&new).join("backup-unfinished").exists());
    assert!(Command::new("kill").args(["-INT", &restore.id().to_string()]).status().unwrap().success());
    let message = refused(&restore.wait_with_output().unwrap());
    assert!(message.contains("what was written there is removed"), "{message}");
    let left = files_ending(&new, "").into_iter().filter(|path| !path.ends_with("LOCK"));
    assert_eq!(left.count(), 0);
    succeeds(&["restore", &target, &new]);
}
