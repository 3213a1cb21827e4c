//! What a waiting user sees: bars on a terminal, a plain line now and then elsewhere. All on standard error.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// How often a plain line is written.
const PLAIN_EVERY: Duration = Duration::from_secs(5);

/// One thing under way.
pub struct Progress {
    what: String,
    total: u64,
    bar: Option<ProgressBar>,
    began: Instant,
    told: Instant,
}

impl Progress {
    /// Begins something that counts up to `total`.
    pub fn begin(what: &str, total: u64) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{msg:<28} {wide_bar} {human_pos}/{human_len} {elapsed}")
                .expect("a template that indicatif takes");
            ProgressBar::new(total).with_style(style).with_message(what.to_owned())
        });
        let now = Instant::now();
        Self { what: what.to_owned(), total, bar, began: now, told: now }
    }

    pub fn at(&mut self, done: u64) {
        match &self.bar {
            Some(bar) => bar.set_position(done),
            None if self.told.elapsed() >= PLAIN_EVERY => {
                self.told = Instant::now();
                eprintln!("{}: {done} of {}", self.what, self.total);
            }
            None => {}
        }
    }

    /// Ends it; a plain line says how it ended.
    pub fn end(self, done: u64) {
        match self.bar {
            Some(bar) => bar.finish_and_clear(),
            None => eprintln!("{}: {done} of {} in {:.1} s", self.what, self.total, self.began.elapsed().as_secs_f64()),
        }
    }
}
