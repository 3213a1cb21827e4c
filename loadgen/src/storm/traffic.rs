//! Which events there are, whose they are, and who must get them. Everything follows from the shape.
//!
//! ```text
//!   event   0 … history-1:        trades of the pool's wallets, in turns; an account watches some of those wallets
//!   event   history … +steps-1:   live events (the live account's wallet) and markers (each account's own, in turns)
//!   class   0 … accounts-1:       the resuming accounts;   class `accounts`: the live one
//! ```

use std::collections::BTreeSet;

use crate::event::{EventError, EventSource, EventWriter};

/// Wallets of the pool that an account watches: enough that accounts overlap in some and not in all.
const WALLETS_WATCHED: u32 = 10;

/// What a storm is made of.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Events before the storm.
    pub history: u32,
    /// Live events and markers together.
    pub steps: u32,
    /// Events of the history that match an account, at most.
    pub matching: u32,
    pub accounts: u32,
    /// How many of a million steps are for the live sockets.
    pub live_per_million: u32,
    pub payload_bytes: usize,
    pub seed: u64,
}

/// The events of a run.
#[derive(Clone, Debug)]
pub struct Traffic {
    shape: Shape,
    pool: u32,
    /// By wallet: the pool's, the accounts' markers, the live one.
    writers: Vec<EventWriter>,
    /// Wallets of each class.
    watched: Vec<BTreeSet<u32>>,
}

impl Traffic {
    pub fn new(shape: Shape) -> Result<Self, EventError> {
        let watched_each = WALLETS_WATCHED.min(shape.matching);
        let per_wallet = (shape.matching / watched_each).max(1);
        let pool = shape.history.div_ceil(per_wallet).max(watched_each);
        let events = shape.history + shape.steps;
        let writers = (0..pool + shape.accounts + 1)
            .map(|wallet| EventWriter::new(&format!("StormWa11et{wallet:033}"), shape.payload_bytes, events))
            .collect::<Result<_, _>>()?;
        let mut random = fastrand::Rng::with_seed(shape.seed);
        let mut watched: Vec<BTreeSet<u32>> = Vec::new();
        for account in 0..shape.accounts {
            let mut wallets = BTreeSet::from([pool + account]);
            while wallets.len() <= watched_each as usize {
                wallets.insert(random.u32(..pool));
            }
            watched.push(wallets);
        }
        watched.push(BTreeSet::from([pool + shape.accounts]));
        Ok(Self { shape, pool, writers, watched })
    }

    pub fn events(&self) -> u32 {
        self.shape.history + self.shape.steps
    }

    pub fn history(&self) -> u32 {
        self.shape.history
    }

    /// The class of the live sockets; those below it resume.
    pub fn live_class(&self) -> u32 {
        self.shape.accounts
    }

    pub fn watchlist(&self, class: u32) -> BTreeSet<String> {
        self.watched[class as usize].iter().map(|wallet| self.writers[*wallet as usize].owner().to_owned()).collect()
    }

    /// For each class, the events that match it, in order.
    pub fn matching(&self) -> Vec<Vec<u32>> {
        let mut watchers: Vec<Vec<u32>> = vec![Vec::new(); self.writers.len()];
        for (class, wallets) in self.watched.iter().enumerate() {
            wallets.iter().for_each(|wallet| watchers[*wallet as usize].push(class as u32));
        }
        let mut matching = vec![Vec::new(); self.watched.len()];
        for event in 0..self.events() {
            watchers[self.wallet_of(event) as usize].iter().for_each(|class| matching[*class as usize].push(event));
        }
        matching
    }

    /// An event as its sockets get it under number `seq`: a whole frame, byte for byte.
    pub fn sent_frame(&self, event: u32, seq: u64) -> Vec<u8> {
        self.writers[self.wallet_of(event) as usize].sent_frame(event, seq)
    }

    fn wallet_of(&self, event: u32) -> u32 {
        let Some(step) = event.checked_sub(self.shape.history) else { return event % self.pool };
        let live_before = |step: u32| u64::from(step) * u64::from(self.shape.live_per_million) / 1_000_000;
        if live_before(step) != live_before(step + 1) {
            return self.pool + self.shape.accounts;
        }
        let markers_before = u64::from(step) - live_before(step);
        self.pool + (markers_before % u64::from(self.shape.accounts)) as u32
    }
}

impl EventSource for Traffic {
    /// `index` counts from the beginning of the history.
    fn published(&self, index: u32, out: &mut Vec<u8>) {
        self.writers[self.wallet_of(index) as usize].published(index, out);
    }
}

/// The part of the events that is published as time goes on.
pub struct LiveTraffic(pub Traffic);

impl EventSource for LiveTraffic {
    fn published(&self, index: u32, out: &mut Vec<u8>) {
        self.0.published(self.0.history() + index, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub const SHAPE: Shape = Shape {
        history: 10_000,
        steps: 1_000,
        matching: 50,
        accounts: 20,
        live_per_million: 800_000,
        payload_bytes: 250,
        seed: 1,
    };

    #[test]
    fn each_account_matches_as_much_of_the_history_as_asked_and_its_own_markers() {
        let traffic = Traffic::new(SHAPE).unwrap();
        let matching = traffic.matching();
        for (class, events) in matching[..20].iter().enumerate() {
            let (history, markers) = events.split_at(events.partition_point(|event| *event < 10_000));
            assert_eq!((history.len(), markers.len()), (50, 10), "class {class}");
            assert!(events.is_sorted() && markers.windows(2).all(|pair| pair[1] - pair[0] >= 90), "{markers:?}");
        }
        assert_eq!(matching[20].len(), 800);
        assert!(matching[20][0] >= 10_000, "the live sockets have no history");
        let different: BTreeSet<_> = matching.iter().collect();
        assert_eq!(different.len(), 21);
    }

    #[test]
    fn an_event_is_published_for_the_wallet_that_its_class_watches() {
        let traffic = Traffic::new(SHAPE).unwrap();
        for (class, events) in traffic.matching().iter().enumerate() {
            let watchlist = traffic.watchlist(class as u32);
            for event in events.iter().step_by(7) {
                let mut text = Vec::new();
                traffic.published(*event, &mut text);
                let value: serde_json::Value = serde_json::from_slice(&text).unwrap();
                assert!(watchlist.contains(value["data"]["owner"].as_str().unwrap()));
                assert_eq!((text.len(), &value["data"]["n"]), (250, &(*event).into()));
            }
        }
    }

    #[test]
    fn small_storms_have_shapes_too() {
        for (history, matching) in [(1, 1), (5, 3), (10, 10), (100, 100)] {
            let traffic = Traffic::new(Shape { history, matching, ..SHAPE }).unwrap();
            for events in &traffic.matching()[..20] {
                let of_history = events.iter().filter(|event| **event < history).count() as u32;
                assert!(of_history <= matching, "{of_history} of {history}, for {matching}");
            }
        }
    }
}
