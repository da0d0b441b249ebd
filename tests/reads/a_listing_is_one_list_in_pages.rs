//! The pages of a listing are slices of one list: that of its snapshot, whatever their size and order, and whatever is
//! put, deleted, range-deleted, sealed, merged or expires between them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::common::model::{Model, ModelItem, address};
use crate::common::{Random, namespace, numbered, simulated, tiny, tiny_without_vectors};
use vecmem::{Batch, ErrorKind, Filter, Item, Listing, Metric, Namespace, Query, ReadOptions, Scope, Store, Tuning};

const HOUR: Duration = Duration::from_secs(3_600);

fn spaces() -> [Namespace; 4] {
    [namespace(["a"]), namespace(["a", "b"]), namespace(["a\0"]), namespace(["c"])]
}

/// Writes something, to the model too; items without a model may have a time to live.
fn write(store: &Store, random: &mut Random, model: Option<&mut Model>) {
    let space = &spaces()[random.below(4) as usize];
    let (key, number) = (random.below(60).to_string(), random.below(100));
    let (mut forgotten, has_model) = (Model::default(), model.is_some());
    let items = &mut model.unwrap_or(&mut forgotten).items;
    match random.below(60) {
        0 => {
            store.delete_range(&Scope::from(space)).unwrap();
            items.retain(|(labels, _), _| *labels != space.labels());
        }
        1 => drop(store.compact().unwrap()),
        2..=8 => {
            store.delete(space, &key).unwrap();
            items.remove(&address(space, &key));
        }
        _ => {
            let put = numbered(space, key.as_str(), number);
            let version =
                store.put(if !has_model && random.chance(30) { put.ttl(HOUR) } else { put }).unwrap().to_u64();
            if has_model {
                let updated_at = store.get(space, &key).unwrap().unwrap().updated_at;
                let value = format!("{{\"n\":{number}}}");
                items.insert(address(space, &key), ModelItem { value, vectors: Vec::new(), version, updated_at });
            }
        }
    }
}

/// All items in pages of `size`, which may be 0 for pages of any size.
fn paged(listing: &Listing, size: usize, random: &mut Random, mut between: impl FnMut(&mut Random)) -> Vec<Item> {
    let mut items = Vec::new();
    loop {
        let limit = if size == 0 { 1 + random.below(50) as usize } else { size };
        let page = listing.page(items.len(), limit).unwrap();
        assert!(!page.incomplete && page.iter().all(|hit| hit.score.is_none()));
        let count = page.len();
        items.extend(page.into_iter().map(|hit| hit.item));
        if count < limit {
            return items;
        }
        between(random);
    }
}

#[test]
fn a_listing_is_one_list_in_pages() {
    println!("seed 3");
    let mut random = Random::new(3);
    let (store, _, clock) = simulated(tiny_without_vectors().split_keys([namespace(["b"])]));
    let mut model = Model::default();
    let filter = Filter::from_json_str(r#"{"n": {"$gte": 40}}"#).unwrap();
    for round in 0..60 {
        (0..20).for_each(|_| write(&store, &mut random, Some(&mut model)));
        clock.advance(Duration::from_micros(random.below(3)));
        let scope = [Scope::Store, Scope::prefix(["a"]).unwrap(), Scope::from(&spaces()[0])][round % 3].clone();
        let filter = random.chance(50).then_some(&filter);
        let query = filter.iter().fold(Query::new(scope.clone()), |query, filter| query.filter((*filter).clone()));
        let expected: Vec<u64> = model.list(&scope, filter).iter().map(|row| row.version).collect();
        let listing = store.snapshot().unwrap().listing(query.clone()).unwrap();
        let versions = |items: &[Item]| items.iter().map(|item| item.version.to_u64()).collect::<Vec<_>>();
        let size = [0, 1, 7, 20, 1_000][random.below(5) as usize];
        let items = paged(&listing, size, &mut random, |_| {});
        assert_eq!(versions(&items), expected, "pages of {size}, round {round}");
        // Anywhere, forwards and backwards, from a listing that has been there and from one that has not.
        let fresh = store.snapshot().unwrap().listing(query).unwrap();
        for _ in 0..30 {
            let (offset, limit) = (random.below(expected.len() as u64 + 30) as usize, random.below(45) as usize);
            let slice = items.iter().skip(offset).take(limit).collect::<Vec<_>>();
            for listing in [&listing, &fresh] {
                let page = listing.page(offset, limit).unwrap();
                assert_eq!(page.iter().map(|hit| &hit.item).collect::<Vec<_>>(), slice, "from {offset}, {limit}");
            }
        }
        assert_eq!(listing.page(usize::MAX, usize::MAX).unwrap().len(), 0);
        assert_eq!(listing.page(0, usize::MAX).unwrap().len(), expected.len());
    }
    assert!(model.items.len() > 100, "{} items are several chunks", model.items.len());
}

#[test]
fn writes_and_time_between_pages_move_nothing() {
    println!("seed 4");
    let mut random = Random::new(4);
    let (store, _, clock) = simulated(tiny_without_vectors());
    for round in 0..30 {
        (0..60).for_each(|_| write(&store, &mut random, None));
        let snapshot = store.snapshot().unwrap();
        let expected = snapshot.list(&Query::new(Scope::Store).limit(usize::MAX)).unwrap();
        let expected: Vec<Item> = expected.into_iter().map(|hit| hit.item).collect();
        let listing = snapshot.listing(Query::new(Scope::Store)).unwrap();
        drop(snapshot);
        let found = paged(&listing, 5 + round, &mut random, |random| {
            (0..15).for_each(|_| write(&store, random, None));
            clock.advance(HOUR / 8);
            store.sweep().unwrap();
            assert_eq!(store.stats().unwrap().memory.open_cursors, 1, "a listing counts as a cursor");
        });
        assert_eq!(found, expected);
    }
    assert_eq!(store.stats().unwrap().memory.open_cursors, 0);
    assert!(store.stats().unwrap().internals.swept > 50);
}

#[test]
fn a_listing_is_stable_beside_other_threads() {
    println!("seed 6");
    let tuning = Tuning { inline_background: false, ..Tuning::tiny() };
    let store = Store::temporary(tiny_without_vectors().tuning(tuning)).unwrap();
    let mut batch = Batch::new();
    for (space, key) in spaces().iter().flat_map(|space| (0..60).map(move |key| (space, key))) {
        batch.put(numbered(space, key.to_string(), key));
    }
    store.batch(batch).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut random = Random::new(6);
            while !done.load(Ordering::Acquire) {
                write(&store, &mut random, None);
            }
        });
        // The background and the disk decide how many rounds there are flushes and merges in.
        for round in 0..6_000 {
            let internals = store.stats().unwrap().internals;
            if round >= 60 && internals.flushes > 10 && internals.merges > 5 {
                break;
            }
            let snapshot = store.snapshot().unwrap();
            let listing = Arc::new(snapshot.listing(Query::new(Scope::Store)).unwrap());
            let expected = snapshot.list(&Query::new(Scope::Store).limit(usize::MAX)).unwrap();
            let readers = [1, 2].map(|reader| {
                let listing = Arc::clone(&listing);
                scope.spawn(move || paged(&listing, 0, &mut Random::new(round * reader), |_| std::thread::yield_now()))
            });
            for reader in readers {
                let found = reader.join().unwrap();
                assert!(found.iter().eq(expected.iter().map(|hit| &hit.item)), "{found:?}\nexpected {expected:?}");
            }
        }
        done.store(true, Ordering::Release);
        writer.join().unwrap();
    });
    let stats = store.stats().unwrap();
    assert!(stats.internals.flushes > 10 && stats.internals.merges > 5, "{stats:?}");
}

#[test]
fn a_listing_refuses_a_vector_and_ends_with_its_store() {
    let (store, _, clock) = simulated(tiny(1, Metric::Dot));
    let home = namespace(["a"]);
    for number in 0..50 {
        store.put(numbered(&home, number.to_string(), number).ttl(HOUR)).unwrap();
    }
    let snapshot = store.snapshot().unwrap();
    let refused = snapshot.listing(Query::new(&home).vector([1.0])).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidInput);
    // The query's options hold for every page.
    let options = ReadOptions { refresh_ttl: true, include_vectors: true, ..ReadOptions::default() };
    let listing = snapshot.listing(Query::new(&home).limit(3).offset(40).options(options)).unwrap();
    clock.advance(HOUR / 2);
    assert_eq!(listing.page(10, 20).unwrap().len(), 20, "the query's limit and offset mean nothing");
    store.sync().unwrap();
    clock.advance(HOUR / 2);
    let mut living: Vec<u64> = store.list(&Query::new(&home).limit(99)).unwrap().iter().map(number).collect();
    living.sort_unstable();
    assert_eq!(living, (20..40).collect::<Vec<_>>(), "those of the page were refreshed");
    let options = ReadOptions { deadline: Some(Duration::ZERO), ..ReadOptions::default() };
    let late = snapshot.listing(Query::new(&home).options(options)).unwrap();
    assert_eq!(late.page(0, 10).unwrap_err().kind(), ErrorKind::DeadlineExceeded);
    store.close().unwrap();
    assert_eq!(listing.page(0, 10).unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(snapshot.listing(Query::new(&home)).unwrap_err().kind(), ErrorKind::Closed);
}

fn number(hit: &vecmem::Hit) -> u64 {
    hit.item.value_as::<serde_json::Value>().unwrap()["n"].as_u64().unwrap()
}
