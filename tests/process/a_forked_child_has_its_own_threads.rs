//! A forked child that opens a store builds graphs and shares long scans as its parent did, whose threads it does not
//! have.

#[path = "../common/mod.rs"]
mod common;

use std::path::Path;
use std::process::Command;

use common::{Random, namespace, numbered, tiny};
use vecmem::{Metric, Query, Scope, Store};

/// Where the process that forks is to work.
const PLACE: &str = "VECMEM_TEST_PLACE";
const DIMS: usize = 8;
/// A child that waits for dead threads is ended after so many seconds.
const PATIENCE: u32 = 100;

/// Builds graphs in the background and for somebody who waits, and searches with help.
fn work(place: &Path) {
    let store = Store::open(place, tiny(DIMS, Metric::Cosine)).unwrap();
    let home = namespace(["a"]);
    let mut random = Random::new(1);
    for number in 0..120 {
        store.put(numbered(&home, format!("{number}"), number).vector(random.vector(DIMS))).unwrap();
    }
    store.run_background();
    assert!(store.stats().unwrap().graphs.builds > 0);
    store.build_graph(&Scope::Store).unwrap();
    store.compact().unwrap();
    let query = Query::new(Scope::Store).vector([1.0; DIMS]).limit(7).exact(true);
    assert_eq!(store.search(&query).unwrap().len(), 7);
    store.close().unwrap();
}

#[test]
fn a_forked_child_has_its_own_threads() {
    let Some(place) = std::env::var_os(PLACE) else {
        let directory = tempfile::tempdir().unwrap();
        let mut forker = Command::new(std::env::current_exe().unwrap());
        forker.args(["--exact", "a_forked_child_has_its_own_threads", "--nocapture"]).env(PLACE, directory.path());
        let output = forker.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        return;
    };
    let place = Path::new(&place);
    work(&place.join("parent"));
    // SAFETY: the pools of the parent are idle and no other thread is at work, so no lock is held and the child may use
    // the heap; it leaves by `_exit`.
    let child = unsafe { libc::fork() };
    if child == 0 {
        // SAFETY: it takes a number, and ends the process where nobody catches the signal.
        unsafe { libc::alarm(PATIENCE) };
        let done = std::panic::catch_unwind(|| work(&place.join("child")));
        // SAFETY: it ends the child without running what the parent has registered.
        unsafe { libc::_exit(i32::from(done.is_err())) };
    }
    let mut status = 0;
    // SAFETY: `status` is writable memory, and the child is this process's own.
    assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
    assert_eq!(status, 0, "the wait status of the child");
}
