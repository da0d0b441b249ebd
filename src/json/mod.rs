//! JSON as bytes: the validation of what enters, and reading in place of what was validated.
//!
//! Reading order:
//! * `validate`: whether bytes are a JSON object that the store accepts.
//! * `read`: a forward reader that enters or skips containers.
//! * `text`, `number`: comparing strings and numbers without copying them.
//!
//! Invariants:
//! * [`validate_value`] accepts exactly the texts of RFC 8259 that nest no deeper than allowed and repeat no key;
//!   [`validate_object`] accepts those of them whose root is an object.
//! * `Reader` copies nothing and builds no tree. Its answers rely on validated bytes, its safety does not: on other
//!   bytes it reports `None`, and never panics or loops.
//! * Strings are compared as what they say, not as how they are escaped.

mod number;
mod read;
mod text;
mod validate;

pub(crate) use number::Number;
pub(crate) use read::{JsonReader, Raw};
pub use validate::{validate_object, validate_value};

/// Levels of objects and arrays that a value or a filter may nest; the root is the first.
pub const JSON_DEPTH_MAX: usize = 128;

#[cfg(test)]
mod tests;
