//! What has come for the core's thread, and how others wake it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::Wake;
use std::thread::Thread;

use super::super::attempt::Report;
use super::super::command::{Command, Reply};
use super::super::core::Core;
use super::super::{DeliveryError, WebhookOptions};

#[derive(Default)]
pub struct Shared {
    pub kept: Arc<AtomicU64>,
    inbox: Mutex<Inbox>,
    /// The core's thread, once it runs.
    pub thread: Mutex<Option<Thread>>,
    /// Set while the core waits, or is about to: whoever clears it wakes it.
    pub idle: AtomicBool,
    pub stops: AtomicBool,
    /// What the operator says now, until the core has seen it.
    options: Mutex<Option<WebhookOptions>>,
}

#[derive(Default)]
struct Inbox {
    tasks: Vec<Box<dyn Task>>,
    reports: Vec<Report>,
    door: Door,
}

/// Whether commands are taken.
#[derive(Clone, Copy, Debug, Default)]
pub enum Door {
    #[default]
    Open,
    /// Until the core has what the database holds again.
    Recovering,
    /// For good.
    Stopped,
}

/// A command with its types erased.
pub trait Task: Send {
    /// Leaves its answer, which waits for the commit.
    fn carry_out(self: Box<Self>, core: &mut Core, now_ms: u64) -> Carried;

    /// Answers without doing anything.
    fn refuse(self: Box<Self>, error: DeliveryError);
}

pub struct Carried {
    /// The database failed in the middle of it.
    pub failed: bool,
    /// Told whether the commit succeeded.
    pub answer: Box<dyn FnOnce(bool)>,
}

struct Asked<C: Command> {
    command: C,
    reply: Reply<C::Answer>,
}

impl Door {
    fn require_open(self) -> Result<(), DeliveryError> {
        match self {
            Self::Open => Ok(()),
            Self::Recovering => Err(DeliveryError::Recovering),
            Self::Stopped => Err(DeliveryError::Stopping),
        }
    }
}

impl Shared {
    pub fn wake(&self) {
        if self.idle.swap(false, Ordering::SeqCst) {
            self.unpark();
        }
    }

    pub fn set_options(&self, options: WebhookOptions) {
        *self.options.lock().expect("no holder panics") = Some(options);
        self.wake();
    }

    pub fn take_options(&self) -> Option<WebhookOptions> {
        self.options.lock().expect("no holder panics").take()
    }

    fn unpark(&self) {
        if let Some(thread) = &*self.thread.lock().expect("no holder panics") {
            thread.unpark();
        }
    }

    pub fn report(&self, report: Report) {
        self.inbox().reports.push(report);
        self.wake();
    }

    /// `tasks_max` bounds those that wait.
    pub fn submit<C: Command>(
        &self,
        command: C,
        reply: Reply<C::Answer>,
        tasks_max: usize,
    ) -> Result<(), DeliveryError> {
        let mut inbox = self.inbox();
        inbox.door.require_open()?;
        if inbox.tasks.len() >= tasks_max {
            return Err(DeliveryError::Busy);
        }
        inbox.tasks.push(Box::new(Asked { command, reply }));
        drop(inbox);
        self.wake();
        Ok(())
    }

    /// Whether a command would be taken, for what is to be done before it is submitted.
    pub fn require_open(&self) -> Result<(), DeliveryError> {
        self.inbox().door.require_open()
    }

    /// Everything that has come.
    pub fn take(&self) -> (Vec<Box<dyn Task>>, Vec<Report>) {
        let mut inbox = self.inbox();
        (std::mem::take(&mut inbox.tasks), std::mem::take(&mut inbox.reports))
    }

    pub fn has_mail(&self) -> bool {
        let inbox = self.inbox();
        !inbox.tasks.is_empty() || !inbox.reports.is_empty() || self.options.lock().expect("no holder panics").is_some()
    }

    /// From now on commands are taken or not; where they are not, those that wait are refused.
    pub fn set_door(&self, door: Door) {
        let refused = {
            let mut inbox = self.inbox();
            inbox.door = door;
            if door.require_open().is_ok() { Vec::new() } else { std::mem::take(&mut inbox.tasks) }
        };
        for task in refused {
            if let Err(error) = door.require_open() {
                task.refuse(error);
            }
        }
    }

    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().expect("no holder panics")
    }
}

/// How the watchman reaches the core's thread, whatever that believes of itself.
impl Wake for Shared {
    fn wake(self: Arc<Self>) {
        self.unpark();
    }
}

impl<C: Command> Task for Asked<C> {
    fn carry_out(self: Box<Self>, core: &mut Core, now_ms: u64) -> Carried {
        let Self { command, reply } = *self;
        let outcome = command.execute(core, now_ms);
        let failed = !C::ONLY_READS && outcome.as_ref().is_err_and(DeliveryError::is_of_the_database);
        let answer = Box::new(move |committed| match (outcome, committed) {
            (Ok(_), false) => reply(Err(DeliveryError::NotStored)),
            (outcome, _) => reply(outcome),
        });
        Carried { failed, answer }
    }

    fn refuse(self: Box<Self>, error: DeliveryError) {
        (self.reply)(Err(error));
    }
}
