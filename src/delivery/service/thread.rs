//! The core's thread: turn after turn, a rest where there is nothing to do, and what follows a failure of the database.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use super::super::DeliveryError;
use super::super::attempt::Report;
use super::super::core::{Core, Patience};
use super::super::courier::Courier;
use super::super::workers::Crew;
use super::OnDisabled;
use super::inbox::{Door, Shared, Task};
use crate::watchman::Pulse;
use crate::{clock, limits};

/// The core with what its thread knows beside it.
pub struct Loop<'s> {
    shared: &'s Shared,
    core: Core,
    crew: Crew,
    courier: Arc<Courier>,
    on_disabled: OnDisabled,
    pulse: &'s Pulse,
    /// What the core had not taken in when it last rested.
    last_news: Option<(u64, u64)>,
    /// With the database.
    pub(super) patience: Patience,
    /// The database failed and the core has not recovered: nothing in memory counts, and nothing of it may reach the disk.
    is_lost: bool,
}

impl<'s> Loop<'s> {
    pub fn new(
        shared: &'s Shared,
        core: Core,
        crew: Crew,
        courier: Arc<Courier>,
        on_disabled: OnDisabled,
        pulse: &'s Pulse,
    ) -> Self {
        let patience = Patience::default();
        Self { shared, core, crew, courier, on_disabled, pulse, last_news: None, patience, is_lost: false }
    }

    pub fn run(mut self) {
        let mut until_ms = None;
        loop {
            self.pulse.beat();
            if let Some(options) = self.shared.take_options() {
                self.courier.follow(&options);
                self.core.follow(options);
            }
            let (tasks, reports) = self.shared.take();
            let more = self.turn(tasks, reports);
            if self.shared.stops.load(Ordering::Acquire) {
                let until_ms = *until_ms.get_or_insert_with(|| clock::unix_ms() + limits::DELIVERY_STOP_MS);
                if self.is_lost || self.core.under_way() == 0 || clock::unix_ms() >= until_ms {
                    return self.end();
                }
            }
            if !more {
                self.rest();
            }
        }
    }

    /// One turn: everything that has come in, its commit, answers, and jobs. Returns whether there is more to do at once.
    pub(super) fn turn(&mut self, tasks: Vec<Box<dyn Task>>, reports: Vec<Report>) -> bool {
        let now_ms = clock::unix_ms();
        let mut ended = self.core.end_attempts(reports, now_ms);
        let has_outcomes = !ended.is_empty();
        // Refused is what was not done: such a turn commits on its way.
        let mut before = Ok(());
        if self.core.clock_was_set_back(now_ms) {
            before = self.core.turn(std::mem::take(&mut ended), now_ms).map(drop);
        }
        let mut failed = before.is_err();
        let mut carried = Vec::with_capacity(tasks.len());
        for task in tasks {
            // Each might wait for a lock as long as the first did.
            if failed {
                task.refuse(DeliveryError::Recovering);
                continue;
            }
            let done = task.carry_out(&mut self.core, now_ms);
            failed = done.failed;
            carried.push(done);
        }
        let outcome = match before {
            Err(error) => Err(error),
            Ok(()) if failed => Err(DeliveryError::NotStored),
            Ok(()) => self.core.turn(ended, now_ms).and_then(|more| self.core.commit(now_ms).map(|()| more)),
        };
        let committed = outcome.is_ok();
        carried.into_iter().for_each(|carried| (carried.answer)(committed));
        if committed {
            self.core.take_disabled().iter().for_each(&self.on_disabled);
        }
        match outcome.and_then(|more| self.send_jobs(now_ms).map(|()| more || self.core.is_changed())) {
            Ok(more) => {
                self.patience.committed(has_outcomes);
                more
            }
            Err(error) => {
                self.is_lost = true;
                self.recover(&error);
                true
            }
        }
    }

    fn send_jobs(&mut self, now_ms: u64) -> Result<(), DeliveryError> {
        if self.shared.stops.load(Ordering::Acquire) {
            return Ok(());
        }
        while let Some(job) = self.core.next_job(now_ms)? {
            self.crew.send(job);
        }
        Ok(())
    }

    /// Goes back to what the database holds, once that can be read and written again; or gives up, when the server ends. The longer it
    /// fails, the longer the rest: each time what is under way is sent once more.
    fn recover(&mut self, error: &DeliveryError) {
        tracing::error!(%error, "webhooks wait for their database");
        self.shared.set_door(Door::Recovering);
        loop {
            // Nobody who could mend it is to be locked out meanwhile.
            self.core.abandon();
            let until = clock::now() + self.patience.rest_ms() * 1_000_000;
            while clock::now() < until {
                self.pulse.beat();
                self.courier.sweep(Instant::now());
                if self.shared.stops.load(Ordering::Acquire) {
                    return;
                }
                thread::park_timeout(Duration::from_millis(limits::DELIVERY_LOOK_AGAIN_MS));
            }
            match self.core.recover(clock::unix_ms()) {
                Ok(()) => break,
                Err(error) => tracing::debug!(%error, "the webhooks' database fails still"),
            }
        }
        self.is_lost = false;
        self.shared.set_door(Door::Open);
        tracing::info!("webhooks go on");
    }

    /// Waits until something comes in or is due.
    fn rest(&mut self) {
        // Where nothing is sent any more, nobody else looks after the connections that were kept.
        self.courier.sweep(Instant::now());
        self.shared.idle.store(true, Ordering::SeqCst);
        // Whoever put something in before it saw the flag did not wake anybody.
        let has_mail = self.shared.has_mail();
        // News that the last turn could not take in are no reason to look again at once.
        let news = self.core.news();
        let has_news = news.is_some() && self.last_news != news;
        self.last_news = news;
        if !has_mail && !has_news {
            let now_ms = clock::unix_ms();
            let patience_ms = match self.core.wake_at(now_ms) {
                // Nothing that is due is sent any more, and what was not readable a moment ago needs another one.
                _ if self.shared.stops.load(Ordering::SeqCst) || news.is_some() => limits::DELIVERY_LOOK_AGAIN_MS,
                Some(at_ms) => at_ms.saturating_sub(now_ms).min(limits::DELIVERY_REST_MS),
                None => limits::DELIVERY_REST_MS,
            };
            thread::park_timeout(Duration::from_millis(patience_ms));
        }
        self.shared.idle.store(false, Ordering::Release);
    }

    /// Brings the position to the disk, and refuses those who are too late. What a failure left in memory stays there: with a position
    /// from behind what was not recorded, that would be lost.
    fn end(mut self) {
        if !self.is_lost
            && let Err(error) = self.core.close()
        {
            tracing::error!(%error, "the webhooks' position could not be stored: some deliveries may be made again");
        }
        self.shared.set_door(Door::Stopped);
        self.crew.close(Duration::from_millis(limits::DELIVERY_CREW_STOP_MS));
    }
}
