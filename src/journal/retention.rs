//! Retention: which segments go, and their going.

use std::cell::RefCell;
use std::io;

use super::disk::Disk;
use super::{Catalogue, JournalOptions, Segment, segment};

/// Drops the oldest segments, each as a whole, and never the one that is being written.
#[derive(Debug, Default)]
pub struct Retention {
    /// The file of a segment that the catalogue has forgotten already.
    doomed: Option<String>,
}

impl Retention {
    /// Drops what is beyond the bounds. After a failure the rest goes the next time.
    pub async fn apply<D: Disk>(
        &mut self,
        disk: &D,
        catalogue: &RefCell<Catalogue>,
        options: &JournalOptions,
        unix_ms: u64,
    ) -> io::Result<()> {
        loop {
            if let Some(name) = &self.doomed {
                match disk.remove(name).await {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
                // One after the other, so that a power cut never takes a segment and leaves an older one.
                disk.sync_names().await?;
                self.doomed = None;
            }
            // Readers must no longer be led to the file when it goes.
            let mut catalogue = catalogue.borrow_mut();
            if !is_over(&catalogue, options, unix_ms) {
                return Ok(());
            }
            let Some(Segment { header, newest_unix_ms, bytes, .. }) = catalogue.drop_oldest() else { return Ok(()) };
            tracing::info!(first_seq = header.first_seq, newest_unix_ms, bytes, "retention drops a segment");
            self.doomed = Some(segment::name(header.first_seq));
        }
    }
}

/// Whether the oldest segment is beyond one of the bounds.
fn is_over(catalogue: &Catalogue, options: &JournalOptions, unix_ms: u64) -> bool {
    let Some(oldest) = catalogue.segments().next() else { return false };
    let age_ms = unix_ms.saturating_sub(oldest.newest_unix_ms);
    let is_over = |value: u64, max: u64| max > 0 && value > max;
    is_over(catalogue.bytes(), options.retention_bytes)
        || is_over(age_ms, options.retention_hours.saturating_mul(3_600_000))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::disk::fake::{FakeDisk, Faults, run};
    use crate::journal::segment::SegmentHeader;

    const MS_PER_HOUR: u64 = 3_600_000;

    /// Five segments of 10 events and 10,000 bytes, one an hour.
    async fn journal(disk: &FakeDisk) -> RefCell<Catalogue> {
        let mut catalogue = Catalogue::default();
        for nth in 0..5 {
            let header =
                SegmentHeader { first_seq: 1 + nth * 10, follows: 1 + nth * 10, created_unix_ms: nth * MS_PER_HOUR };
            catalogue.begin(header, 10_000);
            catalogue.wrote(header.first_seq, header.first_seq + 10, 4096, 9_000, header.created_unix_ms);
            disk.create(&segment::name(header.first_seq)).await.expect("a new name");
        }
        disk.sync_names().await.expect("no faults");
        RefCell::new(catalogue)
    }

    fn options(retention_bytes: u64, retention_hours: u64) -> JournalOptions {
        JournalOptions { retention_bytes, retention_hours, ..JournalOptions::default() }
    }

    async fn left(options: JournalOptions, unix_ms: u64) -> usize {
        let disk = FakeDisk::new(1);
        let catalogue = journal(&disk).await;
        Retention::default().apply(&disk, &catalogue, &options, unix_ms).await.expect("no faults");
        let names = disk.after_power_cut().names().await.expect("names");
        assert_eq!(names.len(), catalogue.borrow().segments().count());
        assert!(names.contains(&segment::name(41)), "the newest stays");
        names.len()
    }

    #[test]
    fn the_oldest_go_until_the_rest_is_within_both_bounds() {
        run(async {
            assert_eq!(left(options(0, 0), 1_000 * MS_PER_HOUR).await, 5, "no bounds");
            assert_eq!(left(options(30_000, 0), 0).await, 3);
            assert_eq!(left(options(29_999, 0), 0).await, 2);
            assert_eq!(left(options(0, 4), 4 * MS_PER_HOUR).await, 5);
            assert_eq!(left(options(0, 2), 4 * MS_PER_HOUR + 1).await, 2);
            assert_eq!(left(options(40_000, 2), 4 * MS_PER_HOUR).await, 3, "the narrower one counts");
        });
    }

    #[test]
    fn the_segment_that_is_written_stays_however_large_and_old() {
        run(async { assert_eq!(left(options(1, 1), 1_000 * MS_PER_HOUR).await, 1) });
    }

    #[test]
    fn a_power_cut_leaves_no_older_segment_without_a_newer_one() {
        for seed in 0..200 {
            let disk = FakeDisk::new(seed);
            let catalogue = run(journal(&disk));
            let polls = disk.rng(|rng| rng.usize(..60));
            let mut retention = Retention::default();
            let _ = disk.run_for(polls, retention.apply(&disk, &catalogue, &options(1, 0), 0));
            let mut names = run(disk.after_power_cut().names()).expect("names");
            names.sort();
            let newest: Vec<_> = (0..5).map(|nth| segment::name(1 + nth * 10)).skip(5 - names.len()).collect();
            assert_eq!(names, newest, "seed {seed}");
        }
    }

    #[test]
    fn what_could_not_be_removed_goes_the_next_time() {
        run(async {
            let disk = FakeDisk::new(1);
            let catalogue = journal(&disk).await;
            let mut retention = Retention::default();
            disk.set_faults(Faults { sync_errors: 1.0, ..Faults::default() });
            let failed = retention.apply(&disk, &catalogue, &options(1, 0), 0).await;
            assert!(failed.is_err());
            disk.set_faults(Faults::default());
            retention.apply(&disk, &catalogue, &options(1, 0), 0).await.expect("no faults");
            assert_eq!(disk.after_power_cut().names().await.expect("names"), [segment::name(41)]);
        });
    }
}
