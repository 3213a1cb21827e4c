//! `loadgen` measures how fast a server reaches all of its sockets with an event, and checks that it reaches them all.
//!
//! ```text
//!   fanout: args ─▶ run ─┬─▶ client threads:  Crowd (rings) ─▶ Inbox ─▶ OrderCheck, Catalogue, Recorder
//!                        │        ▲ frames
//!                        │   the server, a rival, or the Floor
//!                        │        ▲ POST /api/events at the intended times
//!                        ├─▶ Publisher (or nothing: the floor needs none)
//!                        └─▶ report: table, JSON, verdict
//! ```
//! * Load is an open loop: the [`schedule`] is fixed in advance, and latency counts from the intended time.
//! * Every delivery is checked: each socket gets each event once, in order, byte for byte as every other socket got it.
//! * `mixed` and `storm` have whole parts of their own, [`mixed`] and [`storm`], on the same clients and publisher.
//! * Sockets may be of several protocols (`--mix`); each gets every event, in its own envelope.
//! * Sockets may stop reading for a while (`--stalled`), and are still held to every event; or come and go (`--churn`), and are held to
//!   what was due while they were there.
//! * [`search`] runs `fanout` again and again, for the highest rate at which an assertion holds.
//! * [`soak`] keeps the same sockets for hours and tells what drifts; it does not grow itself.
//! * [`restart`] stays while somebody restarts the server: each socket comes back as it is told, and must have every event in the end.
//! * `publish` needs no sockets: [`publish`] waits for each answer, beside a bare write and `fdatasync`.
//! * `webhooks` needs none either: [`webhooks`] is the endpoints that a server delivers to, and checks every signature.
//! * `calibrate` makes short `fanout` loads and tells by their differences what each piece of a Stentor's work costs.
//! * Machines are noisy: `--vs floor` measures the bare `send(2)` loop in turns with the server and gives the ratio.
//!
//! Exit codes: 0 all held, 1 the run failed, 2 wrong usage, 3 deliveries were lost, doubled, reordered or damaged, or an
//! assertion did not hold, 4 the figures of a calibration contradict each other, as on a machine that is too noisy.

mod addresses;
mod args;
mod calibrate;
mod carries;
mod catalogue;
mod client;
mod clock;
mod courier;
mod cpu;
mod crowd;
mod driver;
mod error;
mod event;
mod event_stream;
mod fanout;
mod figures;
mod frame;
mod handshake;
mod heartbeat;
mod hgrm;
mod latency;
mod limits;
mod listener;
mod mixed;
mod nats;
mod order;
mod over_time;
mod process;
mod progress;
mod publish;
mod publisher;
mod restart;
mod returns;
mod schedule;
mod search;
mod secure;
mod soak;
mod storm;
mod target;
mod token;
mod watchlists;
mod webhooks;
mod wording;

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use clap::Parser;
use serde::Serialize;

use crate::args::{Arguments, Command, UsageError};
use crate::calibrate::{CalibrateError, CalibrateRun};
use crate::error::RunError;
use crate::fanout::{Contender, Gate, Run, WriteError};
use crate::mixed::MixedRun;
use crate::publish::PublishRun;
use crate::restart::RestartRun;
use crate::search::SearchRun;
use crate::soak::SoakRun;
use crate::storm::StormRun;
use crate::webhooks::WebhooksRun;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const FAILED: u8 = 1;
const USAGE: u8 = 2;
const DID_NOT_HOLD: u8 = 3;
const CONTRADICTS_ITSELF: u8 = 4;

fn main() -> ExitCode {
    // clap exits with 2 where the command line is wrong.
    let arguments = Arguments::parse();
    match measure(&arguments) {
        Ok(verdict) if verdict.interrupted => fail(FAILED, "interrupted"),
        Ok(verdict) if verdict.broken.is_empty() => ExitCode::SUCCESS,
        Ok(verdict) => fail(DID_NOT_HOLD, &verdict.broken.join("; ")),
        Err(error @ Failure::Calibrate(CalibrateError::Contradictions(_))) => {
            fail(CONTRADICTS_ITSELF, &error.to_string())
        }
        Err(error @ (Failure::Usage(_) | Failure::Calibrate(CalibrateError::Usage(_)))) => {
            fail(USAGE, &error.to_string())
        }
        Err(error) => fail(FAILED, &error.to_string()),
    }
}

fn fail(code: u8, why: &str) -> ExitCode {
    eprintln!("loadgen: {why}");
    ExitCode::from(code)
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Usage(#[from] UsageError),
    #[error(transparent)]
    Run(#[from] RunError),
    #[error(transparent)]
    Calibrate(#[from] CalibrateError),
    #[error("can't handle signals: {0}")]
    Signals(std::io::Error),
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// What a run amounts to.
struct Verdict {
    interrupted: bool,
    broken: Vec<String>,
}

fn measure(arguments: &Arguments) -> Result<Verdict, Failure> {
    let interrupted = listen_for_signals().map_err(Failure::Signals)?;
    let (output, run, gate) = match &arguments.command {
        Command::Fanout(fanout) => {
            let contenders = fanout.contenders()?;
            let mut run = Run { load: fanout.load(contenders.len() as u32)?, contenders, interrupted };
            // A baseline is of the sockets that there really are.
            run.cap_for_floor()?;
            let gate = fanout.gate(&run.contenders, &run.load)?;
            (&fanout.load.output, run, gate)
        }
        Command::Floor(floor) => {
            let load = floor.load.load(&floor.floor, 1)?;
            (&floor.load.output, Run { load, contenders: vec![Contender::Floor], interrupted }, Gate::default())
        }
        Command::Mixed(mixed) => {
            let mut nonce = [0; 16];
            getrandom::fill(&mut nonce).map_err(RunError::Random)?;
            let report = MixedRun { load: mixed.load(nonce)?, interrupted }.measure()?;
            write_out(&mixed::render(&report), &report, mixed.json.as_deref())?;
            return Ok(Verdict { interrupted: false, broken: report.broken });
        }
        Command::Storm(storm) => {
            let mut nonce = [0; 16];
            getrandom::fill(&mut nonce).map_err(RunError::Random)?;
            let report = StormRun { load: storm.load(nonce)?, interrupted }.measure()?;
            write_out(&storm::render(&report), &report, storm.json.as_deref())?;
            return Ok(Verdict { interrupted: false, broken: report.broken });
        }
        Command::Calibrate(calibrate) => {
            let calibrated = CalibrateRun { arguments: calibrate.clone(), interrupted }.measure()?;
            let is_good = calibrated.broken.is_empty() && calibrated.contradictions.is_empty();
            let json = is_good.then_some(calibrate.out.as_path());
            write_out(&calibrate::render(&calibrated.calibration), &calibrated.calibration, json)?;
            if calibrated.broken.is_empty() && !is_good {
                return Err(CalibrateError::Contradictions(calibrated.contradictions.join("; ")).into());
            }
            return Ok(Verdict { interrupted: false, broken: calibrated.broken });
        }
        Command::Publish(publish) => {
            let report = PublishRun { load: publish.load()?, interrupted }.measure()?;
            write_out(&publish::render(&report), &report, publish.json.as_deref())?;
            return Ok(Verdict { interrupted: false, broken: Vec::new() });
        }
        Command::Restart(restart) => {
            let run = getrandom::u64().map_err(RunError::Random)?;
            let report = RestartRun { load: restart.load(run)?, interrupted }.measure()?;
            write_out(&restart::render(&report), &report, restart.json.as_deref())?;
            return Ok(Verdict { interrupted: false, broken: report.broken });
        }
        Command::Search(search) => {
            let (report, stopped_by) = SearchRun { load: search.load()?, interrupted }.measure();
            write_out(&search::render(&report), &report, search.json.as_deref())?;
            return stopped_by
                .map_or(Ok(Verdict { interrupted: false, broken: report.broken }), |error| Err(error.into()));
        }
        Command::Soak(soak) => {
            let (report, stopped_by) = SoakRun { load: soak.load()?, interrupted }.measure()?;
            write_out(&soak::render(&report), &report, soak.json.as_deref())?;
            return stopped_by
                .map_or(Ok(Verdict { interrupted: false, broken: report.broken }), |error| Err(error.into()));
        }
        Command::Webhooks(webhooks) => {
            let seed = getrandom::u64().map_err(RunError::Random)?;
            let report = WebhooksRun { load: webhooks.load(seed)?, interrupted }.measure()?;
            write_out(&webhooks::render(&report), &report, webhooks.json.as_deref())?;
            return Ok(Verdict { interrupted: false, broken: report.broken });
        }
    };
    let mut measured = run.measure()?;
    if let Some(warning) = gate.warning(&measured.report) {
        eprintln!("loadgen: {warning}");
    }
    let missed = gate.broken(&measured.report);
    measured.report.broken.extend(missed);
    output.write(&measured)?;
    let report = measured.report;
    write_out(&fanout::render(&report), &report, output.json.as_deref())?;
    Ok(Verdict { interrupted: report.interrupted, broken: report.broken })
}

/// The first Ctrl-C (or SIGTERM) ends the run cleanly, the second at once.
fn listen_for_signals() -> std::io::Result<Arc<AtomicBool>> {
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register_conditional_shutdown(signal, i32::from(FAILED), Arc::clone(&interrupted))?;
        signal_hook::flag::register(signal, Arc::clone(&interrupted))?;
    }
    Ok(interrupted)
}

/// The table goes to standard output, unless the JSON does: then to standard error.
fn write_out(text: &str, report: &impl Serialize, json: Option<&Path>) -> Result<(), Failure> {
    let document = || serde_json::to_string_pretty(report).expect("a report is plain data") + "\n";
    let print = |text: &str| std::io::stdout().write_all(text.as_bytes()).map_err(|source| write_error("-", source));
    match json {
        Some(path) if path.as_os_str() == "-" => {
            eprint!("{text}");
            print(&document())
        }
        Some(path) => {
            print(text)?;
            std::fs::write(path, document()).map_err(|source| write_error(&path.display().to_string(), source))
        }
        None => print(text),
    }
}

fn write_error(path: &str, source: std::io::Error) -> Failure {
    WriteError { path: path.to_owned(), source }.into()
}
