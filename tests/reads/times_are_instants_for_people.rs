//! Times of items are instants and spans of the standard library, to read and to give.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::common::{START, namespace, numbered, simulated, tiny_without_vectors};
use vecmem::limits;

fn at(micros: i64) -> SystemTime {
    let span = Duration::from_micros(micros.unsigned_abs());
    if micros < 0 { UNIX_EPOCH - span } else { UNIX_EPOCH + span }
}

#[test]
fn items_say_when_they_were_written_and_when_they_end() {
    let (store, _, _) = simulated(tiny_without_vectors());
    let home = namespace(["home"]);
    let hour = Duration::from_secs(3_600);
    store.put(numbered(&home, "stays", 1)).unwrap();
    store.put(numbered(&home, "ends", 1).ttl(hour)).unwrap();
    let stays = store.get(&home, "stays").unwrap().unwrap();
    assert!(stays.created() >= at(START) && stays.created() < at(START) + hour);
    assert_eq!((stays.created(), stays.updated()), (at(stays.created_at), at(stays.updated_at)));
    assert_eq!((stays.expires(), stays.time_to_live()), (None, None));
    let ends = store.get(&home, "ends").unwrap().unwrap();
    assert_eq!((ends.expires(), ends.time_to_live()), (Some(at(START) + hour), Some(hour)));
}

#[test]
fn puts_take_instants() {
    let (store, _, _) = simulated(tiny_without_vectors());
    let home = namespace(["home"]);
    for created in [-1_500_000, -1, 0, 1, START - 1_000_000, limits::INSTANT] {
        let (created, updated, expires) = (at(created), at(START - 5), at(START + 1_000_000_000));
        let put = numbered(&home, "a", 1).created(created).updated(updated).expires(expires);
        store.delete_everything().unwrap();
        store.put(put).unwrap();
        let item = store.get(&home, "a").unwrap().unwrap();
        assert_eq!((item.created(), item.updated(), item.expires()), (created, updated, Some(expires)));
    }
    // Finer than a microsecond is rounded down, also before 1970.
    for instant in [at(START) + Duration::from_nanos(999), at(-7) + Duration::from_nanos(1)] {
        store.put(numbered(&home, "b", 1).expires(at(START * 2)).created(instant)).unwrap();
        let item = store.get(&home, "b").unwrap().unwrap();
        assert!(item.created() <= instant && instant < item.created() + Duration::from_micros(1), "{instant:?}");
        store.delete(&home, "b").unwrap();
    }
    let too_late = at(limits::INSTANT) + Duration::from_micros(1);
    assert!(store.put(numbered(&home, "c", 1).created(too_late)).is_err());
}

#[test]
fn reports_say_how_long_it_took() {
    let (store, _, _) = simulated(tiny_without_vectors());
    let home = namespace(["home"]);
    store.put(numbered(&home, "a", 1)).unwrap();
    let receipt = store.purge(&vecmem::Scope::from(&home)).unwrap();
    assert_eq!(receipt.took().as_secs_f64(), receipt.seconds);
    let build = vecmem::GraphBuild { seconds: 1.5, ..vecmem::GraphBuild::default() };
    assert_eq!(build.took(), Duration::from_millis(1_500));
}
