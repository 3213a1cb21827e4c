//! What came of a frame or of an answer's head before the rest of it, for the few sockets that have such.

use std::borrow::Cow;

use ahash::AHashMap;

#[derive(Default)]
pub struct Carries(AHashMap<u32, Vec<u8>>);

impl Carries {
    /// The bytes of a receive behind those that were kept of the socket. `carrying`: whether there are any.
    pub fn join<'a>(&mut self, socket: u32, carrying: bool, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        if !carrying {
            return Cow::Borrowed(bytes);
        }
        let mut all = self.take(socket);
        all.extend_from_slice(bytes);
        Cow::Owned(all)
    }

    /// Keeps what was not `used` of them. Returns whether that is anything.
    pub fn keep(&mut self, socket: u32, all: Cow<'_, [u8]>, used: usize) -> bool {
        if used == all.len() {
            return false;
        }
        let rest = match all {
            Cow::Borrowed(bytes) => bytes[used..].to_vec(),
            Cow::Owned(mut bytes) => {
                bytes.drain(..used);
                bytes
            }
        };
        self.0.insert(socket, rest);
        true
    }

    pub fn of(&self, socket: u32) -> &[u8] {
        self.0.get(&socket).map_or(&[], Vec::as_slice)
    }

    pub fn take(&mut self, socket: u32) -> Vec<u8> {
        self.0.remove(&socket).unwrap_or_default()
    }

    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
