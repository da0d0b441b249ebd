//! A child that is forked while the parent's threads take and drop snapshots reads and drops the ones it inherited
//! without waiting for those threads, which it does not have.

#[path = "../common/mod.rs"]
mod common;

use std::panic::AssertUnwindSafe;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use common::{SetAtEnd, namespace, numbered, tiny_without_vectors};
use vecmem::{ErrorKind, IterateQuery, Query, Scope, Store};

/// Set where the process that forks is to work.
const PLACE: &str = "VECMEM_TEST_PLACE";
const CHILDREN: u32 = 200;
/// A child that waits for dead threads is ended after so many seconds.
const PATIENCE: u32 = 20;

#[test]
fn a_forked_child_lets_go_of_snapshots() {
    let Some(place) = std::env::var_os(PLACE) else {
        let directory = tempfile::tempdir().unwrap();
        let mut forker = Command::new(std::env::current_exe().unwrap());
        forker.args(["--exact", "a_forked_child_lets_go_of_snapshots", "--nocapture"]).env(PLACE, directory.path());
        let output = forker.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        return;
    };
    let store = Store::open(&place, tiny_without_vectors()).unwrap();
    let home = namespace(["a"]);
    for number in 0..9 {
        store.put(numbered(&home, format!("{number}"), number)).unwrap();
    }
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !is_done.load(Ordering::Relaxed) {
                    drop(store.snapshot().unwrap());
                }
            });
        }
        let _end = SetAtEnd(&is_done);
        for number in 0..CHILDREN {
            let snapshot = store.snapshot().unwrap();
            let listing = snapshot.listing(Query::new(&home)).unwrap();
            let cursor = store.iterate(&IterateQuery::new(Scope::Store).limit(2), None).unwrap().next.unwrap();
            // SAFETY: the C library keeps the heap whole over a fork, and the child touches no other lock; it leaves by
            // `_exit`.
            let child = unsafe { libc::fork() };
            if child == 0 {
                // SAFETY: it takes a number, and ends the process where nobody catches the signal.
                unsafe { libc::alarm(PATIENCE) };
                let done = std::panic::catch_unwind(AssertUnwindSafe(|| {
                    assert_eq!(snapshot.get(&home, "1").unwrap_err().kind(), ErrorKind::Forked);
                    assert_eq!(listing.page(0, 1).unwrap_err().kind(), ErrorKind::Forked);
                    let walk = store.iterate(&IterateQuery::new(Scope::Store), Some(&cursor));
                    assert_eq!(walk.unwrap_err().kind(), ErrorKind::Forked);
                    assert!(!snapshot.is_gone() && !cursor.is_gone());
                    drop((snapshot, listing, cursor));
                }));
                // SAFETY: it ends the child without running what the parent has registered.
                unsafe { libc::_exit(i32::from(done.is_err())) };
            }
            let mut status = 0;
            // SAFETY: `status` is writable memory, and the child is this process's own.
            assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
            assert_eq!(status, 0, "the wait status of child {number}");
        }
    });
}
