//! The sections that a segment writer keeps in memory until the end: columns, keys, names, hashes, list of blob files.
//!
//! Invariants:
//! * A section has one entry for each row, vector, namespace, path or path list, as `layout.rs` says.
//! * Paths and path lists are numbered in the order of their first use.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::error::Result;
use crate::extensions::ExtensionKind;
use crate::ids::{RowId, VectorId};
use crate::record::{SpaceId, TextHash};
use crate::segment::blob::file::{BlobFile, ValuePlace};
use crate::segment::key_table::{self, hash_key, hash_namespace};
use crate::segment::truth::input::RowInput;
use crate::segment::truth::layout::{Counts, Section};

/// Adjacent byte strings.
#[derive(Debug)]
pub(crate) struct NameColumn {
    offsets: Vec<u64>,
    bytes: Vec<u8>,
}

impl NameColumn {
    /// Room for so many strings, without that for their bytes.
    fn of(count: usize) -> Self {
        let mut offsets = Vec::with_capacity(count + 1);
        offsets.push(0);
        Self { offsets, bytes: Vec::new() }
    }

    fn push(&mut self, name: &[u8]) {
        self.bytes.extend_from_slice(name);
        self.offsets.push(self.bytes.len() as u64);
    }

    fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    /// The first string; empty if there is none.
    pub fn first(&self) -> &[u8] {
        self.offsets.get(1).map_or(&[], |&end| &self.bytes[..end as usize])
    }

    /// The last string; empty if there is none.
    pub fn last(&self) -> &[u8] {
        match self.offsets[..] {
            [.., start, end] => &self.bytes[start as usize..end as usize],
            _ => &[],
        }
    }
}

/// All sections of a truth file but vectors and values.
#[derive(Debug)]
pub(crate) struct Columns {
    lsn: Vec<u64>,
    created_at: Vec<i64>,
    updated_at: Vec<i64>,
    expires_at: Vec<i64>,
    ttl: Vec<i64>,
    flags: Vec<u32>,
    value_offset: Vec<u64>,
    value_length: Vec<u32>,
    value_source: Vec<u32>,
    first_vector: Vec<VectorId>,
    path_list: Vec<u32>,
    keys: NameColumn,
    key_hash: Vec<u64>,
    pub namespaces: NameColumn,
    namespace_hash: Vec<u64>,
    /// `sections` adds the last entry of the section: the number of rows.
    namespace_first_row: Vec<RowId>,
    vector_row: Vec<RowId>,
    vector_path: Vec<u32>,
    inverse_norm: Vec<f32>,
    text_hash: Vec<TextHash>,
    extensions: NameColumn,
    extension_kinds: BTreeSet<(ExtensionKind, bool)>,
    paths: NameColumn,
    path_numbers: HashMap<Box<str>, u32>,
    path_list_start: Vec<u32>,
    path_list_entry: Vec<u32>,
    list_numbers: HashMap<Vec<u32>, u32>,
    /// File number `n` is at index `n - 1`.
    pub blob_files: Vec<BlobFile>,
}

impl Columns {
    /// Columns for so many rows and vectors: a column that grew would take its memory twice for a while.
    pub fn of(rows: usize, vectors: usize) -> Self {
        let mut first_vector = Vec::with_capacity(rows + 1);
        first_vector.push(VectorId(0));
        Self {
            lsn: Vec::with_capacity(rows),
            created_at: Vec::with_capacity(rows),
            updated_at: Vec::with_capacity(rows),
            expires_at: Vec::with_capacity(rows),
            ttl: Vec::with_capacity(rows),
            flags: Vec::with_capacity(rows),
            value_offset: Vec::with_capacity(rows),
            value_length: Vec::with_capacity(rows),
            value_source: Vec::with_capacity(rows),
            first_vector,
            path_list: Vec::with_capacity(rows),
            keys: NameColumn::of(rows),
            key_hash: Vec::with_capacity(rows),
            namespaces: NameColumn::of(0),
            namespace_hash: Vec::new(),
            namespace_first_row: Vec::new(),
            vector_row: Vec::with_capacity(vectors),
            vector_path: Vec::with_capacity(vectors),
            inverse_norm: Vec::with_capacity(vectors),
            text_hash: Vec::with_capacity(vectors),
            extensions: NameColumn::of(rows),
            extension_kinds: BTreeSet::new(),
            paths: NameColumn::of(0),
            path_numbers: HashMap::new(),
            path_list_start: vec![0],
            path_list_entry: Vec::new(),
            list_numbers: HashMap::new(),
            blob_files: Vec::new(),
        }
    }

    pub fn rows(&self) -> u32 {
        self.lsn.len() as u32
    }

    /// The row that is pushed next.
    pub fn next_row(&self) -> RowId {
        RowId(self.rows())
    }

    pub fn counts(&self) -> Counts {
        Counts {
            rows: self.rows(),
            vectors: self.vector_row.len() as u32,
            namespaces: self.namespaces.len() as u32,
            paths: self.paths.len() as u32,
            path_lists: self.list_numbers.len() as u32,
        }
    }

    /// Whether (namespace, key) sorts after that of the last row.
    pub fn is_above_last(&self, namespace: &[u8], key: &str) -> bool {
        self.lsn.is_empty() || (namespace, key.as_bytes()) > (self.namespaces.last(), self.keys.last())
    }

    /// Adds a row whose value lies at `place`. The caller then adds its vectors and calls [`Columns::end_row`].
    pub fn push_row(&mut self, secret: [u64; 2], row: &RowInput<'_>, place: &ValuePlace) {
        if self.lsn.is_empty() || self.namespaces.last() != row.namespace {
            self.namespace_first_row.push(self.next_row());
            self.namespaces.push(row.namespace);
            self.namespace_hash.push(hash_namespace(secret, row.namespace));
        }
        self.keys.push(row.key.as_bytes());
        self.key_hash.push(hash_key(secret, row.namespace, row.key));
        self.lsn.push(row.times.lsn.get());
        self.created_at.push(row.times.created_at);
        self.updated_at.push(row.times.updated_at);
        self.expires_at.push(row.times.expires_at);
        self.ttl.push(row.times.ttl);
        self.flags.push(row.flags);
        self.value_offset.push(place.offset);
        self.value_length.push(place.length);
        self.value_source.push(place.source());
        self.extensions.push(row.extensions.encoded());
        self.extension_kinds.extend(row.extensions.kinds());
        let path_list = self.path_list_number(row.index_paths);
        self.path_list.push(path_list);
    }

    pub fn push_vector(&mut self, row: RowId, path: &str, inverse_norm: f32, text_hash: TextHash) {
        let path = self.path_number(path);
        self.vector_row.push(row);
        self.vector_path.push(path);
        self.inverse_norm.push(inverse_norm);
        self.text_hash.push(text_hash);
    }

    pub fn end_row(&mut self) {
        self.first_vector.push(VectorId::from_index(self.vector_row.len()));
    }

    fn path_number(&mut self, path: &str) -> u32 {
        if let Some(&number) = self.path_numbers.get(path) {
            return number;
        }
        let number = self.path_numbers.len() as u32;
        self.paths.push(path.as_bytes());
        self.path_numbers.insert(path.into(), number);
        number
    }

    fn path_list_number(&mut self, paths: &[Arc<str>]) -> u32 {
        if paths.is_empty() {
            return 0;
        }
        let list: Vec<u32> = paths.iter().map(|path| self.path_number(path)).collect();
        if let Some(&number) = self.list_numbers.get(&list) {
            return number;
        }
        let number = self.list_numbers.len() as u32 + 1;
        self.path_list_entry.extend_from_slice(&list);
        self.path_list_start.push(self.path_list_entry.len() as u32);
        self.list_numbers.insert(list, number);
        number
    }

    /// Calls `write` with each section that is made of the columns.
    pub fn sections(&mut self, space: SpaceId, write: &mut dyn FnMut(Section, &[u8]) -> Result<()>) -> Result<()> {
        write(Section::Lsn, bytemuck::cast_slice(&self.lsn))?;
        write(Section::CreatedAt, bytemuck::cast_slice(&self.created_at))?;
        write(Section::UpdatedAt, bytemuck::cast_slice(&self.updated_at))?;
        write(Section::ExpiresAt, bytemuck::cast_slice(&self.expires_at))?;
        write(Section::Ttl, bytemuck::cast_slice(&self.ttl))?;
        write(Section::Flags, bytemuck::cast_slice(&self.flags))?;
        write(Section::ValueOffset, bytemuck::cast_slice(&self.value_offset))?;
        write(Section::ValueLength, bytemuck::cast_slice(&self.value_length))?;
        write(Section::ValueSource, bytemuck::cast_slice(&self.value_source))?;
        write(Section::FirstVector, bytemuck::cast_slice(&self.first_vector))?;
        write(Section::PathList, bytemuck::cast_slice(&self.path_list))?;
        write(Section::KeyOffset, bytemuck::cast_slice(&self.keys.offsets))?;
        write(Section::KeyBytes, &self.keys.bytes)?;
        let (buckets, spill) = key_table::build(&self.key_hash);
        write(Section::KeyBuckets, bytemuck::cast_slice(&buckets))?;
        write(Section::KeySpill, bytemuck::cast_slice(&spill))?;
        write(Section::NamespaceOffset, bytemuck::cast_slice(&self.namespaces.offsets))?;
        write(Section::NamespaceBytes, &self.namespaces.bytes)?;
        self.namespace_first_row.push(self.next_row());
        write(Section::NamespaceFirstRow, bytemuck::cast_slice(&self.namespace_first_row))?;
        let (buckets, spill) = key_table::build(&self.namespace_hash);
        write(Section::NamespaceBuckets, bytemuck::cast_slice(&buckets))?;
        write(Section::NamespaceSpill, bytemuck::cast_slice(&spill))?;
        write(Section::VectorRow, bytemuck::cast_slice(&self.vector_row))?;
        write(Section::VectorPath, bytemuck::cast_slice(&self.vector_path))?;
        write(Section::VectorSpaceId, bytemuck::cast_slice(&vec![space.0; self.vector_row.len()]))?;
        write(Section::InverseNorm, bytemuck::cast_slice(&self.inverse_norm))?;
        write(Section::PathOffset, bytemuck::cast_slice(&self.paths.offsets))?;
        write(Section::PathBytes, &self.paths.bytes)?;
        write(Section::PathListStart, bytemuck::cast_slice(&self.path_list_start))?;
        write(Section::PathListEntry, bytemuck::cast_slice(&self.path_list_entry))?;
        write(Section::BlobFiles, bytemuck::cast_slice(&self.blob_files))?;
        let has_text_hashes = self.text_hash.iter().any(|&hash| hash != 0);
        write(Section::TextHash, if has_text_hashes { bytemuck::cast_slice(&self.text_hash) } else { &[] })?;
        let has_extensions = !self.extension_kinds.is_empty();
        write(
            Section::ExtensionOffset,
            if has_extensions { bytemuck::cast_slice(&self.extensions.offsets) } else { &[] },
        )?;
        write(Section::ExtensionBytes, &self.extensions.bytes)?;
        let kinds = self.extension_kinds.iter().flat_map(|&(kind, must_understand)| [kind, u16::from(must_understand)]);
        write(Section::ExtensionKind, bytemuck::cast_slice(&kinds.collect::<Vec<u16>>()))
    }
}
