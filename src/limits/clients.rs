//! WebSocket clients of tools and tests.

/// An answer's head longer than this is not from a server that we would talk to.
pub const RESPONSE_HEAD_BYTES_MAX: usize = 16 * 1024;

/// Headers in an answer; servers behind proxies send about twenty.
pub const RESPONSE_HEADERS_MAX: usize = 64;
