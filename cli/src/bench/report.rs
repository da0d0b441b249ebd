//! The figures of a run, and how they look: one object for programs, tables for people.
//!
//! Invariants:
//! * The tables hold nothing that the object does not.
//! * What was not measured is absent, never zero.

use std::fmt::Write as _;

use serde::Serialize;
use vecmem::GraphBuild;

use super::baseline;
use super::curve::speed_at;
use super::limits::Limits;
use super::mixed::MixedReport;
use super::parts::{Parts, PartsRow};
use super::plot::PlotPoint;
use super::process::Memory;
use super::store::{Accuracy, Quality};
use super::timing::Speed;
use crate::output;

/// Recalls at which two engines are compared.
const COMPARED: [f64; 2] = [0.95, 0.99];

/// Everything that was measured.
#[derive(Debug, Serialize)]
pub struct Figures {
    pub data: String,
    pub queries: usize,
    pub k: usize,
    pub metric: &'static str,
    pub namespaces: usize,
    pub cores: usize,
    /// The widest instruction set of the processor that the engine has kernels for.
    pub instruction_set: &'static str,
    /// Processes that wanted to run before the start; more than none, and the figures are too slow.
    pub load_before: Option<f64>,
    pub release: bool,
    pub import_seconds: f64,
    pub compact_seconds: f64,
    pub build: GraphBuild,
    pub segments: u64,
    /// Segments in which a search searches a graph.
    pub graph_searches: usize,
    pub disk_bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<Memory>,
    pub rows: Vec<Row>,
    /// What the memory of the machine allows a search of the usual recall.
    pub limits: Limits,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub asked: Vec<RecallReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub processes: Option<Processes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mixed: Option<MixedReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parts: Option<Parts>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub baseline: Option<baseline::Figures>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ratios: Option<Ratios>,
}

/// One ef.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Row {
    pub ef: Accuracy,
    #[serde(flatten)]
    pub quality: Quality,
    #[serde(flatten)]
    pub speed: Speed,
    /// Queries per second of all threads together.
    pub qps_all_threads: f64,
}

/// A recall that was asked for, and the measured one.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct RecallReport {
    pub asked: f64,
    #[serde(flatten)]
    pub row: Row,
    /// Distances that the best fixed ef of this recall takes, interpolated.
    pub distances_needed: Option<f64>,
    /// Distances taken, divided by these.
    pub ratio: Option<f64>,
}

/// Threads of one process against as many processes.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Processes {
    pub ef: Accuracy,
    pub count: usize,
    pub qps_threads: f64,
    pub qps_processes: f64,
    pub ratio: f64,
}

/// Ours against the baseline.
#[derive(Clone, Debug, Serialize)]
pub struct Ratios {
    /// Speed at equal recall, one thread: ours divided by the baseline's.
    pub qps: Vec<SpeedRatio>,
    /// Time of the build: the baseline's divided by ours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub build: Option<f64>,
    /// Memory: ours (heap, resident codes and graphs) divided by what the baseline grew; then everything resident.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_hot: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_all: Option<f64>,
}

/// Speeds at one recall; absent where it is not reached.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct SpeedRatio {
    pub recall: f64,
    pub ours: Option<f64>,
    pub baseline: Option<f64>,
    pub ratio: Option<f64>,
}

impl Figures {
    /// The least ef of this recall; exact search if there is no graph, the highest ef if none is enough.
    pub fn cheapest(&self, recall: f64) -> Accuracy {
        let enough = graph_searches(&self.rows).find(|row| row.quality.recall >= recall);
        enough.or_else(|| graph_searches(&self.rows).last()).map_or(Accuracy::Exact, |row| row.ef)
    }

    /// (recall, QPS) of our graph by rising ef, for the curve.
    pub fn curve(&self) -> Vec<(f64, f64)> {
        curve(&self.rows, |row| row.speed.qps)
    }

    /// The same with each ef, for the plot.
    pub fn plot_points(&self) -> Vec<PlotPoint> {
        let point = |row: &Row| PlotPoint {
            recall: row.quality.recall,
            qps: row.speed.qps,
            ef: row.ef.to_string().trim_start_matches("ef ").to_owned(),
        };
        graph_searches(&self.rows).map(point).collect()
    }

    /// Compares with the baseline, once both are measured.
    pub fn compare(&mut self) {
        let Some(baseline) = &self.baseline else { return };
        let grown = baseline.memory_grown as f64;
        let share = |bytes: fn(&Memory) -> u64| self.memory.map(|memory| bytes(&memory) as f64 / grown);
        let qps = COMPARED.map(|recall| {
            let (ours, theirs) = (speed_at(&self.curve(), recall), speed_at(&baseline.curve(), recall));
            let ratio = ours.zip(theirs).map(|(ours, theirs)| ours / theirs);
            SpeedRatio { recall, ours, baseline: theirs, ratio }
        });
        self.ratios = Some(Ratios {
            qps: qps.to_vec(),
            build: (self.build.graphs > 0).then(|| baseline.build_seconds / self.build.seconds),
            memory_hot: share(Memory::hot),
            memory_all: share(Memory::all),
        });
    }

    /// The tables.
    pub fn for_people(&self) -> String {
        let mut text = format!(
            "{}; {}, k = {}, {}\n",
            self.data,
            output::counted(self.queries as u64, "query"),
            self.k,
            self.metric
        );
        let load = self.load_before.map_or_else(String::new, |load| format!(", load {load:.2} before the start"));
        let _ = writeln!(text, "{}, {}{load}", output::counted(self.cores as u64, "core"), self.instruction_set);
        let _ = writeln!(
            text,
            "import    {:>10.2} s, compacted in {:.2} s more",
            self.import_seconds, self.compact_seconds
        );
        let GraphBuild { graphs, nodes, seconds, bytes } = &self.build;
        if *graphs > 0 {
            let (nodes, graphs) = (output::counted(*nodes, "node"), output::counted(*graphs, "graph"));
            let bytes = output::bytes(*bytes);
            let _ = writeln!(text, "graph     {seconds:>10.2} s for {nodes} ({graphs}, {bytes})");
        }
        let _ = writeln!(
            text,
            "disk      {:>12} in {}",
            output::bytes(self.disk_bytes),
            output::counted(self.segments, "segment")
        );
        if let Some(memory) = &self.memory {
            text += &memory_text(memory);
        }
        text += &self.rows_text();
        text += &self.limits.for_people();
        if let Some(processes) = &self.processes {
            let Processes { count, qps_threads, qps_processes, ratio, .. } = processes;
            let _ = writeln!(
                text,
                "\n{count} threads {qps_threads:.0} QPS, {count} processes {qps_processes:.0} QPS: {ratio:.3}x ({})",
                processes.ef
            );
        }
        if let Some(mixed) = &self.mixed {
            text += &mixed_text(mixed);
        }
        if let Some(parts) = &self.parts {
            text += &parts_text(parts);
        }
        if let Some(baseline) = &self.baseline {
            text += &baseline_text(baseline);
        }
        if let Some(ratios) = &self.ratios {
            text += &ratios_text(ratios);
        }
        text.trim_end().to_owned()
    }

    fn rows_text(&self) -> String {
        let mut text = format!(
            "\n{:>12} {:>8} {:>10} {:>10} {:>9} {:>9} {:>10}\n",
            "ef", "recall", "QPS", "QPS all", "p50 us", "p99 us", "distances"
        );
        for row in &self.rows {
            let _ = writeln!(text, "{}", row_text(row));
        }
        for RecallReport { row, distances_needed, ratio, .. } in &self.asked {
            let of = distances_needed.zip(*ratio).map(|(needed, ratio)| format!(", {ratio:.2}x of {needed:.0}"));
            let _ = writeln!(text, "{}{}", row_text(row), of.unwrap_or_default());
        }
        text
    }
}

/// The rows that search graphs; all of them if none does.
pub fn graph_searches(rows: &[Row]) -> impl Iterator<Item = &Row> {
    let is_graph_search = |row: &&Row| row.ef != Accuracy::Exact;
    let any = rows.iter().any(|row| is_graph_search(&row));
    rows.iter().filter(move |row| is_graph_search(row) || !any)
}

/// (recall, something) of the graph searches, by rising ef.
pub fn curve(rows: &[Row], of: impl Fn(&Row) -> f64) -> Vec<(f64, f64)> {
    graph_searches(rows).map(|row| (row.quality.recall, of(row))).collect()
}

impl baseline::Figures {
    /// (recall, QPS) by rising ef.
    pub fn curve(&self) -> Vec<(f64, f64)> {
        self.rows.iter().map(|point| (point.recall, point.speed.qps)).collect()
    }

    /// The same with each ef, for the plot.
    pub fn plot_points(&self) -> Vec<PlotPoint> {
        let point =
            |row: &baseline::Point| PlotPoint { recall: row.recall, qps: row.speed.qps, ef: row.ef.to_string() };
        self.rows.iter().map(point).collect()
    }
}

fn row_text(row: &Row) -> String {
    let Row { ef, quality, speed, qps_all_threads } = row;
    format!(
        "{ef:>12} {:>8.4} {:>10.0} {qps_all_threads:>10.0} {:>9.1} {:>9.1} {:>10.0}",
        quality.recall, speed.qps, speed.p50_us, speed.p99_us, quality.distances
    )
}

fn memory_text(memory: &Memory) -> String {
    format!(
        "memory    {:>12} of heap, codes and graphs; {} of everything resident\n          (heap grown {}, codes {}, graphs {}, truth files {}; a fresh process after every query was asked once)\n",
        output::bytes(memory.hot()),
        output::bytes(memory.all()),
        output::bytes(memory.anonymous_grown),
        output::bytes(memory.codes),
        output::bytes(memory.graphs),
        output::bytes(memory.truth),
    )
}

fn mixed_text(mixed: &MixedReport) -> String {
    let MixedReport { idle, beside_writes, ratio, puts_per_second, longest_put_us, .. } = mixed;
    format!(
        "\nbeside a writer ({puts_per_second:.0} puts/s, the longest {:.1} ms): p50 {:.1} us, p99 {:.1} us, longest stall {:.1} ms\n\
         idle: p50 {:.1} us, p99 {:.1} us; p99 beside writes is {ratio:.1}x the idle p50\n",
        longest_put_us / 1e3,
        beside_writes.p50_us,
        beside_writes.p99_us,
        beside_writes.max_us / 1e3,
        idle.p50_us,
        idle.p99_us
    )
}

fn parts_text(parts: &Parts) -> String {
    let Parts { segments, graphs, build_seconds, rows } = parts;
    let (segments, graphs) = (output::counted(*segments, "segment"), output::counted(*graphs, "graph"));
    let mut text = format!("\n{segments} with {graphs}, built in {build_seconds:.2} s, against one\n");
    for PartsRow { ef, recall, distances, qps, qps_compacted, ratio, ratio_at_equal_recall } in rows {
        let equal = ratio_at_equal_recall.map_or("-".to_owned(), |ratio| format!("{ratio:.2}x"));
        let _ = writeln!(
            text,
            "{:>12} {recall:>8.4} {qps:>10.0} QPS, compacted {qps_compacted:.0}: {ratio:.2}x, at equal recall {equal}; {distances:.0} distances",
            ef.to_string()
        );
    }
    text
}

fn baseline_text(baseline: &baseline::Figures) -> String {
    let mut text = format!(
        "\nhnsw_rs 0.3.5 (M = 16, ef_construction = 200, simsimd): built in {:.1} s, memory grown {}\n{:>12} {:>8} {:>10} {:>10} {:>9} {:>9}\n",
        baseline.build_seconds,
        output::bytes(baseline.memory_grown),
        "ef",
        "recall",
        "QPS",
        "",
        "p50 us",
        "p99 us"
    );
    for baseline::Point { ef, recall, speed } in &baseline.rows {
        let _ = writeln!(
            text,
            "{ef:>12} {recall:>8.4} {:>10.0} {:>10} {:>9.1} {:>9.1}",
            speed.qps, "", speed.p50_us, speed.p99_us
        );
    }
    text
}

fn ratios_text(ratios: &Ratios) -> String {
    let mut text = "\nours against hnsw_rs\n".to_owned();
    let number = |number: Option<f64>| number.map_or_else(|| "-".to_owned(), |number| format!("{number:.0}"));
    let times = |ratio: Option<f64>| ratio.map_or_else(|| "not reached".to_owned(), |ratio| format!("{ratio:.2}x"));
    for SpeedRatio { recall, ours, baseline, ratio } in &ratios.qps {
        let _ = writeln!(
            text,
            "  QPS at recall {recall:.2}, one thread: {} against {}: {}",
            number(*ours),
            number(*baseline),
            times(*ratio)
        );
    }
    if let Some(build) = ratios.build {
        let _ = writeln!(text, "  build: {build:.2}x as fast");
    }
    if let (Some(hot), Some(all)) = (ratios.memory_hot, ratios.memory_all) {
        let _ = writeln!(text, "  memory: {hot:.2}x (heap, codes, graphs), {all:.2}x (everything resident)");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::limits::MemorySpeed;
    use super::*;

    fn figures() -> Figures {
        let row = |recall, qps, distances| Row {
            ef: if recall == 1.0 { Accuracy::Exact } else { Accuracy::Ef(10) },
            quality: Quality { recall, distances },
            speed: Speed { qps, ..Speed::default() },
            qps_all_threads: 2.0 * qps,
        };
        let point = |recall, qps| baseline::Point { ef: 10, recall, speed: Speed { qps, ..Speed::default() } };
        Figures {
            data: "4 vectors".into(),
            queries: 2,
            k: 10,
            metric: "cosine",
            namespaces: 1,
            cores: 2,
            instruction_set: "AVX2",
            load_before: Some(0.5),
            release: true,
            import_seconds: 1.0,
            compact_seconds: 1.0,
            build: GraphBuild { graphs: 1, nodes: 4, bytes: 10, seconds: 2.0 },
            segments: 1,
            graph_searches: 1,
            disk_bytes: 1 << 20,
            memory: Some(Memory { anonymous_grown: 100, codes: 20, graphs: 30, truth: 50, other_files: 0 }),
            rows: vec![row(1.0, 100.0, 9_000.0), row(0.9, 8_000.0, 100.0), row(0.96, 2_000.0, 200.0)],
            limits: Limits::of(MemorySpeed { bytes_per_second: 1e9, latency_ns: 100.0 }, &row(0.96, 2_000.0, 200.0), 4),
            asked: vec![RecallReport {
                asked: 0.95,
                row: row(0.96, 2_000.0, 200.0),
                distances_needed: Some(190.0),
                ratio: None,
            }],
            processes: None,
            mixed: None,
            parts: None,
            baseline: Some(baseline::Figures {
                build_seconds: 10.0,
                memory_grown: 1_000,
                rows: vec![point(0.95, 500.0), point(0.98, 100.0)],
            }),
            ratios: None,
        }
    }

    #[test]
    fn ratios_are_taken_at_equal_recall() {
        let mut figures = figures();
        figures.compare();
        let ratios = figures.ratios.clone().unwrap();
        let ours = 8_000.0f64 * 0.25f64.powf(5.0 / 6.0);
        assert!((ratios.qps[0].ratio.unwrap() - ours / 500.0).abs() < 1e-6);
        assert_eq!((ratios.qps[1].ours, ratios.qps[1].ratio), (None, None));
        assert_eq!(
            (ratios.build, figures.cheapest(0.95), figures.cheapest(0.99)),
            (Some(5.0), Accuracy::Ef(10), Accuracy::Ef(10))
        );
        assert_eq!((ratios.memory_hot, ratios.memory_all), (Some(0.15), Some(0.2)));
        let text = figures.for_people();
        assert!(text.contains("QPS at recall 0.99, one thread: - against -: not reached"), "{text}");
        assert!(serde_json::to_value(&figures).unwrap()["rows"][2]["recall"] == 0.96);
    }
}
