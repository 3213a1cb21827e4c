//! A socket's places in audiences: joining, and leaving so that nobody else loses its own.
//!
//! All places of a socket are live or all are behind (`behind.rs`).

use super::behind::Stage;
use super::dialogue::Subscription;
use super::framing::Framing;
use super::index::{AudienceId, Bond, Moves};
use super::sessions::Sessions;
use super::socket::Membership;
use crate::limits;

impl Sessions {
    /// Adds a socket to an audience, live or behind as it is. Its memory of that is the caller's to keep.
    pub(super) fn join(&mut self, slot: u32, audience: AudienceId) -> Membership {
        let mut moves = Moves::new();
        let mut membership = self.index.join(audience, slot, &mut moves);
        if self.slots[slot].is_behind() {
            // Whoever made room for it as a live member is told where it is before it is moved again.
            self.tell_moves(audience, std::mem::take(&mut moves));
            membership = self.index.fall_behind(membership, &mut moves);
        }
        self.tell_moves(audience, moves);
        membership
    }

    /// Takes a socket out of one audience that it remembers no more.
    pub(super) fn leave(&mut self, membership: Membership) {
        let mut moves = Moves::new();
        self.index.leave(membership, &mut moves);
        self.tell_moves(membership.audience, moves);
    }

    /// Takes a socket out of every audience: no event goes to it any more.
    pub(super) fn leave_audiences(&mut self, slot: u32) {
        let socket = &mut self.slots[slot];
        if let Some(behind) = socket.behind.take() {
            self.stats.behind.lower();
            self.replay.riding -= usize::from(behind.stage == Stage::Riding);
        }
        let socket = &mut self.slots[slot];
        let home = socket.home.take();
        let dialogue = socket.dialogue.take();
        if let Some(home) = home {
            self.leave(home);
        }
        if let Some(mut dialogue) = dialogue {
            dialogue.memberships().for_each(|membership| self.leave(*membership));
        }
    }

    /// Makes all places of a socket live, or behind.
    pub(super) fn move_places(&mut self, slot: u32, live: bool) {
        let places: Vec<Membership> = self.slots[slot].memberships().map(|membership| *membership).collect();
        for place in places {
            let mut moves = Moves::new();
            let place = match live {
                true => self.index.go_live(place, &mut moves),
                false => self.index.fall_behind(place, &mut moves),
            };
            self.slots[slot].moved(place);
            self.tell_moves(place.audience, moves);
        }
    }

    /// Lets a session with commands receive a topic that it does not: what follows `since`, or what comes.
    pub(super) fn subscribe(&mut self, slot: u32, topic: &str, since: Option<u64>) {
        let since = since.unwrap_or(self.position(slot));
        let membership = self.join_topic(slot, topic, since + 1);
        self.rewind(slot, membership, since);
    }

    /// Adds a socket to those who named a topic, and remembers it. It is handed the events from a number on.
    pub(super) fn join_topic(&mut self, slot: u32, topic: &str, from: u64) -> Membership {
        let audience = self.index.topic_audience(Framing::of(self.slots[slot].protocol), topic);
        let membership = self.join(slot, audience);
        let dialogue = self.slots[slot].dialogue();
        dialogue.subscriptions.push(Subscription { membership, from });
        dialogue.names_bytes += topic.len();
        membership
    }

    /// Ends that; one that does not receive it is left as it is.
    pub(super) fn unsubscribe(&mut self, slot: u32, topic: &str) {
        if let Some(at) = self.subscription(slot, topic) {
            // The journal could not tell any more which of the events in the log were for it.
            self.keep_events(slot);
            let dialogue = self.slots[slot].dialogue();
            let Subscription { membership, .. } = dialogue.subscriptions.remove(at);
            dialogue.names_bytes -= topic.len();
            // A topic that it comes back to begins then, or what it had would be sent again.
            dialogue.since = None;
            if let Some(behind) = &mut self.slots[slot].behind {
                behind.forget(membership.audience);
            }
            self.leave(membership);
        }
    }

    /// Copies out of the log what a session has not been sent, where that is not too much, so that it gets it whatever it
    /// receives from now on.
    pub(super) fn keep_events(&mut self, slot: u32) {
        let output = &mut self.slots[slot].output;
        if output.unsent_events() <= limits::EVENTS_UNSENT_BYTES_MAX {
            output.keep(&self.log, &mut self.pool);
        }
    }

    pub(super) fn is_subscribed(&self, slot: u32, topic: &str) -> bool {
        self.subscription(slot, topic).is_some()
    }

    /// The topics that a session has named, in the order in which it did.
    pub(super) fn subscriptions(&self, slot: u32) -> impl Iterator<Item = &str> {
        let dialogue = self.slots[slot].dialogue.iter();
        dialogue.flat_map(|dialogue| &dialogue.subscriptions).map(|subscription| {
            match self.index.bond(subscription.membership.audience) {
                Bond::Topic(topic) => &**topic,
                other => unreachable!("a subscription to {other:?}"),
            }
        })
    }

    /// Where among its subscriptions a topic is.
    fn subscription(&self, slot: u32, topic: &str) -> Option<usize> {
        let audience = self.index.of_topic(Framing::of(self.slots[slot].protocol), topic)?;
        let dialogue = self.slots[slot].dialogue.as_ref()?;
        dialogue.subscriptions.iter().position(|subscription| subscription.membership.audience == audience)
    }

    /// Its place among those who named a topic.
    pub(super) fn membership_of(&self, slot: u32, topic: &str) -> Option<Membership> {
        let at = self.subscription(slot, topic)?;
        Some(self.slots[slot].dialogue.as_ref()?.subscriptions[at].membership)
    }

    /// Tells members of an audience where they are now.
    fn tell_moves(&mut self, audience: AudienceId, moves: Moves) {
        for (slot, position) in moves {
            self.slots[slot].moved(Membership { audience, position });
        }
    }
}
