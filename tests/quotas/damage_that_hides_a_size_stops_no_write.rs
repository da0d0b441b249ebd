//! Where a damaged block hides the size of an item, whatever passes in a store without quotas passes in one with a
//! quota of bytes, and the rest of the items is counted.

use std::sync::Arc;

use vecmem::testing::{Loss, SimClock, SimStorage, open_with};
use vecmem::{ErrorKind, ImportOptions, Options, Quota, Scope, Store, Tuning};

use crate::common::{namespace, numbered};

/// So many that each column has blocks of its own.
const ROWS: u64 = 40_000;
const BLOCK: usize = 64 << 10;

fn open(storage: &SimStorage) -> vecmem::Result<Store> {
    let options = Options::new().tuning(Tuning { inline_background: true, ..Tuning::default() });
    open_with(Arc::new(storage.clone()), Arc::new(SimClock::new(1_700_000_000_000_000)), options)
}

fn key(number: u64) -> String {
    format!("{number:06}")
}

/// What a delete in the middle and a put of a new item end with; `None` if the store does not open.
fn outcome(storage: &SimStorage) -> Option<[Result<bool, ErrorKind>; 2]> {
    let (store, home) = (open(storage).ok()?, namespace(["a"]));
    let deleted = store.delete(&home, &key(ROWS / 2)).map_err(|error| error.kind());
    let put = store.put(numbered(&home, "new", 1)).map(|_| true).map_err(|error| error.kind());
    for held in store.quota_use(&Scope::Store).unwrap() {
        assert!(held.items <= ROWS + 1 && held.bytes.is_some(), "{held:?}");
        if deleted == Ok(true) && put == Ok(true) {
            assert!(held.items > ROWS / 4, "damage of a block hides all items: {held:?}");
        }
    }
    Some([deleted, put])
}

#[test]
fn what_passes_without_a_quota_passes_with_one() {
    let storage = SimStorage::new(1);
    let store = open(&storage).unwrap();
    let puts = (0..ROWS).map(|number| Ok(numbered(&namespace(["a"]), key(number), number)));
    store.import(puts, ImportOptions::new()).unwrap();
    store.compact().unwrap();
    store.close().unwrap();
    let limited = storage.crash(Loss::None, 0);
    let store = open(&limited).unwrap();
    store.set_quota(Quota::new(Scope::Store).bytes(1 << 30)).unwrap();
    store.close().unwrap();
    let size = |name: &String| storage.read_file(name).unwrap().len();
    let name = storage.names().into_iter().max_by_key(size).unwrap();
    let (mut passed, blocks) = (0, size(&name).div_ceil(BLOCK));
    for block in 0..blocks {
        let outcomes = [&storage, &limited].map(|storage| {
            let damaged = storage.crash(Loss::None, 0);
            let place = (block * BLOCK + BLOCK / 2).min(size(&name) - 1);
            damaged.flip_bit(&name, 8 * place as u64);
            outcome(&damaged)
        });
        assert_eq!(outcomes[0], outcomes[1], "block {block} of {blocks}");
        passed += u32::from(outcomes[0] == Some([Ok(true), Ok(true)]));
    }
    assert!(passed > 10, "{passed} of {blocks} blocks are not looked at by writes");
}
