//! An import leaves what a batch of the same puts in the same order would, to the last version and time: over items
//! that are there already, expired ones among them, with keys that come twice, and however it is cut into chunks and
//! shards.

use std::time::Duration;

use crate::common::{Random, START, namespace, reopened, tiny};
use vecmem::testing::{Clock, SimClock, SimStorage};
use vecmem::{Batch, Filter, ImportOptions, Metric, Namespace, Options, Put, Query, ReadOptions, Scope, Store};

const DIMS: usize = 4;
const KEYS: u64 = 60;

fn draw(random: &mut Random, number: u64) -> Put {
    let place = [namespace(["a"]), namespace(["a", "b"]), namespace(["n"]), namespace(["z"])];
    let put =
        Put::new(&place[random.below(4) as usize], format!("k{}", random.below(KEYS)), format!("{{\"n\":{number}}}"));
    let put = match random.below(4) {
        0 => put,
        1 => put.field_vector("title", random.vector(DIMS)).field_vector("text", random.vector(DIMS)),
        _ => put.vector(random.vector(DIMS)),
    };
    let put = if random.chance(20) { put.ttl(Duration::from_secs(1 + random.below(100))) } else { put };
    let put = if random.chance(10) { put.updated_at(START + random.below(90) as i64) } else { put };
    let put = if random.chance(10) { put.created_at(START - random.below(90) as i64) } else { put };
    put.index_paths(["title"])
}

fn options(shards: bool) -> Options {
    let cuts = shards.then(|| [namespace(["a", "b"]), namespace(["p"])]);
    tiny(DIMS, Metric::Cosine).split_keys(cuts.into_iter().flatten())
}

/// Two stores with the same past.
fn twins(seed: u64, shards: bool) -> [(Store, SimStorage, SimClock); 2] {
    [1, 2].map(|disk| {
        let (storage, clock) = (SimStorage::new(disk), SimClock::new(START));
        let store = reopened(&storage, &clock, options(shards));
        let mut random = Random::new(seed);
        for number in 0..random.below(120) {
            store.put(draw(&mut random, number)).unwrap();
            clock.advance(Duration::from_millis(random.below(500)));
        }
        (store, storage, clock)
    })
}

fn everything(store: &Store) -> (String, Vec<Vec<String>>) {
    let reads = [Query::new(Scope::Store), Query::new(Scope::prefix(["a"]).unwrap()), Query::new(&namespace(["n"]))];
    let reads = reads.into_iter().flat_map(|query| {
        let filtered = query.clone().filter(Filter::gte("n", 50));
        let near = query.clone().vector([1.0, -2.0, 3.0, 0.5]).limit(15).exact(true);
        [query.limit(100), filtered.limit(100), near]
    });
    let answers = reads.map(|query| store.search(&query).unwrap().iter().map(|hit| format!("{hit:?}")).collect());
    (store.text_dump().unwrap(), answers.collect())
}

#[test]
fn the_same_items_versions_times_and_answers() {
    for seed in 0..60 {
        let shards = seed % 3 == 2;
        let [(imported, storage, clock), (put, ..)] = twins(seed, shards);
        let mut random = Random::new(seed + 1_000);
        let items: Vec<Put> = (0..1 + random.below(90)).map(|number| draw(&mut random, 1_000 + number)).collect();
        let chunk = 1 + random.below(40) as usize;
        let import = ImportOptions::new().chunk_rows(chunk);
        let report = imported.import(items.iter().cloned().map(Ok), import).unwrap();
        assert_eq!((report.imported, report.skipped, report.resumed_after), (items.len() as u64, 0, 0), "seed {seed}");
        assert!(report.progress.complete && report.progress.lines == items.len() as u64);
        for chunk in items.chunks(chunk) {
            let mut batch = Batch::new();
            for item in chunk {
                batch.put(item.clone());
            }
            put.batch(batch).unwrap();
        }
        let wanted = everything(&put);
        assert_eq!(everything(&imported), wanted, "seed {seed}, chunks of {chunk}");
        let again = reopened(&storage.crash(vecmem::testing::Loss::AllUnsynced, 0), &clock, options(shards));
        assert_eq!(everything(&again), wanted, "seed {seed}, chunks of {chunk}, after a crash");
        // What has expired is removed first.
        assert_eq!(imported.compact().unwrap().swept, put.sweep().unwrap());
        let wanted = everything(&put);
        assert_eq!(everything(&imported), wanted, "seed {seed}, chunks of {chunk}, compacted");
        assert_eq!(imported.check(false).unwrap().problems, Vec::<String>::new());
        let segments = imported.stats().unwrap().internals.segments;
        assert!(segments <= if shards { 3 } else { 1 }, "seed {seed}: {segments} segments after compacting");
        // What comes later is written alike.
        clock.advance(Duration::from_secs(30));
        for store in [&imported, &put] {
            let mut random = Random::new(seed + 2_000);
            for number in 0..30 {
                store.put(draw(&mut random, 5_000 + number).updated_at(clock.now())).unwrap();
            }
            store.delete(&namespace(["a"]), "k1").unwrap();
            store.delete_range(&Scope::from(&namespace(["n"]))).unwrap();
        }
        let _ = everything(&imported);
    }
}

#[test]
fn an_import_of_nothing_is_one() {
    let (store, _, _) = crate::common::simulated(tiny(DIMS, Metric::Dot));
    let report = store.import(Vec::new(), ImportOptions::new()).unwrap();
    assert_eq!((report.imported, report.progress.complete), (0, true));
    let report = store.import(Vec::new(), ImportOptions::new().source("empty")).unwrap();
    assert_eq!((report.imported, report.progress.lines), (0, 0));
    assert!(store.import_progress("empty").unwrap().unwrap().complete);
    assert_eq!(store.count(&Scope::Store, &ReadOptions::default()).unwrap(), 0);
}

#[test]
fn an_old_view_does_not_see_an_import() {
    let (store, _, _) = crate::common::simulated(tiny(DIMS, Metric::Dot));
    let place: Namespace = namespace(["a"]);
    for number in 0..30 {
        store.put(crate::common::numbered(&place, format!("{number:02}"), number)).unwrap();
    }
    let query = vecmem::IterateQuery::new(Scope::Store).limit(10);
    let page = store.iterate(&query, None).unwrap();
    let items = (0..60).map(|number| Ok(crate::common::numbered(&place, format!("{number:02}"), 100 + number)));
    store.import(items, ImportOptions::new()).unwrap();
    store.compact().unwrap();
    let (mut seen, mut cursor) = (page.items.len(), page.next);
    while let Some(after) = cursor {
        let page = store.iterate(&query, Some(&after)).unwrap();
        assert!(page.items.iter().all(|item| item.value_as::<serde_json::Value>().unwrap()["n"].as_u64() < Some(30)));
        seen += page.items.len();
        cursor = page.next;
    }
    assert_eq!(seen, 30);
    assert_eq!(store.count(&Scope::Store, &ReadOptions::default()).unwrap(), 60);
}
