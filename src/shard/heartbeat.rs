//! Timers of the sockets: pings, lost heartbeats, deadlines of closing.
//!
//! Any input is a sign of life, and so is a full socket that takes bytes again: a long pass or a backlog must not kill the
//! living. A ping that the kernel merely took is none.

use super::sessions::Sessions;
use super::socket::{Socket, State};
use super::stats::ShardStats;
use super::wheel::Tick;
use crate::protocol::Heartbeat;
use crate::ws::{CloseCode, Opcode, append_frame};

/// Notes that the peer lives.
pub(super) fn sign_of_life(socket: &mut Socket) {
    socket.unanswered_pings = 0;
}

impl Sessions {
    /// Begins a new session's heartbeat. The first ping comes at a point of the period that depends on the slot, so that
    /// sockets which came in a storm are not pinged in one.
    pub(super) fn start_heartbeat(&mut self, slot: u32) {
        match self.slots[slot].protocol.heartbeat() {
            Heartbeat::ServerPings { period_ticks, .. } => {
                let offset = slot.wrapping_mul(2_654_435_761) % period_ticks;
                self.set_due(slot, self.now + 1 + offset);
            }
            #[cfg(feature = "conformance")]
            Heartbeat::None => {}
        }
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
                State::Open => self.heartbeat(slot),
                State::Closing | State::Draining => self.terminate(slot),
                State::Vacant | State::Terminating | State::Releasing => {}
            }
        }
    }

    fn heartbeat(&mut self, slot: u32) {
        let socket = &mut self.slots[slot];
        match socket.protocol.heartbeat() {
            Heartbeat::ServerPings { period_ticks, unanswered_max } => {
                if socket.unanswered_pings >= unanswered_max {
                    ShardStats::add(&self.stats.heartbeats_lost, 1);
                    self.close(slot, CloseCode::HEARTBEAT, "no answer to the server's pings");
                    return;
                }
                socket.unanswered_pings += 1;
                let mut ping = Vec::with_capacity(2);
                append_frame(&mut ping, Opcode::Ping, &[]);
                socket.output.push_owned(ping.into(), &mut self.pool);
                self.set_due(slot, self.now + period_ticks);
                self.enqueue(slot);
            }
            #[cfg(feature = "conformance")]
            Heartbeat::None => {}
        }
    }
}
