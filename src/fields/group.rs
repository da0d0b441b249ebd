//! What the hits of a search are grouped by.

use crate::error::{Error, Result, shortened};
use crate::fields::path::FieldPath;

/// What a search groups its hits by ([`Query::group_by`](crate::Query::group_by)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupBy {
    /// The value of a field: null, a boolean, a number or a string. Values that a filter calls equal make one group,
    /// and items without the field are in the group of null. Items with an array or an object there are in no group.
    Field(FieldPath),
    /// The namespace of the item.
    Namespace,
}

impl GroupBy {
    /// The group that `text` names: a path, or `$item.namespace`. Errors: those of [`FieldPath::new`].
    pub fn parse(text: &str) -> Result<Self> {
        match text {
            "$item.namespace" => Ok(Self::Namespace),
            _ if text.starts_with('$') => Err(Error::invalid(format!(
                "group {:?}: there are $item.namespace, and paths of fields",
                shortened(text)
            ))),
            _ => FieldPath::new(text).map(Self::Field),
        }
    }
}
