//! The files that a job makes: they go with the job, unless they were installed or a frame names them.
//!
//! Invariants:
//! * A file is owned from before it is created until [`OutputFiles::installed`]. Every early return between removes it.
//! * A fence keeps the files: the manifest or a frame may name them. So do a panic and a fork, after which too little is known.
//! * A file that cannot be removed is an orphan, and the next open removes it.

use std::sync::Arc;

use crate::file_names::segment_name;
use crate::segment::layout::{blob_name, codes_name, graph_name, truth_name};
use crate::shard::engine::Engine;
use crate::wal;

/// Owns the files of one job.
pub(crate) struct OutputFiles {
    engine: Arc<Engine>,
    names: Vec<String>,
}

impl OutputFiles {
    /// No files yet.
    pub fn new(engine: &Arc<Engine>) -> Self {
        Self { engine: Arc::clone(engine), names: Vec::new() }
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
        self.names.push(name.into());
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
        self.names.clear();
    }

    fn own(&mut self, names: impl FnOnce(u64) -> Vec<String>) -> u64 {
        let id = self.engine.new_file_id();
        self.names.extend(names(id));
        id
    }

    fn remove(&self, names: Vec<String>) {
        if std::thread::panicking() || self.engine.check_fence().is_err() || self.engine.is_forked() {
            return;
        }
        names.iter().for_each(|name| drop(self.engine.storage.remove(name)));
    }
}

impl Drop for OutputFiles {
    fn drop(&mut self) {
        let names = std::mem::take(&mut self.names);
        self.remove(names);
    }
}
