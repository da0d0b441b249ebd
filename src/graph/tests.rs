//! The graph against brute force over the same codes.

use super::*;
use crate::distance::Kernels;
use crate::ids::{Id, IdRange};
use crate::quant::{self, PreparedQuery};
use crate::random::Random;

/// Seeded points in a few clusters, as codes.
fn points(nodes: usize, dims: usize, seed: u64) -> (Vec<f32>, Vec<i8>, Vec<CodeMeta>) {
    let mut random = Random::new(seed);
    let mut next = || random.unit() / 2.0;
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
            let ask = BeamParameters { query: &query, ef: 64, without: None, budget: usize::MAX };
            search(graph, &points, &ask, &mut found);
            assert!(found.windows(2).all(|pair| pair[0].estimate >= pair[1].estimate));
            let mut all: Vec<(f32, NodeId)> = NodeId::range(0..nodes as u32)
                .ids()
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

/// Of the ten nearest admitted nodes of a hundred queries, how many walks find: hits of 1,000.
fn admitted_hits(admit: impl Fn(usize, &[f32]) -> bool, ef: usize) -> usize {
    let (nodes, dims) = (4_000, 16);
    let (vectors, codes, metas) = points(nodes, dims, 13);
    let points = Points::new(&codes, &metas, quant::stride(dims), Metric::L2);
    let parameters = Parameters::default();
    let built = build(&points, &parameters, &[], &threads(1), &|| Ok(())).unwrap();
    let graph = Graph::check(nodes as u32, &parameters, &built.links, &built.upper).unwrap();
    // The bits begin anywhere: a graph covers a part of an interval.
    let first = 77;
    let mut words = vec![0_u64; (first + nodes).div_ceil(64)];
    let mut listed = Vec::new();
    for node in (0..nodes).filter(|&node| admit(node, &vectors[node * dims..][..dims])) {
        words[(first + node) / 64] |= 1 << ((first + node) % 64);
        listed.push(NodeId(node as u32));
    }
    let seeds = &listed[..listed.len().min(4)];
    let admitted = Admitted { words: &words, first, seeds };
    assert_eq!(admitted.count(points.len()), listed.len());
    let (mut found, mut hits) = (Vec::new(), 0);
    for number in 0..100 {
        let vector: Vec<f32> = (0..dims).map(|at| vectors[number * 39 * dims + at] + 0.01).collect();
        let query = PreparedQuery::new(Kernels::get(), &vector, Metric::L2);
        let ask = BeamParameters { query: &query, ef, without: None, budget: usize::MAX };
        search_admitted(graph, &points, &ask, &admitted, &mut found);
        assert!(found.windows(2).all(|pair| pair[0].estimate >= pair[1].estimate));
        assert!(found.iter().all(|candidate| listed.contains(&candidate.node)), "only admitted nodes are found");
        let mut again = Vec::new();
        search_admitted(graph, &points, &ask, &admitted, &mut again);
        assert_eq!(found, again, "a walk does not depend on the walk before");
        let estimate =
            |node: NodeId| query.estimate(Kernels::get().dot_codes(query.code(), points.code(node)), points.meta(node));
        let mut best: Vec<(f32, NodeId)> = listed.iter().map(|&node| (-estimate(node), node)).collect();
        best.sort_by(|a, b| a.0.total_cmp(&b.0));
        let best = &best[..best.len().min(10)];
        hits += best.iter().filter(|(_, node)| found.iter().any(|candidate| candidate.node == *node)).count();
    }
    hits
}

#[test]
fn a_walk_finds_admitted_nodes_and_no_others() {
    assert_eq!(admitted_hits(|_, _| false, 50), 0);
    for (share, least) in [(2, 970), (5, 950), (10, 930)] {
        let hits = admitted_hits(|node, _| node % share == 0, 80);
        assert!(hits >= least, "every {share}th node: {hits} of 1000");
    }
    // All admitted nodes lie on one side, where few queries do.
    let hits = admitted_hits(|_, vector| vector[0] > 0.8, 80);
    assert!(hits >= 930, "one side: {hits} of 1000");
}

/// Of the ten nearest of stored vectors, how many searches find: hits of 1,000.
fn hits(points: &Points<'_>, graph: Graph<'_>, vectors: &[f32], dims: usize) -> usize {
    let mut found = Vec::new();
    let count = vectors.len() / dims;
    (0..100)
        .map(|number| {
            let at = number * (count / 100) * dims;
            let query = PreparedQuery::new(Kernels::get(), &vectors[at..at + dims], points.metric);
            let ask = BeamParameters { query: &query, ef: 24, without: None, budget: usize::MAX };
            search(graph, points, &ask, &mut found);
            let mut all: Vec<(f32, NodeId)> = NodeId::range(0..points.len() as u32)
                .ids()
                .map(|node| {
                    (
                        -query.estimate(Kernels::get().dot_codes(query.code(), points.code(node)), points.meta(node)),
                        node,
                    )
                })
                .collect();
            all.sort_by(|a, b| a.0.total_cmp(&b.0));
            all[..10].iter().filter(|(_, node)| found.iter().any(|candidate| candidate.node == *node)).count()
        })
        .sum()
}

fn unreached(graph: Graph<'_>) -> usize {
    let mut reached = vec![false; graph.nodes()];
    let mut waiting = vec![graph.upper.order[0]];
    while let Some(node) = waiting.pop() {
        if !std::mem::replace(&mut reached[node.index()], true) {
            waiting.extend(graph.row(node));
        }
    }
    reached.iter().filter(|&&reached| !reached).count()
}

#[test]
fn every_node_is_reached_even_far_ones_and_equal_ones() {
    let dims = 8;
    let mut vectors = vec![0.0_f32; 2_000 * dims];
    for (node, vector) in vectors.chunks_mut(dims).enumerate() {
        // Ten far groups, half of whose members are all alike.
        vector[node % 8] = 100.0 * (1 + node % 10) as f32;
        vector[(node + 1) % 8] = if node % 2 == 0 { 1.0 } else { (node % 97) as f32 };
    }
    let stride = quant::stride(dims);
    let mut codes = vec![0; 2_000 * stride];
    let encode = |(vector, code): (&[f32], &mut [i8])| quant::encode(Kernels::get(), vector, code);
    let metas: Vec<CodeMeta> = vectors.chunks(dims).zip(codes.chunks_mut(stride)).map(encode).collect();
    for metric in [Metric::Cosine, Metric::L2] {
        let points = Points::new(&codes, &metas, stride, metric);
        for m0 in [4, 32] {
            let parameters = Parameters { m: 4, m0, ..Parameters::default() };
            let built = build(&points, &parameters, &[], &threads(2), &|| Ok(())).unwrap();
            let graph = Graph::check(2_000, &parameters, &built.links, &built.upper).unwrap();
            assert_eq!(unreached(graph), 0, "{metric:?}, {m0} links");
        }
    }
}

#[test]
fn what_is_reused_through_many_generations_is_as_good_as_new() {
    let (nodes, dims) = (2_000, 16);
    let (vectors, codes, metas) = points(nodes, dims, 5);
    let stride = quant::stride(dims);
    let points = Points::new(&codes, &metas, stride, Metric::L2);
    let parameters = Parameters::default();
    let pool = threads(2);
    let mut built = build(&points, &parameters, &[], &pool, &|| Ok(())).unwrap();
    let fresh =
        hits(&points, Graph::check(nodes as u32, &parameters, &built.links, &built.upper).unwrap(), &vectors, dims);
    for generation in 0..10_u32 {
        let graph = Graph::check(nodes as u32, &parameters, &built.links, &built.upper).unwrap();
        // Three in ten die, and come back as new nodes.
        let became = NodeId::range(0..nodes as u32)
            .ids()
            .map(|node| if (node.0 + generation * 3) % 10 < 3 { NO_NODE } else { node })
            .collect();
        let parameters = Parameters { seed: u64::from(generation), ..parameters };
        let next = build(&points, &parameters, &[Reuse { graph, became }], &pool, &|| Ok(())).unwrap();
        built = next;
    }
    let graph = Graph::check(nodes as u32, &parameters, &built.links, &built.upper).unwrap();
    assert_eq!(unreached(graph), 0);
    let reused = hits(&points, graph, &vectors, dims);
    assert!(reused + 5 >= fresh, "{reused} of 1000 found, {fresh} in a new graph");
}

#[test]
fn what_is_left_of_a_graph_is_healed_around_the_dead() {
    let (nodes, dims) = (3_000, 16);
    let (vectors, codes, metas) = points(nodes, dims, 21);
    let (stride, pool) = (quant::stride(dims), threads(2));
    let all = Points::new(&codes, &metas, stride, Metric::L2);
    // Few links, so that each that is lost counts.
    let parameters = Parameters { m: 4, m0: 8, ef_construction: 32, ..Parameters::default() };
    let built = build(&all, &parameters, &[], &pool, &|| Ok(())).unwrap();
    let graph = Graph::check(nodes as u32, &parameters, &built.links, &built.upper).unwrap();
    let alive: Vec<usize> = (0..nodes).filter(|node| node * 7_919 % 100 >= 38).collect();
    let mut became = vec![NO_NODE; nodes];
    alive.iter().enumerate().for_each(|(new, &old)| became[old] = NodeId::from_index(new));
    let vectors: Vec<f32> = alive.iter().flat_map(|&old| vectors[old * dims..][..dims].to_vec()).collect();
    let codes: Vec<i8> = alive.iter().flat_map(|&old| codes[old * stride..][..stride].to_vec()).collect();
    let metas: Vec<CodeMeta> = alive.iter().map(|&old| metas[old]).collect();
    let left = Points::new(&codes, &metas, stride, Metric::L2);
    let found = |reuse: &[Reuse<'_>]| {
        let built = build(&left, &parameters, reuse, &pool, &|| Ok(())).unwrap();
        let graph = Graph::check(alive.len() as u32, &parameters, &built.links, &built.upper).unwrap();
        assert_eq!(unreached(graph), 0);
        hits(&left, graph, &vectors, dims)
    };
    let (fresh, healed) = (found(&[]), found(&[Reuse { graph, became }]));
    assert!(healed + 30 >= fresh, "{healed} of 1000 found, {fresh} in a new graph");
}

#[test]
fn a_node_that_is_left_out_is_neither_found_nor_needed() {
    let (nodes, dims) = (1_000, 16);
    let (vectors, codes, metas) = points(nodes, dims, 3);
    let points = Points::new(&codes, &metas, quant::stride(dims), Metric::Cosine);
    let parameters = Parameters::default();
    let built = build(&points, &parameters, &[], &threads(1), &|| Ok(())).unwrap();
    let graph = Graph::check(nodes as u32, &parameters, &built.links, &built.upper).unwrap();
    let mut found = Vec::new();
    for node in NodeId::range(0..nodes as u32).ids() {
        let query = PreparedQuery::new(Kernels::get(), &vectors[node.index() * dims..][..dims], Metric::Cosine);
        let mut ask = BeamParameters { query: &query, ef: 10, without: Some(node), budget: usize::MAX };
        search(graph, &points, &ask, &mut found);
        assert!(found.len() == 10 && found.iter().all(|candidate| candidate.node != node), "{node}: {found:?}");
        ask.without = None;
        search(graph, &points, &ask, &mut found);
        assert_eq!(found[0].node, node);
        ask.budget = 1;
        assert!(search(graph, &points, &ask, &mut found).exhausted_budget);
    }
}

#[test]
fn arrays_that_no_build_made_are_refused() {
    let (codes, metas) = (vec![0_i8; 64 * 100], vec![CodeMeta::default(); 100]);
    let points = Points::new(&codes, &metas, 64, Metric::L2);
    let parameters = Parameters { m: 4, ..Parameters::default() };
    let built = build(&points, &parameters, &[], &threads(1), &|| Ok(())).unwrap();
    let is_graph = |links: &[NodeId], upper: &[u32]| Graph::check(100, &parameters, links, upper).is_ok();
    assert!(is_graph(&built.links, &built.upper));
    for at in 0..built.links.len() {
        let mut links = built.links.clone();
        links[at] = NodeId(100);
        assert!(!is_graph(&links, &built.upper), "link {at}");
    }
    for at in 0..built.upper.len() {
        let mut upper = built.upper.clone();
        upper[at] = u32::MAX;
        assert!(!is_graph(&built.links, &upper), "upper {at}");
        assert!(!is_graph(&built.links, &built.upper[..at]), "upper cut at {at}");
    }
    let (mut upper, order) = (built.upper.clone(), 1 + built.upper[0] as usize);
    upper[order] = upper[order + 1];
    assert!(!is_graph(&built.links, &upper), "a node has two places in the order");
    for few in 0..3 {
        let built = build(
            &Points::new(&codes[..64 * few], &metas[..few], 64, Metric::L2),
            &parameters,
            &[],
            &threads(1),
            &|| Ok(()),
        );
        let built = built.unwrap();
        assert!(Graph::check(few as u32, &parameters, &built.links, &built.upper).is_ok(), "{few} nodes");
    }
}

/// Codes and metas of vectors.
fn encoded(vectors: &[f32], dims: usize) -> (Vec<i8>, Vec<CodeMeta>) {
    let stride = quant::stride(dims);
    let mut codes = vec![0; vectors.len() / dims * stride];
    let encode = |(vector, code): (&[f32], &mut [i8])| quant::encode(Kernels::get(), vector, code);
    let metas = vectors.chunks(dims).zip(codes.chunks_mut(stride)).map(encode).collect();
    (codes, metas)
}

#[test]
fn under_dot_products_points_are_compared_as_vectors_of_one_norm() {
    let (dims, mut random) = (24, Random::new(31));
    let vectors: Vec<f32> = (0..60 * dims).map(|at| random.unit() * (1 + at / dims % 7) as f32).collect();
    let (codes, metas) = encoded(&vectors, dims);
    let points = Points::new(&codes, &metas, quant::stride(dims), Metric::Dot).with_norms();
    let largest = f64::from(metas.iter().fold(0.0_f32, |largest, meta| largest.max(meta.norm)));
    let lifted = |node: usize| {
        let vector = &vectors[node * dims..][..dims];
        let squares: f64 = vector.iter().map(|x| f64::from(*x) * f64::from(*x)).sum();
        let height = (largest * largest - squares).max(0.0).sqrt();
        vector.iter().map(|x| f64::from(*x)).chain([height]).collect::<Vec<f64>>()
    };
    for a in 0..60 {
        let mut code = Vec::new();
        let query = select::query_of(&points, NodeId::from_index(a), &mut code);
        for (b, meta) in metas.iter().enumerate() {
            let raw = Kernels::get().dot_codes(query.code, points.code(NodeId::from_index(b)));
            let distance = f64::from(query.ranking.distance(raw, meta));
            let expected: f64 = lifted(a).iter().zip(lifted(b)).map(|(x, y)| (x - y) * (x - y)).sum();
            assert!((distance - expected).abs() <= 0.02 * largest * largest, "{a} {b}: {distance}, {expected}");
        }
    }
}

#[test]
fn a_search_begins_in_each_far_group_and_many_links_lead_to_lonely_nodes() {
    let (nodes, dims, groups) = (6_000, 16, 20);
    let mut random = Random::new(17);
    let centres: Vec<f32> = (0..groups * dims).map(|_| 60.0 * random.unit()).collect();
    let mut vectors: Vec<f32> =
        (0..nodes * dims).map(|at| centres[at / dims % groups * dims + at % dims] + random.unit()).collect();
    let lonely: Vec<usize> = (0..nodes).step_by(400).collect();
    for &node in &lonely {
        vectors[node * dims..][..dims].iter_mut().for_each(|x| *x += 200.0 * random.unit());
    }
    let (codes, metas) = encoded(&vectors, dims);
    let points = Points::new(&codes, &metas, quant::stride(dims), Metric::L2);
    let parameters = Parameters::default();
    let built = build(&points, &parameters, &[], &threads(2), &|| Ok(())).unwrap();
    let graph = Graph::check(nodes as u32, &parameters, &built.links, &built.upper).unwrap();
    let top = *graph.upper.counts.last().unwrap() as usize;
    let begun: std::collections::HashSet<usize> =
        graph.upper.order[..top].iter().map(|node| node.index() % groups).collect();
    assert!(begun.len() == groups && top <= 96, "{} of {groups} groups among {top} nodes", begun.len());
    for node in lonely {
        let leads =
            |other: &usize| *other != node && graph.row(NodeId::from_index(*other)).contains(&NodeId(node as u32));
        let count = (0..nodes).filter(leads).count();
        assert!(count >= 2, "{count} links lead to {node}");
    }
}

#[test]
fn a_node_is_linked_to_the_largest_dot_product_with_it() {
    let (nodes, dims) = (2_000, 16);
    let mut random = Random::new(23);
    let vectors: Vec<f32> = (0..nodes * dims).map(|_| random.unit().abs()).collect();
    let (codes, metas) = encoded(&vectors, dims);
    let points = Points::new(&codes, &metas, quant::stride(dims), Metric::Dot);
    let parameters = Parameters::default();
    let built = build(&points, &parameters, &[], &threads(2), &|| Ok(())).unwrap();
    let graph = Graph::check(nodes as u32, &parameters, &built.links, &built.upper).unwrap();
    assert_eq!(unreached(graph), 0);
    let product = |a: usize, b: usize| -> f32 {
        vectors[a * dims..][..dims].iter().zip(&vectors[b * dims..][..dims]).map(|(x, y)| x * y).sum()
    };
    let linked = (0..nodes).step_by(10).filter(|&node| {
        let best = (0..nodes).filter(|&b| b != node).max_by(|&a, &b| product(node, a).total_cmp(&product(node, b)));
        graph.row(NodeId::from_index(node)).contains(&NodeId::from_index(best.unwrap()))
    });
    let linked = linked.count();
    assert!(linked >= 190, "{linked} of 200");
}
