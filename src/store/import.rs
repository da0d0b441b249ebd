//! Bulk import: many puts in chunks. Each chunk is atomic, and includes the checkpoint if the source has a name.
//!
//! Invariants:
//! * A chunk is all or nothing. An import that ended early has put a prefix of its items, and the checkpoint has the
//!   length of that prefix.
//! * Every item is validated like a put, before any item of its chunk is written.
//! * Memory holds one chunk, bounded by rows and bytes.
//! * A range delete of everything that an import has written deletes the checkpoint too (`commit/checkpoints.rs`). An
//!   import that is under way then keeps no checkpoint any more: what it had done before is gone.

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};
use crate::record::{CHECKPOINTS, CheckedPut, ImportReach, Lsn, Write, WriteOutcome, row_extensions};
use crate::store::batch::last_of_each_key;
use crate::store::write::{self, Put, bytes_of};
use crate::store::{Store, system_namespace};
use crate::tuning::Tuning;
use crate::types::Condition;

/// The progress of an import, kept as its checkpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportProgress {
    /// Items done, bad ones included.
    pub lines: u64,
    /// Items put.
    pub imported: u64,
    /// Bad items left out.
    pub skipped: u64,
    /// Items left out since their time has passed ([`ImportOptions::leave_out_expired`]).
    #[serde(default)]
    pub expired: u64,
    /// The end of the source was reached.
    pub complete: bool,
}

/// The result of an import.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImportReport {
    /// Items put by this run. Several items with one key all count here, and the last of them is in the store.
    pub imported: u64,
    /// Bad items that this run left out.
    pub skipped: u64,
    /// Items that this run left out since their time has passed.
    pub expired: u64,
    /// Items that earlier runs had done.
    pub resumed_after: u64,
    /// Items of the source done so far, by this run and earlier ones.
    pub progress: ImportProgress,
}

type OnBad<'a> = Box<dyn FnMut(u64, &Error) -> bool + 'a>;
type OnProgress<'a> = Box<dyn FnMut(&ImportProgress) + 'a>;

/// Options of an import. The default stops at the first bad item and keeps no checkpoint.
#[derive(Default)]
pub struct ImportOptions<'a> {
    source: Option<String>,
    progress: Option<ImportProgress>,
    chunk_rows: Option<usize>,
    leaves_out_expired: bool,
    on_bad: Option<OnBad<'a>>,
    on_progress: Option<OnProgress<'a>>,
    before_commit: Option<Box<dyn FnMut() + 'a>>,
}

impl<'a> ImportOptions<'a> {
    /// The default.
    pub fn new() -> Self {
        Self::default()
    }

    /// A name that stands for the bytes of the source, such as a hash. Each chunk keeps the progress under this name,
    /// and a later import of the same source skips the items that are done. A delete or a purge of everything that the
    /// import has written deletes the progress too, so the next import of the source begins at the first item. A delete
    /// of a part leaves the progress: what was deleted does not come back.
    #[must_use]
    pub fn source(mut self, source: impl Into<String>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The progress after which the given items begin. The import skips no item and does not read the checkpoint. The
    /// default [`ImportProgress`] is the beginning of the source.
    #[must_use]
    pub fn continue_after(mut self, progress: ImportProgress) -> Self {
        self.progress = Some(progress);
        self
    }

    /// The most rows of a chunk.
    #[must_use]
    pub fn chunk_rows(mut self, rows: usize) -> Self {
        self.chunk_rows = Some(rows.max(1));
        self
    }

    /// Whether items whose [`Put::expires_at`] has passed, by the clock of the store, are left out and counted.
    /// Default: false, they are put, and reads hide them.
    #[must_use]
    pub fn leave_out_expired(mut self, leaves_out: bool) -> Self {
        self.leaves_out_expired = leaves_out;
        self
    }

    /// Called for each bad item with its number from 1 and its error. True leaves the item out, false ends the import.
    #[must_use]
    pub fn on_bad(mut self, judge: impl FnMut(u64, &Error) -> bool + 'a) -> Self {
        self.on_bad = Some(Box::new(judge));
        self
    }

    /// Called with the progress after each chunk, once the chunk is as durable as the store's mode says.
    #[must_use]
    pub fn on_progress(mut self, show: impl FnMut(&ImportProgress) + 'a) -> Self {
        self.on_progress = Some(Box::new(show));
        self
    }

    /// For tests of concurrent writes: called after a chunk's files are written and before its frame is.
    #[cfg(feature = "testing")]
    #[must_use]
    pub fn before_commit(mut self, hook: impl FnMut() + 'a) -> Self {
        self.before_commit = Some(Box::new(hook));
        self
    }
}

/// Validated puts, and the progress of the source after them.
#[derive(Default)]
struct Chunk {
    rows: Vec<CheckedPut>,
    bytes: usize,
    progress: ImportProgress,
}

/// Whether a chunk is written as segment files. A smaller chunk goes to the log as a batch.
fn takes_files(rows: usize, bytes: usize, tuning: &Tuning) -> bool {
    rows >= tuning.import_file_rows || bytes >= tuning.memtable_bytes
}

/// A running import.
struct Import<'s, 'a, I> {
    store: &'s Store,
    items: I,
    options: ImportOptions<'a>,
    progress: ImportProgress,
    /// The LSN of the checkpoint that the import replaces next, if there is one.
    checkpoint: Option<Lsn>,
    /// What this run and earlier ones have written.
    reach: ImportReach,
    /// Whether the checkpoint was deleted while the import ran.
    is_forgotten: bool,
}

impl Store {
    /// Puts many items, much faster than [`put`](Self::put) and [`batch`](Self::batch): large chunks are written as
    /// files of their own. The items of a chunk become visible together, as durable as the store's mode says.
    ///
    /// An item is bad if it is an error of kind `InvalidInput` or `Limit`, or if a put would refuse it. Any other error
    /// ends the import. Conditions are refused. The last of several items with one key counts. An import that ends
    /// early has put whole chunks only.
    ///
    /// ```
    /// use vecmem::{ImportOptions, Metric, Namespace, Options, Put, Store};
    ///
    /// # fn main() -> vecmem::Result<()> {
    /// let store = Store::temporary(Options::with_vectors(2, Metric::Cosine))?;
    /// let notes = Namespace::new(["notes"])?;
    /// let item = |n: u32| Ok(Put::new(&notes, n.to_string(), format!("{{\"n\": {n}}}")).vector([n as f32, 1.0]));
    ///
    /// let report = store.import((0..10_000).map(item), ImportOptions::new().source("notes, 2026-11-21"))?;
    /// assert_eq!(report.imported, 10_000);
    /// // The same source again: nothing is left to do.
    /// let report = store.import((0..10_000).map(item), ImportOptions::new().source("notes, 2026-11-21"))?;
    /// assert_eq!((report.imported, report.resumed_after), (0, 10_000));
    /// # Ok(())
    /// # }
    /// ```
    pub fn import<I>(&self, items: I, options: ImportOptions<'_>) -> Result<ImportReport>
    where
        I: IntoIterator<Item = Result<Put>>,
    {
        self.handle.engine.check_writable()?;
        let mut items = items.into_iter();
        // Before the progress is read: a delete that comes between the two makes the import keep no checkpoint.
        let known = options.source.as_deref().map(|source| self.known_checkpoint(source)).transpose()?.flatten();
        let before = match (&options.progress, &options.source) {
            (Some(progress), _) => *progress,
            (None, Some(source)) => {
                let progress = self.import_progress(source)?.unwrap_or_default();
                skip(&mut items, progress.lines);
                progress
            }
            (None, None) => ImportProgress::default(),
        };
        let reach = match &known {
            Some((_, reach)) => reach.clone(),
            None if before.lines > 0 => ImportReach::everywhere(),
            None => ImportReach::nothing(),
        };
        let checkpoint = known.map(|(lsn, _)| lsn);
        let mut import =
            Import { store: self, items, options, progress: before, checkpoint, reach, is_forgotten: false };
        while !import.progress.complete {
            let chunk = import.next_chunk()?;
            import.commit(chunk)?;
        }
        let progress = import.progress;
        Ok(ImportReport {
            imported: progress.imported - before.imported,
            skipped: progress.skipped - before.skipped,
            expired: progress.expired - before.expired,
            resumed_after: before.lines,
            progress,
        })
    }

    /// The LSN of a checkpoint, and what its import has written.
    fn known_checkpoint(&self, source: &str) -> Result<Option<(Lsn, ImportReach)>> {
        let (area, view) = (system_namespace(CHECKPOINTS), self.newest_moment().view);
        let shard = &view.shards[view.shard_of(area.encoded())];
        let Some((part, row)) = shard.find_visible(area.encoded(), source, view.read_lsn)? else { return Ok(None) };
        let reach = ImportReach::decode(part.extensions(row)?.get(row_extensions::IMPORT_REACH));
        Ok(Some((part.lsn(row)?, reach)))
    }

    /// The checkpoint of the import of `source`, if there is one.
    pub fn import_progress(&self, source: &str) -> Result<Option<ImportProgress>> {
        let Some(json) = self.import_checkpoint(source)? else { return Ok(None) };
        serde_json::from_str(&json).map(Some).map_err(|error| {
            Error::invalid(format!(
                "the checkpoint of the import {source:?} is not one that imports leave ({error}); begin again"
            ))
        })
    }
}

/// Skips items that are done.
fn skip(items: &mut impl Iterator, lines: u64) {
    let mut left = lines;
    while left > 0 && items.next().is_some() {
        left -= 1;
    }
}

impl<I: Iterator<Item = Result<Put>>> Import<'_, '_, I> {
    /// The next items, up to the limits of a chunk.
    fn next_chunk(&mut self) -> Result<Chunk> {
        let tuning = &self.store.handle.engine.tuning;
        let rows_max = self.options.chunk_rows.unwrap_or(usize::MAX).min(tuning.import_chunk_rows);
        let bytes_max = tuning.import_chunk_bytes;
        let expired_at = match self.options.leaves_out_expired {
            true => self.store.handle.engine.clock.query_time(),
            false => i64::MIN,
        };
        let mut chunk = Chunk { progress: self.progress, ..Chunk::default() };
        while chunk.rows.len() < rows_max && chunk.bytes < bytes_max {
            let Some(item) = self.items.next() else {
                chunk.progress.complete = true;
                break;
            };
            chunk.progress.lines += 1;
            match item.and_then(|put| self.checked(put)) {
                Ok((row, _)) if row.expires_at.is_some_and(|at| at <= expired_at) => chunk.progress.expired += 1,
                Ok((row, bytes)) => {
                    chunk.progress.imported += 1;
                    chunk.bytes += bytes;
                    chunk.rows.push(row);
                }
                Err(error) => self.judge(error, &mut chunk.progress)?,
            }
        }
        Ok(chunk)
    }

    fn checked(&self, put: Put) -> Result<(CheckedPut, usize)> {
        let write = write::put(put, &self.store.handle.engine.identity.keys)?;
        let bytes = bytes_of(&write);
        match write {
            Write::Put(row) if row.condition == Condition::Always => Ok((row, bytes)),
            _ => Err(Error::invalid("an import puts without conditions; use a batch for those")),
        }
    }

    /// Leaves a bad item out, or ends the import.
    fn judge(&mut self, error: Error, progress: &mut ImportProgress) -> Result<()> {
        let is_bad = matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Limit(_));
        if !is_bad {
            return Err(error);
        }
        if !self.options.on_bad.as_mut().is_some_and(|judge| judge(progress.lines, &error)) {
            return Err(error.context(format!("item {} of the import", progress.lines)));
        }
        progress.skipped += 1;
        Ok(())
    }

    /// The checkpoint of a chunk, if the import keeps one.
    fn checkpoint_of(&self, chunk: &Chunk, reach: &ImportReach) -> Result<Option<Write>> {
        let Some(source) = self.options.source.as_ref().filter(|_| !self.is_forgotten) else { return Ok(None) };
        let json = serde_json::to_string(&chunk.progress)
            .map_err(|error| Error::invalid(format!("the checkpoint cannot be written as JSON: {error}")))?;
        let put = Put::new(&system_namespace(CHECKPOINTS), source.as_str(), json);
        let put = put.extension(row_extensions::IMPORT_REACH, false, &reach.encode());
        Ok(Some(Write::Checkpoint { put: self.checked(put)?.0, expected: self.checkpoint }))
    }

    /// Writes a chunk with its checkpoint, and reports the progress.
    fn commit(&mut self, chunk: Chunk) -> Result<()> {
        let secret = self.store.handle.engine.identity.keys.secret;
        let reach = ImportReach::of(secret, chunk.rows.iter().map(|row| &row.namespace)).and(self.reach.clone());
        let checkpoint = self.checkpoint_of(&chunk, &reach)?;
        let Chunk { rows, bytes, progress } = chunk;
        if !rows.is_empty() || checkpoint.is_some() {
            let keeps = checkpoint.is_some();
            let handle = &self.store.handle;
            let call = handle.calls.read();
            let tuning = &handle.engine.tuning;
            let has_texts = rows.iter().any(|row| !row.text_hashes.is_empty());
            let outcome = if takes_files(rows.len(), bytes, tuning) {
                let nothing: &mut dyn FnMut() = &mut || {};
                let hook = self.options.before_commit.as_deref_mut().unwrap_or(nothing);
                handle.pipeline.ingest(rows, checkpoint, hook)?
            } else {
                let mut writes: Vec<Write> = rows.into_iter().map(Write::Put).chain(checkpoint).collect();
                last_of_each_key(&mut writes);
                handle.pipeline.write(&writes)?.pop()
            };
            match outcome.filter(|_| keeps) {
                Some(WriteOutcome::Put(version)) => self.checkpoint = Some(Lsn::new(version.0)),
                _ => self.is_forgotten = true,
            }
            self.reach = reach;
            if has_texts {
                handle.embeddings.look_again();
            }
            if tuning.inline_background {
                handle.worker.run_inline();
            }
            drop(call);
        }
        self.progress = progress;
        if let Some(show) = &mut self.options.on_progress {
            show(&self.progress);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_chunks_take_files() {
        let tuning = Tuning { import_file_rows: 10, memtable_bytes: 1_000, ..Tuning::default() };
        let table = [(0, 0, false), (9, 999, false), (10, 0, true), (1, 1_000, true)];
        for (rows, bytes, files) in table {
            assert_eq!(takes_files(rows, bytes, &tuning), files, "{rows} rows, {bytes} bytes");
        }
    }
}
