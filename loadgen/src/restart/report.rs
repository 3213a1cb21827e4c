//! The results of a run, as they are written to JSON, and what of it did not hold.

use hdrhistogram::Histogram;
use serde::Serialize;

use super::args::RestartLoad;
use super::inbox::{Faults, Harvest, Notes};
use super::pace::{Wave, most_in_a_second, paced_per_second};
use super::publisher::Published;
use crate::figures::{Machine, Quantiles, Span};
use crate::latency::latency_histogram;

/// A run whose books are closed.
pub struct Closed {
    pub connect_seconds: f64,
    pub deliveries: u64,
    pub published: Published,
    pub harvest: Harvest,
}

#[derive(Debug, Serialize)]
pub struct RestartReport {
    pub machine: Machine,
    pub settings: Settings,
    pub connect_seconds: f64,
    /// The first is each socket's first loss of its connection, the second its second; so without other faults than restarts there
    /// are as many as the sockets saw restarts.
    pub restarts: Vec<Restart>,
    pub publisher: PublisherReport,
    pub deliveries: u64,
    pub faults: Faults,
    pub notes: Notes,
    /// What did not hold; empty where each socket got every event once and in order, and the pace was kept.
    pub broken: Vec<String>,
    /// Why connections ended otherwise than with 1012: the first few.
    pub ended_why: Vec<String>,
}

#[derive(Debug, Serialize)]
pub struct Settings {
    pub address: String,
    pub sockets: u32,
    pub events_per_second: f64,
    /// Of an event without its id.
    pub payload_bytes: usize,
    pub seconds: f64,
    pub max_pace: Option<f64>,
}

/// What one restart did to the sockets.
#[derive(Debug, Serialize)]
pub struct Restart {
    /// Sockets that were told when to come back.
    pub told: u64,
    pub closed_1012: u64,
    /// Connections that ended with another close, or with none.
    pub ended_otherwise: u64,
    /// Attempts to connect anew, and those of them that came to nothing.
    pub reconnects: u64,
    pub refused: u64,
    /// The most reconnects that were begun in any one second.
    pub most_in_a_second: u64,
    /// The most of the moments that sockets were told in any one second: the same, if nobody were late.
    pub told_most_in_a_second: u64,
    /// Sockets told, by the time from the first to the last moment that they were told.
    pub paced_per_second: Option<f64>,
    pub pace_ratio: Option<f64>,
    /// How late loadgen itself was to begin a reconnect.
    pub late_us: Option<Span>,
    /// From a connection's end to the first event published after the next had opened, with nothing missing before it.
    pub live_again: Quantiles,
    /// Connections that ended without that, as where no event was published any more.
    pub never_live_again: u64,
}

#[derive(Debug, Serialize)]
pub struct PublisherReport {
    pub events: u64,
    pub requests: u64,
    /// Events of requests that were repeated, as often as they were, and those that the server had already.
    pub sent_again: u64,
    pub known_already: u64,
    /// Times without an answer: from the last answer before a request failed to the next one.
    pub outages: u64,
    pub outage_longest_seconds: f64,
    pub outage_total_seconds: f64,
    /// How late a request began, and when it was answered, from when its first event was due.
    pub late_us: Option<Span>,
    pub answered_us: Option<Span>,
}

impl RestartReport {
    pub fn new(load: &RestartLoad, closed: Closed) -> Self {
        let Closed { connect_seconds, deliveries, published, harvest } = closed;
        let restarts: Vec<Restart> = harvest.waves.into_iter().map(Restart::of).collect();
        let in_order = published.seqs.is_sorted_by(|one, next| one < next);
        let mut broken = broken(&harvest.faults, restarts.len(), in_order);
        broken.extend(load.max_pace.into_iter().flat_map(|most| too_fast(&restarts, most)));
        Self {
            machine: Machine::this(),
            settings: Settings {
                address: load.subscribe.authority(),
                sockets: load.load.sockets,
                events_per_second: 1e9 / load.load.schedule.interval_ns as f64,
                payload_bytes: load.load.payload_bytes,
                seconds: load.lasting.as_secs_f64(),
                max_pace: load.max_pace,
            },
            connect_seconds,
            restarts,
            publisher: PublisherReport::of(&published),
            deliveries,
            faults: harvest.faults,
            notes: harvest.notes,
            broken,
            ended_why: harvest.ended_why,
        }
    }
}

impl Restart {
    fn of(wave: Wave) -> Self {
        let (ended, reconnects) = (wave.ended(), wave.tries_ns.len() as u64);
        let paced_per_second = paced_per_second(&wave.told_ns);
        let tried_in_a_second = most_in_a_second(wave.tries_ns);
        Self {
            told: wave.told_ns.len() as u64,
            closed_1012: wave.closed_1012,
            ended_otherwise: wave.ended_otherwise,
            reconnects,
            refused: wave.refused,
            most_in_a_second: tried_in_a_second,
            told_most_in_a_second: most_in_a_second(wave.told_ns),
            paced_per_second,
            pace_ratio: paced_per_second.map(|paced| tried_in_a_second as f64 / paced),
            late_us: Span::of_histogram(&histogram(&wave.late_ns)),
            live_again: Quantiles::of(&histogram(&wave.live_again_ns)),
            never_live_again: ended.saturating_sub(wave.live_again_ns.len() as u64),
        }
    }
}

impl PublisherReport {
    fn of(published: &Published) -> Self {
        Self {
            events: published.seqs.len() as u64,
            requests: published.requests,
            sent_again: published.sent_again,
            known_already: published.known_already,
            outages: published.outages.count,
            outage_longest_seconds: published.outages.longest_ns as f64 / 1e9,
            outage_total_seconds: published.outages.total_ns as f64 / 1e9,
            late_us: Span::of_histogram(&published.late),
            answered_us: Span::of_histogram(&published.answered),
        }
    }
}

fn histogram(times_ns: &[u64]) -> Histogram<u64> {
    let mut histogram = latency_histogram();
    times_ns.iter().for_each(|time_ns| histogram.saturating_record((*time_ns).max(1)));
    histogram
}

fn broken(faults: &Faults, restarts: usize, in_order: bool) -> Vec<String> {
    let counts = [
        ("deliveries lost", faults.lost),
        ("duplicated", faults.duplicated),
        ("reordered", faults.reordered),
        ("damaged", faults.damaged),
        ("events under another number than the publisher was told", faults.renumbered),
        ("gaps with the reason crash after an orderly end", faults.gaps_after_order),
        ("attempts to come back denied", faults.denied),
        ("sockets not back in the end", faults.never_back),
        ("publishers told numbers out of order", u64::from(!in_order)),
    ];
    let told = counts.into_iter().filter(|(_, count)| *count > 0).map(|(what, count)| format!("{count} {what}"));
    let unseen = "no socket lost its connection: restart the server while loadgen publishes".to_owned();
    told.chain((restarts == 0).then_some(unseen)).collect()
}

/// Where sockets came back faster than `most` times the pace, or without one.
fn too_fast(restarts: &[Restart], most: f64) -> Vec<String> {
    let verdict = |(number, restart): (usize, &Restart)| match (restart.pace_ratio, restart.paced_per_second) {
        (Some(ratio), _) if ratio <= most => None,
        (Some(ratio), Some(paced)) => Some(format!(
            "restart {number}: {} reconnects in one second are {ratio:.3} times the paced {paced:.1} a second, past {most}",
            restart.most_in_a_second
        )),
        _ => Some(format!("restart {number}: the sockets were told no pace to hold to")),
    };
    (1..).zip(restarts).filter_map(verdict).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn whatever_does_not_hold_is_told() {
        assert!(broken(&Faults::default(), 1, true).is_empty());
        let all = Faults {
            lost: 1,
            duplicated: 1,
            reordered: 1,
            damaged: 1,
            renumbered: 1,
            gaps_after_order: 1,
            denied: 1,
            never_back: 1,
        };
        assert_eq!(broken(&all, 0, false).len(), 10);
        assert!(broken(&Faults::default(), 0, true)[0].contains("restart the server"));
    }

    /// A hundred sockets, told to be back 10 ms apart, which come back `apart_ms` apart.
    fn restart(apart_ms: u64) -> Restart {
        Restart::of(Wave {
            told_ns: (0..200).map(|step| step * 10 * MS).collect(),
            tries_ns: (0..200).map(|step| step * apart_ms * MS).collect(),
            late_ns: vec![0; 200],
            live_again_ns: vec![5 * MS; 199],
            closed_1012: 200,
            ..Wave::default()
        })
    }

    #[test]
    fn the_pace_is_held_to_and_a_restart_without_one_does_not_hold() {
        let even = restart(10);
        assert_eq!((even.most_in_a_second, even.never_live_again, even.live_again.count), (100, 1, 199));
        assert!((even.paced_per_second.unwrap() - 100.5).abs() < 0.1, "{even:?}");
        assert!(too_fast(&[even], 1.2).is_empty());
        assert!(too_fast(&[restart(9)], 1.2).is_empty(), "112 in a second");
        let fast = too_fast(&[restart(10), restart(8)], 1.2);
        assert_eq!(restart(8).told_most_in_a_second, 100, "that is no fault of what they were told");
        assert!(fast.len() == 1 && fast[0].starts_with("restart 2: 125 reconnects"), "{fast:?}");
        let untold = Restart::of(Wave { tries_ns: vec![1, 2], closed_1012: 2, ..Wave::default() });
        assert!(too_fast(&[untold], 1.2)[0].contains("no pace"));
    }
}
