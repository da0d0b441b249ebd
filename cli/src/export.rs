//! `export`: every item as a line that `import` understands, in the order of namespace and key.
//!
//! Invariants:
//! * All lines are of one snapshot, whatever is written meanwhile, and equal contents give equal files.
//! * A file is complete or not there: it is written under another name, synced, and renamed.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use clap::Args;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde::Serialize;
use serde_json::json;
use serde_json::value::RawValue;
use vecmem::{Cursor, Item, IterateQuery, ReadOptions, Scope, Store};

use crate::arguments::open;
use crate::npy::NpyWriter;
use crate::output::{self, Output, VectorJson};

/// Items read at a time.
const PAGE: usize = 1_000;

/// Write all items as lines of JSON, in the order of namespace and key
#[derive(Args)]
#[command(after_help = "\
Examples:
  vecmem export memories backup.jsonl.gz
  vecmem export memories items.jsonl --vectors vectors.npy
  vecmem export old - | vecmem import new -
  vecmem export memories rest.jsonl --partial    (of a damaged store, what can be read)

Times to live are exported, not points of expiry: an item lives that long from its import on.")]
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
}

/// The outcome of an export.
#[derive(Clone, Copy)]
struct ExportOutcome {
    items: u64,
    /// Something was damaged and left out.
    incomplete: bool,
}

#[derive(Serialize)]
struct ExportLine<'a> {
    namespace: Vec<String>,
    key: &'a str,
    value: &'a RawValue,
    #[serde(skip_serializing_if = "Option::is_none")]
    vector: Option<&'a [f32]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    vectors: Option<Vec<VectorJson<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl_seconds: Option<f64>,
    created_at: i64,
    updated_at: i64,
}

impl Export {
    pub fn run(self, output: Output) -> Result<()> {
        let store = open(&self.dir)?;
        let matrix = self.vectors.as_deref().map(|path| self.create_matrix(&store, path)).transpose()?;
        if self.file.as_os_str() == "-" {
            let out = BufWriter::with_capacity(256 << 10, io::stdout().lock());
            let written = write_items(&store, out, matrix, self.partial)?;
            self.finish_matrix()?;
            self.warn(written);
            return Ok(());
        }
        let unfinished = unfinished(&self.file);
        let file = File::create(&unfinished).with_context(|| format!("cannot create {}", unfinished.display()))?;
        let synced = file.try_clone()?;
        let written = if self.file.extension().is_some_and(|extension| extension == "gz") {
            let mut gzip = GzEncoder::new(BufWriter::new(file), Compression::fast());
            let written = write_items(&store, &mut gzip, matrix, self.partial)?;
            gzip.finish()?.flush()?;
            written
        } else {
            write_items(&store, BufWriter::with_capacity(256 << 10, file), matrix, self.partial)?
        };
        synced.sync_all()?;
        finish(&self.file)?;
        self.finish_matrix()?;
        self.warn(written);
        let ExportOutcome { items, incomplete } = written;
        let json = json!({"items": items, "file": self.file.display().to_string(), "incomplete": incomplete});
        output.print(&json, || format!("exported {} to {}", output::counted(items, "item"), self.file.display()))
    }

    /// Says that something is missing, where it does not get between the lines.
    fn warn(&self, written: ExportOutcome) {
        if written.incomplete {
            let (items, dir) = (output::counted(written.items, "item"), self.dir.display());
            eprintln!("warning: {items} could be read; a part of the store is damaged, see `vecmem check {dir}`");
        }
    }

    fn create_matrix(&self, store: &Store, path: &Path) -> Result<NpyWriter> {
        let space = store.vector_space();
        let space = space.ok_or_else(|| anyhow!("{} holds no vectors; leave --vectors out", self.dir.display()))?;
        NpyWriter::create(&unfinished(path), space.dims)
    }

    fn finish_matrix(&self) -> Result<()> {
        self.vectors.as_deref().map_or(Ok(()), finish)
    }
}

fn unfinished(path: &Path) -> PathBuf {
    // A device or a pipe has no place to put a second file, and nothing to lose.
    if fs::metadata(path).is_ok_and(|found| !found.is_file()) {
        return path.to_owned();
    }
    let mut name: OsString = path.into();
    name.push(".partial");
    name.into()
}

fn finish(path: &Path) -> Result<()> {
    let unfinished = unfinished(path);
    if unfinished == path {
        return Ok(());
    }
    fs::rename(&unfinished, path)
        .with_context(|| format!("cannot rename {} to {}", unfinished.display(), path.display()))
}

fn write_items(
    store: &Store,
    mut out: impl Write,
    mut matrix: Option<NpyWriter>,
    partial: bool,
) -> Result<ExportOutcome> {
    let options = ReadOptions { include_vectors: true, partial, ..ReadOptions::default() };
    let bar = output::bar(store.count(&Scope::Store, &options)?, "exporting {wide_bar} {pos}/{len}");
    let query = IterateQuery::new(Scope::Store).limit(PAGE).options(options);
    let dims = store.vector_space().map_or(0, |space| space.dims);
    let mut written = ExportOutcome { items: 0, incomplete: false };
    let mut after: Option<Cursor> = None;
    loop {
        let page = store.iterate(&query, after.as_ref())?;
        written.incomplete |= page.incomplete;
        for item in &page.items {
            let row = write_line(&mut out, item, matrix.is_some())?;
            if let Some(matrix) = &mut matrix {
                let zeros = vec![0.0; if row.is_none() { dims } else { 0 }];
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
    matrix.map_or(Ok(()), NpyWriter::finish)?;
    bar.finish_and_clear();
    Ok(written)
}

/// Writes one line and returns the vector that stands for it in the matrix. An item that has not exactly one plain
/// vector keeps its vectors in the line even beside a matrix, and has a row of zeros there.
fn write_line<'a>(out: &mut impl Write, item: &'a Item, has_matrix: bool) -> Result<Option<&'a [f32]>> {
    let plain = match item.vectors.as_slice() {
        [vector] if vector.path.is_empty() => Some(&*vector.values),
        _ => None,
    };
    let spelled_out = plain.is_none() && (has_matrix || !item.vectors.is_empty());
    let line = ExportLine {
        namespace: item.namespace.labels(),
        key: &item.key,
        value: &output::one_line(item)?,
        vector: plain.filter(|_| !has_matrix),
        vectors: spelled_out.then(|| output::vectors_json(&item.vectors)),
        ttl_seconds: item.ttl.map(output::seconds),
        created_at: item.created_at,
        updated_at: item.updated_at,
    };
    writeln!(out, "{}", serde_json::to_string(&line)?)?;
    Ok(plain)
}
