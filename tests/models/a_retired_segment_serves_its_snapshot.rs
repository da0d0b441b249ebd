//! Retirement: a snapshot shows its moment while a merge replaces the segments below it, or says that a purge has
//! ended it. When it is dropped, no file of what it kept is left.

use std::time::Duration;

use vecmem::{ErrorKind, PurgeOptions, ReadOptions, Scope};

use crate::world::{World, check, namespace, numbered, spawn};

#[test]
fn a_retired_segment_serves_its_snapshot() {
    check(|| model(false));
}

#[test]
fn a_purge_ends_a_snapshot_between_two_reads_and_never_within_one() {
    check(|| model(true));
}

fn model(purges: bool) {
    let (world, home) = (World::new(), namespace("home"));
    for number in 0..5 {
        world.store.put(numbered(&home, &format!("k{number}"), number)).unwrap();
    }
    let place = home.clone();
    let reader = spawn(&world.store, move |store| {
        let snapshot = store.snapshot().unwrap();
        let count = snapshot.count(&Scope::from(&place), &ReadOptions::default());
        // The snapshot may already be older than a purge.
        let Ok(count) = count.inspect_err(|error| assert_eq!(error.kind(), ErrorKind::SnapshotGone)) else { return };
        for _ in 0..2 {
            match snapshot.items(&place).collect::<Result<Vec<_>, _>>() {
                Ok(items) => assert_eq!(items.len() as u64, count),
                Err(error) => assert!(purges && error.kind() == ErrorKind::SnapshotGone, "{error}"),
            }
        }
    });
    let place = home.clone();
    let writer = spawn(&world.store, move |store| {
        store.put(numbered(&place, "k0", 10)).unwrap();
        if purges {
            let options = PurgeOptions::new().grace(Duration::ZERO);
            store.purge_with(&Scope::from(&place), &options).unwrap();
        } else {
            store.delete(&place, "k1").unwrap();
            store.compact().unwrap();
        }
    });
    reader.join().unwrap();
    writer.join().unwrap();
    world.store.run_background();
    assert_eq!(world.store.count(&Scope::from(&home), &ReadOptions::default()).unwrap(), if purges { 0 } else { 4 });
    world.loses_nothing();
}
