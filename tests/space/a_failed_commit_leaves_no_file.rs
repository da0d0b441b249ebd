//! A manifest that cannot be committed leaves nothing of what was written for it: no file of operation ids, none of
//! what a lost segment missed, no tombstones.

use crate::common::directory::Directory;
use crate::common::{namespace, numbered};
use vecmem::testing::{Fault, FaultKind, SimOperation};
use vecmem::{Batch, Metric, Options, Store};

const KINDS: [&str; 3] = [".missed", ".operations", ".dead"];

fn side_files(directory: &Directory) -> Vec<String> {
    KINDS.iter().flat_map(|kind| directory.names(kind)).collect()
}

fn options() -> Options {
    Options::with_vectors(1, Metric::Dot).split_keys([namespace(["m"])])
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

/// What a killed process left: two segments, one of them damaged where the log has a delete for it.
fn wrecked(directory: &Directory) -> Directory {
    let store = directory.open(options());
    for number in 0..40 {
        store.put(numbered(&namespace(["lost"]), number.to_string(), number)).unwrap();
        store.put(numbered(&namespace(["whole"]), number.to_string(), number)).unwrap();
    }
    store.compact().unwrap();
    // A replay of this finds the segment damaged.
    store.delete(&namespace(["lost"]), "3").unwrap();
    store.sync().unwrap();
    let wrecked = directory.killed();
    drop(store);
    let holds_lost = |name: &String| wrecked.read(name).windows(4).any(|bytes| bytes == b"lost");
    let of_lost = wrecked.names(".truth").into_iter().find(holds_lost).unwrap();
    let mut bytes = wrecked.read(&of_lost);
    bytes[4096..].iter_mut().for_each(|byte| *byte ^= 1);
    wrecked.write(&of_lost, &bytes);
    wrecked
}

#[test]
fn however_often_it_is_tried() {
    leaves_no_file(&Directory::simulated());
}

#[test]
fn on_a_real_disk_with_default_tuning() {
    leaves_no_file(&Directory::real());
}

fn leaves_no_file(directory: &Directory) {
    let wrecked = wrecked(directory);
    for (kind, operations, least) in [
        (FaultKind::Full, &[SimOperation::Rename][..], 1),
        (FaultKind::Short, &[SimOperation::Write], 4),
        (FaultKind::Full, &[SimOperation::Write], 4),
        (FaultKind::OpenFiles, &[SimOperation::Create], 4),
    ] {
        let mut failed = 0;
        loop {
            let directory = wrecked.killed();
            let store = directory.open(options());
            write(&store);
            let before = side_files(&directory);
            directory.fail_after(failed, Fault::sticky(kind, operations));
            let outcomes = [store.accept_clock(), store.accept_clock()];
            directory.clear_faults();
            if outcomes[0].is_ok() {
                break;
            }
            assert_eq!(side_files(&directory), before, "{kind:?} at {operations:?}, after {failed} of them");
            store.accept_clock().unwrap();
            let names = side_files(&directory);
            for kind in KINDS {
                assert!(names.iter().any(|name| name.ends_with(kind)), "{kind} {names:?}");
            }
            failed += 1;
        }
        println!("{kind:?} at {operations:?}: {failed} commits failed");
        assert!(failed >= least, "{kind:?} at {operations:?}");
    }
}
