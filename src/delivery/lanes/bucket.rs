//! The token bucket of a lane: how many attempts a second it may begin, and how many at once after a quiet time.
//!
//! It counts in thousandths of a token, of which each millisecond brings as many as the rate says: nothing is ever rounded away.

const TOKEN: u64 = 1_000;

#[derive(Clone, Debug)]
pub struct Bucket {
    /// Tokens a second, which is thousandths a millisecond. 0: no limit.
    rate: u64,
    /// Thousandths that it holds at most, and held at a time.
    size: u64,
    held: u64,
    at_ms: u64,
}

impl Bucket {
    /// A full one. A burst of less than one would never let anything pass.
    pub fn new(rate_per_second: u32, burst: u32) -> Self {
        let (rate, burst) = (u64::from(rate_per_second), u64::from(burst.max(1)) * TOKEN);
        // Nobody looks between two milliseconds, so what overflows within one is kept: it would be missing from the rate.
        let size = burst + rate.saturating_sub(1);
        Self { rate, size, held: burst, at_ms: 0 }
    }

    /// When it has a token, if none is taken before; a time that has passed, if it has one.
    pub fn has_token_at(&self) -> u64 {
        let missing = TOKEN.saturating_sub(self.held);
        match self.rate {
            0 => 0,
            rate => self.at_ms.saturating_add(missing.div_ceil(rate)),
        }
    }

    pub fn take(&mut self, now_ms: u64) {
        let elapsed_ms = now_ms.saturating_sub(self.at_ms);
        self.held = elapsed_ms.saturating_mul(self.rate).saturating_add(self.held).min(self.size);
        self.at_ms = self.at_ms.max(now_ms);
        self.held = self.held.saturating_sub(TOKEN);
    }

    /// Gives back a token that was taken for nothing.
    pub fn give_back(&mut self) {
        self.held = (self.held + TOKEN).min(self.size);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Times at which tokens are taken, each as early as there is one.
    fn taken(bucket: &mut Bucket, from_ms: u64, count: usize) -> Vec<u64> {
        let mut now_ms = from_ms;
        let mut take = || {
            now_ms = now_ms.max(bucket.has_token_at());
            bucket.take(now_ms);
            now_ms
        };
        (0..count).map(|_| take()).collect()
    }

    #[test]
    fn a_burst_passes_at_once_and_then_the_rate_counts() {
        let mut bucket = Bucket::new(4, 3);
        assert_eq!(taken(&mut bucket, 5_000, 6), [5_000, 5_000, 5_000, 5_250, 5_500, 5_750]);
    }

    #[test]
    fn a_quiet_time_fills_no_more_than_the_burst() {
        let mut bucket = Bucket::new(10, 2);
        taken(&mut bucket, 1_000, 2);
        assert_eq!(taken(&mut bucket, 90_000, 3), [90_000, 90_000, 90_100]);
    }

    #[test]
    fn no_fraction_of_a_token_is_lost() {
        // 7 a second is one every 142.86 ms: after a second of them, the eighth is exactly on the second.
        let mut bucket = Bucket::new(7, 1);
        assert_eq!(taken(&mut bucket, 0, 8), [0, 143, 286, 429, 572, 715, 858, 1_000]);
        for rate in [300, 999, 3_000] {
            let mut bucket = Bucket::new(rate, 1);
            assert_eq!(taken(&mut bucket, 0, 10 * rate as usize + 1).last(), Some(&10_000));
        }
    }

    #[test]
    fn no_rate_is_no_limit() {
        let mut bucket = Bucket::new(0, 1);
        assert_eq!(taken(&mut bucket, 77, 4), [77; 4]);
    }

    #[test]
    fn a_token_that_was_given_back_can_be_taken_again() {
        let mut bucket = Bucket::new(1, 1);
        bucket.take(10_000);
        assert_eq!(bucket.has_token_at(), 11_000);
        bucket.give_back();
        assert!(bucket.has_token_at() <= 10_000);
        bucket.give_back();
        bucket.take(10_000);
        assert_eq!(bucket.has_token_at(), 11_000, "no more than the burst");
    }

    #[test]
    fn extremes_neither_overflow_nor_lock_it() {
        let mut bucket = Bucket::new(u32::MAX, 0);
        assert_eq!(taken(&mut bucket, u64::MAX, 3), [u64::MAX; 3]);
        let mut bucket = Bucket::new(1, u32::MAX);
        assert_eq!(taken(&mut bucket, 0, 3), [0; 3]);
    }
}
