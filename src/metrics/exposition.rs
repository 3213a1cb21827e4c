//! A reading as text, in the two forms that scrapers ask for. The names and the words for them are here and nowhere else.
//!
//! `prometheus-client` writes OpenMetrics. The older form differs in how counters and infos are announced, and has no end mark; old
//! scrapers take what is announced as in OpenMetrics for untyped.

use std::fmt::{self, Write};

use bytes::Bytes;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::reading::{Reading, ShardReading};
use super::{HistogramReading, ShardSample};
use crate::limits::HISTOGRAM_BOUNDS_NS;

/// One reading of everything, in both forms.
#[derive(Debug, Default)]
pub struct Exposition {
    pub open_metrics: Bytes,
    pub plain: Bytes,
}

impl Exposition {
    pub const OPEN_METRICS_TYPE: &'static str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    pub const PLAIN_TYPE: &'static str = "text/plain; version=0.0.4; charset=utf-8";

    pub fn of(reading: Reading) -> Self {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(reading));
        let mut text = String::new();
        encode(&mut text, &registry).expect("a String takes everything");
        let plain = plain(&text);
        Self { open_metrics: text.into(), plain: plain.into() }
    }
}

impl fmt::Debug for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.sample.fmt(f)
    }
}

impl Collector for Reading {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut families = Families(encoder);
        self.encode_server(&mut families)?;
        self.encode_shards(&mut families)?;
        self.encode_slow_consumers(&mut families)?;
        self.encode_desks(&mut families)?;
        self.encode_publishing(&mut families)?;
        self.encode_journal(&mut families)?;
        self.encode_webhooks(&mut families)?;
        self.encode_process(&mut families)
    }
}

impl Reading {
    fn encode_server(&self, families: &mut Families<'_>) -> fmt::Result {
        let version = vec![("version", self.sample.version.to_owned())];
        families.info("stentor_build_info", "Which Stentor this is.", &version)?;
        families.gauge("stentor_accounts", "Accounts.", self.sample.accounts)?;
        families.gauge("stentor_keys", "API keys in force.", self.sample.keys)
    }

    fn encode_shards(&self, families: &mut Families<'_>) -> fmt::Result {
        let sockets = self.sample.shards.iter().flat_map(|shard| {
            let of = shard.sockets;
            let counts = [
                ("watchlist", of.watchlist),
                ("tiered", of.tiered),
                ("channels", of.channels),
                ("rooms", of.rooms),
                ("stream", of.stream),
            ];
            counts.map(|(protocol, count)| (with(shard_label(shard), "protocol", protocol), count))
        });
        families.gauges("stentor_sockets", "Open sockets, event streams included.", sockets)?;
        families.gauges("stentor_slots", "Sockets that a shard has room for.", self.by_shard(|shard| shard.slots))?;
        families.counters(
            "stentor_shard_events_total",
            "Events that a shard has taken in.",
            self.by_shard(|shard| shard.events),
        )?;
        families.counters(
            "stentor_deliveries_total",
            "Live events queued to sockets: one for each event and socket.",
            self.by_shard(|shard| shard.deliveries),
        )?;
        families.counters(
            "stentor_sends_total",
            "Sends to sockets: of live events, of those from the journal, and of answers. stentor_deliveries_total and \
             stentor_replayed_events_total together, by this, are how many events one send carries.",
            self.by_shard(|shard| shard.sends),
        )?;
        families.counters(
            "stentor_sent_bytes_total",
            "Bytes that the kernel took for sockets.",
            self.by_shard(|shard| shard.sent_bytes),
        )?;
        families.histograms(
            "stentor_fanout_seconds",
            "From the moment when a publish request was read and checked to the moment when a shard had handed all of it to the \
             kernel for every live socket that is to have it; sockets that take no more bytes are not waited for.",
            self.of_shards(|shard| &shard.fanout),
        )?;
        families.histograms(
            "stentor_pass_seconds",
            "How long a shard took to come round to all sockets that had something to be sent.",
            self.of_shards(|shard| &shard.pass),
        )?;
        families.counters(
            "stentor_heartbeats_lost_total",
            "Sessions that were closed because nothing came from their client.",
            self.by_shard(|shard| shard.heartbeats_lost),
        )
    }

    fn encode_slow_consumers(&self, families: &mut Families<'_>) -> fmt::Result {
        let slow = self.sample.shards.iter().zip(&self.shards).flat_map(|(shard, more)| {
            more.slow_consumers.iter().map(|(policy, count)| (with(shard_label(shard), "policy", policy), *count))
        });
        families.counters(
            "stentor_slow_consumers_total",
            "Sessions that took bytes too slowly for the log in memory, by what became of them.",
            slow,
        )?;
        families.gauges(
            "stentor_sessions_behind",
            "Sessions that get events from the journal now.",
            self.by_shard(|shard| shard.behind),
        )?;
        families.counters(
            "stentor_caught_up_total",
            "Sessions that went live after a replay.",
            self.by_shard(|shard| shard.caught_up),
        )?;
        families.counters(
            "stentor_replayed_events_total",
            "Events from the journal queued to sockets that are behind: one for each event and socket.",
            self.by_shard(|shard| shard.replayed),
        )?;
        let skipped =
            self.sample.shards.iter().zip(&self.shards).map(|(shard, more)| (shard_label(shard), more.skipped));
        families.counters(
            "stentor_skipped_events_total",
            "Events that a session of the policy latest was not sent, as a newer one of their key was known.",
            skipped,
        )?;
        let reads = self.sample.shards.iter().zip(&self.shards).flat_map(|(shard, more)| {
            more.replay_reads.iter().map(|(from, count)| (with(shard_label(shard), "from", from), *count))
        });
        families.counters(
            "stentor_replay_reads_total",
            "Reads of the journal for sessions that are behind, by where the events still were.",
            reads,
        )
    }

    fn encode_desks(&self, families: &mut Families<'_>) -> fmt::Result {
        let handshakes = &self.sample.handshakes;
        families.counters(
            "stentor_handshakes_accepted_total",
            "Handshakes whose session was opened, event streams included.",
            by_word("protocol", self.accepted.iter().copied()),
        )?;
        families.counters(
            "stentor_handshakes_refused_total",
            "Handshakes that opened no session.",
            by_word("reason", handshakes.refused.iter().map(|(word, count)| (*word, *count))),
        )?;
        families.counters(
            "stentor_gate_refusals_total",
            "Handshakes, sessions and publish requests that were refused because a limit of an address, a key or a user was reached.",
            by_word("reason", self.refused_by_gate.iter().copied()),
        )?;
        families.counters(
            "stentor_connections_failed_total",
            "Connections that ended before their TLS handshake or their PROXY protocol header was done: no TLS in common, a certificate \
             that was refused, a header that is missing.",
            by_word("reason", self.failed.iter().copied()),
        )?;
        families.gauges(
            "stentor_tls_certificate_expiration_timestamp_seconds",
            "When the TLS certificate ends; nothing where the port speaks no TLS.",
            self.certificate_expires_s.map(|expires_s| (Labels::new(), expires_s)),
        )?;
        let requests = self.requests.iter().map(|(route, class, count)| {
            (vec![("route", (*route).to_owned()), ("status", (*class).to_owned())], *count)
        });
        families.counters(
            "stentor_http_requests_total",
            "Requests by route and by the class of their answer's status.",
            requests,
        )?;
        families.counter("stentor_http_strays_total", "Requests for which there is no route.", self.strays)?;
        families.counter(
            "stentor_http_body_bytes_total",
            "Bytes of request bodies that were read as a whole.",
            self.body_bytes,
        )?;
        let connections =
            self.sample.shards.iter().zip(&self.shards).map(|(shard, more)| (shard_label(shard), more.connections));
        families.gauges(
            "stentor_http_connections",
            "Connections at the front desk, each with a process descriptor.",
            connections,
        )
    }

    fn encode_publishing(&self, families: &mut Families<'_>) -> fmt::Result {
        let hub = &self.sample.hub;
        families.counter("stentor_events_total", "Events that were published and numbered.", self.events)?;
        families.counter("stentor_event_bytes_total", "Bytes of the data of published events.", self.event_bytes)?;
        families.counter(
            "stentor_duplicate_events_total",
            "Events that were not published again, as their id was known.",
            self.duplicates,
        )?;
        families.counter(
            "stentor_publishes_accepted_total",
            "Publish requests whose events have numbers.",
            self.publishes,
        )?;
        families.counters(
            "stentor_publishes_refused_total",
            "Publish requests that the hub refused.",
            by_word("reason", hub.refused.iter().map(|(word, count)| (*word, *count))),
        )?;
        families.gauge("stentor_hub_queued_bytes", "Bytes of events that wait to be numbered.", hub.queued_bytes)?;
        families.gauge("stentor_hub_pending_answers", "Publish requests that wait for the disk.", hub.pending)
    }

    fn encode_journal(&self, families: &mut Families<'_>) -> fmt::Result {
        let (sample, more) = (&self.sample.journal, &self.journal);
        families.gauge(
            "stentor_journal_last_seq",
            "The number of the newest event that clients may see.",
            self.sample.last_seq,
        )?;
        families.gauge(
            "stentor_journal_kept_seq",
            "The newest number that is as safe as publishers were promised.",
            sample.kept_seq,
        )?;
        families.gauge("stentor_journal_oldest_seq", "The oldest number that is retained.", sample.oldest_seq)?;
        families.gauge(
            "stentor_journal_lag_events",
            "Events that the slowest of shards and disk does not have yet.",
            sample.lag_events,
        )?;
        families.gauge("stentor_journal_lag_bytes", "The same in bytes of memory.", sample.lag_bytes)?;
        families.histogram("stentor_journal_sync_seconds", "How long a sync of the journal took.", &more.sync)?;
        families.counter(
            "stentor_journal_writes_total",
            "Writes of records, each of all that was there.",
            more.writes,
        )?;
        families.counter(
            "stentor_journal_written_bytes_total",
            "Bytes of records that were written.",
            more.written_bytes,
        )?;
        families.counter(
            "stentor_journal_failures_total",
            "Times that the journal could not be written, synced or prepared.",
            more.failures,
        )?;
        families.gauge("stentor_journal_segments", "Segments on the disk.", sample.segments)?;
        families.gauge("stentor_journal_disk_bytes", "What the segments take of the disk.", sample.bytes)?;
        families.gauge(
            "stentor_journal_full",
            "1 while events are refused because the journal's disk is full.",
            sample.full.into(),
        )?;
        families.gauge(
            "stentor_journal_failing",
            "1 while events are refused because the journal can't be written for another reason.",
            more.is_failing.into(),
        )
    }

    fn encode_webhooks(&self, families: &mut Families<'_>) -> fmt::Result {
        let (sample, stats) = (&self.sample.webhooks, &self.delivery);
        let webhooks = stats.webhooks.iter().map(|(state, count)| (state, count.get()));
        families.gauges("stentor_webhooks", "Webhooks.", by_word("state", webhooks))?;
        let lanes = stats.lanes.iter().map(|(state, count)| (state, count.get()));
        families.gauges(
            "stentor_webhook_lanes",
            "Lanes of active webhooks, by what can be expected of their endpoint.",
            by_word("state", lanes),
        )?;
        families.gauge(
            "stentor_webhook_waiting_deliveries",
            "Deliveries that wait for their time or their turn.",
            sample.waiting,
        )?;
        families.gauge("stentor_webhook_attempts_in_flight", "Attempts under way.", sample.in_flight)?;
        let deliveries = stats.deliveries.iter().map(|(end, count)| (end, count.get()));
        families.counters(
            "stentor_webhook_deliveries_total",
            "Deliveries that have come to their end.",
            by_word("outcome", deliveries),
        )?;
        let attempts = stats.attempts.iter().map(|(outcome, count)| (outcome, count.get()));
        families.counters(
            "stentor_webhook_attempts_total",
            "Attempts to deliver, by what came of them.",
            by_word("outcome", attempts),
        )?;
        families.histogram(
            "stentor_webhook_attempt_seconds",
            "How long an attempt took, from the look-up of the name to the end of the answer.",
            &stats.attempt.read(),
        )
    }

    fn encode_process(&self, families: &mut Families<'_>) -> fmt::Result {
        let process = &self.sample.process;
        let threads = process.threads.iter().map(|thread| (vec![("thread", thread.name.clone())], thread.cpu_seconds));
        families.counters(
            "stentor_thread_cpu_seconds_total",
            "User and system time of threads. Numbered ones other than shards are one.",
            threads,
        )?;
        let rescues = self.rescues.iter().map(|(name, count)| (vec![("thread", name.clone())], *count));
        families.counters(
            "stentor_thread_rescues_total",
            "Times that a thread stood still and was woken by the watchman.",
            rescues,
        )?;
        let none = || Labels::new();
        families.counters(
            "process_cpu_seconds_total",
            "Total user and system CPU time spent in seconds.",
            [(none(), process.cpu_seconds)],
        )?;
        families.gauge("process_resident_memory_bytes", "Resident memory size in bytes.", process.rss_bytes)?;
        families.gauge("process_open_fds", "Number of open file descriptors.", process.open_fds)?;
        if let Some(max) = self.descriptors_max {
            families.gauge("process_max_fds", "Maximum number of open file descriptors.", max)?;
        }
        families.gauges(
            "process_start_time_seconds",
            "Start time of the process since unix epoch in seconds.",
            [(none(), self.sample.started_ms as f64 / 1e3)],
        )
    }

    fn by_shard(&self, value: fn(&ShardSample) -> u64) -> impl Iterator<Item = (Labels, u64)> {
        self.sample.shards.iter().map(move |shard| (shard_label(shard), value(shard)))
    }

    fn of_shards(
        &self,
        histogram: fn(&ShardReading) -> &HistogramReading,
    ) -> impl Iterator<Item = (Labels, &HistogramReading)> {
        self.sample.shards.iter().zip(&self.shards).map(move |(shard, more)| (shard_label(shard), histogram(more)))
    }
}

type Labels = Vec<(&'static str, String)>;

fn shard_label(shard: &ShardSample) -> Labels {
    vec![("shard", shard.index.to_string())]
}

fn with(mut labels: Labels, name: &'static str, value: &str) -> Labels {
    labels.push((name, value.to_owned()));
    labels
}

fn by_word<'w>(
    name: &'static str,
    counts: impl Iterator<Item = (&'w str, u64)>,
) -> impl Iterator<Item = (Labels, u64)> {
    counts.map(move |(word, count)| (vec![(name, word.to_owned())], count))
}

/// Writes one family after the other. A family is named as its samples are.
struct Families<'e>(DescriptorEncoder<'e>);

impl Families<'_> {
    fn counter(&mut self, name: &str, about: &str, value: u64) -> fmt::Result {
        self.counters(name, about, [(Labels::new(), value)])
    }

    fn counters<V: EncodeCounterValue>(
        &mut self,
        name: &str,
        about: &str,
        samples: impl IntoIterator<Item = (Labels, V)>,
    ) -> fmt::Result {
        let name = name.strip_suffix("_total").expect("a counter's name ends so");
        let mut family = self.0.encode_descriptor(name, about, None, MetricType::Counter)?;
        for (labels, value) in samples {
            labelled(&mut family, &labels, |sample| sample.encode_counter::<NoLabelSet, _, f64>(&value, None))?;
        }
        Ok(())
    }

    fn gauge(&mut self, name: &str, about: &str, value: u64) -> fmt::Result {
        self.gauges(name, about, [(Labels::new(), value)])
    }

    fn gauges<V: EncodeGaugeValue>(
        &mut self,
        name: &str,
        about: &str,
        samples: impl IntoIterator<Item = (Labels, V)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, about, None, MetricType::Gauge)?;
        for (labels, value) in samples {
            labelled(&mut family, &labels, |sample| sample.encode_gauge(&value))?;
        }
        Ok(())
    }

    fn histogram(&mut self, name: &str, about: &str, reading: &HistogramReading) -> fmt::Result {
        self.histograms(name, about, [(Labels::new(), reading)])
    }

    fn histograms<'r>(
        &mut self,
        name: &str,
        about: &str,
        samples: impl IntoIterator<Item = (Labels, &'r HistogramReading)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, about, None, MetricType::Histogram)?;
        for (labels, reading) in samples {
            // The encoder adds them up itself.
            let bounds = HISTOGRAM_BOUNDS_NS.iter().map(|bound| *bound as f64 / 1e9).chain([f64::INFINITY]);
            let buckets: Vec<_> = bounds.zip(reading.between(&HISTOGRAM_BOUNDS_NS)).collect();
            let (sum, count) = (reading.sum_ns() as f64 / 1e9, reading.count());
            labelled(&mut family, &labels, |sample| sample.encode_histogram::<NoLabelSet>(sum, count, &buckets, None))?;
        }
        Ok(())
    }

    fn info(&mut self, name: &str, about: &str, labels: &Labels) -> fmt::Result {
        let name = name.strip_suffix("_info").expect("an info's name ends so");
        self.0.encode_descriptor(name, about, None, MetricType::Info)?.encode_info(labels)
    }
}

/// Writes a sample with its labels, and without braces where it has none.
fn labelled(
    family: &mut MetricEncoder<'_>,
    labels: &Labels,
    write: impl FnOnce(&mut MetricEncoder<'_>) -> fmt::Result,
) -> fmt::Result {
    match labels.is_empty() {
        true => write(family),
        false => write(&mut family.encode_family(labels)?),
    }
}

/// OpenMetrics as the older text format (0.0.4).
fn plain(open_metrics: &str) -> String {
    let mut plain = String::with_capacity(open_metrics.len());
    // What a family is about stands before its type, which tells how it is called.
    let mut about = "";
    for line in open_metrics.lines() {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some("EOF"), ..) => {}
            (Some("#"), Some("HELP"), Some(_), text) => about = text.unwrap_or_default(),
            (Some("#"), Some("TYPE"), Some(name), Some(kind)) => {
                let (suffix, kind) = match kind {
                    "counter" => ("_total", "counter"),
                    "info" => ("_info", "gauge"),
                    kind => ("", kind),
                };
                let written = write!(plain, "# HELP {name}{suffix} {about}\n# TYPE {name}{suffix} {kind}\n");
                written.expect("a String takes everything");
            }
            _ => {
                plain.push_str(line);
                plain.push('\n');
            }
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_older_form_names_counters_and_infos_as_their_samples() {
        let open = "# HELP a_b What it is.\n# TYPE a_b counter\na_b_total{c=\"d e\"} 1\n\
                    # HELP g It goes up and down.\n# TYPE g gauge\ng 2\n\
                    # HELP v Which.\n# TYPE v info\nv_info{version=\"1\"} 1\n# EOF\n";
        let expected = "# HELP a_b_total What it is.\n# TYPE a_b_total counter\na_b_total{c=\"d e\"} 1\n\
                        # HELP g It goes up and down.\n# TYPE g gauge\ng 2\n\
                        # HELP v_info Which.\n# TYPE v_info gauge\nv_info{version=\"1\"} 1\n";
        assert_eq!(plain(open), expected);
    }
}
