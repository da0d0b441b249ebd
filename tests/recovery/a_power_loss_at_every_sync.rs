//! A crash at every sync of a long run loses nothing that was acknowledged, shows nothing by half, and leaves a store
//! that goes on as if nothing had happened.
//!
//! One run of 2,000 operations of every kind; the disk is kept before each sync takes effect. Each of these disks loses
//! all that was unsynced, or tears it at random, and is opened again: the state must be that after some number of
//! operations which the durability promises. Then come 20 more writes and a second crash.

use std::time::{Duration, Instant};

use crate::crash::beside::{Recorder, draw};
use crate::crash::compare::{same_answers, same_items, settings};
use crate::crash::history::{History, do_both, open, record, record_drawn, state_found};
use crate::crash::operations::Generator;
use crate::crash::{options, tuning};
use vecmem::testing::{Image, Loss, Random, SimClock, SimStorage};
use vecmem::{Durability, Namespace, Options, Tuning};

const OPERATIONS: usize = 2_000;
/// Keys of each namespace.
const KEYS: usize = 24;
const WRITES_AFTER: usize = 20;

/// Which numbers of operations a crash may leave, of `acknowledged` ones.
fn promised(
    history: &History,
    durability: Durability,
    loss: Loss,
    acknowledged: usize,
) -> std::ops::RangeInclusive<usize> {
    let under_way = (acknowledged + 1).min(history.models.len() - 1);
    let first = match (durability, loss) {
        (Durability::Sync, _) | (Durability::Periodic, Loss::None) => acknowledged,
        _ => history.flushed[acknowledged],
    };
    first..=under_way
}

struct Sweep {
    name: &'static str,
    seed: u64,
    options: Options,
    durability: Durability,
    history: History,
}

impl Sweep {
    fn record(name: &'static str, seed: u64, durability: Durability, options: Options) -> Self {
        let options = options.durability(durability);
        let history = record(seed, OPERATIONS, KEYS, &options);
        Self::of(name, seed, durability, options, history)
    }

    fn of(name: &'static str, seed: u64, durability: Durability, options: Options, history: History) -> Self {
        let stats = &history.stats;
        println!(
            "{name}: seed {seed}, {OPERATIONS} operations, {} seals, {} merges, {} graphs built, {} log files, {} sync points, {} items at the end",
            stats.internals.flushes,
            stats.internals.merges,
            stats.graphs.builds,
            stats.log.files_prepared,
            history.images.len(),
            stats.size.items
        );
        let has_blob = |image: &Image| image.survivor(Loss::None, 0).names().iter().any(|name| name.ends_with(".blob"));
        let with_blobs = history.images.iter().step_by(20).filter(|image| has_blob(image)).count();
        assert!(with_blobs > 10, "{with_blobs} disks hold large values");
        assert!(
            stats.internals.flushes >= 10 && stats.internals.merges >= 5 && stats.log.files_prepared >= 6,
            "{stats:#?}"
        );
        Self { name, seed, options, durability, history }
    }

    /// Opens every `step`-th disk after each loss.
    fn check(&self, step: usize, losses: &[(Loss, u64)]) {
        let (started, mut states) = (Instant::now(), 0);
        for (number, image) in self.history.images.iter().enumerate().step_by(step) {
            for &(loss, salt) in losses {
                let tear = Random::new(self.seed ^ salt ^ (number as u64) << 8).draw();
                self.check_one(number, image, loss, tear).unwrap_or_else(|why| {
                    panic!(
                        "{}: seed {}, disk {number} ({} acknowledged), {loss:?} with seed {tear}: {why}",
                        self.name, self.seed, image.tag
                    )
                });
                states += 1;
            }
        }
        println!("{}: {states} crashes, each with a second one: {:?}", self.name, started.elapsed());
    }

    fn check_one(&self, number: usize, image: &Image, loss: Loss, tear: u64) -> Result<(), String> {
        let acknowledged = image.tag as usize;
        let promised = promised(&self.history, self.durability, loss, acknowledged);
        let storage = image.survivor(loss, tear);
        let clock = SimClock::new(self.history.clocks[acknowledged]);
        let store = open(&storage, &clock, &self.options).map_err(|error| format!("does not open: {error}"))?;
        let (found, model) = state_found(&self.history, &store, *promised.end())?;
        let settings = settings(&store)?;
        let under_way = (acknowledged + 1).min(self.history.models.len() - 1);
        if (acknowledged..=under_way).all(|number| self.history.models[number].settings != settings) {
            return Err(format!("the settings are {settings:?}"));
        }
        let mut model = model.with_settings(&settings);
        if !promised.contains(&found) && self.history.models[found].lsn != self.history.models[*promised.start()].lsn {
            return Err(format!("{found} operations are left, {promised:?} were promised"));
        }
        let full = number.is_multiple_of(10);
        if full {
            same_answers(&store, &model, &clock, tear)?
        } else {
            same_items(&store, &model, &clock)?
        }
        let mut generator = Generator::new(tear, KEYS);
        for _ in 0..WRITES_AFTER {
            let operation = generator.plain_put(&model);
            do_both(&store, &clock, &mut model, &operation)?;
        }
        self.crash_again(&storage, &model, &clock, store).map_err(|why| format!("after the second crash: {why}"))
    }

    fn crash_again(
        &self,
        storage: &SimStorage,
        model: &crate::crash::model::Model,
        clock: &SimClock,
        store: vecmem::Store,
    ) -> Result<(), String> {
        if self.durability != Durability::Sync {
            store.sync().map_err(|error| error.to_string())?;
        }
        let again = storage.crash(Loss::AllUnsynced, 0);
        let store = open(&again, clock, &self.options).map_err(|error| format!("does not open: {error}"))?;
        same_items(&store, &model.reopened(), clock)
    }
}

#[test]
fn power_loss_at_every_sync() {
    let sweep = Sweep::record("sync", 1, Durability::Sync, options());
    sweep.check(1, &[(Loss::AllUnsynced, 0), (Loss::Torn, 1)]);
    sweep.check(3, &[(Loss::Torn, 2), (Loss::None, 0)]);
}

#[test]
fn power_loss_at_every_sync_with_two_shards() {
    let cut = [Namespace::new(["m"]).unwrap()];
    let sweep = Sweep::record("two shards", 2, Durability::Sync, options().split_keys(cut));
    assert_eq!(sweep.history.stats.internals.shards, 2);
    sweep.check(3, &[(Loss::AllUnsynced, 0), (Loss::Torn, 1)]);
}

#[test]
fn power_loss_at_every_sync_while_shards_are_split() {
    let capped = |tuning: Tuning| options().tuning(Tuning { shard_rows: 12, ..tuning });
    let sweep = Sweep::record("splits", 11, Durability::Sync, capped(tuning()));
    assert!(sweep.history.stats.internals.shards > 1, "{:?}", sweep.history.stats.internals);
    sweep.check(5, &[(Loss::AllUnsynced, 0), (Loss::Torn, 1)]);
    let threads = Tuning { inline_background: false, busy_timeout: Duration::from_secs(3_600), ..tuning() };
    let mut generator = Generator::new(12, KEYS);
    generator.touches = false;
    let history = record_drawn(12, OPERATIONS, generator, &capped(threads).sweep_every(None));
    let sweep = Sweep::of("splits beside threads", 12, Durability::Sync, capped(tuning()), history);
    sweep.check(10, &[(Loss::AllUnsynced, 0), (Loss::Torn, 1)]);
}

/// Seals and merges run beside the writer, so what died in their inputs meanwhile has to be carried over. Which disks
/// there are is another matter each time.
#[test]
fn power_loss_at_every_sync_beside_background_threads() {
    let hour = Duration::from_secs(3_600);
    let threads = Tuning { inline_background: false, busy_timeout: hour, ..tuning() };
    let mut generator = Generator::new(5, KEYS);
    generator.touches = false;
    let history = record_drawn(5, OPERATIONS, generator, &options().tuning(threads).sweep_every(None));
    let sweep = Sweep::of("threads", 5, Durability::Sync, options(), history);
    sweep.check(2, &[(Loss::AllUnsynced, 0), (Loss::Torn, 1)]);
}

/// As above, and acknowledged before a sync: a thread of its own syncs the log while others flush and merge.
#[test]
fn without_sync_per_write_beside_background_threads_a_prefix_is_left() {
    let hour = Duration::from_secs(3_600);
    let threads = Tuning { inline_background: false, busy_timeout: hour, ..tuning() };
    for (name, seed, durability) in
        [("threads, periodic", 9, Durability::Periodic), ("threads, manual", 10, Durability::Manual)]
    {
        let mut generator = Generator::new(seed, KEYS);
        generator.touches = false;
        let options = options().durability(durability);
        let with_threads = options.clone().tuning(threads.clone()).sweep_every(None);
        let with_threads = with_threads.sync_every(Duration::from_millis(1));
        let sweep =
            Sweep::of(name, seed, durability, options, record_drawn(seed, OPERATIONS, generator, &with_threads));
        sweep.check(8, &[(Loss::AllUnsynced, 0), (Loss::Torn, 1), (Loss::None, 0)]);
    }
}

/// Imports, and between the writing of their files and their commit other writes, mostly to the same keys, and merges.
#[test]
fn power_loss_at_every_sync_of_imports_beside_other_writes() {
    let cut = [Namespace::new(["m"]).unwrap()];
    for (name, seed, durability, options) in [
        ("imports", 6, Durability::Sync, options()),
        ("imports, two shards", 7, Durability::Sync, options().split_keys(cut)),
        ("imports, os", 8, Durability::Periodic, options()),
    ] {
        let options = options.durability(durability);
        let mut recorder = Recorder::new(seed, &options);
        let mut generator = Generator::new(seed, KEYS);
        for number in 0..600 {
            let done = if generator.random.chance(15) {
                let (puts, source, others) = draw(&mut generator, &recorder.model, 8);
                recorder.import(&puts, source.as_deref(), &others)
            } else {
                let operation = generator.operation(&recorder.model);
                recorder.step(&operation)
            };
            done.unwrap_or_else(|why| panic!("{name}: seed {seed}, step {number}: {why}"));
        }
        let history = recorder.finish();
        let sweep = Sweep::of(name, seed, durability, options, history);
        sweep.check(1, &[(Loss::AllUnsynced, 0), (Loss::Torn, 1)]);
    }
}

#[test]
fn without_sync_per_write_a_prefix_is_left_that_holds_what_was_flushed() {
    for (name, seed, durability) in [("os", 3, Durability::Periodic), ("bulk", 4, Durability::Manual)] {
        let sweep = Sweep::record(name, seed, durability, options());
        sweep.check(1, &[(Loss::AllUnsynced, 0), (Loss::Torn, 1), (Loss::Torn, 2), (Loss::None, 0)]);
    }
}
