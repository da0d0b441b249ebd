//! Of a store with a damaged segment, `--partial` gives what can be read and says that something is missing, `check`
//! says what helps, and `check --accept-loss` lists what is lost and ends the damage.

mod common;

use std::collections::BTreeSet;
use std::fs;

use common::{at, command, fails, files_ending, flip, lines, succeeds, text};
use serde_json::Value;

/// A store in one segment, one of whose blocks of values is damaged, and its keys.
fn damaged(directory: &std::path::Path) -> (String, BTreeSet<String>) {
    let (dir, file) = (at(directory, "store"), at(directory, "lines.jsonl"));
    // Values of several blocks, so that one of these is nothing but values.
    let line = |number: u32| {
        let text = format!("memory {number} {}", "and more ".repeat(90));
        format!(
            "{{\"namespace\":[\"users\",\"{}\"],\"key\":\"k{number}\",\"value\":{{\"text\":\"{text}\"}}}}\n",
            number % 7
        )
    };
    fs::write(&file, (0..700).map(line).collect::<String>()).unwrap();
    succeeds(&["import", &dir, &file]);
    let keys = keys_of(&succeeds(&["export", &dir]));
    let truth = files_ending(&dir, ".truth");
    assert_eq!(truth.len(), 1);
    flip(&truth[0], "memory 350 ");
    (dir, keys)
}

fn keys_of(export: &str) -> BTreeSet<String> {
    let name = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap();
        format!("{} {}", line["namespace"], line["key"])
    };
    export.lines().skip(1).map(name).collect()
}

#[test]
fn partial_reads_say_what_is_missing() {
    let directory = tempfile::tempdir().unwrap();
    let (dir, keys) = damaged(directory.path());
    let message = fails(&["export", &dir]);
    assert!(message.contains(".truth"), "names the file: {message}");

    let target = at(directory.path(), "rest.jsonl");
    let output = command(&["export", &dir, &target, "--partial", "--json"]).output().unwrap();
    let warning = text(&output.stderr);
    assert!(output.status.success(), "{warning}");
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    let rest = keys_of(&fs::read_to_string(&target).unwrap());
    assert!(rest.is_subset(&keys) && !rest.is_empty() && rest.len() < keys.len(), "{} of {}", rest.len(), keys.len());
    assert_eq!((&said["items"], &said["incomplete"]), (&rest.len().into(), &true.into()));
    assert!(
        warning.contains("warning: ") && warning.contains("damaged") && warning.contains("vecmem check"),
        "{warning}"
    );

    let all = ["search", &dir, "--all", "--limit", "5000"];
    assert!(fails(&all).contains(".truth"));
    let output = command(&[&all[..], &["--partial", "--json"]].concat()).output().unwrap();
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&answer["incomplete"], output.status.success()), (&true.into(), true));
    assert_eq!(answer["hits"].as_array().unwrap().len(), rest.len());
    assert!(text(&output.stderr).contains("a damaged part was left out"));
}

#[test]
fn what_is_lost_is_listed_and_the_damage_ends() {
    let directory = tempfile::tempdir().unwrap();
    let (dir, keys) = damaged(directory.path());
    for repair in [&[][..], &["--repair"]] {
        let output = command(&[&["check", &dir], repair].concat()).output().unwrap();
        let (said, message) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(1));
        assert!(said.contains("what helps: restore") && said.contains("--accept-loss"), "{said}");
        assert!(!said.contains("--repair") && !message.contains("--repair"), "no rebuild helps: {said}{message}");
    }
    let rest = keys_of(&text(&command(&["export", &dir, "--partial"]).output().unwrap().stdout));

    let checked: Value = serde_json::from_str(&succeeds(&["check", &dir, "--accept-loss", "--json"])).unwrap();
    let loss = &checked["loss"];
    // The note of how far the import had come lies in the same block.
    let (own, lost): (BTreeSet<String>, BTreeSet<String>) = loss["lost"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| format!("{} {}", item["namespace"], item["key"]))
        .partition(|name| name.starts_with("[\"\",\"import\"]"));
    assert_eq!(own.len(), 1);
    assert_eq!(checked["problems"], serde_json::json!([]));
    assert_eq!((loss["kept"].as_u64(), loss["unnamed"].as_u64()), (Some(rest.len() as u64), Some(0)));
    let lost_and_kept: BTreeSet<String> = lost.union(&rest).cloned().collect();
    assert!(!lost.is_empty() && lost.is_disjoint(&rest) && lost_and_kept == keys);
    assert_eq!(keys_of(&succeeds(&["export", &dir])), rest);
    assert!(succeeds(&["check", &dir, "--accept-loss"]).contains("nothing had to be given up"));
}

#[test]
fn people_read_each_lost_item_on_a_line() {
    let directory = tempfile::tempdir().unwrap();
    let (dir, keys) = damaged(directory.path());
    let said = succeeds(&["check", &dir, "--accept-loss"]);
    let lost = said.lines().filter(|line| line.starts_with("lost: users/")).count();
    let own = said.lines().filter(|line| line.starts_with("lost: how far the import of ")).count();
    assert_eq!(own, 1);
    let total = format!("lost {} items and 0 rows without a name", lost + own);
    assert!(lost > 0 && said.contains("gave up: ") && said.contains(&total), "{total}");
    assert_eq!(keys_of(&succeeds(&["export", &dir])).len() + lost, keys.len());
}

#[test]
fn of_damaged_graphs_and_codes_a_repair_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let [dir, file, matrix] = ["store", "lines.jsonl", "vectors.npy"].map(|name| at(directory.path(), name));
    let mut numbers = common::Numbers::new(7);
    let vectors: Vec<f32> = (0..500 * 32).map(|_| 2.0 * numbers.share() - 1.0).collect();
    fs::write(&file, lines(500, 7)).unwrap();
    fs::write(&matrix, common::npy(500, 32, &vectors)).unwrap();
    succeeds(&["import", &dir, &file, "--vectors", &matrix]);
    let codes = &files_ending(&dir, ".codes")[0];
    let mut bytes = fs::read(codes).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    fs::write(codes, bytes).unwrap();
    let output = command(&["check", &dir]).output().unwrap();
    let said = text(&output.stdout);
    assert!(output.status.code() == Some(1) && said.contains("vecmem check --repair"), "{said}");
    assert!(!said.contains("--accept-loss"), "{said}");
    assert!(succeeds(&["check", &dir, "--repair"]).contains("repaired: "));
    succeeds(&["check", &dir]);
}
