//! Bodies of recent events, so that those who get the same one share it, and a retry needs no look at the journal.

use std::collections::VecDeque;

use ahash::HashMap;

use super::super::Payload;

/// The newest that were put in, within a bound of bytes.
pub struct PayloadCache {
    by_seq: HashMap<u64, Payload>,
    order: VecDeque<u64>,
    bytes: usize,
    bytes_max: usize,
}

impl PayloadCache {
    pub fn new(bytes_max: usize) -> Self {
        Self { by_seq: HashMap::default(), order: VecDeque::new(), bytes: 0, bytes_max }
    }

    pub fn get(&self, seq: u64) -> Option<&Payload> {
        self.by_seq.get(&seq)
    }

    pub fn put(&mut self, seq: u64, payload: Payload) {
        let bytes = payload.body.len();
        if self.by_seq.insert(seq, payload).is_some() {
            return;
        }
        self.bytes += bytes;
        self.order.push_back(seq);
        while self.bytes > self.bytes_max {
            let Some(oldest) = self.order.pop_front() else { return };
            self.bytes -= self.by_seq.remove(&oldest).map_or(0, |payload| payload.body.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::EventId;
    use super::*;

    #[test]
    fn the_newest_stay_within_the_bound() {
        let mut cache = PayloadCache::new(100);
        let payload = || Payload { kind: "trade.new", event: EventId([0; 12]), body: vec![0; 30].into() };
        for seq in [1, 2, 3, 3, 4, 5] {
            cache.put(seq, payload());
        }
        let held: Vec<u64> = (1..=5).filter(|seq| cache.get(*seq).is_some()).collect();
        assert_eq!((held, cache.bytes, cache.order.len()), (vec![3, 4, 5], 90, 3));
    }
}
