//! JSON as bytes: validation of values from callers, and reading of validated values in place.
//!
//! Reading order:
//! * `validate`: whether bytes are a JSON object that the store accepts.
//! * `read`: a forward reader that enters or skips containers.
//! * `text`, `number`: comparing strings and numbers without copying them.
//!
//! Invariants:
//! * [`validate_value`] accepts the texts of RFC 8259 below 4 GiB, except those that nest deeper than allowed, repeat a
//!   key, or escape half of a surrogate pair. [`validate_object`] accepts those of them whose root is an object.
//! * `JsonReader` copies nothing and builds no tree. On bytes that were not validated it returns `None` or wrong
//!   values, and never panics or loops.
//! * Strings are compared decoded, so it does not matter how they are escaped.

mod number;
mod read;
mod text;
mod validate;

pub(crate) use number::Number;
pub(crate) use read::{JsonReader, Raw};
pub(crate) use text::Text;
pub use validate::{validate_object, validate_value};

/// The most levels of nested objects and arrays in a value or a filter. The root is the first level.
pub const JSON_DEPTH_MAX: usize = 128;

#[cfg(test)]
mod tests;
