//! One item at a time, and lists of them: `put`, `get`, `delete`, `ls`.

use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use clap::Args;
use serde_json::json;
use vecmem::{Cursor, IterateQuery, LabelPattern, NamespaceQuery, ReadOptions, Scope, Store};

use crate::arguments::{SelectArguments, VectorArguments, namespace, open, prefix};
use crate::output::{self, ItemJson, Output};
use crate::rules::delete_where;

/// Store one item, or replace it
#[derive(Args)]
#[command(after_help = "\
Example:
  vecmem put memories users/ada tea '{\"text\": \"likes green tea\"}' --vector-file tea.npy --row 0")]
pub struct Put {
    /// The store
    dir: PathBuf,
    /// a/b/c, or a JSON array of labels
    namespace: String,
    /// The key, unique in its namespace
    key: String,
    /// The value, a JSON object
    value: String,
    #[command(flatten)]
    vector: VectorArguments,
    /// Expire this long after the write
    #[arg(long, value_name = "SECONDS")]
    ttl_seconds: Option<f64>,
}

impl Put {
    pub fn run(self, output: Output) -> Result<()> {
        let namespace = namespace(&self.namespace)?;
        let mut put = vecmem::Put::new(&namespace, &self.key, self.value.trim());
        if let Some(vector) = self.vector.read()? {
            put = put.vector(vector);
        }
        if let Some(seconds) = self.ttl_seconds {
            let ttl = Duration::try_from_secs_f64(seconds).ok().filter(|ttl| *ttl >= Duration::from_micros(1));
            put = put.ttl(ttl.ok_or_else(|| anyhow!("--ttl-seconds {seconds}: give a number above 0"))?);
        }
        let store = open(&self.dir)?;
        let version = store.put(put)?;
        store.close()?;
        output.print(&json!({"version": version.to_u64()}), || {
            format!("stored {} {}", output::namespace(&namespace), output::plain(&self.key))
        })
    }
}

/// Print one item
#[derive(Args)]
#[command(after_help = "Example:\n  vecmem get memories users/ada tea --json")]
pub struct Get {
    /// The store
    dir: PathBuf,
    /// a/b/c, or a JSON array of labels
    namespace: String,
    /// The key
    key: String,
    /// Print the vectors too
    #[arg(long)]
    vectors: bool,
    #[command(flatten)]
    select: SelectArguments,
}

impl Get {
    pub fn run(self, output: Output) -> Result<()> {
        let namespace = namespace(&self.namespace)?;
        let store = open(&self.dir)?;
        let options =
            ReadOptions { include_vectors: self.vectors, select: self.select.select()?, ..ReadOptions::default() };
        let item = store.get_with(&namespace, &self.key, &options)?.ok_or_else(|| {
            let (namespace, key) = (output::namespace(&namespace), output::plain(&self.key));
            anyhow!("there is no item {key} in {namespace}; `vecmem ls DIR {namespace}` shows the keys")
        })?;
        output.print(&ItemJson::new(&item, None)?, || {
            let mut lines = vec![
                format!("item     {}", output::name(&item)),
                format!("created  {}", output::time(item.created_at)),
                format!("updated  {}", output::time(item.updated_at)),
            ];
            lines.extend(item.expires_at.map(|expires_at| format!("expires  {}", output::time(expires_at))));
            for vector in &item.vectors {
                let path = if vector.path.is_empty() { "" } else { &format!(" of {}", output::plain(&vector.path)) };
                lines.push(format!("vector{path}   {:?}", vector.values));
            }
            lines.push(item.value.to_string());
            lines.join("\n")
        })
    }
}

/// Remove one item, or all that pass a filter
#[derive(Args)]
#[command(after_help = "\
Examples:
  vecmem delete memories users/ada tea
  vecmem delete memories users/ada --where '{\"kind\": \"draft\"}' --dry-run
  vecmem delete memories users/ada/ --where '{\"kind\": \"draft\"}'        (of users/ada and below)")]
pub struct Delete {
    /// The store
    dir: PathBuf,
    /// a/b/c, or a JSON array of labels; with --where also a/b/ a prefix, * the store
    namespace: String,
    /// The key
    #[arg(required_unless_present = "filter", conflicts_with = "filter")]
    key: Option<String>,
    /// Remove the items for which this filter holds, all in one step or none
    #[arg(long = "where", id = "filter", value_name = "JSON")]
    filter: Option<String>,
    /// Say how many items would go, and do nothing
    #[arg(long, requires = "filter", conflicts_with = "key")]
    dry_run: bool,
    /// In several steps, each atomic, instead of one
    #[arg(long, requires = "filter", conflicts_with = "key")]
    batches: bool,
}

impl Delete {
    pub fn run(self, output: Output) -> Result<()> {
        if let Some(filter) = &self.filter {
            let store = open(&self.dir)?;
            return delete_where(&store, &self.namespace, filter, self.dry_run, self.batches, output);
        }
        let (namespace, key) = (namespace(&self.namespace)?, self.key.unwrap_or_default());
        let store = open(&self.dir)?;
        let deleted = store.delete(&namespace, &key)?;
        store.close()?;
        output.print(&json!({"deleted": deleted}), || {
            let what = if deleted { "deleted" } else { "there was no item" };
            format!("{what} {} {}", output::namespace(&namespace), output::plain(&key))
        })
    }
}

/// List items in the order of namespace and key, or the namespaces
#[derive(Args)]
#[command(after_help = "\
Examples:
  vecmem ls memories users/ada               the items of users/ada and below
  vecmem ls memories --namespaces            every namespace
  vecmem ls memories users --namespaces --max-depth 2")]
pub struct Ls {
    /// The store
    dir: PathBuf,
    /// Only this namespace and what is below it
    prefix: Option<String>,
    /// List namespaces instead of items
    #[arg(long)]
    namespaces: bool,
    /// Cut namespaces to this many labels
    #[arg(long, value_name = "N", requires = "namespaces")]
    max_depth: Option<usize>,
    /// Only namespaces after this one, the last one of the page before
    #[arg(long, value_name = "NAMESPACE", requires = "namespaces")]
    after: Option<vecmem::Namespace>,
    /// Only keys that begin with this
    #[arg(long, value_name = "TEXT", default_value = "", conflicts_with = "namespaces")]
    key_prefix: String,
    /// At most this many
    #[arg(long, value_name = "N", default_value_t = usize::MAX, hide_default_value = true)]
    limit: usize,
    #[command(flatten)]
    select: SelectArguments,
}

impl Ls {
    pub fn run(self, output: Output) -> Result<()> {
        ensure!(self.max_depth != Some(0), "--max-depth counts labels, from 1");
        let scope = prefix(self.prefix.as_deref())?;
        let store = open(&self.dir)?;
        let out = BufWriter::new(io::stdout().lock());
        if self.namespaces {
            self.list_namespaces(&store, &scope, output, out)
        } else {
            self.list_items(&store, scope, output, out)
        }
    }

    fn list_namespaces(&self, store: &Store, scope: &Scope, output: Output, mut out: impl Write) -> Result<()> {
        let labels = match scope {
            Scope::Prefix(namespace) => namespace.labels(),
            _ => Vec::new(),
        };
        let prefix = labels.into_iter().map(LabelPattern::Label).collect();
        let query = NamespaceQuery {
            prefix,
            max_depth: self.max_depth,
            limit: self.limit,
            after: self.after.as_ref().map(vecmem::Namespace::labels).unwrap_or_default(),
            ..NamespaceQuery::default()
        };
        for labels in store.list_namespaces(&query)? {
            if output.json {
                writeln!(out, "{}", json!({"namespace": labels}))?;
            } else {
                writeln!(out, "{}", output::namespace(&vecmem::Namespace::new(&labels)?))?;
            }
        }
        out.flush()?;
        Ok(())
    }

    fn list_items(&self, store: &Store, scope: Scope, output: Output, mut out: impl Write) -> Result<()> {
        const PAGE: usize = 1_000;
        let mut left = self.limit;
        let mut after: Option<Cursor> = None;
        let options = ReadOptions { select: self.select.select()?, ..ReadOptions::default() };
        while left > 0 {
            let query = IterateQuery::new(scope.clone()).key_prefix(&self.key_prefix).limit(left.min(PAGE));
            let query = query.options(options.clone());
            let page = store.iterate(&query, after.as_ref())?;
            left -= page.items.len().min(left);
            for item in &page.items {
                if output.json {
                    writeln!(out, "{}", serde_json::to_string(&ItemJson::new(item, None)?)?)?;
                } else {
                    writeln!(out, "{}  {}", output::name(item), output::short(&item.value))?;
                }
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        out.flush()?;
        Ok(())
    }
}
