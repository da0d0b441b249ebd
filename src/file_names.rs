//! The grammar of the file names in a store's directory. All other files are foreign.
//!
//! Invariants:
//! * A name is parsed only if it is exactly as the engine writes it. No other file is ever opened or removed.
//! * The files of a segment, and the files beside it that a manifest names, are `seg-{file id}.{kind}`. Only tombstones
//!   have a generation too: `seg-{file id}-{generation}.dead`. A file of an unknown kind belongs to the store as well:
//!   it stays while a manifest names it, and is removed when none does.
//! * A backup has one record, `backup-{incarnation}-{generation}`, which is named by its manifest. Once the directory
//!   was written to as a store, its newest manifest has another generation, so the record counts no more.

/// A manifest that was not renamed to its own name yet.
pub(crate) const TEMPORARY: &str = "manifest.tmp";
/// The longest kind in a file name.
const KIND_BYTES_MAX: usize = 16;
/// A file of zeros that makes room for deletes on a full disk.
pub(crate) const RESERVE: &str = "reserve";

/// The mark of a directory that a backup or a restore has begun to fill and not finished.
pub(crate) const UNFINISHED: &str = "backup-unfinished";

/// The name of the record of a backup, whose manifest has this incarnation and generation.
pub(crate) fn record_name(incarnation: u64, generation: u64) -> String {
    format!("backup-{incarnation:016x}-{generation:016x}")
}

/// The name of the manifest of a generation.
pub(crate) fn manifest_name(generation: u64) -> String {
    format!("manifest-{generation:016x}")
}

/// The generation of the manifest with this file name.
pub(crate) fn manifest_generation(name: &str) -> Option<u64> {
    hex16(name.strip_prefix("manifest-")?)
}

/// A parsed file name: the kind of the file, with its generation or file id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileName {
    Manifest(u64),
    Temporary,
    Log(u64),
    Segment(u64),
    Lock,
    Reserve,
    Doubt,
    /// The record of a backup.
    Record,
    Unfinished,
}

/// Parses a file name. Returns `None` for a foreign file, which is never touched.
pub(crate) fn parse_name(name: &str) -> Option<FileName> {
    match name {
        TEMPORARY => return Some(FileName::Temporary),
        "LOCK" => return Some(FileName::Lock),
        RESERVE => return Some(FileName::Reserve),
        "wal-doubt" => return Some(FileName::Doubt),
        UNFINISHED => return Some(FileName::Unfinished),
        _ => {}
    }
    if let Some(generation) = manifest_generation(name) {
        return Some(FileName::Manifest(generation));
    }
    if let Some(id) = name.strip_prefix("wal-").and_then(|rest| rest.strip_suffix(".log")).and_then(hex16) {
        return Some(FileName::Log(id));
    }
    if let Some((incarnation, generation)) = name.strip_prefix("backup-").and_then(|rest| rest.split_once('-')) {
        return hex16(incarnation).and(hex16(generation)).map(|_| FileName::Record);
    }
    let (stem, kind) = name.strip_prefix("seg-")?.split_once('.')?;
    match stem.split_once('-') {
        // A tombstone file is named by its segment and by the generation that it was written with.
        Some((id, generation)) if kind == "dead" => {
            hex16(generation)?;
            hex16(id).map(FileName::Segment)
        }
        Some(_) => None,
        None => hex16(stem).filter(|_| is_kind(kind)).map(FileName::Segment),
    }
}

/// The name of a file of a segment, or of a file beside segments.
pub(crate) fn segment_name(file_id: u64, kind: &str) -> String {
    format!("seg-{file_id:016x}.{kind}")
}

/// Whether this can be the kind of a file: 1 to 16 small letters.
pub(crate) fn is_kind(kind: &str) -> bool {
    (1..=KIND_BYTES_MAX).contains(&kind.len()) && kind.bytes().all(|byte| byte.is_ascii_lowercase())
}

fn hex16(text: &str) -> Option<u64> {
    let lower = text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    (text.len() == 16 && lower).then(|| u64::from_str_radix(text, 16).ok().filter(|&number| number < 1 << 62)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_unknown_kinds_belong_to_the_store_and_strangers_do_not() {
        assert_eq!(segment_name(0x1f, "fields"), "seg-000000000000001f.fields");
        for kind in ["truth", "codes", "graph", "blob", "missed", "fields", "a", "abcdefghijklmnop"] {
            assert_eq!(parse_name(&segment_name(31, kind)), Some(FileName::Segment(31)), "{kind}");
        }
        let dead = "seg-000000000000001f-0000000000000002.dead";
        assert_eq!(parse_name(dead), Some(FileName::Segment(31)));
        assert_eq!(parse_name(&record_name(0x1f, 2)), Some(FileName::Record));
        assert_eq!(parse_name(UNFINISHED), Some(FileName::Unfinished));
        let strangers = [
            "backup-000000000000001f",
            "backup-000000000000001f-2",
            "backup-finished",
            "seg-000000000000001f",
            "seg-000000000000001f.",
            "seg-000000000000001F.truth",
            "seg-1f.truth",
            "seg-000000000000001f.truth.bak",
            "seg-000000000000001f.truth~",
            "seg-000000000000001f.Truth",
            "seg-000000000000001f.k2",
            "seg-000000000000001f.abcdefghijklmnopq",
            "seg-000000000000001f-0000000000000002.truth",
            "seg-000000000000001f-2.dead",
        ];
        for name in strangers {
            assert_eq!(parse_name(name), None, "{name}");
        }
    }
}
