//! The store as a whole: `create`, `compact`, `accept-clock`.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::json;
use vecmem::{ErrorKind, Options, ReadOptions, Scope, Store};

use crate::arguments::{MetricArgument, graph_scope, metric_name, open};
use crate::output::{self, Output};
use crate::progress;

/// Make an empty store
#[derive(Args)]
#[command(after_help = "\
Examples:
  vecmem create memories --dims 384 --metric cosine
  vecmem create notes                        (without vectors: a durable JSON key-value store)")]
pub struct Create {
    /// The directory to make
    dir: PathBuf,
    /// Numbers in one vector; without it the store holds no vectors
    #[arg(long, value_name = "N")]
    dims: Option<usize>,
    /// How similarity is measured
    #[arg(long, value_enum, requires = "dims", default_value = "cosine")]
    metric: MetricArgument,
}

impl Create {
    pub fn run(self, output: Output) -> Result<()> {
        match open(&self.dir) {
            Ok(store) => bail!("{} already holds a store ({})", self.dir.display(), space(&store)),
            Err(error) => match error.downcast_ref::<vecmem::Error>() {
                Some(error) if error.kind() == ErrorKind::NotAStore => {}
                _ => return Err(error),
            },
        }
        let options = self.dims.map_or_else(Options::new, |dims| Options::with_vectors(dims, self.metric.into()));
        let store = Store::open(&self.dir, options)?;
        let space = space(&store);
        store.close()?;
        let json = json!({"created": self.dir.display().to_string(), "dims": self.dims});
        output.print(&json, || format!("created {} ({space})", self.dir.display()))
    }
}

/// Merge everything into as few files as possible and free the space of what was deleted or has expired
#[derive(Args)]
#[command(after_help = "\
Examples:
  vecmem compact memories
  vecmem compact memories --graph '*'           (one graph over everything, for searches of the whole store)
  vecmem compact memories --graph users/ada/    (over this prefix)")]
pub struct Compact {
    /// The store
    dir: PathBuf,
    /// Then build a graph for searches of this scope, kept by merges (of more than two over the same items the
    /// least useful goes): a/b a namespace, a/b/ a prefix, * the store
    #[arg(long, value_name = "SCOPE")]
    graph: Vec<String>,
}

impl Compact {
    pub fn run(self, output: Output) -> Result<()> {
        let graphs = graph_scopes(&self.graph)?;
        let store = open(&self.dir)?;
        let before = store.stats()?.size.disk_bytes;
        let started = Instant::now();
        let report = progress::watched("compacting", || store.compact())?;
        build_graphs(&store, &graphs)?;
        let stats = store.stats()?;
        store.close()?;
        let took = started.elapsed().as_secs_f64();
        let json = json!({"bytes_before": before, "bytes_after": stats.size.disk_bytes, "segments": stats.internals.segments,
            "graphs": stats.graphs.count, "seconds": took, "swept": report.swept, "expired_left": report.expired_left,
            "expired_left_why": report.expired_left_why});
        output.print(&json, || {
            let (before, after) = (output::bytes(before), output::bytes(stats.size.disk_bytes));
            let segments = output::counted(stats.internals.segments, "segment");
            let graphs = output::counted(stats.graphs.count, "graph");
            let mut lines = format!("compacted in {took:.1} s: {before} before, {after} now, {segments}, {graphs}");
            if let Some(why) = &report.expired_left_why {
                let left = output::counted(report.expired_left, "expired item");
                lines += &format!("\n{left} left: {}", output::short(why));
            }
            lines
        })
    }
}

/// Say that the machine's clock is right, so that what has expired by it may be removed
#[derive(Args)]
#[command(after_help = "\
Example:
  vecmem accept-clock memories

A clock that is more than a day ahead of a store's last write hides expired items but removes none: it may be wrong.
It is believed after an hour of agreement with the time that passes, or by this command.")]
pub struct AcceptClock {
    /// The store
    dir: PathBuf,
}

impl AcceptClock {
    pub fn run(self, output: Output) -> Result<()> {
        let store = open(&self.dir)?;
        let before = store.stats()?.health.clock;
        store.accept_clock()?;
        store.close()?;
        output.print(&json!({"accepted": true, "clock_before": before}), || {
            format!("accepted the clock (it was: {before})")
        })
    }
}

/// What `--graph` names, as it was written and as it is meant, before anything is done.
pub fn graph_scopes(texts: &[String]) -> Result<Vec<(&str, Scope)>> {
    let scope = |text| graph_scope(text).with_context(|| format!("--graph {text}"));
    texts.iter().map(|text| Ok((text.as_str(), scope(text)?))).collect()
}

/// Builds the graphs that `--graph` asks for.
pub fn build_graphs(store: &Store, scopes: &[(&str, Scope)]) -> Result<()> {
    for (text, scope) in scopes {
        let built = progress::watched("building a graph", || store.build_graph(scope));
        let built = built.with_context(|| format!("--graph {text}"))?;
        if built.graphs == 0 && store.count(scope, &ReadOptions::default())? == 0 {
            bail!("--graph {text}: the store holds no item there; everything else is done");
        }
    }
    Ok(())
}

/// The vector space, for people.
pub fn space(store: &Store) -> String {
    match store.vector_space() {
        Some(space) => format!("{}, {}", output::counted(space.dims as u64, "dimension"), metric_name(space.metric)),
        None => "no vectors".to_owned(),
    }
}
