//! A whole publish body becomes events, in steps, all or nothing.

use super::split::{Format, Next, Splitter};
use super::{Event, EventParser, InvalidEvent, Reason, Refusal};
use crate::limits::{BATCH_EVENTS_MAX, EVENT_OVERHEAD_BYTES};

/// Parses one body in pieces, so that the task that drives it can yield to its shard's sockets in between.
pub struct BatchParser {
    body: Vec<u8>,
    splitter: Splitter,
    parser: EventParser,
    events: Vec<Event>,
    events_bytes: usize,
    done: bool,
}

impl BatchParser {
    pub fn new(body: impl Into<Vec<u8>>, format: Format) -> Self {
        Self {
            body: body.into(),
            splitter: Splitter::new(format),
            parser: EventParser::new(),
            events: Vec::new(),
            events_bytes: 0,
            done: false,
        }
    }

    /// Reads about `budget_bytes` further: to the end of the event that crosses it. At 250-byte events, 64 KiB take
    /// around 0.2 ms. True when the whole body has been read.
    ///
    /// After an error the batch is void: drop it.
    pub fn step(&mut self, budget_bytes: usize) -> Result<bool, InvalidEvent> {
        let stop_at = self.splitter.position() + budget_bytes.max(1);
        while !self.done && self.splitter.position() < stop_at {
            match self.splitter.next(&self.body, stop_at)? {
                Next::Element(element) => {
                    let event = self.parser.parse(&self.body[element.range], element.line, element.index)?;
                    if self.events.len() == BATCH_EVENTS_MAX {
                        return Err(Refusal::whole(Reason::TooManyEvents).at(element.line, element.index));
                    }
                    self.events_bytes += event.data.len() + EVENT_OVERHEAD_BYTES;
                    self.events.push(event);
                }
                Next::Paused => break,
                Next::End if self.events.is_empty() => {
                    return Err(Refusal::whole(Reason::Empty).at(self.splitter.line(), None));
                }
                Next::End => self.done = true,
            }
        }
        Ok(self.done)
    }

    /// What the events so far take in memory, near enough to bound it; the body comes on top.
    pub fn events_bytes(&self) -> usize {
        self.events_bytes
    }

    /// The events, in the body's order; at least one.
    ///
    /// # Panics
    /// If [`Self::step`] has not returned true: half a batch must never be published.
    pub fn finish(self) -> Vec<Event> {
        assert!(self.done, "a batch was taken before all of it was read");
        self.events
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(body: &str, format: Format, budget_bytes: usize) -> Result<Vec<Event>, InvalidEvent> {
        let mut batch = BatchParser::new(body, format);
        while !batch.step(budget_bytes)? {}
        Ok(batch.finish())
    }

    fn alert(n: usize) -> String {
        format!(r#"{{"type":"alert","data":{{"id":{n}}}}}"#)
    }

    #[test]
    fn all_three_shapes_give_the_same_events() {
        let alerts: Vec<_> = (0..10).map(alert).collect();
        for budget_bytes in [0, 1, 50, 10_000] {
            let lines = parse(&alerts.join("\n"), Format::Ndjson, budget_bytes).unwrap();
            assert_eq!(lines.len(), 10);
            assert_eq!(&*lines[9].data, br#"{"id":9}"#);
            assert_eq!(parse(&format!("[{}]", alerts.join(",\n")), Format::Json, budget_bytes).unwrap(), lines);
            assert_eq!(parse(&alerts[0], Format::Json, budget_bytes).unwrap(), lines[..1]);
        }
    }

    #[test]
    fn a_step_reads_no_more_than_its_budget_and_one_event() {
        let body = (0..1_000).map(|n| alert(n) + "\n").collect::<String>();
        let mut batch = BatchParser::new(body.clone(), Format::Ndjson);
        let mut steps = 1;
        while !batch.step(500).unwrap() {
            steps += 1;
        }
        assert!((body.len() / 550..=body.len() / 450).contains(&steps), "{steps} steps");
        let data_bytes: usize = batch.events.iter().map(|event| event.data.len()).sum();
        assert_eq!(batch.events_bytes(), data_bytes + 1_000 * EVENT_OVERHEAD_BYTES);
        let mut blank = BatchParser::new(" ".repeat(10_000), Format::Json);
        assert!(!blank.step(500).unwrap());
        assert_eq!(blank.splitter.position(), 500);
    }

    #[test]
    fn the_first_bad_event_voids_the_batch_and_is_named() {
        let body = format!("{}\n\n{}\n{{\"type\":\"alert\"}}\n{}", alert(1), alert(2), alert(3));
        assert_eq!(
            parse(&body, Format::Ndjson, 10_000).unwrap_err().to_string(),
            "line 4: data: required, but missing"
        );
        let body = format!("[{},{{\"type\":\"alert\"}}]", alert(1));
        assert_eq!(
            parse(&body, Format::Json, 10_000).unwrap_err().to_string(),
            "line 1: [1].data: required, but missing"
        );
        let body = format!("{}\n{}\n{{\"type\":\"alert\",\"data\":{{]\n", alert(1), alert(2));
        assert_eq!(
            parse(&body, Format::Ndjson, 10_000).unwrap_err().to_string(),
            "line 3: data: not valid JSON at byte 25 of the event: expected a key in double quotes"
        );
        assert_eq!(
            parse("[{\"type\":\"alert\"", Format::Json, 10_000).unwrap_err().to_string(),
            "line 1: [0].type: not valid JSON at byte 16 of the event: an object is not closed"
        );
    }

    #[test]
    fn an_empty_batch_is_an_error() {
        for (body, format) in
            [("", Format::Json), ("[\n]", Format::Json), ("", Format::Ndjson), ("\r\n \n", Format::Ndjson)]
        {
            assert_eq!(parse(body, format, 100).unwrap_err().reason, Reason::Empty, "{body:?}");
        }
    }

    #[test]
    fn the_number_of_events_is_bounded() {
        let body = (alert(7) + "\n").repeat(BATCH_EVENTS_MAX);
        assert_eq!(parse(&body, Format::Ndjson, 1 << 20).unwrap().len(), BATCH_EVENTS_MAX);
        let error = parse(&(body + &alert(8)), Format::Ndjson, 1 << 20).unwrap_err();
        assert_eq!((error.line, error.reason), (BATCH_EVENTS_MAX as u32 + 1, Reason::TooManyEvents));
    }

    #[test]
    #[should_panic(expected = "before all of it was read")]
    fn half_a_batch_cannot_be_taken() {
        let mut batch = BatchParser::new(alert(1) + "\n" + &alert(2), Format::Ndjson);
        assert!(!batch.step(1).unwrap());
        batch.finish();
    }

    proptest! {
        #[test]
        fn random_bodies_never_panic(body in prop::collection::vec(any::<u8>(), 0..400), ndjson in any::<bool>()) {
            let mut batch = BatchParser::new(body, if ndjson { Format::Ndjson } else { Format::Json });
            while let Ok(false) = batch.step(16) {}
        }
    }
}
