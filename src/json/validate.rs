//! Validation: whether bytes are a JSON value, or a JSON object, that the store accepts.
//!
//! Invariants:
//! * No recursion: open containers are a list of at most `max_depth` entries.
//! * Each key of the open objects takes 8 bytes, its 32-bit hash and its offset, in one list that grows by a quarter at
//!   a time. The list takes at most about as many bytes as the text, and twice that while it is moved.
//! * Repeated keys are found by sorting, so any object, even one with colliding keys, costs O(bytes * log keys).

use super::read::JsonReader;
use super::text::{Text, validate_text};
use crate::error::{Error, Limit, Result};

/// Checks that `bytes` are one JSON object as RFC 8259 defines it, in UTF-8, nested at most `max_depth` levels (the
/// root is the first), with no key twice in any object.
///
/// Keys are compared decoded, so `"a"` and `"\u0061"` are the same. An escape of half a surrogate pair is a fault.
/// Numbers may have any size.
///
/// # Errors
///
/// [`ErrorKind::InvalidInput`](crate::error::ErrorKind::InvalidInput) with the byte offset of a fault, [`Limit::Depth`]
/// if the object nests too deep, [`Limit::ValueBytes`] if it is 4 GiB or more.
pub fn validate_object(bytes: &[u8], max_depth: usize) -> Result<()> {
    validate(bytes, max_depth, true)
}

/// Like [`validate_object`], for one JSON value of any type.
pub fn validate_value(bytes: &[u8], max_depth: usize) -> Result<()> {
    validate(bytes, max_depth, false)
}

fn validate(bytes: &[u8], max_depth: usize, is_object: bool) -> Result<()> {
    // Offsets are kept in 32 bits.
    if u32::try_from(bytes.len()).is_err() {
        return Err(Error::limit(Limit::ValueBytes, "the JSON text", bytes.len(), u32::MAX as usize));
    }
    if let Err(error) = std::str::from_utf8(bytes) {
        return Err(fault(error.valid_up_to(), "bytes that are not UTF-8"));
    }
    let mut validator = Validator { bytes, at: 0, max_depth, open: Vec::new(), keys: Vec::new() };
    if validator.peek() != Some(b'{') && is_object {
        return Err(fault(validator.at, "something else than the '{' of an object"));
    }
    validator.run()?;
    match validator.peek() {
        None => Ok(()),
        Some(_) => Err(fault(validator.at, "more text after its end")),
    }
}

fn fault(at: usize, what: &str) -> Error {
    Error::invalid(format!("not valid JSON: {what} at byte {at}"))
}

/// An object or array whose end has not been read.
struct Nesting {
    is_object: bool,
    /// The index of its first key in the list of keys.
    first_key: usize,
}

struct Validator<'a> {
    bytes: &'a [u8],
    at: usize,
    max_depth: usize,
    open: Vec<Nesting>,
    /// For each key of the open objects: its hash in the upper 32 bits, and its offset in the lower 32 bits.
    keys: Vec<u64>,
}

impl Validator<'_> {
    /// Skips whitespace. Returns the byte after it, at which the validator then stands.
    fn peek(&mut self) -> Option<u8> {
        while let Some(&byte) = self.bytes.get(self.at) {
            if !matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
                return Some(byte);
            }
            self.at += 1;
        }
        None
    }

    /// Reads one value to its end.
    fn run(&mut self) -> Result<()> {
        loop {
            if self.opens_with_content()? {
                continue;
            }
            // A value has ended. Close the containers that end here too, up to one that has another value.
            loop {
                let Some(frame) = self.open.last() else { return Ok(()) };
                let is_object = frame.is_object;
                match self.peek() {
                    Some(b',') => {
                        self.at += 1;
                        if is_object {
                            self.peek();
                            self.key()?;
                        }
                        break;
                    }
                    Some(b'}') if is_object => self.close()?,
                    Some(b']') if !is_object => self.close()?,
                    Some(_) => return Err(fault(self.at, "neither a comma nor the closing bracket")),
                    None => return Err(fault(self.at, "the text ends inside the object")),
                }
            }
        }
    }

    /// Reads a scalar or an empty container, and returns false. Or reads the opening of a container up to its first
    /// value, and returns true.
    fn opens_with_content(&mut self) -> Result<bool> {
        match self.peek() {
            Some(b'{') => {
                self.open(true)?;
                if self.peek() == Some(b'}') {
                    return self.close().map(|()| false);
                }
                self.key()?;
                Ok(true)
            }
            Some(b'[') => {
                self.open(false)?;
                if self.peek() == Some(b']') {
                    return self.close().map(|()| false);
                }
                Ok(true)
            }
            Some(b'"') => self.text().map(|_| false),
            Some(b't') => self.word(b"true"),
            Some(b'f') => self.word(b"false"),
            Some(b'n') => self.word(b"null"),
            Some(b'-' | b'0'..=b'9') => self.number().map(|()| false),
            Some(_) => Err(fault(self.at, "something that is no value")),
            None => Err(fault(self.at, "the text ends where a value should be")),
        }
    }

    fn open(&mut self, is_object: bool) -> Result<()> {
        if self.open.len() >= self.max_depth {
            let what = format!("levels of the JSON object, at byte {}", self.at);
            return Err(Error::limit(Limit::Depth, what, self.open.len() + 1, self.max_depth));
        }
        self.open.push(Nesting { is_object, first_key: self.keys.len() });
        self.at += 1;
        Ok(())
    }

    fn close(&mut self) -> Result<()> {
        self.at += 1;
        if let Some(frame) = self.open.pop() {
            if let Some(at) = find_repeated(self.bytes, &mut self.keys[frame.first_key..]) {
                return Err(fault(at, "a key that the same object already has"));
            }
            self.keys.truncate(frame.first_key);
        }
        Ok(())
    }

    /// Reads a string. The validator stands at its opening quote.
    fn text(&mut self) -> Result<Text<'_>> {
        let (end, text) = validate_text(self.bytes, self.at + 1).map_err(|(at, what)| fault(at, what))?;
        self.at = end + 1;
        Ok(text)
    }

    fn key(&mut self) -> Result<()> {
        let at = self.at;
        if self.bytes.get(at) != Some(&b'"') {
            return Err(fault(at, "something else than a key in quotes"));
        }
        let hash = hash(self.text()?);
        if self.keys.len() == self.keys.capacity() {
            self.keys.reserve_exact(16.max(self.keys.len() / 4));
        }
        self.keys.push(u64::from(hash) << 32 | at as u64);
        if self.peek() != Some(b':') {
            return Err(fault(self.at, "no colon after a key"));
        }
        self.at += 1;
        Ok(())
    }

    fn word(&mut self, word: &[u8]) -> Result<bool> {
        if !self.bytes[self.at..].starts_with(word) {
            return Err(fault(self.at, "something that is no value"));
        }
        self.at += word.len();
        Ok(false)
    }

    fn number(&mut self) -> Result<()> {
        let start = self.at;
        self.at += usize::from(self.bytes[self.at] == b'-');
        let leading_zero = self.bytes.get(self.at) == Some(&b'0');
        let whole = self.digits();
        let mut valid = whole == 1 || (whole > 1 && !leading_zero);
        if self.bytes.get(self.at) == Some(&b'.') {
            self.at += 1;
            valid &= self.digits() > 0;
        }
        if let Some(b'e' | b'E') = self.bytes.get(self.at) {
            self.at += 1;
            self.at += usize::from(matches!(self.bytes.get(self.at), Some(b'+' | b'-')));
            valid &= self.digits() > 0;
        }
        if valid { Ok(()) } else { Err(fault(start, "a number that JSON does not allow")) }
    }

    fn digits(&mut self) -> usize {
        let count = self.bytes[self.at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += count;
        count
    }
}

/// FNV-1a of the decoded key, folded to 32 bits.
fn hash(key: Text<'_>) -> u32 {
    let hash = key
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    (hash >> 32) as u32 ^ hash as u32
}

/// The offset of a key that repeats an earlier one of `keys`.
fn find_repeated(bytes: &[u8], keys: &mut [u64]) -> Option<usize> {
    if keys.len() < 2 {
        return None;
    }
    keys.sort_unstable();
    // Each key was validated when it was read, so `text` always returns one. A `None` would sort first.
    let text = |key: u64| JsonReader::at(bytes, key as u32 as usize).text();
    let compare = |a: u64, b: u64| match (text(a), text(b)) {
        (Some(a), Some(b)) => a.compare_text(b),
        (a, b) => a.is_some().cmp(&b.is_some()),
    };
    for same_hash in keys.chunk_by_mut(|a, b| a >> 32 == b >> 32).filter(|keys| keys.len() > 1) {
        same_hash.sort_unstable_by(|&a, &b| compare(a, b).then(a.cmp(&b)));
        if let Some(pair) = same_hash.windows(2).find(|pair| compare(pair[0], pair[1]).is_eq()) {
            return Some(pair[1] as u32 as usize);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::find_repeated;

    /// `keys` as strings one after another, and their list as if all of them had one hash.
    fn colliding(keys: impl IntoIterator<Item = String>) -> (String, Vec<u64>) {
        keys.into_iter().fold((String::new(), Vec::new()), |(mut text, mut list), key| {
            list.push(text.len() as u64);
            text.push_str(&format!("\"{key}\""));
            (text, list)
        })
    }

    #[test]
    fn keys_with_one_hash_are_told_apart() {
        // Comparing all pairs of so many would not end.
        let distinct = || (0..100_000).map(|number| number.to_string());
        let (text, mut list) = colliding(distinct());
        assert_eq!(find_repeated(text.as_bytes(), &mut list), None);
        let (repeated, mut list) = colliding(distinct().chain(["7\\u0037".to_owned()]));
        assert_eq!(find_repeated(repeated.as_bytes(), &mut list), Some(text.len()));
    }
}
