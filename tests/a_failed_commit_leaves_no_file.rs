//! A manifest that cannot be committed leaves nothing of what was written for it: no file of operation ids, none of what a lost
//! segment missed, no tombstones.

mod common;

use common::{namespace, numbered, reopened, simulated, tiny};
use vecmem::testing::{Fault, FaultKind, Loss, SimOperation, SimStorage};
use vecmem::{Batch, Metric, Store};

fn side_files(storage: &SimStorage) -> Vec<String> {
    let kinds = [".missed", ".operations", ".dead"];
    storage.names().into_iter().filter(|name| kinds.iter().any(|kind| name.ends_with(kind))).collect()
}

/// A batch with an operation id that kills a row of the whole segment.
fn write(store: &Store) {
    let whole = namespace(["whole"]);
    let mut batch = Batch::new();
    batch.delete(&whole, "7");
    batch.put(numbered(&whole, "new", 1));
    batch.operation_id("operation");
    store.batch(batch).unwrap();
}

#[test]
fn however_often_it_is_tried() {
    let options = || tiny(1, Metric::Dot).shards_at([namespace(["m"])]);
    let (store, storage, clock) = simulated(options());
    for number in 0..40 {
        store.put(numbered(&namespace(["lost"]), number.to_string(), number)).unwrap();
        store.put(numbered(&namespace(["whole"]), number.to_string(), number)).unwrap();
    }
    store.compact().unwrap();
    // A replay of this finds the segment damaged.
    store.delete(&namespace(["lost"]), "3").unwrap();
    store.flush().unwrap();
    let wrecked = storage.crash(Loss::None, 0);
    drop(store);
    let truths: Vec<String> = wrecked.names().into_iter().filter(|name| name.ends_with(".truth")).collect();
    let of_lost = truths.iter().min().unwrap();
    let bytes = wrecked.read_file(of_lost).unwrap();
    wrecked.write_file(
        of_lost,
        &[&bytes[..4096], &bytes[4096..].iter().map(|byte| byte ^ 1).collect::<Vec<_>>()].concat(),
    );
    for (kind, operations, least) in [
        (FaultKind::Full, &[SimOperation::Rename][..], 1),
        (FaultKind::Short, &[SimOperation::Write], 4),
        (FaultKind::Full, &[SimOperation::Write], 4),
        (FaultKind::OpenFiles, &[SimOperation::Create], 4),
    ] {
        let mut failed = 0;
        loop {
            let storage = wrecked.crash(Loss::None, 0);
            let store = reopened(&storage, &clock, options());
            write(&store);
            let before = side_files(&storage);
            storage.fail_after(failed, Fault::sticky(kind, operations));
            let outcomes = [store.accept_clock(), store.accept_clock()];
            storage.clear_faults();
            if outcomes[0].is_ok() {
                break;
            }
            assert_eq!(side_files(&storage), before, "{kind:?} at {operations:?}, after {failed} of them");
            store.accept_clock().unwrap();
            let names = side_files(&storage);
            for kind in [".missed", ".operations", ".dead"] {
                assert!(names.iter().any(|name| name.ends_with(kind)), "{kind} {names:?}");
            }
            failed += 1;
        }
        println!("{kind:?} at {operations:?}: {failed} commits failed");
        assert!(failed >= least, "{kind:?} at {operations:?}");
    }
}
