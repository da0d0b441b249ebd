//! Under `Os` a write is synced a while after it was acknowledged. If its process dies before, the next one that opens the store does
//! it, though nobody writes or closes.

mod common;

use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{START, namespace, numbered, reopened, tiny_without_vectors};
use vecmem::testing::{Loss, SimClock, SimStorage, open_with};
use vecmem::{Durability, Options, Tuning};

#[test]
fn without_a_write_and_without_a_close() {
    let options = || -> Options { tiny_without_vectors().durability(Durability::Os) };
    let threaded = options().tuning(Tuning { inline_background: false, ..Tuning::tiny() });
    let (storage, clock) = (SimStorage::new(1), SimClock::new(START));
    let home = namespace(["a"]);
    // Nobody syncs in the background of this one, and it never closes.
    let killed = reopened(&storage, &clock, options());
    for number in 0..10 {
        killed.put(numbered(&home, number.to_string(), number)).unwrap();
    }
    std::mem::forget(killed);
    let survivors = || {
        let store = reopened(&storage.crash(Loss::AllUnsynced, 0), &clock, options());
        (0..10).filter(|number| store.get(&home, &number.to_string()).unwrap().is_some()).count()
    };
    assert_eq!(survivors(), 0, "the test needs writes that were not synced");
    let next = open_with(Arc::new(storage.clone()), Arc::new(clock.clone()), threaded).unwrap();
    let since = Instant::now();
    while survivors() < 10 {
        assert!(since.elapsed() < Duration::from_secs(30), "{} of 10 writes would survive a power loss", survivors());
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(next.get(&home, "7").unwrap().is_some());
}
