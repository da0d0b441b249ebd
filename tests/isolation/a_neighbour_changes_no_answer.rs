//! A tenant gets the same answer to every call, whether it is alone in the store or beside a hostile neighbour. No
//! answer holds a byte of the neighbour.
//!
//! The tenant's seeded calls run in two stores. In one of them the neighbour acts between the calls. `answers` names
//! what may differ. `VECMEM_ISOLATION_CALLS` sets how many calls each test compares.

use crate::answers::Answer;
use crate::common::Random;
use crate::neighbour::{Neighbour, leaks};
use crate::tenant::Tenant;
use crate::world::{Layout, World};

/// Calls of one pair of stores.
const CALLS_OF_A_PAIR: u64 = 2_500;
/// Calls of each test; there are three.
const CALLS: u64 = 17_500;

#[derive(Default)]
struct Tally {
    compared: u64,
    ended: u64,
    refused: u64,
    acts: std::collections::BTreeMap<&'static str, u64>,
}

/// Runs the tenant of `seed` alone, then beside the neighbour of the same seed.
fn compare(seed: u64, calls: u64, layout: Layout, tally: &mut Tally) {
    let (alone, mut tenant) = (World::new(layout), Tenant::new(seed));
    let answers: Vec<Answer> = (0..calls).map(|_| tenant.call(&alone)).collect();
    let (mut world, mut tenant) = (World::new(layout), Tenant::new(seed));
    let (mut neighbour, mut often) = (Neighbour::new(seed, layout), Random::new(seed ^ 0xF00D));
    for (number, wanted) in answers.iter().enumerate() {
        while often.chance(35) {
            neighbour.act(&mut world);
        }
        let found = tenant.call(&world);
        assert!(!leaks(&found.text), "seed {seed}, {layout:?}, call {number}: something of the neighbour: {found:?}");
        if found.may_end && found.has_ended() {
            tally.ended += 1;
            continue;
        }
        assert!(
            (&found.call, &found.text) == (&wanted.call, &wanted.text),
            "seed {seed}, {layout:?}, call {number} ({}) is answered otherwise beside the neighbour, which has done \
             {:?}\nalone:  {}\nbeside: {}",
            wanted.call,
            neighbour.acts,
            wanted.text,
            found.text
        );
        tally.compared += 1;
        tally.refused += u64::from(found.text.starts_with("InvalidInput") || found.text.starts_with("Limit"));
    }
    tenant.versions().assert_in_order();
    neighbour.acts.iter().for_each(|(name, count)| *tally.acts.entry(name).or_default() += count);
}

fn compare_all(layout: Layout, first_seed: u64) {
    let calls = std::env::var("VECMEM_ISOLATION_CALLS").ok().map_or(CALLS, |calls| calls.parse().unwrap());
    let (mut tally, mut seed) = (Tally::default(), first_seed);
    while tally.compared < calls {
        compare(seed, CALLS_OF_A_PAIR, layout, &mut tally);
        seed += 1;
    }
    let Tally { compared, ended, refused, acts } = tally;
    println!("{layout:?}: seeds {first_seed}..{seed}, {compared} calls compared, {refused} of them refused alike");
    println!("{ended} reads of what a purge or an end of the store had ended; the neighbour's acts: {acts:?}");
    let damages = acts.get("damage").copied().unwrap_or(0);
    assert!(layout != Layout::OwnShards || damages > 0, "nothing was damaged");
    assert!(compared > 6 * refused && compared > 8 * ended, "too many calls were refused or ended");
}

#[test]
fn in_segments_that_both_share() {
    compare_all(Layout::WithoutGraphs, 1_000);
}

#[test]
fn of_exact_searches_where_graphs_are_built() {
    compare_all(Layout::WithGraphs, 2_000);
}

#[test]
fn where_the_neighbours_segments_are_damaged() {
    compare_all(Layout::OwnShards, 3_000);
}
