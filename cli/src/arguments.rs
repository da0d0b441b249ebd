//! Arguments that several commands share, and how they become the library's words.
//!
//! Invariants:
//! * Only `create` and `import` make a store; every other command opens an existing one, with the vector space it has.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};
use vecmem::{Durability, Metric, Namespace, Options, Scope, Select, Store};

use crate::lines::parse_vector;
use crate::npy::Npy;

/// `--metric`.
#[derive(Clone, Copy, Debug, PartialEq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MetricArgument {
    /// a·b / (|a| |b|)
    Cosine,
    /// a·b
    Dot,
    /// minus the distance of a and b
    L2,
}

impl From<MetricArgument> for Metric {
    fn from(metric: MetricArgument) -> Self {
        match metric {
            MetricArgument::Cosine => Self::Cosine,
            MetricArgument::Dot => Self::Dot,
            MetricArgument::L2 => Self::L2,
        }
    }
}

/// The name of a metric, as `--metric` takes it.
pub fn metric_name(metric: Metric) -> &'static str {
    match metric {
        Metric::Cosine => "cosine",
        Metric::Dot => "dot",
        Metric::L2 => "l2",
    }
}

/// `--durability`.
#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
pub enum DurabilityArgument {
    /// Each batch survives a power loss before the next one begins
    Sync,
    /// Each batch survives a kill of the process; synced every 100 ms
    Periodic,
    /// Durable at the end
    Manual,
}

impl From<DurabilityArgument> for Durability {
    fn from(durability: DurabilityArgument) -> Self {
        match durability {
            DurabilityArgument::Sync => Self::Sync,
            DurabilityArgument::Periodic => Self::Periodic,
            DurabilityArgument::Manual => Self::Manual,
        }
    }
}

/// A vector, from a file or spelled out.
#[derive(Args, Debug)]
pub struct VectorArguments {
    /// Take the vector from this matrix
    #[arg(long, value_name = "FILE.npy")]
    vector_file: Option<PathBuf>,
    /// The row of the matrix, counted from 0
    #[arg(long, value_name = "N", requires = "vector_file")]
    row: Option<u64>,
    /// The vector itself, a JSON array such as [0.1,0.2]
    #[arg(long, value_name = "JSON", conflicts_with = "vector_file")]
    vector: Option<String>,
}

impl VectorArguments {
    /// The vector, if one was asked for.
    pub fn read(&self) -> Result<Option<Vec<f32>>> {
        if let Some(text) = &self.vector {
            let values = parse_vector(text.trim()).map_err(|error| anyhow!("--vector: {error}"))?;
            return Ok(Some(values.into()));
        }
        let Some(file) = &self.vector_file else { return Ok(None) };
        Npy::open(file)?.row(self.row.unwrap_or(0)).map(Some)
    }
}

/// Which part of the values is printed.
#[derive(Args, Debug)]
pub struct SelectArguments {
    /// Of the values, only this field; may be given several times
    #[arg(long, value_name = "PATH")]
    select: Vec<String>,
    /// Read no values
    #[arg(long, conflicts_with = "select")]
    no_values: bool,
}

impl SelectArguments {
    /// The selection; everything if none was given.
    pub fn select(&self) -> Result<Select> {
        match (self.no_values, self.select.as_slice()) {
            (true, _) => Ok(Select::None),
            (false, []) => Ok(Select::All),
            (false, paths) => Select::fields(paths).context("--select"),
        }
    }
}

/// Opens the store that is at `directory`.
pub fn open(directory: &Path) -> Result<Store> {
    Ok(Store::open(directory, Options::new().create(false))?)
}

/// `a/b/c` or a JSON array of labels.
pub fn namespace(text: &str) -> Result<Namespace> {
    Ok(text.parse()?)
}

/// What `--graph` names: `*` is the store, `a/b/` a prefix, `a/b` a namespace.
pub fn graph_scope(text: &str) -> Result<Scope> {
    if text == "*" {
        return Ok(Scope::Store);
    }
    match text.strip_suffix('/') {
        Some(text) => Ok(Scope::Prefix(namespace(text)?)),
        None => Ok(Scope::Namespace(namespace(text)?)),
    }
}

/// The namespaces at and below `text`; all of them without one.
pub fn prefix(text: Option<&str>) -> Result<Scope> {
    Ok(text.map(namespace).transpose()?.map_or(Scope::Store, Scope::Prefix))
}
