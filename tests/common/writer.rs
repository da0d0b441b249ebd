//! A process that writes until it is ended, and what its store must hold afterwards.
//!
//! Each thread of the process makes its own seeded operations on its own namespaces: puts, deletes, batches across
//! namespaces. It says what it begins, what was acknowledged, and which syncs returned. The store must then hold, for
//! each thread, the state after some number of its operations: no fewer than it was promised, no more than were begun.
//! So writes are kept or lost from the end, never in between, and batches are whole.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::Child;

use vecmem::{Batch, Durability, Namespace, Options, Put, Scope, Store};

use super::{Random, namespace, process};

const DIMS: usize = 4;
const KEYS: u64 = 30;
/// Operations of a thread between two syncs.
const SYNC_EVERY: u64 = 20;

/// What the process is to do.
#[derive(Clone, Copy, Debug)]
pub struct Job {
    pub durability: Durability,
    pub seed: u64,
    pub threads: u64,
}

/// The writes of one operation: where, and the value, or `None` for a delete.
type Writes = Vec<(Vec<String>, String, Option<String>)>;

/// What a thread's namespaces hold.
type State = BTreeMap<(Vec<String>, String), String>;

fn labels(thread: u64, part: u64) -> Vec<String> {
    vec![format!("thread {thread}"), format!("part {part}")]
}

/// Operation `number` of a thread.
fn operation(job: &Job, thread: u64, number: u64) -> Writes {
    let mut random = Random::new(job.seed ^ (thread << 48) ^ (number << 16));
    let writes = if random.chance(20) { 2 + random.below(5) } else { 1 };
    let mut write = || {
        let (place, key) = (labels(thread, random.below(2)), format!("k{}", random.below(KEYS)));
        // Large values lie in blob files.
        let bytes = *random.pick(&[10, 10, 100, 100, 3_000, 70_000]);
        let value = format!("{{\"seed\":{},\"n\":{number},\"pad\":\"{}\"}}", job.seed, "x".repeat(bytes));
        (place, key, random.chance(80).then_some(value))
    };
    let all: Writes = (0..writes).map(|_| write()).collect();
    // One write for each key: the last one counts.
    let last: BTreeMap<_, _> = all.into_iter().map(|(place, key, value)| ((place, key), value)).collect();
    last.into_iter().map(|((place, key), value)| (place, key, value)).collect()
}

fn apply(state: &mut State, writes: &Writes) {
    for (place, key, value) in writes {
        let address = (place.clone(), key.clone());
        match value {
            Some(value) => drop(state.insert(address, value.clone())),
            None => drop(state.remove(&address)),
        }
    }
}

fn options(durability: Durability) -> Options {
    Options::with_vectors(DIMS, vecmem::Metric::Cosine).durability(durability)
}

/// Starts the test `test` of this binary again, to do a job in a store.
pub fn start(test: &str, job: &Job, path: &Path) -> Child {
    let Job { durability, seed, threads } = job;
    let place = format!("{durability:?}:{seed}:{threads}:{}", path.display());
    process::start(test, Path::new(&place))
}

/// In the other process: does the job until the process is ended, or until the disk fails.
pub fn write_until_killed(place: &str) {
    let parts: Vec<&str> = place.splitn(4, ':').collect();
    let durability = match parts[0] {
        "Sync" => Durability::Sync,
        "Periodic" => Durability::Periodic,
        _ => Durability::Manual,
    };
    let job = Job { durability, seed: parts[1].parse().unwrap(), threads: parts[2].parse().unwrap() };
    let store = Store::open(parts[3], options(durability)).unwrap();
    // Ends the line that the test harness has begun.
    process::say("open");
    std::thread::scope(|scope| {
        for thread in 0..job.threads {
            let store = &store;
            scope.spawn(move || (0..).find(|&number| !write(store, &job, thread, number)));
        }
    });
}

/// Makes one operation, and says so. Returns whether the store goes on.
fn write(store: &Store, job: &Job, thread: u64, number: u64) -> bool {
    // Not `println`: the line leaves the process at once, whatever the test harness does.
    let say = |word: &str| writeln!(std::io::stdout(), "{word} {thread} {number}").is_ok();
    let writes = operation(job, thread, number);
    say("begun");
    let mut random = Random::new(number);
    let mut batch = Batch::new();
    for (place, key, value) in &writes {
        let place = Namespace::new(place).unwrap();
        match value {
            Some(value) => batch.put(Put::new(&place, key, value.as_str()).vector(random.vector(DIMS))),
            None => batch.delete(&place, key),
        };
    }
    if store.batch(batch).is_err() {
        return false;
    }
    say("acknowledged");
    if number % SYNC_EVERY == SYNC_EVERY - 1 {
        if store.sync().is_err() {
            return false;
        }
        say("synced");
    }
    // Some of the work of the background at moments that nobody chose.
    match (thread, number % 150) {
        (0, 60) => store.flush().is_ok(),
        (0, 149) => store.compact().is_ok(),
        _ => true,
    }
}

/// What one thread of a process has said: how many operations it began, and how many of them the store acknowledged and
/// synced.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Said {
    pub begun: u64,
    pub acknowledged: u64,
    pub synced: u64,
}

/// Listens to the process; after `lines` lines `end` is called, which ends it. Returns what each thread has said.
pub fn listen(child: &mut Child, lines: u64, mut end: impl FnMut(&mut Child)) -> Vec<Said> {
    let mut said: Vec<Said> = Vec::new();
    let (mut heard, mut is_ended) = (0, false);
    let mut reader = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while reader.read_line(&mut line).unwrap_or(0) > 0 {
        // The last line may be half.
        if line.ends_with('\n') {
            heard += u64::from(note(&mut said, &line));
        }
        line.clear();
        if heard >= lines && !is_ended {
            is_ended = true;
            end(child);
        }
    }
    let mut errors = String::new();
    let _ = child.stderr.take().map(|mut stderr| stderr.read_to_string(&mut errors));
    assert!(is_ended, "the other process ended by itself after {heard} lines: {errors}");
    child.wait().unwrap();
    said
}

/// Notes a line of the process; whether it was one of its words.
fn note(said: &mut Vec<Said>, line: &str) -> bool {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [word @ ("begun" | "acknowledged" | "synced"), thread, number] = words[..] else { return false };
    let (thread, count): (usize, u64) = (thread.parse().unwrap(), number.parse::<u64>().unwrap() + 1);
    said.resize(said.len().max(thread + 1), Said::default());
    match word {
        "begun" => said[thread].begun = count,
        "acknowledged" => said[thread].acknowledged = count,
        _ => said[thread].synced = count,
    }
    true
}

/// What the store must hold, over many processes.
#[derive(Default)]
pub struct Expected {
    states: BTreeMap<u64, State>,
}

/// What was found after a process had ended.
#[derive(Clone, Copy, Debug, Default)]
pub struct Found {
    /// Acknowledged operations that are there, and that are gone where the durability allows it.
    pub kept: u64,
    pub lost: u64,
}

impl Expected {
    /// Opens the store, and compares it with what was said. `all_acknowledged`: whether every acknowledged operation
    /// must be there; else every synced one.
    pub fn check(&mut self, path: &Path, job: &Job, said: &[Said], all_acknowledged: bool) -> Found {
        let store = Store::open(path, options(job.durability)).unwrap();
        let mut found = Found::default();
        for (thread, said) in said.iter().enumerate() {
            let thread = thread as u64;
            let least = if all_acknowledged { said.acknowledged } else { said.synced };
            let mut state = self.states.remove(&thread).unwrap_or_default();
            (0..least).for_each(|number| apply(&mut state, &operation(job, thread, number)));
            let there = contents(&store, thread);
            let mut at = least;
            while state != there {
                assert!(at < said.begun, "{job:?}, thread {thread}: {said:?}: {}", difference(&state, &there));
                apply(&mut state, &operation(job, thread, at));
                at += 1;
            }
            found.kept += at.min(said.acknowledged);
            found.lost += said.acknowledged.saturating_sub(at);
            self.states.insert(thread, state);
        }
        let problems = store.check(false).unwrap().problems;
        assert!(problems.is_empty(), "{job:?}: {problems:?}");
        store.close().unwrap();
        found
    }
}

/// What the store holds of a thread.
fn contents(store: &Store, thread: u64) -> State {
    let scope = Scope::Prefix(namespace([&format!("thread {thread}")]));
    let items = store.items(scope).map(Result::unwrap);
    items.map(|item| ((item.namespace.labels(), item.key), item.value.into())).collect()
}

/// Where two states differ, without the padding of the values.
fn difference(wanted: &State, found: &State) -> String {
    let short = |value: Option<&String>| value.map(|value| value.chars().take(40).collect::<String>());
    let all: std::collections::BTreeSet<_> = wanted.keys().chain(found.keys()).collect();
    let differing = all.into_iter().filter(|key| wanted.get(*key) != found.get(*key));
    let lines: Vec<String> = differing
        .map(|key| format!("{key:?}: wanted {:?}, found {:?}", short(wanted.get(key)), short(found.get(key))))
        .collect();
    lines.join("\n")
}
