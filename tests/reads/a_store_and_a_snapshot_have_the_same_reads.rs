//! Every read of the trait `Reads` answers for a store and for a snapshot alike, and each type's own methods are those
//! reads. Code that takes either sees nothing else of them.

use std::sync::Arc;

use crate::common::{namespace, numbered};
use vecmem::{
    Address, IterateQuery, Metric, Namespace, NamespaceQuery, Options, Query, ReadOptions, Reads, Result, Scope, Store,
};

/// What every read answers, as text.
fn answers(reads: &dyn Reads, home: &Namespace) -> Result<Vec<String>> {
    let options = ReadOptions::default();
    let address = Address { namespace: home.clone(), key: "b".into() };
    let near = Query::new(home).vector([1.0, 0.0]);
    let iterate = IterateQuery::new(home).limit(1);
    let first = reads.iterate(&iterate, None)?;
    let second = first.next.as_ref().map(|next| reads.iterate(&iterate, Some(next))).transpose()?;
    Ok(vec![
        format!("{:?}", reads.get(home, "a")?),
        format!("{:?}", reads.get_with(home, "a", &options)?),
        format!("{:?}", reads.get_many(&[address], &options)?),
        format!("{:?}", reads.search(&near)?),
        format!("{:?}", reads.search_many(&[near.clone(), Query::new(home)])?),
        format!("{:?}", reads.search_by_item(home, "a", Query::new(home))?),
        format!("{:?}", reads.list(&Query::new(home))?),
        format!("{:?}", first.items),
        format!("{:?}", second.map(|page| page.items)),
        format!("{:?}", reads.iterate_stored(&iterate, None)?.items),
        format!("{:?}", reads.list_namespaces(&NamespaceQuery::default())?),
        format!("{:?}", reads.count(&Scope::Store, &options)?),
        format!("{:?}", reads.snapshot()?.listing(Query::new(home))?.page(0, 9)?),
    ])
}

/// The keys of a scope, of a store or a snapshot.
fn keys(reads: &impl Reads, home: &Namespace) -> Result<Vec<String>> {
    reads.items(home).map(|item| Ok(item?.key)).collect()
}

fn store(home: &Namespace) -> Store {
    let store = Store::temporary(Options::with_vectors(2, Metric::Dot)).unwrap();
    store.put(numbered(home, "a", 1).vector([1.0, 0.0])).unwrap();
    store.put(numbered(home, "b", 2).vector([0.5, 0.5])).unwrap();
    store
}

#[test]
fn a_snapshot_of_now_answers_like_the_store_and_then_as_before() {
    let home = namespace(["home"]);
    let store = store(&home);
    let snapshot = store.snapshot().unwrap();
    let before = answers(&store, &home).unwrap();
    assert_eq!(answers(&snapshot, &home).unwrap(), before);

    store.put(numbered(&home, "a", 3).vector([0.0, 1.0])).unwrap();
    store.put(numbered(&namespace(["away"]), "c", 4).vector([0.1, 0.1])).unwrap();
    store.delete(&home, "b").unwrap();
    store.put(numbered(&home, "d", 5)).unwrap();
    let after = answers(&store, &home).unwrap();
    for (number, (then, now)) in before.iter().zip(&after).enumerate() {
        assert_ne!(then, now, "read {number} of the store sees what was written");
    }
    assert_eq!(answers(&snapshot, &home).unwrap(), before);
    assert_eq!(answers(&snapshot.snapshot().unwrap(), &home).unwrap(), before, "a snapshot of a snapshot is the same");
    assert_eq!(
        (keys(&store, &home).unwrap(), keys(&snapshot, &home).unwrap()),
        (strings(["a", "d"]), strings(["a", "b"]))
    );
}

#[test]
fn either_is_one_type_of_reads_for_threads() {
    let home = namespace(["home"]);
    let store = store(&home);
    let sources: [Arc<dyn Reads>; 2] = [Arc::new(store.snapshot().unwrap()), Arc::new(store)];
    let counts = sources.map(|reads| {
        std::thread::spawn(move || reads.count(&Scope::Store, &ReadOptions::default()).unwrap()).join().unwrap()
    });
    assert_eq!(counts, [2, 2]);
}

#[test]
fn a_cursor_of_a_store_carries_its_moment_on_and_that_of_a_snapshot_only_its_place() {
    let home = namespace(["home"]);
    let store = store(&home);
    let pages = IterateQuery::new(&home).limit(1);
    let next = store.iterate(&pages, None).unwrap().next.unwrap();
    store.delete(&home, "b").unwrap();
    let later = store.snapshot().unwrap();
    let of = |reads: &dyn Reads| reads.iterate(&pages, Some(&next)).unwrap().items.len();
    assert_eq!((of(&store), of(&later)), (1, 0));
}

fn strings<const N: usize>(texts: [&str; N]) -> Vec<String> {
    texts.map(str::to_owned).to_vec()
}
