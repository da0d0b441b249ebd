//! `import`: lines of JSON, with their vectors, into a store.
//!
//! Invariants:
//! * Each chunk is one atomic write that also says how many lines are done, so a run that was killed is resumed after
//!   the last chunk that got in, and no line is missed or put twice.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result, anyhow, bail, ensure};
use clap::Args;
use indicatif::ProgressBar;
use serde_json::json;
use vecmem::{ErrorKind, ImportProgress, Options, Store};

use crate::admin;
use crate::arguments::{DurabilityArgument, MetricArgument, metric_name};
use crate::load::Load;
use crate::output::{self, Output};
use crate::source::{self, Block, Source};

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
    /// Lines that get in together, all or none; fewer when they are long
    #[arg(long, value_name = "N", default_value_t = 262_144)]
    chunk_lines: usize,
    /// When a chunk counts as done
    #[arg(long, value_enum, default_value = "sync")]
    durability: DurabilityArgument,
    /// Begin at the first line even if this file was imported before
    #[arg(long)]
    restart: bool,
    /// Leave the merging of what was written to the background
    #[arg(long)]
    no_compact: bool,
    /// In the end build a graph for searches of this scope, kept by merges (of more than two over the same items the
    /// least useful goes): a/b a namespace, a/b/ a prefix, * the store
    #[arg(long, value_name = "SCOPE")]
    graph: Vec<String>,
    /// Say on stderr after each chunk how many lines are done, for scripts
    #[arg(long)]
    progress_lines: bool,
}

impl Import {
    pub fn run(self, output: Output) -> Result<()> {
        let started = Instant::now();
        let graphs = admin::graph_scopes(&self.graph)?;
        let length = std::fs::metadata(&self.file).map_or(0, |file| file.len());
        let bar = output::bar(length, "importing {wide_bar} {bytes}/{total_bytes} {msg}");
        let source = Source::open(&self.file, self.vectors.as_deref(), &bar)?;
        let checkpoint_name = match source::is_stdin(&self.file) {
            true => None,
            false => Some(source::identity(&self.file, self.vectors.as_deref())?),
        };
        let store = self.open_existing(source.dims())?;
        let before = match (&store, &checkpoint_name) {
            (Some(store), Some(checkpoint_name)) if !self.restart => store
                .import_progress(checkpoint_name)
                .context("the import checkpoint of the store was written by another version; use --restart")?
                .unwrap_or_default(),
            _ => ImportProgress::default(),
        };
        let (skip_bad, chunk_lines) = (self.skip_bad, self.chunk_lines);
        let mut load = Load { store, checkpoint_name, skip_bad, chunk_lines, progress: before };
        if !before.complete {
            load.run(source, |block| self.create(block), |progress| self.show(&bar, progress))?;
        }
        bar.finish_and_clear();
        let Load { store, progress, .. } = load;
        let store = store.ok_or_else(|| anyhow!("nothing was imported"))?;
        store.sync()?;
        if !self.no_compact {
            let spinner = output::spinner("compacting");
            store.compact()?;
            spinner.finish_and_clear();
        }
        admin::build_graphs(&store, &graphs)?;
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
                dims.map(|dims| output::counted(dims as u64, "dimension")),
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
    fn create(&self, first: &Block) -> Result<Store> {
        let vectors = first.lines.iter().flatten().flat_map(|line| line.vectors.iter().flatten());
        let dims = self.dims.or_else(|| vectors.map(|vector| vector.values.len()).next());
        let metric = self.metric.unwrap_or(MetricArgument::Cosine);
        let options = dims.map_or_else(Options::new, |dims| Options::with_vectors(dims, metric.into()));
        Ok(Store::open(&self.dir, options.durability(self.durability.into()))?)
    }

    fn show(&self, bar: &ProgressBar, progress: &ImportProgress) {
        bar.set_message(output::counted(progress.lines, "line"));
        if self.progress_lines {
            // For programs: the number without separators.
            let noun = if progress.lines == 1 { "line" } else { "lines" };
            eprintln!("{} {noun} done", progress.lines);
        }
    }

    fn report(
        &self,
        output: Output,
        before: &ImportProgress,
        progress: &ImportProgress,
        started: Instant,
    ) -> Result<()> {
        let took = started.elapsed().as_secs_f64();
        let (imported, skipped) = (progress.imported - before.imported, progress.skipped - before.skipped);
        let json = json!({
            "imported": imported, "skipped": skipped, "lines": progress.lines, "resumed_after": before.lines,
            "compacted": !self.no_compact, "seconds": took,
        });
        output.print(&json, || {
            if before.complete {
                let lines = output::counted(before.lines, "line");
                let were = if before.lines == 1 { "was" } else { "were" };
                return format!(
                    "nothing to do: {lines} of this file {were} imported before, and it has no more (--restart puts them \
                     again)"
                );
            }
            let mut text = format!("imported {} in {took:.1} s", output::counted(imported, "item"));
            if before.lines > 0 {
                text += &format!("; resumed after line {}", output::count(before.lines));
            }
            if skipped > 0 {
                text += &format!("; {} skipped", output::counted(skipped, "bad row"));
            }
            text
        })
    }
}
