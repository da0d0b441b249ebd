//! An error becomes a `std::io::Error` of the nearest kind, which keeps the error and its words.

use std::io;

use vecmem::{Error, ErrorKind, Limit, Namespace, Options, Store};

#[test]
fn the_question_mark_works_in_functions_of_io() {
    fn namespace(text: &str) -> io::Result<Namespace> {
        Ok(text.parse::<Namespace>()?)
    }
    assert!(namespace("a/b").is_ok());
    let error = namespace("a//b").unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    assert!(error.to_string().contains("label 2"), "{error}");
    let inner = error.downcast::<Error>().unwrap();
    assert_eq!(inner.kind(), ErrorKind::InvalidInput);
}

#[test]
fn each_kind_has_the_nearest_one() {
    let kinds = [
        (ErrorKind::Limit(Limit::KeyBytes), io::ErrorKind::InvalidInput),
        (ErrorKind::ConditionFailed, io::ErrorKind::AlreadyExists),
        (ErrorKind::Busy, io::ErrorKind::WouldBlock),
        (ErrorKind::ClockSkew, io::ErrorKind::Other),
        (ErrorKind::DiskFull, io::ErrorKind::StorageFull),
        (ErrorKind::Locked, io::ErrorKind::ResourceBusy),
        (ErrorKind::NotAStore, io::ErrorKind::NotFound),
        (ErrorKind::Damaged, io::ErrorKind::InvalidData),
        (ErrorKind::Corrupt, io::ErrorKind::InvalidData),
        (ErrorKind::DeadlineExceeded, io::ErrorKind::TimedOut),
        (ErrorKind::ReadOnly, io::ErrorKind::ReadOnlyFilesystem),
        (ErrorKind::NewerFormat, io::ErrorKind::Unsupported),
        (ErrorKind::Poisoned, io::ErrorKind::Other),
        (ErrorKind::Io, io::ErrorKind::Other),
    ];
    for (kind, nearest) in kinds {
        assert_eq!(io::Error::from(Error::new(kind, "words")).kind(), nearest, "{kind:?}");
    }
}

#[test]
fn what_the_system_said_stays_the_kind_and_the_source() {
    let directory = tempfile::tempdir().unwrap();
    let too_long = directory.path().join("x".repeat(300));
    let error = Store::open(too_long, Options::new()).unwrap_err();
    let words = error.to_string();
    let error = io::Error::from(error);
    assert_eq!(error.kind(), io::ErrorKind::InvalidFilename);
    assert_eq!(error.to_string(), words);
    assert!(error.get_ref().unwrap().source().is_some());
}
