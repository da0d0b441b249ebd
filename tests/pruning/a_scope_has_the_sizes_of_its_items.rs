//! The figures of a scope are the sums over its items.

use std::collections::BTreeSet;
use std::time::Duration;

use vecmem::{Metric, Query, ReadOptions, Scope, Tuning};

use crate::common::{Random, namespace, simulated, tiny};
use crate::drawn::{scopes, write};

#[test]
fn a_scope_has_the_sizes_of_its_items() {
    println!("seed 73");
    // Values of any size are stored as they are.
    let tuning = Tuning { blob_value_bytes: usize::MAX, ..Tuning::tiny() };
    let (store, _, clock) = simulated(tiny(2, Metric::Dot).sweep_every(None).tuning(tuning));
    let mut random = Random::new(73);
    for round in 0..300 {
        write(&store, &mut random);
        let put = vecmem::Put::new(&namespace(["a"]), format!("v{}", random.below(40)), r#"{"short": 1}"#);
        let vectors = random.below(3);
        store.put((0..vectors).fold(put, |put, number| put.field_vector(&number.to_string(), [1.0, 2.0]))).unwrap();
        clock.advance(Duration::from_millis(random.below(500)));
        for scope in scopes() {
            let stats = store.scope_stats(&scope, &ReadOptions::default()).unwrap();
            let options = ReadOptions { include_vectors: true, ..ReadOptions::default() };
            let items = store.list(&Query::new(scope.clone()).limit(usize::MAX).options(options)).unwrap();
            let namespaces: BTreeSet<_> = items.iter().map(|hit| hit.item.namespace.clone()).collect();
            let (keys, vectors) = items.iter().fold((0, 0), |(keys, vectors), hit| {
                (keys + hit.item.key.len() as u64, vectors + hit.item.vectors.len() as u64)
            });
            assert_eq!((stats.items, stats.namespaces), (items.len() as u64, namespaces.len() as u64), "{round}");
            assert_eq!((stats.key_bytes, stats.vectors, stats.vector_bytes), (keys, vectors, 8 * vectors), "{round}");
            let all = ReadOptions { include_expired: true, ..ReadOptions::default() };
            assert_eq!(stats.items + stats.expired, store.count(&scope, &all).unwrap(), "{round}");
            assert_eq!(stats.value_bytes, items.iter().map(|hit| hit.item.value.len() as u64).sum::<u64>(), "{round}");
        }
    }
    let empty = store.scope_stats(&Scope::prefix(["none"]).unwrap(), &ReadOptions::default()).unwrap();
    assert_eq!((empty.items, empty.namespaces, empty.value_bytes), (0, 0, 0));
}
