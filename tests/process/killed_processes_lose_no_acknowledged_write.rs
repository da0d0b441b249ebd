//! A process that is killed at any moment loses no acknowledged write under `Sync` and `Periodic`, and under `Manual`
//! none that was synced; what goes there goes from the end. Batches are whole, and the store opens each time.
//!
//! Each process writes with three threads and default tuning into the store that the one before has left.
//! `VECMEM_KILLS` sets how many are killed.

#[path = "../common/mod.rs"]
mod common;

use common::writer::{Expected, Job, listen, start, write_until_killed};
use common::{Random, process};
use vecmem::Durability;

const NAME: &str = "killed_processes_lose_no_acknowledged_write";
const KILLS: u64 = 204;
/// Stores that are written to one after the other, since a small store opens sooner.
const KILLS_OF_A_STORE: u64 = 34;

/// What is kept and lost, by durability.
#[derive(Default)]
struct Tally {
    kept: [u64; 3],
    lost: [u64; 3],
}

/// Kills the processes of some numbers, one after the other.
fn kill_all(numbers: std::ops::Range<u64>) -> Tally {
    let (mut random, mut tally) = (Random::new(numbers.start), Tally::default());
    let (mut directory, mut expected) = (tempfile::tempdir().unwrap(), Expected::default());
    for number in numbers {
        if number % KILLS_OF_A_STORE == 0 {
            (directory, expected) = (tempfile::tempdir().unwrap(), Expected::default());
        }
        let mode = (number % 3) as usize;
        let durability = [Durability::Sync, Durability::Periodic, Durability::Manual][mode];
        let job = Job { durability, seed: 1_000 + number, threads: 3 };
        let path = directory.path().join("store");
        let mut child = start(NAME, &job, &path);
        let most = *random.pick(&[10, 100, 100, 600]);
        let said = listen(&mut child, 1 + random.below(most), |child| child.kill().unwrap());
        let found = expected.check(&path, &job, &said, durability != Durability::Manual);
        tally.kept[mode] += found.kept;
        tally.lost[mode] += found.lost;
    }
    tally
}

#[test]
fn killed_processes_lose_no_acknowledged_write() {
    if let Some(place) = process::place() {
        return write_until_killed(&place);
    }
    let kills = std::env::var("VECMEM_KILLS").map_or(KILLS, |kills| kills.parse().unwrap());
    println!("{kills} kills, seeds 1000..{}", 1_000 + kills);
    let (one, other) = std::thread::scope(|scope| {
        let one = scope.spawn(|| kill_all(0..kills / 2));
        let other = kill_all(kills / 2..kills);
        (one.join().unwrap(), other)
    });
    for (mode, durability) in ["Sync", "Periodic", "Manual"].iter().enumerate() {
        let (kept, lost) = (one.kept[mode] + other.kept[mode], one.lost[mode] + other.lost[mode]);
        println!("{durability}: {kept} acknowledged operations are there, {lost} are not");
        assert!(kept > 0 && (mode == 2 || lost == 0));
    }
}
