//! What the pieces of a server's work cost on one machine: the document that `loadgen calibrate` writes and `stentor plan` reads.
//!
//! The one definition of it for both programs. Every figure is a median with its extremes; units are in the names.
//!
//! Invariants:
//! * A document of another format version is refused before anything else of it is read.
//! * Costs that come out of [`Calibration::parse`] are finite and not negative, and there is at least one shard.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::limits::CALIBRATION_BYTES_MAX;

/// Where both programs look unless they are told otherwise.
pub const CALIBRATION_FILE: &str = "calibration.json";

/// The version of this document. Another one means other figures.
pub const CALIBRATION_FORMAT: u32 = 1;

/// One machine's costs, as they were measured through the loopback interface.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    pub format: u32,
    /// RFC 3339.
    pub made_at: String,
    pub machine: MeasuredMachine,
    pub load: CalibrationLoad,
    pub cpu: CpuCosts,
    pub fan_out: FanOutCosts,
    pub memory: MemoryCosts,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MeasuredMachine {
    pub cpu_model: String,
    pub kernel: String,
    pub cpus: usize,
}

/// What the server was given to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CalibrationLoad {
    /// The server's shards; costs are of one.
    pub shards: u32,
    /// The two numbers of sockets, over all shards.
    pub sockets_few: u32,
    pub sockets_many: u32,
    /// Bytes of a published event, and of the long one by which the cost of a byte is told.
    pub payload_bytes: u32,
    pub long_payload_bytes: u32,
    /// Events of a burst.
    pub burst: u32,
    /// How often everything was measured, in turns.
    pub rounds: u32,
}

/// The middle and the ends of what the rounds gave.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    pub median: f64,
    pub min: f64,
    pub max: f64,
}

/// CPU time by the kind of thread: one shard, the hub, the journal, and everything else of the server together.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ByThread<T> {
    pub shard: T,
    pub hub: T,
    pub journal: T,
    pub other: T,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CpuCosts {
    /// Without a socket and without an event: timers.
    pub idle_ns_per_second: ByThread<Cost>,
    /// One publish request of one event, as such: parsed, numbered, written, its answer; without the sends.
    pub request_ns: ByThread<Cost>,
    /// Each further event of the same request.
    pub further_event_ns: ByThread<Cost>,
    /// One event sent to one socket alone, soon after another, with few and with many sockets on a shard.
    pub send_few_ns: Cost,
    pub send_many_ns: Cost,
    /// What it costs more where the client's TCP acknowledges it at once, as it does after a pause.
    pub acknowledgement_ns: Cost,
    /// What each byte of the event adds to that.
    pub send_byte_ns: Cost,
    /// Another event in the same send, at [`CalibrationLoad::payload_bytes`].
    pub coalesced_event_ns: Cost,
    /// Heartbeats of one socket in a second.
    pub heartbeat_ns_per_socket_second: Cost,
}

/// How long an event takes to the last socket, as a client sees it, when nothing disturbs it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct FanOutCosts {
    /// To one socket alone.
    pub one_us: Cost,
    /// What each socket of a shard adds, with few and with many of them.
    pub socket_few_ns: Cost,
    pub socket_many_ns: Cost,
    /// And where each acknowledges at once.
    pub acknowledgement_ns: Cost,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct MemoryCosts {
    /// Resident memory of the server without a socket, before its logs are full.
    pub server_bytes: Cost,
    pub server_bytes_per_socket: Cost,
    /// Both ends of a connection, for both were on this machine.
    pub kernel_bytes_per_connection: Cost,
}

/// Why a calibration can't be used; the user makes another.
#[derive(Debug, thiserror::Error)]
pub enum CalibrationError {
    #[error(
        "there is no calibration in {}: measure this machine once with `loadgen calibrate` (see its --help), or name a file with --calibration", path.display()
    )]
    Missing { path: PathBuf },
    #[error("can't read {}: {source}: name a readable file with --calibration", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{} is longer than {CALIBRATION_BYTES_MAX} bytes and so no calibration: name another file with --calibration", path.display())]
    TooLong { path: PathBuf },
    #[error("{}: {why}: make it anew with `loadgen calibrate`", path.display())]
    Document { path: PathBuf, why: DocumentError },
}

/// What is wrong with the text itself.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    #[error("no calibration ({0})")]
    Json(#[from] serde_json::Error),
    #[error("a calibration of format {0}, and this program knows format {CALIBRATION_FORMAT}")]
    Format(u64),
    #[error("{0} is not a cost: a finite number, not negative")]
    Cost(&'static str),
    #[error("it was made with {few} and {many} sockets on {shards} shards, from which nothing follows")]
    Load { few: u32, many: u32, shards: u32 },
}

impl Calibration {
    pub fn read(path: &Path) -> Result<Self, CalibrationError> {
        let path_told = || path.to_owned();
        let unreadable = |source: io::Error| match source.kind() {
            io::ErrorKind::NotFound => CalibrationError::Missing { path: path_told() },
            _ => CalibrationError::Unreadable { path: path_told(), source },
        };
        let mut text = String::new();
        let file = File::open(path).map_err(unreadable)?;
        file.take(CALIBRATION_BYTES_MAX + 1).read_to_string(&mut text).map_err(unreadable)?;
        if text.len() as u64 > CALIBRATION_BYTES_MAX {
            return Err(CalibrationError::TooLong { path: path_told() });
        }
        Self::parse(&text).map_err(|why| CalibrationError::Document { path: path_told(), why })
    }

    pub fn parse(text: &str) -> Result<Self, DocumentError> {
        #[derive(Deserialize)]
        struct Versioned {
            format: u64,
        }
        let Versioned { format } = serde_json::from_str(text)?;
        if format != u64::from(CALIBRATION_FORMAT) {
            return Err(DocumentError::Format(format));
        }
        let calibration: Self = serde_json::from_str(text)?;
        calibration.check()?;
        Ok(calibration)
    }

    /// Refuses what no measurement can have given.
    pub fn check(&self) -> Result<(), DocumentError> {
        let CalibrationLoad { shards, sockets_few: few, sockets_many: many, .. } = self.load;
        if shards == 0 || few == 0 || few >= many {
            return Err(DocumentError::Load { few, many, shards });
        }
        match self.costs().into_iter().find(|(_, cost)| !cost.is_sound()) {
            Some((name, _)) => Err(DocumentError::Cost(name)),
            None => Ok(()),
        }
    }

    /// Every cost by its name, in the order of a table.
    pub fn costs(&self) -> Vec<(&'static str, Cost)> {
        let (cpu, fan_out, memory) = (&self.cpu, &self.fan_out, &self.memory);
        let (idle, request, further) = (&cpu.idle_ns_per_second, &cpu.request_ns, &cpu.further_event_ns);
        vec![
            ("idle_ns_per_second.shard", idle.shard),
            ("idle_ns_per_second.hub", idle.hub),
            ("idle_ns_per_second.journal", idle.journal),
            ("idle_ns_per_second.other", idle.other),
            ("request_ns.shard", request.shard),
            ("request_ns.hub", request.hub),
            ("request_ns.journal", request.journal),
            ("request_ns.other", request.other),
            ("further_event_ns.shard", further.shard),
            ("further_event_ns.hub", further.hub),
            ("further_event_ns.journal", further.journal),
            ("further_event_ns.other", further.other),
            ("send_few_ns", cpu.send_few_ns),
            ("send_many_ns", cpu.send_many_ns),
            ("acknowledgement_ns", cpu.acknowledgement_ns),
            ("send_byte_ns", cpu.send_byte_ns),
            ("coalesced_event_ns", cpu.coalesced_event_ns),
            ("heartbeat_ns_per_socket_second", cpu.heartbeat_ns_per_socket_second),
            ("one_us", fan_out.one_us),
            ("socket_few_ns", fan_out.socket_few_ns),
            ("socket_many_ns", fan_out.socket_many_ns),
            ("fan_out.acknowledgement_ns", fan_out.acknowledgement_ns),
            ("server_bytes", memory.server_bytes),
            ("server_bytes_per_socket", memory.server_bytes_per_socket),
            ("kernel_bytes_per_connection", memory.kernel_bytes_per_connection),
        ]
    }
}

impl MeasuredMachine {
    /// The machine on which this runs. `root` is `/` but in tests.
    pub fn read(root: &Path) -> Self {
        let cpuinfo = fs::read_to_string(root.join("proc/cpuinfo")).unwrap_or_default();
        let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.trim_start().strip_prefix(':'));
        Self {
            cpu_model: model.map_or_else(|| std::env::consts::ARCH.to_owned(), |name| name.trim().to_owned()),
            kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
            cpus: std::thread::available_parallelism().map_or(1, usize::from),
        }
    }
}

impl Cost {
    /// The middle and the ends of at least one figure.
    pub fn of(values: &[f64]) -> Option<Self> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let middle = sorted.len() / 2;
        let median =
            if sorted.len() % 2 == 1 { sorted[middle] } else { f64::midpoint(sorted[middle - 1], sorted[middle]) };
        Some(Self { median, min, max })
    }

    /// All three at once.
    pub fn map(self, change: impl Fn(f64) -> f64) -> Self {
        Self { median: change(self.median), min: change(self.min), max: change(self.max) }
    }

    fn is_sound(self) -> bool {
        [self.median, self.min, self.max].into_iter().all(|value| value.is_finite() && value >= 0.0)
    }
}

impl<T> ByThread<T> {
    pub fn map<U>(self, mut change: impl FnMut(T) -> U) -> ByThread<U> {
        ByThread {
            shard: change(self.shard),
            hub: change(self.hub),
            journal: change(self.journal),
            other: change(self.other),
        }
    }
}

/// The moment, as a document tells it.
pub fn now_rfc3339() -> String {
    format!("{:.0}", jiff::Timestamp::now())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::fake_root::FakeRoot;
    use super::*;

    fn always(value: f64) -> Cost {
        Cost { median: value, min: value, max: value }
    }

    /// Round figures of a machine that never was: a shard's send takes 4 µs with 1,000 sockets and 5 with 4,000.
    pub fn example() -> Calibration {
        Calibration {
            format: CALIBRATION_FORMAT,
            made_at: "2025-01-15T10:30:00Z".to_owned(),
            machine: MeasuredMachine { cpu_model: "Abacus".to_owned(), kernel: "6.18".to_owned(), cpus: 2 },
            load: CalibrationLoad {
                shards: 1,
                sockets_few: 1000,
                sockets_many: 4000,
                payload_bytes: 250,
                long_payload_bytes: 4000,
                burst: 100,
                rounds: 3,
            },
            cpu: CpuCosts {
                idle_ns_per_second: ByThread { shard: 2e6, hub: 1e6, journal: 1e6, other: 1e6 }.map(always),
                request_ns: ByThread { shard: 200e3, hub: 100e3, journal: 100e3, other: 100e3 }.map(always),
                further_event_ns: ByThread { shard: 2e3, hub: 1e3, journal: 1e3, other: 0.0 }.map(always),
                send_few_ns: always(4000.0),
                send_many_ns: always(5000.0),
                acknowledgement_ns: always(1500.0),
                send_byte_ns: always(0.2),
                coalesced_event_ns: always(40.0),
                heartbeat_ns_per_socket_second: always(400.0),
            },
            fan_out: FanOutCosts {
                one_us: always(200.0),
                socket_few_ns: always(4400.0),
                socket_many_ns: always(5500.0),
                acknowledgement_ns: always(1600.0),
            },
            memory: MemoryCosts {
                server_bytes: always(22e6),
                server_bytes_per_socket: always(400.0),
                kernel_bytes_per_connection: always(8000.0),
            },
        }
    }

    #[test]
    fn what_is_written_can_be_read() {
        let text = serde_json::to_string_pretty(&example()).expect("plain data");
        assert_eq!(Calibration::parse(&text).expect("a calibration"), example());
    }

    #[test]
    fn another_format_is_refused_before_its_content_is_looked_at() {
        let message = Calibration::parse(r#"{"format":2,"everything":"else"}"#).expect_err("format 2").to_string();
        assert!(message.contains("format 2") && message.contains("format 1"), "{message}");
        assert!(matches!(Calibration::parse("{}"), Err(DocumentError::Json(_))));
        assert!(matches!(Calibration::parse(r#"{"format":1}"#), Err(DocumentError::Json(_))));
        assert!(matches!(Calibration::parse("[[[["), Err(DocumentError::Json(_))));
    }

    #[test]
    fn a_cost_below_nothing_is_refused_by_its_name() {
        let mut calibration = example();
        calibration.cpu.request_ns.journal.median = -1.0;
        let text = serde_json::to_string(&calibration).expect("plain data");
        assert!(matches!(Calibration::parse(&text), Err(DocumentError::Cost("request_ns.journal"))));
        let mut calibration = example();
        calibration.fan_out.one_us.max = f64::INFINITY;
        assert!(matches!(calibration.check(), Err(DocumentError::Cost("one_us"))));
    }

    #[test]
    fn a_load_that_tells_nothing_is_refused() {
        for change in [
            |load: &mut CalibrationLoad| load.shards = 0,
            |load: &mut CalibrationLoad| load.sockets_few = 0,
            |load: &mut CalibrationLoad| load.sockets_many = load.sockets_few,
        ] {
            let mut calibration = example();
            change(&mut calibration.load);
            assert!(matches!(calibration.check(), Err(DocumentError::Load { .. })), "{:?}", calibration.load);
        }
    }

    #[test]
    fn a_missing_file_says_how_to_make_one_and_a_long_one_is_not_read() {
        let root = FakeRoot::new(&[("other", "{}")]);
        let message = Calibration::read(&root.path().join("none.json")).expect_err("no file").to_string();
        assert!(message.contains("loadgen calibrate") && message.contains("--calibration"), "{message}");
        let message = Calibration::read(&root.path().join("other")).expect_err("no calibration").to_string();
        assert!(message.contains("other: no calibration"), "{message}");
        root.write("long", &" ".repeat(CALIBRATION_BYTES_MAX as usize + 1));
        assert!(matches!(Calibration::read(&root.path().join("long")), Err(CalibrationError::TooLong { .. })));
    }

    #[test]
    fn the_middle_lies_between_the_ends() {
        assert_eq!(Cost::of(&[3.0, 1.0, 2.0]), Some(Cost { median: 2.0, min: 1.0, max: 3.0 }));
        assert_eq!(Cost::of(&[4.0, 1.0]), Some(Cost { median: 2.5, min: 1.0, max: 4.0 }));
        assert_eq!(Cost::of(&[]), None);
    }

    #[test]
    fn the_cpu_is_called_as_the_kernel_calls_it() {
        let root = FakeRoot::new(&[("proc/cpuinfo", "processor\t: 0\nmodel name\t: Abacus 9\n")]);
        assert_eq!(MeasuredMachine::read(root.path()).cpu_model, "Abacus 9");
        assert_eq!(MeasuredMachine::read(&root.path().join("none")).cpu_model, std::env::consts::ARCH);
    }
}
