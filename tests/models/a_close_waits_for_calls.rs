//! Close: a call beside a close either succeeds, and then its write is on disk, or fails with `Closed` and has written
//! nothing. Two closes return when the store is closed.

use vecmem::ErrorKind;

use crate::world::{World, check, namespace, number_of, numbered, spawn};

#[test]
fn a_close_waits_for_calls() {
    check(|| {
        let (world, home) = (World::new(), namespace("home"));
        world.store.put(numbered(&home, "before", 1)).unwrap();
        let writers: Vec<_> = ["a", "b"]
            .map(|key| {
                let home = home.clone();
                let writer = spawn(&world.store, move |store| match store.put(numbered(&home, key, 1)) {
                    Ok(_) => Some(()),
                    Err(error) => {
                        assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
                        None
                    }
                });
                (key, writer)
            })
            .into();
        let closers = [0, 1].map(|_| spawn(&world.store, |store| store.close().unwrap()));
        let disk = world.disk.clone();
        closers.into_iter().for_each(|closer| closer.join().unwrap());
        let when_closed = disk.operations();
        let outcomes: Vec<_> = writers.into_iter().map(|(key, writer)| (key, writer.join().unwrap())).collect();
        assert_eq!(disk.operations(), when_closed, "a closed store leaves the disk alone");
        let found = world.after_power_loss();
        assert_eq!(number_of(&found, &home, "before"), Some(1));
        for (key, outcome) in outcomes {
            assert_eq!(number_of(&found, &home, key), outcome.map(|()| 1), "{key}");
        }
        assert_eq!(found.check(false).unwrap().problems, Vec::<String>::new());
    });
}
