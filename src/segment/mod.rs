//! Segments: immutable files of rows, sorted by (namespace, key), and the files beside them.
//!
//! Reading order:
//! * `blocks`: files in checked blocks, the frame of truth, blob and derived files.
//! * `truth`: the rows, which nothing else holds. `key_table`: the hash table of names in it.
//! * `blob`: large values.
//! * `tombstones`: which rows were deleted after the segment was written.
//! * `derived`: codes, field index and graphs, which can be rebuilt. `filter_graphs`: graphs of filters, in memory.
//!   `filter_room`: which of them have to go for another one (pure).
//! * `ahead`: what a read asks the disk for. `side_file`: small files of any kind, read whole.
//! * `verify`: checks every byte and every relation, for `check`.

pub(crate) mod ahead;
pub(crate) mod blob;
pub(crate) mod blocks;
pub(crate) mod derived;
pub(crate) mod filter_graphs;
pub(crate) mod filter_room;
#[cfg(feature = "testing")]
pub(crate) mod fuzz;
pub(crate) mod key_table;
pub(crate) mod side_file;
pub(crate) mod tombstones;
pub(crate) mod truth;
mod verify;

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::ops::{Deref, Range};
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::field_index::{FieldIndexBuilder, PreparedRules};
use crate::filter::OutcomeCache;
use crate::graph::Points;
use crate::ids::{IdRange, RowId, VectorId};
use crate::interrupt::GoOn;
use crate::record::{ItemContent, Lsn, Record};
use crate::segment::blob::file::{Blob, ValuePlace};
use crate::segment::blob::values::{Blobs, KnownBlobs, UnreadValue};
use crate::segment::derived::codes::{Codes, DerivedFile};
use crate::segment::derived::fields::FieldsFile;
use crate::segment::derived::graph::SegmentGraph;
use crate::segment::derived::{Derived, UnopenedGraph};
use crate::segment::filter_graphs::FilterGraphs;
use crate::segment::truth::layout::{Section, StoreIdentity};
use crate::segment::truth::reader::{SegmentFiles, Truth};
use crate::storage::Storage;
use crate::types::Namespace;

/// An open segment: its truth file, whose methods it has by `Deref`, and the files beside it.
pub(crate) struct Segment {
    truth: Truth,
    blobs: Arc<Blobs>,
    derived: Derived,
    /// What filters said of the values.
    pub outcomes: Arc<OutcomeCache>,
    pub filter_graphs: Arc<FilterGraphs>,
}

impl Deref for Segment {
    type Target = Truth;

    #[inline]
    fn deref(&self) -> &Truth {
        &self.truth
    }
}

impl Segment {
    /// Opens the segment. Damaged or missing codes do not fail the open: see [`Segment::codes_problem`].
    pub fn open(storage: &dyn Storage, keys: &StoreIdentity, files: &SegmentFiles) -> Result<Self> {
        Self::open_knowing(storage, keys, files, &KnownBlobs::default())
    }

    /// The same, with the blob files that are known or open already.
    pub fn open_knowing(
        storage: &dyn Storage,
        keys: &StoreIdentity,
        files: &SegmentFiles,
        known: &KnownBlobs,
    ) -> Result<Self> {
        let truth = Truth::open(storage, keys, files)?;
        let blobs = Arc::new(Blobs::open(storage, keys, &truth.file, truth.header.section(Section::BlobFiles), known)?);
        truth.refuse_unknown_extensions()?;
        let derived = Derived::open_codes(storage, keys, &truth, files.codes);
        let derived = derived.with_fields(storage, keys, &truth, files.fields);
        Ok(Self { truth, blobs, derived, outcomes: Arc::default(), filter_graphs: Arc::default() })
    }

    /// The same segment with other derived files. All other maps are shared.
    fn with_derived(&self, derived: Derived) -> Self {
        let (blobs, outcomes) = (Arc::clone(&self.blobs), Arc::clone(&self.outcomes));
        let filter_graphs = Arc::clone(&self.filter_graphs);
        Self { truth: self.truth.clone(), blobs, derived, outcomes, filter_graphs }
    }

    /// The same segment with LSNs relative to `base`: the segment of an import is written before its LSNs are known.
    #[must_use]
    pub fn counted_from(self, base: Lsn) -> Self {
        Self { truth: self.truth.counted_from(base), ..self }
    }

    /// The complete record of a row.
    pub fn record(&self, row: RowId) -> Result<Record> {
        let stored = self.row(row)?;
        Ok(Record {
            content: Arc::new(ItemContent {
                namespace: Namespace::from_encoded(stored.namespace),
                key: stored.key.into(),
                value: self.value(row)?.into(),
                ttl: stored.times.ttl,
                index_paths: self.index_paths(row)?,
                vectors: self.field_vectors(row)?,
                text_hashes: self.row_text_hashes(row)?,
                space: self.header.space_id,
                extensions: self.extensions(row)?,
            }),
            created_at: stored.times.created_at,
            updated_at: stored.times.updated_at,
            expires_at: stored.times.expires_at,
            flags: stored.flags,
        })
    }

    /// The row's value, byte for byte as given.
    pub fn value(&self, row: RowId) -> Result<Cow<'_, str>> {
        self.blobs.value(&self.truth, row)
    }

    /// The row's value for a filter. Only the beginning that the filter needs is unpacked.
    #[inline]
    pub fn unread_value(&self, row: RowId) -> Result<UnreadValue<'_>> {
        self.blobs.unread_value(&self.truth, row)
    }

    /// The bytes of the row's value as it was given; as it is stored, where damage hides that.
    pub fn value_length(&self, row: RowId) -> Result<u64> {
        let place = self.value_place(row)?;
        let stored = u64::from(place.length);
        if place.is_inline() {
            return Ok(stored);
        }
        Ok(self.blob_of(row, &place).and_then(|blob| blob.length(&place)).unwrap_or(stored))
    }

    /// The row's value as it is stored at `place` of a blob file.
    pub fn stored_value(&self, row: RowId, place: &ValuePlace) -> Result<&[u8]> {
        self.blob_of(row, place)?.stored(place)
    }

    /// The blob file that the value at `place` lies in.
    fn blob_of(&self, row: RowId, place: &ValuePlace) -> Result<&Blob> {
        self.blobs.blob_of(&self.truth, row, place)
    }

    /// The blob files that values of the segment lie in; number 1 comes first.
    pub fn blobs(&self) -> Result<&[Arc<Blob>]> {
        self.blobs.files()
    }

    /// For each blob file, the stored bytes of the values of living rows. Without such a value the list of files is not
    /// read, so a damaged list that is unused does no harm.
    pub fn live_blob_bytes(&self, lives: impl Fn(RowId) -> bool) -> Result<Vec<u64>> {
        self.blobs.live_bytes(&self.truth, lives)
    }

    /// Whether the values of living rows can be read from blob file `number`. `Blob::is_unreadable` keeps the outcome.
    pub fn can_read_blob(&self, number: u32, lives: impl Fn(RowId) -> Result<bool>) -> Result<bool> {
        self.blobs.can_read(&self.truth, number, lives)
    }

    /// The known reasons why blob files of the segment cannot be read.
    pub fn blob_problems(&self) -> Vec<String> {
        self.blobs.problems()
    }

    /// The codes, if those of `vectors` can be used.
    #[inline]
    pub fn codes(&self, vectors: Range<VectorId>) -> Option<&Codes> {
        self.derived.codes(vectors)
    }

    /// Why codes must be rebuilt; `None` if no damage of them is known.
    pub fn codes_problem(&self) -> Option<&str> {
        self.derived.codes_problem()
    }

    /// The same segment with rebuilt codes, all of which are checked. The maps of other searchable files are shared.
    pub fn with_codes(&self, storage: &dyn Storage, keys: &StoreIdentity, codes: DerivedFile) -> Result<Self> {
        Ok(self.with_derived(self.derived.with_new_codes(storage, keys, &self.truth, codes)?))
    }

    /// The same segment; all maps are shared.
    pub fn shared(&self) -> Self {
        self.with_derived(self.derived.clone())
    }

    /// The field index that follows from the values and the rules. It knows nothing of a row whose value is unreadable.
    pub fn index_values(&self, rules: Arc<PreparedRules>, go_on: &GoOn<'_>) -> Result<Vec<u8>> {
        let mut builder = FieldIndexBuilder::new(rules);
        for row in self.all_rows().ids() {
            go_on()?;
            builder.push(self.value(row).ok().as_ref().map(|value| value.as_bytes()));
        }
        Ok(builder.finish())
    }

    /// The field index, unless damage of it is known.
    #[inline]
    pub fn fields(&self) -> Option<&FieldsFile> {
        self.derived.fields()
    }

    /// Why the field index must be rebuilt; `None` if no damage of it is known.
    pub fn fields_problem(&self) -> Option<&str> {
        self.derived.fields_problem()
    }

    /// Ends the use of the field index, which `error` says is damaged.
    pub fn set_fields_problem(&self, error: &Error) {
        self.derived.set_fields_problem(error);
    }

    /// The same segment with another field index. All maps of other files are shared.
    pub fn with_fields(&self, storage: &dyn Storage, keys: &StoreIdentity, fields: DerivedFile) -> Self {
        self.with_derived(self.derived.clone().with_fields(storage, keys, &self.truth, Some(fields)))
    }

    /// The segment with those graphs of `files` that can be opened. `graph_problems` names the others.
    pub fn open_graphs(self, storage: &dyn Storage, keys: &StoreIdentity, files: &[DerivedFile]) -> Self {
        let derived = self.derived.with_graph_files(storage, keys, &self.truth, files);
        Self { derived, ..self }
    }

    /// The same segment with these graphs, and these files that could not be opened. Maps are shared.
    pub fn with_graphs(&self, graphs: Vec<Arc<SegmentGraph>>, unopened: Vec<UnopenedGraph>) -> Self {
        self.with_derived(self.derived.with_graphs(graphs, unopened))
    }

    /// The graphs, in order of their rows.
    #[inline]
    pub fn graphs(&self) -> &[Arc<SegmentGraph>] {
        self.derived.graphs()
    }

    /// The graph files that could not be opened.
    pub fn unopened_graphs(&self) -> &[UnopenedGraph] {
        self.derived.unopened_graphs()
    }

    /// The known reasons why graphs of the segment are not searched.
    pub fn graph_problems(&self) -> Vec<String> {
        self.derived.graph_problems()
    }

    /// Verifies a graph of the segment, before its first search. A second call returns the outcome of the first.
    pub fn verify_graph(&self, graph: &SegmentGraph) -> Result<()> {
        graph.verify(&self.truth, self.codes(graph.vectors()))
    }

    /// The codes of these vectors in the form that a graph search reads, if they can be used.
    #[inline]
    pub fn points(&self, vectors: Range<VectorId>) -> Option<Points<'_>> {
        let (space, codes) = (self.header().space?, self.codes(vectors.clone())?);
        let (start, end) = (vectors.start.index(), vectors.end.index());
        let stride = codes.stride();
        Some(Points::new(
            codes.codes().get(start * stride..end * stride)?,
            codes.metas().get(start..end)?,
            stride,
            space.metric,
        ))
    }
}
