//! A forward reader over validated JSON bytes: tokens in place, containers entered or skipped.
//!
//! Invariants:
//! * The position only grows, and never passes the end; `None` means the bytes are not JSON and reading must stop.
//! * Skipping checks no grammar: it counts brackets and steps over strings.
//!
//! What returns a token is always inlined: passing one through memory costs as much as finding it.

use super::number::Number;
use super::text::{Text, find_special};

/// A position in JSON bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct JsonReader<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// A value as it stands in the bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Raw<'a> {
    Null,
    Bool(bool),
    Number(&'a [u8]),
    Text(Text<'a>),
    /// An array: the bytes from its bracket on. The reader stands there.
    Array(&'a [u8]),
    /// An object: the bytes from its brace on. The reader stands there.
    Object(&'a [u8]),
}

impl Raw<'_> {
    /// The number, if it is one.
    pub(crate) fn number(&self) -> Option<Number> {
        if let Self::Number(token) = self { Number::parse(token) } else { None }
    }
}

impl<'a> JsonReader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(super) fn at(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at }
    }

    /// The next byte that is not whitespace, where the reader then stands.
    #[inline]
    fn peek(&mut self) -> Option<u8> {
        loop {
            let byte = *self.bytes.get(self.at)?;
            if !matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
                return Some(byte);
            }
            self.at += 1;
        }
    }

    #[inline]
    fn take(&mut self, wanted: u8) -> Option<()> {
        (self.peek()? == wanted).then(|| self.at += 1)
    }

    /// A string.
    #[inline(always)]
    pub(crate) fn text(&mut self) -> Option<Text<'a>> {
        self.take(b'"')?;
        let start = self.at;
        let end = find_special(self.bytes, start)?;
        if self.bytes.get(end) == Some(&b'"') {
            self.at = end + 1;
            return Some(Text::new(self.bytes.get(start..end)?, false));
        }
        self.escaped_text(start, end)
    }

    /// The rest of a string that starts at `start` and has its first escape (or a byte that no string may hold) at
    /// `at`.
    fn escaped_text(&mut self, start: usize, mut at: usize) -> Option<Text<'a>> {
        loop {
            match self.bytes.get(at)? {
                b'"' => {
                    self.at = at + 1;
                    return Some(Text::new(self.bytes.get(start..at)?, true));
                }
                b'\\' => at = find_special(self.bytes, at + 2)?,
                _ => return None,
            }
        }
    }

    /// The value here. Scalars are stepped over; an array or object is not: enter it with [`enter`](Self::enter) or
    /// [`skip`](Self::skip) it.
    #[inline(always)]
    pub(crate) fn value(&mut self) -> Option<Raw<'a>> {
        match self.peek()? {
            b'"' => self.text().map(Raw::Text),
            b'{' => self.bytes.get(self.at..).map(Raw::Object),
            b'[' => self.bytes.get(self.at..).map(Raw::Array),
            b't' => self.word(b"true").map(|()| Raw::Bool(true)),
            b'f' => self.word(b"false").map(|()| Raw::Bool(false)),
            b'n' => self.word(b"null").map(|()| Raw::Null),
            b'-' | b'0'..=b'9' => {
                let start = self.at;
                while matches!(self.bytes.get(self.at), Some(b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E')) {
                    self.at += 1;
                }
                Some(Raw::Number(self.bytes.get(start..self.at)?))
            }
            _ => None,
        }
    }

    fn word(&mut self, word: &[u8]) -> Option<()> {
        self.bytes.get(self.at..)?.starts_with(word).then(|| self.at += word.len())
    }

    /// Steps over the value here, whatever it is.
    #[inline]
    pub(crate) fn skip(&mut self) -> Option<()> {
        if let Raw::Array(_) | Raw::Object(_) = self.value()? { self.skip_container() } else { Some(()) }
    }

    fn skip_container(&mut self) -> Option<()> {
        let mut depth = 0usize;
        loop {
            match *self.bytes.get(self.at)? {
                b'"' => {
                    self.text()?;
                    continue;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth -= 1,
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                return Some(());
            }
        }
    }

    /// Enters the array or object here; false if it is empty (and the reader is behind it).
    #[inline]
    pub(crate) fn enter(&mut self) -> Option<bool> {
        let close = match self.peek()? {
            b'{' => b'}',
            b'[' => b']',
            _ => return None,
        };
        self.at += 1;
        Some(if self.peek()? == close {
            self.at += 1;
            false
        } else {
            true
        })
    }

    /// After a member or element: true if another follows, false if the container ended (and the reader is behind it).
    #[inline]
    pub(crate) fn more(&mut self) -> Option<bool> {
        let byte = self.peek()?;
        self.at += 1;
        match byte {
            b',' => Some(true),
            b'}' | b']' => Some(false),
            _ => None,
        }
    }

    /// A member's key; the reader then stands at its value.
    #[inline(always)]
    pub(crate) fn key(&mut self) -> Option<Text<'a>> {
        let key = self.text()?;
        self.take(b':')?;
        Some(key)
    }
}
