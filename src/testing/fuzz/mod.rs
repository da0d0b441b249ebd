//! The fuzz targets, in one table: libFuzzer (`fuzz/`) and the seeded tests (`tests/fuzz/`) run each by its name.
//!
//! The input of a target is either the file, or edits of a good file whose checksums are then made right again
//! (`edits`). So fuzzing does not stop at a checksum, and an input to start from is a few bytes long.
//!
//! Reading order: the table here; `edits`; `formats` (small formats), `good_store` and `segments`, `files`,
//! `directory`, `fields`, `reads`; the log's bodies are in `wal/fuzz.rs`.
//!
//! Invariant: a body returns for every input, and panics only if the engine breaks a promise.

mod directory;
mod edits;
mod fields;
mod files;
mod formats;
mod good_store;
mod reads;
mod segments;

use self::edits::edited;
use super::{fuzz_filter, fuzz_store};
use crate::segment::fuzz as segment_files;
use crate::wal::fuzz as log;

/// What a target does with its input. Each function returns whether the input was accepted as valid, wholly or in part.
#[derive(Clone, Copy)]
enum FuzzBody {
    /// Chooses what to do with the input itself.
    Free(fn(&[u8]) -> bool),
    /// The input is a file, or edits of `good`. `forge` makes its checksums right.
    File { good: fn() -> Vec<u8>, forge: fn(Vec<u8>) -> Vec<u8>, read: fn(&[u8]) -> bool },
}

/// A fuzz target.
#[derive(Clone, Copy)]
pub struct FuzzTarget {
    /// The name of the target, of its folder of seeds and of its binary.
    pub name: &'static str,
    /// How many inputs a test tries.
    pub inputs: u64,
    /// The longest random input that a test tries.
    pub length_max: u64,
    body: FuzzBody,
}

impl FuzzTarget {
    /// Gives `bytes` to the target. Returns whether they were accepted as valid, wholly or in part.
    pub fn run(&self, bytes: &[u8]) -> bool {
        match self.body {
            FuzzBody::Free(body) => body(bytes),
            FuzzBody::File { good, forge, read } => {
                let Some((&how, rest)) = bytes.split_first() else { return read(bytes) };
                match how % 4 {
                    0 => read(rest),
                    1 => read(&forge(rest.to_vec())),
                    2 => read(&edited(&good(), 0, rest)),
                    _ => read(&forge(edited(&good(), 0, rest))),
                }
            }
        }
    }
}

/// The target with this name. Panics if there is none.
pub fn fuzz_target(name: &str) -> &'static FuzzTarget {
    let found = FUZZ_TARGETS.iter().find(|target| target.name == name);
    found.unwrap_or_else(|| panic!("{name} is not in the table of fuzz targets"))
}

const fn free(name: &'static str, body: fn(&[u8]) -> bool) -> FuzzTarget {
    FuzzTarget { name, inputs: 2_000, length_max: 200, body: FuzzBody::Free(body) }
}

const fn file(name: &'static str, good: fn() -> Vec<u8>, read: fn(&[u8]) -> bool) -> FuzzTarget {
    FuzzTarget { name, inputs: 10_000, length_max: 200, body: FuzzBody::File { good, forge: |bytes| bytes, read } }
}

impl FuzzTarget {
    const fn forged(self, forge: fn(Vec<u8>) -> Vec<u8>) -> Self {
        match self.body {
            FuzzBody::File { good, read, .. } => Self { body: FuzzBody::File { good, forge, read }, ..self },
            FuzzBody::Free(_) => self,
        }
    }

    const fn tries(self, inputs: u64, length_max: u64) -> Self {
        Self { inputs, length_max, ..self }
    }
}

/// Every target but `import_lines`, whose body belongs to the command line.
pub const FUZZ_TARGETS: &[FuzzTarget] = &[
    file("wal_frame", log::good_frame, log::fuzz_frame).forged(log::forge_frame),
    free("wal_replay", log::fuzz_replay).tries(4_000, 2_000),
    free("wal_tail_rule", log::fuzz_tail_rule).tries(4_000, 60),
    free("wal_salvage", directory::fuzz_wal_salvage).tries(1_500, 60),
    free("manifest", files::fuzz_manifest).tries(1_500, 400),
    file("manifest_settings", formats::good_settings, formats::fuzz_settings),
    free("segment_open", files::fuzz_segment_open).tries(2_000, 300),
    file("segment_layout", segments::good_layout, segments::fuzz_layout).tries(4_000, 60),
    free("truth", segments::fuzz_truth).tries(1_000, 60),
    free("key_table", segments::fuzz_key_table).tries(4_000, 400),
    free("blob", segments::fuzz_blob).tries(600, 60),
    file("packed_value", segments::good_packed, segments::fuzz_packed).tries(2_000, 400),
    free("codes", segments::fuzz_codes).tries(600, 60),
    free("graph_file", segments::fuzz_graph_file).tries(1_000, 60),
    free("graph_search", segments::fuzz_graph_search).tries(4_000, 80),
    free("calibration", formats::fuzz_calibration).tries(4_000, 240),
    file("tombstones", segment_files::good_tombstones, segment_files::fuzz_tombstones)
        .forged(segment_files::forge_tombstones)
        .tries(4_000, 100),
    file("missed_operations", formats::good_missed, formats::fuzz_missed),
    file("operation_ids", formats::good_operation_ids, formats::fuzz_operation_ids).tries(4_000, 200),
    file("extensions", formats::good_extensions, formats::fuzz_extensions),
    free("json", formats::fuzz_json).tries(40_000, 60),
    free("filter", fuzz_filter::fuzz_filter).tries(40_000, 60),
    free("field_index", fields::fuzz_field_index).tries(4_000, 300),
    free("order_cursor", reads::fuzz_order_cursor).tries(20_000, 200),
    free("selection", reads::fuzz_selection).tries(20_000, 80),
    free("namespace", formats::fuzz_namespace).tries(20_000, 40),
    free("kernels", segments::fuzz_kernels).tries(2_000, 2_000),
    free("store_ops", fuzz_store::fuzz_store_operations).tries(400, 1_500),
    free("directory", directory::fuzz_directory).tries(800, 40),
    free("salvage", directory::fuzz_salvage).tries(600, 40),
    free("backup", directory::fuzz_backup).tries(600, 40),
    free("upgrade", directory::fuzz_upgrade).tries(400, 40),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// Targets that need no store, each with an input that it accepts. Miri runs them too, so the inputs are few.
    const SMALL: [(&str, &[u8]); 13] = [
        ("wal_frame", &[2]),
        ("manifest_settings", &[2]),
        ("key_table", &[1, 9, 1, 9, 2, 9, 0, 60, 0, 255]),
        ("graph_search", &[45, 40, 20, 1]),
        ("calibration", &[200, 0, 0, 0]),
        ("tombstones", &[3]),
        ("missed_operations", &[2]),
        ("operation_ids", &[2]),
        ("extensions", &[2]),
        ("json", br#"{"a":[1,-2.5e3,"\u00e9\ud83d\ude00",null,true],"b":{}}"#),
        ("filter", b"{\"a\":{\"$gte\":1}}\n{\"a\":[1,2]}"),
        ("namespace", b"users/ada|users/ada/facts"),
        ("kernels", &[7; 200]),
    ];

    #[test]
    fn small_targets_accept_what_is_good_and_survive_edits() {
        let edits = [[0, 70, 0, 9], [7, 16, 0, 9], [132, 0, 3, 5], [142, 9, 1, 3]];
        for (name, good) in SMALL {
            assert!(fuzz_target(name).run(good), "{name}");
            for edit in edits {
                fuzz_target(name).run(&[good, &edit[..]].concat());
            }
        }
    }
}
