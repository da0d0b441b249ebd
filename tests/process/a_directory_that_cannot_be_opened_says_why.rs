//! Opening fails with the kind that tells the caller what to do, and leaves what it found as it was: files, strangers'
//! directories, newer formats, read-only directories, other processes and forked children.

#[path = "../common/mod.rs"]
mod common;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use common::{assert_unchanged, namespace, numbered, tiny};
use vecmem::{ErrorKind, Metric, Options, Store};

/// What the other process is to do, and where.
const ROLE: &str = "VECMEM_TEST_ROLE";
const PLACE: &str = "VECMEM_TEST_PLACE";

fn options() -> Options {
    tiny(2, Metric::Dot).lock_timeout(Duration::ZERO)
}

fn refused(path: impl AsRef<Path>, options: Options) -> (ErrorKind, String) {
    let error = Store::open(path, options).expect_err("this must not open");
    (error.kind(), error.to_string())
}

/// A store in a directory, closed; and what it held.
fn closed_store(directory: &Path) -> String {
    let store = Store::open(directory, options()).unwrap();
    for number in 0..60 {
        store.put(numbered(&namespace(["a"]), number.to_string(), number).vector([1.0, 2.0])).unwrap();
    }
    store.text_dump().unwrap()
}

fn files(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read(&path).unwrap()))
        .collect()
}

#[test]
fn what_is_not_a_store() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, "text").unwrap();
    let missing = directory.path().join("missing");
    let cases = [
        (file.clone(), options(), "not a directory"),
        (file.join("below"), options(), "not a directory"),
        (missing.clone(), options().create(false), "no store"),
        (directory.path().to_path_buf(), options().create(false), "no vecmem store"),
        (directory.path().to_path_buf(), options(), "other files"),
    ];
    for (path, options, says) in cases {
        let (kind, text) = refused(&path, options);
        assert_eq!(kind, ErrorKind::NotAStore, "{path:?}: {text}");
        assert!(text.contains(says) && text.contains(path.to_str().unwrap()), "{path:?}: {text}");
    }
    assert_eq!(refused("", options()).0, ErrorKind::InvalidInput);
    assert_eq!(refused("a\0b", options()).0, ErrorKind::InvalidInput);
    assert!(!missing.exists());
    assert_eq!(files(directory.path()).len(), 1, "nothing was left in the strangers' directory");
    assert_eq!(std::fs::read(&file).unwrap(), b"text");
}

#[test]
fn a_store_without_its_manifests_or_its_log() {
    for (has_log, has_segments) in [(true, true), (true, false), (false, true)] {
        let directory = tempfile::tempdir().unwrap();
        closed_store(directory.path());
        for name in files(directory.path()).into_keys() {
            let is_gone = name.starts_with("manifest-")
                || name.starts_with("wal-") && !has_log
                || name.starts_with("seg-") && !has_segments;
            if is_gone {
                std::fs::remove_file(directory.path().join(name)).unwrap();
            }
        }
        let before = files(directory.path());
        for create in [false, true] {
            let (kind, text) = refused(directory.path(), options().create(create));
            assert_eq!(kind, ErrorKind::Corrupt, "log {has_log}, segments {has_segments}, create {create}: {text}");
            assert!(text.contains("manifest") && text.contains("salvage"), "{text}");
        }
        assert_unchanged_but_the_lock(before, files(directory.path()));
    }
}

fn assert_unchanged_but_the_lock(mut before: BTreeMap<String, Vec<u8>>, mut after: BTreeMap<String, Vec<u8>>) {
    before.remove("LOCK");
    after.remove("LOCK");
    assert!(before == after, "{:?} became {:?}", before.keys(), after.keys());
}

#[test]
fn a_newer_format() {
    let directory = tempfile::tempdir().unwrap();
    let dump = closed_store(directory.path());
    let manifests: Vec<_> =
        files(directory.path()).into_iter().filter(|(name, _)| name.starts_with("manifest-")).collect();
    let (newest, bytes) = manifests.last().unwrap();
    let mut newer = bytes.clone();
    // The oldest reader that understands the file: a version after this one's.
    newer[12] += 1;
    std::fs::write(directory.path().join(newest), &newer).unwrap();
    let before = files(directory.path());
    let (kind, text) = refused(directory.path(), options());
    assert_eq!(kind, ErrorKind::NewerFormat, "{text}");
    assert!(text.contains("upgrade") && text.contains(newest.as_str()), "{text}");
    assert_eq!(files(directory.path()), before, "nothing was touched");
    std::fs::write(directory.path().join(newest), bytes).unwrap();
    assert_unchanged(&Store::open(directory.path(), options()).unwrap(), &dump);
}

#[test]
fn other_options_than_it_was_created_with() {
    let directory = tempfile::tempdir().unwrap();
    let dump = closed_store(directory.path());
    for other in [Options::with_vectors(3, Metric::Dot), Options::with_vectors(2, Metric::Cosine)] {
        let (kind, text) = refused(directory.path(), other);
        assert_eq!(kind, ErrorKind::OptionsDiffer);
        assert!(text.contains("2 dimensions, Dot"), "{text}");
    }
    assert_unchanged(&Store::open(directory.path(), Options::new()).unwrap(), &dump);
}

/// Runs this file's test `name` as another process in `role`.
fn other_process(name: &str, role: &str, place: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", name, "--nocapture", "--test-threads=1"]).env(ROLE, role).env(PLACE, place);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn role() -> Option<(String, String)> {
    Some((std::env::var(ROLE).ok()?, std::env::var(PLACE).ok()?))
}

/// Waits until the other process prints a line that starts with `word`, and returns what follows.
fn wait_for(child: &mut Child, word: &str) -> String {
    // Not taken from the child: it goes on printing.
    let mut lines = BufReader::new(child.stdout.as_mut().unwrap()).lines().map(Result::unwrap);
    let found = lines.find_map(|line| line.strip_prefix(word).map(str::to_owned));
    found.unwrap_or_else(|| {
        let mut text = String::new();
        child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
        panic!("the other process ended: {text}")
    })
}

#[test]
fn a_second_process() {
    if let Some((_, place)) = role() {
        let store = Store::open(place, options()).unwrap();
        println!("\nopened by {}", std::process::id());
        std::io::stdin().read_exact(&mut [0]).unwrap();
        drop(store);
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let dump = closed_store(directory.path());
    let mut child = other_process("a_second_process", "holder", directory.path()).spawn().unwrap();
    let pid = wait_for(&mut child, "opened by ");
    let (kind, text) = refused(directory.path(), options());
    assert_eq!(kind, ErrorKind::Locked, "{text}");
    assert!(text.contains(&pid), "{text} names {pid}");
    child.stdin.take().unwrap().write_all(b"x").unwrap();
    assert!(child.wait().unwrap().success());
    assert_unchanged(&Store::open(directory.path(), options()).unwrap(), &dump);

    // One that is killed lets go, too.
    let directory = tempfile::tempdir().unwrap();
    let dump = closed_store(directory.path());
    let mut child = other_process("a_second_process", "holder", directory.path()).spawn().unwrap();
    wait_for(&mut child, "opened by ");
    child.kill().unwrap();
    child.wait().unwrap();
    assert_unchanged(&Store::open(directory.path(), options()).unwrap(), &dump);
}

#[test]
fn a_forked_child() {
    let Some((_, place)) = role() else {
        let directory = tempfile::tempdir().unwrap();
        let output = other_process("a_forked_child", "forker", directory.path()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        return;
    };
    let dump = closed_store(Path::new(&place));
    let store = Store::open(&place, options()).unwrap();
    let snapshot = store.snapshot().unwrap();
    let home = namespace(["a"]);
    let is = |outcome: vecmem::Result<()>, kind| outcome.is_err_and(|error| error.kind() == kind);
    // SAFETY: no other thread is at work, so no lock is held and the child may use the heap; it leaves by `_exit`.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let outcomes = [
            is(store.get(&home, "1").map(|_| ()), ErrorKind::Forked),
            is(store.put(numbered(&home, "1", 2)).map(|_| ()), ErrorKind::Forked),
            is(store.sync(), ErrorKind::Forked),
            is(snapshot.get(&home, "1").map(|_| ()), ErrorKind::Forked),
            store.close().is_ok(),
            is(Store::open(&place, options()).map(|_| ()), ErrorKind::Locked),
        ];
        drop((store, snapshot));
        let bits = outcomes.iter().fold(0, |bits, &outcome| 2 * bits + i32::from(outcome));
        // SAFETY: it ends the child without running what the parent has registered.
        unsafe { libc::_exit(bits) };
    }
    let mut status = 0;
    // SAFETY: `status` is writable memory, and the child is this process's own.
    assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
    assert_eq!(libc::WEXITSTATUS(status), 0b111111, "get, put, flush, get of a snapshot, close, open: {status:#x}");
    assert_unchanged(&store, &dump);
    store.put(numbered(&home, "after", 1)).unwrap();
    drop((store, snapshot));
    assert_eq!(Store::open(&place, options()).unwrap().stats().unwrap().size.items, 61);
}

#[test]
fn a_read_only_directory() {
    if let Some((_, place)) = role() {
        let (kind, text) = refused(place, options());
        println!("\nrefused {kind:?} {text}");
        return;
    }
    const NOBODY: u32 = 65_534;
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().join("store");
    let dump = closed_store(&place);
    let allow = |path: &Path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    allow(directory.path(), 0o755);
    allow(&place, 0o555);
    let before = files(&place);
    let mut command = other_process("a_read_only_directory", "reader", &place);
    if std::fs::write(place.join("probe"), "").is_ok() {
        // Permissions do not bind this user: another one has to look.
        std::fs::remove_file(place.join("probe")).unwrap();
        files(&place).keys().for_each(|name| allow(&place.join(name), 0o644));
        command.uid(NOBODY);
    }
    match command.spawn() {
        Ok(mut child) => {
            let said = wait_for(&mut child, "refused ");
            let names_it = said.contains(place.to_str().unwrap()) && said.contains("access");
            assert!(said.starts_with("ReadOnly") && names_it, "{said}");
            assert!(child.wait().unwrap().success());
        }
        Err(error) => println!("skipped: this user may write everywhere, and no other can run the test: {error}"),
    }
    assert_eq!(files(&place), before, "nothing was touched");
    allow(&place, 0o755);
    assert_unchanged(&Store::open(&place, options()).unwrap(), &dump);
}
