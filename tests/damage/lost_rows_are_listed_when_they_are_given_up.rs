//! `accept_loss` ends damage: every row that can be read is kept as it was, every other one is listed or counted,
//! nothing that was deleted comes back, and the store is whole afterwards.

use std::collections::{BTreeMap, BTreeSet};

use crate::common::{Random, namespace, numbered, reopened, simulated, tiny};
use vecmem::testing::{Loss, SimStorage, open_with};
use vecmem::{ErrorKind, Metric, Namespace, Options, Put, Store, Tuning};

/// Blocks are 64 KiB: a segment of some of them.
fn options() -> Options {
    let tuning = Tuning {
        memtable_bytes: 64 << 20,
        memtable_rows: 100_000,
        log_file_min_bytes: 1 << 20,
        log_file_max_bytes: 4 << 20,
        log_total_bytes: 64 << 20,
        blob_value_bytes: 4_000,
        ..Tuning::tiny()
    };
    tiny(2, Metric::Dot).tuning(tuning)
}

fn home(number: u64) -> Namespace {
    namespace([["a", "b", "c", "d"][(number % 4) as usize]])
}

fn key(number: u64) -> String {
    format!("{number:03}-{}", "k".repeat(160))
}

fn value(number: u64) -> String {
    let length = if number % 50 == 7 { 5_000 } else { 700 };
    format!(
        "{{\"n\":{number},\"t\":\"{}\"}}",
        "xyz0123456".chars().cycle().skip(number as usize % 7).take(length).collect::<String>()
    )
}

/// 500 items in one segment; every tenth deleted, before or after it was written.
fn prepared() -> (SimStorage, vecmem::testing::SimClock, BTreeMap<u64, String>) {
    let (store, storage, clock) = simulated(options());
    let mut living = BTreeMap::new();
    for number in 0..500 {
        store.put(Put::new(&home(number), key(number), value(number)).vector([number as f32, 1.0])).unwrap();
        living.insert(number, value(number));
    }
    (0..500).step_by(20).for_each(|number| assert!(store.delete(&home(number), &key(number)).unwrap()));
    store.compact().unwrap();
    (10..500).step_by(20).for_each(|number| assert!(store.delete(&home(number), &key(number)).unwrap()));
    living.retain(|number, _| number % 10 != 0);
    store.close().unwrap();
    (storage, clock, living)
}

/// What the store holds of the numbers: each must be as it was.
fn found(store: &Store, living: &BTreeMap<u64, String>) -> BTreeSet<u64> {
    let mut found = BTreeSet::new();
    for number in 0..500 {
        let Some(item) = store.get(&home(number), &key(number)).unwrap() else { continue };
        assert_eq!(Some(item.value.as_ref()), living.get(&number).map(String::as_str), "item {number}");
        found.insert(number);
    }
    found
}

#[test]
fn wherever_a_bit_is_flipped() {
    let (storage, clock, living) = prepared();
    let mut random = Random::new(5);
    let (mut harmless, mut lost_some, mut lost_all) = (0, 0, 0);
    let damageable = |name: &String| [".truth", ".blob", ".dead"].iter().any(|kind| name.ends_with(kind));
    for name in storage.names().into_iter().filter(damageable) {
        let length = storage.read_file(&name).unwrap().len() as u64;
        let mut at = 3;
        while at < length {
            let copy = storage.crash(Loss::None, 0);
            copy.flip_bit(&name, 8 * at + random.below(8));
            let store = reopened(&copy, &clock, options());
            let report = store.accept_loss().unwrap();
            let problems = store.check(false).unwrap().problems;
            assert_eq!(problems, Vec::<String>::new(), "{name} at {at}");
            let kept = found(&store, &living);
            let listed: BTreeSet<u64> = report.lost.iter().map(|item| item.key[..3].parse().unwrap()).collect();
            assert!(kept.iter().all(|number| !listed.contains(number)), "{name} at {at}: kept and listed");
            let missing: Vec<u64> = living.keys().copied().filter(|number| !kept.contains(number)).collect();
            let unlisted = missing.iter().filter(|number| !listed.contains(number)).count() as u64;
            assert!(unlisted <= report.unnamed, "{name} at {at}: {unlisted} items are gone and not listed, {report:?}");
            match missing.len() {
                0 => harmless += 1,
                some if some < living.len() => lost_some += 1,
                _ => lost_all += 1,
            }
            // The loss is durable, and the store goes on.
            store.put(numbered(&home(1), "new", 1)).unwrap();
            drop(store);
            let again = reopened(&copy.crash(Loss::AllUnsynced, 1), &clock, options());
            assert_eq!(found(&again, &living), kept, "{name} at {at}");
            at += 4_000 + random.below(8_000);
        }
    }
    println!("seed 5: {harmless} flips lost nothing, {lost_some} some, {lost_all} all");
    assert!(lost_some > 10, "damage in one block leaves the others");
}

#[test]
fn where_the_file_or_its_tombstones_are_gone() {
    let (storage, clock, living) = prepared();
    let named = |kind: &str| storage.names().into_iter().filter(|name| name.ends_with(kind)).collect::<Vec<_>>();
    for name in named(".truth").into_iter().chain(named(".dead")) {
        let copy = storage.crash(Loss::None, 0);
        copy.remove_file(&name);
        let store = reopened(&copy, &clock, options());
        assert_eq!(store.get(&home(1), &key(1)).unwrap_err().kind(), ErrorKind::Damaged);
        let report = store.accept_loss().unwrap();
        assert_eq!(found(&store, &living), BTreeSet::new(), "{name}: what was deleted must not come back");
        let rows = report.lost.len() as u64 + report.unnamed;
        assert!(rows >= living.len() as u64, "{name}: {rows} of {} rows are accounted for", living.len());
        assert_eq!(report.lost.is_empty(), name.ends_with(".truth"), "what can still be named is named");
        assert_eq!(store.check(false).unwrap().problems, Vec::<String>::new());
    }
}

#[test]
fn operations_that_came_meanwhile_are_done_to_what_is_kept() {
    let (storage, clock, living) = prepared();
    // A delete that only the log has, and damage that hides its target.
    let store = reopened(&storage, &clock, options());
    assert!(store.delete(&home(11), &key(11)).unwrap());
    store.put(Put::new(&home(12), key(12), "{\"new\":true}")).unwrap();
    let wrecked = storage.crash(Loss::None, 0);
    drop(store);
    let truth = wrecked.names().into_iter().find(|name| name.ends_with(".truth")).unwrap();
    let bytes = wrecked.read_file(&truth).unwrap();
    let mut hidden = 0;
    for at in (4_096..bytes.len() as u64).step_by(30_000) {
        let copy = wrecked.crash(Loss::None, 0);
        copy.flip_bit(&truth, 8 * at);
        let store = reopened(&copy, &clock, options());
        hidden +=
            u64::from(store.stats().unwrap().health.damage.iter().any(|why| why.contains("could not be replayed")));
        store.accept_loss().unwrap();
        assert!(store.get(&home(11), &key(11)).unwrap().is_none(), "flip at {at}: a deleted item is back");
        assert_eq!(store.get(&home(12), &key(12)).unwrap().unwrap().value.as_ref(), "{\"new\":true}", "flip at {at}");
        for number in [1, 2, 3] {
            if let Some(item) = store.get(&home(number), &key(number)).unwrap() {
                assert_eq!(item.value.as_ref(), living[&number]);
            }
        }
        assert_eq!(store.check(false).unwrap().problems, Vec::<String>::new());
    }
    assert!(hidden > 0, "no flip has hidden what the log concerns");
}

#[test]
fn a_whole_store_loses_nothing_and_plain_checks_say_what_helps() {
    let (storage, clock, living) = prepared();
    let store = reopened(&storage, &clock, options());
    let report = store.accept_loss().unwrap();
    assert_eq!((report.segments.len(), report.lost.len(), report.unnamed), (0, 0, 0));
    assert_eq!(found(&store, &living).len(), living.len());
    assert_eq!(store.check(false).unwrap().advice, Vec::<String>::new());
    store.close().unwrap();
    let advice = |kind: &str| {
        let copy = storage.crash(Loss::None, 0);
        let name = copy.names().into_iter().find(|name| name.ends_with(kind)).unwrap();
        copy.flip_bit(&name, 8 * (copy.read_file(&name).unwrap().len() as u64 - 100));
        let store = open_with(std::sync::Arc::new(copy), std::sync::Arc::new(clock.clone()), options()).unwrap();
        let report = store.check(false).unwrap();
        assert!(!report.problems.is_empty(), "{kind}");
        report.advice.join("\n")
    };
    assert!(advice(".truth").contains("--accept-loss") && advice(".truth").contains("restore"));
    assert!(advice(".codes").contains("--repair") && !advice(".codes").contains("--accept-loss"));
}
