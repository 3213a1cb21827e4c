//! What is told of some of a side's sockets: those of one protocol, and those that came and went.

use serde::{Deserialize, Serialize};

use super::churn::ChurnEnd;
use super::harvest::Harvest;
use crate::figures::Quantiles;

/// The sockets that came and went.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct ChurnedReport {
    pub sockets: u32,
    /// Connections that took another's place.
    pub reconnects: u64,
    /// From the beginning of such a connection until its opening's last answer.
    pub connect: Quantiles,
    /// Of every timed delivery to them.
    pub latency: Quantiles,
    /// Warm-ups and all.
    pub deliveries: u64,
    /// In what each connection had to get, which the side's figures count, too.
    pub lost: u64,
    pub duplicated: u64,
    pub reordered: u64,
    pub damaged: u64,
    pub ended_early: u64,
    /// Those that were not back in the end.
    pub never_back: u64,
}

/// The sockets of one protocol.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ProtocolReport {
    pub name: String,
    pub sockets: u32,
    /// Of every timed delivery to those that listened all the time.
    pub latency: Quantiles,
    pub lost: u64,
    pub duplicated: u64,
    pub reordered: u64,
    pub damaged: u64,
}

impl ProtocolReport {
    pub fn new(name: &str, sockets: u32, harvest: &Harvest) -> Self {
        Self {
            name: name.to_owned(),
            sockets,
            latency: Quantiles::of(&harvest.recorder.total()),
            lost: harvest.lost,
            duplicated: harvest.duplicated,
            reordered: harvest.reordered,
            damaged: harvest.damaged,
        }
    }
}

impl ChurnedReport {
    pub fn new(churn: &ChurnEnd, latency: Quantiles, ended_early: u64) -> Self {
        Self {
            sockets: churn.sockets,
            reconnects: churn.reconnects(),
            connect: Quantiles::of(&churn.connect),
            latency,
            deliveries: churn.deliveries,
            lost: churn.lost,
            duplicated: churn.duplicated,
            reordered: churn.reordered,
            damaged: churn.damaged,
            ended_early,
            never_back: churn.never_back(),
        }
    }
}
