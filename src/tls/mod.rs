//! TLS for everything that the server's port speaks: HTTP, WebSockets and server-sent events alike.
//!
//! ```text
//!   [tls] cert, key ─▶ certificate.rs ─▶ Tls (keyring.rs) ─ the configuration in force ─▶ Engine, one a connection
//!                          reload() ────────▲                                               │
//!                                                                                           │
//!   desk: glommio's stream ◀─ secure_stream.rs ─ handshake, HTTP ─────── the same engine ───┤
//!                                     │ hand-over: socket, engine                           │
//!   ring: SocketRing ◀─ shard/secured.rs ─ records made at send time ───────────────────────┘
//! ```
//!
//! Invariants worth naming:
//! * An [`Engine`] does no I/O and holds no buffer between two records.
//! * TLS 1.2 and 1.3, ALPN `http/1.1`. Sessions are resumed by tickets that only the server can read; it remembers none.
//! * A record that was made has used up its number: its bytes are sent, whoever holds them, or the connection ends.
//! * New files are taken whole or not at all, and touch no connection that exists.

mod certificate;
mod engine;
#[cfg(test)]
pub(crate) mod fixture;
mod keyring;

pub use certificate::{CertificateError, TlsFiles};
pub use engine::{Engine, TlsError};
pub use keyring::Tls;
