//! A rename moves items with everything that is kept of them, and in the order of listings. After a crash, all of them
//! are in one place.

use std::time::Duration;

use vecmem::{Condition, Metric, Namespace, Put, Query, RenameOptions, Scope};

use crate::common::{keys, namespace, numbered, reopened, simulated, tiny};

#[test]
fn a_renamed_item_is_the_same_item() {
    let (store, storage, clock) = simulated(tiny(2, Metric::Dot).sweep_every(None));
    let (old, new) = (namespace(["old", "x"]), namespace(["new", "x"]));
    for number in 0..60_u64 {
        let put = numbered(&old, format!("k{number}"), number)
            .field_vector("text", [number as f32, 1.0])
            .embedded("a model", [format!("text {number}").as_str()])
            .index_paths(["text"])
            // Half of them at one time, so that the versions decide their order.
            .updated_at(1_600_000_000_000_000 + number as i64 / 2 * 2)
            .created_at(1_500_000_000_000_000 + number as i64);
        let put = if number % 3 == 0 { put.ttl(Duration::from_secs(100 + number)) } else { put };
        store.put(put.extension(1, false, b"context")).unwrap();
    }
    let everything = |namespace: &Namespace| {
        let page = store.iterate_stored(&vecmem::IterateQuery::new(namespace).limit(1_000), None).unwrap();
        let embeds = |number: usize| format!("text {number}");
        let items = page.items.into_iter().map(|mut stored| {
            let number: usize = stored.item.key[1..].parse().unwrap();
            assert!(store.embeds(&stored, 0, "a model", &embeds(number)));
            stored.item.namespace = old.clone();
            stored.item.version = vecmem::Version::from_u64(0);
            (stored.item, stored.index_paths, stored.extensions)
        });
        items.collect::<Vec<_>>()
    };
    let listed = |namespace: &Namespace| {
        let answer = store.search(&Query::new(namespace).limit(100)).unwrap();
        keys(&answer).into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let best = |namespace: &Namespace| {
        let answer = store.search(&Query::new(namespace).vector([1.0, 0.0]).limit(5)).unwrap();
        keys(&answer).into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let before = (everything(&old), listed(&old), best(&old));
    let version = store.get(&old, "k1").unwrap().unwrap().version;
    let receipt = store.rename(&Scope::prefix(["old"]).unwrap(), &namespace(["new"])).unwrap();
    assert_eq!((receipt.moved, receipt.total, receipt.next), (60, 60, None));
    assert_eq!((receipt.from.as_str(), receipt.to.as_str()), ("old/", "new/"));
    assert_eq!((everything(&new), listed(&new), best(&new)), before);
    assert_eq!(listed(&old), Vec::<String>::new());
    assert!(store.put(numbered(&new, "k1", 9).condition(Condition::IfVersion(version))).is_err(), "a new version");
    let dump = store.text_dump().unwrap();
    drop(store);
    let store = reopened(&storage, &clock, tiny(2, Metric::Dot));
    assert_eq!(store.text_dump().unwrap(), dump);
    clock.advance(Duration::from_secs(1_000));
    store.sweep().unwrap();
    assert_eq!(store.search(&Query::new(&new).limit(100)).unwrap().len(), 40, "what has a time to live expires");
}

#[test]
fn a_merge_replaces_items_of_the_same_key_and_keeps_the_others() {
    let (store, ..) = simulated(tiny(2, Metric::Dot));
    let (from, to) = (namespace(["from"]), namespace(["to"]));
    for (space, key, number) in [(&from, "both", 1), (&from, "mine", 2), (&to, "both", 3), (&to, "yours", 4)] {
        store.put(numbered(space, key, number)).unwrap();
    }
    let scope = Scope::from(&from);
    assert!(store.rename(&scope, &to).is_err());
    assert_eq!(store.rename_with(&scope, &to, &RenameOptions::new().merge(true)).unwrap().moved, 2);
    let numbers = ["both", "mine", "yours"].map(|key| store.get(&to, key).unwrap().unwrap().value.to_string());
    assert_eq!(numbers, [r#"{"n":1}"#, r#"{"n":2}"#, r#"{"n":4}"#]);
    // What has expired does not stand in the way.
    let gone = namespace(["gone"]);
    store.put(Put::new(&gone, "k", "{}").expires_at(1)).unwrap();
    assert_eq!(store.rename(&Scope::from(&to), &gone).unwrap().moved, 3);
    assert_eq!(store.rename(&Scope::from(&to), &from).unwrap().moved, 0, "there is nothing to move");
}
