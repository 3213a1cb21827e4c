//! When a delivery is tried again.

pub fn delay_ms(_retry_seconds: &[u64], _attempts_made: u32, _jitter_percent: u32, _random: u32, _retry_after_ms: Option<u64>, _retry_after_max_ms: u64) -> Option<u64> {
    todo!()
}
