//! The parts of a query that shape its answer: order, groups, and which vectors count.

use crate::fields::{GroupBy, Order, OrderCursor};
use crate::store::query::Query;

impl Query {
    /// List in this order, instead of newest update first; see [`Order`]. A query with a vector is an error.
    ///
    /// The answer has a cursor for the next page ([`SearchResult::next`](crate::SearchResult::next)). Where the scope
    /// has a field index, the first items are found without reading the values of all. A limit of 0 gives no items and
    /// no cursor, as reads without an order give no items.
    #[must_use]
    pub fn order_by(mut self, order: Order) -> Self {
        self.order = Some(order);
        self
    }

    /// List only what comes strictly after the place of a cursor, which an answer in the same order returned. Scope and
    /// filter may differ. A cursor of another order is an error.
    #[must_use]
    pub fn after(mut self, cursor: OrderCursor) -> Self {
        self.after = Some(cursor);
        self
    }

    /// The best `hits` items of each of the best `limit` groups. Groups are in the order of their best items, and each
    /// group's items follow each other, best first. [`offset`](Self::offset) skips groups, whose other items are not
    /// looked for.
    ///
    /// Without a vector the newest items are the best, so a listing gives, for example, the last message of each
    /// conversation. There are exactly as many groups as match, up to the limit, and in each as many items as match, up
    /// to `hits`, also if graphs are searched. Which ones these are is approximate then, as for other queries; with
    /// [`exact`](Self::exact) they are those of an exact search. See [`GroupBy`] for what makes a group.
    ///
    /// The values of found groups count as literals and nodes of the filter: a filter of about
    /// [`FILTER_NODES`](crate::limits::FILTER_NODES) nodes is an error here. So are 0 hits, and a query that also has
    /// [`order_by`](Self::order_by) or [`include_unscored`](Self::include_unscored).
    ///
    /// ```
    /// use vecmem::{GroupBy, Metric, Namespace, Options, Put, Query, Store};
    ///
    /// let store = Store::temporary(Options::with_vectors(2, Metric::Cosine))?;
    /// let turns = Namespace::new(["turns"])?;
    /// for (key, talk, y) in [("a", 1, 0.1), ("b", 1, 0.2), ("c", 1, 0.3), ("d", 2, 0.9)] {
    ///     store.put(Put::new(&turns, key, format!(r#"{{"talk": {talk}}}"#)).vector([1.0, y]))?;
    /// }
    /// let answer = store.search(&Query::new(&turns).vector([1.0, 0.0]).group_by(GroupBy::parse("talk")?, 2))?;
    /// assert_eq!(answer.iter().map(|hit| hit.item.key.as_str()).collect::<Vec<_>>(), ["a", "b", "d"]);
    /// assert_eq!(answer.groups.iter().map(|group| (&*group.value, group.hits)).collect::<Vec<_>>(), [("1", 2), ("2", 1)]);
    /// # Ok::<(), vecmem::Error>(())
    /// ```
    #[must_use]
    pub fn group_by(mut self, group: GroupBy, hits: usize) -> Self {
        self.group = Some((group, hits));
        self
    }

    /// Score only the vectors of this field, and only items that have some. `text` covers the vectors with the path
    /// `text` and those below it, such as `text.0`; the empty field covers a vector without a path.
    ///
    /// An item's score is the best of its vectors of the field. [`include_unscored`](Self::include_unscored) appends
    /// items without such a vector. A query without a vector is an error.
    #[must_use]
    pub fn vector_field(mut self, field: impl Into<String>) -> Self {
        self.vector_field = Some(field.into());
        self
    }
}
