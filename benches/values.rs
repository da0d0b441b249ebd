//! Values of 5 MB: put, flushed, got, filtered and merged, in blob files and, as a ratio in the same run, in the
//! segments themselves. Seeded data; run with `cargo bench --bench values`.
//!
//! Bytes written by a merge are those of the files that were not there before it.

mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use vecmem::testing::Random;
use vecmem::{Durability, Filter, Namespace, Options, Put, Query, Store, Tuning};

use common::{directory, is_test, median, open, random, size, timed, times, unmerged, user};

/// Values of each segment, and segments.
const EACH: usize = 4;
const SEGMENTS: usize = 6;

/// A JSON object of about `bytes` bytes: lines of a conversation, or letters that nothing can be made of.
fn json(random: &mut Random, bytes: usize, regular: bool) -> String {
    let mut text = String::with_capacity(bytes + 64);
    text.push_str("{\"kind\":\"note\",\"messages\":\"");
    while text.len() < bytes {
        if regular {
            let words = ["asked", "for a quiet table", "by the window", "and would rather", "walk", "than take a taxi"];
            text.push_str(words[random.below(words.len())]);
            text.push(' ');
        } else {
            text.push(random.letter());
        }
    }
    text.push_str("\"}");
    text
}

/// One way to keep the values.
struct Way {
    name: &'static str,
    tuning: Tuning,
    put: Vec<f64>,
    seal: Vec<f64>,
    get: Vec<f64>,
    /// For each value, of a listing whose filter no value passes.
    filter: Vec<f64>,
    merge: Vec<f64>,
    merge_bytes: u64,
    disk_bytes: u64,
}

impl Way {
    fn new(name: &'static str, blob_value_bytes: usize) -> Self {
        let tuning = Tuning { blob_value_bytes, ..unmerged(EACH) };
        let none = Vec::new;
        Self {
            name,
            tuning,
            put: none(),
            seal: none(),
            get: none(),
            filter: none(),
            merge: none(),
            merge_bytes: 0,
            disk_bytes: 0,
        }
    }

    fn run(&mut self, values: &[String]) {
        let directory = directory();
        let options = Options::new().durability(Durability::Periodic).tuning(self.tuning.clone());
        let store = open(directory.path(), options);
        let namespace: Namespace = user(1);
        let seconds = |took: Duration| took.as_secs_f64();
        let (put, ()) = timed(|| {
            for (number, value) in values.iter().enumerate() {
                store.put(Put::new(&namespace, format!("{number:03}"), value.as_str())).expect("the put is written");
            }
        });
        let (seal, ()) = timed(|| wait_for_flushes(&store));
        self.put.push(seconds(put));
        self.seal.push(seconds(put) + seconds(seal));
        let mut numbers = random(3);
        let got = times(values.len() * 4, || {
            let number = numbers.below(values.len());
            let item = store.get(&namespace, &format!("{number:03}")).expect("the item is read").expect("it is there");
            assert_eq!(item.value.len(), values[number].len());
        });
        self.get.push(seconds(got.median()));
        let none = Query::new(&namespace).limit(values.len()).filter(Filter::eq("kind", "letter"));
        let filtered = times(20, || assert!(store.list(&none).expect("the listing is read").hits.is_empty()));
        self.filter.push(seconds(filtered.median()) / values.len() as f64);
        let before = files(directory.path());
        let (merge, _) = timed(|| store.compact().expect("the store compacts"));
        self.merge.push(seconds(merge));
        let after = files(directory.path());
        self.merge_bytes = after.iter().filter(|(name, _)| !before.contains_key(*name)).map(|(_, bytes)| bytes).sum();
        self.disk_bytes = after.values().sum();
    }
}

/// Truth and blob files.
fn files(path: &Path) -> BTreeMap<String, u64> {
    let entries = std::fs::read_dir(path).expect("the directory of the store can be read");
    let named = entries.filter_map(|entry| {
        let entry = entry.ok()?;
        Some((entry.file_name().into_string().ok()?, entry.metadata().ok()?.len()))
    });
    named.filter(|(name, _)| name.ends_with(".truth") || name.ends_with(".blob")).collect()
}

fn wait_for_flushes(store: &Store) {
    while store.stats().is_ok_and(|stats| stats.memory.frozen_memtables > 0) {
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn main() {
    let (bytes, rounds) = (size(5_000_000, 100_000), if is_test() { 1 } else { 5 });
    for (what, regular) in [("conversations", true), ("letters that cannot be compressed", false)] {
        let mut numbers = random(1);
        let values: Vec<String> = (0..EACH * SEGMENTS).map(|_| json(&mut numbers, bytes, regular)).collect();
        let mut ways = [Way::new("blob files", 64 << 10), Way::new("in segments", usize::MAX)];
        for round in 0..rounds {
            ways[round % 2].run(&values);
            ways[(round + 1) % 2].run(&values);
        }
        println!("{} values of {bytes} bytes, {what}, medians of {rounds} rounds", values.len());
        println!(
            "{:<12} {:>10} {:>14} {:>10} {:>10} {:>10} {:>14} {:>12}",
            "", "put ms", "put+seal ms", "get ms", "filter us", "merge ms", "merge MB", "disk MB"
        );
        for way in &ways {
            let ms = |seconds: &[f64]| 1e3 * median(seconds.to_vec());
            let (mega, each) = (1e6, values.len() as f64);
            println!(
                "{:<12} {:>10.2} {:>14.2} {:>10.3} {:>10.2} {:>10.1} {:>14.3} {:>12.1}",
                way.name,
                ms(&way.put) / each,
                ms(&way.seal) / each,
                ms(&way.get),
                1e3 * ms(&way.filter),
                ms(&way.merge),
                way.merge_bytes as f64 / mega,
                way.disk_bytes as f64 / mega
            );
        }
        let ratio = |of: fn(&Way) -> f64| of(&ways[0]) / of(&ways[1]);
        println!(
            "ratio        {:>10.2} {:>14.2} {:>10.2} {:>10.2} {:>10.3} {:>14.4} {:>12.2}\n",
            ratio(|way| median(way.put.clone())),
            ratio(|way| median(way.seal.clone())),
            ratio(|way| median(way.get.clone())),
            ratio(|way| median(way.filter.clone())),
            ratio(|way| median(way.merge.clone())),
            ratio(|way| way.merge_bytes as f64),
            ratio(|way| way.disk_bytes as f64)
        );
    }
}
