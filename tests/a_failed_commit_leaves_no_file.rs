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

/// Writes that concern a lost part, with an operation id, and that kill rows of another segment.
fn write(store: &Store, round: u64) {
    let (lost, whole) = (namespace(["lost"]), namespace(["whole"]));
    let mut batch = Batch::new();
    batch.delete(&whole, &round.to_string());
    batch.put(numbered(&whole, format!("new {round}"), round));
    store.batch(batch.operation_id(format!("operation {round}"))).unwrap();
    store.delete_range(&vecmem::Scope::from(&lost)).unwrap();
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
    let store = reopened(&wrecked, &clock, options());
    for (kind, operation) in [
        (FaultKind::Full, SimOperation::Rename),
        (FaultKind::Short, SimOperation::Write),
        (FaultKind::Full, SimOperation::Write),
    ] {
        let before = side_files(&wrecked);
        let mut failed = 0;
        for after in 0..12 {
            write(&store, after);
            wrecked.fail_after(after, Fault::sticky(kind, &[operation]));
            failed += u64::from(store.accept_clock().is_err());
            wrecked.clear_faults();
            if failed > 0 && failed == after + 1 {
                assert_eq!(side_files(&wrecked), before, "{kind:?} at {operation}, after {after} of them");
            } else {
                break;
            }
        }
        println!("{kind:?} at {operation}: {failed} commits failed");
        assert!(failed > 0);
        store.accept_clock().unwrap();
    }
    let names = side_files(&wrecked);
    assert!(
        [".missed", ".operations", ".dead"].iter().all(|kind| names.iter().any(|name| name.ends_with(kind))),
        "{names:?}"
    );
}
