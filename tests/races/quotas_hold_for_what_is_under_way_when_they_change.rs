//! A quota that is set, or another one that changes, while a write is under way holds for that write: nothing is tested
//! against quotas or counts from before.

use vecmem::testing::HookPoint;
use vecmem::{Durability, ErrorKind, ImportOptions, Quota, ReadOptions, Scope, Store};

use super::store;
use crate::common::{namespace, numbered};

const ROWS: u64 = 10;

fn tenant() -> Scope {
    Scope::prefix(["a"]).unwrap()
}

/// Imports rows of which the tenant holds some, while `change` comes between the look-ups and the frame.
fn import_beside(store: &Store, change: impl Fn(&Store)) -> vecmem::Result<()> {
    std::thread::scope(|scope| {
        let followed = store.hold_at(HookPoint::ImportFollowed);
        let imported = scope.spawn(|| {
            let puts = (0..ROWS).map(|key| Ok(numbered(&namespace(["a", "x"]), key.to_string(), key)));
            store.import(puts, ImportOptions::new()).map(drop)
        });
        followed.wait_until_held();
        change(store);
        followed.let_go();
        imported.join().unwrap()
    })
}

fn filled(quotas: &[Quota]) -> Store {
    let (store, ..) = store(Durability::Sync);
    quotas.iter().for_each(|quota| store.set_quota(quota.clone()).unwrap());
    for key in 0..5 {
        store.put(numbered(&namespace(["a", "x"]), key.to_string(), 0)).unwrap();
    }
    store
}

fn assert_refused(store: &Store, outcome: vecmem::Result<()>) {
    assert_eq!(outcome.unwrap_err().kind(), ErrorKind::QuotaExceeded);
    assert_eq!(store.count(&tenant(), &ReadOptions::default()).unwrap(), 5);
}

#[test]
fn an_import_obeys_its_quota_although_another_one_changes() {
    for quota in [Quota::new(tenant()).bytes(60), Quota::new(tenant()).items(9)] {
        let store = filled(&[quota.clone(), Quota::new(Scope::Store).bytes(1_000_000)]);
        let other = |store: &Store| store.set_quota(Quota::new(Scope::prefix(["z"]).unwrap()).items(1)).unwrap();
        assert_refused(&store, import_beside(&store, other));
        store.set_quota(Quota::new(tenant()).items(10).bytes(80)).unwrap();
        import_beside(&store, other).unwrap();
        let held = store.quota_use(&tenant()).unwrap().pop().unwrap();
        assert_eq!((held.items, held.bytes), (10, Some(80)), "a key of one byte, and seven of the value");
    }
}

#[test]
fn an_import_obeys_the_first_quota_of_the_store() {
    for quota in [Quota::new(tenant()).bytes(60), Quota::new(tenant()).items(9)] {
        let store = filled(&[]);
        assert_refused(&store, import_beside(&store, |store| store.set_quota(quota.clone()).unwrap()));
    }
}

#[test]
fn a_count_is_made_for_the_quotas_that_it_is_kept_for() {
    let store = filled(&[Quota::new(tenant()).items(9)]);
    // Its own value of the quotas, of which nothing is counted.
    store.set_quota(Quota::new(tenant()).items(8)).unwrap();
    std::thread::scope(|scope| {
        let needed = store.hold_at(HookPoint::CountNeeded);
        let put = scope.spawn(|| store.put(numbered(&namespace(["a", "x"]), "new", 1)));
        needed.wait_until_held();
        store.set_quota(Quota::new(tenant()).items(8).bytes(49)).unwrap();
        needed.let_go();
        assert_eq!(put.join().unwrap().unwrap_err().kind(), ErrorKind::QuotaExceeded);
    });
    let held = store.quota_use(&tenant()).unwrap().pop().unwrap();
    assert_eq!((held.items, held.bytes), (5, Some(40)));
}
