//! What a read asks for and what it gets back: plain values, built step by step, validated by the store.
//!
//! Invariants:
//! * A query always names its [`Scope`]; there is no default that means "everything".
//! * Nothing is allocated by a caller's `limit` or `offset`.

use std::ops::Deref;
use std::time::Duration;

use serde::Serialize;

use crate::filter::Filter;
use crate::types::{Hit, Namespace, Scope};

/// The recall that a query asks for until told otherwise.
const DEFAULT_RECALL: f32 = 0.98;

/// Options that every read shares.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReadOptions {
    /// Return the vectors of the items too.
    pub include_vectors: bool,
    /// Treat expired items that the sweep has not removed yet as present.
    pub include_expired: bool,
    /// Skip damaged parts instead of failing; the answer says `incomplete`.
    pub partial: bool,
    /// Give up with `DeadlineExceeded` after this long.
    pub deadline: Option<Duration>,
    /// Push the expiry of the returned items back by their own time to live, where that gains at least a hundredth of
    /// it (or anything, of a time to live below a minute).
    pub refresh_ttl: bool,
}

/// A search: scope, vector, filter, limit and offset.
///
/// With a vector the answer is ordered by score (larger is better; ties: the newer write first). Without one it is the
/// listing of the scope: newest update first.
///
/// ```
/// use vecmem::{Filter, Metric, Namespace, Options, Put, Query, Scope, Store};
///
/// let store = Store::temporary(Options::with_vectors(2, Metric::Cosine))?;
/// for (user, key, kind, vector) in [("ada", "tea", "taste", [0.9, 0.1]), ("bob", "cat", "fact", [0.2, 0.8])] {
///     let facts = Namespace::new(["users", user])?;
///     store.put(Put::new(&facts, key, format!(r#"{{"kind": "{kind}"}}"#)).vector(vector))?;
/// }
///
/// // The best of everything below `users`, if it is a fact and similar enough.
/// let query = Query::new(Scope::prefix(["users"])?).vector([1.0, 0.0]).limit(3).min_score(0.1);
/// let facts = store.search(&query.clone().filter(Filter::eq("kind", "fact")))?;
/// assert_eq!(facts.iter().map(|hit| hit.item.key.as_str()).collect::<Vec<_>>(), ["cat"]);
///
/// // An answer is a slice of hits, and can be written as JSON.
/// let answer = store.search(&query)?;
/// assert!(answer.len() == 2 && answer[0].score > answer[1].score);
/// assert_eq!(serde_json::to_value(&answer).unwrap()["hits"][0]["item"]["key"], "tea");
/// # Ok::<(), vecmem::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Query {
    pub(crate) scope: Scope,
    pub(crate) vector: Option<Vec<f32>>,
    pub(crate) filter: Option<Filter>,
    pub(crate) limit: usize,
    pub(crate) offset: usize,
    pub(crate) min_score: Option<f32>,
    pub(crate) include_unscored: bool,
    pub(crate) exact: bool,
    pub(crate) recall: f32,
    pub(crate) ef_search: Option<usize>,
    pub(crate) explain: bool,
    pub(crate) options: ReadOptions,
}

impl Query {
    /// A query of `scope` (a `&Namespace` is one) that returns the 10 newest items until told otherwise.
    pub fn new(scope: impl Into<Scope>) -> Self {
        Self {
            scope: scope.into(),
            vector: None,
            filter: None,
            limit: 10,
            offset: 0,
            min_score: None,
            include_unscored: false,
            exact: false,
            recall: DEFAULT_RECALL,
            ef_search: None,
            explain: false,
            options: ReadOptions::default(),
        }
    }

    /// Rank by similarity to `vector` (`dims` finite numbers).
    #[must_use]
    pub fn vector(mut self, vector: impl Into<Vec<f32>>) -> Self {
        self.vector = Some(vector.into());
        self
    }

    /// Only items whose value matches.
    #[must_use]
    pub fn filter(mut self, filter: Filter) -> Self {
        self.filter = Some(filter);
        self
    }

    /// At most this many items; exactly this many if that many match.
    #[must_use]
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }

    /// Skip the first `offset` items of the one total order. Where graphs are searched, each query finds its own
    /// approximate list: pages that fit each other are slices of one larger answer, or of [`exact`](Self::exact) ones.
    #[must_use]
    pub fn offset(mut self, offset: usize) -> Self {
        self.offset = offset;
        self
    }

    /// Cut everything that scores lower. Where graphs are searched, this cuts the approximate list: what a graph search
    /// misses is missing.
    #[must_use]
    pub fn min_score(mut self, score: f32) -> Self {
        self.min_score = Some(score);
        self
    }

    /// After the scored items, matching items without vectors follow in listing order, as part of the same list.
    #[must_use]
    pub fn include_unscored(mut self, include_unscored: bool) -> Self {
        self.include_unscored = include_unscored;
        self
    }

    /// The share of the true best items that the answer should hold on average, above 0 and at most 1; by default 0.98.
    ///
    /// It matters where a graph covers the scope: each one knows from its build how far a graph search must look for a
    /// recall. All other scopes, and any scope at recall 1, are searched exactly.
    #[must_use]
    pub fn recall(mut self, recall: f32) -> Self {
        self.recall = recall;
        self
    }

    /// How many of the best nodes found a graph search keeps (the `ef` of the literature), whatever recall that gives.
    #[must_use]
    pub fn ef_search(mut self, ef_search: usize) -> Self {
        self.ef_search = Some(ef_search);
        self
    }

    /// Forbid approximate paths, whatever recall or `ef_search` is asked for.
    #[must_use]
    pub fn exact(mut self, exact: bool) -> Self {
        self.exact = exact;
        self
    }

    /// Say in the answer which path each part took and what it cost.
    #[must_use]
    pub fn explain(mut self, explain: bool) -> Self {
        self.explain = explain;
        self
    }

    /// Replaces the options shared by all reads.
    #[must_use]
    pub fn options(mut self, options: ReadOptions) -> Self {
        self.options = options;
        self
    }
}

/// The answer to a [`Query`]: hits, best first. Behaves like a slice of [`Hit`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SearchResult {
    /// The hits, in order.
    pub hits: Vec<Hit>,
    /// Some part was damaged and skipped (only with `partial`).
    pub incomplete: bool,
    /// What each part did, when `explain` asked for it. For the operator, not the tenant.
    pub explain: Vec<PartExplain>,
}

impl Deref for SearchResult {
    type Target = [Hit];

    fn deref(&self) -> &[Hit] {
        &self.hits
    }
}

impl IntoIterator for SearchResult {
    type Item = Hit;
    type IntoIter = std::vec::IntoIter<Hit>;

    fn into_iter(self) -> Self::IntoIter {
        self.hits.into_iter()
    }
}

/// What one part of the store did for a query.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct PartExplain {
    /// `memtable`, `frozen` or `segment <id>`.
    pub part: String,
    /// The path taken: `flat`, `filter, then flat`, `graph`, or `graph, then flat` where a part of the rows has no
    /// graph or a graph search was given up.
    pub path: String,
    /// Rows of the part in the scope.
    pub rows: u64,
    /// Rows whose codes were scored.
    pub scanned: u64,
    /// Searches of graphs, repeated ones included.
    pub graph_searches: u64,
    /// Nodes that graph searches computed a distance to.
    pub visited: u64,
    /// Rows whose bound reached the running k-th score.
    pub candidates: u64,
    /// Rows scored in full precision.
    pub reranked: u64,
    /// Rows that the filter refused.
    pub refused: u64,
    /// The share of rows that the filter was expected to pass, from a sample.
    pub pass_rate: Option<f64>,
}

/// An iteration in (namespace, key) order: its scope, and the size of its pages.
#[derive(Clone, Debug)]
pub struct IterateQuery {
    pub(crate) scope: Scope,
    pub(crate) key_prefix: String,
    pub(crate) limit: usize,
    pub(crate) options: ReadOptions,
}

impl IterateQuery {
    /// Iterates over `scope` in (namespace, key) order, 100 items a page.
    pub fn new(scope: impl Into<Scope>) -> Self {
        Self { scope: scope.into(), key_prefix: String::new(), limit: 100, options: ReadOptions::default() }
    }

    /// Only keys that begin with `prefix`.
    #[must_use]
    pub fn key_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.key_prefix = prefix.into();
        self
    }

    /// Items per page, at least 1.
    #[must_use]
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }

    /// Replaces the options shared by all reads.
    #[must_use]
    pub fn options(mut self, options: ReadOptions) -> Self {
        self.options = options;
        self
    }
}

impl From<Scope> for IterateQuery {
    fn from(scope: Scope) -> Self {
        Self::new(scope)
    }
}

impl From<&Namespace> for IterateQuery {
    fn from(namespace: &Namespace) -> Self {
        Self::new(namespace)
    }
}

/// One label of a namespace pattern.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum LabelPattern {
    /// Exactly this label.
    Label(String),
    /// Exactly one label, whatever it is.
    Any,
}

impl LabelPattern {
    /// `*` is any one label, everything else is literal.
    pub fn parse(text: &str) -> Self {
        if text == "*" { Self::Any } else { Self::Label(text.to_owned()) }
    }

    fn matches(&self, label: &str) -> bool {
        match self {
            Self::Label(wanted) => wanted == label,
            Self::Any => true,
        }
    }
}

/// Which namespaces to list, in tuple order.
#[derive(Clone, Debug, PartialEq)]
pub struct NamespaceQuery {
    /// The first labels must match; empty for any.
    pub prefix: Vec<LabelPattern>,
    /// The last labels must match; empty for any.
    pub suffix: Vec<LabelPattern>,
    /// Cut namespaces to this many labels (and list each cut one once).
    pub max_depth: Option<usize>,
    /// At most this many.
    pub limit: usize,
    /// Skip this many first.
    pub offset: usize,
    /// Options shared by all reads (`include_expired`, `partial` and `deadline` matter).
    pub options: ReadOptions,
}

impl Default for NamespaceQuery {
    fn default() -> Self {
        Self {
            prefix: Vec::new(),
            suffix: Vec::new(),
            max_depth: None,
            limit: 100,
            offset: 0,
            options: ReadOptions::default(),
        }
    }
}

impl NamespaceQuery {
    /// Whether `labels` match the prefix and the suffix; a pattern longer than the namespace never does.
    pub(crate) fn matches(&self, labels: &[String]) -> bool {
        let fits = |patterns: &[LabelPattern], labels: &[String]| {
            patterns.iter().zip(labels).all(|(pattern, label)| pattern.matches(label))
        };
        labels.len() >= self.prefix.len().max(self.suffix.len())
            && fits(&self.prefix, labels)
            && fits(&self.suffix, &labels[labels.len() - self.suffix.len()..])
    }

    /// The literal labels that every match begins with.
    pub(crate) fn literal_prefix(&self) -> Vec<&str> {
        self.prefix
            .iter()
            .map_while(|pattern| match pattern {
                LabelPattern::Label(label) => Some(label.as_str()),
                LabelPattern::Any => None,
            })
            .collect()
    }
}

/// An item named by namespace and key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    /// The namespace.
    pub namespace: Namespace,
    /// The key.
    pub key: String,
}
