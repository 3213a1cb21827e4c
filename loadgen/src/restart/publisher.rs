//! The publisher of a run: an open loop that outlives its server.
//!
//! ```text
//!   events are due, whoever is there ─▶ one request of all that are ─▶ answered: their numbers
//!                                            ▲          │ refused for now, broken off, nobody there: the server is away
//!                                            └──────────┘ the same request again, over a new connection, until it is answered
//! ```
//! One request is under way at a time, so that an event which is sent again can't come behind a later one. A request is repeated as it was:
//! the server took all of it or nothing, and knows its events again by their ids.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::Duration;

use hdrhistogram::Histogram;

use super::event::Events;
use super::inbox::Shared;
use crate::clock::Clock;
use crate::courier::{Accepted, Courier, JSON, NDJSON, write_request};
use crate::cpu;
use crate::latency::latency_histogram;
use crate::limits::{GATHERED_BYTES_MAX, PUBLISH_AGAIN_MS, PUBLISH_ANSWER_MS_MAX};
use crate::publisher::PublishError;
use crate::target::Target;

/// How often a sleeping publisher looks whether it is to end.
const STOP_SEEN_IN: Duration = Duration::from_millis(50);

/// What is published, and where.
pub struct Publisher {
    pub target: Target,
    pub key: String,
    pub events: Events,
    pub shared: Arc<Shared>,
    pub clock: Clock,
    pub cpu: usize,
    /// How long the server may be away.
    pub patience: Duration,
}

/// A publisher at work.
pub struct Publishing {
    /// Events that were answered.
    answered: Arc<AtomicU32>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<Published, PublishError>>,
}

/// What came of it.
#[derive(Debug)]
pub struct Published {
    /// The number of each event.
    pub seqs: Vec<u64>,
    /// How late each request began, and when it was answered; from the time when its first event was due.
    pub late: Histogram<u64>,
    pub answered: Histogram<u64>,
    pub requests: u64,
    /// Events of requests that were repeated, as often as they were.
    pub sent_again: u64,
    /// Those of them that the server had already.
    pub known_already: u64,
    pub outages: Outages,
}

/// Times without an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outages {
    pub count: u64,
    pub longest_ns: u64,
    pub total_ns: u64,
    answered_ns: u64,
    under_way: bool,
}

impl Publisher {
    /// Starts the publishing thread.
    pub fn start(self) -> io::Result<Publishing> {
        let (answered, stop) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicBool::new(false)));
        let (answered_told, stop_seen) = (Arc::clone(&answered), Arc::clone(&stop));
        let run = move || {
            // A publisher that may not be pinned still publishes.
            let _ = cpu::pin(self.cpu);
            cpu::be_punctual();
            self.publish(&answered_told, &stop_seen)
        };
        let thread = std::thread::Builder::new().name("publisher".into()).spawn(run)?;
        Ok(Publishing { answered, stop, thread })
    }

    fn publish(&self, answered: &AtomicU32, stop: &AtomicBool) -> Result<Published, PublishError> {
        let mut published = Published::new(self.shared.due_ns(0));
        let (mut courier, mut request) = (None, Vec::new());
        while (published.seqs.len() as u32) < self.shared.events {
            let first = published.seqs.len() as u32;
            let due_ns = self.shared.due_ns(first);
            self.wait_until(due_ns, stop);
            if stop.load(Relaxed) {
                break;
            }
            let now_ns = self.clock.now_ns();
            let events = self.gather(first, now_ns, &mut request);
            published.late.saturating_record(now_ns.saturating_sub(due_ns).max(1));
            published.requests += 1;
            let Some(accepted) = self.insist(&mut courier, &request, events, &mut published, stop)? else { break };
            published.take(accepted, events);
            published.answered.saturating_record(self.clock.now_ns().saturating_sub(due_ns).max(1));
            answered.fetch_add(events, Relaxed);
        }
        Ok(published)
    }

    /// Sends a request until it is answered; `None` where the publisher is to end before that.
    fn insist(
        &self,
        courier: &mut Option<Courier>,
        request: &[u8],
        events: u32,
        published: &mut Published,
        stop: &AtomicBool,
    ) -> Result<Option<Accepted>, PublishError> {
        loop {
            match self.post(courier, request, events) {
                Ok(accepted) => {
                    published.outages.answered(self.clock.now_ns());
                    return Ok(Some(accepted));
                }
                Err(error) => {
                    *courier = None;
                    let away_ns = published.outages.failed(self.clock.now_ns());
                    if !is_passing(&error) || away_ns > self.patience.as_nanos() as u64 {
                        return Err(error);
                    }
                }
            }
            if stop.load(Relaxed) {
                return Ok(None);
            }
            std::thread::sleep(Duration::from_millis(PUBLISH_AGAIN_MS));
            published.sent_again += u64::from(events);
        }
    }

    fn post(&self, courier: &mut Option<Courier>, request: &[u8], events: u32) -> Result<Accepted, PublishError> {
        let connected = match courier {
            Some(connected) => connected,
            None => {
                let patience = Duration::from_millis(PUBLISH_ANSWER_MS_MAX);
                courier.insert(Courier::connect(self.target.clone(), patience)?)
            }
        };
        connected.post(request, events)
    }

    /// Writes a request of the events from `first` on that are due by now; returns how many those are.
    fn gather(&self, first: u32, now_ns: u64, request: &mut Vec<u8>) -> u32 {
        let (mut body, mut next) = (Vec::new(), first);
        while next < self.shared.events
            && (next == first || (self.shared.due_ns(next) <= now_ns && body.len() < GATHERED_BYTES_MAX))
        {
            self.events.published(next, &mut body);
            body.push(b'\n');
            next += 1;
        }
        request.clear();
        let kind = if next - first > 1 { NDJSON } else { JSON };
        write_request(&self.target, Some(&self.key), kind, &body, request);
        next - first
    }

    fn wait_until(&self, due_ns: u64, stop: &AtomicBool) {
        while let Some(sleep) = self.clock.sleep_before(due_ns) {
            if stop.load(Relaxed) {
                return;
            }
            std::thread::sleep(sleep.min(STOP_SEEN_IN));
        }
        self.clock.spin_until(due_ns);
    }
}

/// Whether the same request may be answered otherwise later: by the server that comes after this one, or when it has room.
fn is_passing(error: &PublishError) -> bool {
    match error {
        PublishError::Refused { answer, .. } => matches!(answer.status, 408 | 429 | 500..),
        PublishError::Connect { .. }
        | PublishError::Broken { .. }
        | PublishError::Nonsense { .. }
        | PublishError::Silent { .. } => true,
        PublishError::Declined { .. } | PublishError::Partly { .. } => false,
    }
}

impl Publishing {
    /// Events that were answered so far.
    pub fn answered(&self) -> u32 {
        self.answered.load(Relaxed)
    }

    pub fn is_over(&self) -> bool {
        self.thread.is_finished()
    }

    /// Stops it, where it is not over, and gives what it knows.
    pub fn finish(self) -> Result<Published, PublishError> {
        self.stop.store(true, Relaxed);
        self.thread.join().expect("a publishing thread does not panic")
    }
}

impl Published {
    /// Nothing yet, at `now_ns`.
    fn new(now_ns: u64) -> Self {
        Self {
            seqs: Vec::new(),
            late: latency_histogram(),
            answered: latency_histogram(),
            requests: 0,
            sent_again: 0,
            known_already: 0,
            outages: Outages { answered_ns: now_ns, ..Outages::default() },
        }
    }

    /// A request's events have the numbers that follow its first one, also where it was known already: it was taken as a whole then.
    fn take(&mut self, accepted: Accepted, events: u32) {
        self.seqs.extend((accepted.first_seq..).take(events as usize));
        self.known_already += accepted.duplicates;
    }
}

impl Outages {
    fn answered(&mut self, now_ns: u64) {
        if std::mem::take(&mut self.under_way) {
            let lasted_ns = now_ns.saturating_sub(self.answered_ns);
            self.count += 1;
            self.longest_ns = self.longest_ns.max(lasted_ns);
            self.total_ns += lasted_ns;
        }
        self.answered_ns = now_ns;
    }

    /// Returns for how long there was no answer by now.
    fn failed(&mut self, now_ns: u64) -> u64 {
        self.under_way = true;
        now_ns.saturating_sub(self.answered_ns)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Read, Write};
    use std::net::TcpListener;

    use super::*;

    const TAKEN: &str = r#"{"accepted":N,"first_seq":7,"last_seq":M}"#;

    /// Serves as many connections as there are answers, a request each; with an empty answer it hangs up. The bodies that it got.
    fn server(answers: Vec<(&'static str, &'static str)>) -> (u16, JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let serve = move || {
            let mut bodies = Vec::new();
            for (status, body) in answers {
                let mut stream = BufReader::new(listener.accept().unwrap().0);
                let (mut line, mut length) = (String::new(), 0);
                while line != "\r\n" {
                    line.clear();
                    stream.read_line(&mut line).unwrap();
                    length =
                        line.strip_prefix("Content-Length: ").map_or(length, |value| value.trim().parse().unwrap());
                }
                let mut got = vec![0; length];
                stream.read_exact(&mut got).unwrap();
                bodies.push(String::from_utf8(got).unwrap());
                let events = bodies.last().unwrap().lines().count();
                let body = body.replace('N', &events.to_string()).replace('M', &(6 + events).to_string());
                let length = body.len();
                if !status.is_empty() {
                    let answer = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{body}");
                    stream.get_mut().write_all(answer.as_bytes()).unwrap();
                }
            }
            bodies
        };
        (port, std::thread::spawn(serve))
    }

    fn publisher(port: u16, events: u32, interval_ns: u64) -> Publisher {
        let (clock, shared) = (Clock::start(), Arc::new(Shared::new(events, interval_ns)));
        shared.start_ns.store(clock.now_ns(), Relaxed);
        Publisher {
            target: Target::parse(&format!("http://127.0.0.1:{port}/api/events"), "http").unwrap(),
            key: "secret".into(),
            events: Events::new("wallet", 300, 100_000, 1).unwrap(),
            shared,
            clock,
            cpu: 0,
            patience: Duration::from_secs(20),
        }
    }

    fn publish(publisher: &Publisher) -> Result<Published, PublishError> {
        publisher.publish(&AtomicU32::new(0), &AtomicBool::new(false))
    }

    #[test]
    fn what_was_not_answered_is_sent_again_as_it_was_until_it_is() {
        let known = r#"{"accepted":N,"first_seq":7,"last_seq":M,"duplicates":N}"#;
        let away = ("503 Service Unavailable", "away");
        let (port, server) = server(vec![("", ""), away, ("200 OK", known)]);
        // All three are due at once, so they are one request.
        let publisher = publisher(port, 3, 0);
        let published = publish(&publisher).unwrap();
        assert_eq!((&published.seqs[..], published.requests), (&[7, 8, 9][..], 1));
        assert_eq!((published.sent_again, published.known_already, published.outages.count), (6, 3, 1));
        let bodies = server.join().unwrap();
        assert!(bodies[0].lines().count() == 3 && bodies[0].contains(r#""id":"restart-0000000000000001-0000000002""#));
        assert!(bodies[1] == bodies[0] && bodies[2] == bodies[0]);
    }

    #[test]
    fn a_refusal_that_waiting_does_not_mend_ends_it() {
        let (port, _server) = server(vec![("401 Unauthorized", "bad key")]);
        let message = publish(&publisher(port, 1, 0)).unwrap_err().to_string();
        assert!(message.contains("bad key"), "{message}");
    }

    #[test]
    fn a_server_that_stays_away_ends_it_after_all_patience() {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let impatient = Publisher { patience: Duration::ZERO, ..publisher(port, 1, 0) };
        assert!(matches!(publish(&impatient), Err(PublishError::Connect { .. })));
    }

    #[test]
    fn events_wait_for_their_time_and_gather_behind_a_request_that_waits() {
        let publisher = publisher(1, 1_000, 1_000_000_000);
        let (start_ns, mut request) = (publisher.shared.due_ns(0), Vec::new());
        assert_eq!(publisher.gather(5, start_ns, &mut request), 1, "it is asked for when it is due");
        assert!(String::from_utf8_lossy(&request).contains("Content-Type: application/json\r\n"));
        assert_eq!(publisher.gather(5, start_ns + 8_500_000_000, &mut request), 4);
        assert!(String::from_utf8_lossy(&request).contains("Content-Type: application/x-ndjson\r\n"));
        assert_eq!(publisher.gather(998, u64::MAX, &mut request), 2, "there are no more");
    }

    #[test]
    fn what_gathers_is_bounded_in_bytes() {
        let events = Events::new("wallet", 60_000, 100_000, 1).unwrap();
        let publisher = Publisher { events, ..publisher(1, 1_000, 0) };
        let mut request = Vec::new();
        let gathered = publisher.gather(0, u64::MAX, &mut request);
        assert!((2..30).contains(&gathered) && request.len() < GATHERED_BYTES_MAX + 70_000, "{gathered}");
    }

    #[test]
    fn an_outage_lasts_from_the_last_answer_to_the_next() {
        let mut outages = Outages { answered_ns: 100, ..Outages::default() };
        outages.answered(200);
        assert_eq!((outages.failed(250), outages.failed(300)), (50, 100));
        outages.answered(400);
        outages.answered(410);
        outages.failed(420);
        outages.answered(430);
        assert_eq!((outages.count, outages.longest_ns, outages.total_ns), (2, 200, 220));
    }

    #[test]
    fn numbers_of_single_events_follow_the_schedule() {
        let (port, server) = server(vec![("200 OK", TAKEN)]);
        assert_eq!(publish(&publisher(port, 1, 0)).unwrap().seqs, [7]);
        assert_eq!(server.join().unwrap()[0].lines().count(), 1);
    }
}
