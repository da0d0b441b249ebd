//! `bench`: how fast searches are at which recall, on anybody's vectors, and what they cost; beside a baseline if wanted.
//!
//! Invariants:
//! * Everything is asked through `Store::search`, and the stored bytes of each winner are read.
//! * The rules of measuring (`timing.rs`) are the same for every engine; memory is measured in fresh processes.
//! * The store is a new one: in a temporary directory, or in the one given with `--keep`.

mod baseline;
mod child;
mod curve;
mod data;
mod generate;
mod matrix;
mod plot;
mod process;
mod report;
mod store;
mod timing;

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};
use vecmem::{Metric, Store};

pub use self::child::BenchChild;

use self::curve::{efforts, is_done, value_at};
use self::data::{Data, DataPlan, at_least_one, threads};
use self::matrix::{Neighbours, write_neighbours, write_vectors};
use self::plot::Series;
use self::report::{Asked, Figures, Processes, Row};
use self::store::{Effort, HotArgument, Layout};
use crate::arguments::{MetricArgument, metric_name};
use crate::output::{self, Output};

/// True neighbours that are computed of each query, at least.
const TRUTH_DEPTH: usize = 100;
/// Recalls that are asked for, to compare with what comes back.
const ASKED: [f64; 4] = [0.90, 0.95, 0.98, 0.99];
/// Recall at whose effort memory and processes are measured.
const USUAL_RECALL: f64 = 0.95;
/// Runs of threads and processes in turn, of which the best are kept.
const ALTERNATIONS: usize = 3;

/// Measure speed, recall and memory of searches on your own vectors, or on made-up ones
#[derive(Args)]
#[command(after_help = "\
Examples:
  vecmem bench --vectors vectors.npy --queries queries.npy --plot curve.svg
  vecmem bench --generate 100000 --dims 768 --k 100 --processes
  vecmem bench --vectors base.fvecs --queries query.fvecs --truth groundtruth.ivecs --metric l2 --baseline hnsw_rs

Files: vectors and queries .npy (f16, f32, f64) or .fvecs, the truth .npy (i32, i64) or .ivecs. Row i of the truth names the
rows of --vectors nearest to query i, best first; without one it is found by exact search. Made-up vectors are clusters of
clusters on sheets of few dimensions, with noise; queries are further vectors of the same kind.

Speeds are the best of three runs after a warm-up. Run it on a quiet machine and built with --release.")]
#[command(group = clap::ArgGroup::new("data").required(true).args(["vectors", "generate"]))]
pub struct Bench {
    /// The vectors to search
    #[arg(long, value_name = "FILE", requires = "queries")]
    vectors: Option<PathBuf>,
    /// Queries, held out
    #[arg(long, value_name = "FILE", requires = "vectors")]
    queries: Option<PathBuf>,
    /// The true neighbours of each query
    #[arg(long, value_name = "FILE", requires = "vectors")]
    truth: Option<PathBuf>,
    /// Make up this many vectors
    #[arg(long, value_name = "N")]
    generate: Option<usize>,
    /// Dimensions of made-up vectors
    #[arg(long, value_name = "N", default_value_t = 128)]
    dims: usize,
    /// What made-up vectors follow from
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Made-up queries
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
    #[arg(long, value_enum, default_value = "map")]
    hot: HotArgument,
    /// Compare all threads with as many processes
    #[arg(long)]
    processes: bool,
    /// Measure this library too (built with --features baseline)
    #[arg(long, value_enum)]
    baseline: Option<Baseline>,
    /// Draw speed over recall
    #[arg(long, value_name = "FILE.svg")]
    plot: Option<PathBuf>,
    /// Make the store in this new directory and keep it
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// Length of one run
    #[arg(long, value_name = "SECONDS", default_value_t = 0.5)]
    seconds: f64,
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
        let temporary = tempfile::tempdir().context("cannot make a temporary directory")?;
        let directory = self.keep.clone().unwrap_or_else(|| temporary.path().join("store"));
        ensure!(!directory.exists(), "{} is there already; name a new directory", directory.display());
        let bench = Running::start(&self, directory, temporary.path().to_owned())?;
        let figures = bench.measure()?;
        if let Some(path) = &self.plot {
            draw(path, &figures)?;
        }
        output.print(&figures, || figures.for_people())
    }

    fn check(&self) -> Result<()> {
        at_least_one(self.k, "--k")?;
        at_least_one(self.namespaces, "--namespaces")?;
        ensure!(self.seconds.is_finite() && self.seconds >= 0.0, "--seconds {} is no length of time", self.seconds);
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

    fn plan(&self) -> Result<DataPlan> {
        if let (Some(vectors), Some(queries)) = (&self.vectors, &self.queries) {
            return Ok(DataPlan::Files { vectors: vectors.clone(), queries: queries.clone() });
        }
        Ok(DataPlan::MadeUp {
            rows: at_least_one(self.generate.unwrap_or(0), "--generate")?,
            dims: at_least_one(self.dims, "--dims")?,
            seed: self.seed,
            queries: at_least_one(self.query_count, "--query-count")?,
        })
    }
}

/// A run under way.
struct Running<'a> {
    arguments: &'a Bench,
    plan: DataPlan,
    data: Data,
    layout: Layout,
    /// For files that children read, and copies of the store.
    scratch: PathBuf,
    load_before: Option<f64>,
}

impl<'a> Running<'a> {
    fn start(arguments: &'a Bench, directory: PathBuf, scratch: PathBuf) -> Result<Self> {
        let load_before = process::load();
        let plan = arguments.plan()?;
        let data = plan.load()?;
        let layout = Layout {
            directory,
            dims: data.vectors.dims,
            metric: arguments.metric,
            rows: data.vectors.rows(),
            namespaces: arguments.namespaces,
            hot: arguments.hot,
        };
        Ok(Self { arguments, plan, data, layout, scratch, load_before })
    }

    fn measure(self) -> Result<Figures> {
        let (arguments, k) = (self.arguments, self.arguments.k);
        let given = arguments.truth.as_ref().map(|file| self.data.read_truth(file, k)).transpose()?;
        let spinner = output::spinner("importing");
        let store = self.layout.open()?;
        let started = Instant::now();
        self.layout.fill(&store, &self.data.vectors, 0..self.layout.rows)?;
        store.flush()?;
        let import_seconds = started.elapsed().as_secs_f64();
        store.compact()?;
        let compact_seconds = started.elapsed().as_secs_f64() - import_seconds;
        spinner.set_message("finding the true neighbours");
        let truth = match given {
            Some(truth) => truth,
            None => store::truth(&store, &self.layout, &self.data.queries, k.max(TRUTH_DEPTH), threads())?,
        };
        spinner.set_message("measuring");
        let rows = self.rows(&store, &truth)?;
        let asked = self.asked(&store, &truth, &rows)?;
        let mut figures = Figures {
            data: self.data.name.clone(),
            queries: self.data.queries.rows(),
            k,
            metric: metric_name(Metric::from(arguments.metric)),
            namespaces: arguments.namespaces,
            cores: threads(),
            load_before: self.load_before,
            release: !cfg!(debug_assertions),
            import_seconds,
            compact_seconds,
            disk_bytes: store.stats()?.disk_bytes,
            memory: None,
            rows,
            asked,
            processes: None,
            baseline: None,
            ratios: None,
        };
        store.close()?;
        drop(store);
        self.in_children(&mut figures, &truth)?;
        spinner.finish_and_clear();
        Ok(figures)
    }

    /// The table: exact search, and if there is a graph, efforts until the recall is as good as it gets.
    fn rows(&self, store: &Store, truth: &Neighbours) -> Result<Vec<Row>> {
        let mut rows = vec![self.row(store, truth, Effort::Exact)?];
        if !self.is_walked(store)? {
            return Ok(rows);
        }
        let mut recalls = Vec::new();
        for effort in efforts(self.arguments.k) {
            let row = self.row(store, truth, Effort::Ef(effort))?;
            recalls.push(row.quality.recall);
            rows.push(row);
            if is_done(&recalls) {
                break;
            }
        }
        Ok(rows)
    }

    /// Searches for each of the recalls.
    fn asked(&self, store: &Store, truth: &Neighbours, rows: &[Row]) -> Result<Vec<Asked>> {
        if !self.is_walked(store)? {
            return Ok(Vec::new());
        }
        let distances: Vec<(f64, f64)> = report::curve(rows, |row| row.quality.distances);
        let asked = |recall| -> Result<Asked> {
            let row = self.row(store, truth, Effort::Recall(recall as f32))?;
            let distances_needed = value_at(&distances, recall);
            let ratio = distances_needed.map(|needed| row.quality.distances / needed);
            Ok(Asked { asked: recall, row, distances_needed, ratio })
        };
        ASKED.iter().map(|recall| asked(*recall)).collect()
    }

    /// Whether a search walks a graph.
    fn is_walked(&self, store: &Store) -> Result<bool> {
        let questions = self.layout.questions(&self.data.queries, self.arguments.k, Effort::Ef(self.arguments.k))?;
        let answer = store.search(&questions[0].clone().explain(true))?;
        Ok(answer.explain.iter().any(|part| part.walks > 0))
    }

    fn row(&self, store: &Store, truth: &Neighbours, effort: Effort) -> Result<Row> {
        let questions = self.layout.questions(&self.data.queries, self.arguments.k, effort)?;
        let quality = store::quality(store, &questions, truth, self.arguments.k)?;
        let speed = store::speed(store, &questions, self.arguments.seconds)?;
        let ask = |number: usize| store::ask(store, &questions[number]).map(drop);
        let qps_all_threads = timing::all_threads(self.arguments.seconds, threads(), questions.len(), ask)?;
        Ok(Row { effort, quality, speed, qps_all_threads })
    }

    /// What is measured in processes of its own, while no store is open here.
    fn in_children(&self, figures: &mut Figures, truth: &Neighbours) -> Result<()> {
        let queries = self.scratch.join("queries.fvecs");
        write_vectors(&queries, &self.data.queries)?;
        let usual =
            figures.rows.iter().find(|row| row.quality.recall >= USUAL_RECALL).map_or(Effort::Exact, |row| row.effort);
        let search = |directory: &Path| child::Search {
            layout: Layout { directory: directory.to_owned(), ..self.layout.clone() },
            queries: queries.clone(),
            k: self.arguments.k,
            effort: usual,
            seconds: self.arguments.seconds,
        };
        figures.memory = Some(child::memory_of(search(&self.layout.directory))?);
        if self.arguments.processes {
            figures.processes = Some(self.processes(usual, search)?);
        }
        if self.arguments.baseline.is_some() {
            let file = self.scratch.join("truth.ivecs");
            write_neighbours(&file, truth)?;
            figures.baseline = Some(child::baseline(baseline::Plan {
                data: self.plan.clone(),
                truth: file,
                metric: self.arguments.metric,
                k: self.arguments.k,
                seconds: self.arguments.seconds,
            })?);
            figures.compare();
        }
        Ok(())
    }

    /// All threads of one process against as many processes, in turn.
    fn processes(&self, effort: Effort, search: impl Fn(&Path) -> child::Search) -> Result<Processes> {
        let count = threads();
        let copies: Vec<PathBuf> = (0..count).map(|number| self.scratch.join(format!("copy-{number}"))).collect();
        copies.iter().try_for_each(|copy| store::copy(&self.layout.directory, copy))?;
        let store = self.layout.open()?;
        let questions = self.layout.questions(&self.data.queries, self.arguments.k, effort)?;
        let ask = |number: usize| store::ask(&store, &questions[number]).map(drop);
        let mut processes = child::Processes::start(copies.iter().map(|copy| search(copy)))?;
        let (mut qps_threads, mut qps_processes) = (0.0f64, 0.0f64);
        for _ in 0..ALTERNATIONS {
            qps_threads = qps_threads.max(timing::all_threads(self.arguments.seconds, count, questions.len(), ask)?);
            qps_processes = qps_processes.max(processes.run()?);
        }
        processes.end()?;
        store.close()?;
        Ok(Processes { effort, count, qps_threads, qps_processes, ratio: qps_threads / qps_processes })
    }
}

fn draw(path: &Path, figures: &Figures) -> Result<()> {
    let mut series = vec![Series { name: "vecmem".into(), points: figures.curve() }];
    series.extend(figures.baseline.iter().map(|figures| Series { name: "hnsw_rs".into(), points: figures.curve() }));
    let title = format!("{}, {}", figures.data, figures.metric);
    plot::draw(path, &title, figures.k, &series)
}
