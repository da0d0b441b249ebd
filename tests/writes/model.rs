//! Random operations, clean reopens and crashes against the model: every answer is the model's, and so is everything
//! that can be read, all the time. Shards are split meanwhile; snapshots show what they showed at first, and backups
//! hold what the store held.
//!
//! `VECMEM_MODEL_SEEDS=from..to` runs other seeds than those of every run.

use crate::crash::compare::{same_answers, same_items};
use crate::crash::history::{do_both, open};
use crate::crash::model::Model;
use crate::crash::operations::{Generator, Operation};
use crate::crash::{DIMS, START, options, tuning};
use vecmem::testing::{Loss, SimClock, SimStorage, backup_to, restore};
use vecmem::{
    BackupOptions, ErrorKind, IterateQuery, Namespace, NamespaceQuery, Options, Query, ReadOptions, Reads, Scope,
    Snapshot, Store, Tuning,
};

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
        shard_rows: [u64::MAX, 12, 40][(seed / 2 % 3) as usize],
        flat_unit_rows: 5,
        ..tuning()
    };
    let cuts = [vec![], vec!["m"], vec!["ab", "z"]];
    let cuts = cuts[(seed % 3) as usize].iter().map(|label| Namespace::new([label]).unwrap());
    options().tuning(tuning).split_keys(cuts)
}

/// Where a run stands, for its failure.
#[derive(Debug, Default)]
struct Counts {
    operations: usize,
    closes: usize,
    crashes: usize,
    /// Splits of shards, snapshots that were looked at again, and backups.
    splits: u64,
    snapshots: usize,
    backups: usize,
}

type Contents = Vec<(Namespace, String, String)>;

/// Every item, without its version: a copy has others.
fn contents(reads: &impl Reads) -> vecmem::Result<Contents> {
    let options = ReadOptions { include_expired: true, ..ReadOptions::default() };
    let page = reads.iterate(&IterateQuery::new(Scope::Store).limit(usize::MAX).options(options), None)?;
    Ok(page.items.into_iter().map(|item| (item.namespace, item.key, item.value.into())).collect())
}

/// What a snapshot shows: all items, the namespaces, the number of items, and the best items for a vector.
#[derive(Debug, PartialEq)]
struct Shown {
    items: Contents,
    namespaces: Vec<Vec<String>>,
    count: u64,
    best: Vec<String>,
}

impl Shown {
    fn of(snapshot: &Snapshot) -> vecmem::Result<Self> {
        let options = ReadOptions { include_expired: true, ..ReadOptions::default() };
        let query = NamespaceQuery { limit: usize::MAX, options: options.clone(), ..NamespaceQuery::default() };
        let best = Query::new(Scope::Store).vector(vec![0.5; DIMS]).limit(20).exact(true).options(options.clone());
        let best = snapshot.search(&best)?.hits.into_iter().map(|hit| format!("{:?} {}", hit.score, hit.item.key));
        Ok(Self {
            items: contents(snapshot)?,
            namespaces: snapshot.list_namespaces(&query)?,
            count: snapshot.count(&Scope::Store, &options)?,
            best: best.collect(),
        })
    }
}

/// A snapshot, and what it showed at first.
struct Held {
    snapshot: Snapshot,
    shown: Shown,
    is_purged: bool,
}

impl Held {
    fn of(store: &Store) -> vecmem::Result<Self> {
        let snapshot = store.snapshot()?;
        Ok(Self { shown: Shown::of(&snapshot)?, snapshot, is_purged: false })
    }

    fn same(&self) -> Result<(), String> {
        match Shown::of(&self.snapshot) {
            Ok(now) if now == self.shown => Ok(()),
            Err(error) if error.kind() == ErrorKind::SnapshotGone && self.is_purged => Ok(()),
            other => Err(format!("a snapshot has changed from {:?} to {other:?}", self.shown)),
        }
    }
}

/// That a backup of the store holds the same.
fn same_in_a_backup(store: &Store, clock: &SimClock, options: &Options, seed: u64) -> Result<(), String> {
    let (target, restored) = (SimStorage::new(seed), SimStorage::new(seed + 1));
    let text = |error: vecmem::Error| format!("a backup: {error}");
    backup_to(store, &target, &BackupOptions::new()).map_err(text)?;
    restore(&target, &restored, &BackupOptions::new()).map_err(text)?;
    let copy = open(&restored, clock, options).map_err(text)?;
    let problems = copy.check(false).map_err(text)?.problems;
    let is_same = contents(&copy).map_err(text)? == contents(store).map_err(text)?;
    if is_same && problems.is_empty() { Ok(()) } else { Err(format!("a backup differs, with {problems:?}")) }
}

fn run(seed: u64, counts: &mut Counts) -> Result<(), String> {
    let options = options_of(seed);
    let (mut storage, clock) = (SimStorage::new(seed), SimClock::new(START));
    let mut generator = Generator::new(seed, 10 + (seed as usize % 4) * 10);
    generator.prunes = seed >= PRUNING_SEED;
    let mut model = Model::default();
    let mut store = open(&storage, &clock, &options).map_err(|error| error.to_string())?;
    let mut held: Option<Held> = None;
    let mut shards = 0;
    for number in 1..=OPERATIONS {
        counts.operations = number;
        let operation = generator.operation(&model);
        do_both(&store, &clock, &mut model, &operation).map_err(|why| format!("{operation:?}: {why}"))?;
        if let (Some(held), Operation::Purge(_)) = (&mut held, &operation) {
            held.is_purged = true;
        }
        let now = store.stats().map_err(|error| error.to_string())?.internals.shards;
        counts.splits += now.saturating_sub(std::mem::replace(&mut shards, now));
        match generator.random.below(1_000) {
            0..20 => same_answers(&store, &model, &clock, seed + number as u64)?,
            20..40 => same_items(&store, &model, &clock)?,
            40..48 => {
                held = None;
                store.close().map_err(|error| error.to_string())?;
                counts.closes += 1;
                store = open(&storage, &clock, &options).map_err(|error| format!("after a close: {error}"))?;
                model = model.reopened();
                same_items(&store, &model, &clock).map_err(|why| format!("after a close: {why}"))?;
            }
            48..58 => {
                held = None;
                let loss = *generator.random.pick(&[Loss::None, Loss::AllUnsynced, Loss::Torn]);
                storage = storage.crash(loss, generator.random.draw());
                counts.crashes += 1;
                store = open(&storage, &clock, &options).map_err(|error| format!("after {loss:?}: {error}"))?;
                model = model.reopened();
                same_items(&store, &model, &clock).map_err(|why| format!("after {loss:?}: {why}"))?;
            }
            58..68 => held = Some(Held::of(&store).map_err(|error| error.to_string())?),
            68..88 => {
                if let Some(held) = held.take() {
                    held.same()?;
                    counts.snapshots += 1;
                }
            }
            88..91 => {
                same_in_a_backup(&store, &clock, &options, seed + number as u64)?;
                counts.backups += 1;
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
    let mut all = Counts::default();
    for seed in seeds() {
        let mut counts = Counts::default();
        run(seed, &mut counts).unwrap_or_else(|why| panic!("seed {seed}, operation {}: {why}", counts.operations));
        all.operations += counts.operations;
        all.closes += counts.closes;
        all.crashes += counts.crashes;
        all.splits += counts.splits;
        all.snapshots += counts.snapshots;
        all.backups += counts.backups;
    }
    println!("seeds {:?}: {all:?}", seeds());
    assert!(seeds().count() < 24 || (all.splits > 40 && all.snapshots > 40 && all.backups > 20), "{all:?}");
}
