//! Snapshots and iteration: reads of one moment, every item of a scope in key order, and pages of a listing.
//!
//! `cargo run --example snapshots`

use serde_json::json;
use vecmem::{IterateQuery, Namespace, Options, Put, Query, ReadOptions, Scope, Store};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = tempfile::tempdir()?;
    let store = Store::open(directory.path().join("diary"), Options::new())?;
    let diary: Namespace = "ada/diary".parse()?;
    for day in 1..=30 {
        store.put(Put::new(&diary, format!("2026-11-{day:02}"), json!({"day": day})))?;
    }

    // Whatever is written from now on, the snapshot stays as it is.
    let snapshot = store.snapshot()?;
    store.delete(&diary, "2026-11-01")?;
    store.put(Put::new(&diary, "2026-12-01", json!({"day": 31})))?;
    let all = ReadOptions::default();
    assert_eq!((snapshot.count(&Scope::Store, &all)?, store.count(&Scope::Store, &all)?), (30, 30));
    assert!(snapshot.get(&diary, "2026-11-01")?.is_some() && store.get(&diary, "2026-11-01")?.is_none());

    // Every item, in the order of namespaces and keys. It reads a page at a time.
    let mut days = 0;
    for item in snapshot.items(&diary) {
        let item = item?;
        assert!(item.key.starts_with("2026-11-"));
        days += 1;
    }
    println!("{days} days of November");
    assert_eq!(days, 30);

    // Only some keys. The store's own iterator takes a snapshot for itself.
    let december = IterateQuery::new(&diary).key_prefix("2026-12");
    let keys: Vec<String> = store.items(december).map(|item| Ok(item?.key)).collect::<vecmem::Result<_>>()?;
    assert_eq!(keys, ["2026-12-01"]);

    // One page of an iteration, and the cursor of the next one.
    let weekly = IterateQuery::new(&diary).limit(7);
    let first = store.iterate(&weekly, None)?;
    let second = store.iterate(&weekly, first.next.as_ref())?;
    assert_eq!(second.items[0].key, "2026-11-09");

    // The other order: what was written last comes first, in pages of one list.
    let listing = snapshot.listing(Query::new(&diary))?;
    let newest = listing.page(0, 10)?;
    println!("written last: {} at {:?}", newest[0].item.key, newest[0].item.updated());
    assert_eq!(newest[0].item.key, "2026-11-30");
    Ok(())
}
