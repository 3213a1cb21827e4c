//! Everything looked at once: the server's process, the kernel, the sockets and what they got since the last time.

use std::fmt::Write;

use serde::Serialize;

use super::window::Window;
use crate::error::RunError;
use crate::figures::us;
use crate::process;
use crate::wording::{megabytes, thousands, time};

#[derive(Clone, Copy, Debug, Serialize)]
pub struct Sample {
    /// Since the first event was due.
    pub seconds: f64,
    pub server: Option<ServerSample>,
    /// Of all TCP sockets of the machine.
    pub tcp_buffer_bytes: Option<u64>,
    pub tcp_sockets: Option<u64>,
    pub sockets_alive: u64,
    /// Since the last sample.
    pub deliveries: u64,
    /// `None` where there were no deliveries.
    pub p50_us: Option<f64>,
    pub p99_us: Option<f64>,
    pub max_us: Option<f64>,
    pub client_late_p99_us: Option<f64>,
    /// Since the soak began: deliveries that a later event has overtaken, so far.
    pub lost: u64,
    pub duplicated: u64,
    pub reordered: u64,
    pub damaged: u64,
    /// The load generator's own memory.
    pub loadgen_rss_bytes: Option<u64>,
}

#[derive(Clone, Copy, Debug, Serialize)]
pub struct ServerSample {
    pub rss_bytes: u64,
    pub anonymous_bytes: u64,
    pub descriptors: u64,
    /// Of all threads that live, since each began.
    pub cpu_seconds: f64,
}

impl ServerSample {
    pub fn of(pid: u32) -> Result<Self, RunError> {
        let look = || {
            let memory = process::memory(pid)?;
            Ok(Self {
                rss_bytes: memory.rss_bytes,
                anonymous_bytes: memory.anonymous_bytes,
                descriptors: process::descriptors(pid)?,
                cpu_seconds: process::cpu_ns(pid)? as f64 / 1e9,
            })
        };
        look().map_err(|source| RunError::ServerProcess { pid, source })
    }
}

/// The columns of the CSV, which are the fields of the JSON.
pub const CSV_HEADER: &str = "seconds,server_rss_bytes,server_anonymous_bytes,server_descriptors,server_cpu_seconds,\
                              tcp_buffer_bytes,tcp_sockets,sockets_alive,deliveries,p50_us,p99_us,max_us,\
                              client_late_p99_us,lost,duplicated,reordered,damaged,loadgen_rss_bytes\n";

impl Sample {
    /// Looks now, `seconds` after the first event was due.
    pub fn take(seconds: f64, pid: Option<u32>, sockets_alive: u64, window: &Window) -> Result<Self, RunError> {
        let tcp = process::tcp_memory();
        let some = !window.latency.is_empty();
        let quantile = |quantile| some.then(|| us(window.latency.value_at_quantile(quantile)));
        Ok(Self {
            seconds,
            server: pid.map(ServerSample::of).transpose()?,
            tcp_buffer_bytes: tcp.map(|tcp| tcp.buffer_bytes),
            tcp_sockets: tcp.map(|tcp| tcp.sockets),
            sockets_alive,
            deliveries: window.latency.len(),
            p50_us: quantile(0.5),
            p99_us: quantile(0.99),
            max_us: some.then(|| us(window.latency.max())),
            client_late_p99_us: some.then(|| us(window.client_late.value_at_quantile(0.99))),
            lost: window.faults.lost,
            duplicated: window.faults.duplicated,
            reordered: window.faults.reordered,
            damaged: window.faults.damaged,
            loadgen_rss_bytes: process::memory(std::process::id()).ok().map(|memory| memory.rss_bytes),
        })
    }

    /// A line of the CSV, with its line break. What is not known is empty.
    pub fn csv(&self) -> String {
        let server = |of: fn(&ServerSample) -> f64| self.server.as_ref().map(of);
        let whole = |number: Option<u64>| number.map(|number| number as f64);
        let columns = [
            Some(self.seconds),
            server(|of| of.rss_bytes as f64),
            server(|of| of.anonymous_bytes as f64),
            server(|of| of.descriptors as f64),
            server(|of| of.cpu_seconds),
            whole(self.tcp_buffer_bytes),
            whole(self.tcp_sockets),
            whole(Some(self.sockets_alive)),
            whole(Some(self.deliveries)),
            self.p50_us,
            self.p99_us,
            self.max_us,
            self.client_late_p99_us,
            whole(Some(self.lost)),
            whole(Some(self.duplicated)),
            whole(Some(self.reordered)),
            whole(Some(self.damaged)),
            whole(self.loadgen_rss_bytes),
        ];
        let texts = columns.map(|column| column.map(|figure| figure.to_string()).unwrap_or_default());
        texts.join(",") + "\n"
    }

    /// The line that tells of it while the soak goes on.
    pub fn line(&self) -> String {
        let mut line = format!("{}: {} sockets", clock_text(self.seconds), thousands(self.sockets_alive as f64));
        if let Some(server) = &self.server {
            let _ = write!(line, ", server {}, {} descriptors", megabytes(server.rss_bytes), server.descriptors);
        }
        let _ = write!(line, ", {} deliveries", thousands(self.deliveries as f64));
        if let (Some(p50), Some(p99), Some(max)) = (self.p50_us, self.p99_us, self.max_us) {
            let _ = write!(line, ", p50 {}, p99 {}, max {}", time(p50), time(p99), time(max));
        }
        for (what, count) in [
            ("lost", self.lost),
            ("duplicated", self.duplicated),
            ("reordered", self.reordered),
            ("damaged", self.damaged),
        ] {
            if count > 0 {
                let _ = write!(line, ", {} {what}", thousands(count as f64));
            }
        }
        line
    }
}

/// `2:03:04` of seconds.
pub fn clock_text(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    format!("{}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60)
}

#[cfg(test)]
pub fn example(seconds: f64) -> Sample {
    Sample {
        seconds,
        server: Some(ServerSample {
            rss_bytes: 64 << 20,
            anonymous_bytes: 60 << 20,
            descriptors: 42,
            cpu_seconds: 1.5,
        }),
        tcp_buffer_bytes: Some(8192),
        tcp_sockets: Some(200),
        sockets_alive: 100,
        deliveries: 10_000,
        p50_us: Some(900.0),
        p99_us: Some(2500.0),
        max_us: Some(7000.0),
        client_late_p99_us: Some(20.0),
        lost: 0,
        duplicated: 0,
        reordered: 0,
        damaged: 0,
        loadgen_rss_bytes: Some(10 << 20),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_csv_has_a_figure_for_each_name_of_its_head() {
        let names: Vec<&str> = CSV_HEADER.trim_end().split(',').collect();
        let line = example(12.5).csv();
        let figures: Vec<&str> = line.trim_end().split(',').collect();
        assert_eq!(names.len(), figures.len());
        let figure = |name| figures[names.iter().position(|one| *one == name).unwrap()];
        assert_eq!((figure("seconds"), figure("server_descriptors"), figure("p99_us")), ("12.5", "42", "2500"));
        assert_eq!((figure("loadgen_rss_bytes"), figure("deliveries")), ("10485760", "10000"));
        let unknown = Sample { server: None, p50_us: None, ..example(12.5) }.csv();
        assert_eq!(unknown.split(',').count(), names.len());
        assert!(unknown.starts_with("12.5,,,,,8192,"), "{unknown}");
    }

    #[test]
    fn a_progress_line_tells_of_faults_only_where_there_are_some() {
        let line = example(3723.0).line();
        assert_eq!(
            line,
            "1:02:03: 100 sockets, server 64.0 MiB, 42 descriptors, 10,000 deliveries, p50 900.0 µs, p99 2.50 ms, max 7.00 ms"
        );
        let lossy = Sample { lost: 3, ..example(1.0) }.line();
        assert!(lossy.ends_with(", 3 lost"), "{lossy}");
    }
}
