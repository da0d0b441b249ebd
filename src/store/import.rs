//! Bulk import: many puts in chunks, each of which is one atomic step that also says how far the import is.
//!
//! Invariants:
//! * A chunk is all or nothing; what an import that ended early has done is a first part of its lines, and the mark
//!   tells which.
//! * Every item passes the same door as a put, before anything of its chunk is written.
//! * Memory holds one chunk, which is bounded by rows and by bytes.

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};
use crate::record::{CheckedPut, Write};
use crate::store::batch::last_of_each_key;
use crate::store::write::{self, Put, bytes_of};
use crate::store::{Store, system_namespace};
use crate::tuning::Tuning;
use crate::types::Condition;

/// How far an import is: its mark.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportProgress {
    /// Items done, bad ones included.
    pub lines: u64,
    /// Items put.
    pub imported: u64,
    /// Bad items left out.
    pub skipped: u64,
    /// The end of the source was reached.
    pub complete: bool,
}

/// What an import has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImportReport {
    /// Items put by this run; of several with one key the last one counts in the store, and all of them here.
    pub imported: u64,
    /// Bad items that this run left out.
    pub skipped: u64,
    /// Items that earlier runs had done.
    pub resumed_after: u64,
    /// All that is done of the source, by this run and earlier ones.
    pub progress: ImportProgress,
}

type OnBad<'a> = Box<dyn FnMut(u64, &Error) -> bool + 'a>;
type OnProgress<'a> = Box<dyn FnMut(&ImportProgress) + 'a>;

/// How an import goes. The default is to stop at the first bad item, and to keep no mark.
#[derive(Default)]
pub struct ImportOptions<'a> {
    source: Option<String>,
    progress: Option<ImportProgress>,
    chunk_rows: Option<usize>,
    on_bad: Option<OnBad<'a>>,
    on_progress: Option<OnProgress<'a>>,
    before_commit: Option<Box<dyn FnMut() + 'a>>,
}

impl<'a> ImportOptions<'a> {
    /// The default.
    pub fn new() -> Self {
        Self::default()
    }

    /// A name that stands for the bytes of the source, such as a hash. Each chunk keeps the progress under it, and a
    /// later import of the same source passes over what is done.
    #[must_use]
    pub fn source(mut self, source: impl Into<String>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The items begin behind this much of the source, whatever the mark says; the default [`ImportProgress`] begins
    /// again.
    #[must_use]
    pub fn continue_after(mut self, progress: ImportProgress) -> Self {
        self.progress = Some(progress);
        self
    }

    /// Ends a chunk after this many rows, if not before.
    #[must_use]
    pub fn chunk_rows(mut self, rows: usize) -> Self {
        self.chunk_rows = Some(rows.max(1));
        self
    }

    /// Told of each bad item, by its number from 1; true leaves it out, false ends the import with its error.
    #[must_use]
    pub fn on_bad(mut self, judge: impl FnMut(u64, &Error) -> bool + 'a) -> Self {
        self.on_bad = Some(Box::new(judge));
        self
    }

    /// Told of the progress after each chunk, when it is as durable as the store's mode says.
    #[must_use]
    pub fn on_progress(mut self, show: impl FnMut(&ImportProgress) + 'a) -> Self {
        self.on_progress = Some(Box::new(show));
        self
    }

    /// Called when the files of a chunk are written and their frame is not: for tests of what is written meanwhile.
    #[cfg(feature = "testing")]
    #[must_use]
    pub fn before_commit(mut self, hook: impl FnMut() + 'a) -> Self {
        self.before_commit = Some(Box::new(hook));
        self
    }
}

/// Puts that have passed the door, and where the source stands behind them.
#[derive(Default)]
struct Chunk {
    rows: Vec<CheckedPut>,
    bytes: usize,
    progress: ImportProgress,
}

/// Whether a chunk becomes segment files, or is small enough for the log.
fn takes_files(rows: usize, bytes: usize, tuning: &Tuning) -> bool {
    rows >= tuning.import_file_rows || bytes >= tuning.memtable_bytes
}

/// One import under way.
struct Import<'s, 'a, I> {
    store: &'s Store,
    items: I,
    options: ImportOptions<'a>,
    progress: ImportProgress,
}

impl Store {
    /// Puts many items, much faster than [`put`](Self::put) and [`batch`](Self::batch): large chunks are written as
    /// files of their own, each shown at once and as durable as the store's mode says.
    ///
    /// An item that is an error of kind `InvalidInput` or `Limit` is bad, like one that a put would refuse; any other
    /// error ends the import. Conditions are refused. Of several items with one key the last one counts. Whatever ends
    /// an import, whole chunks are in, and nothing of the others.
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
        let before = match (&options.progress, &options.source) {
            (Some(progress), _) => *progress,
            (None, Some(source)) => {
                let progress = self.import_progress(source)?.unwrap_or_default();
                skip(&mut items, progress.lines);
                progress
            }
            (None, None) => ImportProgress::default(),
        };
        let mut import = Import { store: self, items, options, progress: before };
        while !import.progress.complete {
            let chunk = import.next_chunk()?;
            import.commit(chunk)?;
        }
        let progress = import.progress;
        let (imported, skipped) = (progress.imported - before.imported, progress.skipped - before.skipped);
        Ok(ImportReport { imported, skipped, resumed_after: before.lines, progress })
    }

    /// How far the import of `source` is, if it was begun with that name.
    pub fn import_progress(&self, source: &str) -> Result<Option<ImportProgress>> {
        let Some(json) = self.import_checkpoint(source)? else { return Ok(None) };
        serde_json::from_str(&json).map(Some).map_err(|error| {
            Error::invalid(format!(
                "the mark of the import {source:?} is not one that imports leave ({error}); begin again"
            ))
        })
    }
}

/// Passes over items that are done.
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
        let mut chunk = Chunk { progress: self.progress, ..Chunk::default() };
        while chunk.rows.len() < rows_max && chunk.bytes < bytes_max {
            let Some(item) = self.items.next() else {
                chunk.progress.complete = true;
                break;
            };
            chunk.progress.lines += 1;
            match item.and_then(|put| self.at_the_door(put)) {
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

    fn at_the_door(&self, put: Put) -> Result<(CheckedPut, usize)> {
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

    /// Writes a chunk and its mark, and says so.
    fn commit(&mut self, chunk: Chunk) -> Result<()> {
        let Chunk { mut rows, bytes, progress } = chunk;
        if let Some(source) = &self.options.source {
            let json = serde_json::to_string(&progress)
                .map_err(|error| Error::invalid(format!("the mark cannot be written as JSON: {error}")))?;
            rows.push(self.at_the_door(Put::new(&system_namespace("import"), source.as_str(), json))?.0);
        }
        if !rows.is_empty() {
            let handle = &self.store.handle;
            let call = handle.calls.read();
            let tuning = &handle.engine.tuning;
            let has_texts = rows.iter().any(|row| !row.text_hashes.is_empty());
            if takes_files(rows.len(), bytes, tuning) {
                let nothing: &mut dyn FnMut() = &mut || {};
                handle.pipeline.ingest(rows, self.options.before_commit.as_deref_mut().unwrap_or(nothing))?;
            } else {
                let mut writes: Vec<Write> = rows.into_iter().map(Write::Put).collect();
                last_of_each_key(&mut writes);
                handle.pipeline.write(&writes)?;
            }
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
