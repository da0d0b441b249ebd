//! The vector spaces of a store: the current one, which searches use, those being built, and retired ones that files
//! may still name.
//!
//! Invariants:
//! * Ids rise strictly and are never used again, so an id always names the same space.
//! * At most one space is current.
//!
//! # Format
//!
//! Id of the next space u16; number u32, at most 16; then for each: id u16, state u16 (1 building, 2 current, 3
//! retired), dimensions u32, metric u16 (0 cosine, 1 dot, 2 L2), name `text`, details `bytes`: what the owner of the
//! space keeps with it, empty so far.

use crate::codec::{Decoded, Reader, Writer};
use crate::record::SpaceId;
use crate::types::{Metric, VectorSpace, limits};

/// The most vector spaces of a store, of all states.
const SPACES_MAX: usize = 16;
const NAME_BYTES_MAX: usize = 1 << 10;
const DETAIL_BYTES_MAX: usize = 64 << 10;
/// The fewest bytes of an encoded space.
const SPACE_BYTES_MIN: usize = 18;
/// The name of the first space.
const DEFAULT_NAME: &str = "default";

/// The state of a vector space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SpaceState {
    /// Vectors are being added. Searches do not use it yet.
    Building = 1,
    /// Searches use it.
    Current,
    /// Files may still have vectors of it. Searches do not use them.
    Retired,
}

/// One vector space of a store.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SpaceEntry {
    pub id: SpaceId,
    pub state: SpaceState,
    pub space: VectorSpace,
    pub name: String,
    pub details: Vec<u8>,
}

/// The spaces of a store.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Spaces {
    /// In the order of their ids.
    pub entries: Vec<SpaceEntry>,
    /// Above the ids of all spaces, removed ones included.
    pub next_id: u16,
}

impl Spaces {
    /// Adds the first space, as the current one.
    pub fn add_current(&mut self, space: VectorSpace) {
        let (id, name) = (SpaceId(self.next_id), DEFAULT_NAME.to_owned());
        self.entries.push(SpaceEntry { id, state: SpaceState::Current, space, name, details: Vec::new() });
        self.next_id += 1;
    }

    /// The current space, which searches use.
    pub fn current(&self) -> Option<&SpaceEntry> {
        self.entries.iter().find(|entry| entry.state == SpaceState::Current)
    }
}

pub(super) fn encode_spaces(out: &mut Writer, spaces: &Spaces) {
    out.u16(spaces.next_id);
    out.count(spaces.entries.len());
    for entry in &spaces.entries {
        out.u16(entry.id.0);
        out.u16(entry.state as u16);
        out.count(entry.space.dims);
        out.u16(entry.space.metric.code());
        out.prefixed(entry.name.as_bytes());
        out.prefixed(&entry.details);
    }
}

pub(super) fn decode_spaces(reader: &mut Reader<'_>) -> Decoded<Spaces> {
    let next_id = decode_next_id(reader)?;
    let count = reader.count(SPACE_BYTES_MIN, SPACES_MAX)?;
    let mut spaces: Vec<SpaceEntry> = Vec::with_capacity(count);
    for _ in 0..count {
        let id = SpaceId(reader.u16()?);
        if id.0 >= next_id || spaces.last().is_some_and(|before| before.id >= id) {
            return Err(reader.malformed("the vector spaces are out of order"));
        }
        let state = reader.u16()?;
        let states = [SpaceState::Building, SpaceState::Current, SpaceState::Retired];
        let Some(state) = states.into_iter().find(|&known| known as u16 == state) else {
            return Err(reader.malformed("unknown state of a vector space"));
        };
        let space = decode_space(reader)?;
        let name = reader.text(NAME_BYTES_MAX)?.to_owned();
        let details = reader.prefixed(DETAIL_BYTES_MAX)?.to_vec();
        spaces.push(SpaceEntry { id, state, space, name, details });
    }
    if spaces.iter().filter(|entry| entry.state == SpaceState::Current).count() > 1 {
        return Err(reader.malformed("two vector spaces are current"));
    }
    Ok(Spaces { entries: spaces, next_id })
}

/// The spaces of format version 1: none, or a current one.
pub(super) fn decode_first_spaces(reader: &mut Reader<'_>) -> Decoded<Spaces> {
    let mut spaces = Spaces::default();
    if reader.count(12, 1)? > 0 {
        spaces.next_id = decode_next_id(reader)?;
        spaces.add_current(decode_space(reader)?);
        reader.text(NAME_BYTES_MAX)?.clone_into(&mut spaces.entries[0].name);
    }
    Ok(spaces)
}

/// Reads an id below `u16::MAX`, so that the id after it exists.
fn decode_next_id(reader: &mut Reader<'_>) -> Decoded<u16> {
    let id = reader.u16()?;
    if id == u16::MAX { Err(reader.malformed("the id of a vector space is out of range")) } else { Ok(id) }
}

fn decode_space(reader: &mut Reader<'_>) -> Decoded<VectorSpace> {
    let dims = reader.u32()? as usize;
    if !(1..=limits::DIMENSIONS).contains(&dims) {
        return Err(reader.malformed("the dimensions exceed their limit"));
    }
    let metric = Metric::of_code(reader.u16()?).ok_or(reader.malformed("unknown metric"))?;
    Ok(VectorSpace { dims, metric })
}
