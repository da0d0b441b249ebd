//! A matrix that is truncated or does not fit the lines is refused, before anything is written where that can be known.

mod common;

use std::fs;

use common::{at, fails, lines, npy};

#[test]
fn a_wrong_matrix_is_named_and_no_store_is_made() {
    let directory = tempfile::tempdir().unwrap();
    let [store, items, vectors] = ["store", "items.jsonl", "vectors.npy"].map(|name| at(directory.path(), name));
    fs::write(&items, lines(3, 1)).unwrap();
    let whole = npy(3, 2, &[1.0, 0.0, 0.0, 1.0, 1.0, 1.0]);
    let cases: [(Vec<u8>, &str); 6] = [
        (whole[..whole.len() - 1].to_vec(), "truncated"),
        (whole[..90].to_vec(), "header is truncated"),
        (whole[..4].to_vec(), "too short"),
        ([whole.as_slice(), &[0]].concat(), "1 byte more"),
        (npy(2, 2, &[1.0; 4]), "has 2 rows, but"),
        (npy(4, 2, &[1.0; 8]), "has 4 rows, but"),
    ];
    for (bytes, wanted) in cases {
        fs::write(&vectors, bytes).unwrap();
        let message = fails(&["import", &store, &items, "--vectors", &vectors]);
        assert!(message.contains(wanted) && message.contains("vectors.npy"), "{message}");
        assert!(!fs::exists(&store).unwrap(), "{message}");
    }
    fs::write(&vectors, &whole).unwrap();
    let message = fails(&["import", &store, &items, "--vectors", &vectors, "--dims", "3"]);
    assert!(message.contains("--dims 3"), "{message}");
}
