//! Waiting for something that happens elsewhere, with a deadline.

use std::time::{Duration, Instant};

/// For whatever should happen at once, on a machine that is busy with other tests.
pub const SOON: Duration = Duration::from_secs(10);

/// Asks again and again until there is an answer.
pub fn until<T>(what: &str, patience: Duration, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "{what}: not within {patience:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
