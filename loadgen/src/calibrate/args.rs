//! The command line of `loadgen calibrate`.

use std::path::PathBuf;

use clap::Args;
use stentor::plan::calibration::CALIBRATION_FILE;

use crate::args::DEFAULT_OWNER;
use crate::limits::{CALIBRATED_SOCKETS_MAX, CALIBRATED_SOCKETS_MIN};

#[derive(Clone, Debug, Args)]
pub struct CalibrateArguments {
    /// The server: a Stentor on this machine that was just started and has nothing else to do
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:5001")]
    pub host: String,
    /// The subscribers' key
    #[arg(long)]
    pub key: Option<String>,
    /// The publisher's key
    #[arg(long)]
    pub publish_key: Option<String>,
    /// The server's process, whose CPU time and memory are read
    #[arg(long, value_name = "PID")]
    pub server_pid: u32,
    /// Where the costs go, as JSON: a file, or standard output (-)
    #[arg(long, value_name = "FILE|-", default_value = CALIBRATION_FILE)]
    pub out: PathBuf,
    /// Sockets of the larger loads; the smaller ones have a quarter. More make a plan for many surer
    #[arg(long, default_value_t = 4_000, value_parser = clap::value_parser!(u32).range(i64::from(CALIBRATED_SOCKETS_MIN)..=i64::from(CALIBRATED_SOCKETS_MAX)))]
    pub sockets: u32,
    /// How often everything is measured
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub rounds: u32,
    /// The wallet whose trades are published
    #[arg(long, default_value = DEFAULT_OWNER)]
    pub owner: String,
    /// Client threads
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=256))]
    pub threads: u32,
    /// The client threads' CPUs, such as 1 or 2-5,8 [default: the last]
    #[arg(long, value_name = "LIST")]
    pub cpu: Option<String>,
    /// The publisher's CPU [default: the client's]
    #[arg(long, value_name = "CPU")]
    pub publisher_cpu: Option<usize>,
}
