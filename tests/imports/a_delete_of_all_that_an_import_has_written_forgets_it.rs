//! A range delete of all that an import has written forgets the import in the same frame, so that a second import of
//! the source puts all its items again; a delete of a part leaves the checkpoint, so that the part stays deleted. Also
//! after a crash, a reopen, and in the middle of an import.

use std::collections::BTreeSet;

use crate::common::{Random, START, namespace, numbered, reopened, simulated, tiny_without_vectors};
use vecmem::testing::{Loss, SimClock, SimStorage};
use vecmem::{
    Error, ErrorKind, ImportOptions, ImportProgress, Options, PurgeOptions, Put, ReadOptions, Result, Scope, Store,
};

const LINES: u64 = 100;

/// A half of the lines lies in the namespace `a/0`, the other in `a/1`. Chunks of more than 8 rows become files.
fn lines() -> impl Iterator<Item = Result<Put>> {
    (0..LINES).map(|number| {
        let home = namespace(["a", if number % 2 == 0 { "0" } else { "1" }]);
        Ok(numbered(&home, format!("k{number}"), number))
    })
}

fn source<'a>(chunk_rows: usize) -> ImportOptions<'a> {
    ImportOptions::new().source("a hash").chunk_rows(chunk_rows)
}

fn count(store: &Store) -> u64 {
    store.count(&Scope::Store, &ReadOptions::default()).unwrap()
}

/// Another store's worth of items, so that a delete of what the import wrote is no delete of the whole store.
fn with_others(store: &Store) {
    store.put(numbered(&namespace(["b"]), "other", 1)).unwrap();
}

/// That the next import puts as many lines as were `forgotten`, and the one after it none.
fn imports(store: &Store, chunk_rows: usize, forgotten: bool) {
    let before = count(store);
    let report = store.import(lines(), source(chunk_rows)).unwrap();
    let wanted = if forgotten { (LINES, 0) } else { (0, LINES) };
    assert_eq!((report.imported, report.resumed_after, report.progress.complete), (wanted.0, wanted.1, true));
    assert!(forgotten || count(store) == before, "what was deleted does not come back");
    assert_eq!(store.import(lines(), source(chunk_rows)).unwrap().resumed_after, LINES);
    assert_eq!(store.check(false).unwrap().problems, Vec::<String>::new());
}

type Delete = fn(&Store) -> Result<()>;

/// Each kind of delete, whether it forgets the import, and how many of the lines it leaves.
fn deletes() -> [(Delete, bool, u64); 9] {
    [
        (|store| store.delete_everything(), true, 0),
        (|store| store.delete_range(&Scope::prefix(["a"])?), true, 0),
        (|store| store.purge(&Scope::prefix(["a"])?).map(drop), true, 0),
        (|store| store.delete_range(&Scope::from(&namespace(["a", "0"]))), false, LINES / 2),
        (|store| store.delete_range(&Scope::prefix(["a", "1"])?), false, LINES / 2),
        (|store| store.delete_range(&Scope::from(&namespace(["a"]))), false, LINES),
        (|store| store.delete_range(&Scope::prefix(["b"])?), false, LINES),
        (|store| store.purge(&Scope::prefix(["a", "1"])?).map(drop), false, LINES / 2),
        (
            |store| store.purge_with(&Scope::prefix(["a"])?, &PurgeOptions::new().keep_living(true)).map(drop),
            false,
            LINES,
        ),
    ]
}

fn options() -> [Options; 2] {
    [tiny_without_vectors(), tiny_without_vectors().split_keys([namespace(["a", "1"])])]
}

#[test]
fn it_begins_at_the_first_line_again_or_stays_complete() {
    for options in options() {
        for chunk_rows in [3, 40] {
            for (number, (delete, forgets, left)) in deletes().into_iter().enumerate() {
                for reopens in 0..3 {
                    let (mut store, storage, clock) = simulated(options.clone());
                    let reopen = |store: &mut Store| {
                        store.close().unwrap();
                        *store = reopened(&storage, &clock, options.clone());
                    };
                    store.import(lines(), source(chunk_rows)).unwrap();
                    with_others(&store);
                    if reopens == 1 {
                        reopen(&mut store);
                    }
                    delete(&store).unwrap();
                    let others = u64::from(number != 0 && number != 6);
                    assert_eq!(count(&store), left + others, "delete {number}");
                    assert_eq!(store.import_progress("a hash").unwrap().is_none(), forgets, "delete {number}");
                    if reopens == 2 {
                        reopen(&mut store);
                    }
                    imports(&store, chunk_rows, forgets);
                }
            }
        }
    }
}

#[test]
fn an_import_that_is_resumed_remembers_what_its_first_part_wrote() {
    for (first, forgets) in [(10, false), (0, true)] {
        let (store, storage, clock) = simulated(tiny_without_vectors());
        let other = namespace(["b"]);
        let items = |number| match number < first {
            true => Ok(numbered(&other, format!("k{number}"), number)),
            false => Ok(numbered(&namespace(["a", "0"]), format!("k{number}"), number)),
        };
        let stop = (0..20).map(|number| match number == 19 {
            true => Err(Error::new(ErrorKind::Io, "the cable was pulled")),
            false => items(number),
        });
        store.import(stop, source(5)).unwrap_err();
        store.close().unwrap();
        let store = reopened(&storage, &clock, tiny_without_vectors());
        assert_eq!(store.import((0..LINES).map(items), source(40)).unwrap().resumed_after, 15);
        store.delete_range(&Scope::from(&namespace(["a", "0"]))).unwrap();
        assert_eq!((count(&store), store.import_progress("a hash").unwrap().is_none()), (first, forgets));
    }
}

#[test]
fn a_crash_loses_both_or_neither() {
    for (number, (delete, forgets, left)) in deletes().into_iter().enumerate() {
        let (storage, clock) = (SimStorage::new(1), SimClock::new(START));
        let store = reopened(&storage, &clock, tiny_without_vectors());
        store.import(lines(), source(40)).unwrap();
        storage.record_sync_points();
        delete(&store).unwrap();
        store.close().unwrap();
        let mut found = BTreeSet::new();
        for (sync, image) in storage.take_images().iter().enumerate() {
            let store = reopened(&image.survivor(Loss::Torn, sync as u64), &clock, tiny_without_vectors());
            let (items, is_forgotten) = (count(&store), store.import_progress("a hash").unwrap().is_none());
            assert!(items == LINES || items == left, "delete {number}, sync {sync}");
            assert_eq!(is_forgotten, forgets && items == left, "delete {number}, sync {sync}: {items} items");
            found.insert(items);
            imports(&store, 40, is_forgotten);
        }
        assert!(found.contains(&left), "delete {number}: a crash after the delete");
    }
}

#[test]
fn an_import_under_way_that_is_forgotten_keeps_no_checkpoint_any_more() {
    // Between two chunks: of log frames, of files.
    for chunk_rows in [3, 40] {
        for (delete, forgets, _) in deletes() {
            let (store, storage, clock) = simulated(tiny_without_vectors());
            let mut deleted = false;
            let deleting = source(chunk_rows).on_progress(|progress| {
                if progress.lines >= 40 && !std::mem::replace(&mut deleted, true) {
                    delete(&store).unwrap();
                }
            });
            let report = store.import(lines(), deleting).unwrap();
            assert_eq!((report.imported, report.progress.complete), (LINES, true), "the import goes on");
            assert_eq!(store.import_progress("a hash").unwrap().is_none(), forgets);
            store.close().unwrap();
            imports(&reopened(&storage, &clock, tiny_without_vectors()), chunk_rows, forgets);
        }
    }
}

#[test]
fn a_delete_while_the_files_of_a_chunk_wait_for_their_frame() {
    for (number, (delete, forgets, _)) in
        deletes().into_iter().enumerate().filter(|(number, _)| ![2, 7, 8].contains(number))
    {
        for chunk in 0..3 {
            let (store, storage, clock) = simulated(tiny_without_vectors());
            let mut chunks = 0;
            let deleting = source(40).before_commit(|| {
                if chunks == chunk {
                    delete(&store).unwrap();
                }
                chunks += 1;
            });
            assert!(store.import(lines(), deleting).unwrap().progress.complete);
            // Before the first frame there is nothing to forget: the items of the chunk come after the delete.
            let forgotten = forgets && chunk > 0;
            let found = (chunks, store.import_progress("a hash").unwrap().is_none());
            assert_eq!(found, (3, forgotten), "delete {number}, chunk {chunk}");
            assert!(forgotten || number > 2 || count(&store) == LINES);
            store.close().unwrap();
            imports(&reopened(&storage, &clock, tiny_without_vectors()), 40, forgotten);
        }
    }
}

#[test]
fn deletes_before_an_import_begins_are_none_of_its_own() {
    let (store, storage, clock) = simulated(tiny_without_vectors());
    store.delete_everything().unwrap();
    store.import(lines(), source(40)).unwrap();
    store.close().unwrap();
    let done = ImportProgress { lines: LINES, imported: LINES, complete: true, ..ImportProgress::default() };
    let store = reopened(&storage, &clock, tiny_without_vectors());
    assert_eq!(store.import_progress("a hash").unwrap(), Some(done));
}

#[test]
fn a_checkpoint_that_does_not_say_what_was_written_goes_with_everything_only() {
    let (store, _, _) = simulated(tiny_without_vectors());
    let mut batch = vecmem::Batch::new();
    batch.put(numbered(&namespace(["a", "0"]), "k0", 0)).import_checkpoint("a hash", "{}");
    store.batch(batch).unwrap();
    store.delete_range(&Scope::prefix(["a"]).unwrap()).unwrap();
    assert!(store.import_checkpoint("a hash").unwrap().is_some());
    store.delete_everything().unwrap();
    assert!(store.import_checkpoint("a hash").unwrap().is_none());
}

#[test]
fn damage_that_hides_the_checkpoints_stops_no_delete() {
    let (storage, clock) = (SimStorage::new(1), SimClock::new(START));
    let options = || tiny_without_vectors().split_keys([namespace(["a"])]);
    let store = reopened(&storage, &clock, options());
    store.import(lines(), source(40)).unwrap();
    store.compact().unwrap();
    store.close().unwrap();
    // Of the first shard, which holds nothing but the checkpoint.
    let segments = storage.names().into_iter().filter(|name| name.ends_with(".truth"));
    let smallest = segments.min_by_key(|name| storage.read_file(name).unwrap().len()).unwrap();
    storage.write_file(&smallest, b"not a segment");
    let store = reopened(&storage, &clock, options());
    assert_eq!(store.import_progress("a hash").unwrap_err().kind(), ErrorKind::Damaged);
    store.delete_range(&Scope::prefix(["a"]).unwrap()).unwrap();
    assert_eq!(count(&store), 0);
    assert_eq!(store.import(lines(), source(40)).unwrap_err().kind(), ErrorKind::Damaged);
}

#[test]
fn no_label_of_what_was_imported_is_left_beside_a_checkpoint() {
    let (store, storage, _) = simulated(tiny_without_vectors());
    let mut random = Random::new(5);
    let label = format!("canary{}", random.below(1_000_000));
    let home = namespace(["kept", &label]);
    let items = (0..50).map(|number| Ok(numbered(&home, format!("k{number}"), number)));
    let others = (0..50).map(|number| Ok(numbered(&namespace(["kept", "z"]), format!("k{number}"), number)));
    store.import(items.chain(others), source(40)).unwrap();
    store.purge(&Scope::from(&home)).unwrap();
    assert!(store.import_progress("a hash").unwrap().is_some());
    for name in storage.names() {
        let bytes = storage.read_file(&name).unwrap();
        assert!(!bytes.windows(label.len()).any(|window| window == label.as_bytes()), "{name}");
    }
}
