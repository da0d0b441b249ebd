//! The fuzz body of whole stores: the input is operations on a simulated disk. A map is the model of the store.
//!
//! Reading order: the operations here, `reads` (checks of results), `crashes` (checks after a crash).
//!
//! Invariants:
//! * The model is a map from address to item. The engine alone gives an item its version and times: the test reads them
//!   back right after the write and checks what is promised of them. They must not change from then on.
//! * Under `Sync` a crash takes nothing that was acknowledged. Under `Manual` it leaves the state after some write
//!   since the last sync.

mod crashes;
mod reads;

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::codec::Reader;
use crate::error::{ErrorKind, Result};
use crate::storage::sim::{Loss, SimClock, SimStorage};
use crate::store::query::{Query, ReadOptions};
use crate::store::{Batch, ImportOptions, Options, Put, Store, WriteResult};
use crate::tuning::Tuning;
use crate::types::{Condition, Durability, Item, Metric, NEVER, Namespace, Scope, Version};

const DIMS: usize = 2;
const STEPS_MAX: usize = 1_000;
/// The most states that a crash may leave under `Manual`: when there are as many, the test syncs the log.
const STATES_MAX: usize = 100;

type ItemAddress = (Namespace, String);

/// A put, and the item that it must result in.
#[derive(Clone, Debug)]
struct WantedItem {
    put: Put,
    value: String,
    vectors: Vec<(&'static str, [f32; DIMS])>,
    /// Microseconds.
    ttl: Option<i64>,
}

type Model = BTreeMap<ItemAddress, Rc<Item>>;

/// Runs the operations that `bytes` choose, and panics when the store differs from the model. Returns whether there
/// were any.
pub(super) fn fuzz_store_operations(bytes: &[u8]) -> bool {
    let Some((&mode, rest)) = bytes.split_first() else { return false };
    let mut world = match World::new(mode) {
        Ok(world) => world,
        Err(error) => panic!("a new store does not open: {error}"),
    };
    let mut input = FuzzInput(Reader::new(rest));
    for _ in 0..STEPS_MAX {
        let Some(operation) = input.next() else { break };
        if let Err(error) = world.step(operation, &mut input) {
            panic!("operation {operation}: {error}");
        }
        world.compare();
    }
    if let Err(error) = world.reopen(None) {
        panic!("the last open: {error}");
    }
    !rest.is_empty()
}

/// The input. `byte` returns zeros after its end.
struct FuzzInput<'a>(Reader<'a>);

impl FuzzInput<'_> {
    fn next(&mut self) -> Option<u8> {
        self.0.u8().ok()
    }

    fn byte(&mut self) -> u8 {
        self.next().unwrap_or(0)
    }
}

struct World {
    storage: SimStorage,
    clock: SimClock,
    options: Options,
    store: Store,
    model: Model,
    /// The states that a crash may leave: the last durable one and all later ones, the present one last.
    states: Vec<Model>,
    namespaces: [Namespace; 4],
    writes: u64,
}

fn everything() -> ReadOptions {
    ReadOptions { include_vectors: true, include_expired: true, ..ReadOptions::default() }
}

impl World {
    fn new(mode: u8) -> Result<Self> {
        let names = [&["a"][..], &["a", "b"], &["a\0"], &["m"]];
        let [first, second, third, fourth] = names.map(|labels| Namespace::new(labels.iter().copied()));
        let namespaces = [first?, second?, third?, fourth?];
        let durability = if mode & 1 == 0 { Durability::Sync } else { Durability::Manual };
        let tuning = Tuning { memtable_rows: 4 + usize::from(mode >> 4), import_file_rows: 4, ..Tuning::tiny() };
        let mut options = Options::with_vectors(DIMS, Metric::Dot).tuning(tuning).durability(durability);
        if mode & 2 == 2 {
            options = options.split_keys([namespaces[1].clone(), namespaces[3].clone()]);
        }
        let (storage, clock) = (SimStorage::new(u64::from(mode)), SimClock::new(1_000_000));
        let store = open(&storage, &clock, &options)?;
        let (model, states) = (Model::new(), vec![Model::new()]);
        Ok(Self { storage, clock, options, store, model, states, namespaces, writes: 0 })
    }

    fn step(&mut self, operation: u8, input: &mut FuzzInput<'_>) -> Result<()> {
        match operation % 32 {
            0..=11 => self.put(input)?,
            12..=14 => self.delete(input)?,
            15 | 16 => self.batch(input)?,
            17 => self.delete_range(input)?,
            18 => self.refresh(input)?,
            19 => self.clock.advance(Duration::from_millis(u64::from(input.byte()) * 40)),
            20 => self.sweep(Store::sweep)?,
            21 => self.store.sync()?,
            22 => self.sweep(|store| store.compact().map(|report| report.swept))?,
            23 => return self.reopen(None),
            24 => return self.reopen(Some(Loss::None)),
            25 => return self.reopen(Some(Loss::AllUnsynced)),
            26 => return self.reopen(Some(Loss::Torn)),
            27 => return self.put_with_a_fault(input),
            28 => self.import(input)?,
            _ => self.search(input)?,
        }
        self.note(operation % 32 == 21);
        Ok(())
    }

    /// Adds the present state to `states`. If the state is durable, it replaces all others.
    fn note(&mut self, flushed: bool) {
        let certain = self.options.durability == Durability::Sync || flushed;
        if !certain && self.states.last() == Some(&self.model) {
            return;
        }
        if !certain && self.states.len() >= STATES_MAX {
            if let Err(error) = self.store.sync() {
                panic!("flush: {error}");
            }
            self.states.clear();
        }
        if certain {
            self.states.clear();
        }
        self.states.push(self.model.clone());
    }

    fn address(&self, input: &mut FuzzInput<'_>) -> ItemAddress {
        let byte = input.byte();
        (self.namespaces[usize::from(byte % 4)].clone(), ["", "k", "key", "\0"][usize::from(byte / 4 % 4)].to_owned())
    }

    fn now(&self) -> i64 {
        use crate::storage::Clock;
        self.clock.now()
    }

    fn living(&self, address: &ItemAddress) -> Option<&Rc<Item>> {
        self.model.get(address).filter(|item| item.expires_at.unwrap_or(NEVER) > self.now())
    }

    /// A put, and whether its condition holds.
    fn make_put(&mut self, address: &ItemAddress, input: &mut FuzzInput<'_>) -> (WantedItem, bool) {
        let shape = input.byte();
        let mut wanted = self.plain_put(address);
        for field in ["", "x"].into_iter().take(usize::from(shape % 3)) {
            let vector = [f32::from(input.byte() / 16), f32::from(input.byte() % 16) - 8.0];
            wanted.vectors.push((field, vector));
            wanted.put = wanted.put.field_vector(field, vector);
        }
        if shape & 0x30 == 0x30 {
            let millis = 1 + u64::from(input.byte()) * 20;
            wanted.ttl = Some(1_000 * millis as i64);
            wanted.put = wanted.put.ttl(Duration::from_millis(millis));
        }
        let current = self.living(address).map(|item| item.version);
        let (condition, holds) = match shape >> 6 {
            1 => (Condition::IfAbsent, current.is_none()),
            2 => (Condition::IfVersion(current.unwrap_or(Version(u64::MAX >> 1))), current.is_some()),
            _ => (Condition::Always, true),
        };
        wanted.put = wanted.put.condition(condition);
        (wanted, holds)
    }

    fn plain_put(&mut self, address: &ItemAddress) -> WantedItem {
        self.writes += 1;
        let value = format!("{{\"write\": {}}}", self.writes);
        let put = Put::new(&address.0, address.1.clone(), value.clone());
        WantedItem { put, value, vectors: Vec::new(), ttl: None }
    }

    fn put(&mut self, input: &mut FuzzInput<'_>) -> Result<()> {
        let address = self.address(input);
        let (wanted, allowed) = self.make_put(&address, input);
        match self.store.put(wanted.put.clone()) {
            Ok(version) => {
                assert!(allowed, "a put whose condition does not hold");
                self.take_over(address, &wanted, version)
            }
            Err(error) if error.kind() == ErrorKind::ConditionFailed && !allowed => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Reads back the item that the engine made of `wanted`, checks it, and inserts it into the model.
    fn take_over(&mut self, address: ItemAddress, wanted: &WantedItem, version: Version) -> Result<()> {
        let Some(item) = self.store.get_with(&address.0, &address.1, &everything())? else {
            panic!("{address:?} is not there after its put")
        };
        let vectors = item.vectors.iter().map(|own| (&*own.path, &*own.values));
        assert!(vectors.eq(wanted.vectors.iter().map(|(path, values)| (*path, &values[..]))), "{item:?}: {wanted:?}");
        assert_eq!((&*item.value, item.ttl, item.version), (wanted.value.as_str(), wanted.ttl, version));
        let replaced = self.model.get(&address);
        assert!(replaced.is_none_or(|before| before.updated_at < item.updated_at && before.version != version));
        let created_at = self.living(&address).map_or(item.updated_at, |before| before.created_at);
        assert!(item.created_at == created_at && item.updated_at >= self.now());
        assert_eq!(item.expires_at, item.ttl.map(|ttl| self.now() + ttl));
        self.model.insert(address, Rc::new(item));
        Ok(())
    }

    fn delete(&mut self, input: &mut FuzzInput<'_>) -> Result<()> {
        let address = self.address(input);
        let there = self.living(&address).is_some();
        assert_eq!(self.store.delete(&address.0, &address.1)?, there, "{address:?}");
        self.model.remove(&address);
        Ok(())
    }

    fn batch(&mut self, input: &mut FuzzInput<'_>) -> Result<()> {
        let (mut batch, mut allowed) = (Batch::new(), true);
        let mut operations: Vec<(ItemAddress, Option<WantedItem>)> = Vec::new();
        for _ in 0..input.byte() % 6 {
            let address = self.address(input);
            if input.byte().is_multiple_of(3) {
                batch.delete(&address.0, &address.1);
                operations.push((address, None));
            } else {
                let (wanted, holds) = self.make_put(&address, input);
                allowed &= holds;
                batch.put(wanted.put.clone());
                operations.push((address, Some(wanted)));
            }
        }
        let results = match self.store.batch(batch) {
            Ok(results) => results,
            Err(error) if error.kind() == ErrorKind::ConditionFailed && !allowed => return Ok(()),
            Err(error) => return Err(error),
        };
        assert!(allowed && results.len() == operations.len());
        let last = |at: usize| operations[at + 1..].iter().all(|later| later.0 != operations[at].0);
        let last: Vec<bool> = (0..operations.len()).map(last).collect();
        for ((result, (address, wanted)), last) in results.into_iter().zip(operations).zip(last) {
            match (result, wanted) {
                (WriteResult::Superseded, _) => assert!(!last),
                (WriteResult::Put(version), Some(wanted)) if last => self.take_over(address, &wanted, version)?,
                (WriteResult::Deleted(there), None) if last => {
                    assert_eq!(there, self.living(&address).is_some());
                    self.model.remove(&address);
                }
                other => panic!("{address:?}: {other:?}"),
            }
        }
        Ok(())
    }

    /// Imports some puts. Four or more become segment files.
    fn import(&mut self, input: &mut FuzzInput<'_>) -> Result<()> {
        let mut items: Vec<(ItemAddress, WantedItem)> = Vec::new();
        for _ in 0..input.byte() % 12 {
            let address = self.address(input);
            let (mut wanted, _) = self.make_put(&address, input);
            wanted.put = wanted.put.condition(Condition::Always);
            items.push((address, wanted));
        }
        let puts = items.iter().map(|(_, wanted)| Ok(wanted.put.clone()));
        self.store.import(puts, ImportOptions::new())?;
        while let Some((address, wanted)) = items.pop() {
            items.retain(|(earlier, _)| *earlier != address);
            let version = self.store.get_with(&address.0, &address.1, &everything())?.map(|item| item.version);
            self.take_over(address, &wanted, version.unwrap_or(Version(0)))?;
        }
        Ok(())
    }

    fn scope(&self, input: &mut FuzzInput<'_>) -> Scope {
        let byte = input.byte();
        let namespace = self.namespaces[usize::from(byte % 4)].clone();
        if byte & 4 == 0 { Scope::Namespace(namespace) } else { Scope::Prefix(namespace) }
    }

    fn delete_range(&mut self, input: &mut FuzzInput<'_>) -> Result<()> {
        let scope = self.scope(input);
        self.store.delete_range(&scope)?;
        self.model.retain(|(namespace, _), _| !covers(&scope, namespace));
        Ok(())
    }

    /// A read that refreshes expiries, and the sync that writes its touches.
    fn refresh(&mut self, input: &mut FuzzInput<'_>) -> Result<()> {
        let scope = self.scope(input);
        let options = ReadOptions { refresh_ttl: true, ..ReadOptions::default() };
        self.store.list(&Query::new(scope.clone()).limit(usize::MAX).options(options))?;
        self.store.sync()?;
        let now = self.now();
        for (_, item) in self.model.iter_mut().filter(|((namespace, _), _)| covers(&scope, namespace)) {
            let (Some(ttl), Some(expires_at)) = (item.ttl, item.expires_at) else { continue };
            let least = if ttl < 60_000_000 { 1 } else { ttl / 100 };
            if expires_at > now && now + ttl - expires_at >= least {
                Rc::make_mut(item).expires_at = Some(now + ttl);
            }
        }
        self.note(true);
        Ok(())
    }

    fn sweep(&mut self, sweep: impl FnOnce(&Store) -> Result<u64>) -> Result<()> {
        let (now, before) = (self.now(), self.model.len());
        self.model.retain(|_, item| item.expires_at.unwrap_or(NEVER) > now);
        assert_eq!(sweep(&self.store)?, (before - self.model.len()) as u64);
        Ok(())
    }
}

fn open(storage: &SimStorage, clock: &SimClock, options: &Options) -> Result<Store> {
    crate::store::open_with(Arc::new(storage.clone()), Arc::new(clock.clone()), options.clone())
}

fn covers(scope: &Scope, namespace: &Namespace) -> bool {
    scope.interval().contains(namespace.encoded())
}

fn text(model: &Model) -> String {
    model.values().map(|item| format!("{item:?}\n")).collect()
}
