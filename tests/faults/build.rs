//! The copy of the sources with all faults, and the build of its test binaries.
//!
//! Invariants:
//! * Only files that changed are written, so that a second build has little to do.
//! * The copy shares the target directory of the checkout, with the dependencies that are built there.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::Range;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::catalogue::Fault;

/// What is the same in the copy.
const LINKED: &[&str] = &["tests", "examples", "benches", "README.md", "ARCHITECTURE.md"];

/// Appended to `src/lib.rs`.
const CHOICE: &str = r#"
/// Whether this run has the fault `name`.
fn seeded_fault(name: &str) -> bool {
    static CHOSEN: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
    CHOSEN.get_or_init(|| std::env::var("VECMEM_FAULT").ok()).as_deref() == Some(name)
}
"#;

/// The test binary of the unit tests.
pub const UNIT: &str = "lib";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The target directory of the checkout.
fn target() -> PathBuf {
    let temporary = Path::new(env!("CARGO_TARGET_TMPDIR"));
    temporary.parent().unwrap_or(temporary).to_owned()
}

/// Copies the package with all faults. Returns the directory of the copy.
pub fn copy_sources(faults: &[&Fault]) -> Result<PathBuf, String> {
    let mut of_file: BTreeMap<&str, Vec<&Fault>> = BTreeMap::new();
    faults.iter().for_each(|fault| of_file.entry(fault.file).or_default().push(fault));
    let copy = target().join("seeded-faults");
    let sources = root().join("src");
    let mut kept = BTreeSet::new();
    for path in files_below(&sources)? {
        let relative = path.strip_prefix(&sources).map_err(|error| error.to_string())?.to_owned();
        let mut text = read(&path)?;
        let faults = relative.to_str().and_then(|name| of_file.remove(name)).unwrap_or_default();
        text = substitute(&text, &faults)?;
        if relative == Path::new("lib.rs") {
            text.push_str(CHOICE);
        }
        let to = copy.join("src").join(&relative);
        write(&to, &text)?;
        kept.insert(to);
    }
    if let Some((file, faults)) = of_file.first_key_value() {
        return Err(format!("{}: there is no file src/{file}", faults[0].name));
    }
    for stale in files_below(&copy.join("src"))?.into_iter().filter(|path| !kept.contains(path)) {
        fs::remove_file(&stale).map_err(|error| format!("{}: {error}", stale.display()))?;
    }
    write(&copy.join("Cargo.toml"), &alone(&read(&root().join("Cargo.toml"))?)?)?;
    // Cargo takes the other packages of the workspace out of it.
    write(&copy.join("Cargo.lock"), &read(&root().join("Cargo.lock"))?)?;
    for name in LINKED {
        let link = copy.join(name);
        if link.symlink_metadata().is_err() {
            symlink(root().join(name), &link).map_err(|error| format!("{}: {error}", link.display()))?;
        }
    }
    Ok(copy)
}

/// The text with the faults of its file.
fn substitute(text: &str, faults: &[&Fault]) -> Result<String, String> {
    let mut places: Vec<(Range<usize>, &Fault)> = Vec::new();
    for fault in faults {
        let found: Vec<usize> = text.match_indices(fault.find).map(|(at, _)| at).collect();
        let [at] = found[..] else {
            return Err(format!(
                "{}: its text to find is {} times in src/{}, instead of once; adapt the catalogue to the code:\n{}",
                fault.name,
                found.len(),
                fault.file,
                fault.find
            ));
        };
        places.push((at..at + fault.find.len(), fault));
    }
    places.sort_by_key(|(place, _)| place.start);
    if let Some(pair) = places.windows(2).find(|pair| pair[0].0.end > pair[1].0.start) {
        return Err(format!("{} and {} change the same text", pair[0].1.name, pair[1].1.name));
    }
    let mut result = text.to_owned();
    for (place, fault) in places.into_iter().rev() {
        if !fault.replacement.contains("FAULT") {
            return Err(format!(
                "{}: the replacement lacks the word FAULT, so the fault would always be on",
                fault.name
            ));
        }
        let choice = format!("crate::seeded_fault({:?})", fault.name);
        result.replace_range(place, &fault.replacement.replace("FAULT", &choice));
    }
    Ok(result)
}

/// The manifest as that of a workspace of one package.
fn alone(manifest: &str) -> Result<String, String> {
    let mut members = 0;
    let lines = manifest.lines().map(|line| match line.split_once(" = ") {
        Some((name @ ("members" | "default-members"), _)) => {
            members += 1;
            format!("{name} = [\".\"]\n")
        }
        _ => format!("{line}\n"),
    });
    let manifest = lines.collect();
    if members == 2 { Ok(manifest) } else { Err("Cargo.toml has no line of members and default-members".into()) }
}

/// Builds the test binaries that the faults need. Returns the path of each.
pub fn build(copy: &Path, faults: &[&Fault]) -> Result<BTreeMap<String, PathBuf>, String> {
    let needed: BTreeSet<&str> = faults.iter().map(|fault| fault.test.0).collect();
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["test", "--no-run", "--offline", "--message-format=json-render-diagnostics"]);
    command.arg("--manifest-path").arg(copy.join("Cargo.toml")).arg("--target-dir").arg(target());
    if std::env::current_exe().is_ok_and(|path| path.components().any(|part| part.as_os_str() == "release")) {
        command.arg("--release");
    }
    for &binary in &needed {
        if binary == UNIT {
            command.arg("--lib")
        } else {
            command.args(["--test", binary])
        };
    }
    let output = command.stderr(Stdio::inherit()).output().map_err(|error| format!("cargo: {error}"))?;
    if !output.status.success() {
        return Err("the sources with the faults do not compile (above)".into());
    }
    let mut built = BTreeMap::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let Ok(message) = serde_json::from_str::<serde_json::Value>(line) else { continue };
        let (target, executable) = (&message["target"], &message["executable"]);
        if let Some(executable) = executable.as_str() {
            let is_unit = target["kind"][0] == "lib";
            let name = if is_unit { UNIT } else { target["name"].as_str().unwrap_or_default() };
            built.insert(name.to_owned(), PathBuf::from(executable));
        }
    }
    match needed.iter().find(|name| !built.contains_key(**name)) {
        Some(missing) => Err(format!("cargo has built no test binary {missing}")),
        None => Ok(built),
    }
}

fn files_below(directory: &Path) -> Result<Vec<PathBuf>, String> {
    let (mut found, mut waiting) = (Vec::new(), vec![directory.to_owned()]);
    while let Some(directory) = waiting.pop() {
        let entries = fs::read_dir(&directory).map_err(|error| format!("{}: {error}", directory.display()))?;
        for entry in entries {
            let path = entry.map_err(|error| error.to_string())?.path();
            if path.is_dir() { waiting.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    Ok(found)
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// Writes a file, unless it has this text.
fn write(path: &Path, text: &str) -> Result<(), String> {
    if fs::read_to_string(path).is_ok_and(|before| before == text) {
        return Ok(());
    }
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(path, text)).map_err(failed)
}
