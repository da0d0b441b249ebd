//! The kinds of files beside a segment.
//!
//! Invariant: the set is open. A kind that this version does not know is a name like any other.

use std::borrow::Cow;

/// The kind of a file beside a segment: the extension of its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileKind(Cow<'static, str>);

impl FileKind {
    pub const CODES: Self = Self(Cow::Borrowed("codes"));
    pub const FIELDS: Self = Self(Cow::Borrowed("fields"));
    pub const GRAPH: Self = Self(Cow::Borrowed("graph"));
    pub const BLOB: Self = Self(Cow::Borrowed("blob"));
    pub const OPERATIONS: Self = Self(Cow::Borrowed("operations"));
    pub const MISSED: Self = Self(Cow::Borrowed("missed"));

    /// The kinds that format version 1 numbers, from 1 on.
    pub(super) const NUMBERED: [Self; 3] = [Self::CODES, Self::GRAPH, Self::BLOB];

    /// The kind of this name, which is not checked.
    pub(super) fn of(name: &str) -> Self {
        Self(Cow::Owned(name.to_owned()))
    }

    /// The extension of the file's name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
