//! A read with a selection returns the selected fields of each value and nothing else, in every kind of read; a read
//! that selects nothing reads no value.

use serde_json::{Value, json};

use crate::common::directory::Directory;
use crate::common::{namespace, simulated, tiny};
use vecmem::{
    Address, ErrorKind, Filter, Item, IterateQuery, Limit, Metric, Options, Order, Put, Query, ReadOptions, Reads,
    Select, limits,
};

fn options(select: Select) -> ReadOptions {
    ReadOptions { select, ..ReadOptions::default() }
}

fn fill(store: &vecmem::Store) {
    for n in 0..60 {
        let value = json!({"n": n, "from": {"name": "ada", "age": n}, "text": "t".repeat(n * 5), "a.b": [n]});
        store.put(Put::new(&namespace(["a"]), format!("{n:02}"), value).vector([1.0, n as f32])).unwrap();
    }
}

/// The items of every kind of read that returns items, in the order of keys.
fn reads(reads: &impl Reads, select: &Select) -> Vec<Vec<Item>> {
    let (home, options) = (namespace(["a"]), options(select.clone()));
    let addresses: Vec<Address> =
        (0..60).map(|n| Address { namespace: home.clone(), key: format!("{n:02}") }).collect();
    let query = Query::new(&home).limit(100).options(options.clone());
    let hits = |query: &Query| reads.search(query).unwrap().into_iter().map(|hit| hit.item).collect::<Vec<_>>();
    let listing = reads.snapshot().unwrap().listing(query.clone()).unwrap();
    let mut all = vec![
        addresses.iter().map(|at| reads.get_with(&home, &at.key, &options).unwrap().unwrap()).collect(),
        reads.get_many(&addresses, &options).unwrap().into_iter().flatten().collect(),
        hits(&query),
        hits(&query.clone().vector([1.0, 0.5])),
        hits(&query.clone().order_by(Order::parse("n").unwrap())),
        hits(&query.clone().filter(Filter::gte("n", 0))),
        listing.page(0, 100).unwrap().into_iter().map(|hit| hit.item).collect(),
        reads.iterate(&IterateQuery::new(&home).limit(100).options(options), None).unwrap().items,
    ];
    all.iter_mut().for_each(|items: &mut Vec<Item>| items.sort_by(|a, b| a.key.cmp(&b.key)));
    all
}

#[test]
fn in_every_kind_of_read() {
    let (store, _, _) = simulated(tiny(2, Metric::Cosine));
    fill(&store);
    let whole = reads(&store, &Select::All);
    for (select, expected) in [
        (Select::None, Box::new(|_: &Value| json!({})) as Box<dyn Fn(&Value) -> Value>),
        (Select::fields(["n"]).unwrap(), Box::new(|value: &Value| json!({"n": value["n"]}))),
        (Select::fields(["from.age", "a.b"]).unwrap(), {
            Box::new(|value: &Value| json!({"from": {"age": value["n"]}, "a.b": [value["n"]]}))
        }),
        (Select::fields(["missing", "from.name.x"]).unwrap(), Box::new(|_: &Value| json!({}))),
    ] {
        for kept in [reads(&store, &select), reads(&store.snapshot().unwrap(), &select)] {
            for (items, whole) in kept.iter().zip(&whole) {
                assert_eq!(items.len(), 60);
                for (item, whole) in items.iter().zip(whole) {
                    let value: Value = item.value_as().unwrap();
                    assert_eq!(value, expected(&whole.value_as().unwrap()), "{select:?}");
                    assert_eq!(Item { value: whole.value.clone(), ..item.clone() }, *whole);
                }
            }
        }
    }
}

#[test]
fn nothing_selected_reads_no_value() {
    let directory = Directory::simulated();
    let store = directory.open(Options::with_vectors(2, Metric::Cosine));
    fill(&store);
    store.compact().unwrap();
    store.close().unwrap();
    directory.names(".blob").iter().for_each(|name| directory.write(name, &[]));
    let store = directory.open(Options::with_vectors(2, Metric::Cosine));
    let query = |select| Query::new(&namespace(["a"])).vector([1.0, 0.0]).limit(100).options(options(select));
    assert_eq!(store.search(&query(Select::All)).unwrap_err().kind(), ErrorKind::Damaged);
    assert_eq!(store.search(&query(Select::fields(["n"]).unwrap())).unwrap_err().kind(), ErrorKind::Damaged);
    let found = store.search(&query(Select::None)).unwrap();
    assert!(found.len() == 60 && found.iter().all(|hit| hit.score.is_some() && &*hit.item.value == "{}"));
}

#[test]
fn wrong_paths_are_refused() {
    for paths in [&[""][..], &["a", "b."], &["$item.key"], &[".."]] {
        assert_eq!(Select::fields(paths).unwrap_err().kind(), ErrorKind::InvalidInput);
    }
    let deep = vec!["a"; limits::DEPTH + 1].join(".");
    assert_eq!(Select::fields([deep]).unwrap_err().kind(), ErrorKind::Limit(Limit::Depth));
    assert_eq!(Select::fields(Vec::<&str>::new()).unwrap(), Select::None);
}
