//! Sessions that are spoken with: a client's message → what it changes → the answer.
//!
//! ```text
//!   message ─▶ too many? ─▶ tiered:   ping
//!                           channels: auth, subscribe, unsubscribe, ping            (channels.rs)
//!                           rooms:    auth, subscribe, unsubscribe, list_rooms, ping (rooms.rs)
//! ```
//!
//! Invariants:
//! * Messages are handled in their order, and each is answered, or the session is closed with the reason. While many answers
//!   have not been sent, further messages wait, so that what they are answered can't pile up. What is said of a message that
//!   is not looked at (too many, not text) does not wait behind them, and a session that ends leaves them unanswered.
//! * Nothing is joined before authentication. What a session may join is decided by its account's or its token's present state.

mod channels;
mod rooms;
mod stream;

use std::collections::VecDeque;

use smallvec::SmallVec;

use super::sessions::Sessions;
use super::socket::Membership;
use super::wheel::Tick;
use crate::clock::{self, Nanos};
use crate::limits::{self, TICK_MS};
use crate::logging::Occasion;
use crate::protocol::rooms::NamedChannels;
use crate::protocol::{ErrorCode, Message, Protocol, SocketError, pong, tiered};
use crate::tokens::UserId;
use crate::ws::CloseCode;

/// What a session that does not authenticate is told.
const EXPECTS_AUTHENTICATION: &str = "no auth message came in time";

/// What a session is told that asks and does not read.
pub(super) const ANSWERS_UNREAD: &str = "answers are not being read";

/// What a session with commands remembers.
#[derive(Debug)]
pub struct Dialogue {
    pub stage: Stage,
    /// The topics that it named, in order.
    pub subscriptions: Vec<Subscription>,
    /// After which number a subscription begins that does not say so itself.
    pub since: Option<u64>,
    /// Bytes of their names.
    pub names_bytes: usize,
    /// Messages that wait until answers to earlier ones have been sent.
    waiting: VecDeque<Box<str>>,
    waiting_bytes: usize,
}

/// A topic that a session named.
#[derive(Clone, Copy, Debug)]
pub struct Subscription {
    pub membership: Membership,
    /// The number of the first event that it gets of it.
    pub from: u64,
}

/// How far it is, or what it waits for.
#[derive(Debug)]
pub enum Stage {
    /// A valid `auth` message, until the socket is due.
    AwaitsAuthentication,
    /// Commands of a channels session. Its account is its home audience's.
    Channels,
    /// Commands of a rooms session. The stream of a user knows no commands and is the same else.
    Rooms(Guest),
    /// The stream of an account: its places among those who receive its watchlist and the alerts. It knows no commands.
    Stream(SmallVec<[Membership; 2]>),
}

/// Whom a session with a token is for, and until when.
#[derive(Debug)]
pub struct Guest {
    pub user: UserId,
    /// The number that it was greeted with.
    pub session: u64,
    pub admin: Option<Admin>,
    pub named: NamedChannels,
    /// The token's end, in Unix seconds.
    pub expires_at_s: u64,
    pub expires: Tick,
    /// When it is to be told so; nothing once it was.
    pub warns: Option<Tick>,
    /// When it is due for a ping, or a comment.
    pub next_beat: Tick,
    /// Tokens that were not believed since it has been open.
    pub failures: u8,
}

/// An administrator's level and its audience.
#[derive(Clone, Copy, Debug)]
pub struct Admin {
    pub level: u32,
    pub membership: Membership,
}

impl Dialogue {
    pub fn new(since: Option<u64>) -> Box<Self> {
        Box::new(Self {
            stage: Stage::AwaitsAuthentication,
            subscriptions: Vec::new(),
            since,
            names_bytes: 0,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
        })
    }

    /// The number that it has named, as long as nothing has come of it: what follows it is still to come, for each topic as it is
    /// subscribed to, or once it is known who asks.
    pub fn awaits_topics_since(&self) -> Option<u64> {
        let awaits = matches!(self.stage, Stage::AwaitsAuthentication | Stage::Channels);
        self.since.filter(|_| awaits && self.subscriptions.is_empty())
    }

    /// Every audience that it is in beside its home.
    pub fn memberships(&mut self) -> impl Iterator<Item = &mut Membership> {
        let (admin, places) = match &mut self.stage {
            Stage::Rooms(guest) => (guest.admin.as_mut().map(|admin| &mut admin.membership), &mut [][..]),
            Stage::Stream(places) => (None, &mut places[..]),
            Stage::AwaitsAuthentication | Stage::Channels => (None, &mut [][..]),
        };
        let subscriptions = self.subscriptions.iter_mut().map(|subscription| &mut subscription.membership);
        admin.into_iter().chain(places).chain(subscriptions)
    }
}

impl Sessions {
    /// What the client said, in whatever protocol it is.
    pub(super) fn message(&mut self, slot: u32, message: Message<'_>) {
        if !self.may_speak(slot) {
            let harmless = matches!(message, Message::Text(text) if self.changes_nothing(slot, text));
            return self.refuse_message(slot, harmless);
        }
        match (self.slots[slot].protocol, message) {
            // These know no client messages. One is a sign of life and nothing else.
            (Protocol::Watchlist | Protocol::Stream, _) => {}
            (Protocol::Tiered, Message::Text(text)) if tiered::is_ping(text) => {
                self.sign_of_life_is_a_ping(slot);
                self.say(slot, tiered::pong(self.position(slot)));
            }
            (Protocol::Tiered, _) => self.tell(slot, &SocketError::invalid("the only message here is ping")),
            (Protocol::Channels | Protocol::Rooms, Message::Text(text)) => self.hear(slot, text),
            (Protocol::Channels | Protocol::Rooms, Message::Binary(_)) => {
                self.tell(slot, &SocketError::invalid("messages here are JSON in text frames"));
            }
            #[cfg(feature = "conformance")]
            (Protocol::Echo, message) => self.say(slot, echo(message)),
        }
    }

    /// Carries a command out, or puts it off while too many answers wait to be sent. A client that asks and does not read
    /// is closed in the end.
    fn hear(&mut self, slot: u32, text: &str) {
        let may_act = self.may_act(slot, text);
        let dialogue = self.slots[slot].dialogue();
        if dialogue.waiting.is_empty() && may_act {
            return self.carry_out(slot, text);
        }
        dialogue.waiting_bytes += waiting_bytes(text);
        dialogue.waiting.push_back(text.into());
        if dialogue.waiting_bytes > limits::MESSAGES_WAITING_BYTES_MAX {
            self.close(slot, CloseCode::SLOW_CONSUMER, ANSWERS_UNREAD);
        }
    }

    /// Its answers have been sent: what it said meanwhile is carried out, until there are many again.
    pub(super) fn hear_on(&mut self, slot: u32) {
        while let Some(dialogue) = &self.slots[slot].dialogue
            && let Some(text) = dialogue.waiting.front()
            && self.may_act(slot, text)
        {
            let dialogue = self.slots[slot].dialogue();
            let text = dialogue.waiting.pop_front().expect("one waits");
            dialogue.waiting_bytes -= waiting_bytes(&text);
            self.carry_out(slot, &text);
        }
    }

    /// Whether what it says can be carried out now: few answers wait, and, for what ends a subscription, few of the events that it
    /// was handed before, so that those can be kept for it.
    fn may_act(&self, slot: u32, text: &str) -> bool {
        let socket = &self.slots[slot];
        let is_even = || {
            let holds_answers = socket.behind.as_ref().is_some_and(|behind| behind.holds_answers());
            !holds_answers && socket.output.unsent_events() <= limits::EVENTS_UNSENT_BYTES_MAX
        };
        // A word may be written with escapes.
        let may_end = text.contains("unsubscribe") || text.contains('\\');
        self.unsent_answers(slot) < limits::ANSWERS_UNSENT_BYTES_MAX && (!may_end || is_even())
    }

    fn carry_out(&mut self, slot: u32, text: &str) {
        let outcome = match self.slots[slot].protocol {
            Protocol::Channels => self.channels_command(slot, text),
            Protocol::Rooms => self.rooms_command(slot, text),
            other => unreachable!("{other:?} has no commands"),
        };
        if let Err(error) = outcome {
            self.tell(slot, &error);
        }
    }

    /// Answers a JSON `ping`.
    fn pong(&mut self, slot: u32) {
        self.say(slot, pong(self.unix_ms, self.position(slot)));
    }

    /// Whether a message or a ping is within the session's rate.
    pub(super) fn may_speak(&mut self, slot: u32) -> bool {
        if !self.slots[slot].protocol.tells_errors() {
            return true;
        }
        let now = self.nanos();
        let socket = &mut self.slots[slot];
        if socket.rate.is_rested(now) {
            socket.refusals = 0;
        }
        socket.rate.admit(&self.rate, 1, now).is_ok()
    }

    /// Tells a client that it says too much. Whoever goes on without a pause is closed; what is `harmless` is not held
    /// against it.
    pub(super) fn refuse_message(&mut self, slot: u32, harmless: bool) {
        let error = SocketError::new(ErrorCode::RateLimitExceeded, "too many messages: slow down");
        if harmless && self.unsent_answers(slot) >= limits::ANSWERS_UNSENT_BYTES_MAX {
            // It was told often enough, and what it wants is so already.
            return;
        }
        let socket = &mut self.slots[slot];
        socket.refusals += u32::from(!harmless);
        if self.rules.refusals_max > 0 && socket.refusals > self.rules.refusals_max {
            // Behind its answers: the client has to see that it was told to slow down.
            static CLOSED: Occasion = Occasion::new();
            if let Some(untold) = CLOSED.tell(clock::now()) {
                let (protocol, who) = (self.slots[slot].protocol, self.holder(slot));
                tracing::warn!(
                    ?protocol,
                    who,
                    untold,
                    "a session is closed with 4429: too many messages, without a pause"
                );
            }
            let reason = "too many messages, and no pause after many were refused";
            return self.close_after(slot, &[], CloseCode::RATE_ABUSE, reason);
        }
        self.tell(slot, &error);
    }

    /// Takes what an expensive message costs beyond the others, but never more than the burst: a client that pauses long
    /// enough can always say it.
    fn charge(&mut self, slot: u32, messages: u64) -> Result<(), SocketError> {
        let now = self.nanos();
        let messages = messages.min(u64::from(self.rules.message_burst).saturating_sub(1));
        let admitted = self.slots[slot].rate.admit(&self.rate, messages, now);
        admitted.map_err(|_| SocketError::new(ErrorCode::RateLimitExceeded, "too many auth messages: slow down"))
    }

    fn nanos(&self) -> Nanos {
        u64::from(self.now) * u64::from(TICK_MS) * 1_000_000
    }

    /// Tells the client what it did wrong; the session goes on.
    fn tell(&mut self, slot: u32, error: &SocketError) {
        if self.slots[slot].is_open() {
            self.say(slot, error.frame());
        }
    }

    /// Subscribes to a topic, where there is room for one more: to what follows `since`, or to what comes.
    fn subscribe_within_bounds(&mut self, slot: u32, topic: &str, since: Option<u64>) -> Result<(), SocketError> {
        self.check_since(since)?;
        let dialogue = self.slots[slot].dialogue();
        let default = dialogue.since;
        if self.is_subscribed(slot, topic) {
            // What follows a number that it names is sent again.
            if let (Some(since), Some(membership)) = (since, self.membership_of(slot, topic)) {
                self.rewind(slot, membership, since);
            }
            return Ok(());
        }
        let since = since.or(default);
        let most = self.rules.subscriptions_max as usize;
        let dialogue = self.slots[slot].dialogue();
        let told = if most > 0 && dialogue.subscriptions.len() >= most {
            format!("a session subscribes to at most {most} topics: unsubscribe from one first")
        } else if dialogue.names_bytes + topic.len() > limits::SUBSCRIPTION_NAMES_BYTES_MAX {
            let most = limits::SUBSCRIPTION_NAMES_BYTES_MAX;
            format!("the names of a session's topics have at most {most} bytes together: unsubscribe from one first")
        } else {
            self.subscribe(slot, topic, since);
            return Ok(());
        };
        Err(SocketError::new(ErrorCode::RateLimitExceeded, told))
    }

    /// Ends a session that could not say who it is.
    fn refuse_authentication(&mut self, slot: u32, before: &[u8], reason: &str) {
        static REFUSED: Occasion = Occasion::new();
        if let Some(untold) = REFUSED.tell(clock::now()) {
            let (protocol, who) = (self.slots[slot].protocol, self.holder(slot));
            tracing::warn!(?protocol, who, untold, "a session is closed with 4401: no good key or token came");
        }
        self.close_after(slot, before, CloseCode::AUTHENTICATION, reason);
    }

    /// Begins the wait for an `auth` message.
    pub(super) fn await_authentication(&mut self, slot: u32, since: Option<u64>) {
        self.slots[slot].dialogue = Some(Dialogue::new(since));
        self.set_due(slot, self.now + self.rules.authentication_ms / TICK_MS);
    }

    /// It did not come.
    pub(super) fn authentication_is_late(&mut self, slot: u32) {
        let error = SocketError::authentication(EXPECTS_AUTHENTICATION);
        self.refuse_authentication(slot, &error.frame(), EXPECTS_AUTHENTICATION);
    }
}

/// What a message takes in memory while it waits, however short it is.
fn waiting_bytes(text: &str) -> usize {
    text.len() + limits::WAITING_MESSAGE_OVERHEAD_BYTES
}

#[cfg(feature = "conformance")]
fn echo(message: Message<'_>) -> Box<[u8]> {
    use crate::ws::{Opcode, append_frame};
    let (opcode, bytes) = match message {
        Message::Text(text) => (Opcode::Text, text.as_bytes()),
        Message::Binary(bytes) => (Opcode::Binary, bytes),
    };
    let mut frame = Vec::new();
    append_frame(&mut frame, opcode, bytes);
    frame.into()
}
