//! Commit: if a sync of the log fails, no writer whose frame it covered is told that the write is durable, and no later
//! write succeeds. Whoever was told before loses nothing.

use vecmem::ErrorKind;
use vecmem::testing::{Fault, FaultKind, SimOperation};

use crate::world::{World, check, namespace, number_of, numbered, spawn};

const KEYS: [&str; 3] = ["a", "b", "c"];

#[test]
fn a_failed_sync_fails_whoever_waits_for_it() {
    check(|| {
        let (world, home) = (World::new(), namespace("home"));
        world.store.put(numbered(&home, "before", 1)).unwrap();
        world.disk.fail_after(1, Fault::once(FaultKind::Io, SimOperation::SYNCS));
        let writers = KEYS.map(|key| {
            let home = home.clone();
            spawn(&world.store, move |store| match store.put(numbered(&home, key, 1)) {
                Ok(_) => true,
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Poisoned, "{error}");
                    let again = store.put(numbered(&home, key, 2)).unwrap_err();
                    assert_eq!(again.kind(), ErrorKind::Poisoned, "{again}");
                    false
                }
            })
        });
        let kept = writers.map(|writer| writer.join().unwrap());
        let found = world.after_power_loss();
        assert_eq!(number_of(&found, &home, "before"), Some(1));
        for (key, kept) in KEYS.into_iter().zip(kept) {
            let number = number_of(&found, &home, key);
            assert!(if kept { number == Some(1) } else { number != Some(2) }, "{key}: {kept}, found {number:?}");
        }
    });
}
