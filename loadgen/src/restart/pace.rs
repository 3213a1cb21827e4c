//! What one restart did to the sockets, and at what pace they came back.

/// Everything that sockets of one crowd went through between two connections of theirs: a restart of the server, or another loss.
#[derive(Clone, Debug, Default)]
pub struct Wave {
    /// When each socket that was told so was to come back.
    pub told_ns: Vec<u64>,
    pub closed_1012: u64,
    /// Connections that ended with another close, or with none.
    pub ended_otherwise: u64,
    /// When each attempt to connect anew was begun.
    pub tries_ns: Vec<u64>,
    /// How long after its time each of them was.
    pub late_ns: Vec<u64>,
    pub refused: u64,
    /// From the end of a connection to the first event that was published after the next had opened, with nothing missing before.
    pub live_again_ns: Vec<u64>,
}

impl Wave {
    pub fn merge(&mut self, other: Self) {
        self.told_ns.extend(other.told_ns);
        self.closed_1012 += other.closed_1012;
        self.ended_otherwise += other.ended_otherwise;
        self.tries_ns.extend(other.tries_ns);
        self.late_ns.extend(other.late_ns);
        self.refused += other.refused;
        self.live_again_ns.extend(other.live_again_ns);
    }

    pub fn ended(&self) -> u64 {
        self.closed_1012 + self.ended_otherwise
    }
}

/// The most of these moments that lie within any one second.
pub fn most_in_a_second(mut times_ns: Vec<u64>) -> u64 {
    times_ns.sort_unstable();
    let mut first = 0;
    let within = |(last, time_ns): (usize, &u64)| {
        while time_ns - times_ns[first] >= 1_000_000_000 {
            first += 1;
        }
        last - first + 1
    };
    times_ns.iter().enumerate().map(within).max().unwrap_or(0) as u64
}

/// How many a second come back where all do so at these moments: their number, by the time between the first and the last. `None` where
/// there is no such time.
pub fn paced_per_second(return_ns: &[u64]) -> Option<f64> {
    let (first, last) = (return_ns.iter().min()?, return_ns.iter().max()?);
    (last > first).then(|| return_ns.len() as f64 * 1e9 / (last - first) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn the_fullest_second_is_found_wherever_it_begins() {
        assert_eq!((most_in_a_second(vec![]), most_in_a_second(vec![5])), (0, 1));
        // Three within 999 ms; the fourth is a whole second after the first of them.
        assert_eq!(most_in_a_second([1_900, 900, 1_899, 1_500, 5_000].map(|ms| ms * MS).into()), 3);
        assert_eq!(most_in_a_second((0..100).map(|step| step * 100 * MS).collect()), 10);
        assert_eq!(most_in_a_second(vec![7; 50]), 50);
    }

    #[test]
    fn the_pace_is_what_was_told_by_the_time_that_it_takes() {
        assert_eq!(paced_per_second(&[3_000 * MS, 1_000 * MS, 2_000 * MS]), Some(1.5));
        assert_eq!((paced_per_second(&[]), paced_per_second(&[5]), paced_per_second(&[5, 5])), (None, None, None));
        let even: Vec<u64> = (0..10_000).map(|step| step * 2 * MS).collect();
        let ratio = most_in_a_second(even.clone()) as f64 / paced_per_second(&even).unwrap();
        assert!((0.99..=1.0).contains(&ratio), "{ratio}");
    }
}
