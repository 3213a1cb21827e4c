//! The rooms protocol: a token's user, its rooms, its end.

use super::*;

fn auth(token: &str) -> String {
    format!(r#"{{"type":"auth","token":"{token}"}}"#)
}

fn command(kind: &str, channel: &str) -> String {
    format!(r#"{{"type":"{kind}","channel":"{channel}"}}"#)
}

fn guest(bench: &mut Bench, user: &str, admin_level: Option<u32>, ttl_s: u64) -> FakeClient {
    let client = bench.visitor(Admission::Rooms { claims: None });
    say(&client, &auth(&token(user, admin_level, ttl_s)));
    bench.settle();
    client
}

/// The topics of the events that a client got.
fn topics(client: &FakeClient) -> Vec<String> {
    let of = |message: &Value| message["data"]["of"].as_str().map(str::to_owned);
    messages(client).iter().filter_map(of).collect()
}

#[test]
fn each_session_gets_its_own_users_its_levels_and_everybodys_events() {
    let mut bench = Bench::new(1, 8);
    let first = guest(&mut bench, "u1", None, 3600);
    let second = guest(&mut bench, "u2", Some(2), 3600);
    let third = guest(&mut bench, "u1", Some(0), 3600);
    let all = ["user:u1", "user:u2", "user:u", "admin:0", "admin:2", "admin:3", "system", "market:M", "alerts"];
    bench.publish(all.iter().map(|topic| on(topic)).collect());
    bench.settle();
    assert_eq!(topics(&first), ["user:u1", "system"]);
    assert_eq!(topics(&second), ["user:u2", "admin:0", "admin:2", "system"]);
    assert_eq!(topics(&third), ["user:u1", "admin:0", "system"]);
    let got = messages(&first);
    assert_eq!((&got[1]["type"], &got[1]["channel"], &got[1]["seq"]), (&"note".into(), &"user".into(), &1.into()));
}

#[test]
fn it_is_connected_with_user_session_and_time() {
    let mut bench = Bench::new(1, 4);
    let (first, second) = (guest(&mut bench, "u1", None, 3600), guest(&mut bench, "u1", None, 3600));
    let (one, two) = (&messages(&first)[0], &messages(&second)[0]);
    assert_eq!(
        (&one["type"], &one["status"], &one["userId"]),
        (&"connection".into(), &"connected".into(), &"u1".into())
    );
    assert_eq!((&one["serverTime"], &one["seq"]), (&"2027-01-15T08:00:00.000Z".into(), &0.into()));
    assert_ne!(one["sessionId"], two["sessionId"]);
}

#[test]
fn a_token_of_the_header_and_the_same_in_a_message_are_one_session() {
    let mut bench = Bench::new(1, 4);
    let claims =
        crate::tokens::Claims { user: UserId::new("u1"), admin_level: None, expires_at_s: EPOCH_MS / 1000 + 60 };
    let client = bench.visitor(Admission::Rooms { claims: Some(claims) });
    say(&client, &auth(&token("u1", None, 60)));
    bench.settle();
    bench.publish(vec![on("user:u1"), on("system")]);
    bench.settle();
    let got = messages(&client);
    assert_eq!(kinds(&got), ["connection", "connection", "note", "note"]);
    assert_eq!(got[0]["sessionId"], got[1]["sessionId"]);
}

#[test]
fn a_token_that_is_not_believed_is_told_in_the_form_that_clients_wait_for() {
    let mut bench = Bench::new(1, 4);
    let expired = token("u1", None, 10);
    bench.pass_time(11_000);
    let mut forged = token("u1", None, 3600);
    forged.pop();
    for token in [expired, forged, "nonsense".to_owned(), String::new()] {
        let client = bench.visitor(Admission::Rooms { claims: None });
        say(&client, &auth(&token));
        bench.settle();
        let got = messages(&client);
        assert_eq!(kinds(&got), ["connection", "error AUTHENTICATION_FAILED", r#"{"close":4401}"#], "{token}");
        assert_eq!(got[0]["status"], "error");
    }
}

#[test]
fn rooms_are_entered_listed_and_left_and_nothing_comes_twice() {
    let mut bench = Bench::new(1, 4);
    let client = guest(&mut bench, "u1", Some(1), 3600);
    let mut seen = 1;
    let commands = [
        ("subscribe", "market:B"),
        ("subscribe", "market:A"),
        ("subscribe", "market:B"),
        ("subscribe", "positions"),
        ("subscribe", "user:u1"),
        ("unsubscribe", "market:C"),
    ];
    for (kind, channel) in commands {
        say(&client, &command(kind, channel));
    }
    say(&client, r#"{"type":"list_rooms"}"#);
    bench.settle();
    let got = news(&client, &mut seen);
    assert_eq!(kinds(&got), ["room_subscription"; 7]);
    let rooms = serde_json::json!(["user:u1", "admin:1", "positions", "market:B", "market:A"]);
    assert_eq!((&got[6]["status"], &got[6]["subscribedRooms"]), (&"listed".into(), &rooms));
    assert_eq!((&got[5]["status"], &got[5]["channel"]), (&"unsubscribed".into(), &"market:C".into()));
    bench.publish(vec![on("market:A"), on("market:B"), on("market:C"), on("user:u1"), on("system")]);
    bench.settle();
    assert_eq!(topics(&client), ["market:A", "market:B", "user:u1", "system"]);
    seen += 4;
    for channel in ["market:B", "positions", "positions"] {
        say(&client, &command("unsubscribe", channel));
    }
    bench.settle();
    let got = news(&client, &mut seen);
    assert_eq!(got[2]["subscribedRooms"], serde_json::json!(["user:u1", "admin:1", "market:A"]));
    bench.publish(vec![on("market:B"), on("market:A")]);
    bench.settle();
    assert_eq!(topics(&client)[4..], ["market:A"]);
}

#[test]
fn nobody_enters_another_users_room_or_a_higher_administrators() {
    let mut bench = Bench::new(1, 4);
    let client = guest(&mut bench, "u1", Some(1), 3600);
    for channel in ["user:u2", "user:u1x", "admin:2", "market_data", "bot:b", "wallet:w", ""] {
        say(&client, &command("subscribe", channel));
    }
    say(&client, &command("unsubscribe", "user:u1"));
    bench.settle();
    bench.publish(vec![on("user:u2"), on("user:u1x"), on("admin:2"), on("bot:b"), on("user:u1")]);
    bench.settle();
    let (forbidden, invalid) = ("error FORBIDDEN", "error INVALID_ROOM");
    let expected = [forbidden, forbidden, forbidden, invalid, invalid, invalid, invalid, invalid, "note"];
    assert_eq!(kinds(&messages(&client)[1..]), expected);
    assert_eq!(topics(&client), ["user:u1"]);
}

#[test]
fn nothing_is_entered_before_the_token() {
    let mut bench = Bench::new(1, 4);
    let client = bench.visitor(Admission::Rooms { claims: None });
    say(&client, &command("subscribe", "market:A"));
    say(&client, r#"{"type":"list_rooms"}"#);
    bench.publish(vec![on("market:A"), on("system")]);
    bench.settle();
    bench.pass_time(10_100);
    let failed = "error AUTHENTICATION_FAILED";
    assert_eq!(kinds(&messages(&client)), [failed, failed, failed, r#"{"close":4401}"#]);
}

#[test]
fn a_tokens_end_is_warned_of_thirty_seconds_ahead_and_closes() {
    let mut bench = Bench::new(1, 4);
    let client = guest(&mut bench, "u1", None, 60);
    bench.pass_time(29_900);
    assert_eq!(kinds(&messages(&client)), ["connection"]);
    bench.pass_time(100);
    let got = messages(&client);
    assert_eq!(kinds(&got), ["connection", "expiring"]);
    assert_eq!((&got[1]["expiresAt"], &got[1]["expiresInMs"]), (&"2027-01-15T08:01:00.000Z".into(), &30_000.into()));
    client.send(&client_frame(Opcode::Pong, b""));
    bench.pass_time(29_900);
    assert_eq!(messages(&client).len(), 2);
    bench.pass_time(100);
    assert_eq!(kinds(&messages(&client)[2..]), ["error AUTHENTICATION_FAILED", r#"{"close":4401}"#]);
}

#[test]
fn a_token_that_came_while_the_shards_ticks_ran_behind_is_good_until_its_end() {
    let mut bench = Bench::new(1, 4);
    bench.plane.tell_time(EPOCH_MS + 80);
    let client = guest(&mut bench, "u1", None, 20);
    bench.pass_time(19_950);
    assert!(!messages(&client).last().unwrap()["close"].is_number());
    bench.pass_time(50);
    assert_eq!(messages(&client).last().unwrap().to_string(), r#"{"close":4401}"#);
}

#[test]
fn a_newer_token_of_the_same_user_extends_it_and_anothers_changes_nothing() {
    let mut bench = Bench::new(1, 4);
    let client = guest(&mut bench, "u1", Some(1), 60);
    for text in [auth(&token("u2", Some(9), 3600)), auth("nonsense"), auth(&token("u1", Some(2), 120))] {
        say(&client, &text);
    }
    bench.settle();
    let failed = "error AUTHENTICATION_FAILED";
    assert_eq!(kinds(&messages(&client)[1..]), [failed, failed, "connection"]);
    bench.publish(vec![on("user:u2"), on("admin:2"), on("admin:3"), on("user:u1")]);
    bench.settle();
    assert_eq!(topics(&client), ["admin:2", "user:u1"], "the newest token's level counts");
    for _ in 0..10 {
        bench.pass_time(8_900);
        client.send(&client_frame(Opcode::Pong, b""));
    }
    assert_eq!(kinds(&messages(&client)[6..]), [] as [&str; 0], "a minute passed, and the old end with it");
    bench.pass_time(1_100);
    assert_eq!(kinds(&messages(&client)[6..]), ["expiring"]);
    bench.pass_time(30_000);
    assert_eq!(messages(&client).last().unwrap().to_string(), r#"{"close":4401}"#);
}

#[test]
fn another_level_brings_nothing_again_that_the_former_had() {
    let mut bench = Bench::new(1, 4);
    let client = guest(&mut bench, "u1", Some(2), 60);
    bench.publish(vec![on("admin:1"), on("user:u1")]);
    bench.settle();
    assert_eq!(topics(&client), ["admin:1", "user:u1"]);
    // It goes back to the beginning for its own events, and is on its way from there when its level changes.
    let again = auth(&token("u1", Some(2), 60)).replace('}', r#","since":0}"#);
    let breath = [again, auth(&token("u1", Some(1), 60))];
    let frames: Vec<u8> = breath.iter().flat_map(|text| client_frame(Opcode::Text, text.as_bytes())).collect();
    client.send(&frames);
    bench.settle();
    bench.publish(vec![on("admin:1"), on("admin:2")]);
    bench.settle();
    assert_eq!(topics(&client)[2..], ["user:u1", "admin:1"]);
}

#[test]
fn an_unanswered_rooms_client_is_pinged_and_dropped() {
    let mut bench = Bench::new(1, 4);
    let client = guest(&mut bench, "u1", None, 3600);
    bench.pass_time(70_000);
    assert_eq!(messages(&client).last().unwrap().to_string(), r#"{"close":4408}"#);
}

/// All of it as one write, as clients do that come back.
fn in_one_breath(client: &FakeClient, texts: impl Iterator<Item = String>) {
    let frames: Vec<u8> = texts.flat_map(|text| client_frame(Opcode::Text, text.as_bytes())).collect();
    client.send(&frames);
}

#[test]
fn whoever_comes_back_subscribes_to_everything_in_one_breath() {
    let mut bench = Bench::new(1, 4);
    let client = guest(&mut bench, "u1", None, 3600);
    let market = |number: u32| format!("market:BTC-27JUN25-{number:06}-C-USDC");
    in_one_breath(&client, (0..1_000).map(|number| command("subscribe", &market(number))));
    bench.settle();
    let got = messages(&client);
    assert_eq!(got.len(), 1 + 1_000, "{}", got.last().unwrap());
    let rooms = got[1_000]["subscribedRooms"].as_array().unwrap();
    assert_eq!((rooms.len(), rooms[1_000].as_str()), (1_001, Some(&*market(999))));
    bench.publish(vec![on(&market(0)), on(&market(999))]);
    bench.settle();
    assert_eq!(topics(&client).len(), 2);
}

#[test]
fn repetition_is_never_punished_but_a_flood_of_new_wishes_is() {
    let mut bench = Bench::new(1, 4);
    let (repeats, floods) = (guest(&mut bench, "u1", None, 3600), guest(&mut bench, "u2", None, 3600));
    in_one_breath(
        &repeats,
        (0..3_000).map(|number| match number % 3 {
            0 => command("subscribe", "market:A"),
            1 => command("unsubscribe", "market:B"),
            _ => r#"{"type":"list_rooms"}"#.to_owned(),
        }),
    );
    in_one_breath(&floods, (0..3_000).map(|number| command("subscribe", &format!("market:{number}"))));
    bench.settle();
    let got = kinds(&messages(&repeats));
    assert_eq!(got.len(), 1 + 3_000);
    assert!(!got.contains(&r#"{"close":4429}"#.to_owned()));
    assert_eq!(kinds(&messages(&floods)).last().unwrap(), r#"{"close":4429}"#);
}

#[test]
fn the_names_of_a_sessions_rooms_are_bounded_together() {
    let mut bench = Bench::new(1, 4);
    let client = guest(&mut bench, "u1", None, 3600);
    let most = limits::SUBSCRIPTION_NAMES_BYTES_MAX / 256;
    let market = |number: usize| format!("market:{number:0>249}");
    in_one_breath(&client, (0..=most).map(|number| command("subscribe", &market(number))));
    in_one_breath(&client, [command("unsubscribe", &market(0)), command("subscribe", &market(most))].into_iter());
    bench.settle();
    let got = kinds(&messages(&client));
    assert_eq!(got[most + 1..], ["error RATE_LIMIT_EXCEEDED", "room_subscription", "room_subscription"]);
}

#[test]
fn one_that_goes_on_with_wrong_tokens_is_closed_and_checks_cost_what_they_take() {
    let mut bench = Bench::new(1, 4);
    let (forges, repeats) = (guest(&mut bench, "u1", None, 3600), guest(&mut bench, "u2", None, 3600));
    in_one_breath(&forges, (0..100).map(|_| auth("a.b.c")));
    in_one_breath(&repeats, (0..200).map(|_| auth(&token("u2", None, 3600))));
    bench.settle();
    let mut expected = vec!["error AUTHENTICATION_FAILED"; limits::AUTH_FAILURES_MAX.into()];
    expected.extend(["connection", "error AUTHENTICATION_FAILED", r#"{"close":4401}"#]);
    assert_eq!(kinds(&messages(&forges)[1..]), expected);
    let believed = kinds(&messages(&repeats)).iter().filter(|kind| *kind == "connection").count();
    let most = limits::MESSAGE_BURST as usize / limits::AUTH_MESSAGE_COST as usize;
    assert!((10..=most).contains(&believed), "{believed} signatures were checked at once");
}

#[test]
fn what_was_published_before_a_tokens_end_is_still_its_users() {
    let mut bench = Bench::new(1, 4);
    let client = guest(&mut bench, "u1", None, 20);
    bench.pass_time(19_950);
    bench.publish(vec![on("user:u1")]);
    bench.pass_time(50);
    let failed = "error AUTHENTICATION_FAILED";
    assert_eq!(kinds(&messages(&client)[2..]), ["note", failed, r#"{"close":4401}"#]);
}

#[test]
fn a_user_has_so_many_sessions() {
    let mut bench = Bench::new(1, 8);
    let clients: Vec<_> = (0..=KEY_CONNECTIONS).map(|_| bench.stranger(Admission::Rooms { claims: None })).collect();
    for client in &clients {
        say(client, &auth(&token("u1", None, 3600)));
        bench.settle();
    }
    let (last, others) = clients.split_last().unwrap();
    let got = messages(last);
    assert_eq!(kinds(&got), ["connection", "error RATE_LIMIT_EXCEEDED", r#"{"close":4429}"#]);
    assert_eq!(got[0]["status"], "error");
    assert!(others.iter().all(|client| kinds(&messages(client)) == ["connection"]));
}

#[test]
fn commands_that_wait_go_on_on_a_link_that_is_never_idle() {
    let mut bench = Bench::new(1, 4);
    let client = FakeClient::new(4_000);
    bench.admit(&client, Admission::Rooms { claims: None }, Vec::new()).unwrap();
    say(&client, &auth(&token("u1", None, 3600)));
    bench.settle();
    in_one_breath(&client, (0..60).map(|number| command("subscribe", &format!("market:{number:0>150}"))));
    let published = |topic: &str| {
        let data = serde_json::json!({ "of": topic, "pad": "x".repeat(4_000) });
        published(&serde_json::json!({ "type": "note", "topic": topic, "data": data }).to_string())
    };
    // As much comes as it reads, behind the first answers.
    for _ in 0..300 {
        bench.publish(vec![published("user:u1")]);
        bench.settle();
        client.read(4_000);
        bench.settle();
    }
    // Half a frame may be on its way; the rest of it is not waited for.
    let whole = client.bytes().windows(20).filter(|bytes| bytes == b"\"room_subscription\",").count();
    assert_eq!(whole, 60, "answers while the link was never idle");
}

#[test]
fn messages_that_wait_count_however_short_they_are() {
    let rules = SessionRules { messages_per_second: 0, ..SessionRules::default() };
    let mut bench = Bench::with_rules(1, 4, rules);
    let client = FakeClient::new(100);
    bench.admit(&client, Admission::Rooms { claims: None }, Vec::new()).unwrap();
    say(&client, &auth(&token("u1", None, 3600)));
    bench.settle();
    in_one_breath(&client, (0..100).map(|number| command("subscribe", &format!("market:{number:0>150}"))));
    bench.settle();
    for _ in 0..20 {
        in_one_breath(&client, (0..1_000).map(|_| String::new()));
        bench.settle();
    }
    client.widen(ROOMY);
    for _ in 0..10 {
        client.read(usize::MAX);
        bench.settle();
    }
    assert_eq!(messages(&client).last().unwrap().to_string(), r#"{"close":4409}"#);
}

#[test]
fn a_small_burst_does_not_keep_a_token_from_being_refreshed() {
    let rules = SessionRules { messages_per_second: 5, message_burst: 10, ..SessionRules::default() };
    let mut bench = Bench::with_rules(1, 4, rules);
    let client = guest(&mut bench, "u1", None, 3600);
    for _ in 0..2 {
        bench.pass_time(3_000);
        say(&client, &auth(&token("u1", None, 7200)));
        say(&client, &auth(&token("u1", None, 7200)));
        bench.settle();
    }
    let (greeted, refused) = ("connection", "error RATE_LIMIT_EXCEEDED");
    assert_eq!(kinds(&messages(&client)), [greeted, greeted, refused, greeted, refused]);
}
