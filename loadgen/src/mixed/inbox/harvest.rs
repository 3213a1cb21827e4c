//! The end of a run: what each socket still lacks, and whether events came under the numbers that publishers were told.

use super::super::book::{Book, Fault};
use super::super::protocol::Protocol;
use super::{Chatter, Inbox};
use crate::latency::Recorder;
use crate::limits::PONG_MS_MAX;

/// What came of a run, by protocol.
pub struct Harvest {
    pub book: Book,
    pub recorders: [Recorder; 4],
    pub chatter: [Chatter; 4],
}

impl Inbox {
    /// The books, closed at `now_ns` after all events were published, the first of each `burst` under `step_seqs`.
    pub fn harvest(mut self, step_seqs: &[u64], burst: u32, now_ns: u64) -> Harvest {
        for socket in 0..self.sockets.len() as u32 {
            self.close_account(socket, now_ns);
        }
        for (event, seq) in self.seqs.iter().enumerate() {
            let (step, offset) = (event / burst as usize, event as u64 % u64::from(burst));
            let told = step_seqs.get(step).map(|first| first + offset);
            if *seq != 0 && told != Some(*seq) {
                let protocol = self.plan.traffic.topic(event as u32).protocol();
                self.book.enter(protocol, Fault::Renumbered, || match told {
                    Some(told) => format!("event {event} came as {seq}, and its publisher was told {told}"),
                    None => format!("event {event} came as {seq}, and its publisher was told no number"),
                });
            }
        }
        Harvest { book: self.book, recorders: self.recorders, chatter: self.chatter }
    }

    fn close_account(&mut self, socket: u32, now_ns: u64) {
        let protocol = Protocol::of_socket(socket);
        let state = &self.sockets[socket as usize];
        let events = &self.plan.roster.classes[state.class as usize].events;
        let tail = &events[state.expected as usize..];
        let (skipped, first) = self.orders[protocol as usize].lacking(socket);
        self.book.enter_many(protocol, Fault::Missing, u64::from(skipped) + tail.len() as u64, || {
            let event =
                first.map(|place| events[place as usize]).or(tail.first().copied()).expect("something is missing");
            format!("socket {socket} never got event {event} of {}", self.plan.traffic.topic(event).text())
        });
        if state.pings_unanswered > 0 && now_ns.saturating_sub(state.pinged_ns) > PONG_MS_MAX * 1_000_000 {
            let example = || format!("socket {socket} waited {} ms", (now_ns - state.pinged_ns) / 1_000_000);
            self.book.enter(protocol, Fault::Unanswered, example);
        }
    }
}
