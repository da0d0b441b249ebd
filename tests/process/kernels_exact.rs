//! Every kernel of every instruction set this CPU has, against one-line oracles, for every length from 0 to 2050:
//! between pages that fault when touched, at every alignment, bit for bit.

use vecmem::distance::{Isa, Kernels};
use vecmem::testing::Random;

const LONGEST: usize = 2050;
const SEED: u64 = 0x6b65_726e_656c;

/// The order of summation that `vecmem::distance` promises.
fn model(terms: impl Iterator<Item = f32>) -> f32 {
    let mut lanes = [0.0_f32; 32];
    terms.enumerate().for_each(|(i, term)| lanes[i % 32] += term);
    [16, 8, 4, 2, 1].into_iter().for_each(|half| (0..half).for_each(|lane| lanes[lane] += lanes[lane + half]));
    lanes[0]
}

fn model_dot(a: &[f32], b: &[f32]) -> f32 {
    model(a.iter().zip(b).map(|(a, b)| a * b))
}

fn model_l2(a: &[f32], b: &[f32]) -> f32 {
    model(a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)))
}

/// The dot product of signed bytes, raised as the instruction set raises queries.
fn model_codes(kernels: Kernels, query: &[u8], code: &[i8]) -> i32 {
    let signed: Vec<i8> = query.iter().map(|&byte| (byte ^ kernels.query_offset()).cast_signed()).collect();
    model_i8(&signed, code) + i32::from(kernels.query_offset()) * code.iter().map(|&byte| i32::from(byte)).sum::<i32>()
}

fn model_i8(a: &[i8], b: &[i8]) -> i32 {
    a.iter().zip(b).map(|(&a, &b)| i32::from(a) * i32::from(b)).sum()
}

/// Any byte of a code, of which -128 is none.
fn code_byte(random: &mut Random) -> i8 {
    (random.draw() as i8).max(-127)
}

/// Magnitudes from 2^-20 to 2^20 of both signs, so that every change of the order changes the sum.
fn float(random: &mut Random) -> f32 {
    let bits = random.draw();
    let exponent = 107 + (bits >> 32) as u32 % 41;
    f32::from_bits((bits as u32 & 0x807f_ffff) | exponent << 23)
}

/// Memory between two pages that may not be touched.
struct Guarded {
    map: *mut u8,
    pages: usize,
}

const PAGE: usize = 4096;

impl Guarded {
    fn new(bytes: usize) -> Guarded {
        let pages = bytes.div_ceil(PAGE).max(1);
        // SAFETY: a fresh anonymous mapping; the two calls that follow stay inside it.
        let map = unsafe {
            let size = (pages + 2) * PAGE;
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
            let map = libc::mmap(std::ptr::null_mut(), size, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0);
            assert_ne!(map, libc::MAP_FAILED);
            assert_eq!(libc::mprotect(map, PAGE, libc::PROT_NONE), 0);
            assert_eq!(libc::mprotect(map.byte_add((pages + 1) * PAGE), PAGE, libc::PROT_NONE), 0);
            map
        };
        Guarded { map: map.cast(), pages }
    }

    /// A copy of `values` that ends at the upper guard or starts at the lower one.
    fn copy<T: Copy>(&mut self, values: &[T], at_end: bool) -> &[T] {
        let size = std::mem::size_of_val(values);
        assert!(size <= self.pages * PAGE);
        let offset = if at_end { (self.pages + 1) * PAGE - size } else { PAGE };
        // SAFETY: the destination lies between the guards, is aligned for T (pages are, and the size is a multiple of
        // T's), was never handed out mutably, and lives as long as `self` is borrowed.
        unsafe {
            let to = self.map.add(offset).cast::<T>();
            std::ptr::copy_nonoverlapping(values.as_ptr(), to, values.len());
            std::slice::from_raw_parts(to, values.len())
        }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // SAFETY: the mapping made by `new`; every slice of it borrows `self`.
        unsafe { libc::munmap(self.map.cast(), (self.pages + 2) * PAGE) };
    }
}

fn sets() -> Vec<Kernels> {
    let sets: Vec<Kernels> = Isa::ALL.into_iter().filter_map(Kernels::forced).collect();
    println!("seed {SEED:#x}, {sets:?}");
    sets
}

#[test]
fn floats_are_bit_equal_for_every_length() {
    let mut random = Random::new(SEED);
    let pools: [Vec<f32>; 5] = std::array::from_fn(|_| (0..LONGEST).map(|_| float(&mut random)).collect());
    let mut memory: [Guarded; 5] = std::array::from_fn(|_| Guarded::new(LONGEST * 4));
    for kernels in sets() {
        for len in 0..=LONGEST {
            for at_end in [true, false] {
                let mut pool = pools.iter();
                let [q, a, b, c, d] = memory
                    .each_mut()
                    .map(|memory| memory.copy(&pool.next().map_or(&[][..], |pool| pool)[..len], at_end));
                let rows = [a, b, c, d];
                let bits = |values: [f32; 4]| values.map(f32::to_bits);
                let dots = bits(rows.map(|row| model_dot(q, row)));
                let distances = bits(rows.map(|row| model_l2(q, row)));
                assert_eq!(bits(rows.map(|row| kernels.dot(q, row))), dots, "{kernels:?} dot {len}");
                assert_eq!(bits(kernels.dot4(q, rows)), dots, "{kernels:?} dot4 {len}");
                assert_eq!(bits(rows.map(|row| kernels.l2_squared(q, row))), distances, "{kernels:?} l2 {len}");
                assert_eq!(bits(kernels.l2_squared4(q, rows)), distances, "{kernels:?} l2x4 {len}");
            }
        }
    }
}

#[test]
fn codes_are_exact_for_every_length() {
    let mut random = Random::new(SEED);
    let mut noise = || -> Vec<u8> { (0..LONGEST).map(|_| code_byte(&mut random).cast_unsigned()).collect() };
    // The other sets are where an instruction that saturates would be found out.
    let noisy: [Vec<u8>; 5] = std::array::from_fn(|_| noise());
    let extreme = |query| [query, 0x81, 0x7f, 0x81, 0x7f].map(|byte| vec![byte; LONGEST]);
    let extremes = [255, 0x80, 0x81, 0x7f, 0].map(extreme);
    let mut memory: [Guarded; 5] = std::array::from_fn(|_| Guarded::new(LONGEST));
    for kernels in sets() {
        for pools in std::iter::once(&noisy).chain(&extremes) {
            for len in 0..=LONGEST {
                for at_end in [true, false] {
                    let mut pool = pools.iter();
                    let [q, a, b, c, d] = memory
                        .each_mut()
                        .map(|memory| memory.copy(&pool.next().map_or(&[][..], |pool| pool)[..len], at_end));
                    let codes: [&[i8]; 4] = [a, b, c, d].map(bytemuck::cast_slice);
                    let expected = codes.map(|code| model_codes(kernels, q, code));
                    assert_eq!(codes.map(|code| kernels.dot_codes(q, code)), expected, "{kernels:?} {len}");
                    assert_eq!(kernels.dot_codes4(q, codes), expected, "{kernels:?} x4 {len}");
                    let signed: &[i8] = bytemuck::cast_slice(q);
                    let expected = codes.map(|code| model_i8(signed, code));
                    assert_eq!(codes.map(|code| kernels.dot_i8(signed, code)), expected, "{kernels:?} i8 {len}");
                }
            }
        }
    }
}

#[test]
fn scan_is_exact_for_every_length_and_count() {
    let mut random = Random::new(SEED);
    let query: Vec<u8> = (0..LONGEST).map(|_| random.draw() as u8).collect();
    let codes: Vec<i8> = (0..LONGEST * 11).map(|_| code_byte(&mut random)).collect();
    let mut query_memory = Guarded::new(LONGEST);
    let mut codes_memory = Guarded::new(LONGEST * 11);
    for kernels in sets() {
        for len in 0..=LONGEST {
            // Counts 0..=10 and, now and then, a query shorter than the stride.
            let (count, short) = (len % 11, len / 11 % 3);
            for at_end in [true, false] {
                let query = query_memory.copy(&query[..len.saturating_sub(short)], at_end);
                let codes = codes_memory.copy(&codes[..len * count], at_end);
                let mut out = vec![i32::MIN; count];
                kernels.dot_codes_many(query, codes, len, &mut out);
                let expected: Vec<i32> =
                    (0..count).map(|i| model_codes(kernels, query, &codes[i * len..][..query.len()])).collect();
                assert_eq!(out, expected, "{kernels:?} {count} codes of {len}");
            }
        }
    }
}

#[test]
fn longest_vector_does_not_overflow() {
    for kernels in sets() {
        let raised = i64::from(kernels.query_byte(127));
        let (query, code) = (vec![kernels.query_byte(127); 16_384], vec![-127_i8; 16_384]);
        assert_eq!(i64::from(kernels.dot_codes(&query, &code)), -raised * 127 * 16_384);
        assert_eq!(kernels.dot_i8(&code, &code), 127 * 127 * 16_384);
        // Beyond any vector the sum wraps, everywhere alike.
        let (query, code) = (vec![kernels.query_byte(127); 140_000], vec![-127_i8; 140_000]);
        assert_eq!(kernels.dot_codes(&query, &code), (-raised * 127 * 140_000) as i32);
    }
}

#[test]
fn unequal_lengths_are_refused() {
    for kernels in sets() {
        let refused = |call: &dyn Fn()| {
            let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(call));
            assert!(caught.is_err(), "{kernels:?}");
        };
        let (long, short) = ([0.0; 40], [0.0; 39]);
        refused(&|| _ = kernels.dot(&long, &short));
        refused(&|| _ = kernels.l2_squared(&short, &long));
        refused(&|| _ = kernels.dot4(&long, [&long, &long, &long, &short]));
        refused(&|| _ = kernels.l2_squared4(&long, [&short, &long, &long, &long]));
        let (query, code, less) = ([0_u8; 64], [0_i8; 64], [0_i8; 63]);
        refused(&|| _ = kernels.dot_codes(&query, &less));
        refused(&|| _ = kernels.dot_codes4(&query, [&code, &code, &less, &code]));
        refused(&|| _ = kernels.dot_i8(&code, &less));
        refused(&|| _ = kernels.quantize(&long, &mut [0; 39]));
        refused(&|| kernels.dot_codes_many(&query, &code, 63, &mut [0]));
        refused(&|| kernels.dot_codes_many(&query, &code, 64, &mut [0; 2]));
        refused(&|| kernels.dot_codes_many(&[], &code, usize::MAX, &mut [0; 2]));
    }
}

#[test]
fn environment_forces_the_instruction_set() {
    let best = Isa::ALL.into_iter().filter_map(Kernels::forced).next_back().map(Kernels::isa);
    if let Ok(name) = std::env::var("VECMEM_ISA") {
        let wish = Isa::ALL.into_iter().find(|isa| isa.name() == name).and_then(Kernels::forced);
        assert_eq!(Some(Kernels::get().isa()), wish.map(Kernels::isa).or(best), "{name}");
        return;
    }
    assert_eq!(Some(Kernels::get().isa()), best);
    for name in Isa::ALL.into_iter().map(Isa::name).chain(["abacus"]) {
        let this = std::env::current_exe().expect("a test knows its executable");
        let child = std::process::Command::new(this)
            .env("VECMEM_ISA", name)
            .args(["--exact", "environment_forces_the_instruction_set"])
            .output()
            .expect("a test can start itself");
        assert!(child.status.success(), "{name}: {}", String::from_utf8_lossy(&child.stdout));
    }
}
