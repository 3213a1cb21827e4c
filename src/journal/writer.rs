//! The writer: brings what the window holds to the disk, and says when it is there.
//!
//! ```text
//!   Window::unwritten ──▶ encode ──▶ write ──▶ sync ──▶ on_kept, Window::synced
//!         ▲                 all that is there, at once     │
//!         └──────── what comes meanwhile is the next turn's ┘
//! ```
//!
//! Invariants:
//! * A number may be given out only when a lease that is on the disk reaches it.
//! * With [`SyncPolicy::Always`] nothing is told to be kept before a sync that began after its last byte was written.
//! * A request lies in one segment. Before a segment takes its first record, its name and header last, and so does everything
//!   before it.
//! * After a failed write or sync nobody knows what the segment's file holds behind its synced end. It is never written again:
//!   a new segment begins with the first number that was not synced, and everything from there on comes from the window again.
//!   A failed write is followed by a sync of what was there before it, so that of that a killed process loses nothing.
//!
//! Nothing here knows of a thread or an executor. A simulation polls a turn as far as it likes and takes any await as a crash.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::disk::{self, Disk, DiskFile};
use super::lease::{self, Lease};
use super::retention::Retention;
use super::segment::{self, HEADER_BYTES, SegmentHeader};
use super::{Catalogue, Journal, JournalOptions, JournalStatus, SyncPolicy, Window, record};
use crate::clock::Nanos;
use crate::hub::EncodedBatch;
use crate::limits;
#[cfg(test)]
use crate::simulation::sabotage::{self, Sabotage};

/// The file that will be the next segment, before it has its number.
pub const SPARE_NAME: &str = "spare";

/// What time it is.
pub trait Clock {
    fn now(&self) -> Nanos;
    fn unix_ms(&self) -> u64;
}

/// Hears that every number below one is kept as the policy demands.
pub type OnKept = Box<dyn Fn(u64) + Send>;

/// What a writer goes on from.
pub struct Origin {
    /// The number that the next event gets: the window's head.
    pub next_seq: u64,
    /// The number after the last event that is there. Lower where a crash has left a hole.
    pub follows: u64,
    /// Of what is there.
    pub catalogue: Rc<RefCell<Catalogue>>,
}

pub struct Writer<D: Disk, C> {
    disk: Rc<D>,
    clock: C,
    options: JournalOptions,
    window: Arc<Window>,
    origin: Origin,
    status: Arc<JournalStatus>,
    on_kept: OnKept,
    /// The one that takes records; none before the first, and after one was given up.
    segment: Option<Open<D::File>>,
    spare: Option<Spare<D::File>>,
    /// The number of the next event to be written.
    written: u64,
    /// The number of the next event that is not known to be on the disk.
    synced: u64,
    /// What was told last.
    kept: u64,
    /// Since when something is written that no sync covers.
    unsynced_since: Option<Nanos>,
    /// After a failure: when to try again.
    retry_at: Option<Nanos>,
    retention: Retention,
    retain_at: Nanos,
}

/// A segment that takes records.
struct Open<F> {
    file: F,
    /// Bytes that are promised.
    capacity: u64,
    /// The offset behind the last record, and that of the last one that is on the disk.
    end: u64,
    synced_end: u64,
}

struct Spare<F> {
    file: F,
    capacity: u64,
}

impl<F> Open<F> {
    fn room(&self) -> u64 {
        self.capacity - self.end
    }
}

impl<D: Disk, C: Clock> Writer<D, C> {
    /// Does nothing yet: the first [`turn`](Self::turn) takes a lease and begins a segment.
    pub fn new(
        disk: Rc<D>,
        clock: C,
        options: JournalOptions,
        window: Arc<Window>,
        origin: Origin,
        status: Arc<JournalStatus>,
        on_kept: OnKept,
    ) -> Self {
        let next_seq = origin.next_seq;
        status.written.store(next_seq, Ordering::Release);
        status.synced.store(next_seq, Ordering::Release);
        status.kept.set(next_seq);
        Self {
            disk,
            clock,
            options,
            window,
            origin,
            status,
            on_kept,
            segment: None,
            spare: None,
            written: next_seq,
            synced: next_seq,
            kept: next_seq,
            unsynced_since: None,
            retry_at: None,
            retention: Retention::default(),
            retain_at: 0,
        }
    }

    /// Does what there is to do now. Failures are told by the status, and mended by later turns.
    pub async fn turn(&mut self) {
        let may_retry = self.retry_at.is_none_or(|at| self.clock.now() >= at);
        match self.work(may_retry).await {
            Ok(()) if may_retry => {
                self.retry_at = None;
                self.status.set_fault(None);
            }
            Ok(()) => {}
            Err(error) => {
                self.retry_at = Some(self.clock.now() + limits::JOURNAL_RETRY_MS * 1_000_000);
                self.status.failures.add(1);
                self.status.set_fault(Some((&error).into()));
            }
        }
        let segment = self.segment.as_ref().map_or(0, Open::room);
        let spare = self.spare.as_ref().map_or(0, |spare| spare.capacity - HEADER_BYTES);
        self.status.room.store(segment + spare, Ordering::Release);
    }

    /// Whether another turn would find something to write.
    pub fn has_more(&self) -> bool {
        self.retry_at.is_none() && self.written < self.window.head()
    }

    /// Brings everything to the disk and writes down that nothing is missing. To be called when the window gets no more, and
    /// again after a failure.
    pub async fn close(&mut self) -> io::Result<()> {
        while self.written < self.window.head() {
            self.write(true).await?;
        }
        self.sync().await?;
        if let Some(segment) = &self.segment {
            // So that a small segment does not go on taking the room of a full one. Where it fails, the next start sees to it.
            let _ = segment.file.truncate(segment.end).await;
        }
        if self.spare.take().is_some() {
            let _ = self.disk.remove(SPARE_NAME).await;
        }
        let through = self.status.leased().max(self.written - 1);
        lease::write(&*self.disk, Lease { through, clean: Some(self.written) }).await
    }

    /// While a failure is waited out, the segment that there is still takes what fits.
    async fn work(&mut self, may_retry: bool) -> io::Result<()> {
        if may_retry {
            // First of all: on a full disk it may be what makes room for the rest.
            self.retain().await;
            self.renew_lease().await?;
        }
        self.write(may_retry).await?;
        if self.sync_due_at().is_some_and(|at| self.clock.now() >= at) {
            self.sync().await?;
        }
        if may_retry {
            self.prepare_spare().await?;
            self.retain().await;
        }
        Ok(())
    }

    /// Takes a new lease when half of the one before is used.
    async fn renew_lease(&mut self) -> io::Result<()> {
        let head = self.window.head();
        if self.status.leased() >= head + limits::LEASE_NUMBERS / 2 {
            return Ok(());
        }
        let through = head + limits::LEASE_NUMBERS;
        lease::write(&*self.disk, Lease { through, clean: None }).await?;
        self.status.leased.store(through, Ordering::Release);
        Ok(())
    }

    /// Writes what the window holds for the disk: as much as fits into one write and into the segment.
    async fn write(&mut self, may_begin: bool) -> io::Result<()> {
        if self.segment.is_none() && may_begin {
            self.begin_segment(0).await?;
        }
        let batches = self.window.unwritten(self.written, limits::JOURNAL_WRITE_BYTES);
        let Some((first, _)) = batches.split_first() else { return Ok(()) };
        assert_eq!(first.first_seq(), self.written, "batches follow each other");
        let synced = self.synced - 1;
        let mut records = Records::of(&batches, synced, self.room());
        if records.ends.is_empty() {
            if !may_begin {
                return Ok(());
            }
            self.begin_segment(Records::of(&batches[..1], synced, u64::MAX).bytes.len() as u64).await?;
            records = Records::of(&batches, synced, self.room());
        }
        let Some(segment) = &self.segment else { return Ok(()) };
        let Records { bytes, ends } = records;
        let (len, batches) = (bytes.len(), &batches[..ends.len()]);
        let mut bytes = Some(bytes);
        let bytes = || bytes.take().unwrap_or_else(|| Records::of(batches, synced, u64::MAX).bytes);
        if let Err(error) = disk::write_all(&segment.file, bytes, segment.end).await {
            // What stood there before is as good as it was. It has to come again only where it can't be synced, either.
            let _ = self.sync().await;
            self.give_up().await;
            return Err(error);
        }
        self.wrote(batches, &ends);
        self.status.writes.fetch_add(1, Ordering::Relaxed);
        self.status.bytes.fetch_add(len as u64, Ordering::Relaxed);
        self.tell();
        Ok(())
    }

    fn room(&self) -> u64 {
        self.segment.as_ref().map_or(0, Open::room)
    }

    fn wrote(&mut self, batches: &[Arc<EncodedBatch>], ends: &[usize]) {
        let segment = self.segment.as_mut().expect("it was written to");
        let start = segment.end;
        let mut catalogue = self.origin.catalogue.borrow_mut();
        for (batch, end) in batches.iter().zip(ends) {
            let (offset, end) = (segment.end, start + *end as u64);
            catalogue.wrote(batch.first_seq(), batch.next_seq(), offset, end, batch.origin().unix_ms);
            segment.end = end;
            self.written = batch.next_seq();
        }
        self.unsynced_since.get_or_insert_with(|| self.clock.now());
    }

    /// When what is written has to be synced; none, where nothing has to.
    pub fn sync_due_at(&self) -> Option<Nanos> {
        match self.options.sync {
            SyncPolicy::Always => self.unsynced_since,
            SyncPolicy::Interval => self.unsynced_since.map(|since| since + self.options.sync_interval_ms * 1_000_000),
            SyncPolicy::Never => None,
        }
    }

    /// Syncs what is written.
    async fn sync(&mut self) -> io::Result<()> {
        let Some(segment) = self.segment.as_mut().filter(|segment| segment.synced_end < segment.end) else {
            return Ok(());
        };
        let started = self.clock.now();
        if let Err(error) = segment.file.sync().await {
            self.give_up().await;
            return Err(error);
        }
        segment.synced_end = segment.end;
        self.synced = self.written;
        self.unsynced_since = None;
        self.status.sync.record(self.clock.now() - started);
        self.tell();
        Ok(())
    }

    /// The number of the next event that may have to be written again.
    fn settled(&self) -> u64 {
        match self.options.sync {
            SyncPolicy::Always | SyncPolicy::Interval => self.synced,
            SyncPolicy::Never => self.written,
        }
    }

    fn tell(&mut self) {
        self.status.written.store(self.written, Ordering::Release);
        self.status.synced.store(self.synced, Ordering::Release);
        let kept = match self.options.sync {
            SyncPolicy::Always => self.synced,
            SyncPolicy::Interval | SyncPolicy::Never => self.written,
        };
        #[cfg(test)]
        let kept = if sabotage::is(Sabotage::AcknowledgeBeforeSync) { self.written } else { kept };
        if kept > self.kept {
            self.kept = kept;
            self.status.kept.set(kept);
            (self.on_kept)(kept);
        }
        self.window.synced(self.settled());
    }

    /// Leaves a segment whose file can't be trusted any more.
    async fn give_up(&mut self) {
        let Some(segment) = self.segment.take() else { return };
        let end = match self.options.sync {
            SyncPolicy::Always | SyncPolicy::Interval => segment.synced_end,
            SyncPolicy::Never => segment.end,
        };
        self.written = self.settled();
        self.unsynced_since = None;
        self.tell();
        // It need not work: whatever stands there, the segment ends where the next one says that it begins.
        if segment.file.truncate(end).await.is_ok() {
            self.origin.catalogue.borrow_mut().resized(end);
        }
        if end > segment.synced_end {
            // What the kernel has is all that was asked for, so if the disk does not get it, that is nobody's loss but its own.
            let _ = segment.file.sync().await;
        }
    }

    /// Goes on in a new segment, with room for at least so many bytes of records.
    async fn begin_segment(&mut self, bytes: u64) -> io::Result<()> {
        self.sync().await?;
        let capacity = self.options.segment_bytes.max(HEADER_BYTES + bytes);
        if self.spare.as_ref().is_none_or(|spare| spare.capacity < capacity) {
            self.make_spare(capacity).await?;
        }
        let Spare { file, capacity } = self.spare.take().expect("it was made");
        let first_seq = self.settled();
        // As long as nothing was written behind a hole, the next segment has to tell of it too.
        let follows = if first_seq == self.origin.next_seq { self.origin.follows } else { first_seq };
        let header = SegmentHeader { first_seq, follows, created_unix_ms: self.clock.unix_ms() };
        disk::write_all(&file, || header.to_block(), 0).await?;
        file.sync().await?;
        // Where a segment of that number was given up, nothing of it counts, and this one takes its name.
        self.disk.rename(SPARE_NAME, &segment::name(first_seq)).await?;
        self.disk.sync_names().await?;
        if let Some(full) = self.segment.take()
            && full.file.truncate(full.end).await.is_ok()
        {
            self.origin.catalogue.borrow_mut().resized(full.end);
        }
        self.origin.catalogue.borrow_mut().begin(header, capacity);
        self.segment = Some(Open { file, capacity, end: HEADER_BYTES, synced_end: HEADER_BYTES });
        self.retain_at = 0;
        Ok(())
    }

    /// Takes the next segment's room when half of this one's is used, so that what is admitted has room.
    async fn prepare_spare(&mut self) -> io::Result<()> {
        let is_half_full = |segment: &Open<D::File>| segment.end > segment.capacity / 2;
        if self.spare.is_none() && self.segment.as_ref().is_some_and(is_half_full) {
            self.make_spare(self.options.segment_bytes).await?;
        }
        Ok(())
    }

    async fn make_spare(&mut self, capacity: u64) -> io::Result<()> {
        self.spare = None;
        let file = disk::create_anew(&*self.disk, SPARE_NAME).await?;
        if let Err(error) = file.allocate(capacity).await {
            // It may have got part of the room, which others need now. If this fails, the next try begins with it.
            let _ = self.disk.remove(SPARE_NAME).await;
            return Err(error);
        }
        self.spare = Some(Spare { file, capacity });
        Ok(())
    }

    /// Its failures cost room, which has a fault of its own.
    async fn retain(&mut self) {
        let now = self.clock.now();
        if now < self.retain_at {
            return;
        }
        let unix_ms = self.clock.unix_ms();
        let done = self.retention.apply(&*self.disk, &self.origin.catalogue, &self.options, unix_ms).await;
        let wait_ms = if done.is_ok() { limits::RETENTION_EVERY_MS } else { limits::JOURNAL_RETRY_MS };
        if let Err(error) = done {
            tracing::warn!("an old segment of the journal can't be removed ({error}): see to its disk");
        }
        self.retain_at = now + wait_ms * 1_000_000;
        // A new segment is followed by this, too.
        let catalogue = self.origin.catalogue.borrow();
        self.status.segments.set(catalogue.segments().count() as u64);
        self.status.disk_bytes.set(catalogue.bytes());
        self.status.oldest_seq.set(catalogue.oldest_seq());
    }
}

/// Batches as records, one behind the other.
struct Records {
    bytes: Vec<u8>,
    /// Where each batch's records end.
    ends: Vec<usize>,
}

impl Records {
    /// Of as many batches as fit into so many bytes.
    fn of(batches: &[Arc<EncodedBatch>], synced: u64, bytes_max: u64) -> Self {
        let (mut bytes, mut ends) = (Vec::new(), Vec::new());
        for batch in batches {
            record::append(batch, synced, &mut bytes);
            if bytes.len() as u64 > bytes_max {
                bytes.truncate(ends.last().copied().unwrap_or(0));
                break;
            }
            ends.push(bytes.len());
        }
        Self { bytes, ends }
    }
}
