//! The files that a job writes. They are removed when the job ends, unless they were installed or a frame names them.
//!
//! Invariants:
//! * A job owns a file from before its creation until [`OutputFiles::installed`]. An early return before that removes
//!   the file.
//! * In a poisoned store the files stay, since the manifest or a frame may name them. They stay after a panic and after
//!   a fork too, since the state of the store is not known then.
//! * The grant of a job, if it has one, covers the space that it has not written yet (`engine/space/grants.rs`).
//! * A file that cannot be removed is an orphan, and the next purge or open removes it.
//! * `Engine::output_names` has the names of all owned files, so that a purge can tell them from orphans.

use std::fmt;
use std::sync::Arc;

use crate::engine::Engine;
use crate::engine::space::decide::{MergeBytes, Purpose};
use crate::engine::space::grants::Grant;
use crate::error::Result;
use crate::file_names::segment_name;
use crate::segment::truth::layout::{blob_name, codes_name, fields_name, graph_name, truth_name};
use crate::wal;

/// Owns the files of one job.
pub(crate) struct OutputFiles {
    engine: Arc<Engine>,
    names: Vec<String>,
    /// The grant for the files that are written next.
    grant: Option<Grant>,
    /// Whether the reserve was released for this job.
    has_reserve: bool,
}

impl OutputFiles {
    /// No files yet.
    pub fn new(engine: &Arc<Engine>) -> Self {
        Self { engine: Arc::clone(engine), names: Vec::new(), grant: None, has_reserve: false }
    }

    /// Asks for the space of the files that the job writes next. The new grant replaces the previous one, whose files
    /// are written.
    pub fn ask_for_space(&mut self, purpose: Purpose, needed: u64, what: impl fmt::Display) -> Result<()> {
        self.grant = None;
        self.grant = Some(self.engine.grant_space(purpose, needed, &self.names, what)?);
        Ok(())
    }

    /// The same for what is left of a merge, whose next files have no names yet. The merge may take the reserve if it
    /// frees at least as much as it takes.
    pub fn ask_for_merge(&mut self, bytes: MergeBytes) -> Result<()> {
        self.grant = None;
        self.grant = self.engine.grant_merge(bytes, &mut self.has_reserve)?;
        Ok(())
    }

    /// Ends the grant, since all files of the job are written.
    pub fn written(&mut self) {
        self.grant = None;
    }

    /// The id of a new segment. Its truth, codes, fields and blob files are owned from now on.
    pub fn segment(&mut self) -> u64 {
        self.own(|id| vec![truth_name(id), codes_name(id), fields_name(id), blob_name(id)])
    }

    /// The id of new codes for an existing segment.
    pub fn codes(&mut self) -> u64 {
        self.own(|id| vec![codes_name(id)])
    }

    /// The id of a new field index for an existing segment.
    pub fn fields(&mut self) -> u64 {
        self.own(|id| vec![fields_name(id)])
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

    /// Removes the files of these graphs, which the job has built and does not install.
    pub fn discard_graphs(&mut self, ids: impl Iterator<Item = u64>) {
        let unwanted: Vec<String> = ids.map(graph_name).collect();
        let (gone, kept) = std::mem::take(&mut self.names).into_iter().partition(|name| unwanted.contains(name));
        self.names = kept;
        self.remove(gone);
    }

    /// Gives up the ownership of all files: a manifest, a frame or the log has them now.
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
