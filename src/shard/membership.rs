//! A socket's places in audiences: joining, and leaving so that nobody else loses its own.

use super::index::Bond;
use super::sessions::Sessions;
use super::socket::Membership;

impl Sessions {
    /// Takes a socket out of every audience: no event goes to it any more.
    pub(super) fn leave_audiences(&mut self, slot: u32) {
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

    /// Lets a session with commands receive a topic; one that does already is left as it is.
    pub(super) fn subscribe(&mut self, slot: u32, topic: &str) {
        if !self.is_subscribed(slot, topic) {
            let membership = self.index.join_topic(topic, slot);
            let dialogue = self.slots[slot].dialogue();
            dialogue.subscriptions.push(membership);
            dialogue.names_bytes += topic.len();
        }
    }

    /// Ends that; one that does not receive it is left as it is.
    pub(super) fn unsubscribe(&mut self, slot: u32, topic: &str) {
        if let Some(at) = self.subscription(slot, topic) {
            let dialogue = self.slots[slot].dialogue();
            let membership = dialogue.subscriptions.remove(at);
            dialogue.names_bytes -= topic.len();
            self.leave(membership);
        }
    }

    pub(super) fn is_subscribed(&self, slot: u32, topic: &str) -> bool {
        self.subscription(slot, topic).is_some()
    }

    /// Takes a socket out of one audience that it remembers no more.
    pub(super) fn leave(&mut self, membership: Membership) {
        if let Some(moved) = self.index.leave(membership) {
            self.slots[moved].moved(membership);
        }
    }

    /// The topics that a session has named, in the order in which it did.
    pub(super) fn subscriptions(&self, slot: u32) -> impl Iterator<Item = &str> {
        let dialogue = self.slots[slot].dialogue.iter();
        dialogue.flat_map(|dialogue| &dialogue.subscriptions).map(|membership| {
            match self.index.bond(membership.audience) {
                Bond::Topic(topic) => &**topic,
                other => unreachable!("a subscription to {other:?}"),
            }
        })
    }

    /// Where among its subscriptions a topic is.
    fn subscription(&self, slot: u32, topic: &str) -> Option<usize> {
        let audience = self.index.of_topic(topic)?;
        let dialogue = self.slots[slot].dialogue.as_ref()?;
        dialogue.subscriptions.iter().position(|membership| membership.audience == audience)
    }
}
