//! Publishes the made-up market through the same parser and hub as any publisher's events.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::line::Line;
use super::story::Story;
use crate::event::{Event, EventParser};
use crate::hub::{HubHandle, Origin};

pub struct Generator {
    story: Story,
    rate: f64,
}

/// The thread that publishes. Dropped, it stops.
pub struct Generating {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Generator {
    pub fn new(seed: u64, rate: f64) -> Self {
        Self { story: Story::new(seed), rate }
    }

    /// The wallets whose trades it makes up.
    pub fn wallets(&self) -> &[String] {
        self.story.wallets()
    }

    /// The wallet whose transactions it makes up.
    pub fn bot_wallet(&self) -> &str {
        self.story.bot_wallet()
    }

    pub fn start(self, hub: HubHandle) -> std::io::Result<Generating> {
        let (stop, stopped) = channel();
        let thread = std::thread::Builder::new().name("demo-market".into()).spawn(move || self.run(&hub, &stopped))?;
        Ok(Generating { stop: Some(stop), thread: Some(thread) })
    }

    fn run(mut self, hub: &HubHandle, stopped: &Receiver<()>) {
        let mut parser = EventParser::new();
        let started = Instant::now();
        let mut published = 0_u64;
        loop {
            let next = started + Duration::from_secs_f64(published as f64 / self.rate);
            let wait = next.saturating_duration_since(Instant::now());
            if stopped.recv_timeout(wait) != Err(RecvTimeoutError::Timeout) {
                return;
            }
            let lines = self.story.next(Timestamp::now().as_millisecond().max(0) as u64);
            let parse = |line: &Line| parser.parse(line.to_string().as_bytes(), 1, None);
            let events: Vec<Event> =
                lines.iter().map(parse).collect::<Result<_, _>>().expect("the story is of valid events");
            published += events.len() as u64;
            // All at once, as it happened. Refused only when the server is overloaded, and nobody waits for a made-up trade.
            hub.publish(events, Origin::SERVER, Box::new(|_| {}));
        }
    }
}

impl Drop for Generating {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
