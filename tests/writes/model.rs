//! Random operations, clean reopens and crashes against the model: every answer is the model's, and so is everything
//! that can be read, all the time.
//!
//! `VECMEM_MODEL_SEEDS=from..to` runs other seeds than those of every run.

use crate::crash::compare::{same_answers, same_items};
use crate::crash::history::{do_both, open};
use crate::crash::model::Model;
use crate::crash::operations::{Generator, Operation};
use crate::crash::{START, options, tuning};
use vecmem::testing::{Loss, SimClock, SimStorage};
use vecmem::{Namespace, Options, Tuning};

const OPERATIONS: usize = 1_500;
/// From this seed on, items are also deleted and moved by rules.
const PRUNING_SEED: u64 = 24;

/// Many ways to be small: seals, merges and rotations come at other moments with each seed.
fn options_of(seed: u64) -> Options {
    let tuning = Tuning {
        memtable_rows: [24, 7, 60][(seed % 3) as usize],
        memtable_bytes: [64 << 10, 4 << 10][(seed % 2) as usize],
        sweep_batch: [10_000, 3][(seed / 2 % 2) as usize],
        dead_percent: [20, 60, 1][(seed / 3 % 3) as usize],
        log_total_bytes: [256 << 10, 48 << 10][(seed / 4 % 2) as usize],
        flat_unit_rows: 5,
        ..tuning()
    };
    let cuts = [vec![], vec!["m"], vec!["ab", "z"]];
    let cuts = cuts[(seed % 3) as usize].iter().map(|label| Namespace::new([label]).unwrap());
    options().tuning(tuning).split_keys(cuts)
}

/// Where a run stands, for its failure.
#[derive(Default)]
struct Counts {
    operations: usize,
    closes: usize,
    crashes: usize,
}

fn run(seed: u64, counts: &mut Counts) -> Result<(), String> {
    let options = options_of(seed);
    let (mut storage, clock) = (SimStorage::new(seed), SimClock::new(START));
    let mut generator = Generator::new(seed, 10 + (seed as usize % 4) * 10);
    generator.prunes = seed >= PRUNING_SEED;
    let mut model = Model::default();
    let mut store = open(&storage, &clock, &options).map_err(|error| error.to_string())?;
    for number in 1..=OPERATIONS {
        counts.operations = number;
        let operation = generator.operation(&model);
        do_both(&store, &clock, &mut model, &operation).map_err(|why| format!("{operation:?}: {why}"))?;
        match generator.random.below(1_000) {
            0..20 => same_answers(&store, &model, &clock, seed + number as u64)?,
            20..40 => same_items(&store, &model, &clock)?,
            40..48 => {
                store.close().map_err(|error| error.to_string())?;
                counts.closes += 1;
                store = open(&storage, &clock, &options).map_err(|error| format!("after a close: {error}"))?;
                model = model.reopened();
                same_items(&store, &model, &clock).map_err(|why| format!("after a close: {why}"))?;
            }
            48..58 => {
                let loss = *generator.random.pick(&[Loss::None, Loss::AllUnsynced, Loss::Torn]);
                storage = storage.crash(loss, generator.random.draw());
                counts.crashes += 1;
                store = open(&storage, &clock, &options).map_err(|error| format!("after {loss:?}: {error}"))?;
                model = model.reopened();
                same_items(&store, &model, &clock).map_err(|why| format!("after {loss:?}: {why}"))?;
            }
            _ => {}
        }
    }
    same_answers(&store, &model, &clock, seed)?;
    do_both(&store, &clock, &mut model, &Operation::Compact)?;
    same_answers(&store, &model, &clock, seed).map_err(|why| format!("after compacting: {why}"))
}

fn seeds() -> std::ops::Range<u64> {
    let wish = std::env::var("VECMEM_MODEL_SEEDS").unwrap_or_default();
    let bounds = wish.split_once("..").and_then(|(from, to)| Some(from.parse().ok()?..to.parse().ok()?));
    bounds.unwrap_or(0..32)
}

#[test]
fn the_store_answers_as_the_model_does() {
    let (mut operations, mut closes, mut crashes) = (0, 0, 0);
    for seed in seeds() {
        let mut counts = Counts::default();
        run(seed, &mut counts).unwrap_or_else(|why| panic!("seed {seed}, operation {}: {why}", counts.operations));
        operations += counts.operations;
        closes += counts.closes;
        crashes += counts.crashes;
    }
    println!("seeds {:?}: {operations} operations, {closes} closes, {crashes} crashes", seeds());
}
