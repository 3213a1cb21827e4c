//! The socket plane: one io_uring a shard, holding every upgraded socket as a direct descriptor.
//!
//! ```text
//!   desk ── OwnedFd ──▶ adopt(slot) ─────────▶ direct descriptor table   (the process descriptor is closed)
//!   kernel ── multishot recv ──▶ ReceiveBuffers ──▶ Completion::Receive ──▶ shard
//!   shard ── SendBatch<'_> ──▶ send() ──▶ outcomes, in the same call
//!                     doorbell ◀── the kernel, and every other thread that has news for the shard
//! ```
//!
//! This folder is the only one with `unsafe` in it. What it promises to the safe code around it:
//!
//! * Bytes lent to [`SocketRing::send`] are never read after the call returns: sends carry `MSG_DONTWAIT`, so the
//!   kernel finishes each one inside `io_uring_enter`, and the call counts their completions before it returns.
//! * A receive buffer belongs either to the kernel or to the shard, never to both, and the ring knows which:
//!   [`SocketRing::received`] and [`SocketRing::recycle`] panic for one whose completion was not reaped.
//! * `user_data` carries operation, slot and generation, so a completion that outlived its socket is recognised.
//!
//! The least kernel is 6.1 (`IORING_SETUP_DEFER_TASKRUN`); [`probe`](mod@probe) says what is missing, in words.

mod doorbell;
mod listen;
pub mod probe;
mod receive_buffers;
mod socket_ring;
mod user_data;

pub use doorbell::{Doorbell, DoorbellListener};
pub use listen::{Entrance, ListenOptions, bind_listeners, glommio_listener, take_descriptor};
pub use socket_ring::{Completion, Operation, RingOptions, SendBatch, SocketRing};
pub use user_data::SlotRef;
