//! The texts that vectors embed, of one part: which are known, and the vector of one.
//!
//! Invariants:
//! * A text is known by its hash, which lies beside the vector in the row of the item and so lives and dies with it.

use crate::error::Result;
use crate::record::{Lsn, TextHash};
use crate::segment::active::Active;
use crate::shard::AnyPart;
use crate::shard::part::SealedPart;
use crate::types::Namespace;

/// Where a known text was found: namespace, key, the vector's number among those of its item, and the hash.
pub(crate) type Known<'a> = (Namespace, &'a str, u32, TextHash);

impl AnyPart<'_> {
    /// The vector numbered `vector` of a row, if it embeds the text of that hash.
    pub fn embedding(&self, row: u32, vector: u32, hash: TextHash) -> Result<Option<Vec<f32>>> {
        match self {
            Self::Active(active) | Self::Sealing(active) => {
                let (record, vector) = (&active.row(row).record, vector as usize);
                let is_it = record.text_hashes.get(vector) == Some(&hash);
                Ok(record.vectors.get(vector).filter(|_| is_it).map(|vector| vector.values.to_vec()))
            }
            Self::Sealed(part) => {
                let segment = part.segment()?;
                let Some(vector) = segment.row_vectors(row)?.nth(vector as usize) else { return Ok(None) };
                let is_it = segment.text_hash(vector)? == hash;
                is_it.then(|| segment.vector(vector).map(<[f32]>::to_vec)).transpose()
            }
        }
    }

    /// Passes on what is known of rows that a view of `visible` shows, until `each` wants no more; tells whether it does.
    pub fn each_known(&self, visible: Lsn, each: &mut dyn FnMut(Known<'_>) -> bool) -> Result<bool> {
        match self {
            Self::Active(active) | Self::Sealing(active) => Ok(each_known_in_memory(active, visible, each)),
            Self::Sealed(part) => each_known_sealed(part, visible, each),
        }
    }
}

fn each_known_in_memory(active: &Active, visible: Lsn, each: &mut dyn FnMut(Known<'_>) -> bool) -> bool {
    let rows = (0..active.len() as u32).rev().map(|row| active.row(row)).filter(|row| row.is_visible(visible));
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

fn each_known_sealed(part: &SealedPart, visible: Lsn, each: &mut dyn FnMut(Known<'_>) -> bool) -> Result<bool> {
    let segment = part.segment()?;
    for (vector, &hash) in (0..).zip(segment.text_hashes()?).filter(|(_, hash)| **hash != 0) {
        let row = segment.vector_row(vector)?;
        if part.deaths.is_dead_at(row, visible) || segment.lsn(row)? > visible {
            continue;
        }
        let first = segment.row_vectors(row)?.start;
        let namespace = Namespace::from_encoded(segment.namespace(segment.namespace_of(row)?)?);
        if !each((namespace, segment.key(row)?, vector.saturating_sub(first), hash)) {
            return Ok(false);
        }
    }
    Ok(true)
}
