//! Builds a field index from the values of rows.
//!
//! Invariants:
//! * The same values and rules give the same bytes.
//! * Memory is that of the distinct keys, of eight bytes for each value in them, and of some megabytes. What exceeds a
//!   limit is left out, and the index says so: of a row ([`FieldIndexBuilder::push`]), or of all rows ([`PATHS_MAX`]).
//! * Forced paths have limits of their own, so that whatever others do, they are complete where they can be.

use std::collections::HashMap;
use std::sync::Arc;

use crate::codec::Writer;
use crate::field_index::format::{Footer, write_head};
use crate::field_index::path::{KEYS_MAX, PATH_BYTES_MAX, push, push_elements};
use crate::field_index::path_postings::PathPostings;
use crate::field_index::postings::encode;
use crate::field_index::rules::{Chosen, PathChoice, PreparedRules, push_joined};
use crate::ids::RowId;
use crate::json::{JsonReader, Raw};

/// The most paths of an index. Of more, those with the most rows are kept, after the forced ones.
pub(crate) const PATHS_MAX: usize = 1_024;
/// The most paths that a build counts, beside forced ones. Of others, nothing is indexed.
const PATHS_COUNTED_MAX: usize = 16 * PATHS_MAX;
/// The most scalars, arrays and objects of one row that are indexed, and as many at forced paths. A row with more is
/// indexed in part.
const ROW_VALUES_MAX: usize = 4_096;
/// The same of all rows together, so that a build takes at most half a gigabyte for them. If paths are forced, half of
/// it is for these.
const VALUES_MAX: usize = 1 << 26;

/// The most bytes of keys that wait for their numbers, of one path and of all that get further values. A path that gets
/// none keeps what waited when there were fewer paths; with the most paths that there can be, that is some 24 MiB.
const UNNUMBERED_BYTES: usize = 4 << 20;
const UNNUMBERED_BYTES_OF_PATH: usize = 32 << 10;

/// What a build has of the forced paths, or of all others.
struct PathShare {
    paths: usize,
    paths_max: usize,
    /// Whether a path was left out. It was so from its first row on.
    lacks_paths: bool,
    /// How many more values may be added.
    room: usize,
    /// How many more of the present row.
    row_room: usize,
    /// Whether the present row is indexed in part.
    is_partial: bool,
    /// The rows that are indexed in part, or not at all.
    partial: Vec<RowId>,
}

impl PathShare {
    fn new(paths_max: usize, room: usize) -> Self {
        let (paths, lacks_paths, row_room, is_partial) = (0, false, 0, false);
        Self { paths, paths_max, lacks_paths, room, row_room, is_partial, partial: Vec::new() }
    }

    fn begin_row(&mut self) {
        (self.row_room, self.is_partial) = (ROW_VALUES_MAX.min(self.room), false);
        self.room -= self.row_room;
    }

    fn end_row(&mut self) {
        self.room += self.row_room;
    }

    /// Takes room for one value of the row.
    fn take(&mut self) -> bool {
        self.is_partial |= self.row_room == 0;
        self.row_room = self.row_room.saturating_sub(1);
        !self.is_partial
    }
}

/// An index under construction.
pub(crate) struct FieldIndexBuilder {
    rules: Arc<PreparedRules>,
    paths: Vec<PathPostings>,
    /// The number of each path.
    numbers: HashMap<Box<[u8]>, u32>,
    others: PathShare,
    forced: PathShare,
    rows: u32,
    has_unread: bool,
    /// The most bytes of keys of one path that wait for their numbers.
    unnumbered_max: usize,
    /// The paths of a walk, kept for the next one.
    walked: (Vec<u8>, String),
}

/// The walk through one value.
struct ValueWalk<'b> {
    builder: &'b mut FieldIndexBuilder,
    path: Vec<u8>,
    /// The path with dots between its keys. Empty without rules.
    joined: String,
    row: RowId,
    /// The number of the path of the last value.
    before: u32,
    /// The number of the path that the next value most likely has.
    likely: u32,
}

impl FieldIndexBuilder {
    pub fn new(rules: Arc<PreparedRules>) -> Self {
        let for_forced = if rules.has_forced() { VALUES_MAX / 2 } else { 0 };
        Self {
            rules,
            paths: Vec::new(),
            numbers: HashMap::new(),
            others: PathShare::new(PATHS_COUNTED_MAX, VALUES_MAX - for_forced),
            forced: PathShare::new(PATHS_MAX, for_forced),
            rows: 0,
            has_unread: false,
            unnumbered_max: UNNUMBERED_BYTES_OF_PATH,
            walked: Default::default(),
        }
    }

    /// An index whose first row has this number.
    pub fn from_row(rules: Arc<PreparedRules>, first: RowId) -> Self {
        Self { rows: first.0, ..Self::new(rules) }
    }

    /// Adds the value of the next row; `None` if it cannot be read. Such a row is in the index as one about which
    /// nothing is known, and so is a row of which a part was left out.
    pub fn push(&mut self, value: Option<&[u8]>) {
        let (row, root) = (RowId(self.rows), self.rules.root());
        self.rows += 1;
        self.has_unread |= value.is_none();
        self.others.begin_row();
        self.forced.begin_row();
        let (mut path, mut joined) = std::mem::take(&mut self.walked);
        path.clear();
        joined.clear();
        let mut walk = ValueWalk { builder: self, path, joined, row, before: u32::MAX, likely: 0 };
        let is_walked = value.and_then(|value| walk.object(&mut JsonReader::new(value), 0, root)).is_some();
        (path, joined) = (walk.path, walk.joined);
        self.walked = (path, joined);
        self.others.end_row();
        self.forced.end_row();
        if !is_walked || self.others.is_partial || self.forced.is_partial {
            self.others.partial.push(row);
        }
        if !is_walked || self.forced.is_partial {
            self.forced.partial.push(row);
        }
    }

    /// The bytes of the index.
    pub fn finish(self) -> Vec<u8> {
        let Self { rules, others, forced, .. } = self;
        let mut paths = self.paths;
        let has_others = !others.lacks_paths && paths.len() <= PATHS_MAX;
        if paths.len() > PATHS_MAX {
            let weight = |postings: &PathPostings| (postings.is_forced, postings.values());
            paths.sort_by(|a, b| weight(b).cmp(&weight(a)).then_with(|| a.path.cmp(&b.path)));
            paths.truncate(PATHS_MAX);
        }
        paths.sort_by(|a, b| a.path.cmp(&b.path));
        let mut out = Writer::new();
        if !rules.is_empty() {
            write_head(&mut out, rules.rules(), &forced.partial);
        }
        let mut records = Vec::with_capacity(paths.len());
        for postings in paths {
            records.push(postings.write(&mut out));
        }
        let partial_at = out.len();
        if !others.partial.is_empty() {
            encode(&mut out, &others.partial);
        }
        let records_at = out.len();
        let (partial_rows, paths) = (others.partial.len() as u32, records.len() as u32);
        records.iter().for_each(|record| record.write(&mut out));
        let footer = Footer {
            rows: self.rows,
            paths,
            has_others,
            has_forced: !forced.lacks_paths,
            has_rules: !rules.is_empty(),
            has_unread: self.has_unread,
            partial_rows,
            partial_at: partial_at as u64,
            records_at: records_at as u64,
        };
        footer.write(&mut out);
        out.into_vec()
    }
}

impl ValueWalk<'_> {
    /// Adds the members of the object at the reader, of which the rules say `chosen`, and steps over it. `None` if the
    /// bytes are not JSON.
    fn object(&mut self, reader: &mut JsonReader<'_>, depth: usize, chosen: Chosen) -> Option<()> {
        let mut more = reader.enter()?;
        while more {
            let key = reader.key()?.decode()?;
            let (length, joined) = (self.path.len(), self.joined.len());
            push(&mut self.path, key.as_bytes());
            let mut below = chosen;
            if !self.builder.rules.is_empty() {
                let from = push_joined(&mut self.joined, &key, depth == 0);
                below = self.builder.rules.below(chosen, &self.joined, from);
            }
            self.member(reader, depth + 1, below)?;
            self.path.truncate(length);
            self.joined.truncate(joined);
            more = reader.more()?;
        }
        Some(())
    }

    /// Adds the value at the reader, which stands at the current path, and steps over it.
    fn member(&mut self, reader: &mut JsonReader<'_>, depth: usize, chosen: Chosen) -> Option<()> {
        let value = reader.value()?;
        let is_excluded = chosen.here == PathChoice::Excluded;
        if depth > KEYS_MAX || self.path.len() > PATH_BYTES_MAX {
            // Filters on such paths ask the values.
            return if let Raw::Array(_) | Raw::Object(_) = value { reader.skip() } else { Some(()) };
        }
        if !is_excluded {
            self.add(value, chosen.here)?;
        }
        match value {
            Raw::Object(_) if self.goes_below(chosen) => self.object(reader, depth, chosen),
            Raw::Array(_) if !is_excluded => self.elements(reader, chosen.here),
            Raw::Object(_) | Raw::Array(_) => reader.skip(),
            _ => Some(()),
        }
    }

    /// Whether something in the object at the current path is to be indexed.
    fn goes_below(&mut self, chosen: Chosen) -> bool {
        let rules = &self.builder.rules;
        if !rules.is_empty() && !rules.wants_below(chosen, &self.joined) {
            return false;
        }
        let has_room = self.builder.others.row_room > 0 || rules.has_forced();
        self.builder.others.is_partial |= !has_room;
        has_room
    }

    /// Adds the elements of the array at the reader, and steps over it.
    fn elements(&mut self, reader: &mut JsonReader<'_>, choice: PathChoice) -> Option<()> {
        let length = self.path.len();
        push_elements(&mut self.path);
        let mut more = reader.enter()?;
        while more {
            let element = reader.value()?;
            self.add(element, choice)?;
            if let Raw::Array(_) | Raw::Object(_) = element {
                reader.skip()?;
            }
            more = reader.more()?;
        }
        self.path.truncate(length);
        Some(())
    }

    /// Adds one value at the current path.
    fn add(&mut self, value: Raw<'_>, choice: PathChoice) -> Option<()> {
        let Some(number) = self.path_number(choice) else { return Some(()) };
        let FieldIndexBuilder { paths, others, forced, unnumbered_max, .. } = &mut *self.builder;
        let postings = paths.get_mut(number as usize)?;
        self.likely = postings.next;
        if !(if postings.is_forced { forced } else { others }).take() {
            return Some(());
        }
        postings.add(value, self.row, *unnumbered_max)
    }

    /// The number of the current path; `None` if it is left out.
    fn path_number(&mut self, choice: PathChoice) -> Option<u32> {
        let FieldIndexBuilder { paths, numbers, others, forced, unnumbered_max, .. } = &mut *self.builder;
        // An array has several elements.
        for likely in [self.likely, self.before] {
            if paths.get(likely as usize).is_some_and(|likely| *likely.path == *self.path) {
                self.before = likely;
                return Some(likely);
            }
        }
        let number = match numbers.get(self.path.as_slice()) {
            Some(&number) => number,
            None => {
                let is_forced = choice == PathChoice::Forced;
                let share = if is_forced { forced } else { others };
                share.lacks_paths |= share.paths >= share.paths_max;
                if share.paths >= share.paths_max {
                    return None;
                }
                share.paths += 1;
                let (number, path) = (paths.len() as u32, Box::from(self.path.as_slice()));
                numbers.insert(Box::clone(&path), number);
                paths.push(PathPostings::new(path, is_forced));
                *unnumbered_max = (UNNUMBERED_BYTES / paths.len()).min(UNNUMBERED_BYTES_OF_PATH);
                number
            }
        };
        if let Some(before) = paths.get_mut(self.before as usize) {
            before.next = number;
        }
        self.before = number;
        Some(number)
    }
}
