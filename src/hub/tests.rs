//! The hub, letter by letter, with a keeper that says what a test wants; and its thread.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use super::*;
use crate::event::EventParser;
use crate::executor::{Outcome, ThreadError};

type Answer = Result<Accepted, JournalError>;

/// A disk without bytes.
struct FakeDisk {
    woken: AtomicU64,
    leased: AtomicU64,
    room_bytes: AtomicU64,
    fault: Mutex<Option<JournalError>>,
}

impl Keeper for Arc<FakeDisk> {
    fn wake(&self) {
        self.woken.fetch_add(1, Ordering::Relaxed);
    }

    fn leased(&self) -> u64 {
        self.leased.load(Ordering::Relaxed)
    }

    fn room_bytes(&self) -> u64 {
        self.room_bytes.load(Ordering::Relaxed)
    }

    fn fault(&self) -> Option<JournalError> {
        self.fault.lock().expect("no holder panics").clone()
    }
}

struct Bench {
    hub: Hub,
    disk: Arc<FakeDisk>,
    shard: Doorbell,
}

impl Bench {
    fn in_memory() -> Self {
        Self::new(Fanout::Immediate)
    }

    fn with_disk(fanout: Fanout) -> Self {
        let mut bench = Self::new(fanout);
        bench.hub.keep_with(Box::new(bench.disk.clone()));
        bench
    }

    fn new(fanout: Fanout) -> Self {
        let journal = Arc::new(Window::new(0, 1, limits::WINDOW_BYTES_MAX, limits::WINDOW_KEPT_BYTES));
        let shard = Doorbell::new().expect("a descriptor");
        let options = JournalOptions { fanout, ..JournalOptions::default() };
        let hub = Hub::new(journal, vec![shard.clone()], &options).expect("a descriptor");
        let disk = FakeDisk {
            woken: AtomicU64::new(0),
            leased: AtomicU64::new(1 << 20),
            room_bytes: AtomicU64::new(1 << 30),
            fault: Mutex::default(),
        };
        Self { hub, disk: Arc::new(disk), shard }
    }

    /// Lets the hub read its mail.
    fn turn(&mut self) {
        let mut letters = Vec::new();
        self.hub.handle.mailbox.collect(&mut letters);
        letters.into_iter().for_each(|mail| self.hub.receive(mail));
    }

    fn publish_as(&mut self, publisher: u64, events: Vec<Event>) -> Receiver<Answer> {
        let (answer, answers) = channel();
        // Not every test wants to know.
        self.hub.handle.publish(events, publisher, Box::new(move |told| drop(answer.send(told))));
        self.turn();
        answers
    }

    fn publish(&mut self, ids: &[&str]) -> Receiver<Answer> {
        self.publish_as(1, ids.iter().map(|id| alert(id)).collect())
    }

    fn kept(&mut self, next: u64) {
        self.hub.handle.kept(next);
        self.turn();
    }

    fn stop(&mut self) -> Receiver<()> {
        let (stopped, stops) = channel();
        self.hub.handle.stop(Box::new(move || stopped.send(()).expect("awaited")));
        self.turn();
        stops
    }

    fn set_fault(&self, fault: Option<JournalError>) {
        *self.disk.fault.lock().expect("no holder panics") = fault;
    }

    /// Whether the shard was woken since the last time.
    fn rang(&self) -> bool {
        let mut now = [rustix::event::PollFd::new(&self.shard, rustix::event::PollFlags::IN)];
        let rang = rustix::event::poll(&mut now, Some(&rustix::event::Timespec::default())).expect("a poll") > 0;
        if rang {
            rustix::io::read(&self.shard, &mut [0_u8; 8]).expect("what was rung");
        }
        rang
    }

    fn newest_alerts(&self) -> usize {
        self.hub.handle.latest_alerts().len()
    }

    fn head(&self) -> u64 {
        self.hub.handle.journal.head()
    }
}

/// An alert with an id, or with none where it is empty.
fn alert(id: &str) -> Event {
    let id = if id.is_empty() { "null".to_owned() } else { format!("{id:?}") };
    let text = format!(r#"{{"type":"alert","data":{{"n":1}},"id":{id}}}"#);
    EventParser::new().parse(text.as_bytes(), 1, None).expect("a sound event")
}

fn accepted(accepted: u64, first_seq: u64, last_seq: u64, duplicates: u64) -> Answer {
    Ok(Accepted { accepted, first_seq, last_seq, duplicates })
}

/// The one answer that has come by now, if any.
fn told(answers: &Receiver<Answer>) -> Option<Answer> {
    answers.try_recv().ok()
}

#[test]
fn in_memory_everything_is_kept_at_once() {
    let mut bench = Bench::in_memory();
    let answers = bench.publish(&["a", ""]);
    assert_eq!(told(&answers), Some(accepted(2, 1, 2, 0)));
    assert!(bench.rang());
    assert_eq!((bench.hub.handle.last_seq(), bench.newest_alerts()), (2, 2));
    let again = bench.publish(&["a"]);
    assert_eq!(told(&again), Some(accepted(1, 1, 1, 1)));
    assert!(!bench.rang(), "nothing is new");
    assert_eq!((bench.hub.handle.last_seq(), bench.newest_alerts()), (2, 2));
}

#[test]
fn an_answer_waits_for_the_disk_and_sockets_do_not() {
    let mut bench = Bench::with_disk(Fanout::Immediate);
    let (first, second) = (bench.publish(&["", ""]), bench.publish(&[""]));
    assert!(bench.rang());
    assert_eq!((bench.hub.handle.last_seq(), bench.newest_alerts()), (3, 3));
    assert_eq!(bench.disk.woken.load(Ordering::Relaxed), 2);
    assert_eq!((told(&first), told(&second)), (None, None));
    bench.kept(2);
    assert_eq!(told(&first), None, "half a request is none");
    bench.kept(3);
    assert_eq!((told(&first), told(&second)), (Some(accepted(2, 1, 2, 0)), None));
    bench.kept(4);
    assert_eq!(told(&second), Some(accepted(1, 3, 3, 0)));
    assert!(!bench.rang());
    assert_eq!(bench.hub.unwritten_bytes, 0);
}

#[test]
fn with_durable_fanout_nobody_sees_what_is_not_kept() {
    let mut bench = Bench::with_disk(Fanout::Durable);
    let (first, second) = (bench.publish(&["a"]), bench.publish(&[""]));
    assert_eq!((bench.rang(), bench.hub.handle.last_seq(), bench.newest_alerts()), (false, 0, 0));
    assert_eq!(bench.disk.woken.load(Ordering::Relaxed), 2);
    bench.kept(2);
    assert_eq!((told(&first), told(&second)), (Some(accepted(1, 1, 1, 0)), None));
    assert_eq!((bench.rang(), bench.hub.handle.last_seq(), bench.newest_alerts()), (true, 1, 1));
    let again = bench.publish(&["a"]);
    assert_eq!(told(&again), Some(accepted(1, 1, 1, 1)));
    assert_eq!((bench.rang(), bench.hub.handle.last_seq(), bench.newest_alerts()), (false, 1, 1));
    bench.kept(2);
    assert!(!bench.rang(), "that was known");
    bench.kept(3);
    assert_eq!((bench.rang(), bench.hub.handle.last_seq(), bench.newest_alerts()), (true, 2, 2));
}

#[test]
fn an_id_is_published_once_and_its_answer_is_that_of_the_first_time() {
    let mut bench = Bench::in_memory();
    assert_eq!(told(&bench.publish(&["a", "", "b"])), Some(accepted(3, 1, 3, 0)));
    assert_eq!(told(&bench.publish(&["b"])), Some(accepted(1, 3, 3, 1)));
    assert_eq!(told(&bench.publish(&["", "a", "c"])), Some(accepted(3, 1, 5, 1)), "new ones beside an old one");
    assert_eq!(told(&bench.publish(&["d", "", "d", "d"])), Some(accepted(4, 6, 7, 2)), "in one request");
    assert_eq!(told(&bench.publish(&["c", "b"])), Some(accepted(2, 3, 5, 2)), "the order doesn't matter");
    assert_eq!(told(&bench.publish_as(2, vec![alert("a")])), Some(accepted(1, 8, 8, 0)), "another account's");
    let ids: Vec<_> = bench
        .hub
        .handle
        .journal
        .recent(1, usize::MAX)
        .expect("all")
        .parts
        .iter()
        .flat_map(|part| match part {
            crate::journal::Part::Events(batch) => batch.events().iter().map(|event| event.id.clone()).collect(),
            crate::journal::Part::Gap(_) => Vec::new(),
        })
        .map(|id| id.unwrap_or_default().to_string())
        .collect();
    assert_eq!(ids, ["a", "", "b", "", "c", "d", "", "a"]);
}

#[test]
fn a_batch_says_who_published_it_and_when() {
    let mut bench = Bench::in_memory();
    let before = clock::unix_ms();
    bench.publish_as(77, vec![alert("")]);
    let chunk = bench.hub.handle.journal.recent(1, usize::MAX).expect("all");
    let [crate::journal::Part::Events(batch)] = &chunk.parts[..] else { panic!("{chunk:?}") };
    assert_eq!(batch.origin().publisher, 77);
    assert!((before..=clock::unix_ms()).contains(&batch.origin().unix_ms));
}

#[test]
fn a_repetition_waits_for_what_it_repeats() {
    let mut bench = Bench::with_disk(Fanout::Immediate);
    let (first, later) = (bench.publish(&["a"]), bench.publish(&[""]));
    let again = bench.publish(&["a"]);
    assert_eq!(told(&again), None);
    bench.kept(2);
    assert_eq!((told(&first), told(&again)), (Some(accepted(1, 1, 1, 0)), Some(accepted(1, 1, 1, 1))));
    assert_eq!(told(&later), None);
    assert_eq!(told(&bench.publish(&["a"])), Some(accepted(1, 1, 1, 1)), "by now it is kept");
}

#[test]
fn a_refused_request_has_no_numbers_and_leaves_no_ids() {
    let mut bench = Bench::with_disk(Fanout::Immediate);
    let failed = JournalError::Failed { reason: "I/O error".to_owned() };
    bench.set_fault(Some(failed.clone()));
    assert_eq!(told(&bench.publish(&["a", "b"])), Some(Err(failed)));
    assert_eq!((bench.head(), bench.rang()), (1, false));
    bench.set_fault(None);
    let answers = bench.publish(&["a", "b"]);
    bench.kept(3);
    assert_eq!(told(&answers), Some(accepted(2, 1, 2, 0)));
}

#[test]
fn a_fault_stops_what_is_new_and_not_what_is_kept_already() {
    let mut bench = Bench::with_disk(Fanout::Immediate);
    bench.publish(&["a"]);
    bench.kept(2);
    let full = JournalError::DiskFull;
    bench.set_fault(Some(full.clone()));
    assert_eq!(told(&bench.publish(&["a"])), Some(accepted(1, 1, 1, 1)));
    assert_eq!(told(&bench.publish(&["a", "b"])), Some(Err(full)));
    assert_eq!(bench.head(), 2);
}

#[test]
fn the_room_on_the_disk_is_counted_with_what_is_on_its_way() {
    let mut bench = Bench::with_disk(Fanout::Immediate);
    let one = keeper::bytes_on_disk(&[alert("")]);
    bench.disk.room_bytes.store(2 * one, Ordering::Relaxed);
    let (first, second) = (bench.publish(&[""]), bench.publish(&[""]));
    assert_eq!(told(&bench.publish(&[""])), Some(Err(JournalError::Unprepared)));
    bench.kept(3);
    assert!(told(&first).is_some_and(|answer| answer.is_ok()) && told(&second).is_some_and(|answer| answer.is_ok()));
    assert_eq!(told(&bench.publish(&[""])), None, "there is room again");
    bench.kept(4);
    assert_eq!(told(&bench.publish(&["", "", ""])), None, "one that is alone gets as much as it needs");
}

#[test]
fn no_number_is_given_out_that_is_not_leased() {
    let mut bench = Bench::with_disk(Fanout::Immediate);
    bench.disk.leased.store(2, Ordering::Relaxed);
    assert_eq!(told(&bench.publish(&["", "", ""])), Some(Err(JournalError::Unleased)));
    assert_eq!(bench.disk.woken.load(Ordering::Relaxed), 1, "or nobody would lease more");
    assert_eq!(told(&bench.publish(&["", ""])), None);
    assert_eq!(told(&bench.publish(&[""])), Some(Err(JournalError::Unleased)));
    bench.disk.leased.store(3, Ordering::Relaxed);
    assert_eq!(told(&bench.publish(&[""])), None);
    assert_eq!(bench.head(), 4);
}

#[test]
fn those_who_wait_for_the_disk_are_bounded() {
    let mut bench = Bench::with_disk(Fanout::Immediate);
    let waiting: Vec<_> = (0..limits::PENDING_ANSWERS_MAX).map(|_| bench.publish(&["a"])).collect();
    assert_eq!(told(&bench.publish(&["a"])), Some(Err(JournalError::QueueFull)));
    bench.kept(2);
    assert!(waiting.iter().all(|answers| told(answers).is_some_and(|answer| answer.is_ok())));
    assert_eq!(told(&bench.publish(&["a"])), Some(accepted(1, 1, 1, 1)));
}

#[test]
fn what_earlier_runs_have_published_is_known() {
    let journal = Arc::new(Window::new(0, 5, limits::WINDOW_BYTES_MAX, 0));
    let mut hub = Hub::new(journal, Vec::new(), &JournalOptions::default()).expect("a descriptor");
    let (now, window_ms) = (clock::unix_ms(), limits::DEDUPE_S * 1_000);
    let batch = |id, first_seq, publisher, unix_ms| {
        EncodedBatch::encode(vec![alert("x"), alert(id)], first_seq, 0, Origin { publisher, unix_ms })
    };
    hub.remember(&batch("old", 1, 1, now - window_ms), now);
    hub.remember(&batch("new", 3, 1, now - window_ms + 60_000), now);
    let list = hub.handle.latest_alerts();
    assert_eq!((list.len(), list.version().last_seq), (4, 4), "however old they are");
    let disk = Bench::in_memory().disk;
    hub.keep_with(Box::new(disk.clone()));
    let shard = Doorbell::new().expect("a descriptor");
    let mut bench = Bench { hub, disk, shard };
    assert_eq!(told(&bench.publish(&["new", "x"])), Some(accepted(2, 3, 4, 2)), "it is kept, so nothing is waited for");
    let answers = bench.publish(&["old"]);
    bench.kept(6);
    assert_eq!(told(&answers), Some(accepted(1, 5, 5, 0)));
}

#[test]
fn a_stop_is_told_behind_what_came_before_and_refuses_what_comes_after() {
    let mut bench = Bench::with_disk(Fanout::Immediate);
    let before = bench.publish(&[""]);
    let stops = bench.stop();
    assert_eq!(stops.try_recv(), Ok(()));
    assert_eq!(bench.head(), 2);
    assert_eq!(told(&bench.publish(&[""])), Some(Err(JournalError::Stopping)));
    assert_eq!(bench.head(), 2);
    assert!(!bench.hub.is_done(clock::now()), "somebody waits");
    bench.kept(2);
    assert_eq!(told(&before), Some(accepted(1, 1, 1, 0)));
    assert!(bench.hub.is_done(clock::now()));
}

#[test]
fn a_stop_does_not_wait_for_a_disk_that_hangs() {
    let mut bench = Bench::with_disk(Fanout::Immediate);
    let before = bench.publish(&[""]);
    bench.stop();
    let ends_at = bench.hub.ends_at.expect("it stops");
    assert!(!bench.hub.is_done(ends_at - 1) && bench.hub.is_done(ends_at));
    // Told again, it does not wait for longer.
    bench.stop();
    assert_eq!(bench.hub.ends_at, Some(ends_at));
    bench.hub.end();
    assert_eq!(told(&before), Some(Err(JournalError::Unkept)));
}

#[test]
fn mail_to_a_hub_that_has_ended_is_answered() {
    let mut bench = Bench::in_memory();
    let handle = bench.hub.handle();
    let (answer, answers) = channel();
    let (late, post) = (answer.clone(), handle.clone());
    post.publish(vec![alert("")], 1, Box::new(move |told| late.send(told).expect("awaited")));
    bench.hub.end();
    assert_eq!(told(&answers), Some(Err(JournalError::Stopping)), "it was in the mailbox");
    handle.publish(vec![alert("")], 1, Box::new(move |told| answer.send(told).expect("awaited")));
    assert_eq!(told(&answers), Some(Err(JournalError::Stopping)));
    let stopped = Arc::new(AtomicBool::new(false));
    let told = stopped.clone();
    handle.stop(Box::new(move || told.store(true, Ordering::Relaxed)));
    handle.kept(1);
    assert!(stopped.load(Ordering::Relaxed));
    assert_eq!(handle.queued_bytes.load(Ordering::Relaxed), 0);
}

fn start(hub: Hub) -> glommio::ExecutorJoinHandle<()> {
    let main = |outcome: Outcome<ThreadError>| {
        hub.run(move |started| {
            started.expect("a descriptor");
            outcome.send(Ok(())).expect("awaited");
        })
    };
    executor::spawn("hub", 0, main).expect("a thread").finish().expect("it runs")
}

/// Without publishers it takes turns too, or the watchman could not tell it from one that is asleep.
#[test]
fn an_idle_hub_takes_turns() {
    let Bench { hub, .. } = Bench::in_memory();
    let (pulse, handle) = (hub.pulse(), hub.handle());
    let thread = start(hub);
    let started = Instant::now();
    while pulse.turns() < 5 {
        assert!(started.elapsed() < Duration::from_secs(30), "{} turns", pulse.turns());
        std::thread::sleep(Duration::from_millis(10));
    }
    handle.stop(Box::new(|| {}));
    thread.join().expect("it ends well");
}

#[test]
fn the_thread_ends_when_what_was_published_is_kept() {
    let Bench { hub, .. } = Bench::with_disk(Fanout::Immediate);
    let handle = hub.handle();
    let thread = start(hub);
    let (answer, answers) = channel();
    let (stopped, stops) = channel();
    handle.publish(vec![alert("")], 1, Box::new(move |told| answer.send(told).expect("awaited")));
    handle.stop(Box::new(move || stopped.send(()).expect("awaited")));
    stops.recv().expect("it stops");
    assert_eq!(told(&answers), None);
    handle.kept(2);
    thread.join().expect("it ends well");
    assert_eq!(told(&answers), Some(accepted(1, 1, 1, 0)));
}
