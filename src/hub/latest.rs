//! The newest alerts, for clients that ask now and then instead of holding a socket open.
//!
//! The hub adds to the list as it accepts events; any desk takes the list as it is. Both wait for each other no longer than it
//! takes to copy a pointer: a list that a desk is still reading is left to it, and the hub goes on with a copy.
//!
//! Invariants:
//! * The list is the newest events of the topic `alerts` without a hole, in the order of their numbers.
//! * It is bounded in number and in bytes. An alert beyond that is gone, the oldest first.
//! * Two lists have the same [`AlertList::version`] exactly when they hold the same.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use crate::event::{Event, Namespace};
use crate::limits::{LATEST_ALERTS_BYTES_MAX, LATEST_ALERTS_MAX};

/// The list in force. One writer, the hub.
pub struct LatestAlerts {
    current: Mutex<Arc<AlertList>>,
}

/// The newest alerts at one moment.
#[derive(Clone, Debug)]
pub struct AlertList {
    /// Tells this start of the server from the others, which may have begun with more or fewer of the same alerts.
    start: u64,
    /// The number of the newest alert; 0 before the first.
    last_seq: u64,
    /// The canonical `data` of each, oldest first.
    alerts: VecDeque<Arc<[u8]>>,
    /// Of all of them.
    bytes: usize,
}

/// What tells one list from another, of any start of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AlertVersion {
    pub start: u64,
    pub last_seq: u64,
}

/// Alerts that have their numbers and are not in the list yet.
pub(super) struct NewAlerts {
    last_seq: u64,
    /// Oldest first, and no more than the list keeps.
    alerts: VecDeque<Arc<[u8]>>,
}

impl LatestAlerts {
    /// `start` is a number that no other start of the server has.
    pub fn new(start: u64) -> Self {
        let empty = AlertList { start, last_seq: 0, alerts: VecDeque::new(), bytes: 0 };
        Self { current: Mutex::new(Arc::new(empty)) }
    }

    pub fn load(&self) -> Arc<AlertList> {
        self.current.lock().expect("no holder panics").clone()
    }

    pub(super) fn add(&self, new: NewAlerts) {
        let mut current = self.current.lock().expect("no holder panics");
        Arc::make_mut(&mut current).add(new);
    }
}

impl NewAlerts {
    /// The alerts among events that are numbered from `first_seq` on, if there are any.
    pub fn among(events: &[Event], first_seq: u64) -> Option<Self> {
        let newest = events.iter().rposition(is_alert)?;
        let mut alerts = VecDeque::new();
        for event in events[..=newest].iter().rev().filter(|event| is_alert(event)).take(LATEST_ALERTS_MAX) {
            alerts.push_front(Arc::from(&*event.data));
        }
        let last_seq = first_seq + newest as u64;
        Some(Self { last_seq, alerts })
    }
}

fn is_alert(event: &Event) -> bool {
    event.topic.namespace() == Namespace::Alerts
}

impl AlertList {
    pub fn version(&self) -> AlertVersion {
        AlertVersion { start: self.start, last_seq: self.last_seq }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.alerts.len()
    }

    pub fn is_empty(&self) -> bool {
        self.alerts.is_empty()
    }

    /// The canonical `data` of each alert, newest first.
    pub fn newest(&self) -> impl Iterator<Item = &[u8]> + Clone {
        self.alerts.iter().rev().map(|data| &**data)
    }

    fn add(&mut self, new: NewAlerts) {
        self.last_seq = new.last_seq;
        self.bytes += new.alerts.iter().map(|data| data.len()).sum::<usize>();
        self.alerts.extend(new.alerts);
        while self.alerts.len() > LATEST_ALERTS_MAX || self.bytes > LATEST_ALERTS_BYTES_MAX {
            let oldest = self.alerts.pop_front().expect("a list past its bounds is not empty");
            self.bytes -= oldest.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::EventParser;

    fn event(text: &str) -> Event {
        EventParser::new().parse(text.as_bytes(), 1, None).expect("a sound event")
    }

    fn alert(number: usize) -> Event {
        event(&format!(r#"{{"type":"alert","data":{{"n":{number}}}}}"#))
    }

    fn price() -> Event {
        event(r#"{"type":"price_update","topic":"price:EPj","data":{"price":1}}"#)
    }

    fn publish(latest: &LatestAlerts, events: &[Event], first_seq: u64) {
        NewAlerts::among(events, first_seq).into_iter().for_each(|new| latest.add(new));
    }

    fn newest(list: &AlertList) -> Vec<&str> {
        list.newest().map(|data| std::str::from_utf8(data).expect("UTF-8")).collect()
    }

    #[test]
    fn alerts_stand_newest_first_and_other_events_are_not_among_them() {
        let latest = LatestAlerts::new(9);
        assert_eq!(latest.load().version(), AlertVersion { start: 9, last_seq: 0 });
        publish(&latest, &[alert(1), price(), alert(2), price()], 1);
        publish(&latest, &[price()], 5);
        publish(&latest, &[price(), alert(3)], 6);
        assert_eq!(newest(&latest.load()), [r#"{"n":3}"#, r#"{"n":2}"#, r#"{"n":1}"#]);
        assert_eq!(latest.load().version(), AlertVersion { start: 9, last_seq: 7 });
    }

    #[test]
    fn only_the_newest_are_kept_however_they_come() {
        let number = |list: &AlertList, nth: usize| newest(list)[nth].to_owned();
        let (at_once, one_by_one) = (LatestAlerts::new(0), LatestAlerts::new(0));
        let many: Vec<Event> = (1..=LATEST_ALERTS_MAX + 10).map(alert).collect();
        publish(&at_once, &many, 1);
        for (event, seq) in many.iter().zip(1..) {
            publish(&one_by_one, std::slice::from_ref(event), seq);
        }
        for list in [at_once.load(), one_by_one.load()] {
            assert_eq!((list.len(), list.version().last_seq), (LATEST_ALERTS_MAX, many.len() as u64));
            assert_eq!(number(&list, 0), format!(r#"{{"n":{}}}"#, many.len()));
            assert_eq!(number(&list, LATEST_ALERTS_MAX - 1), r#"{"n":11}"#);
            assert_eq!(list.bytes, list.newest().map(<[u8]>::len).sum::<usize>());
        }
    }

    #[test]
    fn long_alerts_are_bounded_in_bytes_and_leave_room_again() {
        let latest = LatestAlerts::new(0);
        let long = event(&format!(r#"{{"type":"alert","data":{{"pad":"{}"}}}}"#, "x".repeat(60_000)));
        let fit = LATEST_ALERTS_BYTES_MAX / long.data.len();
        publish(&latest, &vec![long; fit + 5], 1);
        assert_eq!(latest.load().len(), fit);
        for seq in 100..100 + LATEST_ALERTS_MAX as u64 {
            publish(&latest, &[alert(1)], seq);
        }
        assert_eq!(latest.load().len(), LATEST_ALERTS_MAX, "the long ones are gone");
        assert_eq!(latest.load().bytes, LATEST_ALERTS_MAX * br#"{"n":1}"#.len());
    }

    #[test]
    fn a_list_that_is_being_read_stays_as_it_is() {
        let latest = LatestAlerts::new(0);
        publish(&latest, &[alert(1)], 1);
        let held = latest.load();
        publish(&latest, &[alert(2)], 2);
        assert_eq!(newest(&held), [r#"{"n":1}"#]);
        assert_eq!(latest.load().len(), 2);
    }
}
