//! Sessions that are spoken with: a client's message → what it changes → the answer.
//!
//! ```text
//!   message ─▶ too many? ─▶ tiered:   ping
//!                           channels: auth, subscribe, unsubscribe, ping            (channels.rs)
//!                           rooms:    auth, subscribe, unsubscribe, list_rooms, ping (rooms.rs)
//! ```
//!
//! Invariants:
//! * Messages are handled in their order, and each is answered, or the session is closed with the reason.
//! * Nothing is joined before authentication. What a session may join is decided by its account's or its token's present state.

mod channels;
mod rooms;

use super::heartbeat::EXPECTS_AUTHENTICATION;
use super::sessions::Sessions;
use super::socket::Membership;
use super::wheel::Tick;
use crate::limits::TICK_MS;
use crate::protocol::rooms::NamedChannels;
use crate::protocol::{ErrorCode, Message, Protocol, SocketError, tiered};
use crate::tokens::UserId;
use crate::ws::CloseCode;

/// What a session with commands remembers.
#[derive(Debug)]
pub struct Dialogue {
    pub stage: Stage,
    /// The topics that it named, in order.
    pub subscriptions: Vec<Membership>,
}

/// How far it is, or what it waits for.
#[derive(Debug)]
pub enum Stage {
    /// A valid `auth` message, until the socket is due.
    AwaitsAuthentication,
    /// Commands of a channels session. Its account is its home audience's.
    Channels,
    /// Commands of a rooms session.
    Rooms(Guest),
}

/// Whom a rooms session is for, and until when.
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
    pub next_ping: Tick,
}

/// An administrator's level and its audience.
#[derive(Clone, Copy, Debug)]
pub struct Admin {
    pub level: u32,
    pub membership: Membership,
}

impl Dialogue {
    pub fn new() -> Box<Self> {
        Box::new(Self { stage: Stage::AwaitsAuthentication, subscriptions: Vec::new() })
    }

    /// Every audience that it is in beside its home.
    pub fn memberships(&mut self) -> impl Iterator<Item = &mut Membership> {
        let admin = match &mut self.stage {
            Stage::Rooms(guest) => guest.admin.as_mut().map(|admin| &mut admin.membership),
            Stage::AwaitsAuthentication | Stage::Channels => None,
        };
        admin.into_iter().chain(&mut self.subscriptions)
    }
}

impl Sessions {
    /// What the client said, in whatever protocol it is.
    pub(super) fn message(&mut self, slot: u32, message: Message<'_>) {
        if !self.may_speak(slot) {
            return self.tell(slot, &SocketError::new(ErrorCode::RateLimitExceeded, "too many messages: slow down"));
        }
        match (self.slots[slot].protocol, message) {
            // The seed's protocol knows no client messages. One is a sign of life and nothing else.
            (Protocol::Watchlist, _) => {}
            (Protocol::Tiered, Message::Text(text)) if tiered::is_ping(text) => {
                self.sign_of_life_is_a_ping(slot);
                self.say(slot, tiered::pong(self.seq()));
            }
            (Protocol::Tiered, _) => self.tell(slot, &SocketError::invalid("the only message here is ping")),
            (Protocol::Channels, Message::Text(text)) => self.channels_message(slot, text),
            (Protocol::Rooms, Message::Text(text)) => self.rooms_message(slot, text),
            (Protocol::Channels | Protocol::Rooms, Message::Binary(_)) => {
                self.tell(slot, &SocketError::invalid("messages here are JSON in text frames"));
            }
            #[cfg(feature = "conformance")]
            (Protocol::Echo, message) => self.say(slot, echo(message)),
        }
    }

    /// Counts a message or a ping against the session's rate. Whoever keeps sending what is refused is closed.
    pub(super) fn may_speak(&mut self, slot: u32) -> bool {
        let now = u64::from(self.now) * u64::from(TICK_MS) * 1_000_000;
        let socket = &mut self.slots[slot];
        if !socket.protocol.tells_errors() {
            return true;
        }
        if socket.rate.is_rested(now) {
            socket.refusals = 0;
        }
        if socket.rate.admit(&self.rate, 1, now).is_ok() {
            return true;
        }
        socket.refusals += 1;
        if self.rules.refusals_max > 0 && socket.refusals > self.rules.refusals_max {
            // Behind its answers: the client has to see that it was told to slow down.
            let reason = "too many messages, and no pause after many were refused";
            self.close_after(slot, &[], CloseCode::RATE_ABUSE, reason);
        }
        false
    }

    /// Tells the client what it did wrong; the session goes on.
    fn tell(&mut self, slot: u32, error: &SocketError) {
        if self.slots[slot].is_open() {
            self.say(slot, error.frame());
        }
    }

    /// Subscribes to a topic, where there is room for one more.
    fn subscribe_within_bounds(&mut self, slot: u32, topic: &str) -> Result<(), SocketError> {
        let most = self.rules.subscriptions_max as usize;
        let full = most > 0 && self.subscriptions(slot).count() >= most;
        if full && !self.is_subscribed(slot, topic) {
            let message = format!("a session subscribes to at most {most} topics: unsubscribe from one first");
            return Err(SocketError::new(ErrorCode::RateLimitExceeded, message));
        }
        self.subscribe(slot, topic);
        Ok(())
    }

    /// Ends a session that could not say who it is.
    fn refuse_authentication(&mut self, slot: u32, before: &[u8], reason: &str) {
        self.close_after(slot, before, CloseCode::AUTHENTICATION, reason);
    }

    /// Begins the wait for an `auth` message.
    pub(super) fn await_authentication(&mut self, slot: u32) {
        self.slots[slot].dialogue = Some(Dialogue::new());
        self.set_due(slot, self.now + self.rules.authentication_ms / TICK_MS);
    }

    /// It did not come.
    pub(super) fn authentication_is_late(&mut self, slot: u32) {
        let error = SocketError::authentication(EXPECTS_AUTHENTICATION);
        self.refuse_authentication(slot, &error.frame(), EXPECTS_AUTHENTICATION);
    }
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
