//! Checks of reads: the store and the model must give the same results.

use std::rc::Rc;

use super::{FuzzInput, World, covers, text};
use crate::error::Result;
use crate::store::query::{IterateQuery, NamespaceQuery, Query, ReadOptions};
use crate::types::Item;

impl World {
    /// Compares a search, a listing, a count, an iteration and the list of namespaces with the model.
    pub(super) fn search(&mut self, input: &mut FuzzInput<'_>) -> Result<()> {
        let scope = self.scope(input);
        let vector = [f32::from(input.byte() % 8), f32::from(input.byte() % 8) - 4.0];
        let limit = usize::from(input.byte() % 8);
        let living: Vec<&Rc<Item>> = self.model.keys().filter_map(|address| self.living(address)).collect();
        let covered: Vec<&Rc<Item>> = living.iter().copied().filter(|item| covers(&scope, &item.namespace)).collect();
        let dot = |values: &[f32]| values[0] * vector[0] + values[1] * vector[1];
        let best = |item: &Item| item.vectors.iter().map(|own| dot(&own.values)).max_by(f32::total_cmp);
        let mut scored: Vec<(f32, u64)> =
            covered.iter().filter_map(|item| Some((best(item)?, item.version.0))).collect();
        scored.sort_by(|a, b| b.0.total_cmp(&a.0).then(b.1.cmp(&a.1)));
        scored.truncate(limit);
        let query = Query::new(scope.clone()).limit(limit);
        let answer = self.store.search(&query.clone().vector(vector))?;
        let found: Vec<(f32, u64)> =
            answer.iter().map(|hit| (hit.score.unwrap_or(f32::NAN), hit.item.version.0)).collect();
        assert_eq!(found, scored, "{query:?} {vector:?}");

        let mut newest: Vec<(i64, u64)> = covered.iter().map(|item| (item.updated_at, item.version.0)).collect();
        newest.sort_by(|a, b| b.cmp(a));
        newest.truncate(limit);
        let listed = self.store.list(&query)?;
        let listed: Vec<(i64, u64)> = listed.iter().map(|hit| (hit.item.updated_at, hit.item.version.0)).collect();
        assert_eq!(listed, newest);
        assert_eq!(self.store.count(&scope, &ReadOptions::default())?, covered.len() as u64);

        let walk = IterateQuery::new(scope).limit(1 + limit);
        let (mut walked, mut cursor) = (0, None);
        loop {
            let page = self.store.iterate(&walk, cursor.as_ref())?;
            for item in page.items {
                assert!(covered.get(walked).is_some_and(|expected| expected.version == item.version), "{item:?}");
                walked += 1;
            }
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(walked, covered.len());
        let names = self.store.list_namespaces(&NamespaceQuery::default())?;
        let mut expected: Vec<Vec<String>> = living.iter().map(|item| item.namespace.labels()).collect();
        expected.dedup();
        assert_eq!(names, expected);
        Ok(())
    }

    pub(super) fn compare(&self) {
        match self.store.text_dump() {
            Ok(found) => assert_eq!(found, text(&self.model)),
            Err(error) => panic!("text dump: {error}"),
        }
    }
}
