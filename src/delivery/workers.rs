//! The threads that send: pinned to the delivery CPU and niced, so that webhooks take no time from anything else.

use std::sync::Arc;

use super::DeliveryError;
use super::attempt::{Job, Report};
use super::courier::Courier;

/// Gets what came of each job, on a worker's thread.
pub type OnReport = Arc<dyn Fn(Report) + Send + Sync>;

/// Workers that wait for jobs. Dropped, they end once they are done with what they have under way.
pub struct Crew {}

impl Crew {
    pub fn start(
        _courier: Arc<Courier>,
        _workers: u32,
        _cpu: usize,
        _on_report: OnReport,
    ) -> Result<Self, DeliveryError> {
        todo!()
    }

    /// Ends, waiting that long at most for attempts under way; `false`: some still are.
    pub fn close(self, _patience: std::time::Duration) -> bool {
        todo!()
    }

    /// Queues a job. The core never has more jobs under way than there are workers.
    pub fn send(&self, _job: Job) {
        todo!()
    }
}

/// A few more threads, for what somebody waits for: checks of URLs and tests. Each is started for its task and ends with it.
#[derive(Clone)]
pub struct Aside {}

impl Aside {
    pub fn new(_courier: Arc<Courier>, _cpu: usize) -> Self {
        todo!()
    }

    /// Runs a task on a thread of its own; `Busy` where [`ASIDE_THREADS_MAX`](crate::limits::ASIDE_THREADS_MAX) are under way.
    pub fn run(&self, _task: impl FnOnce(&Courier) + Send + 'static) -> Result<(), DeliveryError> {
        todo!()
    }
}

/// Pins and nices the calling thread.
pub fn settle(_cpu: usize) {
    todo!()
}
