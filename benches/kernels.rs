//! Kernels against simsimd: `f32` dot products, the scan of codes, encoding, bounds. Seeded data; run with `cargo bench
//! --bench kernels`.

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use simsimd::SpatialSimilarity;
use std::hint::black_box;
use vecmem::distance::{Isa, Kernels, Metric};
use vecmem::quant::{CodeMeta, PreparedQuery, encode, stride};
use vecmem::testing::Random;

const SEED: u64 = 0x5eed_0001;

/// `count` floats in -1..1.
fn floats(seed: u64, count: usize) -> Vec<f32> {
    let mut random = Random::new(seed);
    (0..count).map(|_| random.unit()).collect()
}

/// Each instruction set that this CPU has.
fn sets() -> impl Iterator<Item = Kernels> {
    Isa::ALL.into_iter().filter_map(Kernels::forced)
}

fn f32_dot(c: &mut Criterion) {
    let mut group = c.benchmark_group("f32_dot");
    for dims in [128, 384, 768, 1536] {
        let vectors = floats(SEED, 5 * dims);
        let (query, rows) = vectors.split_at(dims);
        let four: [&[f32]; 4] = std::array::from_fn(|i| &rows[i * dims..(i + 1) * dims]);
        group.throughput(Throughput::Elements(1));
        group.bench_function(BenchmarkId::new("simsimd", dims), |b| {
            b.iter(|| f32::dot(black_box(query), black_box(four[0])))
        });
        for kernels in sets() {
            group.bench_function(BenchmarkId::new(format!("{:?}", kernels.isa()), dims), |b| {
                b.iter(|| kernels.dot(black_box(query), black_box(four[0])))
            });
            group.bench_function(BenchmarkId::new(format!("{:?}/batch-of-4", kernels.isa()), dims), |b| {
                b.iter(|| kernels.dot4(black_box(query), black_box(four)))
            });
        }
    }
    group.finish();
}

fn scan(c: &mut Criterion) {
    let dims = 384;
    let mut group = c.benchmark_group("scan_384");
    for count in [1_000, 10_000, 70_000] {
        let mut codes = vec![0_i8; count * stride(dims)];
        let metas: Vec<CodeMeta> = floats(SEED, count * dims)
            .chunks_exact(dims)
            .zip(codes.chunks_exact_mut(stride(dims)))
            .map(|(vector, code)| encode(Kernels::get(), vector, code))
            .collect();
        let vector = floats(SEED ^ 1, dims);
        let mut signed = vec![0; stride(dims)];
        encode(Kernels::get(), &vector, &mut signed);
        let mut raw = vec![0_i32; count];
        let mut bounds = vec![0.0_f32; count];
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function(BenchmarkId::new("simsimd", count), |b| {
            b.iter(|| {
                for (out, code) in raw.iter_mut().zip(black_box(&codes).chunks_exact(stride(dims))) {
                    *out = i8::dot(&signed, code).unwrap_or(0.0) as i32;
                }
            })
        });
        for kernels in sets() {
            let query = PreparedQuery::new(kernels, &vector, Metric::Cosine);
            group.bench_function(BenchmarkId::new(format!("{:?}", kernels.isa()), count), |b| {
                b.iter(|| kernels.dot_codes_many(query.code(), black_box(&codes), stride(dims), black_box(&mut raw)))
            });
        }
        for metric in [Metric::Cosine, Metric::Dot, Metric::L2] {
            let query = PreparedQuery::new(Kernels::get(), &vector, metric);
            group.bench_function(BenchmarkId::new(format!("bounds/{metric:?}"), count), |b| {
                b.iter(|| query.upper_bounds(black_box(&raw), black_box(&metas), black_box(&mut bounds)))
            });
        }
    }
    group.finish();
}

fn codes(c: &mut Criterion) {
    let mut group = c.benchmark_group("codes");
    for dims in [128, 384, 768, 1536] {
        let vector = floats(SEED, dims);
        let mut code = vec![0_i8; stride(dims)];
        encode(Kernels::get(), &vector, &mut code);
        group.bench_function(BenchmarkId::new("prepare", dims), |b| {
            b.iter_batched(
                || &vector,
                |vector| PreparedQuery::new(Kernels::get(), vector, Metric::Cosine),
                BatchSize::SmallInput,
            )
        });
        for kernels in sets() {
            group.bench_function(BenchmarkId::new(format!("encode/{:?}", kernels.isa()), dims), |b| {
                b.iter(|| encode(kernels, black_box(&vector), black_box(&mut code)))
            });
            group.bench_function(BenchmarkId::new(format!("dot_i8/{:?}", kernels.isa()), dims), |b| {
                b.iter(|| kernels.dot_i8(black_box(&code), black_box(&code)))
            });
        }
    }
    group.finish();
}

criterion_group!(benches, f32_dot, scan, codes);
criterion_main!(benches);
