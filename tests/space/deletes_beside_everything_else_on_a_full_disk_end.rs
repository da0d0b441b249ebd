//! On a full disk deletes, flushes, merges, imports, graphs, settings and the reserve that comes and goes hold each
//! other up for no longer than each takes: no two of them wait for each other. Seeded.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use crate::common::tmpfs::Tmpfs;
use crate::common::{Random, namespace};
use vecmem::testing::{SimClock, SimStorage, open_with};
use vecmem::{ErrorKind, ImportOptions, Metric, Namespace, Options, Put, Result, Scope, Store, Tuning};

const DIMS: usize = 4;
/// How long the threads go on.
const STRESS: Duration = Duration::from_secs(6);
/// Nothing here takes nearly as long, on any machine.
const LIMIT: Duration = Duration::from_secs(120);

/// Parts that fill every few writes, with threads in the background.
fn options(reserve_bytes: u64) -> Options {
    let tuning = Tuning {
        inline_background: false,
        busy_timeout: Duration::from_millis(200),
        idle_checkpoint: Duration::from_millis(50),
        touch_every: Duration::from_millis(5),
        reserve_bytes,
        ..Tuning::tiny()
    };
    Options::with_vectors(DIMS, Metric::Dot).tuning(tuning).split_keys([namespace(["home", "4"])])
}

fn home(number: u64) -> Namespace {
    namespace(["home", &(number % 8).to_string()])
}

fn item(random: &mut Random, bytes: u64) -> Put {
    // Letters that do not compress.
    let text: String = (0..random.below(bytes)).map(|_| char::from(b'a' + random.below(26) as u8)).collect();
    let number = random.below(400);
    Put::new(&home(number), number.to_string(), format!("{{\"text\":\"{text}\"}}")).vector(random.vector(DIMS))
}

/// One thing that a thread does over and over.
type Act = fn(&Store, &mut Random, u64) -> Result<()>;

const ACTS: [(&str, Act); 8] = [
    ("put", |store, random, bytes| store.put(item(random, bytes)).map(drop)),
    ("another put", |store, random, bytes| store.put(item(random, bytes)).map(drop)),
    ("delete", |store, random, _| {
        std::thread::sleep(Duration::from_micros(200));
        let number = random.below(400);
        store.delete(&home(number), &number.to_string()).map(drop)
    }),
    ("delete of a range", |store, random, _| {
        std::thread::sleep(Duration::from_millis(20));
        store.delete_range(&Scope::from(&home(random.below(8))))
    }),
    ("import", |store, random, bytes| {
        let puts: Vec<Result<Put>> = (0..20).map(|_| Ok(item(random, bytes))).collect();
        store.import(puts, ImportOptions::new()).map(drop)
    }),
    ("compaction", |store, random, _| {
        std::thread::sleep(Duration::from_millis(random.below(100)));
        store.compact().map(drop)
    }),
    ("graph", |store, random, _| {
        std::thread::sleep(Duration::from_millis(1));
        store.build_graph(&Scope::from(&home(random.below(8)))).map(drop)
    }),
    ("setting", |store, random, _| {
        store.accept_clock()?;
        store.set_setting("a", Some(&random.below(1_000).to_string())).and_then(|()| store.stats().map(drop))
    }),
];

/// What each thread has done, and what was refused to it.
type Counts = Arc<Mutex<BTreeMap<&'static str, (u64, u64)>>>;

/// Runs all acts at once beside `squeeze`, which changes how much is free; then everything is deleted and given back.
fn stress(store: &Store, seed: u64, bytes: u64, mut squeeze: impl FnMut(&mut Random), counts: &Counts) {
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _end = crate::common::SetAtEnd(&is_over);
        for (number, (name, act)) in (1..).zip(ACTS) {
            let (is_over, counts) = (&is_over, Arc::clone(counts));
            scope.spawn(move || {
                let mut random = Random::new(seed << 8 | number);
                while !is_over.load(Ordering::Relaxed) {
                    let outcome = act(store, &mut random, bytes);
                    if let Err(error) = &outcome {
                        let is_expected = matches!(error.kind(), ErrorKind::DiskFull | ErrorKind::Busy);
                        assert!(is_expected, "seed {seed}: {name}: {error}");
                    }
                    let mut counts = counts.lock().unwrap();
                    let (done, refused) = counts.entry(name).or_default();
                    *(if outcome.is_ok() { done } else { refused }) += 1;
                }
            });
        }
        let (since, mut random) = (Instant::now(), Random::new(seed));
        while since.elapsed() < STRESS {
            squeeze(&mut random);
            std::thread::sleep(Duration::from_millis(random.below(100)));
        }
    });
}

/// Calls `run` on a thread of its own, and fails where it does not end.
fn ends(run: impl FnOnce() + Send + 'static, counts: &Counts) {
    let (tell, told) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        run();
        let _ = tell.send(());
    });
    match told.recv_timeout(LIMIT) {
        Err(mpsc::RecvTimeoutError::Timeout) => {
            let done = counts.lock().unwrap().clone();
            panic!("calls wait for each other: they have not ended after {LIMIT:?}; done and refused: {done:?}")
        }
        _ => thread.join().unwrap(),
    }
}

fn assert_reasonable(counts: &Counts, context: &str) {
    let counts = counts.lock().unwrap();
    println!("{context}: done and refused: {counts:?}");
    for (name, _) in ACTS {
        let (done, refused) = counts.get(name).copied().unwrap_or_default();
        // A compaction is many jobs, of which one or another has no room mostly.
        let is_reasonable = done > 0 || (name == "compaction" && refused > 0);
        assert!(is_reasonable, "{context}: no {name} was ever done: {counts:?}");
    }
    let refused: u64 = counts.values().map(|(_, refused)| refused).sum();
    assert!(refused > 0, "{context}: the disk was never full: {counts:?}");
}

/// A store on a disk with room again: everything can be deleted and the space comes back.
fn assert_well(store: &Store) {
    store.delete_everything().unwrap();
    store.compact().unwrap();
    assert_eq!(store.stats().unwrap().size.items, 0);
    assert_eq!(store.check(false).unwrap().problems, Vec::<String>::new());
}

#[test]
fn on_a_simulated_disk_whose_size_changes() {
    let seed = 1;
    let (storage, counts) = (SimStorage::new(seed), Counts::default());
    let store =
        open_with(Arc::new(storage.clone()), Arc::new(SimClock::new(crate::common::START)), options(32 << 10)).unwrap();
    let run = {
        let (storage, store, counts) = (storage.clone(), store.clone(), Arc::clone(&counts));
        move || {
            let squeeze = |random: &mut Random| {
                let spare = [0, 2 << 10, 60 << 10, 200 << 10, 64 << 20, 64 << 20][random.below(6) as usize];
                storage.set_capacity(storage.used_bytes() + spare);
            };
            stress(&store, seed, 2_000, squeeze, &counts);
            storage.set_capacity(u64::MAX);
            assert_well(&store);
            store.close().unwrap();
        }
    };
    ends(run, &counts);
    assert_reasonable(&counts, &format!("seed {seed}"));
}

#[test]
fn on_a_small_real_disk() {
    let Some(disk) = Tmpfs::mount(8) else { return };
    let seed = 2;
    let counts = Counts::default();
    let path = disk.path().join("store");
    let store = Store::open(&path, options(512 << 10)).unwrap();
    let run = {
        let (store, counts) = (store.clone(), Arc::clone(&counts));
        move || {
            let ballast = disk.path().join("ballast");
            let squeeze = |random: &mut Random| {
                // What does not fit is not written.
                let kib = [0, 0, 2_000, 5_000, 8_000][random.below(5) as usize];
                let _ = std::fs::write(&ballast, vec![0; kib << 10]);
            };
            stress(&store, seed, 20_000, squeeze, &counts);
            std::fs::remove_file(&ballast).unwrap();
            assert_well(&store);
            store.close().unwrap();
        }
    };
    ends(run, &counts);
    assert_reasonable(&counts, &format!("seed {seed}"));
}
