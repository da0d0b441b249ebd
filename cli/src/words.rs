//! Numbers in words: counts with their nouns.
//!
//! Invariants:
//! * This file needs no other one, so that tests and fuzz targets of the readers of lines include it alone.

/// 1234567 as `1,234,567`.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> = digits.as_bytes().rchunks(3).rev().filter_map(|group| str::from_utf8(group).ok()).collect();
    groups.join(",")
}

/// `1 row`, `1,234 rows`, `2 queries`: a count and its noun, which is given in the singular.
pub fn counted(number: u64, noun: &str) -> String {
    if number == 1 {
        return format!("1 {noun}");
    }
    let (number, stem) = (count(number), noun.strip_suffix('y').filter(|stem| !stem.ends_with(['a', 'e', 'o', 'u'])));
    stem.map_or_else(|| format!("{number} {noun}s"), |stem| format!("{number} {stem}ies"))
}
