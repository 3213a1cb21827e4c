//! Seeded storms: trades, endpoints of every temper, crashes and clocks, against what must come of it: each event that matched is
//! delivered at least once or told to be given up, under one id, and matched once.

use std::collections::{HashMap, HashSet};

use super::rig::Rig;
use crate::delivery::attempt::Outcome;
use crate::delivery::{DeliveryId, DeliveryState, WebhookId, WebhookOptions};

const SEEDS: u64 = 60;

#[test]
fn nothing_that_matched_is_forgotten_whatever_happens() {
    for seed in 0..SEEDS {
        storm(seed);
    }
}

fn storm(seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let options = WebhookOptions {
        workers: random.u32(1..12),
        concurrency: random.u32(1..5),
        rate_per_second: [0, 50][random.usize(..2)],
        rate_burst: 5,
        retry_seconds: vec![1, 2, 4],
        jitter_percent: random.u32(..50),
        disable_failures: 0,
        ..WebhookOptions::default()
    };
    // Small ones, so that much waits in the database alone.
    let mut rig = Rig::with_queues(options, [2, 4, 8, 256][random.usize(..4)]);
    let alice = rig.account("alice", &["w"]);
    let webhooks: Vec<WebhookId> = (0..4).map(|number| rig.webhook(alice, &number.to_string())).collect();
    // How likely each endpoint is to answer with a success, in percent.
    let temper: HashMap<WebhookId, u32> =
        webhooks.iter().map(|id| (*id, [100, 90, 50, 0][random.usize(..4)])).collect();
    let mut matched = HashSet::new();
    let mut ids: HashMap<(WebhookId, DeliveryId), u64> = HashMap::new();
    let mut succeeded: HashSet<(WebhookId, u64)> = HashSet::new();
    let mut end_one = |rig: &mut Rig, random: &mut fastrand::Rng| {
        let index = random.usize(..rig.jobs.len());
        let webhook = rig.jobs[index].ticket.webhook;
        let outcome = match random.u32(..100) < temper[&webhook] {
            true => Outcome::Answered { status: 200, retry_after: None },
            false if random.bool() => Rig::timeout(),
            false => Outcome::Answered { status: 503, retry_after: Some(std::time::Duration::from_secs(3)) },
        };
        let success = outcome.is_success();
        let job = rig.report(index, outcome);
        let body: serde_json::Value = serde_json::from_slice(&job.payload.body).expect("JSON");
        let seq = body["data"]["sizeUsd"].as_u64().expect("a number");
        assert_eq!(*ids.entry((webhook, job.delivery_id)).or_insert(seq), seq, "seed {seed}: one id, one event");
        if success {
            succeeded.insert((webhook, seq));
        }
    };
    for _ in 0..400 {
        match random.u32(..100) {
            0..30 => {
                let seq = rig.publish("trade.open", "w");
                matched.insert(seq);
            }
            30..35 => {
                rig.publish("trade.open", "other");
            }
            35..75 if !rig.jobs.is_empty() => end_one(&mut rig, &mut random),
            75..77 => rig.restart(),
            77..79 => rig.core.recover(rig.now_ms).expect("a sound disk"),
            79..80 => rig.now_ms -= [random.u64(..5_000), 600_000][random.usize(..2)],
            _ => rig.pass(random.u64(..700)),
        }
    }
    // Time enough for every retry and every breaker.
    for _ in 0..400 {
        rig.pass(20_000);
        while !rig.jobs.is_empty() {
            end_one(&mut rig, &mut random);
        }
    }
    for webhook in webhooks {
        let states: HashMap<u64, DeliveryState> = rig.states(alice, webhook).into_iter().collect();
        let known: HashSet<u64> = states.keys().copied().collect();
        assert_eq!(
            known.symmetric_difference(&matched).collect::<Vec<_>>(),
            Vec::<&u64>::new(),
            "seed {seed}: every event that matched, and no other; {} known of {}",
            known.len(),
            matched.len()
        );
        for (seq, state) in states {
            let told = (webhook, seq);
            match state {
                DeliveryState::Delivered => assert!(succeeded.contains(&told), "seed {seed}: {seq} was not delivered"),
                DeliveryState::Failed => assert!(temper[&webhook] < 100, "seed {seed}: {seq} had no reason to fail"),
                // Its breaker lets a probe pass every five minutes only.
                DeliveryState::Pending if temper[&webhook] == 0 => {}
                state => panic!("seed {seed}: {seq} of an endpoint of {} % is {state:?}", temper[&webhook]),
            }
        }
    }
}
