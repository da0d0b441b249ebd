//! `stats`: what a store holds and how it does, grouped by what a person asks.
//!
//! Invariants:
//! * The groups and the JSON are those of [`vecmem::Stats`]; `dims` and `metric` stand with the size.
//! * The text has one line for each number, and its values begin in one column.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use serde_json::json;
use vecmem::{CallLatency, HealthStats, LatencyStats, ReadOptions, ShardStats, Stats as StoreStats, Store};

use crate::admin::space;
use crate::arguments::{metric_name, open};
use crate::output::{self, Output, bytes, count, counted, span};
use crate::rules::{scope, stats_for_people};

/// Print what the store holds, how it does, and how it is laid out
#[derive(Args)]
#[command(after_help = "\
Examples:
  vecmem stats memories --json
  vecmem stats memories users/ada/       (items, bytes and graphs of users/ada and below)")]
pub struct Stats {
    /// The store
    dir: PathBuf,
    /// Only what this scope holds: a/b a namespace, a/b/ a prefix, * the store
    scope: Option<String>,
}

impl Stats {
    pub fn run(self, output: Output) -> Result<()> {
        let store = open(&self.dir)?;
        if let Some(text) = &self.scope {
            let stats = store.scope_stats(&scope(text)?, &ReadOptions::default())?;
            return output.print(&stats, || stats_for_people(&stats));
        }
        let stats = store.stats()?;
        output.print(&to_json(&store, &stats)?, || for_people(&stats, &space(&store)))
    }
}

fn to_json(store: &Store, stats: &StoreStats) -> Result<serde_json::Value> {
    let mut json = serde_json::to_value(stats)?;
    if let Some(space) = store.vector_space() {
        json["size"]["dims"] = json!(space.dims);
        json["size"]["metric"] = json!(metric_name(space.metric));
    }
    Ok(json)
}

/// A line: what it tells, and the value.
type Line = (&'static str, String);

fn for_people(stats: &StoreStats, space: &str) -> String {
    let groups = [
        ("size", size(stats, space)),
        ("memory", memory(stats)),
        ("graphs", graphs(stats)),
        ("fields", fields(stats)),
        ("log", log(stats)),
        ("health", health(&stats.health)),
        ("latency since the open", latency(&stats.latency)),
        ("internals", internals(stats)),
    ];
    let width = groups.iter().flat_map(|(_, lines)| lines).map(|(name, _)| name.len()).max().unwrap_or(0);
    let line = |(name, value): &Line| format!("  {name:<width$}  {value}").trim_end().to_owned();
    let group = |(title, lines): &(&str, Vec<Line>)| {
        format!("{title}\n{}", lines.iter().map(line).collect::<Vec<_>>().join("\n"))
    };
    groups.iter().map(group).collect::<Vec<_>>().join("\n\n")
}

fn size(StoreStats { size, .. }: &StoreStats, space: &str) -> Vec<Line> {
    vec![
        ("items", count(size.items)),
        ("vectors", space.to_owned()),
        ("on disk", bytes(size.disk_bytes)),
        ("segments", bytes(size.segment_bytes)),
        ("large values", format!("{}, {} of it dead", bytes(size.blob_bytes), bytes(size.dead_blob_bytes))),
        ("codes, field indexes and graphs", bytes(size.derived_bytes)),
        ("dead rows", count(size.dead_rows)),
        ("free on the disk", bytes(size.free_bytes)),
        ("reserve for deletes", bytes(size.reserve_bytes)),
    ]
}

fn memory(StoreStats { memory, .. }: &StoreStats) -> Vec<Line> {
    let readers = match memory.oldest_cursor_seconds {
        Some(age) => format!("{}, the oldest for {}", count(memory.open_cursors), span(age * 1e6)),
        None => count(memory.open_cursors),
    };
    vec![
        ("not yet in segments", format!("{}, {}", counted(memory.memtable_rows, "row"), bytes(memory.memtable_bytes))),
        ("frozen memtables", count(memory.frozen_memtables)),
        ("snapshots, cursors", readers),
    ]
}

/// The scopes nearest to a graph are enough for people; programs get up to 64.
const SCOPES_SHOWN: usize = 5;

fn graphs(StoreStats { graphs, .. }: &StoreStats) -> Vec<Line> {
    let mut lines = vec![
        ("graphs", count(graphs.count)),
        ("vectors in them", count(graphs.nodes)),
        ("their files", bytes(graphs.bytes)),
        ("built since the open", count(graphs.builds)),
        ("of filters, in memory", format!("{}, {}", count(graphs.of_filters), bytes(graphs.filter_bytes))),
        ("kept queries, in memory", bytes(graphs.kept_query_bytes)),
    ];
    for (number, graph) in graphs.measured.iter().filter(|graph| graph.recall.is_some()).take(SCOPES_SHOWN).enumerate()
    {
        let name = if number == 0 { "measured recall" } else { "" };
        let labels = graph.labels.join("/").escape_debug().to_string();
        let [recall, asked] = [graph.recall, graph.asked].map(|mean| format!("{:.3}", mean.unwrap_or_default()));
        let checked = counted(graph.checked, "query");
        let scope = format!("{labels}{}", if graph.is_prefix { "/*" } else { "" });
        lines.push((
            name,
            format!("{scope}: {recall} of {asked} asked, {checked} repeated, {}", counted(graph.fits, "fit")),
        ));
    }
    for (number, scope) in graphs.gaining.iter().take(SCOPES_SHOWN).enumerate() {
        let labels = scope.labels.join("/").escape_debug().to_string();
        let (rows, earned) = (counted(scope.rows, "row"), (scope.earned * 100.0) as u64);
        let name = if number == 0 { "would gain from one" } else { "" };
        lines.push((name, format!("{labels}{}: {rows}, {earned} % earned", if scope.is_prefix { "/*" } else { "" })));
    }
    lines
}

/// The paths that take the most bytes are enough for people; programs get up to 64.
const PATHS_SHOWN: usize = 5;

fn fields(StoreStats { fields, .. }: &StoreStats) -> Vec<Line> {
    let mut lines = vec![("field indexes", format!("{}, {}", counted(fields.path_count, "path"), bytes(fields.bytes)))];
    lines.extend(fields.paths.iter().take(PATHS_SHOWN).map(|path| {
        let distinct = counted(path.distinct, "distinct value");
        ("", format!("{}: {}, {}", path.path.escape_debug(), distinct, bytes(path.bytes)))
    }));
    if !fields.rules.is_empty() || fields.other_rules > 0 {
        let (excluded, forced) = (fields.rules.excluded().len() as u64, fields.rules.forced().len() as u64);
        lines.push(("field rules", format!("{} excluded, {} forced", counted(excluded, "path"), count(forced))));
    }
    if fields.other_rules > 0 {
        lines.push(("indexes by other rules", count(fields.other_rules)));
    }
    lines
}

fn log(StoreStats { log, .. }: &StoreStats) -> Vec<Line> {
    vec![
        ("log and reserve", bytes(log.bytes)),
        ("visible LSN", count(log.visible_lsn)),
        ("checkpoint LSN", count(log.checkpoint_lsn)),
        ("files prepared", count(log.files_prepared)),
    ]
}

fn health(health: &HealthStats) -> Vec<Line> {
    let mut lines = Vec::new();
    list(&mut lines, "damage", &health.damage);
    list(&mut lines, "background error", health.background_error.as_slice());
    list(&mut lines, "waiting", &health.waiting);
    lines.push(("clock", output::plain(&health.clock)));
    lines.push(("touches dropped", count(health.touches_dropped)));
    lines
}

/// One line for each text, the first with the name.
fn list(lines: &mut Vec<Line>, name: &'static str, texts: &[String]) {
    if texts.is_empty() {
        lines.push((name, "none".to_owned()));
    }
    let names = std::iter::once(name).chain(std::iter::repeat(""));
    lines.extend(names.zip(texts).map(|(name, text)| (name, output::plain(text))));
}

fn latency(latency: &LatencyStats) -> Vec<Line> {
    let LatencyStats { put, delete, batch, get, get_many, search_flat, search_graph, list } = latency;
    let kinds = [
        ("put", put),
        ("delete", delete),
        ("batch", batch),
        ("get", get),
        ("get of many", get_many),
        ("flat search", search_flat),
        ("graph search", search_graph),
        ("list", list),
    ];
    let called: Vec<Line> =
        kinds.into_iter().filter(|(_, kind)| kind.count > 0).map(|(name, kind)| (name, calls(kind))).collect();
    if called.is_empty() { vec![("calls", "none".to_owned())] } else { called }
}

fn calls(kind: &CallLatency) -> String {
    let CallLatency { count, timed, p50_us, p99_us, max_us } = *kind;
    let (p50, p99, max) = (span(p50_us), span(p99_us), span(max_us));
    let of = if timed < count { format!(" ({} timed)", output::count(timed)) } else { String::new() };
    format!("p50 {p50:>7}  p99 {p99:>7}  max {max:>7}  of {}{of}", counted(count, "call"))
}

fn internals(StoreStats { internals, .. }: &StoreStats) -> Vec<Line> {
    let most = |number: fn(&ShardStats) -> u64| internals.shard_sizes.iter().map(number).max().unwrap_or_default();
    vec![
        ("shards", count(internals.shards)),
        ("rows of the largest shard", count(most(|shard| shard.rows))),
        ("bytes of the largest shard", bytes(most(|shard| shard.bytes))),
        ("segments", count(internals.segments)),
        ("rows in segments", count(internals.segment_rows)),
        ("vectors in segments", count(internals.segment_vectors)),
        ("blob files", count(internals.blob_files)),
        ("manifest generation", count(internals.manifest_generation)),
        ("flushes", count(internals.flushes)),
        ("merges", count(internals.merges)),
        ("expired items swept", count(internals.swept)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stand_in_one_column_with_units() {
        let mut stats = StoreStats::default();
        stats.size.disk_bytes = 3 << 20;
        stats.memory.memtable_rows = 1;
        stats.health.damage = vec!["one".into(), "two".into()];
        stats.latency.get = CallLatency { count: 9, timed: 1, p50_us: 1.25, p99_us: 12_000.0, max_us: 2.5e6 };
        let text = for_people(&stats, "3 dimensions, l2");
        let lines: Vec<&str> = text.lines().filter(|line| line.starts_with("  ")).collect();
        let column = lines[0].find('0').unwrap();
        for line in &lines {
            assert!(line.as_bytes()[column - 1] == b' ' && line.as_bytes()[column] != b' ', "{line}");
        }
        for wanted in ["3.00 MiB", "1 row, 0 B", "p50  1.2 us  p99   12 ms  max   2.5 s  of 9 calls (1 timed)", "none"]
        {
            assert!(text.contains(wanted), "{wanted}: {text}");
        }
        assert!(text.starts_with("size\n") && text.contains("damage") && text.contains("\n\nlatency since the open\n"));
    }
}
