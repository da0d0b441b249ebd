//! The operations of [`Simd`] on plain arrays, for any CPU; the compiler turns them into whatever vectors the target
//! has.
//!
//! Invariant: the results here are the reference. The other instruction sets must give the same bits.

use super::kernel::{self, CODE_BLOCK, FLOAT_LANES, Simd};
use super::quantize::{self, QuantizedStats};

/// Arrays and loops.
struct Portable;

impl Simd for Portable {
    type Floats = [f32; FLOAT_LANES];
    type Bytes = [u8; CODE_BLOCK];
    type Sums = i32;
    const FOUR_ROWS: bool = false;
    const QUERY_OFFSET: u8 = 0;

    #[inline(always)]
    unsafe fn floats_zero() -> Self::Floats {
        [0.0; FLOAT_LANES]
    }

    #[inline(always)]
    unsafe fn floats_load(from: *const f32) -> Self::Floats {
        // SAFETY: the caller vouches for 32 readable floats.
        unsafe { from.cast::<Self::Floats>().read_unaligned() }
    }

    #[inline(always)]
    unsafe fn floats_load_tail(from: *const f32, count: usize) -> Self::Floats {
        let mut lanes = [0.0; FLOAT_LANES];
        // SAFETY: the caller vouches for `count < 32` readable floats, which fit `lanes`.
        unsafe { from.copy_to_nonoverlapping(lanes.as_mut_ptr(), count) };
        lanes
    }

    #[inline(always)]
    unsafe fn add_product(mut sum: Self::Floats, a: Self::Floats, b: Self::Floats) -> Self::Floats {
        for lane in 0..FLOAT_LANES {
            sum[lane] += a[lane] * b[lane];
        }
        sum
    }

    #[inline(always)]
    unsafe fn add_square(mut sum: Self::Floats, a: Self::Floats, b: Self::Floats) -> Self::Floats {
        for lane in 0..FLOAT_LANES {
            let difference = a[lane] - b[lane];
            sum[lane] += difference * difference;
        }
        sum
    }

    #[inline(always)]
    unsafe fn floats_sum(mut sum: Self::Floats) -> f32 {
        for half in [16, 8, 4, 2, 1] {
            for lane in 0..half {
                sum[lane] += sum[lane + half];
            }
        }
        sum[0]
    }

    #[inline(always)]
    unsafe fn sums_zero() -> Self::Sums {
        0
    }

    #[inline(always)]
    unsafe fn bytes_load(from: *const u8) -> Self::Bytes {
        // SAFETY: the caller vouches for 64 readable bytes.
        unsafe { from.cast::<Self::Bytes>().read_unaligned() }
    }

    #[inline(always)]
    unsafe fn bytes_load_tail(from: *const u8, count: usize) -> Self::Bytes {
        let mut bytes = [0; CODE_BLOCK];
        // SAFETY: the caller vouches for `count < 64` readable bytes, which fit `bytes`.
        unsafe { from.copy_to_nonoverlapping(bytes.as_mut_ptr(), count) };
        bytes
    }

    #[inline(always)]
    unsafe fn bytes_splat(byte: u8) -> Self::Bytes {
        [byte; CODE_BLOCK]
    }

    #[inline(always)]
    unsafe fn bytes_xor(mut a: Self::Bytes, b: Self::Bytes) -> Self::Bytes {
        for lane in 0..CODE_BLOCK {
            a[lane] ^= b[lane];
        }
        a
    }

    #[inline(always)]
    unsafe fn add_products(sums: Self::Sums, query: Self::Bytes, code: Self::Bytes) -> Self::Sums {
        let mut total = 0_i32;
        for (q, c) in query.iter().zip(&code) {
            // At most 64 * 128 * 128, so this sum does not overflow.
            total += i32::from(q.cast_signed()) * i32::from(c.cast_signed());
        }
        sums.wrapping_add(total)
    }

    #[inline(always)]
    unsafe fn sums_total4(sums: [Self::Sums; 4]) -> [i32; 4] {
        sums
    }

    #[inline(always)]
    unsafe fn sums_total(sums: Self::Sums) -> i32 {
        sums
    }
}

kernel::shells!(Portable);
