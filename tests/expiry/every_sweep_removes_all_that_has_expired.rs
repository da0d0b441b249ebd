//! After each sweep no expired item is left, whatever earlier sweeps found out about when the next item expires.

use std::time::Duration;

use crate::common::{namespace, simulated, tiny_without_vectors};
use vecmem::testing::Random;
use vecmem::{Put, ReadOptions, Scope, Tuning};

#[test]
fn every_sweep_removes_all_that_has_expired() {
    for seed in 1..9 {
        println!("seed {seed}");
        let random = &mut Random::new(seed);
        let tuning = Tuning { merge_ratio: 1 << 40, segments_max: 40, ..Tuning::tiny() };
        let (store, _, clock) = simulated(tiny_without_vectors().tuning(tuning).sweep_every(None));
        let refreshing = ReadOptions { refresh_ttl: true, ..ReadOptions::default() };
        let with_expired = ReadOptions { include_expired: true, ..ReadOptions::default() };
        let mut swept = 0;
        for round in 0..80 {
            for _ in 0..random.below(12) {
                let (name, key) = (["a", "b", "c"][random.below(3)], random.below(40).to_string());
                let put = Put::new(&namespace([name]), key.as_str(), "{}");
                let mortal = put.clone().ttl(Duration::from_secs(1 + random.below(100) as u64));
                store.put(if random.below(4) == 0 { put } else { mortal }).unwrap();
                store.get_with(&namespace([name]), &random.below(40).to_string(), &refreshing).unwrap();
            }
            clock.advance(Duration::from_secs(random.below(10) as u64));
            match random.below(20) {
                0 => store.flush().unwrap(),
                1 => assert!(store.compact().is_ok()),
                _ => {}
            }
            if random.below(3) > 0 {
                swept += store.sweep().unwrap();
                let left = store.count(&Scope::Store, &with_expired).unwrap();
                assert_eq!(left, store.count(&Scope::Store, &ReadOptions::default()).unwrap(), "round {round}");
            }
        }
        assert!(swept > 50, "{swept} were swept");
    }
}
