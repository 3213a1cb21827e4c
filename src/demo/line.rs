//! An event as a publisher sends it: one line of JSON.

use std::fmt;

use serde::Serialize;
use serde_json::Value;

#[derive(Clone, Debug, Serialize)]
pub struct Line {
    pub r#type: &'static str,
    /// None where it follows from the type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
    pub data: Value,
}

impl Line {
    pub fn new(r#type: &'static str, topic: Option<String>, data: Value) -> Self {
        Self { r#type, topic, data }
    }
}

/// Without its line break.
impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(self).expect("finite numbers and strings are JSON"))
    }
}
