//! An import that was given room and has not written yet keeps it: a put that needs log, or a graph, gets room beside
//! it or none. What the import has written counts once, and what it does not write is theirs when it has ended.

use std::sync::Arc;

use crate::common::gate::{Gate, OpenAtEnd, Step};
use crate::common::{Random, namespace, numbered, tiny};
use vecmem::testing::{SimClock, SimStorage, open_with};
use vecmem::{ErrorKind, ImportOptions, Metric, Options, Put, Result, Scope, Store, Tuning};

const DIMS: usize = 4;
const ROWS: u64 = 30;
/// Of each value of the import.
const BYTES: usize = 10_000;

fn options() -> Options {
    let tuning = Tuning {
        graph_rows: u32::MAX,
        earn_rows: u32::MAX,
        memtable_bytes: 8 << 20,
        log_total_bytes: 64 << 20,
        blob_value_bytes: 1 << 20,
        ..Tuning::tiny()
    };
    tiny(DIMS, Metric::Dot).tuning(tuning)
}

fn import(store: &Store) -> Result<()> {
    let text = "x".repeat(BYTES);
    let put = |number: u64| {
        Put::new(&namespace(["import"]), number.to_string(), format!("{{\"n\":{number},\"t\":\"{text}\"}}"))
    };
    store.import((0..ROWS).map(|number| Ok(put(number))), ImportOptions::new()).map(drop)
}

/// What asks meanwhile.
type Job = fn(&Store) -> Result<()>;

const JOBS: [(&str, Job); 2] = [
    ("a graph", |store| store.build_graph(&Scope::Store).map(drop)),
    ("a put", |store| {
        let text = "y".repeat(40_000);
        store.put(Put::new(&namespace(["a"]), "large", format!("{{\"t\":\"{text}\"}}"))).map(drop)
    }),
];

struct Scene {
    store: Store,
    storage: SimStorage,
    gate: Gate,
}

fn scene() -> Scene {
    let storage = SimStorage::new(1);
    let (gated, gate) = Gate::before(Arc::new(storage.clone()));
    let store = open_with(gated, Arc::new(SimClock::new(crate::common::START)), options()).unwrap();
    let mut random = Random::new(3);
    for number in 0..60 {
        store.put(numbered(&namespace(["a"]), number.to_string(), number).vector(random.vector(DIMS))).unwrap();
    }
    store.compact().unwrap();
    Scene { store, storage, gate }
}

/// The least free space, to the nearest KiB, with which `job` is done.
fn least(job: impl Fn(&Store) -> Result<()>) -> u64 {
    let fits = |kib: &u64| {
        let Scene { store, storage, .. } = scene();
        storage.set_capacity(storage.used_bytes() + (kib << 10));
        match job(&store) {
            Ok(()) => true,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::DiskFull, "{error}");
                false
            }
        }
    };
    let sizes: Vec<u64> = (0..4_096).collect();
    let kib = sizes.partition_point(|kib| !fits(kib)) as u64;
    assert!(kib > 0 && kib < 4_096, "{kib}");
    kib << 10
}

#[test]
fn while_an_import_writes() {
    let of_import = least(import);
    for (name, job) in JOBS {
        let of_job = least(job);
        println!("{name}: {} KiB, the import {} KiB", of_job >> 10, of_import >> 10);
        for (step, after) in [(Step::Create, 0), (Step::Write, 2)] {
            for fails in [false, true] {
                let context = format!("{name}, the import held at {step:?} {after}, fails: {fails}");
                let Scene { store, storage, gate } = scene();
                // Room for each of them, and not for both.
                let free = of_import.max(of_job);
                storage.set_capacity(storage.used_bytes() + free);
                gate.close(step, ".truth", after);
                std::thread::scope(|scope| {
                    let _end = OpenAtEnd(&gate);
                    let imported = scope.spawn(|| import(&store));
                    gate.wait_until_held();
                    let error = job(&store).expect_err(&context);
                    assert_eq!(error.kind(), ErrorKind::DiskFull, "{context}: {error}");
                    if fails {
                        gate.fail()
                    } else {
                        gate.open()
                    }
                    let imported = imported.join().unwrap();
                    assert_eq!(imported.is_err(), fails, "{context}: {imported:?}");
                });
                // An import that failed has given everything back; one that is done has taken what it needed.
                let again = job(&store);
                assert!(!fails || again.is_ok(), "{context}: {again:?}");
                storage.set_capacity(u64::MAX);
                job(&store).unwrap_or_else(|error| panic!("{context}: {error}"));
                assert_eq!(store.check(false).unwrap().problems, Vec::<String>::new(), "{context}");
            }
        }
    }
}

#[test]
fn no_more_of_it_than_the_import_has_not_written_yet() {
    for (name, job) in JOBS {
        let (of_import, of_job) = (least(import), least(job));
        let Scene { store, storage, gate } = scene();
        // Room for both. If what is written counted as granted still, there would be too little for the job at the end.
        storage.set_capacity(storage.used_bytes() + of_import + of_job);
        gate.close(Step::Sync, ".truth", 0);
        std::thread::scope(|scope| {
            let _end = OpenAtEnd(&gate);
            let imported = scope.spawn(|| import(&store));
            gate.wait_until_held();
            job(&store).unwrap_or_else(|error| panic!("{name}: {error}"));
            gate.open();
            imported.join().unwrap().unwrap_or_else(|error| panic!("{name}: {error}"));
        });
        assert_eq!(store.check(false).unwrap().problems, Vec::<String>::new(), "{name}");
    }
}
