//! Looks up what a write is about to look up under the commit lock, before that lock is taken.
//!
//! Invariants:
//! * Nothing is decided here: the look-up under the lock finds the same damage, and returns the error.
//! * Of several segments, what may be on the disk only is asked for together.

use crate::engine::Engine;
use crate::record::Write;
use crate::segment::ahead::{read_ahead_key, read_ahead_namespace};

impl Engine {
    /// Looks up keys and ranges before the commit lock is taken, so that pages are not read and verified under it.
    pub fn prefetch_keys(&self, writes: &[Write]) {
        let view = self.view.get();
        if view.shards.iter().all(|shard| shard.segments.is_empty()) {
            return;
        }
        let counts_bytes = self.quotas.get().counts_bytes();
        for write in writes {
            match (write.address(), write) {
                (Some((namespace, key)), _) => {
                    read_ahead_key(view.segments_of(namespace.encoded()), namespace.encoded(), key);
                    drop(view.current(namespace, key));
                    if counts_bytes && let Ok(Some((part, row))) = view.living(namespace, key) {
                        part.segment().into_iter().for_each(|segment| segment.ask_for_size(row));
                        drop(part.size(row));
                    }
                }
                (None, Write::DeleteRange(interval)) => {
                    if let Some(namespace) = interval.namespace() {
                        read_ahead_namespace(view.segments_of(namespace), namespace);
                    }
                    drop(view.check_range(interval));
                }
                (None, _) => {}
            }
        }
    }
}
