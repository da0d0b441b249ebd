//! A forward reader over validated JSON bytes. It returns tokens in place, and enters or skips containers.
//!
//! Invariants:
//! * The position only grows, and never passes the end. `None` means that the bytes are not JSON and reading must stop.
//! * Skipping checks no grammar: it counts brackets and steps over strings.
//!
//! Functions on the fast path that return a token are always inlined: to pass a token through memory costs as much as
//! to find it.

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
    /// An array: all bytes from its opening bracket on. The reader stays at the bracket.
    Array(&'a [u8]),
    /// An object: all bytes from its opening brace on. The reader stays at the brace.
    Object(&'a [u8]),
}

impl Raw<'_> {
    /// The number, if the value is one.
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

    /// Where the reader stands in the bytes.
    pub(crate) fn position(&self) -> usize {
        self.at
    }

    /// Skips whitespace. Returns the byte after it, at which the reader then stands.
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

    /// Reads a string.
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

    /// Reads the rest of a string whose content starts at `start`. `at` is the position of its first escape, or of a
    /// byte that no string may contain.
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

    /// Reads the next value. The reader then stands after a scalar, but before an array or object: [enter](Self::enter)
    /// or [skip](Self::skip) it.
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

    /// Skips the next value, of any type.
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

    /// Enters the next array or object. Returns false if it is empty; the reader is then after it.
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

    /// Reads the end of a member or element. Returns true if another one follows, and false if the container ends; the
    /// reader is then after the container.
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

    /// Reads the key of a member and the colon. The reader then stands before the value.
    #[inline(always)]
    pub(crate) fn key(&mut self) -> Option<Text<'a>> {
        let key = self.text()?;
        self.take(b':')?;
        Some(key)
    }
}
