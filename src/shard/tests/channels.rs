//! The channels protocol: authentication in a message, subscriptions within the account's grants.

use super::*;

fn auth(account: u64) -> String {
    format!(r#"{{"type":"auth","apiKey":"{}"}}"#, api_key(account).expose())
}

fn command(kind: &str, channel: &str, field: &str, name: &str) -> String {
    format!(r#"{{"type":"{kind}","channel":"{channel}","{field}":"{name}"}}"#)
}

fn granted(number: u64, version: u64, grants: &[&str]) -> Account {
    let grants = grants.iter().map(|grant| grant.parse().expect("a grant")).collect();
    Account { grants, ..Account::clone(&account(number, version)) }
}

/// A client of account 1, which has authenticated and has the grants `bot:b1`, `price:*`.
fn member(bench: &mut Bench) -> FakeClient {
    bench.change(granted(1, 2, &["bot:b1", "price:*"]));
    let client = bench.visitor(Admission::Channels);
    say(&client, &auth(1));
    bench.settle();
    client
}

#[test]
fn commands_in_the_same_breath_as_auth_are_handled_in_order() {
    let mut bench = Bench::new(1, 4);
    bench.change(granted(1, 2, &["bot:b1"]));
    let client = bench.visitor(Admission::Channels);
    let breath = [auth(1), command("subscribe", "bot", "botId", "b1"), command("unsubscribe", "bot", "botId", "b1")];
    let frames: Vec<u8> = breath.iter().flat_map(|text| client_frame(Opcode::Text, text.as_bytes())).collect();
    client.send(&frames);
    bench.settle();
    let got = messages(&client);
    assert_eq!(kinds(&got), ["authenticated", "subscribed", "unsubscribed"]);
    assert_eq!((&got[1]["channel"], &got[1]["botId"], &got[1]["seq"]), (&"bot".into(), &"b1".into(), &0.into()));
}

#[test]
fn events_come_from_subscribed_channels_flat_and_once() {
    let mut bench = Bench::new(1, 4);
    let client = member(&mut bench);
    for _ in 0..2 {
        say(&client, &command("subscribe", "bot", "botId", "b1"));
        say(&client, &command("subscribe", "price", "mint", "m"));
    }
    bench.settle();
    bench.publish(vec![on("bot:b1"), on("price:other"), on("price:m"), on("bot:b2"), on("bot:b1")]);
    bench.settle();
    let got = messages(&client);
    assert_eq!(kinds(&got[1..5]), ["subscribed"; 4], "a repeat is acknowledged again");
    let events: Vec<_> = got[5..].iter().map(|event| (event["of"].as_str(), event["seq"].as_u64())).collect();
    assert_eq!(events, [(Some("bot:b1"), Some(1)), (Some("price:m"), Some(3)), (Some("bot:b1"), Some(5))]);
}

#[test]
fn after_unsubscribed_nothing_of_the_channel_comes() {
    let mut bench = Bench::new(1, 4);
    let client = member(&mut bench);
    say(&client, &command("subscribe", "price", "mint", "a"));
    say(&client, &command("subscribe", "price", "mint", "b"));
    say(&client, &command("unsubscribe", "price", "mint", "a"));
    say(&client, &command("unsubscribe", "price", "mint", "never"));
    bench.settle();
    bench.publish(vec![on("price:a"), on("price:b")]);
    bench.settle();
    let got = messages(&client);
    assert_eq!(kinds(&got[3..]), ["unsubscribed", "unsubscribed", "note"]);
    assert_eq!(got[5]["of"], "price:b");
}

/// A client of account 1 that reads nothing, with a subscription to `price:a`.
fn sluggard(bench: &mut Bench) -> FakeClient {
    bench.change(granted(1, 2, &["price:*"]));
    let client = FakeClient::new(1_000);
    bench.admit(&client, Admission::Channels, Vec::new()).expect("a free slot");
    say(&client, &auth(1));
    say(&client, &command("subscribe", "price", "mint", "a"));
    bench.settle();
    client
}

/// An event of 5 KB.
fn long(topic: &str) -> Event {
    let data = serde_json::json!({ "of": topic, "pad": "x".repeat(5_000) });
    published(&serde_json::json!({ "type": "note", "topic": topic, "data": data }).to_string())
}

#[test]
fn what_an_unsubscription_counts_from_was_sent_before_it_however_that_is_written() {
    for kind in ["unsubscribe", r"unsubscrib\u0065"] {
        let mut bench = Bench::new(1, 4);
        let client = sluggard(&mut bench);
        // More than is copied for a session that unsubscribes.
        for _ in 0..2 * limits::EVENTS_UNSENT_BYTES_MAX / 5_000 {
            bench.publish(vec![long("price:a")]);
            bench.settle();
        }
        say(&client, &command(kind, "price", "mint", "a"));
        bench.settle();
        // The log wraps, and the journal has to bring what was in it.
        for _ in 0..60 {
            bench.publish(vec![event(0, 50_000)]);
            bench.settle();
        }
        client.widen(ROOMY);
        for _ in 0..10 {
            client.read(usize::MAX);
            bench.settle();
        }
        let got = messages(&client);
        let notes: Vec<_> = got.iter().filter(|message| message["type"] == "note").collect();
        let numbers: Vec<_> = notes.iter().filter_map(|note| note["seq"].as_u64()).collect();
        let unsubscribed = got.last().expect("an answer");
        assert_eq!(unsubscribed["type"], "unsubscribed", "{kind}");
        let counts_from = unsubscribed["seq"].as_u64().expect("a number");
        assert_eq!(numbers, (1..=counts_from).collect::<Vec<_>>(), "{kind}");
    }
}

#[test]
fn unsubscribing_again_and_again_keeps_no_more_than_once() {
    let rules = SessionRules { messages_per_second: 0, ..SessionRules::default() };
    let mut bench = Bench::with_rules(1, 4, rules);
    let client = sluggard(&mut bench);
    for _ in 0..20 {
        for _ in 0..8 {
            bench.publish(vec![long("price:a")]);
            bench.settle();
        }
        for kind in ["unsubscribe", "subscribe"] {
            say(&client, &command(kind, "price", "mint", "a"));
            bench.settle();
        }
        let held = bench.plane.held_for_the_slow() as u64;
        assert!(held <= limits::EVENTS_UNSENT_BYTES_MAX + 10_000, "{held} bytes");
    }
}

#[test]
fn nothing_is_subscribed_before_authentication() {
    let mut bench = Bench::new(1, 4);
    let client = bench.visitor(Admission::Channels);
    say(&client, &command("subscribe", "price", "mint", "m"));
    say(&client, r#"{"type":"ping"}"#);
    bench.settle();
    bench.publish(vec![on("price:m")]);
    bench.settle();
    let got = messages(&client);
    assert_eq!(kinds(&got), ["error AUTHENTICATION_FAILED", "pong"]);
    assert_eq!(got[1]["timestamp"], "2027-01-15T08:00:00.000Z");
}

#[test]
fn a_wrong_key_and_a_publishers_are_told_and_closed() {
    let mut bench = Bench::new(1, 4);
    let mut publisher = Account::clone(&account(2, 2));
    publisher.keys[0].role = Role::Publisher;
    bench.change(publisher);
    for text in [auth(9), auth(2), r#"{"type":"auth","apiKey":"nonsense"}"#.to_owned()] {
        let client = bench.visitor(Admission::Channels);
        say(&client, &text);
        bench.settle();
        assert_eq!(kinds(&messages(&client)), ["error AUTHENTICATION_FAILED", r#"{"close":4401}"#], "{text}");
    }
}

#[test]
fn silence_before_auth_is_closed_after_ten_seconds_and_after_it_in_seventy_five() {
    let mut bench = Bench::new(1, 4);
    let (silent, client) = (bench.visitor(Admission::Channels), member(&mut bench));
    bench.pass_time(9_900);
    assert!(messages(&silent).is_empty());
    bench.pass_time(200);
    assert_eq!(kinds(&messages(&silent)), ["error AUTHENTICATION_FAILED", r#"{"close":4401}"#]);
    bench.pass_time(60_000);
    client.send(&client_frame(Opcode::Pong, b"any input is life"));
    bench.pass_time(74_000);
    assert_eq!(kinds(&messages(&client)), ["authenticated"]);
    bench.pass_time(2_000);
    assert_eq!(kinds(&messages(&client)), ["authenticated", r#"{"close":4408}"#]);
}

#[test]
fn grants_decide_and_losing_one_ends_its_subscriptions() {
    let mut bench = Bench::new(1, 4);
    let client = member(&mut bench);
    say(&client, &command("subscribe", "bot", "botId", "b2"));
    say(&client, &command("subscribe", "transactions", "wallet", "w"));
    say(&client, &command("subscribe", "bot", "botId", "b1"));
    say(&client, &command("subscribe", "price", "mint", "m"));
    bench.settle();
    let mut seen = 1;
    let answers = news(&client, &mut seen);
    assert_eq!(kinds(&answers), ["error FORBIDDEN", "error FORBIDDEN", "subscribed", "subscribed"]);
    bench.change(granted(1, 3, &["price:*"]));
    bench.publish(vec![on("bot:b1"), on("price:m")]);
    bench.settle();
    let got = news(&client, &mut seen);
    assert_eq!(kinds(&got), ["error FORBIDDEN", "unsubscribed", "note"]);
    assert_eq!((&got[1]["botId"], &got[2]["of"]), (&"b1".into(), &"price:m".into()));
}

#[test]
fn a_revoked_key_ends_its_session_and_a_second_key_of_the_account_can_replace_it() {
    let mut bench = Bench::new(1, 4);
    let mut both = Account::clone(&account(1, 2));
    let second = LiveKey { number: KeyNumber(77), id: KeyId(77), role: Role::Subscriber, hash: api_key(77).hash() };
    both.keys = [both.keys[0], second].into();
    bench.change(both.clone());
    let (stays, goes) = (bench.visitor(Admission::Channels), bench.visitor(Admission::Channels));
    for client in [&stays, &goes] {
        say(client, &auth(1));
    }
    say(&stays, &auth(77));
    say(&stays, &auth(2));
    bench.settle();
    bench.change(Account { keys: [second].into(), version: 3, ..both });
    bench.settle();
    assert_eq!(kinds(&messages(&stays)), ["authenticated", "authenticated", "error AUTHENTICATION_FAILED"]);
    assert_eq!(kinds(&messages(&goes)), ["authenticated", r#"{"close":4401}"#]);
}

#[test]
fn subscriptions_are_bounded_and_a_repeat_at_the_bound_is_none() {
    let rules = SessionRules { subscriptions_max: 2, ..SessionRules::default() };
    let mut bench = Bench::with_rules(1, 4, rules);
    let client = member(&mut bench);
    for name in ["a", "b", "c", "a"] {
        say(&client, &command("subscribe", "price", "mint", name));
    }
    say(&client, &command("unsubscribe", "price", "mint", "a"));
    say(&client, &command("subscribe", "price", "mint", "c"));
    bench.settle();
    let expected =
        ["subscribed", "subscribed", "error RATE_LIMIT_EXCEEDED", "subscribed", "unsubscribed", "subscribed"];
    assert_eq!(kinds(&messages(&client)[1..]), expected);
}

#[test]
fn a_key_has_so_many_sessions_and_a_wrong_second_key_takes_none_away() {
    let mut bench = Bench::new(1, 8);
    let clients: Vec<_> = (0..=KEY_CONNECTIONS).map(|_| bench.stranger(Admission::Channels)).collect();
    for client in &clients {
        say(client, &auth(1));
        bench.settle();
    }
    let (last, others) = clients.split_last().unwrap();
    assert_eq!(kinds(&messages(last)), ["error RATE_LIMIT_EXCEEDED", r#"{"close":4429}"#]);
    for client in others {
        say(client, &auth(9));
    }
    bench.settle();
    assert!(others.iter().all(|client| kinds(&messages(client)) == ["authenticated", "error AUTHENTICATION_FAILED"]));
    others[0].reset();
    last.reset();
    bench.settle();
    let next = bench.stranger(Admission::Channels);
    say(&next, &auth(1));
    bench.settle();
    assert_eq!(kinds(&messages(&next)), ["authenticated"], "its place was given back");
}

#[test]
fn what_a_client_says_comes_after_what_was_published_before() {
    let mut bench = Bench::new(1, 4);
    let client = member(&mut bench);
    say(&client, &command("subscribe", "price", "mint", "m"));
    say(&client, r#"{"type":"ping"}"#);
    // Its message is here, and only then the journal is asked: so whatever was published before it was sent is in there.
    bench.plane.collect();
    bench.publish(vec![on("price:m")]);
    bench.plane.turn(0, || 0);
    bench.settle();
    let got = messages(&client);
    assert_eq!(kinds(&got[1..]), ["subscribed", "pong"], "the event was there first");
    assert_eq!((&got[1]["seq"], &got[2]["seq"]), (&1.into(), &1.into()));
}
