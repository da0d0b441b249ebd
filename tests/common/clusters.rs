//! Seeded points in clusters, as embeddings have them: what graphs are for.

use vecmem::{Batch, Namespace, Put, Store};

use super::Random;

/// Points around centres, each with fewer free directions than dimensions.
pub struct Clusters {
    dims: usize,
    centres: Vec<Vec<f32>>,
    directions: Vec<Vec<f32>>,
    pub random: Random,
}

impl Clusters {
    pub fn new(seed: u64, clusters: usize, dims: usize) -> Self {
        let mut random = Random::new(seed);
        let mut vectors = |count: usize| -> Vec<Vec<f32>> {
            (0..count).map(|_| (0..dims).map(|_| uniform(&mut random)).collect()).collect()
        };
        let (centres, directions) = (vectors(clusters), vectors(dims / 2));
        Self { dims, centres, directions, random }
    }

    /// A point of a cluster.
    pub fn point(&mut self, cluster: usize) -> Vec<f32> {
        let mut point = self.centres[cluster].clone();
        for direction in &self.directions {
            let length = 0.5 * uniform(&mut self.random);
            (0..self.dims).for_each(|at| point[at] += length * direction[at]);
        }
        point
    }

    /// Items `0..count` of a namespace, one batch: `{"n": number, "cluster": number % clusters, "tenth": number % 10}`,
    /// each with `vectors` points of its cluster.
    pub fn fill(&mut self, store: &Store, namespace: &Namespace, count: usize, vectors: usize) {
        let mut batch = Batch::new();
        for number in 0..count {
            let cluster = number % self.centres.len();
            let value = format!("{{\"n\":{number},\"cluster\":{cluster},\"tenth\":{}}}", number % 10);
            let put = Put::new(namespace, number.to_string(), value);
            let put = (0..vectors).fold(put, |put, field| put.field_vector(&field.to_string(), self.point(cluster)));
            batch.put(put);
        }
        store.batch(batch).unwrap();
    }
}

/// From -1 to 1.
fn uniform(random: &mut Random) -> f32 {
    random.below(1 << 24) as f32 / (1 << 23) as f32 - 1.0
}
