//! A run of the benchmark, from the import to the figures.
//!
//! Invariants:
//! * No store is open here while a child process is measured alone.
//! * What writes to a store writes to a copy, so that a store that is kept holds the data and nothing else.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Result;
use vecmem::{ImportOptions, Metric, Store};

use super::curve::{ef_values, is_done, value_at};
use super::data::{Data, DataPlan, threads};
use super::limits::{self, Limits, MemorySpeed};
use super::matrix::{Neighbours, write_neighbours, write_vectors};
use super::report::{Figures, Processes, RecallReport, Row};
use super::store::{Accuracy, Layout};
use super::{Bench, baseline, child, mixed, parts, process, report, store, timing};
use crate::arguments::metric_name;
use crate::output;
use crate::progress::watched;

/// True neighbours that are computed of each query, at least.
const TRUTH_DEPTH: usize = 100;
/// Recalls that are asked for, to compare with what comes back.
const ASKED: [f64; 4] = [0.90, 0.95, 0.98, 0.99];
/// Recall at whose ef memory, processes and mixed load are measured; parts at the other one too.
const USUAL_RECALL: f64 = 0.95;
const HIGH_RECALL: f64 = 0.99;
/// Runs of threads and processes in turn, of which the best are kept.
const ALTERNATIONS: usize = 3;

/// What the memory allows the fastest search of the usual recall, or the best one that there is.
fn limits_of(memory: MemorySpeed, rows: &[Row], dims: usize) -> Limits {
    let enough = |row: &&Row| row.quality.recall >= USUAL_RECALL;
    let fastest = rows.iter().filter(enough).max_by(|a, b| a.speed.qps.total_cmp(&b.speed.qps));
    Limits::of(memory, fastest.unwrap_or(&rows[0]), dims)
}

/// A run under way.
pub struct Running<'a> {
    arguments: &'a Bench,
    plan: DataPlan,
    data: Data,
    layout: Layout,
    /// For files that children read, and copies of the store.
    scratch: PathBuf,
    load_before: Option<f64>,
}

impl<'a> Running<'a> {
    /// Loads the data.
    pub fn start(arguments: &'a Bench, directory: PathBuf, scratch: PathBuf) -> Result<Self> {
        let load_before = process::load();
        let plan = arguments.plan()?;
        let data = plan.load()?;
        let layout = Layout {
            directory,
            dims: data.vectors.dims,
            metric: arguments.metric,
            rows: data.vectors.rows(),
            namespaces: arguments.namespaces,
            codes: arguments.codes,
        };
        Ok(Self { arguments, plan, data, layout, scratch, load_before })
    }

    /// Measures everything that was asked for.
    pub fn measure(self) -> Result<Figures> {
        let (arguments, k) = (self.arguments, self.arguments.k);
        let given = arguments.truth.as_ref().map(|file| self.data.read_truth(file, k)).transpose()?;
        let memory = limits::measure();
        let store = self.layout.open()?;
        let started = Instant::now();
        watched("importing", || self.layout.fill(&store, &self.data.vectors, ImportOptions::new()))?;
        store.sync()?;
        let import_seconds = started.elapsed().as_secs_f64();
        watched("compacting", || store.compact())?;
        let compact_seconds = started.elapsed().as_secs_f64() - import_seconds;
        let scope = self.layout.scope()?;
        let build = watched("building the graph", || store.build_graph(&scope))?;
        let exact = || store::truth(&store, &self.layout, &self.data.queries, k.max(TRUTH_DEPTH), threads());
        let truth = given.map_or_else(|| watched("finding the true neighbours", exact), Ok)?;
        let rows = watched("measuring", || self.rows(&store, &truth))?;
        let asked = watched("measuring", || self.asked(&store, &truth, &rows))?;
        let spinner = output::spinner("measuring");
        let stats = store.stats()?;
        let mut figures = Figures {
            data: self.data.name.clone(),
            queries: self.data.queries.rows(),
            k,
            metric: metric_name(Metric::from(arguments.metric)),
            namespaces: arguments.namespaces,
            cores: threads(),
            instruction_set: vecmem::instruction_set(),
            load_before: self.load_before,
            release: !cfg!(debug_assertions),
            import_seconds,
            compact_seconds,
            build,
            segments: stats.internals.segments,
            graph_searches: 0,
            disk_bytes: stats.size.disk_bytes,
            memory: None,
            limits: limits_of(memory, &rows, self.data.vectors.dims),
            rows,
            asked,
            processes: None,
            mixed: None,
            parts: None,
            baseline: None,
            ratios: None,
        };
        self.with_store(&mut figures, store, &truth)?;
        self.in_children(&mut figures, &truth)?;
        spinner.finish_and_clear();
        Ok(figures)
    }

    /// The table: exact search, and if there is a graph, values of ef until the recall is as good as it gets.
    fn rows(&self, store: &Store, truth: &Neighbours) -> Result<Vec<Row>> {
        let mut rows = vec![self.row(store, truth, Accuracy::Exact)?];
        if self.graph_searches(store, Accuracy::Ef(self.arguments.k))? == 0 {
            return Ok(rows);
        }
        let mut recalls = Vec::new();
        for ef in ef_values(self.arguments.k) {
            let row = self.row(store, truth, Accuracy::Ef(ef))?;
            recalls.push(row.quality.recall);
            rows.push(row);
            if is_done(&recalls) {
                break;
            }
        }
        Ok(rows)
    }

    /// Searches for each of the recalls.
    fn asked(&self, store: &Store, truth: &Neighbours, rows: &[Row]) -> Result<Vec<RecallReport>> {
        if rows.iter().all(|row| row.ef == Accuracy::Exact) {
            return Ok(Vec::new());
        }
        let distances: Vec<(f64, f64)> = report::curve(rows, |row| row.quality.distances);
        let asked = |recall| -> Result<RecallReport> {
            let row = self.row(store, truth, Accuracy::Recall(recall as f32))?;
            let distances_needed = value_at(&distances, recall);
            let ratio = distances_needed.map(|needed| row.quality.distances / needed);
            Ok(RecallReport { asked: recall, row, distances_needed, ratio })
        };
        ASKED.iter().map(|recall| asked(*recall)).collect()
    }

    fn row(&self, store: &Store, truth: &Neighbours, ef: Accuracy) -> Result<Row> {
        let questions = self.layout.questions(&self.data.queries, self.arguments.k, ef)?;
        let quality = store::quality(store, &questions, truth, self.arguments.k)?;
        let speed = store::speed(store, &questions, self.arguments.seconds)?;
        let ask = |number: usize| store::ask(store, &questions[number]).map(drop);
        let qps_all_threads = timing::all_threads(self.arguments.seconds, threads(), questions.len(), ask)?;
        Ok(Row { ef, quality, speed, qps_all_threads })
    }

    fn graph_searches(&self, store: &Store, ef: Accuracy) -> Result<usize> {
        store::graph_searches(store, &self.layout.questions(&self.data.queries, self.arguments.k, ef)?[0])
    }

    /// What else needs the store open, and then a copy of it; closes it.
    fn with_store(&self, figures: &mut Figures, store: Store, truth: &Neighbours) -> Result<()> {
        let usual = figures.cheapest(USUAL_RECALL);
        figures.graph_searches = self.graph_searches(&store, usual)?;
        let (data, arguments) = (&self.data, self.arguments);
        if let Some(parts) = arguments.parts {
            let mut ef_values = vec![usual, figures.cheapest(HIGH_RECALL)];
            ef_values.dedup();
            let plan = parts::Plan {
                vectors: &data.vectors,
                queries: &data.queries,
                truth,
                k: arguments.k,
                ef_values: &ef_values,
                curve: &figures.curve(),
                seconds: arguments.seconds,
            };
            let directory = self.scratch.join("parts");
            figures.parts = Some(parts::measure(&plan, &store, &self.layout, &directory, parts)?);
        }
        store.close()?;
        drop(store);
        if let Some(seconds) = arguments.mixed {
            let copy = Layout { directory: self.scratch.join("mixed"), ..self.layout.clone() };
            store::copy(&self.layout.directory, &copy.directory)?;
            let questions = copy.questions(&data.queries, arguments.k, usual)?;
            figures.mixed = Some(mixed::measure(&copy, &data.vectors, &questions, figures.graph_searches, seconds)?);
        }
        Ok(())
    }

    /// What is measured in processes of its own, while no store is open here.
    fn in_children(&self, figures: &mut Figures, truth: &Neighbours) -> Result<()> {
        let queries = self.scratch.join("queries.fvecs");
        write_vectors(&queries, &self.data.queries)?;
        let (usual, graph_searches) = (figures.cheapest(USUAL_RECALL), figures.graph_searches);
        let search = |directory: &Path| child::Search {
            layout: Layout { directory: directory.to_owned(), ..self.layout.clone() },
            queries: queries.clone(),
            k: self.arguments.k,
            ef: usual,
            graph_searches,
            seconds: self.arguments.seconds,
        };
        figures.memory = Some(child::memory_of(search(&self.layout.directory))?);
        if self.arguments.processes {
            figures.processes = Some(self.processes(usual, graph_searches, search)?);
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
    fn processes(
        &self,
        ef: Accuracy,
        graph_searches: usize,
        search: impl Fn(&Path) -> child::Search,
    ) -> Result<Processes> {
        let count = threads();
        let copies: Vec<PathBuf> = (0..count).map(|number| self.scratch.join(format!("copy-{number}"))).collect();
        copies.iter().try_for_each(|copy| store::copy(&self.layout.directory, copy))?;
        let store = self.layout.open()?;
        let questions = self.layout.questions(&self.data.queries, self.arguments.k, ef)?;
        store::wait_for_graphs(&store, &questions[0], graph_searches)?;
        let ask = |number: usize| store::ask(&store, &questions[number]).map(drop);
        let mut processes = child::Processes::start(copies.iter().map(|copy| search(copy)))?;
        // The processes are warm already.
        timing::all_threads_once(self.arguments.seconds, count, questions.len(), ask)?;
        let (mut qps_threads, mut qps_processes) = (0.0f64, 0.0f64);
        for _ in 0..ALTERNATIONS {
            qps_threads =
                qps_threads.max(timing::all_threads_once(self.arguments.seconds, count, questions.len(), ask)?);
            qps_processes = qps_processes.max(processes.run()?);
        }
        processes.end()?;
        store.close()?;
        Ok(Processes { ef, count, qps_threads, qps_processes, ratio: qps_threads / qps_processes })
    }
}
