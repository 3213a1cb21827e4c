//! Input: pings, pongs, signs of life.

use super::*;

#[test]
fn a_ping_is_answered_with_its_payload() {
    let mut bench = Bench::new(1, 10);
    let client = bench.enter(1, ROOMY);
    client.send(&client_frame(Opcode::Ping, b"are you there"));
    bench.settle();
    assert_eq!(got(&client), [Got::Pong(b"are you there".to_vec())]);
}

#[test]
fn pings_that_come_in_one_read_are_each_answered() {
    let mut bench = Bench::new(1, 1);
    let client = bench.enter(1, ROOMY);
    let pings: Vec<u8> = (0..10).flat_map(|number| client_frame(Opcode::Ping, &[number])).collect();
    client.send(&pings);
    bench.settle();
    assert_eq!(got(&client), (0..10).map(|number| Got::Pong(vec![number])).collect::<Vec<_>>());
}

#[test]
fn two_unanswered_pings_are_the_end_and_any_input_is_life() {
    let mut bench = Bench::new(1, 2);
    let (silent, alive) = (bench.enter(1, ROOMY), bench.enter(1, ROOMY));
    for _ in 0..70 {
        bench.pass_time(1000);
        alive.send(&client_frame(Opcode::Pong, b""));
    }
    let heard = got(&silent);
    assert_eq!(heard, [Got::Ping, Got::Ping, Got::Close(Some(4408))]);
    let pings = got(&alive);
    assert!(pings.len() >= 3 && pings.iter().all(|got| *got == Got::Ping), "{pings:?}");
}

#[test]
fn pings_of_a_storm_are_spread_over_the_period() {
    let mut bench = Bench::new(1, 400);
    let clients: Vec<_> = (0..400).map(|_| bench.enter(1, ROOMY)).collect();
    let mut most = 0;
    let mut before = 0;
    for _ in 0..limits::PING_PERIOD_MS / limits::TICK_MS {
        bench.pass_time(limits::TICK_MS);
        let pings = clients.iter().filter(|client| client.unread() > 0).count();
        most = most.max(pings - before);
        before = pings;
    }
    assert_eq!(before, 400, "each was pinged once");
    assert!(most <= 8, "{most} pings in one tick");
}

#[test]
fn a_receive_that_found_no_buffer_is_armed_again() {
    let mut bench = Bench::new(1, 50);
    let clients: Vec<_> = (0..50).map(|_| bench.enter(1, ROOMY)).collect();
    for round in 0..5_u8 {
        // Ten times as many at once as the fake kernel has buffers.
        clients.iter().for_each(|client| client.send(&client_frame(Opcode::Ping, &[round])));
        bench.settle();
    }
    let all: Vec<_> = (0..5).map(|round| Got::Pong(vec![round])).collect();
    assert!(clients.iter().all(|client| got(client) == all));
}

#[test]
fn what_came_with_the_handshake_is_the_sessions_first_input() {
    let mut bench = Bench::new(1, 1);
    let client = FakeClient::new(ROOMY);
    bench.admit(&client, admission(1), client_frame(Opcode::Ping, b"early")).unwrap();
    bench.settle();
    assert_eq!(got(&client), [Got::Pong(b"early".to_vec())]);
}
