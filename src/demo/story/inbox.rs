//! The customer's notifications: each is shown, and reported as delivered with the next step.

use serde_json::{Value, json};

use crate::demo::line::Line;
use crate::demo::moment::Moment;

use super::customer::{USER_ID, user_line};

#[derive(Default)]
pub struct Inbox {
    notifications: u64,
    undelivered: Vec<u64>,
}

/// What is to be shown.
pub struct Notification<'a> {
    pub title: &'a str,
    pub message: String,
    /// `info`, `success` or `warning`.
    pub r#type: &'a str,
    pub category: &'a str,
    pub data: Value,
}

impl Inbox {
    pub fn notify(&mut self, notification: Notification<'_>, now: &Moment, lines: &mut Vec<Line>) {
        self.notifications += 1;
        self.undelivered.push(self.notifications);
        let Notification { title, message, r#type, category, data } = notification;
        let data = json!({
            "id": id(self.notifications),
            "userId": USER_ID,
            "title": title,
            "message": message,
            "type": r#type,
            "category": category,
            "data": data,
            "read": false,
            "createdAt": now.text(),
        });
        lines.push(user_line("in_app_notification", data));
    }

    /// Time has passed: what was shown last has been sent on, too.
    pub fn deliver(&mut self, now: &Moment, lines: &mut Vec<Line>) {
        for number in self.undelivered.drain(..) {
            let data = json!({
                "id": id(number),
                "status": "delivered",
                "deliveredAt": now.text(),
                "deliveryMethod": "email",
            });
            lines.push(user_line("notification_status_update", data));
        }
    }
}

fn id(number: u64) -> String {
    format!("notif_{number}")
}
