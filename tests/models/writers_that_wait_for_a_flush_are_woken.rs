//! Background threads: a writer that waits for a flush is woken by it, a close ends every thread, and no thread needs
//! the passing of time to see that there is work. A model has no time: whoever waits for it alone hangs and fails.

use crate::world::{World, check, namespace, number_of, numbered, spawn};

const PUTS: u64 = 6;

#[test]
fn writers_that_wait_for_a_flush_are_woken() {
    check(|| {
        let (world, home) = (World::with_background_threads(), namespace("home"));
        let writers = ["a", "b"].map(|name| {
            let home = home.clone();
            spawn(&world.store, move |store| {
                for number in 0..PUTS {
                    store.put(numbered(&home, &format!("{name}{number}"), number)).unwrap();
                }
            })
        });
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        assert_eq!(world.store.stats().unwrap().health.background_error, None);
        world.store.close().unwrap();
        let found = world.after_power_loss();
        for name in ["a", "b"] {
            for number in 0..PUTS {
                assert_eq!(number_of(&found, &home, &format!("{name}{number}")), Some(number));
            }
        }
        assert_eq!(found.check(false).unwrap().problems, Vec::<String>::new());
    });
}
