//! Operations, where they come from, and how a store does them.

use std::time::Duration;

use vecmem::testing::Random;
use vecmem::testing::SimClock;
use vecmem::{
    Batch, Condition, ErrorKind, Filter, ImportOptions, ImportProgress, Item, Namespace, Put, ReadOptions, Result,
    Scope, Store, Version, WriteResult,
};

use super::DIMS;
use super::model::{Key, Model, covers};

#[derive(Clone, Debug)]
pub struct PutChange {
    pub key: Key,
    pub json: String,
    pub vectors: Vec<(String, Vec<f32>)>,
    pub ttl: Option<Duration>,
    pub condition: Condition,
    pub created_at: Option<i64>,
    pub updated_at: Option<i64>,
}

#[derive(Clone, Debug)]
pub enum Change {
    Put(PutChange),
    Delete { key: Key, condition: Condition },
}

impl Change {
    pub fn key(&self) -> &Key {
        match self {
            Self::Put(put) => &put.key,
            Self::Delete { key, .. } => key,
        }
    }

    pub fn condition(&self) -> Condition {
        match self {
            Self::Put(put) => put.condition,
            Self::Delete { condition, .. } => *condition,
        }
    }
}

#[derive(Clone, Debug)]
pub enum Operation {
    Write(Change),
    /// With the source and the JSON of an import mark.
    Batch(Vec<Change>, Option<(String, String)>),
    DeleteRange(Scope),
    /// Deletes the items with this tag.
    DeleteTagged(Scope, &'static str),
    /// Deletes all but so many of the newest items of each namespace.
    KeepNewest(Scope, usize),
    /// Moves the items of a scope.
    Rename(Scope, Namespace),
    /// A read that pushes the expiry back.
    Read(Key),
    /// As a bulk import, with or without a source whose mark is kept.
    Import(Vec<PutChange>, Option<String>),
    Sweep,
    Flush,
    /// Writes the memtables to segments.
    Seal,
    Compact,
    /// Where nothing has expired, so that the only frame is that of the delete.
    Purge(Scope),
    Graph(Scope),
    /// Keeps a JSON document under a name, or removes it.
    Setting(&'static str, Option<String>),
    /// Time passes.
    Advance(Duration),
}

impl Operation {
    /// Whether a full disk may not stop it.
    pub fn frees_space(&self) -> bool {
        match self {
            Self::Write(change) => matches!(change, Change::Delete { .. }),
            Self::Batch(changes, mark) => {
                mark.is_none() && changes.iter().all(|change| matches!(change, Change::Delete { .. }))
            }
            Self::DeleteRange(_) | Self::DeleteTagged(..) | Self::KeepNewest(..) | Self::Sweep => true,
            _ => false,
        }
    }
}

/// What an operation answered.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    Written(Vec<WriteResult>),
    ConditionFailed,
    QuotaExceeded,
    Read(Option<Box<Item>>),
    Swept(u64),
    /// How many items were deleted or moved.
    Pruned(u64),
    Done,
}

/// Does the operation on a store.
pub fn perform(store: &Store, clock: &SimClock, operation: &Operation) -> Result<Outcome> {
    let done = match operation {
        Operation::Write(change) => write(store, change).map(|result| Outcome::Written(vec![result])),
        Operation::Batch(changes, mark) => {
            let mut batch = Batch::new();
            for change in changes {
                match change {
                    Change::Put(change) => batch.put(put(change)),
                    Change::Delete { key, condition } => batch.delete_if(&key.0, &key.1, *condition),
                };
            }
            if let Some((source, json)) = mark {
                batch.import_checkpoint(source, json);
            }
            store.batch(batch).map(Outcome::Written)
        }
        Operation::DeleteRange(Scope::Store) => store.delete_everything().map(|()| Outcome::Done),
        Operation::DeleteRange(scope) => store.delete_range(scope).map(|()| Outcome::Done),
        Operation::DeleteTagged(scope, tag) => {
            store.delete_where(scope, &Filter::eq("tag", *tag)).map(|receipt| Outcome::Pruned(receipt.deleted))
        }
        Operation::KeepNewest(scope, n) => store.keep_newest(scope, *n).map(|receipt| Outcome::Pruned(receipt.deleted)),
        Operation::Rename(from, to) => store.rename(from, to).map(|receipt| Outcome::Pruned(receipt.moved)),
        Operation::Read((namespace, key)) => {
            let options = ReadOptions { include_vectors: true, refresh_ttl: true, ..ReadOptions::default() };
            store.get_with(namespace, key, &options).map(|item| Outcome::Read(item.map(Box::new)))
        }
        Operation::Import(changes, source) => {
            import(store, changes, source.as_deref(), ImportOptions::new()).map(|()| Outcome::Done)
        }
        Operation::Sweep => store.sweep().map(Outcome::Swept),
        Operation::Flush => store.sync().map(|()| Outcome::Done),
        Operation::Seal => store.flush().map(|()| Outcome::Done),
        Operation::Purge(scope) => store.purge(scope).map(|_| Outcome::Done),
        Operation::Graph(scope) => store.build_graph(scope).map(|_| Outcome::Done),
        Operation::Compact => store.compact().map(|report| Outcome::Swept(report.swept)),
        Operation::Setting(name, json) => store.set_setting(name, json.as_deref()).map(|()| Outcome::Done),
        Operation::Advance(span) => {
            clock.advance(*span);
            Ok(Outcome::Done)
        }
    };
    match done {
        Err(error) if error.kind() == ErrorKind::ConditionFailed => Ok(Outcome::ConditionFailed),
        Err(error) if error.kind() == ErrorKind::QuotaExceeded => Ok(Outcome::QuotaExceeded),
        other => other,
    }
}

/// Imports from the beginning, whatever the mark says.
pub fn import(store: &Store, changes: &[PutChange], source: Option<&str>, options: ImportOptions<'_>) -> Result<()> {
    let options = source.into_iter().fold(options, |options, source| options.source(source));
    let options = options.continue_after(ImportProgress::default());
    let report = store.import(changes.iter().map(|change| Ok(put(change))), options)?;
    assert_eq!((report.imported, report.skipped), (changes.len() as u64, 0));
    Ok(())
}

fn write(store: &Store, change: &Change) -> Result<WriteResult> {
    match change {
        Change::Put(change) => store.put(put(change)).map(WriteResult::Put),
        Change::Delete { key, condition: Condition::Always } => store.delete(&key.0, &key.1).map(WriteResult::Deleted),
        Change::Delete { key, condition } => store.delete_if(&key.0, &key.1, *condition).map(WriteResult::Deleted),
    }
}

fn put(change: &PutChange) -> Put {
    let mut put = Put::new(&change.key.0, change.key.1.as_str(), change.json.as_str()).condition(change.condition);
    for (path, values) in &change.vectors {
        put = put.field_vector(path, values.as_slice());
    }
    if is_embedded(&change.json) {
        let texts: Vec<String> = change.vectors.iter().map(|(_, values)| text_of(values, &change.json)).collect();
        put = put.embedded(MODEL, texts.iter().map(String::as_str));
    }
    if let Some(ttl) = change.ttl {
        put = put.ttl(ttl);
    }
    if let Some(micros) = change.created_at {
        put = put.created_at(micros);
    }
    if let Some(micros) = change.updated_at {
        put = put.updated_at(micros);
    }
    put
}

/// The name of the model that made the vectors.
pub const MODEL: &str = "a model";

/// Whether the store was told what the vectors of such an item embed.
pub fn is_embedded(json: &str) -> bool {
    !json.len().is_multiple_of(4)
}

/// The text that a vector embeds: made of the vector, so that no two have the same.
pub fn text_of(vector: &[f32], json: &str) -> String {
    format!("{vector:?} {json}")
}

/// Draws operations that meet each other: few namespaces and keys, conditions that hold about half of the time.
pub struct Generator {
    pub random: Random,
    pub namespaces: Vec<Namespace>,
    /// Whether reads push expiries back; without it nothing but operations writes, whatever threads do.
    pub touches: bool,
    /// Whether items are deleted and moved by rules.
    pub prunes: bool,
    keys: usize,
    count: u64,
}

pub const TAGS: [&str; 4] = ["red", "green", "blue", "a \"quoted\" one"];

pub const SETTINGS: [&str; 2] = ["index rules", "ü"];

/// The setting that keeps quotas.
pub const QUOTAS: &str = "vecmem.quotas";

/// Lets the store hold so many items.
pub fn quota(items: usize) -> Operation {
    Operation::Setting(QUOTAS, Some(format!("[{{\"kind\":\"store\",\"items\":{items}}}]")))
}

/// Prefixes of each other as tuples and as bytes, and labels with every awkward character.
pub fn namespaces() -> Vec<Namespace> {
    let tuples: [&[&str]; 10] = [
        &["a"],
        &["a\0"],
        &["a", "b"],
        &["a", "b", "c"],
        &["ab"],
        &["m", "users"],
        &["m", "users", "ada"],
        &["m", "users", "äda/ø"],
        &["z"],
        &["z", "\u{1F980}"],
    ];
    tuples.iter().map(|labels| Namespace::new(*labels).unwrap()).collect()
}

impl Generator {
    pub fn new(seed: u64, keys: usize) -> Self {
        Self {
            random: Random::new(seed.wrapping_mul(0x2545_f491_4f6c_dd1d) ^ 0x1234_5678_9abc_def1),
            namespaces: namespaces(),
            touches: true,
            prunes: false,
            keys,
            count: 0,
        }
    }

    pub fn operation(&mut self, model: &Model) -> Operation {
        match self.random.below(1000) {
            0..=449 => Operation::Write(self.put(model)),
            450..=589 => self.batch(model),
            590..=689 => Operation::Write(self.delete(model)),
            690..=697 => Operation::DeleteRange(self.scope()),
            698 => Operation::DeleteRange(Scope::Store),
            699..=799 if self.touches => Operation::Read(self.key(model)),
            699..=799 => Operation::Write(self.put(model)),
            800..=819 => Operation::Sweep,
            820..=849 => Operation::Flush,
            850..=851 => Operation::Compact,
            852..=866 => self.import(model),
            867..=872 => self.setting(),
            873..=949 if self.prunes => self.prune(),
            _ => Operation::Advance(Duration::from_millis(1 + self.random.draw() % 4_000)),
        }
    }

    /// A delete or a rename by a rule.
    pub fn prune(&mut self) -> Operation {
        match self.random.below(3) {
            0 => Operation::DeleteTagged(self.scope(), TAGS[self.random.below(TAGS.len())]),
            1 => Operation::KeepNewest(self.scope(), 1 + self.random.below(6)),
            _ => loop {
                let (from, to) = (self.scope(), self.random.pick(&self.namespaces).clone());
                let target = match &from {
                    Scope::Namespace(_) => Scope::Namespace(to.clone()),
                    _ => Scope::Prefix(to.clone()),
                };
                let holds = |scope: &Scope, other: &Scope| match other {
                    Scope::Namespace(inner) | Scope::Prefix(inner) => covers(scope, inner),
                    Scope::Store => true,
                };
                if !holds(&from, &target) && !holds(&target, &from) {
                    return Operation::Rename(from, to);
                }
            },
        }
    }

    /// A write that is one frame and succeeds whatever the state.
    pub fn plain_put(&mut self, model: &Model) -> Operation {
        let Change::Put(put) = self.put(model) else { unreachable!("put draws puts") };
        Operation::Write(Change::Put(PutChange { condition: Condition::Always, ..put }))
    }

    fn batch(&mut self, model: &Model) -> Operation {
        let count = 1 + self.random.below(9);
        let mut changes: Vec<Change> =
            (0..count).map(|_| if self.random.chance(75) { self.put(model) } else { self.delete(model) }).collect();
        if self.random.chance(70) {
            changes.iter_mut().for_each(Self::make_unconditional);
        }
        let count = self.count;
        let mark = self.random.chance(20).then(|| ("file.jsonl".to_owned(), format!("{{\"done\":{count}}}")));
        Operation::Batch(changes, mark)
    }

    /// Small ones that go through the log, and some with files; always one frame.
    pub fn import(&mut self, model: &Model) -> Operation {
        let count = 1 + self.random.below(35);
        let mut changes = Vec::new();
        for _ in 0..count {
            let Change::Put(put) = self.put(model) else { unreachable!("put draws puts") };
            changes.push(PutChange { condition: Condition::Always, ..put });
        }
        Operation::Import(changes, self.random.chance(50).then(|| "another".to_owned()))
    }

    fn setting(&mut self) -> Operation {
        let json = self.random.chance(70).then(|| format!("[{}]", self.count));
        Operation::Setting(SETTINGS[self.random.below(SETTINGS.len())], json)
    }

    fn make_unconditional(change: &mut Change) {
        match change {
            Change::Put(put) => put.condition = Condition::Always,
            Change::Delete { condition, .. } => *condition = Condition::Always,
        }
    }

    pub fn scope(&mut self) -> Scope {
        let namespace = self.random.pick(&self.namespaces).clone();
        if self.random.chance(50) { Scope::Namespace(namespace) } else { Scope::Prefix(namespace) }
    }

    /// Mostly one that exists.
    fn key(&mut self, model: &Model) -> Key {
        if self.random.chance(50) && !model.items.is_empty() {
            let place = self.random.below(model.items.len());
            if let Some((key, _)) = model.items.iter().nth(place) {
                return key.clone();
            }
        }
        self.any_key()
    }

    fn any_key(&mut self) -> Key {
        let key = match self.random.below(self.keys) {
            0 => String::new(),
            1 => "nul\0and\nnewline".to_owned(),
            number => format!("key-{number}"),
        };
        (self.random.pick(&self.namespaces).clone(), key)
    }

    fn condition(&mut self, key: &Key, model: &Model) -> Condition {
        match self.random.below(20) {
            0 | 1 => Condition::IfAbsent,
            2 | 3 => {
                let version = model.items.get(key).map_or(model.lsn, |item| item.version.to_u64());
                Condition::IfVersion(Version::from_u64(version + u64::from(self.random.chance(30))))
            }
            _ => Condition::Always,
        }
    }

    fn delete(&mut self, model: &Model) -> Change {
        let key = self.key(model);
        Change::Delete { condition: self.condition(&key, model), key }
    }

    fn put(&mut self, model: &Model) -> Change {
        self.count += 1;
        let key = if self.random.chance(70) { self.any_key() } else { self.key(model) };
        let length = if self.random.chance(4) { self.random.below(3_000) } else { self.random.below(200) };
        let (number, tag) = (self.count, self.random.pick(&TAGS));
        // Values lie on both sides of what goes to blob files, and not all of them can be compressed.
        let text = if self.random.chance(50) { "x".repeat(length) } else { self.letters(length) };
        let tag = serde_json::to_string(tag).unwrap();
        let json = format!("{{\"n\": {number}, \"tag\":{tag},\"text\":\"{text}\"}}");
        let vectors = match self.random.below(10) {
            0 => Vec::new(),
            1 => ["title", "text.0"].map(|path| (path.to_owned(), self.vector())).to_vec(),
            _ => vec![(String::new(), self.vector())],
        };
        let ttl = self.random.chance(25).then(|| Duration::from_millis(1 + self.random.draw() % 600_000));
        let given = self.random.chance(5).then(|| super::START - self.random.below(1_000_000) as i64);
        let condition = self.condition(&key, model);
        Change::Put(PutChange { key, json, vectors, ttl, condition, created_at: given, updated_at: given })
    }

    fn letters(&mut self, length: usize) -> String {
        (0..length).map(|_| char::from(b'A' + self.random.below(26) as u8)).collect()
    }

    /// From so few values that equal vectors and equal scores occur; sometimes zero.
    pub fn vector(&mut self) -> Vec<f32> {
        if self.random.chance(2) {
            return vec![0.0; DIMS];
        }
        let coarse = self.random.chance(30);
        let step = if coarse { 1.0 } else { 0.01 };
        let range = if coarse { 3 } else { 201 };
        (0..DIMS).map(|_| (self.random.below(range) as f32 - (range / 2) as f32) * step).collect()
    }
}
