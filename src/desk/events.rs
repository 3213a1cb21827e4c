//! `GET /api/events?since=N&topic=…&limit=…`: events for clients that poll.
//!
//! `{"success":true,"events":[…],"gaps":[…],"next_since":N,"last_seq":M}`. Each event is the very message that a WebSocket is
//! sent, and `gaps` are `gap` messages. `next_since` is what to ask with next: it moves on over events of other topics, too,
//! so that a client whose topics are quiet is not sent through the same history again. `last_seq` is the newest number; once
//! `next_since` has reached it there is nothing more for now. Without `since` the answer has no events, and the `next_since`
//! to begin with.
//!
//! What one request looks at, and the answer to it, are bounded, and while it looks the shard serves its sockets.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;

use super::error::{Reply, RestError};
use super::{Desk, listener, query, terms};
use crate::executor;
use crate::hub::EncodedBatch;
use crate::journal::{Chunk, Gap, Part};
use crate::limits::{
    ANSWER_MS, BREATH_US, EVENTS_ANSWER_BYTES_MAX, EVENTS_DEFAULT, EVENTS_MAX, EVENTS_READS_MAX, EVENTS_SCANNED_MAX,
    EVENTS_STEP, REPLAY_CHUNK_BYTES,
};
use crate::protocol::{Filter, gap_json, payload};

pub async fn poll(desk: &Desk, request: &Request<Incoming>) -> Result<Reply, RestError> {
    let listener = listener::identify(desk, request)?;
    let topics = listener.topics(request.uri(), &desk.rules.load())?;
    let limit = query::limit(request.uri(), EVENTS_DEFAULT, EVENTS_MAX)?;
    let since = terms::since(request.uri(), desk.hub.last_seq())?;
    // What a poll may hold: those of all clients together are bounded as bodies are.
    let mut share = desk.bodies.share();
    share.grow(REPLAY_CHUNK_BYTES + EVENTS_ANSWER_BYTES_MAX)?;
    let mut page = Page::new(since.map_or(desk.window.visible(), |since| since + 1), limit);
    page.fill(desk, &listener.into_filter(topics)).await?;
    let mut reply = Response::new(Full::new(Bytes::from(page.answer(desk.window.visible() - 1))));
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    // Nobody between us and the client keeps what a key has opened.
    reply.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(reply)
}

/// Where events that have been published are read again.
trait History {
    /// The events from number `from` on, of about `bytes_max`.
    async fn read(&self, from: u64, bytes_max: usize) -> Result<Chunk, RestError>;
}

impl History for Desk {
    async fn read(&self, from: u64, bytes_max: usize) -> Result<Chunk, RestError> {
        match self.window.recent(from, bytes_max) {
            Some(chunk) => Ok(chunk),
            None => self.read_from_disk(from, bytes_max).await,
        }
    }
}

impl Desk {
    /// Events that are older than what is in memory.
    async fn read_from_disk(&self, from: u64, bytes_max: usize) -> Result<Chunk, RestError> {
        let (ticket, answer) = self.answers.ticket(&self.shards[self.shard].mailbox);
        self.history.read(from, bytes_max, Box::new(answer));
        match ticket.answer_within(Duration::from_millis(ANSWER_MS)).await {
            Some(Ok(chunk)) => Ok(Chunk { next: chunk.next.min(self.window.visible()), ..chunk }),
            Some(Err(error)) => {
                tracing::error!(%error, "events could not be read from the journal");
                Err(RestError::HistoryUnavailable)
            }
            None => Err(RestError::HistoryUnavailable),
        }
    }
}

/// An answer that is being put together.
struct Page {
    /// The number of the event to look at next.
    next: u64,
    /// Events that there is still room for.
    room: usize,
    /// Events that may still be looked at.
    scans: usize,
    /// The messages, with commas between them.
    events: Vec<u8>,
    gaps: Vec<Gap>,
}

impl Page {
    fn new(from: u64, limit: usize) -> Self {
        Self { next: from, room: limit, scans: EVENTS_SCANNED_MAX, events: Vec::new(), gaps: Vec::new() }
    }

    /// Looks through the history until there is no more of it, the page is full or the request has cost enough.
    async fn fill(&mut self, history: &impl History, filter: &Filter) -> Result<(), RestError> {
        for _ in 0..EVENTS_READS_MAX {
            if self.is_full() {
                return Ok(());
            }
            let chunk = history.read(self.next, REPLAY_CHUNK_BYTES).await?;
            if chunk.next <= self.next {
                return Ok(());
            }
            for part in &chunk.parts {
                match part {
                    Part::Gap(gap) => self.note(gap, chunk.next),
                    Part::Events(batch) => {
                        let end = batch.next_seq().min(chunk.next);
                        while self.next < end && !self.is_full() {
                            self.look_at(batch, end, filter);
                            executor::breathe(BREATH_US).await;
                        }
                    }
                }
            }
        }
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.room == 0 || self.scans == 0
    }

    /// Takes the next few events of a batch, those below `end`, as far as they match and fit.
    fn look_at(&mut self, batch: &EncodedBatch, end: u64, filter: &Filter) {
        let first = self.next.max(batch.first_seq());
        let steps = EVENTS_STEP.min(self.scans) as u64;
        for seq in first..end.min(first + steps) {
            let event = (seq - batch.first_seq()) as usize;
            if filter.admits(batch.topic(event)) {
                let message = payload(batch.frame(event));
                if self.room == 0 || !self.fits(message) {
                    self.room = 0;
                    return;
                }
                if !self.events.is_empty() {
                    self.events.push(b',');
                }
                self.events.extend_from_slice(message);
                self.room -= 1;
            }
            self.scans -= 1;
            self.next = seq + 1;
        }
    }

    /// Whether there is room for a message; for the first there always is.
    fn fits(&self, message: &[u8]) -> bool {
        self.events.is_empty() || self.events.len() + message.len() < EVENTS_ANSWER_BYTES_MAX
    }

    /// Tells a gap, as far as nobody was told of it and it is within what was read.
    fn note(&mut self, gap: &Gap, end: u64) {
        let (from, to) = (gap.from.max(self.next), gap.to.min(end - 1));
        if !self.is_full() && from <= to {
            self.gaps.push(Gap { from, to, reason: gap.reason });
            self.next = to + 1;
        }
    }

    fn answer(&self, last_seq: u64) -> Vec<u8> {
        let gaps: Vec<String> = self.gaps.iter().map(gap_json).collect();
        let behind = format!(r#"],"gaps":[{}],"next_since":{},"last_seq":{last_seq}}}"#, gaps.join(","), self.next - 1);
        [br#"{"success":true,"events":["#, &*self.events, behind.as_bytes()].concat()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::Value;

    use super::*;
    use crate::accounts::Watchlist;
    use crate::event::{EventParser, Topic};
    use crate::hub::Origin;
    use crate::journal::GapReason;
    use crate::protocol::StreamTopic;

    /// A history of batches and gaps, and how it is handed out.
    struct Told {
        parts: Vec<Part>,
        /// Parts in a chunk.
        at_once: usize,
        /// Numbers that are not visible yet.
        visible: u64,
    }

    impl Told {
        fn ends(part: &Part) -> (u64, u64) {
            match part {
                Part::Events(batch) => (batch.first_seq(), batch.next_seq()),
                Part::Gap(gap) => (gap.from, gap.to + 1),
            }
        }
    }

    impl History for Told {
        async fn read(&self, from: u64, _bytes_max: usize) -> Result<Chunk, RestError> {
            let from_there = self.parts.iter().filter(|part| Self::ends(part).1 > from);
            let parts: Vec<Part> = from_there.take(self.at_once).cloned().collect();
            let next = parts.last().map_or(from, |last| Self::ends(last).1.min(self.visible).max(from));
            Ok(Chunk { from, next, parts })
        }
    }

    /// A batch from a number on: alerts, and prices where the pattern says `p`.
    fn batch(first_seq: u64, pattern: &str, pad_bytes: usize) -> Part {
        let event = |(kind, seq): (char, u64)| {
            let pad = "x".repeat(pad_bytes);
            let text = match kind {
                'p' => format!(r#"{{"type":"price_update","topic":"price:m","data":{{"n":{seq}}}}}"#),
                _ => format!(r#"{{"type":"alert","data":{{"n":{seq},"pad":"{pad}"}}}}"#),
            };
            EventParser::new().parse(text.as_bytes(), 1, None).expect("a sound event")
        };
        let events = pattern.chars().zip(first_seq..).map(event).collect();
        Part::Events(Arc::new(EncodedBatch::encode(events, first_seq, 0, Origin::default())))
    }

    fn gap(from: u64, to: u64) -> Part {
        Part::Gap(Gap { from, to, reason: GapReason::Crash })
    }

    /// What a poll for alerts answers: the numbers of its events, its gaps, and where it goes on.
    fn poll(history: &Told, since: u64, limit: usize) -> (Vec<u64>, Vec<(u64, u64)>, u64) {
        let alerts = StreamTopic::Named(Topic::parse("alerts").expect("a topic"));
        let filter = Filter::of_account(vec![alerts], &Watchlist::empty());
        let mut page = Page::new(since + 1, limit);
        glommio::LocalExecutor::default().run(async { page.fill(history, &filter).await }).expect("a history");
        let answer: Value = serde_json::from_slice(&page.answer(99)).expect("JSON");
        assert_eq!((&answer["success"], &answer["last_seq"]), (&true.into(), &99.into()));
        let list = |name: &str| answer[name].as_array().expect("a list").clone();
        let number = |json: &Value, name: &str| json[name].as_u64().expect("a number");
        let events = list("events");
        assert!(events.iter().all(|event| event["seq"] == event["data"]["n"] && event["type"] == "alert"));
        let gaps = list("gaps").iter().map(|gap| (number(gap, "from"), number(gap, "to"))).collect();
        (events.iter().map(|event| number(event, "seq")).collect(), gaps, number(&answer, "next_since"))
    }

    fn told(parts: Vec<Part>) -> Told {
        Told { parts, at_once: 2, visible: u64::MAX }
    }

    #[test]
    fn a_poll_is_answered_what_matches_and_goes_on_behind_what_does_not() {
        let history = told(vec![batch(1, "apa", 0), batch(4, "p", 0), batch(5, "aa", 0), batch(7, "pp", 0)]);
        assert_eq!(poll(&history, 0, 100), (vec![1, 3, 5, 6], vec![], 8));
        assert_eq!(poll(&history, 1, 100), (vec![3, 5, 6], vec![], 8));
        assert_eq!(poll(&history, 6, 100), (vec![], vec![], 8), "nothing matched, and the cursor moved");
        assert_eq!(poll(&history, 8, 100), (vec![], vec![], 8));
    }

    #[test]
    fn whoever_asks_again_with_the_cursor_gets_everything_once_whatever_the_limit() {
        let history = told(vec![batch(1, "apaap", 0), gap(6, 9), batch(10, "aapa", 0), batch(14, "a", 0)]);
        for limit in 1..=8 {
            let (mut since, mut events, mut gaps) = (0, Vec::new(), Vec::new());
            while since < 14 {
                let (more, more_gaps, next) = poll(&history, since, limit);
                assert!(more.len() <= limit && next > since, "limit {limit}: {since} to {next}");
                events.extend(more);
                gaps.extend(more_gaps);
                since = next;
            }
            assert_eq!((events, gaps), (vec![1, 3, 4, 10, 11, 13, 14], vec![(6, 9)]), "limit {limit}");
        }
    }

    #[test]
    fn a_gap_is_told_from_where_the_client_is() {
        let history = told(vec![gap(1, 9), batch(10, "a", 0)]);
        assert_eq!(poll(&history, 0, 10), (vec![10], vec![(1, 9)], 10));
        assert_eq!(poll(&history, 5, 10), (vec![10], vec![(6, 9)], 10));
        assert_eq!(poll(&history, 9, 10), (vec![10], vec![], 10));
    }

    #[test]
    fn what_is_not_visible_yet_is_not_answered() {
        let history = Told { visible: 3, ..told(vec![batch(1, "aaaa", 0)]) };
        assert_eq!(poll(&history, 0, 10), (vec![1, 2], vec![], 2));
        assert_eq!(poll(&history, 2, 10), (vec![], vec![], 2));
    }

    #[test]
    fn an_answer_is_bounded_in_bytes_and_has_at_least_one_event() {
        let long = told(vec![batch(1, &"a".repeat(40), 60_000)]);
        let (events, _, next) = poll(&long, 0, 1_000);
        assert_eq!(events.len(), EVENTS_ANSWER_BYTES_MAX / 60_100, "as many as fit");
        assert_eq!(next, events.len() as u64);
        let (rest, _, _) = poll(&long, next, 1_000);
        assert_eq!(rest[0], next + 1);
    }

    #[test]
    fn a_request_looks_at_so_many_events_and_no_more() {
        let history =
            told(vec![batch(1, &"p".repeat(EVENTS_SCANNED_MAX - 1), 0), batch(EVENTS_SCANNED_MAX as u64, "aa", 0)]);
        let most = EVENTS_SCANNED_MAX as u64;
        assert_eq!(poll(&history, 0, 10), (vec![most], vec![], most));
        assert_eq!(poll(&history, most, 10), (vec![most + 1], vec![], most + 1));
    }
}
