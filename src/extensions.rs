//! Extensions: numbered fields of a frame, a row or a manifest beside the fixed ones. With them a later version of
//! vecmem needs no new format.
//!
//! Invariants:
//! * Kinds ascend strictly. So each kind occurs once, and equal extensions have equal bytes.
//! * An extension of an unknown kind is kept and copied unchanged if it may be ignored. If it must be understood, its
//!   carrier is refused before it is used.
//! * [`Extensions`] have passed [`Extensions::decode`], or were built from such ones. So iterating needs no checks.
//!
//! # Format
//!
//! Little endian. Nothing where there is none; else for each extension:
//!
//! ```text
//! SIZE  MEANING
//! 2     kind; kinds of frames, rows and manifests are numbered apart (`wal/operations.rs`, `record/`, `manifest/body.rs`)
//! 2     flags: 1 if a reader that does not know the kind must refuse the carrier, else 0 and such a reader may ignore it
//! 4     length, then that many bytes
//! ```

use crate::codec::{Decoded, FormatError, Reader, Writer};
use crate::error::{Error, ErrorKind};

/// A flag: a reader that does not know the kind refuses the carrier of the extension.
const MUST_UNDERSTAND: u16 = 1;
/// Bytes of the header of an extension: kind, flags, length.
const HEAD_BYTES: usize = 8;

/// The most bytes that the extensions of one row or frame may take.
pub(crate) const EXTENSION_BYTES_MAX: usize = 64 << 20;

/// The number of a kind.
pub(crate) type ExtensionKind = u16;

/// One extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extension<'a> {
    pub kind: ExtensionKind,
    pub must_understand: bool,
    pub bytes: &'a [u8],
}

/// Extensions in the order of their kinds, encoded. Most carriers have none, which costs no memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Extensions {
    encoded: Box<[u8]>,
}

impl Extensions {
    pub fn is_empty(&self) -> bool {
        self.encoded.is_empty()
    }

    /// The bytes that [`Extensions::decode`] reads.
    pub fn encoded(&self) -> &[u8] {
        &self.encoded
    }

    /// All extensions, in the order of their kinds.
    pub fn iter(&self) -> impl Iterator<Item = Extension<'_>> {
        let mut reader = Reader::new(&self.encoded);
        std::iter::from_fn(move || next(&mut reader).ok().flatten())
    }

    /// The bytes of the extension of this kind, if there is one.
    pub fn get(&self, kind: ExtensionKind) -> Option<&[u8]> {
        self.iter().find(|extension| extension.kind == kind).map(|extension| extension.bytes)
    }

    /// These extensions and one more, which replaces an extension of the same kind.
    #[must_use]
    pub fn with(&self, kind: ExtensionKind, must_understand: bool, bytes: &[u8]) -> Self {
        let added = Extension { kind, must_understand, bytes };
        let (below, above): (Vec<_>, Vec<_>) =
            self.iter().filter(|there| there.kind != kind).partition(|there| there.kind < kind);
        let mut out = Writer::new();
        below.iter().chain([&added]).chain(&above).for_each(|extension| encode(&mut out, extension));
        Self { encoded: out.into_vec().into() }
    }

    /// The extensions for whose kind `kept` returns true.
    #[must_use]
    pub fn filtered(&self, kept: impl Fn(ExtensionKind) -> bool) -> Self {
        let mut out = Writer::new();
        self.iter().filter(|there| kept(there.kind)).for_each(|extension| encode(&mut out, &extension));
        Self { encoded: out.into_vec().into() }
    }

    /// Decodes `bytes`, which hold extensions and nothing else.
    pub fn decode(bytes: &[u8]) -> Decoded<Self> {
        let mut reader = Reader::new(bytes);
        let mut above = None;
        loop {
            let at = reader.position();
            let Some(extension) = next(&mut reader)? else { break };
            if above.is_some_and(|last| last >= extension.kind) {
                return Err(FormatError { offset: at, what: "extensions are out of order" });
            }
            above = Some(extension.kind);
        }
        Ok(Self { encoded: bytes.into() })
    }

    /// The kind of each extension, and whether it must be understood.
    pub fn kinds(&self) -> impl Iterator<Item = (ExtensionKind, bool)> + '_ {
        self.iter().map(|extension| (extension.kind, extension.must_understand))
    }
}

/// Fails if a kind must be understood and is none of `known`.
pub(crate) fn refuse_unknown(
    carrier: impl std::fmt::Display,
    kinds: impl IntoIterator<Item = (ExtensionKind, bool)>,
    known: &[ExtensionKind],
) -> Result<(), Error> {
    match kinds.into_iter().find(|(kind, must_understand)| *must_understand && !known.contains(kind)) {
        None => Ok(()),
        Some((kind, _)) => Err(Error::new(
            ErrorKind::NewerFormat,
            format!(
                "{carrier} has an extension of kind {kind}, which this version of vecmem must not ignore; upgrade it"
            ),
        )),
    }
}

fn encode(out: &mut Writer, extension: &Extension<'_>) {
    out.u16(extension.kind);
    out.u16(if extension.must_understand { MUST_UNDERSTAND } else { 0 });
    out.prefixed(extension.bytes);
}

fn next<'a>(reader: &mut Reader<'a>) -> Decoded<Option<Extension<'a>>> {
    if reader.remaining() == 0 {
        return Ok(None);
    }
    if reader.remaining() < HEAD_BYTES {
        return Err(reader.malformed("an extension ends too early"));
    }
    let (kind, flags) = (reader.u16()?, reader.u16()?);
    if flags & !MUST_UNDERSTAND != 0 {
        return Err(FormatError::newer(reader.position()));
    }
    let bytes = reader.prefixed(usize::MAX)?;
    Ok(Some(Extension { kind, must_understand: flags == MUST_UNDERSTAND, bytes }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extensions_round_trip_and_their_bytes_are_fixed() {
        let some = Extensions::default().with(7, true, b"xy").with(2, false, b"").with(7, true, b"z");
        let golden = [2, 0, 0, 0, 0, 0, 0, 0, 7, 0, 1, 0, 1, 0, 0, 0, b'z'];
        assert_eq!(some.encoded(), golden);
        assert_eq!(Extensions::decode(&golden).unwrap(), some);
        assert_eq!((some.get(7), some.get(2), some.get(3)), (Some(&b"z"[..]), Some(&b""[..]), None));
        assert_eq!(some.filtered(|kind| kind > 2).kinds().collect::<Vec<_>>(), [(7, true)]);
        assert!(Extensions::decode(b"").unwrap().is_empty());
    }

    #[test]
    fn bytes_that_are_none_are_refused() {
        let golden = Extensions::default().with(2, false, b"a").with(7, true, b"b").encoded().to_vec();
        for length in (1..golden.len()).filter(|&length| length != 9) {
            assert!(Extensions::decode(&golden[..length]).is_err(), "{length} bytes");
        }
        let swapped = [&golden[9..], &golden[..9]].concat();
        assert!(
            Extensions::decode(&swapped).is_err()
                && Extensions::decode(&[&golden[..9], &golden[..9]].concat()).is_err()
        );
        let mut flagged = golden;
        flagged[2] = 2;
        assert!(Extensions::decode(&flagged).is_err());
    }

    #[test]
    fn only_what_must_be_understood_is_refused() {
        let some = Extensions::default().with(1, true, b"").with(2, false, b"");
        assert!(refuse_unknown("it", some.kinds(), &[1]).is_ok());
        let refused = refuse_unknown("it", some.kinds(), &[2]).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::NewerFormat);
        assert!(refused.to_string().contains("it has an extension of kind 1"));
    }
}
