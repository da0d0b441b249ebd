//! Whatever a store held when it was closed, dropped or abandoned without a word, it holds when it is opened again.

use std::time::Duration;

use crate::common::{Random, namespace, numbered, reopened, simulated, tiny};
use vecmem::testing::Loss;
use vecmem::{Batch, Durability, Metric, Options, Query, ReadMode, ReadOptions, Scope, Store, Tuning};

#[test]
fn reopening_keeps_everything() {
    println!("seed 9");
    let options = || tiny(3, Metric::L2).split_keys([namespace(["m"])]);
    let (mut store, mut storage, clock) = simulated(options());
    let mut random = Random::new(9);
    let spaces = [namespace(["a"]), namespace(["a", "b"]), namespace(["z"])];
    for round in 0..60 {
        for number in 0..random.below(40) {
            let (space, key) = (&spaces[random.below(3) as usize], random.below(70).to_string());
            let put = numbered(space, &key, number);
            let outcome = match random.below(12) {
                0 => store.delete(space, &key).map(|_| ()),
                1 => store.delete_range(&Scope::from(space)),
                2 => {
                    let options = ReadOptions { refresh_ttl: true, ..ReadOptions::default() };
                    store.get_with(space, &key, &options).map(|_| ())
                }
                3 => {
                    let mut batch = Batch::new();
                    batch.put(put).import_checkpoint("source", &format!("{{\"n\":{number}}}"));
                    store.batch(batch).map(|_| ())
                }
                4 => store.put(put.ttl(Duration::from_secs(1 + number))).map(|_| ()),
                _ => store.put(put.vector(random.vector(3)).index_paths(["x"])).map(|_| ()),
            };
            outcome.unwrap();
            clock.advance(Duration::from_millis(random.below(500)));
        }
        store.sync().unwrap();
        let how = random.below(4);
        if how == 0 {
            // A compaction removes what has expired; all else it keeps.
            store.sweep().unwrap();
        }
        let dump = store.text_dump().unwrap();
        let query = Query::new(Scope::Store).vector(random.vector(3)).limit(1000);
        let answer = store.search(&query).unwrap();
        match how {
            0 => drop(store.compact().unwrap()),
            1 => store.close().unwrap(),
            // Power is lost: all of it was acknowledged, so all of it is there.
            2 => storage = storage.crash(Loss::AllUnsynced, round),
            _ => storage = storage.crash(Loss::Torn, round),
        }
        drop(store);
        store = reopened(&storage, &clock, options());
        assert_eq!(store.text_dump().unwrap(), dump, "round {round}");
        assert_eq!(store.search(&query).unwrap(), answer, "round {round}");
        assert_eq!(store.check(false).unwrap().problems, Vec::<String>::new());
    }
}

#[test]
fn on_a_real_disk_too_in_every_durability_and_read_mode() {
    let home = namespace(["a"]);
    for durability in [Durability::Sync, Durability::Periodic, Durability::Manual] {
        for read_mode in [ReadMode::Map, ReadMode::Heap] {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("new/store");
            let tuning = Tuning { inline_background: false, ..Tuning::tiny() };
            let options = tiny(2, Metric::Cosine).durability(durability).read_mode(read_mode).tuning(tuning);
            let mut expected = String::new();
            for round in 0..4 {
                // Without a vector space of its own, an open takes the store's.
                let options = if round == 2 { Options::new().durability(durability) } else { options.clone() };
                let store = Store::open(&path, options).unwrap();
                assert_eq!(store.text_dump().unwrap(), expected, "{durability:?} {read_mode:?} {round}");
                assert_eq!(store.vector_space().map(|space| space.dims), Some(2));
                for number in 0..70 {
                    store.put(numbered(&home, (number % 50).to_string(), number + round).vector([1.0, 2.0])).unwrap();
                }
                expected = store.text_dump().unwrap();
            }
        }
    }
}
