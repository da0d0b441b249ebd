//! The rules of the code base as tests, so that reviews can talk about design: layers, sizes, tuples, headers, unsafe
//! code, doors to the outside, leftovers, and the paths that ARCHITECTURE.md names.
//!
//! Invariants:
//! * Every checker is a pure function from text to [`Finding`]s and is shown to fail by a test at the end of this file.
//! * Code is judged as tokens, with comments, strings and `#[cfg(test)]` items taken out where a rule is about shipped
//!   code.
//! * The tables below are the rules; to change a rule is to change its table in the same commit as the code that needs
//!   it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// Layers from the bottom up. A module imports from lower layers and from modules to its left in its own row.
const LAYERS: &[&[&str]] = &[
    &[
        "error",
        "events",
        "types",
        "codec",
        "random",
        "extensions",
        "sync",
        "record",
        "json",
        "interrupt",
        "ids",
        "row_set",
        "topk",
        "tuning",
        "words",
    ],
    &["storage", "distance", "quant", "filter", "fields"],
    &["field_index", "wal", "graph", "memtable"],
    &["file_names", "segment", "manifest"],
    &["search", "compact"],
    &["shard"],
    &["engine"],
    &["commit"],
    &["worker", "check"],
    &["store"],
    &["testing", "lib"],
];

/// Where `unsafe` may stand in the library; a trailing slash means the whole folder.
const UNSAFE_ALLOWED: &[&str] = &[
    "src/distance/",
    "src/storage/directory.rs",
    "src/storage/disk.rs",
    "src/storage/forks.rs",
    "src/storage/lock.rs",
    "src/storage/share.rs",
    "src/segment/derived/graph.rs",
    "src/memtable/append_only.rs",
    "src/graph/owned.rs",
    "src/graph/search.rs",
    "src/graph/walk.rs",
    "src/graph/mod.rs",
];

/// The files through which the library reaches the file system.
const STORAGE_DOORS: &[&str] = &[
    "src/storage/directory.rs",
    "src/storage/disk.rs",
    "src/storage/forks.rs",
    "src/storage/lock.rs",
    "src/storage/share.rs",
];

/// Names that only the listed files of the library may use, so that each dependency on the outside has one door.
const DOORS: &[(&str, &[&str])] = &[
    ("fs", STORAGE_DOORS),
    ("libc", STORAGE_DOORS),
    ("memmap2", &["src/storage/disk.rs", "src/storage/lock.rs", "src/storage/mod.rs"]),
];

/// Nouns whose counts are written by `counted`, in messages of shipped code.
const COUNTED: &[&str] = &[
    "rows",
    "segments",
    "items",
    "graphs",
    "vectors",
    "dimensions",
    "queries",
    "namespaces",
    "lines",
    "problems",
    "nodes",
    "files",
    "memories",
];

const FILE_LINES_MAX: usize = 400;
const PYTHON_LINES_MAX: usize = 350;
const FUNCTION_LINES_MAX: usize = 70;
const COMMENT_CHARS_MAX: usize = 120;
const ARCHITECTURE_LINES_MAX: usize = 300;

/// Put together from halves, so that this file passes its own test.
const MARKERS: &[&str] =
    &[concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X"), concat!("HA", "CK"), concat!("#[ign", "ore")];
const MARKER_MACROS: &[&str] = &["dbg", concat!("to", "do"), concat!("un", "implemented")];
const MACHINE_PATHS: &[&str] = &[concat!("/wo", "rk/"), concat!("/tmp", "/w/"), concat!("/ro", "ot/")];

/// Folders that hold generated things, not sources.
const FOLDERS_SKIPPED: &[&str] = &["target", "artifacts", "coverage", "__pycache__", "node_modules"];
const TEXT_ENDINGS: &[&str] = &[".rs", ".md", ".toml", ".sh", ".py", ".pyi", "Makefile", ".ci/run"];

/// One broken rule: where, and what to do about it.
#[derive(Debug)]
struct Finding {
    path: String,
    line: usize,
    remedy: String,
}

fn finding(path: &str, line: usize, remedy: impl Into<String>) -> Finding {
    Finding { path: path.into(), line, remedy: remedy.into() }
}

// ---- Reading Rust ----------------------------------------------------------------------------------------------------

/// A piece of code: an identifier, keyword or number, `::`, or one punctuation character.
#[derive(Clone, Debug)]
struct Token {
    text: String,
    line: usize,
}

/// One Rust file as the rules see it.
struct Source {
    path: String,
    text: String,
    /// Everything but comments and literals.
    tokens: Vec<Token>,
    /// `tokens` without `#[cfg(test)]` items; empty when the whole file is a test.
    shipped: Vec<Token>,
    /// Lines of `#[cfg(test)]` items.
    test_lines: BTreeSet<usize>,
}

impl Source {
    fn new(path: &str, text: &str) -> Self {
        let tokens = tokenize(&blank(text));
        let (shipped, test_lines) = without_tests(&tokens);
        Self { path: path.into(), text: text.into(), tokens, shipped, test_lines }
    }

    /// Whether the rules for the engine's own code apply.
    fn is_library(&self) -> bool {
        self.path.starts_with("src/")
    }

    /// `src/wal/frame.rs` is `["wal", "frame"]`; `mod.rs` is its folder.
    fn module(&self) -> Vec<&str> {
        let inner = self.path.trim_start_matches("src/").trim_end_matches(".rs");
        inner.split('/').filter(|part| *part != "mod").collect()
    }
}

/// The text with comments, strings and character literals replaced by spaces; lines stay where they are.
fn blank(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let length = literal_length(text, at);
        for byte in out[at..at + length].iter_mut().filter(|byte| **byte != b'\n') {
            *byte = b' ';
        }
        at += length.max(1);
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Bytes of the comment or literal that starts at `at`; 0 if none does.
fn literal_length(text: &str, at: usize) -> usize {
    let bytes = text.as_bytes();
    let rest = &bytes[at..];
    if rest.starts_with(b"//") {
        return rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
    }
    if rest.starts_with(b"/*") {
        return block_comment_length(rest);
    }
    let after_word = at > 0 && is_word(bytes[at - 1]);
    match rest[0] {
        b'"' => quoted_length(rest, b'"'),
        b'r' if !after_word || matches!(bytes[at - 1], b'b' | b'c') => raw_string_length(rest),
        b'\'' if rest.get(1) == Some(&b'\\') => quoted_length(rest, b'\''),
        b'\'' => {
            let width = text[at + 1..].chars().next().map_or(0, char::len_utf8);
            if rest.get(1 + width) == Some(&b'\'') { width + 2 } else { 0 }
        }
        _ => 0,
    }
}

fn block_comment_length(rest: &[u8]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        match rest.get(at..at + 2) {
            Some(b"/*") => (depth, at) = (depth + 1, at + 2),
            Some(b"*/") => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

fn quoted_length(rest: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while at < rest.len() && rest[at] != quote {
        at += if rest[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(rest.len())
}

fn raw_string_length(rest: &[u8]) -> usize {
    let hashes = rest[1..].iter().take_while(|byte| **byte == b'#').count();
    if rest.get(1 + hashes) != Some(&b'"') {
        return 0;
    }
    let end = [&b"\""[..], &b"#".repeat(hashes)].concat();
    let body = &rest[2 + hashes..];
    let length = body.windows(end.len()).position(|window| window == end).map_or(body.len(), |at| at + end.len());
    2 + hashes + length
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn tokenize(blanked: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    for (index, line) in blanked.lines().enumerate() {
        let mut rest = line.trim_start();
        while let Some(first) = rest.chars().next() {
            let length = match rest.bytes().position(|byte| !is_word(byte)).unwrap_or(rest.len()) {
                0 if rest.starts_with("::") => 2,
                0 => first.len_utf8(),
                word => word,
            };
            tokens.push(Token { text: rest[..length].into(), line: index + 1 });
            rest = rest[length..].trim_start();
        }
    }
    tokens
}

fn texts(tokens: &[Token], at: usize, expected: &[&str]) -> bool {
    expected.iter().enumerate().all(|(i, text)| tokens.get(at + i).is_some_and(|token| token.text == *text))
}

/// The token that ends the item starting at `at`: its `;` or closing brace.
fn item_end(tokens: &[Token], at: usize) -> usize {
    let (mut brackets, mut braces) = (0usize, 0usize);
    for (index, token) in tokens.iter().enumerate().skip(at) {
        match token.text.as_str() {
            "(" | "[" => brackets += 1,
            ")" | "]" => brackets = brackets.saturating_sub(1),
            "{" => braces += 1,
            "}" if braces <= 1 => return index,
            "}" => braces -= 1,
            ";" if brackets == 0 && braces == 0 => return index,
            _ => {}
        }
    }
    tokens.len().saturating_sub(1)
}

fn starts_test_item(tokens: &[Token], at: usize) -> bool {
    texts(tokens, at, &["#", "[", "cfg", "(", "test", ")", "]"])
        || texts(tokens, at, &["#", "[", "cfg", "(", "all", "(", "test", ","])
}

fn without_tests(tokens: &[Token]) -> (Vec<Token>, BTreeSet<usize>) {
    let (mut shipped, mut lines, mut at) = (Vec::new(), BTreeSet::new(), 0);
    while at < tokens.len() {
        if starts_test_item(tokens, at) {
            let end = item_end(tokens, at);
            lines.extend(tokens[at].line..=tokens[end].line);
            at = end;
        } else {
            shipped.push(tokens[at].clone());
        }
        at += 1;
    }
    (shipped, lines)
}

/// The files that `#[cfg(test)] mod name;` in `source` declares.
fn test_files_declared(source: &Source) -> Vec<String> {
    let path = source.path.trim_end_matches(".rs");
    let folder = path.strip_suffix("/mod").or(path.strip_suffix("/lib")).or(path.strip_suffix("/main")).unwrap_or(path);
    let tokens = &source.tokens;
    let starts = (0..tokens.len()).filter(|at| starts_test_item(tokens, *at));
    let ends = starts.map(|at| item_end(tokens, at)).filter(|end| tokens[*end].text == ";" && *end >= 2);
    let names = ends.filter(|end| tokens[end - 2].text == "mod").map(|end| &tokens[end - 1].text);
    names.flat_map(|name| [format!("{folder}/{name}.rs"), format!("{folder}/{name}/mod.rs")]).collect()
}

// ---- Rules about code ------------------------------------------------------------------------------------------------

/// The modules at the crate root that `tokens` of the file `module` name, with their lines.
fn root_modules_named(tokens: &[Token], module: &[&str]) -> Vec<(usize, String)> {
    let (mut named, mut inline_ends) = (Vec::new(), Vec::new());
    let mut at = 0;
    while at < tokens.len() {
        inline_ends.retain(|end| *end > at);
        if tokens[at].text == "mod" && tokens.get(at + 2).is_some_and(|token| token.text == "{") {
            inline_ends.push(item_end(tokens, at));
        }
        let climbs = (0..).take_while(|n| texts(tokens, at + 2 * n, &["super", "::"])).count();
        let reaches_root = climbs > 0 && climbs == module.len() + inline_ends.len();
        if texts(tokens, at, &["crate", "::"]) {
            named.extend(heads(tokens, at + 2));
        } else if reaches_root {
            named.extend(heads(tokens, at + 2 * climbs));
        }
        at += (2 * climbs).max(1);
    }
    named
}

/// The paths of modules and items that `tokens` of the file `module` name by `crate` or `super`, each with its line.
fn paths_named(tokens: &[Token], module: &[&str]) -> Vec<(usize, Vec<String>)> {
    let (mut named, mut inline_ends) = (Vec::new(), Vec::new());
    let mut at = 0;
    while at < tokens.len() {
        inline_ends.retain(|end| *end > at);
        if tokens[at].text == "mod" && tokens.get(at + 2).is_some_and(|token| token.text == "{") {
            inline_ends.push(item_end(tokens, at));
        }
        let climbs = (0..).take_while(|n| texts(tokens, at + 2 * n, &["super", "::"])).count();
        if texts(tokens, at, &["crate", "::"]) {
            expand(tokens, at + 2, &[], &mut named);
        } else if climbs > inline_ends.len() {
            let kept = (module.len() + inline_ends.len()).saturating_sub(climbs);
            let base: Vec<String> = module.iter().take(kept).map(|&name| name.to_owned()).collect();
            expand(tokens, at + 2 * climbs, &base, &mut named);
        }
        at += (2 * climbs).max(1);
    }
    named
}

/// Adds the path that goes on at `at`, or each of a group `{a::b, c}`; returns where it ends.
fn expand(tokens: &[Token], at: usize, base: &[String], named: &mut Vec<(usize, Vec<String>)>) -> usize {
    let Some(first) = tokens.get(at) else { return at };
    if first.text != "{" {
        let path = [base, std::slice::from_ref(&first.text)].concat();
        if texts(tokens, at + 1, &["::"]) {
            return expand(tokens, at + 2, &path, named);
        }
        named.push((first.line, path));
        return at + 1;
    }
    let (end, mut at) = (item_end(tokens, at), at + 1);
    while at < end {
        let is_name = is_word(tokens[at].text.as_bytes()[0]) && tokens[at].text != "as";
        at = if is_name { expand(tokens, at, base, named) } else { at + 1 };
        // A name behind `as` is none of a path.
        at += if texts(tokens, at, &["as"]) { 2 } else { 0 };
    }
    end + 1
}

/// Files of the library that reach themselves by what they import. A folder's file may name those in it, as it declares
/// them.
fn check_circles(sources: &[Source]) -> Vec<Finding> {
    let modules: Vec<Vec<&str>> = sources.iter().map(Source::module).collect();
    let imports = |index: usize| -> BTreeSet<usize> {
        let named = paths_named(&sources[index].shipped, &modules[index]);
        let file_of = |path: &[String]| {
            (1..=path.len()).rev().find_map(|length| modules.iter().position(|module| *module == path[..length]))
        };
        named.iter().filter_map(|(_, path)| file_of(path)).filter(|&other| other != index).collect()
    };
    let edges: Vec<BTreeSet<usize>> = (0..sources.len()).map(imports).collect();
    let reached = |from: usize| {
        let (mut seen, mut waiting) = (BTreeSet::new(), vec![from]);
        while let Some(file) = waiting.pop() {
            waiting.extend(edges[file].iter().filter(|&&next| seen.insert(next)));
        }
        seen
    };
    let is_in_circle = |index: &usize| reached(*index).contains(index);
    (0..sources.len())
        .filter(is_in_circle)
        .map(|index| {
            let around = edges[index].iter().filter(|&&next| reached(next).contains(&index));
            let around: Vec<&str> = around.map(|&next| sources[next].path.as_str()).collect();
            let remedy = format!("the file imports itself through {}: move what both need down", around.join(", "));
            finding(&sources[index].path, 1, remedy)
        })
        .collect()
}

/// Types of the library with the name of another one.
fn check_type_names(sources: &[Source]) -> Vec<Finding> {
    let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
    let mut findings = Vec::new();
    for source in sources {
        let mut depth = 0;
        for (at, token) in source.shipped.iter().enumerate() {
            match token.text.as_str() {
                "{" => depth += 1,
                "}" => depth -= 1,
                "struct" | "enum" | "trait" | "type" | "union" if depth == 0 => {
                    let Some(name) = source.shipped.get(at + 1) else { continue };
                    if let Some(other) = seen.insert(&name.text, &source.path) {
                        let remedy = format!("{other} has a type `{}` too: give one of them its own name", name.text);
                        findings.push(finding(&source.path, name.line, remedy));
                    }
                }
                _ => {}
            }
        }
    }
    findings
}

/// Parameters of functions that are tuples. Closures may take them.
fn check_tuples(source: &Source) -> Vec<Finding> {
    let tokens = &source.shipped;
    let functions = (0..tokens.len()).filter(|&at| tokens[at].text == "fn");
    let parameters = functions.flat_map(|at| parameters(tokens, at));
    let tuples = parameters.filter(|parameter| {
        let colon = (0..parameter.len()).find(|&at| depth(&parameter[..at]) == 0 && parameter[at].text == ":");
        is_tuple(&parameter[..colon.unwrap_or(0)]) || colon.is_some_and(|colon| is_tuple(&parameter[colon + 1..]))
    });
    let remedy = "a parameter is a tuple: pass its fields one by one, or carry them in a struct";
    tuples.map(|parameter| finding(&source.path, parameter[0].line, remedy)).collect()
}

/// The parameters of the function whose `fn` is at `at`.
fn parameters(tokens: &[Token], at: usize) -> Vec<&[Token]> {
    // A type `fn(A)` has no name.
    if tokens.get(at + 1).is_none_or(|name| !is_word(name.text.as_bytes()[0])) {
        return Vec::new();
    }
    let opens = |&open: &usize| tokens[open].text == "(" && depth(&tokens[at + 2..open]) == 0;
    let Some(start) = (at + 2..tokens.len()).find(opens) else { return Vec::new() };
    let end = (start + 1..tokens.len()).find(|&close| depth(&tokens[start..=close]) == 0).unwrap_or(tokens.len());
    let inside = &tokens[start + 1..end];
    let mut commas: Vec<usize> =
        (0..inside.len()).filter(|&at| inside[at].text == "," && depth(&inside[..at]) == 0).collect();
    commas.push(inside.len());
    let begins = std::iter::once(0).chain(commas.iter().map(|&comma| comma + 1));
    begins.zip(&commas).filter(|(begin, end)| begin < *end).map(|(begin, &end)| &inside[begin..end]).collect()
}

/// How many brackets of any kind are open behind `tokens`.
fn depth(tokens: &[Token]) -> isize {
    let is_arrow = |at: usize| at > 0 && matches!(tokens[at - 1].text.as_str(), "-" | "=");
    let step = |(at, token): (usize, &Token)| match token.text.as_str() {
        "(" | "[" | "{" | "<" => 1,
        ")" | "]" | "}" => -1,
        ">" if !is_arrow(at) => -1,
        _ => 0,
    };
    tokens.iter().enumerate().map(step).sum()
}

/// Whether a pattern or a type is a tuple of two or more, a reference to one, or an `Option` of one.
fn is_tuple(tokens: &[Token]) -> bool {
    let mut rest = tokens;
    while let [first, others @ ..] = rest {
        rest = match first.text.as_str() {
            "&" | "mut" => others,
            "Option" => others.get(1..).unwrap_or_default(),
            // A lifetime.
            "'" => others.get(1..).unwrap_or_default(),
            _ => break,
        };
    }
    let has_comma = (0..rest.len()).any(|at| rest[at].text == "," && depth(&rest[..at]) == 1);
    rest.first().is_some_and(|first| first.text == "(") && has_comma
}

/// A module is a file or a folder with a `mod.rs`, never a file beside a folder.
fn check_module_files(paths: &[String]) -> Vec<Finding> {
    let beside_folder = |path: &&String| {
        let folder = path.trim_end_matches(".rs").to_owned() + "/";
        path.ends_with(".rs") && path.starts_with("src/") && paths.iter().any(|other| other.starts_with(&folder))
    };
    let move_it = |path: &String| finding(path, 1, "move the file to mod.rs in the folder of its name");
    paths.iter().filter(beside_folder).map(move_it).collect()
}

/// The first name of the path at `at`, or of each path in the group `{a::b, c}` there.
fn heads(tokens: &[Token], at: usize) -> Vec<(usize, String)> {
    let Some(first) = tokens.get(at) else { return Vec::new() };
    if first.text != "{" {
        return vec![(first.line, first.text.clone())];
    }
    let group = &tokens[at..=item_end(tokens, at)];
    let (mut names, mut depth) = (Vec::new(), 0);
    for pair in group.windows(2) {
        match pair[0].text.as_str() {
            "{" => depth += 1,
            "}" => depth -= 1,
            _ => {}
        }
        if depth == 1 && matches!(pair[0].text.as_str(), "{" | ",") && pair[1].text != "}" {
            names.push((pair[1].line, pair[1].text.clone()));
        }
    }
    names
}

/// Layer and place in it.
fn rank(module: &str) -> Option<(usize, usize)> {
    let places = LAYERS.iter().enumerate();
    places.filter_map(|(layer, row)| Some((layer, row.iter().position(|name| *name == module)?))).next()
}

fn check_layers(source: &Source) -> Vec<Finding> {
    let module = source.module();
    let Some(own) = rank(module[0]) else {
        let remedy =
            format!("module `{}` has no layer: add it to LAYERS in tests/tidy.rs and to ARCHITECTURE.md", module[0]);
        return vec![finding(&source.path, 1, remedy)];
    };
    if own.0 + 1 == LAYERS.len() {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for (line, name) in root_modules_named(&source.shipped, &module) {
        let remedy = match rank(&name) {
            None => format!("`crate::{name}` is no module of LAYERS: import from the module that defines it"),
            Some(other) if other > own => {
                format!(
                    "`{}` may not import `{name}`, which lies above it or to its right: move the shared part down",
                    module[0]
                )
            }
            Some(_) => continue,
        };
        findings.push(finding(&source.path, line, remedy));
    }
    findings
}

fn check_sizes(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    let lines = source.text.lines().count() - source.test_lines.len();
    if lines > FILE_LINES_MAX && !source.shipped.is_empty() && !source.path.starts_with("tests/") {
        let remedy = format!("{lines} lines without tests, more than {FILE_LINES_MAX}: split the file by job");
        findings.push(finding(&source.path, 1, remedy));
    }
    for (at, token) in source.tokens.iter().enumerate().filter(|(_, token)| token.text == "fn") {
        let Some(name) = source.tokens.get(at + 1).filter(|name| is_word(name.text.as_bytes()[0])) else { continue };
        let length = source.tokens[item_end(&source.tokens, at)].line + 1 - token.line;
        if length > FUNCTION_LINES_MAX {
            let remedy = format!(
                "fn `{}` has {length} lines, more than {FUNCTION_LINES_MAX}: keep decisions in the parent, move loops into helpers",
                name.text
            );
            findings.push(finding(&source.path, token.line, remedy));
        }
    }
    findings
}

fn check_header(source: &Source) -> Vec<Finding> {
    let opens = source.text.lines().next().is_some_and(|line| line.len() > 4 && line.starts_with("//! "));
    let remedy = "open the file with `//!`: its job and its invariants";
    if opens { Vec::new() } else { vec![finding(&source.path, 1, remedy)] }
}

/// Python files open with a docstring and are short; a stub, which only declares, may be as long as a Rust file.
fn check_python(path: &str, text: &str) -> Vec<Finding> {
    let maximum = if path.ends_with(".pyi") { FILE_LINES_MAX } else { PYTHON_LINES_MAX };
    let opening = text.lines().find(|line| !line.starts_with("#!"));
    let mut findings = Vec::new();
    if !opening.is_some_and(|line| line.len() > 4 && line.starts_with("\"\"\"")) {
        findings.push(finding(path, 1, "open the file with a docstring: its job and its invariants"));
    }
    let lines = text.lines().count();
    if lines > maximum {
        findings.push(finding(path, 1, format!("{lines} lines, more than {maximum}: split the file by job")));
    }
    findings
}

fn check_unsafe(source: &Source) -> Vec<Finding> {
    let shipped_crate = source.is_library() || source.path.starts_with("cli/") || source.path.starts_with("python/");
    let allowed = |rule: &&str| source.path == **rule || rule.ends_with('/') && source.path.starts_with(*rule);
    let listed = !shipped_crate || UNSAFE_ALLOWED.iter().any(allowed);
    let lines: Vec<&str> = source.text.lines().collect();
    let mut findings = Vec::new();
    for (at, token) in source.tokens.iter().enumerate().filter(|(_, token)| token.text == "unsafe") {
        if !listed {
            findings.push(finding(
                &source.path,
                token.line,
                "no unsafe code here: use a safe API of a file in UNSAFE_ALLOWED",
            ));
        }
        let promises = source.tokens.get(at + 1).is_some_and(|next| matches!(next.text.as_str(), "{" | "impl"));
        if promises && !has_safety_comment(&lines, token.line - 1) {
            let remedy = "put `// SAFETY:` above it (3 lines at most), naming the obligation and why it is met";
            findings.push(finding(&source.path, token.line, remedy));
        }
    }
    findings
}

/// Whether line `index` or a comment that ends at most 3 lines above it says SAFETY.
fn has_safety_comment(lines: &[&str], index: usize) -> bool {
    let is_comment = |line: &str| line.trim_start().starts_with("//");
    let mut first = index.saturating_sub(3);
    while first > 0 && is_comment(lines[first]) && is_comment(lines[first - 1]) {
        first -= 1;
    }
    lines[first..=index].iter().any(|line| line.contains("// SAFETY:"))
}

fn check_doors(source: &Source) -> Vec<Finding> {
    let doors = |name: &str| DOORS.iter().find(|(door, files)| *door == name && !files.contains(&source.path.as_str()));
    let closed = source.shipped.iter().filter_map(|token| Some((token.line, doors(&token.text)?)));
    closed
        .map(|(line, (name, files))| finding(&source.path, line, format!("`{name}` belongs in {}", files.join(", "))))
        .collect()
}

// ---- Rules about text ------------------------------------------------------------------------------------------------

fn check_text(path: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let mut found = |remedy: String| findings.push(finding(path, index + 1, remedy));
        if let Some(marker) = MARKERS.iter().find(|marker| contains_word(line, marker)) {
            found(format!("leftover `{marker}`: do it now or open an issue"));
        }
        if let Some(name) = MARKER_MACROS.iter().find(|name| contains_word(line, &format!("{name}!"))) {
            found(format!("leftover `{name}!`: finish the code"));
        }
        if let Some(machine) = MACHINE_PATHS.iter().find(|machine| line.contains(**machine)) {
            found(format!("`{machine}` exists on one machine only: use a relative path"));
        }
        if line.contains('\t') && !path.ends_with("Makefile") {
            found("tab: indent with spaces".into());
        }
        let is_comment = path.ends_with(".rs") && line.trim_start().starts_with("//") && !is_drawn(line);
        if is_comment && line.chars().count() > COMMENT_CHARS_MAX {
            found(format!("a comment of more than {COMMENT_CHARS_MAX} characters in a line: break the line"));
        }
        if line.ends_with([' ', '\t', '\r']) {
            found("white space at the end of the line: remove it".into());
        }
    }
    if !text.ends_with('\n') || text.ends_with("\n\n") {
        findings.push(finding(path, text.lines().count(), "end the file with exactly one newline"));
    }
    findings
}

/// Whether a line of a comment is one of a table, a drawing or a ruler, which cannot be broken.
fn is_drawn(line: &str) -> bool {
    line.contains('|') || line.contains("----") || line.trim_start().contains("  ")
}

/// Whether `needle` stands in `line` with no letter, digit or underscore directly before or after it.
fn contains_word(line: &str, needle: &str) -> bool {
    let (bytes, word_end) = (line.as_bytes(), needle.bytes().next_back().is_some_and(is_word));
    line.match_indices(needle).any(|(at, _)| {
        let end = at + needle.len();
        !(at > 0 && is_word(bytes[at - 1]) || word_end && end < bytes.len() && is_word(bytes[end]))
    })
}

/// Strings that put a plural behind a number, whatever the number is: `{rows} rows`.
fn check_counts(source: &Source) -> Vec<Finding> {
    let path = &source.path;
    let ships = source.is_library() || path.starts_with("cli/src/") || path.starts_with("python/src/");
    let is_test = |line: usize| source.shipped.is_empty() || source.test_lines.contains(&line);
    let plural = |line: &str| {
        let after = line.match_indices("} ").map(|(at, _)| &line[at + 2..]);
        let words = after.map(|rest| &rest[..rest.bytes().position(|byte| !is_word(byte)).unwrap_or(rest.len())]);
        // `items/s` is a unit.
        let is_unit = |word: &str| line.contains(&format!("{word}/s"));
        words.filter(|word| COUNTED.contains(word) && !is_unit(word)).map(str::to_owned).next()
    };
    let lines = source.text.lines().enumerate().filter(|(index, line)| {
        ships && !is_test(index + 1) && line.contains('"') && !line.trim_start().starts_with("//")
    });
    let found = lines.filter_map(|(index, line)| Some((index + 1, plural(line)?)));
    found
        .map(|(line, word)| finding(path, line, format!("a count of {word} without `counted`: 1 is singular")))
        .collect()
}

fn check_name(path: &str) -> Vec<Finding> {
    let name = path.rsplit('/').next().unwrap_or(path);
    let stem = [".rs", ".py", ".pyi", ".sh"].iter().find_map(|ending| name.strip_suffix(ending));
    let snake =
        |stem: &str| stem.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    if stem.is_some_and(|stem| !snake(stem)) {
        return vec![finding(path, 1, "name source files in snake_case")];
    }
    let plain = path.bytes().all(|byte| is_word(byte) || b"./-+".contains(&byte));
    if plain { Vec::new() } else { vec![finding(path, 1, "name files with letters, digits, `.`, `_` and `-` only")] }
}

/// Checks the length of the architecture page and that each path it names satisfies `exists`.
fn check_architecture(text: &str, exists: impl Fn(&str) -> bool) -> Vec<Finding> {
    let (path, lines) = ("ARCHITECTURE.md", text.lines().count());
    let mut findings = Vec::new();
    if lines > ARCHITECTURE_LINES_MAX {
        let remedy = format!("{lines} lines, more than {ARCHITECTURE_LINES_MAX}: move detail to the file it is about");
        findings.push(finding(path, ARCHITECTURE_LINES_MAX + 1, remedy));
    }
    findings.extend(check_paths_of(path, text, exists));
    findings
}

/// Checks that each path which the page names, in quotes of code, satisfies `exists`.
fn check_paths_of(page: &str, text: &str, exists: impl Fn(&str) -> bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut fenced = false;
    for (index, line) in text.lines().enumerate() {
        fenced ^= line.trim_start().starts_with("```");
        let quoted = line.split('`').skip(1).step_by(2).filter(|_| !fenced);
        let names_path = |word: &&str| word.contains('/') || word.ends_with(".rs") || word.ends_with(".md");
        for word in quoted.filter(|word| !word.contains(char::is_whitespace)).filter(names_path) {
            if !exists(word) {
                findings.push(finding(page, index + 1, format!("`{word}` does not exist: correct the path")));
            }
        }
    }
    findings
}

// ---- The repository --------------------------------------------------------------------------------------------------

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Paths of all files of the repository, relative to its root.
fn files() -> Vec<String> {
    let (mut found, mut folders) = (Vec::new(), vec![String::new()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root().join(&folder)).expect("a folder of the repository is readable") {
            let entry = entry.expect("an entry of the repository is readable");
            let name = entry.file_name().to_string_lossy().into_owned();
            let hidden = name.starts_with('.') && name != ".ci";
            let path = format!("{folder}{name}");
            match entry.file_type().expect("a file has a type") {
                kind if kind.is_dir() && !hidden && !FOLDERS_SKIPPED.contains(&name.as_str()) => {
                    folders.push(path + "/")
                }
                kind if kind.is_file() && !hidden => found.push(path),
                _ => {}
            }
        }
    }
    found.sort();
    found
}

fn read(path: &str) -> String {
    String::from_utf8_lossy(&fs::read(root().join(path)).expect("a file of the repository is readable")).into_owned()
}

/// All Rust files; those that are tests as a whole ship nothing.
fn sources() -> Vec<Source> {
    let rust = files().into_iter().filter(|path| path.ends_with(".rs"));
    let mut sources: Vec<Source> = rust.map(|path| Source::new(&path, &read(&path))).collect();
    assert!(sources.iter().any(|source| source.path == "src/lib.rs"), "the walk found no library");
    let declared: BTreeSet<String> = sources.iter().flat_map(test_files_declared).collect();
    for source in &mut sources {
        let path = &source.path;
        if path.starts_with("tests/")
            || path.contains("/tests/")
            || path.ends_with("/tests.rs")
            || declared.contains(path)
        {
            source.shipped.clear();
        }
    }
    sources
}

fn assert_tidy(findings: impl IntoIterator<Item = Finding>) {
    let list: Vec<String> =
        findings.into_iter().map(|found| format!("  {}:{}: {}", found.path, found.line, found.remedy)).collect();
    assert!(list.is_empty(), "{} findings\n{}", list.len(), list.join("\n"));
}

#[test]
fn modules_import_only_what_lies_below() {
    assert_tidy(sources().iter().filter(|source| source.is_library()).flat_map(check_layers));
}

#[test]
fn no_file_imports_itself_through_others() {
    let library: Vec<Source> = sources().into_iter().filter(Source::is_library).collect();
    assert_tidy(check_circles(&library));
}

#[test]
fn each_type_has_a_name_of_its_own() {
    let library: Vec<Source> = sources().into_iter().filter(Source::is_library).collect();
    assert_tidy(check_type_names(&library));
}

#[test]
fn a_module_is_a_file_or_a_folder() {
    assert_tidy(check_module_files(&files()));
}

#[test]
fn no_parameter_is_a_tuple() {
    let is_shipped =
        |source: &&Source| ["src/", "cli/", "python/src/"].iter().any(|root| source.path.starts_with(root));
    assert_tidy(sources().iter().filter(is_shipped).flat_map(check_tuples));
}

#[test]
fn files_and_functions_are_short() {
    assert_tidy(sources().iter().flat_map(check_sizes));
}

#[test]
fn files_open_with_their_job() {
    assert_tidy(sources().iter().flat_map(check_header));
}

#[test]
fn python_files_are_short_and_open_with_their_job() {
    let is_python = |path: &String| path.ends_with(".py") || path.ends_with(".pyi");
    let texts = files().into_iter().filter(is_python).map(|path| (read(&path), path));
    assert_tidy(texts.flat_map(|(text, path)| check_python(&path, &text)));
}

#[test]
fn unsafe_code_is_confined_and_explained() {
    assert_tidy(sources().iter().flat_map(check_unsafe));
}

#[test]
fn the_outside_is_reached_through_its_doors() {
    assert_tidy(sources().iter().filter(|source| source.is_library()).flat_map(check_doors));
}

#[test]
fn counts_know_the_singular() {
    assert_tidy(sources().iter().flat_map(check_counts));
}

#[test]
fn nothing_is_left_over() {
    let is_text = |path: &String| TEXT_ENDINGS.iter().any(|ending| path.ends_with(ending));
    let texts = files().into_iter().filter(is_text).map(|path| (read(&path), path));
    assert_tidy(texts.flat_map(|(text, path)| check_text(&path, &text)));
    assert_tidy(files().iter().flat_map(|path| check_name(path)));
}

#[test]
fn architecture_names_what_exists() {
    assert!(root().join("ARCHITECTURE.md").exists(), "ARCHITECTURE.md is missing: write it (at most 300 lines)");
    // Sources are named below `src`, tests without the folder and the ending.
    let test = |path: &str| root().join("tests").join(format!("{path}.rs"));
    let exists =
        |path: &str| root().join(path).exists() || root().join("src").join(path).exists() || test(path).exists();
    assert_tidy(check_architecture(&read("ARCHITECTURE.md"), exists));
}

#[test]
fn the_tests_of_promises_exist() {
    let (page, text) = ("docs/durability.md", read("docs/durability.md"));
    assert!(text.matches(".rs`").count() > 40, "{page} names the tests of each promise");
    assert_tidy(check_paths_of(page, &text, |path| root().join(path).exists()));
}

#[cfg(test)]
mod self_tests {
    use super::*;

    fn lines(findings: Vec<Finding>) -> Vec<usize> {
        findings.into_iter().map(|found| found.line).collect()
    }

    fn layers(path: &str, text: &str) -> Vec<usize> {
        lines(check_layers(&Source::new(path, text)))
    }

    #[test]
    fn tokens_know_comments_strings_and_lifetimes() {
        let text = "a /* b /* c */ d */ 'x' '\\'' '\u{e9}' &'static \"s\\\"t\" br##\"u\"#v\"## r#fn // w\ny::Z";
        let tokens: Vec<String> = tokenize(&blank(text)).into_iter().map(|token| token.text).collect();
        assert_eq!(tokens.join(" "), "a & ' static b r # fn y :: Z");
    }

    #[test]
    fn layers_can_fail() {
        let text =
            "use crate::error::Error;\nuse crate::{codec, store::{Store, sync}};\nfn f() { crate::segment::x() }";
        assert_eq!(layers("src/wal/frame.rs", text), [2, 3]);
        assert_eq!(layers("src/store.rs", text), [2usize; 0], "own module and lower ones");
        assert_eq!(layers("src/error.rs", "use super::types::X;\nuse crate::Store;"), [1, 2]);
        assert_eq!(layers("src/quant/mod.rs", "use super::filter::X;\nuse super::distance::Y;"), [1]);
        assert_eq!(layers("src/quant/codes.rs", "use super::filter::X;\nuse super::super::filter::X;"), [2]);
        assert_eq!(layers("src/quant/mod.rs", "mod inner { use super::filter::X; }"), [0usize; 0]);
        assert_eq!(layers("src/unheard_of.rs", ""), [1]);
        assert_eq!(layers("src/error.rs", "/// See [`crate::store`].\nconst A: &str = \"crate::store\";"), [0usize; 0]);
        let tests = "#[cfg(test)]\nmod tests {\n    use crate::store::Store;\n}\nuse crate::wal::X;\n#[cfg(test)]\nuse crate::wal;";
        assert_eq!(layers("src/error.rs", tests), [5]);
    }

    #[test]
    fn circles_can_fail() {
        let files = |texts: &[(&str, &str)]| -> Vec<String> {
            let sources: Vec<Source> = texts.iter().map(|(path, text)| Source::new(path, text)).collect();
            check_circles(&sources).into_iter().map(|found| found.path).collect()
        };
        let (a, b, c) = ("src/wal/a.rs", "src/wal/b.rs", "src/store/mod.rs");
        let through =
            [(a, "use crate::wal::b::{X, Y as Z};"), (b, "use crate::{store::{Q, R}};"), (c, "use crate::wal::a::P;")];
        assert_eq!(files(&through), [a, b, c]);
        assert_eq!(files(&[(a, "use super::b::X;"), (b, "fn f() { super::a::f() }")]), [a, b]);
        assert_eq!(
            files(&[(a, "use super::b::X;"), (b, "mod tests { use super::X; }\n#[cfg(test)]\nuse super::a::Y;")]),
            [""; 0]
        );
        assert_eq!(
            files(&[(c, "mod read;\npub use read::X;"), ("src/store/read.rs", "use crate::store::Y;")]),
            [""; 0]
        );
    }

    #[test]
    fn type_names_and_module_files_can_fail() {
        let names = |texts: &[(&str, &str)]| {
            let sources: Vec<Source> = texts.iter().map(|(path, text)| Source::new(path, text)).collect();
            lines(check_type_names(&sources))
        };
        let first = ("src/wal/a.rs", "pub struct Place;\nimpl X for Y { type Output = u8; }");
        assert_eq!(names(&[first, ("src/wal/b.rs", "\nenum Place { A }\nimpl X for Z { type Output = u8; }")]), [2]);
        assert_eq!(names(&[first, ("src/wal/b.rs", "#[cfg(test)]\nstruct Place;")]), [0usize; 0]);
        let paths = |paths: &[&str]| {
            let paths: Vec<String> = paths.iter().map(|&path| path.to_owned()).collect();
            check_module_files(&paths).len()
        };
        assert_eq!(paths(&["src/wal.rs", "src/wal/frame.rs"]) + paths(&["src/wal/mod.rs", "src/wal/frame.rs"]), 1);
    }

    #[test]
    fn tuples_can_fail() {
        let tuples = |text: &str| lines(check_tuples(&Source::new("src/wal/a.rs", text)));
        assert_eq!(
            tuples("fn f(\n    a: u8,\n    (b, c): (u8, u8),\n) {}\nfn g(&self, place: (u8, Vec<u8>)) {}"),
            [3, 5]
        );
        assert_eq!(tuples("fn f<T: Fn(A) -> B>(&(a, b): &'a mut X, c: &'static mut (u8, u8)) {}"), [1, 1]);
        assert_eq!(tuples("fn f(after: Option<(&[u8], &str)>, to: Option<&(u8, u8)>, x: Option<u8>) {}"), [1, 1]);
        let fine = "fn f(go_on: &(dyn Fn(A, B) -> Result<(), E> + Sync), (): (), X { a, b }: X, c: [(u8, u8); 2]) {}";
        assert_eq!(tuples(fine), [0usize; 0]);
        assert_eq!(tuples("fn f() -> (u8, u8) { g(|(a, b): (u8, u8)| a) }\ntype F = fn((u8, u8));"), [0usize; 0]);
        assert_eq!(tuples("#[cfg(test)]\nfn f(a: (u8, u8)) {}"), [0usize; 0]);
    }

    #[test]
    fn sizes_can_fail() {
        let long = format!("//! x\nfn f(a: [u8; 2]) {{\n{}}}\nfn g();\n", "    a();\n".repeat(69));
        let sized = |path: &str, text: &str| lines(check_sizes(&Source::new(path, text)));
        assert_eq!(sized("src/wal/mod.rs", &long), [2]);
        assert_eq!(sized("src/wal/mod.rs", &long.replacen("    a();\n", "", 1)), [0usize; 0]);
        let file = |shipped: usize, tests: usize| {
            format!("{}#[cfg(test)]\nmod tests {{\n{}}}\n", "const A: u8 = 0;\n".repeat(shipped), "\n".repeat(tests))
        };
        assert_eq!(sized("src/wal/mod.rs", &file(400, 500)), [0usize; 0]);
        assert_eq!(sized("src/wal/mod.rs", &file(401, 0)), [1]);
    }

    #[test]
    fn counts_can_fail() {
        let counts = |path: &str, text: &str| lines(check_counts(&Source::new(path, text)));
        let text = "fn f() {\n    format!(\"{rows} rows\");\n    format!(\"{} rows_of {:.0} items/s\");\n    // \"{n} rows\"\n}\n\
                    #[cfg(test)]\nfn g() { format!(\"{} items\"); }\n";
        assert_eq!(counts("src/check.rs", text), [2]);
        assert_eq!(counts("cli/src/check.rs", text), [2]);
        assert_eq!(counts("tests/check.rs", text), [0usize; 0]);
    }

    #[test]
    fn headers_unsafe_and_doors_can_fail() {
        assert_eq!(lines(check_header(&Source::new("src/a.rs", "// A file of lists.\n"))), [1]);
        assert_eq!(lines(check_header(&Source::new("src/a.rs", "//! A file of lists.\n"))), [0usize; 0]);
        let checked = |path: &str, text: &str| lines(check_unsafe(&Source::new(path, text)));
        let explained =
            "// SAFETY: a\n// b\n// c\n// d\n// e\nlet x = unsafe { y() };\n\n\n\n\nunsafe impl Send for X {}\n";
        assert_eq!(checked("src/distance/kernel.rs", explained), [11]);
        assert_eq!(checked("src/store.rs", explained), [6, 11, 11]);
        assert_eq!(checked("tests/heap.rs", explained), [11]);
        let doors = |path: &str, text: &str| lines(check_doors(&Source::new(path, text)));
        let text = "use std::{fs, io};\nfn f() { std::fs::read(x); }\n// fs\n#[cfg(test)]\nuse libc::x;\n";
        assert_eq!(doors("src/store.rs", text), [1, 2]);
        assert_eq!(doors("src/storage/disk.rs", text), [0usize; 0]);
    }

    #[test]
    fn python_can_fail() {
        let file =
            |lines: usize| format!("#!/usr/bin/env python3\n\"\"\"Its job.\"\"\"\n{}", "a()\n".repeat(lines - 2));
        assert_eq!(lines(check_python("python/a.py", &file(PYTHON_LINES_MAX))), [0usize; 0]);
        assert_eq!(lines(check_python("python/a.py", &file(PYTHON_LINES_MAX + 1))), [1]);
        assert_eq!(lines(check_python("python/a.pyi", &file(PYTHON_LINES_MAX + 1))), [0usize; 0]);
        assert_eq!(lines(check_python("python/a.py", "import os\n")), [1]);
        assert_eq!(lines(check_unsafe(&Source::new("python/src/a.rs", "fn f() { unsafe { y() } }\n"))), [1, 1]);
    }

    #[test]
    fn text_and_names_can_fail() {
        for marker in MARKERS.iter().chain(MACHINE_PATHS) {
            assert_eq!(lines(check_text("a.md", &format!("fine\nx {marker} y\n"))), [2], "{marker}");
        }
        for name in MARKER_MACROS {
            assert_eq!(lines(check_text("a.rs", &format!("    {name}!(x);\n"))), [1], "{name}");
        }
        assert_eq!(lines(check_text("a.rs", "a \n\tb\nc\n\n")), [1, 2, 4]);
        let long = format!("    // {}\n", "word ".repeat(23) + "ends");
        assert_eq!(lines(check_text("a.rs", &long)), [1]);
        assert_eq!(lines(check_text("a.rs", &long.replacen("word ", "", 2))), [0usize; 0]);
        assert_eq!(lines(check_text("Makefile", "all:\n\tb\n")), [0usize; 0]);
        assert!(contains_word("a word, here", "word") && !contains_word("a sword here", "word"));
        assert_eq!(check_name("src/BadName.rs").len() + check_name("demo/a b.jsonl").len(), 2);
        assert_eq!(check_name("demo/speech-1.jsonl").len() + check_name("src/wal/mod.rs").len(), 0);
    }

    #[test]
    fn architecture_can_fail() {
        let text = "see `src/lib.rs` and `wal/gone.rs`, `Store`, `cargo run a/b`\n```\n`no/path`\n```\n`NOTES.md`\n";
        assert_eq!(lines(check_architecture(text, |path| path == "src/lib.rs")), [1, 5]);
        assert_eq!(lines(check_architecture(&"x\n".repeat(301), |_| true)), [301]);
    }

    #[test]
    fn test_files_are_recognised_by_their_declaration() {
        let source = Source::new("src/wal/mod.rs", "#[cfg(test)]\nmod oracle;\nmod frame;\n#[cfg(test)]\nuse a::b;");
        assert_eq!(test_files_declared(&source), ["src/wal/oracle.rs", "src/wal/oracle/mod.rs"]);
        assert_eq!(
            test_files_declared(&Source::new("src/topk.rs", "#[cfg(test)]\nmod tests;"))[0],
            "src/topk/tests.rs"
        );
    }
}
