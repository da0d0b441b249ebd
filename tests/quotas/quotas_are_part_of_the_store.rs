//! Quotas survive a crash, a backup and a salvage, and hold for what is there afterwards.

use vecmem::testing::Loss;
use vecmem::{Batch, ErrorKind, Quota, Scope, Store};

use crate::common::{namespace, numbered, reopened, simulated, tiny_without_vectors};
use crate::counted::assert_counts;

fn fill(store: &Store) {
    store.set_quota(Quota::each(Scope::Store).items(4).bytes(1_000)).unwrap();
    for tenant in ["a", "b"] {
        for key in 0..4 {
            store.put(numbered(&namespace([tenant, "notes"]), format!("k{key}"), key)).unwrap();
        }
    }
}

fn assert_full(store: &Store, what: &str) {
    assert_eq!(store.quotas().unwrap(), [Quota::each(Scope::Store).items(4).bytes(1_000)], "{what}");
    assert_counts(store, what);
    let refused = store.put(numbered(&namespace(["a"]), "one more", 1)).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::QuotaExceeded, "{what}");
    let mut batch = Batch::new();
    batch.delete(&namespace(["a", "notes"]), "k0").put(numbered(&namespace(["a"]), "k0", 1));
    store.batch(batch).unwrap();
    assert_counts(store, what);
}

#[test]
fn quotas_survive_a_crash() {
    let (store, storage, clock) = simulated(tiny_without_vectors());
    fill(&store);
    let crashed = storage.crash(Loss::AllUnsynced, 1);
    assert_full(&reopened(&crashed, &clock, tiny_without_vectors()), "after a power loss");
    assert_full(&store, "without one");
}

#[test]
fn quotas_are_in_a_backup_and_in_a_salvage() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let store = Store::open(at("store"), tiny_without_vectors()).unwrap();
    fill(&store);
    store.backup(at("backup")).unwrap();
    Store::restore(at("backup"), at("restored")).unwrap();
    assert_full(&Store::open(at("restored"), tiny_without_vectors()).unwrap(), "restored");
    // A salvage brings back what is there, although it is more than a quota of later.
    store.set_quota(Quota::each(Scope::Store).items(1)).unwrap();
    store.close().unwrap();
    Store::salvage(at("store"), at("salvaged")).unwrap();
    let salvaged = Store::open(at("salvaged"), tiny_without_vectors()).unwrap();
    assert_eq!(salvaged.quota_use(&Scope::prefix(["a"]).unwrap()).unwrap()[0].items, 4);
    assert_eq!(salvaged.quotas().unwrap(), [Quota::each(Scope::Store).items(1)]);
}
