//! A crash during recovery is a crash like any other: recover, crash, recover, write, crash, with no checkpoint
//! between, and at every length to which the last frame can be torn.

use crate::crash::compare::{same_items, settings};
use crate::crash::history::{do_both, open, record, state_found};
use crate::crash::model::Model;
use crate::crash::operations::{Generator, Operation};
use crate::crash::{START, options};
use vecmem::Scope;
use vecmem::testing::{Image, Loss, Random, SimClock, SimStorage};

const LOSSES: [Loss; 3] = [Loss::None, Loss::AllUnsynced, Loss::Torn];

/// Opens `storage`; what it shows must be one of `candidates`. Returns the one it is.
fn recovers(storage: &SimStorage, clock: &SimClock, candidates: &[Model]) -> Result<Model, String> {
    let store = open(storage, clock, &options()).map_err(|error| format!("does not open: {error}"))?;
    let mut why = String::new();
    for model in candidates {
        match same_items(&store, model, clock) {
            Ok(()) => return Ok(model.reopened()),
            Err(reason) => why = reason,
        }
    }
    Err(format!("none of {} states, not even the last: {why}", candidates.len()))
}

/// A recovery and three writes, with the disk at each of their moments.
struct Second {
    clock: SimClock,
    images: Vec<Image>,
    /// The model as recovered and after each write.
    states: Vec<Model>,
    /// What the first crash could have left, had nothing come after it.
    before: Vec<Model>,
}

impl Second {
    fn run(image: &Image, loss: Loss, seed: u64, history: &crate::crash::history::History) -> Result<Self, String> {
        let acknowledged = image.tag as usize;
        let last = (acknowledged + 1).min(history.models.len() - 1);
        let storage = image.survivor(loss, seed);
        storage.set_tag(0);
        storage.record_sync_points();
        let clock = SimClock::new(history.clocks[acknowledged]);
        let store = open(&storage, &clock, &options()).map_err(|error| format!("does not open: {error}"))?;
        let (_, model) = state_found(history, &store, last)?;
        let mut model = model.with_settings(&settings(&store)?);
        same_items(&store, &model, &clock)?;
        let opened = storage.image();
        let mut states = vec![model.clone()];
        let mut generator = Generator::new(seed, 14);
        for number in 1..=3 {
            let operation = generator.plain_put(&model);
            do_both(&store, &clock, &mut model, &operation)?;
            storage.set_tag(number);
            states.push(model.clone());
        }
        let images = std::iter::once(opened).chain(storage.take_images()).chain([storage.image()]).collect();
        let touched = history.models[acknowledged].with_touches_only(history.clocks[acknowledged]);
        let before = [&history.models[acknowledged], &touched, &history.models[last]].map(Model::clone).to_vec();
        Ok(Self { clock, images, states, before })
    }

    /// Crashes at each moment and recovers, writes and crashes once more.
    fn crash_everywhere(&self, seed: u64) -> Result<u64, String> {
        let mut crashes = 0;
        for (moment, image) in self.images.iter().enumerate() {
            let written = image.tag as usize;
            let mut candidates = self.states[written..(written + 2).min(self.states.len())].to_vec();
            if written == 0 {
                candidates.extend(self.before.iter().cloned());
            }
            for loss in LOSSES {
                let place = || format!("then a crash at moment {moment} ({written} written), {loss:?}");
                let storage = image.survivor(loss, seed + moment as u64);
                let mut model =
                    recovers(&storage, &self.clock, &candidates).map_err(|why| format!("{}: {why}", place()))?;
                write_and_crash(&storage, &self.clock, &mut model, seed)
                    .map_err(|why| format!("{}: {why}", place()))?;
                crashes += 2;
            }
        }
        Ok(crashes)
    }
}

fn write_and_crash(storage: &SimStorage, clock: &SimClock, model: &mut Model, seed: u64) -> Result<(), String> {
    let store = open(storage, clock, &options()).map_err(|error| format!("does not open again: {error}"))?;
    let mut generator = Generator::new(seed + 1, 14);
    for _ in 0..2 {
        let operation = generator.plain_put(model);
        do_both(&store, clock, model, &operation)?;
    }
    let loss = if seed.is_multiple_of(2) { Loss::Torn } else { Loss::AllUnsynced };
    recovers(&storage.crash(loss, seed), clock, std::slice::from_ref(model))
        .map(drop)
        .map_err(|why| format!("two more writes, {loss:?}: {why}"))
}

#[test]
fn crash_in_a_write_recover_crash_in_recovery_recover_write_crash_recover() {
    let mut crashes = 0;
    for seed in 10..12 {
        let history = record(seed, 260, 14, &options());
        for (number, image) in history.images.iter().enumerate() {
            let loss = LOSSES[number % 3];
            let tear = Random::new(seed << 32 | number as u64).draw() >> 1;
            let outcome = Second::run(image, loss, tear, &history).and_then(|second| second.crash_everywhere(tear));
            crashes += outcome.unwrap_or_else(|why| {
                panic!("seed {seed}, disk {number} ({} acknowledged), {loss:?} with seed {tear}: {why}", image.tag)
            });
        }
    }
    println!("{crashes} crashes in or after a recovery");
}

/// The one log file that differs between two disks, and where.
fn changed_log(before: &SimStorage, after: &SimStorage) -> (String, Vec<u8>, Vec<u8>, std::ops::Range<usize>) {
    let logs = after.names().into_iter().filter(|name| name.ends_with(".log"));
    for name in logs {
        let (Some(old), Some(new)) = (before.read_file(&name), after.read_file(&name)) else { continue };
        let differs = |at: &usize| old[*at] != new[*at];
        if let (Some(first), Some(last)) = ((0..old.len()).find(differs), (0..old.len()).rfind(differs)) {
            return (name, old, new, first..last + 1);
        }
    }
    panic!("no log file was written to");
}

/// Operations whose frames are torn: one put, a batch with a mark, a range delete that hits something.
fn last_operation(kind: usize, generator: &mut Generator, model: &Model) -> Operation {
    match kind {
        0 => generator.plain_put(model),
        1 => {
            let mut changes = Vec::new();
            for _ in 0..4 {
                if let Operation::Write(change) = generator.plain_put(model) {
                    changes.push(change);
                }
            }
            Operation::Batch(changes, Some(("another".into(), "{\"done\":4}".into())))
        }
        _ => Operation::DeleteRange(Scope::Store),
    }
}

/// The disks on which the last frame, all of `range` in the log, was torn: a first part of it is there, or a last part.
fn torn(before: &SimStorage, after: &SimStorage, step: usize) -> Vec<(String, SimStorage, bool)> {
    let (name, old, new, range) = changed_log(before, after);
    let mut disks = Vec::new();
    for length in (0..=range.len()).step_by(step).chain([range.len()]) {
        let cut = range.start + length;
        for (what, bytes) in
            [("first", [&new[..cut], &old[cut..]].concat()), ("last", [&old[..cut], &new[cut..]].concat())]
        {
            let storage = after.crash(Loss::AllUnsynced, 0);
            storage.write_file(&name, &bytes);
            disks.push((format!("the {what} part, cut after {length} of {}", range.len()), storage, bytes == new));
        }
    }
    disks
}

#[test]
fn every_torn_length_twice_with_no_checkpoint_between() {
    let mut crashes = 0;
    for kind in 0..3 {
        let (storage, clock) = (SimStorage::new(20), SimClock::new(START));
        let store = open(&storage, &clock, &options()).unwrap();
        let (mut generator, mut model) = (Generator::new(20 + kind as u64, 14), Model::default());
        for _ in 0..5 {
            let operation = generator.plain_put(&model);
            do_both(&store, &clock, &mut model, &operation).unwrap();
        }
        let (before, old) = (storage.crash(Loss::AllUnsynced, 0), model.clone());
        do_both(&store, &clock, &mut model, &last_operation(kind, &mut generator, &old)).unwrap();
        for (what, storage, whole) in torn(&before, &storage, 1) {
            let candidates = if whole { vec![model.clone()] } else { vec![old.clone(), model.clone()] };
            let second = (|| {
                let found = recovers(&storage, &clock, &candidates)?;
                tear_again(&storage, &clock, found)
            })();
            crashes += 1 + second.unwrap_or_else(|why| panic!("kind {kind}, {what}: {why}"));
        }
    }
    println!("{crashes} torn frames");
}

/// Recovers and writes twice; the second frame is torn too, here and there.
fn tear_again(storage: &SimStorage, clock: &SimClock, mut model: Model) -> Result<u64, String> {
    let store = open(storage, clock, &options()).map_err(|error| format!("does not open again: {error}"))?;
    let mut generator = Generator::new(30, 14);
    let operation = generator.plain_put(&model);
    do_both(&store, clock, &mut model, &operation)?;
    let (before, old) = (storage.crash(Loss::AllUnsynced, 0), model.clone());
    let operation = generator.plain_put(&model);
    do_both(&store, clock, &mut model, &operation)?;
    let stats = store.stats().map_err(|error| error.to_string())?;
    if stats.internals.flushes + stats.log.checkpoint_lsn > 0 {
        return Err("there was a checkpoint between".into());
    }
    let mut crashes = 0;
    for (what, storage, whole) in torn(&before, storage, 61) {
        let candidates = if whole { vec![model.clone()] } else { vec![old.clone(), model.clone()] };
        recovers(&storage, clock, &candidates).map_err(|why| format!("then {what}: {why}"))?;
        crashes += 1;
    }
    Ok(crashes)
}
