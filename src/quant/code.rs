//! Codes: a vector as one signed byte a dimension, and the facts that bound what the bytes lost.
//!
//! Invariants:
//! * Code and meta are a function of the vector alone, the same on every machine: no neighbour, no codebook, no
//!   instruction set has a say.
//! * `residual` is never below the true error, || x - scale * code ||, so a bound made from it is a bound.
//! * Bytes of a code behind the dimensions are zero.
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

/// Bytes of a cache line, and of one step of the kernels.
const LINE: usize = 64;

/// What a search must know of a code beside its bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Pod, Zeroable)]
#[repr(C)]
pub struct CodeMeta {
    /// The vector is about `scale` times the code.
    pub scale: f32,
    /// Upper bound of the Euclidean norm of what is missing.
    pub residual: f32,
    /// Sum of the code's bytes, to take the query's offset off.
    pub sum: i32,
    /// Euclidean norm of the vector.
    pub norm: f32,
}

/// Bytes from one code to the next: `dims` rounded up to a cache line.
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

/// An `f32` above `value` even if `value` came out 1e-9 of itself too low, which covers the `f64` rounding of a million
/// terms.
pub(super) fn round_up(value: f64) -> f32 {
    let value = value * (1.0 + 1e-9);
    let nearest = value as f32;
    if f64::from(nearest) < value { nearest.next_up() } else { nearest }
}
