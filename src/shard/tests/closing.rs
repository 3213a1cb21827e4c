//! How sessions end, and what becomes of their slots.

use super::*;

#[test]
fn a_slot_that_changes_hands_in_mid_pass_is_not_visited_for_its_dead() {
    let mut bench = Bench::new(1, 40);
    let mut clients: Vec<_> = (0..40).map(|_| bench.enter(1, ROOMY)).collect();
    for round in 0..40 {
        // A slow pass: somebody leaves while his turn is still to come, and a newcomer takes over his slot.
        bench.kernel().batch_max = 1;
        bench.publish(vec![event(0, 10)]);
        bench.turn();
        let leaver = &mut clients[round * 7 % 40];
        leaver.reset();
        for _ in 0..6 {
            bench.turn();
        }
        *leaver = FakeClient::new(ROOMY);
        let _ = bench.admit(leaver, admission(1), Vec::new());
        // Then one in which both turns would come in the same batch.
        bench.publish(vec![event(0, 10)]);
        bench.turn();
        bench.kernel().batch_max = 64;
        bench.settle();
    }
    for client in &clients {
        let events = events(client);
        let consecutive = events.windows(2).all(|pair| pair[1] == pair[0] + 1);
        assert!(consecutive, "an event came twice or was left out: {events:?}");
    }
}

#[test]
fn a_shutdown_sends_what_was_accepted_before_it_closes() {
    let mut bench = Bench::new(1, 10);
    let slow = bench.enter(1, 100);
    let healthy = bench.enter(1, ROOMY);
    for _ in 0..10 {
        bench.publish(vec![event(0, 200)]);
        bench.settle();
    }
    bench.plane.close_all(CloseCode::SERVICE_RESTART, "restarting");
    for _ in 0..100 {
        slow.read(usize::MAX);
        bench.settle();
    }
    for client in [slow, healthy] {
        let mut expected: Vec<Got> = (1..=10).map(Got::Event).collect();
        expected.push(Got::Close(Some(1012)));
        assert_eq!(got(&client), expected);
    }
}

#[test]
fn a_peer_that_finished_its_own_direction_still_gets_the_reason() {
    let mut bench = Bench::new(1, 1);
    let client = bench.enter(1, 20);
    bench.publish(vec![event(0, 100)]);
    bench.settle();
    bench.plane.close_all(CloseCode::SERVICE_RESTART, "restarting");
    client.finish();
    for _ in 0..50 {
        client.read(usize::MAX);
        bench.settle();
    }
    assert_eq!(got(&client), [Got::Event(1), Got::Close(Some(1012))]);
    assert!(client.closed(), "and nothing is waited for after that");
}

#[test]
fn the_peers_close_is_echoed_and_the_slot_becomes_vacant() {
    let mut bench = Bench::new(1, 1);
    let client = bench.enter(1, ROOMY);
    client.send(&client_frame(Opcode::Close, &1000_u16.to_be_bytes()));
    bench.settle();
    assert_eq!(got(&client), [Got::Close(Some(1000))]);
    assert!(client.saw_end());
    client.finish();
    bench.settle();
    assert!(client.closed());
    bench.enter(2, ROOMY);
}

#[test]
fn garbage_is_answered_by_1002_and_a_peer_that_stays_is_dropped_at_the_deadline() {
    let mut bench = Bench::new(1, 1);
    let client = bench.enter(1, ROOMY);
    client.send(b"GET / HTTP/1.1\r\n\r\n");
    bench.settle();
    assert_eq!(got(&client), [Got::Close(Some(1002))]);
    assert!(client.saw_end() && !client.closed());
    bench.pass_time(limits::CLOSE_DRAIN_MS + 2 * limits::TICK_MS);
    assert!(client.closed());
}

#[test]
fn what_came_before_a_mistake_or_a_close_is_answered_before_the_close() {
    let reserved_bit = vec![0xc1, 0x80, 0, 0, 0, 0];
    let close = client_frame(Opcode::Close, &1001_u16.to_be_bytes());
    for (end, code) in [(reserved_bit, 1002), (close, 1001)] {
        let mut bench = Bench::new(1, 1);
        let client = bench.enter(1, ROOMY);
        let ping = client_frame(Opcode::Ping, b"before");
        client.send(&[ping, end, client_frame(Opcode::Ping, b"behind")].concat());
        bench.settle();
        assert_eq!(got(&client), [Got::Pong(b"before".to_vec()), Got::Close(Some(code))]);
    }
}

#[test]
fn a_socket_that_is_closed_in_mid_send_gets_the_rest_of_its_frame_first() {
    let mut bench = Bench::new(1, 1);
    let client = bench.enter(1, 100);
    bench.publish(vec![event(0, 500)]);
    bench.settle();
    bench.plane.close_all(CloseCode::SERVICE_RESTART, "restarting");
    for _ in 0..50 {
        client.read(usize::MAX);
        bench.settle();
    }
    assert_eq!(got(&client), [Got::Event(1), Got::Close(Some(1012))]);
}

#[test]
fn a_full_table_says_so_and_a_freed_slot_is_used_again() {
    let mut bench = Bench::new(1, 1);
    let first = bench.enter(1, ROOMY);
    let refused = bench.admit(&FakeClient::new(ROOMY), admission(1), Vec::new());
    assert!(matches!(refused, Err(EnterError::Full)));
    first.reset();
    bench.settle();
    let second = bench.enter(1, ROOMY);
    bench.publish(vec![event(0, 10)]);
    bench.settle();
    assert_eq!(events(&second), [1]);
    assert!(events(&first).is_empty());
}

#[test]
fn events_after_a_shutdown_began_overwrite_nothing_that_is_still_to_be_sent() {
    let mut bench = Bench::new(1, 4);
    let slow = bench.enter(2, 1_000);
    let other = bench.enter(1, 1_000);
    bench.publish((0..20).map(|_| event(2, 1_000)).collect());
    bench.settle();
    bench.plane.close_all(CloseCode::SERVICE_RESTART, "restarting");
    for _ in 0..4 {
        bench.publish((0..10).map(|_| event(1, 60_000)).collect());
        bench.settle();
    }
    for _ in 0..100 {
        for client in [&slow, &other] {
            client.read(usize::MAX);
        }
        bench.settle();
    }
    for client in [slow, other] {
        assert_eq!(got(&client).last(), Some(&Got::Close(Some(4409))), "it was told that it missed something");
    }
}
