//! Costs from samples: differences of loads that differ in one thing, within a round, and medians over the rounds.
//!
//! Pure: samples in, costs and what contradicts itself out.

use stentor::limits::PING_PERIOD_MS;
use stentor::plan::calibration::{ByThread, Cost, CpuCosts, FanOutCosts, MemoryCosts};

use super::probe::Sample;
use crate::limits::{CALIBRATED_NOISE_SHARE_MAX, CALIBRATED_SOCKET_BYTES_MIN, CALIBRATED_SPREAD_MAX};

/// CPU time of the server without a socket and without an event.
#[derive(Clone, Copy, Debug)]
pub struct Idle {
    pub seconds: f64,
    pub cpu_ns: ByThread<f64>,
}

/// Everything, measured once.
#[derive(Clone, Debug)]
pub struct Round {
    pub idle: Idle,
    pub one: Sample,
    pub one_burst: Sample,
    pub few: Sample,
    pub many: Sample,
    pub more: Sample,
    pub long: Sample,
    pub many_burst: Sample,
    pub waiting: Sample,
}

/// What the rounds come to.
#[derive(Clone, Copy, Debug)]
pub struct Costs {
    pub cpu: CpuCosts,
    pub fan_out: FanOutCosts,
    pub memory: MemoryCosts,
}

/// Costs from at least one round, and what can't be so.
pub fn fit(rounds: &[Round], shards: u32) -> (Costs, Vec<String>) {
    let mut fit = Fit { rounds, shards: f64::from(shards), broken: Vec::new() };
    let costs = Costs { cpu: fit.cpu(), fan_out: fit.fan_out(), memory: fit.memory() };
    (costs, fit.broken)
}

struct Fit<'a> {
    rounds: &'a [Round],
    shards: f64,
    broken: Vec<String>,
}

/// Picks one kind of thread.
type Kind = fn(&ByThread<f64>) -> f64;

/// The kinds of threads by their names.
const KINDS: [(&str, Kind); 4] =
    [("shard", |of| of.shard), ("hub", |of| of.hub), ("journal", |of| of.journal), ("rest", |of| of.other)];

impl Round {
    /// CPU time of one step, less what the server takes when idle. Heartbeats are in it: in so short a time, half a percent.
    fn step_ns(&self, sample: &Sample, of: Kind) -> f64 {
        let idle = of(&self.idle.cpu_ns) / self.idle.seconds * sample.seconds;
        (of(&sample.cpu_ns) - idle) / f64::from(sample.shape.steps)
    }

    fn shards_ns(&self, sample: &Sample) -> f64 {
        self.step_ns(sample, |of| of.shard)
    }

    /// CPU time of all shards for one of the events that `more` has more than `many`.
    fn later_step_ns(&self) -> f64 {
        let idle = self.idle.cpu_ns.shard / self.idle.seconds * (self.more.seconds - self.many.seconds);
        let steps = f64::from(self.more.shape.steps - self.many.shape.steps);
        (self.more.cpu_ns.shard - self.many.cpu_ns.shard - idle) / steps
    }

    /// What a send costs more that is acknowledged at once.
    fn acknowledgement_ns(&self) -> f64 {
        (self.shards_ns(&self.many) - self.later_step_ns()) / f64::from(self.many.shape.sockets)
    }

    /// One event to one socket: all of them less the one that `one` had.
    fn send_ns(&self, sample: &Sample) -> f64 {
        (self.shards_ns(sample) - self.shards_ns(&self.one)) / f64::from(sample.shape.sockets - 1)
    }

    fn byte_ns(&self) -> f64 {
        let more = f64::from(self.long.shape.payload_bytes) - f64::from(self.many.shape.payload_bytes);
        (self.shards_ns(&self.long) - self.shards_ns(&self.many)) / (f64::from(self.many.shape.sockets) * more)
    }

    fn further_events(&self) -> f64 {
        f64::from(self.many_burst.shape.burst - 1)
    }

    /// A further event in a send: what a burst adds with many sockets, less what it adds with one.
    fn coalesced_ns(&self) -> f64 {
        let with_many = self.shards_ns(&self.many_burst) - self.shards_ns(&self.many);
        let with_one = self.shards_ns(&self.one_burst) - self.shards_ns(&self.one);
        (with_many - with_one) / (self.further_events() * f64::from(self.many.shape.sockets - 1))
    }

    fn heartbeat_ns(&self) -> f64 {
        let waiting = &self.waiting;
        let events = f64::from(waiting.shape.steps) * self.shards_ns(&self.many);
        let idle = self.idle.cpu_ns.shard / self.idle.seconds * waiting.seconds;
        (waiting.cpu_ns.shard - idle - events) / (f64::from(waiting.shape.sockets) * waiting.seconds)
    }
}

impl Fit<'_> {
    fn over_rounds(&self, of: impl Fn(&Round) -> f64) -> Vec<f64> {
        self.rounds.iter().map(of).collect()
    }

    /// A cost that is far above what differences can miss: it is there, and the rounds agree on it.
    fn main(&mut self, name: &str, of: impl Fn(&Round) -> f64) -> Cost {
        let cost = cost_of(&self.over_rounds(of));
        if cost.median <= 0.0 {
            self.broken.push(format!(
                "{name} comes to {:.0} ns, less than nothing: is something else at work here?",
                cost.median
            ));
        } else if (cost.max - cost.min) / cost.median > CALIBRATED_SPREAD_MAX {
            self.broken.push(format!(
                "{name} is anything from {:.0} to {:.0} ns: too noisy, so calibrate when the machine does nothing else",
                cost.min, cost.max
            ));
        }
        not_negative(cost)
    }

    /// A cost that may be less than what it was told apart from is noisy. It is none where it comes out a little below nothing.
    fn minor(&mut self, name: &str, of: impl Fn(&Round) -> f64, told_apart_from: f64) -> Cost {
        let cost = cost_of(&self.over_rounds(of));
        if cost.median < -CALIBRATED_NOISE_SHARE_MAX * told_apart_from {
            self.broken.push(format!(
                "{name} comes to {:.2} ns, less than nothing: is something else at work here?",
                cost.median
            ));
        }
        not_negative(cost)
    }

    fn by_thread(&mut self, mut of: impl FnMut(&mut Self, &str, Kind) -> Cost) -> ByThread<Cost> {
        let [shard, hub, journal, other] = KINDS.map(|(kind, get)| of(self, kind, get));
        ByThread { shard: shard.map(|ns| ns / self.shards), hub, journal, other }
    }

    fn cpu(&mut self) -> CpuCosts {
        let scale = cost_of(&self.over_rounds(|round| round.send_ns(&round.many))).median;
        let acknowledgement_ns = self.minor("an acknowledgement", Round::acknowledgement_ns, scale);
        let later_ns = |round: &Round, sample: &Sample| round.send_ns(sample) - acknowledgement_ns.median;
        let send_few_ns = self.main("a send with few sockets", |round| later_ns(round, &round.few));
        let send_many_ns = self.main("a send with many sockets", |round| later_ns(round, &round.many));
        if send_many_ns.median < (1.0 - CALIBRATED_NOISE_SHARE_MAX) * send_few_ns.median {
            self.broken.push(format!(
                "a send is cheaper with many sockets ({:.0} ns) than with few ({:.0} ns): is something else at work here?",
                send_many_ns.median, send_few_ns.median
            ));
        }
        let first = &self.rounds[0];
        let more_bytes = f64::from(first.long.shape.payload_bytes - first.many.shape.payload_bytes);
        let further_events = first.further_events();
        let coalesced_event_ns =
            self.minor("a further event in a send", Round::coalesced_ns, send_many_ns.median / further_events);
        let request_ns = self.by_thread(|fit, kind, get| {
            let sends = if kind == "shard" { 1.0 } else { 0.0 };
            let name = format!("a request's part of the {kind}");
            let scale = cost_of(&fit.over_rounds(|round| get(&round.one.cpu_ns) / f64::from(round.one.shape.steps)));
            fit.minor(&name, |round| round.step_ns(&round.one, get) - sends * round.send_ns(&round.few), scale.median)
        });
        let further_event_ns = self.by_thread(|fit, kind, get| {
            let sends = if kind == "shard" { 1.0 } else { 0.0 };
            let name = format!("a further event's part of the {kind}");
            let scale = cost_of(&fit.over_rounds(|round| round.step_ns(&round.one, get).abs())).median / further_events;
            let more = |round: &Round| round.step_ns(&round.one_burst, get) - round.step_ns(&round.one, get);
            fit.minor(&name, |round| more(round) / further_events - sends * round.coalesced_ns(), scale)
        });
        let ping_ns = (send_many_ns.median + acknowledgement_ns.median) / (f64::from(PING_PERIOD_MS) / 1e3);
        let all = |round: &Round| {
            round.waiting.cpu_ns.shard / (f64::from(round.waiting.shape.sockets) * round.waiting.seconds)
        };
        let told_apart_from = cost_of(&self.over_rounds(all)).median;
        let heartbeat = self.minor("a socket's heartbeat", Round::heartbeat_ns, told_apart_from);
        CpuCosts {
            idle_ns_per_second: self.by_thread(|fit, _, get| {
                cost_of(&fit.over_rounds(|round| get(&round.idle.cpu_ns) / round.idle.seconds))
            }),
            request_ns,
            further_event_ns,
            send_few_ns,
            send_many_ns,
            acknowledgement_ns,
            send_byte_ns: self.minor("a byte", Round::byte_ns, send_many_ns.median / more_bytes),
            coalesced_event_ns,
            // A ping is a send, and then there is the pong.
            heartbeat_ns_per_socket_second: heartbeat.map(|ns| ns.max(ping_ns)),
        }
    }

    fn fan_out(&mut self) -> FanOutCosts {
        let us = |sample: &Sample| sample.full_fan_out_us.unwrap_or(0.0);
        let shards = self.shards;
        let socket_ns = |round: &Round, sample: &Sample| {
            (us(sample) - us(&round.one)) * 1e3 * shards / f64::from(sample.shape.sockets)
        };
        let acknowledgement_ns = |round: &Round| socket_ns(round, &round.many) - socket_ns(round, &round.more);
        let scale = cost_of(&self.over_rounds(|round| socket_ns(round, &round.many))).median;
        let acknowledgement_ns = self.minor("an acknowledgement in a fan-out", acknowledgement_ns, scale);
        let later_ns = |round: &Round, sample: &Sample| socket_ns(round, sample) - acknowledgement_ns.median;
        FanOutCosts {
            acknowledgement_ns,
            one_us: not_negative(cost_of(&self.over_rounds(|round| us(&round.one)))),
            socket_few_ns: self.main("a socket's part of a fan-out to few", |round| later_ns(round, &round.few)),
            socket_many_ns: self.main("a socket's part of a fan-out to many", |round| later_ns(round, &round.many)),
        }
    }

    /// The server's memory is told by the first round: afterwards it keeps what it had.
    fn memory(&mut self) -> MemoryCosts {
        let Round { one_burst, few, one, many, .. } = &self.rounds[0];
        // By then there was room for as many as few, and every buffer had been used.
        let more = f64::from(many.shape.sockets - few.shape.sockets);
        let per_socket = (many.server_bytes - one.server_bytes) / more;
        if per_socket < CALIBRATED_SOCKET_BYTES_MIN {
            self.broken.push(format!(
                "the server grew by {per_socket:.0} bytes a socket, less than a session takes: it has held sockets before, so start it anew"
            ));
        }
        let kernel: Vec<f64> = self.rounds.iter().filter_map(|round| round.many.kernel_bytes_per_connection).collect();
        let kernel = Cost::of(&kernel).unwrap_or(NOTHING);
        if kernel.median <= 0.0 {
            self.broken
                .push("the kernel's memory did not grow with the sockets: is something else at work here?".to_owned());
        }
        MemoryCosts {
            server_bytes: not_negative(cost_of(&[one_burst.server_bytes])),
            server_bytes_per_socket: not_negative(cost_of(&[per_socket])),
            kernel_bytes_per_connection: not_negative(kernel),
        }
    }
}

const NOTHING: Cost = Cost { median: 0.0, min: 0.0, max: 0.0 };

fn cost_of(values: &[f64]) -> Cost {
    Cost::of(values).expect("there is at least one round")
}

fn not_negative(cost: Cost) -> Cost {
    cost.map(|value| value.max(0.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calibrate::probe::Probe;
    use crate::limits::CALIBRATED_QUICK_STEPS;

    /// A server whose costs are known, in nanoseconds.
    #[derive(Clone, Copy)]
    struct Known {
        shards: f64,
        idle: ByThread<f64>,
        request: ByThread<f64>,
        further: ByThread<f64>,
        send_few: f64,
        send_many: f64,
        acknowledgement: f64,
        byte: f64,
        coalesced: f64,
        heartbeat: f64,
    }

    const KNOWN: Known = Known {
        shards: 2.0,
        idle: ByThread { shard: 2e6, hub: 1e6, journal: 5e5, other: 3e5 },
        request: ByThread { shard: 150e3, hub: 90e3, journal: 70e3, other: 20e3 },
        further: ByThread { shard: 2e3, hub: 1e3, journal: 800.0, other: 0.0 },
        send_few: 4e3,
        send_many: 5e3,
        acknowledgement: 1_500.0,
        byte: 0.25,
        coalesced: 40.0,
        heartbeat: 600.0,
    };

    impl Known {
        fn sample(&self, probe: Probe) -> Sample {
            let shape = probe.shape(1000, 4000);
            let (sockets, steps) = (f64::from(shape.sockets), f64::from(shape.steps));
            let seconds = steps * shape.interval_ms as f64 / 1e3;
            let send = if shape.sockets > 1000 { self.send_many } else { self.send_few };
            let further = f64::from(shape.burst - 1);
            let bytes = f64::from(shape.payload_bytes) - 250.0;
            let at_once = steps.min(f64::from(CALIBRATED_QUICK_STEPS)) / steps * self.acknowledgement;
            let sends = sockets * (send + at_once + bytes * self.byte + further * self.coalesced);
            let beats = if probe == Probe::Waiting { sockets * seconds * self.heartbeat } else { 0.0 };
            let of =
                |idle: f64, request: f64, further_ns: f64| idle * seconds + steps * (request + further * further_ns);
            let shard = of(self.idle.shard, self.request.shard, self.further.shard);
            Sample {
                shape,
                seconds,
                cpu_ns: ByThread {
                    shard: self.shards * shard + steps * sends + beats,
                    hub: of(self.idle.hub, self.request.hub, self.further.hub),
                    journal: of(self.idle.journal, self.request.journal, self.further.journal),
                    other: of(self.idle.other, self.request.other, self.further.other),
                },
                full_fan_out_us: Some(
                    200.0
                        + sockets / self.shards * (send + 100.0 + if probe == Probe::More { 0.0 } else { 700.0 }) / 1e3,
                ),
                server_bytes: 20e6 + 300.0 * sockets,
                kernel_bytes_per_connection: Some(8_000.0),
                broken: Vec::new(),
            }
        }

        fn round(&self) -> Round {
            let seconds = 1.5;
            let cpu_ns = ByThread { shard: self.shards * self.idle.shard, ..self.idle }.map(|ns| ns * seconds);
            Round {
                idle: Idle { seconds, cpu_ns },
                // The server keeps the memory of the few sockets that came before.
                one: Sample { server_bytes: 20e6 + 300.0 * 1000.0, ..self.sample(Probe::One) },
                one_burst: self.sample(Probe::OneBurst),
                few: self.sample(Probe::Few),
                many: self.sample(Probe::Many),
                more: self.sample(Probe::More),
                long: self.sample(Probe::Long),
                many_burst: self.sample(Probe::ManyBurst),
                waiting: self.sample(Probe::Waiting),
            }
        }
    }

    fn near(figure: Cost, wanted: f64) {
        assert!((figure.median - wanted).abs() <= wanted.abs() * 0.005 + 1e-6, "{figure:?} is not {wanted}");
    }

    #[test]
    fn known_costs_are_found_again() {
        let (costs, broken) = fit(&[KNOWN.round(), KNOWN.round(), KNOWN.round()], 2);
        assert!(broken.is_empty(), "{broken:?}");
        let cpu = costs.cpu;
        near(cpu.idle_ns_per_second.shard, 2e6);
        near(cpu.idle_ns_per_second.journal, 5e5);
        near(cpu.request_ns.shard, 150e3);
        near(cpu.request_ns.hub, 90e3);
        near(cpu.further_event_ns.shard, 2e3);
        near(cpu.further_event_ns.journal, 800.0);
        near(cpu.further_event_ns.other, 0.0);
        near(cpu.send_few_ns, 4e3);
        near(cpu.send_many_ns, 5e3);
        near(cpu.acknowledgement_ns, 1_500.0);
        near(costs.fan_out.acknowledgement_ns, 700.0);
        near(cpu.send_byte_ns, 0.25);
        near(cpu.coalesced_event_ns, 40.0);
        near(cpu.heartbeat_ns_per_socket_second, 600.0);
        near(costs.fan_out.socket_few_ns, 4_100.0);
        near(costs.fan_out.socket_many_ns, 5_100.0);
        near(costs.memory.server_bytes, 20e6);
        near(costs.memory.server_bytes_per_socket, 300.0);
        near(costs.memory.kernel_bytes_per_connection, 8_000.0);
    }

    #[test]
    fn one_round_that_was_disturbed_is_outvoted_and_shows_in_the_spread() {
        let mut disturbed = KNOWN.round();
        disturbed.many.cpu_ns.shard *= 1.2;
        let (costs, broken) = fit(&[KNOWN.round(), disturbed, KNOWN.round()], 2);
        assert!(broken.is_empty(), "{broken:?}");
        near(costs.cpu.send_many_ns, 5e3);
        assert!(costs.cpu.send_many_ns.max > 5_900.0, "{:?}", costs.cpu.send_many_ns);
    }

    #[test]
    fn rounds_that_do_not_agree_on_a_send_are_told() {
        let slow = Known { send_few: 9e3, send_many: 11e3, ..KNOWN };
        let (_, broken) = fit(&[KNOWN.round(), slow.round()], 2);
        assert!(
            broken.iter().any(|why| why.contains("a send with many sockets") && why.contains("too noisy")),
            "{broken:?}"
        );
    }

    #[test]
    fn costs_less_than_nothing_are_told_and_small_ones_are_none() {
        let (_, broken) = fit(&[Known { byte: -1.0, ..KNOWN }.round()], 2);
        assert!(broken.iter().any(|why| why.starts_with("a byte comes to -1.00 ns")), "{broken:?}");
        let (costs, broken) = fit(&[Known { byte: -0.05, ..KNOWN }.round()], 2);
        assert!(broken.is_empty(), "{broken:?}");
        assert_eq!(costs.cpu.send_byte_ns, NOTHING);
        let (_, broken) = fit(&[Known { send_few: -10.0, ..KNOWN }.round()], 2);
        assert!(broken.iter().any(|why| why.starts_with("a send with few sockets comes to -")), "{broken:?}");
    }

    #[test]
    fn a_send_that_gets_cheaper_with_more_sockets_is_told() {
        let (_, broken) = fit(&[Known { send_many: 3e3, ..KNOWN }.round()], 2);
        assert!(broken.iter().any(|why| why.contains("cheaper with many sockets (3000 ns)")), "{broken:?}");
    }

    #[test]
    fn a_heartbeat_costs_at_least_a_send_a_period() {
        let (costs, _) = fit(&[Known { heartbeat: 0.0, ..KNOWN }.round()], 2);
        near(costs.cpu.heartbeat_ns_per_socket_second, 6.5e3 / 20.0);
    }

    #[test]
    fn a_server_that_has_held_sockets_before_is_told() {
        let mut round = KNOWN.round();
        round.many.server_bytes = round.one.server_bytes + 1_000.0;
        let (_, broken) = fit(&[round], 2);
        assert!(broken.iter().any(|why| why.contains("start it anew")), "{broken:?}");
    }
}
