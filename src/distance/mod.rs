//! Distance kernels: dot products and squared distances of `f32` vectors, and integer dot products of codes. The
//! instruction set is resolved once for the CPU.
//!
//! Reading order:
//! * `kernel`: each kernel, written once over the operations of `Simd`.
//! * `portable`, `avx2`, `avx512`, `neon`: these operations for each instruction set.
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
//! * Integer results are exact modulo 2^32 for codes without the byte -128, which [`Kernels::quantize`] never writes.
//!   With it they depend on the instruction set. Up to a length of 65,536 no result of codes overflows.
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
#[cfg(target_arch = "aarch64")]
mod neon;

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
    /// aarch64 with NEON, which every such CPU has.
    Neon,
    /// aarch64 with NEON and its dot products of bytes.
    NeonDot,
    /// x86-64 with AVX2.
    Avx2,
    /// x86-64 with AVX2 and AVX-VNNI.
    AvxVnni,
    /// x86-64 with AVX-512 F, BW and VNNI.
    Avx512Vnni,
}

impl Isa {
    /// Every instruction set, best last.
    pub const ALL: [Isa; 6] = [Isa::Portable, Isa::Neon, Isa::NeonDot, Isa::Avx2, Isa::AvxVnni, Isa::Avx512Vnni];

    /// The name in `VECMEM_ISA`.
    pub fn name(self) -> &'static str {
        match self {
            Isa::Portable => "portable",
            Isa::Neon => "neon",
            Isa::NeonDot => "neondot",
            Isa::Avx2 => "avx2",
            Isa::AvxVnni => "avxvnni",
            Isa::Avx512Vnni => "avx512",
        }
    }

    /// Whether the CPU has it.
    fn is_there(self) -> bool {
        match self {
            Isa::Portable => true,
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => true,
            #[cfg(target_arch = "aarch64")]
            Isa::NeonDot => std::arch::is_aarch64_feature_detected!("dotprod"),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => is_x86_feature_detected!("avx2"),
            #[cfg(target_arch = "x86_64")]
            Isa::AvxVnni => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("avxvnni"),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512Vnni => {
                is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512vnni")
            }
            #[cfg(not(target_arch = "x86_64"))]
            Isa::Avx2 | Isa::AvxVnni | Isa::Avx512Vnni => false,
            #[cfg(not(target_arch = "aarch64"))]
            Isa::Neon | Isa::NeonDot => false,
        }
    }

    /// Its kernels, which only a CPU that has it may run.
    fn table(self) -> &'static kernel::Table {
        match self {
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => &neon::plain::TABLE,
            #[cfg(target_arch = "aarch64")]
            Isa::NeonDot => &neon::dot_products::TABLE,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => &avx2::plain::TABLE,
            #[cfg(target_arch = "x86_64")]
            Isa::AvxVnni => &avx2::vnni::TABLE,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512Vnni => &avx512::TABLE,
            _ => &portable::TABLE,
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

/// The instruction set of the kernels that this process searches with, in the words of its makers. The environment
/// variable `VECMEM_ISA` asks for another one that the CPU has: `portable`, `neon`, `neondot` (NEON with dot products
/// of bytes), `avx2`, `avxvnni` (AVX2 with AVX-VNNI) or `avx512` (AVX-512 with VNNI).
pub fn instruction_set() -> &'static str {
    match Kernels::get().isa {
        Isa::Portable => "no vector instructions",
        Isa::Neon => "NEON",
        Isa::NeonDot => "NEON with dot products",
        Isa::Avx2 => "AVX2",
        Isa::AvxVnni => "AVX2 with VNNI",
        Isa::Avx512Vnni => "AVX-512 with VNNI",
    }
}

impl Kernels {
    /// The best kernels for this CPU, resolved at the first call. `VECMEM_ISA` = `portable`, `neon`, `neondot`, `avx2`,
    /// `avxvnni` or `avx512` asks for others; a name that is unknown or that the CPU lacks is ignored, as
    /// [`Kernels::isa`] then shows.
    pub fn get() -> Kernels {
        static RESOLVED: OnceLock<Kernels> = OnceLock::new();
        *RESOLVED.get_or_init(|| {
            #[expect(
                clippy::disallowed_methods,
                reason = "the one setting that is not of a store but of the processor"
            )]
            let wish = std::env::var("VECMEM_ISA").ok();
            let named = Isa::ALL.into_iter().find(|isa| Some(isa.name()) == wish.as_deref());
            let mut best_last = Isa::ALL.into_iter().filter_map(Kernels::forced);
            named.and_then(Kernels::forced).or(best_last.next_back()).unwrap_or(Kernels::PORTABLE)
        })
    }

    const PORTABLE: Kernels = Kernels { isa: Isa::Portable, table: &portable::TABLE };

    /// The kernels of this instruction set, if the CPU has it.
    pub fn forced(isa: Isa) -> Option<Kernels> {
        isa.is_there().then(|| Kernels { isa, table: isa.table() })
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

    /// What queries are raised by, modulo 256, in this instruction set: 128 or 0. The products of a query and a code
    /// are the dot product of their signed bytes plus this times the sum of the code.
    pub fn query_offset(self) -> u8 {
        self.table.query_offset
    }

    /// A signed byte as that of a query.
    #[inline(always)]
    pub fn query_byte(self, byte: i8) -> u8 {
        byte.cast_unsigned() ^ self.table.query_offset
    }

    /// The sum of `query[i] * code[i]`. The bytes of the query are those of [`Kernels::query_byte`], so the caller must
    /// subtract [`Kernels::query_offset`] * the sum of the code.
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
                Isa::Avx2 => avx2::plain::run(work),
                #[cfg(target_arch = "x86_64")]
                Isa::AvxVnni => avx2::vnni::run(work),
                #[cfg(target_arch = "x86_64")]
                Isa::Avx512Vnni => avx512::run(work),
                #[cfg(target_arch = "aarch64")]
                Isa::Neon => neon::plain::run(work),
                #[cfg(target_arch = "aarch64")]
                Isa::NeonDot => neon::dot_products::run(work),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    /// Lengths around the blocks of floats and of codes.
    const LENGTHS: [usize; 12] = [0, 1, 7, 31, 32, 33, 63, 64, 65, 100, 130, 200];

    /// `tests/process/kernels_exact.rs` asks for more; this test is small enough for an interpreter, so that it also
    /// runs for processors that nobody has at hand.
    #[test]
    fn every_instruction_set_gives_the_results_of_plain_arithmetic() {
        let mut random = Random::new(0x6b65_726e);
        for kernels in Isa::ALL.into_iter().filter_map(Kernels::forced) {
            for length in LENGTHS {
                let mut floats = || -> Vec<f32> { (0..length).map(|_| random.unit() * 1000.0).collect() };
                let (a, b) = (floats(), floats());
                let bits = |sums: [f32; 4]| sums.map(f32::to_bits);
                let portable = Kernels::PORTABLE;
                assert_eq!(kernels.dot(&a, &b).to_bits(), portable.dot(&a, &b).to_bits(), "{kernels:?} {length}");
                assert_eq!(
                    bits(kernels.l2_squared4(&a, [&b, &a, &b, &a])),
                    bits(portable.l2_squared4(&a, [&b, &a, &b, &a]))
                );
                let noise = |random: &mut Random| (0..length).map(|_| (random.draw() as i8).max(-127)).collect();
                let (noise, other): (Vec<i8>, Vec<i8>) = (noise(&mut random), noise(&mut random));
                for (query, code) in
                    [(noise, other), (vec![-127; length], vec![-127; length]), (vec![127; length], vec![-127; length])]
                {
                    let expected: i32 = query.iter().zip(&code).map(|(&q, &c)| i32::from(q) * i32::from(c)).sum();
                    let raised: Vec<u8> = query.iter().map(|&byte| kernels.query_byte(byte)).collect();
                    let offset =
                        i32::from(kernels.query_offset()) * code.iter().map(|&byte| i32::from(byte)).sum::<i32>();
                    let found = [kernels.dot_codes(&raised, &code), kernels.dot_codes4(&raised, [&code; 4])[3]];
                    assert_eq!(found.map(|raw| raw - offset), [expected; 2], "{kernels:?} {length}");
                    assert_eq!(kernels.dot_i8(&query, &code), expected, "{kernels:?} {length}");
                }
            }
        }
    }
}
