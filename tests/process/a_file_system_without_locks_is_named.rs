//! Where the system cannot lock a directory, as on some network file systems, a store there does not open: the error
//! names the file system and says what to do, and nothing is left behind. A filter of system calls plays that file
//! system.
#![cfg(target_os = "linux")]

#[path = "../common/mod.rs"]
mod common;

use std::path::Path;

use common::process::{place, say, start, wait_for};
use vecmem::{Options, Store};

/// From now on `flock` fails in this process, as it does for a directory on NFS; false where the system allows no
/// filter.
fn refuse_flock() -> bool {
    let (load, jump, back) = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, libc::BPF_JMP | libc::BPF_JEQ, libc::BPF_RET);
    let step = |code: u32, jt, jf, k| libc::sock_filter { code: code as u16, jt, jf, k };
    let mut steps = [
        // The number of the system call comes first in what a filter looks at.
        step(load, 0, 0, 0),
        step(jump, 0, 1, libc::SYS_flock as u32),
        step(back, 0, 0, libc::SECCOMP_RET_ERRNO | libc::EBADF as u32),
        step(back, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let filter = libc::sock_fprog { len: steps.len() as u16, filter: steps.as_mut_ptr() };
    // SAFETY: the filter and its steps are alive during both calls, and the kernel copies them.
    unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
            && libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const filter) == 0
    }
}

fn open_without_locks(place: &str) {
    if !refuse_flock() {
        return say("outcome skipped");
    }
    match Store::open(place, Options::new()) {
        Ok(_) => say("outcome opened"),
        Err(error) => say(format!("outcome {:?} {error}", error.kind())),
    }
}

#[test]
fn a_file_system_without_locks_is_named() {
    if let Some(place) = place() {
        return open_without_locks(&place);
    }
    let directory = tempfile::tempdir().unwrap();
    let path: &Path = directory.path();
    let mut child = start("a_file_system_without_locks_is_named", path);
    let outcome = wait_for(&mut child, "outcome ");
    assert!(child.wait().unwrap().success());
    if outcome == "skipped" {
        println!("skipped: the system allows no filter of system calls here");
        return;
    }
    assert!(outcome.starts_with("Io") && outcome.contains(path.to_str().unwrap()), "{outcome}");
    assert!(outcome.contains("file system") && outcome.contains("Move the store"), "{outcome}");
    println!("{outcome}");
    assert_eq!(std::fs::read_dir(path).unwrap().count(), 0, "nothing was left behind");
    Store::open(path, Options::new()).unwrap().close().unwrap();
}
