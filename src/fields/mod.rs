//! Fields of values, by path: where they lie, how they are ordered, and values of only some of them.
//!
//! Reading order:
//! * `path`: a [`FieldPath`] names a field of a value.
//! * `order`: values as bytes in one order, and an [`Order`] of items. `cursor`: a place in such an order.
//! * `group`: what items are grouped by. `select`: which fields of a value a read returns.
//!
//! Invariants:
//! * A path means the same in all of them, and the same as a key of a filter.
//! * Values are read in place. Bytes that are not JSON have no fields.

mod cursor;
mod group;
pub(crate) mod order;
mod path;
mod select;

pub use cursor::OrderCursor;
pub use group::GroupBy;
pub use order::Order;
pub use path::FieldPath;
pub use select::{Projection, Select};
