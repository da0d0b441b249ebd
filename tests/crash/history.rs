//! A recorded run: the disk at every sync, and the model after every operation.

use vecmem::testing::{Clock, Image, SimClock, SimStorage, open_with};
use vecmem::{Options, Stats, Store};

use super::START;
use super::model::Model;
use super::operations::{Generator, Operation, perform};

use std::sync::Arc;

/// What was done, and everything that may be found after a crash.
pub struct History {
    /// The model after n operations.
    pub models: Vec<Model>,
    /// The clock after n operations.
    pub clocks: Vec<i64>,
    /// The operations through which everything had been flushed, after n operations.
    pub flushed: Vec<usize>,
    pub images: Vec<Image>,
    pub stats: Stats,
}

pub fn open(storage: &SimStorage, clock: &SimClock, options: &Options) -> vecmem::Result<Store> {
    open_with(Arc::new(storage.clone()), Arc::new(clock.clone()), options.clone())
}

/// Does `count` drawn operations on a new store, and records the disk before each sync, with the operations
/// acknowledged.
pub fn record(seed: u64, count: usize, keys: usize, options: &Options) -> History {
    record_drawn(seed, count, Generator::new(seed, keys), options)
}

/// As [`record`], with operations from `generator`.
pub fn record_drawn(seed: u64, count: usize, mut generator: Generator, options: &Options) -> History {
    let (storage, clock) = (SimStorage::new(seed), SimClock::new(START));
    storage.record_sync_points();
    let store = open(&storage, &clock, options).unwrap();
    let (mut models, mut clocks, mut flushed) = (vec![Model::default()], vec![START], vec![0]);
    let mut model = Model::default();
    for number in 1..=count {
        let operation = generator.operation(&model);
        do_both(&store, &clock, &mut model, &operation).unwrap_or_else(|why| {
            panic!("seed {seed}, operation {number}, {operation:?}: {why}");
        });
        storage.set_tag(number as u64);
        models.push(model.clone());
        clocks.push(clock.now());
        let done = matches!(operation, Operation::Flush).then_some(number);
        flushed.push(done.unwrap_or(flushed[number - 1]));
    }
    let stats = store.stats().unwrap();
    let images = storage.take_images();
    History { models, clocks, flushed, images, stats }
}

/// Does an operation on the store and on the model, which must give the same answer and the same log sequence number.
pub fn do_both(store: &Store, clock: &SimClock, model: &mut Model, operation: &Operation) -> Result<(), String> {
    let found = perform(store, clock, operation).map_err(|error| format!("{:?}: {error}", error.kind()))?;
    let wanted = model.apply(operation, clock.now());
    if found != wanted {
        return Err(format!("the answer differs:\n  store {found:?}\n  model {wanted:?}"));
    }
    Ok(())
}

/// What a recovered store must hold, and after how many operations it did, by its log sequence number; the last if
/// several share it. Touches that an operation carried along may be there without it.
pub fn state_found(history: &History, store: &Store, last: usize) -> Result<(usize, Model), String> {
    let lsn = store.stats().map_err(|error| error.to_string())?.log.visible_lsn;
    for number in (0..=last).rev().filter(|&number| history.models[number].lsn <= lsn) {
        let model = &history.models[number];
        if model.lsn == lsn {
            return Ok((number, model.reopened()));
        }
        let touched = model.with_touches_only(history.clocks[number]);
        if touched.lsn == lsn {
            return Ok((number, touched.reopened()));
        }
    }
    Err(format!("LSN {lsn} is not the end of any of the first {last} operations: a torn batch"))
}
