//! The baseline: `hnsw_rs` on the same vectors, measured by the same rules, in a process of its own.
//!
//! Invariants:
//! * Its parameters are the usual ones (M = 16, ef_construction = 200), its distances those of `simsimd`, its build
//!   uses all cores.
//! * Under cosine it gets normalised vectors, so that a distance is one dot product.

use std::path::PathBuf;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::data::DataPlan;
use super::timing::Speed;
use crate::arguments::MetricArgument;

/// What to measure.
#[derive(Serialize, Deserialize)]
pub struct Plan {
    pub data: DataPlan,
    pub truth: PathBuf,
    pub metric: MetricArgument,
    pub k: usize,
    pub seconds: f64,
}

/// What came out.
#[derive(Debug, Serialize, Deserialize)]
pub struct Figures {
    pub build_seconds: f64,
    /// Anonymous memory that came with the graph and the queries.
    pub memory_grown: u64,
    pub rows: Vec<Point>,
}

/// One ef.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Point {
    pub ef: usize,
    pub recall: f64,
    #[serde(flatten)]
    pub speed: Speed,
}

#[cfg(not(feature = "baseline"))]
impl Plan {
    /// Says what is missing.
    pub fn run(self) -> Result<Figures> {
        check(self.metric)?;
        anyhow::bail!("there is no baseline in this build")
    }
}

/// That this build has a baseline, which knows the metric.
pub fn check(metric: MetricArgument) -> Result<()> {
    anyhow::ensure!(
        cfg!(feature = "baseline"),
        "--baseline hnsw_rs is not in this build; run: cargo run --release -p vecmem-cli --features baseline -- bench ... (it compiles C)"
    );
    anyhow::ensure!(
        metric != MetricArgument::Dot,
        "hnsw_rs needs distances of 0 and more, which --metric dot does not give; take cosine or l2"
    );
    Ok(())
}

#[cfg(feature = "baseline")]
mod with_hnsw_rs {
    use std::time::Instant;

    use anyhow::Result;
    use hnsw_rs::prelude::{Distance, Hnsw};
    use simsimd::SpatialSimilarity;

    use super::{Figures, Plan, Point};
    use crate::arguments::MetricArgument;
    use crate::bench::curve::{ef_values, is_done};
    use crate::bench::data::hits;
    use crate::bench::matrix::{Neighbours, Vectors, read_neighbours};
    use crate::bench::process::anonymous;
    use crate::bench::timing::one_thread;

    const LINKS: usize = 16;
    const EF_CONSTRUCTION: usize = 200;
    const LAYERS: usize = 16;

    struct Angle;
    struct Squares;

    impl Distance<f32> for Angle {
        fn eval(&self, a: &[f32], b: &[f32]) -> f32 {
            // Rounding can make the product of unit vectors larger than 1; hnsw_rs refuses negative distances.
            f32::dot(a, b).map_or(f32::MAX, |product| (1.0 - product as f32).max(0.0))
        }
    }

    impl Distance<f32> for Squares {
        fn eval(&self, a: &[f32], b: &[f32]) -> f32 {
            f32::l2sq(a, b).map_or(f32::MAX, |sum| sum as f32)
        }
    }

    impl Plan {
        /// Builds the graph and follows its curve.
        pub fn run(self) -> Result<Figures> {
            let mut data = self.data.load()?;
            let truth = read_neighbours(&self.truth, data.vectors.rows())?;
            match self.metric {
                MetricArgument::Cosine => {
                    normalise(&mut data.vectors);
                    normalise(&mut data.queries);
                    measure(&self, &data.vectors, &data.queries, &truth, Angle)
                }
                // `check` has refused the other.
                MetricArgument::L2 | MetricArgument::Dot => {
                    measure(&self, &data.vectors, &data.queries, &truth, Squares)
                }
            }
        }
    }

    /// Makes every vector one of length 1; zero stays zero.
    fn normalise(vectors: &mut Vectors) {
        for row in vectors.numbers.chunks_exact_mut(vectors.dims) {
            let length = row.iter().map(|number| number * number).sum::<f32>().sqrt();
            if length > 0.0 {
                row.iter_mut().for_each(|number| *number /= length);
            }
        }
    }

    fn measure<D: Distance<f32> + Send + Sync>(
        plan: &Plan,
        vectors: &Vectors,
        queries: &Vectors,
        truth: &Neighbours,
        distance: D,
    ) -> Result<Figures> {
        let rows: Vec<(&[f32], usize)> = vectors.iter().zip(0..).collect();
        let (before, start) = (anonymous(), Instant::now());
        let mut graph = Hnsw::new(LINKS, rows.len(), LAYERS, EF_CONSTRUCTION, distance);
        graph.parallel_insert_slice(&rows);
        graph.set_searching_mode(true);
        let build_seconds = start.elapsed().as_secs_f64();
        let mut points: Vec<Point> = Vec::new();
        for ef in ef_values(plan.k) {
            let search = |query: usize| graph.search(queries.row(query), plan.k, ef);
            let found = |query| search(query).into_iter().map(|neighbour| neighbour.d_id as u32).collect::<Vec<u32>>();
            let share = |query| hits(found(query).into_iter(), truth.row(query), plan.k);
            let recall = (0..queries.rows()).map(share).sum::<f64>() / queries.rows() as f64;
            let ask = |query| {
                std::hint::black_box(search(query));
                Ok(())
            };
            let speed = one_thread(plan.seconds, queries.rows(), ask)?;
            points.push(Point { ef, recall, speed });
            if is_done(&points.iter().map(|point| point.recall).collect::<Vec<f64>>()) {
                break;
            }
        }
        Ok(Figures { build_seconds, memory_grown: anonymous().saturating_sub(before), rows: points })
    }

    #[test]
    fn unit_vectors_have_length_one() {
        let mut vectors = Vectors { dims: 2, numbers: vec![3.0, 4.0, 0.0, 0.0] };
        normalise(&mut vectors);
        assert_eq!(vectors.numbers, [0.6, 0.8, 0.0, 0.0]);
    }
}
