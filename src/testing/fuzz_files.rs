//! The fuzz bodies of manifests and segments. The input is a whole file, or damage to the files of a good store whose
//! checksums are then made right again, as an attacker would. Whatever the files hold, every call must return.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::codec::{Reader, Writer, salted_crc32c, seed};
use crate::engine::operation_ids::OperationIds;
use crate::error::{ErrorKind, Result};
use crate::file_names::{FileName, manifest_name, parse_name};
use crate::filter::Filter;
use crate::manifest::{Manifest, SideEntry};
use crate::segment::blocks::{FileIdentity, FinishedFile, forge};
use crate::segment::fuzz;
use crate::segment::side_file::SideFile;
use crate::segment::tombstones::file::TombstoneFile;
use crate::segment::truth::layout::blob_name;
use crate::shard::missed::MissedOperations;
use crate::storage::sim::{SimClock, SimStorage};
use crate::store::query::{IterateQuery, NamespaceQuery, Query, ReadOptions};
use crate::store::{ImportOptions, Options, Put, Store};
use crate::tuning::Tuning;
use crate::types::{Metric, Namespace, Scope};

const DIMS: usize = 3;
const START: i64 = 1_700_000_000_000_000;

/// A file of a store: its name and its bytes.
type FuzzFile = (String, Vec<u8>);

/// Opens `bytes` as a manifest: first unchanged, then as the body of a manifest with a right checksum, then as the
/// manifest of a store.
pub fn fuzz_manifest(bytes: &[u8]) {
    let name = manifest_name(1);
    let _ = Manifest::decode(&name, bytes, 1);
    for version in [1, 2] {
        if let Ok(manifest) = Manifest::decode(&name, &with_body(bytes, version), 1) {
            let again = Manifest::decode(&name, &manifest.encode(), 1);
            assert_eq!(again.ok(), Some(manifest), "what was read can be written");
        }
    }
    let file = with_body(bytes, 2);
    let storage = SimStorage::new(1);
    storage.write_file(&name, &file);
    use_store(&storage);
    // Here the segments exist, whatever the manifest says of them.
    let storage = good_store();
    let manifests = storage.names().into_iter().filter(|name| matches!(parse_name(name), Some(FileName::Manifest(_))));
    manifests.for_each(|name| storage.remove_file(&name));
    storage.write_file(&name, &file);
    use_store(&storage);
}

/// The newest manifest of the good store as generation 1, with `body` as its body, in format version `version`.
fn with_body(body: &[u8], version: u32) -> Vec<u8> {
    let Some(manifest) = newest_manifest(&good_store()) else { return Vec::new() };
    let honest = Manifest { generation: 1, ..manifest }.encode();
    let (magic, id) = (&honest[..8], &honest[16..24]);
    let number = |bytes: &[u8]| bytes.try_into().map_or(0, u64::from_le_bytes);
    let salt = seed(&[number(magic), number(id), 1]);
    let mut file = Writer::after(honest[..36].to_vec());
    file.set_u32(8, version);
    file.set_u32(12, version);
    file.prefixed(body);
    let crc = salted_crc32c(salt, file.as_slice());
    file.u32(crc);
    file.into_vec()
}

/// Opens `bytes` as a segment, tombstones or side files, or opens a store with the damage that `bytes` choose.
pub fn fuzz_segment_open(bytes: &[u8]) {
    let Some((&how, rest)) = bytes.split_first() else { return };
    match how % 4 {
        0 => fuzz::fuzz_segment_open(rest),
        1 => fuzz::fuzz_dead_file(rest),
        3 => fuzz_side_files(rest),
        _ => {
            let storage = good_store();
            damage(&storage, rest);
            use_store(&storage);
        }
    }
}

/// Reads `bytes` as a side file: unchanged, and with a right checksum as missed operations and as operation ids.
fn fuzz_side_files(bytes: &[u8]) {
    let storage = SimStorage::new(1);
    let file = SideFile { store_id: 1, file_id: 2, kind: "missed" };
    let _ = file.decode(bytes);
    assert_eq!(file.decode(&file.encode(bytes)).ok().as_deref(), Some(bytes), "what was written can be read");
    if let Ok(missed) = MissedOperations::decode(bytes) {
        let again = MissedOperations::decode(&missed.encode()).map(|again| again.operations());
        assert_eq!(again.ok(), Some(missed.operations()), "what was read can be written");
    }
    let ids = SideFile { kind: "operations", ..file };
    storage.write_file(&ids.name(), &ids.encode(bytes));
    let _ = OperationIds::open(&storage, 1, &[SideEntry::operations(2, 0)]);
}

/// A store with segments of flushes and imports, blob files, a graph, tombstones, touches, and rows and an import in
/// the log. Every call returns the same files.
fn good_store() -> SimStorage {
    static FILES: OnceLock<Vec<FuzzFile>> = OnceLock::new();
    let files = FILES.get_or_init(|| match write_good_store() {
        Ok(files) => files,
        Err(error) => unreachable!("nothing fails on this disk: {error}"),
    });
    let storage = SimStorage::new(1);
    files.iter().for_each(|(name, bytes)| storage.write_file(name, bytes));
    storage
}

fn write_good_store() -> Result<Vec<FuzzFile>> {
    let (storage, clock) = (SimStorage::new(1), SimClock::new(START));
    let store = open(&storage, &clock)?;
    for number in 0..70_u8 {
        let namespace = Namespace::new([["a", "b", "b\0"][usize::from(number % 3)], "x"])?;
        let text = "abc".repeat([1, 30, 200][usize::from(number % 5 / 2)]);
        let put = Put::new(&namespace, format!("key {}", number % 40), format!("{{\"n\":{number},\"t\":\"{text}\"}}"));
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
            let item = |n: u8| Ok(Put::new(&namespace, key(n), "{\"n\":7}").vector([f32::from(n), 0.0, 1.0]));
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

fn open(storage: &SimStorage, clock: &SimClock) -> Result<Store> {
    let options = Options::with_vectors(DIMS, Metric::Cosine).tuning(Tuning { graph_rows: 6, ..Tuning::tiny() });
    crate::store::open_with(Arc::new(storage.clone()), Arc::new(clock.clone()), options)
}

fn newest_manifest(storage: &SimStorage) -> Option<Manifest> {
    let generation = |name: &String| match parse_name(name) {
        Some(FileName::Manifest(generation)) => Some(generation),
        _ => None,
    };
    let newest = storage.names().iter().filter_map(generation).max()?;
    let name = manifest_name(newest);
    Manifest::decode(&name, &storage.read_file(&name)?, newest).ok()
}

/// Replaces bytes of segment files, then makes all checksums and the manifest agree with them.
fn damage(storage: &SimStorage, bytes: &[u8]) {
    let Some(mut manifest) = newest_manifest(storage) else { return };
    let names: Vec<String> = manifest.files().collect();
    let mut files: Vec<FuzzFile> =
        names.into_iter().filter_map(|name| Some((name.clone(), body_of(&name, storage.read_file(&name)?)))).collect();
    let mut reader = Reader::new(bytes);
    while let Ok([file, low, high, value]) = reader.array() {
        let count = files.len();
        let Some((_, content)) = files.get_mut(usize::from(file) % count.max(1)) else { return };
        // Half of the damage is near the beginning, where the fields are.
        let place = usize::from(u16::from_le_bytes([low, high]));
        let place = if file < 128 { place % content.len().min(512) } else { place % content.len() };
        content[place] = value;
    }
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
    let truth = crate::segment::truth::layout::StoreIdentity {
        store_id: 0,
        secret: [0, 0],
        space: None,
        space_id: Default::default(),
    }
    .truth(0);
    let mut magic = truth.magic;
    magic.copy_from_slice(&bytes[..8]);
    FileIdentity { magic, store_id: number_at(bytes, 16), file_id: number_at(bytes, 24), ..truth }
}

fn number_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_le_bytes)
}

/// Makes every kind of call on a store with any damage, and accepts every result.
fn use_store(storage: &SimStorage) {
    let clock = SimClock::new(START);
    let Ok(store) = open(storage, &clock) else { return };
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
}

fn read_everything(store: &Store, options: ReadOptions) {
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
