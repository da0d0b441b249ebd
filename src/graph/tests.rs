//! The graph against brute force over the same codes.

use super::*;
use crate::distance::Kernels;
use crate::quant::{self, PreparedQuery};

/// Seeded points in a few clusters, as codes.
fn points(nodes: usize, dims: usize, seed: u64) -> (Vec<f32>, Vec<i8>, Vec<CodeMeta>) {
    let mut state = seed;
    let mut next = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 24) as f32 - 0.5
    };
    let centres: Vec<f32> = (0..16 * dims).map(|_| next()).collect();
    let vectors: Vec<f32> =
        (0..nodes * dims).map(|at| centres[(at / dims * 7 % 16) * dims + at % dims] + 0.8 * next()).collect();
    let stride = quant::stride(dims);
    let mut codes = vec![0; nodes * stride];
    let metas = (0..nodes)
        .map(|node| {
            quant::encode(Kernels::get(), &vectors[node * dims..][..dims], &mut codes[node * stride..][..stride])
        })
        .collect();
    (vectors, codes, metas)
}

fn threads(count: usize) -> rayon::ThreadPool {
    rayon::ThreadPoolBuilder::new().num_threads(count).build().unwrap()
}

#[test]
fn the_graph_does_not_depend_on_the_number_of_threads_and_finds_what_is_near() {
    let (nodes, dims) = (3_000, 24);
    for metric in [Metric::Cosine, Metric::Dot, Metric::L2] {
        let (vectors, codes, metas) = points(nodes, dims, 11);
        let points = Points::new(&codes, &metas, quant::stride(dims), metric);
        let parameters = Parameters::default();
        let built = build(&points, &parameters, &[], &threads(1), &|| Ok(())).unwrap();
        assert_eq!(built, build(&points, &parameters, &[], &threads(3), &|| Ok(())).unwrap());
        let graph = Graph::check(nodes as u32, &parameters, &built.links, &built.upper).unwrap();
        let (mut found, mut hits) = (Vec::new(), 0);
        for number in 0..100 {
            let vector: Vec<f32> = (0..dims).map(|at| vectors[number * 29 * dims + at] + 0.01).collect();
            let query = PreparedQuery::new(Kernels::get(), &vector, metric);
            let ask = Ask { query: &query, ef: 64, floor: f32::NEG_INFINITY, without: None, budget: usize::MAX };
            walk(graph, &points, &ask, &mut found);
            assert!(found.windows(2).all(|pair| pair[0].estimate >= pair[1].estimate));
            let mut all: Vec<(f32, u32)> = (0..nodes as u32)
                .map(|node| {
                    let raw = Kernels::get().dot_codes(query.code(), points.code(node));
                    (-query.estimate(raw, points.meta(node)), node)
                })
                .collect();
            all.sort_by(|a, b| a.0.total_cmp(&b.0));
            hits += all[..10].iter().filter(|(_, node)| found.iter().any(|candidate| candidate.node == *node)).count();
        }
        assert!(hits >= 980, "{metric:?}: {hits} of 1000");
    }
}
