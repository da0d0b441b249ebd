//! A power loss may leave anything in a log file that was being filled with zeros: the store opens, for nothing was
//! written there. A log file that was in use is missed, whatever is left of it.

use crate::crash::compare::same_items;
use crate::crash::history::{do_both, open};
use crate::crash::model::Model;
use crate::crash::operations::Generator;
use crate::crash::{START, options};
use vecmem::testing::{ChangeFate, Loss, Random, SimClock, SimOperation, SimStorage, UnsyncedChange};
use vecmem::{ErrorKind, Store};

/// Puts until the log has turned so many times; the model after each put.
fn write(storage: &SimStorage, clock: &SimClock, turns: usize) -> (Store, Vec<Model>) {
    let store = open(storage, clock, &options()).unwrap();
    let (mut generator, mut models) = (Generator::new(7, 14), vec![Model::default()]);
    while store.stats().unwrap().log.files_prepared < turns as u64 {
        let mut model = models[models.len() - 1].clone();
        let operation = generator.plain_put(&model);
        do_both(&store, clock, &mut model, &operation).unwrap();
        storage.set_tag(models.len() as u64);
        models.push(model);
    }
    (store, models)
}

fn garbage(length: usize) -> Vec<u8> {
    let mut random = Random::new(11);
    (0..length).map(|_| random.draw() as u8).collect()
}

/// The log files on a disk, oldest first.
fn logs(storage: &SimStorage) -> Vec<String> {
    storage.names().into_iter().filter(|name| name.ends_with(".log")).collect()
}

#[test]
fn garbage_in_a_file_that_was_being_prepared_is_ignored() {
    let (storage, clock) = (SimStorage::new(30), SimClock::new(START));
    storage.record_before(&[SimOperation::SyncAll]);
    let (_store, models) = write(&storage, &clock, 4);
    let mut prepared = 0;
    for image in storage.take_images() {
        let changes = image.unsynced();
        let created = |change: &UnsyncedChange| matches!(change, UnsyncedChange::Name(name) if name.ends_with(".log"));
        if !changes.iter().any(created) {
            continue;
        }
        prepared += 1;
        let fate = |change: &UnsyncedChange| match change {
            UnsyncedChange::Write { .. } => ChangeFate::Garbage(prepared),
            _ => ChangeFate::Done,
        };
        let left = image.survivor_of(&changes.iter().map(fate).collect::<Vec<_>>());
        let store = open(&left, &clock, &options()).unwrap_or_else(|error| panic!("file {prepared}: {error}"));
        // The frame of the write under way may be durable already.
        let acknowledged = image.tag as usize;
        let under_way = &models[acknowledged..=(acknowledged + 1).min(models.len() - 1)];
        let found = under_way.iter().find(|model| same_items(&store, model, &clock).is_ok());
        let mut model = found.unwrap_or_else(|| panic!("file {prepared}: an acknowledged write is lost")).reopened();
        let operation = Generator::new(prepared, 14).plain_put(&model);
        do_both(&store, &clock, &mut model, &operation).unwrap();
        let again = open(&left.crash(Loss::AllUnsynced, 0), &clock, &options()).unwrap();
        same_items(&again, &model.reopened(), &clock).unwrap();
    }
    assert!(prepared >= 3, "{prepared} files were being prepared");
}

#[test]
fn a_file_in_use_without_its_header_is_refused() {
    let (storage, clock) = (SimStorage::new(31), SimClock::new(START));
    let (_store, _) = write(&storage, &clock, 3);
    let whole = storage.crash(Loss::None, 0);
    let mut refused = 0;
    for name in logs(&whole) {
        let bytes = whole.read_file(&name).unwrap();
        if bytes.iter().all(|&byte| byte == 0) {
            continue;
        }
        // Without its header a file still has its frames; a file without both is named by the file before it.
        let predecessor_names_it = refused + 1 < logs(&whole).len();
        for lost in [8192, bytes.len()].into_iter().filter(|&lost| lost == 8192 || predecessor_names_it) {
            let left = whole.crash(Loss::None, 0);
            left.write_file(&name, &[&garbage(lost)[..], &bytes[lost..]].concat());
            let error = open(&left, &clock, &options()).map(drop).expect_err(&name);
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{name}, {lost} bytes: {error}");
            assert!(error.to_string().contains("wal-"), "{error}");
        }
        refused += 1;
    }
    assert!(refused >= 2, "{refused} files were in use");
}
