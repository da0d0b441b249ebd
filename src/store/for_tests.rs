//! What only tests ask of a store: its contents as text, a step of the background, the end of snapshots, threads held
//! at hook points.

use std::fmt::Write as _;
use std::time::Duration;

use crate::error::Result;
use crate::extensions::Extensions;
use crate::graph::calibration::Calibration;
use crate::ids::IdRange;
use crate::shard::{ItemParts, PartRef, ReadView};
use crate::store::{HoldersReport, Store};
use crate::sync::{Hold, HookPoint};
use crate::types::{Interval, Item};

impl Store {
    /// Every item of the store as text, in order: for tests that compare stores.
    pub fn text_dump(&self) -> Result<String> {
        self.handle.engine.check_usable()?;
        text_dump(&self.handle.engine.view.get())
    }

    /// Runs what is due in the background on this thread, for tests with `inline_background`.
    pub fn run_background(&self) {
        let _call = self.handle.calls.read();
        self.handle.worker.run_inline();
    }

    /// Replaces the tables of the files of all graphs, once, by one with this ef for every recall, number of results
    /// and class of queries.
    pub fn forge_calibrations(&self, ef: u32) {
        let view = self.handle.engine.view.get();
        let segments = view.shards.iter().flat_map(|shard| &shard.segments).filter_map(|part| part.segment().ok());
        for graph in segments.flat_map(|segment| segment.graphs()) {
            let forged = Calibration::of_one_class([[ef; 5]; 2]).ef;
            let _ = graph.live.forged.set(Calibration { ef: forged, ..graph.description().calibration });
        }
    }

    /// Holds the next thread that reaches a hook point of this store, until the returned value is dropped.
    pub fn hold_at(&self, point: HookPoint) -> Hold {
        self.handle.engine.hooks.hold(point)
    }

    /// Ends every snapshot, cursor and listing of a moment before now, after waiting for them for `grace`, and unmaps
    /// what they kept: what a purge does at its end.
    pub fn end_snapshots_before_now(&self, grace: Duration) -> Result<HoldersReport> {
        self.handle.engine.check_usable()?;
        let number = self.handle.engine.view.get().number;
        self.handle.forget(&Interval::everything());
        Ok(self.handle.end_before(number, grace))
    }
}

/// Every visible item with all its columns, the engine's own area included, in (namespace, key) order.
fn text_dump(view: &ReadView) -> Result<String> {
    let everything = Interval::everything();
    let mut items: Vec<(Item, Extensions)> = Vec::new();
    for part in view.shards.iter().flat_map(|shard| shard.parts()) {
        let mut rows = Vec::new();
        match part {
            PartRef::Memtable(memtable) => memtable.rows_in(&everything, &mut rows),
            PartRef::Segment(part) => rows.extend(part.segment()?.all_rows().ids()),
        }
        for row in rows {
            if part.lsn(row)? <= view.read_lsn && view.read_lsn < part.deleted_lsn(row)? {
                items.push((part.item(row, None, ItemParts::ALL)?, part.extensions(row)?));
            }
        }
    }
    items.sort_by(|(a, _), (b, _)| (a.namespace.encoded(), &a.key).cmp(&(b.namespace.encoded(), &b.key)));
    let mut text = String::new();
    for (item, extensions) in items {
        let _ = writeln!(text, "{item:?}");
        for extension in extensions.iter() {
            let _ = writeln!(text, "  {extension:?}");
        }
    }
    Ok(text)
}
