//! Figures of files: import, bytes on disk, the log, reopening, replay, range deletes.

use std::time::{Duration, Instant};

use vecmem::{Batch, Durability, Metric, Namespace, Options, Put, Query, Scope, Store, Tuning};

use crate::common::{
    Clusters, Rows, Times, compacted, dialogues, directory, fill, import as bulk_import, is_test, made_up, open,
    options, size, timed, unmerged,
};
use crate::writes::bulk;
use crate::{Table, show};

/// What the rows are worth without an engine: f32 vectors and JSON.
fn raw_bytes(rows: &Rows) -> f64 {
    rows.rows.iter().map(|row| (4 * row.vector.len() + row.json.len()) as f64).sum()
}

/// Waits until flushes and merges have come to rest.
fn at_rest(store: &Store) {
    let mut last = (0, 0, Instant::now());
    loop {
        let stats = store.stats().expect("the stats are there");
        let now = (stats.internals.flushes, stats.internals.merges);
        if stats.memory.frozen_memtables > 0 || now != (last.0, last.1) {
            last = (now.0, now.1, Instant::now());
        } else if last.2.elapsed() > Duration::from_millis(size(3_000, 300) as u64) {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Import to a durable compacted store; its bytes; the bytes after a tenfold overwrite; the log when idle.
pub fn import(table: &mut Table) {
    let rows = dialogues(size(usize::MAX, 300));
    let dims = rows.rows[0].vector.len();
    let mut fills = |what: &str, target: &str, fill: &dyn Fn(&Store)| {
        let mut runs = Vec::new();
        for _ in 0..size(3, 1) {
            let directory = directory();
            let (time, store) = timed(|| {
                let store = open(directory.path(), Options::with_vectors(dims, Metric::Cosine));
                fill(&store);
                store.compact().expect("the store compacts");
                store
            });
            runs.push((time, store, directory));
        }
        let fastest = Times::of(runs.iter().map(|(time, ..)| *time).collect());
        let measured = format!("{} (median {})", show(fastest.percentile(0.0)), show(fastest.median()));
        table.row(what, target, &measured, &rows.what);
        runs
    };
    drop(fills("bulk import to a durable, compacted store", "<= 2.5 s", &|store| bulk_import(store, &rows.rows)));
    let batches = "import in batches of 4,096 to a durable, compacted store";
    let mut runs = fills(batches, "<= 6 s", &|store| fill(store, &rows.rows, 4_096));
    let Some((_, store, _directory)) = runs.pop() else { return };
    drop(runs);
    let kept = |store: &Store| {
        let stats = store.stats().expect("the stats are there");
        (stats.size.segment_bytes + stats.size.derived_bytes) as f64 / raw_bytes(&rows)
    };
    table.row(
        "segments and derived files / (f32 vectors + JSON)",
        "<= 1.5x",
        &format!("{:.2}x", kept(&store)),
        &rows.what,
    );
    for _ in 0..10 {
        fill(&store, &rows.rows, 4_096);
    }
    at_rest(&store);
    let at_once = kept(&store);
    // An idle store lets go of what only the manifest before the newest one names.
    std::thread::sleep(if is_test() { Duration::ZERO } else { Tuning::default().idle_checkpoint });
    at_rest(&store);
    let measured = format!("{:.2}x ({at_once:.2}x before idle)", kept(&store));
    table.row("the same after a 10-fold overwrite, merged in background", "<= 2.5x", &measured, &rows.what);
    let log = store.stats().map_or(0, |stats| stats.log.bytes) >> 20;
    table.row("log and reserve when idle", "<= 64 MiB", &format!("{log} MiB"), &rows.what);
}

/// Opening a compacted store, and the first query, which checks the blocks it reads.
pub fn reopen(table: &mut Table) {
    let rows = dialogues(size(usize::MAX, 300));
    let directory = directory();
    drop(compacted(directory.path(), &rows.rows));
    let dims = rows.rows[0].vector.len();
    let (mut opens, mut in_one, mut in_all) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..size(15, 2) {
        for (scope, times) in [(Scope::from(&rows.rows[0].namespace), &mut in_one), (Scope::Store, &mut in_all)] {
            let (time, store) = timed(|| open(directory.path(), Options::with_vectors(dims, Metric::Cosine)));
            opens.push(time);
            let query = Query::new(scope).vector(rows.rows[7].vector.as_slice());
            times.push(timed(|| store.search(&query).expect("the search answers")).0);
            drop(timed(|| store.close()));
        }
    }
    let mut row = |what: &str, goal: &str, times: Vec<Duration>| {
        let times = Times::of(times);
        let measured = format!("{} (fastest {})", show(times.median()), show(times.percentile(0.0)));
        table.row(what, goal, &measured, &format!("{}, files cached", rows.what));
    };
    row("reopen of a compacted store", "<= 20 ms", opens);
    row("first query after it, one namespace", "<= 50 ms", in_one);
    row("first query after it, the whole store", "<= 50 ms", in_all);
}

/// Opening with 64 MiB of log to replay: as single puts, and as batches.
pub fn replay(table: &mut Table) {
    let bytes = (size(64 << 20, 1 << 20)) as u64;
    let rows = made_up(size(36_000, 600), 10);
    for (what, batch) in [("single puts", 1), ("batches of 1,000", 1_000)] {
        let directory = directory();
        let store = open(directory.path(), bulk().tuning(unmerged(1 << 30)));
        let mut logged = 0;
        let fits = rows.rows.iter().take_while(|row| {
            logged += (4 * row.vector.len() + row.json.len() + 128) as u64;
            logged <= bytes
        });
        fill(&store, fits, batch);
        store.close().expect("the store closes");
        drop(store);
        let opens: Vec<Duration> = (0..size(5, 1))
            .map(|_| {
                let (time, store) = timed(|| open(directory.path(), options().tuning(unmerged(1 << 30))));
                store.close().expect("the store closes");
                time
            })
            .collect();
        let times = Times::of(opens);
        let measured = format!("{} (fastest {})", show(times.median()), show(times.percentile(0.0)));
        table.row(&format!("replay of {} MiB of log, {what}", bytes >> 20), "<= 1 s", &measured, &rows.what);
    }
}

/// Deleting a range of a million rows in a compacted store.
pub fn delete_range(table: &mut Table) {
    let rows = size(1_000_000, 2_000);
    let (mut deletes, mut peace) = (Vec::new(), Vec::new());
    let mut clusters = Clusters::new(7);
    let vector = clusters.vector()[..8].to_vec();
    for _ in 0..size(3, 1) {
        let directory = directory();
        let open_as = |durability| {
            let tuning = Tuning { memtable_rows: 65_536, ..Tuning::default() };
            open(directory.path(), Options::with_vectors(8, Metric::Dot).durability(durability).tuning(tuning))
        };
        let store = open_as(Durability::Manual);
        for start in (0..rows).step_by(10_000) {
            let mut batch = Batch::new();
            for number in start..rows.min(start + 10_000) {
                let namespace = Namespace::new(["gone", &format!("u{:05}", number / 100)]).expect("a namespace");
                batch.put(Put::new(&namespace, format!("{number}"), "{\"n\":1}").vector(vector.as_slice()));
            }
            store.batch(batch).expect("the batch is written");
        }
        store.compact().expect("the store compacts");
        store.close().expect("the store closes");
        drop(store);
        let store = open_as(Durability::Sync);
        let kept = Namespace::new(["kept"]).expect("a namespace");
        for number in 0..20 {
            let put = Put::new(&kept, format!("{number}"), "{}");
            peace.push(timed(|| store.put(put).expect("the put is written")).0);
        }
        let scope = Scope::prefix(["gone"]).expect("a prefix");
        deletes.push(timed(|| store.delete_range(&scope).expect("the range is deleted")).0);
    }
    let times = Times::of(deletes);
    let measured = format!("{} (fastest {})", show(times.median()), show(times.percentile(0.0)));
    let data = format!("{rows} rows, compacted, Sync; a put takes {}", show(Times::of(peace).median()));
    table.row("delete_range of a million rows", "<= 10 ms", &measured, &data);
}
