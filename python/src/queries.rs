//! Searches and listings: from keyword arguments to a query, and from answers to Python.
//!
//! Invariants:
//! * Every option has its name, its type and its meaning in one place, a `set` of `QueryArguments`, whichever call it
//!   is given to.
//! * A call refuses options that would have no effect in it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyList};
use vecmem::{Error, ErrorKind, Filter, GroupBy, Interrupt, Order, OrderCursor, Query, ReadOptions, SearchResult};

use crate::arguments::{count, each_option, float, scope, seconds, select, text, truth};
use crate::columns::Columns;
use crate::errors::{from_engine, invalid_input};
use crate::filters::filter;
use crate::items::Hit;
use crate::json;
use crate::reader::Moment;
use crate::watch::watched;

/// What a read may be asked for besides its scope and vector.
#[derive(Default)]
struct QueryArguments<'py> {
    prefix: Option<Bound<'py, PyAny>>,
    everything: bool,
    filter: Option<Filter>,
    limit: Option<usize>,
    offset: Option<usize>,
    min_score: Option<f32>,
    include_unscored: bool,
    exact: bool,
    recall: Option<f32>,
    ef_search: Option<usize>,
    explain: bool,
    columns: bool,
    group_by: Option<GroupBy>,
    per_group: Option<usize>,
    order_by: Option<Order>,
    descending: bool,
    after: Option<OrderCursor>,
    vector_field: Option<String>,
    options: ReadOptions,
}

impl<'py> QueryArguments<'py> {
    /// Takes an option that says which items; false if there is none of that name.
    fn set_scope(&mut self, name: &str, value: &Bound<'py, PyAny>) -> PyResult<bool> {
        match name {
            "prefix" => self.prefix = Some(value.clone()),
            "everything" => self.everything = truth(value, name)?,
            "filter" => self.filter = Some(filter(value)?),
            "select" => self.options.select = select(value)?,
            "include_vectors" => self.options.include_vectors = truth(value, name)?,
            "include_expired" => self.options.include_expired = truth(value, name)?,
            "refresh_ttl" => self.options.refresh_ttl = truth(value, name)?,
            "partial" => self.options.partial = truth(value, name)?,
            "deadline" => self.options.deadline = deadline(value)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Takes an option of one answer; false if there is none of that name.
    fn set_answer(&mut self, name: &str, value: &Bound<'py, PyAny>) -> PyResult<bool> {
        match name {
            "limit" => self.limit = Some(count(value, name)?),
            "offset" => self.offset = Some(count(value, name)?),
            "explain" => self.explain = truth(value, name)?,
            "columns" => self.columns = truth(value, name)?,
            "group_by" => self.group_by = Some(named(value, name, GroupBy::parse)?),
            "per_group" => self.per_group = Some(count(value, name)?),
            "order_by" => self.order_by = Some(named(value, name, Order::parse)?),
            "descending" => self.descending = truth(value, name)?,
            "after" => self.after = Some(named(value, name, str::parse)?),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Takes an option of a ranking; false if there is none of that name.
    fn set_ranking(&mut self, name: &str, value: &Bound<'py, PyAny>) -> PyResult<bool> {
        match name {
            "min_score" => self.min_score = Some(least_score(float(value, name)?)),
            "include_unscored" => self.include_unscored = truth(value, name)?,
            "exact" => self.exact = truth(value, name)?,
            "recall" => self.recall = Some(float(value, name)? as f32),
            "ef_search" => self.ef_search = Some(count(value, name)?),
            "vector_field" => self.vector_field = Some(text(value, name)?),
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn query(self, py: Python<'py>, namespace: Option<&Bound<'py, PyAny>>) -> PyResult<Ask> {
        let mut query = Query::new(scope(py, namespace, self.prefix.as_ref(), self.everything)?);
        query =
            query.include_unscored(self.include_unscored).exact(self.exact).explain(self.explain).options(self.options);
        query = self.filter.into_iter().fold(query, Query::filter);
        query = self.limit.into_iter().fold(query, Query::limit);
        query = self.offset.into_iter().fold(query, Query::offset);
        query = self.min_score.into_iter().fold(query, Query::min_score);
        query = self.recall.into_iter().fold(query, Query::recall);
        query = self.ef_search.into_iter().fold(query, Query::ef_search);
        query = self.vector_field.into_iter().fold(query, Query::vector_field);
        let without = |option: &str, other: &str| invalid_input(py, format!("{option} has no effect without {other}"));
        match (self.order_by, self.descending) {
            (Some(order), is_descending) => {
                query = query.order_by(if is_descending { order.descending() } else { order });
            }
            (None, true) => return Err(without("descending", "order_by")),
            (None, false) => {}
        }
        query = self.after.into_iter().fold(query, Query::after);
        match (self.group_by, self.per_group) {
            (Some(_), _) if self.columns => {
                return Err(invalid_input(py, "columns have no place for groups; leave out columns or group_by"));
            }
            (Some(group), hits) => query = query.group_by(group, hits.unwrap_or(1)),
            (None, Some(_)) => return Err(without("per_group", "group_by")),
            (None, None) => {}
        }
        Ok(Ask { query, columns: self.columns })
    }
}

/// What a str names; the error says where it stands.
fn named<T>(value: &Bound<'_, PyAny>, name: &str, parse: impl Fn(&str) -> vecmem::Result<T>) -> PyResult<T> {
    parse(&text(value, name)?).map_err(|error| from_engine(value.py(), &error.context(name)))
}

/// The smallest `f32` that is not below a least score. Scores are `f32`, so it lets the same items pass.
fn least_score(score: f64) -> f32 {
    let nearest = score as f32;
    if f64::from(nearest) < score { nearest.next_up() } else { nearest }
}

/// A deadline in seconds from now; one that no clock reaches is none.
pub(crate) fn deadline(value: &Bound<'_, PyAny>) -> PyResult<Option<Duration>> {
    let deadline = seconds(value, "deadline")?;
    Ok((deadline < Duration::from_secs(1 << 32)).then_some(deadline))
}

/// The calls that take a query, by the options that have an effect in them.
#[derive(Clone, Copy)]
pub(crate) enum Call {
    /// `search`, `search_many` or `search_by_item`: all options.
    Ranking(&'static str),
    /// `list`: those without a ranking.
    List,
    /// `listing`: those that say which items.
    Listing,
}

/// A query, and the shape its answer is wanted in.
pub(crate) struct Ask {
    pub query: Query,
    columns: bool,
}

impl Ask {
    /// From the arguments of a call.
    pub(crate) fn new<'py>(
        py: Python<'py>,
        call: Call,
        namespace: Option<&Bound<'py, PyAny>>,
        options: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Self> {
        let mut given = QueryArguments::default();
        each_option(options, |name, value| {
            let known = given.set_scope(name, value)?
                || (!matches!(call, Call::Listing) && given.set_answer(name, value)?)
                || (matches!(call, Call::Ranking(_)) && given.set_ranking(name, value)?);
            if known { Ok(()) } else { Err(unexpected(call, name)) }
        })?;
        given.query(py, namespace)
    }

    /// One answer, as it was asked for.
    pub(crate) fn answer<'py>(
        &self,
        py: Python<'py>,
        answer: SearchResult,
        metric: Option<&'static str>,
    ) -> PyResult<Bound<'py, PyAny>> {
        if self.columns {
            return Ok(Bound::new(py, Columns::of_one(answer, metric))?.into_any());
        }
        rows(py, answer, metric)
    }

    /// Several answers, as they were asked for.
    pub(crate) fn answers<'py>(
        &self,
        py: Python<'py>,
        answers: Vec<SearchResult>,
        metric: Option<&'static str>,
    ) -> PyResult<Bound<'py, PyAny>> {
        if self.columns {
            return Ok(Bound::new(py, Columns::of_many(answers, metric))?.into_any());
        }
        let lists = answers.into_iter().map(|answer| rows(py, answer, metric)).collect::<PyResult<Vec<_>>>()?;
        Ok(PyList::new(py, lists)?.into_any())
    }
}

fn unexpected(call: Call, name: &str) -> PyErr {
    let call = match call {
        Call::Ranking(call) => call,
        Call::List => "list",
        Call::Listing => "listing",
    };
    PyTypeError::new_err(format!("{call}() got an unexpected keyword argument '{name}'"))
}

/// A `vecmem.SearchResult`: a list of hits that also says whether something was left out, and what each part did.
pub(crate) fn rows<'py>(
    py: Python<'py>,
    answer: SearchResult,
    metric: Option<&'static str>,
) -> PyResult<Bound<'py, PyAny>> {
    static RESULT: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let SearchResult { hits, incomplete, explain, groups, next } = answer;
    let hits = hits.into_iter().map(|hit| Hit::create(py, hit)).collect::<PyResult<Vec<_>>>()?;
    let hits = PyList::new(py, hits)?;
    let rows = RESULT.import(py, "vecmem.results", "SearchResult")?.call1((&hits,))?;
    if !groups.is_empty() {
        rows.setattr("groups", hit_groups(py, &hits, &groups)?)?;
    }
    if let Some(next) = next {
        rows.setattr("next", next.to_string())?;
    }
    if let Some(metric) = metric {
        rows.setattr("metric", metric)?;
    }
    if incomplete {
        rows.setattr("incomplete", true)?;
    }
    if !explain.is_empty() {
        let parts = explain.iter().map(|part| part_explain(py, part)).collect::<PyResult<Vec<_>>>()?;
        rows.setattr("explain", parts)?;
    }
    Ok(rows)
}

/// Each group as a `vecmem.HitGroup`: its value, and its hits.
fn hit_groups<'py>(
    py: Python<'py>,
    hits: &Bound<'py, PyList>,
    groups: &[vecmem::HitGroup],
) -> PyResult<Bound<'py, PyList>> {
    static GROUP: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let class = GROUP.import(py, "vecmem.results", "HitGroup")?;
    let mut start = 0;
    let group = |group: &vecmem::HitGroup| {
        let own = hits.get_slice(start, start + group.hits);
        start += group.hits;
        class.call1((json::read(py, &group.value)?, own))
    };
    PyList::new(py, groups.iter().map(group).collect::<PyResult<Vec<_>>>()?)
}

/// What one part of the store did, as a dict.
pub(crate) fn part_explain<'py>(py: Python<'py>, part: &vecmem::PartExplain) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("part", &part.part)?;
    dict.set_item("path", &part.path)?;
    let numbers = [
        ("rows", part.rows),
        ("scanned", part.scanned),
        ("graph_searches", part.graph_searches),
        ("visited", part.visited),
        ("candidates", part.candidates),
        ("reranked", part.reranked),
        ("refused", part.refused),
    ];
    for (name, number) in numbers {
        dict.set_item(name, number)?;
    }
    dict.set_item("may_pass", part.may_pass)?;
    dict.set_item("pass_rate", part.pass_rate)?;
    dict.set_item("measured_recall", part.measured_recall)?;
    dict.set_item("expected_us", part.expected_us)?;
    dict.set_item("took_us", part.took_us)?;
    Ok(dict)
}

/// Answers many queries as of one moment; `on_progress` is called with how many are answered, and how many there are.
pub(crate) fn many_answers(
    py: Python<'_>,
    moment: Moment,
    queries: Vec<Query>,
    on_progress: Option<&Bound<'_, PyAny>>,
) -> PyResult<Vec<SearchResult>> {
    let (total, done) = (queries.len(), Arc::new(AtomicUsize::new(0)));
    let answered = Arc::clone(&done);
    let work = move |interrupt: &Interrupt| {
        let snapshot = moment.snapshot()?;
        let answer = |query: &Query| {
            if interrupt.is_requested() {
                return Err(Error::new(ErrorKind::Interrupted, "the search was interrupted"));
            }
            let answer = snapshot.search(query);
            answered.fetch_add(1, Ordering::Relaxed);
            answer
        };
        queries.iter().map(answer).collect()
    };
    watched(py, work, |_| match on_progress {
        Some(on_progress) => on_progress.call1((done.load(Ordering::Relaxed), total)).map(drop),
        None => Ok(()),
    })
}
