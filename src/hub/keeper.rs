//! Who keeps the events for good, as the hub sees it: the journal on the disk, or a test's.

use crate::event::Event;
use crate::journal::{JournalError, JournalFault, JournalHandle};

/// Takes events from the window in its own time, and tells the hub how far it is by [`HubHandle::kept`](super::HubHandle::kept).
pub trait Keeper: Send {
    /// There is something new in the window, or the lease is wanted longer. Must not block.
    fn wake(&self);
    /// The highest number that may be given out.
    fn leased(&self) -> u64;
    /// Bytes that can still be written.
    fn room_bytes(&self) -> u64;
    /// Why nothing can be kept now: [`JournalError::DiskFull`] or [`JournalError::Failed`].
    fn fault(&self) -> Option<JournalError>;
}

impl Keeper for JournalHandle {
    fn wake(&self) {
        Self::wake(self);
    }

    fn leased(&self) -> u64 {
        self.status().leased()
    }

    fn room_bytes(&self) -> u64 {
        self.status().room()
    }

    fn fault(&self) -> Option<JournalError> {
        self.status().fault().map(|fault| match &*fault {
            JournalFault::DiskFull => JournalError::DiskFull,
            JournalFault::Io(reason) => JournalError::Failed { reason: reason.clone() },
        })
    }
}

/// What a record has beside its events' own bytes, for each of them: six lengths and places, padding, and the header's part.
const EVENT_ON_DISK_OVERHEAD_BYTES: usize = 192;

/// What events take on the disk, rather more than less.
pub fn bytes_on_disk(events: &[Event]) -> u64 {
    let optional = |text: &Option<Box<str>>| text.as_ref().map_or(0, |text| text.len());
    let bytes = |event: &Event| {
        let named = event.kind.len() + event.topic.as_str().len();
        let optional = optional(&event.channel) + optional(&event.key) + optional(&event.id);
        (event.data.len() + named + optional + EVENT_ON_DISK_OVERHEAD_BYTES) as u64
    };
    events.iter().map(bytes).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Topic;
    use crate::hub::{EncodedBatch, Origin};
    use crate::journal::record;

    fn event(texts: usize, data: usize) -> Event {
        let text = || (texts > 0).then(|| "t".repeat(texts).into());
        Event {
            kind: "t".into(),
            topic: Topic::parse("system").expect("a topic"),
            data: format!(r#"{{"a":"{}"}}"#, "x".repeat(data)).into_bytes().into(),
            channel: text(),
            key: text(),
            id: text(),
        }
    }

    #[test]
    fn what_is_written_takes_no_more_than_was_expected() {
        for (texts, data, count) in [(0, 0, 1), (0, 1, 1), (3, 5, 1), (64, 60_000, 40), (0, 0, 5_000), (63, 300, 5_000)]
        {
            let events = vec![event(texts, data); count];
            let expected = bytes_on_disk(&events) as usize;
            let mut written = Vec::new();
            record::append(&EncodedBatch::encode(events, 1, 0, Origin::default()), 0, &mut written);
            let written = written.len();
            assert!(written <= expected, "{written} of {expected} bytes: {texts} {data} {count}");
        }
    }
}
