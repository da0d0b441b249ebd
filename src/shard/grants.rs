//! Space that was granted to jobs and that they have not written yet: whoever asks meanwhile does not get it too.
//!
//! Invariants:
//! * A grant ends with the job ([`Grant`] is dropped), or before, when its files are written.
//! * What a job has written is no longer free, so only the rest of its grant counts. [`outstanding`] is pure.
//! * A question is answered and its grant noted under one lock, so two jobs cannot be given the same bytes.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::shard::engine::Engine;
use crate::sync::Mutex;

/// What jobs were granted, by the number of the grant.
#[derive(Default)]
pub(crate) struct Grants {
    pub(super) given: Mutex<Given>,
}

#[derive(Default)]
pub(super) struct Given {
    next: u64,
    grants: BTreeMap<u64, Granted>,
}

/// So many bytes for these files.
struct Granted {
    bytes: u64,
    names: Vec<String>,
}

/// One grant, as long as it lives.
pub(crate) struct Grant {
    engine: Arc<Engine>,
    number: u64,
}

impl Given {
    /// Bytes that were granted and that nobody has written yet, where the directory holds `files`.
    pub fn outstanding(&self, files: impl FnOnce() -> Vec<(String, u64)>) -> u64 {
        if self.grants.is_empty() {
            return 0;
        }
        let sizes: HashMap<String, u64> = files().into_iter().collect();
        self.grants.values().map(|granted| outstanding(granted.bytes, &granted.names, &sizes)).sum()
    }

    pub fn note(&mut self, engine: &Arc<Engine>, bytes: u64, names: &[String]) -> Grant {
        self.next += 1;
        self.grants.insert(self.next, Granted { bytes, names: names.to_vec() });
        Grant { engine: Arc::clone(engine), number: self.next }
    }
}

impl Grant {
    /// The job writes these files too.
    pub fn add_names(&self, names: &[String]) {
        let mut given = self.engine.space.grants.given.lock();
        if let Some(granted) = given.grants.get_mut(&self.number) {
            granted.names.extend_from_slice(names);
        }
    }
}

impl Drop for Grant {
    fn drop(&mut self) {
        self.engine.space.grants.given.lock().grants.remove(&self.number);
    }
}

/// What is left of a grant.
fn outstanding(bytes: u64, names: &[String], sizes: &HashMap<String, u64>) -> u64 {
    let written = names.iter().filter_map(|name| sizes.get(name)).fold(0, |sum: u64, &size| sum.saturating_add(size));
    bytes.saturating_sub(written)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_job_has_written_is_no_longer_granted() {
        let sizes = HashMap::from([("a".to_owned(), 30), ("b".to_owned(), 50), ("other".to_owned(), 1_000)]);
        let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        assert_eq!(outstanding(100, &names(&[]), &sizes), 100);
        assert_eq!(outstanding(100, &names(&["a", "not yet there"]), &sizes), 70);
        assert_eq!(outstanding(100, &names(&["a", "b"]), &sizes), 20);
        assert_eq!(outstanding(60, &names(&["a", "b"]), &sizes), 0, "it took more than it asked for");
    }
}
