//! The store that is measured: filling it, asking it, and what the answers are worth.
//!
//! Invariants:
//! * Vector i is the item with key i; its namespace is a block of neighbouring rows.
//! * A question reads the stored bytes of every winner's value and parses nothing.
//! * One search uses one thread: the pool for long scans is switched off, so that threads can be counted.

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use vecmem::{
    CodeResidency, Durability, ImportOptions, Namespace, Options, Put, Query, Scope, SearchResult, Store, Tuning,
};

use super::data::hits;
use super::matrix::{Matrix, Neighbours, Vectors};
use super::timing::{self, Speed};
use crate::arguments::MetricArgument;

/// How long graphs may take to be checked after an open.
const CHECK_LIMIT: Duration = Duration::from_secs(120);

/// How a store of vectors is laid out.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Layout {
    pub directory: PathBuf,
    pub dims: usize,
    pub metric: MetricArgument,
    pub rows: usize,
    pub namespaces: usize,
    pub codes: CodesArgument,
}

/// `--codes`.
#[derive(Clone, Copy, Debug, PartialEq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CodesArgument {
    /// In the mapped files
    PageCache,
    /// Copied into anonymous huge pages
    HugePages,
}

impl From<CodesArgument> for CodeResidency {
    fn from(codes: CodesArgument) -> Self {
        match codes {
            CodesArgument::PageCache => Self::PageCache,
            CodesArgument::HugePages => Self::HugePages,
        }
    }
}

impl Layout {
    /// The options of a store that is filled once and then only read.
    pub fn options(&self) -> Options {
        let options = Options::with_vectors(self.dims, self.metric.into()).durability(Durability::Manual);
        options.tuning(self.tuning()).code_residency(self.codes.into())
    }

    /// Searches stay on one thread, and graphs are built only when the benchmark says so, which is when it looks at the
    /// clock.
    pub fn tuning(&self) -> Tuning {
        Tuning { parallel_flat_rows: u64::MAX, graph_rows: u32::MAX, earn_rows: u32::MAX, ..Tuning::default() }
    }

    /// Opens it.
    pub fn open(&self) -> Result<Store> {
        Ok(Store::open(&self.directory, self.options())?)
    }

    /// What a search covers: the one namespace, or the store.
    pub fn scope(&self) -> Result<Scope> {
        Ok(if self.namespaces == 1 { Scope::Namespace(self.namespace(0)?) } else { Scope::Store })
    }

    /// The namespace of a row.
    pub fn namespace(&self, row: usize) -> vecmem::Result<Namespace> {
        let number = (row as u128 * self.namespaces as u128 / self.rows as u128) as usize;
        Namespace::new(["bench", &format!("{number:07}")])
    }

    /// Imports all rows.
    pub fn fill(&self, store: &Store, vectors: &Vectors, options: ImportOptions<'_>) -> Result<()> {
        let item = |row| Ok(Put::new(&self.namespace(row)?, key(row), value(row)).vector(vectors.row(row)));
        store.import((0..self.rows).map(item), options)?;
        Ok(())
    }

    /// The questions, ready to be asked.
    pub fn questions(&self, queries: &Vectors, k: usize, ef: Accuracy) -> Result<Vec<Query>> {
        let scope = self.scope()?;
        let question = |vector: &[f32]| ef.apply(Query::new(scope.clone()).vector(vector).limit(k));
        Ok(queries.iter().map(question).collect())
    }
}

/// How hard a search tries.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Accuracy {
    /// Nothing approximate.
    Exact,
    /// The `ef` of the graph searches.
    Ef(usize),
    /// Whatever this recall needs.
    Recall(f32),
}

impl std::fmt::Display for Accuracy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exact => f.pad("exact"),
            Self::Ef(ef) => f.pad(&format!("ef {ef}")),
            Self::Recall(recall) => f.pad(&format!("recall {recall}")),
        }
    }
}

impl Accuracy {
    fn apply(self, query: Query) -> Query {
        match self {
            Self::Exact => query.exact(true),
            Self::Ef(ef) => query.ef_search(ef),
            Self::Recall(recall) => query.recall(recall),
        }
    }
}

/// The key of a row.
pub fn key(row: usize) -> String {
    format!("{row:010}")
}

/// A JSON object of about 150 bytes.
pub fn value(row: usize) -> String {
    let kind = if row.is_multiple_of(3) { "preference" } else { "fact" };
    format!(
        r#"{{"text":"memory {row}: the guest asked for a quiet table by the window and would rather walk afterwards","kind":"{kind}","turn":{},"importance":{}}}"#,
        row % 20,
        row % 5
    )
}

/// Asks one question and reads what came back; the number of hits.
pub fn ask(store: &Store, question: &Query) -> Result<usize> {
    let answer = store.search(question)?;
    let sum = |value: &str| value.bytes().fold(0u8, u8::wrapping_add);
    black_box(answer.iter().fold(0u8, |total, hit| total.wrapping_add(sum(&hit.item.value))));
    Ok(answer.len())
}

/// The rows of an answer, best first.
fn rows(answer: &SearchResult) -> Result<Vec<u32>> {
    answer
        .iter()
        .map(|hit| hit.item.key.parse().map_err(|_| anyhow!("{:?} is no key of the benchmark", hit.item.key)))
        .collect()
}

/// Parts of the store in which a question searches a graph.
pub fn graph_searches(store: &Store, question: &Query) -> Result<usize> {
    let answer = store.search(&question.clone().explain(true))?;
    Ok(answer.explain.iter().filter(|part| part.graph_searches > 0).count())
}

/// Waits until the background has checked the graphs, so that a question searches as many as it did before the store
/// was reopened.
pub fn wait_for_graphs(store: &Store, question: &Query, wanted: usize) -> Result<()> {
    let start = Instant::now();
    while graph_searches(store, question)? < wanted {
        ensure!(
            start.elapsed() < CHECK_LIMIT,
            "a reopened store does not search its graphs: {:?}",
            store.stats()?.health.damage
        );
        thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// What the answers at one ef are worth, and what they cost.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Quality {
    /// The mean share of the true neighbours that is found.
    pub recall: f64,
    /// Vectors to which the distance was computed, mean of all queries.
    pub distances: f64,
}

/// Asks every question once and compares with the truth.
pub fn quality(store: &Store, questions: &[Query], truth: &Neighbours, k: usize) -> Result<Quality> {
    let mut total = Quality::default();
    for (question, truth) in questions.iter().zip(truth.iter()) {
        let answer = store.search(&question.clone().explain(true))?;
        total.recall += hits(rows(&answer)?.into_iter(), truth, k);
        total.distances += answer.explain.iter().map(|part| (part.scanned + part.visited) as f64).sum::<f64>();
    }
    let queries = questions.len() as f64;
    Ok(Quality { recall: total.recall / queries, distances: total.distances / queries })
}

/// The speed of these questions on this thread.
pub fn speed(store: &Store, questions: &[Query], seconds: f64) -> Result<Speed> {
    timing::one_thread(seconds, questions.len(), |number| ask(store, &questions[number]).map(drop))
}

/// The true neighbours of each query, by exact searches on all cores; at most `k` each.
pub fn truth(store: &Store, layout: &Layout, queries: &Vectors, k: usize, threads: usize) -> Result<Neighbours> {
    let dims = k.min(layout.rows);
    let questions = layout.questions(queries, dims, Accuracy::Exact)?;
    let mut numbers = vec![0; queries.rows() * dims];
    let each = questions.len().div_ceil(threads);
    thread::scope(|scope| {
        let part = |(questions, numbers): (&'_ [Query], &'_ mut [u32])| -> Result<()> {
            for (question, found) in questions.iter().zip(numbers.chunks_exact_mut(dims)) {
                let rows = rows(&store.search(question)?)?;
                ensure!(rows.len() == dims, "an exact search found {} of {dims} neighbours", rows.len());
                found.copy_from_slice(&rows);
            }
            Ok(())
        };
        let parts = questions.chunks(each).zip(numbers.chunks_mut(each * dims));
        let running: Vec<_> = parts.map(|chunk| scope.spawn(move || part(chunk))).collect();
        running.into_iter().try_for_each(|thread| thread.join().unwrap_or_else(|_| Err(anyhow!("a thread panicked"))))
    })?;
    Ok(Matrix { dims, numbers })
}

/// Copies a closed store; files that never change are shared, so that copies share their pages in memory.
pub fn copy(from: &Path, to: &Path) -> Result<()> {
    let cannot = || format!("cannot copy the store {} to {}", from.display(), to.display());
    std::fs::create_dir_all(to).with_context(cannot)?;
    for entry in std::fs::read_dir(from).with_context(cannot)? {
        let path = entry.with_context(cannot)?.path();
        let target = to.join(path.file_name().unwrap_or_default());
        let never_changes =
            path.extension().is_some_and(|ending| ["truth", "codes", "graph"].iter().any(|known| ending == *known));
        if !(never_changes && std::fs::hard_link(&path, &target).is_ok()) {
            std::fs::copy(&path, &target).with_context(cannot)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::generate::Generator;

    #[test]
    fn the_truth_is_what_brute_force_finds() {
        let directory = tempfile::tempdir().unwrap();
        let generator = Generator::new(20, 3);
        let (vectors, queries) = (generator.vectors(0..300, 2), generator.vectors(300..307, 2));
        let layout = Layout {
            directory: directory.path().to_owned(),
            dims: 20,
            metric: MetricArgument::L2,
            rows: 300,
            namespaces: 7,
            codes: CodesArgument::PageCache,
        };
        let store = layout.open().unwrap();
        layout.fill(&store, &vectors, ImportOptions::new()).unwrap();
        let found = truth(&store, &layout, &queries, 25, 3).unwrap();
        assert_eq!((found.rows(), found.dims), (7, 25));
        for (query, found) in queries.iter().zip(found.iter()) {
            let distance = |row: &u32| -> f64 {
                vectors.row(*row as usize).iter().zip(query).map(|(a, b)| f64::from(a - b).powi(2)).sum()
            };
            let mut rows: Vec<u32> = (0..300).collect();
            rows.sort_by(|a, b| distance(a).total_cmp(&distance(b)));
            assert_eq!(found, &rows[..25]);
        }
        let quality = quality(&store, &layout.questions(&queries, 25, Accuracy::Exact).unwrap(), &found, 25).unwrap();
        assert_eq!(quality.recall, 1.0);
        assert!(truth(&store, &layout, &queries, 1_000, 2).unwrap().dims == 300);
        store.close().unwrap();
        let other = directory.path().join("copy");
        copy(directory.path(), &other).unwrap_err();
        let target = tempfile::tempdir().unwrap();
        copy_flat(directory.path(), target.path());
    }

    fn copy_flat(from: &Path, to: &Path) {
        std::fs::remove_dir_all(from.join("copy")).unwrap();
        copy(from, to).unwrap();
        let options = Options::new().create(false);
        assert_eq!(Store::open(to, options).unwrap().stats().unwrap().size.items, 300);
    }
}
