//! The fuzz bodies of small formats that are read whole: settings, side files, extensions, names, JSON texts.
//!
//! Invariant: a fuzz body panics only if a reader panics, or if what was read is not written as it was read.

use serde_json::Value;

use crate::engine::operation_ids::OperationIds;
use crate::extensions::Extensions;
use crate::graph::calibration::{CLASSES, Calibration};
use crate::json::{JSON_DEPTH_MAX, JsonReader, validate_object, validate_value};
use crate::manifest::{Settings, SideEntry};
use crate::record::{Lsn, Operation};
use crate::segment::side_file::SideFile;
use crate::shard::missed::MissedOperations;
use crate::storage::sim::SimStorage;
use crate::types::{Interval, Namespace, Scope, decode_labels, encode_labels, is_encoded_namespace};

/// Settings of three documents.
pub(super) fn good_settings() -> Vec<u8> {
    let documents = [("a", "{\"fields\":[\"text\"]}"), ("b", "null"), ("index", "[1,2.5,\"x\"]")];
    let settings = documents.iter().try_fold(Settings::default(), |all, (name, json)| all.with(name, Some(json)));
    settings.map_or_else(|_| Vec::new(), |settings| settings.encode())
}

/// Reads settings.
pub(super) fn fuzz_settings(bytes: &[u8]) -> bool {
    let Ok(settings) = Settings::decode(bytes) else { return false };
    assert_eq!(Settings::decode(&settings.encode()).as_ref(), Ok(&settings), "what was read can be written");
    for (name, json) in settings.iter() {
        assert_eq!(settings.get(name), Some(json));
    }
    true
}

/// Missed operations of every kind.
pub(super) fn good_missed() -> Vec<u8> {
    let (missed, namespace) = (MissedOperations::default(), Namespace::from_encoded(b"a\0"));
    let (key, version) = ("key".into(), Lsn::new(2));
    missed.keep(Lsn::new(3), &Operation::Delete { namespace: namespace.clone(), key: "other".into() });
    missed.keep(Lsn::new(4), &Operation::Touch { namespace, key, version, expires_at: 9 });
    missed.keep(Lsn::new(5), &Operation::DeleteRange { interval: Interval::everything() });
    missed.encode()
}

/// Reads missed operations, and the same bytes as the content of a side file.
pub(super) fn fuzz_missed(bytes: &[u8]) -> bool {
    let file = SideFile { store_id: 1, file_id: 2, kind: "missed" };
    let _ = file.decode(bytes);
    assert_eq!(file.decode(&file.encode(bytes)).ok().as_deref(), Some(bytes), "what was written can be read");
    let Ok(missed) = MissedOperations::decode(bytes) else { return false };
    let again = MissedOperations::decode(&missed.encode()).map(|again| again.operations());
    assert_eq!(again.ok(), Some(missed.operations()), "what was read can be written");
    true
}

/// The ids of three batches of one hour.
pub(super) fn good_operation_ids() -> Vec<u8> {
    let entry =
        |number: u8| [&[number; 16][..], &[number, 0, 0, 0, 0, 0, 0, 0], &[0, 0, 0, number, 0, 0, 0, 0]].concat();
    [vec![3, 0, 0, 0], entry(1), entry(2), entry(3)].concat()
}

/// Reads operation ids from a side file with a right checksum. If they are read, the newest batch is known.
pub(super) fn fuzz_operation_ids(bytes: &[u8]) -> bool {
    let storage = SimStorage::new(1);
    let file = SideFile { store_id: 1, file_id: 2, kind: "operations" };
    storage.write_file(&file.name(), &file.encode(bytes));
    let Ok(ids) = OperationIds::open(&storage, 1, &[SideEntry::operations(2, 0)]) else { return false };
    if ids.damage().is_some() {
        assert!(ids.find(7).is_err(), "a repeated batch cannot be told from a new one");
        return false;
    }
    if let Some(last) = bytes[4..].chunks_exact(32).next_back().and_then(|entry| entry.first_chunk()) {
        assert!(matches!(ids.find(u128::from_le_bytes(*last)), Ok(Some(_))), "the newest batch is forgotten");
    }
    true
}

/// Extensions of three kinds.
pub(super) fn good_extensions() -> Vec<u8> {
    Extensions::default().with(1, false, b"context").with(2, false, b"").with(9, true, &[7; 20]).encoded().to_vec()
}

/// Reads extensions.
pub(super) fn fuzz_extensions(bytes: &[u8]) -> bool {
    let Ok(extensions) = Extensions::decode(bytes) else { return false };
    let again =
        extensions.iter().fold(Extensions::default(), |all, one| all.with(one.kind, one.must_understand, one.bytes));
    assert_eq!(again.encoded(), bytes, "what was read is written as it was");
    for extension in extensions.iter() {
        assert_eq!(extensions.get(extension.kind), Some(extension.bytes));
    }
    assert_eq!(extensions.filtered(|_| true), extensions);
    true
}

/// Reads a table of ef. Whatever it holds, more recall and more results never need less, but for rounding to whole
/// candidates.
pub(super) fn fuzz_calibration(bytes: &[u8]) -> bool {
    let mut numbers =
        bytes.chunks_exact(4).map(|number| u32::from_le_bytes([number[0], number[1], number[2], number[3]]));
    let mut table = Calibration::of_one_class([[1; 5]; 2]);
    table.ef.iter_mut().flatten().flatten().zip(&mut numbers).for_each(|(ef, number)| *ef = number);
    table.bounds.iter_mut().zip(&mut numbers).for_each(|(bound, number)| *bound = f32::from_bits(number));
    table.visits.iter_mut().zip(&mut numbers).for_each(|(visits, number)| *visits = number);
    let mut recalls: Vec<f32> =
        numbers.by_ref().take(8).map(f32::from_bits).filter(|recall| !recall.is_nan()).collect();
    recalls.extend([0.9, 0.951, 0.98, 0.99, 0.999, 1.0]);
    recalls.sort_by(f32::total_cmp);
    let mut sizes: Vec<usize> = numbers.map(|number| number as usize).take(8).collect();
    sizes.extend([0, 1, 10, 11, 99, 100, 101, usize::MAX]);
    sizes.sort_unstable();
    for &k in &sizes {
        assert!(table.visits(k).is_finite() && table.visits(k) >= 1.0, "{table:?} {k}: {}", table.visits(k));
    }
    for &likeness in recalls.iter().chain(&[f32::NAN, f32::NEG_INFINITY, f32::INFINITY]) {
        assert!(table.class(likeness) < CLASSES, "{table:?} {likeness}");
    }
    let rises = |efforts: &[usize]| efforts.windows(2).all(|pair| pair[0] <= pair[1].saturating_add(1));
    for &k in &sizes {
        for class in 0..CLASSES {
            let efforts: Vec<usize> = recalls.iter().map(|&recall| table.ef(class, recall, k)).collect();
            assert!(rises(&efforts) && efforts.iter().all(|&ef| ef >= k), "{table:?} {k}: {efforts:?}");
        }
    }
    for &recall in &recalls {
        for class in 0..CLASSES {
            let efforts: Vec<usize> = sizes.iter().map(|&k| table.ef(class, recall, k)).collect();
            assert!(rises(&efforts), "{table:?} {recall}: {efforts:?}");
        }
        for &k in &sizes {
            let efforts: Vec<usize> = (0..CLASSES).map(|class| table.ef(class, recall, k)).collect();
            assert!(rises(&efforts), "{table:?} {recall} {k}: {efforts:?}");
        }
    }
    true
}

/// Reads bytes as two sequences of labels, and as the encoding of one.
pub(super) fn fuzz_namespace(bytes: &[u8]) -> bool {
    if is_encoded_namespace(bytes) && bytes[0] != 0 {
        let again = encode_labels(decode_labels(bytes));
        assert_eq!(again.ok().as_deref(), Some(bytes), "what was read is written as it was");
    }
    let labels = |bytes: &[u8]| -> Vec<String> {
        bytes.split(|&byte| byte == b'/').map(|label| String::from_utf8_lossy(label).into_owned()).collect()
    };
    let (first, second) = bytes.split_at(bytes.iter().position(|&byte| byte == b'|').unwrap_or(bytes.len() / 2));
    let (first, second) = (labels(first), labels(second));
    let (Ok(one), Ok(other)) = (Namespace::new(&first), Namespace::new(&second)) else { return false };
    assert!(is_encoded_namespace(one.encoded()) && one.labels() == first);
    assert_eq!(one.encoded().cmp(other.encoded()), first.cmp(&second), "encodings sort like the labels");
    let is_below = second.starts_with(&first);
    let prefix = Scope::prefix(&first).map(|scope| scope.interval().contains(other.encoded()));
    assert_eq!(prefix.ok(), Some(is_below), "a prefix is one interval");
    true
}

/// Reads bytes as a JSON text: validation agrees with `serde_json`, and the reader of valid texts reads all of it.
pub(super) fn fuzz_json(bytes: &[u8]) -> bool {
    let mut reader = JsonReader::new(bytes);
    let skipped = reader.skip().is_some();
    let parsed = serde_json::from_slice::<Value>(bytes);
    match validate_value(bytes, JSON_DEPTH_MAX) {
        Ok(()) => {
            assert!(skipped, "the reader ends early");
            let is_object = parsed.as_ref().is_ok_and(Value::is_object);
            assert_eq!(validate_object(bytes, JSON_DEPTH_MAX).is_ok() && parsed.is_ok(), is_object);
            // `serde_json` refuses numbers that no `f64` holds, and the 128th level.
            let refused = parsed.err().map(|error| error.to_string()).unwrap_or_default();
            let excused = ["", "number out of range", "recursion limit exceeded"];
            assert!(
                excused.iter().any(|why| refused.starts_with(why) && refused.is_empty() == why.is_empty()),
                "{refused}"
            );
            true
        }
        Err(error) => {
            let why = error.to_string();
            let excused = ["a key that the same object already has", "levels of the JSON object"];
            assert!(parsed.is_err() || excused.iter().any(|excuse| why.contains(excuse)), "{why}");
            false
        }
    }
}
