//! The operations of [`Simd`] for AVX2, with and without AVX-VNNI: 256-bit vectors.
//!
//! Invariant: only entered through [`plain::TABLE`] and [`vnni::TABLE`], which [`super::Kernels`] hands out when the
//! CPU has AVX2, and AVX-VNNI for the second.
//!
//! `VPMADDUBSW` multiplies unsigned by signed bytes and adds pairs, saturating at `i16`. So AVX2 alone multiplies the
//! magnitudes of the query by codes that carry the sign of the query: 2 * 127 * 127 fits `i16`, and the sums are exact.

use core::arch::x86_64::*;

use super::kernel::{self, CODE_BLOCK, FLOAT_LANES, Simd};
use super::quantize::{self, QuantizedStats};

/// 256-bit vectors.
struct Avx2<const VNNI: bool>;

impl<const VNNI: bool> Simd for Avx2<VNNI> {
    type Floats = [__m256; 4];
    type Bytes = [__m256i; 2];
    type Sums = __m256i;
    // 16 accumulators would leave no register for the query.
    const FOUR_ROWS: bool = false;
    const QUERY_OFFSET: u8 = if VNNI { 128 } else { 0 };

    #[inline(always)]
    unsafe fn floats_zero() -> Self::Floats {
        // SAFETY: AVX2 is the caller's obligation.
        unsafe { [_mm256_setzero_ps(); 4] }
    }

    #[inline(always)]
    unsafe fn floats_load(from: *const f32) -> Self::Floats {
        // SAFETY: AVX2 and 32 readable floats are the caller's obligation.
        unsafe {
            [
                _mm256_loadu_ps(from),
                _mm256_loadu_ps(from.add(8)),
                _mm256_loadu_ps(from.add(16)),
                _mm256_loadu_ps(from.add(24)),
            ]
        }
    }

    #[inline(always)]
    unsafe fn floats_load_tail(from: *const f32, count: usize) -> Self::Floats {
        let mut lanes = [0.0; FLOAT_LANES];
        // SAFETY: AVX2 and `count < 32` readable floats, which fit `lanes`, are the caller's obligation.
        unsafe {
            from.copy_to_nonoverlapping(lanes.as_mut_ptr(), count);
            Self::floats_load(lanes.as_ptr())
        }
    }

    #[inline(always)]
    unsafe fn add_product(mut sum: Self::Floats, a: Self::Floats, b: Self::Floats) -> Self::Floats {
        for i in 0..4 {
            // SAFETY: AVX2 is the caller's obligation.
            sum[i] = unsafe { _mm256_add_ps(sum[i], _mm256_mul_ps(a[i], b[i])) };
        }
        sum
    }

    #[inline(always)]
    unsafe fn add_square(mut sum: Self::Floats, a: Self::Floats, b: Self::Floats) -> Self::Floats {
        for i in 0..4 {
            // SAFETY: AVX2 is the caller's obligation.
            sum[i] = unsafe {
                let difference = _mm256_sub_ps(a[i], b[i]);
                _mm256_add_ps(sum[i], _mm256_mul_ps(difference, difference))
            };
        }
        sum
    }

    #[inline(always)]
    unsafe fn floats_sum(sum: Self::Floats) -> f32 {
        // SAFETY: AVX2 is the caller's obligation.
        unsafe {
            let eight = _mm256_add_ps(_mm256_add_ps(sum[0], sum[2]), _mm256_add_ps(sum[1], sum[3]));
            let four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps::<1>(eight));
            let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
        }
    }

    #[inline(always)]
    unsafe fn sums_zero() -> Self::Sums {
        // SAFETY: AVX2 is the caller's obligation.
        unsafe { _mm256_setzero_si256() }
    }

    #[inline(always)]
    unsafe fn bytes_load(from: *const u8) -> Self::Bytes {
        // SAFETY: AVX2 and 64 readable bytes are the caller's obligation.
        unsafe { [_mm256_loadu_si256(from.cast()), _mm256_loadu_si256(from.add(32).cast())] }
    }

    #[inline(always)]
    unsafe fn bytes_load_tail(from: *const u8, count: usize) -> Self::Bytes {
        let mut bytes = [0; CODE_BLOCK];
        // SAFETY: AVX2 and `count < 64` readable bytes, which fit `bytes`, are the caller's obligation.
        unsafe {
            from.copy_to_nonoverlapping(bytes.as_mut_ptr(), count);
            Self::bytes_load(bytes.as_ptr())
        }
    }

    #[inline(always)]
    unsafe fn bytes_splat(byte: u8) -> Self::Bytes {
        // SAFETY: AVX2 is the caller's obligation.
        unsafe { [_mm256_set1_epi8(byte.cast_signed()); 2] }
    }

    #[inline(always)]
    unsafe fn bytes_xor(mut a: Self::Bytes, b: Self::Bytes) -> Self::Bytes {
        for i in 0..2 {
            // SAFETY: AVX2 is the caller's obligation.
            a[i] = unsafe { _mm256_xor_si256(a[i], b[i]) };
        }
        a
    }

    #[inline(always)]
    unsafe fn add_products(mut sums: Self::Sums, query: Self::Bytes, code: Self::Bytes) -> Self::Sums {
        for i in 0..2 {
            // SAFETY: AVX2, and AVX-VNNI if `VNNI`, is the caller's obligation.
            sums = unsafe {
                if VNNI {
                    _mm256_dpbusd_avx_epi32(sums, query[i], code[i])
                } else {
                    let pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(query[i]), _mm256_sign_epi8(code[i], query[i]));
                    _mm256_add_epi32(sums, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
                }
            };
        }
        sums
    }

    #[inline(always)]
    unsafe fn sums_total4(sums: [Self::Sums; 4]) -> [i32; 4] {
        // SAFETY: AVX2 is the caller's obligation.
        unsafe {
            let ab = _mm256_hadd_epi32(sums[0], sums[1]);
            let cd = _mm256_hadd_epi32(sums[2], sums[3]);
            let abcd = _mm256_hadd_epi32(ab, cd);
            let total = _mm_add_epi32(_mm256_castsi256_si128(abcd), _mm256_extracti128_si256::<1>(abcd));
            bytemuck::cast(total)
        }
    }

    #[inline(always)]
    unsafe fn sums_total(sums: Self::Sums) -> i32 {
        // SAFETY: AVX2 is the caller's obligation.
        unsafe {
            let four = _mm_add_epi32(_mm256_castsi256_si128(sums), _mm256_extracti128_si256::<1>(sums));
            let two = _mm_add_epi32(four, _mm_unpackhi_epi64(four, four));
            _mm_cvtsi128_si32(two).wrapping_add(_mm_extract_epi32::<1>(two))
        }
    }
}

/// AVX2 alone.
pub(super) mod plain {
    use super::*;
    kernel::shells!(Avx2<false>, "avx2");
}

/// AVX2 and AVX-VNNI.
pub(super) mod vnni {
    use super::*;
    kernel::shells!(Avx2<true>, "avx2,avxvnni");
}
