//! JSON as bytes: the check at the door, and reading in place what has passed it.
//!
//! Invariants:
//! * [`validate_value`] accepts exactly the texts of RFC 8259 that nest no deeper than allowed and repeat no key; [`validate_object`] those
//!   of them whose root is an object.
//! * `JsonReader` copies nothing and builds no tree. It trusts that its bytes were validated only for its answers, never for its safety:
//!   on other bytes it reports `None`, and never panics or loops.
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
