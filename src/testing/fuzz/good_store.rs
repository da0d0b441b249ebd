//! A good store for fuzz bodies to damage: its files, right checksums for damaged ones, and every kind of call on it.
//!
//! Invariants:
//! * Every call of [`good_store`] returns the same files.
//! * [`damage`] changes nothing but contents: afterwards all checksums, pins and the manifest agree with them.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::error::{ErrorKind, Result};
use crate::file_names::{FileName, manifest_name, parse_name};
use crate::filter::Filter;
use crate::manifest::Manifest;
use crate::segment::blocks::{FileIdentity, FinishedFile, forge};
use crate::segment::fuzz;
use crate::segment::tombstones::file::TombstoneFile;
use crate::segment::truth::layout::blob_name;
use crate::storage::sim::{SimClock, SimStorage};
use crate::store::query::{IterateQuery, NamespaceQuery, Query, ReadOptions};
use crate::store::{ImportOptions, Options, Put, Store};
use crate::tuning::Tuning;
use crate::types::{Metric, Namespace, Scope};

const DIMS: usize = 3;
pub(super) const START: i64 = 1_700_000_000_000_000;

/// A key and a value.
pub(super) type FuzzText = (String, String);
/// A file of a store: its name and its bytes.
pub(super) type FuzzFile = (String, Vec<u8>);

/// A store with segments of flushes and imports, blob files, a graph, tombstones, touches, and rows and an import in
/// the log. Every call returns the same files.
pub(super) fn good_store() -> SimStorage {
    static FILES: OnceLock<Vec<FuzzFile>> = OnceLock::new();
    let files = FILES.get_or_init(|| match write_good_store() {
        Ok(files) => files,
        Err(error) => unreachable!("nothing fails on this disk: {error}"),
    });
    let storage = SimStorage::new(1);
    files.iter().for_each(|(name, bytes)| storage.write_file(name, bytes));
    storage
}

/// The value of every imported item.
const IMPORTED: &str = "{\"n\":7}";

fn key_of(number: u8) -> String {
    format!("key {}", number % 40)
}

fn value_of(number: u8) -> String {
    let text = "abc".repeat([1, 30, 200][usize::from(number % 5 / 2)]);
    format!("{{\"n\":{number},\"t\":\"{text}\"}}")
}

/// Every key with every value that some item with that key has ever had.
pub(super) fn written() -> impl Iterator<Item = FuzzText> {
    let imported = (0..60).map(|number| (format!("key {number}"), IMPORTED.to_owned()));
    (0..70).map(|number| (key_of(number), value_of(number))).chain(imported)
}

fn write_good_store() -> Result<Vec<FuzzFile>> {
    let (storage, clock) = (SimStorage::new(1), SimClock::new(START));
    let store = open(&storage, &clock)?;
    for number in 0..70_u8 {
        let namespace = Namespace::new([["a", "b", "b\0"][usize::from(number % 3)], "x"])?;
        let put = Put::new(&namespace, key_of(number), value_of(number));
        let put = put.ttl(Duration::from_secs(3_600)).index_paths(["t", "n"]);
        let vector = [f32::from(number), 1.0, -2.0];
        store.put(match number % 4 {
            0 => put,
            1 => put.vector(vector).field_vector("t", [0.0; DIMS]),
            _ => put.vector(vector),
        })?;
        clock.advance(Duration::from_secs(20));
        if number == 45 || number == 69 {
            let key = |n: u8| format!("key {}", n + number % 40);
            let item = |n: u8| Ok(Put::new(&namespace, key(n), IMPORTED).vector([f32::from(n), 0.0, 1.0]));
            store.import((0..12).map(item), ImportOptions::new().source("fuzz"))?;
        }
        if number == 60 {
            let refresh = ReadOptions { refresh_ttl: true, ..ReadOptions::default() };
            store.list(&Query::new(Scope::Store).limit(9).offset(20).options(refresh))?;
            store.sync()?;
        }
    }
    store.close()?;
    Ok(storage.names().into_iter().filter_map(|name| Some((name.clone(), storage.read_file(&name)?))).collect())
}

pub(super) fn open(storage: &SimStorage, clock: &SimClock) -> Result<Store> {
    let options = Options::with_vectors(DIMS, Metric::Cosine).tuning(Tuning { graph_rows: 6, ..Tuning::tiny() });
    crate::store::open_with(Arc::new(storage.clone()), Arc::new(clock.clone()), options)
}

pub(super) fn newest_manifest(storage: &SimStorage) -> Option<Manifest> {
    let generation = |name: &String| match parse_name(name) {
        Some(FileName::Manifest(generation)) => Some(generation),
        _ => None,
    };
    let newest = storage.names().iter().filter_map(generation).max()?;
    let name = manifest_name(newest);
    Manifest::decode(&name, &storage.read_file(&name)?, newest).ok()
}

/// Lets `edit` change segment files, without the checksums at their ends, then makes all checksums and the manifest
/// agree with them. `edit` leaves each file in checked blocks at least its header.
pub(super) fn damage(storage: &SimStorage, edit: &mut dyn FnMut(&mut [FuzzFile])) {
    let Some(mut manifest) = newest_manifest(storage) else { return };
    let names: Vec<String> = manifest.files().collect();
    let mut files: Vec<FuzzFile> =
        names.into_iter().filter_map(|name| Some((name.clone(), body_of(&name, storage.read_file(&name)?)))).collect();
    edit(&mut files);
    for entry in manifest.shards.iter_mut().flat_map(|shard| &mut shard.segments) {
        for blob in &mut entry.blobs {
            let name = blob_name(blob.file_id);
            let Some((_, content)) = files.iter().find(|(found, _)| *found == name) else { continue };
            let (forged, finished) = forge(content.clone(), identity_of(content));
            storage.write_file(&name, &forged);
            (blob.length, blob.header_crc) = (finished.length, finished.header_crc);
        }
        for (name, content) in files.iter_mut().filter(|(name, _)| name.ends_with(".truth")) {
            if parse_name(name) == Some(FileName::Segment(entry.file_id)) {
                fuzz::pin_blobs(content, |file_id| {
                    let blob = entry.blobs.iter().find(|blob| blob.file_id == file_id)?;
                    Some(FinishedFile { length: blob.length, header_crc: blob.header_crc })
                });
                let (forged, finished) = forge(content.clone(), identity_of(content));
                storage.write_file(name, &forged);
                (entry.length, entry.header_crc) = (finished.length, finished.header_crc);
            }
        }
        for (name, content) in files.iter_mut().filter(|(name, _)| name.ends_with(".codes")) {
            if parse_name(name) == Some(FileName::Segment(entry.file_id)) {
                content[88..92].copy_from_slice(&entry.header_crc.to_le_bytes());
                storage.write_file(name, &forge(content.clone(), identity_of(content)).0);
            }
        }
        for (name, content) in files.iter_mut().filter(|(name, _)| name.ends_with(".graph")) {
            if number_at(content, 96) == entry.file_id {
                content[92..96].copy_from_slice(&entry.header_crc.to_le_bytes());
                storage.write_file(name, &forge(content.clone(), identity_of(content)).0);
            }
        }
        let (store_id, file_id, rows) = (manifest.store_id, entry.file_id, entry.rows);
        let dead = TombstoneFile { store_id, file_id, generation: entry.tombstone_generation, rows };
        if let Some((name, content)) = files.iter().find(|(name, _)| *name == dead.name()) {
            storage.write_file(name, &dead.forge(content.clone()));
        }
    }
    storage.write_file(&manifest_name(manifest.generation), &manifest.encode());
}

/// The file without the checksums at its end.
fn body_of(name: &str, mut bytes: Vec<u8>) -> Vec<u8> {
    let end = if name.ends_with(".dead") { bytes.len().saturating_sub(4) } else { number_at(&bytes, 40) as usize };
    bytes.truncate(end);
    bytes
}

/// The identity that the header of a file names, with its damage: `forge` writes it back.
fn identity_of(bytes: &[u8]) -> FileIdentity {
    let magic = number_at(bytes, 0).to_le_bytes();
    let version = number_at(bytes, 8) as u32;
    FileIdentity { magic, version, store_id: number_at(bytes, 16), file_id: number_at(bytes, 24) }
}

fn number_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_le_bytes)
}

/// Makes every kind of call on a store with any damage, and accepts every result. Returns whether it opened.
pub(super) fn use_store(storage: &SimStorage) -> bool {
    let clock = SimClock::new(START);
    let Ok(store) = open(storage, &clock) else { return false };
    read_everything(&store, ReadOptions { include_vectors: true, ..ReadOptions::default() });
    read_everything(&store, ReadOptions { partial: true, include_expired: true, ..ReadOptions::default() });
    let _ = (store.check(false), store.stats(), store.text_dump());
    let written = write_something(&store);
    let _ = (store.sweep(), store.sync(), store.check(true), store.compact());
    if written.is_ok() {
        read_everything(&store, ReadOptions { partial: true, ..ReadOptions::default() });
    }
    let _ = store.close();
    if let Err(error) = open(storage, &clock).and_then(|store| store.close()) {
        assert_ne!(error.kind(), ErrorKind::Locked, "nobody has it");
    }
    true
}

pub(super) fn read_everything(store: &Store, options: ReadOptions) {
    let scopes = [Some(Scope::Store), Scope::prefix(["b"]).ok(), Scope::prefix(["a", "x"]).ok()];
    for scope in scopes.into_iter().flatten() {
        let query = Query::new(scope.clone()).limit(50).options(options.clone());
        let filtered = query.clone().filter(Filter::gte("n", 30));
        for query in [query, filtered] {
            let _ = (store.list(&query), store.search(&query.clone().vector([1.0, 0.0, 2.0]).include_unscored(true)));
        }
        let _ = store.count(&scope, &options);
        let (walk, mut cursor) = (IterateQuery::new(scope).limit(7).options(options.clone()), None);
        // If the order of rows in a file is damaged, an iteration may return to the same row.
        for _ in 0..50 {
            cursor = store.iterate(&walk, cursor.as_ref()).ok().and_then(|page| page.next);
            if cursor.is_none() {
                break;
            }
        }
    }
    let _ = store.list_namespaces(&NamespaceQuery { options: options.clone(), ..NamespaceQuery::default() });
    if let Ok(namespace) = Namespace::new(["a", "x"]) {
        for number in 0..40 {
            let _ = store.get_with(&namespace, &format!("key {number}"), &options);
        }
        let _ = store.search_by_item(&namespace, "key 3", Query::new(Scope::Store).options(options));
    }
}

fn write_something(store: &Store) -> Result<()> {
    let namespace = Namespace::new(["b", "x"])?;
    for number in 0..30 {
        store.put(Put::new(&namespace, format!("key {number}"), "{\"new\":true}"))?;
    }
    store.delete(&namespace, "key 1")?;
    store.delete_range(&Scope::prefix(["a"])?)
}
