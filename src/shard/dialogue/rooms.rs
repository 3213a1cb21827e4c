//! A rooms session: whose it is and until when, and which rooms it is in.

use serde_json::Value;

use super::{Admin, Guest, Stage};
use crate::gate::Holder;
use crate::limits::{AUTH_FAILURES_MAX, AUTH_MESSAGE_COST, EXPIRY_WARNING_MS, TICK_MS};
use crate::protocol::rooms::{self, Command, NamedChannels, Room};
use crate::protocol::{ErrorCode, Protocol, SocketError, stream};
use crate::shard::Tick;
use crate::shard::framing::Framing;
use crate::shard::sessions::Sessions;
use crate::tokens::Claims;
use crate::ws::CloseCode;

impl Sessions {
    pub(super) fn rooms_command(&mut self, slot: u32, text: &str) -> Result<(), SocketError> {
        match rooms::parse(text)? {
            Command::Auth { token, since } => self.authenticate_by_token(slot, &token, since)?,
            Command::Subscribe { channel, since } => self.enter_room(slot, &channel, since)?,
            Command::Unsubscribe(channel) => self.leave_room(slot, &channel)?,
            Command::ListRooms => {
                self.guest(slot)?;
                self.answer_with_rooms(slot, None, "listed");
            }
            Command::Ping => self.pong(slot),
        }
        Ok(())
    }

    /// Whether a room command asks for what is so already, or for what changes nothing of who receives what. The protocol's
    /// clients repeat theirs, and more with each reconnect, so that is not held against them.
    pub(super) fn changes_nothing(&mut self, slot: u32, text: &str) -> bool {
        if self.slots[slot].protocol != Protocol::Rooms || self.guest(slot).is_err() {
            return false;
        }
        match rooms::parse(text) {
            Ok(Command::Subscribe { channel: name, since: None }) => match self.room(slot, &name) {
                Ok(Room::Market(topic)) => self.is_subscribed(slot, topic.as_str()),
                room => room.is_ok(),
            },
            Ok(Command::Unsubscribe(name)) => !self.is_subscribed(slot, &name),
            Ok(Command::ListRooms) => true,
            Ok(Command::Auth { .. } | Command::Subscribe { .. } | Command::Ping) | Err(_) => false,
        }
    }

    /// A session that has a user keeps it: a token that is not believed, or is another user's, changes nothing, but for one
    /// that goes on trying. Checking a signature takes as long as hundreds of other messages, so it costs as many.
    fn authenticate_by_token(&mut self, slot: u32, token: &str, since: Option<u64>) -> Result<(), SocketError> {
        self.check_since(since)?;
        let is_open = self.guest(slot).is_ok();
        if !is_open && since.is_some() {
            self.slots[slot].dialogue().since = since;
        }
        if is_open {
            self.charge(slot, AUTH_MESSAGE_COST)?;
        }
        let error = match self.tokens.verify(token, self.unix_ms / 1000) {
            Ok(claims) if is_open => return self.refresh(slot, claims, since),
            Ok(claims) => {
                self.welcome(slot, claims);
                return Ok(());
            }
            Err(error) => SocketError::authentication(error.to_string()),
        };
        if let Ok(guest) = self.guest(slot) {
            guest.failures += 1;
            if guest.failures <= AUTH_FAILURES_MAX {
                return Err(error);
            }
        }
        self.refuse_authentication(slot, &rooms::refused(&error), &error.message);
        Ok(())
    }

    /// Opens the session of a token that was believed.
    pub(in crate::shard) fn welcome(&mut self, slot: u32, claims: Claims) {
        if let Err(refused) = self.identify(slot, Holder::User(claims.user.clone())) {
            let error = SocketError::new(ErrorCode::RateLimitExceeded, refused.to_string());
            return self.close_after(slot, &rooms::refused(&error), CloseCode::RATE_ABUSE, &error.message);
        }
        self.receive_user(slot, claims);
        if let Some(since) = self.slots[slot].dialogue().since {
            self.resume(slot, since);
        }
        self.greet(slot);
        self.rooms_timers(slot);
    }

    /// Joins the rooms that a session of these claims is in by itself, and begins to look at its token's end.
    pub(super) fn receive_user(&mut self, slot: u32, claims: Claims) {
        let session = self.random.u64(..);
        let Claims { user, admin_level, expires_at_s } = claims;
        let home = self.index.user_audience(Framing::of(self.slots[slot].protocol), &user);
        let home = self.join(slot, home);
        let admin = admin_level.map(|level| self.join_admin(slot, level));
        let expires = self.tick_of(expires_at_s);
        let guest = Guest {
            user,
            session,
            admin,
            named: NamedChannels::default(),
            expires_at_s,
            expires,
            warns: Some(warning_before(expires)),
            next_beat: self.first_beat(slot),
            failures: 0,
        };
        let socket = &mut self.slots[slot];
        socket.home = Some(home);
        socket.dialogue().stage = Stage::Rooms(guest);
    }

    fn join_admin(&mut self, slot: u32, level: u32) -> Admin {
        let audience = self.index.admin_audience(Framing::of(self.slots[slot].protocol), level);
        Admin { level, membership: self.join(slot, audience) }
    }

    /// A newer token of the same user extends the session; an administrator's level is the newest token's.
    fn refresh(&mut self, slot: u32, claims: Claims, since: Option<u64>) -> Result<(), SocketError> {
        let expires = self.tick_of(claims.expires_at_s);
        let guest = self.guest(slot)?;
        if guest.user != claims.user {
            return Err(SocketError::authentication("this token is another user's: open a new session for it"));
        }
        if claims.expires_at_s > guest.expires_at_s {
            guest.expires_at_s = claims.expires_at_s;
            guest.expires = expires;
            guest.warns = Some(warning_before(expires));
        }
        if guest.admin.map(|admin| admin.level) != claims.admin_level {
            let former = guest.admin.take();
            self.keep_events(slot);
            let floor = self.slots[slot].behind.as_ref().map(|behind| behind.settled());
            if let Some(admin) = former {
                if let Some(behind) = &mut self.slots[slot].behind {
                    behind.forget(admin.membership.audience);
                }
                self.leave(admin.membership);
            }
            let admin = claims.admin_level.map(|level| self.join_admin(slot, level));
            if let (Some(admin), Some(floor), Some(behind)) = (&admin, floor, &mut self.slots[slot].behind) {
                // What it had as another level's is not sent again.
                behind.raise(admin.membership.audience, floor);
            }
            self.guest(slot)?.admin = admin;
        }
        if let (Some(since), Some(home)) = (since, self.slots[slot].home) {
            self.rewind(slot, home, since);
        }
        self.greet(slot);
        self.rooms_timers(slot);
        Ok(())
    }

    fn greet(&mut self, slot: u32) {
        let (now, seq) = (self.unix_ms, self.position(slot));
        if let Ok(guest) = self.guest(slot) {
            let greeting = rooms::connected(&guest.user, guest.session, now, seq);
            self.say(slot, greeting);
        }
    }

    fn enter_room(&mut self, slot: u32, channel: &str, since: Option<u64>) -> Result<(), SocketError> {
        match self.room(slot, channel)? {
            Room::Market(topic) => self.subscribe_within_bounds(slot, topic.as_str(), since)?,
            Room::Named(named) => self.guest(slot)?.named.insert(named),
            Room::Automatic => {}
        }
        self.answer_with_rooms(slot, Some(channel), "subscribed");
        Ok(())
    }

    fn leave_room(&mut self, slot: u32, channel: &str) -> Result<(), SocketError> {
        match self.room(slot, channel)? {
            Room::Market(topic) => self.unsubscribe(slot, topic.as_str()),
            Room::Named(named) => self.guest(slot)?.named.remove(named),
            Room::Automatic => {
                let message = format!("{channel} is joined by itself and can't be left");
                return Err(SocketError::new(ErrorCode::InvalidRoom, message));
            }
        }
        self.answer_with_rooms(slot, Some(channel), "unsubscribed");
        Ok(())
    }

    fn room(&mut self, slot: u32, channel: &str) -> Result<Room, SocketError> {
        let guest = self.guest(slot)?;
        Room::of(channel, &guest.user, guest.admin.map(|admin| admin.level))
    }

    fn answer_with_rooms(&mut self, slot: u32, channel: Option<&str>, status: &str) {
        let Some(Stage::Rooms(guest)) = self.slots[slot].dialogue.as_ref().map(|dialogue| &dialogue.stage) else {
            return;
        };
        let admin = guest.admin.map(|admin| format!("admin:{}", admin.level));
        let automatic = [format!("user:{}", guest.user)].into_iter().chain(admin).map(Value::from);
        let named = guest.named.iter().map(|named| Value::from(named.as_str()));
        let markets = self.subscriptions(slot).map(Value::from);
        let answer = rooms::subscription(channel, status, automatic.chain(named).chain(markets), self.position(slot));
        self.say(slot, answer);
    }

    fn guest(&mut self, slot: u32) -> Result<&mut Guest, SocketError> {
        match self.slots[slot].dialogue.as_mut().map(|dialogue| &mut dialogue.stage) {
            Some(Stage::Rooms(guest)) => Ok(guest),
            _ => Err(SocketError::authentication("send an auth message with a token first")),
        }
    }

    /// What has become due of a session with a token: the token's end, the warning of it, a ping.
    pub(in crate::shard) fn rooms_timers(&mut self, slot: u32) {
        let (now, unix_ms) = (self.now, self.unix_ms);
        let framing = Framing::of(self.slots[slot].protocol);
        let Ok(guest) = self.guest(slot) else { return };
        // Ticks may run behind the clock, and a token is good until its very end.
        if guest.expires_at_s.saturating_mul(1000) <= unix_ms {
            // What was published before its end is still the user's.
            let error = SocketError::authentication("the token has expired");
            // A stream's last words are that error.
            let before = if framing == Framing::WebSocket { error.frame() } else { Box::default() };
            return self.close_behind_all(slot, &before, CloseCode::AUTHENTICATION, &error.message);
        }
        if guest.warns.is_some_and(|warns| warns <= now) {
            guest.warns = None;
            let expires_at = guest.expires_at_s.saturating_mul(1000);
            let warning = match framing {
                Framing::WebSocket => rooms::expiring(expires_at, unix_ms),
                Framing::EventStream => stream::expiring(expires_at, unix_ms),
            };
            self.say(slot, warning);
        }
        self.beat_if_due(slot);
        let Ok(guest) = self.guest(slot) else { return };
        let due = guest.next_beat.min(guest.expires).min(guest.warns.unwrap_or(Tick::MAX));
        self.set_due(slot, due);
    }

    fn beat_if_due(&mut self, slot: u32) {
        let now = self.now;
        if self.guest(slot).is_ok_and(|guest| guest.next_beat <= now)
            && let Some(next) = self.beat(slot)
            && let Ok(guest) = self.guest(slot)
        {
            guest.next_beat = next;
        }
    }

    /// When to look whether a Unix time has come. It can be a tick or two early, where the ticks run behind the clock.
    fn tick_of(&self, unix_s: u64) -> Tick {
        let ms = unix_s.saturating_mul(1000).saturating_sub(self.unix_ms);
        self.now.saturating_add(Tick::try_from(ms.div_ceil(TICK_MS.into())).unwrap_or(Tick::MAX))
    }
}

fn warning_before(expires: Tick) -> Tick {
    expires.saturating_sub(EXPIRY_WARNING_MS / TICK_MS)
}
