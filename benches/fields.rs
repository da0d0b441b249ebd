//! What filters cost where field indexes answer them: beside a memtable and several segments, with long lists, and what
//! the indexes add to an import. Seeded data; run with `cargo bench --bench fields`.
//!
//! The first table compares one store of 8 segments and a full memtable with the same items compacted, at several pass
//! rates, for filters that come for the first time and for repeated ones. Each filter has a test that decides and one
//! that makes it another filter. The second one asks for items among 1,000,000 by a list of as many values. The third
//! one imports with and without indexes: the dialogues, where they are given, and made-up rows of 128 dimensions with 4
//! attributes.
//!
//! `VECMEM_FIELDS_ROWS` sets the rows of a segment, `VECMEM_FIELDS_ITEMS` those of the other tables. `VECMEM_FIELDS`
//! names one table: `memtable`, `lists` or `import`.

mod common;
#[path = "common/report.rs"]
mod report;

use std::hint::black_box;
use std::time::Duration;

use serde_json::json;
use vecmem::testing::Random;
use vecmem::{
    Durability, FieldRules, Filter, Metric, Namespace, Options, Put, Query, ReadOptions, Scope, Store, Tuning,
};

use common::{Row, Times, dialogues, directory, fill, import, is_test, open, random, timed, times, unmerged};
use report::{Table, machine};

const DIMENSIONS: usize = 128;
const SEGMENTS: usize = 8;
/// One row less than those that a memtable is flushed at.
const MEMTABLE_ROWS: usize = 8_191;
/// An attribute, and of how many rows one has each of its values.
const ATTRIBUTES: [(&str, u64, &str); 5] = [
    ("half", 2, "50 %"),
    ("seventh", 7, "14 %"),
    ("33rd", 33, "3 %"),
    ("100th", 100, "1 %"),
    ("1000th", 1_000, "0.1 %"),
];
/// Filters of a pass rate that are measured at their first use.
const FILTERS: usize = 60;

fn sized(variable: &str, full: usize, tiny: usize) -> usize {
    let is_full = std::env::args().any(|argument| argument == "--bench") && !is_test();
    let given = std::env::var(variable).ok().and_then(|count| count.parse().ok());
    given.unwrap_or(if is_full { full } else { tiny })
}

fn home() -> Namespace {
    Namespace::new(["home"]).expect("a label is a namespace")
}

/// A vector near one of 64 centres.
fn vector(random: &mut Random) -> Vec<f32> {
    let mut centre = common::random(100 + random.below(64_u64));
    (0..DIMENSIONS).map(|_| centre.unit() + 0.7 * random.unit()).collect()
}

/// Rows with a text of about 200 bytes and the attributes.
fn rows(count: usize) -> Vec<Row> {
    let mut random = random(41);
    let row = |number: usize| {
        let mut value = json!({"text": common::json(number), "number": number});
        for (name, values, _) in ATTRIBUTES {
            value[name] = random.below(values).into();
        }
        Row { namespace: home(), key: format!("{number:07}"), json: value.to_string(), vector: vector(&mut random) }
    };
    (0..count).map(row).collect()
}

fn options() -> Options {
    Options::with_vectors(DIMENSIONS, Metric::Cosine).durability(Durability::Manual)
}

/// The median times of the first and of later uses of filters that pass one row of `values`.
fn search_times(store: &Store, name: &str, values: u64, round: usize) -> [Duration; 2] {
    let mut random = random(43 + round as u64);
    let (mut first, mut later) = (Vec::new(), Vec::new());
    for number in 0..FILTERS {
        let own = Filter::ne("number", -((number + round * FILTERS) as i64) - 1);
        let filter = Filter::eq(name, random.below(values) as i64).and(own);
        let query = Query::new(&home()).filter(filter).limit(10);
        let mut search = || {
            let query = query.clone().vector(vector(&mut random));
            timed(|| black_box(store.search(&query)).expect("the search succeeds").hits.len()).0
        };
        first.push(search());
        search();
        later.extend((0..3).map(|_| search()));
    }
    [first, later].map(|times| Times::of(times).median())
}

fn memtable(table: &mut Table) {
    let each = sized("VECMEM_FIELDS_ROWS", 16_500, 300);
    let memtable = MEMTABLE_ROWS.min(each);
    let rows = rows(SEGMENTS * each + memtable);
    let (one, other) = (directory(), directory());
    let tuning = Tuning { import_file_rows: 1, ..unmerged(Tuning::default().memtable_rows) };
    let parts = open(one.path(), options().tuning(tuning));
    let (in_segments, in_memtable) = rows.split_at(SEGMENTS * each);
    in_segments.chunks(each).for_each(|rows| import(&parts, rows));
    let whole = open(other.path(), options());
    import(&whole, &rows);
    whole.compact().expect("the store compacts");
    let graphs = [&parts, &whole].map(|store| {
        store.build_graph(&Scope::Namespace(home())).expect("graphs are built");
        store.stats().expect("the store is open").graphs.count
    });
    let (took, ()) = timed(|| fill(&parts, in_memtable, 64));
    let per_put = took.as_nanos() as f64 / 1e3 / memtable.max(1) as f64;
    table.row("a put, in batches of 64, not synced", "-", &format!("{per_put:.2} us"), &format!("{memtable} rows"));
    let stats = parts.stats().expect("the store is open");
    let data = format!(
        "{} segments of {each}, {} rows in memory, {graphs:?} graphs",
        stats.internals.segments, stats.memory.memtable_rows
    );
    for (name, values, rate) in ATTRIBUTES {
        // The first round makes the indexes of the memtable, and reads files for the first time.
        let [mut apart, mut compacted] = [[Duration::ZERO; 2]; 2];
        for round in 0..3 {
            apart = search_times(&parts, name, values, round);
            compacted = search_times(&whole, name, values, round);
        }
        for (use_of, apart, compacted) in [("first", apart[0], compacted[0]), ("later", apart[1], compacted[1])] {
            let measured = format!(
                "{:.2}x: {:.0} us / {:.0} us",
                apart.as_secs_f64() / compacted.as_secs_f64(),
                apart.as_secs_f64() * 1e6,
                compacted.as_secs_f64() * 1e6
            );
            table.row(&format!("{rate} pass, {use_of} use: in parts / compacted"), "at most 3x", &measured, &data);
        }
    }
}

fn lists(table: &mut Table) {
    let items = sized("VECMEM_FIELDS_ITEMS", 1_000_000, 2_000);
    let directory = directory();
    let store = open(directory.path(), Options::with_vectors(2, Metric::Cosine).durability(Durability::Manual));
    let put = |number: usize| {
        let put = Put::new(&home(), format!("{number:07}"), format!(r#"{{"id":{}}}"#, number * 7));
        // One in a thousand has a vector: this is about filters.
        Ok(if number.is_multiple_of(1_000) { put.vector([1.0, number as f32]) } else { put })
    };
    store.import((0..items).map(put), vecmem::ImportOptions::new()).expect("the items are imported");
    store.compact().expect("the store compacts");
    let data = format!("{items} items, as many values");
    let text =
        format!(r#"{{"id":{{"$in":[{}]}}}}"#, (0..items).map(|n| (n * 3).to_string()).collect::<Vec<_>>().join(","));
    let (parsed, filter) = timed(|| Filter::from_json_str(&text).expect("the filter is one"));
    let options = ReadOptions::default();
    let query = Query::new(&home()).filter(filter.clone()).limit(10);
    let list = || store.list(black_box(&query)).expect("the listing succeeds").hits.len();
    let (prepared, found) = timed(list);
    let milliseconds = |time: Duration| format!("{:.2} ms", time.as_secs_f64() * 1e3);
    assert_eq!(found, 10.min(items.div_ceil(3)));
    table.row("a list of ids: parsed", "once", &milliseconds(parsed), &data);
    table.row("a list of ids: first listing", "once", &milliseconds(prepared), &data);
    let later = times(50, || assert_eq!(black_box(list()), found)).median();
    let all = Query::new(&home()).limit(10);
    let unfiltered = times(50, || assert!(store.list(black_box(&all)).is_ok())).median();
    let measured = format!("{} / {}", milliseconds(later), milliseconds(unfiltered));
    table.row("a list of ids: later listings / without a filter", "2 ms", &measured, &data);
    let passing = (0..items).filter(|number| number * 7 % 3 == 0 && number * 7 / 3 < items).count() as u64;
    let counted = |counted: u64| assert_eq!(counted, passing);
    let later = times(10, || {
        counted(store.count_where(&Scope::Namespace(home()), &filter, &options).expect("the count succeeds"))
    })
    .median();
    table.row("a list of ids: later counts of all that pass", "-", &milliseconds(later), &data);
    let search = Query::new(&home()).filter(filter).vector([1.0, 0.5]).limit(10).exact(true);
    let later = times(50, || assert!(store.search(black_box(&search)).is_ok())).median();
    table.row("a list of ids: later exact searches", "-", &milliseconds(later), &data);
}

/// Seconds of processor time that this process has taken, of all its threads.
fn processor_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields).split_whitespace();
    // User and system time, in hundredths of a second.
    fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
}

/// The shortest import of three, with and without field indexes, alternating. On a busy machine the processor time
/// tells more than the time that has passed.
fn import_cost(table: &mut Table, rows: &[Row], data: &str) {
    let (mut best, mut least) = ([Duration::MAX; 2], [f64::MAX; 2]);
    let mut bytes = 0;
    for _ in 0..3 {
        for ((best, least), rules) in best.iter_mut().zip(&mut least).zip([FieldRules::default(), no_fields()]) {
            let directory = directory();
            let dims = rows.first().map_or(1, |row| row.vector.len());
            let store = open(directory.path(), Options::with_vectors(dims, Metric::Cosine));
            let indexes = rules.is_empty();
            store.set_field_rules(&rules).expect("the rules are kept");
            let before = processor_seconds();
            *best = timed(|| import(&store, rows)).0.min(*best);
            *least = least.min(processor_seconds() - before);
            if indexes {
                bytes = store.stats().expect("the store is open").fields.bytes;
            }
        }
    }
    let [with, without] = best.map(|time| time.as_secs_f64());
    let values: usize = rows.iter().map(|row| row.json.len()).sum();
    let measured = format!("{:+.1} %: {with:.2} s / {without:.2} s", (with / without - 1.0) * 100.0);
    table.row("import with / without field indexes", "+25 %", &measured, data);
    let measured = format!("{:+.1} %: {:.2} s / {:.2} s", (least[0] / least[1] - 1.0) * 100.0, least[0], least[1]);
    table.row("the same in processor time", "+25 %", &measured, data);
    let share = format!("{:.1} %", bytes as f64 * 100.0 / values.max(1) as f64);
    table.row("field indexes, of the bytes of the values", "15 %", &share, data);
}

fn no_fields() -> FieldRules {
    FieldRules::new(["*"], [""; 0]).expect("everything is a rule")
}

fn imports(table: &mut Table) {
    let items = sized("VECMEM_FIELDS_ITEMS", 1_000_000, 2_000);
    let real = dialogues(items);
    import_cost(table, &real.rows, &real.what);
    let mut random = random(47);
    let row = |number: usize| Row {
        namespace: home(),
        key: format!("{number:07}"),
        json: format!(
            r#"{{"kind":"k{}","user":{},"at":{},"score":{:.3}}}"#,
            random.below(20_u64),
            random.below(10_000_u64),
            1_700_000_000 + number,
            random.unit()
        ),
        vector: vector(&mut random),
    };
    let rows: Vec<Row> = (0..items).map(row).collect();
    import_cost(table, &rows, &format!("{items} rows of {DIMENSIONS}-d, 4 attributes"));
}

fn main() {
    println!("{}", machine());
    let only = std::env::var("VECMEM_FIELDS").unwrap_or_default();
    let mut table = Table::begin();
    for name in ["memtable", "lists", "import"].into_iter().filter(|name| only.is_empty() || *name == only) {
        match name {
            "memtable" => memtable(&mut table),
            "lists" => lists(&mut table),
            _ => imports(&mut table),
        }
    }
}
