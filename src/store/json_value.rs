//! The value of a put: JSON as text, or as a tree of `serde_json`.

use std::borrow::Cow;

use serde_json::{Map, Value};

/// A JSON value: text that is JSON already, or a tree of `serde_json`. [`Put::of`](crate::Put::of) takes any other type
/// that `serde` can write. A `String` there is written as a JSON string; here it is JSON text.
pub trait IntoJson {
    /// The value as JSON text.
    fn into_json(self) -> String;
}

impl IntoJson for Value {
    fn into_json(self) -> String {
        self.to_string()
    }
}

impl IntoJson for &Value {
    fn into_json(self) -> String {
        self.to_string()
    }
}

impl IntoJson for Map<String, Value> {
    fn into_json(self) -> String {
        Value::Object(self).to_string()
    }
}

macro_rules! text_is_json {
    ($($text:ty),*) => {$(
        impl IntoJson for $text {
            fn into_json(self) -> String {
                self.into()
            }
        }
    )*};
}
text_is_json!(String, &String, &str, Box<str>, Cow<'_, str>);
