//! Once the background has had its turn, no open looks up the keys of an import again: the manifest holds what it did,
//! also to parts that got other derived files meanwhile.

use crate::common::{Random, namespace, numbered, reopened, simulated, tiny};
use vecmem::{ImportOptions, Metric, Namespace, Options, Put, Result, Scope, Store, Tuning};

const DIMS: usize = 4;

fn options() -> Options {
    tiny(DIMS, Metric::Dot).tuning(Tuning { graph_rows: u32::MAX, earn_rows: u32::MAX, ..Tuning::tiny() })
}

fn puts(home: &Namespace, round: u64, count: u64) -> Vec<Result<Put>> {
    let mut random = Random::new(round);
    (0..count).map(|number| Ok(numbered(home, format!("k{number}"), round).vector(random.vector(DIMS)))).collect()
}

fn is_behind(store: &Store) -> bool {
    let stats = store.stats().unwrap();
    stats.log.checkpoint_lsn < stats.log.visible_lsn
}

#[test]
fn the_checkpoint_follows_every_chunk() {
    let cut = namespace(["m"]);
    for options in [options(), options().split_keys([cut])] {
        let (store, storage, clock) = simulated(options.clone());
        for (round, home) in [(1, namespace(["a"])), (2, namespace(["z"])), (3, namespace(["a"]))] {
            store.import(puts(&home, round, 100), ImportOptions::new()).unwrap();
            assert!(!is_behind(&store), "round {round}");
        }
        let dump = store.text_dump().unwrap();
        drop(store);
        crate::common::assert_unchanged(&reopened(&storage, &clock, options), &dump);
    }
}

#[test]
fn what_it_replaces_in_a_part_that_gets_a_graph_or_is_merged_meanwhile_stays_dead() {
    let changes: [fn(&Store); 3] = [
        |store| assert_eq!(store.build_graph(&Scope::Store).unwrap().graphs, 1),
        |store| drop(store.compact().unwrap()),
        |store| {
            store.delete_range(&Scope::from(&namespace(["a"]))).unwrap();
            store.compact().unwrap();
        },
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let (store, storage, clock) = simulated(options());
        let home = namespace(["a"]);
        store.import(puts(&home, 1, 90), ImportOptions::new()).unwrap();
        store.put(numbered(&home, "k1", 0)).unwrap();
        store.compact().unwrap();
        let during = ImportOptions::new().before_commit(|| change(&store));
        // So few that no merge is due, which would know their deaths from memory.
        store.import(puts(&home, 2, 10), during).unwrap();
        assert!(!is_behind(&store), "change {number}");
        let live = if number == 2 { 10 } else { 90 };
        assert_eq!(store.stats().unwrap().size.items, live, "change {number}");
        let dump = store.text_dump().unwrap();
        crate::common::assert_unchanged(&store, &dump);
        store.close().unwrap();
        let store = reopened(&storage, &clock, options());
        assert_eq!(store.stats().unwrap().size.items, live, "change {number}, reopened");
        crate::common::assert_unchanged(&store, &dump);
    }
}
