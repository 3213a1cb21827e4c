//! The threads that send: pinned to the delivery CPU and niced, so that webhooks take no time from anything else.
//!
//! ```text
//!   send ──▶ the worker that went idle last            (its stack and its part of the caches are warm)
//!        └─▶ the queue, if all are busy ──▶ whoever is done first looks here before it sleeps
//! ```

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::setpriority_process;
use rustix::thread::{CpuSet, gettid, sched_setaffinity};

use super::DeliveryError;
use super::attempt::{Job, Report};
use super::courier::Courier;
use crate::accounts::AccountId;
use crate::limits;

/// Gets what came of each job, on a worker's thread.
pub type OnReport = Arc<dyn Fn(Report) + Send + Sync>;

/// Workers that wait for jobs. Dropped, they end once they are done with what they have under way.
///
/// A release build aborts where anything panics, so no panic is caught here: there would be nobody left to report to.
pub struct Crew {
    post: Arc<Post>,
    threads: Vec<JoinHandle<()>>,
}

impl Crew {
    pub fn start(courier: Arc<Courier>, workers: u32, cpu: usize, on_report: OnReport) -> Result<Self, DeliveryError> {
        let post = Arc::new(Post::new(workers as usize));
        let mut crew = Self { post, threads: Vec::with_capacity(workers as usize) };
        for number in 0..workers as usize {
            let (post, courier, on_report) = (crew.post.clone(), courier.clone(), on_report.clone());
            let work = move || {
                settle(cpu);
                while let Some(job) = post.wait(number) {
                    on_report(courier.attempt(&job));
                }
                // What it holds of the courier and the core goes before it counts as ended.
                drop((courier, on_report));
                post.leave();
            };
            // Those that were started before one that can't be end as the crew is dropped.
            crew.threads.push(spawn(format!("webhook-{number}"), work)?);
            crew.post.lock().present += 1;
        }
        Ok(crew)
    }

    /// Queues a job. The core never has more jobs under way than there are workers.
    pub fn send(&self, job: Job) {
        self.post.give(job);
    }

    /// Ends the workers: what is under way is finished and reported, what has not been started is dropped. `false` if some are still at it
    /// when patience ends; they go on, and end after their attempt.
    pub fn close(mut self, patience: Duration) -> bool {
        self.post.close();
        let all = self.post.wait_for_all(patience);
        if all {
            for thread in self.threads.drain(..) {
                // One that panicked has told so; there are none in a release build.
                let _ = thread.join();
            }
        }
        all
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        self.post.close();
    }
}

/// Where jobs change hands.
struct Post {
    state: Mutex<State>,
    /// One for each worker.
    bells: Box<[Condvar]>,
    /// Rung when the last worker is gone.
    empty: Condvar,
}

struct State {
    queue: VecDeque<Job>,
    /// Workers that sleep, the one that fell asleep last at the end.
    idle: Vec<usize>,
    /// What each worker was handed while it slept.
    handed: Box<[Option<Job>]>,
    is_closed: bool,
    /// Workers that have not ended.
    present: usize,
}

impl Post {
    fn new(workers: usize) -> Self {
        let state = State {
            queue: VecDeque::with_capacity(workers),
            idle: Vec::with_capacity(workers),
            handed: (0..workers).map(|_| None).collect(),
            is_closed: false,
            present: 0,
        };
        let bells = (0..workers).map(|_| Condvar::new()).collect();
        Self { state: Mutex::new(state), bells, empty: Condvar::new() }
    }

    fn give(&self, job: Job) {
        let mut state = self.lock();
        if state.is_closed {
            return;
        }
        let Some(worker) = state.idle.pop() else { return state.queue.push_back(job) };
        state.handed[worker] = Some(job);
        // All are on one CPU: a worker that is woken while the lock is held would go back to sleep for it.
        drop(state);
        self.bells[worker].notify_one();
    }

    /// The next job of this worker; `None` once the post is closed.
    fn wait(&self, worker: usize) -> Option<Job> {
        let mut state = self.lock();
        if state.is_closed {
            return None;
        }
        if let Some(job) = state.queue.pop_front() {
            return Some(job);
        }
        state.idle.push(worker);
        loop {
            state = self.bells[worker].wait(state).unwrap_or_else(PoisonError::into_inner);
            // What was handed over before the end is done; nothing is handed over after it.
            if let Some(job) = state.handed[worker].take() {
                return Some(job);
            }
            if state.is_closed {
                return None;
            }
        }
    }

    fn close(&self) {
        let mut state = self.lock();
        state.is_closed = true;
        let dropped = std::mem::take(&mut state.queue);
        drop(state);
        drop(dropped);
        self.bells.iter().for_each(Condvar::notify_one);
    }

    fn leave(&self) {
        let mut state = self.lock();
        state.present -= 1;
        if state.present == 0 {
            self.empty.notify_all();
        }
    }

    fn wait_for_all(&self, patience: Duration) -> bool {
        let deadline = Instant::now().checked_add(patience);
        let mut state = self.lock();
        while state.present > 0 {
            let left = deadline.map_or(Duration::MAX, |at| at.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return false;
            }
            state = self.empty.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A few more threads, for what somebody waits for: checks of URLs and tests. Each is started for its task and ends with it.
#[derive(Clone)]
pub struct Aside {
    courier: Arc<Courier>,
    cpu: usize,
    under_way: Arc<Mutex<HashMap<AccountId, usize>>>,
}

impl Aside {
    pub fn new(courier: Arc<Courier>, cpu: usize) -> Self {
        Self { courier, cpu, under_way: Arc::default() }
    }

    /// Runs an account's task on a thread of its own; `Busy` where [`ASIDE_THREADS_MAX`](limits::ASIDE_THREADS_MAX) are under way, or
    /// [`ASIDE_THREADS_PER_ACCOUNT_MAX`](limits::ASIDE_THREADS_PER_ACCOUNT_MAX) of this account: endpoints that hang must not keep
    /// others from making theirs.
    pub fn run(&self, account: AccountId, task: impl FnOnce(&Courier) + Send + 'static) -> Result<(), DeliveryError> {
        let seat = Seat::take(&self.under_way, account).ok_or(DeliveryError::Busy)?;
        let (courier, cpu) = (self.courier.clone(), self.cpu);
        let work = move || {
            let _seat = seat;
            settle(cpu);
            task(&courier);
        };
        spawn("webhook-aside".to_owned(), work).map(drop)
    }
}

/// One of the threads that may be under way, given back when it ends or was never started.
struct Seat {
    /// How many each account has; none has 0.
    taken: Arc<Mutex<HashMap<AccountId, usize>>>,
    account: AccountId,
}

impl Seat {
    fn take(taken: &Arc<Mutex<HashMap<AccountId, usize>>>, account: AccountId) -> Option<Self> {
        let mut seats = taken.lock().unwrap_or_else(PoisonError::into_inner);
        let (all, own) = (seats.values().sum::<usize>(), seats.get(&account).copied().unwrap_or(0));
        if all >= limits::ASIDE_THREADS_MAX || own >= limits::ASIDE_THREADS_PER_ACCOUNT_MAX {
            return None;
        }
        seats.insert(account, own + 1);
        Some(Self { taken: taken.clone(), account })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut seats = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        match seats.get_mut(&self.account) {
            Some(own) if *own > 1 => *own -= 1,
            _ => drop(seats.remove(&self.account)),
        }
    }
}

fn spawn(name: String, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, DeliveryError> {
    let builder = thread::Builder::new().name(name).stack_size(limits::DELIVERY_STACK_BYTES);
    builder.spawn(work).map_err(DeliveryError::Thread)
}

/// Moves this thread to the delivery CPU, below everything else that runs there. A sandbox may forbid either: then deliveries still work,
/// only less politely.
pub fn settle(cpu: usize) {
    let mut cpus = CpuSet::new();
    cpus.set(cpu);
    if let Err(error) = sched_setaffinity(None, &cpus) {
        tracing::debug!(cpu, %error, "a delivery thread could not be pinned");
    }
    // On Linux a thread has a niceness of its own, by its own id.
    if let Err(error) = setpriority_process(Some(gettid()), limits::DELIVERY_NICE) {
        tracing::debug!(%error, "a delivery thread could not be niced");
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::io::{Read, Write};
    use std::net::{SocketAddr, TcpListener};
    use std::sync::mpsc::{Receiver, Sender, channel};

    use bytes::Bytes;

    use super::*;
    use crate::delivery::attempt::{Outcome, Ticket};
    use crate::delivery::guard::WebhookUrl;
    use crate::delivery::guard::fake_names::FakeNames;
    use crate::delivery::{DeliveryId, EventId, Payload, Secret, SigningSecrets, WebhookId, WebhookOptions};

    const LONG: Duration = Duration::from_secs(30);

    fn courier() -> Arc<Courier> {
        let allow = vec!["127.0.0.0/8".parse().expect("a network")];
        let options = WebhookOptions { allow, ..WebhookOptions::default() };
        Arc::new(Courier::new(&options, FakeNames::new()).expect("a courier"))
    }

    /// An endpoint that tells of each request, and answers it once the gate gives a word, or is gone.
    fn endpoint() -> (SocketAddr, Receiver<()>, Sender<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address");
        let (asked, asks) = channel();
        let (gate, opened) = channel();
        let opened = Arc::new(Mutex::new(opened));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (mut stream, asked, opened) = (stream.expect("a connection"), asked.clone(), opened.clone());
                thread::spawn(move || {
                    while stream.read(&mut [0; 4_096]).is_ok_and(|read| read > 0) {
                        let _ = asked.send(());
                        let _ = opened.lock().expect("no holder panics").recv();
                        let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n");
                    }
                });
            }
        });
        (address, asks, gate)
    }

    fn job(endpoint: SocketAddr, delivery: i64) -> Job {
        Job {
            number: 1,
            ticket: Ticket { webhook: WebhookId(1), delivery },
            account: AccountId(1),
            url: Arc::new(WebhookUrl::stored(format!("http://{endpoint}/"))),
            secrets: SigningSecrets {
                current: Arc::new(Secret::generate().expect("random numbers")),
                previous: Vec::new(),
            },
            delivery_id: DeliveryId([1; 12]),
            attempt: 1,
            payload: Payload { kind: "trade.new", event: EventId([2; 12]), body: Bytes::from_static(b"{}") },
        }
    }

    fn crew(workers: u32) -> (Crew, Receiver<Report>) {
        let (sender, reports) = channel();
        let on_report = move |report| sender.send(report).expect("a test that waits");
        (Crew::start(courier(), workers, 0, Arc::new(on_report)).expect("a crew"), reports)
    }

    #[test]
    fn every_job_is_reported_once_by_few_and_by_many() {
        let (endpoint, _asks, gate) = endpoint();
        drop(gate);
        for workers in [1, 3, 40] {
            let (crew, reports) = crew(workers);
            (0..200).for_each(|delivery| crew.send(job(endpoint, delivery)));
            let reports = (0..200).map(|_| reports.recv_timeout(LONG).expect("a report"));
            let done: HashSet<_> =
                reports.filter(|report| report.outcome.is_success()).map(|one| one.ticket.delivery).collect();
            assert_eq!(done, (0..200).collect::<HashSet<_>>());
            assert!(crew.close(LONG));
        }
    }

    #[test]
    fn jobs_are_under_way_together_and_each_worker_sleeps_until_its_next() {
        let (endpoint, asks, gate) = endpoint();
        let (crew, reports) = crew(4);
        for round in 0..5 {
            (0..4).for_each(|number| crew.send(job(endpoint, 4 * round + number)));
            // None is answered before all are there.
            (0..4).for_each(|_| asks.recv_timeout(LONG).expect("a request"));
            (0..4).for_each(|_| gate.send(()).expect("an endpoint"));
            (0..4).for_each(|_| drop(reports.recv_timeout(LONG).expect("a report")));
        }
    }

    #[test]
    fn at_its_end_a_crew_finishes_what_is_under_way_and_drops_what_is_not() {
        let (endpoint, asks, gate) = endpoint();
        let (crew, reports) = crew(2);
        (0..10).for_each(|delivery| crew.send(job(endpoint, delivery)));
        (0..2).for_each(|_| asks.recv_timeout(LONG).expect("a request"));
        let post = crew.post.clone();
        let closing = thread::spawn(move || crew.close(LONG));
        while !post.lock().is_closed {
            thread::yield_now();
        }
        drop(gate);
        assert!(closing.join().expect("an end"));
        assert_eq!(reports.try_iter().filter(|report| report.outcome.is_success()).count(), 2);
        assert!(asks.try_recv().is_err(), "no other was started");
        assert_eq!(Arc::strong_count(&post), 1, "no thread is left");
    }

    #[test]
    fn patience_ends_before_a_worker_that_waits_for_its_endpoint() {
        let (endpoint, asks, gate) = endpoint();
        let (crew, reports) = crew(1);
        crew.send(job(endpoint, 1));
        asks.recv_timeout(LONG).expect("a request");
        assert!(!crew.close(Duration::from_millis(1)));
        // It still ends in good order.
        drop(gate);
        assert!(reports.recv_timeout(LONG).expect("a report").outcome.is_success());
    }

    #[test]
    fn a_crew_that_is_dropped_ends() {
        let (crew, reports) = crew(3);
        drop(crew);
        // The last worker takes the other end with it.
        assert!(reports.recv().is_err());
    }

    #[test]
    fn workers_have_a_name_one_cpu_and_low_priority() {
        let (sender, seen) = channel();
        let (endpoint, _asks, gate) = endpoint();
        drop(gate);
        let cpu = first_cpu();
        let on_report = move |report: Report| {
            assert!(matches!(report.outcome, Outcome::Answered { .. }));
            let cpus = rustix::thread::sched_getaffinity(None).expect("its CPUs");
            let nice = rustix::process::getpriority_process(Some(gettid())).expect("its niceness");
            let name = thread::current().name().map(str::to_owned);
            sender.send((name, cpus.count(), cpus.is_set(cpu), nice)).expect("a test that waits");
        };
        let crew = Crew::start(courier(), 1, cpu, Arc::new(on_report)).expect("a crew");
        crew.send(job(endpoint, 1));
        let seen = seen.recv_timeout(LONG).expect("a report");
        assert_eq!(seen, (Some("webhook-0".to_owned()), 1, true, limits::DELIVERY_NICE));
        let nice = rustix::process::getpriority_process(Some(gettid())).expect("the test's niceness");
        assert!(nice < limits::DELIVERY_NICE, "of that thread alone");
    }

    fn first_cpu() -> usize {
        let cpus = rustix::thread::sched_getaffinity(None).expect("the test's CPUs");
        (0..CpuSet::MAX_CPU).find(|cpu| cpus.is_set(*cpu)).expect("one of them")
    }

    #[test]
    fn aside_runs_so_many_tasks_and_no_more() {
        let aside = Aside::new(courier(), 0);
        let (start, started) = channel();
        let (gate, opened) = channel::<()>();
        let opened = Arc::new(Mutex::new(opened));
        let task = || {
            let (start, opened) = (start.clone(), opened.clone());
            move |_: &Courier| {
                start.send(()).expect("a test that waits");
                let _ = opened.lock().expect("no holder panics").recv();
            }
        };
        let is_busy = |account| matches!(aside.run(AccountId(account), task()), Err(DeliveryError::Busy));
        let mut running = 0;
        for account in 0.. {
            let own = (0..limits::ASIDE_THREADS_PER_ACCOUNT_MAX).take_while(|_| !is_busy(account)).count();
            assert!(is_busy(account), "of its own, or of all, there are no more");
            running += own;
            if own < limits::ASIDE_THREADS_PER_ACCOUNT_MAX {
                break;
            }
        }
        assert_eq!(running, limits::ASIDE_THREADS_MAX);
        (0..running).for_each(|_| started.recv_timeout(LONG).expect("a task"));
        drop(gate);
        let waiting = Instant::now();
        while !aside.under_way.lock().expect("no holder panics").is_empty() {
            assert!(waiting.elapsed() < LONG, "seats are given back");
            thread::yield_now();
        }
        assert!(!is_busy(0));
    }
}
