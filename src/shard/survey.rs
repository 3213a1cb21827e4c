//! What an operator asks of a shard: who is slow, and how many sockets a topic has.
//!
//! ```text
//!   desk ── ShardMail::Survey ──▶ surveys that wait ── a step a turn ──▶ reply
//! ```
//!
//! Nothing is counted for it: slots and audiences are looked at when somebody asks, a bounded number a turn, so that events
//! wait for a survey no longer than for a pong. Sockets come and go meanwhile; each is told as it was when it was looked at.

use std::collections::VecDeque;
use std::sync::Arc;

use super::behind::Stage;
use super::framing::Framing;
use super::index::Bond;
use super::sessions::Sessions;
use crate::accounts::AccountId;
use crate::event::Topic;
use crate::limits;
use crate::protocol::{Protocol, SlowPolicy, UnixMs};
use crate::tokens::UserId;

/// Takes an answer. It is called on the shard's thread and must not block.
pub type Reply<T> = Box<dyn FnOnce(T) + Send>;

/// A question to a shard.
pub enum Survey {
    /// How many sockets get the events of each topic.
    Receivers { topics: Arc<[Topic]>, reply: Reply<Vec<u64>> },
    /// Which sessions are slow, the `sessions_max` with most before them.
    Slow { sessions_max: usize, reply: Reply<SlowSessions> },
}

/// The slow sessions of a shard.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct SlowSessions {
    /// How many get events from the journal.
    pub behind: u64,
    /// How many live ones wait for their sockets to take bytes.
    pub full: u64,
    /// Those that most events are waiting for, most first.
    pub sessions: Vec<SlowSession>,
}

/// A session that has not been sent everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlowSession {
    pub slot: u32,
    pub protocol: Protocol,
    pub policy: SlowPolicy,
    pub who: Who,
    /// Topics that it named, or wallets that it watches.
    pub topics: u64,
    pub pace: Pace,
    /// Since when it has been behind. Of a live one it is not known here.
    pub since_ms: Option<UnixMs>,
    /// The number of the first event that it has not been handed, or, of a live one, not been sent.
    pub next_seq: u64,
    /// How many numbers there are from there on.
    pub events_behind: u64,
    pub unsent_bytes: u64,
}

/// Whose session it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    Account(AccountId),
    User(UserId),
    /// It has not said so yet.
    Nobody,
}

/// What a slow session waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// Live, and its socket takes no bytes.
    Full,
    /// Behind, and its socket has to take what it was handed.
    Draining,
    /// Behind, and waits for its turn.
    Waiting,
    /// Behind, and has used up what it may have in a second.
    Paused,
    /// Behind, and gets what it missed.
    Replaying,
}

impl Pace {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Draining => "draining",
            Self::Waiting => "waiting",
            Self::Paused => "paused",
            Self::Replaying => "replaying",
        }
    }
}

impl From<Stage> for Pace {
    fn from(stage: Stage) -> Self {
        match stage {
            Stage::Draining => Self::Draining,
            Stage::Ready => Self::Waiting,
            Stage::Paused => Self::Paused,
            Stage::Riding => Self::Replaying,
        }
    }
}

/// Surveys under way, one after the other.
#[derive(Default)]
pub struct Surveys {
    waiting: VecDeque<Walk>,
}

/// A survey and how far it is.
enum Walk {
    Receivers { topics: Arc<[Topic]>, counts: Vec<u64>, reply: Reply<Vec<u64>> },
    Slow { next_slot: u32, found: SlowSessions, sessions_max: usize, reply: Reply<SlowSessions> },
}

impl Surveys {
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub fn add(&mut self, survey: Survey) {
        self.waiting.push_back(match survey {
            Survey::Receivers { topics, reply } => Walk::Receivers { counts: Vec::new(), topics, reply },
            Survey::Slow { sessions_max, reply } => {
                Walk::Slow { next_slot: 0, found: SlowSessions::default(), sessions_max, reply }
            }
        });
    }
}

impl Sessions {
    /// Takes a step of the survey whose turn it is.
    pub(super) fn go_on_with_surveys(&mut self) {
        match self.surveys.waiting.pop_front() {
            None => {}
            Some(Walk::Receivers { topics, mut counts, reply }) => {
                let step = topics[counts.len()..].iter().take(limits::SURVEY_TOPICS);
                counts.extend(step.map(|topic| self.receivers_of(topic)));
                match counts.len() == topics.len() {
                    true => reply(counts),
                    false => self.surveys.waiting.push_front(Walk::Receivers { topics, counts, reply }),
                }
            }
            Some(Walk::Slow { next_slot, mut found, sessions_max, reply }) => {
                let slots = self.slots.slots();
                let end = slots.end.min(next_slot + limits::SURVEY_SLOTS);
                (next_slot..end)
                    .filter_map(|slot| self.slow_session(slot))
                    .for_each(|slow| found.add(slow, sessions_max));
                match end == slots.end {
                    true => reply(found.worst(sessions_max)),
                    false => {
                        self.surveys.waiting.push_front(Walk::Slow { next_slot: end, found, sessions_max, reply });
                    }
                }
            }
        }
    }

    /// The sockets that an event of the topic goes to. It takes as long as an event takes to find them.
    fn receivers_of(&mut self, topic: &Topic) -> u64 {
        let mut matched = Vec::new();
        Framing::ALL.into_iter().for_each(|framing| self.index.find(topic, framing, &mut matched));
        matched.into_iter().map(|id| self.index.audience(id).members.len() as u64).sum()
    }

    fn slow_session(&self, slot: u32) -> Option<SlowSession> {
        let socket = &self.slots[slot];
        if !socket.is_open() {
            return None;
        }
        let newest = self.newest_seq.max(self.inbox.seq);
        let (pace, since_ms, next_seq) = match &socket.behind {
            Some(behind) => (behind.stage.into(), Some(behind.since_ms), self.next_of(behind)),
            None if socket.full && !socket.output.is_empty() => {
                let unsent = socket.output.oldest().and_then(|offset| self.log.seq_around(offset));
                (Pace::Full, None, unsent.unwrap_or(newest + 1))
            }
            None => return None,
        };
        let bond = socket.home.map(|home| self.index.bond(home.audience));
        let named = match socket.protocol {
            // Its one topic is nowhere listed.
            Protocol::Tiered => 1,
            _ => socket.dialogue.as_ref().map_or(0, |dialogue| dialogue.subscriptions.len()),
        };
        let (who, watched) = match bond {
            Some(Bond::Account { account, watchlist, .. }) => (Who::Account(*account), watchlist.len()),
            Some(Bond::User(user)) => (Who::User(user.clone()), 0),
            Some(Bond::Topic(_) | Bond::Admin(_)) | None => (Who::Nobody, 0),
        };
        Some(SlowSession {
            slot,
            protocol: socket.protocol,
            policy: socket.policy,
            who,
            topics: (named + watched) as u64,
            pace,
            since_ms,
            next_seq,
            events_behind: (newest + 1).saturating_sub(next_seq),
            unsent_bytes: socket.output.unsent_events() + self.unsent_answers(slot) as u64,
        })
    }
}

impl SlowSessions {
    fn add(&mut self, slow: SlowSession, sessions_max: usize) {
        match slow.pace {
            Pace::Full => self.full += 1,
            _ => self.behind += 1,
        }
        self.sessions.push(slow);
        // Now and then, so that adding one costs little, and thousands that are slow at once take no room.
        if self.sessions.len() >= 2 * sessions_max.max(1) {
            self.sort(sessions_max);
        }
    }

    fn worst(mut self, sessions_max: usize) -> Self {
        self.sort(sessions_max);
        self
    }

    fn sort(&mut self, sessions_max: usize) {
        self.sessions.sort_by_key(|slow| std::cmp::Reverse((slow.events_behind, slow.unsent_bytes)));
        self.sessions.truncate(sessions_max);
    }
}
