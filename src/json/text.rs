//! JSON strings in place: finding their end, and comparing them without copying.
//!
//! Invariants:
//! * A [`Text`] without escapes is compared as its raw bytes. A text with escapes is decoded byte by byte meanwhile.
//! * In UTF-8 the order of bytes is the order of code points, so texts are compared by their bytes.
//! * A malformed escape ends the decoded text. Decoding never panics.

use std::borrow::Cow;
use std::cmp::Ordering;

/// The content of a JSON string: the bytes between its quotes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Text<'a> {
    raw: &'a [u8],
    escaped: bool,
}

impl<'a> Text<'a> {
    pub(super) fn new(raw: &'a [u8], escaped: bool) -> Self {
        Self { raw, escaped }
    }

    /// A string without escapes, which need not stand in JSON.
    pub(crate) fn plain(text: &'a str) -> Self {
        Self { raw: text.as_bytes(), escaped: false }
    }

    /// Whether the decoded string equals `other`.
    #[inline]
    pub(crate) fn equals(&self, other: &[u8]) -> bool {
        if self.escaped {
            // An escape is never shorter than its character.
            self.raw.len() >= other.len() && self.bytes().eq(other.iter().copied())
        } else {
            self.raw == other
        }
    }

    /// The order of the string and `other`, by code point.
    #[inline]
    pub(crate) fn compare(&self, other: &[u8]) -> Ordering {
        if self.escaped { self.bytes().cmp(other.iter().copied()) } else { self.raw.cmp(other) }
    }

    /// The order of two strings, by code point.
    pub(super) fn compare_text(&self, other: Text<'_>) -> Ordering {
        if other.escaped { self.bytes().cmp(other.bytes()) } else { self.compare(other.raw) }
    }

    /// The decoded string; `None` if it is not UTF-8. Allocates only if the string has escapes.
    pub(crate) fn decode(&self) -> Option<Cow<'a, str>> {
        if self.escaped {
            String::from_utf8(self.bytes().collect()).ok().map(Cow::Owned)
        } else {
            std::str::from_utf8(self.raw).ok().map(Cow::Borrowed)
        }
    }

    /// Whether the decoded string begins with `prefix`.
    pub(crate) fn starts_with(&self, prefix: &[u8]) -> bool {
        if self.escaped {
            // An escape is never shorter than its character.
            self.raw.len() >= prefix.len() && self.bytes().take(prefix.len()).eq(prefix.iter().copied())
        } else {
            self.raw.starts_with(prefix)
        }
    }

    /// The decoded bytes. Allocates only if the string has escapes.
    pub(crate) fn decoded_bytes(&self) -> Cow<'a, [u8]> {
        if self.escaped { Cow::Owned(self.bytes().collect()) } else { Cow::Borrowed(self.raw) }
    }

    /// The decoded bytes, if they are at most as many as the buffer holds.
    pub(crate) fn short<'b>(&self, buffer: &'b mut [u8]) -> Option<&'b [u8]>
    where
        'a: 'b,
    {
        if !self.escaped {
            return (self.raw.len() <= buffer.len()).then_some(self.raw);
        }
        let mut length = 0;
        for byte in self.bytes() {
            *buffer.get_mut(length)? = byte;
            length += 1;
        }
        buffer.get(..length)
    }

    /// The decoded bytes, one at a time.
    pub(super) fn bytes(&self) -> DecodedText<'a> {
        DecodedText { raw: self.raw, pending: 0, pending_bytes: 0 }
    }
}

/// An iterator over the decoded bytes of a JSON string.
pub(super) struct DecodedText<'a> {
    raw: &'a [u8],
    /// The remaining bytes of a decoded escape; the next one is the lowest byte.
    pending: u32,
    pending_bytes: u8,
}

impl Iterator for DecodedText<'_> {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        if self.pending_bytes == 0 {
            let (&byte, rest) = self.raw.split_first()?;
            if byte != b'\\' {
                self.raw = rest;
                return Some(byte);
            }
            let (character, length) = decode_escape(self.raw)?;
            self.raw = self.raw.get(length..)?;
            let mut utf8 = [0; 4];
            self.pending_bytes = character.encode_utf8(&mut utf8).len() as u8;
            self.pending = u32::from_le_bytes(utf8);
        }
        let byte = self.pending as u8;
        self.pending >>= 8;
        self.pending_bytes -= 1;
        Some(byte)
    }
}

/// Decodes the escape at the start of `bytes`, from its backslash on. Returns the character and the length of the
/// escape in bytes, or `None` if the escape is not valid.
pub(super) fn decode_escape(bytes: &[u8]) -> Option<(char, usize)> {
    let simple = match bytes.get(1)? {
        b'"' => '"',
        b'\\' => '\\',
        b'/' => '/',
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => return decode_unicode(bytes),
        _ => return None,
    };
    Some((simple, 2))
}

/// Decodes a `\uXXXX` escape, or two that form a surrogate pair.
fn decode_unicode(bytes: &[u8]) -> Option<(char, usize)> {
    let first = hexadecimal(bytes.get(2..6)?)?;
    if !(0xD800..0xDC00).contains(&first) {
        return Some((char::from_u32(first)?, 6));
    }
    if bytes.get(6..8)? != b"\\u" {
        return None;
    }
    let second = hexadecimal(bytes.get(8..12)?)?;
    if !(0xDC00..0xE000).contains(&second) {
        return None;
    }
    Some((char::from_u32(0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00))?, 12))
}

fn hexadecimal(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |value, &digit| Some(value << 4 | char::from(digit).to_digit(16)?))
}

/// Validates the string whose content starts at `start`. Returns the position of its closing quote and the text. The
/// error is the position of the fault and the reason.
pub(super) fn validate_text(bytes: &[u8], start: usize) -> Result<(usize, Text<'_>), (usize, &'static str)> {
    let mut at = start;
    let mut escaped = false;
    loop {
        let Some(found) = find_special(bytes, at) else {
            return Err((start.saturating_sub(1), "a string that does not end"));
        };
        match bytes[found] {
            b'"' => return Ok((found, Text::new(&bytes[start..found], escaped))),
            b'\\' => {
                let Some((_, length)) = decode_escape(&bytes[found..]) else {
                    return Err((found, "an escape that JSON does not have, or half of a surrogate pair"));
                };
                escaped = true;
                at = found + length;
            }
            _ => return Err((found, "a control character in a string; escape it")),
        }
    }
}

const ONES: u64 = u64::MAX / 255;
const HIGH_BITS: u64 = ONES << 7;

/// The position of the first byte at or after `at` that a string cannot contain unescaped: a quote, a backslash or a
/// control character.
#[inline]
pub(super) fn find_special(bytes: &[u8], mut at: usize) -> Option<usize> {
    let mut rest = bytes.get(at..)?;
    while let Some((word, after)) = rest.split_first_chunk::<8>() {
        let hits = special_bytes(u64::from_le_bytes(*word));
        if hits != 0 {
            return Some(at + hits.trailing_zeros() as usize / 8);
        }
        at += word.len();
        rest = after;
    }
    rest.iter().position(|&byte| is_special(byte)).map(|found| at + found)
}

#[inline]
fn is_special(byte: u8) -> bool {
    byte == b'"' || byte == b'\\' || byte < 0x20
}

/// A mask with the high bit of the first special byte of `word`, the lowest byte first, and perhaps of bytes above it.
///
/// Subtracting one (32 for control characters) from each byte sets the high bit of the bytes that are too small. A
/// borrow may wrongly set the high bit of a byte above the first special one, never of a byte below it.
#[inline]
fn special_bytes(word: u64) -> u64 {
    let quote = word ^ (ONES * u64::from(b'"'));
    let backslash = word ^ (ONES * u64::from(b'\\'));
    let hits = (quote.wrapping_sub(ONES) & !quote)
        | (backslash.wrapping_sub(ONES) & !backslash)
        | (word.wrapping_sub(ONES * 0x20) & !word);
    hits & HIGH_BITS
}
