//! A segment that damage hides an operation from fails its own reads and nothing else: the log of the store goes on
//! being freed, and a file that is put back has missed nothing, however long that took.

use std::path::Path;

use crate::common::directory::Directory;
use crate::common::{assert_unchanged, namespace, numbered, reopened, simulated, tiny};
use vecmem::testing::{Loss, SimStorage};
use vecmem::{ErrorKind, Metric, Namespace, Options, ReadOptions, Scope, Store, Tuning};

/// Damages every block of the body.
fn damaged(bytes: &[u8]) -> Vec<u8> {
    let mut damaged = bytes.to_vec();
    damaged[4096..].iter_mut().for_each(|byte| *byte ^= 1);
    damaged
}

fn truth_of(storage: &SimStorage) -> String {
    storage.names().into_iter().find(|name| name.ends_with(".truth")).unwrap()
}

/// A store whose only segment is damaged, and whose log deletes `3` and replaces `4` in it.
struct Wrecked {
    directory: Directory,
    truth: String,
    whole: Vec<u8>,
}

fn wrecked(directory: &Directory, home: &Namespace) -> Wrecked {
    let store = directory.open(Options::with_vectors(1, Metric::Dot));
    for number in 0..20 {
        store.put(numbered(home, number.to_string(), number)).unwrap();
    }
    store.compact().unwrap();
    store.delete(home, "3").unwrap();
    store.put(numbered(home, "4", 400)).unwrap();
    let directory = directory.killed();
    drop(store);
    let truth = directory.names(".truth").pop().unwrap();
    let whole = directory.read(&truth);
    directory.write(&truth, &damaged(&whole));
    Wrecked { directory, truth, whole }
}

#[test]
fn the_log_shrinks_and_a_restored_file_has_missed_nothing() {
    let options = || tiny(1, Metric::Dot);
    let (store, storage, clock) = simulated(options());
    let (a, b) = (namespace(["a"]), namespace(["b"]));
    for number in 0..30 {
        store.put(numbered(&a, number.to_string(), number)).unwrap();
    }
    store.put(numbered(&a, "brief", 1).ttl(std::time::Duration::from_secs(3_600))).unwrap();
    store.compact().unwrap();
    let refresh = ReadOptions { refresh_ttl: true, ..ReadOptions::default() };
    clock.advance(std::time::Duration::from_secs(1_800));
    // In the log only: a delete, a replacement, a refresh, and a range that ends before it.
    store.delete(&a, "3").unwrap();
    store.put(numbered(&a, "4", 400)).unwrap();
    assert!(store.get_with(&a, "brief", &refresh).unwrap().is_some());
    store.sync().unwrap();
    store.put(numbered(&b, "0", 0)).unwrap();
    let expected = store.text_dump().unwrap();
    let wrecked = storage.crash(Loss::None, 0);
    drop(store);
    let truth = truth_of(&wrecked);
    let whole = wrecked.read_file(&truth).unwrap();
    wrecked.write_file(&truth, &damaged(&whole));

    let store = reopened(&wrecked, &clock, options());
    assert_eq!(store.get(&a, "3").unwrap_err().kind(), ErrorKind::Damaged);
    for round in 0..30_u64 {
        for number in 0..200 {
            store.put(numbered(&b, (number % 10).to_string(), 1_000 * round + number)).unwrap();
        }
    }
    store.compact().unwrap_or_else(|error| {
        assert_eq!(error.kind(), ErrorKind::Damaged, "{error}");
        vecmem::CompactReport::default()
    });
    let stats = store.stats().unwrap();
    assert!(
        stats.log.bytes < 4 * Tuning::tiny().log_total_bytes,
        "10 living items need {} bytes of log",
        stats.log.bytes
    );
    assert_eq!(stats.log.checkpoint_lsn, stats.log.visible_lsn, "checkpoints go on");
    assert!(wrecked.names().iter().any(|name| name.ends_with(".missed")), "{:?}", wrecked.names());
    store.close().unwrap();
    // Once more, so that what was missed comes out of the file and goes into the next one.
    let store = reopened(&wrecked, &clock, options());
    assert_eq!(store.get(&a, "3").unwrap_err().kind(), ErrorKind::Damaged);
    for key in 0..10 {
        store.delete(&b, &key.to_string()).unwrap();
    }
    store.put(numbered(&b, "0", 0)).unwrap();
    store.close().unwrap();

    wrecked.write_file(&truth, &whole);
    let store = reopened(&wrecked, &clock, options());
    let of_a = |dump: &str| dump.lines().filter(|line| line.contains("[\"a\"]")).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(of_a(&store.text_dump().unwrap()), of_a(&expected));
    assert_eq!(store.get(&a, "4").unwrap().unwrap().value.as_ref(), "{\"n\":400}");
    let dump = store.text_dump().unwrap();
    store.compact().unwrap();
    assert!(!wrecked.names().iter().any(|name| name.ends_with(".missed")), "{:?}", wrecked.names());
    store.close().unwrap();
    assert_unchanged(&reopened(&wrecked, &clock, options()), &dump);
}

#[test]
fn a_power_loss_at_any_sync_keeps_what_was_missed() {
    let options = || tiny(1, Metric::Dot);
    let (a, b) = (namespace(["a"]), namespace(["b"]));
    let Wrecked { directory, truth, whole } = wrecked(&Directory::simulated(), &a);
    let (wrecked, clock) = (directory.sim().storage.clone(), directory.sim().clock.clone());
    wrecked.record_sync_points();
    let store = reopened(&wrecked, &clock, options());
    for number in 0..120 {
        store.put(numbered(&b, number.to_string(), number)).unwrap();
    }
    store.close().unwrap();
    let images = wrecked.take_images();
    assert!(images.len() > 40, "{} sync points", images.len());
    for (index, image) in images.iter().enumerate() {
        for (seed, loss) in [(1, Loss::AllUnsynced), (index as u64, Loss::Torn)] {
            let survivor = image.survivor(loss, seed);
            survivor.write_file(&truth, &whole);
            let store = reopened(&survivor, &clock, options());
            let found = store.get(&a, "3").unwrap();
            assert!(found.is_none(), "sync point {index}, {loss:?}: a deleted item is back");
            assert_eq!(
                store.get(&a, "4").unwrap().unwrap().value.as_ref(),
                "{\"n\":400}",
                "sync point {index}, {loss:?}"
            );
            assert_eq!(store.check(false).unwrap().problems, Vec::<String>::new());
        }
    }
}

#[test]
fn what_was_missed_is_kept_while_its_own_file_is_damaged() {
    keeps_what_was_missed_while_its_own_file_is_damaged(&Directory::simulated());
}

#[test]
fn what_was_missed_is_kept_while_its_own_file_is_damaged_on_a_real_disk_with_default_tuning() {
    keeps_what_was_missed_while_its_own_file_is_damaged(&Directory::real());
}

fn keeps_what_was_missed_while_its_own_file_is_damaged(directory: &Directory) {
    let (a, b) = (namespace(["a"]), namespace(["b"]));
    let Wrecked { directory, truth, whole } = wrecked(directory, &a);
    let open = |directory: &Directory| directory.open(Options::with_vectors(1, Metric::Dot));
    let store = open(&directory);
    assert_eq!(store.compact().unwrap_err().kind(), ErrorKind::Damaged);
    store.close().unwrap();
    let first = directory.names(".missed").pop().expect("the file of what the segment missed");
    let first_bytes = directory.read(&first);
    // The files come back for one delete, and are damaged again before a manifest tells of it.
    directory.write(&truth, &whole);
    let store = open(&directory);
    assert!(store.delete(&a, "5").unwrap());
    let directory = directory.killed();
    drop(store);
    assert_eq!(directory.names(".missed"), [first.as_str()]);
    directory.write(&truth, &damaged(&whole));
    directory.flip_bit(&first, 8 * (first_bytes.len() - 10));
    // The second file must not take the place of the first one, which may come back.
    let store = open(&directory);
    store.delete_range(&Scope::from(&namespace(["a", "deeper"]))).unwrap();
    for number in 0..200 {
        store.put(numbered(&b, number.to_string(), number)).unwrap();
    }
    store.delete_range(&Scope::from(&a)).map_or_else(|error| assert_eq!(error.kind(), ErrorKind::Damaged), drop);
    assert_eq!(store.compact().unwrap_err().kind(), ErrorKind::Damaged);
    store.close().unwrap();
    let missed = directory.names(".missed");
    assert!(missed.len() == 2 && missed.contains(&first), "{missed:?}");
    directory.write(&first, &first_bytes);
    directory.write(&truth, &whole);
    let store = open(&directory);
    for key in ["3", "5"] {
        assert!(store.get(&a, key).unwrap().is_none(), "a deleted item is back");
    }
    assert_eq!(store.get(&a, "4").unwrap().unwrap().value.as_ref(), "{\"n\":400}");
    assert_eq!(store.check(false).unwrap().problems, Vec::<String>::new());
    store.compact().unwrap();
    assert_eq!(directory.names(".missed"), Vec::<String>::new());
}

#[test]
fn a_compaction_does_the_rest_of_the_shard() {
    let options = || tiny(1, Metric::Dot);
    let (store, storage, clock) = simulated(options());
    let (a, b) = (namespace(["a"]), namespace(["b"]));
    for number in 0..20 {
        store.put(numbered(&a, number.to_string(), number)).unwrap();
    }
    store.compact().unwrap();
    let truth = truth_of(&storage);
    storage.write_file(&truth, &damaged(&storage.read_file(&truth).unwrap()));
    store.close().unwrap();
    let store = reopened(&storage, &clock, options());
    for number in 0..200 {
        store.put(numbered(&b, number.to_string(), number)).unwrap();
    }
    store.put(numbered(&b, "gone", 123_456_789)).unwrap();
    store.sync().unwrap();
    store.delete(&b, "gone").unwrap();
    assert_eq!(store.compact().unwrap_err().kind(), ErrorKind::Damaged);
    let names = storage.names();
    let truths: Vec<&String> = names.iter().filter(|name| name.ends_with(".truth")).collect();
    assert_eq!(truths.len(), 2, "the damaged one, and one of everything else: {truths:?}");
    for name in &names {
        let bytes = storage.read_file(name).unwrap();
        assert!(!bytes.windows(9).any(|window| window == b"123456789"), "{name} has the deleted item");
    }
}

#[test]
fn on_a_real_disk_with_default_tuning() {
    let directory = tempfile::tempdir().unwrap();
    let (a, b) = (namespace(["a"]), namespace(["b"]));
    let store = Store::open(directory.path(), Options::with_vectors(2, Metric::Cosine)).unwrap();
    for number in 0..2_000 {
        store.put(numbered(&a, number.to_string(), number).vector([number as f32, 1.0])).unwrap();
    }
    store.compact().unwrap();
    store.delete(&a, "77").unwrap();
    store.close().unwrap();
    let truth = |path: &Path| -> std::path::PathBuf {
        let mut names = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
        names.find(|path| path.extension().is_some_and(|kind| kind == "truth")).unwrap()
    };
    let truth = truth(directory.path());
    let whole = std::fs::read(&truth).unwrap();
    std::fs::write(&truth, damaged(&whole)).unwrap();
    let store = Store::open(directory.path(), Options::new()).unwrap();
    assert_eq!(store.get(&a, "77").unwrap_err().kind(), ErrorKind::Damaged);
    let log = |store: &Store| store.stats().unwrap().log.bytes;
    let text = "x".repeat(20_000);
    for number in 0..2_000 {
        let json = format!("{{\"n\":{number},\"text\":\"{text}\"}}");
        store.put(vecmem::Put::new(&b, (number % 10).to_string(), json)).unwrap();
    }
    let error = store.compact().expect_err("the damaged segment cannot be compacted");
    assert_eq!(error.kind(), ErrorKind::Damaged, "{error}");
    assert!(log(&store) < 16 << 20, "40 MB were written, 10 items live, {} bytes of log are left", log(&store));
    assert_eq!(store.count(&Scope::from(&b), &ReadOptions::default()).unwrap(), 10);
    store.close().unwrap();
    std::fs::write(&truth, &whole).unwrap();
    let store = Store::open(directory.path(), Options::new()).unwrap();
    assert!(store.get(&a, "77").unwrap().is_none());
    assert_eq!(store.count(&Scope::Store, &ReadOptions::default()).unwrap(), 1_999 + 10);
    assert_eq!(store.check(false).unwrap().problems, Vec::<String>::new());
}
