//! The checkpoints of imports that the store has, to find those that a range delete deletes in its own frame: the
//! checkpoints of imports all of whose items it deletes. Without them such an import would be complete and have
//! nothing.
//!
//! Invariants:
//! * The table has every checkpoint that was written since the open, published or pending, and once it is loaded those
//!   from before. The commit lock guards it.
//! * The table has one entry for each source of an import, and no label of a namespace.
//! * A range delete that covers a part of what an import has written leaves the checkpoint, so a resumed import does
//!   not bring back what was deleted.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::error::{ErrorKind, Result};
use crate::ids::IdRange;
use crate::record::{CHECKPOINTS, ImportReach, Operation, row_extensions};
use crate::shard::{ItemParts, PartRef, ReadView};
use crate::types::{Interval, Namespace, Scope, system_namespace};

/// The reach of each checkpoint by its source; `None` for a checkpoint that was deleted.
#[derive(Default)]
pub(super) struct Checkpoints {
    by_source: BTreeMap<Arc<str>, Option<ImportReach>>,
    is_loaded: bool,
}

/// Checkpoints that were found in a read view.
pub(super) struct FoundCheckpoints(Vec<(Arc<str>, ImportReach)>);

impl FoundCheckpoints {
    /// Reads the checkpoints of a read view. Damaged ones are left out: a read of them fails and names the damage.
    pub fn read(view: &ReadView) -> Result<Self> {
        let area = Scope::Namespace(system_namespace(CHECKPOINTS)).interval();
        let mut found = Vec::new();
        for part in view.shards_in(&area).flat_map(|shard| shard.parts()) {
            match read_part(&part, &area, view, &mut found) {
                Err(error) if error.kind() == ErrorKind::Damaged => {}
                read => read?,
            }
        }
        Ok(Self(found))
    }
}

fn read_part(
    part: &PartRef<'_>,
    area: &Interval,
    view: &ReadView,
    found: &mut Vec<(Arc<str>, ImportReach)>,
) -> Result<()> {
    let mut rows = Vec::new();
    match part {
        PartRef::Memtable(memtable) => memtable.rows_in(area, &mut rows),
        PartRef::Segment(segment) if segment.covers(area) => rows.extend(segment.segment()?.interval(area)?.ids()),
        PartRef::Segment(_) => {}
    }
    for row in rows {
        if part.lsn(row)? <= view.read_lsn && view.read_lsn < part.deleted_lsn(row)? {
            let source = part.item(row, None, ItemParts::KEY)?.key;
            let reach = ImportReach::decode(part.extensions(row)?.get(row_extensions::IMPORT_REACH));
            found.push((source.into(), reach));
        }
    }
    Ok(())
}

impl Checkpoints {
    pub fn is_loaded(&self) -> bool {
        self.is_loaded
    }

    /// Adds checkpoints from before the open. Entries that are there are newer, and stay.
    pub fn load(&mut self, found: FoundCheckpoints) {
        for (source, reach) in found.0 {
            self.by_source.entry(source).or_insert(Some(reach));
        }
        self.by_source.retain(|_, reach| reach.is_some());
        self.is_loaded = true;
    }

    /// Notes an operation that has its LSN.
    pub fn note(&mut self, operation: &Operation) {
        let Some((_, source)) = operation.address().filter(|(namespace, _)| is_area(namespace)) else { return };
        let reach = match operation {
            Operation::Put(record) => Some(ImportReach::decode(record.extensions.get(row_extensions::IMPORT_REACH))),
            _ => None,
        };
        if reach.is_none() && self.is_loaded {
            self.by_source.remove(source);
        } else {
            self.by_source.insert(Arc::clone(source), reach);
        }
    }

    /// The sources of the imports all of whose items the interval has, in order.
    pub fn covered_by(&self, interval: &Interval, secret: [u64; 2]) -> impl Iterator<Item = &Arc<str>> {
        let covered = move |reach: &Option<ImportReach>| {
            reach.as_ref().is_some_and(|reach| reach.is_covered_by(interval, secret))
        };
        self.by_source.iter().filter(move |(_, reach)| covered(reach)).map(|(source, _)| source)
    }
}

fn is_area(namespace: &Namespace) -> bool {
    // Few namespaces begin with an empty label, so most are told apart by their first byte.
    namespace.encoded().first() == Some(&0) && *namespace == system_namespace(CHECKPOINTS)
}
