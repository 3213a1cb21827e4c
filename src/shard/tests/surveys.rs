//! What a shard tells operators: sockets of topics, and who has not been sent everything.

use std::sync::mpsc::channel;

use super::*;
use crate::protocol::SlowPolicy;
use crate::shard::survey::{Pace, SlowSession, SlowSessions, Survey, Who};

impl Bench {
    /// Asks, and turns until it is answered.
    fn survey<T: Send + 'static>(&mut self, survey: impl FnOnce(Box<dyn FnOnce(T) + Send>) -> Survey) -> T {
        let (sender, answer) = channel();
        self.plane.survey(survey(Box::new(move |told| sender.send(told).expect("somebody waits"))));
        for _ in 0..1_000 {
            let busy = self.turn();
            if let Ok(told) = answer.try_recv() {
                return told;
            }
            assert!(busy, "a survey under way is something to do");
        }
        panic!("a survey is never answered");
    }

    fn slow(&mut self, sessions_max: usize) -> SlowSessions {
        self.survey(|reply| Survey::Slow { sessions_max, reply })
    }

    fn receivers(&mut self, topics: &[&str]) -> Vec<u64> {
        let topics = topics.iter().map(|topic| Topic::parse(topic).expect(topic)).collect();
        self.survey(|reply| Survey::Receivers { topics, reply })
    }
}

#[test]
fn a_topic_is_told_with_every_socket_that_its_events_go_to() {
    let mut bench = Bench::new(1, 10);
    let _sockets = [1, 1, 2, 3].map(|account| bench.enter(account, ROOMY));
    let _tiered = bench.visitor(keyed(Protocol::Tiered, 1));
    let _behind = bench.resume(admission(1), 0);
    bench.settle();
    let topics = ["wallet:w0", "wallet:w2", "wallet:w5", "alerts", "bot:b", "system"];
    assert_eq!(bench.receivers(&topics), [5, 4, 3, 1, 0, 0]);
    assert!(bench.receivers(&[]).is_empty());
}

#[test]
fn a_long_list_of_topics_and_many_slots_are_looked_at_in_several_turns() {
    let mut bench = Bench::new(1, 10);
    let _socket = bench.enter(1, ROOMY);
    bench.settle();
    let topics = vec!["wallet:w0"; 2 * limits::SURVEY_TOPICS + 1];
    let (sender, answer) = channel();
    let reply = Box::new(move |told| sender.send(told).expect("somebody waits"));
    let topics: Arc<[Topic]> = topics.iter().map(|topic| Topic::parse(topic).expect(topic)).collect();
    bench.plane.survey(Survey::Receivers { topics: topics.clone(), reply });
    for _ in 0..2 {
        assert!(bench.turn(), "there is more to do");
        assert!(answer.try_recv().is_err(), "a turn is bounded");
    }
    bench.turn();
    assert_eq!(answer.try_recv().expect("the answer"), vec![1; topics.len()]);
}

#[test]
fn nobody_is_slow_who_has_been_sent_everything() {
    let mut bench = Bench::new(1, 10);
    let _clients = [1, 2].map(|account| bench.enter(account, ROOMY));
    bench.publish(vec![event(0, 100)]);
    bench.settle();
    assert_eq!(bench.slow(5), SlowSessions::default());
}

#[test]
fn a_slow_session_is_told_with_whose_it_is_and_what_waits_for_it() {
    let mut bench = Bench::new(1, 10);
    let slow = bench.enter(1, 1_000);
    let _healthy = bench.enter(2, ROOMY);
    bench.settle();
    for _ in 0..3 {
        bench.publish(vec![event(1, 50_000)]);
        bench.settle();
    }
    let SlowSessions { behind, full, sessions } = bench.slow(5);
    assert_eq!((behind, full), (0, 1));
    let [told] = &sessions[..] else { panic!("one is slow: {sessions:?}") };
    let expected = SlowSession {
        slot: told.slot,
        protocol: Protocol::Watchlist,
        policy: SlowPolicy::CatchUp,
        who: Who::Account(AccountId(1)),
        topics: 6,
        pace: Pace::Full,
        since_ms: None,
        next_seq: 1,
        events_behind: 3,
        unsent_bytes: told.unsent_bytes,
    };
    assert_eq!(*told, expected);
    assert!((149_000..151_000).contains(&told.unsent_bytes), "{told:?}");

    // The log wraps.
    bench.pass_time(1_000);
    for _ in 0..30 {
        bench.publish(vec![event(1, 50_000)]);
        bench.settle();
    }
    let fell_ms = EPOCH_MS + 1_000;
    bench.pass_time(5_000);
    let SlowSessions { behind, full, sessions } = bench.slow(5);
    assert_eq!((behind, full), (1, 0));
    let told = &sessions[0];
    assert_eq!((told.pace, told.since_ms, told.next_seq, told.events_behind), (Pace::Draining, Some(fell_ms), 2, 32));

    slow.widen(ROOMY);
    for _ in 0..200 {
        slow.read(usize::MAX);
        bench.pass_time(100);
    }
    assert_eq!(bench.slow(5), SlowSessions::default(), "it has caught up");
}

#[test]
fn of_many_slow_ones_the_worst_are_told_and_all_are_counted() {
    let mut bench = Bench::new(1, 60);
    let mut clients = Vec::new();
    for nth in 0..50_u64 {
        clients.push(bench.enter(1, 500));
        bench.publish(vec![event(1, 1_000 + nth as usize)]);
        bench.settle();
    }
    let SlowSessions { behind, full, sessions } = bench.slow(3);
    assert_eq!(behind + full, 50);
    let events: Vec<u64> = sessions.iter().map(|session| session.events_behind).collect();
    assert_eq!(events, [50, 49, 48]);
}
