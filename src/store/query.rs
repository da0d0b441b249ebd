//! Queries, read options and search results: plain values. The store validates a query when a read uses it.
//!
//! Invariants:
//! * A query always names its [`Scope`]; there is no default that means "everything".
//! * No memory is allocated in proportion to a caller's `limit` or `offset` alone.

use std::ops::Deref;
use std::time::Duration;

use serde::Serialize;

use crate::fields::{GroupBy, Order, OrderCursor, Select};
use crate::filter::Filter;
use crate::types::{Hit, Namespace, NamespacePattern, Scope};

/// The default recall of a query.
const DEFAULT_RECALL: f32 = 0.98;

/// Options that every read shares.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReadOptions {
    /// Which part of the values to return. It changes no filter, group or order: these see whole values.
    pub select: Select,
    /// Return the vectors of the items too.
    pub include_vectors: bool,
    /// Treat expired items that the sweep has not removed yet as present.
    pub include_expired: bool,
    /// Skip damaged parts and items instead of failing. Results with a field `incomplete` report that.
    pub partial: bool,
    /// Fail with `DeadlineExceeded` after this time.
    pub deadline: Option<Duration>,
    /// Set the expiry of each returned item to now plus its time to live, unless that gains less than a hundredth of
    /// the time to live. If the time to live is below a minute, any gain counts.
    pub refresh_ttl: bool,
}

/// A search: scope, vector, filter, limit and offset.
///
/// With a vector, the result is in order of score (larger is better; ties: the newer write first). Without a vector,
/// the result is the listing of the scope, newest update first.
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
    pub(crate) order: Option<Order>,
    pub(crate) after: Option<OrderCursor>,
    /// What hits are grouped by, and how many of a group are wanted.
    pub(crate) group: Option<(GroupBy, usize)>,
    pub(crate) vector_field: Option<String>,
    pub(crate) options: ReadOptions,
}

impl Query {
    /// A query of `scope` (a `&Namespace` is one). By default it returns the 10 items updated last.
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
            order: None,
            after: None,
            group: None,
            vector_field: None,
            options: ReadOptions::default(),
        }
    }

    /// Rank by similarity to `vector` (`dims` finite numbers).
    #[must_use]
    pub fn vector(mut self, vector: impl Into<Vec<f32>>) -> Self {
        self.vector = Some(vector.into());
        self
    }

    /// Only items for which the filter holds.
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

    /// Skip the first `offset` items of the total order. If graphs are searched, each query finds its own approximate
    /// list. For pages that fit each other, cut one larger result, or use [`exact`](Self::exact) queries.
    #[must_use]
    pub fn offset(mut self, offset: usize) -> Self {
        self.offset = offset;
        self
    }

    /// Leave out items with a lower score. It needs a [`vector`](Self::vector). If graphs are searched, this cuts the
    /// approximate list, which may lack items with a high score.
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

    /// The share of the true best items that the result should hold on average, above 0 and at most 1; by default 0.98.
    ///
    /// The recall matters only for graph searches. The build of a graph makes tables of the `ef` for a recall, for
    /// queries like its data and unlike it; one that is so unlike that a graph search would cost more is searched
    /// exactly, and [`explain`](Self::explain) says so. Rows outside of the searched graphs, and all rows at recall 1
    /// without `ef_search`, are searched exactly too. `docs/recall.md` says what the tests prove, and what no
    /// calibration can know.
    #[must_use]
    pub fn recall(mut self, recall: f32) -> Self {
        self.recall = recall;
        self
    }

    /// How many of the best nodes a graph search keeps (`ef` in the literature). It overrides the recall.
    #[must_use]
    pub fn ef_search(mut self, ef_search: usize) -> Self {
        self.ef_search = Some(ef_search);
        self
    }

    /// Search without graphs, so that the result is exact. This overrides the recall and `ef_search`.
    #[must_use]
    pub fn exact(mut self, exact: bool) -> Self {
        self.exact = exact;
        self
    }

    /// Report in the result which path the search took in each part, and its cost.
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

/// The result of a [`Query`]: hits, best first. It dereferences to a slice of [`Hit`].
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct SearchResult {
    /// The hits, in order.
    pub hits: Vec<Hit>,
    /// Damaged parts or items were skipped (only with `partial`).
    pub incomplete: bool,
    /// The cost of the search in each part, if the query has `explain`; of groups, of each search that found some. For
    /// the operator, not the tenant.
    pub explain: Vec<PartExplain>,
    /// Of a query with [`group_by`](Query::group_by): the groups, in order. Their hits follow each other.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<HitGroup>,
    /// Of a query with [`order_by`](Query::order_by): where the next page begins; `None` at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<OrderCursor>,
}

/// One group of the hits of a query with [`group_by`](Query::group_by).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HitGroup {
    /// What its items have in common, as JSON text: the value of the field as its best item spells it (`null` also for
    /// items without the field), or the labels of the namespace.
    pub value: Box<str>,
    /// How many of the hits are of this group.
    pub hits: usize,
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

/// The path and the cost of a search in one part of the store.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct PartExplain {
    /// `memtable`, frozen ones included, or `segment <id>` with a hexadecimal id.
    pub part: String,
    /// The path taken: `flat`, `filter, then flat`, `graph`, `graph, then flat`, or the last two with `graph of the
    /// filter`: one in memory over the rows that pass, made because searches repeat the filter. `then flat` after a
    /// graph means that some rows are in no graph that was searched, that a graph search found too little, or that
    /// the query is so unlike the data of the graph that more of it would cost more.
    pub path: String,
    /// Rows of the part in the scope.
    pub rows: u64,
    /// Of these, the rows that may pass the filter by the field index; `None` if it was not asked, or does not know.
    pub may_pass: Option<u64>,
    /// Rows whose codes were scored.
    pub scanned: u64,
    /// The number of graph searches, repeated ones included.
    pub graph_searches: u64,
    /// Nodes that graph searches computed a distance to.
    pub visited: u64,
    /// Rows whose bound reached the k-th best score so far.
    pub candidates: u64,
    /// Rows scored in full precision.
    pub reranked: u64,
    /// Rows that the filter refused.
    pub refused: u64,
    /// The share of rows expected to pass the filter, from the field index, or estimated from a sample.
    pub pass_rate: Option<f64>,
    /// The mean recall that earlier queries of the graph have got; of several graphs, the lowest. `None` if none was
    /// measured ([`Options::live_check`](crate::Options::live_check)), or if no graph of the part was searched.
    pub measured_recall: Option<f64>,
    /// How long the plans expected the search of the part to take, in microseconds, by the costs of the machine.
    pub expected_us: f64,
    /// How long it took, in microseconds; the sum over all threads that took part.
    pub took_us: f64,
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
    /// Parses a label: `*` stands for any one label, and every other text for itself.
    pub fn parse(text: &str) -> Self {
        if text == "*" { Self::Any } else { Self::Label(text.to_owned()) }
    }

    /// The label, or `None` for any.
    fn label(&self) -> Option<&str> {
        match self {
            Self::Label(label) => Some(label),
            Self::Any => None,
        }
    }
}

/// Which namespaces to list, in tuple order.
#[derive(Clone, Debug, PartialEq)]
pub struct NamespaceQuery {
    /// Patterns for the first labels; empty for any.
    pub prefix: Vec<LabelPattern>,
    /// Patterns for the last labels; empty for any. Namespaces lie in the order of their first labels: a page is filled
    /// by looking at one after the other, in about 50 ns each. So a suffix that few have is best asked for below a
    /// prefix.
    pub suffix: Vec<LabelPattern>,
    /// Cut namespaces to this many labels. Namespaces that become equal are listed once.
    pub max_depth: Option<usize>,
    /// List at most this many namespaces.
    pub limit: usize,
    /// Skip this many namespaces first.
    pub offset: usize,
    /// List only what comes after these labels, in tuple order and after the cut; empty for everything. The last
    /// namespace of a page begins the next page: unlike an offset, it costs nothing to skip, and writes between two
    /// pages move no namespace from one page to another.
    pub after: Vec<String>,
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
            after: Vec::new(),
            options: ReadOptions::default(),
        }
    }
}

impl NamespaceQuery {
    /// The conditions on the labels of a namespace.
    pub(crate) fn pattern(&self) -> NamespacePattern {
        NamespacePattern::new(self.prefix.iter().map(LabelPattern::label), self.suffix.iter().map(LabelPattern::label))
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
