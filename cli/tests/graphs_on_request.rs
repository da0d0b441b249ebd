//! `--graph` of import and compact builds a graph for the scope it names; a scope that is none is refused by name.

mod common;

use common::{Numbers, at, fails, lines, npy, succeeds};

fn graphs(dir: &str) -> u64 {
    let stats: serde_json::Value = serde_json::from_str(&succeeds(&["stats", dir, "--json"])).unwrap();
    stats["graphs"]["count"].as_u64().unwrap()
}

#[test]
fn import_and_compact_build_the_graphs_they_are_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    let [dir, file, matrix] = ["store", "lines.jsonl", "vectors.npy"].map(|name| at(directory.path(), name));
    let mut numbers = Numbers::new(5);
    let vectors: Vec<f32> = (0..200 * 4).map(|_| 2.0 * numbers.share() - 1.0).collect();
    std::fs::write(&file, lines(200, 5)).unwrap();
    std::fs::write(&matrix, npy(200, 4, &vectors)).unwrap();
    succeeds(&["import", &dir, &file, "--vectors", &matrix, "--graph", "users/"]);
    assert_eq!(graphs(&dir), 1);
    let said = succeeds(&["compact", &dir, "--graph", "users/7", "--graph", "users/"]);
    assert!(said.contains("2 graphs"), "{said}");
    assert_eq!(graphs(&dir), 2);
    let message = fails(&["compact", &dir, "--graph", "//"]);
    assert!(message.contains("--graph //"), "{message}");
    let message = fails(&["compact", &dir, "--graph", "nobody/"]);
    assert!(message.contains("--graph nobody/") && message.contains("no item"), "{message}");
    let new = at(directory.path(), "new");
    let message = fails(&["import", &new, &file, "--graph", "//"]);
    assert!(
        message.contains("--graph //") && !std::path::Path::new(&new).exists(),
        "before anything is done: {message}"
    );
}
