//! Figures as every report has them. Units are in the names.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::latency::median;

/// Where a run was made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    pub kernel: String,
    pub cpus: usize,
}

impl Machine {
    pub fn this() -> Self {
        Self {
            kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
            cpus: std::thread::available_parallelism().map_or(1, usize::from),
        }
    }
}

/// The middle and the ends of some figures.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Span {
    pub median: f64,
    pub min: f64,
    pub max: f64,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Quantiles {
    pub count: u64,
    pub mean_us: f64,
    pub p50_us: f64,
    pub p90_us: f64,
    pub p99_us: f64,
    pub p999_us: f64,
    pub p9999_us: f64,
    pub max_us: f64,
}

impl Span {
    pub fn of(values: &[f64]) -> Option<Self> {
        Some(Self {
            median: median(values)?,
            min: values.iter().copied().fold(f64::INFINITY, f64::min),
            max: values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        })
    }

    pub fn of_histogram(histogram: &Histogram<u64>) -> Option<Self> {
        let median = us(histogram.value_at_quantile(0.5));
        (!histogram.is_empty()).then(|| Self { median, min: us(histogram.min()), max: us(histogram.max()) })
    }

    pub fn scaled(self, by: f64) -> Self {
        Self { median: self.median * by, min: self.min * by, max: self.max * by }
    }
}

impl Quantiles {
    pub fn of(histogram: &Histogram<u64>) -> Self {
        let at = |quantile| us(histogram.value_at_quantile(quantile));
        Self {
            count: histogram.len(),
            mean_us: histogram.mean() / 1e3,
            p50_us: at(0.5),
            p90_us: at(0.9),
            p99_us: at(0.99),
            p999_us: at(0.999),
            p9999_us: at(0.9999),
            max_us: us(histogram.max()),
        }
    }
}

/// Microseconds of nanoseconds.
pub fn us(ns: u64) -> f64 {
    ns as f64 / 1e3
}
