//! `GET /api/admin/slow?limit=N`: sessions that have not been sent everything, for an admin key.
//!
//! `{"success":true,"behind":N,"full":N,"complete":true,"sessions":[…]}`: how many get events from the journal, how many live ones
//! wait for their sockets, and those of either for which most events wait, each
//! `{"shard","slot","protocol","account"|"user","topics","policy","state","since","next_seq","events_behind","unsent_bytes"}`.
//!
//! * `state` is `full` of a live one, else `draining`, `waiting`, `paused` or `replaying`.
//! * `since` is when it fell behind or resumed; of a live one, when the event that it waits for was published; null where that is not
//!   known.
//! * Not `complete`: a shard did not answer in time, and its sessions are missing.

use http::{Request, StatusCode};
use hyper::body::Incoming;
use serde_json::{Value, json};

use super::error::{Reply, RestError, json_reply};
use super::{Desk, auth, query, survey};
use crate::accounts::Role;
use crate::journal::Part;
use crate::limits;
use crate::protocol::{Endpoint, Protocol, UnixMs, rfc3339};
use crate::shard::survey::{SlowSession, SlowSessions, Survey, Who};

pub async fn sessions(desk: &Desk, request: Request<Incoming>) -> Result<Reply, RestError> {
    let (_, request) = auth::admit(desk, request, Role::Admin).await?;
    let sessions_max = query::limit(request.uri(), limits::SLOW_LISTED, limits::SLOW_LISTED_MAX)?;
    let answers = survey::of_every_shard(desk, |reply| Survey::Slow { sessions_max, reply }).await;
    let complete = answers.iter().all(Option::is_some);
    let mut slow: Vec<(usize, SlowSession)> = Vec::new();
    let (mut behind, mut full) = (0, 0);
    for (shard, answer) in answers.into_iter().enumerate() {
        let Some(SlowSessions { behind: here, full: waiting, sessions }) = answer else { continue };
        behind += here;
        full += waiting;
        slow.extend(sessions.into_iter().map(|session| (shard, session)));
    }
    slow.sort_by_key(|(_, session)| std::cmp::Reverse((session.events_behind, session.unsent_bytes)));
    slow.truncate(sessions_max);
    let shown: Vec<Value> = slow.iter().map(|(shard, session)| shown(desk, *shard, session)).collect();
    let answer = json!({ "success": true, "behind": behind, "full": full, "complete": complete, "sessions": shown });
    Ok(json_reply(StatusCode::OK, &answer))
}

fn shown(desk: &Desk, shard: usize, session: &SlowSession) -> Value {
    let since_ms = session.since_ms.or_else(|| published_ms(desk, session.next_seq));
    let mut shown = json!({
        "shard": shard,
        "slot": session.slot,
        "protocol": name(session.protocol),
        "topics": session.topics,
        "policy": session.policy.as_str(),
        "state": session.pace.as_str(),
        "since": since_ms.map(rfc3339),
        "next_seq": session.next_seq,
        "events_behind": session.events_behind,
        "unsent_bytes": session.unsent_bytes,
    });
    match &session.who {
        Who::Account(id) => {
            let accounts = desk.directory.load();
            shown["account"] = accounts.account(*id).map(|account| account.name.as_str()).into();
        }
        Who::User(user) => shown["user"] = user.as_str().into(),
        Who::Nobody => {}
    }
    shown
}

/// When an event was published, where it is still in memory.
fn published_ms(desk: &Desk, seq: u64) -> Option<UnixMs> {
    let chunk = desk.window.recent(seq, 1)?;
    chunk.parts.iter().find_map(|part| match part {
        Part::Events(batch) => Some(batch.origin().unix_ms),
        Part::Gap(_) => None,
    })
}

fn name(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Watchlist => Endpoint::Watchlist.as_str(),
        Protocol::Tiered => Endpoint::Tiered.as_str(),
        Protocol::Channels => Endpoint::Channels.as_str(),
        Protocol::Rooms => Endpoint::Rooms.as_str(),
        Protocol::Stream => Endpoint::Stream.as_str(),
        #[cfg(feature = "conformance")]
        Protocol::Echo => "echo",
    }
}
