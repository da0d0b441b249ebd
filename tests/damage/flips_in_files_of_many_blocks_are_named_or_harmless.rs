//! In a store whose files have many checked blocks, any flipped bit is named, with file and place, or harmless: so is a
//! run of random bytes, a sector of zeros, two exchanged blocks, and a file that is cut off. Never a wrong answer.
//!
//! A store is too large to be read through after each of 20,000 flips. So each block of each file is damaged once, and
//! a read-through finds which reads need the block. After a flip these reads, and some others, are made.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::crash::START;
use vecmem::testing::{Loss, Random, SimClock, SimStorage, Storage, open_with};
use vecmem::{
    Batch, Durability, Error, ErrorKind, Filter, ImportOptions, Metric, Namespace, Options, Put, Query, ReadOptions,
    Scope, Store, Tuning,
};

const DIMS: usize = 8;
const HEADER: u64 = 4 << 10;
const BLOCK: u64 = 64 << 10;
/// Reads that are remembered for one block.
const READS_KEPT: usize = 12;
const WORKERS: usize = 2;

/// Flips for each kind of file, 20,000 together.
const FLIPS: [(&str, u64); 9] = [
    ("truth", 8_000),
    ("blob", 2_500),
    ("dead", 1_500),
    ("operations", 1_000),
    ("log", 2_000),
    ("manifest", 1_500),
    ("codes", 1_250),
    ("graph", 1_250),
    ("fields", 1_000),
];
/// Damages of each other shape.
const OTHERS: u64 = 250;

fn kind_of(name: &str) -> &'static str {
    FLIPS.iter().map(|(kind, _)| *kind).find(|kind| name.contains(kind)).unwrap_or("other")
}

/// A closed store.
struct LargeStore {
    storage: SimStorage,
    clock: SimClock,
    rows: usize,
    options: Options,
    /// A hash of the right answer to each read.
    answers: BTreeMap<Read, u64>,
}

/// One read of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Read {
    Get(usize),
    /// A listing of 30 items from this one on.
    Page(usize),
    /// An exact search.
    Exact(usize),
    /// A search that may use a graph.
    Search(usize),
    Filtered,
    Namespaces,
    /// Whether a batch was applied before.
    Batch(usize),
}

fn home(row: usize) -> Namespace {
    Namespace::new(["user", ["ada", "bob", "eve"][if row % 50 < 2 { row % 50 } else { 2 }]]).unwrap()
}

fn key(row: usize) -> String {
    format!("{:08x}-key-{row:06}", (row as u32).wrapping_mul(2_654_435_761))
}

fn vector(row: usize) -> Vec<f32> {
    Random::new(row as u64).vector(DIMS)
}

fn put(row: usize) -> Put {
    let mut random = Random::new(row as u64);
    let length = if row % 25 == 7 { 3_000 } else { 30 };
    let text: String = (0..length).map(|_| random.letter()).collect();
    let put = Put::new(&home(row), key(row), format!("{{\"n\":{row},\"text\":\"{text}\"}}")).vector(vector(row));
    if !row.is_multiple_of(4) { put.ttl(Duration::from_secs(20_000)) } else { put }
}

impl LargeStore {
    /// A store of so many imported rows, with a graph if it `has_graph`, and after that touches, deletes, named batches
    /// and large settings.
    fn new(rows: usize, has_graph: bool) -> Self {
        let (storage, clock) = (SimStorage::new(7), SimClock::new(START));
        let tuning = Tuning {
            blob_value_bytes: 1_000,
            graph_rows: if has_graph { 2_000 } else { 1_000_000 },
            touch_queue: 8_192,
            log_file_min_bytes: 1 << 20,
            flat_weight: 1_000,
            reserve_bytes: 32 << 10,
            inline_background: true,
            ..Tuning::default()
        };
        let options = Options::with_vectors(DIMS, Metric::L2).tuning(tuning).durability(Durability::Manual);
        let mut large = Self { storage, clock, rows, options, answers: BTreeMap::new() };
        let store = large.open(&large.storage).unwrap();
        store.import((0..rows).map(|row| Ok(put(row))), ImportOptions::new()).unwrap();
        store.compact().unwrap();
        for number in 0..2_200 {
            large.batch(&store, number).unwrap();
        }
        store.compact().unwrap();
        (0..rows).step_by(41).for_each(|row| assert!(store.delete(&home(row), &key(row)).unwrap()));
        large.clock.advance(Duration::from_secs(9_000));
        let refresh = ReadOptions { refresh_ttl: true, ..ReadOptions::default() };
        store.list(&Query::new(Scope::Store).limit(rows + 3_000).options(refresh)).unwrap();
        for name in ["a", "b"] {
            let numbers: Vec<String> = (0..8_000).map(|number| number.to_string()).collect();
            store.set_setting(name, Some(&format!("[{}]", numbers.join(",")))).unwrap();
        }
        // The touches go with the next write.
        store.put(put(rows)).unwrap();
        store.flush().unwrap();
        for row in rows..rows + 900 {
            store.put(put(row)).unwrap();
        }
        store.close().unwrap();
        large.rows = rows + 900;
        large.storage = large.storage.crash(Loss::None, 0);
        let store = large.open(&large.copy()).unwrap();
        large.answers = large.all_reads().map(|read| (read, large.read(&store, read).unwrap())).collect();
        large
    }

    fn open(&self, storage: &SimStorage) -> Result<Store, Error> {
        open_with(Arc::new(storage.clone()), Arc::new(self.clock.clone()), self.options.clone())
    }

    fn copy(&self) -> SimStorage {
        self.storage.crash(Loss::None, 0)
    }

    /// A batch that is applied once.
    fn batch(&self, store: &Store, number: usize) -> Result<String, Error> {
        let mut batch = Batch::new();
        batch.operation_id(&format!("batch {number}"));
        batch.put(Put::new(&Namespace::new(["batches"]).unwrap(), format!("{number:05}"), "{}"));
        store.batch(batch).map(|results| format!("{results:?}"))
    }

    fn all_reads(&self) -> impl Iterator<Item = Read> + use<> {
        let rows = self.rows;
        (0..rows)
            .map(Read::Get)
            .chain((0..rows).step_by(200).map(Read::Page))
            .chain((0..rows).step_by(rows / 6).flat_map(|row| [Read::Exact(row), Read::Search(row)]))
            .chain([Read::Filtered, Read::Namespaces])
            .chain((0..2_200).step_by(100).map(Read::Batch))
    }

    /// A hash of the answer.
    fn read(&self, store: &Store, read: Read) -> Result<u64, Error> {
        let all = || Query::new(Scope::Store).limit(40);
        let with_vectors = ReadOptions { include_vectors: true, ..ReadOptions::default() };
        let answer = match read {
            Read::Get(row) => format!("{:?}", store.get_with(&home(row), &key(row), &with_vectors)?),
            Read::Page(row) => {
                let walk = vecmem::IterateQuery::new(Scope::from(&home(row))).limit(30).options(with_vectors);
                let mut page = store.iterate(&walk, None)?;
                page.items.extend(match page.next {
                    Some(next) if row > 0 => store.iterate(&walk.limit(30 + row % 60), Some(&next))?.items,
                    _ => Vec::new(),
                });
                format!("{:?}", page.items)
            }
            Read::Exact(row) => format!("{:?}", store.search(&all().vector(vector(row)).exact(true))?.hits),
            Read::Search(row) => format!("{:?}", store.search(&all().vector(vector(row)))?.hits),
            Read::Filtered => format!("{:?}", store.list(&all().filter(Filter::eq("n", 77)))?.hits),
            Read::Namespaces => format!("{:?}", store.list_namespaces(&Default::default())?),
            Read::Batch(number) => {
                let repeated = self.batch(store, number)?;
                assert!(repeated.contains("Repeated"), "a batch is applied again: {repeated}");
                repeated
            }
        };
        let mut hasher = DefaultHasher::new();
        answer.hash(&mut hasher);
        Ok(hasher.finish())
    }

    /// Whether the read fails as damaged, and names the file and the place; else its answer is the right one.
    fn is_named(&self, store: &Store, read: Read, damage: &Damage) -> Result<bool, String> {
        // Without its graph, a search is exact.
        let also = if let Read::Search(row) = read { Read::Exact(row) } else { read };
        match self.read(store, read) {
            Ok(answer) if answer == self.answers[&read] || answer == self.answers[&also] => Ok(false),
            Ok(_) => Err(format!("{read:?}: a wrong answer")),
            Err(error) => damage.names(&error).map_err(|why| format!("{read:?}: {why}")),
        }
    }
}

/// What was changed in which file: bytes `start..end`.
struct Damage {
    file: String,
    start: u64,
    end: u64,
    /// Bytes of the undamaged file.
    length: u64,
}

impl Damage {
    /// Whether an error names the file, and a place in it whose block has damaged bytes.
    fn names(&self, error: &Error) -> Result<bool, String> {
        let is_typed = matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Damaged | ErrorKind::NewerFormat);
        let is_in_log = kind_of(&self.file) == "log" && error.to_string().contains("wal-");
        if !is_typed || !(error.to_string().contains(&self.file) || is_in_log) {
            return Err(format!("no name of {}: {error}", self.file));
        }
        let has_blocks = matches!(kind_of(&self.file), "truth" | "blob");
        match error.location().and_then(|place| place.offset) {
            Some(offset) if has_blocks && offset >= HEADER && self.start >= HEADER => {
                let near = offset < self.end && self.start < offset + BLOCK;
                if near { Ok(true) } else { Err(format!("bytes from {} are not there: {error}", self.start)) }
            }
            Some(_) => Ok(true),
            None if error.kind() == ErrorKind::NewerFormat || error.to_string().contains(" at offset ") => Ok(true),
            None => Err(format!("no place in the file: {error}")),
        }
    }
}

/// A part of a file that one checksum covers: its header, a block, its table; or a whole file, or one more kind of
/// file.
fn region(name: &str, length: u64, at: u64) -> u64 {
    let tail = length.saturating_sub(HEADER).div_ceil(BLOCK + 4) * 4;
    match kind_of(name) {
        "truth" | "blob" | "codes" | "graph" if at < HEADER => 0,
        "truth" | "blob" | "codes" | "graph" if at >= length - tail => u64::MAX,
        "truth" | "blob" | "codes" | "graph" => 1 + (at - HEADER) / BLOCK,
        _ => at / BLOCK,
    }
}

/// The reads that fail if a region is damaged.
#[derive(Clone, Debug)]
enum Needed {
    /// The open fails.
    Open,
    By(Vec<Read>),
}

type Regions = BTreeMap<(String, u64), Needed>;

fn write(storage: &SimStorage, name: &str, at: u64, bytes: &[u8]) {
    Storage::open(storage, name).unwrap().write_at(at, bytes).unwrap();
}

fn flip(storage: &SimStorage, name: &str, content: &[u8], bit: u64) {
    write(storage, name, bit / 8, &[content[(bit / 8) as usize] ^ 1 << (bit % 8)]);
}

/// Damages each region once, and finds the reads that need it.
fn learn(large: &LargeStore) -> Regions {
    let (mut regions, mut random) = (Regions::new(), Random::new(5));
    for name in large.storage.names().into_iter().filter(|name| kind_of(name) != "other") {
        let content = large.storage.read_file(&name).unwrap();
        let mut at = 0;
        while at < content.len() as u64 {
            let place = region(&name, content.len() as u64, at);
            let end = (at..content.len() as u64).find(|&next| region(&name, content.len() as u64, next) != place);
            let end = end.unwrap_or(content.len() as u64);
            let byte = at + random.below(end - at);
            let length = content.len() as u64;
            let (storage, file) = (large.copy(), name.clone());
            let damage = Damage { file, start: byte, end: byte + 1, length };
            flip(&storage, &name, &content, 8 * byte + 3);
            let needed = match large.open(&storage) {
                Err(error) => {
                    assert_eq!(damage.names(&error), Ok(true));
                    Needed::Open
                }
                Ok(store) => {
                    let named = |read: &Read| {
                        large
                            .is_named(&store, *read, &damage)
                            .unwrap_or_else(|why| panic!("{name}, byte {byte}: {why}"))
                    };
                    // Rows of large values are among these, and every block has some.
                    let some = large.all_reads().filter(|read| !matches!(read, Read::Get(row) if row % 5 != 2));
                    let mut by: Vec<Read> = some.filter(named).collect();
                    while by.len() > READS_KEPT {
                        by.swap_remove(random.below(by.len()));
                    }
                    Needed::By(by)
                }
            };
            regions.insert((name.clone(), place), needed);
            at = end;
        }
    }
    regions
}

/// Opens a damaged store, makes the reads that need the damaged regions and some others, and returns whether any
/// failed.
fn judge(
    large: &LargeStore,
    storage: &SimStorage,
    damage: &Damage,
    regions: &Regions,
    random: &mut Random,
) -> Result<bool, String> {
    let length = damage.length;
    let touched: std::collections::BTreeSet<u64> = (damage.start..damage.end)
        .step_by(64)
        .chain([damage.end - 1])
        .map(|at| region(&damage.file, length, at))
        .collect();
    let needed: Vec<&Needed> = touched.iter().filter_map(|place| regions.get(&(damage.file.clone(), *place))).collect();
    let store = match large.open(storage) {
        Err(error) => return damage.names(&error),
        Ok(store) => store,
    };
    let mut found = false;
    for needed in needed {
        let Needed::By(reads) = needed else { continue };
        if !reads.is_empty() {
            let read = *random.pick(reads);
            found |= large.is_named(&store, read, damage)?;
        }
    }
    for _ in 0..3 {
        found |= large.is_named(&store, Read::Get(random.below(large.rows)), damage)?;
    }
    found |= large.is_named(&store, Read::Exact(0), damage)?;
    let known = store.stats().map_err(|error| error.to_string())?.health.damage;
    Ok(found || known.iter().any(|why| why.contains(&damage.file)))
}

/// One shape of damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Shape {
    Bit,
    Bytes,
    Sector,
    Exchanged,
    Cut,
}

/// Damages a file at a random place. `None` if nothing changed.
fn strike(storage: &SimStorage, name: &str, content: &[u8], shape: Shape, random: &mut Random) -> Option<Damage> {
    let length = content.len() as u64;
    let at = random.below(length);
    let damage = |start: u64, end: u64| Some(Damage { file: name.to_owned(), start, end, length });
    match shape {
        Shape::Bit => {
            flip(storage, name, content, 8 * at + random.below(8_u64));
            damage(at, at + 1)
        }
        Shape::Bytes => {
            let end = (at + 2 + random.below(63_u64)).min(length);
            let noise: Vec<u8> = (at..end).map(|_| random.draw() as u8).collect();
            write(storage, name, at, &noise);
            (noise != content[at as usize..end as usize]).then(|| damage(at, end)).flatten()
        }
        Shape::Sector => {
            let (start, end) = (at / 512 * 512, (at / 512 * 512 + 512).min(length));
            write(storage, name, start, &vec![0; (end - start) as usize]);
            content[start as usize..end as usize].iter().any(|byte| *byte != 0).then(|| damage(start, end)).flatten()
        }
        Shape::Exchanged => {
            let blocks = length.saturating_sub(HEADER) / BLOCK;
            if blocks < 2 {
                return None;
            }
            let [one, other] = [0, 1].map(|_| (HEADER + random.below(blocks) * BLOCK) as usize);
            write(storage, name, one as u64, &content[other..other + BLOCK as usize]);
            write(storage, name, other as u64, &content[one..one + BLOCK as usize]);
            let (start, end) = (one.min(other) as u64, one.max(other) as u64 + BLOCK);
            (content[one..one + BLOCK as usize] != content[other..other + BLOCK as usize])
                .then(|| damage(start, end))
                .flatten()
        }
        Shape::Cut => {
            storage.truncate(name, at);
            damage(at, length)
        }
    }
}

/// Damages with their verdicts: how many, how many were named.
type Counts = BTreeMap<(&'static str, Shape), (u64, u64)>;

/// Makes `wanted` damages of one shape in files of one kind.
fn strikes(large: &LargeStore, regions: &Regions, kind: &'static str, shape: Shape, wanted: u64, seed: u64) -> Counts {
    let names: Vec<String> = large.storage.names().into_iter().filter(|name| kind_of(name) == kind).collect();
    let files: Vec<Vec<u8>> = names.iter().map(|name| large.storage.read_file(name).unwrap()).collect();
    let mut random = Random::new(seed);
    let (mut counts, mut made) = (Counts::new(), 0);
    for _ in 0..20 * wanted {
        if made == wanted {
            break;
        }
        // A file is chosen by its length.
        let total: usize = files.iter().map(Vec::len).sum();
        let mut at = random.below(total);
        let index = files.iter().position(|bytes| at.checked_sub(bytes.len()).map(|rest| at = rest).is_none()).unwrap();
        let storage = large.copy();
        let Some(damage) = strike(&storage, &names[index], &files[index], shape, &mut random) else { continue };
        let named = judge(large, &storage, &damage, regions, &mut random).unwrap_or_else(|why| {
            panic!("seed {seed}, {shape:?} in {}, bytes {} to {}: {why}", damage.file, damage.start, damage.end)
        });
        let place = region(&damage.file, files[index].len() as u64, damage.start);
        let must = regions.get(&(damage.file.clone(), place));
        let is_needed = shape == Shape::Bit && matches!(must, Some(Needed::By(reads)) if !reads.is_empty());
        assert!(named || !is_needed, "seed {seed}, byte {} of {}: no read noticed it", damage.start, damage.file);
        let count = counts.entry((kind, shape)).or_default();
        *count = (count.0 + 1, count.1 + u64::from(named));
        made += 1;
    }
    counts
}

#[test]
fn twenty_thousand_flips_and_a_thousand_other_damages() {
    let rows = LargeStore::new(6_000, false);
    let graphs = LargeStore::new(3_000, true);
    let (of_rows, of_graphs) = (learn(&rows), learn(&graphs));
    let mut work = Vec::new();
    for (kind, flips) in FLIPS {
        let (large, regions) =
            if matches!(kind, "codes" | "graph") { (&graphs, &of_graphs) } else { (&rows, &of_rows) };
        let longest = large.storage.names().into_iter().filter(|name| kind_of(name) == kind);
        let longest = longest.map(|name| large.storage.read_file(&name).unwrap().len()).max().unwrap_or(0);
        assert!(longest as u64 > BLOCK, "the longest {kind} file has {longest} bytes, so one block");
        (0..10).for_each(|part| work.push((large, regions, kind, Shape::Bit, flips / 10, 1_000 + part)));
        for shape in [Shape::Bytes, Shape::Sector, Shape::Exchanged, Shape::Cut] {
            work.push((large, regions, kind, shape, OTHERS / 8, 2_000));
        }
    }
    let next = AtomicUsize::new(0);
    let worker = || {
        let mut counts = Counts::new();
        while let Some(&(large, regions, kind, shape, wanted, seed)) = work.get(next.fetch_add(1, Ordering::Relaxed)) {
            for (what, (made, named)) in strikes(large, regions, kind, shape, wanted, seed) {
                let count = counts.entry(what).or_default();
                *count = (count.0 + made, count.1 + named);
            }
        }
        counts
    };
    let all = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..WORKERS).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).fold(Counts::new(), |mut all, counts| {
            for (what, (made, named)) in counts {
                let count = all.entry(what).or_default();
                *count = (count.0 + made, count.1 + named);
            }
            all
        })
    });
    println!("{:12} {:10} {:>8} {:>9} {:>9}", "kind", "damage", "made", "detected", "harmless");
    for ((kind, shape), (made, named)) in &all {
        println!("{kind:12} {:10} {made:8} {named:9} {:9}", format!("{shape:?}"), made - named);
    }
    let flips: u64 = all.iter().filter(|((_, shape), _)| *shape == Shape::Bit).map(|(_, (made, _))| made).sum();
    assert!(flips >= 20_000, "{flips}");
}
