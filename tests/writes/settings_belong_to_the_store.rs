//! A setting is durable when the call returns, survives merges, reopening and the loss of the newest manifest, and is
//! nobody's item.

use crate::common::{namespace, numbered, reopened, simulated, tiny};
use vecmem::testing::{Fault, FaultKind, Loss, SimOperation};
use vecmem::{Durability, ErrorKind, Limit, Metric, NamespaceQuery, Options, ReadOptions, Scope, Store, limits};

fn setting(store: &Store, name: &str) -> Option<String> {
    store.setting(name).unwrap()
}

#[test]
fn settings_belong_to_the_store() {
    let options = tiny(1, Metric::Dot).durability(Durability::Manual);
    let (store, storage, clock) = simulated(options.clone());
    let rules = r#"[{"prefix": ["a"], "index": false}]"#;
    assert_eq!(setting(&store, "rules"), None);
    store.set_setting("rules", Some(rules)).unwrap();
    store.set_setting("ttl", Some("null")).unwrap();
    store.set_setting("gone", Some("1.50")).unwrap();
    store.set_setting("gone", None).unwrap();
    store.set_setting("never there", None).unwrap();
    // Whatever the durability of items is.
    let lost = storage.crash(Loss::AllUnsynced, 0);
    let check = |store: &Store| {
        assert_eq!(setting(store, "rules").as_deref(), Some(rules), "byte for byte");
        assert_eq!(setting(store, "ttl").as_deref(), Some("null"));
        assert_eq!((setting(store, "gone"), setting(store, "never there")), (None, None));
        assert_eq!(store.list_namespaces(&NamespaceQuery::default()).unwrap().len() as u64, items(store));
        assert_eq!(store.check(false).unwrap().problems, Vec::<String>::new());
    };
    check(&reopened(&lost, &clock, options.clone()));
    for number in 0..200 {
        store.put(numbered(&namespace(["a"]), (number % 50).to_string(), number).vector([1.0])).unwrap();
    }
    store.compact().unwrap();
    assert!(store.stats().unwrap().internals.merges > 0);
    store.delete_everything().unwrap();
    check(&store);
    store.close().unwrap();
    check(&reopened(&storage, &clock, options));
}

/// One item a namespace.
fn items(store: &Store) -> u64 {
    store.count(&Scope::Store, &ReadOptions::default()).unwrap()
}

#[test]
fn the_manifest_before_the_newest_has_them_too() {
    let (store, storage, clock) = simulated(tiny(1, Metric::Dot));
    store.set_setting("rules", Some("[1]")).unwrap();
    drop(store);
    let newest = storage.names().into_iter().filter(|name| name.starts_with("manifest-")).max().unwrap();
    storage.flip_bit(&newest, 8 * 50);
    assert_eq!(setting(&reopened(&storage, &clock, tiny(1, Metric::Dot)), "rules").as_deref(), Some("[1]"));
}

#[test]
fn bad_settings_are_refused_and_change_nothing() {
    let (store, _, _) = simulated(tiny(1, Metric::Dot));
    store.set_setting("rules", Some("[1]")).unwrap();
    let refused = |name: &str, json: &str, kind: ErrorKind, says: &str| {
        let error = store.set_setting(name, Some(json)).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(says), "{error}");
    };
    refused("rules", "{", ErrorKind::InvalidInput, "rules");
    refused("rules", "", ErrorKind::InvalidInput, "rules");
    refused("rules", "[1] 2", ErrorKind::InvalidInput, "rules");
    refused("", "1", ErrorKind::InvalidInput, "name");
    refused(&"n".repeat(limits::SETTING_NAME_BYTES + 1), "1", ErrorKind::Limit(Limit::SettingNameBytes), "1024");
    let long = format!("\"{}\"", "x".repeat(limits::SETTING_BYTES - 2));
    refused("rules", &format!("{long} "), ErrorKind::Limit(Limit::SettingBytes), "65536");
    assert_eq!(setting(&store, "rules").as_deref(), Some("[1]"));
    store.set_setting("rules", Some(&long)).unwrap();
    for number in 1..limits::SETTINGS {
        store.set_setting(&number.to_string(), Some("{}")).unwrap();
    }
    refused("one more", "1", ErrorKind::Limit(Limit::Settings), "64");
    store.set_setting("7", Some("[]")).unwrap();
    store.set_setting("8", None).unwrap();
    store.set_setting("one more", Some("1")).unwrap();
    assert_eq!((setting(&store, "7").as_deref(), setting(&store, "8")), (Some("[]"), None));
}

#[test]
fn a_full_disk_keeps_the_setting_that_was() {
    let (store, storage, clock) = simulated(tiny(1, Metric::Dot));
    store.set_setting("rules", Some("1")).unwrap();
    storage.fail_after(0, Fault::sticky(FaultKind::Full, SimOperation::GROWTH));
    assert_eq!(store.set_setting("rules", Some("2")).unwrap_err().kind(), ErrorKind::DiskFull);
    assert_eq!(setting(&store, "rules").as_deref(), Some("1"));
    storage.clear_faults();
    store.compact().unwrap();
    store.close().unwrap();
    assert_eq!(setting(&reopened(&storage, &clock, tiny(1, Metric::Dot)), "rules").as_deref(), Some("1"));
}

#[test]
fn threads_that_set_settings_beside_writes_and_merges_lose_none() {
    let tuning = vecmem::Tuning { inline_background: false, ..vecmem::Tuning::tiny() };
    let directory = tempfile::tempdir().unwrap();
    let open = || Store::open(directory.path(), Options::with_vectors(1, Metric::Dot).tuning(tuning.clone())).unwrap();
    let store = open();
    std::thread::scope(|scope| {
        for thread in 0..3 {
            let store = &store;
            scope.spawn(move || {
                for number in 0..20 {
                    store.set_setting(&format!("{thread} {}", number % 4), Some(&number.to_string())).unwrap();
                }
            });
        }
        for number in 0..500 {
            store.put(numbered(&namespace(["a"]), (number % 60).to_string(), number).vector([1.0])).unwrap();
        }
    });
    store.close().unwrap();
    let store = open();
    for (thread, number) in (0..3).flat_map(|thread| (16..20).map(move |number| (thread, number))) {
        let found = setting(&store, &format!("{thread} {}", number % 4));
        assert_eq!(found, Some(number.to_string()));
    }
}
