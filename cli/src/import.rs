//! `import`: lines of JSON, with their vectors, into a store.
//!
//! Invariants:
//! * Each batch is one atomic write that also says how many lines are done, so a run that was killed is resumed after the last
//!   batch that got in, and no line is missed or put twice.
//! * One thread reads and parses, this one writes; the two are at most a few chunks apart.

use std::path::PathBuf;
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, anyhow, bail, ensure};
use clap::Args;
use indicatif::ProgressBar;
use serde::{Deserialize, Serialize};
use serde_json::json;
use vecmem::{Batch, Durability, ErrorKind, Options, Put, Store, VectorSpace};

use crate::admin;
use crate::arguments::{DurabilityArgument, MetricArgument, metric_name};
use crate::lines::{Line, LineError};
use crate::output::{self, Output};
use crate::source::{self, BadRow, Chunk, Row, Source};

/// Bad rows that `--skip-bad` names one by one.
const NAMED_BAD_ROWS: u64 = 10;
/// Chunks that may wait between the parsing and the writing thread.
const CHUNKS_AHEAD: usize = 2;

/// Read items from a file of JSON lines; run again after an interruption, it goes on where it stopped
#[derive(Args)]
#[command(after_help = "\
Examples:
  vecmem import memories items.jsonl.gz --vectors vectors.npy    (row i is the vector of line i; f16, f32 or f64)
  vecmem import memories items.jsonl --dims 384 --metric dot     (vectors in the lines)
  vecmem export old - | vecmem import new -

A line is {\"namespace\": [\"users\", \"ada\"], \"key\": \"tea\", \"value\": {\"text\": \"likes green tea\"}}, with \"vector\": [...],
\"ttl_seconds\", \"created_at\" and \"updated_at\" (microseconds since 1970 UTC) if you have them. An item with several vectors
has \"vectors\": [{\"path\": \"text\", \"values\": [...]}].")]
pub struct Import {
    /// The store; made when it is not there
    dir: PathBuf,
    /// Lines of JSON, plain or gzip; - is standard input (which cannot be resumed)
    file: PathBuf,
    /// A matrix: row i is the vector of line i
    #[arg(long, value_name = "FILE.npy")]
    vectors: Option<PathBuf>,
    /// Numbers in one vector of a new store; else taken from --vectors or the first vector in the lines
    #[arg(long, value_name = "N")]
    dims: Option<usize>,
    /// How similarity is measured in a new store; cosine when not given
    #[arg(long, value_enum)]
    metric: Option<MetricArgument>,
    /// Count bad rows and go on, instead of stopping at the first
    #[arg(long)]
    skip_bad: bool,
    /// When a batch counts as done
    #[arg(long, value_enum, default_value = "sync")]
    durability: DurabilityArgument,
    /// Begin at the first line even if this file was imported before
    #[arg(long)]
    restart: bool,
    /// Leave the merging of what was written to the background
    #[arg(long)]
    no_compact: bool,
    /// Say on stderr after each batch how many lines are done, for scripts
    #[arg(long)]
    progress_lines: bool,
}

/// How far an import is: the import mark.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Lines done, bad ones included.
    pub lines: u64,
    /// Items put.
    pub imported: u64,
    /// Bad rows left out.
    pub skipped: u64,
    /// The end of the source was reached.
    pub complete: bool,
}

impl Import {
    pub fn run(self, output: Output) -> Result<()> {
        let started = Instant::now();
        let length = std::fs::metadata(&self.file).map_or(0, |file| file.len());
        let bar = output::bar(length, "importing {wide_bar} {bytes}/{total_bytes} {msg}");
        let source = Source::open(&self.file, self.vectors.as_deref(), &bar)?;
        let mark = match source::is_stdin(&self.file) {
            true => None,
            false => Some(source::identity(&self.file, self.vectors.as_deref())?),
        };
        let store = self.open_existing(source.dims())?;
        let before = match (&store, &mark) {
            (Some(store), Some(mark)) if !self.restart => read_mark(store, mark)?,
            _ => Progress::default(),
        };
        let mut load = Load { store, mark, skip_bad: self.skip_bad, progress: before.clone() };
        if !before.complete {
            load.run(source, |chunk| self.create(chunk), |progress| self.show(&bar, progress))?;
        }
        bar.finish_and_clear();
        let Load { store, progress, .. } = load;
        let store = store.ok_or_else(|| anyhow!("nothing was imported"))?;
        store.flush()?;
        if !self.no_compact {
            let spinner = output::spinner("compacting");
            store.compact()?;
            spinner.finish_and_clear();
        }
        store.close()?;
        self.report(output, &before, &progress, started)
    }

    /// The store at `dir`, if there is one; its vector space must be the one asked for.
    fn open_existing(&self, npy_dims: Option<usize>) -> Result<Option<Store>> {
        if let (Some(dims), Some(npy_dims)) = (self.dims, npy_dims) {
            ensure!(dims == npy_dims, "--dims {dims}, but the rows of --vectors have {npy_dims} numbers");
        }
        let store = match Store::open(&self.dir, Options::new().create(false).durability(self.durability.into())) {
            Ok(store) => store,
            Err(error) if error.kind() == ErrorKind::NotAStore => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let space = store.vector_space();
        let dims = self.dims.or(npy_dims);
        let fits = dims.is_none_or(|dims| space.is_some_and(|space| space.dims == dims))
            && self.metric.is_none_or(|metric| space.is_some_and(|space| space.metric == metric.into()));
        if !fits {
            let asked = [
                dims.map(|dims| format!("{dims} dimensions")),
                self.metric.map(|metric| metric_name(metric.into()).to_owned()),
            ];
            let asked: Vec<String> = asked.into_iter().flatten().collect();
            bail!(
                "{} has {}, not {}; import into another directory",
                self.dir.display(),
                admin::space(&store),
                asked.join(", ")
            );
        }
        Ok(Some(store))
    }

    /// A new store, in the vector space that was asked for or else the one that the first vector shows.
    fn create(&self, first: &Chunk) -> Result<Store> {
        let vectors = first.rows.iter().flat_map(|row| row.line.vectors.iter().flatten());
        let dims = self.dims.or_else(|| vectors.map(|vector| vector.values.len()).next());
        let metric = self.metric.unwrap_or(MetricArgument::Cosine);
        let options = dims.map_or_else(Options::new, |dims| Options::with_vectors(dims, metric.into()));
        Ok(Store::open(&self.dir, options.durability(self.durability.into()))?)
    }

    fn show(&self, bar: &ProgressBar, progress: &Progress) {
        bar.set_message(format!("{} lines", output::count(progress.lines)));
        if self.progress_lines {
            eprintln!("{} lines done", progress.lines);
        }
    }

    fn report(&self, output: Output, before: &Progress, progress: &Progress, started: Instant) -> Result<()> {
        let took = started.elapsed().as_secs_f64();
        let (imported, skipped) = (progress.imported - before.imported, progress.skipped - before.skipped);
        let json = json!({
            "imported": imported, "skipped": skipped, "lines": progress.lines, "resumed_after": before.lines,
            "compacted": !self.no_compact, "seconds": took,
        });
        output.print(&json, || {
            if before.complete {
                let lines = output::count(before.lines);
                return format!(
                    "nothing to do: all {lines} lines of this file were imported before (--restart puts them again)"
                );
            }
            let mut text = format!("imported {} items in {took:.1} s", output::count(imported));
            if before.lines > 0 {
                text += &format!("; resumed after line {}", output::count(before.lines));
            }
            if skipped > 0 {
                text += &format!("; {} bad rows skipped", output::count(skipped));
            }
            text
        })
    }
}

fn read_mark(store: &Store, mark: &str) -> Result<Progress> {
    let Some(json) = store.import_mark(mark)? else { return Ok(Progress::default()) };
    serde_json::from_str(&json).context("the import mark of the store was written by another version; use --restart")
}

/// One import under way.
pub struct Load {
    /// Where the items go; made with the first chunk when it is `None`.
    pub store: Option<Store>,
    /// The name under which the progress is kept, if it is.
    pub mark: Option<String>,
    /// Leave bad rows out.
    pub skip_bad: bool,
    /// How far it is.
    pub progress: Progress,
}

impl Load {
    /// Puts everything that `source` has beyond the progress so far.
    pub fn run(
        &mut self,
        mut source: Source,
        create: impl FnOnce(&Chunk) -> Result<Store>,
        mut show: impl FnMut(&Progress),
    ) -> Result<()> {
        let name = source.name().to_owned();
        source.skip(self.progress.lines)?;
        let mut create = Some(create);
        thread::scope(|scope| {
            let (sender, receiver) = sync_channel(CHUNKS_AHEAD);
            scope.spawn(move || {
                loop {
                    let chunk = source.next_chunk();
                    let ends = chunk.as_ref().is_ok_and(|chunk| !chunk.is_last);
                    if sender.send(chunk).is_err() || !ends {
                        break;
                    }
                }
            });
            for chunk in receiver {
                let mut chunk = chunk?;
                self.judge(&name, chunk.bad.drain(..).collect())?;
                let store = match (self.store.take(), create.take()) {
                    (None, Some(create)) => create(&chunk)?,
                    (Some(store), _) => store,
                    (None, None) => bail!("the store was closed during the import"),
                };
                let store = self.store.insert(store).clone();
                self.write(&name, &store, chunk)?;
                show(&self.progress);
            }
            Ok(())
        })
    }

    fn write(&mut self, name: &str, store: &Store, mut chunk: Chunk) -> Result<()> {
        let written = store.batch(self.batch(&chunk)?);
        if let Err(error) = written {
            if !matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Limit(_)) {
                return Err(error.into());
            }
            let bad = find_bad(store.vector_space(), &chunk.rows)?;
            if bad.is_empty() {
                return Err(anyhow!(error).context(format!("{name}, batch before line {}", chunk.lines_done + 1)));
            }
            chunk.rows.retain(|row| bad.iter().all(|bad| bad.number != row.number));
            self.judge(name, bad)?;
            store.batch(self.batch(&chunk)?)?;
        }
        self.progress = self.after(&chunk);
        Ok(())
    }

    fn after(&self, chunk: &Chunk) -> Progress {
        let imported = self.progress.imported + chunk.rows.len() as u64;
        Progress { lines: chunk.lines_done, imported, complete: chunk.is_last, ..self.progress.clone() }
    }

    /// The chunk and the progress after it, as one atomic write.
    fn batch(&self, chunk: &Chunk) -> Result<Batch> {
        let mut batch = Batch::new();
        for row in &chunk.rows {
            batch.put(put(&row.line));
        }
        if let Some(mark) = &self.mark {
            batch.import_mark(mark, &serde_json::to_string(&self.after(chunk))?);
        }
        Ok(batch)
    }

    /// Counts bad rows, or fails with the first of them.
    fn judge(&mut self, name: &str, mut bad: Vec<BadRow>) -> Result<()> {
        bad.sort_by_key(|row| row.number);
        for row in bad {
            let (line, error) = (row.number, row.error);
            if !self.skip_bad {
                let done = match self.progress.lines {
                    0 => "nothing is imported".to_owned(),
                    done => format!("lines 1 to {done} are imported"),
                };
                bail!(
                    "{name}: line {line}, {error}\n{done}; correct the line and run this again, or leave bad rows out with --skip-bad"
                );
            }
            self.progress.skipped += 1;
            if self.progress.skipped <= NAMED_BAD_ROWS {
                eprintln!("skipped line {line}, {error}");
            }
        }
        Ok(())
    }
}

fn put(line: &Line) -> Put {
    let mut put = Put::new(&line.namespace, line.key.as_str(), &*line.value);
    for vector in line.vectors.iter().flatten() {
        put = put.field_vector(&vector.path, vector.values.to_vec());
    }
    if let Some(ttl) = line.ttl {
        put = put.ttl(ttl);
    }
    if let Some(micros) = line.created_at {
        put = put.created_at(micros);
    }
    if let Some(micros) = line.updated_at {
        put = put.updated_at(micros);
    }
    put
}

/// Which rows made the store refuse a batch: it tells one at a time, so they are tried on a store that is thrown away.
fn find_bad(space: Option<VectorSpace>, rows: &[Row]) -> Result<Vec<BadRow>> {
    let options = space.map_or_else(Options::new, |space| Options::with_vectors(space.dims, space.metric));
    let scratch = Store::temporary(options.durability(Durability::Bulk))?;
    let mut bad = Vec::new();
    for row in rows {
        let Err(error) = scratch.put(put(&row.line)) else { continue };
        let bare = Put::new(&row.line.namespace, row.line.key.as_str(), &*row.line.value);
        let is_value = scratch.put(bare).is_err();
        let column = if is_value { row.line.value_column } else { row.line.vectors_column };
        bad.push(BadRow { number: row.number, error: LineError { column, message: error.to_string() } });
    }
    Ok(bad)
}
