//! Sockets that speak TLS, on a kernel that takes what it likes.

use super::*;

impl Bench {
    /// A client of account 1 over TLS.
    fn secure(&mut self, buffer_bytes: usize) -> FakeClient {
        let client = FakeClient::secure(buffer_bytes);
        self.admit(&client, admission(1), Vec::new()).expect("a free slot");
        client
    }
}

#[test]
fn plain_and_secure_sockets_get_the_same_in_one_batch() {
    let mut bench = Bench::new(1, 8);
    let clients: Vec<_> =
        (0..8).map(|number| if number % 3 == 0 { bench.enter(1, ROOMY) } else { bench.secure(ROOMY) }).collect();
    for burst in [1, 1, 30] {
        bench.publish(vec![event(1, 100); burst]);
        bench.settle();
    }
    for client in &clients {
        assert_eq!(events(client), (1..=32).collect::<Vec<_>>());
    }
}

/// It gets all that its keys encrypted, and the others of the batch what is theirs.
#[test]
fn keys_that_are_used_up_in_a_batch_end_that_socket_and_touch_no_other() {
    let mut bench = Bench::new(1, 5);
    let healthy = [bench.secure(ROOMY), bench.enter(1, ROOMY)];
    let tired = FakeClient::enduring(10, ROOMY);
    bench.admit(&tired, admission(1), Vec::new()).expect("a free slot");
    let behind = [bench.enter(1, ROOMY), bench.secure(ROOMY)];
    for length in 1..=20 {
        // Different lengths, so that one socket's result is not another's.
        bench.publish(vec![event(1, 100 * length)]);
        bench.settle();
    }
    for client in healthy.iter().chain(&behind) {
        assert_eq!(events(client), (1..=20).collect::<Vec<_>>());
    }
    let got = events(&tired);
    assert!((5..15).contains(&got.len()) && got == (1..=got.len() as u64).collect::<Vec<_>>(), "{got:?}");
    assert!(tired.saw_close_notify());
}

#[test]
fn a_message_of_any_length_in_any_pieces_is_heard_and_answered() {
    let mut bench = Bench::new(2, 1);
    let client = bench.secure(ROOMY);
    bench.settle();
    for length in [0, 1, 125] {
        client.send(&client_frame(Opcode::Ping, &vec![7; length]));
        bench.settle();
        assert_eq!(got(&client).last(), Some(&Got::Pong(vec![7; length])));
    }
}

#[test]
fn what_the_kernel_refuses_is_sent_later_and_nothing_twice() {
    for seed in 0..20 {
        let mut bench = Bench::new(seed, 2);
        bench.kernel().writes_short = true;
        let (slow, healthy) = (bench.secure(300), bench.secure(ROOMY));
        for _ in 0..40 {
            bench.publish(vec![event(1, 200); 3]);
            bench.settle();
            slow.read(150);
        }
        assert_eq!(events(&healthy).len(), 120);
        slow.widen(ROOMY);
        bench.settle();
        assert_eq!(events(&slow), (1..=120).collect::<Vec<_>>(), "seed {seed}");
    }
}

#[test]
fn a_socket_that_reads_nothing_holds_no_more_than_one_sends_worth() {
    let mut bench = Bench::new(3, 1);
    let client = bench.secure(1);
    for _ in 0..20 {
        bench.publish(vec![event(1, 20_000)]);
        bench.settle();
    }
    let held = bench.plane.sockets().held_bytes();
    assert!((1..=limits::TLS_SEND_BYTES_MAX + 1_000).contains(&held), "{held} bytes");
    client.widen(ROOMY);
    bench.settle();
    assert_eq!(events(&client).len(), 20);
    assert_eq!(bench.plane.sockets().held_bytes(), 0, "an idle socket owns no buffer");
}

#[test]
fn a_close_frame_leaves_behind_what_waits_and_before_a_close_notify() {
    for seed in 0..20 {
        let mut bench = Bench::new(seed, 1);
        bench.kernel().writes_short = seed % 2 == 0;
        bench.kernel().answers_late = seed % 3 == 0;
        let client = bench.secure(100);
        bench.publish(vec![event(1, 2_000); 3]);
        bench.settle();
        bench.plane.close_all(CloseCode::SERVICE_RESTART, "bye");
        bench.settle();
        assert!(!client.saw_end(), "seed {seed}: its stream does not end before its last bytes");
        // It finishes its own direction meanwhile, and gets the rest all the same.
        client.finish();
        bench.settle();
        client.widen(ROOMY);
        bench.settle();
        let mut all: Vec<_> = (1..=3).map(Got::Event).collect();
        all.push(Got::Close(Some(1012)));
        assert_eq!(got(&client), all, "seed {seed}");
        assert!(client.saw_close_notify() && client.saw_end(), "seed {seed}");
        bench.settle();
        assert!(client.closed() && bench.kernel().occupied() == 0, "seed {seed}");
    }
}

#[test]
fn whoever_never_takes_its_last_bytes_is_given_up_at_the_deadline() {
    for seed in 0..40 {
        let mut bench = Bench::new(seed, 1);
        bench.kernel().answers_late = seed % 2 == 0;
        // The close frame waits behind an event, or for the shutdown behind it.
        let behind_an_event = seed % 4 < 2;
        let client = bench.secure(if behind_an_event { 100 } else { 1 });
        if behind_an_event {
            bench.publish(vec![event(1, 2_000)]);
        }
        bench.settle();
        bench.plane.close_all(CloseCode::SERVICE_RESTART, "bye");
        bench.pass_time(limits::CLOSE_DRAIN_MS + 1_000);
        bench.settle();
        assert!(client.closed() && bench.kernel().occupied() == 0, "seed {seed}");
        assert_eq!(bench.plane.occupied(), 0, "seed {seed}");
    }
}

#[test]
fn one_that_leaves_while_ciphertext_waits_for_it_frees_its_slot() {
    for seed in 0..20 {
        let mut bench = Bench::new(seed, 1);
        bench.kernel().answers_late = seed % 2 == 0;
        let client = bench.secure(100);
        bench.publish(vec![event(1, 2_000)]);
        bench.settle();
        // Its kernel is full and stays it.
        client.finish();
        bench.settle();
        assert!(client.closed() && bench.kernel().occupied() == 0, "seed {seed}");
        assert_eq!(bench.plane.occupied(), 0, "seed {seed}");
    }
}

#[test]
fn a_reset_frees_the_slot_also_while_ciphertext_waits() {
    for seed in 0..40 {
        let mut bench = Bench::new(seed, 1);
        bench.kernel().answers_late = seed % 2 == 0;
        let client = bench.secure(100);
        bench.publish(vec![event(1, 2_000)]);
        bench.settle();
        client.reset();
        bench.settle();
        assert_eq!((bench.kernel().occupied(), bench.plane.occupied()), (0, 0), "seed {seed}");
        // And it is another socket's at once.
        let next = bench.secure(ROOMY);
        bench.publish(vec![event(1, 10)]);
        bench.settle();
        assert_eq!(events(&next), [2]);
    }
}

#[test]
fn a_close_notify_ends_the_session_as_the_end_of_the_stream_does() {
    let mut bench = Bench::new(4, 1);
    let client = bench.secure(ROOMY);
    bench.settle();
    client.with_tls(|tls| tls.send_close_notify());
    bench.settle();
    assert!(client.closed() && bench.kernel().occupied() == 0);
    assert!(got(&client).is_empty() && client.saw_close_notify(), "it is answered by one");
}

#[test]
fn what_comes_behind_our_own_close_notify_does_no_harm() {
    let mut bench = Bench::new(6, 1);
    let client = bench.secure(ROOMY);
    bench.plane.close_all(CloseCode::SERVICE_RESTART, "bye");
    bench.settle();
    client.send_past_tls(&[23, 3, 3, 0, 17, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    bench.settle();
    assert_eq!(got(&client), [Got::Close(Some(1012))]);
    assert!(client.saw_close_notify(), "and nothing behind it");
    client.finish();
    bench.settle();
    assert!(client.closed());
}

#[test]
fn a_record_that_was_changed_ends_the_session_with_an_alert() {
    let mut bench = Bench::new(5, 2);
    let (client, other) = (bench.secure(ROOMY), bench.secure(ROOMY));
    client.send_past_tls(&[23, 3, 3, 0, 17, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    bench.publish(vec![event(1, 10)]);
    bench.settle();
    assert!(client.closed());
    let alert = client.take(usize::MAX);
    assert_eq!(alert[0], 23, "an encrypted record, whatever came before");
    assert_eq!(events(&other), [1]);
}
