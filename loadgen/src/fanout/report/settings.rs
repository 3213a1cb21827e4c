//! What a run was asked to do, and whether another's figures may be held against it.

use serde::{Deserialize, Serialize};

use super::super::load::Load;
use super::super::mix::Mix;
use crate::publisher::BurstAs;

#[derive(Debug, Serialize, Deserialize)]
pub struct Settings {
    pub sockets: u32,
    pub payload_bytes: usize,
    pub burst: u32,
    pub interval_ms: f64,
    pub rounds: u32,
    pub timed_steps_per_round: u32,
    pub warmup_steps_per_round: u32,
    pub client_threads: u32,
    pub client_cpus: Vec<usize>,
    pub server_cpu_of_floor: usize,
    /// The floor sent a burst as one send a socket.
    #[serde(default)]
    pub floor_coalesces: bool,
    /// Each event of a burst was a request of its own.
    #[serde(default)]
    pub burst_in_requests: bool,
    pub linger_us: f64,
    /// As `--mix` says it; empty where it was not given.
    #[serde(default)]
    pub mix: String,
    /// How many of the sockets came and went.
    #[serde(default)]
    pub churned_sockets: u32,
}

impl Settings {
    pub fn of(load: &Load) -> Self {
        let schedule = load.schedule;
        Self {
            sockets: load.sockets,
            payload_bytes: load.payload_bytes,
            burst: schedule.burst,
            interval_ms: schedule.interval_ns as f64 / 1e6,
            rounds: schedule.rounds,
            timed_steps_per_round: schedule.timed_steps,
            warmup_steps_per_round: schedule.warmup_steps,
            client_threads: load.threads,
            client_cpus: load.client_cpus.clone(),
            server_cpu_of_floor: load.server_cpu,
            floor_coalesces: load.floor_coalesces,
            burst_in_requests: load.burst_as == BurstAs::Requests,
            linger_us: load.linger.as_secs_f64() * 1e6,
            mix: load.mix.as_ref().map(Mix::to_string).unwrap_or_default(),
            churned_sockets: load.churned(),
        }
    }

    /// In what the load of two runs differs, so that their figures can't be compared.
    pub fn difference(&self, other: &Self) -> Option<String> {
        if self.mix != other.mix {
            let said = |mix: &str| if mix.is_empty() { "none".to_owned() } else { format!("`{mix}`") };
            return Some(format!("its --mix is {}, not {}", said(&self.mix), said(&other.mix)));
        }
        let differently = [
            ("the floor sends a burst", self.floor_coalesces, other.floor_coalesces, "as one send a socket"),
            ("a burst is published", self.burst_in_requests, other.burst_in_requests, "as a request each"),
        ];
        if let Some((what, theirs, _, how)) = differently.into_iter().find(|(_, theirs, ours, _)| theirs != ours) {
            let (its, this) = if theirs { ("there", "here") } else { ("here", "there") };
            return Some(format!("{what} {how} {its}, and not {this}"));
        }
        let numbers = |of: &Self| {
            [
                ("sockets", f64::from(of.sockets)),
                ("bytes of an event", of.payload_bytes as f64),
                ("events of a burst", f64::from(of.burst)),
                ("milliseconds between steps", of.interval_ms),
                ("client threads", f64::from(of.client_threads)),
                ("sockets that come and go", f64::from(of.churned_sockets)),
                ("µs of the client's spinning", of.linger_us),
            ]
        };
        let mut both = numbers(self).into_iter().zip(numbers(other));
        let ((what, theirs), (_, ours)) = both.find(|((_, one), (_, another))| one != another)?;
        Some(format!("{theirs} {what}, not {ours}"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::example;

    #[test]
    fn runs_of_another_mix_or_with_churn_are_not_compared() {
        let (before, mut now) = (example().settings, example().settings);
        assert_eq!(before.difference(&now), None);
        now.churned_sockets = 10;
        assert!(before.difference(&now).unwrap().contains("come and go"));
        now.mix = "sse".to_owned();
        assert_eq!(before.difference(&now).unwrap(), "its --mix is none, not `sse`");
    }
}
