//! Codes and bounds: whatever the vectors, a bound is never below the exact score, and a code does not depend on the
//! machine.

use vecmem::distance::{Isa, Kernels, Metric, inverse_norm, norm, score, score4};
use vecmem::quant::{CodeMeta, PreparedQuery, encode, stride};
use vecmem::testing::Random;

const SEED: u64 = 0x626f_756e_6473;
const METRICS: [Metric; 3] = [Metric::Cosine, Metric::Dot, Metric::L2];

/// About normal: the sum of 12 uniform numbers.
fn gaussian(random: &mut Random) -> f32 {
    (0..12).map(|_| random.unit()).sum::<f32>() / 2.0
}

const SHAPES: [&str; 9] = ["gaussian", "sparse", "huge", "tiny", "denormal", "one-hot", "constant", "outlier", "zero"];

fn vector(random: &mut Random, shape: &str, dims: usize) -> Vec<f32> {
    let hot = random.below(dims);
    let level = random.unit();
    let small = 0.1_f32.powi(17 + random.below(15));
    let mut vector: Vec<f32> = (0..dims)
        .map(|i| match shape {
            "gaussian" | "huge" => gaussian(random),
            "sparse" if random.below(20) > 0 => 0.0,
            "sparse" => gaussian(random),
            "tiny" => gaussian(random) * small,
            "denormal" => gaussian(random) * 1e-38 * if i % 2 == 0 { 1.0 } else { 1e-5 },
            "one-hot" => f32::from(i == hot) * level,
            "constant" => level,
            "outlier" => gaussian(random) * if i == hot { 120.0 } else { 1.0 },
            _ => 0.0,
        })
        .collect();
    if shape == "huge" {
        // As far as the door lets it: a norm of 3.1e18, whose square is below 1e37.
        let by = 3.1e18 / norm(&vector);
        vector.iter_mut().for_each(|x| *x *= by);
    }
    vector
}

fn coded(kernels: Kernels, vector: &[f32]) -> (Vec<i8>, CodeMeta) {
    let mut code = vec![0x55; stride(vector.len())];
    let meta = encode(kernels, vector, &mut code);
    (code, meta)
}

/// The dimensions worth every shape: edges of lanes and lines, usual models, and some drawn.
fn dimensions(random: &mut Random) -> Vec<usize> {
    let mut dims = vec![1, 2, 3, 15, 16, 17, 31, 32, 33, 63, 64, 65, 128, 384, 768, 1024, 1536, 16_384];
    dims.extend((0..15).map(|_| 1 + random.below(1536)));
    dims
}

#[test]
fn bound_is_never_below_the_score() {
    println!("seed {SEED:#x}");
    let kernels = Kernels::get();
    let mut random = Random::new(SEED);
    for dims in dimensions(&mut random) {
        for query_shape in SHAPES {
            let query = vector(&mut random, query_shape, dims);
            let mut rows: Vec<Vec<f32>> = SHAPES.iter().map(|shape| vector(&mut random, shape, dims)).collect();
            // Neighbours, where L2 cancels: the query, nearly the query, its opposite, other lengths of it.
            rows.extend([1.0, 1.000_001, -1.0, 0.5].map(|by| query.iter().map(|x| x * by).collect::<Vec<f32>>()));
            let (codes, metas): (Vec<_>, Vec<_>) = rows.iter().map(|row| coded(kernels, row)).unzip();
            for metric in METRICS {
                let prepared = PreparedQuery::new(kernels, &query, metric);
                let mut raw = vec![0; rows.len()];
                kernels.dot_codes_many(prepared.code(), &codes.concat(), stride(dims), &mut raw);
                let mut bounds = vec![f32::NAN; rows.len()];
                prepared.upper_bounds(&raw, &metas, &mut bounds);
                for i in 0..rows.len() {
                    let exact =
                        score(metric, kernels, &query, prepared.inverse_norm(), &rows[i], inverse_norm(metas[i].norm));
                    let case = format!("{metric:?} {dims} {query_shape} row {i}: bound {} score {exact}", bounds[i]);
                    assert!(bounds[i] >= exact, "{case}");
                    assert_eq!(bounds[i].to_bits(), prepared.upper_bound(raw[i], &metas[i]).to_bits(), "{case}");
                    let estimate = prepared.estimate(raw[i], &metas[i]);
                    assert!(estimate <= bounds[i] && !exact.is_nan(), "{case} estimate {estimate}");
                }
            }
        }
    }
}

#[test]
fn bound_is_tight_enough_to_spare_rows() {
    println!("seed {SEED:#x}");
    let kernels = Kernels::get();
    let mut random = Random::new(SEED);
    for metric in METRICS {
        for _ in 0..50 {
            let [query, row] = [0, 1].map(|_| {
                let mut vector = vector(&mut random, "gaussian", 384);
                let by = inverse_norm(norm(&vector));
                vector.iter_mut().for_each(|x| *x *= by);
                vector
            });
            let prepared = PreparedQuery::new(kernels, &query, metric);
            let (code, meta) = coded(kernels, &row);
            let raw = kernels.dot_codes(prepared.code(), &code);
            let exact = score(metric, kernels, &query, prepared.inverse_norm(), &row, inverse_norm(meta.norm));
            // Two residuals of about max/127/sqrt(12)*sqrt(384) = 0.0071 each, and the error that they bound.
            assert!(prepared.upper_bound(raw, &meta) - exact < 0.03, "{metric:?}");
            assert!((prepared.estimate(raw, &meta) - exact).abs() < 0.005, "{metric:?}");
        }
    }
}

#[test]
fn code_is_what_its_meta_says_on_every_instruction_set() {
    println!("seed {SEED:#x}");
    let mut random = Random::new(SEED);
    for dims in dimensions(&mut random) {
        for shape in SHAPES {
            let vector = vector(&mut random, shape, dims);
            let (code, meta) = coded(Kernels::get(), &vector);
            for kernels in Isa::ALL.into_iter().filter_map(Kernels::forced) {
                let (other, same) = coded(kernels, &vector);
                assert_eq!((&other, bytemuck::bytes_of(&same)), (&code, bytemuck::bytes_of(&meta)), "{kernels:?}");
            }
            let scale = f64::from(meta.scale);
            let errors = vector.iter().zip(&code).map(|(&x, &c)| f64::from(x) - scale * f64::from(c));
            let residual = errors.clone().map(|e| e * e).sum::<f64>().sqrt();
            let case = format!("{shape} {dims} {meta:?}");
            assert!(f64::from(meta.residual) >= residual, "{case}: residual {residual}");
            assert!(f64::from(meta.residual) <= residual * (1.0 + 1e-6) + 2e-45, "{case}: residual {residual}");
            assert_eq!(meta.sum, code.iter().map(|&c| i32::from(c)).sum::<i32>(), "{case}");
            assert_eq!(meta.norm.to_bits(), norm(&vector).to_bits(), "{case}");
            assert!(code[dims..].iter().all(|&c| c == 0), "{case}: padding");
            if meta.scale > 0.0 {
                assert!(errors.clone().all(|e| e.abs() <= scale * 0.5001), "{case}: not the nearest code");
                assert!(code.iter().any(|c| c.unsigned_abs() == 127), "{case}: range not used");
            }
        }
    }
}

#[test]
fn score_is_one_function_in_both_forms() {
    println!("seed {SEED:#x}");
    let mut random = Random::new(SEED);
    for kernels in Isa::ALL.into_iter().filter_map(Kernels::forced) {
        for metric in METRICS {
            for dims in [1, 5, 384, 1000] {
                let query = vector(&mut random, "gaussian", dims);
                let rows = ["gaussian", "sparse", "zero", "constant"].map(|shape| vector(&mut random, shape, dims));
                let inverse = |vector: &[f32]| inverse_norm(norm(vector));
                let inverses = rows.each_ref().map(|row| inverse(row));
                let four =
                    score4(metric, kernels, &query, inverse(&query), rows.each_ref().map(|row| &row[..]), inverses);
                for i in 0..4 {
                    let one = score(metric, kernels, &query, inverse(&query), &rows[i], inverses[i]);
                    assert_eq!(one.to_bits(), four[i].to_bits(), "{kernels:?} {metric:?} {dims}");
                    let exact: f64 = match metric {
                        Metric::L2 => {
                            -query.iter().zip(&rows[i]).map(|(q, x)| f64::from(q - x).powi(2)).sum::<f64>().sqrt()
                        }
                        _ => query.iter().zip(&rows[i]).map(|(q, x)| f64::from(*q) * f64::from(*x)).sum(),
                    };
                    let unit = f64::from(norm(&query)) * f64::from(norm(&rows[i]));
                    let exact = if metric == Metric::Cosine && unit > 0.0 { exact / unit } else { exact };
                    assert!((f64::from(one) - exact).abs() <= 1e-5 * (1.0 + unit), "{metric:?} {dims}: {one} {exact}");
                }
            }
        }
    }
}

#[test]
fn zero_vectors_score_zero() {
    let kernels = Kernels::get();
    let (one, zero, tiny) = ([-1.0_f32; 70], [0.0_f32; 70], [1e-30_f32; 70]);
    let cosine = |a: &[f32], b: &[f32]| {
        score(Metric::Cosine, kernels, a, inverse_norm(norm(a)), b, inverse_norm(norm(b))).to_bits()
    };
    for vector in [&zero, &tiny] {
        assert_eq!(cosine(&one, vector), 0.0_f32.to_bits());
        assert_eq!(cosine(vector, &one), 0.0_f32.to_bits());
        assert_eq!(cosine(vector, vector), 0.0_f32.to_bits());
    }
    assert_eq!(score(Metric::L2, kernels, &one, 0.0, &one, 0.0).to_bits(), 0.0_f32.to_bits());
}
