//! A count by a filter is the length of the listing with the same filter: of a store and of a snapshot, of a scope and
//! of a prefix, in memory and in segments, with and without expired items.

use std::time::Duration;

use vecmem::{Filter, Query, ReadOptions, Reads, Scope};

use crate::common::{Random, simulated, tiny_without_vectors};
use crate::drawn::{filter, scopes, write};

fn listed(reads: &impl Reads, scope: &Scope, filter: &Filter, options: &ReadOptions) -> u64 {
    let query = Query::new(scope.clone()).filter(filter.clone()).limit(usize::MAX).options(options.clone());
    reads.search(&query).unwrap().len() as u64
}

#[test]
fn a_count_of_a_filter_is_what_a_listing_holds() {
    println!("seed 71");
    let (store, _, clock) = simulated(tiny_without_vectors());
    let (mut random, mut counted) = (Random::new(71), 0);
    for round in 0..1_000 {
        (0..3).for_each(|_| write(&store, &mut random));
        clock.advance(Duration::from_millis(random.below(300)));
        if round % 100 == 99 {
            store.compact().unwrap();
        }
        let scope = random.pick(&scopes()).clone();
        let (filter, include_expired) = (filter(&mut random), random.chance(30));
        let options = ReadOptions { include_expired, ..ReadOptions::default() };
        let count = store.count_where(&scope, &filter, &options).unwrap();
        assert_eq!(count, listed(&store, &scope, &filter, &options), "round {round}, {scope:?}, {filter:?}");
        let snapshot = store.snapshot().unwrap();
        write(&store, &mut random);
        assert_eq!(snapshot.count_where(&scope, &filter, &options).unwrap(), count, "round {round}");
        counted += count;
    }
    assert!(counted > 10_000, "{counted}");
    assert!(store.stats().unwrap().internals.merges > 0);
}

#[test]
fn a_constant_filter_counts_all_or_nothing() {
    let (store, ..) = simulated(tiny_without_vectors());
    let mut random = Random::new(5);
    (0..200).for_each(|_| write(&store, &mut random));
    let options = ReadOptions::default();
    let count = |json: &str| store.count_where(&Scope::Store, &Filter::from_json_str(json).unwrap(), &options).unwrap();
    assert_eq!(count("{}"), store.count(&Scope::Store, &options).unwrap());
    assert_eq!(count(r#"{"kind": {"$in": []}}"#), 0);
}
