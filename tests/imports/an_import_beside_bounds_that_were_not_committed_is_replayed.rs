//! A purge that shortens the bounds of shards and cannot commit them leaves them to whoever comes next. An import
//! beside it or behind it is replayed all the same after a power loss at any sync: each row lies in its shard and is
//! found. Seeded.

use crate::common::{namespace, numbered, reopened, simulated, tiny_without_vectors};
use vecmem::testing::{Fault, FaultKind, Image, Loss, SimClock, SimOperation, SimStorage};
use vecmem::{ErrorKind, ImportOptions, Namespace, Options, PurgeOptions, Put, ReadOptions, Result, Scope, Store};

const SECRET: &str = "secret and long";
const RENAMES: &[SimOperation] = &[SimOperation::Rename];
/// Rows of each namespace in the import.
const ROWS: u64 = 6;

/// The bound between the first two shards names what is to go.
fn options() -> Options {
    tiny_without_vectors().split_keys([namespace(["m", SECRET]), namespace(["t"])])
}

fn secret() -> Namespace {
    namespace(["m", SECRET])
}

/// Namespaces of the store: what is to go apart, two that stay on each side of it.
fn kept() -> [Namespace; 4] {
    [namespace(["a"]), namespace(["m", "early"]), namespace(["m", "z"]), namespace(["u"])]
}

/// Of the imports: on both sides of the bound before and after, and between these.
fn imported() -> [Namespace; 5] {
    [namespace(["b"]), namespace(["m", "f"]), namespace(["m", "t"]), namespace(["m", "zz"]), namespace(["v"])]
}

fn filled() -> (Store, SimStorage, SimClock) {
    let (store, storage, clock) = simulated(options());
    for home in kept().into_iter().chain([secret()]) {
        for number in 0..5 {
            store.put(numbered(&home, number.to_string(), number)).unwrap();
        }
    }
    store.compact().unwrap();
    (store, storage, clock)
}

fn purge(store: &Store) -> Result<vecmem::PurgeReceipt> {
    store.purge_with(&Scope::from(&secret()), &PurgeOptions::new().grace(std::time::Duration::ZERO))
}

fn puts(round: u64) -> Vec<Result<Put>> {
    let rows = imported().into_iter().flat_map(|home| (0..ROWS).map(move |number| (home.clone(), number)));
    rows.map(|(home, number)| Ok(numbered(&home, number.to_string(), round))).collect()
}

/// Whether a manifest of the disk names what is gone in a bound.
fn has_old_bounds(storage: &SimStorage) -> bool {
    let manifests = storage.names().into_iter().filter(|name| name.starts_with("manifest-"));
    manifests.filter_map(|name| storage.read_file(&name)).any(|bytes| {
        let label = SECRET.as_bytes();
        bytes.windows(label.len()).any(|window| window == label)
    })
}

/// That everything is there which was acknowledged, and nothing of the import by halves; whether the import is there.
fn assert_whole(store: &Store, least: u64, context: &str) -> bool {
    let count = |scope: &Scope| store.count(scope, &ReadOptions::default()).unwrap();
    for home in kept() {
        assert_eq!(count(&Scope::from(&home)), 5, "{context}: {home}");
    }
    let round_of = |home: &Namespace, key: &str| {
        let item = store.get(home, key).unwrap_or_else(|error| panic!("{context}: {home} {key}: {error}"));
        item.map_or(0, |item| item.value.trim_matches(|letter: char| !letter.is_ascii_digit()).parse().unwrap())
    };
    let newest: u64 = round_of(&imported()[0], "0");
    assert!(newest >= least, "{context}: round {least} of the import was acknowledged, {newest} is there");
    for home in imported() {
        (0..ROWS).for_each(|number| assert_eq!(round_of(&home, &number.to_string()), newest, "{context}: {home}"));
        assert_eq!(count(&Scope::from(&home)), if newest > 0 { ROWS } else { 0 }, "{context}: {home}");
    }
    assert_eq!(store.check(false).unwrap().problems, Vec::<String>::new(), "{context}");
    newest > 0
}

/// That each image can be opened with all that its tag says was imported; in how many the import is.
fn assert_survived(images: &[Image], clock: &SimClock, context: &str) -> usize {
    let mut replayed = 0;
    for (point, image) in images.iter().enumerate() {
        for (loss, seed) in [(Loss::AllUnsynced, 0), (Loss::None, 0), (Loss::Torn, 31 * point as u64)] {
            let context = format!("{context}, sync point {point}, {loss:?}, seed {seed}");
            let left = image.survivor(loss, seed);
            let store = reopened(&left, clock, options());
            replayed += usize::from(assert_whole(&store, image.tag, &context));
            // What the open found is what the next one finds, too.
            drop(purge(&store).unwrap_or_else(|error| panic!("{context}: {error}")));
            assert_whole(&store, image.tag, &context);
            assert!(!has_old_bounds(&left), "{context}");
        }
    }
    replayed
}

/// Runs purges of which each fails at another commit, until one fails at none. `scene` is told at which, and how to run
/// the purge, and returns how many imports were refused and which one must be there.
fn with_each_failure(name: &str, scene: impl Fn(&Store, &SimStorage, &mut dyn FnMut()) -> (usize, u64)) {
    let (mut left_behind, mut replayed, mut refused) = (0, 0, 0);
    for after in 0.. {
        let context = format!("{name}, failed at commit {after}");
        let (store, storage, clock) = filled();
        storage.record_sync_points();
        let mut has_failed = false;
        let mut purge = || {
            storage.fail_after(after, Fault::once(FaultKind::Full, RENAMES));
            let outcome = purge(&store);
            has_failed = storage.fault_struck();
            storage.clear_faults();
            assert_eq!(outcome.is_err(), has_failed, "{context}: {outcome:?}");
            left_behind += usize::from(has_failed && has_old_bounds(&storage));
        };
        let (refusals, round) = scene(&store, &storage, &mut purge);
        refused += refusals;
        replayed += assert_survived(&storage.take_images(), &clock, &context);
        assert_whole(&store, round, &context);
        if !has_failed {
            println!("{name}: {after} commits failed, {left_behind} left old bounds, {refused} imports refused");
            assert!(after > 3, "{context}");
            break;
        }
    }
    assert!(left_behind > 0 && replayed > 50, "{name}: {left_behind} {replayed}");
}

fn import(store: &Store, storage: &SimStorage, round: u64, meanwhile: &mut dyn FnMut()) -> Result<()> {
    store.import(puts(round), ImportOptions::new().before_commit(meanwhile))?;
    storage.set_tag(round);
    Ok(())
}

#[test]
fn behind_the_purge() {
    with_each_failure("behind", |store, storage, purge| {
        purge();
        import(store, storage, 1, &mut || {}).unwrap();
        (0, 1)
    });
}

#[test]
fn behind_the_purge_and_one_that_could_not_commit_them_either() {
    with_each_failure("behind, refused", |store, storage, purge| {
        purge();
        storage.fail_after(0, Fault::once(FaultKind::Full, RENAMES));
        let refused = import(store, storage, 1, &mut || {});
        storage.clear_faults();
        if let Err(error) = &refused {
            assert_eq!(error.kind(), ErrorKind::DiskFull, "{error}");
        }
        import(store, storage, 2, &mut || {}).unwrap();
        (usize::from(refused.is_err()), 2)
    });
}

#[test]
fn beside_the_purge() {
    with_each_failure("beside", |store, storage, purge| {
        import(store, storage, 1, purge).unwrap();
        (0, 1)
    });
}
