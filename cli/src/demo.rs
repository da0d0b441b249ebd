//! `demo`: the engine on a small real sample, judged by the reader, then a crash in the middle of writes.

use std::io::{BufReader, Cursor};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use vecmem::{Filter, ImportProgress, Metric, Namespace, Options, Query, Scope, SearchResult, Store};

use crate::arguments::open;
use crate::crash::{self, Crash};
use crate::load::Load;
use crate::npy::Npy;
use crate::output::{self, Output};
use crate::source::{ReadSeek, Source};

const MEMORIES: &[u8] = include_bytes!("../assets/memories.jsonl");
const MEMORY_VECTORS: &[u8] = include_bytes!("../assets/memories.f16.npy");
const QUESTIONS: &str = include_str!("../assets/questions.jsonl");
const QUESTION_VECTORS: &[u8] = include_bytes!("../assets/questions.f16.npy");
/// Hits shown for each question.
const HITS: usize = 3;
/// Characters of a memory's text that are shown.
const TEXT_CHARACTERS: usize = 110;

/// Make a store of 651 memories, ask it questions, kill it in the middle of writes, and count what is left
#[derive(Args)]
#[command(after_help = "\
Examples:
  vecmem demo              (in a temporary directory)
  vecmem demo memories     (keeps the store, to look around in: vecmem ls memories)")]
pub struct Demo {
    /// A new directory for the store; a temporary one when not given
    dir: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Question<'a> {
    question: String,
    namespace: Option<Vec<String>>,
    prefix: Option<Vec<String>>,
    #[serde(borrow)]
    filter: Option<&'a RawValue>,
    note: String,
}

impl Demo {
    pub fn run(self, output: Output) -> Result<()> {
        let temporary = tempfile::tempdir().context("cannot make a temporary directory; name one: vecmem demo DIR")?;
        let directory = self.dir.clone().unwrap_or_else(|| temporary.path().join("memories"));
        ensure!(!directory.exists(), "{} is there already; name a new directory", directory.display());

        let store = Store::open(&directory, Options::with_vectors(384, Metric::Cosine))?;
        let started = Instant::now();
        let progress = ImportProgress::default();
        let mut load = Load {
            store: Some(store),
            checkpoint_name: None,
            skip_bad: false,
            chunk_lines: usize::MAX,
            progress,
            header_lines: 0,
            unknown_texts: 0,
        };
        load.run(sample()?, |_| bail!("the store is open"), |_| {})?;
        let Load { store: Some(store), progress, .. } = load else { bail!("the store was closed during the import") };
        let took = started.elapsed().as_millis();
        output.say(format!(
            "Imported {} with their vectors, durably, in {took} ms.",
            output::counted(progress.imported, "memory")
        ))?;

        let questions = ask_all(&store, output)?;
        store.close()?;
        drop(store);
        let crash = crash_and_reopen(&directory, output)?;
        if output.json {
            let crash = json!({
                "acknowledged": crash.acknowledged, "found": crash.found, "unacknowledged": crash.unacknowledged,
            });
            let json = json!({"imported": progress.imported, "questions": questions, "crash": crash});
            output.print(&json, String::new)?;
        }
        ensure!(
            crash.is_well(),
            "acknowledged writes are missing; please report this as a bug, with {}",
            directory.display()
        );
        if self.dir.is_some() {
            output.say(format!("\nThe store is kept: vecmem ls {} shows what is in it.", directory.display()))?;
        }
        Ok(())
    }
}

fn sample() -> Result<Source> {
    let vectors: Box<dyn ReadSeek> = Box::new(BufReader::new(Cursor::new(MEMORY_VECTORS)));
    let vectors = Npy::new("memories.f16.npy", vectors)?;
    Source::new("memories.jsonl".into(), Box::new(MEMORIES), Some(vectors))
}

fn ask_all(store: &Store, output: Output) -> Result<Vec<Value>> {
    let mut vectors = Npy::new("questions.f16.npy", Cursor::new(QUESTION_VECTORS))?;
    let mut answered = Vec::new();
    let mut times = Vec::new();
    for (number, line) in QUESTIONS.lines().enumerate() {
        let question: Question<'_> = serde_json::from_str(line).context("questions.jsonl")?;
        let vector = vectors.next_row()?.context("questions.f16.npy has too few rows")?;
        let (scope, place) = question.scope()?;
        let mut query = Query::new(scope).vector(vector).limit(HITS);
        if let Some(filter) = question.filter {
            query = query.filter(Filter::from_json_str(filter.get())?);
        }
        let started = Instant::now();
        let answer = store.search(&query)?;
        let took = started.elapsed();
        times.push(took);
        let filter = question.filter.map_or("", RawValue::get);
        output.say(for_people(number + 1, &question, &place, filter, &answer)?)?;
        let hits: Vec<Value> = texts(&answer)?
            .into_iter()
            .map(|(score, name, text)| json!({"score": score, "item": name, "text": text}))
            .collect();
        answered.push(json!({
            "question": question.question, "scope": place, "filter": question.filter, "expected": question.note,
            "hits": hits, "microseconds": took.as_micros() as u64,
        }));
    }
    times.sort();
    let (median, slowest) = (times.get(times.len() / 2), times.last());
    let micros = |time: Option<&Duration>| time.map_or(0, Duration::as_micros);
    output.say(format!(
        "\n{} over {}: a search took {} us in the median, {} us at most. All are exact: graphs are for\nnamespaces of 16,384 vectors and more, and vecmem bench --generate 50000 shows what they do.",
        output::counted(times.len() as u64, "question"),
        output::counted(store.stats()?.size.items, "memory"),
        micros(median),
        micros(slowest)
    ))?;
    Ok(answered)
}

impl Question<'_> {
    fn scope(&self) -> Result<(Scope, String)> {
        match (&self.namespace, &self.prefix) {
            (Some(labels), _) => {
                let namespace = Namespace::new(labels)?;
                let name = format!("in {namespace}");
                Ok((Scope::Namespace(namespace), name))
            }
            (None, Some(labels)) => {
                let namespace = Namespace::new(labels)?;
                let name = format!("in {namespace} and below");
                Ok((Scope::Prefix(namespace), name))
            }
            (None, None) => bail!("questions.jsonl: a question has neither namespace nor prefix"),
        }
    }
}

fn for_people(
    number: usize,
    question: &Question<'_>,
    place: &str,
    filter: &str,
    answer: &SearchResult,
) -> Result<String> {
    let filter = if filter.is_empty() { String::new() } else { format!(", only {filter}") };
    let mut text = format!("\n{number}. {}\n   {place}{filter}; to expect: {}", question.question, question.note);
    for (score, name, memory) in texts(answer)? {
        let mut short: String = memory.chars().take(TEXT_CHARACTERS).collect();
        if short.len() < memory.len() {
            short.push('…');
        }
        text += &format!("\n   {score:.3}  {name}: {short}");
    }
    Ok(text)
}

/// (score, name, text) of each hit.
fn texts(answer: &SearchResult) -> Result<Vec<(f32, String, String)>> {
    #[derive(Deserialize)]
    struct Memory {
        text: String,
    }
    let read = |hit: &vecmem::Hit| {
        let memory: Memory = hit.item.value_as()?;
        Ok((hit.score.unwrap_or(0.0), output::name(&hit.item), memory.text))
    };
    answer.iter().map(read).collect()
}

fn crash_and_reopen(directory: &Path, output: Output) -> Result<Crash> {
    output.say("\nNow a child process writes to the store, one durable put after the other, and is killed in the middle (SIGKILL).")?;
    let acknowledged = crash::kill_a_writer(directory)?;
    let started = Instant::now();
    let store = open(directory)?;
    let took = started.elapsed();
    let crash = crash::verify(&store, acknowledged)?;
    store.close()?;
    let under_way = match crash.unacknowledged {
        0 => "nothing of the write under way".to_owned(),
        1 => "the write under way as well".to_owned(),
        more => format!("{more} writes that nobody acknowledged"),
    };
    output.say(format!(
        "Acknowledged before the kill: {}. Found after reopening (in {} ms): {}, {under_way}.",
        crash.acknowledged,
        took.as_millis(),
        crash.found
    ))?;
    if crash.is_well() {
        output.say("Nothing that was acknowledged is lost.")?;
    }
    Ok(crash)
}
