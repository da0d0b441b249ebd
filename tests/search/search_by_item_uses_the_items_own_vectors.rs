//! `search_by_item` ranks the other items by their best similarity to any vector of the stored item.

use std::collections::BTreeMap;

use crate::common::model::score;
use crate::common::{Random, keys, namespace, numbered, simulated, tiny};
use vecmem::{ErrorKind, Filter, Metric, Query, Scope};

#[test]
fn search_like_uses_the_items_own_vectors() {
    println!("seed 4");
    let (store, _, _) = simulated(tiny(4, Metric::Dot));
    let (home, mut random, mut vectors) = (namespace(["a"]), Random::new(4), BTreeMap::new());
    for number in 0..120u64 {
        let own: Vec<Vec<f32>> = (0..number % 4).map(|_| random.vector(4)).collect();
        let put = own.iter().enumerate().fold(numbered(&home, number.to_string(), number), |put, (at, vector)| {
            put.field_vector(&at.to_string(), vector.clone())
        });
        let version = store.put(put).unwrap().to_u64();
        vectors.insert(number.to_string(), (version, own));
    }
    for (key, (version, own)) in &vectors {
        let best = |other: &[Vec<f32>]| {
            let pairs = own.iter().flat_map(|a| other.iter().map(move |b| score(Metric::Dot, a, b)));
            pairs.max_by(f64::total_cmp)
        };
        let others = vectors.iter().filter(|(_, (other, _))| other != version);
        let mut expected: Vec<(f64, u64, &str)> =
            others.filter_map(|(key, (version, other))| Some((best(other)?, *version, key.as_str()))).collect();
        expected.sort_by(|a, b| b.partial_cmp(a).unwrap());
        for (limit, offset) in [(5, 0), (7, 3), (usize::MAX, 0), (0, 0)] {
            let answer = store.search_by_item(&home, key, Query::new(&home).limit(limit).offset(offset)).unwrap();
            let page: Vec<&str> = expected.iter().skip(offset).take(limit).map(|row| row.2).collect();
            assert_eq!(keys(&answer), page, "like {key}");
            let scores: Vec<f64> = answer.iter().map(|hit| f64::from(hit.score.unwrap())).collect();
            assert_eq!(scores, expected.iter().skip(offset).take(limit).map(|row| row.0).collect::<Vec<_>>());
        }
    }
    let filtered = Query::new(Scope::Store).filter(Filter::lt("n", 10));
    let answer = store.search_by_item(&home, "5", filtered).unwrap();
    assert!(!answer.is_empty() && answer.iter().all(|hit| hit.item.key.len() == 1 && hit.item.key != "5"));
    let error = store.search_by_item(&home, "missing", Query::new(&home)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().contains("missing"), "{error}");
}
