//! A soak from beginning to end: connect once, then segments and samples, then the books.
//!
//! ```text
//!   connect ─▶ segment 1 │ segment 2 │ …       ordered one ahead, published on one schedule without a pause
//!              sample 1, 2, 3, …               at their own times
//!           ─▶ the last answers and deliveries ─▶ close ─▶ report
//! ```

use std::fs::File;
use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::args::SoakLoad;
use super::inbox::{Inbox, Times};
use super::report::SoakReport;
use super::sample::{CSV_HEADER, Sample, ServerSample};
use super::window::{Faults, Shared, Window};
use crate::addresses::{Sources, first_address};
use crate::client::{Client, ClientEnd, ClientError, ClientOptions, Tally, Turn};
use crate::clock::Clock;
use crate::crowd::CrowdPlan;
use crate::driver::{Driver, LEAD_NS, LOOK_EVERY, RoundPlan};
use crate::error::RunError;
use crate::latency::latency_histogram;
use crate::limits::{HANDSHAKES_IN_FLIGHT_MAX, REPEATS_AWAITED_MS, RING_SLOTS_MAX, SOAK_SEGMENTS_AHEAD};
use crate::process::raise_descriptor_limit;
use crate::progress::Progress;
use crate::publisher::Publisher;

/// How often a soak under way looks whether something has happened: rarely enough to cost nothing for hours.
const SOAK_LOOK_EVERY: Duration = Duration::from_millis(20);

/// How long a publisher that is to end may take for it: longer than the longest time between two events.
const ENDING_MAX: Duration = Duration::from_secs(30);

/// What is to be done.
pub struct SoakRun {
    pub load: SoakLoad,
    pub interrupted: Arc<AtomicBool>,
}

/// The run's own thread while others work.
struct Soak<'a> {
    run: &'a SoakRun,
    clock: Clock,
    times: Arc<Times>,
    clients: Vec<Client<Inbox>>,
    failures: Receiver<ClientError>,
    /// One for each client thread.
    tallies: Vec<Arc<Tally>>,
    windows: Vec<Arc<Shared>>,
    /// Segments that were ordered, and those that are through.
    ordered: u32,
    through: u32,
    csv: Option<File>,
    /// What a sample is gathered in, and what is left in a client's hands meanwhile.
    gathered: Window,
    spare: Window,
    books: Books,
}

/// What is known when a soak ends.
pub struct Books {
    pub connect_seconds: f64,
    /// Before the sockets connected.
    pub server_before: Option<ServerSample>,
    /// Events whose segment's books are closed.
    pub published: u64,
    pub samples: Vec<Sample>,
    pub latency: Histogram<u64>,
    pub client_late: Histogram<u64>,
    pub publish_late: Histogram<u64>,
    pub publish_answered: Histogram<u64>,
    pub faults: Faults,
    pub ended: u64,
    pub ended_why: Vec<String>,
}

impl SoakRun {
    /// Soaks, and gives what it knows, also where something ended it early.
    pub fn measure(self) -> Result<(SoakReport, Option<RunError>), RunError> {
        let (driver, mut soak) = Soak::begin(&self)?;
        if let Err(error) = soak.connect() {
            driver.finish();
            soak.clients.into_iter().for_each(|client| drop(client.finish()));
            return Err(error);
        }
        let stopped_by = soak.work(&driver).err();
        let published = match &stopped_by {
            None => Some(soak.books.published),
            Some(RunError::Interrupted { .. }) => soak.end_segment(&driver),
            Some(_) => None,
        };
        driver.finish();
        soak.drain(published);
        // What a server says again it may say when all is through.
        std::thread::sleep(Duration::from_millis(REPEATS_AWAITED_MS));
        if stopped_by.is_none() {
            soak.sample(soak.clock.now_ns() - soak.times.segment_ns(0))?;
            if !std::io::stderr().is_terminal() {
                soak.tell_sample();
            }
        }
        let books = soak.close(published)?;
        Ok((SoakReport::new(&self.load, books, stopped_by.as_ref()), stopped_by))
    }
}

impl<'a> Soak<'a> {
    fn begin(run: &'a SoakRun) -> Result<(Driver, Self), RunError> {
        let (load, server, clock) = (&run.load.load, &run.load.server, Clock::start());
        // Where they can't be read or written, it is told before anything is connected.
        let server_before = server.pid.map(ServerSample::of).transpose()?;
        let csv = run.load.csv.as_ref().map(|path| {
            let create = || {
                let mut file = File::create(path)?;
                file.write_all(CSV_HEADER.as_bytes())?;
                Ok(file)
            };
            create().map_err(|source| RunError::Csv { path: path.clone(), source })
        });
        let csv = csv.transpose()?;
        let slots_per_ring = raise_descriptor_limit().min(u64::from(RING_SLOTS_MAX)) as u32;
        let publisher = Publisher {
            outlet: server.outlet.clone(),
            events: Box::new(load.events.clone()),
            schedule: load.schedule,
            clock,
            cpu: Some(load.publisher_cpu),
            patience: load.drain.max(Duration::from_secs(10)),
        };
        let (mut nonce, mut random) = ([0; 16], [0; 2]);
        getrandom::fill(&mut nonce).map_err(RunError::Random)?;
        getrandom::fill(&mut random).map_err(RunError::Random)?;
        let opening = &server.openings[0];
        let (address, trust) = (opening.target.address, &opening.target.trust);
        let upgrade = Arc::new(opening.upgrade(nonce));
        let times = Arc::new(Times::new(load.schedule));
        let (failures_told, failures) = mpsc::channel();
        let driver = publisher.start().map_err(RunError::Thread)?;
        let mut soak = Self {
            run,
            clock,
            times,
            clients: Vec::new(),
            failures,
            tallies: Vec::new(),
            windows: Vec::new(),
            ordered: 0,
            through: 0,
            csv,
            gathered: Window::default(),
            spare: Window::default(),
            books: Books::new(server_before),
        };
        let (first, mut taken) = (first_address(random), 0);
        for thread in 0..load.threads {
            let sockets = load.sockets / load.threads + u32::from(thread < load.sockets % load.threads);
            let (tally, window) = (Arc::new(Tally::default()), Arc::new(Shared::default()));
            let (upgrade, times) = (Arc::clone(&upgrade), Arc::clone(&soak.times));
            let published = opening.is_faithful.then(|| load.events.clone());
            let local = address.ip().is_loopback();
            let plan = CrowdPlan {
                address,
                trust: trust.clone(),
                listener: Inbox::new(sockets, load.payload_bytes, published, upgrade, times, Arc::clone(&window)),
                sockets,
                sources: local.then(|| Sources::for_sockets(sockets, first, taken, load.ports.clone())),
                slots_per_ring,
                handshakes_max: (HANDSHAKES_IN_FLIGHT_MAX / load.threads).max(1),
                tally: Arc::clone(&tally),
            };
            taken += Sources::addresses_for(sockets, &load.ports);
            let cpu = Some(load.client_cpus[thread as usize % load.client_cpus.len()]);
            let options = ClientOptions { cpu, linger: load.linger, clock, turn: Turn::Fair };
            let client = Client::start(options, vec![plan], failures_told.clone()).map_err(RunError::Thread)?;
            soak.clients.push(client);
            soak.tallies.push(tally);
            soak.windows.push(window);
        }
        Ok((driver, soak))
    }

    fn connect(&mut self) -> Result<(), RunError> {
        let load = &self.run.load.load;
        let (sockets, began) = (u64::from(load.sockets), Instant::now());
        let mut progress = Progress::begin("connecting to the server", sockets);
        loop {
            let opened = self.opened();
            progress.at(opened);
            let doing = || format!("with {opened} of {sockets} sockets connected");
            self.look(doing)?;
            if began.elapsed() > load.timeout {
                return Err(RunError::ConnectTimeout { seconds: load.timeout.as_secs(), doing: doing() });
            }
            if opened == sockets {
                progress.end(opened);
                self.books.connect_seconds = began.elapsed().as_secs_f64();
                break;
            }
            std::thread::sleep(LOOK_EVERY);
        }
        std::thread::sleep(load.settle);
        Ok(())
    }

    /// Publishes and samples until all segments are through.
    fn work(&mut self, driver: &Driver) -> Result<(), RunError> {
        let schedule = self.run.load.load.schedule;
        let sample_ns = self.run.load.sample.as_nanos() as u64;
        let start_ns = self.clock.now_ns() + LEAD_NS;
        self.times.begin(start_ns);
        let seconds = schedule.offset_ns(schedule.events()) / 1_000_000_000;
        let mut bar = std::io::stderr().is_terminal().then(|| Progress::begin("soaking, seconds", seconds));
        let mut next_sample_ns = start_ns + sample_ns;
        while self.through < schedule.rounds {
            self.order(driver);
            self.look(|| format!("after {} segments", self.through))?;
            self.take_outcomes(driver)?;
            let now_ns = self.clock.now_ns();
            if now_ns >= next_sample_ns {
                let since_start_ns = now_ns - start_ns;
                self.sample(since_start_ns)?;
                match &mut bar {
                    Some(bar) => bar.at(since_start_ns / 1_000_000_000),
                    None => self.tell_sample(),
                }
                // A machine that slept through some has no samples of them.
                next_sample_ns = start_ns + (since_start_ns / sample_ns + 1) * sample_ns;
            }
            if self.ended() == u64::from(self.run.load.load.sockets) {
                return Err(RunError::NoSockets);
            }
            std::thread::sleep(SOAK_LOOK_EVERY);
        }
        if let Some(bar) = bar {
            bar.end(seconds);
        }
        Ok(())
    }

    /// Orders segments ahead, so that the publisher goes on from one to the next by itself.
    fn order(&mut self, driver: &Driver) {
        let rounds = self.run.load.load.schedule.rounds;
        while self.ordered < rounds && self.ordered < self.through + SOAK_SEGMENTS_AHEAD {
            let start_ns = self.times.segment_ns(self.ordered);
            driver.begin_round(RoundPlan { round: self.ordered, start_ns, first_seq: 0 });
            self.ordered += 1;
        }
    }

    fn take_outcomes(&mut self, driver: &Driver) -> Result<(), RunError> {
        while let Some(outcome) = driver.outcome()? {
            self.through += 1;
            // A step is an event.
            self.books.published += outcome.late.len();
            self.books.publish_late.add(&outcome.late).expect("histograms of the same bounds");
            self.books.publish_answered.add(&outcome.answered).expect("histograms of the same bounds");
        }
        Ok(())
    }

    fn sample(&mut self, since_start_ns: u64) -> Result<(), RunError> {
        self.gather();
        let alive = self.opened() - self.ended();
        let sample = Sample::take(since_start_ns as f64 / 1e9, self.run.load.server.pid, alive, &self.gathered)?;
        self.books.samples.push(sample);
        if let (Some(file), Some(path)) = (&mut self.csv, &self.run.load.csv) {
            let written = file.write_all(sample.csv().as_bytes());
            written.map_err(|source| RunError::Csv { path: path.clone(), source })?;
        }
        Ok(())
    }

    /// The newest, as a line.
    fn tell_sample(&self) {
        self.books.samples.last().iter().for_each(|sample| eprintln!("{}", sample.line()));
    }

    /// Takes what the clients have got since the last time.
    fn gather(&mut self) {
        self.gathered.clear();
        for window in &self.windows {
            self.spare.clear();
            // So that what did not hold so far is told even before the next batch.
            self.spare.faults = window.write().faults;
            window.exchange(&mut self.spare);
            self.gathered.add(&self.spare);
        }
        self.books.latency.add(&self.gathered.latency).expect("histograms of the same bounds");
        self.books.client_late.add(&self.gathered.client_late).expect("histograms of the same bounds");
    }

    /// Has the segment under way end early, with everything that was begun answered; how many events there were then, where the
    /// publisher says so in time.
    fn end_segment(&mut self, driver: &Driver) -> Option<u64> {
        driver.end_round();
        let (through, began) = (self.through, Instant::now());
        while self.through == through {
            self.take_outcomes(driver).ok()?;
            if began.elapsed() > ENDING_MAX {
                return None;
            }
            std::thread::sleep(SOAK_LOOK_EVERY);
        }
        Some(self.books.published)
    }

    /// Waits for what is still on its way of the events that were published, or until nothing comes any more.
    fn drain(&self, published: Option<u64>) {
        let load = &self.run.load.load;
        let due = published.map_or(u64::MAX, |published| published * u64::from(load.sockets));
        let (mut last, mut last_news) = (0, Instant::now());
        while last < due && last_news.elapsed() <= load.drain && self.ended() < self.opened() {
            let delivered = self.tallies.iter().map(|tally| tally.delivered.load(Relaxed)).sum();
            if delivered != last {
                (last, last_news) = (delivered, Instant::now());
            }
            std::thread::sleep(SOAK_LOOK_EVERY);
        }
    }

    /// Closes all sockets and the books.
    fn close(mut self, published: Option<u64>) -> Result<Books, RunError> {
        self.gather();
        self.books.ended = self.ended();
        let mut inboxes = Vec::new();
        for client in self.clients {
            let ClientEnd { listeners, ended_why } = client.finish().ok_or(RunError::ClientGone)?;
            inboxes.extend(listeners);
            self.books.ended_why.extend(ended_why);
        }
        // How far a publisher that failed had come is known by what arrived, at least.
        let arrived = || inboxes.iter().map(|inbox| u64::from(inbox.newest())).max().unwrap_or(0);
        self.books.published = published.unwrap_or_else(arrived);
        let published = self.books.published as u32;
        let faults = inboxes.into_iter().map(|inbox| inbox.harvest(published));
        self.books.faults = faults.fold(Faults::default(), Faults::sum);
        Ok(self.books)
    }

    fn opened(&self) -> u64 {
        self.tallies.iter().map(|tally| tally.opened.load(Relaxed)).sum()
    }

    fn ended(&self) -> u64 {
        self.tallies.iter().map(|tally| tally.ended.load(Relaxed)).sum()
    }

    fn look(&self, doing: impl Fn() -> String) -> Result<(), RunError> {
        if let Ok(error) = self.failures.try_recv() {
            return Err(error.into());
        }
        if self.run.interrupted.load(Relaxed) {
            return Err(RunError::Interrupted { doing: doing() });
        }
        Ok(())
    }
}

impl Books {
    fn new(server_before: Option<ServerSample>) -> Self {
        Self {
            connect_seconds: 0.0,
            server_before,
            published: 0,
            samples: Vec::new(),
            latency: latency_histogram(),
            client_late: latency_histogram(),
            publish_late: latency_histogram(),
            publish_answered: latency_histogram(),
            faults: Faults::default(),
            ended: 0,
            ended_why: Vec::new(),
        }
    }
}
