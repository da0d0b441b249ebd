//! The derived files of an open segment: codes, field index and graphs, and the reasons why some are not used.
//!
//! Reading order:
//! * `codes`: the vectors as codes, made from the truth file alone.
//! * `fields`: the field index, made from the values alone.
//! * `graph`: the format of a graph file, whose numbers are compared with their bounds before a search.
//! * `graph_scope`: the scope of a graph, and why it was built. `live_recall`: what its queries have found.
//!
//! Invariants:
//! * A missing or damaged file, or one made from another truth file, is left out here and never fails an open.
//!   `codes_problem`, `fields_problem` and `graph_problems` give the reasons.
//! * Graphs lie in order of their rows. A segment whose codes are replaced keeps its graphs. All of the new codes are
//!   checked before, so a verified graph stays searchable.

pub(crate) mod codes;
pub(crate) mod fields;
pub(crate) mod graph;
pub(crate) mod graph_scope;
pub(crate) mod live_recall;
#[cfg(test)]
mod tests;

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use crate::error::{Error, ErrorKind, Result};
use crate::ids::VectorId;
use crate::segment::blocks::CheckedMap;
use crate::segment::derived::codes::{Codes, DerivedFile};
use crate::segment::derived::fields::FieldsFile;
use crate::segment::derived::graph::SegmentGraph;
use crate::segment::truth::layout::{StoreIdentity, graph_name};
use crate::segment::truth::reader::Truth;
use crate::storage::Storage;

/// The derived files of a segment. Clones share the maps.
#[derive(Clone, Default)]
pub(crate) struct Derived {
    codes: Option<Arc<Codes>>,
    /// Why the codes, or some of them, are not used.
    codes_problem: OnceLock<String>,
    fields: Option<Arc<FieldsFile>>,
    /// Why the field index is not used.
    fields_problem: OnceLock<String>,
    graphs: Vec<Arc<SegmentGraph>>,
    unopened: Vec<UnopenedGraph>,
}

/// A graph file that did not open.
#[derive(Clone)]
pub(crate) struct UnopenedGraph {
    pub file_id: u64,
    pub why: String,
    pub state: UnopenedState,
}

/// The state of a graph file that did not open.
#[derive(Clone)]
pub(crate) enum UnopenedState {
    /// The file is missing or damaged.
    Damaged,
    /// The file is of an older format, which is no damage: the graph is built again.
    Older(Arc<CheckedMap>),
    /// The file is of a newer version, or the system could not read it. It may be whole.
    Unread,
}

impl UnopenedGraph {
    /// The graph in the file, or why it did not open.
    fn open(
        storage: &dyn Storage,
        keys: &StoreIdentity,
        truth: &Truth,
        file_id: u64,
    ) -> std::result::Result<Arc<SegmentGraph>, Self> {
        let error = match SegmentGraph::open(storage, keys, file_id, truth) {
            Ok(graph) => return Ok(Arc::new(graph)),
            Err(error) => error,
        };
        let state = if error.kind() == ErrorKind::NewerFormat || error.is_unread() {
            UnopenedState::Unread
        } else {
            graph::open_older(storage, keys, file_id).map_or(UnopenedState::Damaged, UnopenedState::Older)
        };
        Err(Self { file_id, why: format!("{} is not used: {error}", graph_name(file_id)), state })
    }

    /// Whether nothing can read the file again, so that its graph is built anew.
    pub fn is_lost(&self) -> bool {
        !matches!(self.state, UnopenedState::Unread)
    }

    /// Whether the file is of an older format.
    pub fn is_older(&self) -> bool {
        matches!(self.state, UnopenedState::Older(_))
    }
}

impl Derived {
    /// The same files with other codes.
    fn with_codes(&self, codes: Codes) -> Self {
        Self { codes: Some(Arc::new(codes)), codes_problem: OnceLock::new(), ..self.clone() }
    }

    /// The same files with other graphs.
    pub fn with_graphs(&self, mut graphs: Vec<Arc<SegmentGraph>>, unopened: Vec<UnopenedGraph>) -> Self {
        graphs.sort_by_key(|graph| (graph.rows().start, graph.rows().end, graph.file_id()));
        Self { graphs, unopened, ..self.clone() }
    }

    /// The same files with the field index in `file`, if it opens. Without a file there is none, and no problem.
    pub fn with_fields(
        self,
        storage: &dyn Storage,
        keys: &StoreIdentity,
        truth: &Truth,
        file: Option<DerivedFile>,
    ) -> Self {
        let (mut fields, fields_problem) = (None, OnceLock::new());
        if let Some(file) = file {
            match FieldsFile::open(storage, keys, file.file_id, truth.truth_id(), truth.rows()) {
                Ok(opened) => fields = Some(Arc::new(opened)),
                Err(error) => drop(fields_problem.set(error.to_string())),
            }
        }
        Self { fields, fields_problem, ..self }
    }

    /// The field index, unless damage of it is known.
    #[inline]
    pub fn fields(&self) -> Option<&FieldsFile> {
        if self.fields_problem.get().is_some() { None } else { self.fields.as_deref() }
    }

    /// Why the field index must be rebuilt; `None` if no problem of it is known.
    pub fn fields_problem(&self) -> Option<&str> {
        self.fields_problem.get().map(String::as_str)
    }

    /// Ends the use of the field index, which `error` says is damaged.
    pub fn set_fields_problem(&self, error: &Error) {
        let _ = self.fields_problem.set(error.to_string());
    }

    fn set_codes_problem(&self, error: &Error) {
        let _ = self.codes_problem.set(error.to_string());
    }

    /// The codes in the file `codes`, if any, and no graphs.
    pub fn open_codes(storage: &dyn Storage, keys: &StoreIdentity, truth: &Truth, codes: Option<DerivedFile>) -> Self {
        let mut derived = Self::default();
        if truth.vectors() > 0 && truth.dims() > 0 {
            let missing = Error::invalid("no codes were built");
            match codes.ok_or(missing).and_then(|codes| map_codes(storage, keys, truth, codes)) {
                Ok(codes) => derived.codes = Some(Arc::new(codes)),
                Err(error) => derived.set_codes_problem(&error),
            }
        }
        derived
    }

    /// The same files with rebuilt codes, all of which are checked. Searchable graphs share their maps.
    pub fn with_new_codes(
        &self,
        storage: &dyn Storage,
        keys: &StoreIdentity,
        truth: &Truth,
        codes: DerivedFile,
    ) -> Result<Self> {
        let codes = map_codes(storage, keys, truth, codes)?;
        codes.ensure(truth.all_vectors())?;
        let derived = self.with_codes(codes);
        // The other graphs may have failed, or would fail, without codes. They are opened anew, to be verified again.
        let (mut graphs, mut unopened) = (Vec::new(), derived.unopened.clone());
        for graph in &derived.graphs {
            if graph.searchable().is_some() {
                graphs.push(Arc::clone(graph));
                continue;
            }
            match UnopenedGraph::open(storage, keys, truth, graph.file_id()) {
                Ok(graph) => graphs.push(graph),
                Err(failed) => unopened.push(failed),
            }
        }
        Ok(Self { graphs, unopened, ..derived })
    }

    /// The same files with those graphs of `files` that open. `graph_problems` names the others.
    pub fn with_graph_files(
        &self,
        storage: &dyn Storage,
        keys: &StoreIdentity,
        truth: &Truth,
        files: &[DerivedFile],
    ) -> Self {
        let (mut graphs, mut unopened) = (Vec::new(), Vec::new());
        for file in files {
            match UnopenedGraph::open(storage, keys, truth, file.file_id) {
                Ok(graph) => graphs.push(graph),
                Err(failed) => unopened.push(failed),
            }
        }
        self.with_graphs(graphs, unopened)
    }

    /// The codes, if those of `vectors` can be used.
    #[inline]
    pub fn codes(&self, vectors: Range<VectorId>) -> Option<&Codes> {
        let codes = self.codes.as_deref()?;
        match codes.ensure(vectors) {
            Ok(()) => Some(codes),
            Err(error) => {
                self.set_codes_problem(&error);
                None
            }
        }
    }

    pub fn all_codes(&self) -> Option<&Codes> {
        self.codes.as_deref()
    }

    /// Why codes must be rebuilt; `None` if no problem of the codes is known.
    pub fn codes_problem(&self) -> Option<&str> {
        self.codes_problem.get().map(String::as_str)
    }

    /// The graphs, in order of their rows.
    #[inline]
    pub fn graphs(&self) -> &[Arc<SegmentGraph>] {
        &self.graphs
    }

    /// The graph files that did not open.
    pub fn unopened_graphs(&self) -> &[UnopenedGraph] {
        &self.unopened
    }

    /// The known reasons why graphs are not searched, except an older format.
    pub fn graph_problems(&self) -> Vec<String> {
        let found = self.graphs.iter().filter_map(|graph| graph.problem());
        let unopened = self.unopened.iter().filter(|unopened| !unopened.is_older());
        unopened.map(|unopened| unopened.why.clone()).chain(found).collect()
    }
}

fn map_codes(storage: &dyn Storage, keys: &StoreIdentity, truth: &Truth, codes: DerivedFile) -> Result<Codes> {
    Codes::open(storage, keys, codes.file_id, truth.truth_id(), truth.dims(), truth.vectors())
}
