//! What a file name in a store's directory stands for: one grammar, and a stranger for everything else.
//!
//! Invariants:
//! * A name is read back only if it is exactly what the engine would write; no other file is ever opened or removed.

/// A manifest on its way to its own name.
pub(crate) const TEMPORARY: &str = "manifest.tmp";
/// Zeros, so that deletes find room on a full disk.
pub(crate) const RESERVE: &str = "reserve";

/// The name of a generation's file.
pub(crate) fn manifest_name(generation: u64) -> String {
    format!("manifest-{generation:016x}")
}

/// The generation that a file name stands for.
pub(crate) fn manifest_generation(name: &str) -> Option<u64> {
    hex16(name.strip_prefix("manifest-")?)
}

/// What a file name of the store stands for; `None` for a stranger, which is never touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileName {
    Manifest(u64),
    Temporary,
    Log(u64),
    Segment(u64),
    Lock,
    Reserve,
    Doubt,
}

/// Reads a file name.
pub(crate) fn parse_name(name: &str) -> Option<FileName> {
    match name {
        TEMPORARY => return Some(FileName::Temporary),
        "LOCK" => return Some(FileName::Lock),
        RESERVE => return Some(FileName::Reserve),
        "wal-doubt" => return Some(FileName::Doubt),
        _ => {}
    }
    if let Some(generation) = manifest_generation(name) {
        return Some(FileName::Manifest(generation));
    }
    if let Some(id) = name.strip_prefix("wal-").and_then(|rest| rest.strip_suffix(".log")).and_then(hex16) {
        return Some(FileName::Log(id));
    }
    let (stem, extension) = name.strip_prefix("seg-")?.split_once('.')?;
    match extension {
        "truth" | "blob" | "codes" | "graph" => hex16(stem).map(FileName::Segment),
        "dead" => {
            let (id, generation) = stem.split_once('-')?;
            hex16(generation)?;
            hex16(id).map(FileName::Segment)
        }
        _ => None,
    }
}

fn hex16(text: &str) -> Option<u64> {
    let lower = text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    (text.len() == 16 && lower).then(|| u64::from_str_radix(text, 16).ok().filter(|&number| number < 1 << 62)).flatten()
}
