//! The rows of one part that a scope covers, and what indexes and earlier searches say of them.

use std::ops::Range;
use std::sync::Arc;

use crate::engine::Engine;
use crate::engine::field_rules::prepared_rules;
use crate::field_index::Passing;
use crate::filter::{Outcomes, PreparedFilter};
use crate::ids::RowId;
use crate::search::part::Rows;
use crate::search::passing::passing;
use crate::shard::PartRef;

/// The position of a part in a read view: the number of its shard, and the number of the part in the shard.
#[derive(Clone, Copy)]
pub(super) struct PartPlace {
    pub shard: usize,
    pub part: usize,
}

/// The rows of one part that a scope covers.
pub(super) struct Portion<'a> {
    pub part: PartRef<'a>,
    pub place: PartPlace,
    pub rows: PortionRows,
}

/// The rows of a portion: a range of a segment, or any rows of a memtable.
pub(super) enum PortionRows {
    Range(Range<RowId>),
    List(Vec<RowId>),
}

/// A filter is asked anew about fewer rows: to look its outcomes up costs as much.
const OUTCOMES_ROWS_MIN: usize = 256;

impl PortionRows {
    /// What the field index of `part`, whose rows these are, says of `filter`, if anything.
    pub fn passing(
        &self,
        engine: &Engine,
        part: &PartRef<'_>,
        filter: Option<&PreparedFilter>,
    ) -> Option<Arc<Passing>> {
        match (part, self) {
            (PartRef::Segment(part), Self::Range(rows)) => passing(part.segment().ok()?, filter?, rows),
            (PartRef::Memtable(memtable), Self::List(rows)) => {
                let value = |row: RowId| memtable.row(row).record.value.as_bytes();
                let rules = || prepared_rules(&engine.settings.get());
                memtable.field_chunks.passing(filter?, rows, memtable.len(), value, rules)
            }
            _ => None,
        }
    }

    /// The kept outcomes of `filter` on the values of `part`, whose rows these are. `None` if few rows are left
    /// unsure by `passing`, the answer of the field index.
    pub fn outcomes(
        &self,
        part: &PartRef<'_>,
        filter: Option<&PreparedFilter>,
        passing: Option<&Passing>,
    ) -> Option<Arc<Outcomes>> {
        let unsure = passing.map_or(self.rows().len(), |passing| passing.possible.len() - passing.certain.len());
        if unsure < OUTCOMES_ROWS_MIN {
            return None;
        }
        match part {
            PartRef::Memtable(memtable) => memtable.outcomes.of(filter?, memtable.len()),
            PartRef::Segment(part) => {
                let segment = part.segment().ok()?;
                segment.outcomes.of(filter?, segment.rows() as usize)
            }
        }
    }

    pub fn rows(&self) -> Rows<'_> {
        match self {
            Self::Range(range) => Rows::Range(range.clone()),
            Self::List(rows) => Rows::List(rows),
        }
    }
}

impl Portion<'_> {
    pub fn rows(&self) -> Rows<'_> {
        self.rows.rows()
    }

    pub fn name(&self) -> String {
        match self.part {
            PartRef::Memtable(_) => "memtable".to_owned(),
            PartRef::Segment(part) => format!("segment {:x}", part.entry.file_id),
        }
    }
}
