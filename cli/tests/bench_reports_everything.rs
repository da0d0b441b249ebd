//! `bench` runs end to end on made-up and on given vectors, says everything in one JSON object, and names what is
//! wrong.

mod common;

use std::fs;

use common::{Numbers, at, npy, succeeds};
use serde_json::Value;

fn bench(arguments: &[&str]) -> Value {
    let printed = succeeds(&[&["bench", "--seconds", "0.01", "--json"], arguments].concat());
    assert_eq!(printed.lines().count(), 1, "{printed}");
    serde_json::from_str(&printed).unwrap()
}

fn positive(value: &Value) -> bool {
    value.as_f64().is_some_and(|number| number > 0.0)
}

#[test]
fn made_up_vectors_are_measured() {
    let directory = tempfile::tempdir().unwrap();
    let [store, plot] = ["store", "curve.svg"].map(|name| at(directory.path(), name));
    let shape = ["--generate", "400", "--dims", "24", "--query-count", "20", "--namespaces", "3"];
    let more = ["--processes", "--mixed", "0.05", "--parts", "3", "--keep", &store, "--plot", &plot];
    let figures = bench(&[shape.as_slice(), &more].concat());
    assert_eq!((&figures["k"], &figures["namespaces"], &figures["queries"]), (&10.into(), &3.into(), &20.into()));
    let row = &figures["rows"][0];
    assert_eq!((&row["ef"], &row["recall"]), (&"exact".into(), &1.0.into()));
    for name in ["qps", "qps_all_threads", "p50_us", "p99_us", "distances"] {
        assert!(positive(&row[name]), "{name}: {row}");
    }
    for name in ["bytes_per_second", "latency_ns", "bytes_per_query", "p50_us"] {
        assert!(positive(&figures["limits"][name]), "{name}: {figures}");
    }
    assert!(positive(&figures["import_seconds"]) && positive(&figures["disk_bytes"]), "{figures}");
    for name in ["processes", "mixed"] {
        assert!(positive(&figures[name]["ratio"]), "{figures}");
    }
    assert!(positive(&figures["mixed"]["puts_per_second"]), "{figures}");
    assert_eq!((&figures["segments"], &figures["parts"]["segments"]), (&1.into(), &3.into()));
    assert!(positive(&figures["parts"]["rows"][0]["ratio"]), "{figures}");
    #[cfg(target_os = "linux")]
    assert!(positive(&figures["memory"]["codes"]) && positive(&figures["memory"]["truth"]), "{figures}");
    assert!(fs::read_to_string(&plot).unwrap().contains("recall@10"));
    // The writer of the mixed load wrote to a copy.
    let kept: Value = serde_json::from_str(&succeeds(&["stats", &store, "--json"])).unwrap();
    assert_eq!(kept["size"]["items"], 400);
}

#[test]
fn a_graph_is_built_and_walked() {
    let figures = bench(&["--generate", "3000", "--dims", "16", "--query-count", "50"]);
    assert_eq!((&figures["build"]["graphs"], &figures["build"]["nodes"]), (&1.into(), &3_000.into()));
    let rows = figures["rows"].as_array().unwrap();
    let (walk, scan) = (&rows[1], &rows[0]);
    assert_eq!(walk["ef"], serde_json::json!({"ef": 10}));
    assert!(walk["distances"].as_f64() < scan["distances"].as_f64() && positive(&walk["recall"]), "{figures}");
    assert!(rows.last().unwrap()["recall"].as_f64().unwrap() > 0.95, "{figures}");
    let asked = figures["asked"].as_array().unwrap();
    assert_eq!(asked.iter().map(|row| row["asked"].as_f64().unwrap()).collect::<Vec<f64>>(), [0.9, 0.95, 0.98, 0.99]);
}

#[test]
fn puts_are_counted() {
    for namespaces in ["1", "40"] {
        let shape = ["--dims", "8", "--put-namespaces", namespaces, "--put-threads", "3"];
        let figures = bench(&[&["--puts", "200"], shape.as_slice()].concat());
        assert_eq!((&figures["items"], &figures["threads"]), (&200.into(), &3.into()));
        for name in ["items_per_second", "p50_us", "bytes_written", "written_per_given", "disk_bytes"] {
            assert!(positive(&figures[name]), "{name}: {figures}");
        }
        let given = figures["bytes_given"].as_u64().unwrap();
        assert!((200 * 150..200 * 250).contains(&given), "{given}");
    }
}

#[test]
fn given_vectors_are_compared_with_their_truth() {
    let directory = tempfile::tempdir().unwrap();
    let [vectors, queries, truth] = ["v.npy", "q.fvecs", "t.ivecs"].map(|name| at(directory.path(), name));
    let mut numbers = Numbers::new(8);
    let rows: Vec<f32> = (0..60 * 4).map(|_| 2.0 * numbers.share() - 1.0).collect();
    fs::write(&vectors, npy(60, 4, &rows)).unwrap();
    // Each query is a vector of the store, so that under L2 it is its own nearest neighbour.
    let asked = [7, 41, 12];
    let fvecs = asked.iter().flat_map(|&row| {
        4i32.to_le_bytes().into_iter().chain(rows[4 * row..][..4].iter().flat_map(|number| number.to_le_bytes()))
    });
    fs::write(&queries, fvecs.collect::<Vec<u8>>()).unwrap();
    let write_truth = |rows: [i32; 3]| {
        let bytes = rows.iter().flat_map(|row| [1i32.to_le_bytes(), row.to_le_bytes()].concat());
        fs::write(&truth, bytes.collect::<Vec<u8>>()).unwrap();
    };
    let files = ["--vectors", &vectors, "--queries", &queries, "--metric", "l2", "--k", "1"];
    let with_truth = [files.as_slice(), &["--truth", &truth]].concat();
    write_truth([7, 41, 12]);
    assert_eq!(bench(&with_truth)["rows"][0]["recall"], 1.0);
    // A truth that is wrong for one query in three shows: it is used, not computed anew.
    write_truth([7, 41, 13]);
    let recall = bench(&with_truth)["rows"][0]["recall"].as_f64().unwrap();
    assert!((recall - 2.0 / 3.0).abs() < 1e-9, "{recall}");
    assert_eq!(bench(&files)["rows"][0]["recall"], 1.0);
    let held_out = bench(&["--vectors", &vectors, "--query-count", "6"]);
    assert_eq!(held_out["queries"], 6);
    assert!(held_out["data"].as_str().unwrap().starts_with("54 vectors of 4 dimensions"), "{held_out}");

    write_truth([7, 41, 60]);
    let wrong: [(&[&str], &str); 10] = [
        (&["--vectors", &vectors, "--query-count", "60"], "v.npy has 60 vectors; --query-count 60 would leave nothing"),
        (&with_truth, "t.ivecs: row 2 names the vector 60"),
        (&[files.as_slice(), &["--truth", &vectors]].concat(), "v.npy: its numbers are '<f4'"),
        (&["--vectors", &vectors, "--queries", &truth], "t.ivecs: vectors are read from"),
        (&[files.as_slice(), &["--keep", directory.path().to_str().unwrap()]].concat(), "is there already"),
        (&["--generate", "0"], "--generate needs at least 1"),
        (&["--generate", "9", "--mixed", "0"], "--mixed needs a time"),
        (&["--puts", "9", "--put-threads", "0"], "--put-threads needs at least 1"),
        (&["--generate", "9", "--k", "0"], "--k needs at least 1"),
        (&["--generate", "9", "--seconds", "nan"], "--seconds NaN"),
    ];
    for (arguments, wanted) in wrong {
        let message = fails_without_warning(arguments);
        assert!(message.contains(wanted), "{arguments:?}: {message}");
    }
    write_truth([7, 41, 12]);
    let message = fails_without_warning(&[files[..6].to_vec(), vec!["--truth", &truth]].concat());
    assert!(message.contains("t.ivecs has 1 neighbours of each query; --k 10"), "{message}");
}

#[test]
#[cfg(not(feature = "baseline"))]
fn a_build_without_the_baseline_says_how_to_get_one() {
    assert!(common::fails(&["bench", "--generate", "9", "--baseline", "hnsw_rs"]).contains("--features baseline"));
}

#[test]
#[cfg(feature = "baseline")]
fn the_baseline_is_measured_beside() {
    for metric in ["cosine", "l2"] {
        let figures = bench(&["--generate", "600", "--query-count", "20", "--baseline", "hnsw_rs", "--metric", metric]);
        let rows = figures["baseline"]["rows"].as_array().unwrap();
        assert!(rows.last().unwrap()["recall"].as_f64().unwrap() > 0.99, "{figures}");
        assert!(positive(&figures["baseline"]["build_seconds"]) && positive(&figures["ratios"]["qps"][0]["ratio"]));
    }
    let message = fails_without_warning(&["--generate", "9", "--baseline", "hnsw_rs", "--metric", "dot"]);
    assert!(message.contains("--metric dot"), "{message}");
}

/// The message of a failing run without the one about debug builds.
fn fails_without_warning(arguments: &[&str]) -> String {
    let output = common::command(&[&["bench"], arguments].concat()).output().unwrap();
    let message = common::text(&output.stderr);
    let lines: Vec<&str> = message.lines().filter(|line| !line.starts_with("WARNING: this is a debug build")).collect();
    assert!(output.status.code() == Some(1) && lines.len() <= 2 && lines[0].starts_with("error: "), "{message}");
    lines.join("\n")
}

#[test]
fn filters_are_measured_on_a_store() {
    let directory = tempfile::tempdir().unwrap();
    let [store, plot] = ["store", "filters.svg"].map(|name| at(directory.path(), name));
    bench(&["--generate", "600", "--dims", "16", "--query-count", "20", "--keep", &store]);
    let filters = ["--filter", r#"{"kind":"fact"}"#, "--filter", r#"{"kind":"nothing"}"#, "--filters", "auto"];
    let figures = bench(&[&["--store", &store, "--plot", &plot], filters.as_slice()].concat());
    let rows = figures["rows"].as_array().unwrap();
    assert_eq!((&figures["items"], &figures["k"], &rows[0]["filter"]), (&600.into(), &10.into(), &Value::Null));
    assert!(rows.len() > 5, "some are made: {figures}");
    for row in rows {
        assert!(positive(&row["qps"]) && positive(&row["p99_us"]) && positive(&row["ratio"]), "{row}");
        assert!(!row["plan"].as_str().unwrap().is_empty() && positive(&row["recall"]), "{row}");
    }
    let row = |filter: Value| rows.iter().find(|row| row["filter"] == filter).unwrap();
    let fact = row(serde_json::json!({"kind": "fact"}));
    assert_eq!((&fact["matches"], &fact["recall"]), (&400.into(), &1.0.into()));
    assert_eq!(row(serde_json::json!({"kind": "nothing"}))["pass_rate"], 0.0);
    let svg = fs::read_to_string(&plot).unwrap();
    assert_eq!(svg.matches("<circle").count(), 2 * (rows.len() - 1));
    let people = succeeds(&["bench", "--seconds", "0.01", "--store", &store, "--filter", r#"{"turn":{"$lt":2}}"#]);
    assert!(people.contains("10.00 %") && people.contains(r#"{"turn":{"$lt":2}}"#), "{people}");
    for (arguments, named) in [
        (&["--store", &store][..], "--filter"),
        (&["--store", &store, "--filter", "{"], "--filter"),
        (&["--store", &store, "--queries", "none.npy", "--filter", "{}"], "none.npy"),
    ] {
        let output = common::command(&[&["bench"], arguments].concat()).output().unwrap();
        let message = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(1) && message.contains(named), "{arguments:?}: {message}");
    }
}
