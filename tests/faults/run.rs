//! Runs of single tests, several at a time, with a fault or without.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// A test that takes this long is ended. No test of the catalogue takes a sixth of it on an idle machine.
const LIMIT: Duration = Duration::from_secs(30);

/// One test of one binary, with a fault or without.
#[derive(Clone, Copy)]
pub struct Run {
    /// Binary and test.
    pub test: (&'static str, &'static str),
    pub fault: Option<&'static str>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Passed,
    /// The test has panicked.
    Failed,
    Missing,
    TimedOut,
    /// The process ended in another way.
    Ended(String),
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passed => f.write_str("the test passes"),
            Self::Failed => f.write_str("the test fails"),
            Self::Missing => f.write_str("the binary has no test of that name"),
            Self::TimedOut => write!(f, "the test was ended after {} s", LIMIT.as_secs()),
            Self::Ended(how) => write!(f, "the process ended with {how}"),
        }
    }
}

pub struct Finished {
    pub outcome: Outcome,
    pub took: Duration,
}

/// The outcomes of the runs, in their order.
pub fn all(copy: &Path, binaries: &BTreeMap<String, PathBuf>, runs: &[Run]) -> Vec<Finished> {
    let finished: Vec<Mutex<Option<Finished>>> = runs.iter().map(|_| Mutex::new(None)).collect();
    let next = AtomicUsize::new(0);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some(&run) = runs.get(number) else { break };
                    *finished[number].lock().unwrap() = Some(one(copy, &binaries[run.test.0], run, number));
                }
            });
        }
    });
    finished.into_iter().map(|finished| finished.into_inner().unwrap().unwrap()).collect()
}

fn one(copy: &Path, binary: &Path, run: Run, number: usize) -> Finished {
    let started = Instant::now();
    let outcome = try_one(copy, binary, run, number).unwrap_or_else(|error| Outcome::Ended(error.to_string()));
    Finished { outcome, took: started.elapsed() }
}

fn try_one(copy: &Path, binary: &Path, run: Run, number: usize) -> std::io::Result<Outcome> {
    // The output goes to a file, which is kept: it says how a fault was noticed.
    let outputs = copy.join("outputs");
    fs::create_dir_all(&outputs)?;
    let name = run.fault.map_or_else(|| format!("without-{number}"), str::to_owned);
    let path = outputs.join(name);
    let output = File::create(&path)?;
    let mut command = Command::new(binary);
    command.args(["--exact", run.test.1, "--test-threads", "1"]).current_dir(copy);
    // Most runs are to panic, and a backtrace takes longer than most of the tests.
    command.env("RUST_BACKTRACE", "0");
    command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
    match run.fault {
        Some(fault) => command.env("VECMEM_FAULT", fault),
        None => command.env_remove("VECMEM_FAULT"),
    };
    let (mut child, deadline) = (command.spawn()?, Instant::now() + LIMIT);
    loop {
        if let Some(status) = child.try_wait()? {
            let said = String::from_utf8_lossy(&fs::read(&path)?).into_owned();
            return Ok(judge(status.success(), &said, || status.to_string()));
        }
        if Instant::now() > deadline {
            child.kill()?;
            child.wait()?;
            return Ok(Outcome::TimedOut);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// What a finished process says of its test.
fn judge(has_succeeded: bool, said: &str, status: impl FnOnce() -> String) -> Outcome {
    match has_succeeded {
        _ if said.contains("running 0 tests") => Outcome::Missing,
        true if said.contains("test result: ok. 1 passed") => Outcome::Passed,
        false if said.contains("test result: FAILED. 0 passed; 1 failed") => Outcome::Failed,
        _ => Outcome::Ended(status()),
    }
}
