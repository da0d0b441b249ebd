//! Patterns of encoded namespaces, and what a listing of them can leave out.
//!
//! Invariants:
//! * A label of a pattern is encoded like one of a namespace, so labels compare as bytes.
//! * A listing that goes on at the place that a pattern names misses no namespace that the pattern matches.

use super::encode_label;

/// Conditions on the first and on the last labels of a namespace.
#[derive(Clone, Debug, Default)]
pub(crate) struct NamespacePattern {
    /// The encoded labels; `None` for any one label.
    prefix: Vec<Option<Vec<u8>>>,
    suffix: Vec<Option<Vec<u8>>>,
}

/// Whether a namespace matches a pattern, and if not, where the next one may be that does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PatternFit {
    Matches,
    /// Any later namespace may match.
    Misses,
    /// No namespace below this place matches. The place is above the namespace.
    MissesUntil(Vec<u8>),
}

impl NamespacePattern {
    /// The pattern of these labels; `None` stands for any one label.
    pub fn new<'l>(
        prefix: impl IntoIterator<Item = Option<&'l str>>,
        suffix: impl IntoIterator<Item = Option<&'l str>>,
    ) -> Self {
        let encoded = |label: &str| {
            let mut encoded = Vec::new();
            encode_label(&mut encoded, label.as_bytes());
            encoded
        };
        Self {
            prefix: prefix.into_iter().map(|label| label.map(encoded)).collect(),
            suffix: suffix.into_iter().map(|label| label.map(encoded)).collect(),
        }
    }

    /// The encoding of the literal labels that every match begins with.
    pub fn literal_prefix(&self) -> Vec<u8> {
        self.prefix.iter().map_while(Option::as_deref).flatten().copied().collect()
    }

    /// Compares an encoded namespace with the pattern. One with fewer labels than the prefix or the suffix never
    /// matches.
    pub fn fit(&self, namespace: &[u8]) -> PatternFit {
        let (mut given, mut at) = (labels(namespace), 0);
        for wanted in &self.prefix {
            let Some(label) = given.next() else { return PatternFit::Misses };
            let before = &namespace[..at];
            match wanted {
                Some(wanted) if label < wanted.as_slice() => return PatternFit::MissesUntil([before, wanted].concat()),
                Some(wanted) if label > wanted.as_slice() => {
                    return PatternFit::MissesUntil([before, &[0xFF]].concat());
                }
                _ => at += label.len(),
            }
        }
        if self.suffix.is_empty() {
            return PatternFit::Matches;
        }
        let Some(skipped) = labels(namespace).count().checked_sub(self.suffix.len()) else { return PatternFit::Misses };
        let fits = |(label, wanted): (&[u8], &Option<Vec<u8>>)| wanted.as_ref().is_none_or(|wanted| wanted == label);
        let all = labels(namespace).skip(skipped).zip(&self.suffix).all(fits);
        if all { PatternFit::Matches } else { PatternFit::Misses }
    }
}

/// The first `depth` labels of an encoded namespace, encoded, and whether the namespace has so many.
pub(crate) fn first_labels(namespace: &[u8], depth: usize) -> (&[u8], bool) {
    let (mut count, mut length) = (0, 0);
    for label in labels(namespace).take(depth) {
        (count, length) = (count + 1, length + label.len());
    }
    (&namespace[..length], count == depth)
}

/// Where each label of an encoded namespace ends.
pub(crate) fn label_ends(namespace: &[u8]) -> impl Iterator<Item = usize> {
    labels(namespace).scan(0, |end, label| {
        *end += label.len();
        Some(*end)
    })
}

/// The labels of an encoded namespace, each as it is encoded.
fn labels(namespace: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = namespace;
    std::iter::from_fn(move || {
        let ends = |&at: &usize| rest[at] == 0 && rest.get(at + 1) != Some(&0xFF);
        let length = (0..rest.len()).find(ends).map_or(rest.len(), |end| end + 1);
        let (label, after) = rest.split_at(length);
        rest = after;
        (!label.is_empty()).then_some(label)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Namespace, decode_labels};

    const LABELS: [&str; 6] = ["a", "a\0", "a\0b", "ab", "b", "\0"];

    fn tuples(length: usize) -> Vec<Vec<&'static str>> {
        (0..length).fold(vec![Vec::new()], |shorter, _| {
            let longer =
                shorter.iter().flat_map(|tuple| LABELS.iter().map(move |&label| [&tuple[..], &[label]].concat()));
            longer.collect()
        })
    }

    fn encoded(labels: &[&str]) -> Vec<u8> {
        Namespace::new(labels).unwrap().encoded().to_vec()
    }

    #[test]
    fn labels_and_their_beginnings_are_those_of_the_namespace() {
        for tuple in (1..=3).flat_map(tuples) {
            let namespace = encoded(&tuple);
            for depth in 1..5 {
                let (first, has_all) = first_labels(&namespace, depth);
                assert_eq!(decode_labels(first), tuple[..depth.min(tuple.len())]);
                assert_eq!(has_all, depth <= tuple.len());
            }
        }
    }

    #[test]
    fn a_pattern_matches_labels_and_leaves_out_no_match() {
        let mut all: Vec<Vec<&str>> = (1..=3).flat_map(tuples).collect();
        all.sort();
        let one = [None, Some("a"), Some("a\0"), Some("ab"), Some("b")];
        let pairs = one.iter().flat_map(|&first| one.iter().map(move |&second| vec![first, second]));
        let patterns: Vec<Vec<Option<&str>>> =
            [Vec::new()].into_iter().chain(one.iter().map(|&label| vec![label])).chain(pairs).collect();
        for (number, prefix) in patterns.iter().enumerate() {
            let suffix = &patterns[number * 7 % patterns.len()];
            let pattern = NamespacePattern::new(prefix.iter().copied(), suffix.iter().copied());
            let fits = |labels: &[&str], wanted: &[Option<&str>]| {
                labels.iter().zip(wanted).all(|(label, wanted)| wanted.is_none_or(|wanted| wanted == *label))
            };
            let mut until: Vec<u8> = Vec::new();
            for tuple in &all {
                let matches = tuple.len() >= prefix.len().max(suffix.len())
                    && fits(tuple, prefix)
                    && fits(&tuple[tuple.len() - suffix.len()..], suffix);
                let namespace = encoded(tuple);
                let fit = pattern.fit(&namespace);
                assert_eq!(fit == PatternFit::Matches, matches, "{tuple:?} {prefix:?} {suffix:?}");
                assert!(!matches || namespace >= until, "{tuple:?} was left out by {prefix:?} {suffix:?}");
                if let PatternFit::MissesUntil(place) = fit {
                    assert!(place > namespace, "{tuple:?} {prefix:?}");
                    until = until.max(place);
                }
            }
        }
    }
}
