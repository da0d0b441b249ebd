//! While the split of a shard waits for an import, flushes write a segment for each piece of the shard. Each piece is
//! merged by itself, so that segments neither pile up nor are merged across the cuts again and again.

use std::sync::Arc;

use crate::common::{START, namespace, numbered, tiny};
use vecmem::testing::{HookPoint, SimClock, SimStorage, open_with};
use vecmem::{ImportOptions, Metric, Namespace, Tuning};

const EACH: u64 = 75;

fn homes() -> [Namespace; 4] {
    [namespace(["a"]), namespace(["m", "1"]), namespace(["m", "2"]), namespace(["z"])]
}

#[test]
fn of_pieces_that_are_written_to() {
    let tuning = Tuning { shard_rows: 200, graph_rows: u32::MAX, earn_rows: u32::MAX, ..Tuning::tiny() };
    let options = tiny(1, Metric::Dot).tuning(tuning);
    let store = open_with(Arc::new(SimStorage::new(1)), Arc::new(SimClock::new(START)), options).unwrap();
    let rows = homes().map(|home| (1_000..1_010).map(move |key| numbered(&home, key.to_string(), key)));
    let rows: Vec<_> = rows.into_iter().flatten().collect();
    std::thread::scope(|scope| {
        let held = store.hold_at(HookPoint::ImportFollowed);
        let import = scope.spawn(|| store.import(rows.into_iter().map(Ok), ImportOptions::default()));
        held.wait_until_held();
        let (mut most, mut put) = (0, 0);
        for round in 0..8 {
            for key in 0..EACH {
                for home in &homes() {
                    store.put(numbered(home, key.to_string(), round)).unwrap();
                    put += 1;
                }
                most = most.max(store.stats().unwrap().internals.segments);
            }
        }
        let internals = store.stats().unwrap().internals;
        assert_eq!(internals.shards, 1, "a file of the import lies on both sides");
        assert!(put / 24 * 4 > 8 * most, "{most} segments after {put} puts");
        assert!(most <= 4 * 8, "at most {most} segments");
        assert!(internals.merges < put, "{} merges for {put} puts", internals.merges);
        held.let_go();
        import.join().unwrap().unwrap();
    });
    store.put(numbered(&homes()[0], "last", 1)).unwrap();
    store.flush().unwrap();
    store.run_background();
    assert!(store.stats().unwrap().internals.shards > 1, "the import was all that it waited for");
    assert_eq!(store.check(false).unwrap().problems, Vec::<String>::new());
}
