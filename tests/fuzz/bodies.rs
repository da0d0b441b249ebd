//! The bodies of the fuzz targets over the kept seeds, their mutations and seeded random bytes, none of which may panic
//! or hold more heap at its peak than twice its input plus 16 MiB.

use std::alloc::{GlobalAlloc, Layout, System};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::common::Random;
use vecmem::testing::{fuzz_filter, fuzz_manifest, fuzz_segment_open, fuzz_store_operations, fuzz_wal_replay};

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

/// A target: its folder of seeds, its body, how many inputs to try, and the longest one.
struct Target {
    name: &'static str,
    body: fn(&[u8]),
    inputs: u64,
    length_max: u64,
    /// Words of the format, so that random input gets further.
    words: &'static [&'static [u8]],
}

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

const TARGETS: &[Target] = &[
    Target {
        name: "wal_replay",
        body: fuzz_wal_replay,
        inputs: 4_000,
        length_max: 2_000,
        words: &[b"\0\0\0\0", b"\xFF\xFF\xFF\xFF"],
    },
    Target {
        name: "manifest",
        body: fuzz_manifest,
        inputs: 3_000,
        length_max: 400,
        words: &[b"\0\0\0\0", b"\xFF\xFF\xFF\xFF", b"\x01\0\0\0"],
    },
    Target {
        name: "segment_open",
        body: fuzz_segment_open,
        inputs: 4_000,
        length_max: 300,
        words: &[b"\0\0\0\0", b"\xFF\xFF\xFF\xFF"],
    },
    Target { name: "filter", body: fuzz_filter, inputs: 40_000, length_max: 60, words: FILTER_WORDS },
    Target { name: "store_ops", body: fuzz_store_operations, inputs: 400, length_max: 1_500, words: &[] },
];

fn seeds(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(name);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "{} is empty", folder.display());
    paths.into_iter().map(|path| std::fs::read(path).unwrap()).collect()
}

fn random_bytes(random: &mut Random, target: &Target) -> Vec<u8> {
    let length = random.below(target.length_max) as usize;
    let mut bytes = Vec::new();
    while bytes.len() < length {
        if !target.words.is_empty() && random.chance(if target.name == "filter" { 95 } else { 20 }) {
            bytes.extend_from_slice(target.words[random.below(target.words.len() as u64) as usize]);
        } else {
            bytes.push(random.draw() as u8);
        }
    }
    bytes
}

/// A seed with some bytes replaced, cut, inserted or repeated.
fn mutated(random: &mut Random, target: &Target, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = seeds[random.below(seeds.len() as u64) as usize].clone();
    for _ in 0..1 + random.below(6) {
        let at = random.below(bytes.len() as u64 + 1) as usize;
        match random.below(6) {
            0 => bytes.truncate(at),
            1 => drop(bytes.splice(at..at, random_bytes(random, &Target { length_max: 9, ..*target }))),
            2 => drop(bytes.drain(at..(at + random.below(9) as usize).min(bytes.len()))),
            3 if !target.words.is_empty() => {
                let word = target.words[random.below(target.words.len() as u64) as usize];
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

fn run(target: &Target, bytes: &[u8], origin: &str) -> usize {
    let before = HELD.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    if let Err(panic) = std::panic::catch_unwind(|| (target.body)(bytes)) {
        println!("{} {origin}: {bytes:?}", target.name);
        std::panic::resume_unwind(panic);
    }
    let peak = PEAK.load(Ordering::Relaxed).saturating_sub(before);
    assert!(peak <= 2 * bytes.len() + (16 << 20), "{} {origin}: {peak} bytes of heap for {bytes:?}", target.name);
    peak
}

// One test, because the heap is counted for all threads together.
#[test]
fn no_input_makes_a_body_panic_or_grow() {
    let only = std::env::var("VECMEM_FUZZ_TARGET").ok();
    let more: u64 = std::env::var("VECMEM_FUZZ_TIMES").ok().and_then(|times| times.parse().ok()).unwrap_or(1);
    for target in TARGETS.iter().filter(|target| only.as_ref().is_none_or(|only| only == target.name)) {
        let seeds = seeds(target.name);
        let mut peak = 0;
        for (number, bytes) in seeds.iter().enumerate() {
            peak = peak.max(run(target, bytes, &format!("seed file {number}")));
        }
        for seed in 0..target.inputs * more {
            let mut random = Random::new(seed);
            let random = &mut random;
            let bytes = if seed % 2 == 0 { mutated(random, target, &seeds) } else { random_bytes(random, target) };
            peak = peak.max(run(target, &bytes, &format!("seed {seed}")));
        }
        println!("{}: {} seed files, {} inputs, peak heap {peak}", target.name, seeds.len(), target.inputs * more);
    }
}
