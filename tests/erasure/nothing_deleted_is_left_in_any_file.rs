//! After `compact`, and after `purge` for its scope, no file of a real directory with default tuning holds a byte of
//! what was deleted, replaced or has expired: of no value, key, namespace, path, vector, code, hash or extension, raw
//! or decoded, however it was written, wherever it lay, and however it went.

use std::path::Path;
use std::time::Duration;

use crate::common::START;
use crate::common::canaries::{Canary, Files, Needles, copy, decoded, files_of, open, options};
use vecmem::testing::{SimClock, contents};
use vecmem::{Batch, Durability, ImportOptions, Namespace, Options, PurgeOptions, Put, ReadOptions, Scope, Store};

/// So many make an import write files.
const FILLERS: usize = 4_100;
const TTL: Duration = Duration::from_secs(60);

/// How items come to be written, in groups of their own.
const WAYS_IN: [&str; 4] = ["put", "batch", "import", "files"];

/// How an item goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WayOut {
    Delete,
    Batch,
    Replace,
    ReplaceByImport,
    ReplaceByFiles,
    Namespace,
    Prefix,
    Swept,
    Expired,
}

const WAYS_OUT: [WayOut; 9] = [
    WayOut::Delete,
    WayOut::Batch,
    WayOut::Replace,
    WayOut::ReplaceByImport,
    WayOut::ReplaceByFiles,
    WayOut::Namespace,
    WayOut::Prefix,
    WayOut::Swept,
    WayOut::Expired,
];

impl WayOut {
    fn replaces(self) -> bool {
        matches!(self, Self::Replace | Self::ReplaceByImport | Self::ReplaceByFiles)
    }

    fn expires(self) -> bool {
        matches!(self, Self::Swept | Self::Expired)
    }
}

/// What happens between the deletes and the erasure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Between {
    Nothing,
    Reopened,
    Killed,
}

struct Scene {
    store: Store,
    clock: SimClock,
    durability: Durability,
    next: u64,
    /// What is to go, and how.
    doomed: Vec<(Canary, WayOut)>,
    living: Vec<Canary>,
}

impl Scene {
    fn canary(&mut self, group: &str) -> Canary {
        self.next += 1;
        Canary::new(group, self.next)
    }

    fn import(&self, puts: Vec<Put>, with_fillers: bool) {
        let fillers = Namespace::new(["fillers"]).unwrap();
        let fillers =
            (0..if with_fillers { FILLERS } else { 0 }).map(|number| Put::new(&fillers, number.to_string(), "{}"));
        let report = self.store.import(puts.into_iter().chain(fillers).map(Ok), ImportOptions::new()).unwrap();
        assert!(report.progress.complete);
    }

    fn put(&self, puts: Vec<Put>) {
        for put in puts {
            self.store.put(put).unwrap();
        }
    }

    fn batch(&self, puts: Vec<Put>, name: &str) {
        let mut batch = Batch::new();
        for put in puts {
            batch.put(put);
        }
        batch.operation_id(name);
        self.store.batch(batch).unwrap();
    }

    /// Writes one item for each way in and each way out, and one that stays for each way in.
    fn write(&mut self, round: &str) {
        for way_in in WAYS_IN {
            let mut puts = Vec::new();
            for way_out in WAYS_OUT {
                // A prefix goes as a whole.
                let group =
                    if way_out == WayOut::Prefix { format!("prefix {round} {way_in}") } else { "doomed".into() };
                let canary = self.canary(&group);
                puts.push(if way_out.expires() { canary.expiring(TTL) } else { canary.put() });
                self.doomed.push((canary, way_out));
            }
            let stays = self.canary("kept");
            puts.push(stays.put());
            self.living.push(stays);
            match way_in {
                "put" => self.put(puts),
                "batch" => self.batch(puts, round),
                way_in => self.import(puts, way_in == "files"),
            }
        }
    }

    /// Lets everything go that is to go.
    fn let_go(&mut self) {
        let doomed = self.doomed.clone();
        assert!(self.store.delete(&doomed[0].0.namespace_below(), "below").unwrap());
        let of = |way: WayOut| doomed.iter().filter(move |(_, own)| *own == way).map(|(canary, _)| canary);
        of(WayOut::Delete).for_each(|canary| assert!(self.store.delete(&canary.namespace(), &canary.key()).unwrap()));
        let mut batch = Batch::new();
        for canary in of(WayOut::Batch) {
            batch.delete(&canary.namespace(), &canary.key());
        }
        self.store.batch(batch).unwrap();
        for way in [WayOut::Replace, WayOut::ReplaceByImport, WayOut::ReplaceByFiles] {
            let newer: Vec<Canary> = of(way).map(|canary| canary.replaced_by(canary.version + 100_000)).collect();
            let puts: Vec<Put> = newer.iter().map(Canary::put).collect();
            match way {
                WayOut::Replace => self.put(puts),
                way => self.import(puts, way == WayOut::ReplaceByFiles),
            }
            self.living.extend(newer);
        }
        of(WayOut::Namespace)
            .for_each(|canary| self.store.delete_range(&Scope::Namespace(canary.namespace())).unwrap());
        for canary in of(WayOut::Prefix) {
            self.store.delete_range(&Scope::Prefix(Namespace::new([canary.group.as_str()]).unwrap())).unwrap();
        }
        self.clock.advance(2 * TTL);
        assert_eq!(self.store.sweep().unwrap(), 2 * 2 * WAYS_IN.len() as u64);
        // Others expire only now, and nobody sweeps but the erasure.
        let mut late = Vec::new();
        for _ in 0..3 {
            let canary = self.canary("doomed");
            self.store.put(canary.expiring(TTL)).unwrap();
            late.push((canary, WayOut::Expired));
        }
        self.doomed.extend(late);
        self.clock.advance(2 * TTL);
    }
}

/// What must be in no file of the scene; codes and hashes as they are in `before`.
fn needles(scene: &Scene, doomed: &[(Canary, WayOut)], before: &Path) -> Needles {
    let mut needles = Needles::default();
    doomed.iter().for_each(|(canary, way)| needles.add(canary, !way.replaces()));
    let canaries: Vec<Canary> = scene.doomed.iter().map(|(canary, _)| canary.clone()).collect();
    needles.add_derived(&canaries, &decoded(before));
    needles
}

fn open_scene(path: &Path, clock: &SimClock, durability: Durability) -> Store {
    open(path, clock, options_of(durability))
}

fn options_of(durability: Durability) -> Options {
    options().durability(durability).sweep_every(None)
}

/// Writes, lets go, and returns the store as it is after what happens in between, and what must not be found.
fn scene(directory: &Path, durability: Durability, between: Between) -> (Scene, Needles, std::path::PathBuf) {
    let mut path = directory.join("store");
    let clock = SimClock::new(START);
    // Shards meet between the first item and one below its namespace, so a bound has to hold all of it.
    let below = Canary::new("doomed", 1).namespace_below();
    let store = open(&path, &clock, options_of(durability).split_keys([below.clone()]));
    store.put(Put::new(&below, "below", "{}")).unwrap();
    let (doomed, living) = (Vec::new(), Vec::new());
    let mut scene = Scene { store, clock, durability, next: 0, doomed, living };
    scene.write("in segments");
    scene.store.compact().unwrap();
    scene.store.build_graph(&Scope::Store).unwrap();
    scene.write("in memory");
    let before = directory.join("before");
    copy(&path, &before);
    let doomed = scene.doomed.clone();
    let mut needles = needles(&scene, &doomed, &before);
    let files = files_of(&before);
    needles.assert_found(&files, "before");
    for kind in [".truth", ".codes", ".fields", ".graph", ".blob", ".operations", ".log"] {
        assert!(files.keys().any(|name| name.ends_with(kind)), "there is no {kind} to be looked at");
    }
    scene.let_go();
    scene.doomed[doomed.len()..].iter().for_each(|(canary, _)| needles.add(canary, true));
    assert!(!needles.in_files(&files_of(&path)).is_empty());
    match between {
        Between::Nothing => {}
        Between::Reopened => {
            scene.store.close().unwrap();
            scene.store = open_scene(&path, &scene.clock, durability);
        }
        Between::Killed => {
            let left = directory.join("left");
            copy(&path, &left);
            scene.store.close().unwrap();
            scene.store = open_scene(&left, &scene.clock, durability);
            path = left;
        }
    }
    (scene, needles, path)
}

/// That nothing of the needles is in any file, while the store is open and when it is closed; and that the living are
/// whole.
fn assert_erased(scene: &mut Scene, needles: &Needles, path: &Path, context: &str) {
    assert_eq!(needles.in_files(&files_of(path)), Vec::<String>::new(), "{context}");
    assert_eq!(scene.store.check(false).unwrap().problems, Vec::<String>::new(), "{context}");
    scene.store.close().unwrap();
    let files: Files = files_of(path);
    assert_eq!(needles.in_files(&files), Vec::<String>::new(), "{context}, closed");
    assert_eq!(needles.in_contents(&decoded(path)), Vec::<String>::new(), "{context}, decoded");
    scene.store = open_scene(path, &scene.clock, scene.durability);
    for canary in &scene.living {
        let item = scene.store.get(&canary.namespace(), &canary.key()).unwrap().unwrap();
        assert_eq!(&*item.value, canary.value(), "{context}");
    }
    let expected = scene.living.len() as u64 + FILLERS as u64;
    assert_eq!(scene.store.count(&Scope::Store, &ReadOptions::default()).unwrap(), expected, "{context}");
}

fn compact_leaves_nothing(durability: Durability, between: Between) {
    let context = format!("{durability:?}, {between:?}, compact");
    let directory = tempfile::tempdir().unwrap();
    let (mut scene, needles, path) = scene(directory.path(), durability, between);
    scene.store.compact().unwrap();
    assert_erased(&mut scene, &needles, &path, &context);

    // Then everything goes, and with it the living.
    let mut needles = needles;
    scene.living.drain(..).for_each(|canary| needles.add(&canary, true));
    scene.store.delete_everything().unwrap();
    scene.store.compact().unwrap();
    assert_eq!(needles.in_files(&files_of(&path)), Vec::<String>::new(), "{context}, delete_everything");
    scene.store.close().unwrap();
    assert_eq!(needles.in_contents(&decoded(&path)), Vec::<String>::new(), "{context}, delete_everything");
    println!("{context}: {} needles", needles.len());
}

fn purge_leaves_nothing(durability: Durability, between: Between) {
    let context = format!("{durability:?}, {between:?}, purge");
    let directory = tempfile::tempdir().unwrap();
    let (mut scene, mut needles, path) = scene(directory.path(), durability, between);
    let doomed = Scope::Prefix(Namespace::new(["doomed"]).unwrap());
    let keeping = PurgeOptions::new().keep_living(true);
    assert_eq!(scene.store.purge_with(&doomed, &keeping).unwrap().items, 0, "{context}");
    let prefixes: Vec<String> = scene.doomed.iter().map(|(canary, _)| canary.group.clone()).collect();
    for prefix in prefixes.iter().filter(|prefix| *prefix != "doomed") {
        scene.store.purge(&Scope::Prefix(Namespace::new([prefix.as_str()]).unwrap())).unwrap();
    }
    assert_erased(&mut scene, &needles, &path, &context);

    let replacements: Vec<Canary> = scene.living.iter().filter(|canary| canary.group == "doomed").cloned().collect();
    scene.living.retain(|canary| canary.group != "doomed");
    replacements.iter().for_each(|canary| needles.add(canary, true));
    let receipt = scene.store.purge(&doomed).unwrap();
    assert_eq!(receipt.items, replacements.len() as u64, "{context}: {receipt:?}");
    assert_erased(&mut scene, &needles, &path, &format!("{context}, the living too"));
    println!("{context}: {} needles", needles.len());
}

#[test]
fn in_sync() {
    for between in [Between::Nothing, Between::Reopened, Between::Killed] {
        compact_leaves_nothing(Durability::Sync, between);
        purge_leaves_nothing(Durability::Sync, between);
    }
}

#[test]
fn in_os() {
    for between in [Between::Nothing, Between::Reopened, Between::Killed] {
        compact_leaves_nothing(Durability::Periodic, between);
        purge_leaves_nothing(Durability::Periodic, between);
    }
}

#[test]
fn in_bulk() {
    for between in [Between::Nothing, Between::Reopened, Between::Killed] {
        compact_leaves_nothing(Durability::Manual, between);
        purge_leaves_nothing(Durability::Manual, between);
    }
}

#[test]
fn a_kind_of_file_without_a_canary_is_noticed() {
    let (store, storage, _) = crate::common::simulated(options());
    store.put(Canary::new("kept", 3).put()).unwrap();
    contents(&storage).unwrap();
    let file = "seg-00000000000000ff.notes";
    storage.write_file(file, b"something");
    assert!(contents(&storage).unwrap_err().to_string().contains(file));
}
