//! An export that fails or is interrupted leaves no file, and says which file it could not write. A pipe and a device
//! are written directly.

mod common;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use common::{at, command, fails, files_ending, flip, refused, succeeds, text, until};

/// A store with one item and its vector, and the directory of it.
fn filled() -> (tempfile::TempDir, String) {
    let directory = tempfile::tempdir().unwrap();
    let dir = at(directory.path(), "store");
    succeeds(&["create", &dir, "--dims", "2"]);
    succeeds(&["put", &dir, "notes", "tea", r#"{"text": "some green tea"}"#, "--vector", "[1,2]"]);
    succeeds(&["compact", &dir]);
    (directory, dir)
}

/// The names in the directory beside the store.
fn names(directory: &Path) -> Vec<String> {
    let names = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name != "store").collect()
}

fn fifo(path: &str) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

#[test]
fn after_an_error() {
    let (directory, dir) = filled();
    let [lines, matrix] = ["lines.jsonl", "lines.npy"].map(|name| at(directory.path(), name));
    fs::write(&lines, "an earlier export").unwrap();
    flip(&files_ending(&dir, ".truth").remove(0), "green");
    fails(&["export", &dir, &lines, "--vectors", &matrix]);
    assert_eq!(names(directory.path()), ["lines.jsonl"]);
    assert_eq!(fs::read_to_string(&lines).unwrap(), "an earlier export");
    fails(&["export", &dir, &format!("{lines}.gz")]);
    assert_eq!(names(directory.path()), ["lines.jsonl"]);
}

#[test]
fn after_ctrl_c() {
    let (directory, dir) = filled();
    let [pipe, matrix] = ["pipe", "lines.npy"].map(|name| at(directory.path(), name));
    fifo(&pipe);
    // It waits for a reader of the pipe.
    let export = command(&["export", &dir, &pipe, "--vectors", &matrix]).stderr(Stdio::piped()).spawn().unwrap();
    until(Duration::from_secs(60), || Path::new(&format!("{matrix}.partial")).exists());
    assert!(Command::new("kill").args(["-INT", &export.id().to_string()]).status().unwrap().success());
    let message = refused(&export.wait_with_output().unwrap());
    assert!(message.contains("interrupted"), "{message}");
    assert_eq!(names(directory.path()), ["pipe"]);
}

#[test]
fn a_full_disk_is_told_with_the_name_of_the_file() {
    let (directory, dir) = filled();
    if !Path::new("/dev/full").exists() {
        println!("skipped: there is no /dev/full here");
        return;
    }
    let lines = at(directory.path(), "lines.jsonl");
    let calls: [&[&str]; 2] = [&["export", &dir, "/dev/full"], &["export", &dir, &lines, "--vectors", "/dev/full"]];
    for call in calls {
        let message = fails(call);
        assert!(message.contains("cannot write /dev/full: No space left"), "{call:?}: {message}");
        assert!(names(directory.path()).is_empty(), "{call:?}");
    }
}

#[test]
fn pipes_and_devices_are_written_directly() {
    let (directory, dir) = filled();
    let export = succeeds(&["export", &dir]);
    let pipe = at(directory.path(), "pipe");
    fifo(&pipe);
    let reader = thread::spawn({
        let pipe = pipe.clone();
        move || fs::read_to_string(pipe).unwrap()
    });
    succeeds(&["export", &dir, &pipe]);
    assert_eq!(reader.join().unwrap(), export);
    succeeds(&["export", &dir, "/dev/null"]);
    let output = command(&["export", &dir, "/dev/stdout"]).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stdout).starts_with(&export), "{}", text(&output.stdout));
    assert_eq!(names(directory.path()), ["pipe"]);
}

#[test]
fn one_file_for_two_and_a_file_in_the_store_are_refused() {
    let (directory, dir) = filled();
    let [one, other] = ["x", "absent/../x"].map(|name| at(directory.path(), name));
    let inside = at(Path::new(&dir), "x.jsonl");
    let partial = format!("{one}.partial");
    let calls: [(&[&str], &str); 4] = [
        (&["export", &dir, &one, "--vectors", &one], "two files cannot both be"),
        (&["export", &dir, &one, "--vectors", &partial], "two files cannot both be"),
        (&["export", &dir, &inside], "lies in the directory of the store"),
        (&["export", &dir, &other, "--vectors", &inside], "lies in the directory of the store"),
    ];
    for (call, wanted) in calls {
        let message = fails(call);
        assert!(message.contains(wanted), "{call:?}: {message}");
    }
    assert!(names(directory.path()).is_empty() && !Path::new(&inside).exists());
    succeeds(&["export", &dir, &one, "--vectors", &at(directory.path(), "y")]);
}
