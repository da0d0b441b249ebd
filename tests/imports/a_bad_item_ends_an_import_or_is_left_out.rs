//! An item that a put would refuse ends an import before anything of its chunk is written, named by its number; or it
//! is left out, if the caller says so.

use crate::common::{namespace, numbered, simulated, tiny};
use vecmem::{
    Condition, Error, ErrorKind, ImportOptions, Limit, Metric, Put, ReadOptions, Result, Scope, Store, limits,
};

fn good(number: u64) -> Result<Put> {
    Ok(numbered(&namespace(["a"]), format!("k{number}"), number).vector([1.0, number as f32]))
}

fn bad() -> Vec<(Result<Put>, ErrorKind)> {
    let place = namespace(["a"]);
    let invalid = ErrorKind::InvalidInput;
    vec![
        (Ok(Put::new(&place, "x", "[1]")), invalid),
        (Ok(Put::new(&place, "x", "{\"a\":1,\"a\":2}")), invalid),
        (Ok(Put::new(&place, "x", "{}").vector([1.0])), invalid),
        (Ok(Put::new(&place, "x", "{}").vector([f32::NAN, 0.0])), invalid),
        (Ok(Put::new(&place, "x", "{}").condition(Condition::IfAbsent)), invalid),
        (Ok(Put::new(&place, "k".repeat(limits::KEY_BYTES + 1), "{}")), ErrorKind::Limit(Limit::KeyBytes)),
        (Err(Error::invalid("the line is not one")), invalid),
    ]
}

fn count(store: &Store) -> u64 {
    store.count(&Scope::Store, &ReadOptions::default()).unwrap()
}

#[test]
fn it_ends_the_import_and_is_named() {
    for (item, kind) in bad() {
        let (store, _, _) = simulated(tiny(2, Metric::Dot));
        let mut item = Some(item);
        let items = (0..60).map(|number| if number == 50 { item.take().unwrap() } else { good(number) });
        let error = store.import(items, ImportOptions::new()).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().starts_with("item 51 of the import: "), "{error}");
        assert_eq!(count(&store), 40, "the first chunk, and nothing of the second");
    }
}

#[test]
fn it_is_left_out_where_the_caller_says_so() {
    let (store, _, _) = simulated(tiny(2, Metric::Dot));
    let wanted: Vec<ErrorKind> = bad().into_iter().map(|(_, kind)| kind).collect();
    let items = bad().into_iter().enumerate().flat_map(|(number, (item, _))| [item, good(number as u64)]);
    let mut told = Vec::new();
    let options = ImportOptions::new().source("s").on_bad(|number, error| {
        told.push((number, error.kind()));
        true
    });
    let report = store.import(items, options).unwrap();
    assert_eq!(told, (0..7).map(|n| (2 * n + 1, wanted[n as usize])).collect::<Vec<_>>());
    assert_eq!((report.imported, report.skipped, report.progress.lines, count(&store)), (7, 7, 14, 7));
    assert_eq!(store.import_progress("s").unwrap(), Some(report.progress));
}

#[test]
fn other_errors_end_the_import_whatever_the_caller_says() {
    let (store, _, _) = simulated(tiny(2, Metric::Dot));
    let items = [good(0), Err(Error::new(ErrorKind::Io, "gone")), good(1)];
    let error = store.import(items, ImportOptions::new().on_bad(|_, _| true)).unwrap_err();
    assert_eq!((error.kind(), count(&store)), (ErrorKind::Io, 0));
}
