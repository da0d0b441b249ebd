//! Seeded faults: for each promise of the core, a small change that breaks it, and the named test that notices.
//!
//! `cargo test --test seeded_faults [-- NAME...]` copies the sources to `target/seeded-faults` and makes every
//! substitution of the catalogue there. The word `FAULT` of a replacement becomes a test of the environment variable
//! `VECMEM_FAULT`, so one build has all faults, each of them off until a run names it. Every test of the catalogue runs
//! without a fault first, and must pass; then each fault runs with its test, which must fail.
//!
//! Invariants:
//! * A text to find occurs exactly once in its file. Otherwise nothing is built, and the fault is named.
//! * A fault counts as caught only if its test ran and failed with a panic. A test that is ended because it takes too
//!   long, or that does not exist, catches nothing.
//! * The sources of the checkout are only read.

mod build;
mod catalogue;
mod run;

use std::process::ExitCode;
use std::time::Duration;

use catalogue::Fault;
use run::{Outcome, Run};

/// A run of a test that takes longer than this is marked in the table.
const SLOW: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    let named: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    match check(&named) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("seeded faults: {why}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the named faults, or all if none is named. Returns whether all of them are caught.
fn check(named: &[String]) -> Result<bool, String> {
    let all: Vec<&Fault> = catalogue::all().collect();
    check_names(&all)?;
    if let Some(unknown) = named.iter().find(|name| all.iter().all(|fault| fault.name != name.as_str())) {
        return Err(format!("there is no fault {unknown:?}; tests/faults/catalogue/ has those that there are"));
    }
    let chosen: Vec<&Fault> =
        all.iter().copied().filter(|fault| named.is_empty() || named.iter().any(|name| name == fault.name)).collect();
    let copy = build::copy_sources(&all)?;
    let binaries = build::build(&copy, &chosen)?;

    let mut tests: Vec<(&str, &str)> = chosen.iter().map(|fault| fault.test).collect();
    tests.sort_unstable();
    tests.dedup();
    println!("{} tests without a fault, then {} faults", tests.len(), chosen.len());
    let without: Vec<Run> = tests.iter().map(|&test| Run { test, fault: None }).collect();
    let bad: Vec<String> = without
        .iter()
        .zip(run::all(&copy, &binaries, &without))
        .filter(|(_, finished)| finished.outcome != Outcome::Passed)
        .map(|(run, finished)| format!("{} {}: {} without a fault", run.test.0, run.test.1, finished.outcome))
        .collect();
    if !bad.is_empty() {
        return Err(bad.join("\n"));
    }

    let with: Vec<Run> = chosen.iter().map(|fault| Run { test: fault.test, fault: Some(fault.name) }).collect();
    let finished = run::all(&copy, &binaries, &with);
    let mut caught = 0;
    for (fault, finished) in chosen.iter().zip(&finished) {
        let is_caught = finished.outcome == Outcome::Failed;
        caught += usize::from(is_caught);
        let verdict = if is_caught { "caught".to_owned() } else { format!("NOT CAUGHT: {}", finished.outcome) };
        let slow = if finished.took > SLOW { ", slow" } else { "" };
        let (binary, test) = fault.test;
        println!("{:<44} {verdict}{slow} in {:.1} s", fault.name, finished.took.as_secs_f64());
        println!("    {}\n    {binary} {test}", fault.breaks);
    }
    println!("{caught} of {} faults caught", chosen.len());
    Ok(caught == chosen.len())
}

/// Fails if two faults have one name: a run could not tell which of them is meant.
fn check_names(all: &[&Fault]) -> Result<(), String> {
    let mut names: Vec<&str> = all.iter().map(|fault| fault.name).collect();
    names.sort_unstable();
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(format!("two faults have the name {:?}", pair[0])),
        None => Ok(()),
    }
}
