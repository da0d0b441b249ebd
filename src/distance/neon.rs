//! The operations of [`Simd`] for NEON, with and without its dot products of bytes: 128-bit vectors.
//!
//! Invariant: only entered through [`plain::TABLE`] and [`dot_products::TABLE`], which [`super::Kernels`] hands out
//! when the CPU has NEON, and `dotprod` for the second.
//!
//! Without `SDOT` two products of bytes are added as `i16`: 2 * 127 * 127 fits, so the sums are exact.

use core::arch::aarch64::*;

use super::kernel::{self, CODE_BLOCK, FLOAT_LANES, Simd};
use super::quantize::{self, QuantizedStats};

/// 128-bit vectors.
struct Neon<const DOT: bool>;

impl<const DOT: bool> Simd for Neon<DOT> {
    type Floats = [float32x4_t; 8];
    type Bytes = [int8x16_t; 4];
    type Sums = int32x4_t;
    // 32 accumulators are all registers that there are.
    const FOUR_ROWS: bool = false;
    const QUERY_OFFSET: u8 = 0;

    #[inline(always)]
    unsafe fn floats_zero() -> Self::Floats {
        // SAFETY: NEON is the caller's obligation.
        unsafe { [vdupq_n_f32(0.0); 8] }
    }

    #[inline(always)]
    unsafe fn floats_load(from: *const f32) -> Self::Floats {
        // SAFETY: NEON and 32 readable floats are the caller's obligation.
        unsafe { core::array::from_fn(|i| vld1q_f32(from.add(4 * i))) }
    }

    #[inline(always)]
    unsafe fn floats_load_tail(from: *const f32, count: usize) -> Self::Floats {
        let mut lanes = [0.0; FLOAT_LANES];
        // SAFETY: NEON and `count < 32` readable floats, which fit `lanes`, are the caller's obligation.
        unsafe {
            from.copy_to_nonoverlapping(lanes.as_mut_ptr(), count);
            Self::floats_load(lanes.as_ptr())
        }
    }

    #[inline(always)]
    unsafe fn add_product(mut sum: Self::Floats, a: Self::Floats, b: Self::Floats) -> Self::Floats {
        for i in 0..8 {
            // SAFETY: NEON is the caller's obligation.
            sum[i] = unsafe { vaddq_f32(sum[i], vmulq_f32(a[i], b[i])) };
        }
        sum
    }

    #[inline(always)]
    unsafe fn add_square(mut sum: Self::Floats, a: Self::Floats, b: Self::Floats) -> Self::Floats {
        for i in 0..8 {
            // SAFETY: NEON is the caller's obligation.
            sum[i] = unsafe {
                let difference = vsubq_f32(a[i], b[i]);
                vaddq_f32(sum[i], vmulq_f32(difference, difference))
            };
        }
        sum
    }

    #[inline(always)]
    unsafe fn floats_sum(sum: Self::Floats) -> f32 {
        // SAFETY: NEON is the caller's obligation.
        unsafe {
            let sixteen: [float32x4_t; 4] = core::array::from_fn(|i| vaddq_f32(sum[i], sum[i + 4]));
            let four = vaddq_f32(vaddq_f32(sixteen[0], sixteen[2]), vaddq_f32(sixteen[1], sixteen[3]));
            let two = vadd_f32(vget_low_f32(four), vget_high_f32(four));
            vget_lane_f32::<0>(two) + vget_lane_f32::<1>(two)
        }
    }

    #[inline(always)]
    unsafe fn sums_zero() -> Self::Sums {
        // SAFETY: NEON is the caller's obligation.
        unsafe { vdupq_n_s32(0) }
    }

    #[inline(always)]
    unsafe fn bytes_load(from: *const u8) -> Self::Bytes {
        // SAFETY: NEON and 64 readable bytes are the caller's obligation.
        unsafe { core::array::from_fn(|i| vld1q_s8(from.add(16 * i).cast())) }
    }

    #[inline(always)]
    unsafe fn bytes_load_tail(from: *const u8, count: usize) -> Self::Bytes {
        let mut bytes = [0; CODE_BLOCK];
        // SAFETY: NEON and `count < 64` readable bytes, which fit `bytes`, are the caller's obligation.
        unsafe {
            from.copy_to_nonoverlapping(bytes.as_mut_ptr(), count);
            Self::bytes_load(bytes.as_ptr())
        }
    }

    #[inline(always)]
    unsafe fn bytes_splat(byte: u8) -> Self::Bytes {
        // SAFETY: NEON is the caller's obligation.
        unsafe { [vdupq_n_s8(byte.cast_signed()); 4] }
    }

    #[inline(always)]
    unsafe fn bytes_xor(mut a: Self::Bytes, b: Self::Bytes) -> Self::Bytes {
        for i in 0..4 {
            // SAFETY: NEON is the caller's obligation.
            a[i] = unsafe { veorq_s8(a[i], b[i]) };
        }
        a
    }

    #[inline(always)]
    unsafe fn add_products(mut sums: Self::Sums, query: Self::Bytes, code: Self::Bytes) -> Self::Sums {
        for i in 0..4 {
            // SAFETY: NEON, and `dotprod` if `DOT`, is the caller's obligation.
            sums = unsafe { if DOT { dot(sums, query[i], code[i]) } else { widened(sums, query[i], code[i]) } };
        }
        sums
    }

    #[inline(always)]
    unsafe fn sums_total4(sums: [Self::Sums; 4]) -> [i32; 4] {
        // SAFETY: NEON is the caller's obligation.
        unsafe {
            let (ab, cd) = (vpaddq_s32(sums[0], sums[1]), vpaddq_s32(sums[2], sums[3]));
            let mut totals = [0; 4];
            vst1q_s32(totals.as_mut_ptr(), vpaddq_s32(ab, cd));
            totals
        }
    }

    #[inline(always)]
    unsafe fn sums_total(sums: Self::Sums) -> i32 {
        // SAFETY: NEON is the caller's obligation.
        unsafe { vaddvq_s32(sums) }
    }
}

/// `sums` plus 16 products, two of which are added as `i16`.
///
/// # Safety
/// The CPU has NEON.
#[inline(always)]
unsafe fn widened(sums: int32x4_t, query: int8x16_t, code: int8x16_t) -> int32x4_t {
    // SAFETY: passed on unchanged.
    unsafe {
        let low = vmull_s8(vget_low_s8(query), vget_low_s8(code));
        let pairs = vmlal_s8(low, vget_high_s8(query), vget_high_s8(code));
        vaddw_high_s16(vaddw_s16(sums, vget_low_s16(pairs)), pairs)
    }
}

/// `SDOT`, whose intrinsic the stable compiler does not have yet.
///
/// # Safety
/// The CPU has NEON and `dotprod`.
#[inline(always)]
unsafe fn dot(mut sums: int32x4_t, query: int8x16_t, code: int8x16_t) -> int32x4_t {
    // SAFETY: the instruction reads and writes nothing but these registers.
    unsafe {
        core::arch::asm!(
            ".arch_extension dotprod",
            "sdot {sums:v}.4s, {query:v}.16b, {code:v}.16b",
            sums = inout(vreg) sums, query = in(vreg) query, code = in(vreg) code,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    sums
}

/// NEON alone.
pub(super) mod plain {
    use super::*;
    kernel::shells!(Neon<false>, "neon");
}

/// NEON and its dot products of bytes.
pub(super) mod dot_products {
    use super::*;
    kernel::shells!(Neon<true>, "neon,dotprod");
}
