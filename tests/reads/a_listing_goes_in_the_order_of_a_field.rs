//! A listing in an order is sorted by value, namespace and key: on segments with a field index and without, and in
//! memtables, whatever types the values have. Its pages are slices of one list on a snapshot, and continue strictly
//! after their cursor on a store.

use std::cmp::Ordering;
use std::time::Duration;

use serde_json::{Value, json};

use crate::common::directory::Directory;
use crate::common::{Random, keys, namespace, numbered, simulated, tiny};
use vecmem::{
    ErrorKind, Filter, GroupBy, Item, Metric, Options, Order, OrderCursor, Put, Query, ReadOptions, Reads, Scope,
    Select, Store,
};

const ORDERS: [&str; 9] =
    ["n", "kind", "text", "user.name", "day", "missing", "$item.created_at", "$item.updated_at", "$item.key"];
const FILTERS: [&str; 3] = [r#"{"kind": "fact"}"#, r#"{"n": {"$gte": 30}}"#, r#"{"text": {"$contains": "number 7"}}"#];

fn value(random: &mut Random, n: u64) -> Value {
    let mut value = json!({"kind": *random.pick(&["fact", "task", "note"]), "n": n % 200});
    if n.is_multiple_of(9) {
        let odd = [
            json!(9_007_199_254_740_993_u64),
            json!(9_007_199_254_740_992_u64),
            json!(-9_007_199_254_740_993_i64),
            json!(u64::MAX),
            json!(-0.0),
            json!(0.5),
            json!(null),
            json!(true),
            json!(false),
            json!("20"),
            json!([20]),
            json!({"n": 1}),
        ];
        value["n"] = random.pick(&odd).clone();
    }
    match random.below(4_u64) {
        0 => value["user"] = json!({"name": *random.pick(&["ada", "eve", "Ada", "é", ""])}),
        1 => value["user.name"] = json!("bob"),
        2 => value["user"] = json!([{"name": "ada"}]),
        _ => {}
    }
    match random.below(3_u64) {
        0 => value["text"] = json!(format!("the long beginning of a text number {}", n % 90)),
        1 => value["text"] = json!(format!("the long{}", n % 30)),
        _ => value["day"] = json!(format!("2024-{:02}-{:02}T00:00:00Z", 1 + n % 12, 1 + n % 28)),
    }
    value
}

fn kind(value: &Value) -> u8 {
    match value {
        Value::Null => 0,
        Value::Bool(false) => 1,
        Value::Bool(true) => 2,
        Value::Number(_) => 3,
        Value::String(_) => 4,
        Value::Array(_) => 5,
        Value::Object(_) => 6,
    }
}

/// The order of the values, which are integers or small numbers.
fn compare(a: &Value, b: &Value) -> Ordering {
    let whole = |value: &Value| value.as_i64().map(i128::from).or(value.as_u64().map(i128::from));
    kind(a).cmp(&kind(b)).then_with(|| match (a, b) {
        (Value::String(a), Value::String(b)) => a.as_bytes().cmp(b.as_bytes()),
        (Value::Number(_), Value::Number(_)) => match (whole(a), whole(b)) {
            (Some(a), Some(b)) => a.cmp(&b),
            _ => a.as_f64().partial_cmp(&b.as_f64()).unwrap(),
        },
        _ => Ordering::Equal,
    })
}

fn looked_up(order: &str, item: &Item) -> Value {
    match order {
        "$item.created_at" => return item.created_at.into(),
        "$item.updated_at" => return item.updated_at.into(),
        "$item.key" => return item.key.clone().into(),
        _ => {}
    }
    let value: Value = item.value_as().unwrap();
    let by_path = || order.split('.').try_fold(&value, |value, name| value.as_object()?.get(name));
    value.get(order).or_else(by_path).cloned().unwrap_or(Value::Null)
}

/// Two segments and a memtable, with deleted and replaced items.
fn fill(store: &Store, random: &mut Random) {
    for n in 0..900_u64 {
        let home = namespace([if n % 5 == 0 { "b" } else { "a" }]);
        store.put(Put::new(&home, format!("{}{}", *random.pick(&["a", "b"]), n % 700), value(random, n))).unwrap();
        if n % 11 == 0 {
            store.delete(&home, &format!("a{}", n / 2)).unwrap();
        }
        if n == 300 || n == 800 {
            store.flush().unwrap();
        }
    }
}

fn order(name: &str, descending: bool) -> Order {
    let order = Order::parse(name).unwrap();
    if descending { order.descending() } else { order }
}

/// All pages, each from the text of the cursor of the one before.
fn paged(reads: &impl Reads, query: &Query, size: usize) -> Vec<Item> {
    let (mut items, mut query) = (Vec::new(), query.clone().limit(size));
    loop {
        let page = reads.search(&query).unwrap();
        assert!(!page.incomplete && page.len() <= size && (page.next.is_none() || page.len() == size));
        let next = page.next.clone();
        items.extend(page.into_iter().map(|hit| hit.item));
        assert!(items.len() <= 2_000, "pages that never end: {query:?}");
        let Some(next) = next else { return items };
        query = query.after(next.to_string().parse().unwrap());
    }
}

fn assert_ordered(store: &Store, random: &mut Random, context: &str) {
    let snapshot = store.snapshot().unwrap();
    for scope in [Scope::Namespace(namespace(["a"])), Scope::Namespace(namespace(["b"])), Scope::Store] {
        let all: Vec<Item> = store.items(scope.clone()).map(Result::unwrap).collect();
        for name in ORDERS {
            for (descending, filter) in [(false, None), (true, None), (random.chance(50), Some(*random.pick(&FILTERS)))]
            {
                let filter = filter.map(|filter| Filter::from_json_str(filter).unwrap());
                let wanted = |item: &&Item| filter.as_ref().is_none_or(|filter| filter.matches_item(item));
                let mut expected: Vec<&Item> = all.iter().filter(wanted).collect();
                expected.sort_by(|a, b| {
                    let values = compare(&looked_up(name, a), &looked_up(name, b));
                    let values = if descending { values.reverse() } else { values };
                    values.then_with(|| (a.namespace.clone(), &a.key).cmp(&(b.namespace.clone(), &b.key)))
                });
                let mut query = Query::new(scope.clone()).order_by(order(name, descending));
                query = filter.into_iter().fold(query, Query::filter);
                let about = format!("{context}, {scope:?}, {query:?}");
                for (limit, offset) in [(1, 0), (7, 0), (10, 5), (usize::MAX, 0), (100, 10_000)] {
                    let page = store.list(&query.clone().limit(limit).offset(offset)).unwrap();
                    let slice: Vec<&Item> = expected.iter().skip(offset).take(limit).copied().collect();
                    assert_eq!(page.iter().map(|hit| &hit.item).collect::<Vec<_>>(), slice, "{about}");
                    assert_eq!(page.next.is_some(), offset.saturating_add(limit) < expected.len(), "{about}");
                }
                let size = [3, 40, 333][random.below(3) as usize];
                assert_eq!(
                    paged(&snapshot, &query, size).iter().collect::<Vec<_>>(),
                    expected,
                    "pages of {size}, {about}"
                );
            }
        }
    }
}

fn check(directory: &Directory) {
    println!("seed 21");
    let mut random = Random::new(21);
    let store = directory.open(Options::new());
    fill(&store, &mut random);
    assert_ordered(&store, &mut random, "beside a memtable");
    store.compact().unwrap();
    assert_ordered(&store, &mut random, "compacted");
    store.close().unwrap();
    for index in directory.names(".fields") {
        directory.write(&index, &[7; 5_000]);
    }
    let store = directory.open(Options::new());
    assert_ordered(&store, &mut random, "with damaged indexes");
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
fn pages_of_a_snapshot_stay_and_those_of_a_store_continue_strictly_after_their_cursor() {
    println!("seed 22");
    let (mut random, home) = (Random::new(22), namespace(["a"]));
    let (store, _, clock) = simulated(tiny(1, Metric::Dot));
    for round in 0..40 {
        for _ in 0..60 {
            store.put(numbered(&home, random.below(80).to_string(), random.below(20))).unwrap();
        }
        let query = Query::new(&home).order_by(order("n", round % 2 == 0)).limit(9);
        let snapshot = store.snapshot().unwrap();
        let list = snapshot.search(&query.clone().limit(usize::MAX)).unwrap();
        let first = store.search(&query).unwrap();
        for _ in 0..30 {
            store.put(numbered(&home, random.below(90).to_string(), random.below(20))).unwrap();
            store.delete(&home, &random.below(80).to_string()).unwrap();
            clock.advance(Duration::from_micros(5));
        }
        assert!(paged(&snapshot, &query, 9).iter().eq(list.iter().map(|hit| &hit.item)));
        // What comes next is the part of the present list that lies after the last item of the first page.
        let (last, next) = (&first[8].item, first.next.clone().unwrap());
        let place = |item: &Item| {
            let n = item.value_as::<Value>().unwrap()["n"].as_i64().unwrap();
            (if round % 2 == 0 { -n } else { n }, item.key.clone())
        };
        let mut rest: Vec<_> = store.items(&home).map(|item| place(&item.unwrap())).collect();
        rest.retain(|at| *at > place(last));
        rest.sort();
        let found = store.search(&query.after(next).limit(usize::MAX)).unwrap();
        assert_eq!(found.iter().map(|hit| place(&hit.item)).collect::<Vec<_>>(), rest);
    }
}

#[test]
fn wrong_orders_and_cursors_are_refused() {
    let (store, _, _) = simulated(tiny(1, Metric::Dot));
    let home = namespace(["a"]);
    for n in 0..9 {
        store.put(numbered(&home, n.to_string(), n).vector([1.0])).unwrap();
    }
    let query = || Query::new(&home).limit(2);
    let by_n = query().order_by(order("n", false));
    let cursor = store.list(&by_n).unwrap().next.unwrap();
    let refused = |query: Query| store.search(&query).unwrap_err().kind() == ErrorKind::InvalidInput;
    assert!(refused(by_n.clone().vector([1.0])) && refused(query().after(cursor.clone())));
    assert!(refused(query().order_by(order("m", false)).after(cursor.clone())));
    assert!(refused(query().order_by(order("n", true)).after(cursor.clone())));
    assert!(refused(by_n.clone().group_by(GroupBy::Namespace, 1)));
    let listing = store.snapshot().unwrap().listing(by_n.clone()).unwrap_err();
    assert_eq!(listing.kind(), ErrorKind::InvalidInput);
    for name in ["", "a..b", "$item.namespace", "$item", "$x", "."] {
        assert_eq!(Order::parse(name).unwrap_err().kind(), ErrorKind::InvalidInput, "{name}");
    }
    for text in ["", "0", "zz", "00", "01", "0100ffffffff", &"01".repeat(1_000), &format!("{cursor}0"), "é"] {
        assert_eq!(text.parse::<OrderCursor>().unwrap_err().kind(), ErrorKind::InvalidInput, "{text}");
    }
    for none in [by_n.clone().limit(0), by_n.clone().after(cursor.clone()).limit(0), by_n.clone().limit(0).offset(3)] {
        let page = store.list(&none).unwrap();
        assert!(page.is_empty() && page.next.is_none() && !page.incomplete);
    }
    assert!(refused(by_n.clone().limit(0).vector([1.0])) && refused(query().limit(0).after(cursor.clone())));
    assert_eq!(keys(&store.list(&by_n.after(cursor).limit(2)).unwrap()), ["2", "3"]);
    let nul = Order::parse("a\0b").unwrap();
    assert_eq!(store.list(&Query::new(&home).order_by(nul)).unwrap().len(), 9);
}

#[test]
fn a_damaged_value_fails_an_order_that_needs_it_or_is_left_out() {
    let directory = Directory::simulated();
    let store = directory.open(Options::new());
    let home = namespace(["a"]);
    for n in 0..30 {
        let text: String = "x".repeat(if n == 7 { 400 } else { 1 });
        store.put(Put::new(&home, n.to_string(), json!({"n": n, "text": text}))).unwrap();
    }
    store.compact().unwrap();
    store.close().unwrap();
    // Without indexes every value is read.
    directory.names(".fields").iter().for_each(|name| directory.write(name, &[]));
    directory.names(".blob").iter().for_each(|name| directory.write(name, &[]));
    let store = directory.open(Options::new());
    let by_n = Query::new(&home).order_by(order("n", false)).limit(100);
    assert_eq!(store.list(&by_n).unwrap_err().kind(), ErrorKind::Damaged);
    let options = ReadOptions { partial: true, ..ReadOptions::default() };
    let rest = store.list(&by_n.options(options)).unwrap();
    assert!(rest.incomplete && rest.len() == 29 && !keys(&rest).contains(&"7"), "{rest:?}");
}

#[test]
fn the_first_of_an_indexed_field_are_found_without_their_values() {
    let directory = Directory::simulated();
    let store = directory.open(Options::new());
    let home = namespace(["a"]);
    for n in 0..200 {
        let value = json!({"n": (n * 7) % 200, "kind": "same", "text": "x".repeat(400)});
        store.put(Put::new(&home, format!("{n:03}"), value)).unwrap();
    }
    store.compact().unwrap();
    store.close().unwrap();
    directory.names(".blob").iter().for_each(|name| directory.write(name, &[]));
    let store = directory.open(Options::new());
    let first = |name, descending| {
        let options = ReadOptions { select: Select::None, ..ReadOptions::default() };
        let query = Query::new(&home).order_by(order(name, descending)).limit(3).options(options);
        keys(&store.list(&query).unwrap()).join(" ")
    };
    assert_eq!((first("n", false).as_str(), first("n", true).as_str()), ("000 143 086", "057 114 171"));
    assert_eq!((first("kind", false).as_str(), first("missing", true).as_str()), ("000 001 002", "000 001 002"));
}

#[test]
fn of_long_strings_the_beginning_counts_and_no_cursor_holds_more() {
    println!("seed 23");
    let mut random = Random::new(23);
    let directory = Directory::simulated();
    let store = directory.open(Options::new());
    for n in 0..400_u64 {
        // Strings differ at their first bytes, around the last byte that counts, or far behind it.
        let tail = 250 + random.below(12) as usize;
        let text = format!(
            "{}{}{}{}",
            random.pick(&["", "b", "a"]),
            "é".repeat(tail / 2),
            random.pick(&["", "a", "b", "z"]),
            random.pick(&["", "x", "y"]).repeat(random.below(3_000) as usize),
        );
        let home = namespace([*random.pick(&["one", "two"])]);
        store.put(Put::new(&home, format!("k{n}"), json!({"text": text}))).unwrap();
        if n == 150 {
            store.flush().unwrap();
        }
    }
    let check = |context: &str| {
        let all: Vec<Item> = store.items(Scope::Store).map(Result::unwrap).collect();
        for descending in [false, true] {
            let counts = |item: &Item| {
                let text = looked_up("text", item).as_str().unwrap().to_owned();
                text.as_bytes()[..text.len().min(256)].to_vec()
            };
            let mut expected: Vec<&Item> = all.iter().collect();
            expected.sort_by(|a, b| {
                let values = counts(a).cmp(&counts(b));
                let values = if descending { values.reverse() } else { values };
                values.then_with(|| (a.namespace.clone(), &a.key).cmp(&(b.namespace.clone(), &b.key)))
            });
            let query = Query::new(Scope::Store).order_by(order("text", descending));
            let snapshot = store.snapshot().unwrap();
            for size in [1, 7, 100] {
                let pages = paged(&snapshot, &query, size);
                assert_eq!(pages.iter().collect::<Vec<_>>(), expected, "{context}, pages of {size}, {descending}");
            }
            let cursor = store.list(&query.limit(300)).unwrap().next.unwrap().to_string();
            assert!(cursor.len() < 1_024, "{} bytes", cursor.len());
        }
    };
    check("beside a memtable");
    store.compact().unwrap();
    check("compacted");
}
