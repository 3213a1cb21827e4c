//! Sessions that come back, and sessions that were too slow: what the journal brings them.

use serde_json::json;

use super::*;
use crate::protocol::{ReplayRules, SlowPolicy};

/// The numbers of a watchlist client's events, in the order in which they came, with gaps as they were told.
fn story(client: &FakeClient) -> Vec<String> {
    let tell = |message: Value| match message["type"].as_str() {
        Some("gap") => format!("{} {}-{}", message["reason"].as_str().unwrap(), message["from"], message["to"]),
        Some("trade") => message["seq"].to_string(),
        _ => message.to_string(),
    };
    messages(client).into_iter().map(tell).collect()
}

fn numbers(range: std::ops::RangeInclusive<u64>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

impl Bench {
    fn publish_one_by_one(&mut self, count: u64, pad: usize) {
        for _ in 0..count {
            self.publish(vec![event(0, pad)]);
            self.settle();
        }
    }

    /// Takes so many turns, and counts those in which the replay went on.
    fn steps_of_the_replay(&mut self, turns: usize) -> usize {
        let went_on = |bench: &mut Self| {
            let before = bench.replay_position();
            bench.turn();
            bench.replay_position() != before
        };
        (0..turns).filter(|_| went_on(self)).count()
    }

    fn with_replay(replay: ReplayRules) -> Self {
        Self::with_rules(1, 3_000, SessionRules { replay, ..SessionRules::default() })
    }
}

#[test]
fn a_client_that_comes_back_gets_what_it_missed_and_then_what_comes() {
    let mut bench = Bench::new(1, 10);
    bench.publish_one_by_one(10, 20);
    for since in 0..=10 {
        let client = bench.resume(admission(1), since);
        bench.settle();
        assert_eq!(story(&client), numbers(since + 1..=10), "since {since}");
        client.reset();
    }
    let client = bench.resume(admission(1), 4);
    bench.publish_one_by_one(2, 20);
    assert_eq!(story(&client), numbers(5..=12));
}

#[test]
fn only_what_matches_is_brought() {
    let mut bench = Bench::new(1, 10);
    bench.publish((0..12).map(|number| event(number % 6, 0)).collect());
    bench.settle();
    let client = bench.resume(admission(3), 2);
    bench.settle();
    assert_eq!(story(&client), ["4", "7", "10"], "account 3 watches the wallets 0 and 3");
}

#[test]
fn what_retention_has_dropped_is_told_first() {
    let mut bench = Bench::new(1, 10);
    bench.publish_one_by_one(10, 20);
    bench.retain_from(7);
    let client = bench.resume(admission(1), 3);
    let nothing_missed = bench.resume(admission(1), 6);
    bench.settle();
    assert_eq!(story(&client), [vec!["retention 4-6".to_owned()], numbers(7..=10)].concat());
    assert_eq!(story(&nothing_missed), numbers(7..=10));
    bench.retain_from(100);
    let client = bench.resume(admission(1), 0);
    bench.settle();
    bench.publish_one_by_one(1, 20);
    assert_eq!(story(&client), ["retention 1-10", "11"]);
}

/// Retention may drop what has not even come to this shard.
#[test]
fn a_gap_that_reaches_past_the_present_ends_there_and_nothing_behind_it_is_lost() {
    let mut bench = Bench::with_replay(ReplayRules { sessions: 10_000, ..ReplayRules::default() });
    bench.publish_one_by_one(10, 20);
    let mut on_its_way: Vec<_> = (0..10).map(|_| bench.publish_far_away(vec![event(0, 20)])).collect();
    bench.retain_from(16);
    // So many that a step ends with the gap, and events come before the next one.
    let clients: Vec<_> = (0..limits::REPLAY_STEP_LOOKS_MAX).map(|_| bench.resume(admission(1), 8)).collect();
    while bench.replay_position() <= 10 {
        assert!(bench.turn(), "it goes on");
    }
    assert_eq!(bench.plane.behind(), clients.len(), "nobody has arrived");
    let later = on_its_way.split_off(2);
    bench.plane.inbox().extend(on_its_way);
    bench.settle();
    for batch in later {
        bench.plane.inbox().extend([batch]);
        bench.settle();
    }
    let expected = [vec!["retention 9-10".to_owned(), "retention 11-12".to_owned()], numbers(13..=20)].concat();
    for client in clients {
        assert_eq!(story(&client), expected);
    }
}

#[test]
fn live_events_go_first_and_leave_a_sixteenth_of_the_time() {
    let mut bench = Bench::with_rules(1, 2_000, SessionRules::default());
    let live: Vec<_> = (0..1_000).map(|_| bench.enter(1, ROOMY)).collect();
    bench.publish_one_by_one(400, 20);
    bench.kernel().batch_max = 1;
    bench.chunk_batches = 1;
    let served = |number| live.iter().filter(|client| story(client).len() == number).count();

    // Every look at the clock takes as long as the step, and a turn that serves nobody behind looks twice.
    bench.pace = 50_000;
    let behind = bench.resume(admission(1), 0);
    bench.publish(vec![event(0, 0)]);
    let steps = bench.steps_of_the_replay(800);
    assert_eq!(served(401), 800, "one in each turn");
    // It waits for fifteen times as long as a step took, which is eight turns begun.
    assert!((800 / 10..=800 / 8).contains(&steps), "{steps} steps in 800 turns");

    // A step that took long is not waited out for as long.
    bench.settle();
    bench.publish(vec![event(0, 0)]);
    bench.pace = limits::REPLAY_WAITS_US * 1_000;
    let other = bench.resume(admission(1), 0);
    let steps = bench.steps_of_the_replay(100);
    assert!((40..=100).contains(&steps), "{steps} steps in 100 turns");
    bench.settle();
    for client in [behind, other] {
        assert_eq!(story(&client), numbers(1..=402));
    }
}

#[test]
fn after_a_storm_no_memory_is_kept_for_it() {
    let mut bench = Bench::with_replay(ReplayRules { sessions: 10_000, ..ReplayRules::default() });
    bench.publish_one_by_one(5, 20);
    bench.kernel().batch_max = 1;
    let clients: Vec<_> = (0..300).map(|_| bench.resume(admission(1), 0)).collect();
    bench.settle();
    assert!(clients.iter().all(|client| story(client) == numbers(1..=5)));
    assert_eq!(bench.plane.spare_pieces(), 0);
}

#[test]
fn riders_wait_while_many_have_something_unsent() {
    let sessions = limits::REPLAY_QUEUE_MAX + 2_000;
    let rules = SessionRules {
        replay: ReplayRules { sessions: sessions as u32, ..ReplayRules::default() },
        ..SessionRules::default()
    };
    let mut bench = Bench::with_rules(1, sessions as u32, rules);
    bench.publish((1..=20).map(|number| event(if number % 2 == 0 { 2 } else { 3 }, 0)).collect());
    bench.settle();
    let clients: Vec<_> = (0..sessions).map(|nth| bench.resume(admission(2 + nth as u64 % 2), 0)).collect();
    let mut most = 0;
    while bench.turn() {
        most = most.max(bench.plane.replay_queue());
    }
    bench.settle();
    assert!(most >= limits::REPLAY_QUEUE_MAX, "it came to {most}");
    // An event that is under way comes to all of its riders.
    assert!(most < limits::REPLAY_QUEUE_MAX + sessions / 2, "it came to {most}");
    assert!(clients.iter().all(|client| events(client).len() == 10));
}

#[test]
fn riders_arrive_in_parts_and_what_comes_meanwhile_comes_once() {
    let mut bench = Bench::with_replay(ReplayRules { sessions: 10_000, ..ReplayRules::default() });
    bench.publish_one_by_one(3, 20);
    let clients: Vec<_> = (0..3 * limits::REPLAY_ARRIVALS_MAX).map(|_| bench.resume(admission(1), 1)).collect();
    while bench.plane.behind() == clients.len() {
        bench.turn();
    }
    for _ in 0..4 {
        assert!(bench.plane.behind() > 0, "some are still behind");
        bench.publish(vec![event(0, 0), event(1, 0)]);
        bench.turn();
    }
    bench.settle();
    assert_eq!(bench.plane.behind(), 0);
    for client in &clients {
        assert_eq!(story(client), ["2", "3", "4", "5", "6", "7", "8", "9", "10", "11"]);
    }
}

#[test]
fn a_number_that_the_shard_has_not_come_to_is_waited_for() {
    let mut bench = Bench::new(1, 10);
    bench.publish_one_by_one(3, 20);
    let client = bench.resume(admission(1), 5);
    bench.settle();
    bench.publish_one_by_one(1, 20);
    bench.publish(vec![event(0, 0), event(0, 0), event(0, 0)]);
    bench.publish_one_by_one(2, 20);
    assert_eq!(story(&client), numbers(6..=9), "whoever has 5 is not sent 4 and 5");
}

#[test]
fn one_that_falls_off_the_log_gets_everything_once_it_reads() {
    let mut bench = Bench::new(1, 10);
    let slow = bench.enter(1, 1_000);
    let healthy = bench.enter(1, ROOMY);
    bench.publish_one_by_one(60, 50_000);
    assert_eq!(events(&healthy).len(), 60, "the others are undisturbed");
    assert_eq!(bench.stats.fell_behind(), 1);
    assert_eq!((bench.stats.slow_consumers_closed(), bench.stats.behind.get()), (0, 1));
    assert!(bench.plane.held_for_the_slow() < 60_000, "no more than the rest of a frame is kept for it");
    // It goes on as slowly as before, then well.
    for _ in 0..200 {
        slow.read(700);
        bench.settle();
    }
    slow.widen(ROOMY);
    for _ in 0..5 {
        slow.read(usize::MAX);
        bench.settle();
    }
    bench.publish_one_by_one(2, 20);
    assert_eq!(story(&slow), numbers(1..=62));
    assert_eq!(ShardStats::get(&bench.stats.caught_up), 1);
}

#[test]
fn one_with_too_many_scattered_ranges_gets_everything_too() {
    let mut bench = Bench::new(1, 10);
    let slow = bench.enter(2, 100);
    let _all = bench.enter(1, ROOMY);
    bench.publish((0..4_000).map(|number| event(number % 2, 10)).collect());
    bench.settle();
    assert_eq!(bench.stats.fell_behind(), 1);
    slow.widen(ROOMY);
    for _ in 0..5 {
        slow.read(usize::MAX);
        bench.settle();
    }
    assert_eq!(events(&slow), (1..=4_000).step_by(2).collect::<Vec<_>>());
}

/// A `latest` session is sent the newest event of a key alone, and told that something was passed over.
#[test]
fn of_events_with_one_key_the_newest_is_enough_for_whoever_says_so() {
    let mut bench = Bench::new(1, 10);
    let keyed = |key: Option<&str>| Event { key: key.map(Into::into), ..event(0, 0) };
    // 1 to 7.
    bench.publish(["a", "b", "a", "c", "a"].map(Some).into_iter().chain([None; 2]).map(keyed).collect());
    bench.settle();
    let terms = Terms { since: Some(0), policy: SlowPolicy::Latest };
    let latest = bench.visit(admission(1), terms);
    let all = bench.resume(admission(1), 0);
    bench.settle();
    bench.publish(["a", "a"].map(Some).map(keyed).into());
    bench.settle();
    assert_eq!(story(&latest), ["latest 1-7", "2", "4", "5", "6", "7", "8", "9"]);
    assert_eq!(story(&all), numbers(1..=9));
}

#[test]
fn a_storm_of_clients_reads_the_journal_once() {
    let mut bench = Bench::with_replay(ReplayRules { sessions: 10_000, ..ReplayRules::default() });
    bench.chunk_batches = 1;
    bench.publish_one_by_one(50, 20);
    let clients: Vec<_> = (0..2_000).map(|number| bench.resume(admission(1), number % 40)).collect();
    let before = bench.reads.get();
    bench.settle();
    for (number, client) in clients.iter().enumerate() {
        assert_eq!(story(client), numbers(number as u64 % 40 + 1..=50));
    }
    assert_eq!(bench.reads.get() - before, 50, "one walk for all");
}

#[test]
fn no_more_sessions_are_served_at_once_than_may_be_and_all_in_the_end() {
    let mut bench = Bench::with_replay(ReplayRules { sessions: 3, ..ReplayRules::default() });
    bench.publish_one_by_one(20, 20);
    let clients: Vec<_> = (0..10).map(|number| bench.resume(admission(1), 19 - number)).collect();
    bench.settle();
    for (number, client) in clients.iter().enumerate() {
        assert_eq!(story(client), numbers(20 - number as u64..=20));
    }
}

#[test]
fn a_session_is_brought_no_more_than_its_share_a_second() {
    let replay = ReplayRules { events_per_second: 100, ..ReplayRules::default() };
    let mut bench = Bench::with_replay(replay);
    bench.publish((0..1_000).map(|_| event(0, 0)).collect());
    bench.settle();
    let greedy = bench.resume(admission(1), 0);
    let modest = bench.resume(admission(1), 990);
    bench.settle();
    assert_eq!(story(&modest), numbers(991..=1_000));
    assert_eq!(events(&greedy).len(), 100);
    bench.pass_time(1_000);
    assert!((190..=210).contains(&events(&greedy).len()), "{}", events(&greedy).len());
    bench.pass_time(9_000);
    bench.publish_one_by_one(1, 0);
    assert_eq!(story(&greedy), numbers(1..=1_001));
}

/// Whoever wants the whole journal does not keep one waiting who missed a moment.
#[test]
fn those_near_the_present_are_served_between_the_steps_of_those_far_from_it() {
    let mut bench = Bench::new(1, 10);
    let rounds = 3 * limits::REPLAY_ROUND_EVENTS;
    for _ in 0..rounds / 10_000 {
        bench.publish((0..10_000).map(|_| event(5, 0)).collect());
        bench.settle();
    }
    bench.publish_one_by_one(5, 0);
    // Neither of them matches more than the last five.
    let far = bench.resume(admission(2), 0);
    while bench.replay_position() == 0 {
        bench.turn();
    }
    let near = bench.resume(admission(2), rounds);
    while events(&near).is_empty() {
        assert!(bench.turn());
    }
    assert!(events(&far).is_empty(), "it is still on its way");
    bench.settle();
    assert_eq!((events(&near).len(), events(&far).len()), (5, 5));
}

#[test]
fn an_unreadable_journal_is_told() {
    let mut bench = Bench::new(1, 10);
    bench.publish_one_by_one(3, 20);
    bench.is_unreadable = true;
    let client = bench.resume(admission(1), 0);
    let live = bench.enter(1, ROOMY);
    bench.settle();
    bench.publish_one_by_one(1, 20);
    assert_eq!(story(&client), [r#"{"close":1011}"#]);
    assert_eq!(story(&live), ["4"]);
}

#[test]
fn an_unreadable_place_concerns_nobody_who_is_past_it() {
    let mut bench = Bench::new(1, 10);
    bench.publish_one_by_one(10, 20);
    let (before, at, past) =
        (bench.resume(admission(1), 2), bench.resume(admission(1), 3), bench.resume(admission(1), 4));
    bench.turn_alone();
    assert_eq!(bench.plane.replay_wants(), Some(3));
    let chunk = bench.read(3);
    bench.plane.replayed(Some(Chunk { next: 4, parts: chunk.parts[..1].into(), ..chunk }));
    assert_eq!(bench.plane.replay_wants(), Some(4));
    bench.plane.replayed(None);
    bench.settle();
    bench.publish_one_by_one(1, 20);
    for concerned in [before, at] {
        assert_eq!(messages(&concerned).last(), Some(&json!({ "close": 1011 })));
    }
    assert_eq!(story(&past), numbers(5..=11));
}

#[test]
fn an_error_that_answers_a_round_which_is_over_concerns_nobody_of_the_next() {
    let mut bench = Bench::with_replay(ReplayRules { events_per_second: 100, ..ReplayRules::default() });
    for _ in 0..10 {
        bench.publish((0..100).map(|_| event(0, 0)).collect());
        bench.settle();
    }
    let greedy = bench.resume(admission(1), 0);
    bench.turn_alone();
    assert_eq!(bench.plane.replay_wants(), Some(1));
    let chunk = bench.read(1);
    bench.plane.replayed(Some(chunk));
    assert_eq!(bench.plane.replay_wants(), Some(301), "it asks ahead");
    // It has had its share, which ends the round; and another one begins.
    bench.turn_alone();
    let modest = bench.resume(admission(1), 990);
    bench.turn_alone();
    assert_eq!(bench.replay_position(), 991);
    bench.plane.replayed(None);
    bench.settle();
    assert_eq!(story(&modest), numbers(991..=1_000));
    assert_eq!(events(&greedy).len(), 100);
    bench.pass_time(10_000);
    assert_eq!(story(&greedy), numbers(1..=1_000));
}

#[test]
fn what_a_session_behind_is_told_counts_from_where_it_is() {
    let mut bench = Bench::new(1, 10);
    bench.publish((0..5).map(|_| on("alerts")).collect());
    bench.settle();
    let client = bench.resume(keyed(Protocol::Tiered, 1), 2);
    say(&client, "ping");
    bench.settle();
    let all = messages(&client);
    assert_eq!((&all[0]["type"], &all[0]["seq"]), (&json!("connected"), &json!(2)));
    // The pong says how far the session was when it was made.
    let pong = all.iter().position(|message| message["type"] == "pong").expect("a pong");
    let before = all[..pong].iter().filter_map(|message| message["seq"].as_u64()).max();
    let _ = before;
    let alerts: Vec<_> =
        all.iter().filter(|message| message["type"] == "alert").map(|message| message["seq"].as_u64()).collect();
    assert_eq!(alerts, [Some(3), Some(4), Some(5)]);
}

#[test]
fn a_gap_is_told_once_however_many_topics_a_session_comes_back_to() {
    let mut bench = Bench::new(1, 10);
    bench.change(Account {
        grants: ["price:*".parse().unwrap()].into_iter().collect(),
        ..Account::clone(&account(1, 2))
    });
    bench.publish((0..9).map(|number| on(&format!("price:{number}"))).collect());
    bench.publish(vec![on("price:0")]);
    bench.settle();
    bench.retain_from(10);
    let client = bench.resume(Admission::Channels, 0);
    let topics: Vec<String> = (0..9).map(|number| format!("\"price:{number}\"")).collect();
    say(&client, &format!(r#"{{"type":"auth","apiKey":"{}","topics":[{}]}}"#, api_key(1).expose(), topics.join(",")));
    bench.settle();
    let all = messages(&client);
    assert_eq!(all[0]["type"], "authenticated");
    assert!(all[..10].iter().all(|message| message["seq"] == 0), "all of it is still to come: {:?}", &all[..10]);
    assert_eq!(kinds(&all[10..]), ["gap", "note"]);
}

#[test]
fn a_topic_may_begin_in_the_past_and_nothing_of_the_others_comes_twice() {
    let mut bench = Bench::new(1, 10);
    bench.change(Account {
        grants: ["price:*".parse().unwrap()].into_iter().collect(),
        ..Account::clone(&account(1, 2))
    });
    let client = bench.visitor(Admission::Channels);
    say(&client, &format!(r#"{{"type":"auth","apiKey":"{}"}}"#, api_key(1).expose()));
    say(&client, r#"{"type":"subscribe","channel":"price","mint":"a"}"#);
    bench.settle();
    let mut seen = 2;
    bench.publish(["a", "b", "a", "b"].map(|mint| on(&format!("price:{mint}"))).into());
    bench.settle();
    let numbers =
        |messages: &[Value]| messages.iter().map(|message| message["seq"].as_u64().unwrap()).collect::<Vec<_>>();
    assert_eq!(numbers(&news(&client, &mut seen)), [1, 3]);
    say(&client, r#"{"type":"subscribe","channel":"price","mint":"b","since":0}"#);
    bench.settle();
    bench.publish(["a", "b"].map(|mint| on(&format!("price:{mint}"))).into());
    bench.settle();
    let got = news(&client, &mut seen);
    assert_eq!(kinds(&got), ["subscribed", "note", "note", "note", "note"]);
    assert_eq!(numbers(&got), [0, 2, 4, 5, 6]);
    say(&client, r#"{"type":"subscribe","channel":"price","mint":"c","since":7}"#);
    bench.settle();
    assert_eq!(kinds(&news(&client, &mut seen)), ["error INVALID_MESSAGE"], "nobody has a number from the future");
}
