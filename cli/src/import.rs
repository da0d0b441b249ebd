//! `import`: lines of JSON, with their vectors, into a store.
//!
//! Invariants:
//! * Each chunk is one atomic write that also says how many lines are done, so a run that was killed is resumed after
//!   the last chunk that got in, and no line is missed or put twice.
//! * A store that has other settings than the export gets no item, unless the caller says which to keep (`header.rs`).

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result, anyhow, bail, ensure};
use clap::Args;
use indicatif::ProgressBar;
use serde_json::json;
use vecmem::{ErrorKind, ImportProgress, IterateQuery, Metric, Options, ReadOptions, Scope, Store, VectorSpace};

use crate::admin;
use crate::arguments::{DurabilityArgument, MetricArgument, metric_name};
use crate::header::{Difference, Header, KeepArgument, changes, space_difference};
use crate::load::Load;
use crate::output::{self, Output};
use crate::progress;
use crate::source::{self, Block, Source};

/// Read items from a file of JSON lines; run again after an interruption, it goes on where it stopped
#[derive(Args)]
#[command(after_help = "\
Examples:
  vecmem import memories items.jsonl.gz --vectors vectors.npy    (row i is the vector of line i; f16, f32 or f64)
  vecmem import memories items.jsonl --dims 384 --metric dot     (vectors in the lines)
  vecmem export old - | vecmem import new -

A line is {\"namespace\": [\"users\", \"ada\"], \"key\": \"tea\", \"value\": {\"text\": \"likes green tea\"}}, with \"vector\": [...],
\"ttl_seconds\", \"expires_at\", \"created_at\" and \"updated_at\" (microseconds since 1970 UTC) if you have them. An item with
several vectors has \"vectors\": [{\"path\": \"text\", \"values\": [...]}]. A file of `vecmem export` begins with the settings of
its store. Items whose time has passed are left out and counted.")]
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
    #[arg(long, value_name = "N", default_value_t = 131_072)]
    chunk_lines: usize,
    /// When a chunk counts as done
    #[arg(long, value_enum, default_value = "sync")]
    durability: DurabilityArgument,
    /// Begin at the first line even if this file was imported before, and a part of it may have been deleted since
    #[arg(long)]
    restart: bool,
    /// Leave the merging of what was written to the background
    #[arg(long)]
    no_compact: bool,
    /// Where the store and the first line of an export have different settings: whose to keep, instead of stopping
    #[arg(long, value_enum)]
    keep_settings: Option<KeepArgument>,
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
        let header = source.header().cloned();
        let store = self.open_existing(source.dims(), header.as_ref())?;
        let before = match (&store, &checkpoint_name) {
            (Some(store), Some(checkpoint_name)) if !self.restart => store
                .import_progress(checkpoint_name)
                .context("the import checkpoint of the store was written by another version; use --restart")?
                .unwrap_or_default(),
            _ => ImportProgress::default(),
        };
        if let (Some(store), Some(header), false) = (&store, &header, before.complete) {
            self.settle(store, header)?;
        }
        let (skip_bad, chunk_lines, header_lines) = (self.skip_bad, self.chunk_lines, u64::from(header.is_some()));
        let mut load =
            Load { store, checkpoint_name, skip_bad, chunk_lines, progress: before, header_lines, unknown_texts: 0 };
        if !before.complete {
            load.run(source, |block| self.create(block, header.as_ref()), |progress| self.show(&bar, progress))?;
        }
        bar.finish_and_clear();
        let Load { store, progress, unknown_texts, .. } = load;
        let store = store.ok_or_else(|| anyhow!("nothing was imported"))?;
        store.sync()?;
        if !self.no_compact {
            progress::watched("compacting", || store.compact())?;
        }
        admin::build_graphs(&store, &graphs)?;
        store.close()?;
        self.report(output, &before, &progress, unknown_texts, started)
    }

    /// The store at `dir`, if there is one; its vector space must be the one asked for.
    fn open_existing(&self, npy_dims: Option<usize>, header: Option<&Header>) -> Result<Option<Store>> {
        if let (Some(dims), Some(npy_dims)) = (self.dims, npy_dims) {
            ensure!(dims == npy_dims, "--dims {dims}, but the rows of --vectors have {npy_dims} numbers");
        }
        let options = || Options::new().create(false).durability(self.durability.into());
        let mut store = match Store::open(&self.dir, options()) {
            Ok(store) => store,
            Err(error) if error.kind() == ErrorKind::NotAStore => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        if let (None, Some(space)) = (store.vector_space(), header.and_then(Header::space))
            && (self.keep_settings == Some(KeepArgument::File) || !has_items(&store)?)
        {
            store.close()?;
            let options = Options::with_vectors(space.dims, space.metric).durability(self.durability.into());
            store = Store::open(&self.dir, options)?;
        }
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

    /// A new store, in the vector space that was asked for, or else that of the header, or else the one that the first
    /// vector shows; with the settings of the header.
    fn create(&self, first: &Block, header: Option<&Header>) -> Result<Store> {
        let vectors = first.lines.iter().flatten().flat_map(|line| line.vectors.iter().flatten());
        let space = header.and_then(Header::space);
        let dims = self.dims.or(space.map(|space| space.dims));
        let dims = dims.or_else(|| vectors.map(|vector| vector.values.len()).next());
        let metric = self.metric.map(Metric::from).or(space.map(|space| space.metric)).unwrap_or(Metric::Cosine);
        let asked = dims.map(|dims| VectorSpace { dims, metric });
        if let Some(header) = header {
            self.check_space(asked, header)?;
        }
        let options = asked.map_or_else(Options::new, |space| Options::with_vectors(space.dims, space.metric));
        let store = Store::open(&self.dir, options.durability(self.durability.into()))?;
        header.map_or(Ok(()), |header| self.settle(&store, header))?;
        Ok(store)
    }

    /// Gives the store the settings of the header, or fails where it has others.
    fn settle(&self, store: &Store, header: &Header) -> Result<()> {
        self.check_space(store.vector_space(), header)?;
        let changes = changes(&store.settings()?, &header.settings, self.keep_settings, has_items(store)?)
            .map_err(|difference| self.differs(&difference, "say whose to keep: --keep-settings store, or file"))?;
        changes.into_iter().try_for_each(|(name, json)| store.set_setting(&name, json.as_deref()))?;
        Ok(())
    }

    fn check_space(&self, space: Option<VectorSpace>, header: &Header) -> Result<()> {
        let Some(difference) = space_difference(space, header.space(), self.keep_settings) else { return Ok(()) };
        Err(self.differs(
            &difference,
            match difference.name.as_str() {
                "metric" => "keep that of the store with --keep-settings store, or import into another directory",
                _ => "import into another directory",
            },
        ))
    }

    fn differs(&self, difference: &Difference, advice: &str) -> anyhow::Error {
        let value = |value: &Option<String>| value.as_deref().map_or_else(|| "none".to_owned(), output::short);
        let Difference { name, in_store, in_file } = difference;
        let (dir, file) = (self.dir.display(), self.file.display());
        anyhow!("{name} differs: {} in {dir}, {} in {file}; {advice}", value(in_store), value(in_file))
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
        unknown_texts: u64,
        started: Instant,
    ) -> Result<()> {
        let took = started.elapsed().as_secs_f64();
        let (imported, skipped) = (progress.imported - before.imported, progress.skipped - before.skipped);
        let expired = progress.expired - before.expired;
        let json = json!({
            "imported": imported, "skipped": skipped, "expired": expired, "unknown_texts": unknown_texts,
            "lines": progress.lines, "resumed_after": before.lines,
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
            if expired > 0 {
                text += &format!("; {} left out", output::counted(expired, "expired item"));
            }
            if unknown_texts > 0 {
                text += &format!("; the texts of {} are not known", output::counted(unknown_texts, "vector"));
            }
            text
        })
    }
}

/// Whether the store has an item, expired or not.
fn has_items(store: &Store) -> Result<bool> {
    let options = ReadOptions { include_expired: true, partial: true, ..ReadOptions::default() };
    Ok(!store.iterate(&IterateQuery::new(Scope::Store).limit(1).options(options), None)?.items.is_empty())
}
