//! For tests, benchmarks and fuzzing of the crate itself: simulated disks and clocks, and the bodies of the fuzz targets.
//! Nothing here is part of the public interface.

use std::sync::Arc;

use crate::error::Result;
use crate::store::{Options, Store};

pub use crate::storage::sim::{Fault, FaultKind, Image, Loss, SimClock, SimOperation, SimStorage};
pub use crate::storage::{Clock, Storage};

/// Opens a store on any storage, with any clock.
pub fn open_with(storage: Arc<dyn Storage>, clock: Arc<dyn Clock>, options: Options) -> Result<Store> {
    crate::store::open_with(storage, clock, options)
}
