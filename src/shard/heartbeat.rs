//! Timers of the sockets: pings, lost heartbeats, deadlines of closing.
//!
//! Any input is a sign of life, and so is a full socket that takes bytes again: a long pass or a backlog must not kill the
//! living. A ping that the kernel merely took is none.
//!
//! A stream's client says nothing: its sign of life is that it takes bytes. While its socket is full it is not sent comments, and
//! after so many it is given up. Whether anybody is behind a socket that is not full, TCP finds out (TCP_USER_TIMEOUT).

use super::sessions::Sessions;
use super::socket::State;
use super::stats::ShardStats;
use super::wheel::Tick;
use crate::clock;
use crate::limits;
use crate::logging::Occasion;
use crate::protocol::{Heartbeat, SignOfLife, stream};
use crate::ws::{CloseCode, Opcode, append_frame};

impl Sessions {
    /// Notes that the peer lives: something came from it, or it takes bytes again.
    pub(super) fn sign_of_life(&mut self, slot: u32) {
        let socket = &mut self.slots[slot];
        socket.unanswered_pings = 0;
        if let Heartbeat::ClientSpeaks { window_ticks, sign: SignOfLife::Anything } = socket.protocol.heartbeat()
            && socket.is_open()
            && socket.home.is_some()
        {
            socket.due = self.now + window_ticks;
        }
    }

    /// The protocol's own ping came.
    pub(super) fn sign_of_life_is_a_ping(&mut self, slot: u32) {
        let socket = &mut self.slots[slot];
        if let Heartbeat::ClientSpeaks { window_ticks, sign: SignOfLife::Ping } = socket.protocol.heartbeat() {
            socket.due = self.now + window_ticks;
        }
    }

    /// Begins a new session's heartbeat.
    pub(super) fn start_heartbeat(&mut self, slot: u32) {
        match self.slots[slot].protocol.heartbeat() {
            Heartbeat::ServerPings { .. } | Heartbeat::ServerComments { .. } => {
                self.set_due(slot, self.first_beat(slot));
            }
            Heartbeat::ClientSpeaks { window_ticks, .. } => self.set_due(slot, self.now + window_ticks),
            #[cfg(feature = "conformance")]
            Heartbeat::None => {}
        }
    }

    /// The first ping or comment comes at a point of the period that depends on the slot, so that sockets which came in a storm
    /// are not pinged in one.
    pub(super) fn first_beat(&self, slot: u32) -> Tick {
        let period_ticks = match self.slots[slot].protocol.heartbeat() {
            Heartbeat::ServerPings { period_ticks, .. } | Heartbeat::ServerComments { period_ticks } => period_ticks,
            _ => 1,
        };
        self.now + 1 + slot.wrapping_mul(2_654_435_761) % period_ticks
    }

    pub(super) fn set_due(&mut self, slot: u32, due: Tick) {
        let socket = &mut self.slots[slot];
        socket.due = due;
        // An entry that fires earlier than needed will put itself back.
        if socket.fires <= self.now || socket.fires > due {
            socket.fires = self.wheel.schedule(slot, due);
        }
    }

    /// Does what has become due by `now`. `due` is scratch space.
    pub(super) fn advance(&mut self, now: Tick, due: &mut Vec<u32>) {
        if now == self.now {
            return;
        }
        self.now = now;
        self.wheel.advance(now, due);
        for slot in due.drain(..) {
            let socket = &mut self.slots[slot];
            if socket.state == State::Vacant || socket.fires > now {
                continue;
            }
            if socket.due > now {
                let again = socket.due;
                socket.fires = self.wheel.schedule(slot, again);
                continue;
            }
            match socket.state {
                State::Open => self.session_due(slot),
                State::Closing | State::Draining => self.terminate(slot),
                State::Vacant | State::Terminating | State::Releasing => {}
            }
        }
    }

    /// Something of an open session is due.
    fn session_due(&mut self, slot: u32) {
        let socket = &self.slots[slot];
        match socket.protocol.heartbeat() {
            // What fired was left in the wheel by the slot's socket before this one.
            #[cfg(feature = "conformance")]
            Heartbeat::None => {}
            _ if socket.home.is_none() => self.authentication_is_late(slot),
            _ if socket.has_token() => self.rooms_timers(slot),
            Heartbeat::ServerPings { .. } | Heartbeat::ServerComments { .. } => {
                if let Some(next) = self.beat(slot) {
                    self.set_due(slot, next);
                }
            }
            Heartbeat::ClientSpeaks { sign, .. } => self.heartbeat_lost(
                slot,
                match sign {
                    SignOfLife::Anything => "nothing came from the client for too long",
                    SignOfLife::Ping => "no ping came in 30 s",
                },
            ),
        }
    }

    /// Pings the peer or says something to it, and tells when that is due again; one that shows no sign of life is closed.
    pub(super) fn beat(&mut self, slot: u32) -> Option<Tick> {
        match self.slots[slot].protocol.heartbeat() {
            Heartbeat::ServerPings { period_ticks, unanswered_max } => self.ping(slot, period_ticks, unanswered_max),
            Heartbeat::ServerComments { period_ticks } => self.comment(slot, period_ticks),
            _ => None,
        }
    }

    fn ping(&mut self, slot: u32, period_ticks: Tick, unanswered_max: u8) -> Option<Tick> {
        let socket = &mut self.slots[slot];
        if socket.unanswered_pings >= unanswered_max {
            self.heartbeat_lost(slot, "no answer to the server's pings");
            return None;
        }
        socket.unanswered_pings += 1;
        let mut ping = Vec::with_capacity(2);
        append_frame(&mut ping, Opcode::Ping, &[]);
        socket.output.push_owned(ping.into(), &mut self.pool);
        self.enqueue(slot);
        Some(self.now + period_ticks)
    }

    fn comment(&mut self, slot: u32, period_ticks: Tick) -> Option<Tick> {
        let socket = &mut self.slots[slot];
        if !socket.full {
            if socket.output.is_empty() {
                self.say(slot, stream::comment());
            }
            return Some(self.now + period_ticks);
        }
        if socket.unanswered_pings >= limits::STREAM_STALLED_MAX {
            self.heartbeat_lost(slot, "the client takes no bytes");
            return None;
        }
        socket.unanswered_pings += 1;
        Some(self.now + period_ticks)
    }

    fn heartbeat_lost(&mut self, slot: u32, reason: &str) {
        ShardStats::add(&self.stats.heartbeats_lost, 1);
        static LOST: Occasion = Occasion::new();
        if let Some(untold) = LOST.tell(clock::now()) {
            let (protocol, who) = (self.slots[slot].protocol, self.holder(slot));
            tracing::info!(?protocol, who, untold, "a session is closed with 4408: {reason}");
        }
        self.close(slot, CloseCode::HEARTBEAT, reason);
    }
}
