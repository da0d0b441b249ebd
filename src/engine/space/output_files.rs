//! The files that a job makes. They are removed with the job, unless they were installed or a frame names them.
//!
//! Invariants:
//! * A file is owned from before it is created until [`OutputFiles::installed`]. Every early return between removes it.
//! * Poisoning keeps the files: the manifest or a frame may name them. So do a panic and a fork, after which too little
//!   is known.
//! * No other job gets the space that the job was granted and has not written yet (`engine/space/grants.rs`).
//! * A file that cannot be removed is an orphan, and the next erasure or open removes it.
//! * The engine knows the names of all that are owned (`Engine::output_names`), so that an erasure can tell them from
//!   orphans.

use std::fmt;
use std::sync::Arc;

use crate::engine::Engine;
use crate::engine::space::decide::Purpose;
use crate::engine::space::grants::Grant;
use crate::error::Result;
use crate::file_names::segment_name;
use crate::segment::truth::layout::{blob_name, codes_name, graph_name, truth_name};
use crate::wal;

/// Owns the files of one job.
pub(crate) struct OutputFiles {
    engine: Arc<Engine>,
    names: Vec<String>,
    /// The grant for the files that are written next.
    grant: Option<Grant>,
}

impl OutputFiles {
    /// No files yet.
    pub fn new(engine: &Arc<Engine>) -> Self {
        Self { engine: Arc::clone(engine), names: Vec::new(), grant: None }
    }

    /// Asks for the space of the files that the job writes next. Its grant replaces the one before, whose files are
    /// written.
    pub fn ask_for_space(&mut self, purpose: Purpose, needed: u64, what: impl fmt::Display) -> Result<()> {
        self.grant = None;
        self.grant = Some(self.engine.grant_space(purpose, needed, &self.names, what)?);
        Ok(())
    }

    /// The same for a merge, which may have the reserve where it frees at least what it takes.
    pub fn ask_for_merge(&mut self, needed: u64, inputs: u64) -> Result<()> {
        self.grant = None;
        self.grant = self.engine.grant_merge(needed, inputs, &self.names)?;
        Ok(())
    }

    /// Ends the grant: its files are written.
    pub fn written(&mut self) {
        self.grant = None;
    }

    /// The id of a new segment, whose truth, codes and blob files are owned.
    pub fn segment(&mut self) -> u64 {
        self.own(|id| vec![truth_name(id), codes_name(id), blob_name(id)])
    }

    /// The id of new codes for a segment that is there.
    pub fn codes(&mut self) -> u64 {
        self.own(|id| vec![codes_name(id)])
    }

    /// The id of a new graph.
    pub fn graph(&mut self) -> u64 {
        self.own(|id| vec![graph_name(id)])
    }

    /// The id of a new log file.
    pub fn log(&mut self) -> u64 {
        self.own(|id| vec![wal::file_name(id)])
    }

    /// The id of a new side file of this kind.
    pub fn side(&mut self, kind: &str) -> u64 {
        self.own(|id| vec![segment_name(id, kind)])
    }

    /// Owns a file whose name holds no id.
    pub fn named(&mut self, name: &str) {
        self.add(vec![name.into()]);
    }

    /// Removes graphs that were built and are not wanted.
    pub fn discard_graphs(&mut self, ids: impl Iterator<Item = u64>) {
        let unwanted: Vec<String> = ids.map(graph_name).collect();
        let (gone, kept) = std::mem::take(&mut self.names).into_iter().partition(|name| unwanted.contains(name));
        self.names = kept;
        self.remove(gone);
    }

    /// The files belong to the manifest or to a frame from now on.
    pub fn installed(&mut self) {
        self.grant = None;
        let names = std::mem::take(&mut self.names);
        self.engine.output_names.lock().retain(|name| !names.contains(name));
    }

    fn own(&mut self, names: impl FnOnce(u64) -> Vec<String>) -> u64 {
        let id = self.engine.new_file_id();
        self.add(names(id));
        id
    }

    fn add(&mut self, names: Vec<String>) {
        self.grant.iter().for_each(|grant| grant.add_names(&names));
        self.engine.output_names.lock().extend(names.iter().cloned());
        self.names.extend(names);
    }

    fn remove(&self, names: Vec<String>) {
        if std::thread::panicking() || self.engine.check_poisoned().is_err() || self.engine.is_forked() {
            return;
        }
        for name in &names {
            drop(self.engine.storage.remove(name));
            self.engine.output_names.lock().remove(name);
        }
    }
}

impl Drop for OutputFiles {
    fn drop(&mut self) {
        let names = std::mem::take(&mut self.names);
        self.remove(names);
    }
}
