//! No crash state of any workload breaks a promise of its durability.
//!
//! A plain run looks at a few moments of each workload. `scripts/proof.sh` looks at all, from a seed until it has seen
//! as many states as it is told to, and `VECMEM_STATE` of a violation looks at that one state again.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use crate::classes::CLASSES;
use crate::explore::{Position, explore};
use crate::tally::Tally;
use crate::workloads::WORKLOADS;

/// Of so many moments of a run, a plain run of the tests looks at one.
const STEP: usize = 160;

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is a number, not {text:?}")))
}

/// Explores from seed `from` until there are `wanted` states, on all cores.
fn explore_until(tally: Tally, from: u64, wanted: u64, step: usize) -> Tally {
    let tally = Mutex::new(tally);
    let next = AtomicUsize::new(0);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let run = next.fetch_add(1, Ordering::Relaxed);
                    let (seed, row) = (from + (run / WORKLOADS.len()) as u64, run % WORKLOADS.len());
                    {
                        let tally = tally.lock().unwrap();
                        if tally.states_from(from) >= wanted || tally.violations().len() > 20 {
                            return;
                        }
                        if tally.has(seed, row) {
                            continue;
                        }
                    }
                    let explored = explore(&WORKLOADS[row], seed, step, None);
                    tally.lock().unwrap().add(seed, row, explored);
                }
            });
        }
    });
    tally.into_inner().unwrap()
}

/// `seed workload durability class image state`.
fn look_again(text: &str) {
    let words: Vec<&str> = text.split(' ').collect();
    let [seed, workload, durability, class, image, state] = words[..] else {
        panic!("VECMEM_STATE is `seed workload durability class image state`, not {text:?}");
    };
    let is_meant =
        |row: &&crate::workloads::Workload| row.name == workload && format!("{:?}", row.durability) == durability;
    let workload = WORKLOADS.iter().find(is_meant).unwrap_or_else(|| panic!("there is no workload {workload:?}"));
    let class = CLASSES.into_iter().find(|known| known.name() == class).expect("the class is a column of the table");
    let number = |text: &str| text.parse::<usize>().unwrap_or_else(|_| panic!("{text:?} is no number"));
    let position = Position { class, image: number(image), state: number(state) };
    let explored = explore(workload, number(seed) as u64, 1, Some(position));
    println!("{} state was looked at", explored.disks.len());
    assert!(explored.violations.is_empty(), "{:#?}", explored.violations);
}

#[test]
fn no_crash_state_breaks_a_promise() {
    if let Ok(state) = std::env::var("VECMEM_STATE") {
        return look_again(&state);
    }
    let started = Instant::now();
    let from = number("VECMEM_FROM").unwrap_or_default();
    let wanted = number("VECMEM_STATES");
    let (tally, before) = match wanted {
        Some(wanted) => {
            let tally = Tally::kept();
            let before = tally.states_from(from);
            (explore_until(tally, from, wanted, 1), before)
        }
        None => {
            let rows = WORKLOADS.len();
            (0..rows).fold((Tally::default(), 0), |(mut tally, before), row| {
                tally.add(0, row, explore(&WORKLOADS[row], 0, STEP, None));
                (tally, before)
            })
        }
    };
    print!("{}", tally.table(from));
    let (states, seconds) = (tally.states_from(from), started.elapsed().as_secs_f64());
    println!("{} new states in {seconds:.1} s, {:.0} a second", states - before, (states - before) as f64 / seconds);
    assert!(tally.violations().is_empty(), "{:#?}", tally.violations());
    assert!(states >= wanted.unwrap_or(500), "only {states} states");
}
