//! Metrics and vector spaces: their names as text and in files.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use crate::error::{Error, Result};

/// How similarity is measured; in every metric a larger score is better.
///
/// As text, and for `serde`, a metric is `cosine`, `dot` or `l2`.
///
/// ```
/// use vecmem::Metric;
///
/// let metric: Metric = "cosine".parse()?;
/// assert_eq!((metric, metric.to_string().as_str()), (Metric::Cosine, "cosine"));
/// # Ok::<(), vecmem::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Metric {
    /// `a·b / (|a| |b|)`, from -1 to 1; a zero vector scores 0.
    Cosine,
    /// `a·b`.
    Dot,
    /// `-|a - b|`, at most 0.
    L2,
}

impl Metric {
    const ALL: [Self; 3] = [Self::Cosine, Self::Dot, Self::L2];

    fn name(self) -> &'static str {
        match self {
            Self::Cosine => "cosine",
            Self::Dot => "dot",
            Self::L2 => "l2",
        }
    }

    /// The number of the metric in files of every kind.
    pub(crate) fn code(self) -> u16 {
        match self {
            Self::Cosine => 0,
            Self::Dot => 1,
            Self::L2 => 2,
        }
    }

    /// The metric of a number in a file; `None` if a newer version wrote it, or if it is damaged.
    pub(crate) fn of_code(code: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|metric| metric.code() == code)
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Metric {
    type Err = Error;

    /// Reads `cosine`, `dot` or `l2`, in lower case.
    fn from_str(text: &str) -> Result<Self> {
        let named = Self::ALL.into_iter().find(|metric| metric.name() == text);
        named.ok_or_else(|| Error::invalid(format!("{text:?} is no metric; there are cosine, dot and l2")))
    }
}

/// The dimensions and metric that every vector of a store shares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct VectorSpace {
    /// Numbers in one vector, 1 to 16,384.
    pub dims: usize,
    /// How two vectors are compared.
    pub metric: Metric,
}
