//! While one process has the store open, another is refused and told which one it is.

mod common;

use common::{at, fails};
use vecmem::{Options, Store};

#[test]
fn a_second_process_is_told_who_has_the_store() {
    let directory = tempfile::tempdir().unwrap();
    let dir = at(directory.path(), "store");
    let store = Store::open(&dir, Options::new()).unwrap();
    let message = fails(&["stats", &dir]);
    assert!(message.contains(&std::process::id().to_string()), "{message}");
    store.close().unwrap();
    common::succeeds(&["stats", &dir]);
}
