//! The threads that help with long flat searches.

use crate::storage::forks::PerProcess;

/// The threads that help with long flat searches; `None` on a machine with one core. Each process has its own pool, a
/// forked child too.
pub(super) fn search_pool() -> Option<&'static rayon::ThreadPool> {
    static POOL: PerProcess<Option<rayon::ThreadPool>> = PerProcess::new();
    let make = || {
        let threads = std::thread::available_parallelism().map_or(1, |threads| threads.get()) - 1;
        let builder =
            rayon::ThreadPoolBuilder::new().num_threads(threads).thread_name(|index| format!("vecmem-search-{index}"));
        if threads > 0 { builder.build().ok() } else { None }
    };
    POOL.get().unwrap_or_else(|| POOL.get_or_set(make())).as_ref()
}
