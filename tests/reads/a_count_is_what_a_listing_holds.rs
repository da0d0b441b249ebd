//! `count` and the statistics agree with the listing of the same scope, whatever died or expired.

use std::time::Duration;

use crate::common::{Random, namespace, numbered, simulated, tiny_without_vectors};
use vecmem::{Query, ReadOptions, Scope};

#[test]
fn a_count_is_what_a_listing_holds() {
    println!("seed 17");
    let (store, _, clock) = simulated(tiny_without_vectors());
    let mut random = Random::new(17);
    let spaces = [namespace(["a"]), namespace(["a", "b"]), namespace(["b"])];
    for number in 0..500 {
        let space = &spaces[random.below(3) as usize];
        let key = random.below(40).to_string();
        if random.chance(10) {
            store.delete(space, &key).unwrap();
        } else {
            let put = numbered(space, key, number);
            let mortal = random.chance(10);
            store.put(if mortal { put.ttl(Duration::from_secs(1 + random.below(30))) } else { put }).unwrap();
        }
        clock.advance(Duration::from_millis(random.below(300)));
        if number % 20 != 0 {
            continue;
        }
        for scope in [Scope::from(&spaces[0]), Scope::prefix(["a"]).unwrap(), Scope::Store] {
            for include_expired in [false, true] {
                let options = ReadOptions { include_expired, ..ReadOptions::default() };
                let query = Query::new(scope.clone()).limit(usize::MAX).options(options.clone());
                let listed = store.list(&query).unwrap().len() as u64;
                assert_eq!(store.count(&scope, &options).unwrap(), listed, "{scope:?} {include_expired}");
            }
        }
        let living = store.count(&Scope::Store, &ReadOptions::default()).unwrap();
        assert_eq!(store.stats().unwrap().size.items, living);
    }
    assert!(store.stats().unwrap().internals.merges > 0);
    store.delete_everything().unwrap();
    assert_eq!(store.count(&Scope::Store, &ReadOptions::default()).unwrap(), 0);
}
