//! What became of a delivery, as its owner can look it up.

use super::{DeliveryId, EventId};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryState {
    /// Waits for an attempt, or is under way.
    Pending,
    Delivered,
    /// Every attempt failed.
    Failed,
    /// Given up without another attempt: the webhook was disabled, its backlog was full, the event is gone from the journal.
    Dropped,
    /// No delivery, but word of the webhook: it was disabled, or missed events.
    Notice,
}

impl DeliveryState {
    pub const ALL: [Self; 5] = [Self::Pending, Self::Delivered, Self::Failed, Self::Dropped, Self::Notice];

    /// As it stands in answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
            Self::Dropped => "dropped",
            Self::Notice => "notice",
        }
    }
}

/// One attempt.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct AttemptRecord {
    /// When it ended, in Unix milliseconds.
    pub at_ms: u64,
    pub duration_ms: u32,
    /// The answer's status; `None` where there was none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub status: Option<u16>,
    /// What went wrong, in a sentence; `None` of a success.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error: Option<String>,
}

/// One delivery with its attempts.
#[derive(Clone, Debug, PartialEq)]
pub struct DeliveryRecord {
    pub id: DeliveryId,
    pub event: EventId,
    /// As in `X-Event-Type`.
    pub kind: String,
    /// The event's number; `None` of a test and of a notice, and of an event whose number was given out again.
    pub seq: Option<u64>,
    pub state: DeliveryState,
    pub created_ms: u64,
    /// When the next attempt is due; of a pending one only.
    pub due_ms: Option<u64>,
    pub attempts: Vec<AttemptRecord>,
    /// Why it was dropped, or what the notice says.
    pub note: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attempt_keeps_its_json_and_leaves_out_what_there_is_not() {
        let answered = AttemptRecord { at_ms: 1, duration_ms: 2, status: Some(500), error: Some("no \"2xx\"".into()) };
        let unanswered = AttemptRecord { at_ms: 1, duration_ms: 2, status: None, error: None };
        for (record, text) in [
            (answered, r#"{"at_ms":1,"duration_ms":2,"status":500,"error":"no \"2xx\""}"#),
            (unanswered, r#"{"at_ms":1,"duration_ms":2}"#),
        ] {
            assert_eq!(serde_json::to_string(&record).expect("JSON"), text);
            assert_eq!(serde_json::from_str::<AttemptRecord>(text).expect("an attempt"), record);
        }
    }
}
