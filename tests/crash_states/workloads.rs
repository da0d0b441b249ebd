//! The workloads whose crash states are explored: each is about one thing that the engine does to its disk.
//!
//! Invariant: a workload is short, so that every prefix of its disk operations can be explored; what it needs first is
//! done before it is watched.

use std::path::Path;
use std::time::Duration;

use vecmem::Durability::{self, Manual, Periodic, Sync};
use vecmem::testing::Clock;
use vecmem::{IterateQuery, Namespace, Options, ReadOptions, Scope};

use crate::crash::model::Model;
use crate::crash::operations::{Change, Operation, SETTINGS, TAGS, quota};
use crate::run::Recorder;

/// One row of the table.
pub struct Workload {
    pub name: &'static str,
    pub durability: Durability,
    pub act: fn(&mut Recorder),
}

const fn row(name: &'static str, durability: Durability, act: fn(&mut Recorder)) -> Workload {
    Workload { name, durability, act }
}

pub static WORKLOADS: &[Workload] = &[
    row("put", Sync, put),
    row("batch", Sync, batch),
    row("update", Sync, update),
    row("delete", Sync, delete),
    row("delete-prefix", Sync, delete_prefix),
    row("prune", Sync, prune),
    row("rename", Sync, rename),
    row("expiry", Sync, expiry),
    row("touch", Sync, touch),
    row("flush", Sync, flush),
    row("compact", Sync, compact),
    row("log-rotation", Sync, log_rotation),
    row("import", Sync, import),
    row("purge", Sync, purge),
    row("split", Sync, split),
    row("large-values", Sync, large_values),
    row("graph", Sync, graph),
    row("settings", Sync, settings),
    row("quota", Sync, quotas),
    row("vector-space", Sync, vector_space),
    row("close", Sync, close),
    row("upgrade-1", Sync, upgrade_first),
    row("upgrade-2", Sync, upgrade_second),
    row("mixed", Sync, mixed),
    row("mixed-split", Sync, mixed_split),
    row("put", Periodic, put),
    row("delete", Periodic, delete),
    row("prune", Periodic, prune),
    row("flush", Periodic, flush),
    row("log-rotation", Periodic, log_rotation),
    row("import", Periodic, import),
    row("split", Periodic, split),
    row("mixed", Periodic, mixed),
    row("batch", Manual, batch),
    row("delete", Manual, delete),
    row("flush", Manual, flush),
    row("log-rotation", Manual, log_rotation),
    row("import", Manual, import),
    row("split", Manual, split),
    row("mixed", Manual, mixed),
];

/// A store with so many items, all of them flushed.
fn begin(on: &mut Recorder, puts: usize) {
    on.open();
    on.puts(puts, |_| {});
    on.step(&Operation::Seal);
}

fn put(on: &mut Recorder) {
    on.watch();
    on.open();
    on.puts(4, |_| {});
}

fn batch(on: &mut Recorder) {
    begin(on, 5);
    on.watch();
    for number in 0..4 {
        let count = 2 + on.generator.random.below(4);
        let mut changes = Vec::new();
        for _ in 0..count {
            if let Operation::Write(change) = on.generator.plain_put(&on.model) {
                changes.push(change);
            }
        }
        if let Some(key) = on.model.items.keys().next().cloned() {
            changes.push(Change::Delete { key, condition: vecmem::Condition::Always });
        }
        let mark = ("file.jsonl".to_owned(), format!("{{\"done\":{number}}}"));
        on.step(&Operation::Batch(changes, (number % 2 == 0).then_some(mark)));
    }
}

fn update(on: &mut Recorder) {
    begin(on, 6);
    on.watch();
    let keys: Vec<_> = on.model.items.keys().cloned().collect();
    for key in keys.iter().chain(&keys).take(8) {
        on.puts(1, |put| put.key = key.clone());
    }
}

fn delete(on: &mut Recorder) {
    begin(on, 8);
    on.puts(4, |_| {});
    on.watch();
    on.deletes(3);
    on.step(&Operation::Seal);
    on.deletes(3);
}

fn delete_prefix(on: &mut Recorder) {
    begin(on, 9);
    on.puts(3, |_| {});
    on.watch();
    for _ in 0..3 {
        let scope = on.generator.scope();
        on.step(&Operation::DeleteRange(scope));
        on.puts(1, |_| {});
    }
    on.step(&Operation::DeleteRange(Scope::Store));
    on.puts(1, |_| {});
}

fn prune(on: &mut Recorder) {
    begin(on, 9);
    on.puts(5, |_| {});
    on.watch();
    on.step(&Operation::DeleteTagged(Scope::Store, TAGS[0]));
    on.puts(2, |_| {});
    on.step(&Operation::DeleteTagged(Scope::Store, TAGS[1]));
    on.step(&Operation::Seal);
    on.step(&Operation::KeepNewest(Scope::Store, 1));
    on.puts(1, |_| {});
}

fn rename(on: &mut Recorder) {
    begin(on, 6);
    on.puts(4, |_| {});
    on.watch();
    let target = |label: &str| Namespace::new([label]).unwrap();
    for (from, to) in [("m", "renamed"), ("a", "twice"), ("twice", "a"), ("z", "once")] {
        on.step(&Operation::Rename(Scope::Prefix(target(from)), target(to)));
        on.puts(1, |_| {});
    }
}

fn expiry(on: &mut Recorder) {
    on.open();
    on.puts(6, |put| put.ttl = Some(Duration::from_secs(60)));
    on.step(&Operation::Seal);
    on.puts(4, |put| put.ttl = Some(Duration::from_secs(90)));
    on.watch();
    for _ in 0..2 {
        on.step(&Operation::Advance(Duration::from_secs(61)));
        on.step(&Operation::Sweep);
        on.puts(1, |_| {});
    }
}

fn touch(on: &mut Recorder) {
    on.open();
    on.puts(6, |put| put.ttl = Some(Duration::from_secs(600)));
    on.step(&Operation::Seal);
    on.watch();
    for _ in 0..4 {
        on.step(&Operation::Advance(Duration::from_secs(30)));
        let place = on.generator.random.below(on.model.items.len());
        let key = on.model.items.keys().nth(place).cloned();
        key.into_iter().for_each(|key| on.step(&Operation::Read(key)));
        on.puts(1, |_| {});
    }
    on.step(&Operation::Flush);
}

fn flush(on: &mut Recorder) {
    on.open();
    on.watch();
    for _ in 0..2 {
        on.puts(4, |_| {});
        on.step(&Operation::Seal);
    }
    on.puts(1, |_| {});
}

fn compact(on: &mut Recorder) {
    begin(on, 6);
    on.puts(6, |_| {});
    on.step(&Operation::Seal);
    on.deletes(4);
    on.watch();
    on.step(&Operation::Compact);
    on.puts(1, |_| {});
}

fn log_rotation(on: &mut Recorder) {
    on.open();
    on.puts(1, |_| {});
    on.watch();
    let text = "y".repeat(900);
    on.puts(9, |put| put.json = format!("{{\"n\": 7, \"tag\":\"red\",\"text\":\"{text}\"}}"));
}

fn import(on: &mut Recorder) {
    begin(on, 5);
    on.watch();
    for source in [None, Some("another".to_owned())] {
        let mut rows = Vec::new();
        while rows.len() < 9 {
            if let Operation::Write(Change::Put(put)) = on.generator.plain_put(&on.model) {
                rows.push(put);
            }
        }
        on.step(&Operation::Import(rows, source));
    }
    on.puts(1, |_| {});
}

fn purge(on: &mut Recorder) {
    begin(on, 8);
    on.puts(4, |put| put.ttl = None);
    on.deletes(2);
    on.watch();
    let scope = on.generator.scope();
    on.step(&Operation::Purge(scope));
    on.puts(1, |_| {});
}

/// A shard above its cap is split, with rows in memory, deletes and large values on both sides.
fn split(on: &mut Recorder) {
    on.cap_shards(3);
    begin(on, 2);
    on.watch();
    let text = "z".repeat(200);
    on.puts(4, |put| put.json = format!("{{\"n\": 5, \"tag\":\"red\",\"text\":\"{text}\"}}"));
    on.deletes(1);
    on.step(&Operation::Seal);
    on.puts(3, |_| {});
    on.deletes(1);
    on.step(&Operation::Compact);
    on.puts(2, |_| {});
    on.step(&Operation::Seal);
    on.puts(1, |_| {});
    assert!(on.shards() > 1, "the workload splits a shard");
}

fn large_values(on: &mut Recorder) {
    on.open();
    on.watch();
    for _ in 0..2 {
        let text: String = (0..600).map(|_| char::from(b'a' + on.generator.random.below(26) as u8)).collect();
        on.puts(2, |put| put.json = format!("{{\"n\": 9, \"tag\":\"blue\",\"text\":\"{text}\"}}"));
        on.step(&Operation::Seal);
    }
    on.deletes(1);
    on.step(&Operation::Compact);
}

fn graph(on: &mut Recorder) {
    begin(on, 9);
    on.watch();
    on.step(&Operation::Graph(Scope::Store));
    on.puts(2, |_| {});
    on.deletes(2);
    on.step(&Operation::Compact);
}

fn settings(on: &mut Recorder) {
    begin(on, 3);
    on.watch();
    for (number, name) in [SETTINGS[0], SETTINGS[1], SETTINGS[0], SETTINGS[1]].into_iter().enumerate() {
        on.step(&Operation::Setting(name, (number < 3).then(|| format!("[{number}]"))));
        on.puts(1, |_| {});
    }
}

fn quotas(on: &mut Recorder) {
    begin(on, 4);
    on.watch();
    for limit in [6, 3, 5] {
        on.step(&quota(limit));
        on.puts(3, |_| {});
        let import = on.generator.import(&on.model);
        on.step(&import);
        on.deletes(2);
        on.step(&Operation::Seal);
    }
}

/// A store that was made without vectors gets a vector space.
fn vector_space(on: &mut Recorder) {
    let tuning = crate::crash::tuning();
    on.open_with(&Options::new().tuning(tuning));
    on.puts(4, |put| put.vectors.clear());
    on.watch();
    on.close();
    on.open();
    on.puts(3, |_| {});
    on.step(&Operation::Seal);
}

fn close(on: &mut Recorder) {
    begin(on, 4);
    on.watch();
    for _ in 0..3 {
        on.puts(2, |_| {});
        on.close();
        on.open();
    }
    on.puts(1, |_| {});
}

fn upgrade_first(on: &mut Recorder) {
    upgrade(on, "killed-8025b5b");
}

fn upgrade_second(on: &mut Recorder) {
    upgrade(on, "killed-2");
}

/// A store that an older version has written.
fn upgrade(on: &mut Recorder, folder: &str) {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    for entry in std::fs::read_dir(fixtures.join(folder)).expect("the fixtures are there") {
        let path = entry.expect("the fixtures are there").path();
        let name = path.file_name().and_then(|name| name.to_str()).expect("fixtures have plain names");
        on.storage.write_file(name, &std::fs::read(&path).expect("a fixture can be read"));
    }
    on.clock.advance(Duration::from_secs(360_000_200));
    let copy = on.storage.crash(vecmem::testing::Loss::None, 0);
    let store = crate::crash::history::open(&copy, &on.clock, &on.options).expect("a fixture opens");
    let everything = ReadOptions { include_vectors: true, include_expired: true, ..ReadOptions::default() };
    let query = IterateQuery::new(Scope::Store).limit(usize::MAX).options(everything);
    let items = store.iterate(&query, None).expect("a fixture can be read").items;
    let lsn = store.stats().expect("a fixture is open").log.visible_lsn;
    on.begin_with(Model::found(items, lsn, on.clock.now()));
    on.watch();
    on.open();
    on.puts(2, |_| {});
    on.step(&Operation::Seal);
    on.step(&Operation::Compact);
}

fn mixed_split(on: &mut Recorder) {
    on.cap_shards(3);
    mixed(on);
}

fn mixed(on: &mut Recorder) {
    begin(on, 4);
    on.watch();
    for _ in 0..25 {
        let operation = on.generator.operation(&on.model);
        on.step(&operation);
    }
}
