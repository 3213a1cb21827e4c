//! What `stentor publish` tells on stderr while it works.

use crate::limits::PUBLISH_PROGRESS_LINE_EVERY_S;
use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use indicatif::{HumanCount, ProgressBar, ProgressStyle};

/// A bar on a terminal, a line now and then elsewhere.
pub struct Progress {
    bar: Option<ProgressBar>,
    lines: bool,
    started: Instant,
    last_line: Instant,
}

impl Progress {
    /// `size_bytes` is the input's size where it is known beforehand.
    pub fn on_stderr(size_bytes: Option<u64>) -> Self {
        let terminal = io::stderr().is_terminal();
        Self { bar: terminal.then(|| bar(size_bytes)), lines: !terminal, ..Self::hidden() }
    }

    /// Tells nothing but what is [said](Self::say).
    pub fn hidden() -> Self {
        let now = Instant::now();
        Self { bar: None, lines: false, started: now, last_line: now }
    }

    /// `input_bytes` more were sent; `events` were accepted in all.
    pub fn advance(&mut self, input_bytes: u64, events: u64) {
        let seconds = self.started.elapsed().as_secs_f64();
        let rate = if seconds > 0.0 { (events as f64 / seconds) as u64 } else { 0 };
        let words = || format!("{} events, {}/s", HumanCount(events), HumanCount(rate));
        if let Some(bar) = &self.bar {
            bar.inc(input_bytes);
            bar.set_message(words());
        } else if self.lines && self.last_line.elapsed() >= Duration::from_secs(PUBLISH_PROGRESS_LINE_EVERY_S) {
            self.last_line = Instant::now();
            eprintln!("{}", words());
        }
    }

    /// A sentence that stays on the screen.
    pub fn say(&self, words: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| eprintln!("{words}")),
            None => eprintln!("{words}"),
        }
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn bar(size_bytes: Option<u64>) -> ProgressBar {
    let style = |template| ProgressStyle::with_template(template).expect("a fixed template");
    match size_bytes {
        Some(bytes) => ProgressBar::new(bytes).with_style(style("{bar:32} {percent:>3}%  {msg}  {eta} left")),
        None => ProgressBar::new_spinner().with_style(style("{spinner} {msg}  {elapsed}")),
    }
}
