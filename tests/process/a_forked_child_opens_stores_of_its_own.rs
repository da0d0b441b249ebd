//! A child forked while the parent's stores are open, with threads that wait in their locks, opens, writes and closes
//! stores of its own.

use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::process::Command;

use vecmem::{ErrorKind, Namespace, Options, Put, Store};

/// Where the process that forks is to work.
const PLACE: &str = "VECMEM_TEST_PLACE";
const CHILDREN: u32 = 40;
/// A child that waits for threads of its parent is ended after so many seconds.
const PATIENCE: u32 = 60;

/// Opens a store, writes from several threads, and closes it.
fn work(place: &Path) -> Store {
    let store = Store::open(place, Options::new()).unwrap();
    let home = Namespace::new(["a"]).unwrap();
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let (store, home) = (&store, &home);
            scope.spawn(move || store.put(Put::new(home, format!("{writer}"), r#"{"n": 1}"#)).unwrap());
        }
    });
    store
}

#[test]
fn a_forked_child_opens_stores_of_its_own() {
    let Some(place) = std::env::var_os(PLACE) else {
        let directory = tempfile::tempdir().unwrap();
        let mut forker = Command::new(std::env::current_exe().unwrap());
        forker.args(["--exact", "a_forked_child_opens_stores_of_its_own", "--nocapture"]).env(PLACE, directory.path());
        let output = forker.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        return;
    };
    let place = Path::new(&place);
    let parents: Vec<Store> = (0..3).map(|number| work(&place.join(format!("parent {number}")))).collect();
    for number in 0..CHILDREN {
        // SAFETY: no other thread of this process is inside the heap or a lock of the program's own: the stores'
        // threads wait.
        let child = unsafe { libc::fork() };
        if child == 0 {
            // SAFETY: it takes a number, and ends the process where nobody catches the signal.
            unsafe { libc::alarm(PATIENCE) };
            let done = std::panic::catch_unwind(AssertUnwindSafe(|| {
                assert_eq!(parents[0].sync().unwrap_err().kind(), ErrorKind::Forked);
                work(&place.join(format!("child {number}"))).close().unwrap();
            }));
            // SAFETY: it ends the child without running what the parent has registered.
            unsafe { libc::_exit(i32::from(done.is_err())) };
        }
        let mut status = 0;
        // SAFETY: `status` is writable memory, and the child is this process's own.
        assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
        assert_eq!(status, 0, "the wait status of child {number}");
    }
    for store in parents {
        store.close().unwrap();
    }
}
