//! An error about damaged bytes names their file and their place in it as data, not only in its text: on a simulated
//! disk, and on a real one with default tuning.

use crate::common::{namespace, numbered, reopened, simulated, tiny_without_vectors};
use vecmem::testing::{Loss, SimStorage};
use vecmem::{Error, ErrorKind, Options, Store};

const BLOCK_BYTES: u64 = 64 << 10;

fn fill(store: &Store) {
    for number in 0..200 {
        store.put(numbered(&namespace(["a"]), format!("{number:03}"), number)).unwrap();
    }
    store.compact().unwrap();
    store.close().unwrap();
}

fn truth_of(names: impl IntoIterator<Item = String>) -> String {
    names.into_iter().find(|name| name.ends_with(".truth")).unwrap()
}

/// The first error that reads of all items meet.
fn first_error(store: &Store) -> Error {
    let get = |number: u64| store.get(&namespace(["a"]), &format!("{number:03}")).err();
    (0..200).find_map(get).expect("a damaged item")
}

fn is_there(error: &Error, file: &str, flipped: u64) {
    assert_eq!(error.kind(), ErrorKind::Damaged, "{error}");
    let place = error.location().expect("a place");
    let offset = place.offset.expect("a place in the file");
    assert!(place.file.ends_with(file) && error.to_string().contains(&format!("at offset {offset}")), "{error}");
    assert!(offset <= flipped && flipped < offset + BLOCK_BYTES, "byte {flipped} is not in the block at {offset}");
    assert_eq!(error.duplicate().location(), error.location());
}

#[test]
fn on_a_simulated_disk() {
    let (store, storage, clock) = simulated(tiny_without_vectors());
    fill(&store);
    let file = truth_of(SimStorage::names(&storage));
    let mut bytes = storage.read_file(&file).unwrap();
    let at = bytes.len() - 100;
    bytes[at] ^= 1;
    storage.write_file(&file, &bytes);
    is_there(&first_error(&reopened(&storage, &clock, tiny_without_vectors())), &file, at as u64);
    let invalid = Store::open("", Options::new()).unwrap_err();
    assert_eq!((invalid.kind(), invalid.location()), (ErrorKind::InvalidInput, None));
}

#[test]
fn on_a_real_disk_with_default_tuning() {
    let directory = tempfile::tempdir().unwrap();
    fill(&Store::open(directory.path(), Options::new()).unwrap());
    let names = std::fs::read_dir(directory.path()).unwrap();
    let file = truth_of(names.map(|entry| entry.unwrap().file_name().into_string().unwrap()));
    let mut bytes = std::fs::read(directory.path().join(&file)).unwrap();
    let at = bytes.len() - 100;
    bytes[at] ^= 1;
    std::fs::write(directory.path().join(&file), &bytes).unwrap();
    is_there(&first_error(&Store::open(directory.path(), Options::new()).unwrap()), &file, at as u64);
}

#[test]
fn of_a_segment_into_which_a_write_could_not_be_replayed() {
    let (store, storage, clock) = simulated(tiny_without_vectors());
    fill(&store);
    let store = reopened(&storage, &clock, tiny_without_vectors());
    assert!(store.delete(&namespace(["a"]), "100").unwrap());
    let killed = storage.crash(Loss::None, 0);
    let file = truth_of(SimStorage::names(&killed));
    let at = killed.read_file(&file).unwrap().len() as u64 - 100;
    killed.flip_bit(&file, 8 * at);
    let error = first_error(&reopened(&killed, &clock, tiny_without_vectors()));
    assert!(error.to_string().contains("could not be replayed"), "{error}");
    is_there(&error, &file, at);
}
