//! The encoding of frame bodies: a Batch holds operations, an Ingest holds files and then operations.
//!
//! Invariants:
//! * Decoding is total and allocates in proportion to the body. It tests namespaces, and the limits of keys, values,
//!   vectors and batches, again. Values are not parsed.
//! * Every length is a u32 in front of its bytes; a namespace is its encoded form.
//!
//! ```text
//! SIZE  MEANING
//! 1     tag: 1 Put, 2 Delete, 3 DeleteRange, 4 Touch; what follows depends on it
//!
//! Put:          namespace, key, value (each 4 + n)
//! 8 8 8 8       created_at, updated_at, expires_at, ttl in microseconds
//! 4             flags: 1 if hashes of texts follow each vector, 2 if extensions of the row follow the vectors
//! 4             number of index paths, then each: 4 + n
//! 4             number of vectors, then each: path (4 + n), space id (2, the same for all), dimensions (4), 4 x dimensions numbers,
//!               hash of the text that it embeds (16, 0 for none; only with the flag)
//! 4 + n         extensions of the row (`extensions.rs`, kinds in `record/`; only with the flag)
//!
//! Delete:       namespace, key (each 4 + n)
//! DeleteRange:  low, high: a half-open interval of encoded namespaces (each 4 + n)
//! Touch:        namespace, key (each 4 + n), version (8), expires_at (8)
//! ```
//!
//! Ahead of everything else in a frame with flag 1:
//!
//! ```text
//! SIZE   MEANING
//! 4 + n  extensions of the frame. KIND 1, must be understood: operation id of the client, 16 bytes, and the time of the operation,
//!        microseconds since 1970 UTC (8)
//! ```
//!
//! Ahead of the operations of an Ingest:
//!
//! ```text
//! SIZE  MEANING
//! 4     rows of all files, at least 1: they have the first LSNs of the frame, in any order
//! 4     number of files, at least 1; then each: 4 + n, the segment as a manifest names it (`manifest/entry.rs`), in frames
//!       without flag 2 in the form of format version 1
//! ```

use std::sync::Arc;

use super::body::FrameBody;
use super::frame::FrameKind;
use crate::codec::{Decoded, FormatError, Reader, Writer};
use crate::error::Result;
use crate::extensions::{EXTENSION_BYTES_MAX, ExtensionKind, Extensions, refuse_unknown};
use crate::record::{ItemContent, Lsn, Operation, Record, SpaceId, TextHash, row_extensions};
use crate::types::{FieldVector, Interval, Namespace, is_encoded_namespace, limits};

const PUT: u8 = 1;
const DELETE: u8 = 2;
const DELETE_RANGE: u8 = 3;
const TOUCH: u8 = 4;

/// The fewest bytes an operation takes.
const OPERATION_BYTES_MIN: usize = 9;
/// The longest encoding of a namespace, and one byte for the end of a prefix.
const NAMESPACE_BYTES_MAX: usize = limits::LABELS * (2 * limits::LABEL_BYTES + 1) + 1;

/// Flags of a put.
const HAS_TEXT_HASHES: u32 = 1;
const HAS_ROW_EXTENSIONS: u32 = 2;

/// Flags of a frame.
pub(crate) const HAS_EXTENSIONS: u8 = 1;
pub(crate) const HAS_NAMED_FILES: u8 = 2;

/// Kinds of extensions of a frame.
pub(crate) const OPERATION_ID: ExtensionKind = 1;

/// Appends one operation.
pub(crate) fn encode_operation(out: &mut Vec<u8>, operation: &Operation) {
    let mut writer = Writer::after(std::mem::take(out));
    match operation {
        Operation::Put(record) => encode_put(&mut writer, record),
        Operation::Delete { namespace, key } => {
            writer.u8(DELETE);
            writer.prefixed(namespace.encoded());
            writer.prefixed(key.as_bytes());
        }
        Operation::DeleteRange { interval } => {
            writer.u8(DELETE_RANGE);
            writer.prefixed(&interval.low);
            writer.prefixed(&interval.high);
        }
        Operation::Touch { namespace, key, version, expires_at } => {
            writer.u8(TOUCH);
            writer.prefixed(namespace.encoded());
            writer.prefixed(key.as_bytes());
            writer.u64(version.get());
            writer.i64(*expires_at);
        }
    }
    *out = writer.into_vec();
}

/// Appends one operation to the body of a frame, which shares a large value with the operation.
pub(crate) fn encode_shared(body: &mut FrameBody, operation: &Operation) {
    let Operation::Put(record) = operation else { return encode_operation(body.bytes(), operation) };
    let mut writer = Writer::after(std::mem::take(body.bytes()));
    encode_before_value(&mut writer, record);
    *body.bytes() = writer.into_vec();
    body.push_value(&record.content);
    let mut writer = Writer::after(std::mem::take(body.bytes()));
    encode_after_value(&mut writer, record);
    *body.bytes() = writer.into_vec();
}

fn encode_put(writer: &mut Writer, record: &Record) {
    encode_before_value(writer, record);
    writer.bytes(record.value.as_bytes());
    encode_after_value(writer, record);
}

fn encode_before_value(writer: &mut Writer, record: &Record) {
    writer.u8(PUT);
    writer.prefixed(record.namespace.encoded());
    writer.prefixed(record.key.as_bytes());
    writer.count(record.value.len());
}

fn encode_after_value(writer: &mut Writer, record: &Record) {
    writer.i64(record.created_at);
    writer.i64(record.updated_at);
    writer.i64(record.expires_at);
    writer.i64(record.ttl);
    let has_text_hashes = !record.text_hashes.is_empty();
    let has_extensions = !record.extensions.is_empty();
    let flag = |is_set: bool, flag: u32| if is_set { flag } else { 0 };
    writer.u32(record.flags | flag(has_text_hashes, HAS_TEXT_HASHES) | flag(has_extensions, HAS_ROW_EXTENSIONS));
    writer.count(record.index_paths.len());
    record.index_paths.iter().for_each(|path| writer.prefixed(path.as_bytes()));
    writer.count(record.vectors.len());
    for (number, vector) in record.vectors.iter().enumerate() {
        writer.prefixed(vector.path.as_bytes());
        writer.u16(record.space.0);
        writer.count(vector.values.len());
        writer.floats(&vector.values);
        if has_text_hashes {
            writer.bytes(&record.text_hashes.get(number).copied().unwrap_or(0).to_le_bytes());
        }
    }
    if has_extensions {
        writer.prefixed(record.extensions.encoded());
    }
}

/// The decoded body of a frame.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Body {
    pub extensions: Extensions,
    /// Whether `files` have their kinds by name, not by number.
    pub has_named_files: bool,
    /// The number of rows in all files.
    pub rows: u32,
    /// Each segment as a manifest names it, encoded. The log does not decode these bytes.
    pub files: Vec<Vec<u8>>,
    pub operations: Vec<Operation>,
}

impl Body {
    /// Fails if the body, in the file `name`, has an extension that a reader must know and this version does not.
    pub fn check_known(&self, name: &str) -> Result<()> {
        refuse_unknown(format_args!("a frame of {name}"), self.extensions.kinds(), &[OPERATION_ID])?;
        self.operations.iter().try_for_each(|operation| match operation {
            Operation::Put(record) => {
                let kinds = record.extensions.kinds();
                refuse_unknown(format_args!("an item in {name}"), kinds, &row_extensions::KNOWN)
            }
            _ => Ok(()),
        })
    }
}

/// Appends the extensions of a frame, which are the first part of its body.
pub(crate) fn encode_extensions(out: &mut Vec<u8>, extensions: &Extensions) {
    let mut writer = Writer::after(std::mem::take(out));
    writer.prefixed(extensions.encoded());
    *out = writer.into_vec();
}

/// Appends the files of an Ingest, which hold `rows`.
pub(crate) fn encode_files(out: &mut Vec<u8>, rows: u32, files: &[Vec<u8>]) {
    let mut writer = Writer::after(std::mem::take(out));
    writer.u32(rows);
    writer.count(files.len());
    files.iter().for_each(|file| writer.prefixed(file));
    *out = writer.into_vec();
}

/// Decodes the body of a Batch or an Ingest with `count` LSNs. For other kinds, only extensions are decoded.
pub(crate) fn decode_body(kind: FrameKind, flags: u8, body: &[u8], count: u32) -> Decoded<Body> {
    if flags & !(HAS_EXTENSIONS | HAS_NAMED_FILES) != 0 {
        return Err(FormatError::newer(0));
    }
    if kind == FrameKind::Batch && count as usize > limits::BATCH_OPERATIONS {
        return Err(FormatError { offset: 0, what: "more operations than a batch can have" });
    }
    let mut reader = Reader::new(body);
    let extensions = match flags & HAS_EXTENSIONS {
        0 => Extensions::default(),
        _ => Extensions::decode(reader.prefixed(EXTENSION_BYTES_MAX)?)?,
    };
    let at = reader.position();
    let rest = match kind {
        FrameKind::Batch => {
            decode_operations(&body[at..], count).map(|operations| Body { operations, ..Body::default() })
        }
        FrameKind::Ingest => decode_ingest(&body[at..], count),
        FrameKind::Closed | FrameKind::Unknown(_) => Ok(Body::default()),
    };
    let rest = rest.map_err(|malformed| FormatError { offset: at + malformed.offset, ..malformed })?;
    Ok(Body { extensions, has_named_files: flags & HAS_NAMED_FILES != 0, ..rest })
}

fn decode_ingest(body: &[u8], count: u32) -> Decoded<Body> {
    let mut reader = Reader::new(body);
    let rows = reader.u32()?;
    let files = reader.count(4, usize::MAX)?;
    let files = (0..files).map(|_| Ok(reader.prefixed(usize::MAX)?.to_vec())).collect::<Decoded<Vec<_>>>()?;
    let Some(operations) = count.checked_sub(rows).filter(|_| rows > 0 && !files.is_empty()) else {
        return Err(reader.malformed("the rows of the files do not fit the frame"));
    };
    let at = reader.position();
    let operations = decode_operations(&body[at..], operations)
        .map_err(|malformed| FormatError { offset: at + malformed.offset, ..malformed })?;
    Ok(Body { rows, files, operations, ..Body::default() })
}

/// The `count` operations of a body.
pub(crate) fn decode_operations(body: &[u8], count: u32) -> Decoded<Vec<Operation>> {
    let mut decoder = Decoder { reader: Reader::new(body), namespace: None, path: Arc::from("") };
    let count = count as usize;
    if count > body.len() / OPERATION_BYTES_MIN {
        return Err(FormatError { offset: 0, what: "more operations than the frame can hold" });
    }
    let mut operations = Vec::with_capacity(count);
    for _ in 0..count {
        operations.push(decoder.operation()?);
    }
    decoder.reader.finish()?;
    Ok(operations)
}

/// A decoder of operations. Consecutive operations often share the namespace and paths, so it keeps the last of each.
struct Decoder<'a> {
    reader: Reader<'a>,
    namespace: Option<Namespace>,
    path: Arc<str>,
}

impl Decoder<'_> {
    fn operation(&mut self) -> Decoded<Operation> {
        let tag = self.reader.u8()?;
        Ok(match tag {
            PUT => Operation::Put(Arc::new(self.record()?)),
            DELETE => Operation::Delete { namespace: self.namespace()?, key: self.key()? },
            DELETE_RANGE => Operation::DeleteRange { interval: self.interval()? },
            TOUCH => Operation::Touch {
                namespace: self.namespace()?,
                key: self.key()?,
                version: Lsn::new(self.reader.u64()?),
                expires_at: self.reader.i64()?,
            },
            _ => return Err(self.reader.malformed("unknown operation before this byte")),
        })
    }

    fn namespace(&mut self) -> Decoded<Namespace> {
        let at = self.reader.position();
        let encoded = self.reader.prefixed(NAMESPACE_BYTES_MAX)?;
        if let Some(namespace) = self.namespace.as_ref().filter(|namespace| namespace.encoded() == encoded) {
            return Ok(namespace.clone());
        }
        if !is_encoded_namespace(encoded) {
            return Err(FormatError { offset: at, what: "not a namespace" });
        }
        let namespace = Namespace::from_encoded(encoded);
        self.namespace = Some(namespace.clone());
        Ok(namespace)
    }

    fn key(&mut self) -> Decoded<Arc<str>> {
        self.reader.text(limits::KEY_BYTES).map(Arc::from)
    }

    fn path(&mut self) -> Decoded<Arc<str>> {
        let path = self.reader.text(usize::MAX)?;
        if *self.path != *path {
            self.path = Arc::from(path);
        }
        Ok(Arc::clone(&self.path))
    }

    fn interval(&mut self) -> Decoded<Interval> {
        let at = self.reader.position();
        let low = self.reader.prefixed(NAMESPACE_BYTES_MAX)?.to_vec();
        let high = self.reader.prefixed(NAMESPACE_BYTES_MAX)?.to_vec();
        if low > high {
            return Err(FormatError { offset: at, what: "an interval ends before it begins" });
        }
        Ok(Interval { low, high })
    }

    fn record(&mut self) -> Decoded<Record> {
        let namespace = self.namespace()?;
        let key = self.key()?;
        let value = self.reader.text(limits::VALUE_BYTES)?.into();
        let (created_at, updated_at) = (self.reader.i64()?, self.reader.i64()?);
        let (expires_at, ttl) = (self.reader.i64()?, self.reader.i64()?);
        let at = self.reader.position();
        let flags = self.reader.u32()?;
        if flags & !(HAS_TEXT_HASHES | HAS_ROW_EXTENSIONS) != 0 {
            return Err(FormatError::newer(at));
        }
        let paths = self.reader.count(4, usize::MAX)?;
        let index_paths = (0..paths).map(|_| self.path()).collect::<Decoded<_>>()?;
        let count = self.reader.count(14, limits::VECTORS_PER_ITEM)?;
        let (mut vectors, mut text_hashes): (Vec<FieldVector>, Vec<TextHash>) = (Vec::with_capacity(count), Vec::new());
        let mut space = SpaceId::default();
        for _ in 0..count {
            let at = self.reader.position();
            let (of_space, vector) = self.vector()?;
            if !vectors.is_empty() && of_space != space {
                return Err(FormatError { offset: at, what: "the vectors of an item are of several spaces" });
            }
            space = of_space;
            if vectors.first().is_some_and(|first| first.values.len() != vector.values.len()) {
                return Err(FormatError { offset: at, what: "the vectors of an item differ in dimension" });
            }
            vectors.push(vector);
            if flags & HAS_TEXT_HASHES != 0 {
                text_hashes.push(TextHash::from_le_bytes(self.reader.array()?));
            }
        }
        let extensions = match flags & HAS_ROW_EXTENSIONS {
            0 => Extensions::default(),
            _ => self.extensions()?,
        };
        Ok(Record {
            content: Arc::new(ItemContent {
                namespace,
                key,
                value,
                ttl,
                index_paths,
                vectors,
                text_hashes,
                space,
                extensions,
            }),
            created_at,
            updated_at,
            expires_at,
            flags: 0,
        })
    }

    fn extensions(&mut self) -> Decoded<Extensions> {
        let bytes = self.reader.prefixed(EXTENSION_BYTES_MAX)?;
        let at = self.reader.position() - bytes.len();
        Extensions::decode(bytes).map_err(|malformed| FormatError { offset: at + malformed.offset, ..malformed })
    }

    fn vector(&mut self) -> Decoded<(SpaceId, FieldVector)> {
        let path = self.path()?;
        let space = SpaceId(self.reader.u16()?);
        let at = self.reader.position();
        let dimensions = self.reader.count(4, limits::DIMENSIONS)?;
        let values = self.reader.floats(dimensions)?;
        // A loop without an early exit can be vectorized.
        let finite = values.iter().fold(true, |finite, value| finite & value.is_finite());
        if dimensions == 0 || !finite {
            return Err(FormatError { offset: at, what: "a vector is empty or not finite" });
        }
        Ok((space, FieldVector { path, values }))
    }
}
