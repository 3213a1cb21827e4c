//! Sockets that come and go: which ones, when, and how long it takes until one is back.
//!
//! ```text
//!   first timed event ─▶ each in turn: close (1000) ─▶ connect again, the same opening ─▶ open ─▶ … ─▶ the last event is due
//! ```
//! They are a crowd of their own, so many that each lives for some ten seconds. What was published while one was away it need not
//! have got; what was due after it was open again it must get, once, in order.

use ahash::AHashMap;
use hdrhistogram::Histogram;

use crate::args::UsageError;
use crate::latency::latency_histogram;
use crate::limits::{CHURN_LIFE_S, CHURN_PERCENT_MAX};
use crate::listener::Notice;
use crate::schedule::Schedule;

/// How many sockets churn, and how long each lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChurnPlan {
    pub sockets: u32,
    pub life_ns: u64,
    /// From the first timed event, for so long: until the last one is due.
    pub load_ns: u64,
}

/// The churn of one crowd.
#[derive(Debug)]
pub struct Churn {
    plan: ChurnPlan,
    /// Whose turn is next, and how many turns there were.
    next: u32,
    turns: u64,
    /// Those that are connecting again, and since when.
    returning: AHashMap<u32, u64>,
    left: u64,
    connect: Histogram<u64>,
    deliveries: u64,
    /// Sockets that have everything to the end of the load since the last look.
    whole: u64,
}

/// How it went.
#[derive(Clone, Debug)]
pub struct ChurnEnd {
    pub sockets: u32,
    pub left: u64,
    pub deliveries: u64,
    pub lost: u64,
    pub duplicated: u64,
    pub reordered: u64,
    pub damaged: u64,
    /// From the first byte of a connection until its opening's last answer, over those that came back.
    pub connect: Histogram<u64>,
}

impl ChurnEnd {
    /// Connections that took another's place.
    pub fn reconnects(&self) -> u64 {
        self.connect.len()
    }

    /// Those that were not back in the end, for whatever reason.
    pub fn never_back(&self) -> u64 {
        self.left - self.reconnects()
    }

    pub fn merge(mut self, other: &Self) -> Self {
        self.sockets += other.sockets;
        self.left += other.left;
        self.deliveries += other.deliveries;
        self.lost += other.lost;
        self.duplicated += other.duplicated;
        self.reordered += other.reordered;
        self.damaged += other.damaged;
        self.connect.add(&other.connect).expect("histograms of the same bounds");
        self
    }
}

impl ChurnPlan {
    /// `percent` of `sockets` end each second.
    pub fn new(sockets: u32, percent: f64, schedule: &Schedule) -> Result<Self, UsageError> {
        let per_second = f64::from(sockets) * percent / 100.0;
        let churned = ((per_second * CHURN_LIFE_S).ceil() as u32).min(sockets / 2);
        let load_ns = schedule.offset_ns(schedule.timed_steps.saturating_sub(1));
        let life_ns = (f64::from(churned) / per_second * 1e9) as u64;
        let plan = Self { sockets: churned, life_ns, load_ns };
        if churned == 0 || plan.reconnects_max() == 0 {
            return Err(UsageError::TooLittleChurn);
        }
        Ok(plan)
    }

    /// The same for so many of its sockets: each lives as long.
    pub fn share(self, sockets: u32) -> Self {
        Self { sockets, ..self }
    }

    fn interval_ns(&self) -> u64 {
        (self.life_ns / u64::from(self.sockets).max(1)).max(1)
    }

    pub fn reconnects_max(&self) -> u64 {
        if self.sockets == 0 { 0 } else { self.load_ns / self.interval_ns() }
    }
}

/// Reads `1%/s` as 1.0.
pub fn parse_churn(text: &str) -> Result<f64, String> {
    let percent =
        text.strip_suffix("/s").and_then(|rest| rest.strip_suffix('%')).and_then(|number| number.parse().ok());
    match percent.filter(|percent: &f64| *percent > 0.0 && *percent <= CHURN_PERCENT_MAX) {
        Some(percent) => Ok(percent),
        None => {
            Err(format!("`{text}` is no share of the sockets a second: write 1%/s, and at most {CHURN_PERCENT_MAX}%/s"))
        }
    }
}

impl Churn {
    pub fn new(plan: ChurnPlan) -> Self {
        let (next, turns, returning, left, deliveries, whole) = Default::default();
        Self { plan, next, turns, returning, left, connect: latency_histogram(), deliveries, whole }
    }

    /// Has those go whose turn it is; `may_go` says which of them are open. `begins_ns`: when the first timed event is due.
    pub fn tend(
        &mut self,
        begins_ns: u64,
        now_ns: u64,
        mut may_go: impl FnMut(u32) -> bool,
        notices: &mut Vec<Notice>,
    ) {
        let Some(since_ns) = now_ns.checked_sub(begins_ns) else { return };
        let turns_due = since_ns.min(self.plan.load_ns) / self.plan.interval_ns();
        while self.turns < turns_due {
            self.turns += 1;
            let in_turn = (0..self.plan.sockets).map(|step| (self.next + step) % self.plan.sockets);
            let Some(socket) = in_turn.into_iter().find(|socket| may_go(*socket)) else { continue };
            self.next = (socket + 1) % self.plan.sockets;
            self.left += 1;
            notices.push(Notice::ComeBack { socket });
        }
    }

    /// A socket connects again from `now_ns` on.
    pub fn begin_anew(&mut self, socket: u32, now_ns: u64) {
        self.returning.insert(socket, now_ns);
    }

    /// Whether a socket connects for another time than the first.
    pub fn is_returning(&self, socket: u32) -> bool {
        self.returning.contains_key(&socket)
    }

    /// A socket is open; returns whether it is not for the first time.
    pub fn opened(&mut self, socket: u32, now_ns: u64) -> bool {
        let Some(began_ns) = self.returning.remove(&socket) else { return false };
        self.connect.saturating_record(now_ns.saturating_sub(began_ns).max(1));
        true
    }

    /// A socket that connects again will not get there.
    pub fn failed(&mut self, socket: u32) {
        self.returning.remove(&socket);
    }

    pub fn delivered(&mut self) {
        self.deliveries += 1;
    }

    /// One more socket has everything that it can have of the load.
    pub fn is_whole(&mut self) {
        self.whole += 1;
    }

    /// How many have got so far since the last time this was asked.
    pub fn take_whole(&mut self) -> u64 {
        std::mem::take(&mut self.whole)
    }

    /// Without the faults that were found in what they got.
    pub fn end(self) -> ChurnEnd {
        let (lost, duplicated, reordered, damaged) = Default::default();
        ChurnEnd {
            sockets: self.plan.sockets,
            left: self.left,
            deliveries: self.deliveries,
            lost,
            duplicated,
            reordered,
            damaged,
            connect: self.connect,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;
    const SCHEDULE: Schedule =
        Schedule { burst: 1, interval_ns: SECOND / 10, rounds: 1, warmup_steps: 1, timed_steps: 201 };

    #[test]
    fn ten_seconds_worth_of_sockets_churn_and_at_most_half() {
        let plan = |percent| ChurnPlan::new(1_000, percent, &SCHEDULE).unwrap();
        assert_eq!(plan(1.0), ChurnPlan { sockets: 100, life_ns: 10 * SECOND, load_ns: 20 * SECOND });
        assert_eq!(plan(1.0).reconnects_max(), 200, "a hundredth a second, for twenty");
        assert_eq!((plan(10.0).sockets, plan(10.0).life_ns), (500, 5 * SECOND));
        let half = plan(1.0).share(50);
        assert_eq!((half.life_ns, half.reconnects_max()), (10 * SECOND, 100));
        assert!(ChurnPlan::new(1, 1.0, &SCHEDULE).is_err(), "half of one is none");
        assert!(ChurnPlan::new(4, 1.0, &SCHEDULE).is_err(), "one in 25 s, and the load lasts for 20");
    }

    #[test]
    fn a_share_a_second_is_read_and_what_is_none_is_refused() {
        assert_eq!((parse_churn("1%/s"), parse_churn("0.5%/s")), (Ok(1.0), Ok(0.5)));
        for wrong in ["60%/s", "0%/s", "-1%/s", "1%", "1/s", "NaN%/s", "%/s", "inf%/s", "1%/m", ""] {
            assert!(parse_churn(wrong).unwrap_err().contains("1%/s"), "{wrong}");
        }
    }

    #[test]
    fn they_go_in_turn_at_their_pace_while_the_load_lasts() {
        let plan = ChurnPlan { sockets: 3, life_ns: 3 * SECOND, load_ns: 5 * SECOND };
        let (mut churn, mut notices) = (Churn::new(plan), Vec::new());
        churn.tend(u64::MAX, 5 * SECOND, |_| true, &mut notices);
        churn.tend(10 * SECOND, 10 * SECOND, |_| true, &mut notices);
        assert!(notices.is_empty(), "nothing is timed yet");
        churn.tend(10 * SECOND, 12 * SECOND, |_| true, &mut notices);
        assert_eq!(notices, [0, 1].map(|socket| Notice::ComeBack { socket }));
        churn.tend(10 * SECOND, 13 * SECOND, |socket| socket != 2, &mut notices);
        assert_eq!(notices[2], Notice::ComeBack { socket: 0 }, "the third is away");
        churn.tend(10 * SECOND, 14 * SECOND, |_| false, &mut notices);
        churn.tend(10 * SECOND, 99 * SECOND, |_| true, &mut notices);
        assert_eq!(notices.len(), 4, "five turns in all, one of which found nobody");
    }

    #[test]
    fn how_long_it_takes_to_be_back_counts_from_the_connection() {
        let mut churn = Churn::new(ChurnPlan { sockets: 2, life_ns: SECOND, load_ns: SECOND });
        assert!(!churn.opened(0, 5), "the first time");
        churn.tend(0, SECOND, |_| true, &mut Vec::new());
        churn.begin_anew(0, 1_000);
        churn.begin_anew(1, 2_000);
        assert!(churn.is_returning(0) && churn.opened(0, 2_500) && !churn.is_returning(0));
        churn.failed(1);
        let end = churn.end();
        assert_eq!((end.left, end.reconnects(), end.never_back(), end.connect.max()), (2, 1, 1, 1_500));
    }
}
