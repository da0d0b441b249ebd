//! One row that is written to a segment, borrowed from a memtable, an import or another segment.

use crate::extensions::Extensions;
use crate::record::{TextHash, VersionTimes};
use crate::segment::blob::file::ValuePlace;
use crate::segment::derived::codes::Code;
use std::sync::Arc;

/// The value of a row.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ValueInput<'a> {
    /// As it was given. The threshold of the totals decides whether it goes to the blob file.
    Text(&'a str),
    /// As stored in a blob file that this segment does not keep: it is copied.
    Stored { bytes: &'a [u8], codec: u8 },
    /// It stays in a blob file that this segment keeps.
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

/// One row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RowInput<'a> {
    /// Encoded.
    pub namespace: &'a [u8],
    pub key: &'a str,
    pub value: ValueInput<'a>,
    pub times: VersionTimes,
    pub flags: u32,
    pub index_paths: &'a [Arc<str>],
    pub extensions: &'a Extensions,
    pub vectors: &'a [VectorInput<'a>],
}
