//! Prepared filters, kept for the next read with an equal filter.
//!
//! Invariants:
//! * A kept filter is found by comparing filters, so a read never runs another filter than its own.
//! * At most [`FILTERS_MAX`] filters are kept, each with at most [`KEPT_BYTES_MAX`] bytes of literals, so that the lock
//!   is held for a short time. The one that was used longest ago goes first. A longer list is prepared once for all
//!   copies of its filter, which share it.

use std::sync::Arc;

use super::ast::Filter;
use super::evaluate::PreparedFilter;
use crate::error::Result;
use crate::sync::Mutex;

/// Kept filters.
const FILTERS_MAX: usize = 16;
/// Bytes of literals of a kept filter.
const KEPT_BYTES_MAX: usize = 4 << 10;

/// The filters that were used last.
#[derive(Debug, Default)]
pub(crate) struct PreparedFilters {
    /// The one that was used last comes last.
    kept: Mutex<Vec<KeptFilter>>,
}

#[derive(Debug)]
struct KeptFilter {
    filter: Filter,
    prepared: Arc<PreparedFilter>,
}

impl PreparedFilters {
    /// The filter, prepared. Fails as [`Filter::prepare`] does.
    pub fn of(&self, filter: &Filter) -> Result<Arc<PreparedFilter>> {
        // The kept one is of bounded depth, and so is the comparison with it.
        let is_it = |kept: &KeptFilter| kept.filter == *filter;
        {
            let mut kept = self.kept.lock();
            if let Some(at) = kept.iter().rposition(is_it) {
                let found = kept.remove(at);
                let prepared = Arc::clone(&found.prepared);
                kept.push(found);
                return Ok(prepared);
            }
        }
        // Prepared outside of the lock, for which other reads would wait.
        let prepared = Arc::new(filter.prepare()?);
        if prepared.literal_bytes() > KEPT_BYTES_MAX {
            return Ok(prepared);
        }
        let copy = KeptFilter { filter: filter.clone(), prepared: Arc::clone(&prepared) };
        let mut kept = self.kept.lock();
        kept.retain(|kept| !is_it(kept));
        if kept.len() >= FILTERS_MAX {
            kept.remove(0);
        }
        kept.push(copy);
        Ok(prepared)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::filter::FILTER_NODES_MAX;

    #[test]
    fn an_equal_filter_is_prepared_once_and_few_are_kept() {
        let filters = PreparedFilters::default();
        let of = |number: u32| filters.of(&Filter::eq("n", number)).unwrap();
        let (first, list) = (of(0), Filter::in_("n", 0..100));
        assert!(Arc::ptr_eq(&first, &of(0)));
        assert!(
            !Arc::ptr_eq(&first, &filters.of(&Filter::eq("n", 0.0)).unwrap()),
            "equal in meaning, and another filter"
        );
        for number in 1..FILTERS_MAX as u32 {
            of(number);
        }
        assert!(!Arc::ptr_eq(&first, &of(0)), "too many came since");
        assert_eq!(filters.kept.lock().len(), FILTERS_MAX);
        // A copy shares its list, and an equal list is found too.
        let prepared = filters.of(&list).unwrap();
        assert!(Arc::ptr_eq(&prepared, &filters.of(&list.clone()).unwrap()));
        assert!(Arc::ptr_eq(&prepared, &filters.of(&Filter::in_("n", 0..100)).unwrap()));
    }

    #[test]
    fn large_filters_and_bad_ones_are_not_kept() {
        let filters = PreparedFilters::default();
        filters.of(&Filter::eq("a", "x".repeat(KEPT_BYTES_MAX + 1))).unwrap();
        filters.of(&Filter::in_("n", 0..KEPT_BYTES_MAX as i64)).unwrap();
        assert!(filters.kept.lock().is_empty());
        filters.of(&Filter::eq("a", "x".repeat(KEPT_BYTES_MAX))).unwrap();
        assert_eq!(filters.kept.lock().len(), 1);
        let too_deep = (0..FILTER_NODES_MAX * 2).fold(Filter::eq("a", 1), |filter, _| filter.not());
        for _ in 0..2 {
            assert!(matches!(filters.of(&too_deep).unwrap_err().kind(), ErrorKind::Limit(_)));
        }
        let nan = Filter::eq("a", f64::NAN);
        assert!(filters.of(&nan).is_ok() && filters.of(&nan.clone().not()).is_err());
        (0..100).for_each(|_| drop(filters.of(&nan)));
        assert!(filters.kept.lock().len() <= FILTERS_MAX, "NaN is never found again");
    }
}
