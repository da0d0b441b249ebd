//! What `import` reads: a file of lines (plain or gzip), with the rows of a matrix beside it, in blocks.
//!
//! Invariants:
//! * Lines are counted without the header. Row i of the matrix belongs to line i, bad lines counted; a line that spells
//!   out its vectors keeps its own.
//! * A block has at most [`BLOCK_LINES`] lines and little more than [`BLOCK_BYTES`], so memory does not grow with the
//!   file.
//! * The identity of a source is its content, not its name: only the very same bytes are resumed.

use std::fs::File;
use std::hash::Hasher;
use std::io::{self, BufRead, BufReader, Read, Seek};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail, ensure};
use flate2::bufread::MultiGzDecoder;
use indicatif::ProgressBar;
use siphasher::sip128::{Hasher128, SipHasher13};
use vecmem::{FieldVector, limits};

use crate::header::Header;
use crate::lines::{Line, LineError, parse_line};
use crate::npy::Npy;
use crate::output::counted;

/// Lines that are handed on together.
const BLOCK_LINES: usize = 1_024;
/// Bytes after which they are handed on before that.
const BLOCK_BYTES: usize = 16 << 20;
/// Longest line: one that is longer would not fit into one batch of the store.
const LINE_BYTES_MAX: u64 = limits::BATCH_BYTES as u64;

/// What a matrix can be read from.
pub trait ReadSeek: Read + Seek + Send {}
impl<T: Read + Seek + Send> ReadSeek for T {}

/// Lines and, if given, their vectors.
pub struct Source {
    name: String,
    lines: Box<dyn BufRead + Send>,
    vectors: Option<Npy<Box<dyn ReadSeek>>>,
    lines_read: u64,
    buffer: Vec<u8>,
    header: Option<Header>,
    /// The buffer has the first line, which was no header and is not handed on yet.
    is_first_waiting: bool,
}

/// Some lines, in order.
pub struct Block {
    /// Their parts, the row of the matrix included, or why they were refused.
    pub lines: Vec<Result<Line, LineError>>,
    /// The source ends here.
    pub is_last: bool,
}

impl Source {
    /// Opens a file, or standard input for `-`; `bar` is moved along by the bytes read.
    pub fn open(path: &Path, vectors: Option<&Path>, bar: &ProgressBar) -> Result<Self> {
        let name = if is_stdin(path) { "standard input".to_owned() } else { path.display().to_string() };
        let input: Box<dyn Read + Send> = if is_stdin(path) {
            Box::new(io::stdin())
        } else {
            Box::new(File::open(path).with_context(|| format!("cannot open {name}"))?)
        };
        let vectors = vectors.map(|path| -> Result<_> {
            let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
            let file: Box<dyn ReadSeek> = Box::new(BufReader::with_capacity(256 << 10, file));
            Npy::new(path.display().to_string(), file)
        });
        Self::new(name, Box::new(bar.wrap_read(input)), vectors.transpose()?)
    }

    /// Reads `input`; gzip is recognised by its first bytes, whatever the file is called.
    pub fn new(name: String, input: Box<dyn Read + Send>, vectors: Option<Npy<Box<dyn ReadSeek>>>) -> Result<Self> {
        let mut input = BufReader::with_capacity(256 << 10, input);
        let is_gzip = input.fill_buf().with_context(|| format!("cannot read {name}"))?.starts_with(&[0x1F, 0x8B]);
        let lines: Box<dyn BufRead + Send> = if is_gzip {
            Box::new(BufReader::with_capacity(256 << 10, MultiGzDecoder::new(input)))
        } else {
            Box::new(input)
        };
        let (buffer, header) = (Vec::new(), None);
        let mut source = Self { name, lines, vectors, lines_read: 0, buffer, header, is_first_waiting: false };
        source.read_header()?;
        Ok(source)
    }

    fn read_header(&mut self) -> Result<()> {
        if !self.read_line()? {
            return Ok(());
        }
        if !Header::is_at(&self.buffer) {
            self.is_first_waiting = true;
            return Ok(());
        }
        let header = Header::parse(&self.buffer).map_err(|error| anyhow!("{}: line 1, {error}", self.name))?;
        (self.header, self.lines_read) = (Some(header), 0);
        Ok(())
    }

    /// The header, if the source begins with one.
    pub fn header(&self) -> Option<&Header> {
        self.header.as_ref()
    }

    /// The name for messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Numbers in one row of the matrix.
    pub fn dims(&self) -> Option<usize> {
        self.vectors.as_ref().map(Npy::dims)
    }

    /// Passes over lines that an earlier run has imported.
    pub fn skip(&mut self, lines: u64) -> Result<()> {
        while self.lines_read < lines || (lines > 0 && self.is_first_waiting) {
            ensure!(
                self.read_line()?,
                "{} has {}, but {lines} were imported from it",
                self.name,
                counted(self.lines_read, "line")
            );
        }
        self.vectors.as_mut().map_or(Ok(()), |vectors| vectors.seek_row(lines))
    }

    /// The next lines; the last block says so, and may be empty.
    pub fn next_block(&mut self) -> Result<Block> {
        let mut block = Block { lines: Vec::with_capacity(BLOCK_LINES), is_last: false };
        let mut bytes = 0;
        while block.lines.len() < BLOCK_LINES && bytes < BLOCK_BYTES {
            if !self.read_line()? {
                block.is_last = true;
                self.check_end()?;
                break;
            }
            let vector = self.next_vector()?;
            bytes += self.buffer.len() + vector.as_ref().map_or(0, |vector| 4 * vector.len());
            let line = parse_line(&self.buffer).map(|mut line| {
                if line.vectors.is_none() {
                    let path: Arc<str> = Arc::from("");
                    line.vectors = vector.map(|values| vec![FieldVector { path, values: values.into() }]);
                }
                line
            });
            block.lines.push(line);
        }
        Ok(block)
    }

    /// Reads one line into the buffer, without its end; false at the end of the source.
    fn read_line(&mut self) -> Result<bool> {
        if std::mem::take(&mut self.is_first_waiting) {
            return Ok(true);
        }
        self.buffer.clear();
        let number = self.lines_read + 1 + u64::from(self.header.is_some());
        let read = self.lines.by_ref().take(LINE_BYTES_MAX + 2).read_until(b'\n', &mut self.buffer);
        let read =
            read.with_context(|| format!("cannot read line {number} of {}; is the file complete?", self.name))?;
        if self.buffer.ends_with(b"\n") {
            self.buffer.pop();
        }
        let length = self.buffer.len() as u64;
        ensure!(length <= LINE_BYTES_MAX, "line {number} of {} is longer than {LINE_BYTES_MAX} bytes", self.name);
        self.lines_read += u64::from(read > 0);
        Ok(read > 0)
    }

    fn next_vector(&mut self) -> Result<Option<Vec<f32>>> {
        let Some(vectors) = &mut self.vectors else { return Ok(None) };
        let row = vectors.next_row()?;
        if row.is_none() {
            let (name, rows, line) = (vectors.name(), counted(vectors.rows(), "row"), self.lines_read);
            bail!("{name} has {rows}, but {} has a line {line}; row i must be the vector of line i", self.name);
        }
        Ok(row)
    }

    fn check_end(&self) -> Result<()> {
        if let Some(vectors) = self.vectors.as_ref().filter(|vectors| vectors.rows() != self.lines_read) {
            let (rows, lines) = (counted(vectors.rows(), "row"), counted(self.lines_read, "line"));
            let name = vectors.name();
            bail!("{name} has {rows}, but {} has {lines}; row i must be the vector of line i", self.name);
        }
        Ok(())
    }
}

/// `-` is standard input.
pub fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// What the files hold, as a name for the import mark: the length and a hash of all bytes.
pub fn identity(path: &Path, vectors: Option<&Path>) -> Result<String> {
    let mut hasher = SipHasher13::new();
    let mut length = 0;
    let mut block = vec![0; 1 << 20];
    for path in [Some(path), vectors].into_iter().flatten() {
        let cannot = || format!("cannot read {}", path.display());
        let mut file = File::open(path).with_context(cannot)?;
        loop {
            match file.read(&mut block).with_context(cannot)? {
                0 => break,
                read => {
                    hasher.write(&block[..read]);
                    length += read as u64;
                }
            }
        }
        // The border between the two files belongs to the identity.
        hasher.write_u64(length);
    }
    Ok(format!("{length}-{:032x}", hasher.finish128().as_u128()))
}
