//! What the engine keeps for itself (import marks) is written with its batch and shows in no public read, list or
//! count.

use crate::common::{namespace, numbered, reopened, simulated, tiny};
use vecmem::{Batch, ErrorKind, IterateQuery, Metric, NamespaceQuery, Query, ReadOptions, Scope};

#[test]
fn the_engines_own_area_is_invisible() {
    let (store, storage, clock) = simulated(tiny(1, Metric::Dot));
    let (home, ours) = (namespace(["a"]), namespace(["\0"]));
    assert_eq!(store.import_checkpoint("dump").unwrap(), None);
    for number in 0..150 {
        let mut batch = Batch::new();
        batch.put(numbered(&home, (number % 40).to_string(), number)).put(numbered(&ours, "k", number));
        batch.import_checkpoint("dump", &format!("{{\"lines\":{number}}}")).import_checkpoint("other", "{}");
        assert_eq!(store.batch(batch).unwrap().len(), 2, "marks are not among the results");
    }
    assert!(store.stats().unwrap().internals.merges > 0);
    let check = |store: &vecmem::Store, items: u64, mark: Option<&str>| {
        let names = store.list_namespaces(&NamespaceQuery::default()).unwrap();
        assert!(names.iter().all(|labels| !labels[0].is_empty()), "{names:?}");
        assert_eq!(store.count(&Scope::Store, &ReadOptions::default()).unwrap(), items);
        assert_eq!(store.stats().unwrap().size.items, items);
        assert_eq!(store.list(&Query::new(Scope::Store).limit(1000)).unwrap().len() as u64, items);
        assert_eq!(
            store.iterate(&IterateQuery::new(Scope::Store).limit(1000), None).unwrap().items.len() as u64,
            items
        );
        assert_eq!(store.import_checkpoint("dump").unwrap().as_deref(), mark);
    };
    check(&store, 41, Some("{\"lines\":149}"));
    store.delete_range(&Scope::from(&home)).unwrap();
    check(&store, 1, Some("{\"lines\":149}"));
    store.delete_everything().unwrap();
    check(&store, 0, None);
    store.close().unwrap();
    check(&reopened(&storage, &clock, tiny(1, Metric::Dot)), 0, None);
}

#[test]
fn a_mark_shares_the_fate_of_its_batch() {
    let (store, _, _) = simulated(tiny(1, Metric::Dot));
    let home = namespace(["a"]);
    let mut batch = Batch::new();
    batch.put(numbered(&home, "k", 1).vector([f32::NAN])).import_checkpoint("dump", "{}");
    assert_eq!(store.batch(batch).unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(store.import_checkpoint("dump").unwrap(), None);
    let mut batch = Batch::new();
    batch.import_checkpoint("dump", "not an object");
    assert_eq!(store.batch(batch).unwrap_err().kind(), ErrorKind::InvalidInput);
    let mut batch = Batch::new();
    batch.import_checkpoint("dump", "{\"a\":1}").import_checkpoint("dump", "{\"a\":2}");
    assert!(batch.is_empty(), "a mark is no operation");
    assert_eq!(store.batch(batch).unwrap(), []);
    assert_eq!(store.import_checkpoint("dump").unwrap().as_deref(), Some("{\"a\":2}"));
}
