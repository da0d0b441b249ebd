//! What a later version keeps with an item, in kinds that this one does not know but may ignore, stays with it: in the
//! log, in memory, in segments, in imports, through merges and reopens. A kind that must be understood and is not known
//! is refused at the open.

use crate::common::{namespace, numbered, reopened, simulated, tiny};
use vecmem::testing::{Loss, open_with};
use vecmem::{ErrorKind, ImportOptions, Metric};

#[test]
fn through_log_segments_imports_merges_and_reopens() {
    let (store, storage, clock) = simulated(tiny(2, Metric::Dot));
    let home = namespace(["a"]);
    for number in 0..60_u64 {
        let put = numbered(&home, format!("{number:02}"), number).vector([number as f32, 1.0]);
        let put = if number % 3 == 0 { put.extension(900, false, format!("kept {number}").as_bytes()) } else { put };
        store.put(if number % 5 == 0 { put.extension(1, false, b"context") } else { put }).unwrap();
    }
    let imported =
        (0..20).map(|number| Ok(numbered(&home, format!("i{number}"), number).extension(2, false, b"group")));
    store.import(imported.collect::<Vec<_>>(), ImportOptions::new()).unwrap();
    let dump = store.text_dump().unwrap();
    assert_eq!(dump.matches("kind: 900, must_understand: false").count(), 20);
    assert_eq!((dump.matches("kind: 1,").count(), dump.matches("kind: 2,").count()), (12, 20));
    let of_log = reopened(&storage.crash(Loss::None, 0), &clock, tiny(2, Metric::Dot));
    assert_eq!(of_log.text_dump().unwrap(), dump);
    store.compact().unwrap();
    assert_eq!(store.text_dump().unwrap(), dump);
    assert_eq!(store.check(false).unwrap().problems, Vec::<String>::new());
    store.close().unwrap();
    assert_eq!(reopened(&storage, &clock, tiny(2, Metric::Dot)).text_dump().unwrap(), dump);
}

#[test]
fn what_must_be_understood_is_refused_at_the_open() {
    let (store, storage, clock) = simulated(tiny(2, Metric::Dot));
    store.put(numbered(&namespace(["a"]), "k", 1).extension(901, true, b"x")).unwrap();
    let copy = storage.crash(Loss::None, 0);
    let names = copy.names();
    let refused = open_with(std::sync::Arc::new(copy.clone()), std::sync::Arc::new(clock), tiny(2, Metric::Dot));
    let error = refused.expect_err("a kind that must be understood");
    assert_eq!(error.kind(), ErrorKind::NewerFormat, "{error}");
    assert!(error.to_string().contains("kind 901") && error.to_string().contains("upgrade"), "{error}");
    assert_eq!(copy.names(), names, "a refused open changes nothing");
}
