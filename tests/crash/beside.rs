//! Imports with other writes between the look at what they replace and their commit: for the store and for the model.
//!
//! Invariants:
//! * A row keeps of an older version what was there when the import began to look; a key that was written since is put
//!   again behind the rows, by the rules of an ordinary put.

use std::collections::BTreeSet;

use vecmem::testing::{Clock, SimClock, SimStorage};
use vecmem::{Condition, ImportOptions, Options, Store};

use super::START;
use super::history::{History, do_both, open};
use super::model::{Key, Model};
use super::operations::{Change, Generator, Operation, PutChange, import};

/// A run under way, and what may be found after a crash.
pub struct Recorder {
    pub storage: SimStorage,
    pub clock: SimClock,
    pub store: Store,
    pub model: Model,
    pub history: History,
}

impl Recorder {
    /// On a new store, whose disk is recorded before each sync.
    pub fn new(seed: u64, options: &Options) -> Self {
        let (storage, clock) = (SimStorage::new(seed), SimClock::new(START));
        storage.record_sync_points();
        let store = open(&storage, &clock, options).unwrap();
        let stats = store.stats().unwrap();
        let (models, clocks, flushed) = (vec![Model::default()], vec![START], vec![0]);
        let history = History { models, clocks, flushed, images: Vec::new(), stats };
        Self { storage, clock, store, model: Model::default(), history }
    }

    pub fn step(&mut self, operation: &Operation) -> Result<(), String> {
        do_both(&self.store, &self.clock, &mut self.model, operation)?;
        self.note(matches!(operation, Operation::Flush));
        Ok(())
    }

    fn note(&mut self, flushed: bool) {
        let number = self.history.models.len();
        self.storage.set_tag(number as u64);
        self.history.models.push(self.model.clone());
        self.history.clocks.push(self.clock.now());
        self.history.flushed.push(if flushed { number } else { self.history.flushed[number - 1] });
    }

    /// Imports, and does the other operations when the files are written and not yet committed.
    pub fn import(&mut self, puts: &[PutChange], source: Option<&str>, others: &[Operation]) -> Result<(), String> {
        // Touches would go along with whatever is written next.
        self.step(&Operation::Flush)?;
        let rows = self.model.begin_import(puts, source, self.clock.now());
        let (store, mut outcome) = (self.store.clone(), Ok(()));
        let mut written = Written::default();
        let hook = || {
            for operation in others {
                let before: Vec<Key> = self.model.items.keys().cloned().collect();
                let done = do_both(&self.store, &self.clock, &mut self.model, operation);
                if outcome.is_ok() {
                    outcome = done.map_err(|why| format!("{operation:?}: {why}"));
                }
                written.note(operation, before, &self.model);
                self.note(matches!(operation, Operation::Flush));
            }
        };
        import(&store, puts, source, ImportOptions::new().before_commit(hook)).map_err(|error| error.to_string())?;
        outcome?;
        self.model.end_import(rows, |key| written.has(key), self.clock.now());
        self.note(false);
        Ok(())
    }

    pub fn finish(mut self) -> History {
        self.history.stats = self.store.stats().unwrap();
        self.history.images = self.storage.take_images();
        self.history
    }
}

/// The keys that operations wrote.
#[derive(Default)]
struct Written {
    keys: BTreeSet<Key>,
}

impl Written {
    /// A put writes its key; whatever removes items, a compaction that sweeps among them, writes theirs.
    fn note(&mut self, operation: &Operation, before: Vec<Key>, after: &Model) {
        if let Operation::Write(Change::Put(put)) = operation {
            self.keys.insert(put.key.clone());
        }
        self.keys.extend(before.into_iter().filter(|key| !after.items.contains_key(key)));
    }

    fn has(&self, key: &Key) -> bool {
        self.keys.contains(key)
    }
}

/// Draws an import of at least `least` rows, and what is done beside it: mostly to its own keys.
pub fn draw(
    generator: &mut Generator,
    model: &Model,
    least: usize,
) -> (Vec<PutChange>, Option<String>, Vec<Operation>) {
    let (puts, source) = loop {
        if let Operation::Import(puts, source) = generator.import(model)
            && puts.len() >= least
        {
            break (puts, source);
        }
    };
    let count = generator.random.below(5);
    let others = (0..count).map(|_| {
        let key = generator.random.pick(&puts).key.clone();
        match generator.random.below(10) {
            0..=3 => match generator.plain_put(model) {
                Operation::Write(Change::Put(put)) => Operation::Write(Change::Put(PutChange { key, ..put })),
                other => other,
            },
            4 => generator.plain_put(model),
            5 | 6 => Operation::Write(Change::Delete { key, condition: Condition::Always }),
            7 => Operation::DeleteRange(generator.scope()),
            8 => Operation::Compact,
            _ => Operation::Flush,
        }
    });
    let others = others.collect();
    (puts, source, others)
}
