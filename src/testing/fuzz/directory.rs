//! The fuzz bodies of whole directories: a good store, a log, or a store of an older version, with edited, exchanged
//! and missing files. Edited files have right checksums only where the input asks for it.
//!
//! Invariants:
//! * Whatever the files hold, every call returns.
//! * If one file is edited, and its checksums are as they were, a store gives its items or fails: never others. Salvage
//!   gives only values that were written under their key.
//! * If files of a backup are edited, and its record is as it was, a restore gives the items of the backup or fails.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::super::restore;
use super::edits::edited;
use super::good_store::{FuzzFile, FuzzText, START, damage, good_store, open, read_everything, use_store, written};
use crate::codec::crc32c;
use crate::file_names::{FileName, parse_name};
use crate::manifest::BackupRecord;
use crate::storage::disk::DiskStorage;
use crate::storage::sim::{SimClock, SimStorage};
use crate::storage::{ReadMode, Storage};
use crate::store::query::{IterateQuery, ReadOptions};
use crate::store::{BackupOptions, Options, Store, salvage_into};
use crate::tuning::Tuning;
use crate::types::{Metric, Scope};
use crate::wal::fuzz::{forge_log, fuzz_log, good_log};

/// Bytes at the beginning of a file whose edit is pointless with right checksums: identity and lengths.
const IDENTITY_BYTES: usize = 64;

/// Edits one or both files of a log, replays it and salvages it.
pub(super) fn fuzz_wal_salvage(bytes: &[u8]) -> bool {
    let Some((&how, script)) = bytes.split_first() else { return false };
    let (mut files, is_forged) = (good_log(), how & 4 != 0);
    for (index, id) in [(0, 1), (1, 2)] {
        if how & (1 << index) == 0 {
            continue;
        }
        let length = files[index].len();
        files[index] = edited(&files[index], 0, script);
        if is_forged {
            files[index].resize(length, 0);
            files[index] = forge_log(std::mem::take(&mut files[index]), id);
        }
    }
    fuzz_log(&files, is_forged)
}

/// Edits files of the good store, opens it, and makes every kind of call.
pub(super) fn fuzz_directory(bytes: &[u8]) -> bool {
    let Some((&how, rest)) = bytes.split_first() else { return false };
    let storage = good_store();
    match how % 4 {
        0 => edit_one(&storage, rest) && equals_or_fails(&storage, &expected_dump(), open),
        1 => {
            edit_some(&storage, rest);
            use_store(&storage)
        }
        2 => {
            forge_one(&storage, rest);
            use_store(&storage)
        }
        _ => {
            exchange(&storage, rest);
            use_store(&storage)
        }
    }
}

/// Salvages the good store with edited files into a new store.
pub(super) fn fuzz_salvage(bytes: &[u8]) -> bool {
    let Some((&how, rest)) = bytes.split_first() else { return false };
    let storage = good_store();
    match how % 4 {
        0 => _ = edit_one(&storage, rest),
        1 => edit_some(&storage, rest),
        2 => forge_one(&storage, rest),
        _ => exchange(&storage, rest),
    }
    let (target, clock) = (SimStorage::new(2), Arc::new(SimClock::new(START)));
    let new = |options: Options| {
        crate::store::open_with(Arc::new(target.clone()), clock.clone(), options.tuning(Tuning::tiny()))
    };
    if salvage_into(&storage, new).is_err() {
        return false;
    }
    let Ok(store) = open(&target, &clock) else { return true };
    let everything = ReadOptions { include_expired: true, ..ReadOptions::default() };
    let page = store.iterate(&IterateQuery::new(Scope::Store).limit(usize::MAX).options(everything), None);
    let Ok(page) = page else { panic!("a new store cannot be read: {:?}", page.err()) };
    if how % 4 < 2 {
        for item in &page.items {
            assert!(was_written(&item.key, &item.value), "salvage invents {item:?}");
        }
    }
    true
}

/// Edits the files of a backup of the good store, and restores it, or opens it as a store.
pub(super) fn fuzz_backup(bytes: &[u8]) -> bool {
    let Some((&how, rest)) = bytes.split_first() else { return false };
    let storage = good_backup();
    match how % 4 {
        0 => _ = edit_one(&storage, rest),
        1 => edit_some(&storage, rest),
        2 => forge_record(&storage, rest),
        _ => exchange(&storage, rest),
    }
    if how & 4 != 0 {
        return use_store(&storage);
    }
    let (target, clock) = (SimStorage::new(2), SimClock::new(START));
    if restore(&storage, &target, &BackupOptions::new()).is_err() {
        assert!(open_existing(&target, &clock).is_err(), "what was not restored opens");
        return false;
    }
    let Ok(store) = open_existing(&target, &clock) else { panic!("what was restored does not open") };
    read_everything(&store, ReadOptions { include_vectors: true, ..ReadOptions::default() });
    if how % 4 != 2 {
        assert_eq!(store.text_dump().ok(), Some(expected_dump()), "a restore gives other items");
    }
    true
}

/// A backup of the good store.
fn good_backup() -> SimStorage {
    static FILES: OnceLock<Vec<FuzzFile>> = OnceLock::new();
    let files = FILES.get_or_init(|| {
        let target = SimStorage::new(3);
        let made = open(&good_store(), &SimClock::new(START))
            .and_then(|store| store.backup_to(&target, &BackupOptions::new()));
        made.unwrap_or_else(|error| unreachable!("the good store is backed up: {error}"));
        target.names().into_iter().filter_map(|name| Some((name.clone(), target.read_file(&name)?))).collect()
    });
    let storage = SimStorage::new(1);
    files.iter().for_each(|(name, bytes)| storage.write_file(name, bytes));
    storage
}

/// Edits one file of a backup. The record agrees with the edits.
fn forge_record(storage: &SimStorage, bytes: &[u8]) {
    let is_record = |name: &String| parse_name(name) == Some(FileName::Record);
    let Some(name) = storage.names().into_iter().find(is_record) else { return };
    let Ok(mut record) = BackupRecord::read(storage, &name) else { return };
    edit_one(storage, bytes);
    for file in &mut record.files {
        let Some(content) = storage.read_file(&file.name) else { continue };
        (file.length, file.crc) = (content.len() as u64, crc32c(0, &content));
    }
    storage.write_file(&name, &record.encode());
}

/// Opens a store, and creates none.
fn open_existing(storage: &SimStorage, clock: &SimClock) -> crate::error::Result<Store> {
    let options = Options::new().create(false).tuning(Tuning::tiny());
    crate::store::open_with(Arc::new(storage.clone()), Arc::new(clock.clone()), options)
}

/// Edits one file of a store that an older version has written, and opens the store.
pub(super) fn fuzz_upgrade(bytes: &[u8]) -> bool {
    const FOLDERS: [&str; 4] = ["closed-2", "closed-8025b5b", "killed-2", "killed-8025b5b"];
    static FIXTURES: OnceLock<Vec<Vec<FuzzFile>>> = OnceLock::new();
    static DUMPS: OnceLock<Vec<String>> = OnceLock::new();
    let Some((&which, rest)) = bytes.split_first() else { return false };
    let which = usize::from(which) % FOLDERS.len();
    let fixtures = FIXTURES.get_or_init(|| FOLDERS.iter().map(|folder| fixture(folder)).collect());
    let disk = |files: &[FuzzFile]| {
        let storage = SimStorage::new(1);
        files.iter().for_each(|(name, bytes)| storage.write_file(name, bytes));
        storage
    };
    let dump = |files: &Vec<FuzzFile>| open_fixture(&disk(files), &fixture_clock()).and_then(|store| store.text_dump());
    let dumps = DUMPS.get_or_init(|| fixtures.iter().map(|files| dump(files).unwrap_or_default()).collect());
    assert!(!dumps[which].is_empty(), "{} does not open", FOLDERS[which]);
    let storage = disk(&fixtures[which]);
    if !edit_one(&storage, rest) {
        return false;
    }
    if FOLDERS[which].starts_with("closed") {
        return equals_or_fails(&storage, &dumps[which], |storage, _| open_fixture(storage, &fixture_clock()));
    }
    // A killed store may lose what no sync has covered.
    let Ok(store) = open_fixture(&storage, &fixture_clock()) else { return false };
    read_everything(&store, ReadOptions { partial: true, ..ReadOptions::default() });
    true
}

/// The files of a fixture store in `tests/fixtures/`.
fn fixture(folder: &str) -> Vec<FuzzFile> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(folder);
    let files = DiskStorage::open(&path, false, ReadMode::Heap).and_then(|storage| {
        storage.list()?.into_iter().map(|(name, _)| Ok((name.clone(), storage.map(&name)?.to_vec()))).collect()
    });
    files.unwrap_or_else(|error| panic!("{} cannot be read: {error}", path.display()))
}

fn fixture_clock() -> SimClock {
    let clock = SimClock::new(START);
    clock.advance(Duration::from_secs(360_000_200));
    clock
}

fn open_fixture(storage: &SimStorage, clock: &SimClock) -> crate::error::Result<Store> {
    let options = Options::with_vectors(8, Metric::Cosine).tuning(Tuning::tiny());
    crate::store::open_with(Arc::new(storage.clone()), Arc::new(clock.clone()), options)
}

/// Edits the file that the first byte of `bytes` chooses. Returns whether that changed it.
fn edit_one(storage: &SimStorage, bytes: &[u8]) -> bool {
    let Some((&file, script)) = bytes.split_first() else { return false };
    let names = storage.names();
    let Some(name) = names.get(usize::from(file) % names.len().max(1)) else { return false };
    let Some(content) = storage.read_file(name) else { return false };
    let damaged = edited(&content, 0, script);
    storage.write_file(name, &damaged);
    damaged != content
}

/// Edits several files.
fn edit_some(storage: &SimStorage, bytes: &[u8]) {
    for piece in bytes.chunks(16) {
        edit_one(storage, piece);
    }
}

/// Edits the segment file that the first byte of `bytes` chooses. All checksums and the manifest agree with the edits.
fn forge_one(storage: &SimStorage, bytes: &[u8]) {
    let Some((&file, script)) = bytes.split_first() else { return };
    damage(storage, &mut |files| {
        let count = files.len();
        let Some((_, content)) = files.get_mut(usize::from(file) % count.max(1)) else { return };
        let length = content.len();
        *content = edited(content, IDENTITY_BYTES.min(length), script);
        content.resize(length, 0);
    });
}

/// Removes, copies and cuts files.
fn exchange(storage: &SimStorage, bytes: &[u8]) {
    for choice in bytes.chunks_exact(3).take(8) {
        let names = storage.names();
        let chosen = |byte: u8| names.get(usize::from(byte) % names.len().max(1));
        let (Some(one), Some(other)) = (chosen(choice[1]), chosen(choice[2])) else { return };
        match (choice[0] % 4, storage.read_file(one)) {
            (0, _) => storage.remove_file(one),
            (1, Some(content)) => storage.truncate(one, content.len() as u64 * u64::from(choice[2]) / 256),
            (_, Some(content)) => storage.write_file(other, &content),
            (_, None) => {}
        }
    }
}

/// The items of the good store, as text.
fn expected_dump() -> String {
    static DUMP: OnceLock<String> = OnceLock::new();
    let dump = || match open(&good_store(), &SimClock::new(START)).and_then(|store| store.text_dump()) {
        Ok(dump) => dump,
        Err(error) => unreachable!("the good store opens: {error}"),
    };
    DUMP.get_or_init(dump).clone()
}

/// Opens a store of which one file is damaged: every item is as before, or the store or the read fails.
fn equals_or_fails(
    storage: &SimStorage,
    expected: &str,
    open: fn(&SimStorage, &SimClock) -> crate::error::Result<Store>,
) -> bool {
    let clock = SimClock::new(START);
    let Ok(store) = open(storage, &clock) else { return false };
    if let Ok(dump) = store.text_dump() {
        assert_eq!(dump, expected, "wrong items instead of an error");
    }
    read_everything(&store, ReadOptions { include_vectors: true, ..ReadOptions::default() });
    true
}

/// Whether an item of the good store ever had this value.
fn was_written(key: &str, value: &str) -> bool {
    static WRITTEN: OnceLock<BTreeSet<FuzzText>> = OnceLock::new();
    let values = WRITTEN.get_or_init(|| written().collect());
    values.contains(&(key.to_owned(), value.to_owned()))
}
