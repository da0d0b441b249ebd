//! What the models share: a tiny store on a simulated disk, threads, and the number of schedules.

use std::sync::Arc;
use std::time::Duration;

use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::{Config, MaxSteps, Runner};
use vecmem::testing::{Loss, SimClock, SimStorage, open_with};
use vecmem::{Metric, Namespace, Options, Put, Store, Tuning};

/// Schedules of each model, unless the environment variable `VECMEM_SCHEDULES` says otherwise.
const SCHEDULES: usize = 4_000;
/// Places at which a schedule of the second half changes the thread.
const CHANGES: usize = 3;
/// A thread of a model runs the whole engine, which needs more stack than models usually do.
const STACK_BYTES: usize = 8 << 20;
/// More steps than any of these models takes: one that takes more does not end.
const STEPS_MAX: usize = 2_000_000;

/// Runs `model` once for each schedule.
pub fn check(model: impl Fn() + Send + Sync + 'static) {
    let wanted = std::env::var("VECMEM_SCHEDULES").ok().and_then(|number| number.parse().ok());
    let schedules = wanted.unwrap_or(SCHEDULES).max(2);
    let mut config = Config::new();
    (config.stack_size, config.max_steps) = (STACK_BYTES, MaxSteps::FailAfter(STEPS_MAX));
    config.silence_warnings = true;
    let model = Arc::new(model);
    let (random, rare) = (Arc::clone(&model), model);
    let done = Runner::new(RandomScheduler::new(schedules / 2), config.clone()).run(move || random());
    let more = Runner::new(PctScheduler::new(CHANGES, schedules - schedules / 2), config).run(move || rare());
    println!("{done} random schedules, {more} with {CHANGES} changes of the thread");
    assert_eq!(done + more, schedules);
}

/// A store whose memtable freezes after four rows, and its disk.
pub struct World {
    pub store: Store,
    pub disk: SimStorage,
    clock: SimClock,
}

impl World {
    /// Background work runs on the writing threads, and where a model asks for it.
    pub fn new() -> Self {
        Self::with(true)
    }

    /// Background work runs on the threads of the engine.
    pub fn with_background_threads() -> Self {
        Self::with(false)
    }

    fn with(inline_background: bool) -> Self {
        let (disk, clock) = (SimStorage::new(1), SimClock::new(1_700_000_000_000_000));
        let store = open(&disk, &clock, inline_background);
        Self { store, disk, clock }
    }

    /// The store that is found after a power loss now, in which all that was not synced is lost.
    pub fn after_power_loss(&self) -> Store {
        open(&self.disk.crash(Loss::AllUnsynced, 1), &self.clock, true)
    }

    /// That a power loss now would lose nothing, and that every file is as it should be.
    pub fn loses_nothing(&self) {
        let found = self.after_power_loss();
        assert_eq!(found.text_dump().unwrap(), self.store.text_dump().unwrap());
        for store in [&self.store, &found] {
            assert_eq!(store.check(false).unwrap().problems, Vec::<String>::new());
        }
    }
}

fn open(disk: &SimStorage, clock: &SimClock, inline_background: bool) -> Store {
    let tuning = Tuning {
        inline_background,
        memtable_rows: 4,
        frozen_memtables: 1,
        // No model takes so long, so a writer that waits is woken, or the model hangs and fails.
        busy_timeout: Duration::from_secs(3_600),
        segments_max: 2,
        graph_rows: u32::MAX,
        earn_rows: u32::MAX,
        parallel_flat_rows: u64::MAX,
        ..Tuning::tiny()
    };
    let options = Options::with_vectors(2, Metric::Dot).tuning(tuning);
    open_with(Arc::new(disk.clone()), Arc::new(clock.clone()), options).unwrap()
}

/// A thread of the model. Its end is awaited with `join`.
pub fn spawn<T: Send + 'static>(
    store: &Store,
    work: impl FnOnce(&Store) -> T + Send + 'static,
) -> shuttle::thread::JoinHandle<T> {
    let store = store.clone();
    shuttle::thread::spawn(move || work(&store))
}

pub fn namespace(label: &str) -> Namespace {
    Namespace::new([label]).unwrap()
}

/// A put of `{"n": number}` with a vector.
pub fn numbered(namespace: &Namespace, key: &str, number: u64) -> Put {
    Put::new(namespace, key, format!("{{\"n\":{number}}}")).vector([1.0, number as f32])
}

/// The number of an item, if the key has one.
pub fn number_of(store: &Store, namespace: &Namespace, key: &str) -> Option<u64> {
    let item = store.get(namespace, key).unwrap()?;
    item.value_as::<serde_json::Value>().unwrap()["n"].as_u64()
}
