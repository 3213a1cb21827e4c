//! The publisher: one keep-alive HTTP/1.1 connection, one POST a step, each sent at its intended time.
//!
//! The events of a step are one request, or one each; or, to NATS, a `PUB` each, with a `PING` behind them whose `PONG` is the answer.
//! A request is built before its time and written at it, whether or not the answers to earlier ones have come
//! (pipelined: one connection keeps the events in order). Each round has a connection of its own, so that no server's
//! idle timeout falls between rounds.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{SocketAddrV4, TcpStream};
use std::time::Duration;

use clap::ValueEnum;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::Deserialize;

use crate::clock::Clock;
use crate::courier::{JSON, NDJSON, write_request};
use crate::cpu;
use crate::driver::{Driver, Reins, RoundOutcome, RoundPlan};
use crate::event::EventSource;
use crate::handshake::{Answer, read_answer};
use crate::nats::{self, Said};
use crate::schedule::Schedule;
use crate::secure::{Trust, Wire};
use crate::target::Target;

/// The longest wait for the server, so that a stop is seen meanwhile.
const STOP_SEEN_IN: Duration = Duration::from_millis(50);

/// Publishing failed; the server or its address is to blame.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    #[error("can't connect to {address} to publish: {source}: is the server running there?")]
    Connect { address: SocketAddrV4, source: io::Error },
    #[error("{address} refused an event: HTTP {} {}: {}", answer.status, answer.reason, answer.body)]
    Refused { address: SocketAddrV4, answer: Answer },
    #[error("{address} refused an event: {why}")]
    Declined { address: SocketAddrV4, why: String },
    #[error("{address} took {accepted} events of a request that held {sent}")]
    Partly { address: SocketAddrV4, accepted: u64, sent: u32 },
    #[error("publishing to {address} broke off: {source}")]
    Broken { address: SocketAddrV4, source: io::Error },
    #[error("publishing to {address} broke off: {what}")]
    Nonsense { address: SocketAddrV4, what: &'static str },
    #[error("{address} did not answer a publish within {seconds} s")]
    Silent { address: SocketAddrV4, seconds: u64 },
}

/// How the events of one step are published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum BurstAs {
    /// All in one request.
    Request,
    /// A request each, one behind the other, without waiting for answers.
    Requests,
}

/// What is published to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outlet {
    /// HTTP POST.
    Http {
        target: Target,
        /// Sent as `X-API-Key`.
        key: Option<String>,
        burst_as: BurstAs,
    },
    Nats {
        address: SocketAddrV4,
        subject: String,
    },
}

impl Outlet {
    /// A step is one request.
    pub fn http(target: Target, key: Option<String>) -> Self {
        Self::Http { target, key, burst_as: BurstAs::Request }
    }

    pub fn address(&self) -> SocketAddrV4 {
        match self {
            Self::Http { target, .. } => target.address,
            Self::Nats { address, .. } => *address,
        }
    }

    fn trust(&self) -> Option<&Trust> {
        match self {
            Self::Http { target, .. } => target.trust.as_ref(),
            Self::Nats { .. } => None,
        }
    }

    /// What is said before the first event.
    fn greeting(&self) -> &'static str {
        match self {
            Self::Http { .. } => "",
            Self::Nats { .. } => nats::CONNECT,
        }
    }

    /// How many answers a step of `burst` events gets.
    fn answers(&self, burst: u32) -> u32 {
        match self {
            Self::Http { burst_as: BurstAs::Requests, .. } => burst,
            _ => 1,
        }
    }
}

/// What a publisher sends, and where.
pub struct Publisher {
    pub outlet: Outlet,
    pub events: Box<dyn EventSource>,
    pub schedule: Schedule,
    pub clock: Clock,
    pub cpu: Option<usize>,
    /// How long an answer may take.
    pub patience: Duration,
}

/// What Stentor answers; of another server's answer only the status counts.
#[derive(Deserialize)]
struct Accepted {
    accepted: u64,
    first_seq: u64,
}

impl Publisher {
    /// Starts the publishing thread.
    pub fn start(self) -> io::Result<Driver> {
        Driver::start("publisher", move |reins| {
            if let Some(cpu) = self.cpu {
                // A publisher that may not be pinned still publishes.
                let _ = cpu::pin(cpu);
            }
            cpu::be_punctual();
            while let Some(plan) = reins.next_round() {
                reins.tell(self.publish_round(plan, &reins).map_err(Into::into));
            }
        })
    }

    fn publish_round(&self, plan: RoundPlan, reins: &Reins) -> Result<RoundOutcome, PublishError> {
        let cpu_before = cpu::thread_ns();
        let mut line = Line::connect(self)?;
        let mut request = Vec::new();
        for step in 0..self.schedule.steps_per_round() {
            self.write_step(plan.round, step, &mut request);
            let due_ns = plan.start_ns + self.schedule.offset_ns(step);
            line.read_until(due_ns, reins)?;
            if reins.stopped() || reins.enough() {
                break;
            }
            let late = self.clock.now_ns().saturating_sub(due_ns);
            line.outcome.late.saturating_record(late.max(1));
            line.give_signs_of_life()?;
            line.write(&request)?;
            line.unanswered.push_back(Unanswered { due_ns, answers: self.outlet.answers(self.schedule.burst) });
        }
        line.read_rest(reins)?;
        line.outcome.cpu_ns = cpu::thread_ns() - cpu_before;
        Ok(line.outcome)
    }

    /// All bytes of a step.
    fn write_step(&self, round: u32, step: u32, out: &mut Vec<u8>) {
        out.clear();
        let events = self.schedule.events_of(round, step);
        let mut body = Vec::new();
        // One event as a JSON object, several as one NDJSON body.
        let kind = |events: u32| if events * self.events.topics() > 1 { NDJSON } else { JSON };
        match &self.outlet {
            Outlet::Http { target, key, burst_as: BurstAs::Request } => {
                for event in events {
                    self.events.published(event, &mut body);
                    if self.schedule.burst > 1 {
                        body.push(b'\n');
                    }
                }
                write_request(target, key.as_deref(), kind(self.schedule.burst), &body, out);
            }
            Outlet::Http { target, key, burst_as: BurstAs::Requests } => {
                for event in events {
                    body.clear();
                    self.events.published(event, &mut body);
                    write_request(target, key.as_deref(), kind(1), &body, out);
                }
            }
            Outlet::Nats { subject, .. } => {
                for event in events {
                    body.clear();
                    self.events.published(event, &mut body);
                    nats::publish(subject, &body, out);
                }
                out.extend(nats::PING.bytes());
            }
        }
    }
}

/// A step whose answers have not all come.
struct Unanswered {
    due_ns: u64,
    /// Those that are still to come.
    answers: u32,
}

/// One round's connection, and what has come of it so far.
struct Line<'a> {
    publisher: &'a Publisher,
    wire: Wire,
    /// In the order in which they were sent.
    unanswered: VecDeque<Unanswered>,
    answers: Vec<u8>,
    /// A server of NATS has asked for a sign of life. It gets one between two steps, never within one.
    owes_pong: bool,
    outcome: RoundOutcome,
}

impl<'a> Line<'a> {
    fn connect(publisher: &'a Publisher) -> Result<Self, PublishError> {
        let address = publisher.outlet.address();
        let connect = || {
            let stream = TcpStream::connect_timeout(&address.into(), publisher.patience)?;
            stream.set_nodelay(true)?;
            let timeout = Some(publisher.patience);
            stream.set_read_timeout(timeout)?;
            let mut wire = Wire::new(stream, address, publisher.outlet.trust())?;
            wire.write_all(publisher.outlet.greeting().as_bytes())?;
            wire.stream().set_nonblocking(true)?;
            Ok(wire)
        };
        let wire = connect().map_err(|source| PublishError::Connect { address, source })?;
        let (unanswered, answers) = Default::default();
        Ok(Self { publisher, wire, unanswered, answers, owes_pong: false, outcome: RoundOutcome::new() })
    }

    /// Reads answers until `due_ns`, to the nanosecond as far as the machine allows.
    fn read_until(&mut self, due_ns: u64, reins: &Reins) -> Result<(), PublishError> {
        while let Some(sleep) = self.publisher.clock.sleep_before(due_ns) {
            if reins.stopped() {
                return Ok(());
            }
            self.read_some(sleep)?;
            self.give_signs_of_life()?;
        }
        self.publisher.clock.spin_until(due_ns);
        Ok(())
    }

    /// Reads the answers that are still due.
    fn read_rest(&mut self, reins: &Reins) -> Result<(), PublishError> {
        let patience = self.publisher.patience;
        let deadline = self.publisher.clock.now_ns() + patience.as_nanos() as u64;
        while !self.unanswered.is_empty() && !reins.stopped() {
            let left = deadline.saturating_sub(self.publisher.clock.now_ns());
            if left == 0 {
                let address = self.publisher.outlet.address();
                return Err(PublishError::Silent { address, seconds: patience.as_secs() });
            }
            self.read_some(Duration::from_nanos(left))?;
            self.give_signs_of_life()?;
        }
        Ok(())
    }

    fn give_signs_of_life(&mut self) -> Result<(), PublishError> {
        if std::mem::take(&mut self.owes_pong) { self.write(nats::PONG.as_bytes()) } else { Ok(()) }
    }

    /// Writes all of it, and reads answers all the while: a server may take no more requests while nobody takes its answers.
    fn write(&mut self, mut bytes: &[u8]) -> Result<(), PublishError> {
        self.read_some(Duration::ZERO)?;
        let mut began_ns = self.publisher.clock.now_ns();
        while !bytes.is_empty() || self.wire.has_unsent() {
            let wrote = if bytes.is_empty() { self.wire.flush().map(|()| 0) } else { self.wire.write(bytes) };
            match wrote {
                Ok(taken) => {
                    bytes = &bytes[taken..];
                    began_ns = self.publisher.clock.now_ns();
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if self.publisher.clock.now_ns() - began_ns > self.publisher.patience.as_nanos() as u64 {
                        return Err(self.broken(io::ErrorKind::TimedOut.into()));
                    }
                    self.wait(PollFlags::IN | PollFlags::OUT, STOP_SEEN_IN);
                    self.read_some(Duration::ZERO)?;
                }
                Err(source) => return Err(self.broken(source)),
            }
        }
        Ok(())
    }

    /// Whether something of what is waited for has come.
    fn wait(&self, flags: PollFlags, timeout: Duration) -> bool {
        let timeout = Timespec { tv_sec: 0, tv_nsec: i64::from(timeout.min(STOP_SEEN_IN).subsec_nanos()) };
        matches!(poll(&mut [PollFd::new(&self.wire, flags)], Some(&timeout)), Ok(1))
    }

    /// Waits for bytes at most for `timeout`, and takes whole answers.
    fn read_some(&mut self, timeout: Duration) -> Result<(), PublishError> {
        if !self.wait(PollFlags::IN, timeout) {
            return Ok(());
        }
        let mut chunk = [0; 4096];
        let got = match self.wire.read(&mut chunk) {
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                return Ok(());
            }
            got => got.map_err(|source| self.broken(source))?,
        };
        if got == 0 {
            let what = "the server closed the connection, which has to stay open for all events of a round (HTTP/1.1 keep-alive)";
            return Err(PublishError::Nonsense { address: self.publisher.outlet.address(), what });
        }
        self.answers.extend_from_slice(&chunk[..got]);
        while self.take_one()? {}
        Ok(())
    }

    /// Takes the next answer; `false` where none is whole.
    fn take_one(&mut self) -> Result<bool, PublishError> {
        let address = self.publisher.outlet.address();
        let nonsense = |what| PublishError::Nonsense { address, what };
        let taken = match &self.publisher.outlet {
            Outlet::Http { .. } => {
                let Some((answer, taken)) = read_answer(&self.answers).map_err(nonsense)? else { return Ok(false) };
                self.take_answer(answer)?;
                taken
            }
            Outlet::Nats { .. } => {
                let Some((said, taken)) = nats::read(&self.answers).map_err(nonsense)? else { return Ok(false) };
                match said {
                    Said::Pong => drop(self.answered()?),
                    Said::Ping => self.owes_pong = true,
                    Said::Error(why) => {
                        let why = String::from_utf8_lossy(why).into_owned();
                        return Err(PublishError::Declined { address, why });
                    }
                    Said::Message { .. } | Said::Other => {}
                }
                taken
            }
        };
        self.answers.drain(..taken);
        Ok(true)
    }

    fn take_answer(&mut self, answer: Answer) -> Result<(), PublishError> {
        let address = self.publisher.outlet.address();
        if !(200..300).contains(&answer.status) {
            return Err(PublishError::Refused { address, answer });
        }
        let is_first = self.answered()?;
        if let Ok(accepted) = serde_json::from_str::<Accepted>(&answer.body) {
            let schedule = self.publisher.schedule;
            let sent = schedule.burst / self.publisher.outlet.answers(schedule.burst) * self.publisher.events.topics();
            if accepted.accepted != u64::from(sent) {
                return Err(PublishError::Partly { address, accepted: accepted.accepted, sent });
            }
            if is_first {
                self.outcome.step_seqs.push(accepted.first_seq);
            }
        }
        Ok(())
    }

    /// An answer has come; returns whether it was its step's first.
    fn answered(&mut self) -> Result<bool, PublishError> {
        let publisher = self.publisher;
        let Some(step) = self.unanswered.front_mut() else {
            let address = publisher.outlet.address();
            return Err(PublishError::Nonsense { address, what: "the server answered what was not asked" });
        };
        let is_first = step.answers == publisher.outlet.answers(publisher.schedule.burst);
        step.answers -= 1;
        if step.answers == 0 {
            let took = publisher.clock.now_ns().saturating_sub(step.due_ns);
            self.outcome.answered.saturating_record(took.max(1));
            self.unanswered.pop_front();
        }
        Ok(is_first)
    }

    fn broken(&self, source: io::Error) -> PublishError {
        PublishError::Broken { address: self.publisher.outlet.address(), source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::EventWriter;
    use std::io::{BufRead, BufReader};
    use std::net::TcpListener;

    fn publisher(port: u16, burst: u32) -> Publisher {
        Publisher {
            outlet: Outlet::http(
                Target::parse(&format!("http://127.0.0.1:{port}/api/events"), "http").unwrap(),
                Some("secret".into()),
            ),
            events: Box::new(EventWriter::new("wallet", 250, 100).unwrap()),
            schedule: Schedule { burst, interval_ns: 2_000_000, rounds: 1, warmup_steps: 0, timed_steps: 3 },
            clock: Clock::start(),
            cpu: None,
            patience: Duration::from_secs(5),
        }
    }

    /// Serves one connection: reads `requests` requests, then answers them all at once with `answer`.
    fn server(requests: usize, answer: String) -> (u16, JoinHandle) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let thread = std::thread::spawn(move || {
            let mut stream = BufReader::new(listener.accept().unwrap().0);
            let mut bodies = Vec::new();
            for _ in 0..requests {
                let (mut head, mut line) = (String::new(), String::new());
                while line != "\r\n" {
                    line.clear();
                    stream.read_line(&mut line).unwrap();
                    head += &line;
                }
                let length = head.split("Content-Length: ").nth(1).unwrap().lines().next().unwrap();
                let mut body = vec![0; length.parse().unwrap()];
                stream.read_exact(&mut body).unwrap();
                bodies.push((head, String::from_utf8(body).unwrap()));
            }
            stream.get_mut().write_all(answer.repeat(requests).as_bytes()).unwrap();
            bodies
        });
        (port, thread)
    }

    type JoinHandle = std::thread::JoinHandle<Vec<(String, String)>>;

    fn answer(status: &str, body: &str) -> String {
        format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
    }

    fn drive(publisher: Publisher) -> Result<RoundOutcome, String> {
        let start_ns = publisher.clock.now_ns() + 20_000_000;
        let driver = publisher.start().unwrap();
        driver.begin_round(RoundPlan { round: 0, start_ns, first_seq: 1 });
        let outcome = loop {
            match driver.outcome() {
                Ok(None) => std::thread::sleep(Duration::from_millis(1)),
                Ok(Some(outcome)) => break Ok(outcome),
                Err(error) => break Err(error.to_string()),
            }
        };
        driver.finish();
        outcome
    }

    #[test]
    fn requests_go_out_on_time_though_no_answer_comes() {
        let (port, server) = server(3, answer("200 OK", r#"{"accepted":1,"first_seq":41,"last_seq":41}"#));
        let outcome = drive(publisher(port, 1)).unwrap();
        assert_eq!((outcome.late.len(), outcome.answered.len(), &outcome.step_seqs[..]), (3, 3, &[41; 3][..]));
        let bodies = server.join().unwrap();
        for (index, (head, body)) in bodies.iter().enumerate() {
            assert!(head.contains("X-API-Key: secret\r\n") && head.contains("Content-Type: application/json\r\n"));
            assert!(body.len() == 250 && body.contains(&format!("\"n\":{index},")), "{body}");
        }
    }

    #[test]
    fn a_burst_is_one_ndjson_request() {
        let (port, server) = server(3, answer("200 OK", r#"{"accepted":4,"first_seq":9,"last_seq":12}"#));
        drive(publisher(port, 4)).unwrap();
        let bodies = server.join().unwrap();
        assert!(bodies[1].0.contains("application/x-ndjson"));
        let lines: Vec<&str> = bodies[1].1.lines().collect();
        assert_eq!((lines.len(), lines[0].len()), (4, 250));
        assert!(lines[0].contains("\"n\":4,") && lines[3].contains("\"n\":7,"));
    }

    #[test]
    fn a_server_that_waits_for_its_answers_to_be_read_is_not_waited_for_in_turn() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (steps, payload_bytes) = (1_000, 60_000);
        std::thread::spawn(move || {
            let mut stream = listener.accept().unwrap().0;
            let answer = answer("200 OK", &"x".repeat(12_000));
            let (mut got, mut answered) = (0, 0);
            let mut chunk = vec![0; 1 << 16];
            // Until the publisher ends it.
            while let Ok(more @ 1..) = stream.read(&mut chunk) {
                got += more;
                while answered < got / payload_bytes && answered < steps {
                    stream.write_all(answer.as_bytes()).unwrap();
                    answered += 1;
                }
            }
        });
        let mut publisher = publisher(port, 1);
        publisher.schedule.interval_ns = 1_000;
        publisher.schedule.timed_steps = steps as u32;
        publisher.events = Box::new(EventWriter::new("wallet", payload_bytes, steps as u32).unwrap());
        assert_eq!(drive(publisher).unwrap().answered.len(), steps as u64);
    }

    #[test]
    fn a_burst_may_be_a_request_each_and_is_answered_with_the_last() {
        let (port, server) = server(12, answer("200 OK", r#"{"accepted":1,"first_seq":9,"last_seq":9}"#));
        let mut publisher = publisher(port, 4);
        let Outlet::Http { burst_as, .. } = &mut publisher.outlet else { unreachable!() };
        *burst_as = BurstAs::Requests;
        let outcome = drive(publisher).unwrap();
        assert_eq!((outcome.answered.len(), outcome.step_seqs.len()), (3, 3));
        let bodies = server.join().unwrap();
        assert!(bodies.iter().all(|(head, body)| head.contains("application/json\r\n") && body.len() == 250));
        assert!(bodies[11].1.contains("\"n\":11,"));
    }

    #[test]
    fn an_event_on_several_topics_is_one_ndjson_request_and_must_be_accepted_on_all() {
        struct Twice(EventWriter);
        impl EventSource for Twice {
            fn published(&self, index: u32, out: &mut Vec<u8>) {
                self.0.published(index, out);
                out.push(b'\n');
                self.0.published(index, out);
            }

            fn topics(&self) -> u32 {
                2
            }
        }
        let twice = |port| Publisher {
            events: Box::new(Twice(EventWriter::new("wallet", 250, 100).unwrap())),
            ..publisher(port, 1)
        };
        let (port, requests) = server(3, answer("200 OK", r#"{"accepted":2,"first_seq":9,"last_seq":10}"#));
        drive(twice(port)).unwrap();
        let bodies = requests.join().unwrap();
        assert!(bodies.iter().all(|(head, body)| head.contains("application/x-ndjson") && body.lines().count() == 2));
        let (port, _requests) = server(3, answer("200 OK", r#"{"accepted":1,"first_seq":9,"last_seq":9}"#));
        let message = drive(twice(port)).unwrap_err();
        assert!(message.contains("1 events of a request that held 2"), "{message}");
    }

    #[test]
    fn nats_is_published_to_and_answers_with_a_pong_a_step() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = match listener.local_addr().unwrap() {
            std::net::SocketAddr::V4(address) => address,
            std::net::SocketAddr::V6(_) => unreachable!("bound to an IPv4 address"),
        };
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(b"INFO {}\r\nPING\r\n").unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let mut said = Vec::new();
            while said.iter().filter(|line: &&String| *line == "PING").count() < 3 {
                said.push(lines.next().unwrap().unwrap());
            }
            stream.write_all(b"PONG\r\nPONG\r\nPONG\r\n").unwrap();
            said
        });
        let outlet = Outlet::Nats { address, subject: "alerts".into() };
        let outcome = drive(Publisher { outlet, ..publisher(1, 2) }).unwrap();
        assert_eq!(outcome.answered.len(), 3);
        let said = server.join().unwrap();
        assert!(said[0].starts_with("CONNECT {") && said.contains(&"PONG".to_owned()), "{said:?}");
        assert_eq!(said.iter().filter(|line| *line == "PUB alerts 250").count(), 6);
    }

    #[test]
    fn a_refusal_is_told_with_status_and_body() {
        let (port, _server) = server(3, answer("401 Unauthorized", "bad key"));
        let message = drive(publisher(port, 1)).unwrap_err();
        assert!(message.contains("401 Unauthorized") && message.contains("bad key"), "{message}");
    }

    #[test]
    fn a_server_that_takes_only_a_part_is_found_out() {
        let (port, _server) = server(3, answer("200 OK", r#"{"accepted":3,"first_seq":9,"last_seq":12}"#));
        let message = drive(publisher(port, 4)).unwrap_err();
        assert!(message.contains("3 events of a request that held 4"), "{message}");
    }
}
