//! The bodies of the fuzz targets over the kept seeds, their mutations and seeded random bytes, none of which may panic
//! or hold more heap at its peak than twice its input plus 16 MiB. Every body accepts some inputs and refuses others,
//! so none of them stops at a checksum.

use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use crate::common::Random;
use vecmem::testing::{FUZZ_TARGETS, FuzzTarget};

/// The system's allocator, counted.
struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

fn grew(bytes: usize) {
    let held = HELD.fetch_add(bytes, Ordering::Relaxed) + bytes;
    PEAK.fetch_max(held, Ordering::Relaxed);
}

// SAFETY: every call is passed on unchanged to the system's allocator, which keeps the contract; counting allocates
// nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        grew(layout.size());
        // SAFETY: the caller's obligations are those of this method.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        grew(layout.size());
        // SAFETY: the caller's obligations are those of this method.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's obligations are those of this method.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        grew(size);
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's obligations are those of this method.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const FILTER_WORDS: &[&[u8]] = &[
    b"{\"a\":",
    b"{\"a.b\":",
    b"{\"$and\":[",
    b"{\"$or\":[",
    b"{\"$not\":",
    b"{\"$eq\":",
    b"{\"$ne\":",
    b"{\"$gt\":",
    b"{\"$lte\":",
    b"{\"$in\":[",
    b"{\"$nin\":[",
    b"{\"$ieq\":\"AB\"}",
    b"{\"$starts_with\":\"a\"}",
    b"{\"$all\":[",
    b"{\"$size\":1}",
    b"{\"$elem_match\":",
    b"{\"$date\":\"1970-01-12T13:46:40Z\"}",
    b"{\"$item\":{\"key\":\"ab\"}}",
    b"{\"$item\":{\"created_at\":{\"$gte\":1000000000000}}}",
    b"\"1970-01-12\"",
    b"{\"$exists\":true",
    b"{\"$contains\":",
    b"}",
    b"]",
    b",",
    b"1",
    b"-1.5",
    b"null",
    b"true",
    b"\"x\"",
    b"\"a\":",
    b"\n",
    b"\n{\"a\":",
    b"{\"b\":",
    b"[",
    b"\"\\u0061\"",
    b"18446744073709551615",
    b"[]",
    b"{}",
];

const JSON_WORDS: &[&[u8]] = &[
    b"{\"a\":", b"\"b\"", b"[", b"]", b"}", b",", b":", b" ", b"-0", b"1.5e3", b"1e999", b"true", b"\\ud83d",
    b"\\ude00",
];

const NAMESPACE_WORDS: &[&[u8]] = &[b"a", b"b", b"/", b"|", b"\0", b"\0\xFF", b"ab/c"];

const CURSOR_WORDS: &[&[u8]] = &[b"0100", b"0101", b"01000000", b"00000000", b"05", b"61", b"ffffffff"];

const SELECTION_WORDS: &[&[u8]] = &[
    b"a",
    b"b",
    b".",
    b"a.b",
    b"\n",
    b"\n\n",
    b"{\"a\":",
    b"{\"b\":",
    b"\"a.b\":",
    b"\"b\":",
    b"1",
    b"[1]",
    b"null",
    b"}",
    b",",
    b" ",
    b"{}",
];

const NUMBER_WORDS: &[&[u8]] = &[b"\0\0\0\0", b"\xFF\xFF\xFF\xFF", b"\x01\0\0\0"];

/// How often random input has a word of the format, so that it gets further, and which.
fn words(name: &str) -> (u64, &'static [&'static [u8]]) {
    match name {
        "filter" => (95, FILTER_WORDS),
        "json" => (90, JSON_WORDS),
        "order_cursor" => (90, CURSOR_WORDS),
        "selection" => (90, SELECTION_WORDS),
        "namespace" => (80, NAMESPACE_WORDS),
        "store_ops" => (0, NUMBER_WORDS),
        _ => (20, NUMBER_WORDS),
    }
}

fn seeds(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(name);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "{} is empty", folder.display());
    paths.into_iter().map(|path| std::fs::read(path).unwrap()).collect()
}

fn random_bytes(random: &mut Random, name: &str, length_max: u64) -> Vec<u8> {
    let (percent, words) = words(name);
    let length = random.below(length_max) as usize;
    let mut bytes = Vec::new();
    while bytes.len() < length {
        if random.chance(percent) {
            bytes.extend_from_slice(random.pick::<&[u8]>(words));
        } else {
            bytes.push(random.draw() as u8);
        }
    }
    bytes
}

/// A seed with some bytes replaced, cut, inserted or repeated.
fn mutated(random: &mut Random, name: &str, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = random.pick(seeds).clone();
    for _ in 0..1 + random.below(6) {
        let at = random.below(bytes.len() as u64 + 1) as usize;
        match random.below(6) {
            0 => bytes.truncate(at),
            1 => drop(bytes.splice(at..at, random_bytes(random, name, 9))),
            2 => drop(bytes.drain(at..(at + random.below(9) as usize).min(bytes.len()))),
            3 => {
                let word = *random.pick(words(name).1);
                let end = (at + word.len()).min(bytes.len());
                drop(bytes.splice(at..end, word.iter().copied()));
            }
            4 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            _ if at < bytes.len() => bytes[at] = random.draw() as u8,
            _ => {}
        }
    }
    bytes
}

/// What the inputs of one target came to.
#[derive(Default)]
struct Tally {
    inputs: u64,
    accepted: u64,
    peak: usize,
}

impl Tally {
    fn run(&mut self, target: &FuzzTarget, bytes: &[u8], origin: &str) {
        let before = HELD.load(Ordering::Relaxed);
        PEAK.store(before, Ordering::Relaxed);
        let accepted = std::panic::catch_unwind(|| target.run(bytes)).unwrap_or_else(|panic| {
            println!("{} {origin}: {bytes:?}", target.name);
            std::panic::resume_unwind(panic)
        });
        let peak = PEAK.load(Ordering::Relaxed).saturating_sub(before);
        let most = 2 * bytes.len() + (16 << 20);
        assert!(peak <= most, "{} {origin}: {peak} bytes of heap for {bytes:?}", target.name);
        self.inputs += 1;
        self.accepted += u64::from(accepted);
        self.peak = self.peak.max(peak);
    }
}

// One test, because the heap is counted for all threads together.
#[test]
fn no_input_makes_a_body_panic_or_grow() {
    let only = std::env::var("VECMEM_FUZZ_TARGET").ok();
    let more: u64 = std::env::var("VECMEM_FUZZ_TIMES").ok().and_then(|times| times.parse().ok()).unwrap_or(1);
    for target in FUZZ_TARGETS.iter().filter(|target| only.as_ref().is_none_or(|only| only == target.name)) {
        let (started, seeds, mut tally) = (Instant::now(), seeds(target.name), Tally::default());
        for (number, bytes) in seeds.iter().enumerate() {
            tally.run(target, bytes, &format!("seed file {number}"));
        }
        for seed in 0..target.inputs * more {
            let mut random = Random::new(seed);
            let bytes = if seed % 2 == 0 {
                mutated(&mut random, target.name, &seeds)
            } else {
                random_bytes(&mut random, target.name, target.length_max)
            };
            tally.run(target, &bytes, &format!("seed {seed}"));
        }
        let Tally { inputs, accepted, peak } = tally;
        println!(
            "{:18} {inputs:7} inputs, {accepted:7} accepted, peak heap {peak:8}, {:?}",
            target.name,
            started.elapsed()
        );
        assert!(accepted > 0, "{}: no input is valid, so most of the reader is never reached", target.name);
    }
}

#[test]
fn every_target_has_a_binary_seeds_and_a_line_in_the_readme() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let (manifest, readme) = (read("Cargo.toml"), read("README.md"));
    let binaries = manifest.split("[[bin]]\nname = \"").skip(1).filter_map(|rest| rest.split('"').next());
    let binaries: BTreeSet<&str> = binaries.collect();
    let mut names: Vec<&str> = FUZZ_TARGETS.iter().map(|target| target.name).collect();
    names.push("import_lines");
    assert!(names.len() >= 24, "{}", names.len());
    assert_eq!(binaries, names.iter().copied().collect());
    for name in names {
        assert!(readme.contains(&format!("| `{name}` |")), "fuzz/README.md does not say what {name} is");
        assert!(!seeds(name).is_empty());
    }
}
