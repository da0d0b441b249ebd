//! Child processes: searches beside those of other processes, memory that nothing else has touched, and the baseline.
//!
//! Invariants:
//! * A child gets its task as one JSON argument and answers each line that it reads with one line of JSON.
//! * It ends when its input does, so that no child outlives its parent.

use std::io::{self, BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::baseline;
use super::matrix::read_vectors;
use super::process::{Memory, anonymous, memory};
use super::store::{Accuracy, Layout, ask, wait_for_graphs};
use super::timing::{Run, run};

/// Do a part of a benchmark (used by `vecmem bench`)
#[derive(Args)]
pub struct BenchChild {
    /// What to do
    task: String,
}

/// What a child does.
#[derive(Serialize, Deserialize)]
pub enum Task {
    Search(Search),
    Baseline(baseline::Plan),
}

/// Asks a store of its own: says its memory once it is warm, then runs each time it is told to.
#[derive(Serialize, Deserialize)]
pub struct Search {
    pub layout: Layout,
    pub queries: PathBuf,
    pub k: usize,
    pub ef: Accuracy,
    /// Graphs that a question searches.
    pub graph_searches: usize,
    pub seconds: f64,
}

impl BenchChild {
    pub fn run(self) -> Result<()> {
        match serde_json::from_str(&self.task).context("the task of the child process")? {
            Task::Search(search) => search.run(),
            Task::Baseline(plan) => answer(&plan.run()?),
        }
    }
}

impl Search {
    fn run(self) -> Result<()> {
        let queries = read_vectors(&self.queries)?;
        let questions = self.layout.questions(&queries, self.k, self.ef)?;
        let before = anonymous();
        let store = self.layout.open()?;
        wait_for_graphs(&store, &questions[0], self.graph_searches)?;
        for question in &questions {
            ask(&store, question)?;
        }
        answer(&memory(before, &self.layout.directory))?;
        for line in io::stdin().lines() {
            line?;
            answer(&run(
                self.seconds,
                0,
                questions.len(),
                |number| ask(&store, &questions[number]).map(drop),
                |_| {},
            )?)?;
        }
        Ok(store.close()?)
    }
}

fn answer(answer: &impl Serialize) -> Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{}", serde_json::to_string(answer)?)?;
    Ok(out.flush()?)
}

/// A child at work, seen from its parent.
struct Worker {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Worker {
    fn start(task: &Task) -> Result<Self> {
        let program = std::env::current_exe().context("cannot find this program to start it as a child")?;
        let mut command = Command::new(program);
        command.arg("bench-child").arg(serde_json::to_string(task)?).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().context("cannot start a child process")?;
        let input = child.stdin.take();
        let output = child.stdout.take().context("the child has no output")?;
        Ok(Self { child, input, output: BufReader::new(output) })
    }

    fn tell(&mut self) -> Result<()> {
        let input = self.input.as_mut().context("the child has no input")?;
        writeln!(input, "go").context("the child process has ended early")
    }

    fn hear<T: DeserializeOwned>(&mut self) -> Result<T> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        ensure!(!line.is_empty(), "a child process has ended early; its message is above");
        serde_json::from_str(&line).with_context(|| format!("a child process answered {line:?}"))
    }

    fn end(&mut self) -> Result<()> {
        drop(self.input.take());
        let status = self.child.wait().context("cannot wait for a child process")?;
        if status.success() { Ok(()) } else { bail!("a child process failed ({status}); its message is above") }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // Both fail only when the child has already ended and been waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The memory of a process that did nothing but open the store and ask every question once.
pub fn memory_of(search: Search) -> Result<Memory> {
    let mut worker = Worker::start(&Task::Search(search))?;
    let memory = worker.hear()?;
    worker.end()?;
    Ok(memory)
}

/// The baseline's figures.
pub fn baseline(plan: baseline::Plan) -> Result<baseline::Figures> {
    let mut worker = Worker::start(&Task::Baseline(plan))?;
    let figures = worker.hear()?;
    worker.end()?;
    Ok(figures)
}

/// Processes that search at the same time.
pub struct Processes(Vec<Worker>);

impl Processes {
    /// Starts them and waits until all are warm.
    pub fn start(searches: impl IntoIterator<Item = Search>) -> Result<Self> {
        let start = |search| Worker::start(&Task::Search(search));
        let mut workers: Vec<Worker> = searches.into_iter().map(start).collect::<Result<_>>()?;
        workers.iter_mut().try_for_each(|worker| worker.hear::<Memory>().map(drop))?;
        Ok(Self(workers))
    }

    /// Queries per second of all of them together, in one run.
    pub fn run(&mut self) -> Result<f64> {
        self.0.iter_mut().try_for_each(Worker::tell)?;
        self.0.iter_mut().map(|worker| worker.hear::<Run>().map(Run::qps)).sum()
    }

    /// Lets them end.
    pub fn end(mut self) -> Result<()> {
        self.0.iter_mut().try_for_each(Worker::end)
    }
}
