//! One row that is written to a segment, borrowed from a memtable, an import or another segment.

use std::sync::Arc;

use crate::extensions::Extensions;
use crate::record::{TextHash, VersionTimes};
use crate::segment::blob::file::ValuePlace;
use crate::segment::derived::codes::Code;

/// The value of a row.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ValueInput<'a> {
    /// The value as it was given. `Totals::blob_value_bytes` decides whether it goes to the blob file.
    Text(&'a str),
    /// The stored bytes in a blob file that this segment does not keep: they are copied to the new blob file.
    Stored { bytes: &'a [u8], codec: u8 },
    /// The place of the value in a blob file that this segment keeps.
    Kept(ValuePlace),
}

/// One vector of a row, with its code if there is one already.
#[derive(Clone, Copy, Debug)]
pub(crate) struct VectorInput<'a> {
    pub path: &'a str,
    pub values: &'a [f32],
    pub code: Option<Code<'a>>,
    pub text_hash: TextHash,
}

/// One row to be written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RowInput<'a> {
    /// The encoded namespace.
    pub namespace: &'a [u8],
    pub key: &'a str,
    pub value: ValueInput<'a>,
    /// The text of a stored or kept value, for the field index, if it can be read.
    pub unpacked: Option<&'a str>,
    pub times: VersionTimes,
    pub flags: u32,
    pub index_paths: &'a [Arc<str>],
    pub extensions: &'a Extensions,
    pub vectors: &'a [VectorInput<'a>],
}

impl RowInput<'_> {
    /// The bytes of the value for the field index; `None` if they cannot be read.
    pub fn indexed_value(&self) -> Option<&[u8]> {
        match self.value {
            ValueInput::Text(text) => Some(text.as_bytes()),
            ValueInput::Stored { .. } | ValueInput::Kept(_) => self.unpacked.map(str::as_bytes),
        }
    }
}
