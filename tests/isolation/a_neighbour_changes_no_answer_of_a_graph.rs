//! At a fixed `ef_search` a search of a tenant's own graph gives the same approximate answer, bit for bit, whatever a
//! neighbour does.
//!
//! The tenant's rows are compacted, so that one graph covers each of its namespaces; then it searches, while the
//! neighbour acts. What a graph answers may depend on how the tenant's *own* rows came into it, and rows that are not
//! in a graph yet are searched exactly; both change with flushes and merges, which serve all tenants. So the tenant
//! does not write here. Which graphs there are beside those of large namespaces depends on what is searched and asked
//! for over wider scopes: such graphs are off, and the neighbour keeps to its own namespaces. After an open a graph
//! answers once the background has verified it; the test waits for that.

use vecmem::{Filter, Namespace, Query, Scope};

use crate::answers::Versions;
use crate::common::Random;
use crate::common::clusters::Clusters;
use crate::common::namespace;
use crate::neighbour::{Neighbour, leaks};
use crate::world::{DIMS, Layout, World, home};

const ROUNDS: usize = 150;
const QUERIES_OF_A_ROUND: usize = 20;

fn spaces() -> [Namespace; 2] {
    [home(), namespace(["tenant", "a", "x"])]
}

/// A store with the tenant's graphs.
fn world(seed: u64, layout: Layout) -> World {
    let world = World::new(layout);
    let mut clusters = Clusters::new(seed, 5, DIMS);
    spaces().iter().for_each(|space| clusters.fill(&world.store, space, 400, 1));
    world.store.compact().unwrap();
    world
}

fn query(random: &mut Random) -> Query {
    let scope = match random.below(3) {
        0 => Scope::Prefix(home()),
        _ => Scope::from(random.pick(&spaces())),
    };
    let vector: Vec<f32> = (0..DIMS).map(|_| random.unit()).collect();
    let query = Query::new(scope).vector(vector).ef_search(*random.pick(&[2, 5, 12, 40])).explain(true);
    let query = query.limit(*random.pick(&[1, 5, 10]));
    match random.below(3) {
        0 => query.filter(Filter::eq("tenth", random.below(10_i64))),
        1 => query.filter(Filter::eq("cluster", 1)),
        _ => query,
    }
}

fn compare(seed: u64, layout: Layout) {
    let (alone, mut beside) = (world(seed, layout), world(seed, layout));
    let (mut neighbour, mut random) = (Neighbour::of_its_own(seed, layout), Random::new(seed));
    let (mut names_alone, mut names_beside) = (Versions::default(), Versions::default());
    let (mut by_graph, mut approximate) = (0, 0);
    for round in 0..ROUNDS {
        (0..4).for_each(|_| neighbour.act(&mut beside));
        (0..3).for_each(|_| beside.store.run_background());
        for _ in 0..QUERIES_OF_A_ROUND {
            let query = query(&mut random);
            let wanted = alone.store.search(&query).unwrap();
            let exact = alone.store.search(&query.clone().exact(true)).unwrap();
            let found = beside.store.search(&query).unwrap();
            let paths = [&wanted.explain, &found.explain];
            by_graph += usize::from(wanted.explain.iter().any(|part| part.graph_searches > 0));
            approximate += usize::from(wanted.hits != exact.hits);
            let (found, wanted) = (names_beside.hits(&found), names_alone.hits(&wanted));
            assert!(!leaks(&found), "seed {seed}, {layout:?}, round {round}: {found}");
            assert!(
                found == wanted,
                "seed {seed}, {layout:?}, round {round}, {:?}\n{query:?}\nalone:  {wanted}\nbeside: {found}\n{paths:#?}",
                neighbour.acts
            );
        }
    }
    let all = ROUNDS * QUERIES_OF_A_ROUND;
    println!("seed {seed}, {layout:?}: {all} searches, {by_graph} by graphs, {approximate} not the exact answer");
    assert!(by_graph > all / 2 && approximate > 0, "the answers are hardly those of graphs");
}

#[test]
fn in_segments_that_both_share() {
    compare(1, Layout::NamespaceGraphs);
}

#[test]
fn where_the_neighbours_segments_are_damaged() {
    compare(2, Layout::OwnShards);
}
