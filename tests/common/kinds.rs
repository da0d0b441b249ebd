//! Kinds of made-up data on which graphs differ, and queries like and unlike the data. Tests and benches share them.
//!
//! Invariant: the same kind, seed and number of dimensions give the same vectors on every machine: only additions,
//! multiplications, divisions and roots, which IEEE 754 rounds one way.

use vecmem::testing::Random;

/// The kinds of data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Independent normal components.
    Gaussian,
    /// 50 clusters whose spread is half of the distance between their centres' components.
    TightClusters,
    /// 20 clusters whose centres lie 20 times their spread apart.
    FarClusters,
    /// Directions as of `Gaussian`; one norm in a hundred is ten times the smallest.
    HeavyNorms,
    /// Absolute values of `Gaussian`.
    Positive,
    /// `Gaussian` around a point that is three spreads from the origin in every component.
    OffCentre,
    /// Shares that sum to 1, most of them near 0.
    Histograms,
    /// Every second vector is one of 500.
    Duplicates,
    /// Ten vectors around each of many points, a thousandth of the spread apart.
    NearDuplicates,
    /// `Gaussian`, and one vector in 340 that is ten to thirty times as far away, each in a direction of its own.
    Outliers,
    /// Combinations of six directions, with little noise.
    LowDimension,
    /// Two groups, each around an axis of its own, with nothing between them.
    TwoEncoders,
}

pub const KINDS: [Kind; 12] = [
    Kind::Gaussian,
    Kind::TightClusters,
    Kind::FarClusters,
    Kind::HeavyNorms,
    Kind::Positive,
    Kind::OffCentre,
    Kind::Histograms,
    Kind::Duplicates,
    Kind::NearDuplicates,
    Kind::Outliers,
    Kind::LowDimension,
    Kind::TwoEncoders,
];

/// How often a vector is an outlier.
const ONE_OUTLIER_IN: usize = 340;

/// Draws vectors of one kind.
pub struct Source {
    pub kind: Kind,
    pub dims: usize,
    random: Random,
    /// Centres, directions or repeated vectors, as the kind has them.
    fixed: Vec<Vec<f32>>,
    drawn: usize,
}

impl Source {
    pub fn new(kind: Kind, dims: usize, seed: u64) -> Self {
        let mut random = Random::new(seed ^ (kind as u64) << 32);
        let count = match kind {
            Kind::TightClusters => 50,
            Kind::FarClusters => 20,
            Kind::Duplicates => 500,
            Kind::LowDimension => 6,
            Kind::TwoEncoders => 2,
            _ => 0,
        };
        let fixed = (0..count).map(|_| gaussian(&mut random, dims)).collect();
        Self { kind, dims, random, fixed, drawn: 0 }
    }

    /// The next vector.
    pub fn vector(&mut self) -> Vec<f32> {
        let number = self.drawn;
        self.drawn += 1;
        let random = &mut self.random;
        let own = gaussian(random, self.dims);
        match self.kind {
            Kind::Gaussian => own,
            Kind::TightClusters => sum(&self.fixed[random.below(self.fixed.len())], 1.0, &own, 0.5),
            Kind::FarClusters => sum(&self.fixed[random.below(self.fixed.len())], 20.0, &own, 1.0),
            Kind::HeavyNorms => {
                let length = 1.0 / (f64::from(random.unit().abs()) + 1e-4).sqrt();
                own.iter().map(|x| x * length as f32).collect()
            }
            Kind::Positive => own.iter().map(|x| x.abs()).collect(),
            Kind::OffCentre => own.iter().map(|x| x + 3.0).collect(),
            Kind::Histograms => {
                let counts: Vec<f32> = own.iter().map(|x| x * x * x * x).collect();
                let total: f32 = counts.iter().sum();
                counts.iter().map(|x| x / total).collect()
            }
            Kind::Duplicates if number.is_multiple_of(2) => self.fixed[random.below(self.fixed.len())].clone(),
            Kind::Duplicates => own,
            Kind::NearDuplicates => {
                if number.is_multiple_of(10) {
                    self.fixed = vec![own.clone()];
                }
                sum(&self.fixed[0], 1.0, &own, 0.001)
            }
            Kind::Outliers if number % ONE_OUTLIER_IN == 17 => {
                let far = 20.0 + 10.0 * random.unit();
                own.iter().map(|x| x * far).collect()
            }
            Kind::Outliers => own,
            Kind::LowDimension => {
                let noise = own.iter().map(|x| x * 0.01).collect();
                self.fixed.iter().fold(noise, |point, direction| {
                    let length = normal(random);
                    sum(&point, 1.0, direction, length)
                })
            }
            Kind::TwoEncoders => sum(&self.fixed[number % 2], 3.0, &own, 0.7),
        }
    }

    /// Whether the vector with this number is an outlier.
    pub fn is_outlier(&self, number: usize) -> bool {
        self.kind == Kind::Outliers && number % ONE_OUTLIER_IN == 17
    }

    /// The next `count` vectors.
    pub fn vectors(&mut self, count: usize) -> Vec<Vec<f32>> {
        (0..count).map(|_| self.vector()).collect()
    }
}

/// The kinds of queries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asking {
    /// Vectors of the same kind that are not stored.
    HeldOut,
    /// Stored vectors, moved a little.
    Perturbed,
    /// Stored vectors themselves.
    Stored,
    /// The negatives of stored vectors.
    Opposite,
    /// Random directions, as long as a stored vector.
    Unlike,
}

pub const ASKINGS: [Asking; 5] = [Asking::HeldOut, Asking::Perturbed, Asking::Stored, Asking::Opposite, Asking::Unlike];

impl Asking {
    /// Whether such queries resemble the data.
    pub fn is_like_the_data(self) -> bool {
        matches!(self, Self::HeldOut | Self::Perturbed | Self::Stored)
    }

    /// `count` queries of this kind; `stored` was drawn from `source`.
    pub fn queries(self, source: &mut Source, stored: &[Vec<f32>], count: usize) -> Vec<Vec<f32>> {
        let mut random = Random::new(0xA5C ^ self as u64);
        (0..count)
            .map(|_| {
                let one = &stored[random.below(stored.len())];
                let direction = gaussian(&mut random, source.dims);
                let length = norm(one) / norm(&direction).max(f32::MIN_POSITIVE);
                match self {
                    // Not the next one: that may be a near duplicate of the one before.
                    Self::HeldOut => source.vectors(11).pop().unwrap_or_default(),
                    Self::Perturbed => sum(one, 1.0, &direction, 0.1 * length),
                    Self::Stored => one.clone(),
                    Self::Opposite => one.iter().map(|x| -x).collect(),
                    Self::Unlike => direction.iter().map(|x| x * length).collect(),
                }
            })
            .collect()
    }
}

/// A number that is distributed nearly normally, with variance 1.
fn normal(random: &mut Random) -> f32 {
    (0..12).map(|_| random.unit()).sum::<f32>() / 2.0
}

fn gaussian(random: &mut Random, dims: usize) -> Vec<f32> {
    (0..dims).map(|_| normal(random)).collect()
}

/// `a` times `by_a` plus `b` times `by_b`.
fn sum(a: &[f32], by_a: f32, b: &[f32], by_b: f32) -> Vec<f32> {
    a.iter().zip(b).map(|(a, b)| a * by_a + b * by_b).collect()
}

fn norm(vector: &[f32]) -> f32 {
    vector.iter().map(|x| x * x).sum::<f32>().sqrt()
}
