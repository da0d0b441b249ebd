//! A read refreshes an item that lives, and the item expires before the refresh is written: it stays expired.

use std::time::Duration;

use crate::common::{namespace, numbered, simulated, tiny_without_vectors};
use vecmem::ReadOptions;

const HOUR: Duration = Duration::from_secs(3_600);

#[test]
fn a_refresh_that_comes_too_late_revives_nothing() {
    let (store, _, clock) = simulated(tiny_without_vectors());
    let home = namespace(["a"]);
    store.put(numbered(&home, "k", 1).ttl(HOUR)).unwrap();
    clock.advance(HOUR / 2);
    let refreshing = ReadOptions { refresh_ttl: true, ..ReadOptions::default() };
    assert!(store.get_with(&home, "k", &refreshing).unwrap().is_some());
    clock.advance(HOUR);
    assert!(store.get(&home, "k").unwrap().is_none());
    // It brings a group for the refresh.
    store.put(numbered(&home, "other", 1)).unwrap();
    assert!(store.get(&home, "k").unwrap().is_none(), "the refresh came half an hour too late");
    assert_eq!(store.sweep().unwrap(), 1);
}
