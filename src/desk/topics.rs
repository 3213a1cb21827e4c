//! `GET /api/admin/topics?limit=N`: the busiest topics of about a minute, for an admin key.
//!
//! `{"success":true,"window_ms":N,"short_by_max":N,"complete":true,"by_events":[…],"by_deliveries":[…]}`, each topic
//! `{"topic","events","receivers","deliveries"}`, most first.
//!
//! * `events` were counted as they were published, and may be short by `short_by_max` where more topics than can be counted were busy.
//! * `receivers` are the sockets that an event of it goes to now, and `deliveries` both multiplied: nothing is counted for each
//!   delivery. Not `complete`: a shard did not answer in time, and its sockets are missing.

use std::cmp::Reverse;
use std::sync::Arc;

use http::{Request, StatusCode};
use hyper::body::Incoming;
use serde_json::{Value, json};

use super::error::{Reply, RestError, json_reply};
use super::{Desk, auth, query, survey};
use crate::accounts::Role;
use crate::event::Topic;
use crate::hub::Busiest;
use crate::limits;
use crate::shard::survey::Survey;

pub async fn busiest(desk: &Desk, request: Request<Incoming>) -> Result<Reply, RestError> {
    let (_, request) = auth::admit(desk, request, Role::Admin).await?;
    let listed = query::limit(request.uri(), limits::TOPICS_LISTED, limits::TOPICS_LISTED_MAX)?;
    let busiest = desk.hub.busiest_topics(limits::TOPICS_SURVEYED_MAX);
    // What was published was a topic.
    let topics: Arc<[Topic]> = busiest.topics.iter().filter_map(|(topic, _)| Topic::parse(topic).ok()).collect();
    let counts = survey::of_every_shard(desk, |reply| Survey::Receivers { topics: topics.clone(), reply }).await;
    Ok(json_reply(StatusCode::OK, &answer(&busiest, &counts, listed)))
}

struct Traffic<'a> {
    topic: &'a str,
    events: u64,
    receivers: u64,
}

impl Traffic<'_> {
    fn deliveries(&self) -> u64 {
        self.events.saturating_mul(self.receivers)
    }

    fn shown(&self) -> Value {
        let Self { topic, events, receivers } = self;
        json!({ "topic": topic, "events": events, "receivers": receivers, "deliveries": self.deliveries() })
    }
}

/// `counts` are each shard's, in the order of the topics.
fn answer(busiest: &Busiest, counts: &[Option<Vec<u64>>], listed: usize) -> Value {
    let receivers = |nth: usize| counts.iter().flatten().filter_map(|counts| counts.get(nth)).sum();
    let counted = busiest.topics.iter().enumerate();
    let traffic = counted.map(|(nth, (topic, events))| Traffic { topic, events: *events, receivers: receivers(nth) });
    let mut topics: Vec<Traffic> = traffic.collect();
    let shown = |topics: &[Traffic]| topics.iter().take(listed).map(Traffic::shown).collect::<Vec<_>>();
    let by_events = shown(&topics);
    topics.retain(|topic| topic.deliveries() > 0);
    topics.sort_by_key(|topic| Reverse(topic.deliveries()));
    json!({
        "success": true,
        "window_ms": busiest.window_ms,
        "short_by_max": busiest.short_by_max,
        "complete": counts.iter().all(Option::is_some),
        "by_events": by_events,
        "by_deliveries": shown(&topics),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_stand_by_events_and_by_what_all_shards_deliver_of_them() {
        let topics = [("a", 100), ("b", 10), ("c", 1)].map(|(topic, events)| (Arc::from(topic), events)).to_vec();
        let busiest = Busiest { window_ms: 55_000, short_by_max: 2, topics };
        let told = answer(&busiest, &[Some(vec![0, 3, 20]), None, Some(vec![0, 4, 30])], 2);
        let b = json!({ "topic": "b", "events": 10, "receivers": 7, "deliveries": 70 });
        let expected = json!({
            "success": true,
            "window_ms": 55_000,
            "short_by_max": 2,
            "complete": false,
            "by_events": [{ "topic": "a", "events": 100, "receivers": 0, "deliveries": 0 }, b],
            "by_deliveries": [b, { "topic": "c", "events": 1, "receivers": 50, "deliveries": 50 }],
        });
        assert_eq!(told, expected);
    }
}
