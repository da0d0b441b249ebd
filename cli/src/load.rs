//! Lines on their way into a store: one thread reads and parses, this one hands them to the bulk import.
//!
//! Invariants:
//! * The two are at most a few blocks apart.
//! * A refused line, whoever refuses it, is named by its number and column.

use std::cell::RefCell;
use std::sync::mpsc::{Receiver, sync_channel};
use std::{thread, vec};

use anyhow::{Result, anyhow, bail};
use vecmem::{Error, ErrorKind, ImportOptions, ImportProgress, Namespace, Options, Put, Store};

use crate::lines::{EmbeddedTexts, Line, LineError};
use crate::source::{Block, Source};

/// Bad rows that `--skip-bad` names one by one.
const NAMED_BAD_ROWS: u64 = 10;
/// Blocks that may wait between the parsing and the writing thread.
const BLOCKS_AHEAD: usize = 8;

/// One import under way.
pub struct Load {
    /// Where the items go; made with the first block when it is `None`.
    pub store: Option<Store>,
    /// The name under which the progress is kept, if it is.
    pub checkpoint_name: Option<String>,
    /// Leave bad rows out.
    pub skip_bad: bool,
    /// Lines that get in together.
    pub chunk_lines: usize,
    /// How far it is.
    pub progress: ImportProgress,
    /// Lines before the first item, which the number of a line in the file counts and its progress does not.
    pub header_lines: u64,
    /// Vectors of this run's items whose texts are not known.
    pub unknown_texts: u64,
}

/// State that the iterator of items shares with the handler of bad items.
#[derive(Default)]
struct LineState {
    /// Of the line handed over last, for what the store says about it.
    place: Option<Place>,
    /// Of the line that was refused last, if it never reached the store.
    refused: Option<LineError>,
    /// Why reading ended early.
    failed: Option<anyhow::Error>,
    unknown_texts: u64,
}

/// Where the parts of a line are, and those of its parts that say which one is bad.
struct Place {
    namespace: Namespace,
    key: String,
    value: Box<str>,
    value_column: usize,
    vectors_column: usize,
}

impl Load {
    /// Puts everything that `source` has beyond the progress so far.
    pub fn run(
        &mut self,
        mut source: Source,
        create: impl FnOnce(&Block) -> Result<Store>,
        show: impl FnMut(&ImportProgress),
    ) -> Result<()> {
        let name = source.name().to_owned();
        source.skip(self.progress.lines)?;
        thread::scope(|scope| {
            let (sender, receiver) = sync_channel(BLOCKS_AHEAD);
            scope.spawn(move || {
                loop {
                    let block = source.next_block();
                    let ends = block.as_ref().is_ok_and(|block| !block.is_last);
                    if sender.send(block).is_err() || !ends {
                        break;
                    }
                }
            });
            let first = receiver.recv().map_err(|_| anyhow!("{name} could not be read"))??;
            let store = match self.store.take() {
                Some(store) => store,
                None => create(&first)?,
            };
            let store = self.store.insert(store).clone();
            self.import(&name, &store, first, receiver, show)
        })
    }

    fn import(
        &mut self,
        name: &str,
        store: &Store,
        first: Block,
        receiver: Receiver<Result<Block>>,
        mut show: impl FnMut(&ImportProgress),
    ) -> Result<()> {
        let shared = RefCell::new(LineState::default());
        let items = Items { block: first.lines.into_iter(), ended: first.is_last, receiver, shared: &shared };
        let header_lines = self.header_lines;
        let (mut skipped, mut bad) = (self.progress.skipped, None);
        let judge = |line: u64, error: &Error| {
            if !self.skip_bad {
                bad = Some(format!("line {}, {}", line + header_lines, shared.borrow_mut().name_bad(store, error)));
                return false;
            }
            skipped += 1;
            if skipped <= NAMED_BAD_ROWS {
                eprintln!("skipped line {}, {}", line + header_lines, shared.borrow_mut().name_bad(store, error));
            }
            true
        };
        let mut done = self.progress;
        let options = ImportOptions::new().continue_after(self.progress).chunk_rows(self.chunk_lines).on_bad(judge);
        let options = options.leave_out_expired(true);
        let options = options.on_progress(|progress| {
            done = *progress;
            show(progress);
        });
        let options = self.checkpoint_name.iter().fold(options, |options, name| options.source(name));
        let outcome = store.import(items, options);
        self.progress = done;
        let shared = shared.into_inner();
        self.unknown_texts = shared.unknown_texts;
        match (outcome, shared.failed, bad) {
            (_, Some(failed), _) => Err(failed),
            (_, None, Some(bad)) => {
                let done = match self.progress.lines {
                    0 => "nothing is imported".to_owned(),
                    done => format!("lines 1 to {} are imported", done + header_lines),
                };
                bail!(
                    "{name}: {bad}\n{done}; correct the line and run this again, or leave bad rows out with --skip-bad"
                );
            }
            (outcome, None, None) => Ok(outcome.map(drop)?),
        }
    }
}

/// The lines as items, in order.
struct Items<'a> {
    block: vec::IntoIter<Result<Line, LineError>>,
    ended: bool,
    receiver: Receiver<Result<Block>>,
    shared: &'a RefCell<LineState>,
}

impl Iterator for Items<'_> {
    type Item = vecmem::Result<Put>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(line) = self.block.next() {
                return Some(self.item(line));
            }
            if self.ended {
                return None;
            }
            match self.receiver.recv() {
                Ok(Ok(block)) => (self.block, self.ended) = (block.lines.into_iter(), block.is_last),
                failed => {
                    self.ended = true;
                    let error = failed.map_err(anyhow::Error::from).and_then(|block| block).err();
                    self.shared.borrow_mut().failed = error;
                    return Some(Err(Error::new(ErrorKind::Io, "the source could not be read to its end")));
                }
            }
        }
    }
}

impl Items<'_> {
    fn item(&self, line: Result<Line, LineError>) -> vecmem::Result<Put> {
        let mut shared = self.shared.borrow_mut();
        match line {
            Ok(line) => {
                let (namespace, key, value) = (line.namespace.clone(), line.key.clone(), line.value.clone());
                let (value_column, vectors_column) = (line.value_column, line.vectors_column);
                shared.place = Some(Place { namespace, key, value, value_column, vectors_column });
                shared.refused = None;
                shared.unknown_texts += line.unknown_texts;
                Ok(put(line))
            }
            Err(error) => {
                let message = error.message.clone();
                shared.refused = Some(error);
                Err(Error::new(ErrorKind::InvalidInput, message))
            }
        }
    }
}

impl LineState {
    /// Where the bad line handed over last is bad. The store does not tell value and vectors apart, so the value is
    /// tried alone, on a store that is thrown away.
    fn name_bad(&mut self, store: &Store, error: &Error) -> LineError {
        if let Some(refused) = self.refused.take() {
            return refused;
        }
        let message = error.to_string();
        let Some(place) = &self.place else { return LineError { column: 1, message } };
        let options =
            store.vector_space().map_or_else(Options::new, |space| Options::with_vectors(space.dims, space.metric));
        let bare = Put::new(&place.namespace, place.key.as_str(), &*place.value);
        let is_value = Store::temporary(options).and_then(|scratch| scratch.put(bare)).is_err();
        LineError { column: if is_value { place.value_column } else { place.vectors_column }, message }
    }
}

fn put(line: Line) -> Put {
    let mut put = Put::new(&line.namespace, line.key, line.value);
    for vector in line.vectors.into_iter().flatten() {
        put = put.field_vector(&vector.path, vector.values);
    }
    if let Some(ttl) = line.ttl {
        put = put.ttl(ttl);
    }
    if let Some(micros) = line.expires_at {
        put = put.expires_at(micros);
    }
    if let Some(EmbeddedTexts { model, texts }) = &line.embedded {
        put = put.embedded(model, texts.iter().map(String::as_str));
    }
    put = put.index_paths(line.index_paths.iter().map(String::as_str));
    for extension in &line.extensions {
        put = put.extension(extension.kind, extension.must_understand, &extension.bytes);
    }
    if let Some(micros) = line.created_at {
        put = put.created_at(micros);
    }
    if let Some(micros) = line.updated_at {
        put = put.updated_at(micros);
    }
    put
}
