//! Items whose every byte can be recognised, and a search for these bytes in all files of a directory: as they lie
//! there, and as each decoder reads them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use vecmem::testing::{Clock, Content, DiskStorage, SimStorage, Storage, contents, open_directory_with};
use vecmem::{Metric, Namespace, Options, Put, ReadMode, Store};

use super::Random;

pub const DIMS: usize = 32;
/// Large enough for a blob file of a store with default tuning.
pub const LARGE: usize = 70_000;
/// Bytes of a needle; shorter ones would be found by chance.
const NEEDLE_BYTES: usize = 12;
/// Every kind of file that a store has, and whether it holds bytes of items.
const KINDS: [(&str, bool); 11] = [
    ("manifest", true),
    ("log", true),
    ("truth", true),
    ("codes", true),
    ("fields", true),
    ("blob", true),
    // Numbers of rows; the decoder tells whose.
    ("graph", false),
    ("dead", false),
    // Hashes of names that clients gave to batches.
    ("operations", false),
    ("missed", true),
    // The lock, the reserve of zeros.
    ("plain", false),
];

pub fn options() -> Options {
    Options::with_vectors(DIMS, Metric::Cosine)
}

pub fn open(path: &Path, clock: &(impl Clock + Clone), options: Options) -> Store {
    open_directory_with(path, Arc::new(clock.clone()), options).unwrap()
}

fn random(number: u64, what: u64) -> Random {
    Random::new(number << 8 | what)
}

/// Letters that nothing else contains.
fn mark(number: u64, what: u64) -> String {
    let mut random = random(number, what);
    (0..20).map(|_| char::from(b'A' + (random.below(26)) as u8)).collect()
}

/// An item of its own namespace below `group`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Canary {
    pub group: String,
    /// Names namespace and key.
    pub place: u64,
    /// Names everything else.
    pub version: u64,
}

impl Canary {
    pub fn new(group: &str, number: u64) -> Self {
        Self { group: group.into(), place: number, version: number }
    }

    /// Another version of the same item.
    pub fn replaced_by(&self, version: u64) -> Self {
        Self { version, ..self.clone() }
    }

    pub fn namespace(&self) -> Namespace {
        Namespace::new([self.group.as_str(), &mark(self.place, 1)]).unwrap()
    }

    /// A namespace below its own.
    pub fn namespace_below(&self) -> Namespace {
        Namespace::new([self.group.as_str(), &mark(self.place, 1), "below"]).unwrap()
    }

    pub fn key(&self) -> String {
        mark(self.place, 2)
    }

    /// Small, large, or large enough to be compressed.
    pub fn value(&self) -> String {
        let mut letters = random(self.version, 99);
        let text: String = match self.version % 3 {
            0 => String::new(),
            1 => (0..LARGE).map(|_| char::from(b'#' + letters.below(56) as u8)).collect(),
            _ => "line after line, ".chars().cycle().take(LARGE).collect(),
        };
        format!("{{\"mark\":\"{}\",\"text\":\"{text}\"}}", mark(self.version, 3))
    }

    pub fn vector(&self) -> Vec<f32> {
        let mut random = random(self.version, 4);
        (0..DIMS).map(|_| random.below(2_000_003) as f32 / 1_000_003.0 - 1.0).collect()
    }

    pub fn put(&self) -> Put {
        let (path, chosen) = (mark(self.version, 5), mark(self.version, 6));
        Put::new(&self.namespace(), self.key(), self.value())
            .field_vector(&path, self.vector())
            .index_paths([chosen.as_str()])
            .embedded("model", ["text of ".to_owned() + &mark(self.version, 7)].iter().map(String::as_str))
            .extension(900, false, mark(self.version, 8).as_bytes())
    }

    pub fn expiring(&self, ttl: Duration) -> Put {
        self.put().ttl(ttl)
    }

    /// What no file may hold once this version is gone, and the item with it if `with_place`.
    pub fn needles(&self, with_place: bool) -> Vec<(String, Vec<u8>)> {
        let vector: Vec<u8> = self.vector().iter().flat_map(|value| value.to_le_bytes()).collect();
        let mut found = vec![
            ("value", mark(self.version, 3).into_bytes()),
            ("path", mark(self.version, 5).into_bytes()),
            ("chosen path", mark(self.version, 6).into_bytes()),
            ("extension", mark(self.version, 8).into_bytes()),
            ("vector", vector[16..40].to_vec()),
        ];
        if with_place {
            found.push(("namespace", mark(self.place, 1).into_bytes()));
            found.push(("key", mark(self.place, 2).into_bytes()));
        }
        let named = |(what, bytes): (&str, Vec<u8>)| (format!("{what} of {}", self.version), bytes);
        found.into_iter().map(named).collect()
    }
}

/// The files of a directory.
pub type Files = BTreeMap<String, Vec<u8>>;

/// Every file of a real directory. What goes while it is read is not there.
pub fn files_of(path: &Path) -> Files {
    let names = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter_map(|name| Some((name.clone(), std::fs::read(path.join(&name)).ok()?))).collect()
}

/// Every file of a simulated directory.
pub fn files_of_simulated(storage: &SimStorage) -> Files {
    storage.names().into_iter().filter_map(|name| Some((name.clone(), storage.read_file(&name)?))).collect()
}

/// The files of a directory at one moment between two commits of the background: two readings of them are equal, and
/// no manifest is being written.
pub fn files_at_rest(path: &Path) -> Files {
    let mut files = files_of(path);
    loop {
        let again = files_of(path);
        if again == files && !files.contains_key("manifest.tmp") {
            return files;
        }
        files = again;
    }
}

/// Copies a directory as it is, which is what a process that is killed between two commits leaves.
pub fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    files_at_rest(from).iter().for_each(|(name, bytes)| std::fs::write(to.join(name), bytes).unwrap());
}

pub fn decoded(path: &Path) -> Vec<Content> {
    decoded_of(&DiskStorage::open(path, false, ReadMode::Heap).unwrap())
}

/// What the decoders make of a directory; every kind of file is one that this module knows.
pub fn decoded_of(storage: &dyn Storage) -> Vec<Content> {
    let contents = contents(storage).unwrap();
    for content in &contents {
        let is_known = KINDS.iter().any(|(kind, _)| *kind == content.kind);
        assert!(is_known, "{} is of the kind {}, for which there is no canary", content.file, content.kind);
    }
    contents
}

/// The kind of a file by its name.
fn kind_of(name: &str) -> &str {
    match name {
        _ if name.starts_with("manifest-") => "manifest",
        _ if name.starts_with("wal-") => "log",
        _ if name.starts_with("seg-") => name.rsplit_once('.').map_or("", |(_, kind)| kind),
        _ => "plain",
    }
}

/// What is looked for.
#[derive(Default)]
pub struct Needles {
    all: BTreeMap<Vec<u8>, String>,
    /// Keys of items that are gone.
    keys: BTreeSet<String>,
    by_beginning: HashMap<[u8; 8], Vec<Vec<u8>>>,
    beginnings: Vec<bool>,
}

impl Needles {
    pub fn add(&mut self, canary: &Canary, with_place: bool) {
        if with_place {
            self.keys.insert(canary.key());
        }
        canary.needles(with_place).into_iter().for_each(|(what, bytes)| self.add_bytes(what, &bytes));
    }

    pub fn add_bytes(&mut self, what: String, bytes: &[u8]) {
        assert!(bytes.len() >= NEEDLE_BYTES, "{what}");
        let bytes = bytes[..bytes.len().min(24)].to_vec();
        self.beginnings.resize(1 << 16, false);
        self.beginnings[usize::from(bytes[0]) << 8 | usize::from(bytes[1])] = true;
        self.by_beginning.entry(bytes[..8].try_into().unwrap()).or_default().push(bytes.clone());
        self.all.insert(bytes, what);
    }

    /// Codes and hashes of these versions, which the engine computes: as the decoders find them now.
    pub fn add_derived(&mut self, canaries: &[Canary], contents: &[Content]) {
        let by_key: HashMap<String, &Canary> = canaries.iter().map(|canary| (canary.key(), canary)).collect();
        for content in contents.iter().filter(|content| matches!(content.what, "code" | "hash")) {
            let Some(canary) = by_key.get(&content.key) else { continue };
            self.add_bytes(format!("{} of {}", content.what, canary.version), &content.bytes);
        }
    }

    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// The needles in some bytes.
    fn in_bytes(&self, bytes: &[u8]) -> BTreeSet<&str> {
        let mut found = BTreeSet::new();
        for (at, window) in bytes.windows(8).enumerate() {
            if !self.beginnings[usize::from(window[0]) << 8 | usize::from(window[1])] {
                continue;
            }
            let candidates = self.by_beginning.get(window).into_iter().flatten();
            found.extend(candidates.filter(|needle| bytes[at..].starts_with(needle)).map(|needle| &*self.all[needle]));
        }
        found
    }

    /// The needles in files as they are: `kind: what`, for each place one.
    pub fn in_files(&self, files: &Files) -> Vec<String> {
        let found = files.iter().flat_map(|(name, bytes)| {
            let found = self.in_bytes(bytes).into_iter();
            found.map(move |what| format!("{} {name}: {what}", kind_of(name)))
        });
        found.collect()
    }

    /// The needles in what decoders read, the rows of items that are gone, and bytes that belong to no item.
    pub fn in_contents(&self, contents: &[Content]) -> Vec<String> {
        let mut found = Vec::new();
        for content in contents {
            let Content { file, kind, what, key, bytes } = content;
            let of_needles = self.in_bytes(bytes).into_iter();
            found.extend(of_needles.map(|needle| format!("{kind} {file}, decoded: {needle}")));
            if self.keys.contains(key) {
                found.push(format!("{kind} {file}: {what} of {key}"));
            }
            if matches!(*what, "unreferenced" | "unnamed") {
                found.push(format!("{kind} {file}: {} bytes {what}", bytes.len()));
            }
        }
        found
    }

    /// That the needles are found now, in every kind of file that is there and holds bytes of items.
    pub fn assert_found(&self, files: &Files, context: &str) {
        let found = self.in_files(files);
        let whats: BTreeSet<&str> =
            found.iter().filter_map(|found| found.split_once(": ").map(|(_, what)| what)).collect();
        let all: BTreeSet<&str> = self.all.values().map(String::as_str).collect();
        // Of a compressed value the mark may lie in pieces.
        let missing: Vec<&&str> = all.difference(&whats).filter(|what| !what.starts_with("value")).collect();
        assert!(missing.is_empty(), "{context}: to be found before: {missing:?}");
        for kind in files.keys().map(|name| kind_of(name)).collect::<BTreeSet<_>>() {
            let (_, holds_items) = KINDS.iter().find(|(known, _)| *known == kind).unwrap();
            let is_found = found.iter().any(|found| found.starts_with(&format!("{kind} ")));
            assert!(is_found || !holds_items, "{context}: nothing is found in files of the kind {kind}");
        }
    }
}
