//! A channels session: who it is, and which channels it has named.

use std::sync::Arc;

use super::Stage;
use crate::accounts::{Account, Identity, Role};
use crate::gate::Holder;
use crate::protocol::channels::{self, Channel, Command};
use crate::protocol::{ErrorCode, Protocol, SocketError};
use crate::shard::framing::Framing;
use crate::shard::index::Bond;
use crate::shard::sessions::Sessions;
use crate::ws::CloseCode;

impl Sessions {
    pub(super) fn channels_command(&mut self, slot: u32, text: &str) -> Result<(), SocketError> {
        match channels::parse(text)? {
            Command::Auth { key, since, topics } => self.authenticate_by_key(slot, &key, since, &topics),
            Command::Subscribe { channel, since } => self.subscribe_to_channel(slot, &channel, since),
            Command::Unsubscribe(channel) => self.unsubscribe_from_channel(slot, &channel),
            Command::Ping => {
                self.pong(slot);
                Ok(())
            }
        }
    }

    /// A second `auth` with a key of the same account answers as the first did, so that a key can be changed for another. Any
    /// other key changes nothing then.
    fn authenticate_by_key(
        &mut self,
        slot: u32,
        key: &str,
        since: Option<u64>,
        topics: &[Channel],
    ) -> Result<(), SocketError> {
        self.check_since(since)?;
        let refused = match self.accounts.clone().authenticate(key) {
            Some(identity) if identity.role != Role::Publisher => {
                self.enter_as(slot, &identity, since)?;
                return self.subscribe_to_all(slot, topics, since);
            }
            Some(_) => SocketError::authentication("this is a publisher key: a subscriber key is needed here"),
            None => SocketError::authentication("this API key does not exist or was revoked"),
        };
        if self.slots[slot].home.is_some() {
            return Err(refused);
        }
        self.refuse_authentication(slot, &refused.frame(), &refused.message);
        Ok(())
    }

    fn enter_as(&mut self, slot: u32, identity: &Identity, since: Option<u64>) -> Result<(), SocketError> {
        let home = self.slots[slot].home.map(|home| home.audience);
        if home.is_some() && home != self.index.of_account(Framing::WebSocket, Protocol::Channels, identity.account.id)
        {
            return Err(SocketError::authentication("this session belongs to another account: open a new one"));
        }
        if let Err(refused) = self.identify(slot, Holder::Key(identity.key)) {
            let error = SocketError::new(ErrorCode::RateLimitExceeded, refused.to_string());
            if home.is_none() {
                self.close_after(slot, &error.frame(), CloseCode::RATE_ABUSE, &error.message);
                return Ok(());
            }
            return Err(error);
        }
        // What follows a number that it names is still to come, for each topic as it subscribes.
        let mut resumes = since;
        if home.is_none() {
            let home = self.index.account_audience(Framing::WebSocket, Protocol::Channels, &identity.account);
            let home = self.join(slot, home);
            let socket = &mut self.slots[slot];
            socket.home = Some(home);
            socket.dialogue().stage = Stage::Channels;
            let dialogue = socket.dialogue();
            dialogue.since = since.or(dialogue.since);
            resumes = dialogue.since;
            self.start_heartbeat(slot);
        }
        self.slots[slot].key = Some(identity.key);
        let seq = resumes.unwrap_or_else(|| self.position(slot));
        self.say(slot, channels::authenticated(seq));
        Ok(())
    }

    /// The channels of an `auth`. One that is refused is told, and the others are subscribed to.
    fn subscribe_to_all(&mut self, slot: u32, channels: &[Channel], since: Option<u64>) -> Result<(), SocketError> {
        for channel in channels {
            if !self.slots[slot].is_open() {
                break;
            }
            if let Err(error) = self.subscribe_to_channel(slot, channel, since) {
                self.tell(slot, &error);
            }
        }
        Ok(())
    }

    fn subscribe_to_channel(&mut self, slot: u32, channel: &Channel, since: Option<u64>) -> Result<(), SocketError> {
        let account = self.account_of_channels(slot)?;
        if !account.grants.allows(channel.kind, channel.topic.name()) {
            let message = format!("the account's grants do not include {}", channel.topic);
            return Err(SocketError::new(ErrorCode::Forbidden, message));
        }
        self.subscribe_within_bounds(slot, channel.topic.as_str(), since)?;
        self.say(slot, channels::subscribed(channel, self.position(slot)));
        Ok(())
    }

    /// Needs no grant: whoever lost one may say so late.
    fn unsubscribe_from_channel(&mut self, slot: u32, channel: &Channel) -> Result<(), SocketError> {
        self.account_of_channels(slot)?;
        self.unsubscribe(slot, channel.topic.as_str());
        self.say(slot, channels::unsubscribed(channel, self.position(slot)));
        Ok(())
    }

    /// The account of a session that has authenticated, as it is now.
    fn account_of_channels(&self, slot: u32) -> Result<Arc<Account>, SocketError> {
        let audience = self.slots[slot].home.map(|home| self.index.bond(home.audience));
        let account = audience.and_then(|bond| match bond {
            Bond::Account { account, .. } => self.accounts.account(*account).cloned(),
            _ => None,
        });
        account.ok_or_else(|| SocketError::authentication("send an auth message with an API key first"))
    }
}
