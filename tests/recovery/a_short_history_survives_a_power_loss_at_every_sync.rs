//! A few hundred operations of every kind, and a power loss at each of their syncs: all that was acknowledged is there,
//! or, without a sync for each write, a prefix that holds all that was flushed. The long run is
//! `a_power_loss_at_every_sync`; this one takes a second, so that each seeded fault can be tried with it.

use crate::crash::compare::same_items;
use crate::crash::history::{open, record_drawn, state_found};
use crate::crash::operations::Generator;
use crate::crash::options;
use vecmem::Durability;
use vecmem::testing::{Loss, SimClock};

const OPERATIONS: usize = 240;
const KEYS: usize = 12;
/// Torn disks of each sync. What they keep is drawn, and a fault must not depend on one draw.
const TEARS: usize = 4;

fn survives(seed: u64, durability: Durability, prunes: bool) {
    let options = options().durability(durability);
    let mut generator = Generator::new(seed, KEYS);
    generator.prunes = prunes;
    let history = record_drawn(seed, OPERATIONS, generator, &options);
    let internals = &history.stats.internals;
    println!("seed {seed}, {} flushes, {} merges", internals.flushes, internals.merges);
    assert!(internals.flushes >= 3 && internals.merges >= 2, "{internals:?}");
    for (number, image) in history.images.iter().enumerate() {
        let torn = |tear: usize| (Loss::Torn, (number * TEARS + tear) as u64);
        for (loss, tear) in std::iter::once((Loss::AllUnsynced, 0)).chain((0..TEARS).map(torn)) {
            let acknowledged = image.tag as usize;
            let last = (acknowledged + 1).min(OPERATIONS);
            let promised = if durability == Durability::Sync { acknowledged } else { history.flushed[acknowledged] };
            let storage = image.survivor(loss, tear);
            let clock = SimClock::new(history.clocks[acknowledged]);
            let outcome = open(&storage, &clock, &options).map_err(|error| error.to_string()).and_then(|store| {
                let (found, model) = state_found(&history, &store, last)?;
                if found < promised && history.models[found].lsn < history.models[promised].lsn {
                    return Err(format!("{found} operations are left, {promised} were promised"));
                }
                let settings = crate::crash::compare::settings(&store)?;
                same_items(&store, &model.with_settings(&settings), &clock)
            });
            outcome.unwrap_or_else(|why| panic!("seed {seed}, disk {number}, {loss:?}: {why}"));
        }
    }
}

#[test]
fn with_a_sync_for_each_write() {
    survives(21, Durability::Sync, false);
}

#[test]
fn with_syncs_on_request() {
    survives(22, Durability::Manual, false);
}

#[test]
fn with_deletes_and_renames_by_rules() {
    survives(23, Durability::Sync, true);
}
