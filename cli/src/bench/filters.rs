//! Filters, measured on the user's own store: how many items pass, by which plan, how fast, and how well.
//!
//! Invariants:
//! * The store is only read.
//! * Recall is that of the answers against exact ones with the same filter.
//! * The unfiltered search is measured like every filter, first: ratios are to it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use serde_json::Value;
use vecmem::{Filter, IterateQuery, Options, Query, ReadOptions, Scope, SearchResult, Select, Store, Tuning};

use super::auto_filters::auto_filters;
use super::data::threads;
use super::matrix::read_vectors;
use super::timing::Speed;
use super::{filter_plot, process, store};
use crate::output;

/// Queries that are taken from stored items where no file has them.
const STORED_QUERIES: usize = 200;
/// Items of one page while they are counted or sampled.
const PAGE: usize = 4_096;
/// How long a filter is searched with to earn a graph, and how long its build is waited for.
const REPEATED: Duration = Duration::from_secs(5);
const BUILT: Duration = Duration::from_secs(20);
/// Queries whose answers are compared with exact ones.
const COMPARED: usize = 100;

/// What is measured.
pub struct FilterPlan {
    pub directory: PathBuf,
    /// A file of queries; vectors of stored items without one.
    pub queries: Option<PathBuf>,
    pub scope: Scope,
    /// As JSON.
    pub filters: Vec<String>,
    /// Whether filters are also made from the statistics of the field indexes.
    pub auto: bool,
    pub k: usize,
    /// The recall that searches ask for.
    pub recall: f32,
    /// Whether each filter is searched with until it has a graph of its own, or does not get one.
    pub repeated: bool,
    pub seconds: f64,
}

/// Everything that was measured.
#[derive(Debug, Serialize)]
pub struct FilterFigures {
    pub items: u64,
    pub queries: usize,
    pub k: usize,
    pub cores: usize,
    /// The widest instruction set of the processor that the engine has kernels for.
    pub instruction_set: &'static str,
    /// Processes that wanted to run before the start; more than none, and the figures are too slow.
    pub load_before: Option<f64>,
    pub release: bool,
    /// The first row is the search without a filter.
    pub rows: Vec<FilterRow>,
}

/// One filter.
#[derive(Debug, Serialize)]
pub struct FilterRow {
    /// `None` for the search without one.
    pub filter: Option<Value>,
    pub matches: u64,
    /// Of the items of the scope that have vectors or not.
    pub pass_rate: f64,
    /// The paths that the parts took for most queries.
    pub plan: String,
    pub recall: f64,
    #[serde(flatten)]
    pub speed: Speed,
    /// Queries a second, divided by those without a filter.
    pub ratio: f64,
}

impl FilterPlan {
    /// Measures every filter.
    pub fn measure(&self) -> Result<FilterFigures> {
        let load_before = process::load();
        // Searches stay on one thread, and no graph is built while they are measured.
        let earn_rows = if self.repeated { Tuning::default().earn_rows } else { u32::MAX };
        let tuning = Tuning { parallel_flat_rows: u64::MAX, earn_rows, ..Tuning::default() };
        let store = Store::open(&self.directory, Options::new().create(false).tuning(tuning))?;
        let queries = self.vectors(&store)?;
        let items = store.count(&self.scope, &ReadOptions::default())?;
        ensure!(items > 0 && !queries.is_empty(), "there is no item with a vector to search for; give --queries");
        let mut filters = self.filters.clone();
        if self.auto {
            filters.extend(auto_filters(&store, &self.scope)?);
        }
        ensure!(!filters.is_empty(), "give --filter, or --filters auto on a store whose values have fields");
        let spinner = output::spinner("measuring");
        let mut rows = vec![self.row(&store, &queries, None, items)?];
        for filter in &filters {
            spinner.set_message(output::short(filter));
            let mut row = self.row(&store, &queries, Some(filter), items)?;
            row.ratio = row.speed.qps / rows[0].speed.qps;
            rows.push(row);
        }
        spinner.finish_and_clear();
        rows[1..].sort_by(|a, b| b.pass_rate.total_cmp(&a.pass_rate));
        Ok(FilterFigures {
            items,
            queries: queries.len(),
            k: self.k,
            cores: threads(),
            instruction_set: vecmem::instruction_set(),
            load_before,
            release: !cfg!(debug_assertions),
            rows,
        })
    }

    /// The queries.
    fn vectors(&self, store: &Store) -> Result<Vec<Vec<f32>>> {
        if let Some(file) = &self.queries {
            return Ok(read_vectors(file)?.iter().map(<[f32]>::to_vec).collect());
        }
        // Items at equal steps through the scope.
        let options = ReadOptions { select: Select::None, ..ReadOptions::default() };
        let total = store.count(&self.scope, &options)? as usize;
        let (step, mut seen, mut vectors) = (total.div_ceil(STORED_QUERIES).max(1), 0, Vec::new());
        each_item(store, &self.scope, &ReadOptions { include_vectors: true, ..options }, |item| {
            if seen % step == 0
                && let Some(vector) = item.vectors.first()
            {
                vectors.push(vector.values.to_vec());
            }
            seen += 1;
            true
        })?;
        Ok(vectors)
    }

    fn row(&self, store: &Store, vectors: &[Vec<f32>], filter: Option<&str>, items: u64) -> Result<FilterRow> {
        let parsed = filter.map(Filter::from_json_str).transpose().context("--filter")?;
        let json = filter.map(serde_json::from_str).transpose()?;
        let base = parsed.iter().fold(Query::new(self.scope.clone()), |query, filter| query.filter((*filter).clone()));
        let matches = count(store, &base, parsed.is_some(), items)?;
        let questions: Vec<Query> = vectors
            .iter()
            .map(|vector| base.clone().vector(vector.as_slice()).limit(self.k).recall(self.recall))
            .collect();
        if self.repeated && parsed.is_some() {
            repeat(store, &questions)?;
        }
        let (mut recall, mut plans) = (0.0, BTreeMap::<String, usize>::new());
        let compared = questions.len().min(COMPARED);
        for question in &questions[..compared] {
            let answer = store.search(&question.clone().explain(true))?;
            *plans.entry(plan_of(&answer)).or_default() += 1;
            recall += share_found(&answer, &store.search(&question.clone().exact(true))?);
        }
        let plan = plans.into_iter().max_by_key(|(_, count)| *count).map_or_else(String::new, |(plan, _)| plan);
        let speed = store::speed(store, &questions, self.seconds)?;
        let pass_rate = matches as f64 / items as f64;
        Ok(FilterRow { filter: json, matches, pass_rate, plan, recall: recall / compared as f64, speed, ratio: 1.0 })
    }
}

/// Searches until a graph of the filter comes, and gives up after a while without one.
fn repeat(store: &Store, questions: &[Query]) -> Result<()> {
    let graphs = || store.stats().map(|stats| (stats.graphs.of_filters, stats.graphs.filter_bytes));
    let (before, started) = (graphs()?, Instant::now());
    while graphs()? == before && started.elapsed() < REPEATED + BUILT {
        if started.elapsed() < REPEATED {
            questions.iter().try_for_each(|question| store.search(question).map(drop))?;
        } else {
            // The graph is being built.
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    Ok(())
}

/// Calls `each` with the items of the scope, in the order of their keys, until it returns false.
pub fn each_item(
    store: &Store,
    scope: &Scope,
    options: &ReadOptions,
    mut each: impl FnMut(&vecmem::Item) -> bool,
) -> Result<()> {
    let query = IterateQuery::new(scope.clone()).limit(PAGE).options(options.clone());
    for item in store.items(query) {
        if !each(&item?) {
            break;
        }
    }
    Ok(())
}

/// The items that pass.
fn count(store: &Store, query: &Query, has_filter: bool, items: u64) -> Result<u64> {
    if !has_filter {
        return Ok(items);
    }
    let options = ReadOptions { select: Select::None, ..ReadOptions::default() };
    let listing = store.snapshot()?.listing(query.clone().options(options))?;
    let mut found = 0;
    loop {
        let page = listing.page(found, PAGE)?.len();
        found += page;
        if page < PAGE {
            return Ok(found as u64);
        }
    }
}

/// The paths of the parts, each once.
fn plan_of(answer: &SearchResult) -> String {
    let mut paths: Vec<&str> = answer.explain.iter().map(|part| part.path.as_str()).collect();
    paths.sort_unstable();
    paths.dedup();
    paths.join(" + ")
}

/// The share of the exact hits that was found; all of none.
fn share_found(answer: &SearchResult, exact: &SearchResult) -> f64 {
    let found = exact.iter().filter(|hit| answer.iter().any(|other| other.item.version == hit.item.version)).count();
    if exact.is_empty() { 1.0 } else { found as f64 / exact.len() as f64 }
}

impl FilterFigures {
    /// Draws queries a second and recall over the pass rate.
    pub fn draw(&self, path: &Path) -> Result<()> {
        let about = format!(
            "{}, {}, k = {}; {}, {}",
            output::counted(self.items, "item"),
            output::counted(self.queries as u64, "query"),
            self.k,
            output::counted(self.cores as u64, "core"),
            self.instruction_set
        );
        let svg = filter_plot::drawing(&about, self.k, &self.rows);
        std::fs::write(path, svg).with_context(|| format!("cannot write {}", path.display()))
    }

    /// The table.
    pub fn for_people(&self) -> String {
        let mut text = format!(
            "{}, {}, k = {}\n",
            output::counted(self.items, "item"),
            output::counted(self.queries as u64, "query"),
            self.k
        );
        let load = self.load_before.map_or_else(String::new, |load| format!(", load {load:.2} before the start"));
        let _ = writeln!(text, "{}, {}{load}\n", output::counted(self.cores as u64, "core"), self.instruction_set);
        let _ = writeln!(text, "   pass       QPS   ratio   p50 us   p99 us  recall  filter, plan");
        for row in &self.rows {
            let FilterRow { filter, pass_rate, plan, recall, speed, ratio, .. } = row;
            let filter = filter.as_ref().map_or_else(|| "none".to_owned(), |filter| output::short(&filter.to_string()));
            let _ = writeln!(
                text,
                "{:>6.2} % {:>9.0} {ratio:>6.2}x {:>8.1} {:>8.1}  {recall:.4}  {filter}: {plan}",
                100.0 * pass_rate,
                speed.qps,
                speed.p50_us,
                speed.p99_us
            );
        }
        text.truncate(text.trim_end().len());
        text
    }
}
