//! A damaged byte anywhere is named or harmless: the store refuses to open and says which file, or the reads that need
//! the byte fail as damaged and say which file, or every answer is unchanged. Never less, never something else, never a
//! panic.

use std::collections::{BTreeMap, BTreeSet};

use crate::crash::compare::{readings, same_answers};
use crate::crash::history::{do_both, open};
use crate::crash::model::Model;
use crate::crash::operations::Generator;
use crate::crash::{START, options, tuning};
use vecmem::testing::{Loss, Random, SimClock, SimStorage, open_with};
use vecmem::{
    ErrorKind, Item, IterateQuery, Metric, Namespace, Options, Put, Query, ReadOptions, Scope, Store, Tuning,
};

/// About as many single bits as are flipped in each kind of file.
const FLIPS_OF_A_KIND: u64 = 1_600;

fn small_options() -> Options {
    options().tuning(Tuning { memtable_rows: 16, ..tuning() })
}

/// A closed store with segments, blob files, tombstones, codes, graphs, log to replay, two manifests and a reserve.
struct Closed {
    storage: SimStorage,
    clock: SimClock,
    model: Model,
    /// The files that an open maps: those of the generation before are kept too, and nobody reads them.
    used: BTreeSet<String>,
}

impl Closed {
    fn new(seed: u64) -> Self {
        let has_all = |closed: &Self| {
            ["dead", "graph", "blob"].iter().all(|kind| closed.used.iter().any(|name| kind_of(name) == *kind))
        };
        (0..).map(|more| Self::of(seed + 1_000 * more)).find(has_all).unwrap()
    }

    fn of(seed: u64) -> Self {
        let (storage, clock) = (SimStorage::new(seed), SimClock::new(START));
        let (mut generator, mut model) = (Generator::new(seed, 10), Model::default());
        let store = open(&storage, &clock, &small_options()).unwrap();
        while model.lsn < 400 || model.items.len() < 60 || store.stats().unwrap().memory.memtable_rows < 4 {
            let operation = generator.operation(&model);
            do_both(&store, &clock, &mut model, &operation).unwrap();
        }
        store.close().unwrap();
        drop(store);
        // Nothing is lost but what is damaged: a power loss may also take the mark that names the next log file, and
        // then nobody could tell that this one is missing.
        let storage = storage.crash(Loss::None, 0);
        let seen = storage.crash(Loss::None, 0);
        seen.record_trace();
        drop(open(&seen, &clock, &small_options()).unwrap());
        let used = seen.trace().iter().filter_map(|line| Some(line.strip_prefix("map ")?.to_owned())).collect();
        Self { storage, clock, model: model.reopened(), used }
    }

    fn copy(&self) -> SimStorage {
        self.storage.crash(Loss::None, 0)
    }

    fn files(&self) -> Vec<(String, u64)> {
        let length = |name: &String| self.storage.read_file(name).map_or(0, |bytes| bytes.len() as u64);
        self.storage.names().into_iter().map(|name| (name.clone(), length(&name))).collect()
    }
}

fn kind_of(name: &str) -> &'static str {
    let kinds = ["manifest", "truth", "blob", "codes", "fields", "graph", "dead", "log"];
    kinds.into_iter().find(|kind| name.contains(kind)).unwrap_or("other")
}

/// What came of a damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Verdict {
    Refused,
    Damaged,
    Unchanged,
}

/// Opens the damaged disk and reads everything.
fn judge(closed: &Closed, storage: &SimStorage, damaged: &str) -> Result<Verdict, String> {
    let store = match open(storage, &closed.clock, &small_options()) {
        Ok(store) => store,
        Err(error) => {
            let named = error.to_string().contains(damaged) || error.to_string().contains("wal-");
            let typed = matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::NewerFormat);
            return if named && typed { Ok(Verdict::Refused) } else { Err(format!("refused without a name: {error}")) };
        }
    };
    let mut verdict = Verdict::Unchanged;
    for reading in readings(&store, &closed.model, &closed.clock, 1) {
        match reading {
            Ok(()) => {}
            Err(why) if why.starts_with("Damaged") && why.contains(damaged) => verdict = Verdict::Damaged,
            Err(why) => return Err(why),
        }
    }
    partial_reads_say_so(&store, closed)?;
    let report = store.check(false).map_err(|error| format!("check: {error}"))?;
    let named = report.problems.iter().any(|problem| problem.contains(damaged));
    let must_be_named = verdict == Verdict::Damaged
        || matches!(kind_of(damaged), "truth" | "blob" | "codes" | "fields" | "graph" | "dead");
    if must_be_named && !named && closed.used.contains(damaged) {
        return Err(format!("check says only {:?}", report.problems));
    }
    Ok(verdict)
}

/// With `partial`, what comes back is true, and whatever is missing is announced.
fn partial_reads_say_so(store: &Store, closed: &Closed) -> Result<(), String> {
    let options = ReadOptions { partial: true, include_vectors: true, include_expired: true, ..ReadOptions::default() };
    let page = store.iterate(&IterateQuery::new(Scope::Store).limit(usize::MAX).options(options.clone()), None);
    let page = page.map_err(|error| format!("a partial scan fails: {error}"))?;
    let known = |item: &Item| {
        closed.model.items.get(&(item.namespace.clone(), item.key.clone())).is_some_and(|known| **known == *item)
    };
    if let Some(item) = page.items.iter().find(|item| !known(item)) {
        return Err(format!("a partial scan invents {item:?}"));
    }
    if page.items.len() < closed.model.items.len() && !page.incomplete {
        return Err("a partial scan leaves out items and does not say so".into());
    }
    let (mut listed, mut incomplete) = (Vec::new(), false);
    let listing = store.snapshot().and_then(|snapshot| snapshot.listing(Query::new(Scope::Store).options(options)));
    let listing = listing.map_err(|error| format!("a partial listing fails: {error}"))?;
    for offset in (0..closed.model.items.len()).step_by(9) {
        let page = listing.page(offset, 9).map_err(|error| format!("a partial page fails: {error}"))?;
        incomplete |= page.incomplete;
        listed.extend(page.into_iter().map(|hit| hit.item));
    }
    if let Some(item) = listed.iter().find(|item| !known(item)) {
        return Err(format!("a partial listing invents {item:?}"));
    }
    if listed.len() < closed.model.items.len() && !incomplete {
        return Err("a partial listing leaves out items and does not say so".into());
    }
    Ok(())
}

fn tally(counts: &mut BTreeMap<(&'static str, Verdict), u64>, name: &str, verdict: Verdict) {
    *counts.entry((kind_of(name), verdict)).or_default() += 1;
}

#[test]
fn every_flipped_bit_is_named_or_harmless() {
    let closed = Closed::new(70);
    let mut bytes_of_kind: BTreeMap<&str, u64> = BTreeMap::new();
    closed.files().iter().for_each(|(name, length)| *bytes_of_kind.entry(kind_of(name)).or_default() += length);
    let (mut flips, mut counts, mut random) = (0, BTreeMap::new(), Random::new(70));
    for (name, length) in closed.files() {
        let step = (8 * bytes_of_kind[kind_of(&name)] / FLIPS_OF_A_KIND).max(1);
        let mut bit = random.draw() % step;
        while bit < 8 * length {
            let storage = closed.copy();
            storage.flip_bit(&name, bit);
            let verdict = judge(&closed, &storage, &name);
            let verdict =
                verdict.unwrap_or_else(|why| panic!("seed 70, {name}, byte {}, bit {}: {why}", bit / 8, bit % 8));
            tally(&mut counts, &name, verdict);
            flips += 1;
            bit += step;
        }
    }
    println!("{flips} flips: {counts:?}");
    assert!(flips >= 5_000, "{flips}");
    for kind in ["manifest", "truth", "blob", "dead", "log"] {
        let noticed = counts.iter().filter(|((of, verdict), _)| *of == kind && *verdict != Verdict::Unchanged);
        assert!(noticed.count() > 0, "nothing in {kind} files was noticed: {counts:?}");
    }
    for derived in ["codes", "fields", "graph"] {
        let verdicts: Vec<_> = counts.keys().filter(|(kind, _)| *kind == derived).collect();
        assert_eq!(verdicts, [&(derived, Verdict::Unchanged)], "{counts:?}");
    }
}

#[test]
fn every_wrong_length_and_missing_file_is_named_or_harmless() {
    let closed = Closed::new(71);
    let (mut cuts, mut counts, mut random) = (0, BTreeMap::new(), Random::new(71));
    for (name, length) in closed.files() {
        let mut lengths = vec![0, 1, 8, 63, 64, 4096, length / 2, length - 4, length - 1, length + 1, length + 4096];
        lengths.extend((0..40).map(|_| random.draw() % length));
        for wrong in lengths.into_iter().filter(|wrong| *wrong != length) {
            let storage = closed.copy();
            storage.truncate(&name, wrong);
            let verdict = judge(&closed, &storage, &name)
                .unwrap_or_else(|why| panic!("seed 71, {name} of {length} bytes cut to {wrong}: {why}"));
            tally(&mut counts, &name, verdict);
            cuts += 1;
        }
        let storage = closed.copy();
        storage.remove_file(&name);
        let verdict = judge(&closed, &storage, &name).unwrap_or_else(|why| panic!("seed 71, without {name}: {why}"));
        tally(&mut counts, &name, verdict);
    }
    println!("{cuts} cuts: {counts:?}");
}

#[test]
fn a_file_in_the_place_of_another_is_named_or_harmless() {
    let (closed, other) = (Closed::new(72), Closed::new(73));
    let mut swaps = 0;
    for (name, _) in closed.files() {
        let same_kind = |(other, _): &(String, u64)| kind_of(other) == kind_of(&name) && *other != name;
        let mine = closed.files().into_iter().filter(same_kind).map(|(name, _)| closed.storage.read_file(&name));
        let theirs = other.files().into_iter().filter(|(other, _)| *other == name);
        let theirs = theirs.map(|(name, _)| other.storage.read_file(&name));
        for bytes in mine.chain(theirs).flatten() {
            let storage = closed.copy();
            storage.write_file(&name, &bytes);
            judge(&closed, &storage, &name).unwrap_or_else(|why| panic!("another file as {name}: {why}"));
            swaps += 1;
        }
    }
    println!("{swaps} swaps");
}

#[test]
fn damaged_codes_and_graphs_change_no_answer_and_are_rebuilt() {
    let closed = Closed::new(74);
    let is_used =
        |(name, _): &(String, u64)| matches!(kind_of(name), "codes" | "fields" | "graph") && closed.used.contains(name);
    let derived: Vec<_> = closed.files().into_iter().filter(is_used).collect();
    assert!(derived.iter().any(|(name, _)| kind_of(name) == "graph"));
    let mut repaired = 0;
    for (name, length) in &derived {
        for damage in 0..6 {
            let storage = closed.copy();
            match damage {
                0 => storage.remove_file(name),
                1 => storage.truncate(name, length / 2),
                at => storage.flip_bit(name, 8 * length * (at - 1) / 5 - 1),
            }
            let store = open(&storage, &closed.clock, &small_options()).unwrap();
            for reading in readings(&store, &closed.model, &closed.clock, 1) {
                reading.unwrap_or_else(|why| panic!("{name}, damage {damage}: {why}"));
            }
            assert!(
                store.stats().unwrap().health.damage.iter().any(|damage| damage.contains(name)),
                "{name}, damage {damage}"
            );
            assert!(!store.check(false).unwrap().problems.is_empty());
            let report = store.check(true).unwrap();
            assert!(report.problems.is_empty() && !report.repaired.is_empty(), "{name}, damage {damage}: {report:?}");
            same_answers(&store, &closed.model, &closed.clock, 2).unwrap();
            assert!(store.stats().unwrap().health.damage.is_empty());
            let again = open(&storage.crash(Loss::AllUnsynced, 0), &closed.clock, &small_options()).unwrap();
            same_answers(&again, &closed.model, &closed.clock, 3).unwrap();
            repaired += 1;
        }
    }
    assert!(repaired >= 6, "{repaired}");
}

/// Four namespaces of 300 rows in one segment whose vectors fill several checked blocks.
fn one_segment() -> (SimStorage, SimClock, Vec<Namespace>) {
    let (storage, clock) = (SimStorage::new(75), SimClock::new(START));
    let namespaces: Vec<Namespace> =
        ["a", "b", "c", "d"].iter().map(|label| Namespace::new([label]).unwrap()).collect();
    let store = open_wide(&storage, &clock);
    for (at, namespace) in namespaces.iter().enumerate() {
        for row in 0..300 {
            let vector: Vec<f32> = (0..64).map(|lane| ((row * 7 + lane * 13 + at) % 101) as f32 - 50.0).collect();
            store.put(Put::new(namespace, format!("{row}"), "{\"n\":1}").vector(vector)).unwrap();
        }
    }
    store.compact().unwrap();
    assert_eq!(store.stats().unwrap().internals.segments, 1);
    store.close().unwrap();
    (storage, clock, namespaces)
}

fn open_wide(storage: &SimStorage, clock: &SimClock) -> Store {
    let options = Options::with_vectors(64, Metric::Dot).tuning(tuning());
    open_with(std::sync::Arc::new(storage.clone()), std::sync::Arc::new(clock.clone()), options).unwrap()
}

#[test]
fn a_damaged_namespace_does_not_take_others_down() {
    let (storage, clock, namespaces) = one_segment();
    let store = open_wide(&storage, &clock);
    let query = |at: usize| Query::new(&namespaces[at]).vector(vec![1.0; 64]).limit(300).exact(true);
    let whole: Vec<_> = (0..4).map(|at| store.search(&query(at)).unwrap().hits).collect();
    let truth = storage.names().into_iter().find(|name| name.ends_with(".truth")).unwrap();
    drop(store);
    // Vectors come first in the file, in order: this one is in the last namespace, in a block without anything of the
    // first two.
    let vector_of_row = |row: u64| 4096 + row * 4 * 64;
    storage.flip_bit(&truth, 8 * vector_of_row(950) + 3);
    let store = open_wide(&storage, &clock);
    for (at, hits) in whole.iter().enumerate().take(2) {
        assert_eq!(store.search(&query(at)).unwrap().hits, *hits, "{at}");
        assert_eq!(store.count(&Scope::from(&namespaces[at]), &ReadOptions::default()).unwrap(), 300);
    }
    let error = store.search(&query(3)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Damaged);
    assert!(error.to_string().contains(&truth) && error.to_string().contains("offset"), "{error}");
    let partial = ReadOptions { partial: true, ..ReadOptions::default() };
    let answer = store.search(&query(3).options(partial.clone())).unwrap();
    assert!(answer.incomplete);
    assert!(!store.search(&query(0).options(partial)).unwrap().incomplete);
    store.put(Put::new(&namespaces[0], "new", "{}").vector(vec![9.0; 64])).unwrap();
    assert_eq!(store.get(&namespaces[0], "new").unwrap().unwrap().key, "new");
}
