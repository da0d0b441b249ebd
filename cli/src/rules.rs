//! Many items by a rule: `count`, `distinct`, `keep-newest`, `rename`, and the deletes of `delete --where`.
//!
//! Invariants:
//! * A scope is written as for graphs: a/b a namespace, a/b/ a prefix, * the store.
//! * With `--batches` a call goes on until nothing is left; each of its steps is atomic by itself.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use serde_json::{Value, json};
use vecmem::{DistinctQuery, Filter, PruneOptions, PruneReceipt, ReadOptions, RenameOptions, Scope, ScopeStats, Store};

use crate::arguments::{graph_scope, namespace, open};
use crate::output::{self, Output, bytes, counted};
use crate::quotas::use_for_people;

/// The scope and its text.
pub fn scope(text: &str) -> Result<Scope> {
    graph_scope(text).with_context(|| format!("the scope {text}"))
}

fn filter(text: Option<&str>, name: &'static str) -> Result<Option<Filter>> {
    text.map(|text| Filter::from_json_str(text).context(name)).transpose()
}

/// Count items, all of a scope or those that pass a filter
#[derive(Args)]
#[command(after_help = "\
Examples:
  vecmem count memories
  vecmem count memories users/ada/ --filter '{\"kind\": \"fact\"}'")]
pub struct Count {
    /// The store
    dir: PathBuf,
    /// a/b a namespace, a/b/ a prefix, * the store
    #[arg(default_value = "*")]
    scope: String,
    /// Only items for which this filter holds
    #[arg(long, value_name = "JSON")]
    filter: Option<String>,
    /// Count expired items that no sweep has removed yet, too
    #[arg(long)]
    include_expired: bool,
}

impl Count {
    pub fn run(self, output: Output) -> Result<()> {
        let (scope, filter) = (scope(&self.scope)?, filter(self.filter.as_deref(), "--filter")?);
        let options = ReadOptions { include_expired: self.include_expired, ..ReadOptions::default() };
        let store = open(&self.dir)?;
        let items = match &filter {
            Some(filter) => store.count_where(&scope, filter, &options)?,
            None => store.count(&scope, &options)?,
        };
        output.print(&json!({"items": items}), || output::count(items))
    }
}

/// Count the different values at a path; an array counts as its elements
#[derive(Args)]
#[command(after_help = "\
Examples:
  vecmem distinct memories kind
  vecmem distinct memories tags users/ada/ --limit 20")]
pub struct Distinct {
    /// The store
    dir: PathBuf,
    /// A field, or fields with dots between
    path: String,
    /// a/b a namespace, a/b/ a prefix, * the store
    #[arg(default_value = "*")]
    scope: String,
    /// Only of items for which this filter holds
    #[arg(long, value_name = "JSON")]
    filter: Option<String>,
    /// At most this many values, the most frequent ones
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    limit: usize,
}

impl Distinct {
    pub fn run(self, output: Output) -> Result<()> {
        let query = DistinctQuery::new(scope(&self.scope)?, &self.path).limit(self.limit);
        let filter = filter(self.filter.as_deref(), "--filter")?;
        let query = filter.into_iter().fold(query, DistinctQuery::filter);
        let found = open(&self.dir)?.distinct(&query)?;
        let values = found.values.iter().map(|value| {
            let json: Value = serde_json::from_str(&value.value).unwrap_or_else(|_| value.value.as_str().into());
            json!({"value": json, "count": value.count})
        });
        let json = json!({"values": values.collect::<Vec<_>>(), "found": found.found, "more": found.more});
        output.print(&json, || {
            let line = |(value, count): (&str, u64)| format!("{:>12}  {}", output::count(count), output::short(value));
            let mut lines: Vec<String> = found.values.iter().map(|value| line((&value.value, value.count))).collect();
            if found.more {
                let left = (found.found - found.values.len()) as u64;
                lines.push(format!("and {} more", counted(left, "value")));
            }
            lines.join("\n")
        })
    }
}

/// Delete all but the newest items of each namespace
#[derive(Args)]
#[command(after_help = "\
Examples:
  vecmem keep-newest memories threads/7 100      (the last 100 of one namespace)
  vecmem keep-newest memories threads/ 100       (the last 100 of each namespace below threads)")]
pub struct KeepNewest {
    /// The store
    dir: PathBuf,
    /// a/b a namespace, a/b/ a prefix, * the store
    scope: String,
    /// How many items each namespace keeps
    n: usize,
    /// Only items for which this filter holds count and are deleted
    #[arg(long, value_name = "JSON")]
    filter: Option<String>,
    /// In several steps, each atomic, instead of one
    #[arg(long)]
    batches: bool,
}

impl KeepNewest {
    pub fn run(self, output: Output) -> Result<()> {
        let (scope, filter) = (scope(&self.scope)?, filter(self.filter.as_deref(), "--filter")?);
        let store = open(&self.dir)?;
        let options = PruneOptions::new().batches(self.batches);
        let options = filter.into_iter().fold(options, PruneOptions::filter);
        let receipt = to_the_end(&options, |options| Ok(store.keep_newest_with(&scope, self.n, options)?))?;
        finish(&store, &receipt, output)
    }
}

/// Move every item of a namespace or a prefix to another one
#[derive(Args)]
#[command(after_help = "\
Examples:
  vecmem rename memories drafts/may posts/may    (one namespace)
  vecmem rename memories drafts/ posts           (drafts and everything below it)")]
pub struct Rename {
    /// The store
    dir: PathBuf,
    /// a/b a namespace, a/b/ a prefix
    from: String,
    /// The new name
    to: String,
    /// Move although there are items under the new name; items of the same key are replaced
    #[arg(long)]
    merge: bool,
    /// In several steps, each atomic, instead of one
    #[arg(long)]
    batches: bool,
}

impl Rename {
    pub fn run(self, output: Output) -> Result<()> {
        let to = namespace(self.to.strip_suffix('/').unwrap_or(&self.to)).context("the new name")?;
        let (from, store) = (scope(&self.from)?, open(&self.dir)?);
        let mut options = RenameOptions::new().merge(self.merge).batches(self.batches);
        let receipt = loop {
            let receipt = store.rename_with(&from, &to, &options)?;
            match &receipt.next {
                Some(next) => options = options.after(next),
                None => break receipt,
            }
        };
        store.close()?;
        output.print(&receipt, || {
            let (from, to) = (output::plain(&receipt.from), output::plain(&receipt.to));
            format!("moved {} from {from} to {to}", counted(receipt.total, "item"))
        })
    }
}

/// `delete --where`: deletes what passes, or says how many items would go.
pub fn delete_where(store: &Store, text: &str, json: &str, dry_run: bool, batches: bool, output: Output) -> Result<()> {
    let (scope, filter) = (scope(text)?, Filter::from_json_str(json).context("--where")?);
    if dry_run {
        let items = store.count_where(&scope, &filter, &ReadOptions::default())?;
        return output.print(&json!({"deleted": 0, "items": items}), || {
            format!("{} would be deleted; nothing was done", counted(items, "item"))
        });
    }
    let options = PruneOptions::new().batches(batches);
    let receipt = to_the_end(&options, |options| Ok(store.delete_where_with(&scope, &filter, options)?))?;
    finish(store, &receipt, output)
}

/// Calls until nothing is left. A call without batches leaves nothing.
fn to_the_end(options: &PruneOptions, call: impl Fn(&PruneOptions) -> Result<PruneReceipt>) -> Result<PruneReceipt> {
    let mut options = options.clone();
    loop {
        let receipt = call(&options)?;
        match &receipt.next {
            Some(next) => options = options.after(next),
            None => return Ok(receipt),
        }
    }
}

fn finish(store: &Store, receipt: &PruneReceipt, output: Output) -> Result<()> {
    store.close()?;
    output.print(receipt, || {
        let (items, scope) = (counted(receipt.total, "item"), output::plain(&receipt.scope));
        format!("deleted {items} of {scope}\n{}", receipt.remains)
    })
}

/// The figures of a scope, for people.
pub fn stats_for_people(stats: &ScopeStats) -> String {
    let lines = [
        ("items", output::count(stats.items)),
        ("expired and not swept", output::count(stats.expired)),
        ("namespaces", output::count(stats.namespaces)),
        ("vectors", output::count(stats.vectors)),
        ("values", bytes(stats.value_bytes)),
        ("keys", bytes(stats.key_bytes)),
        ("vectors take", bytes(stats.vector_bytes)),
        ("graphs", output::count(stats.graphs)),
        ("items in graphs", output::count(stats.items_in_graphs)),
    ];
    let lines = lines.map(|(name, value)| format!("{name:<22} {value}"));
    let quota = stats.quota.as_ref().map(|held| format!("\n{:<22} {}", "quota", use_for_people(held)));
    lines.join("\n") + &quota.unwrap_or_default()
}
