//! Makes new derived files of an existing segment current: rebuilt codes, a rebuilt field index, new graphs.
//!
//! Invariants:
//! * The old and the new part share the truth file, its tombstones and the flag that they are lost. So deletes during
//!   the job need not be carried over.
//! * If a merge has replaced the segment meanwhile, or a step fails, the read view and the manifest do not change. The
//!   new files are removed.

use std::sync::Arc;

use crate::engine::Engine;
use crate::engine::field_rules::prepared_rules;
use crate::engine::install::{InstallOutcome, ViewChange, install_change};
use crate::engine::space::output_files::OutputFiles;
use crate::engine::space::{Purpose, written_bytes};
use crate::error::Result;
use crate::interrupt::Stage;
use crate::manifest::{FileKind, SegmentEntry, SideEntry};
use crate::segment::Segment;
use crate::segment::derived::fields::write_fields;
use crate::segment::truth::writer::rebuild_codes;
use crate::shard::part::SharedSegment;
use crate::shard::upkeep::Rebuild;
use crate::shard::{ReadView, Shard};

/// Rebuilds codes from the vectors of a segment, and the field index from its values, and makes them current. Returns
/// false if a merge has replaced the part meanwhile, or the part was lost.
pub(crate) fn rebuild_derived(engine: &Arc<Engine>, part: &SharedSegment, wanted: Rebuild) -> Result<bool> {
    let (storage, keys) = (&*engine.storage, &engine.identity.keys);
    let (segment, mut outputs) = (part.segment()?, OutputFiles::new(engine));
    let (mut entry, mut next) = (part.entry.clone(), segment.shared());
    if wanted.codes {
        let needed = written_bytes(u64::from(segment.vectors()) * segment.dims() as u64, 1);
        outputs.ask_for_space(Purpose::Merge, needed, "the codes of a segment")?;
        let codes = rebuild_codes(storage, keys, segment, outputs.codes())?;
        entry.derived.retain(|derived| derived.kind != FileKind::CODES);
        entry.derived.insert(0, SideEntry::codes(codes));
        next = next.with_codes(storage, keys, codes)?;
    }
    if wanted.fields {
        let rules = prepared_rules(&engine.settings.get());
        let steps = engine.steps(Stage::Merge, segment.rows().into());
        let index = segment.index_values(rules, &steps)?;
        outputs.ask_for_space(Purpose::Merge, written_bytes(index.len() as u64, 1), "the field index of a segment")?;
        let fields = write_fields(storage, keys, outputs.fields(), segment.truth_id(), segment.rows(), &index)?;
        entry.derived.retain(|derived| derived.kind != FileKind::FIELDS);
        entry.derived.push(SideEntry::fields(fields));
        next = next.with_fields(storage, keys, fields);
    }
    replace(engine, part, entry, next, outputs)
}

/// Replaces `part` by `segment`, the same segment with other derived files. `entry` names these for the manifest.
/// Returns false if a merge has replaced the part meanwhile, or the part was lost.
pub(crate) fn replace(
    engine: &Arc<Engine>,
    part: &SharedSegment,
    entry: SegmentEntry,
    segment: Segment,
    mut outputs: OutputFiles,
) -> Result<bool> {
    let outcome = install_change(engine, &Replacement { part, next: Arc::new(part.beside(entry, segment)) })?;
    let is_installed = outcome == InstallOutcome::Installed;
    if is_installed {
        outputs.installed();
    }
    Ok(is_installed)
}

/// A segment with other derived files.
struct Replacement<'a> {
    part: &'a SharedSegment,
    next: SharedSegment,
}

impl ViewChange for Replacement<'_> {
    fn applies_to(&self, view: &ReadView) -> bool {
        view.has_segment(self.part) && !self.part.is_lost()
    }

    /// The two parts share their tombstones. Only the flag that these have to be written belongs to each part.
    fn carry_over(&self) {
        self.next.take_dirty_from(self.part);
    }

    fn apply(&self, view: &ReadView) -> ReadView {
        let mut after = ReadView::clone(view);
        for index in 0..view.shards.len() {
            if view.shards[index].segments.iter().any(|there| Arc::ptr_eq(there, self.part)) {
                let mut shard = Shard::clone(&view.shards[index]);
                for there in shard.segments.iter_mut().filter(|there| Arc::ptr_eq(there, self.part)) {
                    *there = Arc::clone(&self.next);
                }
                after = after.with_shard(index, shard);
            }
        }
        after
    }

    fn undo(&self) {
        self.part.take_dirty_from(&self.next);
    }

    fn retired(&self) -> Vec<SharedSegment> {
        vec![Arc::clone(self.part)]
    }

    /// Reads work without derived files, but deletes on a full disk need the reserve.
    fn may_use_reserve(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::engine::clock::StoreClock;
    use crate::engine::facts::gather;
    use crate::engine::recover::recover;
    use crate::error::ErrorKind;
    use crate::ids::RowId;
    use crate::storage::Storage;
    use crate::storage::sim::{Fault, FaultKind, SimClock, SimOperation, SimStorage};
    use crate::store::{Options, Put, open_with};
    use crate::tuning::Tuning;
    use crate::types::{Durability, Metric, Namespace};

    /// An engine with one segment. One of its rows was deleted after its tombstones were written.
    fn engine() -> (Arc<Engine>, SimStorage, SharedSegment) {
        let (storage, clock) = (SimStorage::new(1), SimClock::new(1));
        let options = Options::with_vectors(2, Metric::Dot).tuning(Tuning::tiny());
        let store = open_with(Arc::new(storage.clone()), Arc::new(clock.clone()), options).unwrap();
        let home = Namespace::new(["a"]).unwrap();
        for key in 0..60 {
            store.put(Put::new(&home, key.to_string(), "{}").vector([1.0, 2.0])).unwrap();
        }
        store.compact().unwrap();
        store.close().unwrap();
        let disk: Arc<dyn Storage> = Arc::new(storage.clone());
        let start = recover(&disk, gather(&*disk).unwrap(), None).unwrap();
        let clock = StoreClock::new(Arc::new(clock), Duration::ZERO, start.clock);
        let engine = Arc::new(Engine::new(disk, clock, Tuning::tiny(), Durability::Sync, start));
        let view = engine.view.get();
        let part = view.shards.iter().flat_map(|shard| &shard.segments).next().map(Arc::clone).unwrap();
        assert!(part.tombstones.delete(RowId(0), view.read_lsn));
        part.set_dirty();
        (engine, storage, part)
    }

    const BOTH: Rebuild = Rebuild { codes: true, fields: true };

    fn has_tombstones(storage: &SimStorage) -> bool {
        storage.names().iter().any(|name| name.ends_with(".dead"))
    }

    #[test]
    fn a_replacement_that_fails_leaves_the_old_part_with_its_unwritten_tombstones() {
        for operation in 0.. {
            let (engine, storage, part) = engine();
            storage.fail_after(operation, Fault::once(FaultKind::Full, SimOperation::GROWTH));
            let outcome = rebuild_derived(&engine, &part, BOTH);
            let is_there = engine.view.get().has_segment(&part);
            match outcome {
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::DiskFull, "{error}");
                    assert!(is_there && engine.retired.lock().is_empty(), "operation {operation}");
                    assert!(part.take_dirty(), "operation {operation}: the tombstones are still to be written");
                }
                Ok(replaced) => {
                    assert!(replaced && !is_there && !storage.fault_struck());
                    assert!(has_tombstones(&storage) && !part.take_dirty(), "the same generation writes them");
                    assert!(operation > 2, "codes, tombstones and the manifest were struck");
                    break;
                }
            }
        }
    }

    #[test]
    fn a_part_that_is_gone_is_not_replaced() {
        let (engine, _storage, part) = engine();
        assert!(rebuild_derived(&engine, &part, BOTH).unwrap());
        let generation = engine.pause_installs().manifest.generation;
        assert!(!rebuild_derived(&engine, &part, BOTH).unwrap());
        assert_eq!(engine.pause_installs().manifest.generation, generation);
        assert_eq!(engine.retired.lock().len(), 1);
    }
}
