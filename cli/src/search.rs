//! `search`: by similarity, by filter, or both.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Args;
use serde::Serialize;
use serde_json::{Value, json};
use vecmem::{Filter, GroupBy, HitGroup, Order, PartExplain, Query, ReadOptions, Scope, SearchResult};

use crate::arguments::{SelectArguments, VectorArguments, namespace, open};
use crate::output::{self, ItemJson, Output};

/// Find the items most similar to a vector, or the newest ones when none is given
#[derive(Args)]
#[command(after_help = "\
Examples:
  vecmem search memories --namespace users/ada --vector-file q.npy --row 3
  vecmem search memories --prefix users --vector-file q.npy --filter '{\"speaker\": \"USER\"}' --limit 5
  vecmem search memories --namespace users/ada --like tea      (items similar to the item `tea`)
  vecmem search memories --all --filter '{\"day\": {\"$gte\": \"2026-01-01\"}}'
  vecmem search memories --all --vector-file q.npy --group-by talk --per-group 3
  vecmem search memories --all --order-by importance --descending --select text --select from.name
  vecmem search memories --all --filter '{\"at\": {\"$lt\": {\"$date\": \"2026-01-01T00:00:00+01:00\"}}}'
  vecmem search memories --all --filter '{\"$item\": {\"key\": {\"$starts_with\": \"t\"}, \"expires_at\": {\"$exists\": true}}}'

A score is better when it is larger, in every metric. Operators of filters: $eq $ne $gt $gte $lt $lte $in $nin $ieq
$starts_with $contains $all $size $elem_match $exists $and $or $not. Conditions on created_at, updated_at, expires_at
(microseconds since 1970 UTC, or a $date) and key of items stand in $item.")]
#[command(group = clap::ArgGroup::new("scope").required(true).args(["namespace", "prefix", "all"]))]
pub struct Search {
    /// The store
    dir: PathBuf,
    /// Search this namespace and nothing below it
    #[arg(long, value_name = "a/b")]
    namespace: Option<String>,
    /// Search this namespace and everything below it
    #[arg(long, value_name = "a")]
    prefix: Option<String>,
    /// Search the whole store
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    vector: VectorArguments,
    /// Items similar to the item with this key of the namespace, itself left out
    #[arg(long, value_name = "KEY", requires = "namespace", conflicts_with_all = ["vector_file", "vector"])]
    like: Option<String>,
    /// Only items whose value matches, e.g. '{"speaker": "USER"}'
    #[arg(long, value_name = "JSON")]
    filter: Option<String>,
    /// At most this many hits
    #[arg(long, value_name = "N", default_value_t = 10, allow_negative_numbers = true)]
    limit: usize,
    /// Skip this many first
    #[arg(long, value_name = "N", default_value_t = 0, allow_negative_numbers = true)]
    offset: usize,
    /// Leave out what scores lower
    #[arg(long, value_name = "SCORE", allow_negative_numbers = true)]
    min_score: Option<f32>,
    /// Forbid approximate paths
    #[arg(long)]
    exact: bool,
    /// The share of the true best items to find, above 0 and at most 1; by default 0.98
    #[arg(long, value_name = "SHARE")]
    recall: Option<f32>,
    /// How many of the best nodes found a graph search keeps (ef), whatever recall that gives
    #[arg(long, value_name = "N")]
    ef_search: Option<usize>,
    /// Compare only with the vectors of this field, and of what is below it
    #[arg(long, value_name = "PATH")]
    vector_field: Option<String>,
    /// The best hits of each of the best --limit groups; $item.namespace groups by namespace
    #[arg(long, value_name = "PATH", conflicts_with_all = ["order_by", "like"])]
    group_by: Option<String>,
    /// Hits of each group
    #[arg(long, value_name = "N", default_value_t = 1, requires = "group_by")]
    per_group: usize,
    /// List in the order of this field; or of $item.created_at, $item.updated_at, $item.key
    #[arg(long, value_name = "PATH", conflicts_with_all = ["vector_file", "vector", "like"])]
    order_by: Option<String>,
    /// The largest values first
    #[arg(long, requires = "order_by")]
    descending: bool,
    /// Go on after this cursor, which the page before ended with
    #[arg(long, value_name = "CURSOR", requires = "order_by")]
    after: Option<String>,
    #[command(flatten)]
    select: SelectArguments,
    /// Leave out what is damaged, and say so, instead of failing
    #[arg(long)]
    partial: bool,
    /// Print what each part of the store did
    #[arg(long)]
    explain: bool,
}

impl Search {
    pub fn run(self, output: Output) -> Result<()> {
        let query = self.query()?;
        let store = open(&self.dir)?;
        let started = Instant::now();
        let answer = match (&self.like, &self.namespace) {
            (Some(key), Some(text)) => store.search_by_item(&namespace(text)?, key, query)?,
            _ => store.search(&query)?,
        };
        let took = started.elapsed();
        if answer.incomplete {
            eprintln!("warning: a damaged part was left out, see `vecmem check {}`", self.dir.display());
        }
        let hits = answer.iter().map(|hit| ItemJson::new(&hit.item, hit.score)).collect::<Result<Vec<_>>>()?;
        let mut json = json!({"incomplete": answer.incomplete, "seconds": took.as_secs_f64()});
        let groups = answer.groups.iter().map(GroupJson::new).collect::<Result<Vec<_>>>()?;
        if let Some(next) = &answer.next {
            json["next"] = next.to_string().into();
        }
        if self.explain {
            json["explain"] = answer.explain.iter().map(explain_json).collect();
        }
        if output.json {
            // Written by hand around the hits: their values must stay byte for byte, which a tree of values would not
            // keep.
            let rest = json.to_string();
            let mut hits = serde_json::to_string(&hits)?;
            if !groups.is_empty() {
                let _ = write!(hits, ",\"groups\":{}", serde_json::to_string(&groups)?);
            }
            return output.print(
                &serde_json::value::RawValue::from_string(format!("{{\"hits\":{hits},{}", &rest[1..]))?,
                String::new,
            );
        }
        output.say(for_people(&answer, took, self.explain))
    }

    fn query(&self) -> Result<Query> {
        let scope = match (&self.namespace, &self.prefix) {
            (Some(text), _) => Scope::Namespace(namespace(text).context("--namespace")?),
            (None, Some(text)) => Scope::Prefix(namespace(text).context("--prefix (use --all for the whole store)")?),
            (None, None) => Scope::Store,
        };
        let options = ReadOptions { partial: self.partial, select: self.select.select()?, ..ReadOptions::default() };
        let mut query = Query::new(scope).limit(self.limit).offset(self.offset).options(options);
        query = query.exact(self.exact).explain(self.explain);
        if let Some(vector) = self.vector.read()? {
            query = query.vector(vector);
        }
        if let Some(text) = &self.filter {
            query = query.filter(Filter::from_json_str(text).context("--filter")?);
        }
        if let Some(recall) = self.recall {
            query = query.recall(recall);
        }
        if let Some(ef) = self.ef_search {
            query = query.ef_search(ef);
        }
        if let Some(score) = self.min_score {
            query = query.min_score(score);
        }
        self.shaped(query)
    }

    /// The query with its field of vectors, its groups and its order.
    fn shaped(&self, mut query: Query) -> Result<Query> {
        if let Some(field) = &self.vector_field {
            query = query.vector_field(field);
        }
        if let Some(name) = &self.group_by {
            query = query.group_by(GroupBy::parse(name).context("--group-by")?, self.per_group);
        }
        if let Some(name) = &self.order_by {
            let order = Order::parse(name).context("--order-by")?;
            query = query.order_by(if self.descending { order.descending() } else { order });
        }
        if let Some(text) = &self.after {
            query = query.after(text.parse().context("--after")?);
        }
        Ok(query)
    }
}

/// A group, with its value byte for byte.
#[derive(Serialize)]
struct GroupJson<'a> {
    value: &'a serde_json::value::RawValue,
    hits: usize,
}

impl<'a> GroupJson<'a> {
    fn new(group: &'a HitGroup) -> Result<Self> {
        Ok(Self { value: serde_json::from_str(&group.value)?, hits: group.hits })
    }
}

fn for_people(answer: &SearchResult, took: Duration, explain: bool) -> String {
    let mut text = String::new();
    let mut groups = answer
        .groups
        .iter()
        .flat_map(|group| std::iter::once(Some(group)).chain(std::iter::repeat_n(None, group.hits.saturating_sub(1))));
    for hit in answer.iter() {
        if let Some(group) = groups.next().flatten() {
            let _ = writeln!(text, "{}", output::short(&group.value));
        }
        let score = hit.score.map_or_else(|| "     -".to_owned(), |score| format!("{score:6.3}"));
        let _ = writeln!(text, "{score}  {}  {}", output::name(&hit.item), output::short(&hit.item.value));
    }
    if explain {
        for part in &answer.explain {
            let _ = writeln!(text, "{}", explain_text(part));
        }
    }
    if let Some(next) = &answer.next {
        let _ = writeln!(text, "more with --after {next}");
    }
    let plural = if answer.len() == 1 { "" } else { "s" };
    let _ = write!(text, "{} hit{plural} in {} us", answer.len(), took.as_micros());
    text
}

fn explain_text(explained: &PartExplain) -> String {
    let PartExplain {
        part,
        path,
        rows,
        scanned,
        graph_searches,
        visited,
        candidates,
        reranked,
        refused,
        pass_rate,
        ..
    } = explained;
    let mut text = format!("{part}: {path}; rows {rows}");
    if let Some(may_pass) = explained.may_pass {
        let _ = write!(text, ", {may_pass} may pass by the field index");
    }
    let _ = write!(text, ", scanned {scanned}, candidates {candidates}, re-ranked {reranked}");
    if *graph_searches > 0 {
        let _ = write!(
            text,
            ", visited {visited} in {graph_searches} graph search{}",
            if *graph_searches == 1 { "" } else { "es" }
        );
    }
    if *refused > 0 {
        let _ = write!(text, ", refused by the filter {refused}");
    }
    if let Some(rate) = pass_rate {
        let _ = write!(text, " (expected to pass: {:.1} %)", 100.0 * rate);
    }
    if let Some(recall) = explained.measured_recall {
        let _ = write!(text, "; measured recall of the graph {recall:.3}");
    }
    let _ = write!(text, "; took {:.0} us, expected {:.0} us", explained.took_us, explained.expected_us);
    text
}

fn explain_json(part: &PartExplain) -> Value {
    json!({
        "part": part.part, "path": part.path, "rows": part.rows, "scanned": part.scanned, "graph_searches": part.graph_searches,
        "visited": part.visited, "candidates": part.candidates,
        "reranked": part.reranked, "refused": part.refused, "pass_rate": part.pass_rate,
        "may_pass": part.may_pass, "measured_recall": part.measured_recall, "expected_us": part.expected_us, "took_us": part.took_us,
    })
}
