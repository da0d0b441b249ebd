//! Answers as columns: numpy arrays and lists instead of one object per hit.
//!
//! Invariants:
//! * The answer to one query has arrays of shape (k,); that to n queries has arrays of (n, k), where k is the longest
//!   answer's
//!   length: beyond `counts[i]`, scores are NaN and numbers are 0. Lists have the same shape without padding.
//! * Arrays and lists are made when they are asked for, new each time.

use numpy::ndarray::Array2;
use numpy::{Element, PyArray1, ToPyArray};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString, PyTuple};
use vecmem::{Hit, SearchResult};

use crate::items::dict_of;
use crate::json;
use crate::queries::part_explain;

#[doc = include_str!("docs/Columns.txt")]
#[pyclass(frozen, weakref, module = "vecmem")]
pub(crate) struct Columns {
    answers: Vec<SearchResult>,
    is_one: bool,
    metric: Option<&'static str>,
}

impl Columns {
    pub(crate) fn of_one(answer: SearchResult, metric: Option<&'static str>) -> Self {
        Self { answers: vec![answer], is_one: true, metric }
    }

    pub(crate) fn of_many(answers: Vec<SearchResult>, metric: Option<&'static str>) -> Self {
        Self { answers, is_one: false, metric }
    }

    fn array<'py, T: Element + Copy>(
        &self,
        py: Python<'py>,
        padding: T,
        number: impl Fn(&Hit) -> T,
    ) -> Bound<'py, PyAny> {
        if self.is_one {
            let numbers = self.answers.iter().flat_map(|answer| answer.iter()).map(number);
            return PyArray1::from_iter(py, numbers).into_any();
        }
        let longest = self.answers.iter().map(|answer| answer.len()).max().unwrap_or(0);
        let mut array = Array2::from_elem((self.answers.len(), longest), padding);
        for (mut row, answer) in array.rows_mut().into_iter().zip(&self.answers) {
            row.iter_mut().zip(answer.iter()).for_each(|(cell, hit)| *cell = number(hit));
        }
        array.to_pyarray(py).into_any()
    }

    fn list<'py>(
        &self,
        py: Python<'py>,
        object: impl Fn(&Hit) -> PyResult<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyList>> {
        let list = |answer: &SearchResult| -> PyResult<Bound<'py, PyList>> {
            PyList::new(py, answer.iter().map(&object).collect::<PyResult<Vec<_>>>()?)
        };
        if self.is_one {
            return list(&self.answers[0]);
        }
        PyList::new(py, self.answers.iter().map(list).collect::<PyResult<Vec<_>>>()?)
    }
}

#[pymethods]
impl Columns {
    /// Hits of each query, an int64 array; of one query a single number in it.
    #[getter]
    fn counts<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<i64>> {
        PyArray1::from_iter(py, self.answers.iter().map(|answer| answer.len() as i64))
    }

    /// Where the next page of an order begins, for `after`; None at the end, and without an order.
    #[getter]
    fn next(&self) -> Option<String> {
        let [answer] = self.answers.as_slice() else { return None };
        answer.next.as_ref().map(ToString::to_string)
    }

    /// Scores as float32; NaN for hits without one.
    #[getter]
    fn scores<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        self.array(py, f32::NAN, |hit| hit.score.unwrap_or(f32::NAN))
    }

    /// `created_at` as int64, in microseconds since 1970 UTC.
    #[getter]
    fn created_at<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        self.array(py, 0, |hit| hit.item.created_at)
    }

    /// `updated_at` as int64, in microseconds since 1970 UTC.
    #[getter]
    fn updated_at<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        self.array(py, 0, |hit| hit.item.updated_at)
    }

    /// Versions as uint64.
    #[getter]
    fn versions<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        self.array(py, 0, |hit| hit.item.version.to_u64())
    }

    /// Keys.
    #[getter]
    fn keys<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        self.list(py, |hit| Ok(PyString::new(py, &hit.item.key).into_any()))
    }

    /// Namespaces, as tuples of labels.
    #[getter]
    fn namespaces<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        self.list(py, |hit| Ok(PyTuple::new(py, hit.item.namespace.labels())?.into_any()))
    }

    /// Values, as dicts.
    #[getter]
    fn values<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        self.list(py, |hit| json::read(py, &hit.item.value))
    }

    /// Values, as JSON texts.
    #[getter]
    fn values_json<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        self.list(py, |hit| Ok(PyString::new(py, &hit.item.value).into_any()))
    }

    /// Whether damaged parts were skipped in any answer (only with `partial`).
    #[getter]
    fn incomplete(&self) -> bool {
        self.answers.iter().any(|answer| answer.incomplete)
    }

    /// What each part did, when `explain` asked for it: a list of dicts for each query.
    #[getter]
    fn explain<'py>(&self, py: Python<'py>) -> PyResult<Vec<Vec<Bound<'py, PyAny>>>> {
        let parts = |answer: &SearchResult| {
            answer.explain.iter().map(|part| Ok(part_explain(py, part)?.into_any())).collect::<PyResult<Vec<_>>>()
        };
        self.answers.iter().map(parts).collect()
    }

    /// By what scores compare: "cosine", "dot" or "l2"; `None` for a list.
    #[getter]
    fn metric(&self) -> Option<&'static str> {
        self.metric
    }

    #[doc = include_str!("docs/Columns.to_dicts.txt")]
    fn to_dicts<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyDict>>> {
        let mut dicts = Vec::new();
        for (number, answer) in self.answers.iter().enumerate() {
            for hit in answer.iter() {
                let dict = dict_of(py, &hit.item, Some(hit.score))?;
                if !self.is_one {
                    dict.set_item("query", number)?;
                }
                dicts.push(dict);
            }
        }
        Ok(dicts)
    }

    fn __repr__(&self) -> String {
        let metric = self.metric.map_or_else(String::new, |metric| format!(", metric='{metric}'"));
        let incomplete = if self.incomplete() { ", incomplete=True" } else { "" };
        let queries = if self.is_one { String::new() } else { format!("queries={}, ", self.answers.len()) };
        format!("Columns({queries}count={}{metric}{incomplete})", self.__len__())
    }

    /// Hits of all queries together.
    fn __len__(&self) -> usize {
        self.answers.iter().map(|answer| answer.len()).sum()
    }
}
