//! What the server says of itself, on stderr: one line for each notable thing, with who, what and why.
//!
//! ```text
//!   tracing::info!(…) ──▶ EnvFilter (level, live) ──▶ libraries: warnings at most ──▶ text or JSON ──▶ stderr
//!   strangers' doings ──▶ Occasion (so many a while, then counted) ──┘
//! ```
//!
//! Invariants:
//! * No key, token or secret is in a line, at whatever level. Types that hold one print none of it, and nothing here prints a request's
//!   address, headers or body. Libraries know nothing of that, so they say no more than warnings.
//! * What strangers cause is bounded by its kind ([`Occasion`]).

mod news;
mod occasion;
mod options;

pub use news::AccountNews;
pub use occasion::Occasion;
pub use options::{LogFormat, LogLevel, LogOptions, NotALevel, UnknownFormat};

use std::fmt;

use tracing::{Level, Metadata};
use tracing_subscriber::filter::{EnvFilter, filter_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, reload};

/// The log of this process.
pub struct Log {
    format: LogFormat,
    filter: reload::Handle<EnvFilter, Registry>,
}

impl Log {
    /// From now on lines go to stderr. To be called once in a process; where something else has the log already, that keeps it.
    pub fn start(options: &LogOptions) -> Self {
        let (filter, handle) = reload::Layer::new(options.level.filter());
        let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_thread_names(true);
        let lines = match options.format {
            LogFormat::Text => lines.boxed(),
            LogFormat::Json => lines.json().flatten_event(true).with_current_span(false).with_span_list(false).boxed(),
        };
        let _ = tracing_subscriber::registry().with(filter).with(lines.with_filter(filter_fn(may_be_said))).try_init();
        if options.format == LogFormat::Json {
            std::panic::set_hook(Box::new(tell_panic));
        }
        Self { format: options.format, filter: handle }
    }

    /// Says more or less from now on.
    pub fn set_level(&self, level: &LogLevel) {
        // It fails only where something else has the log.
        let _ = self.filter.reload(level.filter());
    }

    /// Tells whoever started the server something: a line by itself where people read it, an event of the log where programs do.
    pub fn announce(&self, words: impl fmt::Display) {
        match self.format {
            LogFormat::Text => eprintln!("{words}"),
            LogFormat::Json => tracing::info!("{words}"),
        }
    }
}

/// Other crates print what they are given, and that may be a secret. The TLS library's warnings are of what strangers send, word by
/// word and without bound, so it says nothing: whoever has to know of a failed handshake is told by us.
fn may_be_said(metadata: &Metadata<'_>) -> bool {
    match metadata.target().split("::").next() {
        Some("stentor") => true,
        Some("rustls") => false,
        _ => *metadata.level() <= Level::WARN,
    }
}

/// A panic's message is several lines where nobody says otherwise.
fn tell_panic(panic: &std::panic::PanicHookInfo<'_>) {
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    let payload = panic.payload();
    let words = payload.downcast_ref::<&str>().copied().or(payload.downcast_ref::<String>().map(String::as_str));
    let words = words.unwrap_or("no words");
    tracing::error!(place, "a thread panicked: {words}");
}
