//! One line a second: sockets, events, deliveries and fan-out latency.

use std::io::IsTerminal;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use indicatif::{HumanCount, ProgressBar, ProgressStyle};

use crate::server::{ServerWatch, Totals};

/// The thread that shows the line: in place on a terminal, else as plain lines. Dropped, it stops.
pub struct StatusLine {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

const PERIOD: Duration = Duration::from_secs(1);

impl StatusLine {
    pub fn start(server: ServerWatch) -> std::io::Result<Self> {
        let (stop, stopped) = channel();
        let thread = std::thread::Builder::new().name("status".into()).spawn(move || run(&server, &stopped))?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for StatusLine {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn run(server: &ServerWatch, stopped: &Receiver<()>) {
    let line = std::io::stderr().is_terminal().then(|| {
        let style = ProgressStyle::with_template("{spinner} {msg}").expect("a sound template");
        ProgressBar::new_spinner().with_style(style)
    });
    let mut before = (Instant::now(), server.totals());
    let mut fanout_before = server.fanout();
    while stopped.recv_timeout(PERIOD) == Err(RecvTimeoutError::Timeout) {
        let now = (Instant::now(), server.totals());
        let fanout_now = server.fanout();
        let fanout = fanout_now.since(&fanout_before);
        let latency = (fanout.count() > 0).then(|| (fanout.quantile(0.5), fanout.quantile(0.99)));
        let text = describe(now.0 - before.0, before.1, now.1, latency);
        match &line {
            Some(line) => {
                line.set_message(text);
                line.tick();
            }
            None => eprintln!("{text}"),
        }
        (before, fanout_before) = (now, fanout_now);
    }
    if let Some(line) = line {
        line.finish_and_clear();
    }
}

/// `fanout` is p50 and p99 in nanoseconds, where there was any.
fn describe(elapsed: Duration, before: Totals, now: Totals, fanout: Option<(u64, u64)>) -> String {
    let per_second = |from: u64, to: u64| HumanCount(((to - from) as f64 / elapsed.as_secs_f64()).round() as u64);
    let latency = match fanout {
        Some((p50, p99)) => format!("fan-out p50 {} p99 {}", milliseconds(p50), milliseconds(p99)),
        None => "no fan-out".to_owned(),
    };
    format!(
        "{} sockets · {} events/s · {} deliveries/s · {latency} · seq {}",
        HumanCount(now.sockets),
        per_second(before.last_seq, now.last_seq),
        per_second(before.deliveries, now.deliveries),
        now.last_seq,
    )
}

fn milliseconds(nanos: u64) -> String {
    format!("{:.2} ms", nanos as f64 / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_tells_rates_over_the_time_that_passed() {
        let before = Totals { sockets: 5, deliveries: 1_000, last_seq: 10, ..Totals::default() };
        let now = Totals { sockets: 12_345, deliveries: 21_000, last_seq: 30, ..Totals::default() };
        assert_eq!(
            describe(Duration::from_secs(2), before, now, Some((1_234_567, 9_876_543))),
            "12,345 sockets · 10 events/s · 10,000 deliveries/s · fan-out p50 1.23 ms p99 9.88 ms · seq 30"
        );
        assert!(describe(PERIOD, now, now, None).contains("no fan-out"));
    }
}
