//! What `export` writes, `import` reads back: exporting the copy gives the same bytes.

mod common;

use std::fs;
use std::process::Stdio;

use common::{at, command, fails, succeeds};

const LINES: &str = r#"{"namespace":["a","b/c"],"key":"","value":{"n": 1.0, "deep": {"é": "\u00e9 \n"}},"vector":[0.1,-2.5,3e-7],"created_at":5,"updated_at":6}
{"namespace":["a"],"key":"two\nlines","value":{},"vectors":[{"path":"x","values":[1,2,3]},{"path":"y.0","values":[4,5,6]}],"created_at":7,"updated_at":8}
{"namespace":["a\u0000"],"key":"none","value":{"big":123456789012345678901234567890},"vectors":[],"ttl_seconds":1e9,"created_at":9,"updated_at":10}
"#;

#[test]
fn an_export_imports_to_the_same_export() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| at(directory.path(), name);
    let (first, lines) = (path("first"), path("lines.jsonl"));
    fs::write(&lines, LINES).unwrap();
    succeeds(&["import", &first, &lines, "--metric", "dot"]);
    // A value that spans lines stays one line of the export.
    succeeds(&["put", &first, r#"["z"]"#, "pretty", "{\n  \"a\": 1\n}", "--vector", "[1, 1, 1]"]);
    let export = succeeds(&["export", &first]);
    let keys: Vec<serde_json::Value> = export
        .lines()
        .skip(1)
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["key"].clone())
        .collect();
    assert_eq!(keys, ["two\nlines", "", "none", "pretty"]);
    assert!(
        export.contains(
            r#""value":{"n": 1.0, "deep": {"é": "\u00e9 \n"}},"vector":[0.1,-2.5,3e-7],"created_at":5,"updated_at":6}"#
        ),
        "{export}"
    );
    assert!(
        export.contains(r#""values":[4.0,5.0,6.0]"#) && export.contains(r#""ttl_seconds":1000000000.0"#),
        "{export}"
    );

    let mut source = command(&["export", &first, "-"]).stdout(Stdio::piped()).spawn().unwrap();
    let piped = path("piped");
    let pipe = source.stdout.take().unwrap();
    assert!(command(&["import", &piped, "-"]).stdin(pipe).stdout(Stdio::null()).status().unwrap().success());
    assert!(source.wait().unwrap().success());
    assert_eq!(succeeds(&["export", &piped]), export);

    let (gzip, matrix, copy) = (path("out.jsonl.gz"), path("out.npy"), path("copy"));
    succeeds(&["export", &first, &gzip, "--vectors", &matrix]);
    assert_eq!(fs::read(&gzip).unwrap()[..2], [0x1F, 0x8B]);
    succeeds(&["import", &copy, &gzip, "--vectors", &matrix, "--no-compact"]);
    assert_eq!(succeeds(&["export", &copy]), export);

    assert!(fails(&["export", &first, &path("no/such/folder.jsonl")]).contains("cannot create"));
    let left: Vec<_> = fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().ends_with(".partial")), "{left:?}");
}
