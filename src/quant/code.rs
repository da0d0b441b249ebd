//! Codes: a vector as one signed byte a dimension, and metadata that bounds the error of the code.
//!
//! Invariants:
//! * Code and meta are a function of the vector alone, the same on every machine. They do not depend on other vectors,
//!   a codebook or the instruction set.
//! * `residual` is never below the true error, || x - scale * code ||, so bounds that use it hold.
//! * Bytes of a code after the dimensions are zero.
//!
//! ```text
//! CODE, stride(dims) bytes = dims rounded up to 64
//! OFFSET  SIZE         MEANING
//! 0       dims         round(x / scale) as i8, in -127..=127
//! dims    stride-dims  0
//!
//! META, 16 bytes, little endian
//! OFFSET  SIZE  MEANING
//! 0       4     scale      f32: max |x| / 127; 0 (and a code of zeros) if max |x| < 2^-110
//! 4       4     residual   f32: || x - scale * code ||, computed in f64 and rounded up
//! 8       4     sum        i32: sum of the code's bytes
//! 12      4     norm       f32: || x ||, computed in f64 and rounded to nearest
//! ```

use bytemuck::{Pod, Zeroable};

use crate::distance::Kernels;

/// Bytes of a cache line, which a code is padded to.
const LINE: usize = 64;

/// The metadata of a code that a search needs beside the bytes of the code.
#[derive(Clone, Copy, Debug, Default, PartialEq, Pod, Zeroable)]
#[repr(C)]
pub struct CodeMeta {
    /// The vector is about `scale` times the code.
    pub scale: f32,
    /// Upper bound of the Euclidean norm of the vector minus `scale` times the code.
    pub residual: f32,
    /// Sum of the code's bytes. A dot product with a query, whose bytes may be raised, is corrected by it.
    pub sum: i32,
    /// Euclidean norm of the vector.
    pub norm: f32,
}

/// Bytes of a code with its padding: `dims` rounded up to a cache line.
pub const fn stride(dims: usize) -> usize {
    dims.next_multiple_of(LINE)
}

/// Writes the code of `vector` (finite, squared norm at most 1e37) into `code`, which is [`stride`] bytes long, and
/// returns its meta.
pub fn encode(kernels: Kernels, vector: &[f32], code: &mut [i8]) -> CodeMeta {
    assert_eq!(code.len(), stride(vector.len()), "a code is as long as its stride");
    let (code, padding) = code.split_at_mut(vector.len());
    padding.fill(0);
    let found = kernels.quantize(vector, code);
    CodeMeta {
        scale: found.scale,
        residual: round_up(found.residual_squared.sqrt()),
        sum: found.sum,
        norm: found.norm_squared.sqrt() as f32,
    }
}

/// An `f32` that is not below the true value, if `value` is at most 1e-9 of itself too low. That covers the `f64`
/// rounding of a million terms.
pub(super) fn round_up(value: f64) -> f32 {
    let value = value * (1.0 + 1e-9);
    let nearest = value as f32;
    if f64::from(nearest) < value { nearest.next_up() } else { nearest }
}
