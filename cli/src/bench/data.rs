//! What is searched, and for what: read from files or made up, with the true neighbours of each query.
//!
//! Invariants:
//! * Vectors, queries and truth fit each other, or the run ends before anything is measured.
//! * A child process that gets the same [`DataPlan`] has the same data.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use super::generate::Generator;
use super::matrix::{Neighbours, Vectors, read_neighbours, read_vectors};
use crate::output;

/// Where the data comes from.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum DataPlan {
    Files {
        vectors: PathBuf,
        queries: PathBuf,
    },
    /// So many rows of the file are queries instead.
    HeldOut {
        vectors: PathBuf,
        queries: usize,
    },
    MadeUp {
        rows: usize,
        dims: usize,
        seed: u64,
        queries: usize,
    },
}

/// Vectors and queries.
pub struct Data {
    pub vectors: Vectors,
    pub queries: Vectors,
    /// The data in one line.
    pub name: String,
}

impl DataPlan {
    /// Reads or makes the data.
    pub fn load(&self) -> Result<Data> {
        match self {
            Self::Files { vectors: file, queries: query_file } => {
                let (vectors, queries) = (read_vectors(file)?, read_vectors(query_file)?);
                ensure!(
                    vectors.dims == queries.dims,
                    "{} has {}, but {} has {}",
                    query_file.display(),
                    output::counted(queries.dims as u64, "dimension"),
                    file.display(),
                    vectors.dims
                );
                let name = format!("{} of {}", shape(&vectors), short(file));
                Ok(Data { vectors, queries, name })
            }
            Self::HeldOut { vectors: file, queries } => {
                let all = read_vectors(file)?;
                let rows = all.rows();
                ensure!(
                    *queries < rows,
                    "{} has {}; --query-count {queries} would leave nothing to search in",
                    file.display(),
                    output::counted(rows as u64, "vector")
                );
                let (vectors, queries) = all.held_out(*queries);
                let held_out = output::counted(queries.rows() as u64, "vector");
                let name = format!("{} of {}, from which {held_out} were held out", shape(&vectors), short(file));
                Ok(Data { vectors, queries, name })
            }
            &Self::MadeUp { rows, dims, seed, queries } => {
                let generator = Generator::new(dims, seed);
                let (rows, end) = (rows as u64, (rows + queries) as u64);
                // Queries are the next vectors of the same source, so held out.
                let vectors = generator.vectors(0..rows, threads());
                let queries = generator.vectors(rows..end, threads());
                let name = format!("{}, made up with seed {seed}", shape(&vectors));
                Ok(Data { vectors, queries, name })
            }
        }
    }
}

/// A file with its folder: the rest of a path is of one machine.
fn short(file: &Path) -> String {
    let parts: Vec<_> =
        file.iter().rev().take(2).map(|part| part.to_string_lossy()).filter(|part| part != "/").collect();
    parts.into_iter().rev().collect::<Vec<_>>().join("/")
}

fn shape(vectors: &Vectors) -> String {
    let (rows, dims) = (vectors.rows() as u64, vectors.dims as u64);
    format!("{} of {}", output::counted(rows, "vector"), output::counted(dims, "dimension"))
}

impl Data {
    /// Reads the true neighbours from a file; at least `k` of each query.
    pub fn read_truth(&self, file: &Path, k: usize) -> Result<Neighbours> {
        let truth = read_neighbours(file, self.vectors.rows())?;
        let (rows, queries, name) = (truth.rows(), self.queries.rows(), file.display());
        ensure!(
            rows == queries,
            "{name} has {}, the queries are {queries}; row i must belong to query i",
            output::counted(rows as u64, "row")
        );
        ensure!(truth.dims >= k, "{name} has {} neighbours of each query; --k {k} needs as many", truth.dims);
        Ok(truth)
    }
}

/// The share of `found` that is among the first k of `truth`, where k is at most what can be found.
pub fn hits(found: impl Iterator<Item = u32>, truth: &[u32], k: usize) -> f64 {
    let truth = &truth[..k.min(truth.len())];
    found.take(k).filter(|row| truth.contains(row)).count() as f64 / truth.len().max(1) as f64
}

/// Threads of a run on all cores.
pub fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// A number of rows for an argument.
pub fn at_least_one(number: usize, argument: &str) -> Result<usize> {
    Some(number).filter(|number| *number > 0).with_context(|| format!("{argument} needs at least 1"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_shares_are_short() {
        assert_eq!(short(Path::new("/data/sift/base.fvecs")), "sift/base.fvecs");
        assert_eq!((short(Path::new("/x.npy")), short(Path::new("x.npy"))), ("x.npy".into(), "x.npy".into()));
        assert_eq!(hits([1, 9, 2, 3].into_iter(), &[1, 2, 3, 9], 3), 2.0 / 3.0);
        assert_eq!(hits([5].into_iter(), &[5], 10), 1.0);
    }
}
