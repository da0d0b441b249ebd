//! The seeds of targets whose input is edits: this table makes them, and the files are what it says.
//! `VECMEM_WRITE_SEEDS=1 cargo test --test fuzz seeds` writes the files.
//!
//! An input of most targets begins with a byte that says what the rest is: a file (0), a file to be given right
//! checksums (1), edits of a good file (2), edits with right checksums (3). An edit is 4 bytes: what, where (2), value.

use std::path::Path;

/// A byte of the fields is replaced.
const REPLACED: &[u8] = &[0, 70, 0, 9];
/// A bit far inside the file flips.
const FLIPPED: &[u8] = &[132, 0, 3, 5];
/// A number becomes the largest.
const LARGEST: &[u8] = &[7, 16, 0, 9];
/// A piece is cleared, another is left out, a third is copied.
const MOVED: &[u8] = &[139, 0, 2, 30, 142, 9, 1, 3, 143, 1, 0, 60];
/// The file ends early.
const CUT: &[u8] = &[140, 0, 40, 255];

/// Targets whose first byte says what the rest is.
const FILES: &[&str] = &[
    "wal_frame",
    "manifest_settings",
    "segment_layout",
    "packed_value",
    "tombstones",
    "missed_operations",
    "operation_ids",
    "extensions",
];
/// Targets whose input is edits and nothing else.
const EDITS: &[&str] = &["truth", "blob", "codes", "graph_file"];
/// Targets of directories: the second byte chooses a file.
const DIRECTORIES: &[&str] = &["directory", "salvage", "backup"];

/// Seeds of the other targets: target, name, bytes.
const OTHERS: &[(&str, &str, &[u8])] = &[
    ("wal_tail_rule", "clean", &[4, 10, 200, 30, 4]),
    ("wal_tail_rule", "torn", &[4, 10, 204, 34, 4, 2, 50, 1]),
    ("wal_tail_rule", "corrupt", &[5, 0, 0, 0, 0, 0, 1, 50, 1]),
    ("wal_salvage", "first_file", &[1, 132, 0, 60, 3]),
    ("wal_salvage", "both_forged", &[7, 130, 0, 60, 3, 9, 48, 0, 2]),
    (
        "key_table",
        "crowded",
        &[1, 9, 1, 9, 1, 9, 1, 9, 1, 9, 1, 9, 1, 9, 1, 9, 1, 9, 1, 9, 1, 9, 1, 9, 0, 60, 0, 255, 0, 61, 0, 1],
    ),
    ("graph_search", "whole", &[45, 40, 255, 1]),
    ("graph_search", "few", &[3, 80, 5, 1, 4, 12, 0, 1]),
    ("calibration", "falling", &[200, 0, 0, 0, 100, 0, 0, 0, 50, 0, 0, 0, 20, 0, 0, 0, 10, 0, 0, 0]),
    ("calibration", "largest", &[255; 60]),
    ("calibration", "classes", &[99; 200]),
    ("json", "object", br#"{"a":[1,-2.5e3,"\u00e9\ud83d\ude00",null,true],"b":{}}"#),
    ("json", "repeated", br#"{"a":1,"\u0061":2}"#),
    ("json", "half_a_pair", br#"["\ud83d"]"#),
    ("field_index", "common", b"{\"a\":{\"$gte\":2},\"b.c\":\"x\"}\n{\"a\":1}\n{\"a\":2.5,\"b\":{\"c\":\"x\"}}\n{\"a\":[2],\"b.c\":null}"),
    (
        "field_index",
        "long",
        b"{\"t\":{\"$lt\":\"a long text that begins so and ends b\"}}\n{\"t\":\"a long text that begins so and ends a\"}\n{\"t\":\"a long text that begins so and ends c\"}\n{\"t\":\"a\"}",
    ),
    (
        "field_index",
        "edited",
        b"{\"$or\":[{\"a\":{\"$contains\":1}},{\"a\":null}]}\n{\"a\":[1,\"1\",{}]}\n{\"b\":1}\n{\"a\":{\"b\":[]}}\n\n\x00\x46\x00\x09\x84\x00\x03\x05",
    ),
    ("namespace", "prefix", b"users/ada|users/ada/facts"),
    ("namespace", "zeros", b"a\0/b|a\0\xFF/\0"),
    ("namespace", "encoded", b"a\0b\0\xFFc\0"),
    (
        "kernels",
        "numbers",
        &[
            0, 0, 128, 63, 0, 0, 0, 192, 255, 255, 127, 127, 1, 0, 0, 0, 0, 0, 128, 63, 0, 0, 0, 65, 3, 0, 0, 1, 9, 9,
            9, 9,
        ],
    ),
    ("upgrade", "closed", &[0, 4, 132, 0, 3, 5]),
    ("upgrade", "closed_first_format", &[1, 1, 0, 40, 0, 9]),
    ("upgrade", "killed", &[2, 20, 132, 0, 3, 5]),
    ("operation_ids", "no_ids", &[0, 0, 0, 0, 0]),
];

fn all() -> Vec<(&'static str, String, Vec<u8>)> {
    let edits = [("replaced", REPLACED), ("flipped", FLIPPED), ("largest", LARGEST), ("moved", MOVED), ("cut", CUT)];
    let mut seeds = Vec::new();
    for (name, edit) in edits {
        FILES.iter().for_each(|target| seeds.push((*target, format!("{name}_with_checksum"), [&[3], edit].concat())));
        EDITS.iter().for_each(|target| seeds.push((*target, name.to_owned(), edit.to_vec())));
        for target in DIRECTORIES {
            seeds.push((target, name.to_owned(), [&[0, 9], edit].concat()));
            seeds.push((target, format!("{name}_with_checksums"), [&[2, 3], edit].concat()));
        }
    }
    FILES.iter().for_each(|target| seeds.push((target, "good".into(), vec![2])));
    EDITS.iter().for_each(|target| seeds.push((target, "good".into(), vec![0])));
    DIRECTORIES.iter().for_each(|target| seeds.push((target, "without_files".into(), vec![3, 0, 2, 0, 1, 5, 100])));
    seeds.extend(OTHERS.iter().map(|(target, name, bytes)| (*target, (*name).to_owned(), bytes.to_vec())));
    seeds
}

#[test]
fn the_kept_seeds_are_those_of_the_table() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds");
    for (target, name, bytes) in all() {
        let path = folder.join(target).join(name);
        if std::env::var_os("VECMEM_WRITE_SEEDS").is_some() {
            std::fs::create_dir_all(folder.join(target)).unwrap();
            std::fs::write(&path, &bytes).unwrap();
        }
        assert_eq!(std::fs::read(&path).ok(), Some(bytes), "{}", path.display());
    }
}
