//! `bench`: how fast searches are at which recall, on anybody's vectors, and what they cost; beside a baseline if
//! wanted.
//!
//! Invariants:
//! * Everything is asked through `Store::search`, and the stored bytes of each winner are read.
//! * The rules of measuring (`timing.rs`) are the same for every engine; memory is measured in fresh processes.
//! * The store is a new one: in a temporary directory, or in the one given with `--keep`.

mod auto_filters;
mod baseline;
mod child;
mod curve;
mod data;
mod filter_plot;
mod filters;
mod generate;
mod limits;
mod matrix;
mod mixed;
mod numbers;
mod parts;
mod plot;
mod process;
mod puts;
mod report;
mod running;
mod store;
mod timing;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};

pub use self::child::BenchChild;

use self::data::{DataPlan, at_least_one};
use self::plot::Series;
use self::report::Figures;
use self::running::Running;
use self::store::CodesArgument;
use crate::arguments::{MetricArgument, prefix};
use crate::output::{self, Output};

/// Measure speed, recall and memory of searches on your own vectors, or on made-up ones
#[derive(Args)]
#[command(after_help = "\
Examples:
  vecmem bench --vectors vectors.npy --queries queries.npy --plot curve.svg
  vecmem bench --generate 100000 --dims 768 --k 100 --processes
  vecmem bench --vectors base.fvecs --queries query.fvecs --truth groundtruth.ivecs --metric l2 --baseline hnsw_rs
  vecmem bench --generate 100000 --mixed 10 --parts 8
  vecmem bench --puts 1000000 --put-namespaces 100000
  vecmem bench --store memories --filter '{\"kind\": \"fact\"}' --filters auto --plot filters.svg

Files: vectors and queries .npy (f16, f32, f64) or .fvecs, the truth .npy (i32, i64) or .ivecs. Row i of the truth names the
rows of --vectors nearest to query i, best first; without one it is found by exact search. Made-up vectors are clusters of
clusters on sheets of few dimensions, with noise; queries are further vectors of the same kind.

Speeds are the best of three runs after a warm-up. Run it on a quiet machine and built with --release.")]
#[command(group = clap::ArgGroup::new("data").required(true).args(["vectors", "generate", "puts", "store"]))]
pub struct Bench {
    /// The vectors to search
    #[arg(long, value_name = "FILE")]
    vectors: Option<PathBuf>,
    /// Queries, held out; without them, so many of --vectors as --query-count says are left out and searched for
    #[arg(long, value_name = "FILE")]
    queries: Option<PathBuf>,
    /// The true neighbours of each query
    #[arg(long, value_name = "FILE", requires = "queries")]
    truth: Option<PathBuf>,
    /// Measure filters on this store, which is only read; without --queries, vectors of its items are searched for
    #[arg(long, value_name = "DIR", conflicts_with_all = ["baseline", "processes", "mixed", "parts", "keep", "namespaces"])]
    store: Option<PathBuf>,
    /// Only this namespace of the store and what is below it
    #[arg(long, value_name = "a/b", requires = "store")]
    prefix: Option<String>,
    /// A filter to measure; may be given several times
    #[arg(long, value_name = "JSON", requires = "store")]
    filter: Vec<String>,
    /// Measure filters that pass from 50 % to 0.01 %, made from the fields of the values
    #[arg(long, value_enum, requires = "store")]
    filters: Option<MadeFilters>,
    /// Search with each filter until it has a graph of its own, as filters have that come again and again
    #[arg(long, requires = "store")]
    repeated: bool,
    /// The recall to ask for when filters are measured
    #[arg(long, value_name = "R", default_value_t = 0.98, requires = "store")]
    recall: f32,
    /// Make up this many vectors
    #[arg(long, value_name = "N")]
    generate: Option<usize>,
    /// Dimensions of made-up vectors
    #[arg(long, value_name = "N", default_value_t = 128)]
    dims: usize,
    /// What made-up vectors follow from
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Queries that are made up or left out
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    query_count: usize,
    /// How similarity is measured
    #[arg(long, value_enum, default_value = "cosine")]
    metric: MetricArgument,
    /// Neighbours asked for
    #[arg(long, value_name = "N", default_value_t = 10)]
    k: usize,
    /// Spread the vectors over this many namespaces and search them all
    #[arg(long, value_name = "N", default_value_t = 1)]
    namespaces: usize,
    /// Where codes and graphs lie
    #[arg(long, value_enum, default_value = "page-cache")]
    codes: CodesArgument,
    /// Compare all threads with as many processes
    #[arg(long)]
    processes: bool,
    /// Search this long beside a writer of 1,000 items a second, on a copy of the store
    #[arg(long, value_name = "SECONDS")]
    mixed: Option<f64>,
    /// Compare with this many segments that are not merged, with a graph each
    #[arg(long, value_name = "P")]
    parts: Option<usize>,
    /// Instead of searches, put this many made-up items one by one
    #[arg(long, value_name = "N", conflicts_with_all = ["processes", "mixed", "parts", "baseline", "plot", "namespaces"])]
    puts: Option<usize>,
    /// Into this many namespaces
    #[arg(long, value_name = "M", default_value_t = 1, requires = "puts")]
    put_namespaces: usize,
    /// From this many threads
    #[arg(long, value_name = "N", default_value_t = 4, requires = "puts")]
    put_threads: usize,
    /// Measure this library too (built with --features baseline)
    #[arg(long, value_enum)]
    baseline: Option<Baseline>,
    /// Draw speed over recall; with --store, speed and recall over the share of items that pass
    #[arg(long, value_name = "FILE.svg")]
    plot: Option<PathBuf>,
    /// Make the store in this new directory and keep it
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// Length of one run
    #[arg(long, value_name = "SECONDS", default_value_t = 0.5)]
    seconds: f64,
}

/// `--filters`.
#[derive(Clone, Copy, ValueEnum)]
enum MadeFilters {
    Auto,
}

/// `--baseline`.
#[derive(Clone, Copy, ValueEnum)]
enum Baseline {
    #[value(name = "hnsw_rs")]
    HnswRs,
}

impl Bench {
    pub fn run(self, output: Output) -> Result<()> {
        self.check()?;
        if let Some(directory) = &self.store {
            let figures = self.filter_plan(directory)?.measure()?;
            self.plot.as_ref().map_or(Ok(()), |path| figures.draw(path))?;
            return output.print(&figures, || figures.for_people());
        }
        let temporary = tempfile::tempdir().context("cannot make a temporary directory")?;
        let directory = self.keep.clone().unwrap_or_else(|| temporary.path().join("store"));
        ensure!(!directory.exists(), "{} is there already; name a new directory", directory.display());
        if let Some(items) = self.puts {
            let figures = self.put_plan(items, directory)?.run()?;
            return output.print(&figures, || figures.for_people());
        }
        let figures = Running::start(&self, directory, temporary.path().to_owned())?.measure()?;
        if let Some(path) = &self.plot {
            draw(path, &figures)?;
        }
        output.print(&figures, || figures.for_people())
    }

    fn check(&self) -> Result<()> {
        at_least_one(self.k, "--k")?;
        at_least_one(self.namespaces, "--namespaces")?;
        ensure!(
            self.queries.is_none() || self.vectors.is_some() || self.store.is_some(),
            "--queries needs --vectors or --store to search in"
        );
        ensure!(self.seconds.is_finite() && self.seconds >= 0.0, "--seconds {} is no length of time", self.seconds);
        let is_time = |seconds: f64| seconds.is_finite() && seconds > 0.0;
        ensure!(self.mixed.is_none_or(is_time), "--mixed needs a time above 0");
        at_least_one(self.parts.unwrap_or(1), "--parts")?;
        if self.baseline.is_some() {
            baseline::check(self.metric)?;
        }
        if cfg!(debug_assertions) {
            eprintln!(
                "WARNING: this is a debug build, many times slower; for figures: cargo run --release -- bench ..."
            );
        }
        Ok(())
    }

    fn filter_plan(&self, directory: &Path) -> Result<filters::FilterPlan> {
        Ok(filters::FilterPlan {
            directory: directory.to_owned(),
            queries: self.queries.clone(),
            scope: prefix(self.prefix.as_deref())?,
            filters: self.filter.clone(),
            auto: self.filters.is_some(),
            k: self.k,
            recall: self.recall,
            repeated: self.repeated,
            seconds: self.seconds,
        })
    }

    fn put_plan(&self, items: usize, directory: PathBuf) -> Result<puts::Plan> {
        let items = at_least_one(items, "--puts")?;
        in_memory(items, self.dims()?, "--puts")?;
        Ok(puts::Plan {
            directory,
            items,
            dims: self.dims()?,
            seed: self.seed,
            metric: self.metric.into(),
            namespaces: at_least_one(self.put_namespaces, "--put-namespaces")?,
            threads: at_least_one(self.put_threads, "--put-threads")?,
        })
    }

    fn plan(&self) -> Result<DataPlan> {
        let queries = at_least_one(self.query_count, "--query-count")?;
        match (&self.vectors, &self.queries) {
            (Some(vectors), Some(queries)) => {
                return Ok(DataPlan::Files { vectors: vectors.clone(), queries: queries.clone() });
            }
            (Some(vectors), None) => return Ok(DataPlan::HeldOut { vectors: vectors.clone(), queries }),
            (None, _) => {}
        }
        let rows = at_least_one(self.generate.unwrap_or(0), "--generate")?;
        let dims = self.dims()?;
        in_memory(rows, dims, "--generate")?;
        in_memory(queries, dims, "--query-count")?;
        Ok(DataPlan::MadeUp { rows, dims, seed: self.seed, queries })
    }

    fn dims(&self) -> Result<usize> {
        let most = vecmem::limits::DIMENSIONS;
        let dims = at_least_one(self.dims, "--dims")?;
        ensure!(dims <= most, "--dims {dims} exceeds the limit of {most}");
        Ok(dims)
    }
}

/// Refuses more made-up vectors than the address space, or a store, could ever hold.
fn in_memory(rows: usize, dims: usize, argument: &str) -> Result<()> {
    let bytes = rows.checked_mul(dims).and_then(|numbers| numbers.checked_mul(size_of::<f32>()));
    let fits = bytes.is_some_and(|bytes| bytes <= isize::MAX as usize) && u32::try_from(rows).is_ok();
    let (rows, dims) = (output::counted(rows as u64, "vector"), output::counted(dims as u64, "dimension"));
    ensure!(fits, "{argument} {rows} of {dims}: more than fit in memory");
    Ok(())
}

fn draw(path: &Path, figures: &Figures) -> Result<()> {
    let mut series = vec![Series { name: "vecmem".into(), points: figures.plot_points() }];
    let baseline = figures.baseline.iter();
    series.extend(baseline.map(|figures| Series { name: "hnsw_rs".into(), points: figures.plot_points() }));
    let queries = output::counted(figures.queries as u64, "query");
    let cores = output::counted(figures.cores as u64, "core");
    let data = format!("{}, {}; {queries}, k = {}", figures.data, figures.metric, figures.k);
    plot::draw(path, &[data, format!("Machine: {cores}, {}", figures.instruction_set)], figures.k, &series)
}
