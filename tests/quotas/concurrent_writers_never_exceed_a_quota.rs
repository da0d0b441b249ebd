//! Threads that put, replace, delete, batch, import, move and prune beside each other: no moment shows more than the
//! quota, and the count at the end is what is there.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use vecmem::{
    Batch, ErrorKind, Filter, ImportOptions, Metric, Namespace, Options, Quota, ReadOptions, RenameOptions, Scope,
    Store, Tuning,
};

use crate::common::{Random, SetAtEnd, namespace, numbered};
use crate::counted::assert_counts;

const ITEMS: u64 = 60;
const STEPS: u64 = 400;

fn spaces() -> [Namespace; 3] {
    [namespace(["t", "a", "x"]), namespace(["t", "a", "y"]), namespace(["t", "b"])]
}

fn step(store: &Store, random: &mut Random) -> vecmem::Result<()> {
    let space = random.pick(&spaces()).clone();
    let key = |random: &mut Random| format!("k{}", random.below(300));
    match random.below(40) {
        0 => store.delete_range(&Scope::from(&space)),
        1 => store.delete_where(&Scope::prefix(["t"])?, &Filter::eq("n", random.below(9))).map(drop),
        2 => store.keep_newest(&Scope::from(&space), 40).map(drop),
        3 => {
            store.rename_with(&Scope::from(&space), &namespace(["t", "c"]), &RenameOptions::new().merge(true)).map(drop)
        }
        4 => {
            let puts: Vec<_> =
                (0..30).map(|_| numbered(&space, key(random), random.below(9)).vector([1.0, 2.0])).collect();
            store.import(puts.into_iter().map(Ok), ImportOptions::new()).map(drop)
        }
        5..12 => store.delete(&space, &key(random)).map(drop),
        12..18 => {
            let mut batch = Batch::new();
            for _ in 0..8 {
                match random.chance(20) {
                    true => drop(batch.delete(&space, &key(random))),
                    false => drop(batch.put(numbered(&space, key(random), random.below(9)))),
                }
            }
            store.batch(batch).map(drop)
        }
        _ => store.put(numbered(&space, key(random), random.below(9))).map(drop),
    }
}

#[test]
fn concurrent_writers_never_exceed_a_quota() {
    let directory = tempfile::tempdir().unwrap();
    let tuning = Tuning { inline_background: false, import_chunk_rows: 1_000, ..Tuning::tiny() };
    let store = Store::open(directory.path(), Options::with_vectors(2, Metric::Dot).tuning(tuning)).unwrap();
    store.set_quota(Quota::each(Scope::prefix(["t"]).unwrap()).items(ITEMS)).unwrap();
    store.set_quota(Quota::new(Scope::prefix(["t"]).unwrap()).items(2 * ITEMS).bytes(2_000)).unwrap();
    let (done, refused, looks) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    thread::scope(|scope| {
        let _done = SetAtEnd(&done);
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let all = ReadOptions { include_expired: true, ..ReadOptions::default() };
                let snapshot = store.snapshot().unwrap();
                for (labels, limit) in
                    [(["t", "a"].as_slice(), ITEMS), (&["t", "b"], ITEMS), (&["t", "c"], ITEMS), (&["t"], 2 * ITEMS)]
                {
                    let count = snapshot.count(&Scope::prefix(labels).unwrap(), &all).unwrap();
                    assert!(count <= limit, "{labels:?} shows {count} items of {limit}");
                }
                looks.fetch_add(1, Ordering::Relaxed);
            }
        });
        let writers: Vec<_> = (0..4)
            .map(|seed| {
                let (store, refused) = (&store, &refused);
                scope.spawn(move || {
                    let mut random = Random::new(seed);
                    for _ in 0..STEPS {
                        match step(store, &mut random) {
                            Ok(()) => {}
                            Err(error) if error.kind() == ErrorKind::QuotaExceeded => {
                                refused.fetch_add(1, Ordering::Relaxed);
                            }
                            Err(error) if error.kind() == ErrorKind::Busy => {}
                            Err(error) => panic!("{error}"),
                        }
                    }
                })
            })
            .collect();
        writers.into_iter().for_each(|writer| writer.join().unwrap());
    });
    let (refused, looks) = (refused.into_inner(), looks.into_inner());
    println!("{refused} writes refused, {looks} looks");
    assert!(refused > 20 && looks > 20, "{refused} refused, {looks} looks");
    assert_counts(&store, "at the end");
}
