//! What makes a run's figures tell of something else than the server: a client or a publisher that was late itself, and a kernel that
//! has no room for what is sent.

use super::report::SideReport;
use crate::limits::{CLIENT_LATE_SHARE_MAX, PUBLISHER_LATE_SHARE_MAX};
use crate::wording::{megabytes, thousands, time};

/// What the kernel holds for a byte that waits in a socket: `sk_buff`s and the unused ends of their pages.
const KERNEL_BYTES_A_BYTE: u64 = 2;

/// What a frame and its envelope add to a published event, at least.
const ENVELOPE_BYTES: u64 = 30;

/// Doubts about what was measured.
pub fn of_sides(sides: &[SideReport]) -> Vec<String> {
    let of_side = |side: &SideReport| {
        let client = side.client_late_us.and_then(|late| client_late(&side.name, side.latency.p99_us, late.p99_us));
        let publisher = publisher_late(&side.name, side.latency.p50_us, side.publish_late_us.median);
        [client, publisher, unread(side), altered(side)]
    };
    sides.iter().flat_map(of_side).flatten().collect()
}

/// `late_us`: the 99th percentile of how long deliveries had been there when the client read them.
pub fn client_late(name: &str, latency_p99_us: f64, late_us: f64) -> Option<String> {
    (late_us > CLIENT_LATE_SHARE_MAX * latency_p99_us).then(|| {
        format!(
            "{name}: of a p99 of {} up to {} are loadgen's own, which read that late what was there already: give it more CPUs \
             (--threads, --cpu), ones that the server does not have, or fewer sockets",
            time(latency_p99_us),
            time(late_us)
        )
    })
}

/// `late_us`: the median of how late steps were published.
pub fn publisher_late(name: &str, latency_p50_us: f64, late_us: f64) -> Option<String> {
    (late_us > PUBLISHER_LATE_SHARE_MAX * latency_p50_us).then(|| {
        format!(
            "{name}: half of all steps were published {} late or later, and latency counts from when they were due: lower the rate, or \
             give the publisher another CPU (--publisher-cpu)",
            time(late_us)
        )
    })
}

/// Messages in which no event was found, where events are missing.
fn unread(side: &SideReport) -> Option<String> {
    (side.lost > 0 && side.other_messages * 2 >= side.lost).then(|| {
        format!(
            "{}: {} deliveries are missing, and {} messages came in which loadgen finds no event: it looks for the `\"n\":` of what it \
             published, unescaped, one event a message",
            side.name,
            thousands(side.lost as f64),
            thousands(side.other_messages as f64)
        )
    })
}

fn altered(side: &SideReport) -> Option<String> {
    (side.altered > 0).then(|| {
        format!(
            "{}: {} events came otherwise than they were published, so that only the sockets' copies could be held against each other",
            side.name,
            thousands(side.altered as f64)
        )
    })
}

/// A step that does not fit into the kernel's memory for TCP, should clients read none of it before all of it is sent.
/// `tcp_bytes_max`: the last figure of `net.ipv4.tcp_mem`, in bytes.
pub fn of_load(sockets: u64, burst: u64, payload_bytes: u64, tcp_bytes_max: u64) -> Option<String> {
    let bytes = sockets * burst * (payload_bytes + ENVELOPE_BYTES) * KERNEL_BYTES_A_BYTE;
    (bytes > tcp_bytes_max).then(|| {
        format!(
            "a burst is up to {} in the kernel's buffers, and net.ipv4.tcp_mem allows {}: past that it drops segments, and the figures \
             tell of retransmissions",
            megabytes(bytes),
            megabytes(tcp_bytes_max)
        )
    })
}

#[cfg(test)]
mod tests {
    use super::super::report::example;
    use super::*;
    use crate::figures::{Quantiles, Span};

    fn side(client_p99_us: f64, publisher_us: f64) -> SideReport {
        let mut side = example().sides.swap_remove(0);
        side.latency.p99_us = 20_000.0;
        side.client_late_us = Some(Quantiles { p99_us: client_p99_us, ..side.latency });
        side.publish_late_us = Span { median: publisher_us, min: 0.0, max: 1e6 };
        side
    }

    #[test]
    fn a_client_that_reads_late_and_a_publisher_that_is_late_are_told() {
        assert_eq!(of_sides(&[side(1_000.0, 20.0)]), Vec::<String>::new());
        let doubts = of_sides(&[side(15_000.0, 20.0)]);
        assert!(doubts.len() == 1 && doubts[0].contains("15.00 ms") && doubts[0].contains("20.00 ms"), "{doubts:?}");
        let doubts = of_sides(&[side(1_000.0, 9_000.0)]);
        assert!(doubts.len() == 1 && doubts[0].contains("9.00 ms late"), "{doubts:?}");
    }

    #[test]
    fn messages_that_can_not_be_read_are_told_where_events_are_missing() {
        let mut side = side(1.0, 1.0);
        (side.lost, side.other_messages) = (0, 100);
        assert_eq!(of_sides(std::slice::from_ref(&side)), Vec::<String>::new());
        (side.lost, side.other_messages) = (1, 0);
        assert_eq!(of_sides(std::slice::from_ref(&side)), Vec::<String>::new());
        (side.lost, side.other_messages) = (2_000, 1_990);
        assert!(of_sides(std::slice::from_ref(&side))[0].contains("1,990 messages"));
        (side.lost, side.altered) = (0, 12);
        assert!(of_sides(&[side])[0].contains("12 events came otherwise"));
    }

    #[test]
    fn a_burst_that_the_kernel_has_no_room_for_is_told_before_it_is_sent() {
        assert_eq!(of_load(10_000, 100, 250, 2_000_000_000), None);
        let doubt = of_load(200_000, 100, 250, 2_000_000_000).unwrap();
        assert!(doubt.contains("tcp_mem"), "{doubt}");
        assert_eq!(of_load(200_000, 1, 250, 2_000_000_000), None);
    }
}
