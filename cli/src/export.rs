//! `export`: every item as a line that `import` understands, in the order of namespace and key.
//!
//! Invariants:
//! * All lines are of one snapshot, whatever is written meanwhile, and equal contents give equal files.
//! * A file is complete or not there (`partial_file.rs`), and the lines and their matrix appear together.
//! * An import into a new store makes an equal store. What the lines cannot carry is counted and said.
//!
//! # Format
//!
//! The first line is a header (`header.rs`), and each further line an item (`lines.rs`), in the order of namespace and
//! key.
//!
//! | an item holds | a line has |
//! |---|---|
//! | namespace, key | `namespace`, `key` |
//! | value, byte for byte | `value`; for a value with line feeds `value_text`, the same as the text of a JSON string |
//! | one vector without a path | `vector`, or its row of the matrix |
//! | several vectors, or vectors with field paths | `vectors`, in order; an empty list beside a matrix says none |
//! | no vectors, as with `index=False` | neither, so that nothing is embedded later |
//! | field paths that the put named for embedding | `index_paths` |
//! | time to live, by which reads put off the expiry | `ttl_seconds`; `ttl_micros` where seconds are not exact |
//! | expiry | `expires_at`, the point of time, so an item lives as long as it would have in its own store |
//! | a time to live and no expiry | `ttl_seconds` and the greatest `expires_at` |
//! | `created_at`, `updated_at` | the same |
//! | hashes of the texts that its vectors embed | `texts`: the model, and the path of each text in the value |
//! | the same, where a text is not found in the value | `unknown_texts`, how many; they are counted |
//! | extensions | `extensions`, their bytes in hexadecimal |
//! | version | nothing: an import is a new write |
//!
//! | a store holds | an export has |
//! |---|---|
//! | dimensions and metric of vectors; settings | the header |
//! | expired items that are not removed yet | nothing: they are counted |
//! | a time to live for new items, embedding functions | nothing: programs keep these, not stores |
//! | secret, incarnation, log sequence numbers, ids of batches | nothing: they are of one copy |
//! | progress of imports, state of the clock | nothing: they are of one copy |
//! | codes, graphs | nothing: they are derived; `vecmem import --graph` builds graphs |
//!
//! A hash is keyed with the store's secret, which is never exported, so the importing store makes the hashes anew. The
//! export finds a text by the path of its vector (`texts.rs`) and the model's name in the setting `embedding_models` or
//! in `--model`, and asks the store whether it is the embedded one.

use std::io::{self, BufWriter, IntoInnerError, Write};
use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow};
use clap::Args;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use vecmem::{Cursor, IterateQuery, ReadOptions, Scope, Store, StoredItem};

use crate::arguments::open;
use crate::header::Header;
use crate::lines::{to_hex, ttl_of_seconds};
use crate::npy::NpyWriter;
use crate::output::{self, Output, VectorJson};
use crate::partial_file::{PartialFile, check_places, publish};
use crate::texts::{candidates, text_at};

/// Items read at a time.
const PAGE: usize = 1_000;
/// A setting with the names of models, as a JSON list: the Python store keeps it.
const MODELS_SETTING: &str = "embedding_models";

/// Write all items as lines of JSON, in the order of namespace and key
#[derive(Args)]
#[command(after_help = "\
Examples:
  vecmem export memories backup.jsonl.gz
  vecmem export memories items.jsonl --vectors vectors.npy
  vecmem export old - | vecmem import new -
  vecmem export memories rest.jsonl --partial    (of a damaged store, what can be read)

The first line has the settings of the store. An import makes an equal store: values, vectors, times, points of expiry,
and which texts are embedded. Expired items are left out and counted.")]
pub struct Export {
    /// The store
    dir: PathBuf,
    /// The file to write, gzip when its name ends in .gz; - is standard output
    #[arg(default_value = "-")]
    file: PathBuf,
    /// Write the vectors into this matrix (f32, row i for line i) instead of into the lines
    #[arg(long, value_name = "OUT.npy")]
    vectors: Option<PathBuf>,
    /// Leave out what is damaged, and say so, instead of failing
    #[arg(long)]
    partial: bool,
    /// A name under which texts were embedded, so that a later put of the same text need not embed it again; by default
    /// those in the setting embedding_models
    #[arg(long, value_name = "NAME")]
    model: Vec<String>,
}

type Matrix = NpyWriter<PartialFile>;

/// The outcome of an export.
#[derive(Clone, Copy)]
struct ExportOutcome {
    items: u64,
    /// Items that were left out since they have expired.
    expired: u64,
    /// Vectors whose embedded texts were not found.
    unknown_texts: u64,
    /// Something was damaged and left out.
    incomplete: bool,
}

#[derive(Serialize)]
struct ExportLine<'a> {
    namespace: Vec<String>,
    key: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value_text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    vector: Option<&'a [f32]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    vectors: Option<Vec<VectorJson<'a>>>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    index_paths: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl_seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl_micros: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<i64>,
    created_at: i64,
    updated_at: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    texts: Option<FoundTexts>,
    #[serde(skip_serializing_if = "is_zero")]
    unknown_texts: u64,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    extensions: Vec<ExtensionJson>,
}

/// Where in the value the texts are that a model has embedded, one for each vector.
#[derive(Serialize)]
struct FoundTexts {
    model: String,
    paths: Vec<String>,
}

#[derive(Serialize)]
struct ExtensionJson {
    kind: u16,
    must_understand: bool,
    hex: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Export {
    pub fn run(self, output: Output) -> Result<()> {
        let store = open(&self.dir)?;
        let is_stdout = self.file.as_os_str() == "-";
        let files = self.vectors.iter().chain((!is_stdout).then_some(&self.file));
        check_places(&files.map(PathBuf::as_path).collect::<Vec<_>>(), &self.dir)?;
        let matrix = self.vectors.as_deref().map(|path| self.create_matrix(&store, path)).transpose()?;
        if is_stdout {
            let mut out = BufWriter::with_capacity(256 << 10, io::stdout().lock());
            let (written, matrix) = self.write_items(&store, &mut out, matrix)?;
            publish(matrix.into_iter().collect())?;
            self.warn(written);
            return Ok(());
        }
        let mut out = BufWriter::with_capacity(256 << 10, PartialFile::create(&self.file)?);
        let (written, matrix) = if self.file.extension().is_some_and(|extension| extension == "gz") {
            let mut gzip = GzEncoder::new(&mut out, Compression::fast());
            let written = self.write_items(&store, &mut gzip, matrix)?;
            gzip.finish()?;
            written
        } else {
            self.write_items(&store, &mut out, matrix)?
        };
        let lines = out.into_inner().map_err(IntoInnerError::into_error)?;
        publish([lines].into_iter().chain(matrix).collect())?;
        self.warn(written);
        let ExportOutcome { items, expired, unknown_texts, incomplete } = written;
        let file = self.file.display().to_string();
        let json = json!({
            "items": items, "expired": expired, "unknown_texts": unknown_texts, "file": file, "incomplete": incomplete,
        });
        output.print(&json, || format!("exported {} to {}", output::counted(items, "item"), self.file.display()))
    }

    /// Writes everything. Returns the file of the matrix, which is whole and not published.
    fn write_items(
        &self,
        store: &Store,
        out: &mut impl Write,
        mut matrix: Option<Matrix>,
    ) -> Result<(ExportOutcome, Option<PartialFile>)> {
        let options = ReadOptions { include_vectors: true, partial: self.partial, ..ReadOptions::default() };
        let snapshot = store.snapshot()?;
        let living = snapshot.count(&Scope::Store, &options)?;
        let all = snapshot.count(&Scope::Store, &ReadOptions { include_expired: true, ..options.clone() })?;
        let bar = output::bar(living, "exporting {wide_bar} {pos}/{len}");
        let query = IterateQuery::new(Scope::Store).limit(PAGE).options(options);
        let (space, models) = (store.vector_space(), models(store, &self.model)?);
        writeln!(out, "{}", serde_json::to_string(&Header::new(space, store.settings()?))?)?;
        let zeros = vec![0.0; space.map_or(0, |space| space.dims)];
        let expired = all.saturating_sub(living);
        let mut written = ExportOutcome { items: 0, expired, unknown_texts: 0, incomplete: false };
        let mut after: Option<Cursor> = None;
        loop {
            let page = snapshot.iterate_stored(&query, after.as_ref())?;
            written.incomplete |= page.incomplete;
            for stored in &page.items {
                let (texts, unknown) = find_texts(store, stored, &models);
                written.unknown_texts += unknown;
                let row = write_line(out, stored, matrix.is_some(), texts, unknown)?;
                if let Some(matrix) = &mut matrix {
                    matrix.write_row(row.unwrap_or(&zeros))?;
                }
            }
            written.items += page.items.len() as u64;
            bar.set_position(written.items);
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        out.flush()?;
        let matrix = matrix.map(NpyWriter::finish).transpose()?;
        bar.finish_and_clear();
        Ok((written, matrix))
    }

    /// Says what is missing, where it does not get between the lines.
    fn warn(&self, written: ExportOutcome) {
        if written.expired > 0 {
            eprintln!("not exported: {}", output::counted(written.expired, "expired item"));
        }
        if written.unknown_texts > 0 {
            let vectors = output::counted(written.unknown_texts, "vector");
            eprintln!(
                "the texts of {vectors} are not found in the values, so a copy embeds them again; is --model right?"
            );
        }
        if written.incomplete {
            let (items, dir) = (output::counted(written.items, "item"), self.dir.display());
            eprintln!("warning: {items} could be read; a part of the store is damaged, see `vecmem check {dir}`");
        }
    }

    fn create_matrix(&self, store: &Store, path: &Path) -> Result<Matrix> {
        let space = store.vector_space();
        let space = space.ok_or_else(|| anyhow!("{} holds no vectors; leave --vectors out", self.dir.display()))?;
        NpyWriter::begin(PartialFile::create(path)?, space.dims)
    }
}

/// Writes one line and returns the vector that stands for it in the matrix. An item that has not exactly one plain
/// vector keeps its vectors in the line even beside a matrix, and has a row of zeros there.
fn write_line<'a>(
    out: &mut impl Write,
    stored: &'a StoredItem,
    has_matrix: bool,
    texts: Option<FoundTexts>,
    unknown_texts: u64,
) -> Result<Option<&'a [f32]>> {
    let item = &stored.item;
    let plain = match item.vectors.as_slice() {
        [vector] if vector.path.is_empty() => Some(&*vector.values),
        _ => None,
    };
    let spelled_out = plain.is_none() && (has_matrix || !item.vectors.is_empty());
    // Of other values JSON would keep the meaning and not the bytes.
    let is_one_line = !item.value.contains(['\n', '\r']) && item.value.starts_with('{') && item.value.ends_with('}');
    let value = is_one_line.then(|| output::one_line(item)).transpose()?;
    let (ttl_seconds, ttl_micros) = ttl_fields(item.ttl);
    let extensions = stored.extensions.iter().map(|extension| ExtensionJson {
        kind: extension.kind,
        must_understand: extension.must_understand,
        hex: to_hex(&extension.bytes),
    });
    let line = ExportLine {
        namespace: item.namespace.labels(),
        key: &item.key,
        value: value.as_deref(),
        value_text: (!is_one_line).then_some(&item.value),
        vector: plain.filter(|_| !has_matrix),
        vectors: spelled_out.then(|| output::vectors_json(&item.vectors)),
        index_paths: stored.index_paths.iter().map(|path| &**path).collect(),
        ttl_seconds,
        ttl_micros,
        expires_at: item.expires_at.or(item.ttl.map(|_| i64::MAX)),
        created_at: item.created_at,
        updated_at: item.updated_at,
        texts,
        unknown_texts,
        extensions: extensions.collect(),
    };
    writeln!(out, "{}", serde_json::to_string(&line)?)?;
    Ok(plain)
}

/// A time to live as seconds, or as microseconds where an import of the seconds would give others.
fn ttl_fields(ttl: Option<i64>) -> (Option<f64>, Option<i64>) {
    let Some(micros) = ttl else { return (None, None) };
    let seconds = output::seconds(micros);
    match ttl_of_seconds(seconds).and_then(|micros| i64::try_from(micros).ok()) == Some(micros) {
        true => (Some(seconds), None),
        false => (None, Some(micros)),
    }
}

/// Where in the value the texts are that the vectors embed, or how many vectors have texts that were not found.
fn find_texts(store: &Store, stored: &StoredItem, models: &[String]) -> (Option<FoundTexts>, u64) {
    let vectors = &stored.item.vectors;
    let known = (0..vectors.len()).filter(|&vector| stored.has_text(vector)).count();
    if known == 0 {
        return (None, 0);
    }
    let found = serde_json::from_str::<Value>(&stored.item.value).ok().and_then(|value| {
        let path_of = |model: &str, number: usize| {
            let is_it =
                |path: &String| text_at(&value, path).is_some_and(|text| store.embeds(stored, number, model, &text));
            candidates(&value, &vectors[number].path).into_iter().find(is_it)
        };
        models.iter().find_map(|model| {
            let paths: Option<Vec<String>> = (0..vectors.len()).map(|number| path_of(model, number)).collect();
            Some(FoundTexts { model: model.clone(), paths: paths? })
        })
    });
    let unknown = if found.is_some() { 0 } else { known as u64 };
    (found, unknown)
}

/// The names of models that the store's settings and the caller give.
fn models(store: &Store, asked: &[String]) -> Result<Vec<String>> {
    let kept = store.setting(MODELS_SETTING)?.and_then(|json| serde_json::from_str::<Vec<String>>(&json).ok());
    Ok(asked.iter().cloned().chain(kept.into_iter().flatten()).collect())
}
