//! The field rules of a store: kept in its settings, so that whoever writes segments next goes by them.
//!
//! Invariant: rules that cannot be read are as good as none, since no answer depends on them. A call that sets them
//! reads them first ([`checked`]).

use std::sync::Arc;

use crate::error::Result;
use crate::field_index::{FieldRules, PreparedRules};
use crate::manifest::Settings;
use crate::shard::part::SharedSegment;

/// The name of the setting.
const SETTING: &str = "vecmem.fields";

/// The rules in the settings.
pub(crate) fn field_rules(settings: &Settings) -> FieldRules {
    settings.get(SETTING).and_then(|json| FieldRules::from_json(json).ok()).unwrap_or_default()
}

/// The same, for a build.
pub(crate) fn prepared_rules(settings: &Settings) -> Arc<PreparedRules> {
    Arc::new(PreparedRules::new(field_rules(settings)))
}

/// The settings with these rules.
pub(crate) fn with_rules(settings: &Settings, rules: &FieldRules) -> Result<Settings> {
    let json = rules.to_string();
    settings.with(SETTING, (!rules.is_empty()).then_some(json.as_str()))
}

/// Fails if `json` is to become the field rules and is none.
pub(crate) fn checked(name: &str, json: Option<&str>) -> Result<()> {
    match json {
        Some(json) if name == SETTING => FieldRules::from_json(json).map(drop),
        _ => Ok(()),
    }
}

/// Whether the index of a segment was built by other rules. No, if there is none, or none that can be read.
pub(crate) fn has_other_rules(part: &SharedSegment, rules: &FieldRules) -> bool {
    let index = part.segment().ok().and_then(|segment| segment.fields()?.index().ok().map(|index| index.rules()));
    index.is_some_and(|built_by| built_by.rules() != rules)
}
