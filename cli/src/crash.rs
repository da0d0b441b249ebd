//! The crash of the demo: a child process that writes until it is killed, and the check that nothing it acknowledged is
//! lost.
//!
//! Invariants:
//! * The child reports a write only after the store has acknowledged it, one line of the pipe each; a line is shorter
//!   than what a pipe takes in one piece, so a killed child leaves no half line.
//! * The child writes one item after the other, so at most one write is not reported when it dies.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};
use clap::Args;
use vecmem::{Namespace, Put, ReadOptions, Scope, Store};

use crate::arguments::open;

/// Acknowledged writes after which the child is killed.
const KILL_AFTER: usize = 300;
const SIGKILL: i32 = 9;

/// Write until killed (used by `vecmem demo`)
#[derive(Args)]
pub struct CrashWriter {
    /// The store
    dir: PathBuf,
}

impl CrashWriter {
    pub fn run(self) -> Result<()> {
        let store = open(&self.dir)?;
        let namespace = namespace()?;
        for number in 1.. {
            store.put(item(&store, &namespace, number))?;
            let mut out = io::stdout().lock();
            out.write_all(format!("{number}\n").as_bytes())?;
            out.flush()?;
        }
        Ok(())
    }
}

/// What became of the writes of the killed child.
pub struct Crash {
    /// Writes that were acknowledged before the kill.
    pub acknowledged: u64,
    /// Of these, the ones that are in the store, value and vector as written.
    pub found: u64,
    /// Further items: the write that was under way may have got in.
    pub unacknowledged: u64,
}

impl Crash {
    /// Whether the promise was kept.
    pub fn is_well(&self) -> bool {
        self.found == self.acknowledged && self.unacknowledged <= 1
    }
}

/// Kills a child in the middle of its writes; returns how many it had acknowledged.
pub fn kill_a_writer(directory: &Path) -> Result<u64> {
    let program = std::env::current_exe().context("cannot find this program to start it as a child")?;
    let child = Command::new(program).arg("crash-writer").arg(directory).stdout(Stdio::piped()).spawn();
    let mut child = KilledOnDrop(child.context("cannot start a child process")?);
    let pipe = child.0.stdout.take().context("the child has no output")?;
    let mut acknowledged: u64 = 0;
    for (count, line) in BufReader::new(pipe).lines().enumerate() {
        let number: u64 = line?.parse().context("the child reports something else than numbers")?;
        ensure!(number == acknowledged + 1, "the child reported write {number} after {acknowledged}");
        acknowledged = number;
        if count + 1 == KILL_AFTER {
            child.0.kill().context("cannot kill the child")?;
        }
    }
    let status = child.0.wait().context("cannot wait for the child")?;
    ensure!(
        status.signal() == Some(SIGKILL),
        "the child ended by itself ({status}) after {}",
        crate::output::counted(acknowledged, "write")
    );
    Ok(acknowledged)
}

/// Looks every acknowledged write up in the reopened store.
pub fn verify(store: &Store, acknowledged: u64) -> Result<Crash> {
    let namespace = namespace()?;
    let options = ReadOptions { include_vectors: true, ..ReadOptions::default() };
    let mut found = 0;
    for number in 1..=acknowledged {
        let item = store.get_with(&namespace, &key(number), &options)?;
        let is_whole = item.is_some_and(|item| {
            let vectors: Vec<&[f32]> = item.vectors.iter().map(|vector| &*vector.values).collect();
            *item.value == value(number) && vectors == [vector(store, number).as_slice()]
        });
        found += u64::from(is_whole);
    }
    let all = store.count(&Scope::Namespace(namespace), &ReadOptions::default())?;
    Ok(Crash { acknowledged, found, unacknowledged: all.saturating_sub(found) })
}

fn namespace() -> Result<Namespace> {
    Ok(Namespace::new(["crash"])?)
}

fn item(store: &Store, namespace: &Namespace, number: u64) -> Put {
    Put::new(namespace, key(number), value(number)).vector(vector(store, number))
}

fn key(number: u64) -> String {
    format!("w-{number:06}")
}

fn value(number: u64) -> String {
    format!("{{\"text\": \"write number {number}\", \"number\": {number}}}")
}

fn vector(store: &Store, number: u64) -> Vec<f32> {
    let dims = store.vector_space().map_or(0, |space| space.dims);
    (0..dims as u64).map(|at| (number * 31 + at * 17) as f32 % 101.0 - 50.0).collect()
}

struct KilledOnDrop(Child);

impl Drop for KilledOnDrop {
    fn drop(&mut self) {
        // Both fail only when the child has already ended and been waited for.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
