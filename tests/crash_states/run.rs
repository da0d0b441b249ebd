//! A run of a workload: the disk before each operation that changes it, and the model after each call.
//!
//! Invariants:
//! * A run follows from its workload and its seed, so that every state of it can be made again.
//! * `models[n]` is what the store holds after n acknowledged calls; an image carries the number acknowledged before.

use std::collections::BTreeMap;
use std::sync::Arc;

use vecmem::testing::{Clock, Image, SimClock, SimOperation, SimStorage};
use vecmem::{Condition, Durability, Item, Options, Store, Tuning};

use crate::crash::history::{do_both, open};
use crate::crash::model::Model;
use crate::crash::operations::{Change, Generator, Operation};
use crate::crash::{START, options};
use crate::workloads::Workload;

/// Keys of each namespace.
const KEYS: usize = 5;

/// Everything that may be found after a crash of a run.
pub struct Run {
    pub workload: &'static Workload,
    pub seed: u64,
    pub options: Options,
    pub images: Vec<Image>,
    /// Every operation of the disk; an image tells how many came before it.
    pub trace: Vec<String>,
    pub models: Vec<Arc<Model>>,
    /// The clock after n calls.
    pub clocks: Vec<i64>,
    /// The calls through which everything had been made durable on request, after n calls.
    pub flushed: Vec<usize>,
    /// Every item that was ever there, by its version.
    pub ever: BTreeMap<u64, Vec<Arc<Item>>>,
}

impl Run {
    /// Does the workload. With `lies`, the disk makes nothing durable and says it did.
    pub fn record(workload: &'static Workload, seed: u64, lies: bool) -> Self {
        // Each workload has a disk of its own, so that no two of them have a store id in common.
        let place = crate::workloads::WORKLOADS.iter().position(|other| std::ptr::eq(other, workload));
        let disk = seed << 8 | place.unwrap_or_default() as u64;
        let mut recorder = Recorder::new(workload, disk);
        recorder.storage.record_trace();
        if lies {
            recorder.storage.lie_about_syncs();
        }
        (workload.act)(&mut recorder);
        recorder.finish(workload, seed)
    }

    /// Which numbers of calls a crash may leave, of `acknowledged` ones; `killed` if the machine went on.
    pub fn promised(&self, acknowledged: usize, killed: bool) -> std::ops::RangeInclusive<usize> {
        let first = match self.workload.durability {
            Durability::Sync => acknowledged,
            Durability::Periodic if killed => acknowledged,
            _ => self.flushed[acknowledged],
        };
        first..=(acknowledged + 1).min(self.models.len() - 1)
    }
}

/// A run under way.
pub struct Recorder {
    pub storage: SimStorage,
    pub clock: SimClock,
    pub model: Model,
    pub generator: Generator,
    pub options: Options,
    store: Option<Store>,
    models: Vec<Arc<Model>>,
    clocks: Vec<i64>,
    flushed: Vec<usize>,
}

/// Thresholds that a dozen of items reach, and tables as small: an open must cost little.
fn small_tuning() -> Tuning {
    Tuning {
        memtable_rows: 10,
        memtable_bytes: 16 << 10,
        log_file_min_bytes: 4 << 10,
        log_file_max_bytes: 8 << 10,
        log_total_bytes: 32 << 10,
        reserve_bytes: 4 << 10,
        segments_max: 3,
        graph_rows: 30,
        touch_queue: 64,
        known_embeddings: 256,
        ..crate::crash::tuning()
    }
}

impl Recorder {
    fn new(workload: &Workload, seed: u64) -> Self {
        let mut generator = Generator::new(seed, KEYS);
        generator.namespaces.truncate(4);
        Self {
            storage: SimStorage::new(seed),
            clock: SimClock::new(START),
            model: Model::default(),
            generator,
            options: options().tuning(small_tuning()).durability(workload.durability),
            store: None,
            models: vec![Arc::default()],
            clocks: vec![START],
            flushed: vec![0],
        }
    }

    /// From here on every moment of the disk is kept.
    pub fn watch(&mut self) {
        self.storage.record_before(SimOperation::CHANGES);
    }

    /// Opens the store with the options of the run, or with others.
    pub fn open_with(&mut self, options: &Options) {
        self.store = None;
        self.store = Some(open(&self.storage, &self.clock, options).expect("the store opens"));
    }

    /// From the next open on, shards are split above so many rows.
    pub fn cap_shards(&mut self, shard_rows: u64) {
        self.options = self.options.clone().tuning(Tuning { shard_rows, ..small_tuning() });
    }

    /// The number of shards.
    pub fn shards(&self) -> u64 {
        let store = self.store.as_ref().expect("the store is open");
        store.stats().expect("the store can be counted").internals.shards
    }

    pub fn open(&mut self) {
        self.open_with(&self.options.clone());
    }

    pub fn close(&mut self) {
        let store = self.store.take().expect("the store is open");
        store.close().expect("the store closes");
        self.model = self.model.reopened();
        self.note(true);
    }

    /// Takes what a store on the disk holds for the state before the first call.
    pub fn begin_with(&mut self, model: Model) {
        self.model = model;
        self.models = vec![Arc::new(self.model.clone())];
        self.clocks = vec![self.clock.now()];
    }

    pub fn step(&mut self, operation: &Operation) {
        let store = self.store.clone().expect("the store is open");
        do_both(&store, &self.clock, &mut self.model, operation)
            .unwrap_or_else(|why| panic!("call {}, {operation:?}: {why}", self.models.len()));
        use Operation as O;
        self.note(matches!(operation, O::Flush | O::Seal | O::Compact | O::Purge(_)));
    }

    fn note(&mut self, flushed: bool) {
        let number = self.models.len();
        self.storage.set_tag(number as u64);
        self.models.push(Arc::new(self.model.clone()));
        self.clocks.push(self.clock.now());
        self.flushed.push(if flushed { number } else { self.flushed[number - 1] });
    }

    /// Does so many unconditional puts of the generator, each changed first.
    pub fn puts(&mut self, count: usize, change: impl Fn(&mut crate::crash::operations::PutChange)) {
        for _ in 0..count {
            let Operation::Write(Change::Put(mut put)) = self.generator.plain_put(&self.model) else { unreachable!() };
            change(&mut put);
            self.step(&Operation::Write(Change::Put(put)));
        }
    }

    /// Deletes so many items that exist.
    pub fn deletes(&mut self, count: usize) {
        for _ in 0..count {
            let place = self.generator.random.below(self.model.items.len().max(1));
            let Some(key) = self.model.items.keys().nth(place).cloned() else { return };
            self.step(&Operation::Write(Change::Delete { key, condition: Condition::Always }));
        }
    }

    fn finish(self, workload: &'static Workload, seed: u64) -> Run {
        let images = self.storage.take_images().into_iter().chain([self.storage.image()]).collect();
        let mut ever: BTreeMap<u64, Vec<Arc<Item>>> = BTreeMap::new();
        for item in self.models.iter().flat_map(|model| model.items.values()) {
            let known = ever.entry(item.version.to_u64()).or_default();
            if !known.contains(item) {
                known.push(Arc::clone(item));
            }
        }
        let trace = self.storage.trace();
        let Self { models, clocks, flushed, options, .. } = self;
        Run { workload, seed, options, images, trace, models, clocks, flushed, ever }
    }
}
