//! The contract, machine-readable: what the server takes and says, for generators of clients and for tests.
//!
//! ```text
//!   openapi.json   OpenAPI 3.1: every route, status, error code and bound   ─▶ GET /openapi.json
//!   asyncapi.json  AsyncAPI 3.0: the WebSocket protocols                    ─▶ GET /asyncapi.json
//!   code           the words by which programs tell errors apart
//! ```
//!
//! The documents are written by hand, because they are read by people, and they are served as they stand here. What keeps
//! `openapi.json` true is in `tests/`: each route and method of the desk's router is in it and the other way round, and so is each
//! error code, under its statuses; bounds are those of [`limits`](crate::limits). `asyncapi.json` is held against what the protocols'
//! code says and takes. `scripts/test` adds public validators, and requests by the thousand that a program makes of the document and
//! sends to a running server.

#[cfg(test)]
mod asyncapi;
mod code;
#[cfg(test)]
mod tests;

pub use code::ErrorCode;

use std::hash::{DefaultHasher, Hasher};

/// The REST side.
pub const OPENAPI: &str = include_str!("openapi.json");

/// The WebSocket side.
pub const ASYNCAPI: &str = include_str!("asyncapi.json");

/// The `ETag` of a document, quotes included: the same for the same text.
pub fn tag(document: &str) -> String {
    let mut hasher = DefaultHasher::new();
    hasher.write(document.as_bytes());
    format!("\"{:016x}\"", hasher.finish())
}
