//! A run from beginning to end: webhooks are made, one event goes ahead, then the load, and the books are closed.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use super::api::{ApiError, Webhooks};
use super::args::{FloorPlan, Pace, WebhooksLoad};
use super::book::Book;
use super::endpoint::Endpoint;
use super::floor::{self, BareLoop, BareLoopError};
use super::report::{Measured, WebhooksReport};
use super::sink::{BoundSink, HOOK, Sink, SinkPlan};
use crate::clock::Clock;
use crate::courier::{Courier, JSON, NDJSON, write_request};
use crate::driver::{DriverError, LEAD_NS, LOOK_EVERY, RoundOutcome, RoundPlan};
use crate::error::RunError;
use crate::event::{EventSource, EventWriter};
use crate::limits::{FIRST_DELIVERY_MS_MAX, LATE_DELIVERY_MS, SETUP_ANSWER_MS_MAX};
use crate::process;
use crate::process::raise_descriptor_limit;
use crate::progress::Progress;
use crate::publisher::{Outlet, Publisher};
use crate::schedule::{Schedule, Timetable};
use crate::target::Target;

/// What is to be done.
pub struct WebhooksRun {
    pub load: WebhooksLoad,
    pub interrupted: Arc<AtomicBool>,
}

/// Why webhooks could not be measured.
#[derive(Debug, thiserror::Error)]
pub enum WebhooksError {
    #[error(transparent)]
    Api(#[from] ApiError),
    #[error(transparent)]
    BareLoop(#[from] BareLoopError),
    #[error("the sink can't receive deliveries: {0}")]
    Sink(io::Error),
    #[error("webhook {id} was made with a secret that is no whsec_ and base64")]
    Secret { id: String },
    #[error(
        "{reached} of {endpoints} endpoints accepted the first event within {} s: does the account watch the wallet, and may the \
         server reach the sink?{}", FIRST_DELIVERY_MS_MAX / 1000, words(told)
    )]
    FirstEvent { reached: u64, endpoints: u64, told: Vec<String> },
}

fn words(told: &[String]) -> String {
    told.iter().map(|one| format!("\n  {one}")).collect()
}

/// All events but the first, counted from 0.
struct AfterFirst(EventWriter);

impl EventSource for AfterFirst {
    fn published(&self, index: u32, out: &mut Vec<u8>) {
        self.0.published(index + 1, out);
    }
}

/// What publishing came to.
pub struct Published {
    pub seconds: f64,
    /// Of an open loop.
    pub outcome: Option<RoundOutcome>,
}

impl WebhooksRun {
    pub fn measure(self) -> Result<WebhooksReport, RunError> {
        let load = &self.load;
        let deadline = Instant::now() + load.timeout;
        raise_descriptor_limit();
        let sink = BoundSink::bind(load.listen, load.threads).map_err(WebhooksError::Sink)?;
        let address = sink.address;
        let mut webhooks = Webhooks::new(load.server.clone(), load.key.clone());
        let began = Instant::now();
        let endpoints = self.make_endpoints(&mut webhooks, &format!("http://{address}{HOOK}"))?;
        let made_seconds = began.elapsed().as_secs_f64();
        let book = Arc::new(Book::new(endpoints, load.pace.events() + 1, load.mischief));
        let clock = Clock::start();
        let timetable = match load.pace {
            Pace::OpenLoop(schedule) => Some(Arc::new(Timetable::new(schedule))),
            Pace::Flood { .. } => None,
        };
        let plan =
            SinkPlan { book: Arc::clone(&book), timetable: timetable.clone(), clock, delay: load.mischief.delay };
        let sink = sink.start(&load.cpus, &plan).map_err(WebhooksError::Sink)?;
        let watch = Watch { run: &self, book: &book, sink: &sink, deadline };
        if !self.send_first(&watch)? {
            let (reached, endpoints) = (book.began(), book.healthy());
            let told = sink.finish().map_err(WebhooksError::Sink)?.told;
            return Err(WebhooksError::FirstEvent { reached, endpoints, told }.into());
        }
        let bare = |book: &Book| load.floor.map(|plan| self.bare_loop(book, address, plan)).transpose();
        let bare_before = bare(&book)?;
        let cpu_before = self.server_cpu_ns()?;
        let published = match load.pace {
            Pace::OpenLoop(schedule) => {
                let times = timetable.as_deref().expect("an open loop has a timetable");
                self.publish_on_time(schedule, times, clock, &watch)?
            }
            Pace::Flood { events, batch } => self.flood(events, batch, &watch)?,
        };
        watch.drain()?;
        let server_cpu_ns = self.server_cpu_ns()?.zip(cpu_before).map(|(after, before)| after - before);
        let server_memory = load.server_pid.map(|pid| process::memory(pid).map_err(server_process(pid))).transpose()?;
        // For what should not come.
        std::thread::sleep(Duration::from_millis(LATE_DELIVERY_MS));
        let bare_after = bare(&book)?;
        let tally = sink.finish().map_err(WebhooksError::Sink)?;
        let undeleted = webhooks.delete();
        Ok(WebhooksReport::new(
            load,
            Measured {
                address,
                made_seconds,
                published,
                tally,
                count: book.count(),
                bare: bare_before.into_iter().chain(bare_after).collect(),
                server_cpu_ns,
                server_memory,
                undeleted,
            },
        ))
    }

    fn make_endpoints(&self, webhooks: &mut Webhooks, url: &str) -> Result<Vec<Endpoint>, RunError> {
        let mut endpoints = Vec::new();
        let all = self.load.conducts.len() as u64;
        let mut progress = Progress::begin("webhooks made", all);
        for (number, conduct) in self.load.conducts.iter().enumerate() {
            if self.interrupted.load(Relaxed) {
                return Err(RunError::Interrupted { doing: format!("with {number} of {all} webhooks made") });
            }
            let made = webhooks.make(format!("{url}{number}")).map_err(WebhooksError::from)?;
            let endpoint = Endpoint::new(*conduct, made.id.clone(), &made.secret);
            endpoints.push(endpoint.ok_or(WebhooksError::Secret { id: made.id })?);
            progress.at(number as u64 + 1);
        }
        progress.end(all);
        Ok(endpoints)
    }

    /// Whether every healthy endpoint accepted one event soon.
    fn send_first(&self, watch: &Watch<'_>) -> Result<bool, RunError> {
        let mut body = Vec::new();
        self.load.writer.published(0, &mut body);
        self.post(&mut self.courier()?, JSON, &body, 1)?;
        let patience = Instant::now() + Duration::from_millis(FIRST_DELIVERY_MS_MAX) + self.load.mischief.delay;
        while watch.book.began() < watch.book.healthy() {
            if Instant::now() > patience {
                return Ok(false);
            }
            watch.look("waiting for the first event's deliveries")?;
        }
        Ok(true)
    }

    fn publish_on_time(
        &self,
        schedule: Schedule,
        timetable: &Timetable,
        clock: Clock,
        watch: &Watch<'_>,
    ) -> Result<Published, RunError> {
        let publisher = Publisher {
            outlet: Outlet::http(self.target(), self.load.publish_key.clone()),
            events: Box::new(AfterFirst(self.load.writer.clone())),
            schedule,
            clock,
            cpu: Some(self.load.publisher_cpu),
            patience: Duration::from_millis(SETUP_ANSWER_MS_MAX),
        };
        let driver = publisher.start().map_err(RunError::Thread)?;
        let start_ns = clock.now_ns() + LEAD_NS;
        timetable.begin_round(0, start_ns);
        driver.begin_round(RoundPlan { round: 0, start_ns, first_seq: 0 });
        let mut progress = Progress::begin("deliveries", watch.book.expected());
        let outcome = loop {
            if let Some(outcome) = driver.outcome()? {
                break outcome;
            }
            watch.look("publishing")?;
            progress.at(watch.book.accepted());
        };
        driver.finish();
        progress.end(watch.book.accepted());
        let seconds = (clock.now_ns() - start_ns) as f64 / 1e9;
        Ok(Published { seconds, outcome: Some(outcome) })
    }

    fn flood(&self, events: u32, batch: u32, watch: &Watch<'_>) -> Result<Published, RunError> {
        let mut courier = self.courier()?;
        let began = Instant::now();
        for first in (0..events).step_by(batch as usize) {
            watch.look("publishing")?;
            let batch = batch.min(events - first);
            let mut body = Vec::with_capacity((self.load.payload_bytes + 1) * batch as usize);
            for event in first..first + batch {
                self.load.writer.published(event + 1, &mut body);
                body.push(b'\n');
            }
            self.post(&mut courier, NDJSON, &body, batch)?;
        }
        Ok(Published { seconds: began.elapsed().as_secs_f64(), outcome: None })
    }

    fn bare_loop(
        &self,
        book: &Book,
        address: std::net::SocketAddrV4,
        plan: FloorPlan,
    ) -> Result<BareLoop, WebhooksError> {
        eprintln!("posting in a bare loop for {:?}", plan.time);
        let request = floor::bare_request(book.sample().ok_or(BareLoopError::NoSample)?)?;
        Ok(floor::measure(address, &request, plan)?)
    }

    fn courier(&self) -> Result<Courier, RunError> {
        let patience = Duration::from_millis(SETUP_ANSWER_MS_MAX);
        Ok(Courier::connect(self.target(), patience).map_err(DriverError::from)?)
    }

    fn post(&self, courier: &mut Courier, kind: &str, body: &[u8], events: u32) -> Result<(), RunError> {
        let mut request = Vec::with_capacity(body.len() + 512);
        write_request(&self.target(), self.load.publish_key.as_deref(), kind, body, &mut request);
        courier.post(&request, events).map_err(DriverError::from)?;
        Ok(())
    }

    fn target(&self) -> Target {
        Target { path: "/api/events".into(), ..self.load.server.clone() }
    }

    fn server_cpu_ns(&self) -> Result<Option<u64>, RunError> {
        self.load.server_pid.map(|pid| process::cpu_ns(pid).map_err(server_process(pid))).transpose()
    }
}

fn server_process(pid: u32) -> impl Fn(io::Error) -> RunError {
    move |source| RunError::ServerProcess { pid, source }
}

/// Waiting, with an eye on everything that may end a run.
struct Watch<'a> {
    run: &'a WebhooksRun,
    book: &'a Book,
    sink: &'a Sink,
    deadline: Instant,
}

impl Watch<'_> {
    /// Waits a moment.
    fn look(&self, doing: &str) -> Result<(), RunError> {
        if self.run.interrupted.load(Relaxed) {
            return Err(RunError::Interrupted { doing: doing.to_owned() });
        }
        if Instant::now() > self.deadline {
            return Err(RunError::Timeout { seconds: self.run.load.timeout.as_secs(), doing: doing.to_owned() });
        }
        if self.sink.is_broken() {
            return Err(WebhooksError::Sink(io::Error::other("one of its threads ended")).into());
        }
        std::thread::sleep(LOOK_EVERY);
        Ok(())
    }

    /// Waits until everything is there, or nothing has come for a while.
    fn drain(&self) -> Result<(), RunError> {
        let (mut seen, mut since) = (self.book.accepted(), Instant::now());
        let mut progress = Progress::begin("deliveries", self.book.expected());
        while seen < self.book.expected() && since.elapsed() < self.run.load.drain {
            self.look("waiting for the last deliveries")?;
            let now = self.book.accepted();
            if now != seen {
                (seen, since) = (now, Instant::now());
            }
            progress.at(now);
        }
        progress.end(self.book.accepted());
        Ok(())
    }
}
