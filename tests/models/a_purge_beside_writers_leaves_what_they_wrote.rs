//! Purge: what is written to the scope after the purge deleted it stays, what was there before is gone, and neighbours
//! keep everything.

use vecmem::Scope;

use crate::world::{World, check, namespace, number_of, numbered, spawn};

#[test]
fn a_purge_beside_writers_leaves_what_they_wrote() {
    check(|| {
        let (world, [home, other]) = (World::new(), ["home", "other"].map(namespace));
        for number in 0..3 {
            world.store.put(numbered(&home, &format!("k{number}"), number)).unwrap();
            world.store.put(numbered(&other, &format!("k{number}"), number)).unwrap();
        }
        let place = home.clone();
        let purge = spawn(&world.store, move |store| store.purge(&Scope::from(&place)).unwrap());
        let (place, beside) = (home.clone(), other.clone());
        let writer = spawn(&world.store, move |store| {
            let version = store.put(numbered(&place, "new", 7)).unwrap();
            store.put(numbered(&beside, "k0", 8)).unwrap();
            version
        });
        purge.join().unwrap();
        let put = writer.join().unwrap();
        for number in 0..3 {
            assert_eq!(number_of(&world.store, &home, &format!("k{number}")), None);
        }
        // The purge deleted it, or came before it.
        let found = world.store.get(&home, "new").unwrap();
        assert!(found.is_none_or(|item| item.version == put));
        let kept = ["k0", "k1", "k2"].map(|key| number_of(&world.store, &other, key));
        assert_eq!(kept, [Some(8), Some(1), Some(2)]);
        world.loses_nothing();
    });
}
