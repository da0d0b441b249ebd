//! The operations of [`Simd`] for AVX-512 with VNNI: 512-bit vectors, 64 code products and their sums in one
//! `VPDPBUSD`.
//!
//! Invariant: only entered through [`TABLE`], which [`super::Kernels`] hands out when the CPU has AVX-512 F, BW and
//! VNNI.

use core::arch::x86_64::*;

use super::kernel::{self, Simd};
use super::quantize::{self, QuantizedStats};

/// 512-bit vectors.
struct Avx512Vnni;

impl Simd for Avx512Vnni {
    type Floats = [__m512; 2];
    type Bytes = __m512i;
    type Sums = __m512i;
    const FOUR_ROWS: bool = true;
    const QUERY_OFFSET: u8 = 128;

    #[inline(always)]
    unsafe fn floats_zero() -> Self::Floats {
        // SAFETY: AVX-512 is the caller's obligation.
        unsafe { [_mm512_setzero_ps(); 2] }
    }

    #[inline(always)]
    unsafe fn floats_load(from: *const f32) -> Self::Floats {
        // SAFETY: AVX-512 and 32 readable floats are the caller's obligation.
        unsafe { [_mm512_loadu_ps(from), _mm512_loadu_ps(from.add(16))] }
    }

    #[inline(always)]
    unsafe fn floats_load_tail(from: *const f32, count: usize) -> Self::Floats {
        let mask = (1_u32 << count) - 1;
        // SAFETY: AVX-512 and `count < 32` readable floats are the caller's obligation; lanes outside the mask are not
        // accessed, so the second half may lie outside the slice (hence the wrapping pointer).
        unsafe {
            [
                _mm512_maskz_loadu_ps(mask as __mmask16, from),
                _mm512_maskz_loadu_ps((mask >> 16) as __mmask16, from.wrapping_add(16)),
            ]
        }
    }

    #[inline(always)]
    unsafe fn add_product(mut sum: Self::Floats, a: Self::Floats, b: Self::Floats) -> Self::Floats {
        for i in 0..2 {
            // SAFETY: AVX-512 is the caller's obligation.
            sum[i] = unsafe { _mm512_add_ps(sum[i], _mm512_mul_ps(a[i], b[i])) };
        }
        sum
    }

    #[inline(always)]
    unsafe fn add_square(mut sum: Self::Floats, a: Self::Floats, b: Self::Floats) -> Self::Floats {
        for i in 0..2 {
            // SAFETY: AVX-512 is the caller's obligation.
            sum[i] = unsafe {
                let difference = _mm512_sub_ps(a[i], b[i]);
                _mm512_add_ps(sum[i], _mm512_mul_ps(difference, difference))
            };
        }
        sum
    }

    #[inline(always)]
    unsafe fn floats_sum(sum: Self::Floats) -> f32 {
        // SAFETY: AVX-512 is the caller's obligation.
        unsafe {
            let sixteen = _mm512_add_ps(sum[0], sum[1]);
            let high = _mm256_castpd_ps(_mm512_extractf64x4_pd::<1>(_mm512_castps_pd(sixteen)));
            let eight = _mm256_add_ps(_mm512_castps512_ps256(sixteen), high);
            let four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps::<1>(eight));
            let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
        }
    }

    #[inline(always)]
    unsafe fn sums_zero() -> Self::Sums {
        // SAFETY: AVX-512 is the caller's obligation.
        unsafe { _mm512_setzero_si512() }
    }

    #[inline(always)]
    unsafe fn bytes_load(from: *const u8) -> Self::Bytes {
        // SAFETY: AVX-512 and 64 readable bytes are the caller's obligation.
        unsafe { _mm512_loadu_si512(from.cast()) }
    }

    #[inline(always)]
    unsafe fn bytes_load_tail(from: *const u8, count: usize) -> Self::Bytes {
        // SAFETY: AVX-512 and `count < 64` readable bytes are the caller's obligation; bytes outside the mask are not
        // accessed.
        unsafe { _mm512_maskz_loadu_epi8((1_u64 << count) - 1, from.cast()) }
    }

    #[inline(always)]
    unsafe fn bytes_splat(byte: u8) -> Self::Bytes {
        // SAFETY: AVX-512 is the caller's obligation.
        unsafe { _mm512_set1_epi8(byte.cast_signed()) }
    }

    #[inline(always)]
    unsafe fn bytes_xor(a: Self::Bytes, b: Self::Bytes) -> Self::Bytes {
        // SAFETY: AVX-512 is the caller's obligation.
        unsafe { _mm512_xor_si512(a, b) }
    }

    #[inline(always)]
    unsafe fn add_products(sums: Self::Sums, query: Self::Bytes, code: Self::Bytes) -> Self::Sums {
        // SAFETY: AVX-512 with VNNI is the caller's obligation.
        unsafe { _mm512_dpbusd_epi32(sums, query, code) }
    }

    #[inline(always)]
    unsafe fn sums_total4(sums: [Self::Sums; 4]) -> [i32; 4] {
        // SAFETY: AVX-512 is the caller's obligation.
        unsafe {
            // A 4x4 transposition within each 128 bits, adding on the way: lane i of each quarter then belongs to sum
            // i.
            let [a, b, c, d] = sums;
            let ab = _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
            let cd = _mm512_add_epi32(_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
            let abcd = _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
            let half = _mm256_add_epi32(_mm512_castsi512_si256(abcd), _mm512_extracti64x4_epi64::<1>(abcd));
            let total = _mm_add_epi32(_mm256_castsi256_si128(half), _mm256_extracti128_si256::<1>(half));
            bytemuck::cast(total)
        }
    }

    #[inline(always)]
    unsafe fn sums_total(sums: Self::Sums) -> i32 {
        // SAFETY: AVX-512 is the caller's obligation.
        unsafe { _mm512_reduce_add_epi32(sums) }
    }
}

kernel::shells!(Avx512Vnni, "avx512f,avx512bw,avx512vnni");
