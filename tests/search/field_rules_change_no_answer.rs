//! Whatever paths field rules exclude and force, filters give the same items; the rules stay with the store, the files
//! that were built by them pass every check, and statistics show both.

use super::filters_answer_alike_with_and_without_a_field_index::{assert_alike, fill};
use crate::common::directory::Directory;
use crate::common::namespace;
use vecmem::testing::Random;
use vecmem::{ErrorKind, FieldRules, Filter, Limit, Metric, Options, Put, Query, Store, limits};

fn rules(exclude: &[&str], force: &[&str]) -> FieldRules {
    FieldRules::new(exclude.iter().copied(), force.iter().copied()).unwrap()
}

fn assert_sound(store: &Store, context: &str) {
    let report = store.check(false).unwrap();
    assert!(report.problems.is_empty(), "{context}: {:?}", report.problems);
}

/// The indexed paths, and how many segments have an index by other rules.
fn indexed(store: &Store) -> (Vec<String>, u64) {
    let fields = store.stats().unwrap().fields;
    assert_eq!(fields.rules, store.field_rules().unwrap());
    (fields.paths.into_iter().map(|path| path.path).collect(), fields.other_rules)
}

fn check(directory: &Directory) {
    let mut random = Random::new(33);
    let options = || Options::with_vectors(4, Metric::Cosine);
    let store = directory.open(options());
    fill(&store, &mut random);
    store.flush().unwrap();
    let by_rules = [
        rules(&["text", "user.*"], &["tags", "user.name"]),
        rules(&["*"], &["kind"]),
        rules(&["kind", "n", "odd", "odd.name"], &[]),
        rules(&["*"], &[]),
    ];
    for (number, by) in by_rules.iter().enumerate() {
        let context = format!("{by:?}");
        store.set_field_rules(by).unwrap();
        // What is there was built by the rules before, and by none.
        assert!(indexed(&store).1 > 0, "{context}");
        assert_alike(&store, &mut random, &context);
        if number == 0 {
            assert!(store.rebuild_fields().unwrap() > 0);
            assert_eq!(indexed(&store).1, 0);
        }
        fill(&store, &mut random);
        store.flush().unwrap();
        assert_alike(&store, &mut random, &context);
        assert_sound(&store, &context);
        if number % 2 == 0 {
            store.rebuild_fields().unwrap();
        } else {
            store.compact().unwrap();
        }
        assert_eq!(store.rebuild_fields().unwrap(), 0, "{context}: nothing is left to do");
        let (paths, others) = indexed(&store);
        assert_eq!(others, 0, "{context}");
        let expected: [fn(&str) -> bool; 4] = [
            |path| !path.starts_with("text") && path != "user.age",
            |path| path == "kind",
            |path| !path.starts_with("kind") && path != "n" && !path.starts_with("odd"),
            |_| false,
        ];
        assert!(paths.iter().all(|path| expected[number](path)), "{context}: {paths:?}");
        assert_eq!(paths.is_empty(), number == 3, "{context}");
        assert_alike(&store, &mut random, &format!("built again: {context}"));
        assert_sound(&store, &context);
    }
    store.close().unwrap();

    // The next opener knows them, its merges go by them, and so does a repair.
    let store = directory.open(options());
    assert_eq!(store.field_rules().unwrap(), by_rules[3]);
    store.set_field_rules(&by_rules[0]).unwrap();
    store.close().unwrap();
    for index in directory.names(".fields") {
        directory.write(&index, &[7; 5_000]);
    }
    let store = directory.open(options());
    assert_alike(&store, &mut random, "damaged");
    assert!(store.check(true).unwrap().problems.is_empty());
    assert_eq!(indexed(&store).1, 0);
    assert_sound(&store, "repaired");
    store.set_field_rules(&FieldRules::default()).unwrap();
    assert!(store.setting("vecmem.fields").unwrap().is_none(), "no rules are no setting");
    store.close().unwrap();
}

#[test]
fn on_tiny_parts() {
    check(&Directory::simulated());
}

#[test]
fn on_a_real_disk_with_default_tuning() {
    check(&Directory::real());
}

#[test]
fn rules_that_are_none_change_nothing() {
    let store = Directory::simulated().open(Options::with_vectors(4, Metric::Cosine));
    let kept = rules(&["text"], &["kind"]);
    store.set_field_rules(&kept).unwrap();
    for json in [r#"{"exclude": ["a"], "force": ["a"]}"#, r#"{"exclude": [""]}"#, r#"{"exclude": "a"}"#, "[1]", "7"] {
        let error = store.set_setting("vecmem.fields", Some(json)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{json}");
    }
    let many = (0..=limits::FIELD_RULES).map(|number| format!("a{number}"));
    let error = FieldRules::new(many, [""; 0]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit(Limit::FieldRules));
    assert_eq!(store.field_rules().unwrap(), kept);
}

#[test]
fn forced_fields_are_found_among_thousands_of_others() {
    let directory = Directory::real();
    let store = directory.open(Options::with_vectors(1, Metric::Dot));
    let home = namespace(["home"]);
    let put = |n: usize| {
        let rare = if n == 7 { r#", "a rare field": true"# } else { "" };
        let value = format!(r#"{{"common": 1, "own{n}": {n}{rare}}}"#);
        store.put(Put::new(&home, n.to_string(), value).vector([n as f32])).unwrap();
    };
    (0..2_000).for_each(put);
    store.compact().unwrap();
    // How many rows have to be asked for each path: those that have it, or all where the index does not know it.
    let asked = |path: &str| {
        let filter = Filter::exists(path);
        let found = store.search(&Query::new(&home).filter(filter).vector([1.0]).explain(true)).unwrap();
        assert_eq!(found.hits.len(), 1);
        found.explain[0].may_pass
    };
    assert_eq!(
        (asked("own1999"), asked("a rare field")),
        (None, None),
        "which ones are left out of an index is chance"
    );
    store.set_field_rules(&rules(&[], &["a rare field", "own1999"])).unwrap();
    store.rebuild_fields().unwrap();
    assert_eq!((asked("own1999"), asked("a rare field"), asked("own1998")), (Some(1), Some(1), None));
    assert_eq!(store.stats().unwrap().fields.path_count, 1_024);
    store.close().unwrap();
}

#[test]
fn indexes_in_memory_go_by_the_rules_of_the_moment_at_which_they_are_made() {
    let directory = Directory::real();
    let store = directory.open(Options::with_vectors(1, Metric::Dot));
    let home = namespace(["home"]);
    let mut next = 0;
    // As many as one index has.
    let mut fill = || {
        for n in next..next + 1_024 {
            let many = if n % 1_024 == 7 { 4_200 } else { 0 };
            let others: String = (0..many).map(|other| format!(r#""own{other}":1,"#)).collect();
            let value = format!(r#"{{{others}"kind":{},"secret":{n},"rare":{}}}"#, n % 4, n % 8 == 0);
            store.put(Put::new(&home, n.to_string(), value).vector([n as f32])).unwrap();
        }
        next += 1_024;
    };
    // The items that pass, and how many may pass by the indexes.
    let asked = |filter: Filter| {
        let found = store.search(&Query::new(&home).filter(filter).vector([1.0]).limit(9).explain(true)).unwrap();
        (found.hits.len(), found.explain[0].may_pass)
    };
    store.set_field_rules(&rules(&["secret"], &["rare"])).unwrap();
    fill();
    assert_eq!(asked(Filter::eq("secret", 5)), (1, None), "it is left out");
    // Of the item with thousands of fields the index knows those only that rules force.
    assert_eq!(asked(Filter::eq("kind", 9)), (0, Some(1)));
    assert_eq!(asked(Filter::eq("rare", 9)), (0, Some(0)));
    assert_eq!(asked(Filter::eq("rare", true)), (9, Some(128)));

    // What is made stays as it is; what is made next goes by the new rules.
    store.set_field_rules(&rules(&["rare"], &["secret"])).unwrap();
    fill();
    assert_eq!(asked(Filter::eq("secret", 1_500)), (1, Some(1 + 1_024)));
    assert_eq!(asked(Filter::eq("rare", 9)), (0, Some(1_024)));
    store.flush().unwrap();
    assert_eq!(asked(Filter::eq("secret", 1_500)), (1, Some(1)));
    store.close().unwrap();
}
