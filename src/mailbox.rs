//! Messages to a thread that runs an executor: a queue and the doorbell that wakes it.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::ring::Doorbell;

/// Any thread posts, one thread collects. What is posted is bounded by its senders: publish requests by the bytes that
/// the hub admits, arrivals by seats, answers by the requests they answer.
pub struct Mailbox<T> {
    queue: Mutex<Vec<T>>,
    waiting: AtomicBool,
    doorbell: Doorbell,
}

impl<T> Mailbox<T> {
    pub fn new(doorbell: Doorbell) -> Self {
        Self { queue: Mutex::new(Vec::new()), waiting: AtomicBool::new(false), doorbell }
    }

    pub fn doorbell(&self) -> &Doorbell {
        &self.doorbell
    }

    /// Adds a message and wakes the collector, unless it was woken for an earlier one already.
    pub fn post(&self, message: T) {
        self.queue.lock().expect("no holder panics").push(message);
        if !self.waiting.swap(true, Ordering::AcqRel) {
            self.doorbell.ring();
        }
    }

    /// Moves every message, oldest first, to the end of `messages`.
    pub fn collect(&self, messages: &mut Vec<T>) {
        if self.waiting.swap(false, Ordering::AcqRel) {
            messages.append(&mut self.queue.lock().expect("no holder panics"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn nothing_posted_by_many_threads_is_lost_or_reordered() {
        let mailbox = Arc::new(Mailbox::new(Doorbell::new().unwrap()));
        let threads: Vec<_> = (0..4)
            .map(|thread| {
                let mailbox = mailbox.clone();
                std::thread::spawn(move || (0..1000).for_each(|number| mailbox.post((thread, number))))
            })
            .collect();
        let mut collected = Vec::new();
        while collected.len() < 4000 {
            mailbox.collect(&mut collected);
            std::thread::yield_now();
        }
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        for thread in 0..4 {
            let numbers: Vec<_> = collected.iter().filter(|(from, _)| *from == thread).map(|(_, n)| *n).collect();
            assert_eq!(numbers, (0..1000).collect::<Vec<_>>());
        }
    }
}
