//! Subscriptions that come and go while events flow: each acknowledgement says from which number on it counts, so a client's
//! own messages tell exactly which events it must have got.

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Included, Unbounded};

use super::*;

const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];

/// Checks what a channels client got against what was published, number by number. Returns how many events it got.
fn check(seed: u64, got: &[Value], published: &BTreeMap<u64, String>) -> usize {
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    let mut position = 0;
    // Everything up to `until` that the subscriptions of the moment match must have come by now.
    let mut expected: Vec<u64> = Vec::new();
    let mut received: Vec<u64> = Vec::new();
    for message in got {
        let seq = message["seq"].as_u64().unwrap_or_else(|| panic!("seed {seed}: {message}"));
        match message["type"].as_str() {
            Some(kind @ ("subscribed" | "unsubscribed")) => {
                let topic = format!("price:{}", message["mint"].as_str().unwrap());
                let in_force = |topic: &String| counts.contains_key(topic);
                expected.extend(
                    published
                        .range((Excluded(position), Included(seq)))
                        .filter(|(_, of)| in_force(of))
                        .map(|(seq, _)| *seq),
                );
                position = seq;
                match kind {
                    "subscribed" => drop(counts.insert(topic, seq)),
                    _ => drop(counts.remove(&topic)),
                }
            }
            Some("note") => {
                assert_eq!(message["of"].as_str(), published.get(&seq).map(String::as_str), "seed {seed}");
                received.push(seq);
            }
            _ => {}
        }
    }
    let in_force = |topic: &String| counts.contains_key(topic);
    expected
        .extend(published.range((Excluded(position), Unbounded)).filter(|(_, of)| in_force(of)).map(|(seq, _)| *seq));
    assert_eq!(received, expected, "seed {seed}");
    received.len()
}

fn storm(seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let rules = SessionRules { messages_per_second: 0, ..SessionRules::default() };
    let mut bench = Bench::with_rules(seed, 8, rules);
    bench.change(Account {
        grants: ["price:*".parse().unwrap()].into_iter().collect(),
        ..Account::clone(&account(1, 2))
    });
    bench.kernel().writes_short = random.bool();
    bench.kernel().answers_late = random.bool();
    bench.kernel().batch_max = *random.choice(&[1, 3, 64]).unwrap();
    let clients: Vec<FakeClient> = (0..6).map(|_| bench.stranger(Admission::Channels)).collect();
    for client in &clients {
        say(client, &format!(r#"{{"type":"auth","apiKey":"{}"}}"#, api_key(1).expose()));
    }
    let mut published = BTreeMap::new();
    for _ in 0..200 {
        let name = *random.choice(&NAMES).unwrap();
        match random.u8(..10) {
            0..4 => {
                let kind = if random.u8(..3) > 0 { "subscribe" } else { "unsubscribe" };
                let client = random.choice(&clients).unwrap();
                say(client, &format!(r#"{{"type":"{kind}","channel":"price","mint":"{name}"}}"#));
            }
            4..8 => {
                let topics: Vec<String> =
                    (0..random.usize(1..20)).map(|_| format!("price:{}", random.choice(&NAMES).unwrap())).collect();
                let first = bench.publish(topics.iter().map(|topic| on(topic)).collect());
                published.extend((first..).zip(topics));
            }
            _ => drop(bench.turn()),
        }
    }
    bench.settle();
    let mut received = 0;
    for client in &clients {
        received += check(seed, &messages(client), &published);
        client.reset();
    }
    assert!(received > 100, "seed {seed}: only {received} events were subscribed to");
    bench.settle();
    assert_eq!(bench.plane.occupied(), 0, "seed {seed}");
    assert!(bench.gate.is_empty(), "seed {seed}: every place at the gate was given back");
}

#[test]
fn acknowledgements_tell_exactly_which_events_come() {
    let first = std::env::var("STENTOR_SEED").ok().and_then(|seed| seed.parse().ok());
    for seed in first.map_or(0..120, |seed: u64| seed..seed + 1) {
        if let Err(panic) = std::panic::catch_unwind(|| storm(seed)) {
            eprintln!("the storm of STENTOR_SEED={seed} failed");
            std::panic::resume_unwind(panic);
        }
    }
}
