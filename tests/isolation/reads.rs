//! The reads of the tenant: each API, with filters of every shape, of a store or a snapshot.

use vecmem::{
    Address, DistinctQuery, Filter, GroupBy, IterateQuery, LabelPattern, NamespaceQuery, Order, Query, ReadOptions,
    Reads, Scope, SearchResult, Select,
};

use crate::answers::{Versions, told};
use crate::common::{Random, namespace};
use crate::tenant::{key, own};
use crate::world::{DIMS, Layout, home};

/// Filters of every operator, some of which match nothing, and some of which are refused.
const FILTERS: [&str; 27] = [
    r#"{}"#,
    r#"{"kind": "fact"}"#,
    r#"{"kind": "nothing"}"#,
    r#"{"n": {"$eq": 7}}"#,
    r#"{"n": {"$ne": 7}}"#,
    r#"{"n": {"$gt": 40}}"#,
    r#"{"n": {"$gte": 10, "$lt": 60}}"#,
    r#"{"n": {"$lte": 3}}"#,
    r#"{"kind": {"$in": ["fact", "taste"]}}"#,
    r#"{"kind": {"$in": []}}"#,
    r#"{"kind": {"$nin": ["fact"]}}"#,
    r#"{"kind": {"$nin": []}}"#,
    r#"{"tags": {"$contains": "t1"}}"#,
    r#"{"tags": {"$exists": true}}"#,
    r#"{"absent": {"$exists": false}}"#,
    r#"{"deep.er": {"$gte": 2}}"#,
    r#"{"deep": {"er": 3}}"#,
    r#"{"deep": {"missing": 3}}"#,
    r#"{"$and": [{"kind": "fact"}, {"n": {"$gt": 5}}]}"#,
    r#"{"$or": [{"kind": "taste"}, {"n": {"$lt": 5}}]}"#,
    r#"{"$not": {"kind": "fact"}}"#,
    r#"{"owner": {"$ne": "a"}}"#,
    r#"{"kind": null}"#,
    r#"{"kind": {"$unknown": 1}}"#,
    r#"{"n": {"$gt": []}}"#,
    r#"{"$or": []}"#,
    r#"not json"#,
];

/// What the tenant's reads draw from.
pub struct Reading<'a> {
    pub random: &'a mut Random,
    pub versions: &'a mut Versions,
    pub layout: Layout,
}

impl Reading<'_> {
    /// One read, by its name, and what it told.
    pub fn read(&mut self, reads: &impl Reads) -> (&'static str, String) {
        match self.random.below(12) {
            0 | 1 => ("get", self.get(reads)),
            2 => ("get_many", self.get_many(reads)),
            3..=5 => ("search", self.search(reads)),
            6 => ("list", self.list(reads)),
            7 => ("search_many", self.search_many(reads)),
            8 => ("search_by_item", self.search_by_item(reads)),
            9 => ("count", self.count(reads)),
            10 => ("items", self.items(reads)),
            _ => ("list_namespaces", self.list_namespaces(reads)),
        }
    }

    pub fn scope(&mut self) -> Scope {
        match self.random.below(6) {
            0 | 1 => Scope::Prefix(home()),
            2 => Scope::Prefix(namespace(["tenant", "a", "x"])),
            _ => Scope::from(&own(self.random)),
        }
    }

    /// Never with expired items: whether they are still there depends on sweeps, which serve all tenants.
    fn options(&mut self) -> ReadOptions {
        let (include_vectors, partial) = (self.random.chance(20), self.random.chance(10));
        let select = match self.random.below(12) {
            0 => Select::None,
            1 => Select::fields(["kind", "deep.er"]).unwrap(),
            _ => Select::All,
        };
        ReadOptions { select, include_vectors, partial, ..ReadOptions::default() }
    }

    fn get(&mut self, reads: &impl Reads) -> String {
        let (namespace, key, options) = (own(self.random), key(self.random), self.options());
        told(reads.get_with(&namespace, &key, &options), |item| self.versions.items(&item))
    }

    fn get_many(&mut self, reads: &impl Reads) -> String {
        let count = self.random.below(6);
        let address = |_| Address { namespace: own(self.random), key: key(self.random) };
        let (addresses, options): (Vec<Address>, _) = ((0..count).map(address).collect(), self.options());
        told(reads.get_many(&addresses, &options), |items| {
            let found: Vec<bool> = items.iter().map(Option::is_some).collect();
            format!("{found:?}\n{}", self.versions.items(items.iter().flatten()))
        })
    }

    /// A query with a filter or without, or what the filter was refused with.
    pub fn query(&mut self, with_vector: bool) -> Result<Query, String> {
        let mut query = Query::new(self.scope()).limit(*self.random.pick(&[0, 1, 3, 10, 100]));
        query = query.options(self.options());
        if self.random.chance(20) {
            query = query.offset(self.random.below(8));
        }
        if with_vector {
            query = query.vector(self.query_vector());
            query = query.exact(self.layout != Layout::WithoutGraphs || self.random.chance(20));
            query = query.include_unscored(self.random.chance(20));
            if self.random.chance(10) {
                query = query.min_score(self.random.unit());
            }
        }
        if self.random.chance(30) {
            return Ok(query);
        }
        match Filter::from_json_str(self.random.pick::<&str>(&FILTERS)) {
            Ok(filter) => Ok(query.filter(filter)),
            error => Err(told(error, |_| unreachable!("an error"))),
        }
    }

    /// Now and then one that is refused.
    fn query_vector(&mut self) -> Vec<f32> {
        match self.random.below(30) {
            0 => vec![1.0; DIMS + 1],
            1 => vec![f32::NAN; DIMS],
            2 => vec![0.0; DIMS],
            _ => (0..DIMS).map(|_| self.random.unit()).collect(),
        }
    }

    fn answer(
        &mut self,
        query: Result<Query, String>,
        ask: impl FnOnce(Query) -> vecmem::Result<SearchResult>,
    ) -> String {
        match query {
            Ok(query) => told(ask(query), |answer| self.versions.hits(&answer)),
            Err(refused) => refused,
        }
    }

    /// Now and then with groups, in an order, or by one field of vectors. Some of these are refused.
    fn shaped(&mut self, query: Query) -> Query {
        let field = *self.random.pick(&["n", "kind", "deep.er", "tags", "absent"]);
        match self.random.below(12) {
            0 | 1 => query.group_by(GroupBy::parse(field).unwrap(), 1 + self.random.below(3)),
            2 => query.group_by(GroupBy::Namespace, 1 + self.random.below(3)),
            3 => query.order_by(Order::parse(field).unwrap()),
            4 => query.order_by(Order::parse(field).unwrap().descending()),
            5 => query.vector_field(*self.random.pick(&["", "text"])),
            _ => query,
        }
    }

    fn search(&mut self, reads: &impl Reads) -> String {
        let query = self.query(true).map(|query| self.shaped(query));
        self.answer(query, |query| reads.search(&query))
    }

    /// Also with a vector, which is refused.
    fn list(&mut self, reads: &impl Reads) -> String {
        let with_vector = self.random.chance(5);
        let query = self.query(with_vector).map(|query| self.shaped(query));
        self.answer(query, |query| reads.list(&query))
    }

    fn search_many(&mut self, reads: &impl Reads) -> String {
        let queries: Result<Vec<Query>, String> = (0..3).map(|number| self.query(number > 0)).collect();
        match queries {
            Ok(queries) => told(reads.search_many(&queries), |answers| {
                answers.iter().map(|answer| self.versions.hits(answer)).collect::<Vec<_>>().join("\n")
            }),
            Err(refused) => refused,
        }
    }

    fn search_by_item(&mut self, reads: &impl Reads) -> String {
        let (namespace, key) = (own(self.random), key(self.random));
        let query = self.query(false).map(|query| query.exact(true));
        self.answer(query, |query| reads.search_by_item(&namespace, &key, query))
    }

    fn count(&mut self, reads: &impl Reads) -> String {
        let (scope, options) = (self.scope(), self.options());
        match (self.random.below(4), Filter::from_json_str(self.random.pick::<&str>(&FILTERS))) {
            (0, Ok(filter)) => told(reads.count_where(&scope, &filter, &options), |count| count.to_string()),
            (1, Ok(filter)) => {
                let path = *self.random.pick(&["kind", "n", "tags", "deep.er", "absent"]);
                let query = DistinctQuery::new(scope, path).filter(filter).limit(5).options(options);
                told(reads.distinct(&query), |values| format!("{values:?}"))
            }
            // Sweeps, graphs and the form of large values serve all tenants.
            (2, _) => told(reads.scope_stats(&scope, &options), |stats| {
                format!("{} {} {} {}", stats.items, stats.namespaces, stats.vectors, stats.key_bytes)
            }),
            _ => told(reads.count(&scope, &options), |count| count.to_string()),
        }
    }

    fn items(&mut self, reads: &impl Reads) -> String {
        let query = IterateQuery::new(self.scope()).options(self.options()).limit(1 + self.random.below(9));
        let prefix = *self.random.pick(&["", "", "k1", "e"]);
        let most = self.random.below(40);
        let items: vecmem::Result<Vec<_>> = reads.items(query.key_prefix(prefix)).take(most).collect();
        told(items, |items| self.versions.items(&items))
    }

    fn list_namespaces(&mut self, reads: &impl Reads) -> String {
        let mut prefix: Vec<LabelPattern> = ["tenant", "a"].map(LabelPattern::parse).to_vec();
        if self.random.chance(30) {
            prefix.push(LabelPattern::parse(self.random.pick::<&str>(&["*", "x", "caf\u{e9}"])));
        }
        let suffix = if self.random.chance(20) { vec![LabelPattern::parse("x")] } else { Vec::new() };
        let max_depth = self.random.chance(30).then(|| 2 + self.random.below(2));
        let (limit, offset) = (1 + self.random.below(10), self.random.below(3));
        let query = NamespaceQuery { prefix, suffix, max_depth, limit, offset, ..NamespaceQuery::default() };
        told(reads.list_namespaces(&query), |labels| format!("{labels:?}"))
    }
}
