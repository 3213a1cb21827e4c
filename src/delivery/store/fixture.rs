//! What the tests of this part begin with: a database of their own, and short ways to fill it.

use std::path::Path;
use std::sync::Arc;

use tempfile::TempDir;

use super::{NewDelivery, Place, Store};
use crate::accounts::AccountId;
use crate::delivery::guard::WebhookUrl;
use crate::delivery::sealer::Sealer;
use crate::delivery::{AttemptRecord, DeliveryState, EventId, EventKind, Secret, SigningSecrets, Webhook, WebhookId};

pub(super) const W: WebhookId = WebhookId(7);
pub(super) const OTHER: WebhookId = WebhookId(8);
/// Before every place.
pub(super) const START: Place = Place { due_ms: 0, delivery: 0 };

pub(super) struct Fixture {
    pub store: Store,
    data_dir: TempDir,
}

impl Fixture {
    /// With the webhooks [`W`] and [`OTHER`].
    pub fn new() -> Self {
        let data_dir = tempfile::tempdir().expect("temporary directory");
        let mut store = Store::open(data_dir.path(), None).expect("open");
        store.insert_webhook(&webhook(W)).expect("insert");
        store.insert_webhook(&webhook(OTHER)).expect("insert");
        store.commit().expect("commit");
        Self { store, data_dir }
    }

    pub fn data_dir(&self) -> &Path {
        self.data_dir.path()
    }

    /// Ends without a commit and begins anew, as after a crash.
    pub fn reopen(self) -> Self {
        let Self { store, data_dir } = self;
        drop(store);
        Self { store: Store::open(data_dir.path(), None).expect("open"), data_dir }
    }

    /// Adds a delivery that waits and returns its row.
    pub fn waits(&mut self, webhook: WebhookId, seq: u64, due_ms: u64) -> i64 {
        let delivery = NewDelivery { due_ms, ..delivery(webhook, Some(seq)) };
        self.store.insert_delivery(&delivery).expect("insert").expect("a new one")
    }

    /// Numbers of what waits, in its order.
    pub fn waiting(&self, webhook: WebhookId) -> Vec<u64> {
        let due = self.store.due(webhook, START, u64::MAX, usize::MAX).expect("due");
        due.into_iter().filter_map(|waiting| waiting.seq).collect()
    }

    /// States and numbers, the newest first.
    pub fn states(&self, webhook: WebhookId) -> Vec<(DeliveryState, Option<u64>)> {
        let history = self.store.history(webhook, 1_000).expect("history");
        history.into_iter().map(|record| (record.state, record.seq)).collect()
    }
}

pub(super) fn webhook(id: WebhookId) -> Webhook {
    Webhook {
        id,
        account: AccountId(3),
        url: WebhookUrl::stored("https://a.example/".into()),
        events: [EventKind::TradeNew].into_iter().collect(),
        secrets: SigningSecrets { current: secret(1), previous: Vec::new() },
        created_ms: 1_000,
        from_seq: 1,
        disabled: None,
        failures: 0,
        failing_since_ms: None,
        replay: None,
    }
}

pub(super) fn secret(byte: u8) -> Arc<Secret> {
    Arc::new(Secret::of_key([byte; 32]))
}

pub(super) fn sealer(byte: u8) -> Option<Sealer> {
    Some(Sealer::of_key(&[byte; 32]))
}

pub(super) fn delivery(webhook: WebhookId, seq: Option<u64>) -> NewDelivery<'static> {
    NewDelivery {
        webhook,
        event: EventId([seq.unwrap_or_default() as u8; 12]),
        seq,
        kind: "trade.new",
        state: DeliveryState::Pending,
        created_ms: 2_000,
        due_ms: 2_000,
        body: None,
        note: None,
    }
}

pub(super) fn attempt(at_ms: u64, status: u16) -> AttemptRecord {
    AttemptRecord { at_ms, duration_ms: 5, status: Some(status), error: None }
}
