//! Distance kernels: dot products and squared distances of `f32` vectors, and integer dot products of codes. The
//! instruction set is resolved once for the CPU.
//!
//! Reading order:
//! * `kernel`: each kernel, written once over the operations of `Simd`.
//! * `portable`, `avx2`, `avx512`: these operations for each instruction set.
//! * `quantize`: rounding a vector to a code.
//! * `score`: the score that callers see.
//!
//! Invariants:
//! * A [`Kernels`] value exists only for an instruction set that the CPU has, so calling it is safe.
//! * `f32` results depend neither on the instruction set nor on the form (one row or four): equal vectors have equal
//!   scores, bit for bit, on every machine. The order of summation is fixed. 32 lanes start at +0. Term i is added to
//!   lane i mod 32, in order, each product rounded before its addition (no fused multiply-add: where the CPU lacks the
//!   instruction it costs a library call per term). Then lane j+16 is added to lane j, then j+8, j+4, j+2 and j+1, and
//!   lane 0 is the result. A tail counts as padded with zeros.
//! * Integer results are exact modulo 2^32. Up to a length of 65,536 no result of codes overflows.
//! * Slices of unequal length are a bug of the caller and panic. No kernel reads outside of its slices.

mod kernel;
mod portable;
mod processor;
mod quantize;
mod score;

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;

use std::sync::OnceLock;

pub use crate::types::Metric;
pub(crate) use kernel::{CodeKernel, Work};
pub(crate) use processor::processor_model;
pub use quantize::QuantizedStats;
pub use score::{ZERO_NORM, inverse_norm, norm, score, score4};

/// An instruction set that the kernels are written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isa {
    /// Any CPU.
    Portable,
    /// x86-64 with AVX2.
    Avx2,
    /// x86-64 with AVX-512 F, BW and VNNI.
    Avx512Vnni,
}

impl Isa {
    /// Every instruction set, best last.
    pub const ALL: [Isa; 3] = [Isa::Portable, Isa::Avx2, Isa::Avx512Vnni];

    /// The set with this name in `VECMEM_ISA`.
    fn named(name: &str) -> Option<Isa> {
        match name {
            "portable" => Some(Isa::Portable),
            "avx2" => Some(Isa::Avx2),
            "avx512" => Some(Isa::Avx512Vnni),
            _ => None,
        }
    }
}

/// The kernels of one instruction set that this CPU has.
#[derive(Clone, Copy)]
pub struct Kernels {
    isa: Isa,
    table: &'static kernel::Table,
}

impl std::fmt::Debug for Kernels {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Kernels({:?})", self.isa)
    }
}

impl Kernels {
    /// The best kernels for this CPU, resolved at the first call. `VECMEM_ISA` = `portable`, `avx2` or `avx512` asks
    /// for others; a name that is unknown or that the CPU lacks is ignored, as [`Kernels::isa`] then shows.
    pub fn get() -> Kernels {
        static RESOLVED: OnceLock<Kernels> = OnceLock::new();
        *RESOLVED.get_or_init(|| {
            #[expect(
                clippy::disallowed_methods,
                reason = "the one setting that is not of a store but of the processor"
            )]
            let wish = std::env::var("VECMEM_ISA").ok().and_then(|name| Isa::named(&name));
            let mut best_last = Isa::ALL.into_iter().filter_map(Kernels::forced);
            wish.and_then(Kernels::forced).or(best_last.next_back()).unwrap_or(Kernels::PORTABLE)
        })
    }

    const PORTABLE: Kernels = Kernels { isa: Isa::Portable, table: &portable::TABLE };

    /// The kernels of this instruction set, if the CPU has it.
    pub fn forced(isa: Isa) -> Option<Kernels> {
        match isa {
            Isa::Portable => Some(Kernels::PORTABLE),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => is_x86_feature_detected!("avx2").then_some(Kernels { isa, table: &avx2::TABLE }),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512Vnni => (is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512vnni"))
            .then_some(Kernels { isa, table: &avx512::TABLE }),
            #[cfg(not(target_arch = "x86_64"))]
            Isa::Avx2 | Isa::Avx512Vnni => None,
        }
    }

    /// The instruction set in use.
    #[cfg(feature = "testing")]
    pub fn isa(self) -> Isa {
        self.isa
    }

    /// The dot product of two vectors of one length.
    pub fn dot(self, a: &[f32], b: &[f32]) -> f32 {
        assert_eq!(a.len(), b.len(), "vectors of one space have one length");
        // SAFETY: `self` exists, so the CPU has the instruction set; the lengths are equal.
        unsafe { (self.table.dot)(a, b) }
    }

    /// [`Kernels::dot`] with each of four rows.
    pub fn dot4(self, query: &[f32], rows: [&[f32]; 4]) -> [f32; 4] {
        assert!(rows.iter().all(|row| row.len() == query.len()), "vectors of one space have one length");
        // SAFETY: `self` exists, so the CPU has the instruction set; the lengths are equal.
        unsafe { (self.table.dot4)(query, rows) }
    }

    /// The squared Euclidean distance of two vectors of one length.
    pub fn l2_squared(self, a: &[f32], b: &[f32]) -> f32 {
        assert_eq!(a.len(), b.len(), "vectors of one space have one length");
        // SAFETY: `self` exists, so the CPU has the instruction set; the lengths are equal.
        unsafe { (self.table.l2_squared)(a, b) }
    }

    /// [`Kernels::l2_squared`] with each of four rows.
    pub fn l2_squared4(self, query: &[f32], rows: [&[f32]; 4]) -> [f32; 4] {
        assert!(rows.iter().all(|row| row.len() == query.len()), "vectors of one space have one length");
        // SAFETY: `self` exists, so the CPU has the instruction set; the lengths are equal.
        unsafe { (self.table.l2_squared4)(query, rows) }
    }

    /// The sum of `query[i] * code[i]`. The query is unsigned (each component + 128) and the code is signed, so the
    /// caller must subtract 128 * the sum of the code.
    pub fn dot_codes(self, query: &[u8], code: &[i8]) -> i32 {
        assert_eq!(query.len(), code.len(), "codes of one space have one length");
        // SAFETY: `self` exists, so the CPU has the instruction set; the lengths are equal.
        unsafe { (self.table.dot_codes)(query, code) }
    }

    /// [`Kernels::dot_codes`] with each of four codes, wherever they are.
    pub fn dot_codes4(self, query: &[u8], codes: [&[i8]; 4]) -> [i32; 4] {
        assert!(codes.iter().all(|code| code.len() == query.len()), "codes of one space have one length");
        // SAFETY: `self` exists, so the CPU has the instruction set; the lengths are equal.
        unsafe { (self.table.dot_codes4)(query, codes) }
    }

    /// The kernel of flat search: `out[i]` = [`Kernels::dot_codes`] of `query` and the code at `i * stride` of `codes`,
    /// which holds exactly `out.len()` codes. `query` may be shorter than the stride. It is fastest if both are a
    /// multiple of 64 bytes.
    pub fn dot_codes_many(self, query: &[u8], codes: &[i8], stride: usize, out: &mut [i32]) {
        assert!(query.len() <= stride, "a code is as long as its stride");
        assert_eq!(out.len().checked_mul(stride), Some(codes.len()), "one result for each code");
        // SAFETY: `self` exists, so the CPU has the instruction set; both lengths were compared.
        unsafe { (self.table.dot_codes_many)(query, codes, stride, out) }
    }

    /// The dot product of two codes of one length.
    pub fn dot_i8(self, a: &[i8], b: &[i8]) -> i32 {
        assert_eq!(a.len(), b.len(), "codes of one space have one length");
        // SAFETY: `self` exists, so the CPU has the instruction set; the lengths are equal.
        unsafe { (self.table.dot_i8)(a, b) }
    }

    /// Runs `work` compiled for this instruction set, its kernels inlined.
    pub(crate) fn run<W: Work>(self, work: W) -> W::Output {
        // SAFETY: `self` exists, so the CPU has the instruction set.
        unsafe {
            match self.isa {
                #[cfg(target_arch = "x86_64")]
                Isa::Avx2 => avx2::run(work),
                #[cfg(target_arch = "x86_64")]
                Isa::Avx512Vnni => avx512::run(work),
                _ => portable::run(work),
            }
        }
    }

    /// Asks for the cache line at `address`, which may lie anywhere: a prefetch never faults.
    #[inline(always)]
    pub(crate) fn prefetch<T>(address: *const T) {
        kernel::prefetch(address.cast());
    }

    /// Rounds `vector` (finite, squared norm at most 1e37) to `code`, which is as long. Returns the scale and the loss.
    pub fn quantize(self, vector: &[f32], code: &mut [i8]) -> QuantizedStats {
        assert_eq!(vector.len(), code.len(), "a code has one byte for each dimension");
        // SAFETY: `self` exists, so the CPU has the instruction set; the function is otherwise safe.
        unsafe { (self.table.quantize)(vector, code) }
    }
}
