//! Bounds between shards and extents of segments. Both hold as few bytes of namespaces as possible.
//!
//! Invariants:
//! * A bound lies above every namespace of the shard before it, and at or below every one of its own shard. Another
//!   bound with this property moves no row.
//! * The shortest possible bound is taken. So a bound holds only as much of a living namespace as separates it from its
//!   neighbour, and nothing of a deleted namespace.
//! * The extent of a segment lies in its shard, and overlaps no segment that its rows do not overlap. Its ends are made
//!   of prefixes of the segment's own first and last namespace, so a purge that removes the segment removes them too.
//! * A replay adds each file of an import to one shard. So the bounds at which an import splits its files are committed
//!   before its frame, and no bound moves past a file as long as a replay may ask for it: until then the file counts
//!   as content of its shard, even if it was merged and removed. Only a purge moves a bound, after the log has turned;
//!   a split adds bounds inside of one shard.

use std::sync::Arc;

use crate::record::Lsn;
use crate::shard::ingest::IngestedFiles;
use crate::shard::view::{ReadView, Shard};
use crate::types::{Extent, Interval};

/// The files of imports. A purge neither removes those of the import that is under way, nor moves a bound past one that
/// the log may still ask for.
#[derive(Default)]
pub(crate) struct ImportFiles {
    /// The extent of each file.
    pub extents: Vec<Extent>,
    /// The names of the files, once they are written. From their frame until the read view has them, no job owns them.
    pub names: Vec<String>,
    /// The first LSN and the extent of each file that a frame of the log names, unless every checkpoint is past it.
    logged: Vec<(Lsn, Extent)>,
}

impl ImportFiles {
    /// The import that was under way has ended.
    pub fn end(&mut self) {
        self.extents.clear();
        self.names.clear();
    }

    /// Notes the files that a frame names. Those that no replay of the `view` asks for any more are forgotten.
    pub fn note_logged(&mut self, ingested: &IngestedFiles, view: &ReadView) {
        let checkpoint = view.oldest_checkpoint();
        self.logged.retain(|(lsn, _)| *lsn > checkpoint);
        let entries = ingested.files.iter().map(|file| &file.part.entry);
        self.logged.extend(entries.map(|entry| (entry.lsn_base, entry.extent.clone())));
    }

    /// The extents that no bound may be moved past: those of the import under way, and those that a replay may ask for.
    fn held(&self, checkpoint: Lsn) -> impl Iterator<Item = &Extent> {
        let logged = self.logged.iter().filter(move |(lsn, _)| *lsn > checkpoint).map(|(_, extent)| extent);
        self.extents.iter().chain(logged)
    }
}

impl ReadView {
    /// The oldest checkpoint of a shard.
    fn oldest_checkpoint(&self) -> Lsn {
        self.shards.iter().map(|shard| shard.checkpoint()).min().unwrap_or(Lsn::ZERO)
    }

    /// The same read view with the shortest bounds between its shards, and without planned cuts, which may name deleted
    /// namespaces or lie outside of the new bounds; `None` if nothing would change.
    pub fn with_short_bounds(&self, imports: &ImportFiles) -> Option<Self> {
        let mut extents: Vec<Option<Extent>> = self.shards.iter().map(|shard| shard.extent()).collect();
        for imported in imports.held(self.oldest_checkpoint()) {
            let extent = &mut extents[self.shard_of(&imported.lower)];
            *extent = Some(extent.take().into_iter().fold(imported.clone(), Extent::and));
        }
        let lows: Vec<Vec<u8>> = self.shards.iter().map(|shard| shard.interval.low.clone()).collect();
        let short = short_bounds(&extents, &lows, &Interval::everything().high);
        if short == lows && self.shards.iter().all(|shard| shard.cuts.is_empty()) {
            return None;
        }
        let mut view = self.clone();
        for (index, low) in short.iter().enumerate() {
            let high = short.get(index + 1).cloned().unwrap_or_else(|| Interval::everything().high);
            let interval = Interval { low: low.clone(), high };
            view =
                view.with_shard(index, Shard { interval, cuts: Arc::default(), ..Shard::clone(&self.shards[index]) });
        }
        Some(view)
    }
}

/// The shortest lower bounds for the pieces of one shard, whose present bounds are `intervals`. The ends of the shard
/// stay: a log that another shard holds back may name a file of an import that lies beside such an end, and that was
/// merged and removed since.
pub(crate) fn bounds_of_pieces(pieces: &[Shard], intervals: &[Interval], imports: &ImportFiles) -> Vec<Vec<u8>> {
    let extent = |(piece, interval): (&Shard, &Interval)| {
        let imported = imports.extents.iter().filter(|extent| interval.contains(&extent.lower)).cloned();
        piece.extent().into_iter().chain(imported).reduce(Extent::and)
    };
    let extents: Vec<Option<Extent>> = pieces.iter().zip(intervals).map(extent).collect();
    let lows: Vec<Vec<u8>> = intervals.iter().map(|interval| interval.low.clone()).collect();
    let end = intervals.last().map_or_else(|| Interval::everything().high, |last| last.high.clone());
    short_bounds(&extents, &lows, &end)
}

impl Shard {
    /// The extent around the rows of all parts; `None` if the shard has no rows.
    fn extent(&self) -> Option<Extent> {
        let of_segments = self.segments.iter().map(|part| part.entry.extent.clone());
        let in_memory = std::iter::once(&self.memtable).chain(self.frozen.iter().map(|frozen| &frozen.memtable));
        let of_memory = in_memory.flat_map(|memtable| {
            let named = memtable.namespaces_in(&Interval::everything());
            named.into_iter().map(|(namespace, _)| Extent::of_namespace(namespace.encoded()))
        });
        of_segments.chain(of_memory).reduce(Extent::and)
    }

    /// The extent for a new segment of the shard, from its first and last namespace. It lies in `inside`, an interval
    /// of the shard.
    pub fn extent_inside(&self, inside: &Interval, first: &[u8], last: &[u8]) -> Extent {
        short_extent(first, last, inside, self.segments.iter().map(|part| &part.entry.extent))
    }
}

/// The shortest lower bounds for neighbouring shards with these extents. The first bound stays, and all lie below
/// `end`, where the last shard ends. Returns the present bounds, `lows`, if one cannot be found.
fn short_bounds(extents: &[Option<Extent>], lows: &[Vec<u8>], end: &Vec<u8>) -> Vec<Vec<u8>> {
    let mut short: Vec<Vec<u8>> = lows.first().into_iter().cloned().collect();
    for index in 1..lows.len() {
        let content = extents[..index].iter().flatten().map(|extent| &extent.upper).max();
        let below = short.iter().chain(content).max().cloned().unwrap_or_default();
        let upper = extents[index..].iter().flatten().map(|extent| &extent.lower).min().unwrap_or(end);
        let bound = match &extents[index] {
            Some(_) => separator(&below, upper),
            // The bound of an empty shard must leave room for the bounds of the shards after it.
            None => just_above(&below, upper),
        };
        match bound {
            Some(bound) => short.push(bound),
            None => return lows.to_vec(),
        }
    }
    short
}

/// The first short bound above `below` that leaves room below `upper` for any number of further bounds. A further bound
/// can add a zero to this bound, and stays below `upper` because no namespace has two zeros in a row.
fn just_above(below: &[u8], upper: &[u8]) -> Option<Vec<u8>> {
    let longer = [1, 0].map(|byte| [below, &[byte]].concat());
    let leaves_room =
        |bound: &Vec<u8>| below < bound.as_slice() && [bound.as_slice(), &[0]].concat().as_slice() < upper;
    raised_beginnings(below).chain(longer).find(leaves_room)
}

/// The shortest bytes above `below` and at or below `upper`.
fn separator(below: &[u8], upper: &[u8]) -> Option<Vec<u8>> {
    beginnings(upper).find(|beginning| *beginning > below).map(<[u8]>::to_vec)
}

/// The extent with the shortest ends that holds `first` to `last`, lies in `inside` and overlaps none of the `others`
/// that lie beside these namespaces. Each end is longer than the common prefix of the two namespaces, or is the
/// namespace itself. So a segment that cannot be read hides few namespaces beside its own.
fn short_extent<'a>(
    first: &[u8],
    last: &[u8],
    inside: &Interval,
    others: impl Iterator<Item = &'a Extent> + Clone,
) -> Extent {
    let common = first.iter().zip(last).take_while(|(a, b)| a == b).count();
    let below = others.clone().map(|other| other.upper.as_slice()).filter(|upper| *upper < first).max();
    let above = others.map(|other| other.lower.as_slice()).filter(|lower| *lower > last).min();
    let above = above.map_or(inside.high.as_slice(), |above| above.min(&inside.high));
    let mut lowers = beginnings(first).filter(|lower| lower.len() > common && *lower >= inside.low.as_slice());
    let lower = lowers.find(|lower| below.is_none_or(|below| *lower > below));
    let upper = raised_beginnings(last).find(|upper| upper.len() > common && upper.as_slice() < above);
    Extent { lower: lower.unwrap_or(first).to_vec(), upper: upper.unwrap_or_else(|| last.to_vec()) }
}

/// All prefixes of some bytes, from the empty prefix to all bytes.
fn beginnings(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    (0..=bytes.len()).map(|length| &bytes[..length])
}

/// Short byte strings above `bytes`: its prefixes with the last byte raised by one, the shortest first.
fn raised_beginnings(bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> + '_ {
    (0..bytes.len()).filter(|&at| bytes[at] < 0xFF).map(|at| [&bytes[..at], &[bytes[at] + 1]].concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memtable::Memtable;

    #[test]
    fn a_separator_is_the_shortest_there_is() {
        type Row<'a> = (&'a [u8], &'a [u8], Option<&'a [u8]>);
        let table: [Row<'_>; 6] = [
            (b"alice\0", b"bob\0", Some(b"b")),
            (b"users\0ada\0", b"users\0bob\0", Some(b"users\0b")),
            (b"a\0", b"a\0b\0", Some(b"a\0b")),
            (b"", b"secret\0", Some(b"s")),
            (b"z\0", &[0xFF], Some(&[0xFF])),
            (b"b", b"b", None),
        ];
        for (below, upper, expected) in table {
            assert_eq!(separator(below, upper).as_deref(), expected, "{below:?} {upper:?}");
        }
    }

    fn extent(lower: &str, upper: &str) -> Extent {
        Extent { lower: lower.as_bytes().to_vec(), upper: upper.as_bytes().to_vec() }
    }

    #[test]
    fn an_extent_leaves_out_what_lies_beside_and_is_the_shortest_that_does() {
        let all = Interval::everything();
        let shard = Interval { low: b"users\0b".to_vec(), high: b"users\0f".to_vec() };
        let beside = [extent("a\0", "users\0ad"), extent("users\0c", "users\0d"), extent("users\0eve\0x\0", "z")];
        let table = [
            (("secret\0", "secret\0"), &all, &beside[..0], extent("secret\0", "secret\0")),
            (("secret\0", "secret\0deep\0"), &all, &beside[..0], extent("secret\0", "secret\0e")),
            (("alice\0", "bob\0"), &all, &beside[..0], extent("a", "c")),
            (("users\0bob\0", "users\0eve\0"), &all, &beside[..0], extent("users\0b", "users\0f")),
            (("users\0bob\0", "users\0eve\0"), &shard, &beside[..0], extent("users\0b", "users\0ew")),
            (("users\0bob\0", "users\0bud\0"), &all, &beside, extent("users\0bo", "users\0bv")),
            (("users\0ada\0", "users\0zoe\0"), &all, &beside, extent("users\0ada", "users\0{")),
            (("users\0eve\0", "users\0eve\0"), &all, &beside, extent("users\0eve\0", "users\0eve\0")),
        ];
        for ((first, last), inside, others, expected) in table {
            let found = short_extent(first.as_bytes(), last.as_bytes(), inside, others.iter());
            assert_eq!(found, expected, "{first:?} to {last:?} in {inside:?} beside {others:?}");
            let (first, last) = (first.as_bytes(), last.as_bytes());
            assert!(found.contains(first) && found.contains(last) && found.upper < inside.high, "{found:?}");
        }
    }

    #[test]
    fn a_file_that_the_log_may_ask_for_holds_the_bound_before_it() {
        let (middle, end) = (b"users\0c\0".to_vec(), Interval::everything().high);
        let view = |checkpoints: [u64; 2]| {
            let shard = |low: &[u8], high: &[u8], checkpoint| {
                let interval = Interval { low: low.to_vec(), high: high.to_vec() };
                Arc::new(Shard::new(interval, Lsn::new(checkpoint), Memtable::new(None), Vec::new()))
            };
            let shards = [shard(b"", &middle, checkpoints[0]), shard(&middle, &end, checkpoints[1])];
            ReadView { number: 0, read_lsn: Lsn::ZERO, shards: shards.into() }
        };
        let bound = |view: &ReadView, imports: &ImportFiles| {
            let short = view.with_short_bounds(imports).unwrap_or_else(|| view.clone());
            short.shards[1].interval.low.clone()
        };
        let logged = ["users\0bob\0", "users\0carl\0"].map(|name| (Lsn::new(102), extent(name, name))).to_vec();
        let imports = ImportFiles { logged, ..ImportFiles::default() };
        // The second shard has the import behind it, and has merged its file away. The first one has not, so a replay
        // begins before the import, and must find the shard of each file by its extent.
        assert!(bound(&view([100, 200]), &imports).as_slice() <= b"users\0carl\0".as_slice());
        assert!(bound(&view([100, 200]), &imports).as_slice() > b"users\0bob\0".as_slice());
        assert_eq!(bound(&view([200, 200]), &imports), b"\x01", "nothing is there, and nothing is asked for");
    }

    #[test]
    fn bounds_separate_what_is_there_and_name_nothing_that_is_gone() {
        let extent = |lower: &str, upper: &str| Some(extent(lower, upper));
        let end = Interval::everything().high;
        let lows = vec![Vec::new(), b"secret one\0".to_vec(), b"secret two\0".to_vec()];
        let full = [extent("a\0", "b\0"), extent("t\0", "u\0"), extent("v\0", "w\0")];
        assert_eq!(short_bounds(&full, &lows, &end), [&b""[..], b"t", b"v"]);
        let middle_is_empty = [extent("a\0", "b\0"), None, extent("v\0", "w\0")];
        assert_eq!(short_bounds(&middle_is_empty, &lows, &end), [&b""[..], b"c", b"v"]);
        assert_eq!(short_bounds(&[None, None, None], &lows, &end), [&b""[..], b"\x01", b"\x02"]);
        assert_eq!(short_bounds(&[None], &[Vec::new()], &end), [b""]);
        let two_are_empty = [extent("a\0", "a\0"), None, None, None, extent("b\0", "w\0")];
        let lows_of_five = [lows.clone(), vec![b"secret two\0\x01".to_vec(), b"t".to_vec()]].concat();
        let found = short_bounds(&two_are_empty, &lows_of_five, &end);
        assert!(found.is_sorted() && found.iter().all(|low| low.len() <= 3) && found[4] == b"b", "{found:?}");
        let of_children = [extent("a\0", "a\0"), None, None, extent("a\0\x01\0", "b\0")];
        let found = short_bounds(&of_children, &lows_of_five[..4], &end);
        assert!(found.is_sorted() && found.iter().all(|low| !low.starts_with(b"s")), "{found:?}");
        let of_neighbours = [extent("users\0ada\0", "users\0ada\0"), extent("users\0bob\0", "users\0eve\0")];
        assert_eq!(short_bounds(&of_neighbours, &lows[..2], &end), [&b""[..], b"users\0b"]);
    }

    #[test]
    fn the_ends_of_a_shard_that_is_split_stay() {
        let extent = |lower: &str, upper: &str| Some(extent(lower, upper));
        let (low, end) = (b"mz\0".to_vec(), b"p\0".to_vec());
        let lows = [low.clone(), b"n\0\x01\0".to_vec(), b"o\0".to_vec()];
        let extents = [extent("mzz\0", "n\0"), extent("nab\0", "nb\0"), extent("oz\0", "oz\0")];
        assert_eq!(short_bounds(&extents, &lows, &end), [low.clone(), b"na".to_vec(), b"o".to_vec()]);
        // The last piece is empty: its bound lies above the one before, and below the end.
        let found = short_bounds(&[extent("mzz\0", "n\0"), None], &lows[..2], &end);
        assert!(found[0] == low && found[1].as_slice() > b"n\0" && found[1] < end, "{found:?}");
    }
}
