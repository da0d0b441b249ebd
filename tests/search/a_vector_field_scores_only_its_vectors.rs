//! A search by one vector field ranks items by their vectors of that field alone, and shows no item without one.

use std::collections::BTreeMap;

use crate::common::model::score;
use crate::common::{Random, keys, namespace, numbered, simulated, tiny};
use vecmem::{ErrorKind, Filter, Metric, Query, Store};

const DIMS: usize = 6;
const PATHS: [&str; 6] = ["", "text", "text.0", "textual", "notes.0", "notes.1"];

/// Of each key its version and its vectors with their paths.
type Vectors = BTreeMap<String, (u64, Vec<(&'static str, Vec<f32>)>)>;

fn fill(store: &Store, random: &mut Random, items: u64) -> Vectors {
    let mut all = Vectors::new();
    for n in 0..items {
        let paths: Vec<&str> = PATHS.into_iter().filter(|_| random.chance(40)).collect();
        let own: Vec<_> = paths.into_iter().map(|path| (path, random.vector(DIMS))).collect();
        let put = own.iter().fold(numbered(&namespace(["a"]), n.to_string(), n % 10), |put, (path, vector)| {
            put.field_vector(path, vector.clone())
        });
        all.insert(n.to_string(), (store.put(put).unwrap().to_u64(), own));
    }
    all
}

fn is_of(path: &str, field: &str) -> bool {
    path == field || (!field.is_empty() && path.starts_with(&format!("{field}.")))
}

fn compare(store: &Store, all: &Vectors, random: &mut Random) {
    for field in ["", "text", "text.0", "notes", "notes.1", "note", "none"] {
        let vector = random.vector(DIMS);
        let mut expected: Vec<(f64, u64, &str)> = Vec::new();
        let mut rest: Vec<(u64, &str)> = Vec::new();
        for (key, (version, own)) in all {
            let scores =
                own.iter().filter(|(path, _)| is_of(path, field)).map(|(_, own)| score(Metric::Dot, &vector, own));
            match scores.max_by(f64::total_cmp) {
                Some(best) => expected.push((best, *version, key)),
                None => rest.push((*version, key)),
            }
        }
        expected.sort_by(|a, b| b.partial_cmp(a).unwrap());
        rest.sort_by(|a, b| b.cmp(a));
        for limit in [1, 10, 2_000] {
            let query = Query::new(&namespace(["a"])).vector(vector.clone()).vector_field(field).limit(limit);
            let found = store.search(&query.clone().exact(true)).unwrap();
            let wanted: Vec<&str> = expected.iter().take(limit).map(|row| row.2).collect();
            assert_eq!(keys(&found), wanted, "{field:?}");
            let scores: Vec<f64> = found.iter().map(|hit| f64::from(hit.score.unwrap())).collect();
            assert_eq!(scores, expected.iter().take(limit).map(|row| row.0).collect::<Vec<_>>());
            // Through graphs there are as many.
            assert_eq!(store.search(&query.clone()).unwrap().len(), wanted.len(), "{field:?}");
            let tail = store.search(&query.exact(true).include_unscored(true)).unwrap();
            let listed = expected.iter().map(|row| row.2).chain(rest.iter().map(|row| row.1));
            assert_eq!(keys(&tail), listed.take(limit).collect::<Vec<_>>(), "{field:?} and the rest");
        }
    }
}

#[test]
fn in_memtables_segments_and_graphs() {
    println!("seed 51");
    let mut random = Random::new(51);
    let (store, _, _) = simulated(tiny(DIMS, Metric::Dot));
    let all = fill(&store, &mut random, 500);
    compare(&store, &all, &mut random);
    store.compact().unwrap();
    store.build_graph(&(&namespace(["a"])).into()).unwrap();
    (0..3).for_each(|_| compare(&store, &all, &mut random));
    let filtered =
        Query::new(&namespace(["a"])).vector(vec![1.0; DIMS]).vector_field("text").filter(Filter::lt("n", 3));
    assert!(store.search(&filtered.limit(2_000)).unwrap().iter().all(|hit| is_of_text(&all, &hit.item.key)));
}

fn is_of_text(all: &Vectors, key: &str) -> bool {
    all[key].1.iter().any(|(path, _)| is_of(path, "text"))
}

#[test]
fn a_search_by_item_compares_vectors_of_one_field() {
    let (store, _, _) = simulated(tiny(2, Metric::Dot));
    let home = namespace(["a"]);
    let put = |key: &str, text: [f32; 2], title: [f32; 2]| {
        store.put(numbered(&home, key, 1).field_vector("text", text).field_vector("title", title)).unwrap();
    };
    put("a", [1.0, 0.0], [0.0, 1.0]);
    put("b", [1.0, 0.0], [0.0, 0.0]);
    put("c", [0.0, 0.0], [0.0, 1.0]);
    let first = |field: &str| {
        let found = store.search_by_item(&home, "a", Query::new(&home).vector_field(field).limit(1)).unwrap();
        keys(&found)[0].to_owned()
    };
    assert_eq!((first("text").as_str(), first("title").as_str()), ("b", "c"));
    let refused = store.search(&Query::new(&home).vector_field("text")).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidInput);
}
