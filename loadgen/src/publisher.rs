//! The publisher: one keep-alive HTTP/1.1 connection, one POST a step, each sent at its intended time.
//!
//! A request is built before its time and written at it, whether or not the answers to earlier ones have come
//! (pipelined: one connection keeps the events in order). Each round has a connection of its own, so that no server's
//! idle timeout falls between rounds.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{SocketAddrV4, TcpStream};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::Deserialize;

use crate::clock::Clock;
use crate::courier::{JSON, NDJSON, write_request};
use crate::cpu;
use crate::driver::{Driver, Reins, RoundOutcome, RoundPlan};
use crate::event::EventSource;
use crate::handshake::{Answer, read_answer};
use crate::schedule::Schedule;
use crate::target::Target;

/// Publishing failed; the server or its address is to blame.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    #[error("can't connect to {address} to publish: {source}: is the server running there?")]
    Connect { address: SocketAddrV4, source: io::Error },
    #[error("{address} refused an event: HTTP {} {}: {}", answer.status, answer.reason, answer.body)]
    Refused { address: SocketAddrV4, answer: Answer },
    #[error("{address} took {accepted} events of a request that held {sent}")]
    Partly { address: SocketAddrV4, accepted: u64, sent: u32 },
    #[error("publishing to {address} broke off: {source}")]
    Broken { address: SocketAddrV4, source: io::Error },
    #[error("publishing to {address} broke off: {what}")]
    Nonsense { address: SocketAddrV4, what: &'static str },
    #[error("{address} did not answer a publish within {seconds} s")]
    Silent { address: SocketAddrV4, seconds: u64 },
}

/// What a publisher sends, and where.
pub struct Publisher {
    pub target: Target,
    pub key: Option<String>,
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
            self.write_request(plan.round, step, &mut request);
            let due_ns = plan.start_ns + self.schedule.offset_ns(step);
            line.read_until(due_ns, reins)?;
            if reins.stopped() || reins.enough() {
                break;
            }
            let late = self.clock.now_ns().saturating_sub(due_ns);
            line.outcome.late.saturating_record(late.max(1));
            line.stream.write_all(&request).map_err(|source| line.broken(source))?;
            line.unanswered.push_back(due_ns);
        }
        line.read_rest(reins)?;
        line.outcome.cpu_ns = cpu::thread_ns() - cpu_before;
        Ok(line.outcome)
    }

    /// One event as a JSON object, several as one NDJSON body.
    fn write_request(&self, round: u32, step: u32, request: &mut Vec<u8>) {
        let mut body = Vec::new();
        for event in self.schedule.events_of(round, step) {
            self.events.published(event, &mut body);
            if self.schedule.burst > 1 {
                body.push(b'\n');
            }
        }
        let kind = if self.schedule.burst > 1 { NDJSON } else { JSON };
        request.clear();
        write_request(&self.target, self.key.as_deref(), kind, &body, request);
    }
}

/// One round's connection, and what has come of it so far.
struct Line<'a> {
    publisher: &'a Publisher,
    stream: TcpStream,
    /// When each request that is not answered yet was due.
    unanswered: VecDeque<u64>,
    answers: Vec<u8>,
    outcome: RoundOutcome,
}

impl<'a> Line<'a> {
    fn connect(publisher: &'a Publisher) -> Result<Self, PublishError> {
        let address = publisher.target.address;
        let connect = || {
            let stream = TcpStream::connect_timeout(&address.into(), publisher.patience)?;
            stream.set_nodelay(true)?;
            stream.set_write_timeout(Some(publisher.patience))?;
            Ok(stream)
        };
        let stream = connect().map_err(|source| PublishError::Connect { address, source })?;
        let (unanswered, answers) = Default::default();
        Ok(Self { publisher, stream, unanswered, answers, outcome: RoundOutcome::new() })
    }

    /// Reads answers until `due_ns`, to the nanosecond as far as the machine allows.
    fn read_until(&mut self, due_ns: u64, reins: &Reins) -> Result<(), PublishError> {
        while let Some(sleep) = self.publisher.clock.sleep_before(due_ns) {
            if reins.stopped() {
                return Ok(());
            }
            self.read_some(sleep)?;
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
                let address = self.publisher.target.address;
                return Err(PublishError::Silent { address, seconds: patience.as_secs() });
            }
            self.read_some(Duration::from_nanos(left))?;
        }
        Ok(())
    }

    /// Waits for bytes at most for `timeout` (and at most 50 ms, so that a stop is seen), and takes whole answers.
    fn read_some(&mut self, timeout: Duration) -> Result<(), PublishError> {
        let timeout = timeout.min(Duration::from_millis(50));
        let timeout = Timespec { tv_sec: 0, tv_nsec: i64::from(timeout.subsec_nanos()) };
        if !matches!(poll(&mut [PollFd::new(&self.stream, PollFlags::IN)], Some(&timeout)), Ok(1)) {
            return Ok(());
        }
        let mut chunk = [0; 4096];
        let address = self.publisher.target.address;
        let got = self.stream.read(&mut chunk).map_err(|source| self.broken(source))?;
        if got == 0 {
            return Err(PublishError::Nonsense { address, what: "the server closed the connection" });
        }
        self.answers.extend_from_slice(&chunk[..got]);
        while let Some((answer, taken)) =
            read_answer(&self.answers).map_err(|what| PublishError::Nonsense { address, what })?
        {
            self.answers.drain(..taken);
            self.take_answer(answer)?;
        }
        Ok(())
    }

    fn take_answer(&mut self, answer: Answer) -> Result<(), PublishError> {
        let address = self.publisher.target.address;
        let Some(due_ns) = self.unanswered.pop_front() else {
            return Err(PublishError::Nonsense { address, what: "the server answered what was not asked" });
        };
        if !(200..300).contains(&answer.status) {
            return Err(PublishError::Refused { address, answer });
        }
        let took = self.publisher.clock.now_ns().saturating_sub(due_ns);
        self.outcome.answered.saturating_record(took.max(1));
        if let Ok(accepted) = serde_json::from_str::<Accepted>(&answer.body) {
            let sent = self.publisher.schedule.burst;
            if accepted.accepted != u64::from(sent) {
                return Err(PublishError::Partly { address, accepted: accepted.accepted, sent });
            }
            self.outcome.step_seqs.push(accepted.first_seq);
        }
        Ok(())
    }

    fn broken(&self, source: io::Error) -> PublishError {
        PublishError::Broken { address: self.publisher.target.address, source }
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
            target: Target::parse(&format!("http://127.0.0.1:{port}/api/events"), "http").unwrap(),
            key: Some("secret".into()),
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
