//! What the kernel says about this process: memory, processor time, bytes written. Linux only; elsewhere nothing is
//! known.
//!
//! Invariants:
//! * The parsers are pure and skip what they do not understand.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// Ticks of the processor times in `/proc`, which Linux fixes for programs.
const TICKS_PER_SECOND: f64 = 100.0;

/// Bytes in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    /// Anonymous memory that came since the start: the heap, and copies.
    pub anonymous_grown: u64,
    /// Resident pages of mapped files, by their kind.
    pub codes: u64,
    pub graphs: u64,
    pub truth: u64,
    pub other_files: u64,
}

impl Memory {
    /// What a search works with: the heap, codes and graphs.
    pub fn hot(&self) -> u64 {
        self.anonymous_grown + self.codes + self.graphs
    }

    /// Everything.
    pub fn all(&self) -> u64 {
        self.hot() + self.truth + self.other_files
    }
}

/// Bytes of anonymous memory of this process.
pub fn anonymous() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    field(&status, "RssAnon:").unwrap_or(0) * 1024
}

/// The memory of this process, which had `anonymous_before`, and what of the files in `directory` is mapped and
/// resident.
pub fn memory(anonymous_before: u64, directory: &Path) -> Memory {
    let directory = fs::canonicalize(directory).unwrap_or_else(|_| directory.to_owned());
    let maps = fs::read_to_string("/proc/self/smaps").unwrap_or_default();
    let mut memory = Memory { anonymous_grown: anonymous().saturating_sub(anonymous_before), ..Memory::default() };
    for (ending, bytes) in resident_by_ending(&maps, &directory.display().to_string()) {
        match ending.as_str() {
            "codes" => memory.codes += bytes,
            "graph" => memory.graphs += bytes,
            "truth" => memory.truth += bytes,
            _ => memory.other_files += bytes,
        }
    }
    memory
}

/// Seconds of processor time that all threads of this process have used.
pub fn processor_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The program's name comes second, in parentheses, and may hold spaces; utime and stime are fields 14 and 15.
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks: f64 = after_name.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<f64>().ok()).sum();
    ticks / TICKS_PER_SECOND
}

/// (bytes that this process sent to the disk, bytes that it gave to write calls).
pub fn written() -> (u64, u64) {
    let io = fs::read_to_string("/proc/self/io").unwrap_or_default();
    (field(&io, "write_bytes:").unwrap_or(0), field(&io, "wchar:").unwrap_or(0))
}

/// Processes that wanted to run, over the last minute.
pub fn load() -> Option<f64> {
    fs::read_to_string("/proc/loadavg").ok()?.split(' ').next()?.parse().ok()
}

/// The number after `name` at the start of a line.
fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
}

/// Resident bytes of the mapped files in a directory, by the ending of their names.
fn resident_by_ending(maps: &str, directory: &str) -> BTreeMap<String, u64> {
    let (mut found, mut ending) = (BTreeMap::new(), None);
    for line in maps.lines() {
        // `address permissions offset device inode path`, then fields of the form `Rss: 12 kB`.
        if let Some(size) = line.strip_prefix("Rss:") {
            let kilobytes: u64 = size.split_whitespace().next().and_then(|size| size.parse().ok()).unwrap_or(0);
            if let Some(ending) = &ending {
                *found.entry(String::clone(ending)).or_default() += kilobytes * 1024;
            }
        } else if line.split_once(' ').is_some_and(|(range, _)| range.contains('-')) {
            let file = line.find('/').map(|at| Path::new(&line[at..]));
            let file = file.filter(|file| file.parent() == Some(Path::new(directory)));
            ending = file.map(|file| file.extension().unwrap_or_default().to_string_lossy().into_owned());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resident_pages_are_summed_by_ending() {
        let maps = "\
7f00-7f10 r--s 00000000 08:01 1 /a b/store/seg-1.codes\nSize: 64 kB\nRss:    12 kB\nPss: 12 kB\n\
7f10-7f20 r--s 00000000 08:01 2 /a b/store/seg-2.codes\nRss: 4 kB\n\
7f20-7f30 rw-p 00000000 00:00 0\nRss: 100 kB\n\
7f30-7f40 r--s 00000000 08:01 3 /a b/store/seg-1.truth\nRss: 8 kB\n\
7f40-7f50 r--s 00000000 08:01 3 /a b/store2/seg-1.truth\nRss: 8 kB\n\
ffff-fff1 r-xp 00000000 00:00 0 [vsyscall]\nRss: 1 kB\n";
        let wanted = [("codes".to_owned(), 16 << 10), ("truth".to_owned(), 8 << 10)];
        assert_eq!(resident_by_ending(maps, "/a b/store"), BTreeMap::from(wanted));
        assert!(resident_by_ending("", "/").is_empty());
        assert_eq!(field("a: 1\nRssAnon:\t 123 kB\n", "RssAnon:"), Some(123));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_has_memory() {
        assert!(anonymous() > 0);
        assert!(written().1 > 0 || processor_seconds() >= 0.0);
        let _ = load();
    }
}
