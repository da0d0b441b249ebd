//! The oracle of searches and listings: every item in a map, every answer computed from scratch in double precision.

use std::collections::BTreeMap;

use vecmem::{Filter, Hit, Item, Metric, Namespace, Scope, SearchResult};

/// An item as the model keeps it.
#[derive(Clone, Debug)]
pub struct ModelItem {
    pub value: String,
    pub vectors: Vec<Vec<f32>>,
    pub version: u64,
    pub updated_at: i64,
}

/// Labels and key.
pub type Address = (Vec<String>, String);

/// What the store must hold.
#[derive(Clone, Debug, Default)]
pub struct Model {
    pub items: BTreeMap<Address, ModelItem>,
}

/// One row of an expected answer.
#[derive(Clone, Debug)]
pub struct Expected {
    pub address: Address,
    pub score: Option<f64>,
    pub version: u64,
}

pub fn address(namespace: &Namespace, key: &str) -> Address {
    (namespace.labels(), key.to_owned())
}

pub fn covers(scope: &Scope, labels: &[String]) -> bool {
    match scope {
        Scope::Namespace(namespace) => labels == namespace.labels(),
        Scope::Prefix(prefix) => labels.starts_with(&prefix.labels()),
        Scope::Store => true,
    }
}

pub fn score(metric: Metric, a: &[f32], b: &[f32]) -> f64 {
    let sum = |f: &dyn Fn(f64, f64) -> f64| -> f64 {
        a.iter().zip(b).map(|(&a, &b)| f(f64::from(a), f64::from(b))).sum::<f64>()
    };
    let dot = sum(&|a, b| a * b);
    match metric {
        Metric::Dot => dot,
        Metric::L2 => -sum(&|a, b| (a - b) * (a - b)).sqrt(),
        Metric::Cosine => {
            let norms = (sum(&|a, _| a * a) * sum(&|_, b| b * b)).sqrt();
            if norms == 0.0 { 0.0 } else { dot / norms }
        }
    }
}

impl Model {
    fn matching<'m>(
        &'m self,
        scope: &'m Scope,
        filter: Option<&'m Filter>,
    ) -> impl Iterator<Item = (&'m Address, &'m ModelItem)> {
        let wanted = move |item: &ModelItem| filter.is_none_or(|filter| filter.matches(item.value.as_bytes()));
        self.items.iter().filter(move |(address, item)| covers(scope, &address.0) && wanted(item))
    }

    /// Every matching item that has a vector, best first; then, with `tail`, the others, newest first.
    pub fn search(
        &self,
        (scope, filter): (&Scope, Option<&Filter>),
        (metric, vector): (Metric, &[f32]),
        min_score: Option<f32>,
        tail: bool,
    ) -> Vec<Expected> {
        let best = |item: &ModelItem| item.vectors.iter().map(|own| score(metric, vector, own)).max_by(f64::total_cmp);
        let mut scored: Vec<Expected> = self
            .matching(scope, filter)
            .filter_map(|(address, item)| {
                Some(Expected { address: address.clone(), score: Some(best(item)?), version: item.version })
            })
            .filter(|row| min_score.is_none_or(|least| row.score >= Some(f64::from(least))))
            .collect();
        scored.sort_by(|a, b| b.score.partial_cmp(&a.score).unwrap().then(b.version.cmp(&a.version)));
        if tail {
            scored.extend(self.listing(scope, filter, |item| item.vectors.is_empty()));
        }
        scored
    }

    /// Every matching item, newest update first.
    pub fn list(&self, scope: &Scope, filter: Option<&Filter>) -> Vec<Expected> {
        self.listing(scope, filter, |_| true)
    }

    fn listing(&self, scope: &Scope, filter: Option<&Filter>, of_kind: impl Fn(&ModelItem) -> bool) -> Vec<Expected> {
        let mut rows: Vec<_> = self.matching(scope, filter).filter(|(_, item)| of_kind(item)).collect();
        rows.sort_by_key(|(_, item)| std::cmp::Reverse((item.updated_at, item.version)));
        let row = |(address, item): (&Address, &ModelItem)| Expected {
            address: address.clone(),
            score: None,
            version: item.version,
        };
        rows.into_iter().map(row).collect()
    }

    /// That a returned item is exactly what was put.
    pub fn assert_item(&self, item: &Item) {
        let found = self.items.get(&address(&item.namespace, &item.key));
        let expected = found.unwrap_or_else(|| panic!("{item:?} should not be there"));
        assert_eq!((&*item.value, item.version.to_u64()), (expected.value.as_str(), expected.version));
    }
}

/// That `answer` is the page `[offset, offset + limit)` of `expected`. Scores may differ by rounding, and where they do
/// not differ by more, rows may change places; everything else is exact.
pub fn assert_page(answer: &SearchResult, expected: &[Expected], offset: usize, limit: usize, context: &str) {
    let page: Vec<&Expected> = expected.iter().skip(offset).take(limit).collect();
    assert_eq!(answer.len(), page.len(), "{context}: {:?}\nexpected {page:?}", answer.hits);
    assert!(!answer.incomplete);
    for (position, (hit, wanted)) in answer.iter().zip(&page).enumerate() {
        let close = match (hit.score, wanted.score) {
            (Some(score), Some(expected)) => (f64::from(score) - expected).abs() <= 1e-6 * expected.abs().max(1.0),
            (score, expected) => score.is_none() && expected.is_none(),
        };
        assert!(close, "{context}: position {position}: {hit:?}\nexpected {wanted:?}");
        let own = expected.iter().find(|row| row.version == hit.item.version.to_u64());
        let own = own.unwrap_or_else(|| panic!("{context}: {hit:?} does not match"));
        let tied = match (own.score, wanted.score) {
            (Some(own), Some(wanted)) => (own - wanted).abs() <= 1e-6,
            _ => false,
        };
        assert!(own.version == wanted.version || tied, "{context}: position {position}: {hit:?}\nexpected {wanted:?}");
    }
    let order = |hit: &Hit| (hit.score.unwrap_or(f32::NEG_INFINITY), hit.item.version.to_u64());
    let in_order = |pair: &[Hit]| pair[1].score.is_none() || order(&pair[0]) > order(&pair[1]);
    assert!(answer.windows(2).all(in_order), "{context}: not in the order of score and version");
}
