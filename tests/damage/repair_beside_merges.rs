//! Codes are rebuilt while writers go on and segments are sealed and merged: no item is lost, none is there twice.

use crate::crash::compare::same_answers;
use crate::crash::history::{do_both, open};
use crate::crash::model::Model;
use crate::crash::operations::Generator;
use crate::crash::{START, options, tuning};
use vecmem::testing::{Loss, SimClock, SimStorage};
use vecmem::{Durability, Options, Tuning};

const ROUNDS: u64 = 60;
const WRITES: usize = 120;

fn with_threads(inline_background: bool) -> Options {
    let busy_timeout = std::time::Duration::from_secs(60);
    let tuning = Tuning { memtable_rows: 12, inline_background, busy_timeout, ..tuning() };
    options().durability(Durability::Manual).tuning(tuning)
}

/// Damages the codes of every segment.
fn damage_codes(storage: &SimStorage) {
    for name in storage.names().into_iter().filter(|name| name.ends_with(".codes")) {
        storage.flip_bit(&name, 8 * 4096);
    }
}

#[test]
fn a_repair_while_segments_are_merged_loses_and_doubles_nothing() {
    let (clock, mut model) = (SimClock::new(START), Model::default());
    let mut generator = Generator::new(80, 20);
    let mut storage = SimStorage::new(80);
    let (mut repaired, mut merges) = (0, 0);
    for round in 0..ROUNDS {
        damage_codes(&storage);
        let store = open(&storage, &clock, &with_threads(false)).unwrap();
        std::thread::scope(|scope| {
            let repair = scope.spawn(|| (0..4).map(|_| store.check(true).unwrap().repaired.len()).sum::<usize>());
            for _ in 0..WRITES {
                let put = generator.plain_put(&model);
                do_both(&store, &clock, &mut model, &put).unwrap_or_else(|why| panic!("round {round}: {why}"));
            }
            repaired += repair.join().unwrap();
        });
        same_answers(&store, &model, &clock, round).unwrap_or_else(|why| panic!("round {round}: {why}"));
        merges += store.stats().unwrap().internals.merges;
        store.close().unwrap();
        drop(store);
        storage = storage.crash(Loss::None, 0);
        model = model.reopened();
        let store = open(&storage, &clock, &with_threads(true)).unwrap();
        same_answers(&store, &model, &clock, round).unwrap_or_else(|why| panic!("round {round}, reopened: {why}"));
        store.close().unwrap();
    }
    println!("{ROUNDS} rounds: {repaired} rebuilt, {merges} merges");
    assert!(repaired > 0 && merges > 0);
}
