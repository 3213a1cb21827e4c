//! The journal's thread: the writer, retention and reads on one pinned executor, over real files.
//!
//! ```text
//!   hub ── wake() ──▶ bell ──▶ writer's task ──▶ on_kept(number)
//!   shards ── read() ──▶ mailbox ──▶ a task each ──▶ reply(chunk)
//! ```
//!
//! The writer's turn ends where there is nothing to write, and a ring begins the next at once; no timer is in the way of an event,
//! but with `sync = "interval"` in that of its sync.
//! Reads go on while the writer waits for the disk, and the other way round.

use std::cell::RefCell;
use std::io;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use glommio::ExecutorJoinHandle;

use super::disk::GlommioDisk;
use super::recovery::Recovered;
use super::writer::{Clock, OnKept, Origin, Writer};
use super::{Chunk, JournalFault, JournalOptions, JournalStatus, ReadError, Reader, Window};
use crate::clock::{self, Nanos};
use crate::executor::{self, Outcome, ThreadError};
use crate::limits;
use crate::mailbox::Mailbox;
use crate::ring::{Doorbell, DoorbellListener};
use crate::watchman::Pulse;

/// Takes a replay's next chunk. It is called on the journal's thread and must not block.
pub type ReadReply = Box<dyn FnOnce(Result<Chunk, ReadError>) + Send>;

/// Why the journal does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Thread(#[from] ThreadError),
    #[error("the journal's directory {directory} can't be used ({source}): check its owner and mode")]
    Directory { directory: PathBuf, source: io::Error },
    #[error(
        "the journal can't be begun in {directory} ({reason}): check the owner and the mode of what is there, and the disk"
    )]
    Write { directory: PathBuf, reason: String },
    #[error("the journal has no descriptor for its bell ({0}): raise `ulimit -n`")]
    Doorbell(io::Error),
}

/// Why the journal's end was not orderly.
#[derive(Debug, thiserror::Error)]
pub enum StopError {
    #[error(
        "the journal could not be brought to the disk ({0}): see to the disk, and start again to be told which events are missing"
    )]
    Disk(io::Error),
    #[error("the journal's thread died: report this as a bug, with the lines above")]
    Died,
}

/// The running thread.
pub struct JournalService {
    handle: JournalHandle,
    pulse: Arc<Pulse>,
    thread: ExecutorJoinHandle<()>,
    end: Receiver<io::Result<()>>,
}

/// The way to it, for any thread.
#[derive(Clone)]
pub struct JournalHandle(Arc<Shared>);

struct Shared {
    status: Arc<JournalStatus>,
    /// Wakes the writer.
    bell: Doorbell,
    stops: AtomicBool,
    reads: Mailbox<Read>,
}

struct Read {
    from: u64,
    bytes_max: usize,
    reply: ReadReply,
}

impl JournalHandle {
    /// The window has something for the disk.
    pub fn wake(&self) {
        self.0.bell.ring();
    }

    pub fn status(&self) -> &JournalStatus {
        &self.0.status
    }

    /// Reads events as [`Reader::read`] does. After a [`stop`](Self::stop) the reply may be dropped without a call.
    pub fn read(&self, from: u64, bytes_max: usize, reply: ReadReply) {
        self.0.reads.post(Read { from, bytes_max, reply });
    }

    /// Ends the journal when everything that the window holds is on the disk. Nothing may be appended any more.
    pub fn stop(&self) {
        self.0.stops.store(true, Ordering::Release);
        self.wake();
    }
}

impl JournalService {
    /// Goes on with what was recovered in a directory, on a thread of its own. Returns when events can be accepted, or when they
    /// can't because the disk is full, which the status tells.
    pub fn start(
        recovered: Recovered,
        directory: PathBuf,
        options: JournalOptions,
        window: Arc<Window>,
        cpu: usize,
        on_kept: OnKept,
    ) -> Result<Self, StartError> {
        let bell = || Doorbell::new().map_err(StartError::Doorbell);
        let (bell, reads) = (bell()?, Mailbox::new(bell()?));
        let shared = Shared { status: Arc::default(), bell, stops: AtomicBool::new(false), reads };
        let (handle, pulse) = (JournalHandle(Arc::new(shared)), Arc::<Pulse>::default());
        let (ended, end) = channel();
        let thread = Thread { shared: handle.0.clone(), pulse: pulse.clone(), directory, options, window, ended };
        let starting = executor::spawn("journal", cpu, move |outcome| thread.run(recovered, on_kept, outcome))?;
        Ok(Self { handle, pulse, thread: starting.finish()?, end })
    }

    pub fn handle(&self) -> JournalHandle {
        self.handle.clone()
    }

    /// What the watchman watches.
    pub fn pulse(&self) -> Arc<Pulse> {
        self.pulse.clone()
    }

    /// Waits for the end that [`JournalHandle::stop`] has asked for.
    pub fn finish(self) -> Result<(), StopError> {
        self.finish_within(Duration::from_millis(2 * limits::JOURNAL_STOP_MS))
    }

    fn finish_within(self, patience: Duration) -> Result<(), StopError> {
        let end = match self.end.recv_timeout(patience) {
            // It hangs in the disk, and the process ends without it: the lease says that it was not orderly.
            Err(RecvTimeoutError::Timeout) => return Err(StopError::Disk(io::ErrorKind::TimedOut.into())),
            Err(RecvTimeoutError::Disconnected) => Err(StopError::Died),
            Ok(end) => end.map_err(StopError::Disk),
        };
        // How it ended has been told, or a panic was.
        let _ = self.thread.join();
        end
    }
}

/// What the thread takes along.
struct Thread {
    shared: Arc<Shared>,
    pulse: Arc<Pulse>,
    directory: PathBuf,
    options: JournalOptions,
    window: Arc<Window>,
    ended: Sender<io::Result<()>>,
}

type ServiceWriter = Writer<GlommioDisk, SystemClock>;

struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Nanos {
        clock::now()
    }

    fn unix_ms(&self) -> u64 {
        clock::unix_ms()
    }
}

impl Thread {
    async fn run(self, recovered: Recovered, on_kept: OnKept, outcome: Outcome<StartError>) {
        let (mut writer, bell) = match self.begin(recovered, on_kept).await {
            Ok(begun) => begun,
            Err(error) => {
                // Whoever started it waits for this.
                let _ = outcome.send(Err(error));
                return;
            }
        };
        let _ = outcome.send(Ok(()));
        let mut armed = None;
        while !self.shared.stops.load(Ordering::Acquire) {
            writer.turn().await;
            if writer.sync_due_at() != armed {
                armed = writer.sync_due_at();
                armed.map(|at| glommio::spawn_local(ring_at(self.shared.bell.clone(), at)).detach());
            }
            if !writer.has_more() {
                bell.heard().await.expect("an eventfd can be read");
            }
        }
        // Whoever waits for the end may have gone.
        let _ = self.ended.send(self.close(&mut writer).await);
        self.pulse.rest();
    }

    async fn begin(
        &self,
        recovered: Recovered,
        on_kept: OnKept,
    ) -> Result<(ServiceWriter, DoorbellListener), StartError> {
        let Shared { bell, status, .. } = &*self.shared;
        let failed = |source| StartError::Directory { directory: self.directory.clone(), source };
        let disk = Rc::new(GlommioDisk::open(self.directory.clone()).await.map_err(failed)?);
        let Recovered { catalogue, next_seq, follows, .. } = recovered;
        let origin = Origin { next_seq, follows, catalogue: Rc::new(RefCell::new(catalogue)) };
        let reader = Rc::new(Reader::new(disk.clone(), origin.catalogue.clone()));
        let mut writer =
            Writer::new(disk, SystemClock, self.options, self.window.clone(), origin, status.clone(), on_kept);
        writer.turn().await;
        if let Some(JournalFault::Io(reason)) = status.fault().as_deref() {
            return Err(StartError::Write { directory: self.directory.clone(), reason: reason.clone() });
        }
        let listen = |bell: &Doorbell| bell.listen().map_err(StartError::Doorbell);
        let reads = listen(self.shared.reads.doorbell())?;
        let listener = listen(bell)?;
        glommio::spawn_local(serve_reads(self.shared.clone(), reader, reads)).detach();
        glommio::spawn_local(executor::tick(bell.clone())).detach();
        glommio::spawn_local(self.pulse.clone().listen()).detach();
        glommio::spawn_local(beat(self.pulse.clone())).detach();
        Ok((writer, listener))
    }

    /// Tries for a while, because a disk may need a moment to come back.
    async fn close(&self, writer: &mut ServiceWriter) -> io::Result<()> {
        let until = clock::now() + limits::JOURNAL_STOP_MS * 1_000_000;
        loop {
            match writer.close().await {
                Err(_) if clock::now() < until => sleep_ms(limits::TICK_MS.into()).await,
                done => return done,
            }
        }
    }
}

/// Serves each read by a task of its own, for ever.
async fn serve_reads(shared: Arc<Shared>, reader: Rc<Reader<GlommioDisk>>, bell: DoorbellListener) {
    let mut reads = Vec::new();
    loop {
        shared.reads.collect(&mut reads);
        if reads.is_empty() {
            bell.heard().await.expect("an eventfd can be read");
        }
        for Read { from, bytes_max, reply } in reads.drain(..) {
            let reader = reader.clone();
            glommio::spawn_local(async move { reply(reader.read(from, bytes_max).await) }).detach();
        }
    }
}

/// Counts a turn a tick: the writer's own take as long as the disk does.
async fn beat(pulse: Arc<Pulse>) {
    loop {
        pulse.beat();
        sleep_ms(limits::TICK_MS.into()).await;
    }
}

/// Rings once, when it is time.
async fn ring_at(bell: Doorbell, at: Nanos) {
    glommio::timer::sleep(Duration::from_nanos(at.saturating_sub(clock::now()))).await;
    bell.ring();
}

async fn sleep_ms(ms: u64) {
    glommio::timer::sleep(Duration::from_millis(ms)).await;
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use futures_lite::future::block_on;

    use super::*;
    use crate::journal::disk::BlockingDisk;
    use crate::journal::recovery::recover;
    use crate::journal::{Journal, Part, SyncPolicy, fixture};

    /// A journal on real files, and what it told to be kept.
    struct Running {
        service: JournalService,
        window: Arc<Window>,
        kept: Receiver<u64>,
    }

    fn recovered(directory: &Path) -> Recovered {
        block_on(recover(&BlockingDisk::new(directory.to_owned()))).expect("a sound journal")
    }

    fn start(directory: &Path, options: JournalOptions) -> Result<Running, StartError> {
        let recovered = recovered(directory);
        let window = Arc::new(Window::new(0, recovered.next_seq, limits::WINDOW_BYTES_MAX, 0));
        window.await_disk();
        let (sender, kept) = channel();
        let on_kept = Box::new(move |number| sender.send(number).expect("it is listened to"));
        let service = JournalService::start(recovered, directory.to_owned(), options, window.clone(), 0, on_kept)?;
        Ok(Running { service, window, kept })
    }

    impl Running {
        fn publish(&self, events: u64) {
            self.window.append(Arc::new(fixture::batch(self.window.head(), events)));
            self.service.handle().wake();
        }

        fn await_kept(&self, number: u64) {
            while self.kept.recv_timeout(Duration::from_secs(30)).expect("it is kept in time") < number {}
        }

        fn read(&self, from: u64) -> Chunk {
            let (sender, chunk) = channel();
            self.service.handle().read(from, 1 << 20, Box::new(move |read| sender.send(read).expect("awaited")));
            chunk.recv_timeout(Duration::from_secs(30)).expect("it is answered").expect("it can be read")
        }

        fn stop(self) {
            self.service.handle().stop();
            self.service.finish().expect("a sound disk");
            assert_eq!(self.kept.recv_timeout(Duration::ZERO), Err(RecvTimeoutError::Disconnected));
        }
    }

    /// Everything from a number on, as it was published.
    fn check(running: &Running, mut from: u64, to: u64) {
        while from < to {
            let chunk = running.read(from);
            assert!(chunk.next > from, "nothing at {from}");
            for part in chunk.parts {
                let Part::Events(batch) = part else { panic!("nothing is missing, but {part:?}") };
                for (event, seq) in batch.events().iter().zip(batch.first_seq()..) {
                    assert_eq!(event.id.as_deref(), Some(format!("id-{seq}").as_str()));
                }
            }
            from = chunk.next;
        }
        assert_eq!(from, to);
    }

    fn options(sync: SyncPolicy) -> JournalOptions {
        JournalOptions { sync, segment_bytes: limits::SEGMENT_BYTES_MIN, ..JournalOptions::default() }
    }

    #[test]
    fn what_is_published_is_kept_on_real_files_and_read_again_after_a_stop() {
        for sync in [SyncPolicy::Always, SyncPolicy::Interval, SyncPolicy::Never] {
            let directory = tempfile::tempdir().expect("a directory");
            let running = start(directory.path(), options(sync)).expect("it starts");
            for _ in 0..200 {
                running.publish(1);
            }
            running.await_kept(201);
            // Several segments.
            for _ in 0..10 {
                running.publish(2_000);
                running.await_kept(running.window.head());
            }
            check(&running, 1, 20_201);
            check(&running, 150, 20_201);
            let ((writes, bytes), (syncs, sync_ns)) = {
                let handle = running.service.handle();
                (handle.status().writes(), handle.status().syncs())
            };
            println!(
                "{sync}: {writes} writes of {bytes} bytes, {syncs} syncs of {} µs",
                sync_ns / 1_000 / syncs.max(1)
            );
            running.stop();
            let found = recovered(directory.path());
            assert_eq!((found.next_seq, found.follows, found.report), (20_201, 20_201, vec![]));
            assert!(found.catalogue.segments().count() > 1);
            let running = start(directory.path(), options(sync)).expect("it starts again");
            running.publish(1);
            running.await_kept(20_202);
            check(&running, 1, 20_202);
            running.stop();
        }
    }

    /// A service whose thread does this.
    fn service(work: impl FnOnce(Sender<io::Result<()>>) + Send + 'static) -> JournalService {
        let doorbell = || Doorbell::new().expect("a descriptor");
        let (bell, reads) = (doorbell(), Mailbox::new(doorbell()));
        let shared = Shared { status: Arc::default(), bell, stops: AtomicBool::new(false), reads };
        let (ended, end) = channel();
        let main = |outcome: Outcome<StartError>| async move {
            outcome.send(Ok(())).expect("it is awaited");
            work(ended);
        };
        let thread = executor::spawn("journal", 0, main).expect("a thread").finish().expect("it starts");
        JournalService { handle: JournalHandle(Arc::new(shared)), pulse: Arc::default(), thread, end }
    }

    #[test]
    fn a_thread_that_hangs_in_the_disk_does_not_hold_up_the_end() {
        let (release, hangs) = channel();
        // As in a system call that does not return; not for ever, so that a wait for it is seen.
        let service = service(move |_ended| {
            let _ = hangs.recv_timeout(Duration::from_secs(20));
        });
        let told = service.finish_within(Duration::from_millis(1)).expect_err("it hangs");
        assert!(matches!(&told, StopError::Disk(error) if error.kind() == io::ErrorKind::TimedOut), "{told}");
        release.send(()).expect("it still hangs");
    }

    #[test]
    fn how_the_thread_ended_is_told() {
        let failed = service(|ended| ended.send(Err(io::ErrorKind::StorageFull.into())).expect("it is awaited"));
        assert!(matches!(failed.finish(), Err(StopError::Disk(error)) if error.kind() == io::ErrorKind::StorageFull));
        assert!(matches!(service(drop).finish(), Err(StopError::Died)));
        service(|ended| ended.send(Ok(())).expect("it is awaited")).finish().expect("an orderly end");
    }

    #[test]
    fn a_directory_that_is_not_there_is_told_at_the_start() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().to_owned();
        let recovered = recovered(&path);
        drop(directory);
        let window = Arc::new(Window::new(0, 1, limits::WINDOW_BYTES_MAX, 0));
        let started =
            JournalService::start(recovered, path.clone(), options(SyncPolicy::Always), window, 0, Box::new(|_| {}));
        let refused = started.err().expect("no directory").to_string();
        assert!(refused.contains(&path.display().to_string()) && refused.contains("check its owner"), "{refused}");
    }
}
