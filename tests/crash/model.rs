//! What a store must be: a map from (namespace, key) to item, with versions, times and expiry computed from the
//! documented rules. Cheap to clone, so a test keeps the state after every operation.
//!
//! Invariants:
//! * Versions are log sequence numbers, one for each operation that changes something. Touches that wait are written
//!   first, in a frame of their own.
//! * A failed condition changes nothing, and neither does a write for which a quota has no room.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use vecmem::{Condition, FieldVector, Item, Namespace, Scope, Version, WriteResult};

use super::operations::{Change, Operation, Outcome, PutChange, QUOTAS};

pub type Key = (Namespace, String);

const DAY: i64 = 24 * 3_600 * 1_000_000;

#[derive(Clone, Debug, Default)]
pub struct Model {
    pub items: BTreeMap<Key, Arc<Item>>,
    /// Import marks by source.
    pub marks: BTreeMap<String, String>,
    /// What the import of each mark has written, and the LSN of the mark; `None` for the mark of a batch.
    reaches: BTreeMap<String, (Option<BTreeSet<Namespace>>, u64)>,
    pub settings: BTreeMap<String, String>,
    /// The last one given out.
    pub lsn: u64,
    newest_clock: i64,
    last_update: i64,
    touches: Vec<(Key, Version)>,
    /// Whether some items come from elsewhere, so that the texts that they embed are not known.
    pub foreign: bool,
}

/// The rows of an import under way: each with its time if the clock gives it, and the item it replaces, as of the
/// beginning.
pub struct Rows {
    rows: Vec<(PutChange, Option<i64>, Option<Arc<Item>>)>,
    mark: Option<(String, String)>,
    reach: Option<BTreeSet<Namespace>>,
    /// The LSN of the mark that this one replaces.
    replaced_mark: Option<u64>,
    clock: i64,
}

/// The writes of one frame as they are worked out; kept if all conditions hold.
struct Frame {
    next: Model,
    query_time: i64,
    clock: i64,
}

impl Model {
    /// What a store holds that somebody else has written.
    pub fn found(items: Vec<Item>, lsn: u64, clock: i64) -> Self {
        let items = items.into_iter().map(|item| ((item.namespace.clone(), item.key.clone()), Arc::new(item)));
        Self { items: items.collect(), lsn, newest_clock: clock, foreign: true, ..Self::default() }
    }

    /// The same data in a new process: what waited in memory is gone.
    pub fn reopened(&self) -> Self {
        Self { last_update: 0, touches: Vec::new(), ..self.clone() }
    }

    /// What expiry is measured with.
    pub fn query_time(&self, clock: i64) -> i64 {
        clock.max(self.newest_clock)
    }

    /// What a crash may leave of an operation on this state: what it carries along, and nothing of its own.
    pub fn with_touches_only(&self, clock: i64) -> Self {
        let mut touched = self.clone();
        touched.apply(&Operation::Flush, clock);
        touched
    }

    /// The same with other settings: they are durable at once, whatever is lost of the log.
    pub fn with_settings(self, settings: &BTreeMap<String, String>) -> Self {
        Self { settings: settings.clone(), ..self }
    }

    /// Reads that wanted to push an expiry back have no effect.
    pub fn drop_touches(&mut self) {
        self.touches.clear();
    }

    /// Unexpired items in key order.
    pub fn living(&self, clock: i64) -> impl Iterator<Item = &Arc<Item>> {
        let now = self.query_time(clock);
        self.items.values().filter(move |item| !is_expired(item, now))
    }

    /// Does what the store does at the time `clock`, and says what it answers.
    pub fn apply(&mut self, operation: &Operation, clock: i64) -> Outcome {
        match operation {
            Operation::Write(change) => self.batch(std::slice::from_ref(change), None, clock),
            Operation::Batch(changes, mark) => self.batch(changes, mark.as_ref(), clock),
            Operation::DeleteRange(scope) | Operation::Purge(scope) => {
                self.frame(clock, |frame| {
                    frame.next.items.retain(|(namespace, _), _| !covers(scope, namespace));
                    frame.next.lsn += 1;
                    frame.next.forget_covered(scope);
                    Some(())
                });
                Outcome::Done
            }
            Operation::Import(puts, source) => {
                let mark = source.as_deref().map(|source| mark_of(source, puts.len()));
                let changes: Vec<Change> = puts.iter().cloned().map(Change::Put).collect();
                let reach = source.as_deref().map(|source| self.reach_with(source, puts));
                if self.batch(&changes, mark.as_ref(), clock) == Outcome::QuotaExceeded {
                    return Outcome::QuotaExceeded;
                }
                if let (Some(source), Some(reach)) = (source, reach) {
                    self.reaches.insert(source.clone(), (reach, self.lsn));
                }
                Outcome::Done
            }
            Operation::DeleteTagged(scope, tag) => {
                let tag = serde_json::to_string(tag).unwrap();
                let is_tagged =
                    |item: &Item| covers(scope, &item.namespace) && item.value.contains(&format!("\"tag\":{tag}"));
                self.prune(clock, |living| living.into_iter().filter(|item| is_tagged(item)).collect())
            }
            Operation::KeepNewest(scope, n) => self.prune(clock, |mut living| {
                living.retain(|item| covers(scope, &item.namespace));
                living.sort_by_key(|item| {
                    (item.namespace.clone(), std::cmp::Reverse((item.updated_at, item.version.to_u64())))
                });
                let mut old = Vec::new();
                for of_one in living.chunk_by(|one, next| one.namespace == next.namespace) {
                    old.extend(of_one.iter().skip(*n).cloned());
                }
                old
            }),
            Operation::Rename(from, to) => self.rename(from, to, clock),
            Operation::Read(key) => self.read(key, clock),
            Operation::Sweep | Operation::Compact => self.sweep(clock),
            Operation::Flush | Operation::Seal => {
                self.frame(clock, |_| Some(()));
                Outcome::Done
            }
            Operation::Setting(name, json) => {
                self.settings.remove(*name);
                self.settings.extend(json.iter().map(|json| ((*name).to_owned(), json.clone())));
                Outcome::Done
            }
            Operation::Advance(_) | Operation::Graph(_) => Outcome::Done,
        }
    }

    fn frame<T>(&mut self, clock: i64, act: impl FnOnce(&mut Frame) -> Option<T>) -> Option<T> {
        let mut frame = Frame { next: self.clone(), query_time: self.query_time(clock), clock };
        if frame.next.last_update > clock + DAY {
            frame.next.last_update = 0;
        }
        let touches = std::mem::take(&mut frame.next.touches);
        let extended: Vec<(Key, i64)> = touches.iter().filter_map(|touch| frame.extended(touch)).collect();
        frame.next.lsn += extended.len() as u64;
        let Some(done) = act(&mut frame) else {
            // Touches go on waiting, but for those that have nothing to do any more.
            self.touches.retain(|(key, _)| extended.iter().any(|(touched, _)| touched == key));
            return None;
        };
        if frame.next.lsn == self.lsn {
            self.touches.clear();
            return Some(done);
        }
        // Touches come first: a write of the same frame replaces what they touched.
        for (key, expires_at) in extended {
            let touched = self.items.get(&key).map(|item| item.version);
            if let Some(item) = frame.next.items.get_mut(&key).filter(|item| Some(item.version) == touched) {
                Arc::make_mut(item).expires_at = Some(expires_at);
            }
        }
        frame.next.newest_clock = frame.query_time;
        *self = frame.next;
        Some(done)
    }

    fn batch(&mut self, changes: &[Change], mark: Option<&(String, String)>, clock: i64) -> Outcome {
        let (before, limit) = (self.clone(), self.quota());
        let mut is_refused = false;
        let written = self.frame(clock, |frame| {
            let results = changes.iter().enumerate().map(|(index, change)| {
                let superseded = changes[index + 1..].iter().any(|later| later.key() == change.key());
                frame.change(change, superseded, &before)
            });
            let results = results.collect::<Option<Vec<_>>>()?;
            if let Some((source, json)) = mark {
                frame.mark(source, json);
            }
            let items = frame.next.items.len();
            is_refused = items > before.items.len() && limit.is_some_and(|limit| items > limit);
            (!is_refused).then_some(results)
        });
        let failed = if is_refused { Outcome::QuotaExceeded } else { Outcome::ConditionFailed };
        written.map_or(failed, Outcome::Written)
    }

    /// The most items that the store may hold.
    pub fn quota(&self) -> Option<usize> {
        let quotas: serde_json::Value = serde_json::from_str(self.settings.get(QUOTAS)?).unwrap();
        Some(quotas[0]["items"].as_u64().unwrap() as usize)
    }

    /// What an import of `source` has written, with `puts`, if that is known.
    fn reach_with(&self, source: &str, puts: &[PutChange]) -> Option<BTreeSet<Namespace>> {
        let before = self.reaches.get(source).map_or(Some(BTreeSet::new()), |(reach, _)| reach.clone())?;
        Some(before.into_iter().chain(puts.iter().map(|put| put.key.0.clone())).collect())
    }

    /// A range delete deletes the marks of imports that have written nothing outside of it.
    fn forget_covered(&mut self, scope: &Scope) {
        let is_covered = |reach: &Option<BTreeSet<Namespace>>| match reach.as_ref().filter(|reach| !reach.is_empty()) {
            Some(reach) => reach.iter().all(|namespace| covers(scope, namespace)),
            None => *scope == Scope::Store,
        };
        let covered = self.reaches.iter().filter(|(_, (reach, _))| is_covered(reach)).map(|(source, _)| source.clone());
        for source in covered.collect::<Vec<_>>() {
            self.lsn += 1;
            self.marks.remove(&source);
            self.reaches.remove(&source);
        }
    }

    /// An import looks at what it replaces, and takes the times of its rows.
    pub fn begin_import(&mut self, puts: &[PutChange], source: Option<&str>, clock: i64) -> Rows {
        if self.last_update > clock + DAY {
            self.last_update = 0;
        }
        let last = |(index, put): &(usize, &PutChange)| puts[index + 1..].iter().all(|later| later.key != put.key);
        let kept: Vec<&PutChange> = puts.iter().enumerate().filter(last).map(|(_, put)| put).collect();
        let mut rows = Vec::new();
        for put in kept {
            let given = put.updated_at.is_none().then(|| self.next_update(clock));
            rows.push((put.clone(), given, self.items.get(&put.key).cloned()));
        }
        let mark = source.map(|source| mark_of(source, puts.len()));
        let reach = source.and_then(|source| self.reach_with(source, puts));
        let replaced_mark = source.and_then(|source| self.reaches.get(source)).map(|(_, lsn)| *lsn);
        Rows { rows, mark, reach, replaced_mark, clock }
    }

    /// The import commits; keys that were `written` since it began are put again.
    pub fn end_import(&mut self, rows: Rows, written: impl Fn(&Key) -> bool, clock: i64) {
        let begun_at = self.query_time(rows.clock);
        let mut frame = Frame { query_time: self.query_time(clock), clock, next: self.clone() };
        let mut again = Vec::new();
        for (put, given, replaced) in &rows.rows {
            if written(&put.key) {
                frame.next.lsn += 1;
                again.push(put);
                continue;
            }
            let current = replaced.as_ref().filter(|item| !is_expired(item, begun_at));
            let updated_at = given.map(|given| replaced.iter().fold(given, |at, old| at.max(old.updated_at + 1)));
            frame.put(&PutChange { updated_at: updated_at.or(put.updated_at), ..put.clone() }, None, current);
        }
        let newest_mark = |source: &String| self.reaches.get(source).map(|(_, lsn)| *lsn);
        if let Some((source, json)) = rows.mark.filter(|(source, _)| newest_mark(source) == rows.replaced_mark) {
            frame.mark(&source, &json);
            let lsn = frame.next.lsn;
            frame.next.reaches.insert(source, (rows.reach, lsn));
        }
        for put in again {
            let newest = self.items.get(&put.key);
            frame.put(put, newest, newest.filter(|item| !is_expired(item, frame.query_time)));
        }
        frame.next.newest_clock = frame.query_time;
        *self = frame.next;
    }

    /// Deletes those of the living items that `choose` chooses, in one frame.
    fn prune(&mut self, clock: i64, choose: impl FnOnce(Vec<Arc<Item>>) -> Vec<Arc<Item>>) -> Outcome {
        let chosen = choose(self.living(clock).cloned().collect());
        self.frame(clock, |frame| {
            for item in &chosen {
                frame.next.items.remove(&(item.namespace.clone(), item.key.clone()));
                frame.next.lsn += 1;
            }
            Some(())
        });
        Outcome::Pruned(chosen.len() as u64)
    }

    /// Moves the items of a scope in one frame, the expired ones too unless something stands in their place. It is
    /// refused if there are living items in the new scope.
    fn rename(&mut self, from: &Scope, to: &Namespace, clock: i64) -> Outcome {
        let (old, target) = match from {
            Scope::Namespace(old) => (old, Scope::Namespace(to.clone())),
            Scope::Prefix(old) => (old, Scope::Prefix(to.clone())),
            Scope::Store => unreachable!("the generator draws no rename of the store"),
        };
        if self.living(clock).any(|item| covers(&target, &item.namespace)) {
            return Outcome::ConditionFailed;
        }
        let now = self.query_time(clock);
        let renamed = |item: &Item| {
            let labels = [to.labels(), item.namespace.labels().split_off(old.labels().len())].concat();
            (Namespace::new(labels).unwrap(), item.key.clone())
        };
        let mut moved: Vec<Arc<Item>> =
            self.items.values().filter(|item| covers(from, &item.namespace)).cloned().collect();
        moved.retain(|item| !is_expired(item, now) || !self.items.contains_key(&renamed(item)));
        moved.sort_by_key(|item| item.version.to_u64());
        self.frame(clock, |frame| {
            for item in &moved {
                frame.next.items.remove(&(item.namespace.clone(), item.key.clone()));
            }
            frame.next.lsn += moved.len() as u64;
            for item in &moved {
                frame.next.lsn += 1;
                let key = renamed(item);
                let version = Version::from_u64(frame.next.lsn);
                let item = Item { namespace: key.0.clone(), version, ..Item::clone(item) };
                frame.next.items.insert(key, Arc::new(item));
            }
            Some(())
        });
        Outcome::Pruned(moved.len() as u64)
    }

    fn next_update(&mut self, clock: i64) -> i64 {
        self.last_update = clock.max(self.last_update + 1);
        self.last_update
    }

    fn read(&mut self, key: &Key, clock: i64) -> Outcome {
        let now = self.query_time(clock);
        let found = self.items.get(key).filter(|item| !is_expired(item, now)).cloned();
        if let Some(item) = &found
            && let (Some(ttl), Some(expires_at)) = (item.ttl, item.expires_at)
            && is_worth_a_touch(ttl, now + ttl - expires_at)
        {
            self.touches.push((key.clone(), item.version));
        }
        Outcome::Read(found.map(|item| Box::new(Item::clone(&item))))
    }

    fn sweep(&mut self, clock: i64) -> Outcome {
        let now = self.query_time(clock);
        let expired: Vec<Key> =
            self.items.iter().filter(|(_, item)| is_expired(item, now)).map(|(key, _)| key.clone()).collect();
        if !expired.is_empty() {
            self.frame(clock, |frame| {
                for key in &expired {
                    frame.next.items.remove(key);
                    frame.next.lsn += 1;
                }
                Some(())
            });
        }
        Outcome::Swept(expired.len() as u64)
    }
}

impl Frame {
    /// The new expiry that a touch gives its item, if it still does something.
    fn extended(&self, (key, version): &(Key, Version)) -> Option<(Key, i64)> {
        let item = self.next.items.get(key).filter(|item| item.version == *version)?;
        let (ttl, expires_at) = (item.ttl?, item.expires_at?);
        let extended = self.query_time + ttl;
        let moves = !is_expired(item, self.query_time) && is_worth_a_touch(ttl, extended - expires_at);
        moves.then(|| (key.clone(), extended))
    }

    /// `None` when the condition fails.
    fn change(&mut self, change: &Change, superseded: bool, before: &Model) -> Option<WriteResult> {
        let newest = before.items.get(change.key());
        let current = newest.filter(|item| !is_expired(item, self.query_time));
        let holds = match change.condition() {
            Condition::Always => true,
            Condition::IfAbsent => current.is_none(),
            Condition::IfVersion(version) => current.is_some_and(|item| item.version == version),
        };
        if !holds {
            return None;
        }
        Some(match change {
            _ if superseded => WriteResult::Superseded,
            Change::Put(put) => {
                self.put(put, newest, current);
                WriteResult::Put(Version::from_u64(self.next.lsn))
            }
            Change::Delete { key, .. } => {
                self.next.lsn += u64::from(self.next.items.remove(key).is_some());
                WriteResult::Deleted(current.is_some())
            }
        })
    }

    fn put(&mut self, put: &PutChange, newest: Option<&Arc<Item>>, current: Option<&Arc<Item>>) {
        self.next.lsn += 1;
        let updated_at = put.updated_at.unwrap_or_else(|| self.tick(newest.map(|item| item.updated_at)));
        let ttl = put.ttl.map(|ttl| ttl.as_micros() as i64);
        let vectors = put
            .vectors
            .iter()
            .map(|(path, values)| FieldVector { path: path.as_str().into(), values: values.clone().into() });
        let item = Item {
            namespace: put.key.0.clone(),
            key: put.key.1.clone(),
            value: put.json.as_str().into(),
            created_at: put.created_at.or(current.map(|item| item.created_at)).unwrap_or(updated_at),
            updated_at,
            ttl,
            expires_at: ttl.map(|ttl| self.query_time + ttl),
            version: Version::from_u64(self.next.lsn),
            vectors: vectors.collect(),
        };
        self.next.items.insert(put.key.clone(), Arc::new(item));
    }

    fn mark(&mut self, source: &str, json: &str) {
        self.next.lsn += 1;
        // Marks of one source replace each other and so have times that rise; here it is only their tick that matters.
        self.tick(None);
        self.next.marks.insert(source.to_owned(), json.to_owned());
        self.next.reaches.insert(source.to_owned(), (None, self.next.lsn));
    }

    fn tick(&mut self, replaced: Option<i64>) -> i64 {
        self.next.next_update(self.clock).max(replaced.map_or(i64::MIN, |replaced| replaced + 1))
    }
}

/// The progress that a whole import keeps.
fn mark_of(source: &str, lines: usize) -> (String, String) {
    let json = format!("{{\"lines\":{lines},\"imported\":{lines},\"skipped\":0,\"expired\":0,\"complete\":true}}");
    (source.to_owned(), json)
}

pub fn is_expired(item: &Item, now: i64) -> bool {
    item.expires_at.is_some_and(|expires_at| expires_at <= now)
}

/// Whether a scope covers a namespace, by labels.
pub fn covers(scope: &Scope, namespace: &Namespace) -> bool {
    match scope {
        Scope::Namespace(one) => one == namespace,
        Scope::Prefix(prefix) => namespace.labels().starts_with(&prefix.labels()),
        Scope::Store => true,
    }
}

/// Whether a refresh that gains so many microseconds is written: from a hundredth of the ttl, below a minute always.
fn is_worth_a_touch(ttl: i64, gained: i64) -> bool {
    gained >= if ttl < 60_000_000 { 1 } else { ttl / 100 }
}
