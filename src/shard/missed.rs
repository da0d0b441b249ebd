//! Missed operations: operations that may concern rows of a lost segment, and could not be applied to it.
//!
//! Invariants:
//! * An operation that cannot be applied to a part is kept here before its read view is published. It is in a file that
//!   the manifest names before a checkpoint passes it. So the log need not be kept for a lost part, and the operations
//!   are applied when a restored file is opened.
//! * Of each key the newest delete and the newest touch are kept, and of each range the newest delete. So memory and
//!   file grow with the number of keys and ranges, not with time.
//! * To keep an operation twice, or to apply it to a part twice, changes nothing.
//!
//! # Format
//!
//! The content of a side file of kind `missed` (`segment/side_file.rs`), form 1: number u32, for each its LSN u64; then
//! the operations in that order, in the form of the log (`wal/operations.rs`). A put is kept as the delete of the
//! versions before it.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::codec::{Decoded, FormatError, Reader, Writer};
use crate::record::{Lsn, Operation};
use crate::segment::derived::codes::DerivedFile;
use crate::sync::{AtomicBool, Mutex, Ordering};
use crate::types::{Interval, Namespace};
use crate::wal::{decode_operations, encode_operation};

/// The operations that one part missed.
#[derive(Default)]
pub(crate) struct MissedOperations {
    kept: Mutex<KeptOperation>,
    /// Something was kept since the file was last written.
    dirty: AtomicBool,
    /// Files with more missed operations that could not be read when the store was opened. The manifest keeps them.
    pub unread: Vec<DerivedFile>,
}

#[derive(Default)]
struct KeptOperation {
    keys: BTreeMap<(Namespace, Arc<str>), OfKey>,
    ranges: Vec<(Lsn, Interval)>,
}

/// The missed operations on a key: the LSN of the newest delete, or 0, and the newest touch.
#[derive(Default)]
struct OfKey {
    deleted_by: Lsn,
    touch: Option<MissedTouch>,
}

/// The effect of the missed operations on one version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct MissedFate {
    pub is_deleted: bool,
    /// The expiry that a missed touch has set.
    pub expires_at: Option<i64>,
}

#[derive(Clone, Copy)]
struct MissedTouch {
    version: Lsn,
    expires_at: i64,
    lsn: Lsn,
}

impl MissedOperations {
    /// Keeps an operation. The caller holds the apply lock, or is the only user of the part.
    pub fn keep(&self, lsn: Lsn, operation: &Operation) {
        let mut kept = self.kept.lock();
        match (operation, operation.address()) {
            (Operation::DeleteRange { interval }, _) => {
                if !kept.ranges.iter().any(|(there, of)| *there >= lsn && of == interval) {
                    kept.ranges.retain(|(there, of)| *there > lsn || of != interval);
                    kept.ranges.push((lsn, interval.clone()));
                }
            }
            (_, Some((namespace, key))) => {
                let of_key = kept.keys.entry((namespace.clone(), Arc::clone(key))).or_default();
                match *operation {
                    Operation::Touch { version, expires_at, .. } => {
                        if of_key.touch.is_none_or(|touch| touch.lsn < lsn) {
                            of_key.touch = Some(MissedTouch { version, expires_at, lsn });
                        }
                    }
                    _ => of_key.deleted_by = of_key.deleted_by.max(lsn),
                }
            }
            (_, None) => {}
        }
        drop(kept);
        self.dirty.store(true, Ordering::Relaxed);
    }

    pub fn is_empty(&self) -> bool {
        let kept = self.kept.lock();
        kept.keys.is_empty() && kept.ranges.is_empty()
    }

    /// All kept operations, in the order of the log.
    pub fn operations(&self) -> Vec<(Lsn, Operation)> {
        let kept = self.kept.lock();
        let ranges =
            kept.ranges.iter().map(|(lsn, interval)| (*lsn, Operation::DeleteRange { interval: interval.clone() }));
        let keys = kept.keys.iter().flat_map(|((namespace, key), of_key)| {
            let deleted = (of_key.deleted_by > Lsn::ZERO)
                .then(|| (of_key.deleted_by, Operation::Delete { namespace: namespace.clone(), key: key.clone() }));
            let touched = of_key.touch.map(|MissedTouch { version, expires_at, lsn }| {
                (lsn, Operation::Touch { namespace: namespace.clone(), key: key.clone(), version, expires_at })
            });
            deleted.into_iter().chain(touched)
        });
        let mut operations: Vec<(Lsn, Operation)> = ranges.chain(keys).collect();
        operations.sort_by_key(|(lsn, _)| *lsn);
        operations
    }

    /// The effect of the missed operations on the version `lsn` of a key.
    pub fn fate(&self, namespace: &[u8], key: &str, lsn: Lsn) -> MissedFate {
        let kept = self.kept.lock();
        let in_range = kept.ranges.iter().any(|(by, interval)| *by > lsn && interval.contains(namespace));
        let of_key = kept.keys.get(&(Namespace::from_encoded(namespace), Arc::from(key)));
        let is_deleted = in_range || of_key.is_some_and(|of_key| of_key.deleted_by > lsn);
        let touch = of_key.and_then(|of_key| of_key.touch).filter(|touch| touch.version == lsn);
        MissedFate { is_deleted, expires_at: touch.map(|touch| touch.expires_at) }
    }

    /// Forgets all kept operations, after they were applied to the part.
    pub fn clear(&self) {
        *self.kept.lock() = KeptOperation::default();
        self.dirty.store(false, Ordering::Relaxed);
    }

    /// Whether an operation was kept since the last call; the call resets that.
    pub fn take_dirty(&self) -> bool {
        self.dirty.swap(false, Ordering::Relaxed)
    }

    pub fn set_dirty(&self) {
        self.dirty.store(true, Ordering::Relaxed);
    }

    /// The content of its file.
    pub fn encode(&self) -> Vec<u8> {
        let operations = self.operations();
        let mut out = Writer::new();
        out.count(operations.len());
        operations.iter().for_each(|(lsn, _)| out.u64(lsn.get()));
        let mut bytes = out.into_vec();
        operations.iter().for_each(|(_, operation)| encode_operation(&mut bytes, operation));
        bytes
    }

    /// Reads the content of a file.
    pub fn decode(content: &[u8]) -> Decoded<Self> {
        let mut reader = Reader::new(content);
        let count = reader.count(8, usize::MAX)?;
        let lsns = (0..count).map(|_| reader.u64().map(Lsn::new)).collect::<Decoded<Vec<Lsn>>>()?;
        let at = reader.position();
        let operations = decode_operations(&content[at..], count as u32)
            .map_err(|malformed| FormatError { offset: at + malformed.offset, ..malformed })?;
        let missed = Self::default();
        lsns.iter().zip(&operations).for_each(|(&lsn, operation)| missed.keep(lsn, operation));
        missed.take_dirty();
        Ok(missed)
    }

    /// The files for the part's manifest entry: those that are `unread`, and `written` if there is one. Without it, the
    /// files `before` stay as long as operations are kept.
    pub fn files(&self, written: Option<DerivedFile>, before: &[DerivedFile]) -> Vec<DerivedFile> {
        match written {
            Some(file) => self.unread.iter().copied().chain([file]).collect(),
            None if self.is_empty() => self.unread.clone(),
            None => before.to_vec(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delete(key: &str) -> Operation {
        Operation::Delete { namespace: Namespace::new(["a"]).unwrap(), key: key.into() }
    }

    fn touch(key: &str, version: u64) -> Operation {
        Operation::Touch {
            namespace: Namespace::new(["a"]).unwrap(),
            key: key.into(),
            version: Lsn::new(version),
            expires_at: 50,
        }
    }

    fn keep(missed: &MissedOperations, lsn: u64, operation: &Operation) {
        missed.keep(Lsn::new(lsn), operation);
    }

    #[test]
    fn the_newest_of_each_key_is_kept_and_read_back() {
        let missed = MissedOperations::default();
        let range = Operation::DeleteRange { interval: Interval::everything() };
        for round in 0..3 {
            keep(&missed, 3, &delete("k"));
            keep(&missed, 5, &delete("k"));
            keep(&missed, 4, &delete("k"));
            keep(&missed, 7, &touch("k", 6));
            keep(&missed, 6, &touch("l", 2));
            keep(&missed, 8, &range);
            keep(&missed, 2, &range);
            assert!(missed.take_dirty(), "round {round}");
        }
        let expected = [(5, delete("k")), (6, touch("l", 2)), (7, touch("k", 6)), (8, range)];
        let expected = expected.map(|(lsn, operation)| (Lsn::new(lsn), operation));
        assert_eq!(missed.operations(), expected);
        let again = MissedOperations::decode(&missed.encode()).unwrap();
        assert_eq!(again.operations(), expected);
        assert!(!again.take_dirty() && !again.is_empty());
        let fate = |key, lsn| {
            let MissedFate { is_deleted, expires_at } =
                again.fate(Namespace::new(["a"]).unwrap().encoded(), key, Lsn::new(lsn));
            (is_deleted, expires_at)
        };
        assert_eq!((fate("k", 4), fate("k", 8), fate("k", 9)), ((true, None), (false, None), (false, None)));
        assert_eq!((fate("k", 6), fate("absent", 7), fate("l", 2)), ((true, Some(50)), (true, None), (true, Some(50))));
        again.clear();
        assert!(again.is_empty());
    }

    #[test]
    fn bytes_that_are_none_are_refused() {
        let missed = MissedOperations::default();
        keep(&missed, 3, &delete("k"));
        keep(&missed, 9, &touch("m", 1));
        let bytes = missed.encode();
        assert_eq!(bytes[..20], [&[2, 0, 0, 0, 3][..], &[0; 7], &[9], &[0; 7]].concat());
        (0..bytes.len())
            .for_each(|length| assert!(MissedOperations::decode(&bytes[..length]).is_err(), "{length} bytes"));
    }
}
