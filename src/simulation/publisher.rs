//! Publishers: what they send, what they are answered, and what that answer has to be.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

use super::cast;
use super::history::History;
use crate::event::Event;
use crate::hub::{Accepted, EncodedBatch, HubHandle};
use crate::journal::JournalError;

type Answer = Result<Accepted, JournalError>;

/// Requests on their way, of all publishers.
#[derive(Default)]
pub struct Publishers {
    /// In the order of the hub's mailbox.
    posted: VecDeque<Request>,
    /// Those that have numbers and no answer.
    numbered: Vec<(Request, Vec<u64>, Accepted)>,
    /// Events with ids that were published before, and their publishers.
    retries: VecDeque<(u64, Event)>,
    next_id: u64,
    pub acknowledged: u64,
}

struct Request {
    publisher: u64,
    events: Vec<Event>,
    answer: Receiver<Answer>,
    /// What came at once.
    told: Option<Answer>,
}

impl Publishers {
    fn event(&mut self, rng: &mut fastrand::Rng, publisher: u64, pad: usize, keys: u8) -> Event {
        if rng.u8(..8) == 0
            && let Some((of, event)) = rng.choice(&self.retries)
            && *of == publisher
        {
            return event.clone();
        }
        self.next_id += 1;
        let number = self.next_id;
        let topic = rng.u8(..cast::TOPICS.len() as u8);
        let id = rng.bool().then(|| format!("id-{number}").into());
        let key = (keys > 0 && rng.u8(..4) > 0).then(|| format!("k{}", rng.u8(..keys)).into());
        let event = Self::event_on(topic, number, pad, key, id);
        if event.id.is_some() {
            self.retries.push_back((publisher, event.clone()));
            if self.retries.len() > 40 {
                self.retries.pop_front();
            }
        }
        event
    }

    fn event_on(topic: u8, number: u64, pad: usize, key: Option<Box<str>>, id: Option<Box<str>>) -> Event {
        let topic = cast::topic(topic);
        let kind = match topic.as_str() {
            name if name.starts_with("wallet:") => "trade.open",
            "alerts" => "alert",
            _ => "note",
        };
        let data = format!(r#"{{"n":{number},"pad":"{}"}}"#, "x".repeat(pad)).into_bytes().into();
        Event { kind: kind.into(), topic, data, channel: None, key, id }
    }

    /// Sends a request.
    pub fn publish(&mut self, hub: &HubHandle, rng: &mut fastrand::Rng, pad_max: usize, keys: u8) {
        let publisher = rng.u64(1..=2);
        let events = match rng.u8(..40) {
            0 => rng.usize(100..700),
            1..8 => rng.usize(2..30),
            _ => 1,
        };
        let pad_max = if events > 30 { pad_max.min(20) } else { pad_max };
        let events = (0..events).map(|_| {
            let pad = rng.usize(..=pad_max);
            self.event(rng, publisher, pad, keys)
        });
        let events = events.collect();
        self.post(hub, publisher, events);
    }

    /// Sends one event on every topic.
    pub fn publish_on_all(&mut self, hub: &HubHandle) {
        let events = (0..cast::TOPICS.len() as u8).map(|topic| Self::event_on(topic, 0, 5, None, None)).collect();
        self.post(hub, 1, events);
    }

    fn post(&mut self, hub: &HubHandle, publisher: u64, events: Vec<Event>) {
        let (told, answer) = channel();
        hub.publish(events.clone(), publisher, Box::new(move |answer| drop(told.send(answer))));
        self.posted.push_back(Request { publisher, events, answer, told: None });
    }

    /// The hub has read the next request, and appended these. `window_ms` is how long ids are known.
    pub fn read(&mut self, appended: &[Arc<EncodedBatch>], history: &mut History, life: u32, window_ms: u64, now: u64) {
        let mut request = self.posted.pop_front().expect("it was posted");
        request.told = request.answer.try_recv().ok();
        if let Some(Err(_)) = request.told {
            assert!(appended.is_empty(), "a request is refused and has numbers");
            return;
        }
        let mut new = appended.iter().flat_map(|batch| {
            assert_eq!(batch.origin().publisher, request.publisher);
            batch.events().iter().zip(batch.first_seq()..)
        });
        let mut next = new.next();
        let mut own: Vec<(Box<str>, u64)> = Vec::new();
        let mut numbers = Vec::new();
        let mut duplicates = 0;
        for event in &request.events {
            let earlier = event.id.as_deref().and_then(|id| {
                let inside = own.iter().find(|(known, _)| **known == *id).map(|(_, seq)| *seq);
                inside.or_else(|| history.of_id(request.publisher, id))
            });
            match (next, earlier) {
                (Some((appended, seq)), earlier) if appended == event => {
                    if let Some(first) = earlier {
                        let entry = history.get(first);
                        let entry = entry.unwrap_or_else(|| panic!("{event:?} is in one request twice"));
                        let forgotten = now.saturating_sub(entry.unix_ms()) >= window_ms;
                        let dropped = entry.life < life && first < history.retained_from;
                        assert!(
                            entry.lost || forgotten || dropped,
                            "id {:?} of publisher {} has the numbers {first} and {seq}",
                            event.id,
                            request.publisher
                        );
                    }
                    event.id.iter().for_each(|id| own.push((id.clone(), seq)));
                    numbers.push(seq);
                    next = new.next();
                }
                (_, Some(first)) => {
                    let lost = history.get(first).is_some_and(|entry| entry.lost);
                    assert!(!lost, "id {:?} is said to have the number {first}, which is lost", event.id);
                    numbers.push(first);
                    duplicates += 1;
                }
                (_, None) => panic!("{event:?} got no number"),
            }
        }
        assert!(next.is_none(), "{next:?} was not published");
        let accepted = Accepted {
            accepted: request.events.len() as u64,
            first_seq: *numbers.iter().min().expect("one event at least"),
            last_seq: *numbers.iter().max().expect("one event at least"),
            duplicates,
        };
        for batch in appended {
            history.append(batch, life);
        }
        self.numbered.push((request, numbers, accepted));
    }

    /// Holds the answers that have come against what they must be.
    pub fn hear(&mut self, history: &mut History) {
        let acknowledged = &mut self.acknowledged;
        self.numbered.retain_mut(|(request, numbers, expected)| {
            match request.told.take().ok_or(()).or_else(|()| request.answer.try_recv()) {
                Ok(Ok(accepted)) => {
                    assert_eq!(&accepted, expected);
                    *acknowledged += 1;
                    for seq in numbers {
                        history.get_mut(*seq).expect("it has a number").promised = true;
                    }
                    false
                }
                Ok(Err(JournalError::Unkept)) => false,
                Ok(Err(error)) => panic!("refused behind its numbers {numbers:?}: {error}"),
                Err(_) => true,
            }
        });
    }

    /// The hub ended in order: whatever it has not read is refused.
    pub fn turned_away(&mut self) {
        for request in self.posted.drain(..) {
            assert!(matches!(request.answer.try_recv(), Ok(Err(JournalError::Stopping))), "left without an answer");
        }
    }

    pub fn is_answered(&self) -> bool {
        self.posted.is_empty() && self.numbered.is_empty()
    }

    /// The server is gone: nobody is answered any more.
    pub fn forget(&mut self) {
        self.posted.clear();
        self.numbered.clear();
    }
}
