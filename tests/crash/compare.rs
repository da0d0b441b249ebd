//! Compares a store with the model: every item with all it has, and what each kind of read answers.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use vecmem::distance::{Kernels, inverse_norm, norm, score};
use vecmem::testing::{Clock, SimClock};
use vecmem::{Address, Filter, Item, IterateQuery, Metric, NamespaceQuery, Query, ReadOptions, Scope, Store};

use super::model::{Model, covers};
use super::operations::{Generator, MODEL, QUOTAS, SETTINGS, TAGS, is_embedded, text_of};

/// Every item, vectors and times included; counts; marks. Cheap.
pub fn same_items(store: &Store, model: &Model, clock: &SimClock) -> Result<(), String> {
    let now = clock.now();
    let options = ReadOptions { include_vectors: true, include_expired: true, ..ReadOptions::default() };
    let query = IterateQuery::new(Scope::Store).limit(usize::MAX).options(options);
    let found = store.iterate(&query, None).map_err(text)?.items;
    let wanted: Vec<&Item> = model.items.values().map(|item| &**item).collect();
    if let Some(at) = first_difference(&found, &wanted) {
        let (store, model) = (found.get(at), wanted.get(at));
        let counts = (found.len(), wanted.len());
        return Err(format!("item {at} of {counts:?} differs:\n  store {store:?}\n  model {model:?}"));
    }
    equal(
        "the count",
        &store.count(&Scope::Store, &ReadOptions::default()).map_err(text)?,
        &(model.living(now).count() as u64),
    )?;
    for source in ["file.jsonl", "another"] {
        equal("the mark", &store.import_checkpoint(source).map_err(text)?, &model.marks.get(source).cloned())?;
    }
    equal("the settings", &settings(store)?, &model.settings)?;
    let held = store.quota_use(&Scope::Store).map_err(text)?;
    let counted: Vec<u64> = held.iter().map(|held| held.items).collect();
    equal(
        "what counts for the quota",
        &counted,
        &model.quota().map(|_| model.items.len() as u64).into_iter().collect(),
    )?;
    if model.foreign { Ok(()) } else { embeddings(store, model, now) }
}

/// Every text that a living item embeds is known, if the store was told of it.
fn embeddings(store: &Store, model: &Model, clock: i64) -> Result<(), String> {
    let embedded = model.living(clock).flat_map(|item| item.vectors.iter().map(move |vector| (item, &vector.values)));
    let texts: Vec<(String, Option<Vec<f32>>)> = embedded
        .map(|(item, values)| (text_of(values, &item.value), is_embedded(&item.value).then(|| values.to_vec())))
        .collect();
    let asked: Vec<&str> = texts.iter().map(|(text, _)| text.as_str()).collect();
    let found = store.known_embeddings(MODEL, &asked).map_err(text)?;
    for ((text, wanted), found) in texts.iter().zip(&found) {
        equal(&format!("the embedding of {text:?}"), found, wanted)?;
    }
    Ok(())
}

/// The settings that there are.
pub fn settings(store: &Store) -> Result<BTreeMap<String, String>, String> {
    let mut found = BTreeMap::new();
    for name in SETTINGS.into_iter().chain([QUOTAS]) {
        found.extend(store.setting(name).map_err(text)?.map(|json| (name.to_owned(), json)));
    }
    Ok(found)
}

/// Everything: items, single reads, listings, namespaces, exact searches with and without filters, and the store's own
/// check.
pub fn same_answers(store: &Store, model: &Model, clock: &SimClock, seed: u64) -> Result<(), String> {
    readings(store, model, clock, seed).into_iter().collect::<Result<(), String>>()?;
    let report = store.check(false).map_err(text)?;
    equal("the problems found", &report.problems, &Vec::new())
}

/// What came of each kind of read; an error of the store begins with its kind.
pub fn readings(store: &Store, model: &Model, clock: &SimClock, seed: u64) -> Vec<Result<(), String>> {
    vec![
        same_items(store, model, clock),
        single_reads(store, model, clock, seed),
        listings(store, model, clock),
        searches(store, model, clock, seed),
    ]
}

fn searches(store: &Store, model: &Model, clock: &SimClock, seed: u64) -> Result<(), String> {
    let mut generator = Generator::new(seed, 8);
    for _ in 0..3 {
        let scope = [Scope::Store, Scope::Prefix(generator.random.pick(&generator.namespaces).clone())];
        for scope in scope {
            let vector = generator.vector();
            let limit = 1 + generator.random.below(40);
            search(store, model, clock, (&scope, &vector, limit), None)?;
            let filter = a_filter(&mut generator);
            search(store, model, clock, (&scope, &vector, limit), Some(&filter))?;
        }
    }
    Ok(())
}

/// Of the fields `n` and `tag`.
type Passes = Box<dyn Fn(u64, &str) -> bool>;

/// A filter of the engine and the same test, written by hand.
struct Test {
    filter: Filter,
    passes: Passes,
}

fn a_filter(generator: &mut Generator) -> Test {
    let bound = 1 + generator.random.below(2_000) as u64;
    let tag = *generator.random.pick(&TAGS);
    let equal = Filter::eq("tag", tag);
    match generator.random.below(3) {
        0 => Test { filter: equal, passes: Box::new(move |_, found| found == tag) },
        1 => Test { filter: Filter::gte("n", bound as i64), passes: Box::new(move |number, _| number >= bound) },
        _ => Test {
            filter: Filter::lt("n", bound as i64).and(equal.not()),
            passes: Box::new(move |number, found| number < bound && found != tag),
        },
    }
}

impl Test {
    fn passes(&self, item: &Item) -> bool {
        let value: serde_json::Value = item.value_as().unwrap();
        (self.passes)(value["n"].as_u64().unwrap(), value["tag"].as_str().unwrap())
    }
}

fn single_reads(store: &Store, model: &Model, clock: &SimClock, seed: u64) -> Result<(), String> {
    let mut generator = Generator::new(seed, 20);
    let mut addresses: Vec<(Address, Option<Item>)> = Vec::new();
    for _ in 0..40 {
        let namespace = generator.random.pick(&generator.namespaces).clone();
        let key = format!("key-{}", generator.random.below(20));
        let living = model.items.get(&(namespace.clone(), key.clone()));
        let now = model.query_time(clock.now());
        let living = living.filter(|item| !super::model::is_expired(item, now)).map(|item| Item::clone(item));
        addresses.push((Address { namespace, key }, living));
    }
    let options = ReadOptions { include_vectors: true, ..ReadOptions::default() };
    let asked: Vec<Address> = addresses.iter().map(|(address, _)| address.clone()).collect();
    let found = store.get_many(&asked, &options).map_err(text)?;
    for ((address, wanted), found) in addresses.iter().zip(&found) {
        equal(&format!("get of {address:?}"), found, wanted)?;
    }
    Ok(())
}

fn listings(store: &Store, model: &Model, clock: &SimClock) -> Result<(), String> {
    let now = clock.now();
    let namespaces: BTreeSet<Vec<String>> = model.living(now).map(|item| item.namespace.labels()).collect();
    let all = NamespaceQuery { limit: usize::MAX, ..NamespaceQuery::default() };
    equal("the namespaces", &store.list_namespaces(&all).map_err(text)?, &namespaces.into_iter().collect())?;
    for namespace in super::operations::namespaces() {
        for scope in [Scope::Prefix(namespace.clone()), Scope::Namespace(namespace)] {
            let mut wanted: Vec<&Arc<Item>> =
                model.living(now).filter(|item| covers(&scope, &item.namespace)).collect();
            wanted.sort_by_key(|item| Reverse((item.updated_at, item.version.to_u64())));
            let wanted: Vec<u64> = wanted.iter().map(|item| item.version.to_u64()).collect();
            let query = Query::new(scope.clone()).limit(usize::MAX);
            let listed = store.list(&query).map_err(text)?;
            let listed: Vec<u64> = listed.iter().map(|hit| hit.item.version.to_u64()).collect();
            equal(&format!("the listing of {scope:?}"), &listed, &wanted)?;
            let pages =
                store.snapshot().and_then(|snapshot| snapshot.listing(Query::new(scope.clone()))).map_err(text)?;
            let mut paged = Vec::new();
            for offset in (0..=wanted.len()).step_by(7) {
                paged.extend(pages.page(offset, 7).map_err(text)?.iter().map(|hit| hit.item.version.to_u64()));
            }
            equal(&format!("the pages of {scope:?}"), &paged, &wanted)?;
        }
    }
    Ok(())
}

/// The exact search against a scan of the model with the same kernel: same items, same order, same scores to the last
/// bit.
fn search(
    store: &Store,
    model: &Model,
    clock: &SimClock,
    (scope, vector, limit): (&Scope, &[f32], usize),
    filter: Option<&Test>,
) -> Result<(), String> {
    let query = Query::new(scope.clone()).vector(vector).limit(limit).exact(true);
    let query = filter.iter().fold(query, |query, test| query.filter(test.filter.clone()));
    let answer = store.search(&query).map_err(text)?;
    let found: Vec<(u32, u64)> =
        answer.iter().map(|hit| (hit.score.unwrap_or(f32::NAN).to_bits(), hit.item.version.to_u64())).collect();
    let passing = model.living(clock.now()).filter(|item| covers(scope, &item.namespace));
    let passing = passing.filter(|item| filter.is_none_or(|test| test.passes(item)));
    let mut wanted: Vec<(f32, u64)> =
        passing.filter_map(|item| Some((best_score(item, vector)?, item.version.to_u64()))).collect();
    wanted.sort_by(|a, b| b.0.total_cmp(&a.0).then(b.1.cmp(&a.1)));
    let wanted: Vec<(u32, u64)> =
        wanted.iter().take(limit).map(|(score, version)| (score.to_bits(), *version)).collect();
    equal(&format!("the search of {scope:?}"), &found, &wanted)
}

fn best_score(item: &Item, query: &[f32]) -> Option<f32> {
    let kernels = Kernels::get();
    let inverse = |vector: &[f32]| inverse_norm(norm(vector));
    let scores = item
        .vectors
        .iter()
        .map(|vector| score(Metric::Cosine, kernels, query, inverse(query), &vector.values, inverse(&vector.values)));
    scores.max_by(f32::total_cmp)
}

fn first_difference(found: &[Item], wanted: &[&Item]) -> Option<usize> {
    (0..found.len().max(wanted.len())).find(|&at| found.get(at) != wanted.get(at).copied())
}

fn equal<T: PartialEq + std::fmt::Debug>(what: &str, found: &T, wanted: &T) -> Result<(), String> {
    if found == wanted {
        return Ok(());
    }
    Err(format!("{what} differs:\n  store {found:?}\n  model {wanted:?}"))
}

fn text(error: vecmem::Error) -> String {
    format!("{:?}: {error}", error.kind())
}
