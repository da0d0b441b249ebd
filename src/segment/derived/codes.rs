//! The codes of a segment: a derived file that `quant` makes of the vectors in the truth file, and of nothing else.
//!
//! Invariants:
//! * The code of a vector is a function of that vector alone, so merges copy codes and a rebuild gives the same bytes.
//! * A codes file names the truth file that it was made from, by id and header CRC. If it is missing, damaged, outdated
//!   or made from another file, the segment is searched without it, and `Segment::codes_problem` gives the reason.
//!
//! # Format
//!
//! `seg-{file id, 16 hex digits}.codes` is a file in checked blocks (`blocks.rs` has its frame and the first 64 bytes
//! of the header) with magic `VECMEMCO` and format version 1. Little endian.
//!
//! ```text
//! OFFSET  SIZE         MEANING
//! 64      2            kind of derived file: 1, codes
//! 66      2            encoding of the codes: 1, one byte a dimension with the vector's own scale (`quant`)
//! 68      4            dimensions
//! 72      4            stride: bytes from one code to the next, dimensions rounded up to 64
//! 76      4            v, number of vectors
//! 80      8            file id of the truth file
//! 88      4            header CRC of the truth file
//! 92      4            0
//! 4096    v x stride   codes, in the order of the truth file's vectors
//! then    v x 16       metas: scale, residual, sum, norm (`quant`), at a multiple of 64 by the stride
//! ```

use std::ops::Range;

use crate::codec::{Decoded, Reader, Writer};
use crate::distance::Kernels;
use crate::error::{Error, Result};
use crate::ids::VectorId;
use crate::interrupt::GoOn;
use crate::quant::{self, CodeMeta};
use crate::segment::blocks::{ALIGNMENT, BlockWriter, CheckedMap, FileIdentity, HEADER_BYTES};
use crate::segment::truth::layout::{StoreIdentity, codes_name};
use crate::storage::Storage;

const MAGIC: &[u8; 8] = b"VECMEMCO";
const VERSION: u32 = 1;
const META_BYTES: usize = size_of::<CodeMeta>();

/// The kind of derived file in the header.
const KIND_CODES: u16 = 1;
/// The encoding of codes, and the version of a codes file in a manifest. A codes file of another encoding is not used.
pub(crate) const CODES_ENCODING: u16 = 1;

/// A derived file, as a manifest names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DerivedFile {
    pub file_id: u64,
    pub length: u64,
}

/// The truth file that a derived one is made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TruthId {
    pub file_id: u64,
    pub header_crc: u32,
}

fn identity(store_id: u64, file_id: u64) -> FileIdentity {
    FileIdentity { magic: *MAGIC, version: VERSION, store_id, file_id }
}

/// A ready code, with its meta.
pub(crate) type Code<'a> = (&'a [i8], CodeMeta);

/// Writes a codes file, vector by vector.
pub(crate) struct CodesWriter {
    file: BlockWriter,
    file_id: u64,
    dims: usize,
    vectors: u32,
    written: u32,
    kernels: Kernels,
    code: Vec<i8>,
}

impl CodesWriter {
    pub fn create(
        storage: &dyn Storage,
        keys: &StoreIdentity,
        file_id: u64,
        dims: usize,
        vectors: u32,
    ) -> Result<Self> {
        let file = BlockWriter::create(storage, &codes_name(file_id), identity(keys.store_id, file_id))?;
        Ok(Self {
            file,
            file_id,
            dims,
            vectors,
            written: 0,
            kernels: Kernels::get(),
            code: vec![0; quant::stride(dims)],
        })
    }

    /// Writes the code of the next vector: `ready` if it has the right stride, else a new one.
    pub fn push(&mut self, vector: &[f32], ready: Option<Code<'_>>) -> Result<CodeMeta> {
        let stride = self.code.len();
        let (code, meta) = match ready {
            Some((code, meta)) if code.len() == stride => (code, meta),
            _ => {
                let meta = quant::encode(self.kernels, vector, &mut self.code);
                (self.code.as_slice(), meta)
            }
        };
        if self.written == self.vectors {
            return Err(Error::invalid("a segment got more vectors than its totals announce"));
        }
        let index = u64::from(self.written);
        let metas = HEADER_BYTES as u64 + u64::from(self.vectors) * stride as u64;
        self.file.write_at(HEADER_BYTES as u64 + index * stride as u64, bytemuck::cast_slice(code))?;
        self.file.write_at(metas + index * META_BYTES as u64, bytemuck::bytes_of(&meta))?;
        self.written += 1;
        Ok(meta)
    }

    /// Pads, writes the header and syncs.
    pub fn finish(mut self, truth: TruthId) -> Result<DerivedFile> {
        let end = HEADER_BYTES + self.vectors as usize * (self.code.len() + META_BYTES);
        let body_end = end.next_multiple_of(ALIGNMENT);
        self.file.write_at(end as u64, &[0; ALIGNMENT][..body_end - end])?;
        let mut fields = Writer::new();
        fields.u16(KIND_CODES);
        fields.u16(CODES_ENCODING);
        fields.u32(self.dims as u32);
        fields.u32(self.code.len() as u32);
        fields.u32(self.vectors);
        fields.u64(truth.file_id);
        fields.u32(truth.header_crc);
        fields.u32(0);
        let finished = self.file.finish(body_end as u64, fields.as_slice())?;
        Ok(DerivedFile { file_id: self.file_id, length: finished.length })
    }
}

/// The codes of a segment, mapped.
pub(crate) struct Codes {
    file: CheckedMap,
    stride: usize,
    vectors: usize,
}

impl Codes {
    /// Opens the codes file `file_id` of `truth`, which has `vectors` vectors of `dims` dimensions.
    pub fn open(
        storage: &dyn Storage,
        keys: &StoreIdentity,
        file_id: u64,
        truth: TruthId,
        dims: usize,
        vectors: u32,
    ) -> Result<Self> {
        let file = CheckedMap::open_hot(storage, codes_name(file_id), identity(keys.store_id, file_id))?;
        let (stride, vectors) = (quant::stride(dims), vectors as usize);
        let matches = read_fields(file.fields()).map_err(|error| error.in_file(file.name(), 64))?
            == (KIND_CODES, CODES_ENCODING, dims as u32, stride as u32, vectors as u32, truth);
        let needed = vectors.checked_mul(stride + META_BYTES).and_then(|bytes| bytes.checked_add(HEADER_BYTES));
        if !matches || needed.is_none_or(|end| end > file.body_end()) {
            return Err(Error::corrupt(
                file.name(),
                64,
                "the codes were made from another file or in another encoding",
            ));
        }
        Ok(Self { file, stride, vectors })
    }

    /// Asks the system for the code and the meta of a vector, and does not wait.
    pub fn read_ahead(&self, vector: VectorId) {
        if vector.index() < self.vectors {
            self.file.read_ahead(HEADER_BYTES + vector.index() * self.stride);
            self.file.read_ahead(HEADER_BYTES + self.vectors * self.stride + vector.index() * META_BYTES);
        }
    }

    /// Checks the codes and metas of `vectors`, before a loop over them.
    #[inline]
    pub fn ensure(&self, vectors: Range<VectorId>) -> Result<()> {
        let (start, end) = (vectors.start.index(), vectors.end.index());
        let metas = HEADER_BYTES + self.vectors * self.stride;
        self.file.ensure(HEADER_BYTES + start * self.stride..HEADER_BYTES + end.min(self.vectors) * self.stride)?;
        self.file.ensure(metas + start * META_BYTES..metas + end.min(self.vectors) * META_BYTES)
    }

    /// Bytes from one code to the next.
    #[inline]
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// All codes, each `stride` bytes, the first one 64-byte aligned.
    #[inline]
    pub fn codes(&self) -> &[i8] {
        bytemuck::cast_slice(&self.file.bytes()[HEADER_BYTES..HEADER_BYTES + self.vectors * self.stride])
    }

    /// All metas.
    #[inline]
    pub fn metas(&self) -> &[CodeMeta] {
        let start = HEADER_BYTES + self.vectors * self.stride;
        bytemuck::cast_slice(&self.file.bytes()[start..start + self.vectors * META_BYTES])
    }

    /// The code and meta of one vector.
    #[inline]
    pub fn code(&self, vector: VectorId) -> Option<Code<'_>> {
        let meta = *self.metas().get(vector.index())?;
        let start = vector.index() * self.stride;
        Some((&self.codes()[start..start + self.stride], meta))
    }

    /// Every block that fails its checksum.
    pub fn check_all(&self, go_on: &GoOn<'_>) -> Vec<Error> {
        self.file.check_all(go_on)
    }

    /// The error for a code that does not follow from its vector.
    pub fn wrong_code(&self, vector: VectorId) -> Error {
        self.file.damaged(
            HEADER_BYTES + vector.index() * self.stride,
            format!("the code of vector {vector} is not its vector's"),
        )
    }
}

fn read_fields(fields: &[u8]) -> Decoded<(u16, u16, u32, u32, u32, TruthId)> {
    let mut reader = Reader::new(fields);
    let (kind, encoding) = (reader.u16()?, reader.u16()?);
    let (dims, stride, vectors) = (reader.u32()?, reader.u32()?, reader.u32()?);
    Ok((kind, encoding, dims, stride, vectors, TruthId { file_id: reader.u64()?, header_crc: reader.u32()? }))
}
