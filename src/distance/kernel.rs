//! The kernels, written once over [`Simd`]. The file of each instruction set supplies the operations of [`Simd`].
//!
//! Invariants:
//! * Every instruction set runs the same `f32` additions in the same order (stated in [`super`]), so `f32` results are
//!   equal bit for bit. Integer results are equal because the arithmetic is exact modulo 2^32.
//! * No load touches a byte outside the slices it was given: whole blocks, then one tail of which only the valid part
//!   is read.
//! * Every kernel is `inline(always)`, because `target_feature` does not extend to called functions: the code must be
//!   compiled inside the functions that [`shells`] generates.

use super::quantize::QuantizedStats;

/// Lanes of one block of `f32` (part of the fixed order of summation).
pub(super) const FLOAT_LANES: usize = 32;
/// Bytes of one block of codes.
pub(super) const CODE_BLOCK: usize = 64;
/// How far ahead [`codes_many`] prefetches codes. 0, 1, 2 and 4 KiB were measured at 384 dimensions: in the L2 cache
/// 4 KiB gains 10 %. Outside of L2 memory bandwidth is the limit, and no distance gains anything. Eight rows at a time
/// instead of four gained 10 % in L2 and nothing outside.
const PREFETCH_BYTES: usize = 4096;

/// The operations an instruction set supplies.
///
/// # Safety
/// Every method may only be called on a CPU that has the implementor's instruction set; loads need their bytes to be
/// readable.
pub(super) trait Simd {
    /// 32 lanes of `f32`.
    type Floats: Copy;
    /// 64 bytes of a query or of a code.
    type Bytes: Copy;
    /// Partial sums in `i32`.
    type Sums: Copy;
    /// Whether four rows of `f32` accumulators and a query block fit the registers; otherwise rows go two at a time.
    const FOUR_ROWS: bool;
    /// What is added to each signed byte of a query before [`Simd::add_products`] takes it: 128 where the instruction
    /// multiplies unsigned by signed bytes, else 0.
    const QUERY_OFFSET: u8;

    /// 32 times +0.
    unsafe fn floats_zero() -> Self::Floats;
    /// The 32 floats at `from`, unaligned.
    unsafe fn floats_load(from: *const f32) -> Self::Floats;
    /// The `count < 32` floats at `from`, then +0; no other byte is read.
    unsafe fn floats_load_tail(from: *const f32, count: usize) -> Self::Floats;
    /// `sum + a * b`, the product rounded before the addition.
    unsafe fn add_product(sum: Self::Floats, a: Self::Floats, b: Self::Floats) -> Self::Floats;
    /// `sum + (a - b)^2`, every step rounded.
    unsafe fn add_square(sum: Self::Floats, a: Self::Floats, b: Self::Floats) -> Self::Floats;
    /// Lane j + lane j+16, then +8, +4, +2, +1.
    unsafe fn floats_sum(sum: Self::Floats) -> f32;

    /// All sums zero.
    unsafe fn sums_zero() -> Self::Sums;
    /// The 64 bytes at `from`, unaligned.
    unsafe fn bytes_load(from: *const u8) -> Self::Bytes;
    /// The `count < 64` bytes at `from`, then zeros; no other byte is read.
    unsafe fn bytes_load_tail(from: *const u8, count: usize) -> Self::Bytes;
    /// 64 times `byte`.
    unsafe fn bytes_splat(byte: u8) -> Self::Bytes;
    /// Bitwise exclusive or.
    unsafe fn bytes_xor(a: Self::Bytes, b: Self::Bytes) -> Self::Bytes;
    /// `sums` plus the 64 products of `query` and the signed bytes `code`, exact modulo 2^32. The bytes of `query` are
    /// unsigned if [`Simd::QUERY_OFFSET`] is 128; else they are signed, and no byte of either is -128.
    unsafe fn add_products(sums: Self::Sums, query: Self::Bytes, code: Self::Bytes) -> Self::Sums;
    /// The total of four sums each.
    unsafe fn sums_total4(sums: [Self::Sums; 4]) -> [i32; 4];
    /// The total of one sum.
    unsafe fn sums_total(sums: Self::Sums) -> i32;
}

/// The dot products (or squared distances) of `query` and each row.
///
/// # Safety
/// The CPU has the instruction set `S`; every row is as long as `query`.
#[inline(always)]
pub(super) unsafe fn floats_rows<S: Simd, const ROWS: usize, const L2: bool>(
    query: &[f32],
    rows: [&[f32]; ROWS],
) -> [f32; ROWS] {
    let whole = query.len() / FLOAT_LANES * FLOAT_LANES;
    // SAFETY: the caller vouches for the CPU. `at` steps through whole blocks below `whole <= len`, and the tail reads
    // `len - whole` floats, so every load stays inside `query` and, as they are equally long, inside each row.
    unsafe {
        let mut sums = [S::floats_zero(); ROWS];
        let mut at = 0;
        while at < whole {
            let q = S::floats_load(query.as_ptr().add(at));
            for (sum, row) in sums.iter_mut().zip(rows) {
                let v = S::floats_load(row.as_ptr().add(at));
                *sum = if L2 { S::add_square(*sum, q, v) } else { S::add_product(*sum, q, v) };
            }
            at += FLOAT_LANES;
        }
        if whole < query.len() {
            let count = query.len() - whole;
            let q = S::floats_load_tail(query.as_ptr().add(whole), count);
            for (sum, row) in sums.iter_mut().zip(rows) {
                let v = S::floats_load_tail(row.as_ptr().add(whole), count);
                *sum = if L2 { S::add_square(*sum, q, v) } else { S::add_product(*sum, q, v) };
            }
        }
        let mut totals = [0.0; ROWS];
        for (total, sum) in totals.iter_mut().zip(sums) {
            *total = S::floats_sum(sum);
        }
        totals
    }
}

/// [`floats_rows`] for four rows, two at a time where the registers hold no more.
///
/// # Safety
/// As for [`floats_rows`].
#[inline(always)]
pub(super) unsafe fn floats_rows4<S: Simd, const L2: bool>(query: &[f32], rows: [&[f32]; 4]) -> [f32; 4] {
    // SAFETY: the obligations are the caller's, passed on unchanged.
    unsafe {
        if S::FOUR_ROWS {
            return floats_rows::<S, 4, L2>(query, rows);
        }
        let [a, b] = floats_rows::<S, 2, L2>(query, [rows[0], rows[1]]);
        let [c, d] = floats_rows::<S, 2, L2>(query, [rows[2], rows[3]]);
        [a, b, c, d]
    }
}

/// The partial sums of `query` and the codes that start at each of `codes`.
///
/// # Safety
/// The CPU has the instruction set `S`; `query.len()` bytes are readable at each of `codes`.
#[inline(always)]
unsafe fn codes_rows<S: Simd, const ROWS: usize>(query: &[u8], codes: [*const i8; ROWS]) -> [S::Sums; ROWS] {
    let whole = query.len() / CODE_BLOCK * CODE_BLOCK;
    // SAFETY: the caller vouches for the CPU and for `query.len()` bytes at each pointer; blocks end at or below
    // `whole`, the tail at the length.
    unsafe {
        let mut sums = [S::sums_zero(); ROWS];
        let mut at = 0;
        while at < whole {
            let q = S::bytes_load(query.as_ptr().add(at));
            for (sum, code) in sums.iter_mut().zip(codes) {
                *sum = S::add_products(*sum, q, S::bytes_load(code.add(at).cast()));
            }
            at += CODE_BLOCK;
        }
        if whole < query.len() {
            let count = query.len() - whole;
            let q = S::bytes_load_tail(query.as_ptr().add(whole), count);
            for (sum, code) in sums.iter_mut().zip(codes) {
                *sum = S::add_products(*sum, q, S::bytes_load_tail(code.add(whole).cast(), count));
            }
        }
        sums
    }
}

/// The integer dot product of a query, raised by the offset of the instruction set, and one signed code.
///
/// # Safety
/// The CPU has the instruction set `S`; `code` is as long as `query`.
#[inline(always)]
pub(super) unsafe fn codes_one<S: Simd>(query: &[u8], code: &[i8]) -> i32 {
    // SAFETY: passed on unchanged.
    unsafe { S::sums_total(codes_rows::<S, 1>(query, [code.as_ptr()])[0]) }
}

/// [`codes_one`] for four codes anywhere in memory.
///
/// # Safety
/// The CPU has the instruction set `S`; each code is as long as `query`.
#[inline(always)]
pub(super) unsafe fn codes_four<S: Simd>(query: &[u8], codes: [&[i8]; 4]) -> [i32; 4] {
    // SAFETY: passed on unchanged.
    unsafe { S::sums_total4(codes_rows::<S, 4>(query, codes.map(<[i8]>::as_ptr))) }
}

/// The kernel of flat search: `out[i]` is the dot product of `query` and the code at `i * stride`.
///
/// # Safety
/// The CPU has the instruction set `S`; `codes` holds at least `out.len() * stride` bytes and `query.len() <= stride`.
#[inline(always)]
pub(super) unsafe fn codes_many<S: Simd>(query: &[u8], codes: &[i8], stride: usize, out: &mut [i32]) {
    let mut from = codes.as_ptr();
    let (groups, rest) = out.as_chunks_mut::<4>();
    for group in groups {
        for line in (0..4 * stride).step_by(CODE_BLOCK) {
            prefetch(from.wrapping_add(PREFETCH_BYTES + line));
        }
        // SAFETY: this group's four codes lie inside `codes` by the caller's obligation, `query.len() <= stride` bytes
        // are read of each; the pointer then moves on to the next group or, at most, to the end of what the caller
        // vouches for.
        unsafe {
            let rows = [from, from.add(stride), from.add(2 * stride), from.add(3 * stride)];
            *group = S::sums_total4(codes_rows::<S, 4>(query, rows));
            from = from.add(4 * stride);
        }
    }
    for total in rest {
        // SAFETY: as above, one code at a time.
        unsafe {
            *total = S::sums_total(codes_rows::<S, 1>(query, [from])[0]);
            from = from.add(stride);
        }
    }
}

/// The dot product of two signed codes. Where queries are raised by 128 it is that of `a + 128` and `b`, less
/// `128 * sum(b)`.
///
/// # Safety
/// The CPU has the instruction set `S`; `b` is as long as `a`.
#[inline(always)]
pub(super) unsafe fn codes_signed<S: Simd>(a: &[i8], b: &[i8]) -> i32 {
    let whole = a.len() / CODE_BLOCK * CODE_BLOCK;
    // SAFETY: the caller vouches for the CPU and equal lengths; blocks end at or below `whole`, the tail at the length.
    // Behind the tail `b` is zero, so its products with the flipped zeros of `a` add nothing.
    unsafe {
        let flip = S::bytes_splat(S::QUERY_OFFSET);
        let mut shifted = S::sums_zero();
        let mut shift = S::sums_zero();
        let mut at = 0;
        while at < a.len() {
            let (x, y) = if at < whole {
                (S::bytes_load(a.as_ptr().add(at).cast()), S::bytes_load(b.as_ptr().add(at).cast()))
            } else {
                let count = a.len() - whole;
                (
                    S::bytes_load_tail(a.as_ptr().add(at).cast(), count),
                    S::bytes_load_tail(b.as_ptr().add(at).cast(), count),
                )
            };
            shifted = S::add_products(shifted, S::bytes_xor(x, flip), y);
            if S::QUERY_OFFSET != 0 {
                shift = S::add_products(shift, flip, y);
            }
            at += CODE_BLOCK;
        }
        S::sums_total(shifted).wrapping_sub(S::sums_total(shift))
    }
}

/// Asks for the cache line at `address`, which may lie anywhere: a prefetch never faults.
#[inline(always)]
pub(super) fn prefetch(address: *const i8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: SSE is part of x86-64, and the instruction has no effect on an address that cannot be read.
    unsafe {
        core::arch::x86_64::_mm_prefetch::<{ core::arch::x86_64::_MM_HINT_T0 }>(address);
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

/// Integer dot products for loops that are compiled whole for each instruction set: see [`super::Kernels::run`].
///
/// # Safety
/// As for [`Simd`]: only on a CPU that has the instruction set, and `query.len()` bytes are readable at each pointer.
pub(crate) trait CodeKernel {
    /// [`super::Kernels::dot_codes`].
    unsafe fn dot(query: &[u8], code: *const i8) -> i32;
    /// [`super::Kernels::dot_codes4`].
    unsafe fn dot4(query: &[u8], codes: [*const i8; 4]) -> [i32; 4];
}

impl<S: Simd> CodeKernel for S {
    #[inline(always)]
    unsafe fn dot(query: &[u8], code: *const i8) -> i32 {
        // SAFETY: passed on unchanged.
        unsafe { S::sums_total(codes_rows::<S, 1>(query, [code])[0]) }
    }

    #[inline(always)]
    unsafe fn dot4(query: &[u8], codes: [*const i8; 4]) -> [i32; 4] {
        // SAFETY: passed on unchanged.
        unsafe { S::sums_total4(codes_rows::<S, 4>(query, codes)) }
    }
}

/// Work that is written once over [`CodeKernel`] and compiled for each instruction set. `run` and the functions that
/// its loops call must be `inline(always)`: target features do not extend to called functions.
pub(crate) trait Work {
    /// The result of the work.
    type Output;
    /// Does the work.
    fn run<K: CodeKernel>(self) -> Self::Output;
}

/// Pointers to the kernels of one instruction set. Each requires a CPU with that set, and slices of the lengths that
/// its generic form requires.
pub(super) struct Table {
    pub(super) query_offset: u8,
    pub(super) dot: unsafe fn(&[f32], &[f32]) -> f32,
    pub(super) dot4: unsafe fn(&[f32], [&[f32]; 4]) -> [f32; 4],
    pub(super) l2_squared: unsafe fn(&[f32], &[f32]) -> f32,
    pub(super) l2_squared4: unsafe fn(&[f32], [&[f32]; 4]) -> [f32; 4],
    pub(super) dot_codes: unsafe fn(&[u8], &[i8]) -> i32,
    pub(super) dot_codes4: unsafe fn(&[u8], [&[i8]; 4]) -> [i32; 4],
    pub(super) dot_codes_many: unsafe fn(&[u8], &[i8], usize, &mut [i32]),
    pub(super) dot_i8: unsafe fn(&[i8], &[i8]) -> i32,
    pub(super) quantize: unsafe fn(&[f32], &mut [i8]) -> QuantizedStats,
}

/// Generates a function for each kernel, compiled with the target features of the set, and a [`Table`] of them.
macro_rules! shells {
    ($simd:ty $(, $features:literal)?) => {
        kernel::shells! { @each $simd, [$($features)?],
            dot(a: &[f32], b: &[f32]) -> f32 = kernel::floats_rows::<$simd, 1, false>(a, [b])[0];
            dot4(a: &[f32], rows: [&[f32]; 4]) -> [f32; 4] = kernel::floats_rows4::<$simd, false>(a, rows);
            l2_squared(a: &[f32], b: &[f32]) -> f32 = kernel::floats_rows::<$simd, 1, true>(a, [b])[0];
            l2_squared4(a: &[f32], rows: [&[f32]; 4]) -> [f32; 4] = kernel::floats_rows4::<$simd, true>(a, rows);
            dot_codes(query: &[u8], code: &[i8]) -> i32 = kernel::codes_one::<$simd>(query, code);
            dot_codes4(query: &[u8], codes: [&[i8]; 4]) -> [i32; 4] = kernel::codes_four::<$simd>(query, codes);
            dot_codes_many(query: &[u8], codes: &[i8], stride: usize, out: &mut [i32]) -> () =
                kernel::codes_many::<$simd>(query, codes, stride, out);
            dot_i8(a: &[i8], b: &[i8]) -> i32 = kernel::codes_signed::<$simd>(a, b);
            quantize(vector: &[f32], code: &mut [i8]) -> QuantizedStats = quantize::quantize(vector, code);
        }
    };
    (@each $simd:ty, $features:tt, $($name:ident $args:tt -> $result:ty = $body:expr;)*) => {
        $(kernel::shells! { @one $features, $name, $args, $result, $body })*
        kernel::shells! { @work $simd, $features }
        /// This instruction set's kernels.
        pub(in crate::distance) static TABLE: kernel::Table =
            kernel::Table { query_offset: <$simd as Simd>::QUERY_OFFSET, $($name),* };
    };
    (@work $simd:ty, [$($features:literal)?]) => {
        /// Runs `work` compiled for this instruction set.
        ///
        /// # Safety
        /// The CPU has this file's instruction set.
        $(#[target_feature(enable = $features)])?
        pub(in crate::distance) unsafe fn run<W: kernel::Work>(work: W) -> W::Output {
            work.run::<$simd>()
        }
    };
    (@one [$($features:literal)?], $name:ident, ($($arg:ident: $type:ty),*), $result:ty, $body:expr) => {
        /// # Safety
        /// The CPU has this file's instruction set; the lengths are what the generic kernel asks for.
        $(#[target_feature(enable = $features)])?
        #[allow(unused_unsafe, reason = "one of the kernels is safe code")]
        unsafe fn $name($($arg: $type),*) -> $result {
            // SAFETY: the obligations are the caller's, passed on unchanged.
            unsafe { $body }
        }
    };
}
pub(super) use shells;
