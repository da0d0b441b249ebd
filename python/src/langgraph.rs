//! LangGraph's items, made of the engine's. Making them is half the time of a read, so it is done here and not in
//! Python.
//!
//! Invariants:
//! * What is made equals what the constructors of LangGraph's classes would make. They are passed by while the classes
//!   have exactly the fields known here, and called otherwise.
//! * Times are `datetime`s in UTC; one outside Python's calendar becomes its first or its last moment.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDateTime, PyDict, PyList, PyString, PyTuple, PyTzInfo};
use pyo3::{PyTypeInfo, intern};
use vecmem::ReadOptions;

use crate::arguments::{namespace, text};
use crate::errors::invalid_value;
use crate::items::{Hit, Item};
use crate::json;
use crate::reader::Reader;

const MICROS_A_SECOND: i64 = 1_000_000;
const SECONDS_A_DAY: i64 = 86_400;
/// 0001-01-01 00:00:00.000000 and 9999-12-31 23:59:59.999999 UTC, the ends of Python's calendar.
const CALENDAR: (i64, i64) = (-62_135_596_800_000_000, 253_402_300_799_999_999);

/// LangGraph's two classes, and how to make an object of them.
struct Classes {
    item: Py<PyAny>,
    search_item: Py<PyAny>,
    /// `object.__new__`, if it is known what else the constructors do.
    new: Option<Py<PyAny>>,
}

impl Classes {
    fn get(py: Python<'_>) -> PyResult<&'static Self> {
        static CLASSES: PyOnceLock<Classes> = PyOnceLock::new();
        CLASSES.get_or_try_init(py, || {
            let base = py.import("langgraph.store.base")?;
            let (item, search_item) = (base.getattr("Item")?, base.getattr("SearchItem")?);
            let fields = |class: &Bound<'_, PyAny>| class.getattr("__slots__")?.extract::<Vec<String>>();
            let known = fields(&item).is_ok_and(|it| it == ["value", "key", "namespace", "created_at", "updated_at"])
                && fields(&search_item).is_ok_and(|it| it == ["score"]);
            let new = PyAny::type_object(py).getattr("__new__")?;
            Ok(Self { item: item.unbind(), search_item: search_item.unbind(), new: known.then(|| new.unbind()) })
        })
    }

    /// An object of `class` with these fields.
    fn make<'py>(&self, class: &Bound<'py, PyAny>, fields: &Fields<'py>) -> PyResult<Bound<'py, PyAny>> {
        let py = class.py();
        let pairs = [
            (intern!(py, "value"), &fields.value),
            (intern!(py, "key"), &fields.key),
            (intern!(py, "namespace"), &fields.namespace),
            (intern!(py, "created_at"), &fields.created_at),
            (intern!(py, "updated_at"), &fields.updated_at),
        ];
        let score = fields.score.as_ref().map(|score| (intern!(py, "score"), score));
        let Some(new) = &self.new else {
            let arguments = PyDict::new(py);
            pairs.into_iter().chain(score).try_for_each(|(name, value)| arguments.set_item(name, value))?;
            return class.call((), Some(&arguments));
        };
        let object = new.bind(py).call1((class,))?;
        pairs.into_iter().chain(score).try_for_each(|(name, value)| object.setattr(name, value))?;
        Ok(object)
    }
}

/// The fields of a LangGraph item; a `score` for a `SearchItem` only.
struct Fields<'py> {
    value: Bound<'py, PyAny>,
    key: Bound<'py, PyAny>,
    namespace: Bound<'py, PyAny>,
    created_at: Bound<'py, PyAny>,
    updated_at: Bound<'py, PyAny>,
    score: Option<Bound<'py, PyAny>>,
}

impl<'py> Fields<'py> {
    fn new(
        item: &vecmem::Item,
        key: Bound<'py, PyAny>,
        namespace: Bound<'py, PyAny>,
        score: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Self> {
        let py = key.py();
        let created_at = datetime(py, item.created_at)?;
        let updated_at =
            if item.updated_at == item.created_at { created_at.clone() } else { datetime(py, item.updated_at)? };
        Ok(Self { value: json::read(py, &item.value)?, key, namespace, created_at, updated_at, score })
    }
}

/// The `langgraph.store.base.Item` under `key`, or `None`; `reader` is an engine or a snapshot.
#[pyfunction]
#[pyo3(name = "_get_item", signature = (reader, namespace, key, include_expired, refresh_ttl, /))]
pub(crate) fn get_item<'py>(
    py: Python<'py>,
    reader: &Bound<'py, Reader>,
    namespace: Bound<'py, PyAny>,
    key: Bound<'py, PyAny>,
    include_expired: bool,
    refresh_ttl: bool,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let (labels, name) = (self::namespace(&namespace)?, text(&key, "key")?);
    let options = ReadOptions { include_expired, refresh_ttl, ..ReadOptions::default() };
    let Some(item) = reader.get().read_one(py, &labels, &name, &options)? else { return Ok(None) };
    let classes = Classes::get(py)?;
    classes.make(classes.item.bind(py), &Fields::new(&item, key, namespace, None)?).map(Some)
}

/// A `langgraph.store.base.SearchItem` for each `Hit` of a list. Items of one namespace that follow each other share
/// its tuple.
#[pyfunction]
#[pyo3(name = "_search_items", signature = (hits, /))]
pub(crate) fn search_items<'py>(py: Python<'py>, hits: &Bound<'py, PyList>) -> PyResult<Bound<'py, PyList>> {
    let classes = Classes::get(py)?;
    let class = classes.search_item.bind(py);
    let items = PyList::empty(py);
    let mut last: Option<(vecmem::Namespace, Bound<'py, PyTuple>)> = None;
    for hit in hits.iter() {
        let hit = hit.cast_into::<Hit>().map_err(|_| invalid_value(py, "_search_items takes a list of hits"))?;
        let item: &Item = hit.as_super().get();
        let item = &item.item;
        let namespace = match &last {
            Some((labels, tuple)) if *labels == item.namespace => tuple.clone(),
            _ => PyTuple::new(py, item.namespace.labels())?,
        };
        let score = hit.get().score.into_pyobject(py)?.into_any();
        let key = PyString::new(py, &item.key).into_any();
        items.append(classes.make(class, &Fields::new(item, key, namespace.clone().into_any(), Some(score))?)?)?;
        last = Some((item.namespace.clone(), namespace));
    }
    Ok(items)
}

/// Microseconds since 1970 UTC as a `datetime`.
fn datetime(py: Python<'_>, micros: i64) -> PyResult<Bound<'_, PyAny>> {
    let micros = micros.clamp(CALENDAR.0, CALENDAR.1);
    let (seconds, micros) = (micros.div_euclid(MICROS_A_SECOND), micros.rem_euclid(MICROS_A_SECOND) as u32);
    let (year, month, day) = date(seconds.div_euclid(SECONDS_A_DAY));
    let second = seconds.rem_euclid(SECONDS_A_DAY) as u32;
    let (hour, minute, second) = ((second / 3600) as u8, (second / 60 % 60) as u8, (second % 60) as u8);
    let utc = PyTzInfo::utc(py)?;
    Ok(PyDateTime::new(py, year, month, day, hour, minute, second, micros, Some(&utc))?.into_any())
}

/// The Gregorian date that many days after 1970-01-01: (year, month, day).
///
/// Years are counted from March here, so that the leap day is the last of its year, and in eras of 400 years, which are
/// all equally long.
fn date(days: i64) -> (i32, u8, u8) {
    const DAYS_AN_ERA: i64 = 146_097;
    const MARCH_OF_YEAR_0: i64 = 719_468;
    let days = days + MARCH_OF_YEAR_0;
    let (era, day) = (days.div_euclid(DAYS_AN_ERA), days.rem_euclid(DAYS_AN_ERA));
    // A day is dropped every 4 years, but not every 100, but every 400: what is left are years of 365 days.
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    // From March on, 5 months have 153 days, again and again.
    let month = (5 * day + 2) / 153;
    let day_of_month = day - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    ((400 * era + year + next) as i32, month as u8, day_of_month as u8)
}
