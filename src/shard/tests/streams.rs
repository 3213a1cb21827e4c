//! Streams of server-sent events: what they are sent, beside WebSockets and alone.

use super::*;
use crate::protocol::{ReplayRules, SlowPolicy, StreamAdmission, StreamHolder, StreamTopic};
use crate::tokens::Claims;

const HEAD: &str = "HTTP/1.1 200 OK\r\n\r\nretry: 2000\nid: 0\n\n";

fn opens(who: StreamHolder, topics: &[&str]) -> Admission {
    let topic = |name: &&str| match *name {
        "wallet:*" => StreamTopic::Watchlist,
        name => StreamTopic::Named(Topic::parse(name).expect(name)),
    };
    let topics = topics.iter().map(topic).collect();
    Admission::Stream(StreamAdmission { who, topics, head: HEAD.as_bytes().into() })
}

fn of_account(account: u64, topics: &[&str]) -> Admission {
    opens(StreamHolder::Key { account: AccountId(account), key: KeyNumber(account) }, topics)
}

fn of_user(user: &str, admin_level: Option<u32>, ttl_s: u64, topics: &[&str]) -> Admission {
    let claims = Claims { user: UserId::new(user), admin_level, expires_at_s: EPOCH_MS / 1000 + ttl_s };
    opens(StreamHolder::User(claims), topics)
}

fn text(client: &FakeClient) -> String {
    client.read(usize::MAX);
    String::from_utf8(client.bytes()).expect("a stream is text")
}

/// What follows the head: whole messages, each as its number, or its type and what else it says; `:` for a comment.
fn told(client: &FakeClient) -> Vec<String> {
    let all = text(client);
    let behind = all.strip_prefix(HEAD).unwrap_or_else(|| panic!("it begins with its head: {all:?}"));
    assert!(behind.is_empty() || behind.ends_with("\n\n"), "half a message: {behind:?}");
    behind.split_terminator("\n\n").map(tell).collect()
}

fn tell(message: &str) -> String {
    if message.starts_with(':') {
        return ":".to_owned();
    }
    let (id, data) = match message.split_once('\n') {
        Some((id, data)) => (Some(id.strip_prefix("id: ").expect("an id").parse::<u64>().expect("a number")), data),
        None => (None, message),
    };
    let data: Value = serde_json::from_str(data.strip_prefix("data: ").expect(data)).expect("JSON");
    let id = id.map_or_else(|| "-".to_owned(), |id| id.to_string());
    match data["type"].as_str().expect("a type") {
        "gap" => format!("{id} {} {}-{}", data["reason"].as_str().unwrap(), data["from"], data["to"]),
        "error" => format!("{id} error {}", data["code"].as_str().unwrap()),
        "expiring" => format!("{id} expiring"),
        _ => {
            assert_eq!(data["seq"].to_string(), id, "an event has its number twice: {message}");
            id
        }
    }
}

fn numbers(range: impl IntoIterator<Item = u64>) -> Vec<String> {
    range.into_iter().map(|number| number.to_string()).collect()
}

fn latest(since: u64) -> Terms {
    Terms { since: Some(since), policy: SlowPolicy::Latest }
}

#[test]
fn an_event_is_sent_byte_for_byte_behind_the_head_and_to_websockets_as_ever() {
    let mut bench = Bench::new(1, 4);
    let stream = bench.visitor(of_account(1, &["alerts", "wallet:w7", "price:m"]));
    bench.change(Account {
        grants: ["price:*".parse().unwrap()].into_iter().collect(),
        ..Account::clone(&account(1, 2))
    });
    let stream_of_price = bench.visitor(of_account(1, &["price:m"]));
    let socket = bench.visitor(keyed(Protocol::Tiered, 1));
    bench.settle();
    bench.publish(vec![on("alerts"), event(7, 0), on("price:m"), on("price:other"), event(0, 0)]);
    bench.settle();
    let refused = "data: {\"type\":\"error\",\"code\":\"FORBIDDEN\",\"message\":\"the topic price:m is not for you: it needs a \
                   grant of the account\"}\n\n";
    assert_eq!(text(&stream), format!("{HEAD}{refused}"), "it was not granted then");
    assert_eq!(
        text(&stream_of_price),
        format!("{HEAD}id: 3\ndata: {{\"type\":\"note\",\"seq\":3,\"of\":\"price:m\"}}\n\n")
    );
    let got = messages(&socket);
    assert_eq!((kinds(&got), &got[1]["seq"]), (vec!["connected".into(), "alert".into()], &1.into()));
    let stream = bench.visitor(of_account(1, &["alerts", "wallet:w7"]));
    bench.publish(vec![on("alerts"), event(7, 0)]);
    bench.settle();
    let alert = "id: 6\ndata: {\"type\":\"alert\",\"seq\":6,\"data\":{\"of\":\"alerts\"}}\n\n";
    let trade = "id: 7\ndata: {\"type\":\"trade\",\"seq\":7,\"data\":{\"owner\":\"w7\",\"pad\":\"\",\"tradeType\":\"open\"}}\n\n";
    assert_eq!(text(&stream), format!("{HEAD}{alert}{trade}"));
    assert!(!stream.saw_end());
}

#[test]
fn the_whole_watchlist_follows_the_account_and_a_named_wallet_does_not() {
    let mut bench = Bench::new(1, 4);
    let (whole, named) =
        (bench.visitor(of_account(2, &["wallet:*"])), bench.visitor(of_account(2, &["wallet:w1", "wallet:w2"])));
    bench.publish(vec![event(1, 0), event(2, 0), event(3, 0)]);
    bench.settle();
    let mut changed = Account::clone(&account(2, 2));
    changed.watchlist = ["w1".parse::<Owner>().unwrap()].into_iter().collect();
    bench.change(changed);
    bench.publish(vec![event(1, 0), event(2, 0), event(3, 0)]);
    bench.settle();
    assert_eq!(told(&whole), numbers([2, 4]));
    assert_eq!(told(&named), numbers([1, 2, 4, 5]));
}

#[test]
fn a_client_that_comes_back_gets_what_it_missed_and_what_is_gone_is_told() {
    let mut bench = Bench::new(1, 20);
    bench.publish((0..12).map(|number| event(number % 6, 0)).collect());
    bench.settle();
    for since in 0..=12 {
        let client = bench.resume(of_account(3, &["wallet:*"]), since);
        let socket = bench.resume(admission(3), since);
        bench.settle();
        let expected: Vec<u64> = [1, 4, 7, 10].into_iter().filter(|seq| *seq > since).collect();
        assert_eq!(told(&client), numbers(expected.clone()), "since {since}");
        assert_eq!(events(&socket), expected);
        client.reset();
        socket.reset();
    }
    bench.retain_from(13);
    bench.publish(vec![event(0, 0)]);
    let client = bench.resume(of_account(3, &["wallet:*"]), 5);
    bench.settle();
    bench.publish(vec![event(0, 0)]);
    bench.settle();
    assert_eq!(told(&client), ["12 retention 6-12", "13", "14"]);
}

/// What follows such a gap may have lower numbers, so it does not move the cursor.
#[test]
fn of_events_with_one_key_the_newest_is_enough_for_whoever_says_so() {
    let mut bench = Bench::new(1, 4);
    let keyed = |key: Option<&str>| Event { key: key.map(Into::into), ..event(0, 0) };
    bench.publish(["a", "b", "a"].map(Some).into_iter().chain([None]).map(keyed).collect());
    bench.settle();
    let client = bench.visit(of_account(1, &["wallet:*"]), latest(0));
    bench.settle();
    bench.publish(["a", "a"].map(Some).map(keyed).into());
    bench.settle();
    assert_eq!(told(&client), ["- latest 1-4", "2", "3", "4", "5", "6"]);
}

#[test]
fn an_unreadable_journal_and_a_revoked_key_and_a_lower_tier_and_a_lost_grant_are_told_and_end_it() {
    let mut bench = Bench::new(1, 20);
    let grants = |version, grants: &[&str]| Account {
        grants: grants.iter().map(|grant| grant.parse().unwrap()).collect(),
        ..Account::clone(&account(1, version))
    };
    bench.change(grants(2, &["bot:*", "price:*"]));
    let [lost, kept, alerts] =
        [&["price:m", "bot:b"][..], &["price:m"], &["alerts"]].map(|topics| bench.visitor(of_account(1, topics)));
    let socket = bench.visitor(keyed(Protocol::Tiered, 1));
    bench.settle();
    bench.change(grants(3, &["price:*"]));
    bench.settle();
    assert_eq!(told(&lost), ["- error FORBIDDEN"]);
    bench.publish(vec![on("price:m"), on("bot:b"), on("alerts")]);
    bench.settle();
    assert_eq!((told(&kept), told(&alerts)), (numbers([1]), numbers([3])));
    let whole = bench.visitor(of_account(1, &["wallet:*"]));
    let named = bench.visitor(of_account(1, &["wallet:w"]));
    bench.settle();
    bench.change(Account { tier: Tier::Pro, ..grants(4, &["price:*"]) });
    bench.settle();
    assert_eq!((told(&whole), told(&named)), (vec!["- error FORBIDDEN".into()], vec!["- error FORBIDDEN".into()]));
    bench.change(Account { tier: Tier::Free, ..grants(5, &["price:*"]) });
    bench.settle();
    assert_eq!(told(&alerts), ["3", "- error FORBIDDEN"]);
    assert_eq!(told(&kept), numbers([1]), "that needs no tier");
    bench.change(Account { keys: [].into(), ..grants(6, &["price:*"]) });
    bench.settle();
    assert_eq!(told(&kept), ["1", "- error AUTHENTICATION_FAILED"]);
    let late = bench.visitor(of_account(1, &["price:m"]));
    bench.settle();
    assert_eq!(told(&late), ["- error AUTHENTICATION_FAILED"], "it was revoked since the desk looked");
    bench.is_unreadable = true;
    let blind = bench.resume(of_account(2, &["wallet:*"]), 0);
    bench.settle();
    assert_eq!(told(&blind), ["- error INTERNAL_ERROR"]);
    for client in [&lost, &kept, &alerts, &whole, &named, &late, &blind] {
        assert!(client.saw_end());
        client.finish();
    }
    assert_eq!(kinds(&messages(&socket))[2..], [r#"{"close":4403}"#]);
    bench.settle();
    assert_eq!(bench.kernel().occupied(), 1, "the socket is still on its way out");
}

#[test]
fn a_user_gets_the_own_rooms_until_the_tokens_end() {
    let mut bench = Bench::new(1, 4);
    let admin = bench.visitor(of_user("u", Some(2), 100, &["market:X"]));
    let plain = bench.visitor(of_user("v", None, 1_000, &[]));
    let all = ["user:u", "user:v", "system", "admin:2", "admin:3", "market:X", "market:Y", "admin:0"].map(on);
    bench.publish(all.to_vec());
    bench.settle();
    assert_eq!(told(&admin), numbers([1, 3, 4, 6, 8]));
    assert_eq!(told(&plain), numbers([2, 3]));
    bench.pass_time(99_900);
    let before: Vec<String> = told(&admin)[5..].iter().filter(|told| *told != ":").cloned().collect();
    assert_eq!(before, ["- expiring"]);
    assert!(text(&admin).contains("open another with a new one"));
    bench.publish(vec![on("system")]);
    bench.pass_time(200);
    let last: Vec<String> = told(&admin).into_iter().rev().take(2).collect();
    assert_eq!(last, ["- error AUTHENTICATION_FAILED", "9"]);
    assert!(admin.saw_end() && !plain.saw_end());
    bench.publish(vec![on("system")]);
    bench.settle();
    assert_eq!(told(&plain).last().map(String::as_str), Some("10"));
    assert_eq!(told(&admin).last().map(String::as_str), Some("- error AUTHENTICATION_FAILED"));
}

#[test]
fn comments_come_every_fifteen_seconds_and_not_in_a_storm() {
    let mut bench = Bench::new(1, 400);
    let keyed: Vec<_> = (0..300).map(|_| bench.visitor(of_account(1, &["alerts"]))).collect();
    let users: Vec<_> = (0..100).map(|_| bench.visitor(of_user("u", None, 100_000, &[]))).collect();
    let clients = || keyed.iter().chain(&users);
    bench.settle();
    let (mut most, mut before) = (0, 400 * HEAD.len());
    for _ in 0..limits::STREAM_COMMENT_MS / limits::TICK_MS {
        bench.pass_time(limits::TICK_MS);
        let bytes = clients().map(FakeClient::unread).sum();
        most = most.max((bytes - before) / ": \n\n".len());
        before = bytes;
    }
    assert!(clients().all(|client| told(client) == [":"]), "each was sent one");
    assert!(most <= 8, "{most} comments in one tick");
    bench.pass_time(4 * limits::STREAM_COMMENT_MS);
    assert!(clients().all(|client| told(client) == [":"; 5]));
}

#[test]
fn one_that_takes_no_bytes_is_given_up_and_one_that_takes_some_is_not() {
    let mut bench = Bench::new(1, 4);
    let [stalled, slow] = [(); 2].map(|()| FakeClient::new(200));
    for client in [&stalled, &slow] {
        bench.admit(client, of_account(1, &["wallet:*"]), Vec::new()).unwrap();
    }
    let idle = bench.visitor(of_account(1, &["alerts"]));
    bench.publish(vec![event(0, 1_000)]);
    bench.settle();
    for second in 0..120 {
        bench.pass_time(1_000);
        slow.read(5);
        // Bytes from it are no sign of it reading.
        stalled.send(b"still here");
        let ended = stalled.saw_end() || stalled.closed();
        assert!(second < 80 || ended, "it is given up");
        assert!(second > 58 || !ended, "it is given a minute: {second}");
    }
    assert!(!slow.saw_end() && !idle.saw_end());
    assert_eq!(ShardStats::get(&bench.stats.heartbeats_lost), 1);
    assert!(!String::from_utf8_lossy(&stalled.bytes()).contains(":\n"), "no comment waits for it");
}

#[test]
fn what_its_client_sends_is_passed_over_and_its_end_is_the_streams() {
    let mut bench = Bench::new(1, 2);
    let client = FakeClient::new(ROOMY);
    bench.admit(&client, of_account(1, &["alerts"]), b"GET / HTTP/1.1\r\n\r\n".to_vec()).unwrap();
    client.send(&client_frame(Opcode::Ping, b"not a WebSocket"));
    client.send(&client_frame(Opcode::Close, b""));
    client.send(&[0xff; 10_000]);
    bench.settle();
    bench.publish(vec![on("alerts")]);
    bench.settle();
    assert_eq!(told(&client), numbers([1]));
    client.finish();
    bench.settle();
    assert_eq!(bench.kernel().occupied(), 0);
}

#[test]
fn a_shutdown_ends_it_behind_its_events_without_a_word() {
    let mut bench = Bench::new(1, 4);
    let client = bench.visitor(of_account(1, &["alerts"]));
    let slow = FakeClient::new(150);
    bench.admit(&slow, of_account(1, &["alerts"]), Vec::new()).unwrap();
    bench.publish(vec![on("alerts"), on("alerts"), on("alerts")]);
    bench.turn();
    bench.plane.close_all(CloseCode::SERVICE_RESTART, "the server restarts");
    bench.settle();
    assert!(client.saw_end() && !slow.saw_end());
    for _ in 0..10 {
        slow.read(usize::MAX);
        bench.settle();
    }
    for client in [&client, &slow] {
        assert_eq!(told(client), ["1", "2", "3", ":"]);
        assert!(client.saw_end());
        client.finish();
    }
    bench.settle();
    assert_eq!(bench.kernel().occupied(), 0);
}

#[test]
fn a_slow_one_is_closed_where_that_is_its_policy_and_told_why() {
    let mut bench = Bench::new(1, 4);
    for buffer in [1, 20, 200, 5_000] {
        let client = FakeClient::new(buffer);
        let entry = Entry::uncounted(&bench.gate);
        let terms = Terms { since: None, policy: SlowPolicy::Disconnect };
        bench.plane.enter(client.link(), of_account(1, &["wallet:*"]), terms, entry, Vec::new()).unwrap();
        let first = bench.next_seq;
        for _ in 0..60 {
            bench.publish(vec![event(0, 50_000)]);
            bench.settle();
        }
        client.widen(ROOMY);
        for _ in 0..5 {
            client.read(usize::MAX);
            bench.settle();
        }
        // Its answer's head is whole, however little it took of it before.
        let all = told(&client);
        let (last, events) = all.split_last().expect("an error");
        assert_eq!(last, "- error SLOW_CONSUMER");
        assert_eq!(events, numbers((first..).take(events.len())));
        assert!(client.saw_end());
        client.finish();
        bench.settle();
    }
    assert_eq!(bench.stats.slow_consumers_closed(), 4);
}

#[test]
fn one_that_is_cut_off_while_it_ends_is_still_sent_a_head() {
    for buffer in [0, 20, HEAD.len()] {
        let mut bench = Bench::new(1, 4);
        let client = FakeClient::new(buffer);
        bench.admit(&client, of_user("u", None, 30, &[]), Vec::new()).unwrap();
        bench.publish(vec![on("system")]);
        bench.pass_time(30_100);
        for _ in 0..60 {
            bench.publish(vec![event(0, 50_000)]);
            bench.settle();
        }
        assert_eq!(bench.stats.slow_consumers_closed(), 1);
        client.widen(ROOMY);
        for _ in 0..5 {
            client.read(usize::MAX);
            bench.settle();
        }
        let errors: Vec<_> = told(&client).into_iter().filter(|told| told.contains("error")).collect();
        // That its time to sign in is over stood behind events that it was never sent.
        assert_eq!(errors, ["- error SLOW_CONSUMER"]);
        assert!(client.saw_end());
    }
}

/// The log holds both framings of a burst, however long it is and however slowly the sockets are visited.
#[test]
fn bursts_past_the_log_reach_every_healthy_socket_and_stream() {
    for batch_max in [1, 3, 64] {
        let mut bench = Bench::new(1, 100);
        bench.kernel().batch_max = batch_max;
        let streams: Vec<_> = (0..20).map(|_| bench.visitor(of_account(1, &["wallet:*"]))).collect();
        let sockets: Vec<_> = (0..20).map(|_| bench.enter(1, ROOMY)).collect();
        // Thousands of the shortest, whose frames grow most; then some of the longest.
        bench.publish((0..20_000).map(|number| event(number % 6, 0)).collect());
        bench.publish((0..100).map(|number| event(number % 6, 60_000)).collect());
        bench.settle();
        let all = numbers(1..=20_100);
        assert!(streams.iter().all(|client| told(client) == all));
        assert!(sockets.iter().all(|client| events(client).len() == 20_100));
        assert_eq!(bench.stats.fell_behind(), 0);
    }
}

#[test]
fn a_burst_is_one_range_in_either_framing() {
    let mut bench = Bench::new(1, 4);
    let stream = bench.visitor(of_account(1, &["wallet:*"]));
    let socket = bench.enter(1, ROOMY);
    bench.settle();
    bench.kernel().batches.clear();
    bench.publish((0..500).map(|_| event(0, 0)).collect());
    bench.settle();
    assert_eq!((told(&stream).len(), events(&socket).len()), (500, 500));
    assert_eq!(bench.kernel().batches, [[1, 0]], "one send each");
}

/// While a batch is under way WebSockets may be ahead of streams; whoever comes then gets each event once.
#[test]
fn streams_that_open_in_the_middle_of_a_batch_get_what_follows_once() {
    for seed in 0..6 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut bench = Bench::new(seed, 100);
        bench.kernel().batch_max = 2;
        let first = bench.visitor(of_account(1, &["wallet:*"]));
        let sockets: Vec<_> = (0..20).map(|_| bench.enter(1, ROOMY)).collect();
        let count = 3_000;
        bench.publish((0..count).map(|number| event(number % 6, 400)).collect());
        let mut late = Vec::new();
        while bench.turn() {
            if late.len() < 30 && random.u8(..) < 30 {
                let since = random.u64(..=count);
                late.push((since, bench.resume(of_account(1, &["wallet:*"]), since)));
                let since = random.u64(..=count);
                let ahead = bench.resume(admission(1), since);
                bench.turn();
                ahead.reset();
            }
        }
        bench.settle();
        assert!(late.len() > 3);
        assert_eq!(told(&first), numbers(1..=count));
        assert!(sockets.iter().all(|client| events(client).len() == count as usize));
        for (since, client) in late {
            assert_eq!(told(&client), numbers(since + 1..=count), "seed {seed}, since {since}");
        }
    }
}

/// One client of a storm.
struct Guest {
    client: FakeClient,
    since: u64,
    /// The wallets that it gets.
    wallets: Vec<u64>,
    is_stream: bool,
    reads: bool,
}

/// WebSockets and streams on the same topics, which come, resume, stall, fall behind and catch up. Everybody gets every event
/// after the number that it came with, once and in order.
fn storm(seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let replay = ReplayRules { sessions: 1 + random.u32(..8), events_per_second: 0, ..ReplayRules::default() };
    let mut bench = Bench::with_rules(seed, 30, SessionRules { replay, ..SessionRules::default() });
    bench.kernel().writes_short = random.bool();
    bench.kernel().answers_late = random.bool();
    bench.kernel().batch_max = *random.choice(&[1, 3, 64]).unwrap();
    let mut published: Vec<u64> = Vec::new();
    let mut guests: Vec<Guest> = Vec::new();
    for _ in 0..300 {
        match random.u32(..100) {
            0..15 => {
                let client = FakeClient::new(*random.choice(&[50, 1_000, 100_000, ROOMY]).unwrap());
                let account = 1 + random.u64(..ACCOUNTS);
                let whole: Vec<u64> = (0..6).filter(|wallet| watches(account, *wallet)).collect();
                let named: Vec<u64> = (0..6).filter(|_| random.bool()).collect();
                let names: Vec<String> = named.iter().map(|wallet| format!("wallet:w{wallet}")).collect();
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                let (admission, wallets, is_stream) = match random.u8(..3) {
                    0 => (admission(account), whole, false),
                    1 => (of_account(account, &["wallet:*"]), whole, true),
                    _ => (of_account(account, &[&["alerts"], &*names].concat()), named, true),
                };
                let newest = published.len() as u64;
                let since = if random.bool() { newest } else { random.u64(..=newest) };
                let terms = Terms { since: Some(since), ..Terms::default() };
                let entry = Entry::uncounted(&bench.gate);
                if bench.plane.enter(client.link(), admission, terms, entry, Vec::new()).is_ok() {
                    guests.push(Guest { client, since, wallets, is_stream, reads: random.u8(..) > 60 });
                }
            }
            15..45 => {
                let count = *random.choice(&[1, 1, 3, 30, 200]).unwrap();
                let wallets: Vec<u64> = (0..count).map(|_| random.u64(..6)).collect();
                let pad = match count {
                    200 => 0,
                    _ => *random.choice(&[0, 20, 200, 2_000, 30_000]).unwrap(),
                };
                bench.publish(wallets.iter().map(|&wallet| event(wallet, pad)).collect());
                published.extend(wallets);
                if random.bool() {
                    bench.settle();
                }
            }
            45..75 => {
                for guest in guests.iter().filter(|guest| guest.reads) {
                    guest.client.read(random.usize(..200_000));
                }
            }
            75..80 if !guests.is_empty() => {
                let gone = guests.swap_remove(random.usize(..guests.len()));
                if random.bool() { gone.client.reset() } else { gone.client.finish() }
            }
            80..90 => bench.tick += random.u32(..20),
            _ => {
                bench.turn();
            }
        }
    }
    guests.iter().for_each(|guest| guest.client.widen(ROOMY));
    let mut calm = 0;
    while calm < 4 {
        bench.settle();
        bench.pass_time(limits::TICK_MS);
        calm = if guests.iter().all(|guest| guest.client.unread() == 0) { calm + 1 } else { 0 };
        guests.iter().for_each(|guest| guest.client.read(usize::MAX));
    }
    for (number, guest) in guests.iter().enumerate() {
        let expected: Vec<u64> = (1..)
            .zip(&published)
            .filter(|(seq, wallet)| *seq > guest.since && guest.wallets.contains(wallet))
            .map(|(seq, _)| seq)
            .collect();
        if guest.is_stream {
            let got: Vec<String> = told(&guest.client).into_iter().filter(|told| told != ":").collect();
            assert_eq!(got, numbers(expected), "seed {seed}: stream {number} since {}", guest.since);
        } else {
            assert_eq!(events(&guest.client), expected, "seed {seed}: socket {number} since {}", guest.since);
        }
        guest.client.reset();
    }
    bench.settle();
    assert_eq!(bench.plane.occupied(), 0, "seed {seed}");
}

#[test]
fn storms_of_sockets_and_streams_lose_duplicate_and_reorder_nothing() {
    let first = std::env::var("STENTOR_SEED").ok().and_then(|seed| seed.parse().ok());
    let seeds = first.map_or(0..60, |seed: u64| seed..seed + 1);
    for seed in seeds {
        let outcome = std::panic::catch_unwind(|| storm(seed));
        if let Err(panic) = outcome {
            eprintln!("the storm of STENTOR_SEED={seed} failed");
            std::panic::resume_unwind(panic);
        }
    }
}
