//! Too many open files, too many maps: an error that names the limit. Nothing is left behind, nothing is fenced, and
//! when the limit is no longer reached the store goes on.

#[path = "../common/mod.rs"]
mod common;

use std::fs::File;
use std::process::Command;

use common::{namespace, numbered, simulated, tiny};
use vecmem::testing::{Fault, FaultKind, SimOperation};
use vecmem::{ErrorKind, Metric, Options, Put, Store};

fn segment_files(names: &[String]) -> usize {
    names.iter().filter(|name| name.starts_with("seg-")).count()
}

fn with_vector(number: u64) -> Put {
    numbered(&namespace(["a"]), number.to_string(), number).vector([1.0, 2.0, 3.0, number as f32])
}

#[test]
fn outputs_that_do_not_open_are_removed() {
    for kind in [FaultKind::Memory, FaultKind::OpenFiles, FaultKind::Io] {
        let (store, storage, _) = simulated(tiny(4, Metric::Dot));
        (0..40).for_each(|number| assert!(store.put(with_vector(number)).is_ok()));
        let before = segment_files(&storage.names());
        storage.fail_after(0, Fault::sticky(kind, &[SimOperation::Map]));
        for number in 100..400 {
            // Puts may be refused when memory is full.
            let _ = store.put(with_vector(number));
        }
        (0..50).for_each(|_| store.run_background());
        assert!(store.compact().is_err());
        let (names, error) = (storage.names(), store.stats().unwrap().health.background_error);
        assert_eq!(segment_files(&names), before, "{kind:?}: {names:?}");
        assert!(error.is_some());
        storage.clear_faults();
        store.put(with_vector(1_000)).unwrap();
        store.compact().unwrap();
        assert_eq!(store.check(false).unwrap().problems, Vec::<String>::new());
    }
}

#[test]
fn a_limit_at_any_open_fences_nothing_and_is_named() {
    for (kind, remedy) in [(FaultKind::OpenFiles, "ulimit -n"), (FaultKind::Memory, "vm.max_map_count")] {
        for after in 0..12 {
            let (store, storage, clock) = simulated(tiny(4, Metric::Dot));
            (0..40).for_each(|number| assert!(store.put(with_vector(number)).is_ok()));
            store.close().unwrap();
            let store = common::reopened(&storage, &clock, tiny(4, Metric::Dot));
            storage.fail_after(after, Fault::sticky(kind, SimOperation::OPENS));
            for error in (40..200).filter_map(|number| store.put(with_vector(number)).err()) {
                assert_eq!(error.kind(), ErrorKind::SystemLimit, "{error}");
                assert!(error.to_string().contains(remedy), "{error}");
            }
            if let Err(error) = store.compact() {
                assert_eq!(error.kind(), ErrorKind::SystemLimit, "{error}");
            }
            storage.clear_faults();
            store.put(with_vector(500)).unwrap();
            store.sync().unwrap();
            store.compact().unwrap();
            assert_eq!(store.check(false).unwrap().problems, Vec::<String>::new());
        }
    }
}

/// What the next test does in a process that may have 64 open files.
const CHILD: &str = "VECMEM_TEST_FEW_FILES";

#[test]
fn a_process_that_may_open_few_files() {
    if std::env::var_os(CHILD).is_some() {
        return with_few_files();
    }
    let this = std::env::current_exe().unwrap();
    let run = "ulimit -n 64 && exec \"$0\" --exact a_process_that_may_open_few_files --nocapture";
    let output = Command::new("sh").arg("-c").arg(run).arg(this).env(CHILD, "1").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("named the limit"), "{said}");
}

fn with_few_files() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let store = Store::open(&path, Options::with_vectors(4, Metric::Dot)).unwrap();
    (0..1_000).for_each(|number| assert!(store.put(with_vector(number)).is_ok()));
    store.compact().unwrap();
    let mut taken: Vec<File> = Vec::new();
    // Again and again: what the background lets go of meanwhile would be room for the store.
    let mut take_all = || taken.extend(std::iter::from_fn(|| File::open("/dev/null").ok()));
    let text = "x".repeat(20_000);
    let large = |number: u64| Put::new(&namespace(["b"]), number.to_string(), format!("{{\"text\":\"{text}\"}}"));
    let refused = (0..5_000).find_map(|number| {
        take_all();
        store.put(large(number)).err()
    });
    take_all();
    for error in [refused.expect("a put needs a file some time"), store.compact().unwrap_err()] {
        assert_eq!(error.kind(), ErrorKind::SystemLimit, "{error}");
        assert!(error.to_string().contains("ulimit -n"), "{error}");
    }
    // Another store cannot be opened either, and says the same.
    take_all();
    let other = Store::open(directory.path().join("other"), Options::new()).err().unwrap();
    assert!(other.to_string().contains("ulimit -n"), "{other}");
    assert!(!taken.is_empty() && taken.len() < 64);
    drop(taken);
    (5_000..5_100).for_each(|number| assert!(store.put(large(number)).is_ok()));
    store.sync().unwrap();
    store.compact().unwrap();
    assert_eq!(store.check(false).unwrap().problems, Vec::<String>::new());
    store.close().unwrap();
    println!("named the limit, and went on");
}
