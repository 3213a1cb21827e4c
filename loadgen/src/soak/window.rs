//! What one client thread hands to the sampler: the latencies since the last sample, and what did not hold so far.

use std::sync::{Mutex, MutexGuard};

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::latency::latency_histogram;

/// What did not hold, over all sockets, since the soak began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Faults {
    /// While a soak goes on, those that a later event has overtaken; in the end, all that never came.
    pub lost: u64,
    pub duplicated: u64,
    pub reordered: u64,
    /// Frames that differ from the first copy of the same event.
    pub damaged: u64,
    /// Deliveries that came when their event's first copy was not kept any more; no fault, but less of a check.
    pub uncompared: u64,
    /// Gaps that the server told of.
    pub gaps: u64,
    /// Text and binary messages that carry no event of the soak: greetings.
    pub other_messages: u64,
}

impl Faults {
    pub fn sum(self, other: Self) -> Self {
        Self {
            lost: self.lost + other.lost,
            duplicated: self.duplicated + other.duplicated,
            reordered: self.reordered + other.reordered,
            damaged: self.damaged + other.damaged,
            uncompared: self.uncompared + other.uncompared,
            gaps: self.gaps + other.gaps,
            other_messages: self.other_messages + other.other_messages,
        }
    }
}

/// Deliveries since the last sample.
#[derive(Debug)]
pub struct Window {
    /// Nanoseconds from the intended publish time.
    pub latency: Histogram<u64>,
    /// At most how long deliveries had been there when they were read.
    pub client_late: Histogram<u64>,
    pub faults: Faults,
}

impl Default for Window {
    fn default() -> Self {
        Self { latency: latency_histogram(), client_late: latency_histogram(), faults: Faults::default() }
    }
}

impl Window {
    pub fn clear(&mut self) {
        self.latency.reset();
        self.client_late.reset();
        self.faults = Faults::default();
    }

    /// Adds another thread's.
    pub fn add(&mut self, other: &Self) {
        self.latency.add(&other.latency).expect("histograms of the same bounds");
        self.client_late.add(&other.client_late).expect("histograms of the same bounds");
        self.faults = self.faults.sum(other.faults);
    }
}

/// A window that the client thread writes, a batch at a time, and the sampler takes.
#[derive(Debug, Default)]
pub struct Shared(Mutex<Window>);

impl Shared {
    pub fn write(&self) -> MutexGuard<'_, Window> {
        self.0.lock().expect("nobody panics with a window in hand")
    }

    /// Leaves `empty` in its place and gives back what was in it: the client waits for no more than an exchange.
    pub fn exchange(&self, empty: &mut Window) {
        std::mem::swap(&mut *self.write(), empty);
    }
}
