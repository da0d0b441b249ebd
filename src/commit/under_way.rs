//! What others have to know of the import under way.

use crate::engine::Engine;
use crate::types::Extent;

/// Announces the extents and the file names of an import to purges, until the value is dropped.
pub(super) struct UnderWay<'a> {
    engine: &'a Engine,
}

impl<'a> UnderWay<'a> {
    pub fn new(engine: &'a Engine) -> Self {
        Self { engine }
    }

    pub fn announce(&self, extents: Vec<Extent>) {
        self.engine.import_files.lock().extents = extents;
    }

    pub fn announce_names(&self, names: Vec<String>) {
        self.engine.import_files.lock().names = names;
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.engine.import_files.lock().end();
    }
}
