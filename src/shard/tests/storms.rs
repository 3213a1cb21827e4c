//! Everything at once, in an order that a seed decides. `STENTOR_SEED=n` repeats one.

use super::*;

/// One client of a storm, and what it must get.
struct Expected {
    client: FakeClient,
    account: u64,
    /// Numbers of the matching events since it entered.
    events: Vec<u64>,
    reads: bool,
    gone: bool,
}

/// Who comes in a storm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Crowd {
    Plain,
    /// Two of three speak TLS.
    Mixed,
}

/// Everything at once, in an order that the seed decides; a shadow model says what each client must have got.
fn storm(seed: u64, crowd: Crowd) {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut bench = Bench::new(seed, 12);
    bench.kernel().writes_short = random.bool();
    bench.kernel().answers_late = random.bool();
    bench.kernel().batch_max = *random.choice(&[1, 3, 64]).unwrap();
    let mut clients: Vec<Expected> = Vec::new();
    for _ in 0..300 {
        match random.u32(..100) {
            0..15 => {
                let account = 1 + random.u64(..ACCOUNTS);
                let buffer_bytes = *random.choice(&[50, 1_000, 100_000, ROOMY]).unwrap();
                let client = match crowd == Crowd::Mixed && random.u8(..3) > 0 {
                    true => FakeClient::secure(buffer_bytes),
                    false => FakeClient::new(buffer_bytes),
                };
                if bench.admit(&client, admission(account), Vec::new()).is_ok() {
                    let reads = random.u8(..) > 60;
                    clients.push(Expected { client, account, events: Vec::new(), reads, gone: false });
                }
            }
            15..45 => {
                let count = *random.choice(&[1, 1, 3, 30]).unwrap();
                let wallets: Vec<u64> = (0..count).map(|_| random.u64(..6)).collect();
                let pad = *random.choice(&[0, 20, 200, 2_000, 30_000]).unwrap();
                let first = bench.publish(wallets.iter().map(|&wallet| event(wallet, pad)).collect());
                // An event counts for those who are in when the shard takes it in.
                bench.settle();
                for (wallet, seq) in wallets.into_iter().zip(first..) {
                    for expected in clients.iter_mut().filter(|expected| watches(expected.account, wallet)) {
                        expected.events.push(seq);
                    }
                }
            }
            45..75 => {
                for expected in clients.iter().filter(|expected| expected.reads) {
                    expected.client.read(random.usize(..200_000));
                }
            }
            75..80 if !clients.is_empty() => {
                let expected = random.choice(&mut clients).unwrap();
                expected.gone = true;
                match random.u8(..5) {
                    0 => expected.client.reset(),
                    1 => expected.client.finish(),
                    2 => expected.client.send_past_tls(b"\xff garbage, which is no record either"),
                    3 if expected.client.is_secure() => expected.client.with_tls(|tls| tls.send_close_notify()),
                    _ => expected.client.send(b"\xff garbage, which nobody may send"),
                }
            }
            80..90 if !clients.is_empty() => {
                let expected = random.choice(&clients).unwrap();
                if expected.client.is_secure() && random.bool() {
                    // Not where its connection has failed.
                    expected.client.with_tls(|tls| drop(tls.refresh_traffic_keys()));
                }
                expected.client.send(&client_frame(Opcode::Ping, &random.u64(..).to_be_bytes()));
            }
            90..95 => bench.tick += random.u32(..20),
            _ => {
                bench.turn();
            }
        }
    }
    // In the end everybody reads, over a good link.
    clients.iter().for_each(|expected| expected.client.widen(ROOMY));
    let mut calm = 0;
    while calm < 3 {
        bench.settle();
        calm = if clients.iter().all(|expected| expected.client.unread() == 0) { calm + 1 } else { 0 };
        clients.iter().for_each(|expected| expected.client.read(usize::MAX));
    }
    for (number, expected) in clients.iter().enumerate() {
        check(seed, number, expected);
    }
    for expected in &clients {
        expected.client.reset();
    }
    bench.settle();
    assert_eq!(bench.kernel().occupied(), 0, "seed {seed}: every slot is vacant in the end");
    assert_eq!(bench.plane.occupied(), 0, "seed {seed}");
}

fn check(seed: u64, number: usize, expected: &Expected) {
    let got = got(&expected.client);
    let events: Vec<u64> = events(&expected.client);
    let closed = got.iter().any(|got| matches!(got, Got::Close(_)));
    assert!(
        expected.events.starts_with(&events),
        "seed {seed}: client {number} got {events:?} of {:?}",
        expected.events
    );
    if !expected.gone && !closed {
        assert_eq!(events, expected.events, "seed {seed}: client {number} is whole");
    }
    if !expected.gone {
        assert!(!got.contains(&Got::Cut), "seed {seed}: client {number} has half a frame");
        let slow = Got::Close(Some(4409));
        assert!(got.iter().all(|got| !matches!(got, Got::Close(_)) || *got == slow), "seed {seed}: {got:?}");
    }
}

/// Runs storms of these seeds, or of the one that was asked for.
fn storms(seeds: std::ops::Range<u64>, crowd: Crowd) {
    let first = std::env::var("STENTOR_SEED").ok().and_then(|seed| seed.parse().ok());
    let seeds = first.map_or(seeds, |seed: u64| seed..seed + 1);
    for seed in seeds {
        let outcome = std::panic::catch_unwind(|| storm(seed, crowd));
        if let Err(panic) = outcome {
            eprintln!("the storm of STENTOR_SEED={seed} failed");
            std::panic::resume_unwind(panic);
        }
    }
}

#[test]
fn storms_of_everything_lose_duplicate_and_reorder_nothing() {
    storms(0..120, Crowd::Plain);
}

#[test]
fn storms_over_tls_lose_duplicate_and_reorder_nothing_either() {
    storms(0..20, Crowd::Mixed);
}
