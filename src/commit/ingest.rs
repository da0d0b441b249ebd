//! Bulk import: many puts as segment files that one frame commits.
//!
//! The files are written and synced under no lock but that of imports. Look-ups in a read view tell which older
//! versions the rows replace, and which `created_at` the rows keep. Under the commit lock only the keys that other
//! writers have written since are looked up again.
//!
//! Invariants:
//! * A frame is written only when its files and their names are durable. Files that no frame can name are removed.
//!   Files that a frame may name are never removed: their ownership ends before the frame joins a group.
//! * A key that was written since the read view is put again in the same frame, with a later LSN than the rows of the
//!   files, so that its `created_at` is right.
//! * No bound between shards moves into the extent of a file that is not committed yet (`shard/bounds.rs`).
//! * Rows have LSNs in the order of the lines. Of several lines with one key the last one counts.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use super::{Intent, Pipeline};
use crate::commit::decide::{Times, times_of};
use crate::commit::import_growth::ImportGrowth;
use crate::commit::pending::PendingWrites;
use crate::commit::tally::QuotaTally;
use crate::commit::under_way::UnderWay;
use crate::commit::watches::{WatchId, WatchedKeys};
use crate::engine::Engine;
use crate::engine::field_rules::prepared_rules;
use crate::engine::install::commit_bounds;
use crate::engine::quotas::Quotas;
use crate::engine::space::output_files::OutputFiles;
use crate::engine::space::{Purpose, written_bytes};
use crate::error::Result;
use crate::ids::RowId;
use crate::interrupt::{Stage, Steps};
use crate::manifest::SegmentEntry;
use crate::record::{ALIVE, CheckedPut, Lsn, VersionTimes, Write, WriteOutcome};
use crate::segment::Segment;
use crate::segment::tombstones::Tombstones;
use crate::segment::truth::input::{RowInput, ValueInput, VectorInput};
use crate::segment::truth::writer::{SegmentInfo, SegmentWriter, Totals};
use crate::shard::ingest::{IngestedFile, IngestedFiles, Older, ReplacedVersion, follow};
use crate::shard::part::SegmentPart;
use crate::shard::part_ref::Part;
use crate::shard::{Lost, ReadView};
use crate::sync::HookPoint;
use crate::types::{Extent, Interval};

/// Roughly the bytes of a row, or of a vector, beside its content.
const ROW_BYTES: usize = 64;

impl Pipeline {
    /// Puts all rows or none, through segment files, and then the checkpoint. `before_commit` is called when the files
    /// are written. Returns the outcome of the checkpoint.
    pub fn ingest(
        &self,
        rows: Vec<CheckedPut>,
        checkpoint: Option<Write>,
        before_commit: &mut dyn FnMut(),
    ) -> Result<Option<WriteOutcome>> {
        self.engine.check_writable()?;
        self.wait_for_room()?;
        let outputs = OutputFiles::new(&self.engine);
        let (order, growth) = (order_of(&rows), None);
        let mut files = ImportSegments { rows, order, checkpoint, files: Vec::new(), watch: None, growth, outputs };
        let row_bytes = |row: &CheckedPut| {
            let vectors = row.vectors.iter().map(|vector| 5 * vector.values.len() + ROW_BYTES);
            (row.value.len() + row.key.len() + ROW_BYTES + vectors.sum::<usize>()) as u64
        };
        let needed = written_bytes(files.rows.iter().map(row_bytes).sum(), 1);
        let _one_at_a_time = self.import_lock.lock();
        // Only under `import_lock`: an import that held it before may have used space.
        files.outputs.ask_for_space(Purpose::Log, needed, "an import")?;
        let (mut times, mut watch) = self.begin_watch(&mut files);
        let under_way = UnderWay::new(&self.engine);
        let (view, ranges) = {
            let _bounds_stay = self.engine.apply_lock.lock();
            let view = self.engine.view.get();
            let ranges = files.ranges(&view);
            under_way.announce(ranges.iter().map(|(_, extent)| extent.clone()).collect());
            (view, ranges)
        };
        commit_bounds(&self.engine)?;
        let found = files.look_up(&view, &mut times)?;
        let replaced = found.replaced.iter().map(|(place, part, at)| (*place, part, *at));
        files.growth = Some(ImportGrowth::of(files.ordered(), replaced, &self.engine.quotas.get())?);
        for (range, extent) in ranges {
            files.write(&self.engine, range, extent, &found)?;
        }
        under_way.announce_names(files.files.iter().flat_map(|file| file.entry.file_names()).collect());
        self.engine.sync_dir()?;
        files.outputs.written();
        before_commit();
        files.follow(&self.engine.view.get());
        self.engine.hooks.reach(HookPoint::ImportFollowed);
        self.engine.prefetch_keys(files.checkpoint.as_slice());
        let committed = self.commit(Intent::Import(&mut files), Purpose::Log);
        if files.files.is_empty() {
            // The files were handed over, so a frame may have used the times.
            watch.set_aside = None;
        }
        Ok(committed?.into_iter().next().filter(|_| files.checkpoint.is_some()))
    }

    /// Begins to note the keys that other writers write, and sets times aside for rows without a given time.
    fn begin_watch(&self, files: &mut ImportSegments) -> (Times, WatchGuard<'_>) {
        let clock_given = files.order.iter().filter(|&&line| files.rows[line as usize].updated_at.is_none()).count();
        let watched = WatchedKeys::of(files.ordered().map(|row| (&row.namespace, &*row.key)));
        let mut state = self.state.lock();
        let id = state.unpublished.begin_watch(watched);
        files.watch = Some(id);
        let times = &mut state.unpublished.times;
        times.begin(&self.engine.clock.reading());
        let mine = times.clone();
        times.skip(clock_given);
        let set_aside = Some((mine.clone(), times.clone()));
        (mine, WatchGuard { pipeline: self, id, set_aside })
    }
}

/// Ends the watch, whatever happens.
struct WatchGuard<'a> {
    pipeline: &'a Pipeline,
    id: WatchId,
    /// The times of the store without and with those set aside, so that they can be given back if no frame used them.
    set_aside: Option<(Times, Times)>,
}

impl Drop for WatchGuard<'_> {
    fn drop(&mut self) {
        let mut state = self.pipeline.state.lock();
        drop(state.unpublished.end_watch(self.id));
        if let Some((without, _)) = self.set_aside.take().filter(|(_, with)| *with == state.unpublished.times) {
            state.unpublished.times = without;
        }
    }
}

/// The rows of an import, and the files that wait for their frame.
pub(super) struct ImportSegments {
    rows: Vec<CheckedPut>,
    /// Places in `rows`, in (namespace, key) order, each key once.
    order: Vec<u32>,
    /// Written by an operation of the frame, after the rows of the files.
    checkpoint: Option<Write>,
    files: Vec<File>,
    /// Notes what others write.
    watch: Option<WatchId>,
    /// `None` before the look-ups.
    growth: Option<ImportGrowth>,
    /// Owned until a frame can name them.
    outputs: OutputFiles,
}

/// One file: a range of the order.
struct File {
    range: Range<usize>,
    entry: SegmentEntry,
    segment: Segment,
    replaced: Vec<ReplacedVersion>,
}

/// The operations of an import's frame, and the keys that other writers have written since its look-ups.
pub(super) struct ImportConflicts {
    /// The checkpoint, then the puts of these keys, to be written again after the rows of the files.
    pub writes: Vec<Write>,
    /// For each file, the rows of these keys.
    pub unsure: Vec<BTreeSet<RowId>>,
}

/// The results of the look-ups in the read view, for each row of the order.
struct Lookup {
    times: Vec<VersionTimes>,
    /// Place in the order, and the version replaced, in the order of places.
    replaced: Vec<(usize, Part, RowId)>,
}

fn order_of(rows: &[CheckedPut]) -> Vec<u32> {
    let address = |line: u32| {
        let row = &rows[line as usize];
        (row.namespace.encoded(), row.key.as_bytes())
    };
    let mut order: Vec<u32> = (0..rows.len() as u32).collect();
    order.sort_unstable_by(|&a, &b| address(a).cmp(&address(b)).then(b.cmp(&a)));
    order.dedup_by(|earlier, last| address(*earlier) == address(*last));
    order
}

impl ImportSegments {
    fn row(&self, place: usize) -> &CheckedPut {
        &self.rows[self.order[place] as usize]
    }

    /// Whether a row may lie in an interval.
    pub fn may_write(&self, interval: &Interval) -> bool {
        self.files.iter().any(|file| file.entry.extent.overlaps(interval))
    }

    /// The rows in their order.
    fn ordered(&self) -> impl Iterator<Item = &CheckedPut> {
        self.order.iter().map(|&line| &self.rows[line as usize])
    }

    /// Rows of all files.
    pub fn rows(&self) -> u32 {
        self.order.len() as u32
    }

    /// The entries by which the frame that begins at `first_lsn` names the files.
    pub fn entries(&self, first_lsn: Lsn) -> Vec<Vec<u8>> {
        self.files.iter().map(|file| file.entry.clone().counted_from(first_lsn).encode()).collect()
    }

    /// Hands the files over to the frame that begins at `first_lsn`. From now on no failure removes them.
    pub fn take(&mut self, first_lsn: Lsn, unsure: Vec<BTreeSet<RowId>>) -> Arc<IngestedFiles> {
        self.outputs.installed();
        let unsure = unsure.into_iter().chain(std::iter::repeat(BTreeSet::new()));
        let files = std::mem::take(&mut self.files).into_iter().zip(unsure).map(|(file, unsure)| {
            let entry = file.entry.counted_from(first_lsn);
            let tombstones = Tombstones::new(entry.rows);
            let part = Arc::new(SegmentPart::new(entry, Ok(file.segment.counted_from(first_lsn)), tombstones));
            let unsure = unsure.into_iter().collect();
            IngestedFile { part, older: Older::Known { replaced: file.replaced, unsure } }
        });
        Arc::new(IngestedFiles { rows: self.order.len() as u32, files: files.collect() })
    }

    /// What the rows of the files do to scopes with a quota, but for the rows that are put again.
    /// `None` if they were added up for other quotas.
    pub fn tally(&self, quotas: &Arc<Quotas>, unsure: &[BTreeSet<RowId>]) -> Option<QuotaTally> {
        let growth = self.growth.as_ref().filter(|growth| growth.is_of(quotas))?;
        let places = |(file, rows): (&File, &BTreeSet<RowId>)| {
            let start = file.range.start;
            rows.iter().map(|row| start + row.index()).collect::<Vec<_>>()
        };
        let put_again = self.files.iter().zip(unsure).flat_map(places);
        Some(growth.tally(put_again.map(|place| (place, &self.row(place).namespace))))
    }

    /// Adds up once more what the rows of the files do to scopes, for these quotas.
    pub fn add_up(&mut self, quotas: &Arc<Quotas>) -> Result<()> {
        let replaced = self.files.iter().flat_map(|file| {
            let start = file.range.start;
            file.replaced.iter().map(move |version| (start + version.row.index(), &version.part, version.at))
        });
        self.growth = Some(ImportGrowth::of(self.ordered(), replaced, quotas)?);
        Ok(())
    }

    /// The range of the order in each shard, or in each piece of a shard that is about to be split, and the extent of
    /// its namespaces. Without ranges that have no rows.
    fn ranges(&self, view: &ReadView) -> Vec<(Range<usize>, Extent)> {
        let namespace = |at: usize| self.rows[self.order[at] as usize].namespace.encoded();
        let (mut ranges, mut start) = (Vec::new(), 0);
        for shard in view.shards.iter() {
            for inside in shard.pieces() {
                let is_inside = |&line: &u32| self.rows[line as usize].namespace.encoded() < inside.high.as_slice();
                let end = start + self.order[start..].partition_point(is_inside);
                if start < end {
                    let extent = shard.extent_inside(&inside, namespace(start), namespace(end - 1));
                    ranges.push((start..end, extent));
                }
                start = end;
            }
        }
        ranges
    }

    /// Looks for older versions, and gives each row its times, in the order of the lines.
    fn look_up(&self, view: &ReadView, times: &mut Times) -> Result<Lookup> {
        let mut by_line: Vec<u32> = (0..self.rows()).collect();
        by_line.sort_unstable_by_key(|&place| self.order[place as usize]);
        let steps = Steps::begin(Stage::Import, by_line.len() as u64);
        let none = VersionTimes { lsn: Lsn::ZERO, created_at: 0, updated_at: 0, expires_at: 0, ttl: 0 };
        let mut found = Lookup { times: vec![none; self.order.len()], replaced: Vec::new() };
        for (lsn, &place) in Lsn::ZERO.sequence().zip(&by_line) {
            steps.next()?;
            let put = &self.rows[self.order[place as usize] as usize];
            let namespace = put.namespace.encoded();
            let newest = match view.shards[view.shard_of(namespace)].newest(namespace, &put.key, Lost::Fails)? {
                Some((part, row)) if part.deleted_lsn(row)? == ALIVE => {
                    found.replaced.push((place as usize, Part::of(part), row));
                    Some(part.current(row)?)
                }
                _ => None,
            };
            let given = times_of(put, newest.as_ref(), times);
            let (created_at, updated_at, expires_at) = (given.created_at, given.updated_at, given.expires_at);
            found.times[place as usize] = VersionTimes { lsn, created_at, updated_at, expires_at, ttl: put.ttl };
        }
        found.replaced.sort_unstable_by_key(|(place, ..)| *place);
        Ok(found)
    }

    /// Writes, syncs and opens the file of a range of the order.
    fn write(&mut self, engine: &Engine, range: Range<usize>, extent: Extent, found: &Lookup) -> Result<()> {
        let file_id = self.outputs.segment();
        let info = self.write_rows(engine, file_id, range.clone(), &found.times)?;
        let entry = SegmentEntry::new(&info, extent);
        let segment = entry.open(&*engine.storage, &engine.identity.keys)?;
        let replaced = found.replaced.iter().filter(|(place, ..)| range.contains(place));
        let replaced = replaced
            .map(|(place, part, at)| ReplacedVersion {
                row: RowId::from_index(place - range.start),
                part: part.clone(),
                at: *at,
            })
            .collect();
        self.files.push(File { range, entry, segment, replaced });
        Ok(())
    }

    fn write_rows(
        &self,
        engine: &Engine,
        file_id: u64,
        range: Range<usize>,
        times: &[VersionTimes],
    ) -> Result<SegmentInfo> {
        let mut totals = Totals::new(engine.tuning.blob_value_bytes);
        let rows = || range.clone().map(|place| (&self.rows[self.order[place] as usize], times[place]));
        rows().for_each(|(row, _)| totals.add(row.vectors.len(), row.value.len()));
        let mut writer = SegmentWriter::create(&*engine.storage, &engine.identity.keys, file_id, totals)?
            .with_relative_lsns()
            .with_field_rules(prepared_rules(&engine.settings.get()));
        let mut vectors = Vec::new();
        let go_on = engine.steps(Stage::Import, range.len() as u64);
        for (row, times) in rows() {
            go_on()?;
            vectors.clear();
            let text_hashes = row.text_hashes.iter().copied().chain(std::iter::repeat(0));
            vectors.extend(row.vectors.iter().zip(text_hashes).map(|(vector, text_hash)| VectorInput {
                path: &vector.path,
                values: &vector.values,
                code: None,
                text_hash,
            }));
            writer.push(&RowInput {
                namespace: row.namespace.encoded(),
                key: &row.key,
                value: ValueInput::Text(&row.value),
                unpacked: None,
                times,
                flags: 0,
                index_paths: &row.index_paths,
                extensions: &row.extensions,
                vectors: &vectors,
            })?;
        }
        writer.finish()
    }

    /// Finds older versions that a merge has moved since the look-ups, so that fewer are left to find under a lock.
    fn follow(&mut self, view: &ReadView) {
        for file in &mut self.files {
            let own = &self.order[file.range.clone()];
            let shard = &view.shards[view.shard_of(&file.entry.extent.lower)];
            follow(&mut file.replaced, shard, |row| {
                let row = &self.rows[own[row.index()] as usize];
                (row.namespace.encoded(), row.key.as_ref())
            });
        }
    }

    /// The checkpoint, and the puts of keys that were written since the watch began, in the order of the lines. The
    /// look-ups of these keys may be outdated.
    pub fn conflicts(&self, pending: &PendingWrites) -> ImportConflicts {
        let watch = self.watch.and_then(|watch| pending.conflicts(watch));
        let checkpoint = self.checkpoint.iter().cloned();
        let Some(watch) = watch.filter(|watch| !watch.is_empty()) else {
            return ImportConflicts { writes: checkpoint.collect(), unsure: Vec::new() };
        };
        let (rows, order) = (&self.rows, &self.order);
        let (mut again, mut unsure) = (BTreeSet::new(), Vec::new());
        for file in &self.files {
            let own = &order[file.range.clone()];
            let of_row = |row: RowId| &rows[own[row.index()] as usize];
            let written = watch.keys().iter().filter_map(|(namespace, key)| {
                let address = (namespace.encoded(), key.as_bytes());
                let found = own.binary_search_by(|&line| {
                    let row = &rows[line as usize];
                    (row.namespace.encoded(), row.key.as_bytes()).cmp(&address)
                });
                found.ok().map(RowId::from_index)
            });
            // A range delete concerns only keys that had a version at the look-ups.
            let erased = file.replaced.iter().map(|replaced| replaced.row);
            let erased = erased.filter(|&row| watch.has_erased(&of_row(row).namespace, &of_row(row).key));
            let of_file: BTreeSet<RowId> = written.chain(erased).collect();
            again.extend(of_file.iter().map(|&row| own[row.index()]));
            unsure.push(of_file);
        }
        let again = again.into_iter().map(|line| Write::Put(rows[line as usize].clone()));
        ImportConflicts { writes: checkpoint.chain(again).collect(), unsure }
    }
}
