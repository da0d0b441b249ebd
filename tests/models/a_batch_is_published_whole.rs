//! Publish: readers see all of a batch or nothing of it, never an older state after a newer one, and nothing that a
//! power loss would take back.

use vecmem::{Address, Batch, ReadOptions};

use crate::world::{World, check, namespace, number_of, numbered, spawn};

#[test]
fn a_batch_is_published_whole() {
    check(|| {
        let (world, halves) = (World::new(), ["a", "z"].map(namespace));
        let writers: Vec<_> = (1..=2u64)
            .map(|number| {
                let halves = halves.clone();
                spawn(&world.store, move |store| {
                    for round in 0..2 {
                        let mut batch = Batch::new();
                        for half in &halves {
                            batch.put(numbered(half, "k", 10 * number + round));
                        }
                        store.batch(batch).unwrap();
                    }
                })
            })
            .collect();
        let (places, disk) = (halves.clone(), world.disk.clone());
        let reader = spawn(&world.store, move |store| {
            let addresses = places.each_ref().map(|half| Address { namespace: half.clone(), key: "k".to_owned() });
            let mut newest = 0;
            for _ in 0..3 {
                let items = store.get_many(&addresses, &ReadOptions::default()).unwrap();
                let [first, second] = [0, 1].map(|half| items[half].as_ref().map(|item| &item.value));
                assert_eq!(first, second);
                let version = items.iter().flatten().map(|item| item.version.to_u64()).max().unwrap_or_default();
                assert!(version >= newest, "a read went back from {newest} to {version}");
                newest = version;
            }
            (newest, disk)
        });
        let _ = reader.join().unwrap();
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        let [first, second] = halves.each_ref().map(|half| number_of(&world.store, half, "k").unwrap());
        assert_eq!(first, second);
        world.loses_nothing();
    });
}
