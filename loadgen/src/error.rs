//! Why a run could not be brought to its end.

use std::io;
use std::path::PathBuf;

use crate::client::ClientError;
use crate::driver::DriverError;
use crate::event::EventError;
use crate::fanout::FloorError;
use crate::publish::DiskError;
use crate::watchlists::SetupError;
use crate::webhooks::WebhooksError;

/// Why a run could not be brought to its end.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Driver(#[from] DriverError),
    #[error(transparent)]
    Floor(#[from] FloorError),
    #[error(transparent)]
    Setup(#[from] SetupError),
    #[error(transparent)]
    Event(#[from] EventError),
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error(transparent)]
    Webhooks(#[from] WebhooksError),
    #[error("can't start a thread: {0}")]
    Thread(io::Error),
    #[error("a client thread ended too early")]
    ClientGone,
    #[error("can't get random bytes: {0}")]
    Random(getrandom::Error),
    #[error("can't read the server's process {pid}: {source}: is --server-pid right?")]
    ServerProcess { pid: u32, source: io::Error },
    #[error(
        "this process may open {limit} files, too few for a floor, which holds one process descriptor a socket: raise `ulimit -n`"
    )]
    NoDescriptors { limit: u64 },
    #[error("the run took longer than --timeout {seconds} s, {doing}")]
    Timeout { seconds: u64, doing: String },
    #[error("the sockets took longer than {seconds} s to connect, {doing}")]
    ConnectTimeout { seconds: u64, doing: String },
    #[error("no socket is left")]
    NoSockets,
    #[error("can't write the samples to {path}: {source}")]
    Csv { path: PathBuf, source: io::Error },
    #[error("interrupted {doing}")]
    Interrupted { doing: String },
}
