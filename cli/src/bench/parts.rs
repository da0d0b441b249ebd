//! The same vectors in several segments with a graph each, as merges leave them for a while, against one segment.
//!
//! Invariants:
//! * Both stores are asked the same questions at the same ef, one after the other. Parts find more with it, so the
//!   speeds are compared at equal recall, too.

use std::path::Path;

use anyhow::{Result, ensure};
use serde::Serialize;
use vecmem::{ImportOptions, Store, Tuning};

use super::curve::speed_at;
use super::matrix::{Neighbours, Vectors};
use super::store::{Accuracy, Layout, quality, speed};

/// What came out.
#[derive(Clone, Debug, Serialize)]
pub struct Parts {
    pub segments: u64,
    pub graphs: u64,
    pub build_seconds: f64,
    pub rows: Vec<PartsRow>,
}

/// One ef.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct PartsRow {
    pub ef: Accuracy,
    pub recall: f64,
    pub distances: f64,
    pub qps: f64,
    pub qps_compacted: f64,
    /// The speed in parts divided by that of one segment.
    pub ratio: f64,
    /// The same where one segment is asked for the recall that the parts have.
    pub ratio_at_equal_recall: Option<f64>,
}

/// What is asked, and how.
pub struct Plan<'a> {
    pub vectors: &'a Vectors,
    pub queries: &'a Vectors,
    pub truth: &'a Neighbours,
    pub k: usize,
    pub ef_values: &'a [Accuracy],
    /// Recall and speed of one segment.
    pub curve: &'a [(f64, f64)],
    pub seconds: f64,
}

/// Fills a store in `directory` with `parts` segments and compares it with `compacted`.
pub fn measure(plan: &Plan<'_>, compacted: &Store, layout: &Layout, directory: &Path, parts: usize) -> Result<Parts> {
    let layout = Layout { directory: directory.to_owned(), ..layout.clone() };
    // One chunk of the import is one segment, and nothing merges them.
    let tuning = Tuning {
        import_chunk_rows: usize::MAX,
        import_chunk_bytes: usize::MAX,
        import_file_rows: 1,
        merge_ratio: 1 << 40,
        segments_max: 1 << 20,
        ..layout.tuning()
    };
    let store = Store::open(directory, layout.options().tuning(tuning))?;
    let rows = layout.rows.div_ceil(parts);
    layout.fill(&store, plan.vectors, ImportOptions::new().chunk_rows(rows))?;
    let build = store.build_graph(&layout.scope()?)?;
    let segments = store.stats()?.internals.segments;
    ensure!(segments == layout.rows.div_ceil(rows) as u64, "{parts} parts were wanted, but the store has {segments}");
    let row = |&ef: &Accuracy| -> Result<PartsRow> {
        let questions = layout.questions(plan.queries, plan.k, ef)?;
        let quality = quality(&store, &questions, plan.truth, plan.k)?;
        let qps_compacted = speed(compacted, &questions, plan.seconds)?.qps;
        let qps = speed(&store, &questions, plan.seconds)?.qps;
        let (recall, distances) = (quality.recall, quality.distances);
        let ratio_at_equal_recall = speed_at(plan.curve, recall).map(|equal| qps / equal);
        Ok(PartsRow { ef, recall, distances, qps, qps_compacted, ratio: qps / qps_compacted, ratio_at_equal_recall })
    };
    let rows = plan.ef_values.iter().map(row).collect::<Result<_>>()?;
    store.close()?;
    Ok(Parts { segments, graphs: build.graphs, build_seconds: build.seconds, rows })
}
