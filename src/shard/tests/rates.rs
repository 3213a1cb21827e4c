//! What a client may send: how much, how often, how large.

use super::*;

fn rules() -> SessionRules {
    SessionRules { messages_per_second: 10, message_burst: 5, refusals_max: 20, ..SessionRules::default() }
}

#[test]
fn excess_is_refused_message_by_message_and_a_pause_brings_the_burst_back() {
    let mut bench = Bench::with_rules(1, 4, rules());
    let client = bench.visitor(keyed(Protocol::Tiered, 1));
    for _ in 0..3 {
        for _ in 0..8 {
            say(&client, "ping");
        }
        bench.settle();
        bench.pass_time(2_000);
    }
    let kinds = kinds(&messages(&client)[1..]);
    let round: Vec<&str> = [["pong"; 5].as_slice(), &["error RATE_LIMIT_EXCEEDED"; 3]].concat();
    assert_eq!(kinds, [round.clone(), round.clone(), round].concat());
}

#[test]
fn whoever_goes_on_without_a_pause_is_closed() {
    let mut bench = Bench::with_rules(1, 4, rules());
    let (abuser, quick) = (bench.visitor(keyed(Protocol::Tiered, 1)), bench.visitor(keyed(Protocol::Tiered, 2)));
    for _ in 0..40 {
        bench.pass_time(100);
        say(&quick, "ping");
        // Twice what is allowed, for ever.
        say(&abuser, "ping");
        say(&abuser, "ping");
        bench.settle();
    }
    let told = kinds(&messages(&abuser));
    assert_eq!(told.iter().filter(|kind| *kind == "error RATE_LIMIT_EXCEEDED").count(), 20);
    assert_eq!(told.last().unwrap(), r#"{"close":4429}"#);
    assert_eq!(kinds(&messages(&quick)[1..]), ["pong"; 40], "exactly the rate is no abuse");
}

#[test]
fn pings_of_the_websocket_count_as_well() {
    let mut bench = Bench::with_rules(1, 4, rules());
    let client = bench.visitor(keyed(Protocol::Tiered, 1));
    for number in 0..30_u8 {
        client.send(&client_frame(Opcode::Ping, &[number]));
        bench.settle();
    }
    let told = kinds(&messages(&client)[1..]);
    assert_eq!(told.iter().filter(|kind| *kind == "error RATE_LIMIT_EXCEEDED").count(), 20);
    assert_eq!(told.last().unwrap(), r#"{"close":4429}"#);
    let pongs = client.bytes().windows(2).filter(|bytes| *bytes == [0x8a, 1]).count();
    assert_eq!(pongs, 5);
}

#[test]
fn a_message_that_is_too_large_is_told_before_the_close() {
    let mut bench = Bench::with_rules(1, 4, SessionRules { message_bytes_max: 1000, ..SessionRules::default() });
    let (fits, large) = (bench.visitor(Admission::Channels), bench.visitor(Admission::Channels));
    say(&fits, &"x".repeat(1000));
    say(&large, &"x".repeat(1001));
    bench.settle();
    assert_eq!(kinds(&messages(&fits)), ["error INVALID_MESSAGE"]);
    assert_eq!(kinds(&messages(&large)), ["error MESSAGE_TOO_LARGE", r#"{"close":1009}"#]);
}

#[test]
fn a_client_that_asks_and_does_not_read_is_closed() {
    let mut bench = Bench::with_rules(1, 4, SessionRules { messages_per_second: 0, ..SessionRules::default() });
    let client = FakeClient::new(100);
    bench.admit(&client, Admission::Channels, Vec::new()).unwrap();
    for _ in 0..20_000 {
        say(&client, r#"{"type":"ping"}"#);
        bench.turn();
    }
    client.widen(ROOMY);
    for _ in 0..10 {
        client.read(usize::MAX);
        bench.settle();
    }
    let got = messages(&client);
    assert_eq!(got.last().unwrap().to_string(), r#"{"close":4409}"#);
}
