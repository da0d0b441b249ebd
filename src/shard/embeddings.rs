//! The texts that the vectors of one part embed: lists the known texts, and finds the vector of one text.
//!
//! Invariants:
//! * A text is known by its hash. The hash lies beside the vector in the row of the item, and is deleted with the row.

use crate::error::Result;
use crate::ids::{IdRange, RowId, VectorId};
use crate::memtable::Memtable;
use crate::record::{Lsn, TextHash};
use crate::shard::PartRef;
use crate::shard::part::SegmentPart;
use crate::types::Namespace;

/// Where a known text was found: namespace, key, the vector's number among those of its item, and the hash.
pub(crate) type KnownText<'a> = (Namespace, &'a str, u32, TextHash);

impl PartRef<'_> {
    /// The vector numbered `vector` of a row, if it embeds the text with this hash.
    pub fn embedding(&self, row: RowId, vector: u32, hash: TextHash) -> Result<Option<Vec<f32>>> {
        match self {
            Self::Memtable(memtable) => {
                let (record, vector) = (&memtable.row(row).record, vector as usize);
                let is_it = record.text_hashes.get(vector) == Some(&hash);
                Ok(record.vectors.get(vector).filter(|_| is_it).map(|vector| vector.values.to_vec()))
            }
            Self::Segment(part) => {
                let segment = part.segment()?;
                let Some(vector) = segment.row_vectors(row)?.ids().nth(vector as usize) else { return Ok(None) };
                let is_it = segment.text_hash(vector)? == hash;
                is_it.then(|| segment.vector(vector).map(<[f32]>::to_vec)).transpose()
            }
        }
    }

    /// Calls `each` for the known texts of rows that are visible at `read_lsn`, until `each` returns false. Returns
    /// whether every call returned true.
    pub fn each_known(&self, read_lsn: Lsn, each: &mut dyn FnMut(KnownText<'_>) -> bool) -> Result<bool> {
        match self {
            Self::Memtable(memtable) => Ok(each_known_in_memory(memtable, read_lsn, each)),
            Self::Segment(part) => each_known_in_segment(part, read_lsn, each),
        }
    }
}

fn each_known_in_memory(memtable: &Memtable, read_lsn: Lsn, each: &mut dyn FnMut(KnownText<'_>) -> bool) -> bool {
    let rows = memtable.all_rows().ids().rev().map(|row| memtable.row(row)).filter(|row| row.is_visible(read_lsn));
    for row in rows {
        let record = &row.record;
        for (vector, &hash) in (0..).zip(&record.text_hashes) {
            if hash != 0 && !each((record.namespace.clone(), &record.key, vector, hash)) {
                return false;
            }
        }
    }
    true
}

fn each_known_in_segment(
    part: &SegmentPart,
    read_lsn: Lsn,
    each: &mut dyn FnMut(KnownText<'_>) -> bool,
) -> Result<bool> {
    let segment = part.segment()?;
    for (vector, &hash) in (0..).map(VectorId).zip(segment.text_hashes()?).filter(|(_, hash)| **hash != 0) {
        let row = segment.vector_row(vector)?;
        if part.tombstones.is_deleted_at(row, read_lsn) || segment.lsn(row)? > read_lsn {
            continue;
        }
        let first = segment.row_vectors(row)?.start;
        let namespace = Namespace::from_encoded(segment.namespace(segment.namespace_of(row)?)?);
        if !each((namespace, segment.key(row)?, vector.0.saturating_sub(first.0), hash)) {
            return Ok(false);
        }
    }
    Ok(true)
}
