//! What a seed decides of a server, for all its lives.

use fastrand::Rng;

use crate::journal::{Fanout, JournalOptions, SyncPolicy};
use crate::protocol::ReplayRules;

#[derive(Clone, Copy, Debug)]
pub struct Setting {
    pub journal: JournalOptions,
    pub replay: ReplayRules,
    pub shards: usize,
    pub lag_bytes_max: usize,
    pub kept_bytes: usize,
    pub chunk_bytes: usize,
    pub inbox_bytes: usize,
    pub send_batch_max: usize,
    pub writes_short: bool,
    pub answers_late: bool,
}

impl Setting {
    pub fn random(rng: &mut Rng) -> Self {
        use SyncPolicy::{Always, Interval, Never};
        let mut one = |of: &[usize]| *rng.choice(of).expect("one");
        let [lag_bytes_max, kept_bytes, chunk_bytes] =
            [one(&[30_000, 300_000]), one(&[0, 3_000, 60_000]), one(&[1, 3_000, 40_000])];
        let [inbox_bytes, send_batch_max, shards] = [one(&[1, 5_000, 1 << 20]), one(&[1, 3, 64]), one(&[1, 2, 3])];
        let [events_per_second, bytes_per_second, sessions] =
            [one(&[0, 0, 60]), one(&[0, 0, 30_000]), one(&[1, 2, 100])];
        Self {
            journal: JournalOptions {
                sync: rng.choice([Always, Always, Interval, Never]).expect("one"),
                sync_interval_ms: 100,
                fanout: if rng.u8(..3) == 0 { Fanout::Durable } else { Fanout::Immediate },
                retention_bytes: if rng.bool() { rng.u64(40_000..300_000) } else { 0 },
                retention_hours: rng.u64(..2),
                segment_bytes: rng.u64(10_000..60_000),
                dedupe_seconds: rng.choice([3, 600]).expect("one"),
            },
            replay: ReplayRules {
                events_per_second: events_per_second as u32,
                bytes_per_second: bytes_per_second as u64,
                sessions: sessions as u32,
                share_percent: 100,
            },
            shards,
            lag_bytes_max,
            kept_bytes,
            chunk_bytes,
            inbox_bytes,
            send_batch_max,
            writes_short: rng.bool(),
            answers_late: rng.bool(),
        }
    }
}
