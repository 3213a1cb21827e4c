//! Signals. SIGINT and SIGTERM: while the server starts they end the process, then they stop it in order, and a second one ends that.
//! SIGHUP has the configuration read again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;
use signal_hook::iterator::Signals;

use super::Failure;

/// How a process that a signal ended is told in shells: 128 and the signal's number.
const ENDED_BY_SIGNAL: i32 = 128;

/// Catches them for as long as the process lives.
pub(super) struct Stop {
    signals: Signals,
    /// Whether a signal ends the process at once: while there is nothing to end in order, or no patience for it.
    at_once: Arc<AtomicBool>,
}

impl Stop {
    /// To be called before the start. The default action would do until then, but for process 1 of a container there is none.
    pub fn catch() -> Result<Self, Failure> {
        let at_once = Arc::new(AtomicBool::new(true));
        for signal in [SIGINT, SIGTERM] {
            flag::register_conditional_shutdown(signal, ENDED_BY_SIGNAL + signal, at_once.clone())
                .map_err(uncatchable)?;
        }
        let signals = Signals::new([SIGINT, SIGTERM]).map_err(uncatchable)?;
        Ok(Self { signals, at_once })
    }

    /// Catches SIGHUP, too, which ends the process else, as it should where a terminal is closed on it.
    pub fn catch_reload(&self) -> Result<(), Failure> {
        self.signals.handle().add_signal(SIGHUP).map_err(uncatchable)
    }

    /// The server runs: from now on a signal is kept for [`Stop::wait`].
    pub fn server_runs(&self) {
        self.at_once.store(false, Ordering::SeqCst);
    }

    /// Serves until a signal comes that stops the server. A second one ends the process at once.
    pub fn wait(mut self, mut reload: impl FnMut()) {
        for signal in self.signals.forever() {
            match signal {
                SIGHUP => reload(),
                _ => break,
            }
        }
        self.at_once.store(true, Ordering::SeqCst);
    }
}

fn uncatchable(error: std::io::Error) -> Failure {
    Failure::failed(format!("can't catch SIGHUP, SIGINT and SIGTERM ({error}): allow more open files (`ulimit -n`)"))
}
