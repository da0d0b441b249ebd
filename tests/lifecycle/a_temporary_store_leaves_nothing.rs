//! A temporary store is private, and its directory is gone with the last clone.

use crate::common::{namespace, numbered, tiny};
use vecmem::{Metric, Store, Tuning};

#[test]
fn a_temporary_store_leaves_nothing() {
    let options = || tiny(2, Metric::Dot).tuning(Tuning { inline_background: false, ..Tuning::tiny() });
    let (one, other) = (Store::temporary(options()).unwrap(), Store::temporary(options()).unwrap());
    let paths = [one.path().unwrap().to_owned(), other.path().unwrap().to_owned()];
    assert_ne!(paths[0], paths[1]);
    let home = namespace(["a"]);
    for number in 0..300 {
        one.put(numbered(&home, number.to_string(), number).vector([1.0, 2.0])).unwrap();
    }
    assert_eq!(other.get(&home, "1").unwrap(), None);
    let clone = one.clone();
    drop(one);
    assert!(paths[0].is_dir() && clone.get(&home, "1").unwrap().is_some(), "a clone keeps it");
    drop(clone);
    other.close().unwrap();
    assert!(!paths[0].exists() && !paths[1].exists());
}
