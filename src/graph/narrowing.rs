//! When a walk among islands goes on with a smaller ef. Islands are clusters of admitted nodes that few links leave.
//!
//! A query that lies in an island has its results there: they are much nearer than those of a query between islands,
//! whose results are spread over many of them. The walk begins at seeds, which are spread over the admitted nodes, so
//! their distances tell how near nodes come by chance.
//!
//! Invariant: the decision is made from distances alone, so that a walk depends on the query and the graph only.

/// The numbers of two seeds, from the nearest on, whose distances tell how distances thin out. Fewer than the first may
/// lie in the query's own island.
const TAIL: (usize, usize) = (16, 128);
/// How many times as far beyond the first of these seeds as chance has them results lie that are not there by chance.
/// Of 1,000,000 vectors in 2,000 clusters, hardly a query in a cluster was taken for one between clusters, and none the
/// other way round.
const BEYOND_CHANCE: f64 = 1.4;

/// When a walk goes on with a smaller ef.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Narrowing {
    /// How many nodes have to be nearer than chance has them.
    pub results: usize,
    /// The admitted nodes.
    pub nodes: usize,
    /// The smaller ef.
    pub ef: usize,
}

impl Narrowing {
    /// The distance below which so many results are nearer than chance has them. `seeds` seeds were compared, and
    /// `nearest` gives the distance of one by its number, from 1 for the nearest on. `None` if they are too few.
    ///
    /// The logarithm of the number of nodes within a distance falls about in a straight line towards the nearest ones,
    /// and faster than that where a distance is a sum of many terms.
    pub fn bound(&self, seeds: usize, nearest: impl Fn(usize) -> Option<f32>) -> Option<f32> {
        let (first, last) = (f64::from(nearest(TAIL.0)?), f64::from(nearest(TAIL.1)?));
        let share = |count: usize, of: usize| count.max(1) as f64 / of.max(1) as f64;
        let slope = (last - first) / share(TAIL.1, TAIL.0).ln();
        let rarer = (share(TAIL.0, seeds) / share(self.results, self.nodes)).ln().max(0.0);
        let bound = (first - BEYOND_CHANCE * slope * rarer) as f32;
        bound.is_finite().then_some(bound)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    /// Distances to nodes by chance, nearest first: sums of 16 terms.
    fn by_chance(random: &mut Random, count: usize) -> Vec<f32> {
        let mut distances: Vec<f32> = (0..count).map(|_| (0..16).map(|_| random.unit()).sum::<f32>() / 4.0).collect();
        distances.sort_by(f32::total_cmp);
        distances
    }

    #[test]
    fn the_nearest_by_chance_are_not_taken_for_an_island_and_an_island_is() {
        let mut random = Random::new(3);
        for round in 0..200 {
            let (nodes, seeds) = (20_000, 1_024);
            let (all, compared) = (by_chance(&mut random, nodes), by_chance(&mut random, seeds));
            let of_seeds = |number: usize| compared.get(number - 1).copied();
            for results in [10, 50] {
                let bound = Narrowing { results, nodes, ef: 1 }.bound(seeds, of_seeds).unwrap();
                let nearest = all[results - 1];
                assert!(nearest > bound, "round {round}: result {results} lies at {nearest}, the bound is {bound}");
                // An island of seeds in front changes little.
                let with_island = |number: usize| if number <= 10 { Some(-9.0) } else { of_seeds(number - 10) };
                let bound = Narrowing { results, nodes, ef: 1 }.bound(seeds, with_island).unwrap();
                assert!(bound > -9.0, "round {round}: {bound}");
            }
        }
    }

    #[test]
    fn few_seeds_or_equal_ones_tell_nothing() {
        let narrowing = Narrowing { results: 10, nodes: 1_000, ef: 1 };
        assert_eq!(narrowing.bound(127, |number| (number < 128).then_some(1.0)), None);
        assert_eq!(narrowing.bound(1_024, |_| Some(f32::INFINITY)), None);
        assert_eq!(narrowing.bound(1_024, |_| Some(1.0)), Some(1.0), "whatever is nearer is no chance");
        assert_eq!(Narrowing { results: 900, ..narrowing }.bound(1_024, |number| Some(number as f32)), Some(16.0));
    }
}
