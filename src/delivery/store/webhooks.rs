//! Webhooks as they are kept, and their secrets, sealed where there is a master key.

use std::sync::Arc;

use rusqlite::{Connection, Row, named_params};

use super::Store;
use super::columns::Number;
use crate::database::DatabaseError;
use crate::delivery::guard::WebhookUrl;
use crate::delivery::sealer::{self, Sealer};
use crate::delivery::{DeliveryError, Disabled, Secret, SigningSecrets, Webhook, WebhookId};

impl Store {
    /// Every webhook, by the time it was made.
    pub fn webhooks(&self) -> Result<Vec<Webhook>, DeliveryError> {
        let mut select =
            self.connection.prepare("SELECT * FROM webhooks WHERE NOT is_deleted ORDER BY created_ms, id")?;
        let mut rows = select.query(())?;
        let mut webhooks = Vec::new();
        while let Some(row) = rows.next()? {
            let mut webhook = webhook(row, self.sealer.as_ref())?;
            webhook.secrets.previous = self.previous_secrets(webhook.id)?;
            webhooks.push(webhook);
        }
        Ok(webhooks)
    }

    /// The newest first.
    fn previous_secrets(&self, webhook: WebhookId) -> Result<Vec<(Arc<Secret>, u64)>, DeliveryError> {
        let sql = "SELECT secret, until_ms FROM previous_secrets WHERE webhook = ?1 ORDER BY age";
        let mut select = self.connection.prepare_cached(sql)?;
        let mut rows = select.query([webhook])?;
        let mut previous = Vec::new();
        while let Some(row) = rows.next()? {
            let (stored, until_ms): (Vec<u8>, Number) = row.try_into()?;
            previous.push((Arc::new(secret(webhook, &stored, self.sealer.as_ref())?), until_ms.0));
        }
        Ok(previous)
    }

    pub fn insert_webhook(&mut self, webhook: &Webhook) -> Result<(), DeliveryError> {
        let change = self.change()?;
        // The rest follows at once.
        let sql = "INSERT INTO webhooks (id, account, created_ms, url, events, secret, from_seq, failures)
                   VALUES (?1, ?2, ?3, '', 0, x'', 0, 0)";
        change.prepare_cached(sql)?.execute((webhook.id, webhook.account, Number(webhook.created_ms)))?;
        self.update_webhook(webhook)
    }

    /// Everything but its id, account and time.
    pub fn update_webhook(&mut self, webhook: &Webhook) -> Result<(), DeliveryError> {
        let SigningSecrets { current, previous } = &webhook.secrets;
        let secret = self.stored(webhook.id, current)?;
        let sql = "UPDATE webhooks SET
            url = :url, events = :events, secret = :secret, from_seq = :from_seq,
            disabled_reason = :disabled_reason, disabled_ms = :disabled_ms, disabled_from_seq = :disabled_from_seq,
            failures = :failures, failing_since_ms = :failing_since_ms,
            replay_next = :replay_next, replay_end = :replay_end
            WHERE id = :id";
        self.change()?.prepare_cached(sql)?.execute(named_params! {
            ":id": webhook.id,
            ":url": webhook.url.as_str(),
            ":events": webhook.events,
            ":secret": secret,
            ":from_seq": Number(webhook.from_seq),
            ":disabled_reason": webhook.disabled.map(|disabled| disabled.reason),
            ":disabled_ms": webhook.disabled.map(|disabled| Number(disabled.at_ms)),
            ":disabled_from_seq": webhook.disabled.map(|disabled| Number(disabled.from_seq)),
            ":failures": webhook.failures,
            ":failing_since_ms": webhook.failing_since_ms.map(Number),
            ":replay_next": webhook.replay.map(|(next, _)| Number(next)),
            ":replay_end": webhook.replay.map(|(_, end)| Number(end)),
        })?;
        self.change()?.prepare_cached("DELETE FROM previous_secrets WHERE webhook = ?1")?.execute([webhook.id])?;
        if self.sealer.is_none() {
            // It stays in unused parts of the files for longer than its webhook is there.
            let sql = "UPDATE server SET unsealed_left = 1 WHERE NOT unsealed_left";
            self.change()?.prepare_cached(sql)?.execute(())?;
        }
        for (age, (secret, until_ms)) in (0u32..).zip(previous) {
            let sql = "INSERT INTO previous_secrets (webhook, age, secret, until_ms) VALUES (?1, ?2, ?3, ?4)";
            let stored = self.stored(webhook.id, secret)?;
            self.change()?.prepare_cached(sql)?.execute((webhook.id, age, stored, Number(*until_ms)))?;
        }
        Ok(())
    }

    /// It is no webhook any more, and its secrets are gone. Its deliveries go by [`Self::forget`].
    pub fn delete_webhook(&mut self, webhook: WebhookId) -> Result<(), DeliveryError> {
        self.change()?.prepare_cached("DELETE FROM previous_secrets WHERE webhook = ?1")?.execute([webhook])?;
        let sql = "UPDATE webhooks SET is_deleted = 1, url = '', secret = x'' WHERE id = ?1";
        self.change()?.prepare_cached(sql)?.execute([webhook])?;
        Ok(())
    }

    fn stored(&self, webhook: WebhookId, secret: &Secret) -> Result<Vec<u8>, DeliveryError> {
        Ok(match &self.sealer {
            Some(sealer) => sealer.seal(webhook, secret)?,
            None => secret.expose().as_bytes().to_vec(),
        })
    }

    /// Looks whether every secret can be read, and seals those that are not sealed yet, if there is a sealer. Afterwards none of them
    /// is left anywhere in the database's files.
    pub(super) fn settle_secrets(&mut self) -> Result<(), DeliveryError> {
        if self.sealer.is_some() && any_unsealed(&self.connection)? {
            // One of them is read wrong or not at all: then nothing is changed.
            for webhook in self.webhooks()? {
                self.update_webhook(&webhook)?;
            }
            self.commit()?;
        } else {
            self.webhooks()?;
        }
        let left: bool = self.connection.query_row("SELECT unsealed_left FROM server", (), |row| row.get(0))?;
        if left && self.sealer.is_some() {
            // Overwritten rows stay in the log, and moved ones in unused parts of pages: all is written anew.
            self.connection.execute_batch("VACUUM")?;
            self.truncate_log()?;
            self.connection.execute("UPDATE server SET unsealed_left = 0", ())?;
        }
        Ok(())
    }

    pub(super) fn truncate_log(&self) -> Result<(), DeliveryError> {
        let blocked: bool = self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |row| row.get(0))?;
        if blocked { Err(DatabaseError::Busy.into()) } else { Ok(()) }
    }
}

fn any_unsealed(connection: &Connection) -> Result<bool, DeliveryError> {
    let sql = "SELECT secret FROM webhooks WHERE NOT is_deleted UNION ALL SELECT secret FROM previous_secrets";
    let mut select = connection.prepare(sql)?;
    let mut rows = select.query(())?;
    while let Some(row) = rows.next()? {
        if !sealer::is_sealed(&row.get::<_, Vec<u8>>(0)?) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn webhook(row: &Row<'_>, sealer: Option<&Sealer>) -> Result<Webhook, DeliveryError> {
    let number = |column| row.get::<_, Number>(column).map(|number| number.0);
    let optional = |column| row.get::<_, Option<Number>>(column).map(|number| number.map(|number| number.0));
    let id = row.get("id")?;
    let secret = |stored: Vec<u8>| secret(id, &stored, sealer).map(Arc::new);
    let disabled = match row.get("disabled_reason")? {
        None => None,
        Some(reason) => {
            Some(Disabled { reason, at_ms: number("disabled_ms")?, from_seq: number("disabled_from_seq")? })
        }
    };
    Ok(Webhook {
        id,
        account: row.get("account")?,
        url: WebhookUrl::stored(row.get("url")?),
        events: row.get("events")?,
        // Those before stand in a table of their own.
        secrets: SigningSecrets { current: secret(row.get("secret")?)?, previous: Vec::new() },
        created_ms: number("created_ms")?,
        from_seq: number("from_seq")?,
        disabled,
        failures: row.get("failures")?,
        failing_since_ms: optional("failing_since_ms")?,
        replay: optional("replay_next")?.zip(optional("replay_end")?),
    })
}

fn secret(webhook: WebhookId, stored: &[u8], sealer: Option<&Sealer>) -> Result<Secret, DeliveryError> {
    if sealer::is_sealed(stored) {
        let sealer = sealer.ok_or(DeliveryError::Sealed)?;
        return sealer.unseal(webhook, stored).ok_or(DeliveryError::WrongMasterKey);
    }
    let secret = std::str::from_utf8(stored).ok().and_then(Secret::parse);
    secret.ok_or_else(|| DatabaseError::Corrupt { detail: format!("the secret of {webhook}") }.into())
}
