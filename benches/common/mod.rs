//! What the benches share: seeded data, real data where it is given, stores filled with it, and timing.
//!
//! Invariants:
//! * The same seed gives the same rows, vectors and order of access on every run.
//! * `VECMEM_DIALOGUES` names a directory with `vectors.f16.npy` and `items.jsonl.gz` (row i of one is line i of the
//!   other, `{"namespace": [..], "key": "..", "value": {..}}`). Without it, clustered vectors with made-up JSON stand
//!   in.
//! * Stores lie in `VECMEM_BENCH_DIR`, or else where temporary files do: figures of durable writes are those of that
//!   disk.
#![allow(dead_code, reason = "each bench uses a part of it")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use vecmem::testing::Random;
use vecmem::{Batch, Durability, ImportOptions, Metric, Namespace, Options, Put, Store, Tuning};

/// Dimensions of made-up vectors.
pub const DIMS: usize = 384;
const SEED: u64 = 0x5eed_0002;

/// The numbers of one part of a bench.
pub fn random(seed: u64) -> Random {
    Random::new(SEED ^ seed)
}

/// Vectors around 64 centres, as embeddings of texts lie around topics.
pub struct Clusters {
    centres: Vec<Vec<f32>>,
    random: Random,
}

impl Clusters {
    pub fn new(seed: u64) -> Self {
        let mut random = self::random(seed);
        let centres = (0..64).map(|_| (0..DIMS).map(|_| random.unit()).collect()).collect();
        Self { centres, random }
    }

    pub fn vector(&mut self) -> Vec<f32> {
        let centre = self.random.below(self.centres.len());
        self.centres[centre].iter().map(|value| value + 0.7 * self.random.unit()).collect()
    }
}

/// Whether the run only has to show that the bench works (`cargo bench -- --test`).
pub fn is_test() -> bool {
    std::env::args().any(|argument| argument == "--test")
}

/// `full`, or `tiny` under `--test`.
pub fn size(full: usize, tiny: usize) -> usize {
    if is_test() { tiny } else { full }
}

/// An item to import.
pub struct Row {
    pub namespace: Namespace,
    pub key: String,
    pub json: String,
    pub vector: Vec<f32>,
}

impl Row {
    pub fn put(&self) -> Put {
        Put::new(&self.namespace, self.key.as_str(), self.json.as_str()).vector(self.vector.as_slice())
    }
}

/// Rows, and what they are.
pub struct Rows {
    pub rows: Vec<Row>,
    pub what: String,
}

/// A JSON object of about 300 bytes.
pub fn json(number: usize) -> String {
    let speaker = if number.is_multiple_of(2) { "USER" } else { "SYSTEM" };
    let text = "the guest asked for a quiet table by the window, and would rather walk than take a taxi afterwards; ";
    format!(
        r#"{{"text":"{number}: {text}remembered so that nobody asks again","speaker":"{speaker}","service":"Restaurants_{}","turn":{},"acts":["INFORM","REQUEST"],"slots":{{"city":"San Jose","seats":"{}"}}}}"#,
        number % 7,
        number % 20,
        number % 9
    )
}

/// Made-up rows, `each` in each of the namespaces `("users", n)`.
pub fn made_up(count: usize, each: usize) -> Rows {
    let mut clusters = Clusters::new(1);
    let row = |number| Row {
        namespace: user(number / each),
        key: format!("{:04}", number % each),
        json: json(number),
        vector: clusters.vector(),
    };
    Rows { rows: (0..count).map(row).collect(), what: format!("{count} made-up rows, {DIMS}-d") }
}

/// The namespace `("users", number)`.
pub fn user(number: usize) -> Namespace {
    Namespace::new(["users", &format!("u{number:06}")]).expect("two short labels are a namespace")
}

/// The dialogues where they are given, else as many made-up rows; at most `limit`.
pub fn dialogues(limit: usize) -> Rows {
    let Some(directory) = std::env::var_os("VECMEM_DIALOGUES") else { return made_up(limit.min(70_137), 14) };
    let directory = PathBuf::from(directory);
    let (vectors, dims) = read_f16_npy(&directory.join("vectors.f16.npy"), limit);
    let lines = Command::new("gzip").arg("-dc").arg(directory.join("items.jsonl.gz")).output();
    let lines = String::from_utf8(lines.expect("gzip reads items.jsonl.gz").stdout).expect("JSON lines are UTF-8");
    let rows: Vec<Row> =
        lines.lines().zip(vectors.chunks_exact(dims)).map(|(line, vector)| row(line, vector)).collect();
    let what = format!("{} dialogue rows, {dims}-d", rows.len());
    Rows { rows, what }
}

/// The value is the last member of its line, and kept byte for byte.
fn row(line: &str, vector: &[f32]) -> Row {
    #[derive(serde::Deserialize)]
    struct Line {
        namespace: Vec<String>,
        key: String,
    }
    let head: Line = serde_json::from_str(line).expect("a line of items.jsonl.gz is an item");
    let namespace = Namespace::new(&head.namespace).expect("the labels of a line are a namespace");
    let value = line.split_once(r#""value":"#).map_or("{}", |(_, value)| &value[..value.len() - 1]);
    Row { namespace, key: head.key, json: value.to_owned(), vector: vector.to_vec() }
}

/// The first `limit` rows of a two-dimensional array of f16, and their length.
fn read_f16_npy(path: &Path, limit: usize) -> (Vec<f32>, usize) {
    let bytes = std::fs::read(path).expect("VECMEM_DIALOGUES holds vectors.f16.npy");
    let header_end = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let header = String::from_utf8_lossy(&bytes[10..header_end]).into_owned();
    let shape =
        header.split("'shape': (").nth(1).and_then(|rest| rest.split(')').next()).expect("the array has a shape");
    let dims: usize =
        shape.split(',').nth(1).and_then(|dims| dims.trim().parse().ok()).expect("the array has two axes");
    let halves = bytes[header_end..].as_chunks::<2>().0.iter().take(limit.saturating_mul(dims));
    (halves.map(|&half| f16_to_f32(u16::from_le_bytes(half))).collect(), dims)
}

fn f16_to_f32(half: u16) -> f32 {
    let (sign, exponent, fraction) = (u32::from(half >> 15) << 31, (half >> 10) & 31, u32::from(half & 0x3ff));
    match exponent {
        0 => f32::from_bits(sign | (fraction as f32 / 16_777_216.0).to_bits()),
        31 => f32::from_bits(sign | 0x7f80_0000 | fraction << 13),
        _ => f32::from_bits(sign | (u32::from(exponent) + 112) << 23 | fraction << 13),
    }
}

/// A directory of its own, removed when dropped.
pub fn directory() -> tempfile::TempDir {
    match std::env::var_os("VECMEM_BENCH_DIR") {
        Some(directory) => tempfile::tempdir_in(directory),
        None => tempfile::tempdir(),
    }
    .expect("a directory for the store can be made")
}

pub fn options() -> Options {
    Options::with_vectors(DIMS, Metric::Cosine)
}

/// Nothing merges by itself, and the memtable takes `rows`.
pub fn unmerged(rows: usize) -> Tuning {
    let tuning = Tuning::default();
    Tuning { memtable_rows: rows, memtable_bytes: 1 << 30, merge_ratio: 1 << 40, segments_max: 1 << 20, ..tuning }
}

pub fn open(path: &Path, options: Options) -> Store {
    Store::open(path, options).expect("the store opens")
}

/// Puts all rows, in batches of `batch`.
pub fn fill<'r>(store: &Store, rows: impl IntoIterator<Item = &'r Row>, batch: usize) {
    let mut open = Batch::new();
    let commit = |batch: Batch| store.batch(batch).expect("the batch is written");
    for row in rows {
        open.put(row.put());
        if open.len() == batch {
            commit(std::mem::take(&mut open));
        }
    }
    commit(open);
}

/// Puts rows by bulk import.
pub fn import(store: &Store, rows: &[Row]) {
    store.import(rows.iter().map(|row| Ok(row.put())), ImportOptions::new()).expect("the rows are imported");
}

/// A compacted store of these rows.
pub fn compacted(path: &Path, rows: &[Row]) -> Store {
    let dims = rows[0].vector.len();
    let store = open(path, Options::with_vectors(dims, Metric::Cosine).durability(Durability::Manual));
    fill(&store, rows, 4_096);
    store.compact().expect("the store compacts");
    store
}

/// The time of one call.
pub fn timed<T>(call: impl FnOnce() -> T) -> (Duration, T) {
    let start = Instant::now();
    let value = call();
    (start.elapsed(), value)
}

/// The times of `count` calls, sorted.
pub fn times(count: usize, mut call: impl FnMut()) -> Times {
    Times::of((0..count).map(|_| timed(&mut call).0).collect())
}

/// Sorted times of a call.
pub struct Times(Vec<Duration>);

impl Times {
    pub fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        Self(times)
    }

    pub fn percentile(&self, percent: f64) -> Duration {
        let index = (percent / 100.0 * (self.0.len().max(1) - 1) as f64).round() as usize;
        self.0.get(index).copied().unwrap_or_default()
    }

    pub fn median(&self) -> Duration {
        self.percentile(50.0)
    }
}

/// The middle one of some numbers.
pub fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_unstable_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Appends frames and syncs, as a log without an engine would.
pub struct BareLog {
    file: std::fs::File,
    frame: Vec<u8>,
    offset: u64,
    /// Where to start over; `None` for a file that grows.
    end: Option<u64>,
}

impl BareLog {
    /// In a file that grows with each frame.
    pub fn growing(directory: &Path, frame_bytes: usize) -> Self {
        let path = directory.join(format!("growing-{frame_bytes}.log"));
        let file = std::fs::File::create(&path).expect("the bare log can be made");
        Self { file, frame: vec![0xA5; frame_bytes], offset: 0, end: None }
    }

    /// In a file that was filled with zeros and synced before.
    pub fn prepared(directory: &Path, frame_bytes: usize) -> Self {
        let bytes = 32 << 20;
        let path = directory.join(format!("prepared-{frame_bytes}.log"));
        std::fs::write(&path, vec![0; bytes]).expect("the bare log can be prepared");
        let file = std::fs::OpenOptions::new().write(true).open(&path).expect("the bare log opens");
        file.sync_all().expect("the bare log is synced");
        Self { file, frame: vec![0xA5; frame_bytes], offset: 0, end: Some(bytes as u64) }
    }

    pub fn append(&mut self) {
        use std::os::unix::fs::FileExt;
        if self.end.is_some_and(|end| self.offset + self.frame.len() as u64 > end) {
            self.offset = 0;
        }
        self.file.write_all_at(&self.frame, self.offset).expect("the bare log is written");
        self.file.sync_data().expect("the bare log is synced");
        self.offset += self.frame.len().next_multiple_of(64) as u64;
    }
}
